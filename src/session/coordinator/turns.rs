//! Commands that PostgreSQL runs outside transactions only: one shard after another, with a report of where each stands.

use super::describe::Prepared;
use super::{Coordinator, Go, Stop};
use crate::backend::placement::judge;
use crate::backend::settings::push_literal;
use crate::base::{PgError, SqlState};
use crate::plan::definition::{Each, NewIndex};
use crate::wire::frame::back;
use crate::wire::message;

/// An index on one shard.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    whole: bool,
    /// Quoted, with its schema.
    name: String,
    definition: String,
}

impl Coordinator {
    pub(super) async fn shard_by_shard(&mut self, prepared: &Prepared, each: &Each) -> Go {
        self.hold_segment().await?;
        if self.block.is_some() {
            let text = format!("{} cannot run inside a transaction block", each.what);
            return Err(PgError::error(SqlState::ACTIVE_SQL_TRANSACTION, text).into());
        }
        let mut shards = self.home_first();
        let before = match &each.index {
            Some(index) => {
                shards = self.without_index(&shards, index).await?;
                Some(self.read_tables().await?)
            }
            None => None,
        };
        let mut told = Vec::new();
        for (turn, shard) in shards.iter().copied().enumerate() {
            let mut link = self.connect(shard).await?;
            let answer = match self.run_on(&mut link, &prepared.sql).await {
                Ok(answer) => answer,
                Err(Stop::Error(error)) => return Err(self.stands(each, &shards, turn, &error).into()),
                Err(stop) => return Err(stop),
            };
            self.put_link(shard, link);
            if let Some(error) = &answer.error {
                if turn == 0 && shards.len() == self.links.len() {
                    // Nothing was done anywhere: PostgreSQL's own words.
                    self.output.extend_from_slice(&answer.notices);
                    return Err(self.tell_frame(error, &answer.error_frame));
                }
                return Err(self.stands(each, &shards, turn, error).into());
            }
            if turn == 0 {
                told = answer.notices;
                message::put(&mut told, back::COMMAND_COMPLETE, |body| message::put_cstr(body, &answer.tag));
            }
            // What one shard can't guard isn't built on the others.
            if let (0, Some(before), Some(index)) = (turn, &before, &each.index) {
                let after = self.read_tables().await?;
                if let Err(error) = judge(before, &after, false) {
                    self.drop_index(shard, index).await?;
                    return Err(error.into());
                }
            }
        }
        if each.what.ends_with("CONCURRENTLY") {
            self.database.shared.distrust();
        }
        if let Some(index) = &each.index {
            self.same_index(index).await?;
        }
        self.output.extend_from_slice(&told);
        Ok(())
    }

    /// The error, and where the command stands on each shard. `failed`: which of `shards` it was.
    fn stands(&self, each: &Each, shards: &[usize], failed: usize, error: &PgError) -> PgError {
        let mut report: Vec<String> = (self.home_first().into_iter().filter(|shard| !shards.contains(shard)))
            .map(|shard| format!("{}: done before", self.shard_name(shard)))
            .collect();
        for (turn, shard) in shards.iter().enumerate() {
            let word = match turn.cmp(&failed) {
                std::cmp::Ordering::Less => "done",
                std::cmp::Ordering::Equal => "failed",
                std::cmp::Ordering::Greater => "not begun",
            };
            report.push(format!("{}: {word}", self.shard_name(*shard)));
        }
        let own = error.detail_text().map(|detail| format!("{detail} ")).unwrap_or_default();
        let detail = format!("{own}{} stands so: {}.", each.what, report.join(", "));
        let hint = match each.index {
            Some(_) => {
                "Mend the cause and run the same statement again: it goes on with the shards that lack the index."
            }
            None => "Mend the cause and run it again; DROP … IF EXISTS passes over shards that are done.",
        };
        PgError::error(error.code(), error.message().to_owned()).detail(detail).hint(hint)
    }

    /// The shards that still need the index. Where building it failed, what is left of it is dropped. All, if none has it or
    /// each has: PostgreSQL's answer is right then.
    async fn without_index(&mut self, shards: &[usize], index: &NewIndex) -> Go<Vec<usize>> {
        let mut without = Vec::new();
        let mut broken = Vec::new();
        for shard in shards.iter().copied() {
            match self.find_index(shard, index).await? {
                Some(found) if found.whole => {}
                Some(_) => {
                    broken.push(shard);
                    without.push(shard);
                }
                None => without.push(shard),
            }
        }
        if without.is_empty() {
            return Ok(shards.to_vec());
        }
        for shard in broken {
            self.drop_index(shard, index).await?;
        }
        Ok(without)
    }

    async fn find_index(&mut self, shard: usize, index: &NewIndex) -> Go<Option<Found>> {
        let mut sql = "SELECT i.indisvalid::pg_catalog.text, pg_catalog.quote_ident(n.nspname) || '.' || \
                       pg_catalog.quote_ident(c.relname), pg_catalog.pg_get_indexdef(c.oid) FROM pg_catalog.pg_index i \
                       JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = \
                       c.relnamespace WHERE i.indrelid = pg_catalog.to_regclass("
            .to_owned();
        push_literal(&mut sql, &index.table);
        sql.push_str(") AND c.relname = ");
        push_literal(&mut sql, &index.name);
        let rows = self.rows_of(shard, &sql).await?;
        let Some([Some(whole), Some(name), Some(definition)]) = rows.first().map(Vec::as_slice) else {
            return Ok(None);
        };
        Ok(Some(Found { whole: whole == "true", name: name.clone(), definition: definition.clone() }))
    }

    async fn drop_index(&mut self, shard: usize, index: &NewIndex) -> Go {
        if let Some(found) = self.find_index(shard, index).await? {
            self.rows_of(shard, &format!("DROP INDEX CONCURRENTLY IF EXISTS {}", found.name)).await?;
        }
        Ok(())
    }

    /// An index of that name which was there before may have been another.
    async fn same_index(&mut self, index: &NewIndex) -> Go {
        let mut first: Option<String> = None;
        for shard in self.home_first() {
            let found = self.find_index(shard, index).await?.map(|found| found.definition).unwrap_or_default();
            match &first {
                Some(other) if *other != found => {
                    let text = format!("the index {} isn't the same on all shards", index.name);
                    let detail = format!(
                        "On the shard {} it is: {found}. On {}: {other}.",
                        self.shard_name(shard),
                        self.shard_name(self.home())
                    );
                    return Err(PgError::error(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, text)
                        .detail(detail)
                        .hint("DROP INDEX CONCURRENTLY IF EXISTS, and make it again.")
                        .into());
                }
                Some(_) => {}
                None => first = Some(found),
            }
        }
        Ok(())
    }
}
