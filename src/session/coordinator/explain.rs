//! EXPLAIN over shards: how a statement would run, why that is right, and the shards' own plans.

use std::rc::Rc;

use super::decide::{Decision, Target};
use super::describe::Prepared;
use super::{Coordinator, Go, Stop};
use crate::base::{PgError, SqlState};
use crate::plan::sharded::{self, Access, Bound, Finish, Piece, Work};
use crate::sql::ast::Explain;
use crate::wire::message;

impl Coordinator {
    /// Runs EXPLAIN: one text column.
    pub(super) async fn explain(&mut self, prepared: &Rc<Prepared>, explain: &Explain) -> Go {
        let json = explain
            .options
            .iter()
            .any(|(name, value)| name == "format" && !value.as_deref().unwrap_or("text").eq_ignore_ascii_case("text"));
        let start = explain.head.end as usize;
        let inner_sql = prepared.sql.get(start..).unwrap_or_default().trim_start().to_owned();
        let inner = self.database.prepared(self.key(&inner_sql, &[0, 0]), &self.worker, false);
        let decision = self.decide(&inner).await?;
        let Decision::Planned(plan) = &*decision else {
            return match &*decision {
                Decision::Refused(error, reason) => Err(self.refuse((**error).clone(), reason)),
                _ => self.pass_text(self.home(), &prepared.sql, false).await,
            };
        };
        let view = self.view().await?;
        let head = prepared.sql.get(explain.head.start as usize..start).unwrap_or_default().trim_end().to_owned();
        let target = self.target(&plan.access, &view, &|_| None)?;
        if let (Target::One(shard), true) = (&target, json) {
            return self.pass_text(*shard, &prepared.sql, plan.writes).await;
        }
        let shards = match &target {
            Target::One(shard) => vec![*shard],
            Target::Many(shards) => shards.clone(),
        };
        let mut lines = self.lines(plan, &shards);
        if shards.len() == 1 {
            self.shard_plan(&mut lines, shards.first().copied().unwrap_or(0), &format!("{head} {inner_sql}")).await?;
        } else if let Ok(scatter) = super::decide::scatter_of(plan) {
            for input in &scatter.inputs {
                let sql = format!("{head} {}", shown(&input.sql, &scatter.once));
                for &shard in &shards {
                    self.shard_plan(&mut lines, shard, &sql).await?;
                }
            }
        }
        if json {
            return Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, "EXPLAIN over several shards gives text only")
                .hint("Leave FORMAT away.")
                .into());
        }
        message::text_row_description(&mut self.output, &["QUERY PLAN"]);
        for line in &lines {
            message::text_data_row(&mut self.output, &[Some(line)]);
        }
        message::command_complete(&mut self.output, "EXPLAIN");
        Ok(())
    }

    /// What pgbraid itself does.
    fn lines(&self, plan: &sharded::Plan, shards: &[usize]) -> Vec<String> {
        let name = |at: &usize| self.database.shared.config.shards.get(*at).map_or("?", |shard| shard.name.as_str());
        let names: Vec<&str> = shards.iter().map(name).collect();
        let mut lines = Vec::new();
        match (&plan.work, shards.len()) {
            (Work::Refuse(refusal), _) => lines.push(format!("Refused: {}", refusal.message)),
            (_, 1) => lines.push(format!("Route to {}", names.join(", "))),
            (Work::Route { otherwise }, _) => lines.push(format!("Refused: {}", otherwise.message)),
            (Work::Scatter(scatter), _) => match &scatter.finish {
                Finish::Stream { order, limit, offset, .. } => {
                    let how = if order.is_empty() { "Scatter" } else { "Scatter and merge by order" };
                    lines.push(format!("{how} over {}", names.join(", ")));
                    for (word, bound) in [("Limit", limit), ("Offset", offset)] {
                        if let Some(bound) = bound {
                            lines.push(format!("  {word}: {}", bound_text(bound)));
                        }
                    }
                }
                Finish::Rest { sql } => {
                    lines.push(format!("Scatter over {}, the rest on one server", names.join(", ")));
                    lines.push(format!("  Rest: {}", shown(sql, &scatter.once)));
                }
            },
        }
        if let Access::Keys(conditions) = &plan.access {
            lines.extend(conditions.iter().map(|condition| format!("  Key: {}", condition.column)));
        }
        lines.extend(plan.proof.iter().map(|proof| format!("  Because: {proof}")));
        if let (Work::Scatter(scatter), true) = (&plan.work, shards.len() > 1) {
            for (at, input) in scatter.inputs.iter().enumerate() {
                lines.push(format!("  Input {}: {}", at + 1, shown(&input.sql, &scatter.once)));
            }
        }
        lines
    }

    async fn shard_plan(&mut self, lines: &mut Vec<String>, shard: usize, sql: &str) -> Go {
        let mut link = self.engage(shard).await?;
        let answer = self.run_on(&mut link, sql).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(Stop::Over) => return Err(Stop::Over),
            Err(stop) => return Err(stop),
        };
        self.put_link(shard, link);
        let answer = answer.good()?;
        let name = self.database.shared.config.shards.get(shard).map_or("?", |shard| shard.name.as_str());
        lines.push(format!("On {name}:"));
        for row in &answer.rows {
            let values = message::read_data_row(row).unwrap_or_default();
            if let Some(Some(text)) = values.first() {
                lines.push(format!("  {}", String::from_utf8_lossy(text)));
            }
        }
        Ok(())
    }
}

fn bound_text(bound: &Bound) -> String {
    match bound {
        Bound::Rows(rows) => rows.to_string(),
        Bound::Param(number) => format!("${number}"),
    }
}

/// Pieces for the eye.
fn shown(pieces: &[Piece], once: &[String]) -> String {
    let part = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Once(at) => once.get(*at).cloned().unwrap_or_default(),
        Piece::Input(at) => format!("<input {}>", at + 1),
    };
    pieces.iter().map(part).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}
