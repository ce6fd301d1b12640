//! What the tests share: servers, proxies, a client that speaks by hand.
//!
//! * [`servers::shop`]: one primary and one replica with the sample shop, shared by all tests of the process. Tests that
//!   pause, kill or promote start a cluster of their own.
//! * [`proxy::Proxy`]: a proxy in a process of its own, on a free port, with any configuration.
//! * [`raw::Raw`] and [`build`]: the protocol byte by byte.
//! * [`random::Random`]: values from a seed; [`random::Raw`]: a value's bytes on the wire.
//! * [`patience::Patience`]: the end of a loop that waits.
//! * [`both::both`]: the same conversation with PostgreSQL and with the proxy.

#![allow(dead_code, reason = "not every helper is used by a test in every build")]

pub mod both;
pub mod build;
pub mod patience;
pub mod proxy;
pub mod random;
pub mod raw;
pub mod servers;
