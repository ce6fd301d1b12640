//! Listeners, workers, start, drain, reload.
