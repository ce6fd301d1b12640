//! What becomes of a statement: control of the session, one shard, several shards, or a refusal.

use std::rc::Rc;
use std::sync::Arc;

use super::configure::{self, Call};
use super::describe::Prepared;
use super::{Coordinator, Go};
use crate::backend::View;
use crate::backend::sharded::differs;
use crate::base::{PgError, SqlState};
use crate::config::model::Reads;
use crate::plan::Kind;
use crate::plan::definition::{Definition, definition};
use crate::plan::sharded::prior::Prior;
use crate::plan::sharded::{self, Access, Finish, Refusal, Scatter, Vouched, Work};
use crate::plan::sharded::{BoundValue, ShardSet, shards};
use crate::sql::ast::{self, Explain, Statement};
use crate::sql::parse;

/// What kind of work a statement is.
#[derive(Debug)]
pub(super) enum Decision {
    /// Transactions: told to all shards that joined.
    Transaction,
    /// Settings: the home shard's, and through it all shards'.
    Settings,
    /// As it is on the home shard.
    Home {
        writes: bool,
    },
    /// As it is on the shard of that name.
    Shard(usize),
    Planned(Box<sharded::Plan>),
    /// On all shards.
    Define(Box<Definition>),
    /// `COPY … TO STDOUT` of what the plan gives.
    CopyOut(Box<sharded::Plan>, Box<ast::Copy>),
    /// `DECLARE … CURSOR`
    Declare(Box<sharded::Plan>, Cursor),
    /// FETCH, MOVE, CLOSE of a cursor.
    Cursor,
    Explain(Box<Explain>),
    /// `set_config` in a block.
    Configure(Vec<Call>),
    /// Its sub-queries are answered first. As it is it would be refused, or would find its rows by a query.
    Prior(Box<Prior>, Option<Box<sharded::Plan>>),
    /// With the reason's label.
    Refused(Box<PgError>, &'static str),
}

/// A cursor that is declared.
#[derive(Debug)]
pub(super) struct Cursor {
    pub name: String,
    /// Its query's text.
    pub query: String,
    pub binary: bool,
    pub hold: bool,
    pub scroll: Option<bool>,
}

/// Why statements are refused that name a table which isn't the same on all shards.
const SCHEMA: &str = "schema";

/// Where one execution runs.
pub(super) enum Target {
    One(usize),
    Many(Vec<usize>),
}

impl Coordinator {
    /// What is planned by now.
    pub(super) async fn view(&mut self) -> Go<Arc<View>> {
        if let Some(own) = self.own_view().await? {
            return Ok(own);
        }
        if let Ok(view) = self.database.shared.view() {
            return Ok(view);
        }
        let shared = self.database.shared.clone();
        Ok(self.or_gone(async move { shared.settled().await }).await??)
    }

    /// Decides about a statement, with PostgreSQL's own error first where it has one.
    pub(super) async fn decide(&mut self, prepared: &Prepared) -> Go<Rc<Decision>> {
        self.refuse_reread(prepared)?;
        if let Some(calls) = self.configures(prepared)? {
            self.describe(prepared).await?;
            return Ok(Rc::new(Decision::Configure(calls)));
        }
        if let Some(decision) = prepared.decision.get() {
            return Ok(decision.clone());
        }
        if let Some(definition) = self.definition_of(prepared) {
            let decision = Rc::new(Decision::Define(Box::new(definition)));
            let _ = prepared.decision.set(decision.clone());
            return Ok(decision);
        }
        // Transactions and settings hang on no schema: nothing is waited for.
        let control = prepared.plan.steps.iter().all(|step| is_control(&step.kind));
        let view = match self.last_view().filter(|_| control) {
            Some(view) => view,
            None => self.view().await?,
        };
        let mut decision = self.judge_with_types(prepared, &view).await?;
        // Others may have changed definitions on the shards: nobody is refused for what was true a while ago.
        let may_pass = |decision: &Decision| matches!(decision, Decision::Refused(_, sharded::UNSEEN | SCHEMA));
        if may_pass(&decision) && !self.has_own() {
            let shared = self.database.shared.clone();
            if let Some(view) = self.or_gone(async move { shared.looked_at().await }).await? {
                decision = self.judge_with_types(prepared, &view).await?;
            }
        }
        let lasts = !may_pass(&decision);
        let decision = Rc::new(decision);
        if lasts {
            let _ = prepared.decision.set(decision.clone());
        }
        Ok(decision)
    }

    /// Judges with the types of the parameters, where they matter.
    async fn judge_with_types(&mut self, prepared: &Prepared, view: &View) -> Go<Decision> {
        let mut decision = self.judge(prepared, view, &[]);
        let wants_types = match &decision {
            // PostgreSQL's own error, if it has one, comes first.
            Decision::Refused(..) | Decision::CopyOut(..) | Decision::Prior(..) => true,
            Decision::Planned(plan) => !matches!(plan.work, Work::Route { .. }),
            Decision::Declare(..) => false,
            _ => false,
        };
        let describable = prepared.plan.steps.first().is_some_and(|step| {
            matches!(step.kind, Kind::Read | Kind::Write | Kind::Unknown | Kind::CopyOut | Kind::CopyIn)
        });
        if wants_types && describable && prepared.plan.steps.len() == 1 {
            self.describe(prepared).await?;
            let params = prepared.described.get().map(|described| described.params.as_slice()).unwrap_or_default();
            // Without parameters there is nothing more to know.
            if !params.is_empty() {
                decision = self.judge(prepared, view, params);
            }
        }
        Ok(decision)
    }

    /// A definition is judged by what comes of it: no schema is needed to run it.
    pub(super) fn definition_of(&self, prepared: &Prepared) -> Option<Definition> {
        let [step] = &*prepared.plan.steps else { return None };
        if !matches!(step.kind, Kind::Write | Kind::Unknown) || self.chosen_shard(prepared).is_some() {
            return None;
        }
        if self.is_temporary(prepared) {
            return None;
        }
        definition(&prepared.sql, self.standard_strings())
    }

    /// Within a block, statements after a change of what they are planned by aren't planned; nor is what would change
    /// settings on one shard only.
    fn refuse_reread(&self, prepared: &Prepared) -> Go {
        let Some(block) = &self.block else { return Ok(()) };
        let control = prepared.plan.steps.iter().all(|step| is_control(&step.kind));
        let defines = prepared.plan.steps.iter().any(|step| step.defines);
        if defines && !self.is_temporary(prepared) {
            // Judged by what comes of it, whatever it is read by.
            return Ok(());
        }
        if block.reread && !control {
            let text = "a statement can't be planned over shards after SET of search_path, role or the like in its transaction";
            return Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text).hint("SET it before BEGIN.").into());
        }
        Ok(())
    }

    /// The calls of `set_config` that a statement is, in a block.
    fn configures(&self, prepared: &Prepared) -> Result<Option<Vec<Call>>, PgError> {
        if self.block.is_none() || !prepared.sql.to_ascii_lowercase().contains("set_config") {
            return Ok(None);
        }
        if let Some(calls) = configure::read(&prepared.sql, prepared.key.reads_standard_strings()) {
            return Ok(Some(calls));
        }
        if self.definition_of(prepared).is_some_and(|definition| !matches!(definition, Definition::Filled(_))) {
            // Bodies of functions may say anything.
            return Ok(None);
        }
        let text = "set_config among other things in a transaction over shards would change one shard's session only";
        Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
            .hint("Use SET LOCAL, or SELECT set_config('name', 'value', true) by itself."))
    }

    pub(super) fn judge(&self, prepared: &Prepared, view: &View, params: &[u32]) -> Decision {
        if let Some(shard) = self.chosen_shard(prepared) {
            return shard;
        }
        let Some(step) = prepared.plan.steps.first() else { return Decision::Home { writes: false } };
        if !is_control(&step.kind)
            && let Some(decision) = self.temporary(prepared, view)
        {
            return decision;
        }
        match &step.kind {
            Kind::Begin(_)
            | Kind::Commit { .. }
            | Kind::Rollback { .. }
            | Kind::Savepoint(_)
            | Kind::Release(_)
            | Kind::RollbackTo(_)
            | Kind::SetTransaction(_)
            | Kind::SetConstraints => Decision::Transaction,
            Kind::Set(_) | Kind::Reset(_) | Kind::ResetAll | Kind::Discard(_) | Kind::Deallocate(_) => {
                Decision::Settings
            }
            Kind::Show(_) | Kind::Listen(_) | Kind::Unlisten(_) => Decision::Home { writes: false },
            // What can't be prepared makes the home shard the anchor: told if and only if the rest is committed.
            Kind::Notify => Decision::Home { writes: true },
            Kind::Fetch | Kind::Close(_) => Decision::Cursor,
            Kind::PrepareTransaction | Kind::FinishPrepared => {
                refused("PREPARE TRANSACTION isn't supported on a sharded database", "Use COMMIT.")
            }
            Kind::Execute { name, .. } => self.judge_execute(name, view),
            Kind::Prepare { .. } => self.judge_prepare(prepared, view),
            Kind::Load => refused("LOAD isn't supported on a sharded database", "Use session_preload_libraries."),
            Kind::Call => refused(
                "DO and CALL can't be proven to concern one shard only",
                "SET pgbraid.shard = '…' runs them on a shard of your choice.",
            ),
            Kind::Read | Kind::Write | Kind::CopyOut | Kind::CopyIn | Kind::Declare { .. } | Kind::Unknown => {
                self.judge_sql(prepared, view, params)
            }
        }
    }

    /// `SET pgbraid.shard = 's1'`
    fn chosen_shard(&self, prepared: &Prepared) -> Option<Decision> {
        let reads = self.reads();
        let name = crate::session::value_text(reads.shard.as_ref()?).to_owned();
        if name.is_empty() || prepared.plan.steps.iter().any(|step| is_control(&step.kind)) {
            return None;
        }
        let shards = &self.database.shared.config.shards;
        Some(match shards.iter().position(|shard| shard.name == name) {
            Some(at) => Decision::Shard(at),
            None => Decision::Refused(
                Box::new(
                    PgError::error(SqlState::INVALID_PARAMETER_VALUE, format!("there is no shard \"{name}\""))
                        .hint("RESET pgbraid.shard, or set it to one of the configured shards."),
                ),
                "no-shard",
            ),
        })
    }

    fn judge_sql(&self, prepared: &Prepared, view: &View, params: &[u32]) -> Decision {
        let sql = prepared.sql.as_str();
        let statement = match parse::parse(sql, self.standard_strings()) {
            Ok(statement) => statement,
            Err(stopped) => return unread(prepared, &stopped),
        };
        let plan = |statement: &Statement| self.planned(sql, statement, view, params);
        match &statement {
            Statement::Explain(explain) => Decision::Explain(explain.clone()),
            Statement::Declare(declare) => {
                let query = Statement::Query(Box::new(declare.query.clone()));
                match plan(&query) {
                    Ok(plan) => Decision::Declare(
                        plan,
                        Cursor {
                            name: declare.name.value.clone(),
                            query: declare.query.span.of(sql).to_owned(),
                            binary: declare.binary,
                            hold: declare.hold,
                            scroll: declare.scroll,
                        },
                    ),
                    Err((error, reason)) => Decision::Refused(error, reason),
                }
            }
            Statement::Copy(copy) if !copy.from => match plan(&statement) {
                Ok(plan) if matches!(plan.work, Work::Scatter(_)) => Decision::CopyOut(plan, copy.clone()),
                Ok(plan) => Decision::Planned(plan),
                Err((error, reason)) => Decision::Refused(error, reason),
            },
            _ => {
                let prior = || self.prior(sql, &statement, view, params).map(Box::new);
                match plan(&statement) {
                    Ok(plan) => {
                        let (refused, finds) = match &plan.work {
                            Work::Refuse(_) => (true, false),
                            Work::Route { .. } => (plan.access == Access::All, false),
                            Work::Scatter(scatter) => (false, matches!(scatter.finish, Finish::Found(_))),
                        };
                        match if refused || finds && plan.access == Access::All { prior() } else { None } {
                            Some(prior) => Decision::Prior(prior, finds.then_some(plan)),
                            None => Decision::Planned(plan),
                        }
                    }
                    Err((error, reason)) => match prior() {
                        Some(prior) => Decision::Prior(prior, None),
                        None => Decision::Refused(error, reason),
                    },
                }
            }
        }
    }

    fn prior(&self, sql: &str, statement: &Statement, view: &View, params: &[u32]) -> Option<Prior> {
        self.with_context(view, |context| sharded::prior::prior(sql, statement, context, params))
    }

    /// The plan of a query's text.
    pub(super) fn plan_of(&self, sql: &str, view: &View) -> Result<Box<sharded::Plan>, Box<PgError>> {
        match parse::parse(sql, self.standard_strings()) {
            Ok(statement) => self.planned(sql, &statement, view, &[]).map_err(|(error, _)| error),
            Err(stopped) => {
                let text =
                    format!("this query can't be planned over shards: reading it stopped at byte {}", stopped.at + 1);
                Err(Box::new(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)))
            }
        }
    }

    pub(super) fn planned(
        &self,
        sql: &str,
        statement: &Statement,
        view: &View,
        params: &[u32],
    ) -> Result<Box<sharded::Plan>, (Box<PgError>, &'static str)> {
        match self.with_context(view, |context| sharded::plan(sql, statement, context, params)) {
            Ok(plan) => match trouble(sql, &plan, view) {
                Some(error) => Err((Box::new(error), SCHEMA)),
                None => Ok(Box::new(plan)),
            },
            Err(refusal) => Err((Box::new(refusal_error(&refusal)), refusal.reason)),
        }
    }

    /// What statements are planned by.
    pub(super) fn with_context<T>(&self, view: &View, plan: impl FnOnce(&sharded::Context<'_>) -> T) -> T {
        let path = self.search_path(view);
        let functions = &self.database.shared.config.functions;
        let context = sharded::Context {
            schema: &view.schema,
            placement: &view.placement,
            search_path: &path,
            standard_strings: self.standard_strings(),
            unique_per_shard: self.database.shared.config.unique_per_shard,
            vouched: &|name: &str| {
                let found = functions.iter().find(|function| function.name == name)?;
                Some(match found.reads {
                    Reads::None => Vouched::None,
                    Reads::Key => Vouched::Key,
                })
            },
        };
        plan(&context)
    }

    /// The schemas that unqualified names are looked up in.
    pub(super) fn search_path(&self, _view: &View) -> Vec<String> {
        let reads = self.reads();
        let user = reads.user.clone();
        let mut path = vec!["pg_catalog".to_owned()];
        let names: Vec<String> = match &reads.search_path {
            None => vec!["$user".into(), "public".into()],
            Some(crate::backend::settings::Value::List(names)) => {
                names.iter().flat_map(|name| name.split(',')).map(str::to_owned).collect()
            }
            Some(crate::backend::settings::Value::Config(text)) => text.split(',').map(str::to_owned).collect(),
        };
        for name in names {
            let name = name.trim();
            let name = match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
                Some(quoted) => quoted.replace("\"\"", "\""),
                None => name.to_owned(),
            };
            match name.as_str() {
                "" => {}
                "$user" => path.push(user.clone()),
                "pg_catalog" if !path.iter().skip(1).any(|other| other == "pg_catalog") => {
                    path.remove(0);
                    path.push(name);
                }
                _ => path.push(name),
            }
        }
        path
    }

    /// The shards of one execution.
    ///
    /// # Errors
    /// A row to be inserted has no key.
    pub(super) fn target<'a>(
        &self,
        access: &Access,
        view: &View,
        param: &dyn Fn(u32) -> Option<BoundValue<'a>>,
    ) -> Result<Target, PgError> {
        Ok(match shards(access, &view.placement, param) {
            ShardSet::Home => Target::One(self.home()),
            ShardSet::NoKey(column) => return Err(no_key(&column)),
            ShardSet::All => match self.links.len() {
                1 => Target::One(0),
                count => Target::Many((0..count).collect()),
            },
            // Where the transaction is already, else where the client's other work is.
            ShardSet::Any => Target::One(self.any_shard()),
            ShardSet::Some(shards) => match shards.as_slice() {
                [] => Target::One(self.any_shard()),
                [one] => Target::One(*one),
                _ => Target::Many(shards),
            },
        })
    }

    fn any_shard(&self) -> usize {
        self.clock().unwrap_or(self.home())
    }
}

/// The refusal of a row without a key.
pub(super) fn no_key(column: &str) -> PgError {
    let text =
        format!("a row to be inserted has no value for the sharding key {column}, or one whose shard isn't known");
    PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
        .hint("Give the column a value of its own type that isn't NULL: a constant or a parameter.")
}

pub(super) fn is_control(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Begin(_)
            | Kind::Commit { .. }
            | Kind::Rollback { .. }
            | Kind::Savepoint(_)
            | Kind::Release(_)
            | Kind::RollbackTo(_)
            | Kind::SetTransaction(_)
            | Kind::SetConstraints
            | Kind::Set(_)
            | Kind::Reset(_)
            | Kind::ResetAll
            | Kind::Discard(_)
            | Kind::Deallocate(_)
    )
}

/// A table that the text may name and that isn't the same on all shards.
fn trouble(sql: &str, plan: &sharded::Plan, view: &View) -> Option<PgError> {
    let words = sql.to_lowercase();
    let named = |difference: &&crate::catalog::Difference| match &difference.relation {
        Some((_, name)) => words.contains(&name.to_lowercase()),
        None => difference.whole && matches!(plan.work, Work::Scatter(_)),
    };
    view.differences.iter().find(named).map(differs)
}

fn refused(message: &str, hint: &str) -> Decision {
    Decision::Refused(Box::new(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, message).hint(hint)), "statement")
}

fn unread(prepared: &Prepared, stopped: &parse::Stopped) -> Decision {
    let defines = prepared.plan.steps.iter().any(|step| step.defines);
    let text = if defines {
        "definitions (DDL) on a sharded database aren't supported yet".to_owned()
    } else {
        format!("this statement can't be planned over shards: reading it stopped at byte {}", stopped.at + 1)
    };
    let error = PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text).hint(
        "SET pgbraid.shard = '…' sends statements as they are to one shard; run definitions on each shard in turn.",
    );
    Decision::Refused(Box::new(error), if defines { "definition" } else { "unread" })
}

/// A refusal as the client is told it.
pub(super) fn refusal_error(refusal: &Refusal) -> PgError {
    PgError::error(refusal.code, refusal.message.clone()).hint(refusal.hint.clone())
}

/// The scatter in a plan that must run on several shards.
pub(super) fn scatter_of(plan: &sharded::Plan) -> Result<&Scatter, &Refusal> {
    match &plan.work {
        Work::Scatter(scatter) => Ok(scatter),
        Work::Route { otherwise } | Work::Refuse(otherwise) => Err(otherwise),
    }
}
