//! A client of a sharded database: its statements are planned, sent to the shards that they concern, and the answers
//! made one. To each shard it speaks through an inner session, which pools, tracks settings and reads on replicas as for
//! any client.

mod atomic;
mod block;
mod change;
mod client;
mod collect;
mod commit;
mod configure;
mod copy;
mod copy_deal;
mod copy_in;
mod copy_key;
mod copy_lane;
mod cursor;
mod deal;
mod decide;
mod define;
mod describe;
mod draw;
mod explain;
mod extended;
mod feed;
mod fetch;
mod flow;
mod found;
mod gather;
mod moving;
mod multi;
mod own;
mod password;
mod prior;
mod reads;
mod relay;
mod rest;
mod route;
mod segment;
pub mod shard;
mod simple;
mod spool;
mod sql_prepared;
mod stream;
mod temps;
mod together;
mod told;
mod turns;
mod types;
mod waiting;
mod welcome;

pub use describe::LocalSharded;
pub use welcome::{ShardedSeat, serve};

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::client::Client;
use super::context::Worker;
use crate::base::PgError;
use crate::net::Stream;
use crate::wire::Buffer;
use block::Block;
use describe::Prepared;
use extended::Portal;
use segment::Segment;
use shard::{Origin, ShardLink};

/// A client that has come in.
pub struct Coordinator {
    origin: Origin,
    worker: Rc<Worker>,
    database: Rc<LocalSharded>,
    client: Arc<Client>,
    stream: Stream,
    /// From the client, not yet looked at.
    input: Buffer,
    /// For the client.
    output: Vec<u8>,
    sent: usize,
    /// The output is an answer that is written as a COPY's.
    copying: Option<copy::Copying>,
    /// One a shard, made when it is first needed.
    links: Vec<Option<Box<ShardLink>>>,
    /// The settings of the inner session on the home shard, also while its link is worked with, and after its loss.
    home_mirror: Option<Rc<shard::Mirror>>,
    /// How texts are read with the settings that it was taken from.
    reads: RefCell<Option<reads::Taken>>,
    /// What the search for deadlocks sees of them.
    parts: Arc<waiting::Parts>,
    /// What the client knows by ParameterStatus.
    reported: BTreeMap<String, String>,
    /// What it is to be told before the next ReadyForQuery: settings that differ from that, and notifications.
    news: BTreeMap<String, String>,
    tail: Vec<u8>,
    statements: FxHashMap<Vec<u8>, Rc<Prepared>>,
    unnamed: Option<Rc<Prepared>>,
    portals: FxHashMap<Vec<u8>, Portal>,
    /// Cursors of SQL.
    cursors: FxHashMap<String, cursor::Cursor>,
    /// Temporary tables that it has made.
    temporary: temps::Temporaries,
    /// Statements that it has prepared by SQL on the home shard, by name.
    sql_prepared: BTreeMap<String, String>,
    /// Portals and cursors made so far.
    made: u64,
    block: Option<Block>,
    /// A transaction is being committed on several shards: not to be left in the middle.
    committing: bool,
    segment: Segment,
    /// Characters of the client's string before the statement that runs.
    text_offset: usize,
}

/// Why a conversation stops.
pub(super) enum Stop {
    /// The client is gone, or must go.
    Over,
    /// The statement failed: to be told.
    Error(Box<PgError>),
    /// The statement failed and the client has been told.
    Told,
}

impl From<PgError> for Stop {
    fn from(error: PgError) -> Self {
        Self::Error(Box::new(error))
    }
}

/// The result of what may stop.
pub(super) type Go<T = ()> = Result<T, Stop>;

impl Coordinator {
    /// The home shard's index.
    fn home(&self) -> usize {
        self.database.shared.home
    }

    /// The transaction status that ReadyForQuery tells.
    fn status(&self) -> u8 {
        match &self.block {
            None => b'I',
            Some(block) if block.failed => b'E',
            Some(_) => b'T',
        }
    }
}
