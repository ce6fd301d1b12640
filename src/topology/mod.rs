//! Which servers a database has, their roles and positions. Pure data.
