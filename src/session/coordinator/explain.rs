//! EXPLAIN over shards: how a statement would run, why that is right, and the shards' own plans.

use std::rc::Rc;

use super::decide::{Decision, Target};
use super::describe::Prepared;
use super::gather::{Sent, Way};
use super::multi::{Bind, Extra, Over, Question, all_types, put_question, text_of};
use super::rest::Gathered;
use super::shard::ShardLink;
use super::welcome::{put_body, with_formats};
use super::{Coordinator, Go};
use crate::backend::View;
use crate::base::{PgError, SqlState};
use crate::plan::sharded::explain::{lines, names, pieces, scattered};
use crate::plan::sharded::{Finish, Plan, Refusal, Scatter};
use crate::sql::ast::Explain;
use crate::wire::frame::back;
use crate::wire::message;

/// The plan that a server gave for one text.
struct Part {
    shard: usize,
    /// `Input 1`, `Rest`; empty where the statement itself runs there.
    what: String,
    sql: String,
    /// Its rows: lines of text, or one JSON document.
    rows: Vec<String>,
}

impl Coordinator {
    /// Runs EXPLAIN. `describe`: RowDescription comes first.
    pub(super) async fn explain(
        &mut self,
        prepared: &Rc<Prepared>,
        explain: &Explain,
        bind: &Bind,
        describe: bool,
    ) -> Go {
        self.describe(prepared).await?;
        let start = explain.head.end as usize;
        let head = prepared.sql.get(explain.head.start as usize..start).unwrap_or_default().trim_end().to_owned();
        let inner_sql = prepared.sql.get(start..).unwrap_or_default().trim_start().to_owned();
        let inner = self.text(&inner_sql, &prepared.types, false);
        let decision = self.decide(&inner).await?;
        let view = self.view().await?;
        let shown = match &*decision {
            Decision::Planned(plan) => self.explained(&inner, plan, &head, explain, bind, &view).await?,
            Decision::Prior(..) if analyzes(explain) => return Err(not_analyzed().into()),
            Decision::Prior(prior, instead) => {
                let keeps = self.block.as_ref().is_none_or(super::block::Block::keeps_snapshot);
                match instead.as_deref().filter(|_| !prior.serves(keeps)) {
                    Some(plan) => self.explained(&inner, plan, &head, explain, bind, &view).await?,
                    None => shown(crate::plan::sharded::explain::prior(prior), &[], &view, format(explain)?),
                }
            }
            Decision::Refused(error, _) => {
                let refusal = Refusal {
                    code: error.code(),
                    message: error.message().to_owned(),
                    hint: error.hint_text().unwrap_or_default().to_owned(),
                    reason: "explained",
                };
                shown(crate::plan::sharded::explain::refused(&refusal, &[]), &[], &view, format(explain)?)
            }
            _ => {
                let home = self.home();
                let none = Extra::default();
                self.shard_plan(home, &inner, &head, String::new(), inner_sql, bind, &none).await?.rows
            }
        };
        if describe && let Some(row) = prepared.described.get().and_then(|described| described.row.as_deref()) {
            put_body(&mut self.output, back::ROW_DESCRIPTION, &with_formats(row, &bind.results));
        }
        for line in &shown {
            message::text_data_row(&mut self.output, &[Some(line)]);
        }
        message::command_complete(&mut self.output, "EXPLAIN");
        Ok(())
    }

    async fn explained(
        &mut self,
        inner: &Rc<Prepared>,
        plan: &Plan,
        head: &str,
        explain: &Explain,
        bind: &Bind,
        view: &View,
    ) -> Go<Vec<String>> {
        let format = format(explain)?;
        let values = self.bound(inner, bind);
        let shards = match self.target(&plan.access, view, &|number| values(number))? {
            Target::One(shard) => vec![shard],
            Target::Many(shards) => shards,
        };
        let mut own = lines(plan, &view.placement, &shards, &|number| values(number));
        let mut parts = Vec::new();
        let refused = own.first().is_some_and(|line| line.starts_with("Refused"));
        match (scattered(plan, shards.len()), shards.as_slice()) {
            _ if refused => {}
            (
                Some(Scatter {
                    finish: Finish::Changed(_) | Finish::Fed(_) | Finish::Found(_) | Finish::Moved(_), ..
                }),
                _,
            ) if analyzes(explain) => {
                return Err(not_analyzed().into());
            }
            (Some(scatter), _) => {
                let told = self.explain_scatter(inner, scatter, &shards, head, explain, bind, view, &mut parts).await?;
                own.extend(told);
            }
            (None, [shard, ..]) => {
                if plan.writes && analyzes(explain) {
                    self.may_write(*shard).await?;
                }
                let sql = inner.sql.clone();
                let none = Extra::default();
                parts.push(self.shard_plan(*shard, inner, head, String::new(), sql, bind, &none).await?);
            }
            (None, []) => {}
        }
        Ok(shown(own, &parts, view, format))
    }

    /// The plans of all questions, and of the rest where it is run. In words, where that is, and what it got.
    #[allow(clippy::too_many_arguments, reason = "what an explanation is made of")]
    async fn explain_scatter(
        &mut self,
        inner: &Rc<Prepared>,
        scatter: &Scatter,
        shards: &[usize],
        head: &str,
        explain: &Explain,
        bind: &Bind,
        view: &View,
        parts: &mut Vec<Part>,
    ) -> Go<Vec<String>> {
        // To explain draws nothing from a sequence.
        let still = |once: &String| {
            if once.contains("nextval(") { "NULL::pg_catalog.int8".to_owned() } else { once.clone() }
        };
        let once: Vec<String> = scatter.once.iter().map(still).collect();
        let extra = self.evaluated(&once, shards).await?;
        let mut begun = None;
        if analyzes(explain) {
            match self.broadcast(inner, scatter, bind, &extra, view).await? {
                Way::Gather(collected) => begun = collected,
                Way::Broadcast(sent) => {
                    return self.explain_broadcast(inner, scatter, *sent, head, (bind, &extra, view), parts).await;
                }
            }
        }
        for at in 0..scatter.inputs.len() {
            self.explain_input(inner, scatter, at, head, (bind, &extra, view), parts).await?;
        }
        let Finish::Rest { sql } = &scatter.finish else { return Ok(Vec::new()) };
        if !analyzes(explain) {
            let (arrays, tables) = (self.rest_shard(inner, shards), self.tables_shard(inner));
            let on = |shard: usize| names(&view.placement, &[shard]);
            let mut line = format!("  Rest on {}, over arrays", on(arrays));
            let budgets = &self.database.shared.config.gather;
            if budgets.limit > 0 {
                line += &format!("; beyond {} MB on {}, over temporary tables", budgets.memory, on(tables));
            }
            return Ok(vec![line]);
        }
        let mut told = Vec::new();
        let over = Over { shards, bind, extra: &extra, view, begun };
        let gathered = self.gathered(inner, scatter, sql, over).await?;
        if let (true, Some(within)) = (gathered.wider, &scatter.within) {
            let inputs = within.inputs.iter().enumerate();
            told.extend(inputs.map(|(at, input)| {
                format!("  With reference tables, input {}: {}", at + 1, pieces(&input.sql, &scatter.once))
            }));
        }
        told.extend(gave(&gathered, view));
        parts.push(self.explain_rest(inner, gathered, head, pieces(sql, &scatter.once), bind).await?);
        Ok(told)
    }

    /// The plans of one input's question.
    async fn explain_input(
        &mut self,
        inner: &Prepared,
        scatter: &Scatter,
        at: usize,
        head: &str,
        (bind, extra, view): (&Bind, &Extra, &View),
        parts: &mut Vec<Part>,
    ) -> Go {
        let Some(input) = scatter.inputs.get(at) else { return Ok(()) };
        let sql = text_of(&input.sql, inner, &[]);
        for shard in self.input_shards(inner, input, bind, view)? {
            let what = format!("Input {}", at + 1);
            parts.push(self.shard_plan(shard, inner, head, what, sql.clone(), bind, extra).await?);
        }
        Ok(())
    }

    /// The same where rows went along to the shards.
    async fn explain_broadcast(
        &mut self,
        inner: &Prepared,
        scatter: &Scatter,
        sent: Sent,
        head: &str,
        (bind, extra, view): (&Bind, &Extra, &View),
        parts: &mut Vec<Part>,
    ) -> Go<Vec<String>> {
        let mut told = Vec::new();
        for (at, from) in &sent.inputs {
            self.explain_input(inner, scatter, *at, head, (bind, extra, view), parts).await?;
            told.push(input_gave(*at, from, view));
        }
        let inputs: Vec<String> = sent.inputs.iter().map(|(at, _)| (at + 1).to_string()).collect();
        let along = format!("With input {}", inputs.join(", "));
        told.push(format!("  Input {} went along to {}", inputs.join(", "), names(&view.placement, &sent.shards)));
        let asked = sent.scatter.inputs.first().map(|input| text_of(&input.sql, inner, &[])).unwrap_or_default();
        for &shard in &sent.shards {
            let part = self.shard_plan(shard, inner, head, along.clone(), asked.clone(), bind, &sent.extra);
            parts.push(part.await?);
        }
        if let Finish::Rest { sql } = &sent.scatter.finish {
            let over = Over { shards: &sent.shards, bind, extra: &sent.extra, view, begun: None };
            let gathered = self.gathered(inner, &sent.scatter, sql, over).await?;
            told.extend(gave(&gathered, view).into_iter().skip(gathered.from.len()));
            parts.push(self.explain_rest(inner, gathered, head, pieces(sql, &scatter.once), bind).await?);
        }
        Ok(told)
    }

    /// The plan of the rest, and what it was run over.
    async fn explain_rest(
        &mut self,
        inner: &Prepared,
        gathered: Gathered,
        head: &str,
        shown: String,
        bind: &Bind,
    ) -> Go<Part> {
        let Gathered { sql, extra, shard, spool, held: _held, .. } = gathered;
        let mut link = match spool {
            Some(spool) => spool.link,
            None => self.engage(shard).await?,
        };
        let mut part = self.plan_on(&mut link, inner, head, "Rest".to_owned(), sql, bind, &extra).await?;
        match link.aside {
            true => self.end_spool(link).await?,
            false => self.put_link(shard, link),
        }
        part.sql = shown;
        Ok(part)
    }

    /// What a server says to EXPLAIN of this text.
    #[allow(clippy::too_many_arguments, reason = "what an explanation is made of")]
    async fn shard_plan(
        &mut self,
        shard: usize,
        inner: &Prepared,
        head: &str,
        what: String,
        sql: String,
        bind: &Bind,
        extra: &Extra,
    ) -> Go<Part> {
        let mut link = self.engage(shard).await?;
        let part = self.plan_on(&mut link, inner, head, what, sql, bind, extra).await;
        // Else it was lost.
        if link.expect.is_empty() {
            self.put_link(shard, link);
        }
        part
    }

    #[allow(clippy::too_many_arguments, reason = "what an explanation is made of")]
    async fn plan_on(
        &mut self,
        link: &mut ShardLink,
        inner: &Prepared,
        head: &str,
        what: String,
        sql: String,
        bind: &Bind,
        extra: &Extra,
    ) -> Go<Part> {
        let shard = link.shard;
        let question =
            Question { sql: format!("{head} {sql}"), types: all_types(inner, extra), results: Vec::new(), named: None };
        put_question(link, &self.question_for(shard, &question), bind, extra, false, false);
        link.sync();
        let answer = self.ask(link).await?;
        let mut rows = Vec::new();
        for row in &answer.good()?.rows {
            if let Some([Some(text)]) = message::read_data_row(row).as_deref() {
                rows.push(String::from_utf8_lossy(text).into_owned());
            }
        }
        Ok(Part { shard, what, sql: sql.split_whitespace().collect::<Vec<_>>().join(" "), rows })
    }
}

fn not_analyzed() -> PgError {
    let text = "EXPLAIN ANALYZE of a write over several shards isn't supported";
    PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
        .hint("Leave ANALYZE away, or confine the statement to one shard.")
}

/// What the inputs gave, and what the rest had them as.
fn gave(gathered: &Gathered, view: &View) -> Vec<String> {
    let on = |shard: usize| names(&view.placement, &[shard]);
    let inputs = gathered.from.iter().enumerate();
    let mut lines: Vec<String> = inputs.map(|(at, from)| input_gave(at, from, view)).collect();
    let how = if gathered.spool.is_some() { "temporary tables" } else { "arrays" };
    lines.push(format!("  Rest on {}, over {how}", on(gathered.shard)));
    lines
}

/// What one input gave.
fn input_gave(at: usize, from: &[(usize, u64, u64)], view: &View) -> String {
    let (rows, bytes) = from.iter().fold((0, 0), |(rows, bytes), part| (rows + part.1, bytes + part.2));
    let part = |(shard, rows, bytes): &(usize, u64, u64)| {
        format!("{} {rows} rows, {bytes} bytes", names(&view.placement, &[*shard]))
    };
    let parts: Vec<String> = from.iter().map(part).collect();
    let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join("; ")) };
    format!("  Input {} gave {rows} rows, {bytes} bytes{parts}", at + 1)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

fn format(explain: &Explain) -> Result<Format, PgError> {
    let value = explain.options.iter().rev().find(|(name, _)| name == "format").and_then(|(_, value)| value.as_deref());
    match value.unwrap_or("text").to_ascii_lowercase().as_str() {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        _ => Err(PgError::error(
            SqlState::FEATURE_NOT_SUPPORTED,
            "EXPLAIN on a sharded database gives TEXT and JSON only",
        )
        .hint("Use FORMAT JSON, or leave FORMAT away.")),
    }
}

/// Whether the statement is really run.
fn analyzes(explain: &Explain) -> bool {
    let option = explain.options.iter().rev().find(|(name, _)| name == "analyze");
    option.is_some_and(|(_, value)| {
        !matches!(value.as_deref().map(str::to_ascii_lowercase).as_deref(), Some("false" | "off" | "0"))
    })
}

/// What the client sees.
fn shown(own: Vec<String>, parts: &[Part], view: &View, format: Format) -> Vec<String> {
    if format == Format::Json {
        return vec![document(&own, parts, view)];
    }
    let mut shown = own;
    for part in parts {
        let what = if part.what.is_empty() { String::new() } else { format!(", {}", part.what) };
        shown.push(format!("On {}{what}:", names(&view.placement, &[part.shard])));
        // JSON's lines come in one row, text's one by one.
        shown.extend(part.rows.iter().flat_map(|row| row.lines()).map(|line| format!("  {line}")));
    }
    shown
}

/// One document. Where one server runs the statement itself, its own plan stands where it would stand without shards.
fn document(own: &[String], parts: &[Part], view: &View) -> String {
    let list: Vec<String> = own.iter().map(|line| json(line.trim())).collect();
    let mut out = format!("[\n  {{\n    \"pgbraid\": [\n      {}\n    ]", list.join(",\n      "));
    let object = |rows: &[String]| {
        let text = rows.join("\n");
        let text = text.trim().strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or_default().trim();
        text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or_default().trim_end().to_owned()
    };
    match parts {
        [part] if part.what.is_empty() => out.push_str(&format!(",{}", object(&part.rows))),
        [] => {}
        parts => {
            let shards: Vec<String> = parts
                .iter()
                .map(|part| {
                    let name = names(&view.placement, &[part.shard]);
                    let about = [("Shard", &name), ("Part", &part.what), ("SQL", &part.sql)];
                    let about: Vec<String> =
                        about.iter().map(|(key, value)| format!("{}: {}", json(key), json(value))).collect();
                    format!("{{\n        {},{}\n      }}", about.join(",\n        "), object(&part.rows))
                })
                .collect();
            out.push_str(&format!(",\n    \"Shards\": [\n      {}\n    ]", shards.join(",\n      ")));
        }
    }
    out.push_str("\n  }\n]");
    out
}

/// A string of JSON.
fn json(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
