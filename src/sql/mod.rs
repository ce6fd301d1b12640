//! Lexing, fingerprints, parsing and classifying of SQL. Pure.
