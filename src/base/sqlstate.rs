//! SQLSTATE codes that pgbraid itself raises or looks for (PostgreSQL's `errcodes.txt`).

/// A five-character SQLSTATE.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState(pub [u8; 5]);

impl SqlState {
    pub const SUCCESSFUL_COMPLETION: Self = Self(*b"00000");
    pub const CONNECTION_EXCEPTION: Self = Self(*b"08000");
    pub const CANNOT_CONNECT: Self = Self(*b"08001");
    pub const CONNECTION_DOES_NOT_EXIST: Self = Self(*b"08003");
    pub const CONNECTION_REJECTED: Self = Self(*b"08004");
    pub const CONNECTION_FAILURE: Self = Self(*b"08006");
    pub const TRANSACTION_RESOLUTION_UNKNOWN: Self = Self(*b"08007");
    pub const PROTOCOL_VIOLATION: Self = Self(*b"08P01");
    pub const FEATURE_NOT_SUPPORTED: Self = Self(*b"0A000");
    pub const INVALID_PARAMETER_VALUE: Self = Self(*b"22023");
    pub const BAD_COPY_FILE_FORMAT: Self = Self(*b"22P04");
    pub const CARDINALITY_VIOLATION: Self = Self(*b"21000");
    pub const INVALID_ROW_COUNT_IN_LIMIT: Self = Self(*b"2201W");
    pub const INVALID_ROW_COUNT_IN_OFFSET: Self = Self(*b"2201X");
    pub const READ_ONLY_SQL_TRANSACTION: Self = Self(*b"25006");
    pub const ACTIVE_SQL_TRANSACTION: Self = Self(*b"25001");
    pub const NO_ACTIVE_SQL_TRANSACTION: Self = Self(*b"25P01");
    pub const INSUFFICIENT_PRIVILEGE: Self = Self(*b"42501");
    pub const IN_FAILED_SQL_TRANSACTION: Self = Self(*b"25P02");
    pub const IDLE_IN_TRANSACTION_TIMEOUT: Self = Self(*b"25P03");
    pub const INVALID_SQL_STATEMENT_NAME: Self = Self(*b"26000");
    pub const INVALID_AUTHORIZATION: Self = Self(*b"28000");
    pub const INVALID_PASSWORD: Self = Self(*b"28P01");
    pub const INVALID_CURSOR_NAME: Self = Self(*b"34000");
    pub const INVALID_CATALOG_NAME: Self = Self(*b"3D000");
    pub const SERIALIZATION_FAILURE: Self = Self(*b"40001");
    pub const SYNTAX_ERROR: Self = Self(*b"42601");
    pub const UNDEFINED_OBJECT: Self = Self(*b"42704");
    pub const DUPLICATE_CURSOR: Self = Self(*b"42P03");
    pub const DUPLICATE_PREPARED_STATEMENT: Self = Self(*b"42P05");
    pub const TOO_MANY_CONNECTIONS: Self = Self(*b"53300");
    pub const CONFIGURATION_LIMIT_EXCEEDED: Self = Self(*b"53400");
    pub const PROGRAM_LIMIT_EXCEEDED: Self = Self(*b"54000");
    pub const OBJECT_NOT_IN_PREREQUISITE_STATE: Self = Self(*b"55000");
    pub const LOCK_NOT_AVAILABLE: Self = Self(*b"55P03");
    pub const DEADLOCK_DETECTED: Self = Self(*b"40P01");
    pub const QUERY_CANCELED: Self = Self(*b"57014");
    pub const ADMIN_SHUTDOWN: Self = Self(*b"57P01");
    pub const CRASH_SHUTDOWN: Self = Self(*b"57P02");
    pub const CANNOT_CONNECT_NOW: Self = Self(*b"57P03");
    pub const DATABASE_DROPPED: Self = Self(*b"57P04");
    pub const IDLE_SESSION_TIMEOUT: Self = Self(*b"57P05");
    pub const CONFIG_FILE_ERROR: Self = Self(*b"F0000");
    pub const INTERNAL_ERROR: Self = Self(*b"XX000");

    /// The code as text. Codes that came from a server with bytes outside ASCII read as `XX000`.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XX000")
    }

    /// The code in `bytes`, or `XX000` where it isn't five bytes of ASCII.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        match <[u8; 5]>::try_from(bytes) {
            Ok(code) if code.iter().all(u8::is_ascii_alphanumeric) => Self(code),
            _ => Self::INTERNAL_ERROR,
        }
    }
}

impl std::fmt::Display for SqlState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Debug for SqlState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
