//! What exists in a database: relations, functions, operators. A snapshot, pure data.

/// A snapshot of one database's catalog.
#[derive(Debug, Default)]
pub struct Catalog {
    known: bool,
}

impl Catalog {
    /// Knows nothing: nothing is proven with it.
    pub fn unknown() -> Self {
        Self::default()
    }

    /// Whether it was read from a server.
    pub fn is_known(&self) -> bool {
        self.known
    }
}
