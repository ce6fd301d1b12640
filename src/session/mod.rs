//! One client's conversation.

pub mod accept;
mod auth;
