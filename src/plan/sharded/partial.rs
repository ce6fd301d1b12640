//! Aggregates as partial results of the shards and the arithmetic that finishes them, both PostgreSQL's own.

use super::Refusal;
use super::analysis::Known;
use super::refuse::unsupported;
use crate::catalog::schema::Oid;
use crate::value::oid;

/// What the shards compute (without the FILTER), and the expression over those columns that is the aggregate's value:
/// `{0}` is the first partial.
pub struct Split {
    pub partials: Vec<String>,
    pub last: String,
    /// The partials carry the argument's collation.
    pub collated: bool,
}

/// An aggregate call as `split` needs it.
pub struct Argument<'a> {
    pub name: &'a str,
    /// The arguments' text.
    pub text: &'a str,
    pub star: bool,
    pub count: usize,
    /// The second argument is a constant.
    pub delimiter: Option<&'a str>,
    pub type_oid: Oid,
    pub collation: &'a Known,
}

/// Splits an aggregate, or says that it can't be.
pub fn split(call: &Argument<'_>) -> Result<Split, Refusal> {
    let text = call.text;
    let plain =
        |partial: String, last: &str| Ok(Split { partials: vec![partial], last: last.to_string(), collated: false });
    let whole = || unsupported("aggregate-function", &format!("aggregate {} split over shards", call.name));
    if call.star || call.name == "count" {
        let partial = if call.star { "count(*)".to_string() } else { format!("count({text})") };
        return if call.name == "count" { plain(partial, "coalesce(sum({0}), 0)::bigint") } else { Err(whole()) };
    }
    match (call.name, call.count) {
        ("sum", 1) => match call.type_oid {
            oid::INT2 | oid::INT4 => plain(format!("sum({text})"), "sum({0})::bigint"),
            oid::INT8 | oid::NUMERIC | oid::FLOAT4 | oid::FLOAT8 | oid::INTERVAL => {
                plain(format!("sum({text})"), "sum({0})")
            }
            _ => Err(whole()),
        },
        ("avg", 1) => average(call).ok_or_else(whole),
        ("min" | "max", 1) if *call.collation != Known::Unknown => Ok(Split {
            partials: vec![format!("{}({text})", call.name)],
            last: format!("{}({{0}})", call.name),
            collated: true,
        }),
        ("bool_and" | "bool_or" | "every" | "bit_and" | "bit_or" | "bit_xor" | "any_value", 1) => {
            plain(format!("{}({text})", call.name), &format!("{}({{0}})", call.name))
        }
        ("string_agg", 2) => match call.delimiter {
            Some(delimiter) if call.type_oid == oid::TEXT => {
                plain(format!("string_agg({text})"), &format!("string_agg({{0}}, {delimiter})"))
            }
            _ => Err(whole()),
        },
        ("variance" | "var_samp" | "var_pop", 1) => variance(call).ok_or_else(whole),
        _ => Err(whole()),
    }
}

fn average(call: &Argument<'_>) -> Option<Split> {
    let text = call.text;
    let count = format!("count({text})");
    let (sum, last) = match call.type_oid {
        oid::INT2 | oid::INT4 | oid::INT8 | oid::NUMERIC => {
            (format!("sum(({text})::numeric)"), "(sum({0}) / nullif(sum({1}), 0))")
        }
        oid::FLOAT4 | oid::FLOAT8 => (format!("sum(({text})::float8)"), "(sum({0}) / nullif(sum({1}), 0)::float8)"),
        oid::INTERVAL => (format!("sum({text})"), "(sum({0}) / nullif(sum({1}), 0)::float8)"),
        _ => return None,
    };
    Some(Split { partials: vec![sum, count], last: last.to_string(), collated: false })
}

/// `numeric_stddev_internal`: exact sums, one division.
fn variance(call: &Argument<'_>) -> Option<Split> {
    if !matches!(call.type_oid, oid::INT2 | oid::INT4 | oid::INT8 | oid::NUMERIC) {
        return None;
    }
    let text = call.text;
    let partials = vec![
        format!("count({text})"),
        format!("sum(({text})::numeric)"),
        format!("sum(({text})::numeric * ({text})::numeric)"),
    ];
    let spread = "(sum({0}) * sum({2}) - sum({1}) * sum({1}))";
    let (least, divisor) = match call.name {
        "var_pop" => ("0", "(sum({0}) * sum({0}))"),
        _ => ("1", "(sum({0}) * (sum({0}) - 1))"),
    };
    let last = format!(
        "(CASE WHEN sum({{0}}) > {least} THEN CASE WHEN {spread} <= 0 THEN 0::numeric ELSE {spread} / {divisor} END END)"
    );
    Some(Split { partials, last, collated: false })
}
