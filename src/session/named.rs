//! Statements that were prepared by the protocol and are named in SQL: `EXECUTE name`, `DEALLOCATE name`.

use std::sync::Arc;

use super::Session;
use super::link::{Expect, Link, Ours};
use crate::backend::statements::{Standing, Statement, StatementKey};
use crate::plan::{Kind, Plan};
use crate::wire::message;

impl Session {
    /// The text with servers' names in place of the client's, and the statements of these names.
    ///
    /// DEALLOCATE gets a stand-in without content: the statement itself needn't be there, nor need it be possible to
    /// prepare it any more, and other clients go on to use it.
    fn renamed(&self, sql: &[u8], plan: &Plan) -> Option<(Vec<u8>, Vec<Arc<Statement>>)> {
        if self.status == b'E' {
            return None;
        }
        let (mut renamed, mut used, mut upto) = (Vec::new(), Vec::new(), 0);
        let mut gone: Vec<&str> = Vec::new();
        for step in &*plan.steps {
            let (name, span) = match &step.kind {
                Kind::Execute { name, name_span } => (name, name_span),
                Kind::Deallocate(Some((name, span))) => (name, span),
                Kind::Deallocate(None) | Kind::Discard(_) => break,
                _ => continue,
            };
            let Some(held) = self.statements.get(name.as_bytes()).filter(|_| !gone.contains(&name.as_str())) else {
                continue;
            };
            let statement = if matches!(step.kind, Kind::Deallocate(_)) {
                gone.push(name);
                self.stand_in(name)
            } else {
                held.statement.clone()
            };
            renamed.extend_from_slice(sql.get(upto..span.start)?);
            renamed.extend_from_slice(statement.name.as_bytes());
            upto = span.end;
            used.push(statement);
        }
        if used.is_empty() {
            return None;
        }
        renamed.extend_from_slice(sql.get(upto..)?);
        Some((renamed, used))
    }

    /// An empty statement, one for each of a client's names.
    fn stand_in(&self, name: &str) -> Arc<Statement> {
        let sql = format!("-- {}", name.escape_default());
        let key = StatementKey { sql: sql.into_bytes().into(), types: Box::new([0, 0]), search_path: None };
        self.worker.registry.intern(key)
    }

    /// `DEALLOCATE name` is done: neither the client nor the server has it any more.
    pub(super) fn deallocated(&mut self, link: &mut Link, name: &str) {
        let stand_in = self.stand_in(name);
        link.conn.statements.forget(stand_in.id);
        if self.statements.remove(name.as_bytes()).is_some() {
            self.client.set_prepared(self.statements.len());
        }
    }

    /// What a server is given for a client's text in the extended protocol, and the statements that it must have for
    /// it. `None`: the text itself.
    pub(super) fn served(&self, sql: &[u8], plan: &Plan) -> Option<(Vec<u8>, Vec<Arc<Statement>>)> {
        self.renamed(sql, plan).or_else(|| self.parsed_listing(sql, plan).map(|text| (text, Vec::new())))
    }

    /// The same by the simple protocol.
    pub(super) fn renamed_sql(&mut self, link: &mut Link, sql: &[u8], plan: &Plan) -> Option<Vec<u8>> {
        let (renamed, used) = self.renamed(sql, plan)?;
        let standing = |link: &mut Link, one: &Statement| link.conn.statements.standing(one.id, 0);
        // Prepared ahead, in an exchange of its own: a Query can't follow an open segment.
        if used.iter().any(|one| standing(link, one) != Some(Standing::Prepared)) {
            let before = link.queue.pop_back();
            for statement in &used {
                self.ensure_prepared(link, statement, 0);
            }
            message::sync(&mut link.out);
            link.queue.push_back(Expect::Ours(Ours::Value));
            link.queue.extend(before);
        }
        if let [step] = &*plan.steps
            && let Kind::Deallocate(Some((name, _))) = &step.kind
        {
            self.deallocated(link, name);
        }
        Some(renamed)
    }

    /// The same by the extended protocol: the statement that a client's statement, unnamed perhaps, runs by its name.
    pub(super) fn ensure_used(&mut self, link: &mut Link, name: &[u8]) {
        let (used, held) = if name.is_empty() {
            let unnamed = &self.statements.unnamed;
            let Some(plan) = &unnamed.plan else { return };
            (self.served(&unnamed.sql, plan), None)
        } else {
            let Some(held) = self.statements.get(name) else { return };
            let Some(original) = &held.original else { return };
            let used = self.served(original, &held.plan);
            // Another one may bear the name by now, or none.
            let sql = used.as_ref().map_or(&**original, |(renamed, _)| renamed);
            let key = StatementKey { sql: sql.into(), ..held.statement.key.clone() };
            (used, (key != held.statement.key).then_some(key))
        };
        for used in used.iter().flat_map(|(_, used)| used) {
            self.ensure_prepared(link, used, 0);
        }
        if let Some(key) = held {
            let statement = self.worker.registry.intern(key);
            if let Some(held) = self.statements.get_mut(name) {
                held.statement = statement;
            }
        }
    }
}
