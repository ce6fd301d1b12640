//! pgbraid: a proxy that speaks the Postgres wire protocol and makes many PostgreSQL servers look like one.
//!
//! The modules are floors of one house: a module imports only from floors below its own
//! (`tests/tidy.rs` keeps that true). From the ground up:
//!
//! * 0 `base`, `config`, `telemetry`: ids, SQLSTATEs, limits, secrets; configuration; metric handles and logs
//! * 1 `wire`, `sql`, `value`: frames and messages; lexing, parsing; types' formats, order, hashing. Pure
//! * 2 `catalog`, `topology`: what exists in a database; which servers there are. `net`: sockets
//! * 3 `plan`: where a statement may run, with its proof. `backend`: server connections, pools, health
//! * 4 `execute`: operators on the rows of several shards
//! * 6 `session`: one client's conversation
//! * 7 `server`, `admin`, `http`: listeners and workers; the console; metrics
//! * 8 `cli`: subcommands

pub mod base;
pub mod config;
pub mod telemetry;

pub mod sql;
pub mod value;
pub mod wire;

pub mod catalog;
pub mod net;
pub mod topology;

pub mod backend;
pub mod plan;

pub mod execute;

pub mod session;

pub mod admin;
pub mod http;
pub mod server;

pub mod cli;
