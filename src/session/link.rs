//! A session's hold on a server connection: what was sent, and what answers are still to come.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::leave::Opening;
use crate::backend::conn::Parameters;
use crate::backend::settings::Tracker;
use crate::backend::statements::Statement;
use crate::backend::{LocalPool, ServerConn};
use crate::base::limits;
use crate::plan::Plan;

/// An answer to come, in the order in which its request was sent.
#[derive(Debug)]
pub enum Expect {
    /// ParseComplete. `statement`: what the server will have then. `ours`: the client didn't ask for it.
    Parse { statement: Option<Arc<Statement>>, client: Option<ClientParse>, ours: bool },
    /// ParseComplete that we say ourselves: the server has the statement already.
    MadeUpParse,
    /// BindComplete. `instead`: the server will refuse it; what the client is told in place of its error.
    Bind { instead: Option<Box<[u8]>> },
    /// NoData or RowDescription; ahead of it ParameterDescription for a statement.
    Describe(Described),
    /// All up to CommandComplete, EmptyQueryResponse or PortalSuspended.
    Execute { effects: Option<Rc<Plan>> },
    /// CloseComplete. `ours`: the client didn't ask for it.
    Close { ours: bool },
    /// CloseComplete that we say ourselves.
    MadeUpClose,
    /// CopyDone or CopyFail was sent: answers nothing, but parts the Syncs that COPY swallows from those it doesn't.
    CopyEnd,
    /// ReadyForQuery.
    Sync,
    /// All up to ReadyForQuery; `step`: the statement of the string that comes next.
    Query {
        effects: Option<Rc<Plan>>,
        step: usize,
        /// What we put into the string.
        edits: Option<Box<Edits>>,
    },
    /// Statements of our own in the extended protocol, behind a reset; `left`: CloseCompletes to come.
    PutBack { left: usize },
    /// FunctionCallResponse, ReadyForQuery.
    Function,
    /// A query of our own, nothing of which the client sees.
    Ours(Ours),
}

/// A query string that isn't quite the client's: what is hidden of its answer.
#[derive(Debug, Default)]
pub struct Edits {
    /// For each statement of the string whether it is ours.
    pub hidden: Vec<bool>,
    /// The one whose answer comes next.
    pub at: usize,
    /// Where our text stands in the string, in characters.
    pub inserted: Vec<Range<usize>>,
    /// To be sent when it has succeeded.
    pub then: Option<String>,
    /// It is what was sent then: its ReadyForQuery is the client's.
    pub last: bool,
}

/// Whose description comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Described {
    Portal,
    /// The client's statement of this name.
    Statement(Box<[u8]>),
    /// The same, asked for by us when the client prepared it: what PostgreSQL would hold later executions to.
    Learn(Box<[u8]>),
    /// The same, asked for by us: does it still have the description that the client knows?
    Verify(Box<[u8]>),
}

/// What the client registered with a Parse, to be taken back if it fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientParse {
    Unnamed,
    Named(Box<[u8]>),
}

/// Queries of our own that travel with a client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ours {
    /// Settings put in force before the client's statement: must not fail.
    Settings,
    /// A value put where the client's next statement will look for it: may fail, in a failed transaction.
    Value,
    /// A transaction that is made to fail, in place of one that was lost with its connection.
    FailedTransaction,
}

/// Whether the connection answers as primary or as replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Primary,
    Replica,
}

/// A server connection in a session's hands.
pub struct Link {
    pub conn: Box<ServerConn>,
    pub pool: Rc<LocalPool>,
    pub side: Side,
    /// Bytes on their way to the server.
    pub out: Vec<u8>,
    /// How many of them were written.
    pub written: usize,
    pub queue: VecDeque<Expect>,
    /// The number of the segment (between two Syncs) that is being sent.
    pub segment: u64,
    /// Extended messages were sent since the last Sync.
    pub segment_open: bool,
    /// The server ignores everything up to the next Sync that we send.
    pub skipping: bool,
    /// An error came since the last ReadyForQuery.
    pub failed: bool,
    /// The client isn't read until the server has said whether a statement still has the same description.
    pub verifying: bool,
    /// The server is in COPY FROM STDIN.
    pub copy_in: bool,
    /// Settings of the connection as statements change them; made when the first does.
    pub tracker: Option<Tracker>,
    /// The client isn't read until what follows a DISCARD ALL is answered.
    pub holding: bool,
    /// The answer is thrown away: the request will be run again elsewhere.
    pub discarding: bool,
    /// Must not be used by anybody else.
    pub doomed: bool,
    /// The READ ONLY transaction on a replica could begin anew on the primary, with this.
    pub opening: Option<Box<Opening>>,
    /// Nothing of the answer has been forwarded: a read that fails on a replica may be tried again elsewhere.
    pub retry: Option<Retry>,
    /// Bytes of a frame of the server's that are still to be passed on as they come.
    pub passing: usize,
    pub started: Instant,
    /// When its latest transaction ended.
    pub ended: Instant,
    /// The session drew from sequences on this connection when it had it last, and nobody used it since.
    pub drawn_here: bool,
    _working: Working,
}

/// What is needed to run a read again.
#[derive(Debug, Default)]
pub struct Retry {
    /// The client's messages.
    pub request: Vec<u8>,
    /// Statements that they prepared: forgotten before they are read again.
    pub prepared: Vec<Box<[u8]>>,
    /// Bytes for the client that are older than the request.
    pub kept: usize,
    /// What the client knew by ParameterStatus.
    pub reported: Arc<Parameters>,
}

/// What a link allocates, for the next one to use again.
#[derive(Debug, Default)]
pub struct Spare {
    out: Vec<u8>,
    queue: VecDeque<Expect>,
}

impl Spare {
    /// Emptied; not what had to grow.
    pub fn kept(mut self) -> Option<Self> {
        self.out.clear();
        self.queue.clear();
        let modest = self.out.capacity() <= limits::SPARE_OUT && self.queue.capacity() <= limits::SPARE_QUEUE;
        modest.then_some(self)
    }
}

impl Link {
    pub fn new(conn: Box<ServerConn>, pool: Rc<LocalPool>, side: Side, spare: Spare) -> Self {
        let now = Instant::now();
        Self {
            _working: Working::new(pool.clone(), side),
            conn,
            pool,
            side,
            out: spare.out,
            written: 0,
            queue: spare.queue,
            segment: 1,
            segment_open: false,
            skipping: false,
            failed: false,
            verifying: false,
            copy_in: false,
            tracker: None,
            holding: false,
            discarding: false,
            doomed: false,
            opening: None,
            retry: None,
            passing: 0,
            started: now,
            ended: now,
            drawn_here: false,
        }
    }

    /// The connection and its pool, without what was noted of this use.
    pub fn into_parts(self) -> (Box<ServerConn>, Rc<LocalPool>, Spare) {
        (self.conn, self.pool, Spare { out: self.out, queue: self.queue })
    }

    /// Everything that was sent is answered.
    #[inline]
    pub fn is_settled(&self) -> bool {
        self.queue.is_empty() && !self.segment_open && !self.skipping && self.written == self.out.len()
    }

    /// An answer must come before the client is read any further.
    #[inline]
    pub fn waits(&self) -> bool {
        self.verifying || self.holding
    }

    /// Nothing was sent on it for the client yet.
    #[inline]
    pub fn is_fresh(&self) -> bool {
        self.segment == 1 && !self.segment_open && self.queue.iter().all(|expect| matches!(expect, Expect::Ours(_)))
    }

    /// The connection's settings, with what statements do to them.
    pub fn tracker(&mut self) -> &mut Tracker {
        self.tracker.get_or_insert_with(|| {
            let mut tracker = Tracker::new(Arc::default());
            tracker.replace(self.conn.settings.clone());
            tracker
        })
    }

    /// Notes an expectation, unless the server ignores what is sent now.
    #[inline]
    pub fn expect(&mut self, expect: Expect) {
        if !self.skipping {
            self.queue.push_back(expect);
        }
    }
}

/// A server has one statement or transaction more to do, until this is dropped.
struct Working {
    pool: Rc<LocalPool>,
    side: Side,
}

impl Working {
    fn new(pool: Rc<LocalPool>, side: Side) -> Self {
        pool.metrics.active.add(1);
        // Load decides between replicas only; the primary's would be one number that all workers write to.
        if side == Side::Replica {
            pool.shared.server.begin_work();
        }
        Self { pool, side }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.pool.metrics.active.add(-1);
        if self.side == Side::Replica {
            self.pool.shared.server.end_work();
        }
    }
}
