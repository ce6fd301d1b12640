//! Server connections: login, pool, health, roles, replay positions.

pub mod cancel;
pub mod login;
