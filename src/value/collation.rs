//! By what rule text is ordered.

/// The order of a deterministic collation, as its server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// By bytes: C, POSIX, `ucs_basic`, the built-in provider's C.UTF-8.
    Bytes,
    /// The C library's. `version`: the server's `pg_collation_actual_version`, which for glibc is its release.
    Libc { locale: String, version: Option<String> },
    /// ICU's.
    Icu { locale: String },
}
