//! The Postgres wire protocol as bytes: frames, start-up packets, messages, SCRAM. Pure: no sockets, no clock.
