//! Plans over shards: which shards a statement concerns, what each is asked, how the answers become one.

pub mod model;

pub use model::*;
