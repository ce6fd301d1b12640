//! What exists in a database: relations, functions, operators. Pure data, swapped as snapshots.
