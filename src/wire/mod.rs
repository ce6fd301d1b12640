//! The Postgres wire protocol as bytes: frames, start-up packets, messages, SCRAM. Pure: no sockets, no clock.

pub mod buffer;
pub mod frame;
pub mod md5;
pub mod message;
pub mod reader;
pub mod scram;
pub mod startup;

pub use buffer::Buffer;
pub use frame::{Frame, FrameError};
