//! What a transaction block plans by once it has changed definitions: the schema as it sees it itself.

use std::rc::Rc;
use std::sync::Arc;

use super::collect::Answer;
use super::decide::is_control;
use super::describe::Prepared;
use super::{Coordinator, Go};
use crate::backend::View;
use crate::backend::placement::{Tables, declared_by, own_view, questions};
use crate::base::{PgError, SqlState};
use crate::catalog::schema::Schema;
use crate::catalog::{CatalogQuery, SCHEMA_QUERIES, type_map};
use crate::wire::message;

/// What a block knows of definitions that it has changed.
#[derive(Default)]
pub(super) struct Own {
    /// It has changed some.
    pub defined: bool,
    generation: u64,
    view: Option<Arc<View>>,
    /// The tables as the last definition left them.
    pub tables: Option<Tables>,
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Own").field("defined", &self.defined).field("generation", &self.generation).finish()
    }
}

type Rows = Vec<Vec<Option<String>>>;

impl Coordinator {
    /// A definition was changed in the block, or such a change was taken back.
    pub(super) fn redefine(&mut self) {
        let generation = self.database.shared.next_own_generation();
        if let Some(block) = &mut self.block {
            block.own = Own { defined: true, generation, view: None, tables: None };
        }
    }

    /// Whether the block plans by its own schema.
    pub(super) fn has_own(&self) -> bool {
        self.block.as_ref().is_some_and(|block| block.own.defined)
    }

    /// The generation of what statements are planned by now.
    pub(super) fn generation(&self) -> u64 {
        match &self.block {
            Some(block) if block.own.defined => block.own.generation,
            _ => self.database.shared.generation(),
        }
    }

    /// The view of this moment, or the last there was.
    pub(super) fn last_view(&self) -> Option<Arc<View>> {
        let own = self.block.as_ref().and_then(|block| block.own.view.clone());
        own.or_else(|| self.database.shared.last_view())
    }

    /// The statement of this text, as this transaction sees what it names.
    pub(super) fn text(&self, sql: &str, types: &[u8], keep: bool) -> Rc<Prepared> {
        let key = self.key(sql, types);
        match self.has_own() {
            false => self.database.prepared(key, &self.worker, keep),
            true => self.database.prepared_alone(&key, &self.worker, self.generation()),
        }
    }

    /// Waits until what statements are planned by is known, after a definition that was acknowledged: what was planned
    /// before it isn't good any more. Transactions, settings and definitions hang on no schema.
    pub(super) async fn await_view(&mut self, prepared: &Prepared) -> Go {
        let control = prepared.plan.steps.iter().all(|step| is_control(&step.kind));
        let waits = !control && !self.has_own() && self.database.shared.view().is_err();
        if waits && self.definition_of(prepared).is_none() {
            self.view().await?;
        }
        Ok(())
    }

    /// The block's own view, read if it isn't known.
    pub(super) async fn own_view(&mut self) -> Go<Option<Arc<View>>> {
        let own = match &self.block {
            Some(block) if block.own.defined => &block.own,
            _ => return Ok(None),
        };
        if own.view.is_some() {
            return Ok(own.view.clone());
        }
        let generation = own.generation;
        let shared = self.database.shared.clone();
        let base = match shared.last_view() {
            Some(view) => view,
            None => {
                let settling = shared.clone();
                self.or_gone(async move { settling.settled().await }).await??
            }
        };
        let declared = self.declared(&base).await?;
        let home = self.home();
        let schema = Arc::new(self.read_schema(home).await?);
        let mut types = Vec::with_capacity(self.links.len());
        for shard in 0..self.links.len() {
            types.push(match shard == home {
                true => type_map(&schema, &schema),
                false => type_map(&schema, &self.read_types(shard).await?),
            });
        }
        let view = Arc::new(own_view(&shared, &base, &declared.config, schema, types, generation));
        if let Some(block) = &mut self.block {
            block.own.view = Some(view.clone());
        }
        Ok(Some(view))
    }

    /// What is declared, as the transaction sees it.
    pub(super) async fn declared(&mut self, base: &View) -> Go<Tables> {
        let shared = self.database.shared.clone();
        if !shared.statements_place() {
            return Ok(Tables::known(&shared.config, &base.config));
        }
        let stored = self.rows_of(self.home(), declared_by()).await?;
        Tables::declared(&shared.config, &stored).ok_or_else(|| unreadable("the stored placement").into())
    }

    /// The tables as the transaction sees them on the home shard.
    pub(super) async fn read_tables(&mut self) -> Go<Tables> {
        let shared = self.database.shared.clone();
        let base = match shared.last_view() {
            Some(view) => view,
            None => self.view().await?,
        };
        let declared = self.declared(&base).await?;
        self.read_tables_of(declared).await
    }

    /// The same, with these declarations.
    pub(super) async fn read_tables_of(&mut self, declared: Tables) -> Go<Tables> {
        let question = questions(&declared.keys());
        let rows = self.rows_of(self.home(), &question).await?;
        Ok(declared.filled(&rows))
    }

    async fn read_schema(&mut self, shard: usize) -> Go<Schema> {
        // Types are written with their schemas; what the client has set comes back behind it.
        self.rows_of(shard, "SAVEPOINT pgbraid_own; SET LOCAL search_path TO pg_catalog").await?;
        let mut answers = Vec::with_capacity(SCHEMA_QUERIES.len());
        for query in SCHEMA_QUERIES {
            answers.push((query.name, self.rows_of(shard, query.sql).await?));
        }
        self.rows_of(shard, "ROLLBACK TO SAVEPOINT pgbraid_own; RELEASE SAVEPOINT pgbraid_own").await?;
        Schema::from_rows(&answers).ok_or_else(|| unreadable("the schema").into())
    }

    async fn read_types(&mut self, shard: usize) -> Go<Schema> {
        let query = SCHEMA_QUERIES.iter().find(|query: &&CatalogQuery| query.name == "types");
        let Some(query) = query else { return Err(unreadable("the types").into()) };
        Ok(Schema::of_types(&self.rows_of(shard, query.sql).await?))
    }

    /// The rows of a question of our own, asked within the client's transaction where there is one.
    pub(super) async fn rows_of(&mut self, shard: usize, sql: &str) -> Go<Rows> {
        let mut link = self.engage(shard).await?;
        let answer = self.run_on(&mut link, sql).await?;
        self.put_link(shard, link);
        Ok(text_rows(&answer.good()?))
    }
}

/// The values of an answer in text.
pub(super) fn text_rows(answer: &Answer) -> Rows {
    let text = |value: Option<&[u8]>| value.map(|value| String::from_utf8_lossy(value).into_owned());
    let row = |body: &Vec<u8>| message::read_data_row(body).map(|row| row.into_iter().map(text).collect());
    answer.rows.iter().filter_map(row).collect()
}

fn unreadable(what: &str) -> PgError {
    PgError::error(SqlState::INTERNAL_ERROR, format!("{what} can't be read within the transaction"))
}
