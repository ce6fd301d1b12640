//! What the functions of a statement allow: evaluated anywhere, once for all, a row at a time, or not at all.

use super::analysis::{Analysis, Called};
use super::bodies::{self, Judged, Where};
use super::refuse::{refuse, unsupported};
use super::{Context, Refusal, Vouched};
use crate::catalog::schema::{FunctionKind, Volatility};
use crate::sql::{Lexer, TokenKind};

/// How a call behaves over several shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Behaviour {
    /// The same on every shard.
    Same,
    /// It hangs on the moment or the server: to be evaluated once.
    Once,
    /// Another value for each row anyway.
    PerRow,
    /// It hangs on the one server it runs on, or acts.
    Local,
}

/// Functions that take queries or names of tables as text.
pub const QUERIES: &[&str] = &["ts_stat", "ts_rewrite"];
pub const CLOCKS: &[&str] = &[
    "now",
    "statement_timestamp",
    "transaction_timestamp",
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
];
const PER_ROW: &[&str] =
    &["random", "random_normal", "clock_timestamp", "timeofday", "gen_random_uuid", "uuidv4", "uuidv7", "unique_id"];
/// STABLE functions whose answer hangs on the server or its moment.
const SERVERS: &[&str] =
    &["txid_", "pg_", "inet_", "has_", "to_reg", "row_security", "lastval", "currval", "obj_", "col_"];
/// Sequences live on the home shard; advisory locks too.
pub const HOME_ONLY: &[&str] = &["nextval", "setval", "currval", "lastval"];

/// Aggregates, by name: whether a call without OVER is one.
pub fn is_aggregate(context: &Context<'_>, name: &str) -> bool {
    context
        .schema
        .functions
        .get(name)
        .is_some_and(|all| all.iter().any(|function| function.kind == FunctionKind::Aggregate))
}

/// Checks what holds however many shards are asked: functions that may touch tables unseen.
pub fn admissible(analysis: &Analysis, context: &Context<'_>, tables: bool) -> Result<(), Refusal> {
    operators(analysis, context, if tables { Where::Shard } else { Where::Home })?;
    for call in &analysis.calls {
        if call.name.contains("_to_xml") || QUERIES.contains(&call.name.as_str()) {
            return Err(unsupported(
                "query-function",
                &format!("function {}, which runs a query of its own,", call.name),
            ));
        }
        if own(call, context) == Some(Volatility::Immutable) {
            continue;
        }
        if own(call, context).is_some() {
            let place = if tables { Where::Shard } else { Where::Home };
            match (context.vouched)(&call.name) {
                Some(Vouched::None) => {}
                // Its argument would have to be the very key that the statement is routed by: not proven yet.
                Some(Vouched::Key) => return Err(unknown(call, "")),
                None => {
                    if let Judged::Unfit(why) = bodies::judge(context, &call.name, place) {
                        return Err(unknown(call, &why));
                    }
                }
            }
        }
        let home = HOME_ONLY.contains(&call.name.as_str()) || call.name.contains("advisory");
        if home && tables && !analysis.drawn.contains(&call.place) {
            return Err(unsupported("sequence", &format!("function {} beside a sharded table", call.name)));
        }
    }
    Ok(())
}

/// Operators of users in the statement's texts, and those of views: what is behind them is judged as what is called.
fn operators(analysis: &Analysis, context: &Context<'_>, place: Where) -> Result<(), Refusal> {
    if context.schema.operators.is_empty() {
        return Ok(());
    }
    for sql in &analysis.texts {
        let bytes = sql.as_bytes();
        for token in Lexer::new(bytes, context.standard_strings).filter(|token| token.kind == TokenKind::Operator) {
            let name = String::from_utf8_lossy(token.bytes(bytes));
            for function in context.schema.operators.get(name.as_ref()).into_iter().flatten() {
                if let Judged::Unfit(why) = bodies::judge(context, function, place) {
                    return Err(unsupported("function", &format!("the operator {name} ({why})")));
                }
            }
        }
    }
    Ok(())
}

/// Whether all that is called does the same on every shard, whichever has the tables.
pub fn anywhere(analysis: &Analysis, context: &Context<'_>) -> bool {
    let fit = |call: &Called| {
        own(call, context).is_none_or(|volatility| volatility == Volatility::Immutable)
            || (context.vouched)(&call.name) == Some(Vouched::None)
            || !matches!(bodies::judge(context, &call.name, Where::Shard), Judged::Unfit(_))
    };
    analysis.calls.iter().all(fit) && operators(analysis, context, Where::Shard).is_ok()
}

fn unknown(call: &Called, why: &str) -> Refusal {
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    refuse(
        "function",
        format!("pgbraid can't prove which tables function {} reads{why}", call.name),
        format!(
            "If it reads no sharded table, vouch for it in the configuration: {} = {{ reads = \"none\" }} under \
             [databases.NAME.functions].",
            call.name
        ),
    )
}

/// The worst volatility of functions that this call may mean and that aren't built in.
fn own(call: &Called, context: &Context<'_>) -> Option<Volatility> {
    if call.special {
        return None;
    }
    let Some(all) = context.schema.functions.get(&call.name) else { return Some(Volatility::Volatile) };
    let visible = all.iter().filter(|function| match &call.schema {
        Some(schema) => function.schema == *schema,
        None => function.builtin || context.search_path.contains(&function.schema),
    });
    visible.filter(|function| !function.builtin).map(|function| function.volatility).max()
}

/// How a call behaves where its text goes to several shards.
pub fn behaviour(call: &Called, context: &Context<'_>) -> Behaviour {
    let name = call.name.as_str();
    if CLOCKS.contains(&name) {
        return Behaviour::Once;
    }
    if matches!(name, "current_user" | "session_user" | "user" | "current_role" | "current_catalog" | "current_schema")
    {
        return Behaviour::Same;
    }
    if call.special {
        return Behaviour::Same;
    }
    let Some(all) = context.schema.functions.get(name) else { return Behaviour::Local };
    let worst = all.iter().map(|function| function.volatility).max().unwrap_or(Volatility::Volatile);
    if let Some(volatility) = own(call, context).filter(|&volatility| volatility != Volatility::Immutable) {
        let proven = || bodies::judge(context, name, Where::Shard) == Judged::Fit;
        let harmless = (context.vouched)(name) == Some(Vouched::None) || proven();
        return match volatility {
            Volatility::Stable if harmless => Behaviour::Same,
            _ if harmless => Behaviour::PerRow,
            _ => Behaviour::Local,
        };
    }
    match worst {
        Volatility::Immutable => Behaviour::Same,
        Volatility::Stable if name == "age" && call.arguments == 1 => Behaviour::Local,
        Volatility::Stable if SERVERS.iter().any(|start| name.starts_with(start)) => Behaviour::Local,
        Volatility::Stable => Behaviour::Same,
        Volatility::Volatile if PER_ROW.contains(&name) => Behaviour::PerRow,
        Volatility::Volatile => Behaviour::Local,
    }
}

/// Whether calling it may change something or must be counted as such.
pub fn acts(call: &Called, context: &Context<'_>) -> bool {
    !call.special && !CLOCKS.contains(&call.name.as_str()) && behaviour(call, context) == Behaviour::Local && {
        let all = context.schema.functions.get(&call.name);
        all.is_none_or(|all| all.iter().any(|function| function.volatility == Volatility::Volatile))
    }
}

/// The refusal of a call that can't run on several shards.
pub fn local(call: &Called) -> Refusal {
    unsupported("volatile", &format!("function {}", call.name))
}
