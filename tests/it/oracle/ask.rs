//! Puts one statement to one system, in one of three ways.

use std::io;

use super::corpus::{Param, Step};
use crate::support::build;
use crate::support::raw::{Frame, Raw};

/// How a statement is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Simple,
    /// Extended, parameters and results as text.
    Text,
    /// Extended, parameters and results in binary.
    Binary,
}

pub const WAYS: [Way; 3] = [Way::Simple, Way::Text, Way::Binary];

/// The frames for each set of parameters.
pub async fn ask(raw: &mut Raw, step: &Step, way: Way) -> io::Result<Vec<Vec<Frame>>> {
    let mut answers = Vec::new();
    if way == Way::Simple {
        for params in &step.params {
            answers.push(raw.query(&with_literals(&step.sql, params)).await?);
        }
        return Ok(answers);
    }
    let types: Vec<u32> = step.params[0].iter().map(|param| param.oid).collect();
    if let [params] = step.params.as_slice() {
        let parse = [build::parse("", &step.sql, &types), build::describe(b'S', "")].concat();
        raw.send(&[parse, bind_and_execute("", params, way, step.limit)].concat()).await?;
        answers.push(raw.until_ready(1).await?);
        return Ok(answers);
    }
    raw.send(&[build::parse("named", &step.sql, &types), build::describe(b'S', "named"), build::sync()].concat())
        .await?;
    answers.push(raw.until_ready(1).await?);
    for params in &step.params {
        raw.send(&bind_and_execute("named", params, way, step.limit)).await?;
        answers.push(raw.until_ready(1).await?);
    }
    raw.send(&[build::close(b'S', "named"), build::sync()].concat()).await?;
    answers.push(raw.until_ready(1).await?);
    Ok(answers)
}

/// How often a portal with a row limit is executed: more often than any statement of the corpus needs.
const EXECUTES: usize = 4;

fn bind_and_execute(statement: &str, params: &[Param], way: Way, limit: u32) -> Vec<u8> {
    let binary = way == Way::Binary;
    let encoded: Vec<(u16, Option<Vec<u8>>)> = params.iter().map(|param| encode(param, binary)).collect();
    let formats: Vec<u16> = encoded.iter().map(|(format, _)| *format).collect();
    let values: Vec<Option<&[u8]>> = encoded.iter().map(|(_, value)| value.as_deref()).collect();
    let bind = build::bind_formats("", statement, &formats, &values, &[u16::from(binary)]);
    let mut bytes = [bind, build::describe(b'P', "")].concat();
    let times = if limit == 0 { 1 } else { EXECUTES };
    for _ in 0..times {
        bytes.extend(build::execute("", limit));
    }
    bytes.extend(build::sync());
    bytes
}

fn encode(param: &Param, binary: bool) -> (u16, Option<Vec<u8>>) {
    let Some(text) = &param.value else { return (u16::from(binary), None) };
    let bytes = match param.kind.as_str() {
        _ if !binary => None,
        "int2" => text.parse::<i16>().ok().map(|n| n.to_be_bytes().to_vec()),
        "int4" => text.parse::<i32>().ok().map(|n| n.to_be_bytes().to_vec()),
        "int8" => text.parse::<i64>().ok().map(|n| n.to_be_bytes().to_vec()),
        "float8" => text.parse::<f64>().ok().map(|n| n.to_be_bytes().to_vec()),
        "text" | "varchar" => Some(text.clone().into_bytes()),
        "bool" => Some(vec![u8::from(text.starts_with('t'))]),
        "uuid" => u128::from_str_radix(&text.replace('-', ""), 16).ok().map(|n| n.to_be_bytes().to_vec()),
        _ => None,
    };
    match bytes {
        Some(bytes) => (1, Some(bytes)),
        None => (0, Some(text.clone().into_bytes())),
    }
}

/// The statement with `$n` replaced by literals.
fn with_literals(sql: &str, params: &[Param]) -> String {
    let mut sql = sql.to_owned();
    for (at, param) in params.iter().enumerate().rev() {
        let value = param.value.as_ref().map_or("NULL".to_owned(), |value| format!("'{}'", value.replace('\'', "''")));
        let literal = if param.oid == 0 { value } else { format!("{value}::{}", param.kind) };
        sql = sql.replace(&format!("${}", at + 1), &literal);
    }
    sql
}
