//! Streams (plain, TLS, Unix) and listeners: the only place that names sockets.
