//! Definitions (DDL) over shards: on all of them in one transaction, the home shard first, so that two can't wait for each
//! other crosswise; then judged by what the catalog says of it, and its placement stored with it.

use std::collections::BTreeSet;

use super::collect::Answer;
use super::decide::refusal_error;
use super::describe::Prepared;
use super::{Coordinator, Go, Stop};
use crate::backend::placement::{Tables, forget, judge, place, rename};
use crate::base::{PgError, SqlState};
use crate::config::{Table, TableRule};
use crate::plan::TransactionModes;
use crate::plan::definition::{Definition, Everywhere, Filled, NewTable, Placing, placing};
use crate::plan::sharded::{Access, Work, emptied};
use crate::wire::frame::back;
use crate::wire::message;

/// What each shard is told, and what must be looked at.
struct Task<'a> {
    home: &'a str,
    others: &'a str,
    shards: Vec<usize>,
    harmless: bool,
    computes: bool,
    table: Option<&'a NewTable>,
    /// The new table has rows, on the home shard only.
    filled: bool,
}

impl Coordinator {
    /// Runs a definition; the answer stands in the output, without ReadyForQuery. `lasting`: a transaction that is begun
    /// for it lasts up to the client's Sync.
    pub(super) async fn define(&mut self, prepared: &Prepared, definition: &Definition, lasting: bool) -> Go {
        if self.database.shared.last_view().is_none() {
            // The first start may still be making the map.
            self.view().await?;
        }
        match definition {
            Definition::Refused(message, hint, reason) => {
                let error = PgError::error(SqlState::FEATURE_NOT_SUPPORTED, message.clone()).hint(hint.clone());
                Err(self.refuse(error, reason))
            }
            Definition::Refresh(table) => self.refresh(prepared, table).await,
            Definition::Each(each) if each.in_block && self.block.is_some() => {
                let everywhere = Everywhere { harmless: true, ..Everywhere::default() };
                self.define_everywhere(prepared, &everywhere, lasting).await
            }
            Definition::Each(each) => self.shard_by_shard(prepared, each).await,
            Definition::All(everywhere) => self.define_everywhere(prepared, everywhere, lasting).await,
            Definition::Filled(filled) => {
                self.only_home(prepared, filled).await?;
                let sql = prepared.sql.as_str();
                let others = without_data(sql, filled);
                let task = Task {
                    home: sql,
                    others: &others,
                    shards: self.home_first(),
                    harmless: false,
                    computes: false,
                    table: Some(&filled.table),
                    filled: true,
                };
                self.in_transaction(task, lasting).await
            }
        }
    }

    async fn define_everywhere(&mut self, prepared: &Prepared, everywhere: &Everywhere, lasting: bool) -> Go {
        let sql = match &everywhere.password {
            Some(span) => super::password::with_verifier(&prepared.sql, span.clone(), self.standard_strings())?,
            None => prepared.sql.clone(),
        };
        if everywhere.in_block && self.block.is_none() {
            // Outside a block it would be over at once: PostgreSQL says so.
            return self.pass_text(self.home(), &sql, false).await;
        }
        if let Some(truncated) = &everywhere.truncates {
            let view = self.view().await?;
            let judged = self.with_context(&view, |context| emptied(&truncated.tables, truncated.cascade, context));
            if let Err(refusal) = judged {
                return Err(self.refuse(refusal_error(&refusal), refusal.reason));
            }
        }
        let mut shards = self.home_first();
        if everywhere.of_servers {
            shards = self.one_a_server(&shards);
        }
        if everywhere.names_database && !self.one_name() {
            let text = "the shards' databases have different names, and this statement names one";
            let error = PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text);
            return Err(
                self.refuse(error.hint("SET pgbraid.shard = '…', and name that shard's database."), "database-name")
            );
        }
        let task = Task {
            home: &sql,
            others: &sql,
            shards,
            harmless: everywhere.harmless,
            computes: everywhere.computes,
            table: everywhere.table.as_ref(),
            filled: false,
        };
        self.in_transaction(task, lasting).await
    }

    /// Runs the task in the client's transaction, or in one of its own.
    async fn in_transaction(&mut self, task: Task<'_>, lasting: bool) -> Go {
        self.hold_segment().await?;
        let own = self.block.is_none();
        if own {
            self.block = Some(self.new_block("BEGIN", TransactionModes::default(), false));
        }
        let result = self.on_shards(&task).await;
        if !own || lasting {
            let told = result?;
            self.output.extend_from_slice(&told);
            return Ok(());
        }
        if matches!(result, Err(Stop::Over)) {
            return Err(Stop::Over);
        }
        let Some(block) = self.block.take() else { return result.map(|_| ()) };
        let ended = self.end_own(&block, result.is_ok()).await;
        let told = result?;
        ended?;
        self.output.extend_from_slice(&told);
        Ok(())
    }

    /// Within a transaction: what the client is told if it holds.
    async fn on_shards(&mut self, task: &Task<'_>) -> Go<Vec<u8>> {
        let wanted = placing(task.home, self.standard_strings()).map_err(|what| {
            PgError::error(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("the comment that places the table can't be read: {what}"),
            )
            .hint("Write /* pgbraid: key=customer_id, with=customers */ or /* pgbraid: reference */.")
        })?;
        let wanted = wanted.filter(|_| task.table.is_some());
        let before = match task.harmless {
            true => None,
            false => Some(match self.block.as_mut().and_then(|block| block.own.tables.take()) {
                Some(tables) => tables,
                None => self.read_tables().await?,
            }),
        };
        let mut told = Vec::new();
        for (turn, shard) in task.shards.iter().copied().enumerate() {
            self.may_write(shard).await?;
            let mut link = self.engage(shard).await?;
            let answer = self.run_on(&mut link, if turn == 0 { task.home } else { task.others }).await?;
            self.put_link(shard, link);
            match turn {
                0 => told = self.first_answer(answer)?,
                _ => {
                    if let Some(error) = answer.error {
                        return Err(self.on_one_shard(shard, error).into());
                    }
                }
            }
        }
        if let Some(before) = before {
            self.redefine();
            let after = self.judged(task, &before, wanted).await?;
            if let Some(block) = &mut self.block {
                block.own.tables = Some(after);
            }
        }
        Ok(told)
    }

    /// The home shard's answer: notices and the command's tag.
    fn first_answer(&mut self, answer: Answer) -> Go<Vec<u8>> {
        if let Some(error) = &answer.error {
            self.output.extend_from_slice(&answer.notices);
            return Err(self.tell_frame(error, &answer.error_frame));
        }
        let mut told = answer.notices;
        message::put(&mut told, back::COMMAND_COMPLETE, |body| message::put_cstr(body, &answer.tag));
        Ok(told)
    }

    /// An error that only one of the shards has.
    fn on_one_shard(&self, shard: usize, error: PgError) -> PgError {
        let name = self.shard_name(shard);
        let home = self.shard_name(self.home());
        let detail = match error.detail_text() {
            Some(detail) => format!("{detail} (On the shard {name}; nothing was kept on any shard.)"),
            None => format!("It failed on the shard {name}, not on {home}; nothing was kept on any shard."),
        };
        let hint = format!(
            "Make the shards the same first: SET pgbraid.shard = '{name}' sends statements to that shard alone, and \
             `pgbraid check` lists differences."
        );
        PgError::error(error.code(), error.message().to_owned()).detail(detail).hint(hint)
    }

    /// What has come of it, judged; its placement stored.
    async fn judged(&mut self, task: &Task<'_>, before: &Tables, wanted: Option<Placing>) -> Go<Tables> {
        let mut declared = before.clone().bare();
        let base = self.read_tables_of(declared.clone()).await?;
        let mut after = base;
        if let (Some(table), Some(wanted)) = (task.table, &wanted) {
            let new: Vec<(String, String)> =
                after.new_since(before, &table.name).map(|(s, n)| (s.to_owned(), n.to_owned())).collect();
            if let [(schema, name)] = new.as_slice() {
                let table = self.wanted_table(before, schema, name, wanted)?;
                declared.declare(table.clone());
                after = self.read_tables_of(declared).await?;
                if task.filled {
                    return Err(filled_elsewhere(name).into());
                }
                judge(before, &after, task.computes)?;
                self.store(&place(&table)).await?;
                return Ok(after);
            }
        }
        if let Some(table) = task.table.filter(|_| task.filled) {
            let new = after.new_since(before, &table.name).any(|(s, n)| after.is_placed(s, n));
            if new {
                return Err(filled_elsewhere(&table.name).into());
            }
        }
        let changes = judge(before, &after, task.computes)?;
        let changed = !changes.renamed.is_empty() || !changes.dropped.is_empty();
        if changed && self.database.shared.statements_place() {
            for (old, new) in &changes.renamed {
                self.store(&rename(old, new)).await?;
            }
            for name in &changes.dropped {
                self.store(&forget(name)).await?;
            }
            return self.read_tables().await;
        }
        Ok(after)
    }

    /// The declaration that a comment makes.
    fn wanted_table(&self, before: &Tables, schema: &str, name: &str, wanted: &Placing) -> Result<Table, PgError> {
        if !self.database.shared.statements_place() {
            let text = "tables can't be placed by comments here: what that needs isn't stored on the home shard";
            return Err(PgError::error(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, text).hint(
                "The service user must own the schema pgbraid and what is in it (docs/operating.md); or give the table an \
                 entry under `tables` in the configuration.",
            ));
        }
        let rule = match wanted {
            Placing::Reference => TableRule::Reference,
            Placing::Key { key, with } => {
                let with = with.as_ref().map(|with| match with.split_once('.') {
                    Some((schema, name)) => (schema.to_owned(), name.to_owned()),
                    None => (schema.to_owned(), with.clone()),
                });
                TableRule::Hash { key: key.clone(), with }
            }
        };
        let table = Table { schema: schema.to_owned(), name: name.to_owned(), rule };
        let says = |table: &&Table| table.schema == schema && table.name == name;
        match before.by_configuration.tables.iter().find(says) {
            Some(other) if other.rule != table.rule => {
                let text = format!(
                    "the configuration places {schema}.{name} by `{}`, the comment by `{}`",
                    other.rule, table.rule
                );
                Err(PgError::error(SqlState::INVALID_PARAMETER_VALUE, text).hint("Take one of them away."))
            }
            _ => Ok(table),
        }
    }

    /// Changes what is stored, in the transaction of the definition.
    async fn store(&mut self, sql: &str) -> Go {
        self.rows_of(self.home(), sql).await.map(|_| ())
    }

    /// CREATE TABLE AS over the home shard's tables and reference tables only.
    async fn only_home(&mut self, prepared: &Prepared, filled: &Filled) -> Go {
        let sql = prepared.sql.get(filled.query.clone()).unwrap_or_default();
        let hint = "CREATE TABLE with its columns and its placement, then INSERT … SELECT.";
        self.reads_home_only(sql, hint).await
    }

    /// A query whose rows the home shard has all.
    async fn reads_home_only(&mut self, sql: &str, hint: &str) -> Go {
        let view = self.view().await?;
        let plan = match self.plan_of(sql, &view) {
            Ok(plan) => plan,
            Err(error) => return Err(self.refuse(*error, "table-as")),
        };
        match (&plan.access, &plan.work) {
            (Access::Home | Access::Any, Work::Refuse(refusal)) => {
                Err(self.refuse(refusal_error(refusal), refusal.reason))
            }
            (Access::Home | Access::Any, _) => Ok(()),
            _ => {
                let text = "a table from the rows of sharded tables would hold one shard's rows only";
                let error = PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text).hint(hint);
                Err(self.refuse(error, "table-as"))
            }
        }
    }

    /// REFRESH MATERIALIZED VIEW: its rows are on the home shard, and so must be what it reads. It may have been made when
    /// one shard had everything.
    async fn refresh(&mut self, prepared: &Prepared, table: &NewTable) -> Go {
        let view = self.view().await?;
        let path = self.search_path(&view);
        let found = view.schema.relation(table.schema.as_deref(), &table.name, &path);
        if let Some(query) = found.and_then(|relation| relation.definition.clone()) {
            let hint = "DROP it, and make it a table that is filled by INSERT … SELECT.";
            self.reads_home_only(query.trim().trim_end_matches(';'), hint).await?;
        }
        let home = self.home();
        self.hold_segment().await?;
        self.pass_text(home, &prepared.sql, true).await
    }

    /// All shards, the home shard first: everyone takes their locks in this order.
    pub(super) fn home_first(&self) -> Vec<usize> {
        let home = self.home();
        std::iter::once(home).chain((0..self.links.len()).filter(|&shard| shard != home)).collect()
    }

    /// One shard for each server: several databases of one server share its roles.
    fn one_a_server(&self, shards: &[usize]) -> Vec<usize> {
        let mut seen = BTreeSet::new();
        let servers = |shard: &usize| {
            let servers = self.database.shared.config.shards.get(*shard).map(|shard| shard.servers.as_slice());
            let names = servers.unwrap_or_default().iter().map(|server| format!("{:?}:{}", server.host, server.port));
            names.collect::<BTreeSet<_>>()
        };
        shards.iter().copied().filter(|shard| seen.insert(servers(shard))).collect()
    }

    /// Whether the shards' databases bear one name.
    fn one_name(&self) -> bool {
        let shards = &self.database.shared.config.shards;
        let mut names = shards.iter().filter_map(|shard| shard.servers.first()).map(|server| server.dbname.as_str());
        let first = names.next();
        names.all(|name| Some(name) == first)
    }

    pub(super) fn shard_name(&self, shard: usize) -> String {
        self.database.shared.config.shards.get(shard).map_or_else(String::new, |shard| shard.name.clone())
    }
}

/// The statement for shards that get no rows.
fn without_data(sql: &str, filled: &Filled) -> String {
    let (start, end) = match &filled.with_data {
        Some(span) => (span.start, span.end),
        None => (filled.query.end, filled.query.end),
    };
    let (before, after) = (sql.get(..start).unwrap_or_default(), sql.get(end..).unwrap_or_default());
    format!("{before} WITH NO DATA{after}")
}

fn filled_elsewhere(name: &str) -> PgError {
    let text =
        format!("the table {name} is placed over shards, and CREATE TABLE AS would fill it on the home shard only");
    PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
        .hint("CREATE TABLE with its columns, then INSERT … SELECT; or CREATE TABLE AS … WITH NO DATA.")
}
