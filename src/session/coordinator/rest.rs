//! The rest of a statement on one PostgreSQL, over the rows that shards gave: sent as array parameters, or in temporary
//! tables.

use std::future::poll_fn;

use super::describe::{Described, Prepared};
use super::multi::{Bind, Extra, Over, Question, all_types, put_question, text_of};
use super::relay::shard_lost;
use super::shard::{Expect, ShardLink};
use super::spool::Spool;
use super::welcome::{put_body, with_formats};
use super::{Coordinator, Go, Stop};
use crate::backend::memory::Held;
use crate::base::{PgError, SqlState};
use crate::execute::arrays::from_item;
use crate::execute::tables;
use crate::plan::sharded::{Piece, Scatter};
use crate::session::coordinator::collect::too_much;
use crate::wire::frame::{HEADER, back};

/// Inputs that were collected.
pub(super) struct Gathered {
    /// The rest's text, the parameters that the inputs became, and where it runs.
    pub sql: String,
    pub extra: Extra,
    pub shard: usize,
    /// The temporary tables that they became: the rest runs where these are.
    pub spool: Option<Spool>,
    /// Reference tables are among the inputs, though the rest could have read them.
    pub wider: bool,
    /// By input: shards that gave rows, how many and how many bytes.
    pub from: Vec<Vec<(usize, u64, u64)>>,
    /// Given back when they aren't needed any more.
    pub held: Held,
}

impl Coordinator {
    /// Collects the inputs, then runs `sql` over them.
    pub(super) async fn rest(
        &mut self,
        prepared: &Prepared,
        scatter: &Scatter,
        sql: &[Piece],
        over: Over<'_>,
        describe: bool,
    ) -> Go {
        let bind = over.bind;
        let gathered = self.gathered(prepared, scatter, sql, over).await?;
        // Over temporary tables it may take long, and the shards aren't needed for it.
        if gathered.spool.is_some()
            && let Some(block) = self.block.take_if(|block| block.single)
        {
            self.end_reading(block, true).await?;
        }
        self.finish(prepared, gathered, bind, describe).await
    }

    /// Collects the inputs. The text of the rest, its parameters, and where it runs.
    pub(super) async fn gathered(
        &mut self,
        prepared: &Prepared,
        scatter: &Scatter,
        sql: &[Piece],
        over: Over<'_>,
    ) -> Go<Gathered> {
        self.worker.metrics.gathered.inc();
        let Over { shards, bind, extra, view, begun } = over;
        let (mut gathering, order, suited) = self.collect(prepared, scatter, sql, (bind, extra, view), begun).await?;
        let own = prepared.described.get().map_or(0, |described| described.params.len());
        let mut all = extra.for_rest();
        let mut items = Vec::new();
        let mut from = Vec::new();
        for at in order {
            let Some(slot) = gathering.slots.get_mut(at) else { continue };
            let columns = std::mem::take(&mut slot.columns);
            from.push(std::mem::take(&mut slot.from));
            if gathering.spool.is_some() {
                items.push(tables::from_item(at, &columns));
                continue;
            }
            items.push(from_item(&columns, own + all.types.len() + 1));
            for column in columns {
                all.types.push(column.array_oid());
                all.values.push(Some(column.into_array()));
            }
        }
        if own + all.types.len() > usize::from(u16::MAX) {
            return Err(too_much().into());
        }
        let shard = match &gathering.spool {
            Some(spool) => spool.shard,
            None => self.rest_shard(prepared, shards),
        };
        let wider = !std::ptr::eq(sql, suited);
        let sql = text_of(suited, prepared, &items);
        Ok(Gathered { sql, extra: all, shard, spool: gathering.spool, wider, from, held: gathering.held })
    }

    /// Where a rest over arrays runs. `shards`: those that are asked.
    pub(super) fn rest_shard(&self, prepared: &Prepared, shards: &[usize]) -> usize {
        let home = self.home();
        match shards.first() {
            Some(&first) if !shards.contains(&home) && !gives_own_types(prepared) => first,
            _ => home,
        }
    }

    /// Where temporary tables are, and the rest over them.
    pub(super) fn tables_shard(&self, prepared: &Prepared) -> usize {
        if gives_own_types(prepared) { self.home() } else { self.database.shared.gather_on }
    }

    /// Runs the rest; its rows are the client's.
    async fn finish(&mut self, prepared: &Prepared, gathered: Gathered, bind: &Bind, describe: bool) -> Go {
        let Gathered { sql, extra, shard, spool, held, .. } = gathered;
        let described = prepared.described.get();
        let types = all_types(prepared, &extra);
        let question = Question { sql, types, results: bind.results.clone(), named: None };
        let mut link = match spool {
            Some(spool) => spool.link,
            None => self.engage(shard).await?,
        };
        put_question(&mut link, &self.question_for(shard, &question), bind, &extra, true, false);
        // They are in what is being sent now.
        drop((extra, question));
        link.sync();
        // Its description is compared before the first row is passed on.
        let row = self.await_description(&mut link).await?;
        drop(held);
        if let Some(row) = &row {
            if let Err(error) = same_types(described, Some(row)) {
                link.cancel();
                let _ = self.ask(&mut link).await;
                if !link.aside {
                    self.put_link(shard, link);
                }
                return Err(error.into());
            }
            let own = described.and_then(Described::told).unwrap_or(row);
            if describe {
                put_body(&mut self.output, back::ROW_DESCRIPTION, &with_formats(own, &bind.results));
            }
        }
        link.named = self.named_results(shard, described, bind);
        link.last_words = None;
        let mut link = self.relay_on(link).await?;
        let told = link.last_words.take().is_some();
        match link.aside {
            true => self.end_spool(link).await?,
            false => self.put_link(shard, link),
        }
        // What follows up to Sync, or in the same string, doesn't run.
        if told { Err(Stop::Told) } else { Ok(()) }
    }

    /// Takes the answers up to RowDescription. None: an error comes instead.
    async fn await_description(&mut self, link: &mut ShardLink) -> Go<Option<Vec<u8>>> {
        loop {
            let worker = self.worker.clone();
            let frame = self.or_gone(poll_fn(|cx| link.poll_frame(cx, &worker))).await?;
            let frame = frame.map_err(|error| shard_lost(&error))?;
            if frame.tag == back::ERROR_RESPONSE {
                return Ok(None);
            }
            let body = link.input.filled().get(HEADER..frame.len).unwrap_or_default().to_vec();
            if frame.tag == back::PARAMETER_STATUS && !link.aside {
                self.pass_parameter(link.shard, &body);
            }
            link.input.consume(frame.len);
            if matches!(frame.tag, back::PARSE_COMPLETE | back::BIND_COMPLETE | back::CLOSE_COMPLETE) {
                link.expect.pop_front();
            }
            if matches!(frame.tag, back::ROW_DESCRIPTION | back::NO_DATA) {
                if link.expect.front() == Some(&(Expect::Describe { ours: true })) {
                    link.expect.pop_front();
                }
                return Ok(Some(body));
            }
        }
    }
}

/// Types of users have other OIDs elsewhere, and the result was described at home.
fn gives_own_types(prepared: &Prepared) -> bool {
    let own = |column: &super::describe::Column| column.type_oid >= crate::catalog::schema::FIRST_USER_OID;
    prepared.described.get().is_some_and(|described| described.columns.iter().any(own))
}

/// Columns of the rest have the types that the statement's own have.
pub(super) fn same_types(described: Option<&super::describe::Described>, row: Option<&[u8]>) -> Result<(), PgError> {
    let (Some(described), Some(row)) = (described, row) else { return Ok(()) };
    let found = super::describe::read_columns(row);
    let same = found.len() == described.columns.len()
        && found.iter().zip(&described.columns).all(|(a, b)| a.type_oid == b.type_oid);
    if same {
        return Ok(());
    }
    Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, "over several shards this statement would give other types")
        .detail("The rest of the statement, over collected rows, has result columns of other types.")
        .hint("Cast the result's columns explicitly."))
}
