//! Plans UPDATE, DELETE and MERGE whose rows no shard can find by what it has: a query over all shards finds them, and each is
//! written by its primary key on its own shard.
//!
//! PostgreSQL changes a row once, by any one of the rows that it is joined with, and gives it what it finds in one snapshot.
//! So the query gives each row's key with the values that come from other rows; which row of a key counts is the shard's
//! choice, and it converts the values of all, as PostgreSQL does. What hangs on the row alone (`SET n = n + 1`,
//! `RETURNING id`) stays in the statement that its shard is told, and is evaluated there.

mod merge;
mod returning;

use std::collections::BTreeSet;

use crate::catalog::schema::{FIRST_USER_OID, Relation, RelationKind};
use crate::plan::sharded::analysis::*;
use crate::plan::sharded::confine::confined;
use crate::plan::sharded::defaults;
use crate::plan::sharded::feed::untyped;
use crate::plan::sharded::functions::{self, Behaviour};
use crate::plan::sharded::moving::pairs;
use crate::plan::sharded::names::Resolver;
use crate::plan::sharded::query::{self, Kinds};
use crate::plan::sharded::refuse::{refuse, unsupported};
use crate::plan::sharded::several::{Writing, nothing, returned};
use crate::plan::sharded::splice::{Edits, push, text};
use crate::plan::sharded::walk::{Part, bare, has_query, parts};
use crate::plan::sharded::writes::{Rows, Write, key_update};
use crate::plan::sharded::{
    Access, Assigned, FedInto, Finish, Found, KeyCondition, Piece, Plan, Refusal, Repeats, Scatter, Unsent, Work,
};
use crate::sql::ast::*;
use crate::sql::parse;
use crate::sql::quote::ident;

/// What the found rows are called where they are written.
const ROWS: &str = "pgbraid_w";

/// Plans it. `None`: it isn't such a statement.
pub fn plan(sql: &str, statement: &Statement, resolver: &Resolver<'_>) -> Option<Result<Plan, Refusal>> {
    let [write] = resolver.out.writes.as_slice() else { return None };
    let parts = match statement {
        Statement::Update(update) => Parts {
            word: "UPDATE",
            with: update.with.as_ref(),
            table: &update.table,
            assignments: &update.assignments,
            from: update.from.as_ref(),
            filter: update.filter.as_ref(),
            returning: update.returning.as_ref(),
            merge: None,
        },
        Statement::Delete(delete) => Parts {
            word: "DELETE",
            with: delete.with.as_ref(),
            table: &delete.table,
            assignments: &[],
            from: delete.using.as_ref(),
            filter: delete.filter.as_ref(),
            returning: delete.returning.as_ref(),
            merge: None,
        },
        Statement::Merge(merge) => Parts {
            word: "MERGE",
            with: merge.with.as_ref(),
            table: &merge.table,
            assignments: &[],
            from: None,
            filter: None,
            returning: merge.returning.as_ref(),
            merge: Some(merge),
        },
        _ => return None,
    };
    if !parts.reads() {
        return None;
    }
    let item = resolver.out.refs.get(write.id)?;
    let relation = resolver.relation_of(parts.table)?;
    let writing = Writing { sql, statement, resolver, access: Access::All };
    let finding = Finding {
        sql,
        parts,
        write,
        item,
        relation,
        writing: &writing,
        columns: Vec::new(),
        laterals: Vec::new(),
        uncollated: BTreeSet::new(),
        unsent: Vec::new(),
        edits: Edits::default(),
        kept: Vec::new(),
    };
    Some(finding.plan())
}

/// UPDATE and DELETE alike; MERGE as far as it is like them.
struct Parts<'a> {
    word: &'static str,
    with: Option<&'a With>,
    table: &'a FromTable,
    assignments: &'a [Assignment],
    from: Option<&'a From>,
    filter: Option<&'a Clause>,
    returning: Option<&'a Returning>,
    merge: Option<&'a Merge>,
}

impl Parts<'_> {
    /// Whether it reads anything but its own row.
    fn reads(&self) -> bool {
        let set = self.assignments.iter().map(|assignment| &assignment.value);
        let mut exprs = set.chain(self.filter.iter().map(|filter| &filter.expr)).chain(returned(self.returning));
        self.joins() || self.with.is_some() || exprs.any(has_query)
    }

    /// Whether other tables stand beside the one that is written.
    fn joins(&self) -> bool {
        self.from.is_some() || self.merge.is_some()
    }
}

/// A part of what the shards are told.
enum Told {
    /// The client's words, edited.
    Words(Span),
    Text(String),
}

/// A column of the query's.
struct Column {
    sql: String,
    /// Where it isn't the database's own.
    collation: Option<String>,
}

/// What the shards are told, before the rows and behind.
struct Texts {
    before: Vec<Piece>,
    after: Vec<Piece>,
    /// What is evaluated once for it.
    once: Vec<String>,
    repeats: Repeats,
}

struct Finding<'a> {
    sql: &'a str,
    parts: Parts<'a>,
    write: &'a Write,
    item: &'a Ref,
    relation: &'a Relation,
    writing: &'a Writing<'a>,
    /// What the query gives.
    columns: Vec<Column>,
    /// Sub-queries that give several columns, as items of its FROM.
    laterals: Vec<String>,
    /// What it gives besides, for the proxy: how many rows such a sub-query has; which INSERT of a MERGE takes the row.
    unsent: Vec<String>,
    /// Its columns whose collation isn't known, and matters if their type has one.
    uncollated: BTreeSet<usize>,
    /// In the statement that the shards are told.
    edits: Edits,
    /// What stays in it of the client's words.
    kept: Vec<Span>,
}

impl Finding<'_> {
    fn analysis(&self) -> &Analysis {
        &self.writing.resolver.out
    }

    fn plan(mut self) -> Result<Plan, Refusal> {
        let context = self.writing.resolver.context;
        self.fit()?;
        let keys = self.identity()?;
        for name in &keys {
            self.columns.push(Column { sql: format!("{}.{}", ident(&self.item.name), ident(name)), collation: None });
        }
        let Texts { before, after, once, repeats } = match self.parts.merge {
            Some(merge) => self.merged(merge, &keys)?,
            None => self.changed(&keys)?,
        };
        let query = self.query();
        let unread = || unsupported("query", "the search for the rows to write");
        let parsed = parse::parse(&query, context.standard_strings).map_err(|_| unread())?;
        let Statement::Query(parsed) = &parsed else { return Err(unread()) };
        let found = query::plan(&query, parsed, context, self.writing.resolver.params)?;
        if let Work::Refuse(refusal) = found.work {
            return Err(refusal);
        }
        let found = Found {
            word: self.parts.word,
            table: self.table(),
            query,
            plan: Box::new(found),
            identity: keys,
            unsent: match self.parts.merge {
                Some(_) => Unsent::Inserts(self.unsent.len().saturating_sub(1)),
                None => Unsent::Counts(self.unsent.len()),
            },
            before,
            after,
            into: self.goes()?,
            repeats,
            access: confined(self.analysis(), self.write.id)
                .filter(|_| !matches!(self.write.rows, Rows::Merged(_)))
                .map_or(Access::All, |condition| Access::Keys(vec![condition])),
            // A trigger of its own, of its partitions, or PostgreSQL's own to suppress updates may leave rows out.
            some_left_out: self.parts.merge.is_some() || self.relation.triggers || !self.relation.also.is_empty(),
            uncollated: self.uncollated.iter().copied().collect(),
        };
        let proof = vec![
            "the rows to write are found by one query over all shards, and each is written once, by its primary key"
                .to_string(),
        ];
        let work = Work::Scatter(Scatter::new(Vec::new(), Finish::Found(Box::new(found)), once));
        Ok(Plan { access: Access::All, work, writes: true, proof })
    }

    /// The table's name as SQL has it; as the schema has it where another reader of names than the parser would take it
    /// for another (`regclass` knows neither Unicode escapes nor comments).
    fn table(&self) -> String {
        let written = self.parts.table.name.span.of(self.sql);
        let odd = ["U&", "u&", "/*", "--"].iter().any(|mark| written.contains(mark));
        self.item.relation.clone().filter(|_| odd).unwrap_or_else(|| written.to_owned())
    }

    /// UPDATE and DELETE: what the shards are told, before the rows and behind; what is evaluated once.
    fn changed(&mut self, keys: &[String]) -> Result<Texts, Refusal> {
        let mut set = Vec::new();
        for assignment in self.parts.assignments {
            set.extend(self.assigned(assignment)?);
        }
        let assigns = set.iter().any(|(_, told)| matches!(told, Told::Text(_)));
        let returned = self.returned()?;
        let once = self.once()?;
        let repeats = if assigns { Repeats::Different } else { Repeats::One };
        Ok(Texts { before: self.before(set), after: self.after(returned, keys), once, repeats })
    }

    /// What must hold of the statement.
    fn fit(&self) -> Result<(), Refusal> {
        let (analysis, context) = (self.analysis(), self.writing.resolver.context);
        if let Some(refusal) = &analysis.one_shard {
            return Err(refusal.clone());
        }
        functions::admissible(analysis, context, true)?;
        if !matches!(self.write.rows, Rows::Known | Rows::Merged(_)) {
            return Err(key_update("pgbraid can't change the sharding key by what other tables have"));
        }
        if analysis.moments {
            return Err(unsupported("moment-literal", "a constant such as 'now' or 'today'"));
        }
        if analysis.refs.iter().any(|item| item.system) {
            return Err(unsupported("system-column", "a system column in a write on several shards"));
        }
        if analysis.locks {
            return Err(unsupported("locking", "FOR UPDATE in a write on several shards"));
        }
        if Kinds::of(analysis, 0..analysis.refs.len()).catalog {
            return Err(unsupported("catalog", "a write beside the system catalog"));
        }
        let named = (self.relation.schema.clone(), self.relation.name.clone());
        let mut relations = context.schema.relations.values();
        let child =
            self.relation.kind == RelationKind::Table && relations.any(|other| other.parent.as_ref() == Some(&named));
        if !matches!(self.relation.kind, RelationKind::Table | RelationKind::Partitioned) || child {
            return Err(unsupported("write", "a write to a foreign table, or a parent of inherited tables"));
        }
        if self.relation.row_security {
            return Err(refuse(
                "policy",
                format!(
                    "pgbraid can't prove which rows of \"{}\" its policies of row security let be written",
                    self.relation.name
                ),
                "Confine the statement to one shard by its sharding key.",
            ));
        }
        let around = analysis.scopes.get(self.item.scope).copied().flatten().filter(|_| self.parts.merge.is_some());
        let same = |other: &&Ref| {
            (other.scope == self.item.scope || Some(other.scope) == around) && other.name == self.item.name
        };
        if analysis.refs.iter().filter(same).count() > 1 || self.hidden() {
            return Err(unsupported(
                "name",
                &format!("a write to \"{}\", whose name means two things,", self.item.name),
            ));
        }
        if !matches!(self.item.source, Source::Table { home: Home::Unsharded }) {
            defaults::alike(self.relation, self.parts.assignments)?;
        }
        Ok(())
    }

    /// A WITH query hides the table where it is read.
    fn hidden(&self) -> bool {
        let own = self.parts.table.name.parts.as_slice();
        let bare = |cte: &Cte| matches!(own, [name] if name.value == cte.name.value);
        self.parts.with.is_some_and(|with| with.items.iter().any(bare))
    }

    /// The columns that tell a row from all others, on whichever shard: its primary key, and the key that places it.
    fn identity(&self) -> Result<Vec<String>, Refusal> {
        let relation = self.relation;
        let name = |at: &usize| relation.columns.get(*at).map(|column| column.name.clone());
        let primary: Vec<String> = relation.primary_key.iter().flatten().filter_map(name).collect();
        let deferrable = |guard: &crate::catalog::schema::Guard| {
            guard.deferrable && guard.equal.len() == primary.len() && guard.equal.iter().all(|it| primary.contains(it))
        };
        if primary.is_empty() || relation.guards.iter().any(deferrable) {
            return Err(refuse(
                "no-primary-key",
                format!(
                    "the rows of \"{}\" that other shards' rows decide about are written by their primary key, and it has \
                     none, or one that is judged late",
                    relation.name
                ),
                "Give the table a primary key.",
            ));
        }
        let mut keys = primary;
        if let Some((_, (_, column))) = self.analysis().key(self.write.id) {
            let key = relation.columns.get(column).ok_or_else(|| unsupported("write", "this target"))?;
            if !keys.contains(&key.name) {
                if !key.not_null {
                    return Err(unsupported("write", &format!("a write to rows whose \"{}\" may be NULL", key.name)));
                }
                keys.push(key.name.clone());
            }
        }
        Ok(keys)
    }

    /// Columns with their values: as they stand, or what the query gives.
    fn assigned(&mut self, assignment: &Assignment) -> Result<Vec<(String, Told)>, Refusal> {
        if assignment.columns.iter().any(|column| column.part) {
            return Err(unsupported("write", "a part of a column that is set by other rows"));
        }
        if let (true, ExprKind::Subquery(query)) = (assignment.columns.len() > 1, &bare(&assignment.value).kind) {
            return self.row(&assignment.columns, query);
        }
        let mut set = Vec::new();
        for (name, value) in pairs(assignment)? {
            let told = if untyped(value) || !self.is_found(value)? {
                self.kept.push(value.span);
                Told::Words(value.span)
            } else {
                self.per_row(value.span)?;
                Told::Text(self.give(value.span.of(self.sql).to_owned(), None))
            };
            set.push((name.to_owned(), told));
        }
        Ok(set)
    }

    /// `(a, b) = (SELECT …)`: one row at most, and NULLs where there is none.
    fn row(&mut self, columns: &[TargetColumn], query: &Query) -> Result<Vec<(String, Told)>, Refusal> {
        let unread = || unsupported("subquery", "a sub-query of several columns");
        let level = self.analysis().queries.get(&(0, query.span)).ok_or_else(unread)?;
        if level.open || level.outputs.len() != columns.len() || query.with.is_some() {
            return Err(unread());
        }
        self.per_row(query.span)?;
        let number = self.laterals.len();
        let names: Vec<String> = (0..columns.len()).map(|at| format!("pgbraid_x{at}")).collect();
        let names = names.join(", ");
        self.laterals.push(format!(
            "LATERAL (SELECT q.* FROM (SELECT 1) AS pgbraid_o LEFT JOIN (SELECT p.*, pg_catalog.count(*) OVER () FROM ({}) \
             AS p ({names}) LIMIT 1) AS q ({names}, pgbraid_n) ON true) AS pgbraid_r{number}",
            query.span.of(self.sql)
        ));
        self.unsent.push(format!("pgbraid_r{number}.pgbraid_n"));
        let given = columns.iter().enumerate().map(|(at, column)| {
            (column.name.value.clone(), Told::Text(self.give(format!("pgbraid_r{number}.pgbraid_x{at}"), None)))
        });
        Ok(given.collect())
    }

    /// A column of the query's, as the statement on the shards has it.
    fn give(&mut self, sql: String, collation: Option<String>) -> String {
        let at = self.place(sql, collation);
        format!("{ROWS}.pgbraid_{at}")
    }

    /// Its number among them.
    fn place(&mut self, sql: String, collation: Option<String>) -> usize {
        let known = self.columns.iter().position(|column| column.sql == sql && column.collation == collation);
        known.unwrap_or_else(|| {
            self.columns.push(Column { sql, collation });
            self.columns.len() - 1
        })
    }

    /// Whether a value hangs on other rows than its own.
    fn is_found(&self, expr: &Expr) -> Result<bool, Refusal> {
        Ok(has_query(expr) || !self.others(expr)?.is_empty())
    }

    /// The names of other items' columns in an expression, sub-queries left out.
    fn others(&self, expr: &Expr) -> Result<Vec<(Span, Target)>, Refusal> {
        let mut out = Vec::new();
        self.names(expr, &mut out)?;
        Ok(out)
    }

    fn names(&self, expr: &Expr, out: &mut Vec<(Span, Target)>) -> Result<(), Refusal> {
        let row = || unsupported("whole-row", "a whole row beside other tables");
        match &expr.kind {
            ExprKind::Column(name) => match self.analysis().columns.get(&(0, name.span)).map(Vec::as_slice) {
                Some([target]) if target.0 == self.write.id => {}
                Some([target]) => out.push((name.span, *target)),
                // Merged by USING, a whole row, or unknown.
                Some(_) => return Err(unsupported("name", "a column merged by USING in a write on several shards")),
                None if self.parts.joins() => return Err(row()),
                None => {}
            },
            ExprKind::WholeRow(_) if self.parts.joins() => return Err(row()),
            _ => {}
        }
        for part in parts(expr) {
            if let Part::Expr(part) = part {
                self.names(part, out)?;
            }
        }
        Ok(())
    }

    /// What the query gives is evaluated for rows that are then not written, too.
    fn per_row(&self, span: Span) -> Result<(), Refusal> {
        let context = self.writing.resolver.context;
        let inside =
            |call: &&Called| call.place.0 != 0 || call.place.1.start >= span.start && call.place.1.end <= span.end;
        let volatile = |call: &&Called| functions::behaviour(call, context) == Behaviour::PerRow;
        match self.analysis().calls.iter().filter(inside).find(volatile) {
            Some(call) => Err(functions::local(call)),
            None => Ok(()),
        }
    }

    /// What is evaluated once of what stays in the statement; checks what the query evaluates.
    fn once(&mut self) -> Result<Vec<String>, Refusal> {
        let (analysis, context) = (self.analysis(), self.writing.resolver.context);
        let Parts { with, from, filter, .. } = &self.parts;
        let spans = with.map(|with| with.span).into_iter().chain(from.map(|from| from.span));
        for span in spans.chain(filter.map(|filter| filter.span)) {
            self.per_row(span)?;
        }
        let inside = |call: &&Called| {
            let place = call.place.1;
            call.place.0 == 0 && self.kept.iter().any(|span| place.start >= span.start && place.end <= span.end)
        };
        let volatile = |call: &&Called| functions::behaviour(call, context) == Behaviour::PerRow;
        let calls = || analysis.calls.iter().filter(inside);
        if analysis.is_reference(self.write.id)
            && let Some(call) = calls().find(volatile)
        {
            return Err(functions::local(call));
        }
        let around = nothing(self.parts.table.span);
        let mut edits = self.edits.clone();
        let once = self.writing.planner(&around).functions_of(calls(), &mut edits)?;
        if once.iter().any(|text| text.to_ascii_lowercase().starts_with("statement_timestamp")) {
            return Err(unsupported("clock", "statement_timestamp() in a write whose rows are found first"));
        }
        self.edits = edits;
        Ok(once)
    }

    /// Appends a part.
    fn put(&self, out: &mut Vec<Piece>, told: Told) {
        match told {
            Told::Words(span) => self.edits.apply(self.sql, span).into_iter().for_each(|piece| push(out, piece)),
            Told::Text(told) => push(out, text(told)),
        }
    }

    /// The query that finds the rows.
    fn query(&self) -> String {
        let mut sql = String::new();
        if let Some(with) = self.parts.with {
            sql.push_str(with.span.of(self.sql));
            sql.push(' ');
        }
        let columns = self.columns.iter().map(|column| &column.sql).chain(&self.unsent);
        let columns: Vec<&str> = columns.map(String::as_str).collect();
        let from = match self.parts.merge {
            Some(merge) => self.joined(merge),
            None => self.parts.table.span.of(self.sql).to_owned(),
        };
        sql.push_str(&format!("SELECT {} FROM {from}", columns.join(", ")));
        if let Some(from) = self.parts.from {
            // FROM and USING have as many letters as they have.
            let word = if self.parts.word == "UPDATE" { "FROM".len() } else { "USING".len() };
            let items = from.span.of(self.sql).get(word..).unwrap_or_default();
            sql.push_str(&format!(", {}", items.trim_start()));
        }
        for lateral in &self.laterals {
            sql.push_str(&format!(", {lateral}"));
        }
        if let Some(filter) = self.parts.filter {
            sql.push_str(&format!(" {}", filter.span.of(self.sql)));
        }
        sql
    }

    /// What the query's columns are called where the rows are written.
    fn names_there(&self) -> Vec<String> {
        (0..self.columns.len()).map(|at| format!("pgbraid_{at}")).collect()
    }

    /// The statement that the shards are told, up to the rows, which are an item of its FROM.
    fn before(&self, set: Vec<(String, Told)>) -> Vec<Piece> {
        let target = self.parts.table.span.of(self.sql);
        let mut before = match self.parts.word {
            "UPDATE" => vec![text(format!("UPDATE {target} SET "))],
            _ => vec![text(format!("DELETE FROM {target}"))],
        };
        for (turn, (name, told)) in set.into_iter().enumerate() {
            push(&mut before, text(format!("{}{} = ", if turn == 0 { "" } else { ", " }, ident(&name))));
            self.put(&mut before, told);
        }
        push(&mut before, text(if self.parts.word == "UPDATE" { " FROM " } else { " USING " }));
        push(&mut before, text(self.rows_before()));
        before
    }

    /// What stands right before the rows.
    fn rows_before(&self) -> String {
        if !self.is_collated() {
            return String::new();
        }
        let list = self.columns.iter().zip(self.names_there()).map(|(column, name)| match &column.collation {
            Some(collation) => format!("{name} COLLATE {collation}"),
            None => name,
        });
        format!("(SELECT {} FROM ", list.collect::<Vec<_>>().join(", "))
    }

    /// Arrays don't carry collations.
    fn is_collated(&self) -> bool {
        self.columns.iter().any(|column| column.collation.is_some())
    }

    /// What stands behind the rows, up to the comparison of their keys: `word` is before it.
    fn rows_after(&self, word: &str, keys: &[String]) -> String {
        let names = self.names_there().join(", ");
        let inner = if self.is_collated() { format!(" AS pgbraid_i ({names}))") } else { String::new() };
        let compared: Vec<String> = keys
            .iter()
            .enumerate()
            .map(|(at, key)| {
                let column = self.relation.columns.iter().find(|column| column.name == *key);
                let builtin = column.is_some_and(|column| column.type_oid < FIRST_USER_OID);
                let equals = if builtin { "OPERATOR(pg_catalog.=)" } else { "=" };
                format!("{}.{} {equals} {ROWS}.pgbraid_{at}", ident(&self.item.name), ident(key))
            })
            .collect();
        format!("{inner} AS {ROWS} ({names}) {word} {}", compared.join(" AND "))
    }

    fn after(&self, returned: Vec<Told>, keys: &[String]) -> Vec<Piece> {
        let mut after = vec![text(self.rows_after("WHERE", keys))];
        for (turn, told) in returned.into_iter().enumerate() {
            push(&mut after, text(if turn == 0 { " RETURNING " } else { ", " }));
            self.put(&mut after, told);
        }
        after
    }

    /// Where the rows are.
    fn goes(&self) -> Result<FedInto, Refusal> {
        let target = || unsupported("write", "this target");
        Ok(match &self.item.source {
            Source::Table { home: Home::Reference } => {
                FedInto::Copies(self.parts.table.name.span.of(self.sql).to_owned())
            }
            Source::Table { home: Home::Unsharded } => FedInto::Home,
            _ => {
                let (place, (_, column)) = self.analysis().key(self.write.id).ok_or_else(target)?;
                let key = self.relation.columns.get(column).ok_or_else(target)?;
                let at = self.identity()?.iter().position(|name| *name == key.name).ok_or_else(target)?;
                FedInto::Shards {
                    key: KeyCondition {
                        column: self.analysis().display((self.write.id, column)),
                        place: place.clone(),
                        values: Vec::new(),
                        assigned: Some(Assigned { typmod: key.typmod, not_null: key.not_null }),
                    },
                    at: Some(at),
                }
            }
        })
    }
}
