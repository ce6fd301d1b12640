//! Statements as the home shard describes them: parameter types, result columns, and errors in PostgreSQL's own words.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::collect::Answer;
use super::decide::Decision;
use super::gather::KnownSize;
use super::multi::{Bind, put_bound};
use super::reads::Reads;
use super::route::Routes;
use super::shard::ShardLink;
use super::welcome::with_formats;
use super::{Coordinator, Go};
use crate::backend::ShardedDatabase;
use crate::backend::gates::LocalGates;
use crate::base::{PgError, limits};
use crate::catalog::schema::Oid;
use crate::plan::{self, WriteSet};
use crate::session::context::{Reading, Worker};
use crate::session::is_default_path;
use crate::wire::frame::{front, split_cstr};
use crate::wire::message;
use crate::wire::reader::Reader;

/// A sharded database on one worker.
pub struct LocalSharded {
    pub shared: Arc<ShardedDatabase>,
    pub(super) routes: Routes,
    pub gates: Rc<LocalGates>,
    known: RefCell<Known>,
}

#[derive(Default)]
struct Known {
    generation: u64,
    texts: FxHashMap<Key, Rc<Prepared>>,
}

/// All on which a statement's meaning hangs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    sql: Box<str>,
    types: Box<[u8]>,
    reads: Rc<Reads>,
    /// The session that has temporary tables, whose names mean nothing to others, and how often it has changed them.
    own: (i32, u32),
}

/// A statement's text with all that is known of it.
pub(super) struct Prepared {
    /// Its own on this worker.
    pub id: u64,
    pub sql: String,
    /// As in Parse: count and OIDs of the declared parameter types.
    pub types: Vec<u8>,
    pub plan: plan::Plan,
    pub generation: u64,
    /// The settings that it was read with.
    pub key: Key,
    pub decision: OnceCell<Rc<Decision>>,
    pub described: OnceCell<Described>,
    /// How often it was run: what is run again is prepared on the shards.
    pub runs: Cell<u32>,
    /// Columns of questions to shards, by their text.
    pub inputs: RefCell<FxHashMap<String, Arc<Vec<Column>>>>,
    /// What servers think that these have.
    pub sizes: RefCell<FxHashMap<String, KnownSize>>,
}

/// What the home shard says of a statement.
#[derive(Debug)]
pub(super) struct Described {
    pub params: Vec<Oid>,
    /// Body of RowDescription.
    pub row: Option<Vec<u8>>,
    /// The same of its portal, where that was asked for: planning may have found other typmods (of `coalesce(NULL, x)`).
    pub portal: OnceCell<Vec<u8>>,
    pub columns: Vec<Column>,
}

impl Described {
    /// Body of the RowDescription that stands before rows.
    pub fn told(&self) -> Option<&[u8]> {
        self.portal.get().or(self.row.as_ref()).map(Vec::as_slice)
    }
}

/// A result column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    pub name: String,
    pub type_oid: Oid,
    pub typmod: i32,
}

impl Key {
    /// Whether a session that reads so means the same by the text.
    pub fn is_read_by(&self, reads: &Rc<Reads>, own: (i32, u32)) -> bool {
        self.own == own && self.reads == *reads
    }

    pub fn reads_standard_strings(&self) -> bool {
        self.reads.standard_strings
    }
}

impl LocalSharded {
    pub fn new(shared: Arc<ShardedDatabase>) -> Self {
        let gates = Rc::new(LocalGates::new(shared.clone()));
        Self { shared, routes: Routes::default(), gates, known: RefCell::default() }
    }

    /// The statement of this text.
    pub(super) fn prepared(&self, key: Key, worker: &Worker, keep: bool) -> Rc<Prepared> {
        let generation = self.shared.generation();
        {
            let known = self.known.borrow();
            if known.generation == generation
                && let Some(prepared) = known.texts.get(&key)
            {
                return prepared.clone();
            }
        }
        let Some(home) = self.shared.home_shard() else {
            return Rc::new(Prepared::new(&key, worker, plan::Plan::unknown(0), 0));
        };
        let reading = Reading {
            search_path_is_default: is_default_path(key.reads.search_path.as_ref()),
            standard_strings: key.reads.standard_strings,
        };
        let plan = worker.database(home).plan(key.sql.as_bytes(), reading, &worker.key);
        let prepared = Rc::new(Prepared::new(&key, worker, (*plan).clone(), generation));
        if keep {
            self.keep(key, &prepared);
        }
        prepared
    }

    /// The same as one transaction sees it, for it alone.
    pub(super) fn prepared_alone(&self, key: &Key, worker: &Worker, generation: u64) -> Rc<Prepared> {
        let plan = match self.shared.home_shard() {
            Some(home) => {
                let reading = Reading { search_path_is_default: false, standard_strings: key.reads.standard_strings };
                worker.database(home).plan(key.sql.as_bytes(), reading, &worker.key)
            }
            None => Rc::new(plan::Plan::unknown(0)),
        };
        Rc::new(Prepared::new(key, worker, (*plan).clone(), generation))
    }

    /// Remembers a statement.
    pub(super) fn keep(&self, key: Key, prepared: &Rc<Prepared>) {
        let mut known = self.known.borrow_mut();
        if known.generation != prepared.generation || known.texts.len() >= limits::PLAN_CACHE {
            known.texts.clear();
            known.generation = prepared.generation;
        }
        if key.sql.len() <= limits::PLAN_CACHE_TEXT {
            known.texts.insert(key, prepared.clone());
        }
    }
}

impl Prepared {
    fn new(key: &Key, worker: &Worker, plan: plan::Plan, generation: u64) -> Self {
        Self {
            id: worker.unique(),
            sql: key.sql.to_string(),
            types: key.types.to_vec(),
            plan,
            generation,
            key: key.clone(),
            decision: OnceCell::new(),
            described: OnceCell::new(),
            runs: Cell::new(0),
            inputs: RefCell::default(),
            sizes: RefCell::default(),
        }
    }
}

impl Coordinator {
    /// The key of a text as this session reads it.
    pub(super) fn key(&self, sql: &str, types: &[u8]) -> Key {
        Key { sql: sql.into(), types: types.into(), reads: self.reads(), own: self.own_names() }
    }

    /// A statement's description by the home shard.
    ///
    /// # Errors
    /// PostgreSQL's own, told as it came.
    pub(super) async fn describe(&mut self, prepared: &Prepared) -> Go {
        if prepared.described.get().is_some() {
            return Ok(());
        }
        self.settle().await?;
        let home = self.home();
        if self.links.get(home).and_then(Option::as_ref).is_some_and(|link| link.open) {
            self.hold_segment().await?;
        }
        // It is about to run: what PostgreSQL finds wrong in planning it is its error. Parameters are only told of.
        let runs = !self.in_extended();
        let bare = runs && !prepared.sql.contains('$');
        let mut link = self.connect(home).await?;
        // To read a statement that writes locks its table, until the transaction ends: who then asks for a stronger lock waits for
        // others that have read theirs, and they for it.
        let aside =
            link.joined && link.status == b'T' && prepared.plan.steps.iter().any(|step| step.writes != WriteSet::None);
        if aside {
            link = self.put_aside(link, "SAVEPOINT pgbraid_described").await?;
        }
        message::parse(&mut link.out, b"", prepared.sql.as_bytes(), &prepared.types);
        message::describe_statement(&mut link.out, b"");
        if bare {
            bind_and_describe(&mut link.out, &Bind::default());
        }
        link.unnamed = 0;
        link.sync();
        let answer = self.ask(&mut link).await?;
        if aside && answer.error.is_none() {
            let back = "ROLLBACK TO SAVEPOINT pgbraid_described; RELEASE SAVEPOINT pgbraid_described";
            link = self.put_aside(link, back).await?;
        }
        self.put_link(home, link);
        let answer = self.good_or_told(answer)?;
        let params = answer.params.as_deref().map(read_oids).unwrap_or_default();
        let columns = answer.row.as_deref().map(read_columns).unwrap_or_default();
        let portal = answer.portal.map(|row| OnceCell::from(with_formats(&row, &[]))).unwrap_or_default();
        let later = runs && !bare && params.is_empty();
        let _ = prepared.described.set(Described { params, row: answer.row, portal, columns });
        if later { self.describe_portal(prepared, &Bind::default()).await } else { Ok(()) }
    }

    /// Runs a statement of our own on this link.
    async fn put_aside(&mut self, mut link: Box<ShardLink>, sql: &str) -> Go<Box<ShardLink>> {
        let answer = self.run_on(&mut link, sql).await?;
        let shard = link.shard;
        match answer.good() {
            Ok(_) => Ok(link),
            Err(error) => {
                self.put_link(shard, link);
                Err(error.into())
            }
        }
    }

    /// The description that stands before rows, as the home shard plans the statement.
    ///
    /// # Errors
    /// PostgreSQL's own, told as it came.
    pub(super) async fn describe_portal(&mut self, prepared: &Prepared, bind: &Bind) -> Go {
        let Some(described) = prepared.described.get() else { return Ok(()) };
        if described.portal.get().is_some() || described.row.is_none() {
            return Ok(());
        }
        let home = self.home();
        let mut link = self.connect(home).await?;
        message::parse(&mut link.out, b"", prepared.sql.as_bytes(), &prepared.types);
        bind_and_describe(&mut link.out, bind);
        link.unnamed = 0;
        link.sync();
        let answer = self.ask(&mut link).await?;
        self.put_link(home, link);
        if let Some(row) = self.good_or_told(answer)?.row {
            let _ = described.portal.set(with_formats(&row, &[]));
        }
        Ok(())
    }

    /// The answer; or its error, told as it came.
    pub(super) fn good_or_told(&mut self, answer: Answer) -> Go<Answer> {
        match &answer.error {
            Some(error) => Err(self.tell_frame(error, &answer.error_frame)),
            None => Ok(answer),
        }
    }

    /// Tells an error of PostgreSQL's with its place in the text and all.
    pub(super) fn tell_frame(&mut self, error: &PgError, frame: &[u8]) -> super::Stop {
        debug_assert!(!error.message().is_empty());
        self.pass_error(frame, frame.get(crate::wire::frame::HEADER..).unwrap_or_default());
        if let Some(block) = &mut self.block {
            block.failed = true;
        }
        super::Stop::Told
    }
}

/// The unnamed portal of the unnamed statement, and its description.
fn bind_and_describe(out: &mut Vec<u8>, bind: &Bind) {
    message::put(out, front::BIND, |out| {
        out.extend_from_slice(b"\0\0");
        put_bound(out, bind);
    });
    message::put(out, front::DESCRIBE, |out| out.extend_from_slice(b"P\0"));
}

/// The OIDs in a ParameterDescription's body.
pub(super) fn read_oids(body: &[u8]) -> Vec<Oid> {
    let mut reader = Reader::new(body);
    let count = reader.u16().unwrap_or(0);
    (0..count).map_while(|_| reader.u32().ok()).collect()
}

/// The columns in a RowDescription's body.
pub(super) fn read_columns(body: &[u8]) -> Vec<Column> {
    let mut columns = Vec::new();
    let Some((_, mut rest)) = body.split_first_chunk::<2>() else { return columns };
    while let Some((name, behind)) = split_cstr(rest) {
        let mut reader = Reader::new(behind);
        let fields = || -> Result<(Oid, i32), crate::wire::reader::ReadError> {
            reader.u32()?;
            reader.u16()?;
            let type_oid = reader.u32()?;
            reader.u16()?;
            let typmod = reader.i32()?;
            reader.u16()?;
            Ok((type_oid, typmod))
        };
        let mut fields = fields;
        let Ok((type_oid, typmod)) = fields() else { break };
        columns.push(Column { name: String::from_utf8_lossy(name).into_owned(), type_oid, typmod });
        rest = behind.get(18..).unwrap_or_default();
    }
    columns
}
