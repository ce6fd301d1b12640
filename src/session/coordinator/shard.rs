//! One shard, as a client's coordinator speaks to it: an inner session on a pipe, and what it is expected to answer.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustc_hash::FxHashSet;
use tokio::task::JoinHandle;

use super::types::Named;
use crate::backend::database::Purpose;
use crate::backend::login::Credentials;
use crate::backend::settings::{self, Settings};
use crate::backend::{Database, cancel};
use crate::base::limits;
use crate::config::User;
use crate::net::{Stream, pipe};
use crate::session::accept::NewClient;
use crate::session::client::Client;
use crate::session::relay::{poll_fill, poll_send};
use crate::session::welcome::serve_within;
use crate::session::{Seat, Worker};
use crate::wire::frame::back;
use crate::wire::{Buffer, Frame, message};

/// What an inner session shows its coordinator: its settings whenever it is between transactions.
#[derive(Debug, Default)]
pub struct Mirror {
    pub settings: RefCell<Arc<Settings>>,
}

impl Mirror {
    pub fn show(&self, settings: &Arc<Settings>) {
        if !Arc::ptr_eq(&self.settings.borrow(), settings) {
            self.settings.replace(settings.clone());
        }
    }
}

/// An answer that a shard owes. `ours`: the client must not see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Parse {
        ours: bool,
    },
    Bind {
        ours: bool,
    },
    /// Of a portal or a statement.
    Describe {
        ours: bool,
    },
    Execute,
    Close {
        ours: bool,
    },
    /// ReadyForQuery of a Sync.
    Sync,
    /// All of a Query.
    Query {
        ours: bool,
    },
}

/// The coordinator's side of one inner session.
pub struct ShardLink {
    /// Which one.
    pub shard: usize,
    stream: Stream,
    pub input: Buffer,
    /// To be sent.
    pub out: Vec<u8>,
    written: usize,
    pub expect: VecDeque<Expect>,
    /// The inner session, to be cancelled.
    pub client: Arc<Client>,
    pub mirror: Rc<Mirror>,
    /// Statements prepared there, by the coordinator's numbers.
    pub prepared: FxHashSet<u64>,
    /// Those of them that this segment prepares: not there if it fails.
    fresh: Vec<u64>,
    /// Whose text its unnamed statement has; 0: nobody's.
    pub unnamed: u64,
    /// As its last ReadyForQuery said.
    pub status: u8,
    /// The client's transaction block was begun there.
    pub joined: bool,
    /// Extended messages were sent since the last Sync.
    pub open: bool,
    /// It said an error in this segment: it ignores all up to Sync.
    pub failed: bool,
    /// Bytes of a row that are still to be passed on as they come.
    pub passing: usize,
    /// Types that rows name within, where the client calls them otherwise: until all that is owed was answered.
    pub named: Option<Rc<Named>>,
    /// It said an error, and may have ended with it.
    pub last_words: Option<()>,
    /// The last Query failed.
    pub query_failed: bool,
    /// Settings of its own that were found to be the session's: most comparisons end with their addresses.
    fit: Option<[Arc<Settings>; 2]>,
    /// It has what was gathered, and is no part of the client's session: what it reports isn't the client's.
    pub aside: bool,
    /// A cancel request that is on its way.
    cancelling: Cell<Option<JoinHandle<()>>>,
}

/// What an inner session is made from.
pub struct Origin {
    pub worker: Rc<Worker>,
    pub user_name: String,
    pub user: Option<User>,
    pub credentials: Credentials,
    pub parameters: Vec<(String, String)>,
    pub peer: String,
    /// The process id that the client was told.
    pub told: i32,
}

impl ShardLink {
    /// Starts an inner session on a shard; its welcome is the first that comes.
    pub fn start(shard: usize, origin: &Origin, database: &Arc<Database>, purpose: Purpose) -> Self {
        let (ours, theirs) = pipe();
        let new = NewClient {
            stream: Stream::from_pipe(theirs),
            minor: 0,
            user: origin.user_name.clone(),
            database: database.name.to_string(),
            parameters: origin.parameters.clone(),
            credentials: origin.credentials.clone(),
            leftover: Vec::new(),
            peer: origin.peer.clone(),
        };
        let client = Arc::new(Client::within(origin.told, &new));
        let mirror = Rc::new(Mirror::default());
        let seat = Seat {
            worker: origin.worker.clone(),
            database: origin.worker.database(database),
            sharded: None,
            user: origin.user.clone(),
            client: client.clone(),
        };
        tokio::task::spawn_local(serve_within(seat, Box::new(new), mirror.clone(), purpose));
        Self {
            shard,
            stream: Stream::from_pipe(ours),
            input: Buffer::default(),
            out: Vec::new(),
            written: 0,
            // The welcome ends as the answer to a Query does.
            expect: VecDeque::from([Expect::Query { ours: true }]),
            client,
            mirror,
            prepared: FxHashSet::default(),
            fresh: Vec::new(),
            unnamed: 0,
            status: b'I',
            joined: false,
            open: false,
            failed: false,
            passing: 0,
            named: None,
            last_words: None,
            query_failed: false,
            fit: None,
            cancelling: Cell::new(None),
            aside: purpose == Purpose::Gather,
        }
    }

    /// Whether the settings that it has are those that it should have.
    pub fn fits(&mut self, have: &Arc<Settings>, want: &Arc<Settings>) -> bool {
        let known = self.fit.as_ref().is_some_and(|[mine, ours]| Arc::ptr_eq(mine, have) && Arc::ptr_eq(ours, want));
        if !known && !settings::same(have, want) {
            return false;
        }
        if !known {
            self.fit = Some([have.clone(), want.clone()]);
        }
        true
    }

    /// Whether messages of this kind are passed on whole, with names changed within.
    pub fn is_renamed(&self, tag: u8) -> bool {
        tag == back::DATA_ROW && self.named.is_some()
    }

    pub fn query(&mut self, sql: &str, ours: bool) {
        message::query(&mut self.out, sql.as_bytes());
        self.expect.push_back(Expect::Query { ours });
        self.query_failed = false;
        self.last_words = None;
        self.unnamed = 0;
    }

    /// Prepares a statement there under this name, which may be there already.
    pub fn prepare(&mut self, id: u64, name: &str, sql: &str, types: &[u8]) {
        if self.prepared.len() >= limits::SHARD_STATEMENTS
            && let Some(old) = self.prepared.iter().copied().find(|old| !self.fresh.contains(old))
        {
            // One that may be needed again is prepared again then. Either name may be its.
            self.prepared.remove(&old);
            for name in [format!("c{old}"), format!("m{old:x}")] {
                message::close_statement(&mut self.out, name.as_bytes());
                self.expect.push_back(Expect::Close { ours: true });
            }
        }
        message::close_statement(&mut self.out, name.as_bytes());
        self.expect.push_back(Expect::Close { ours: true });
        message::parse(&mut self.out, name.as_bytes(), sql.as_bytes(), types);
        self.expect.push_back(Expect::Parse { ours: true });
        self.prepared.insert(id);
        self.fresh.push(id);
    }

    /// ReadyForQuery came: what a failed segment prepared may not be there.
    pub fn settle_prepared(&mut self, failed: bool) {
        for id in self.fresh.drain(..) {
            if failed {
                self.prepared.remove(&id);
            }
        }
    }

    /// Ends the segment of extended messages.
    pub fn sync(&mut self) {
        message::sync(&mut self.out);
        self.expect.push_back(Expect::Sync);
    }

    /// Sends what can be sent and reads what has come. Ready when a whole frame lies in the input, or the link ended.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>, worker: &Worker) -> Poll<io::Result<Frame>> {
        loop {
            let frame = Frame::parse(self.input.filled()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            if let Some(frame) = frame
                && self.input.len() >= frame.len
            {
                return Poll::Ready(Ok(frame));
            }
            if frame.is_some_and(|frame| frame.len > limits::SHARD_MESSAGE) {
                return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
            }
            let Poll::Ready(()) = self.poll_more(cx, worker, frame.map_or(0, |frame| frame.len))? else {
                return Poll::Pending;
            };
        }
    }

    /// Sends what can be sent; reads more. Ready: something came.
    pub fn poll_more(&mut self, cx: &mut Context<'_>, worker: &Worker, need: usize) -> Poll<io::Result<()>> {
        let _ = self.poll_send(cx)?;
        if self.input.capacity() == 0 {
            if self.stream.poll_read_ready(cx).is_pending() {
                return Poll::Pending;
            }
            self.input = worker.take_buffer();
        }
        self.input.reserve_total(need);
        if self.input.spare().is_empty() {
            // Full of what the coordinator hasn't taken yet.
            return Poll::Ready(Ok(()));
        }
        match poll_fill(&mut self.stream, &mut self.input, cx) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ready when all is sent.
    pub fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_send(&mut self.stream, &mut self.out, &mut self.written, cx)?;
        if self.out.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Nothing is in flight: its buffer goes back.
    pub fn rest(&mut self, worker: &Worker) {
        if self.input.is_empty() && self.input.capacity() > 0 {
            worker.give_buffer(std::mem::take(&mut self.input));
        }
    }

    /// Has what runs there cancelled.
    pub fn cancel(&self) {
        let Some((target, threat)) = self.client.cancel() else { return };
        let request = tokio::task::spawn_local(async move {
            let address = &target.server.address;
            let _ = cancel::cancel(address, target.process_id, &target.key, limits::CANCEL_TIMEOUT).await;
            drop(threat);
        });
        self.cancelling.set(Some(request));
    }

    /// What was cancelled has ended: waits until the request can't hit what runs next.
    pub async fn cancelled(&mut self) {
        if let Some(request) = self.cancelling.take() {
            let _ = request.await;
        }
    }
}
