//! Plans of COPY: of a table or a query, out of shards and into them.

use super::analysis::{Analysis, Home, RefId, Source};
use super::copy_options;
use super::copy_options::CopyKind;
use super::defaults;
use super::functions::{self, Behaviour};
use super::modify::several;
use super::names::{Namespace, Resolver};
use super::refuse::{refuse, unsupported};
use super::splice::Edits;
use super::{
    Access, Assigned, Context, Copied, CopyKey, Deal, Finish, Input, KeyCondition, KeyFrom, Plan, Refusal, Scatter,
    Work,
};
use crate::catalog::schema::{Column, Oid, Relation};
use crate::sql::ast::*;
use crate::sql::quote::ident;
use crate::topology::placement::TablePlace;

/// Plans COPY.
pub fn plan(sql: &str, copy: &Copy, context: &Context<'_>, params: &[Oid]) -> Result<Plan, Refusal> {
    let (name, columns) = match &copy.source {
        // PostgreSQL refuses it before it does anything: in its own words.
        CopySource::Statement(statement, _) if says_nothing(statement) => {
            let proof = vec!["COPY of a write without RETURNING, which fails".to_string()];
            return Ok(Plan { access: Access::Home, work: Work::Route { otherwise: several() }, writes: true, proof });
        }
        CopySource::Statement(statement, _) => return super::plan(sql, statement, context, params),
        CopySource::Table(name, columns) => (name, columns.as_deref()),
    };
    let mut resolver = Resolver::new(context, params, sql);
    let table = FromTable { span: name.span, name: name.clone(), only: false, alias: None, tablesample: None };
    let namespace = resolver.table(&table, 0, 0)?;
    let id = resolver.out.refs.len().checked_sub(1).ok_or_else(|| unsupported("copy", "COPY of this relation"))?;
    if let Some(filter) = &copy.filter {
        let mut frame = Namespace::default();
        frame.join(namespace);
        resolver.frames.push(frame);
        resolver.expr(filter, 0)?;
        resolver.frames.pop();
    }
    functions::admissible(&resolver.out, context, false)?;
    let home = match resolver.out.refs.get(id).map(|item| &item.source) {
        Some(Source::Table { home }) => home.clone(),
        _ => return Err(unsupported("copy", "COPY of this relation")),
    };
    let route = |access: Access| Plan {
        access,
        work: Work::Route { otherwise: several() },
        writes: copy.from,
        proof: vec!["COPY of a table that one shard has whole".to_string()],
    };
    match home {
        Home::Unsharded | Home::Catalog => return Ok(route(Access::Home)),
        Home::Reference if !copy.from => return Ok(route(Access::Any)),
        _ => {}
    }
    let mut edits = Edits::default();
    let (finish, proof) = if copy.from {
        let into = Into { sql, copy, columns, table: &table, id, resolver: &resolver };
        let (copied, proof) = into.copied(&home)?;
        if let Some(first) = columns.and_then(|columns| columns.first()) {
            let names: String = copied.fills.iter().map(|fill| format!("{}, ", ident(&fill.column))).collect();
            edits.insert(first.span.start, names);
        }
        (Finish::Copied(copied), proof)
    } else {
        (everything(), "the shards' rows one after another are the table's")
    };
    let input = Input { sql: edits.apply(sql, copy.span), access: Access::All, columns: Vec::new() };
    let scatter = Scatter::new(vec![input], finish, Vec::new());
    Ok(Plan { access: Access::All, work: Work::Scatter(scatter), writes: copy.from, proof: vec![proof.to_string()] })
}

/// Whether it writes and has no rows to give.
fn says_nothing(statement: &Statement) -> bool {
    match statement {
        Statement::Insert(insert) => insert.returning.is_none(),
        Statement::Update(update) => update.returning.is_none(),
        Statement::Delete(delete) => delete.returning.is_none(),
        Statement::Merge(merge) => merge.returning.is_none(),
        _ => false,
    }
}

fn everything() -> Finish {
    Finish::Stream { order: Vec::new(), hidden: 0, limit: None, offset: None, with_ties: false, instead: None }
}

/// `COPY table FROM`, its names resolved.
struct Into<'a> {
    sql: &'a str,
    copy: &'a Copy,
    columns: Option<&'a [Ident]>,
    table: &'a FromTable,
    id: RefId,
    resolver: &'a Resolver<'a>,
}

impl Into<'_> {
    fn analysis(&self) -> &Analysis {
        &self.resolver.out
    }

    fn copied(&self, home: &Home) -> Result<(Copied, &'static str), Refusal> {
        if !self.copy.stdio {
            return Err(refuse(
                "copy-file",
                "pgbraid can't COPY a server's file or program into several shards",
                "COPY … FROM STDIN; in psql, \\copy.",
            ));
        }
        let resolver = self.resolver;
        if let Some(refusal) = resolver.no_code(self.table, self.id)? {
            return Err(refusal);
        }
        resolver.guarded(self.table, self.id, None)?;
        let relation = resolver.relation_of(self.table).ok_or_else(|| unsupported("copy", "COPY of this relation"))?;
        self.filter_alike()?;
        let fields = self.fields(relation)?;
        let copies = *home == Home::Reference;
        let context = resolver.context;
        let key_column = match home {
            Home::Sharded(_, column) => relation.columns.get(*column),
            _ => None,
        };
        let mut fills = Vec::new();
        let mut key_fill = None;
        for column in relation.columns.iter().filter(|column| !column.generated) {
            let is_key = key_column.is_some_and(|key| key.name == column.name);
            let unknown = is_key && column.default.is_none() && !column.identity;
            if fields.iter().any(|field| field.name == column.name) || unknown {
                continue;
            }
            if let Some(fill) = defaults::left_out(relation, column, copies, is_key)? {
                key_fill = if is_key { Some(fills.len()) } else { key_fill };
                fills.push(fill);
            }
        }
        let (deal, proof) = match home {
            Home::Sharded(place, column) => (
                Deal::ByKey(self.key(relation, place, *column, (&fields, key_fill))?),
                "each row goes to the shard of its key, as the client wrote it",
            ),
            _ => (
                Deal::Copies(self.table.name.span.of(self.sql).to_owned()),
                "every shard gets the same rows for its copy of the reference table",
            ),
        };
        let key = match &deal {
            Deal::ByKey(key) => Some(key.name.as_str()),
            Deal::Copies(_) => None,
        };
        let mut format = copy_options::read(self.copy, self.sql, context.standard_strings, context.schema.version, key);
        if !fills.is_empty() && matches!(&format, Ok(format) if format.kind == CopyKind::Binary) {
            format = Err(refuse(
                "default",
                "pgbraid can't put values of the home shard's into rows in binary format",
                "COPY all columns, or in text or CSV.",
            ));
        }
        let filtered = self.copy.filter.is_some();
        Ok((Copied { relation: relation.name.clone(), format, deal, filtered, fills }, proof))
    }

    /// What WHERE says must be the same wherever the row is.
    fn filter_alike(&self) -> Result<(), Refusal> {
        let analysis = self.analysis();
        let alike = |call| functions::behaviour(call, self.resolver.context) == Behaviour::Same;
        let system = analysis.refs.get(self.id).is_some_and(|item| item.system);
        if analysis.refs.len() != 1 || analysis.moments || system || !analysis.calls.iter().all(alike) {
            return Err(refuse(
                "copy-filter",
                "pgbraid can't prove that WHERE of this COPY is the same on every shard",
                "Compare columns with constants in it, or leave rows out before they are sent.",
            ));
        }
        Ok(())
    }

    /// The columns whose values a row gives, in order.
    fn fields<'a>(&self, relation: &'a Relation) -> Result<Vec<&'a Column>, Refusal> {
        match self.columns {
            None => Ok(relation.columns.iter().filter(|column| !column.generated).collect()),
            Some(names) => {
                let find = |name: &Ident| relation.columns.iter().find(|column| column.name == name.value);
                let found: Option<Vec<&Column>> = names.iter().map(find).collect();
                found.ok_or_else(|| unsupported("copy", "COPY of columns that aren't known"))
            }
        }
    }

    fn key(
        &self,
        relation: &Relation,
        place: &TablePlace,
        column: usize,
        (fields, fill): (&[&Column], Option<usize>),
    ) -> Result<CopyKey, Refusal> {
        let key = relation.columns.get(column).ok_or_else(|| unsupported("copy", "COPY of this relation"))?;
        let field = fields.iter().position(|field| field.name == key.name).map(KeyFrom::Field);
        let from = field.or(fill.map(KeyFrom::Fill)).ok_or_else(|| {
            refuse(
                "insert-key",
                format!("pgbraid can't prove to which shard a row without a value for \"{}\" belongs", key.name),
                format!("Name \"{}\", the sharding key of \"{}\", among COPY's columns.", key.name, relation.name),
            )
        })?;
        let condition = KeyCondition {
            column: self.analysis().display((self.id, column)),
            place: place.clone(),
            values: Vec::new(),
            assigned: Some(Assigned { typmod: key.typmod, not_null: key.not_null }),
        };
        Ok(CopyKey {
            condition,
            name: key.name.clone(),
            type_oid: key.type_oid,
            type_name: key.type_name.clone(),
            not_null: key.not_null,
            from,
        })
    }
}
