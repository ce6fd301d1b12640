//! What a plan says: what kind each statement of a query string is, who may answer it, what it does to the session.

use std::ops::Range;

pub use crate::base::footprint::{ReadSet, TableKey, WriteSet};

/// All that a session needs to know of one query string (of a Query or Parse message).
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The statements of the string in order. Empty for an empty query string. A string whose statements can't be told
    /// apart (a lexical error: the server will say so) has one step of kind [`Kind::Unknown`].
    pub steps: Box<[Step]>,
    /// Proven: the whole string only reads, and any server that has replayed what `ReadSet` asks for gives the answer
    /// that the primary would give. `None`: the primary.
    pub replica: Option<ReadSet>,
    /// Why not, when `replica` is `None`: one short phrase, for EXPLAIN, logs and a metric's label.
    pub primary_reason: &'static str,
    /// It may have run code that changed the session unseen (DO, CALL, functions that aren't built in, functions in
    /// triggers of tables it writes): a probe decides at the end of the transaction.
    pub opaque: bool,
    /// Settings of the session's own making (`app.user`) that an opaque call of `set_config` names: no view lists them,
    /// so the probe asks for them by name. Lower case.
    pub names: Box<[String]>,
    /// It may ask for the moment at which its transaction began (`now()`); whether a literal does isn't told.
    pub moment: bool,
    /// It names `pg_prepared_statements`, which shows a client its own statements only.
    pub lists_prepared: bool,
    pub hints: Hints,
}

/// Hints in comments, `/* pgbraid: role=primary, … */`, at any place of the string.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hints {
    /// `role=primary`, or `role=replica`: the writer wants a replica's answer, even where it is another than the primary's.
    /// It counts in `Plan::replica` only for what does nothing but answer.
    pub role: Option<Role>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Primary,
    Replica,
}

/// One statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub kind: Kind,
    /// Its bytes within the query string, without the semicolon.
    pub span: Range<usize>,
    /// What it may change, for the tokens of own writes (design: watermarks).
    pub writes: WriteSet,
    /// What makes the session's server connection its own from now on, if it succeeds.
    pub pins: Option<Pin>,
    /// It changes definitions (CREATE, ALTER, DROP, SELECT INTO, …) that a later proof may rest on. What code that it
    /// runs may do unseen doesn't count here: that is `Plan::opaque`.
    pub defines: bool,
    /// It asks for what the session's own connection remembers of sequences: `currval`, `lastval`.
    pub recalls: bool,
    /// It may make the connection remember a sequence's value: `nextval`, writes (defaults), code of users.
    pub draws: bool,
    /// It may notify listeners: NOTIFY, `pg_notify`, code of users.
    pub notifies: bool,
}

impl Step {
    /// Whether names may mean something else behind it: definitions change, or temporary tables, which hide others.
    pub fn renames(&self) -> bool {
        self.defines || self.pins == Some(Pin::TemporaryTable) || self.kind == Kind::Discard(Discard::Temporary)
    }
}

/// Why a session must keep its server connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pin {
    TemporaryTable,
    AdvisoryLock,
    HoldCursor,
    Listen,
    Load,
    SqlPrepare,
    /// A probe or a function's body says that it keeps state that can't be carried over.
    Function,
    /// `pool_mode = "session"`.
    SessionMode,
}

/// What kind of statement, as far as a session must act on it.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// SELECT, VALUES, TABLE, WITH that writes nothing, EXPLAIN without ANALYZE of anything, SHOW of PostgreSQL's own
    /// settings: no effect on the session.
    Read,
    /// INSERT, UPDATE, DELETE, MERGE, writing CTEs, locking clauses, SELECT INTO, DDL, COPY FROM: no effect on the
    /// session but `writes` and `pins`.
    Write,
    /// `COPY … TO STDOUT`
    CopyOut,
    /// `COPY … FROM STDIN`
    CopyIn,
    /// BEGIN, START TRANSACTION
    Begin(TransactionModes),
    Commit {
        chain: bool,
    },
    /// ROLLBACK, ABORT
    Rollback {
        chain: bool,
    },
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    PrepareTransaction,
    /// COMMIT PREPARED, ROLLBACK PREPARED
    FinishPrepared,
    /// SET TRANSACTION …
    SetTransaction(TransactionModes),
    /// SET CONSTRAINTS …
    SetConstraints,
    /// SET, SET SESSION, SET LOCAL, SET TIME ZONE, SET ROLE, SET SESSION AUTHORIZATION, SET NAMES,
    /// SET SESSION CHARACTERISTICS (whose `name` is `session characteristics`).
    Set(Set),
    /// RESET name (`RESET ROLE` has the name `role`, `RESET SESSION AUTHORIZATION` `session_authorization`,
    /// `RESET TIME ZONE` `timezone`).
    Reset(String),
    ResetAll,
    Discard(Discard),
    /// `SHOW name`, the name lower-cased (`SHOW TIME ZONE` is `timezone`).
    Show(String),
    /// PREPARE name [(types)] AS …: the name, and the span of the name within the query string.
    Prepare {
        name: String,
        name_span: Range<usize>,
    },
    Execute {
        name: String,
        name_span: Range<usize>,
    },
    /// DEALLOCATE name; `None`: ALL.
    Deallocate(Option<(String, Range<usize>)>),
    Listen(String),
    /// `None`: `*`
    Unlisten(Option<String>),
    Notify,
    /// DECLARE: with or without HOLD.
    Declare {
        hold: bool,
    },
    Fetch,
    /// CLOSE name; `None`: ALL.
    Close(Option<String>),
    /// LOAD 'library'
    Load,
    /// DO, CALL
    Call,
    /// Not understood: goes to the primary and counts as writing everything.
    Unknown,
}

/// `[ISOLATION LEVEL …] [READ ONLY | READ WRITE] [[NOT] DEFERRABLE]`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionModes {
    pub read_only: Option<bool>,
    pub isolation: Option<Isolation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    ReadUncommitted,
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

/// A SET statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    pub local: bool,
    /// Lower-cased, as PostgreSQL would look it up: `timezone` for TIME ZONE, `role` for ROLE, `client_encoding` for
    /// NAMES, `session_authorization` for SESSION AUTHORIZATION.
    pub name: String,
    pub value: SetValue,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetValue {
    /// `TO DEFAULT` (and `SET SESSION AUTHORIZATION DEFAULT`, `SET TIME ZONE LOCAL`).
    Default,
    /// One literal, identifier, number: its value without quotes. A list has several.
    List(Vec<String>),
    /// `FROM CURRENT`, or something that only the server can evaluate.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    All,
    Plans,
    Sequences,
    Temporary,
}
