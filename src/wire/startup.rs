//! The first packet of a connection.

/// `CANCEL_REQUEST_CODE` 1234.5678.
pub const CANCEL_REQUEST: u32 = 0x04d2_162e;
