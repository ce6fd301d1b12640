//! Where a client's next request goes: to the primary, or to a replica that is proven to give the primary's answer.

use std::sync::Arc;

use super::{Session, value_text};
use crate::base::footprint::{ReadSet, TableKey};
use crate::base::{Lsn, PgError, SqlState};
use crate::config::Consistency;
use crate::plan::{Isolation, Kind, Plan, Role, TransactionModes};
use crate::topology::{Need, ReadNeed, Server};
use crate::wire::Frame;
use crate::wire::frame::{HEADER, front, split_cstr};

/// Where to.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    Primary,
    Replica(ReadNeed),
}

/// What the request asks for, as far as it has been seen.
enum Reads {
    /// Something must go to the primary, for this reason.
    No(&'static str),
    Nothing,
    Tables(Vec<TableKey>),
    All,
}

impl Reads {
    fn add(&mut self, plan: &Plan) {
        match (&mut *self, &plan.replica) {
            (Self::No(_), _) => {}
            (_, None) => *self = Self::No(plan.primary_reason),
            (Self::All, Some(_)) | (_, Some(ReadSet::All)) => *self = Self::All,
            (Self::Nothing, Some(ReadSet::Tables(tables))) => *self = Self::Tables(tables.to_vec()),
            (Self::Tables(known), Some(ReadSet::Tables(tables))) => known.extend_from_slice(tables),
        }
    }
}

impl Session {
    /// Decides for the request at the start of the input. What isn't there as a whole goes to the primary.
    pub(super) fn choose_target(&mut self) -> Target {
        if !self.database.shared.shard.has_replicas() || self.pin.is_some() || self.force_primary || self.status != b'I'
        {
            return Target::Primary;
        }
        if self.database.shared.shard.tokens.unverified().is_some() {
            self.worker.metrics.primary_read("definitions changed");
            return Target::Primary;
        }
        let consistency = self.consistency();
        if consistency == Consistency::Primary {
            return Target::Primary;
        }
        let reads = self.look_ahead();
        let need = match &reads {
            Reads::No(reason) => {
                self.worker.metrics.primary_read(reason);
                return Target::Primary;
            }
            Reads::Nothing => return Target::Primary,
            Reads::Tables(tables) => self.need(consistency, tables),
            Reads::All => self.need(consistency, &ReadSet::All),
        };
        let after = self.after();
        Target::Replica(ReadNeed { consistency, need, after })
    }

    fn need<'a>(&self, consistency: Consistency, reads: impl Into<Tables<'a>>) -> Need {
        let tokens = &self.database.shared.shard.tokens;
        match (consistency, reads.into()) {
            (Consistency::Session, _) => tokens.need_of(self.own_write),
            (_, Tables::Some(tables)) => tokens.need_tables(tables),
            (_, Tables::All) => tokens.need(&ReadSet::All),
        }
    }

    /// Goes over the frames of one request: a Query, or all up to Sync.
    fn look_ahead(&mut self) -> Reads {
        let input = std::mem::take(&mut self.input);
        let mut reads = Reads::Nothing;
        let mut rest = input.filled();
        loop {
            let Ok(Some(frame)) = Frame::parse(rest) else {
                reads = Reads::No("incomplete request");
                break;
            };
            let Some((bytes, behind)) = rest.split_at_checked(frame.len) else {
                reads = Reads::No("incomplete request");
                break;
            };
            let body = bytes.get(HEADER..).unwrap_or_default();
            match frame.tag {
                front::QUERY => {
                    self.add_query(&mut reads, body);
                    break;
                }
                front::SYNC => break,
                front::PARSE => self.add_parse(&mut reads, body),
                front::BIND | front::DESCRIBE => self.add_named(&mut reads, frame.tag, body),
                front::EXECUTE | front::CLOSE => {}
                front::FLUSH => reads = Reads::No("flush"),
                _ => reads = Reads::No("function call"),
            }
            rest = behind;
        }
        self.input = input;
        reads
    }

    fn add_query(&self, reads: &mut Reads, body: &[u8]) {
        let Some((sql, _)) = split_cstr(body) else { return *reads = Reads::No("malformed") };
        let plan = self.plan(sql);
        match &*plan.steps {
            [step] if plan.hints.role != Some(Role::Primary) && self.begins_read_only(&step.kind) => {
                *reads = Reads::All
            }
            _ => self.add_plan(reads, &plan),
        }
    }

    fn add_plan(&self, reads: &mut Reads, plan: &Plan) {
        match plan.hints.role {
            Some(Role::Primary) => *reads = Reads::No("hint"),
            _ => reads.add(plan),
        }
    }

    fn add_parse(&self, reads: &mut Reads, body: &[u8]) {
        let sql = split_cstr(body).and_then(|(_, rest)| split_cstr(rest)).map(|(sql, _)| sql);
        match sql {
            Some(sql) => self.add_plan(reads, &self.plan(sql)),
            None => *reads = Reads::No("malformed"),
        }
    }

    fn add_named(&mut self, reads: &mut Reads, tag: u8, body: &[u8]) {
        let name = if tag == front::BIND {
            split_cstr(body).and_then(|(_, rest)| split_cstr(rest)).map(|(name, _)| name)
        } else {
            match body.split_first() {
                Some((b'S', rest)) => split_cstr(rest).map(|(name, _)| name),
                _ => return,
            }
        };
        let Some(name) = name else { return *reads = Reads::No("malformed") };
        if name.is_empty() {
            // Parsed in this request, or in an earlier one.
            if let (Reads::Nothing, Some(plan)) = (&reads, &self.statements.unnamed.plan) {
                let plan = plan.clone();
                self.add_plan(reads, &plan);
            }
            return;
        }
        match self.statements.get(name) {
            Some(held) => {
                let plan = held.plan.clone();
                self.add_plan(reads, &plan);
            }
            // Parsed in this request, if at all.
            None if matches!(reads, Reads::Nothing) => *reads = Reads::No("unknown statement"),
            None => {}
        }
    }

    /// `BEGIN READ ONLY`, which a replica may run as a whole unless it is SERIALIZABLE.
    fn begins_read_only(&self, kind: &Kind) -> bool {
        let Kind::Begin(TransactionModes { read_only: Some(true), isolation }) = kind else { return false };
        *isolation != Some(Isolation::Serializable)
            && self.settings.current().get("default_transaction_isolation").is_none()
    }

    pub(super) fn consistency(&self) -> Consistency {
        let said = self.settings.current().get("pgbraid.consistency").map(value_text);
        match said {
            Some("proxy") => Consistency::Proxy,
            Some("session") => Consistency::Session,
            Some("eventual") => Consistency::Eventual,
            Some("primary") => Consistency::Primary,
            // A word that isn't one of them asks for the strictest: nothing older than allowed may be shown.
            Some(_) => Consistency::Primary,
            None => self.default_consistency,
        }
    }

    /// The position that `SET pgbraid.after` demands.
    fn after(&self) -> Lsn {
        let Some(text) = self.settings.current().get("pgbraid.after").map(value_text) else { return self.seen };
        let position = text.rsplit('=').next().unwrap_or_default();
        // What can't be read demands everything.
        let position = if text.is_empty() { Lsn(0) } else { position.parse().unwrap_or(Lsn(u64::MAX)) };
        position.max(self.seen)
    }

    /// What a client is told that nobody can serve.
    pub(super) fn no_primary(&self) -> PgError {
        let shard = &self.database.shared.shard;
        let state = |server: &Arc<Server>| {
            let state = server.state();
            let trouble = state.trouble.map(|text| format!(": {text}")).unwrap_or_default();
            format!("{} is {:?}{trouble}", server.address, state.role)
        };
        let servers: Vec<_> = shard.servers.iter().map(state).collect();
        PgError::error(
            SqlState::CANNOT_CONNECT_NOW,
            format!("no primary of database \"{}\" can be reached", self.database.shared.name),
        )
        .detail(servers.join("; "))
        .hint("Look at the servers; SHOW REPLICAS in the console tells what each said last.")
    }
}

enum Tables<'a> {
    Some(&'a [TableKey]),
    All,
}

impl<'a> From<&'a Vec<TableKey>> for Tables<'a> {
    fn from(tables: &'a Vec<TableKey>) -> Self {
        Self::Some(tables)
    }
}

impl<'a> From<&'a ReadSet> for Tables<'a> {
    fn from(reads: &'a ReadSet) -> Self {
        match reads {
            ReadSet::Tables(tables) => Self::Some(tables),
            ReadSet::All => Self::All,
        }
    }
}
