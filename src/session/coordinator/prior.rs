//! A statement that writes whose sub-queries are answered before it: they, and it, see one snapshot.

use std::rc::Rc;

use super::block::Block;
use super::decide::{Decision, Target, refusal_error};
use super::describe::Prepared;
use super::flow::To;
use super::multi::{Bind, types_tail};
use super::{Coordinator, Go, Stop};
use crate::backend::View;
use crate::backend::settings::push_literal;
use crate::base::{PgError, SqlState, limits};
use crate::catalog::schema::Oid;
use crate::plan::sharded::prior::{Asked, Prior};
use crate::plan::sharded::{Access, Changed, Finish, Input, Piece, Plan, Scatter, Work};
use crate::plan::{Isolation, TransactionModes};
use crate::sql::quote::ident;
use crate::value::oid;
use crate::wire::frame::HEADER;
use crate::wire::message;

impl Coordinator {
    /// Runs it. Outside a block it is a transaction of its own.
    ///
    /// Where each statement has a snapshot of its own, the table that is written is locked first: so the rows that are found
    /// are those that there were when the sub-query was answered. With several sub-queries only one snapshot for all does;
    /// that of a statement by itself is taken behind the lock.
    pub(super) async fn run_prior(
        &mut self,
        prepared: &Prepared,
        (prior, instead): (&Prior, Option<&Plan>),
        bind: &Bind,
        describe: bool,
    ) -> Go {
        let several = prior.needs_snapshot();
        let keeps = self.block.as_ref().is_none_or(Block::keeps_snapshot);
        if let Some(plan) = instead.filter(|_| !prior.serves(keeps)) {
            return self.run_instead(prepared, plan, bind, describe).await;
        }
        if several && self.block.as_ref().is_some_and(|block| !block.keeps_snapshot()) {
            let text = "in a READ COMMITTED transaction the parts of this statement that read could see rows of different moments";
            return Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
                .hint("BEGIN ISOLATION LEVEL REPEATABLE READ, or run it outside a transaction.")
                .into());
        }
        let own = self.block.is_none();
        if own {
            let mut block = self.new_block("BEGIN", TransactionModes::default(), false);
            if several && !block.keeps_snapshot() {
                let modes = TransactionModes { read_only: None, isolation: Some(Isolation::RepeatableRead) };
                block = self.new_block("BEGIN ISOLATION LEVEL REPEATABLE READ", modes, false);
            }
            block.handed = true;
            self.block = Some(block);
        }
        let result = self.run_with_values(prepared, prior, bind, describe).await;
        // The statement ended it, if it was come to.
        if !matches!(result, Err(Stop::Over))
            && let Some(block) = self.block.take_if(|block| block.handed)
        {
            let _ = self.end_own(&block, false).await;
        }
        match (result?, instead) {
            (None, _) => Ok(()),
            (Some(_), Some(plan)) => self.run_instead(prepared, plan, bind, describe).await,
            (Some(error), None) => Err(error.into()),
        }
    }

    /// The same with its rows found by a query.
    async fn run_instead(&mut self, prepared: &Prepared, plan: &Plan, bind: &Bind, describe: bool) -> Go {
        let scatter = super::decide::scatter_of(plan).map_err(refusal_error)?;
        let shards = self.home_first();
        self.describe(prepared).await?;
        Box::pin(self.scatter(prepared, (scatter, plan.writes), &shards, bind, describe)).await
    }

    /// Some: a value can't be handed on, and nothing was written.
    async fn run_with_values(
        &mut self,
        prepared: &Prepared,
        prior: &Prior,
        bind: &Bind,
        describe: bool,
    ) -> Go<Option<PgError>> {
        self.describe(prepared).await?;
        let params = prepared.described.get().map(|described| described.params.clone()).unwrap_or_default();
        let types = types_tail(&params);
        if let Some(target) = &prior.target
            && self.block.as_ref().is_some_and(|block| block.handed || !block.keeps_snapshot())
        {
            let order = self.home_first();
            self.lock_target(target, &order).await?;
        }
        let mut values = Vec::new();
        let mut held = self.database.shared.memory.hold();
        for asked in &prior.queries {
            let value = match self.value_of(asked, &types, bind).await? {
                Ok(value) => value,
                Err(error) => return Ok(Some(error)),
            };
            held.add(value.len())?;
            values.push(value);
        }
        let part = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Once(at) => values.get(*at).cloned().unwrap_or_default(),
            Piece::Input(_) | Piece::Semi(_) | Piece::Apart(_) => String::new(),
        };
        let sql: String = prior.sql.iter().map(part).collect();
        let inner = self.text(&sql, &types, false);
        let decision = self.decide(&inner).await?;
        let plan = match &*decision {
            Decision::Planned(plan) => plan,
            Decision::Refused(error, reason) => return Err(self.refuse((**error).clone(), reason)),
            _ => return Err(super::multi::nothing_asked().into()),
        };
        self.describe(&inner).await?;
        let view = self.view().await?;
        let target = {
            let values = self.bound(&inner, bind);
            self.target(&plan.access, &view, &|number| values(number))?
        };
        let alone;
        let (scatter, shards) = match (&plan.work, target) {
            (Work::Scatter(scatter), Target::One(shard)) => (scatter, vec![shard]),
            (Work::Scatter(scatter), Target::Many(shards)) => (scatter, shards),
            (Work::Route { .. }, Target::One(shard)) => {
                alone = on_one(&inner, prior.word, plan.access.clone());
                (&alone, vec![shard])
            }
            (Work::Route { otherwise } | Work::Refuse(otherwise), _) => {
                return Err(self.refuse(refusal_error(otherwise), otherwise.reason));
            }
        };
        Box::pin(self.scatter(&inner, (scatter, plan.writes), &shards, bind, describe)).await?;
        Ok(None)
    }

    /// Locks the table that is written. LOCK asks for privileges on the whole table; who has them on columns only is refused.
    async fn lock_target(&mut self, target: &str, order: &[usize]) -> Go {
        let answer = self.lock(target, "SHARE ROW EXCLUSIVE", order).await?;
        if let Some(error) = answer.error.as_ref().filter(|error| error.code() == SqlState::INSUFFICIENT_PRIVILEGE) {
            let text = format!("the table {target} must be locked for this statement's sub-query, and you may not");
            return Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
                .detail(error.message().to_owned())
                .hint("Grant UPDATE or DELETE on the whole table, or BEGIN ISOLATION LEVEL REPEATABLE READ.")
                .into());
        }
        self.good_or_told(answer).map(|_| ())
    }

    /// A sub-query's value, as SQL writes it with its type; or why it can't be handed on.
    async fn value_of(&mut self, asked: &Asked, types: &[u8], bind: &Bind) -> Go<Result<String, PgError>> {
        let view = self.view().await?;
        if let Some(elements) = &asked.elements {
            let source = self.text(elements, types, true);
            self.describe(&source).await?;
            let element = source.described.get().and_then(|described| Some(described.columns.first()?.type_oid));
            if element.and_then(|oid| view.schema.types.get(&oid)).is_none_or(|known| known.element != 0) {
                return Ok(Err(inexact()));
            }
        }
        let source = self.text(&asked.sql, types, true);
        self.describe(&source).await?;
        let described = source.described.get().map(|described| described.columns.as_slice()).unwrap_or_default();
        let type_oid = described.first().map_or(0, |column| column.type_oid);
        let Some(name) = self.constant_type(type_oid, asked.plain, &view).await? else { return Ok(Err(inexact())) };
        let decision = self.decide(&source).await?;
        let plan = match &*decision {
            Decision::Planned(plan) => plan,
            Decision::Refused(error, reason) => return Err(self.refuse((**error).clone(), reason)),
            _ => return Err(super::multi::nothing_asked().into()),
        };
        let bind = Bind { formats: bind.formats.clone(), values: bind.values.clone(), results: vec![0] };
        let mut flow = self.open_query(&source, plan, &asked.sql, &bind, &view).await?;
        let mut rows = Vec::new();
        self.flow_rows(&mut flow, 2, &mut To::Kept(&mut rows, false)).await?;
        self.close_flow(&mut flow);
        let row = rows.first().and_then(|row| message::read_data_row(row.get(HEADER..)?));
        let value = row.as_ref().and_then(|row| row.first().copied()).ok_or_else(super::multi::nothing_asked)?;
        let Some(value) = value else { return Ok(Ok(format!("NULL::{name}"))) };
        if value.len() > limits::PRIOR_VALUE {
            return Ok(Err(too_long(value.len())));
        }
        if !value.is_ascii() && !self.reads_utf8() {
            return Err(super::simple::not_utf8().into());
        }
        let mut literal = String::with_capacity(value.len() + name.len() + 8);
        push_literal(&mut literal, std::str::from_utf8(value).map_err(|_| super::stream::malformed())?);
        literal.push_str("::");
        literal.push_str(&name);
        Ok(Ok(literal))
    }

    /// A type whose values mean the same when they are read as text again, with the session's settings.
    async fn constant_type(&mut self, type_oid: Oid, plain: bool, view: &View) -> Go<Option<String>> {
        let known = view.schema.types.get(&type_oid);
        let element = known.map(|known| known.element).filter(|element| *element != 0);
        let inner = element.unwrap_or(type_oid);
        let exact = match inner {
            oid::BOOL | oid::INT2 | oid::INT4 | oid::INT8 | oid::NUMERIC | oid::UUID | oid::BYTEA => true,
            oid::TEXT | oid::VARCHAR | oid::BPCHAR => plain,
            oid::DATE | oid::TIMESTAMP | oid::TIMESTAMPTZ => self.shown("DateStyle").await?.starts_with("ISO"),
            oid::FLOAT4 | oid::FLOAT8 => {
                self.shown("extra_float_digits").await?.parse::<i32>().is_ok_and(|digits| digits > 0)
            }
            _ => view.schema.types.get(&inner).is_some_and(|known| known.kind == b'e'),
        };
        Ok(known.filter(|_| exact).map(|known| format!("{}.{}", ident(&known.schema), ident(&known.name))))
    }
}

fn inexact() -> PgError {
    let text = "a sub-query of this write gives values of a type, or a collation, that can't be handed on exactly";
    PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
        .hint("Read the values first, and send them along as parameters.")
}

/// A statement for one shard.
fn on_one(inner: &Rc<Prepared>, word: &'static str, access: Access) -> Scatter {
    let input = Input { sql: vec![Piece::Text(inner.sql.clone())], access, columns: Vec::new() };
    Scatter::new(vec![input], Finish::Changed(Changed { word, split: None, copies: None, told: None }), Vec::new())
}

fn too_long(length: usize) -> PgError {
    let most = limits::PRIOR_VALUE >> 20;
    let text =
        format!("a sub-query of this write gives {} MB of values, and at most {most} MB are handed on", length >> 20);
    PgError::error(SqlState::PROGRAM_LIMIT_EXCEEDED, text).hint("Write fewer rows at a time.")
}
