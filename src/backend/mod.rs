//! Server connections: login, pool, health, roles, replay positions.
