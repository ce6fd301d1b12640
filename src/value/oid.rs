//! OIDs of built-in types, which are the same on every server.

pub const BOOL: u32 = 16;
pub const BYTEA: u32 = 17;
pub const CHAR: u32 = 18;
pub const NAME: u32 = 19;
pub const INT8: u32 = 20;
pub const INT2: u32 = 21;
pub const INT4: u32 = 23;
pub const TEXT: u32 = 25;
pub const OID: u32 = 26;
pub const FLOAT4: u32 = 700;
pub const FLOAT8: u32 = 701;
/// The type of a literal before it is resolved.
pub const UNKNOWN: u32 = 705;
pub const MACADDR: u32 = 829;
pub const BPCHAR: u32 = 1042;
pub const VARCHAR: u32 = 1043;
pub const DATE: u32 = 1082;
pub const TIME: u32 = 1083;
pub const TIMESTAMP: u32 = 1114;
pub const TIMESTAMPTZ: u32 = 1184;
pub const INTERVAL: u32 = 1186;
pub const TIMETZ: u32 = 1266;
pub const NUMERIC: u32 = 1700;
pub const UUID: u32 = 2950;
pub const CIDR: u32 = 650;
pub const MACADDR8: u32 = 774;
pub const MONEY: u32 = 790;
pub const INET: u32 = 869;
pub const PG_LSN: u32 = 3220;
pub const RECORD: u32 = 2249;
pub const RECORD_ARRAY: u32 = 2287;
