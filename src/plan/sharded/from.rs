//! Resolves FROM: tables, views, sub-queries, functions, joins.

use std::rc::Rc;

use super::Refusal;
use super::analysis::*;
use super::bodies::{self, Judged, Where};
use super::names::*;
use super::refuse::{unresolved, unseen, unsupported};
use crate::catalog::schema::{Caller, Relation, RelationKind};
use crate::sql::ast::*;
use crate::sql::quote::ident;
use crate::topology::placement::TablePlace;

/// Views in views that are opened.
const VIEW_DEPTH: usize = 16;

/// Functions of sets that give one column.
const SCALARS: &[&str] = &[
    "generate_series",
    "generate_subscripts",
    "unnest",
    "regexp_split_to_table",
    "string_to_table",
    "json_array_elements",
    "json_array_elements_text",
    "json_object_keys",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_object_keys",
];

impl Resolver<'_> {
    /// Resolves one item; `left` is what stands before it, for LATERAL.
    pub fn from_item(
        &mut self,
        item: &FromItem,
        scope: ScopeId,
        level: ScopeId,
        left: &Namespace,
    ) -> Result<Namespace, Refusal> {
        match item {
            FromItem::Table(table) => self.table(table, scope, level),
            FromItem::Query(query) => self.from_query(query, scope, level, left),
            FromItem::Function(function) => self.from_function(function, scope, level, left),
            FromItem::Join(join) => self.join(join, scope, level, left),
        }
    }

    fn from_query(
        &mut self,
        item: &FromQuery,
        scope: ScopeId,
        level: ScopeId,
        left: &Namespace,
    ) -> Result<Namespace, Refusal> {
        if item.lateral {
            self.frames.push(left.clone());
        }
        let outputs = self.query(&item.query, scope)?;
        if item.lateral {
            self.frames.pop();
        }
        let inner = self.out.queries.get(&(self.text, item.query.span)).cloned();
        let place = (self.text, item.span);
        let id = self.push(place, item.alias.as_ref(), "", outputs.clone(), Source::Query, (scope, level));
        if let Some(inner) = inner {
            self.bridge(id, &outputs, &inner, scope);
        }
        Ok(self.visible(id, None, item.alias.is_some()))
    }

    /// Carries equalities over between a sub-query's outputs and what is inside.
    fn bridge(&mut self, id: RefId, outputs: &[OutColumn], level: &Level, scope: ScopeId) {
        let inner = level.scope;
        for (at, output) in outputs.iter().enumerate() {
            let Some(origin) = output.origin else { continue };
            if level.free.get(at).copied().unwrap_or(false) {
                // What the outer query asks of the output, it asks of the column inside.
                self.out.facts.push(Fact { scope: inner, column: (id, at), is: Is::Equal(origin) });
            }
            let reached = self.out.equals(origin, inner);
            let known: Vec<Fact> = (self.out.facts.iter())
                .filter(|fact| reached.contains(&fact.column) && self.out.sees(inner, fact.scope))
                .filter_map(|fact| match &fact.is {
                    Is::In(values) => Some(Fact { scope, column: (id, at), is: Is::In(values.clone()) }),
                    Is::Equal(_) => None,
                })
                .collect();
            self.out.facts.extend(known);
        }
    }

    fn from_function(
        &mut self,
        item: &FromFunction,
        scope: ScopeId,
        level: ScopeId,
        left: &Namespace,
    ) -> Result<Namespace, Refusal> {
        self.frames.push(left.clone());
        for function in &item.functions {
            self.expr(function, level)?;
        }
        self.frames.pop();
        // Without an alias the names that the list gives aren't known.
        if item.typed && item.alias.as_ref().is_none_or(|alias| alias.columns.is_empty()) {
            return Err(unsupported("record-function", "a function with a column definition list"));
        }
        let name = item.functions.first().map(figured_name).unwrap_or_default();
        let alias = item.alias.as_ref();
        let mut columns: Vec<OutColumn> =
            alias.iter().flat_map(|alias| &alias.columns).map(|column| computed(column.value.clone())).collect();
        if columns.is_empty() {
            columns.push(computed(alias.map_or(name.clone(), |alias| alias.name.value.clone())));
            if item.ordinality {
                columns.push(computed("ordinality".to_string()));
            }
        }
        let id = self.push((self.text, item.span), None, &name, columns, Source::Function, (scope, level));
        if let (Some(alias), Some(function)) = (alias, self.out.refs.get_mut(id)) {
            function.name = alias.name.value.clone();
        }
        let mut namespace = self.visible(id, None, true);
        if let (false, Some(entry)) =
            (item.functions.len() == 1 && SCALARS.contains(&name.as_str()), namespace.entries.first_mut())
        {
            entry.open = true;
        }
        Ok(namespace)
    }

    pub fn table(&mut self, table: &FromTable, scope: ScopeId, level: ScopeId) -> Result<Namespace, Refusal> {
        let mut names = table.name.parts.iter().rev().map(|part| part.value.as_str());
        let name = names.next().unwrap_or_default();
        let schema = names.next();
        let place = (self.text, table.span);
        if schema.is_none()
            && let Some(cte) = self.ctes.iter().rev().find(|cte| cte.name == name).cloned()
        {
            let source = Source::Cte { inside: cte.inside };
            let mut columns = cte.columns;
            let origins: Vec<Option<Target>> = columns.iter().map(|column| column.origin).collect();
            for column in &mut columns {
                column.origin = None;
            }
            let id = self.push(place, table.alias.as_ref(), name, columns, source, (scope, level));
            self.cte_facts(id, &origins, scope);
            return Ok(self.visible(id, None, true));
        }
        let context = self.context;
        let catalog = |schema: &str| matches!(schema, "pg_catalog" | "information_schema");
        let relation = context.schema.relation(schema, name, context.search_path);
        let Some(relation) = relation else {
            if schema.is_some_and(catalog) || (schema.is_none() && name.starts_with("pg_")) {
                let source = Source::Table { home: Home::Catalog };
                let id = self.push(place, table.alias.as_ref(), name, Vec::new(), source, (scope, level));
                return Ok(self.visible(id, schema.map(str::to_string), true));
            }
            return Err(unseen(name));
        };
        if relation.kind == RelationKind::View && !catalog(&relation.schema) {
            return self.view(table, relation, scope, level);
        }
        let home = self.home(relation)?;
        self.policies(relation, &home)?;
        let columns = columns(relation);
        let source = Source::Table { home };
        let id = self.push(place, table.alias.as_ref(), name, columns, source, (scope, level));
        if let Some(item) = self.out.refs.get_mut(id) {
            item.primary = relation.primary_key.clone();
            item.guarded = relation.row_security;
            item.relation = Some(format!("{}.{}", ident(&relation.schema), ident(&relation.name)));
        }
        Ok(self.visible(id, Some(relation.schema.clone()), true))
    }

    /// Policies of row security run where the rows are: what they read must be there, and all of it.
    fn policies(&self, relation: &Relation, home: &Home) -> Result<(), Refusal> {
        if !relation.row_security {
            return Ok(());
        }
        let place = if matches!(home, Home::Unsharded) { Where::Home } else { Where::Shard };
        let unfit = |caller: &Caller| match bodies::judge(self.context, &caller.function, place) {
            Judged::Unfit(why) => Some(why),
            _ => None,
        };
        if let Some(why) = relation.code.iter().find_map(unfit) {
            return Err(unsupported(
                "policy",
                &format!(
                    "\"{}\", whose policies, defaults or triggers call functions of users ({why}),",
                    relation.name
                ),
            ));
        }
        let fit = |(schema, name): &&(String, String)| match self.context.placement.table(schema, name) {
            Some(TablePlace::Reference) => true,
            Some(_) => false,
            None => place == Where::Home || schema == "pg_catalog",
        };
        let read = relation.policies_read.iter().find(|read| {
            let known = self.context.schema.relations.get(*read);
            let plain = known.is_none_or(|known| matches!(known.kind, RelationKind::Table | RelationKind::Partitioned));
            !(plain && known.is_none_or(|known| known.parent.is_none()) && fit(read))
        });
        match read {
            None => Ok(()),
            Some((_, name)) => Err(unsupported(
                "policy",
                &format!("\"{}\", whose policies read \"{name}\", which isn't whole on every shard,", relation.name),
            )),
        }
    }

    /// A CTE's own constants hold for its rows.
    fn cte_facts(&mut self, id: RefId, origins: &[Option<Target>], scope: ScopeId) {
        for (at, origin) in origins.iter().enumerate() {
            let Some(origin) = *origin else { continue };
            let Some(inner) = self.out.refs.get(origin.0).map(|item| item.level_scope) else { continue };
            let reached = self.out.equals(origin, inner);
            let known: Vec<Fact> = (self.out.facts.iter())
                .filter(|fact| reached.contains(&fact.column) && self.out.sees(inner, fact.scope))
                .filter_map(|fact| match &fact.is {
                    Is::In(values) => Some(Fact { scope, column: (id, at), is: Is::In(values.clone()) }),
                    Is::Equal(_) => None,
                })
                .collect();
            self.out.facts.extend(known);
        }
    }

    /// Where a table's rows are.
    pub fn home(&self, relation: &Relation) -> Result<Home, Refusal> {
        if matches!(relation.schema.as_str(), "pg_catalog" | "information_schema") {
            return Ok(Home::Catalog);
        }
        let mut at = Some((relation.schema.clone(), relation.name.clone()));
        for _ in 0..VIEW_DEPTH {
            let Some((schema, name)) = at else { break };
            if let Some(place) = self.context.placement.table(&schema, &name) {
                let key = match place {
                    crate::topology::placement::TablePlace::Reference => return Ok(Home::Reference),
                    crate::topology::placement::TablePlace::Hash { key, .. }
                    | crate::topology::placement::TablePlace::List { key, .. } => key,
                };
                let column = relation.columns.iter().position(|column| column.name == *key);
                let column = column.ok_or_else(|| unresolved(key))?;
                return Ok(Home::Sharded(place.clone(), column));
            }
            at = self.context.schema.relation(Some(&schema), &name, &[]).and_then(|relation| relation.parent.clone());
        }
        Ok(Home::Unsharded)
    }

    /// A view is its query.
    fn view(
        &mut self,
        table: &FromTable,
        relation: &Relation,
        scope: ScopeId,
        level: ScopeId,
    ) -> Result<Namespace, Refusal> {
        let unreadable = || unsupported("view", &format!("view \"{}\"", relation.name));
        let definition = relation.definition.as_deref().ok_or_else(unreadable)?;
        let definition = definition.trim_end().trim_end_matches(';');
        if self.views >= VIEW_DEPTH {
            return Err(unreadable());
        }
        let Ok(Statement::Query(query)) = crate::sql::parse::parse(definition, true) else { return Err(unreadable()) };
        let text = self.out.texts.len();
        self.out.texts.push(definition.into());
        let frames = std::mem::take(&mut self.frames);
        let ctes = std::mem::take(&mut self.ctes);
        let outer = std::mem::replace(&mut self.text, text);
        self.views += 1;
        let start = self.out.refs.len();
        let outputs = self.query(&query, scope);
        self.views -= 1;
        self.text = outer;
        self.ctes = ctes;
        self.frames = frames;
        let mut outputs = outputs?;
        for (output, column) in outputs.iter_mut().zip(columns(relation)) {
            output.name = column.name;
            output.type_oid = column.type_oid;
            output.collation = column.collation;
        }
        let inside = start..self.out.refs.len();
        let inner = self.out.queries.get(&(text, query.span)).cloned();
        let view = Rc::new(View { text, query: *query });
        let source = Source::View { inside, view };
        let place = (self.text, table.span);
        let id = self.push(place, table.alias.as_ref(), &relation.name, outputs.clone(), source, (scope, level));
        if let Some(item) = self.out.refs.get_mut(id) {
            item.relation = Some(format!("{}.{}", ident(&relation.schema), ident(&relation.name)));
        }
        if let Some(inner) = inner {
            self.bridge(id, &outputs, &inner, scope);
        }
        Ok(self.visible(id, Some(relation.schema.clone()), true))
    }

    fn push(
        &mut self,
        place: Place,
        alias: Option<&Alias>,
        name: &str,
        columns: Vec<OutColumn>,
        source: Source,
        (scope, level_scope): (ScopeId, ScopeId),
    ) -> RefId {
        let own_names = alias.is_some_and(|alias| !alias.columns.is_empty());
        let columns = renamed(columns, alias.map_or(&[], |alias| &alias.columns));
        let name = alias.map_or_else(|| name.to_string(), |alias| alias.name.value.clone());
        let id = self.out.refs.len();
        self.out.items.insert(place, id);
        self.out.refs.push(Ref {
            name,
            columns,
            source,
            place,
            scope,
            level_scope,
            used: Default::default(),
            held: Default::default(),
            primary: None,
            relation: None,
            renamed: own_names,
            whole: false,
            system: false,
            guarded: false,
        });
        id
    }

    fn visible(&self, id: RefId, schema: Option<String>, named: bool) -> Namespace {
        let Some(item) = self.out.refs.get(id) else { return Namespace::default() };
        let columns: Vec<(String, Vec<Target>)> =
            item.columns.iter().enumerate().map(|(at, column)| (column.name.clone(), vec![(id, at)])).collect();
        let entry = Entry {
            alias: item.name.clone(),
            schema,
            columns: columns.clone(),
            id: Some(id),
            open: item.columns.is_empty(),
        };
        Namespace { entries: if named { vec![entry] } else { Vec::new() }, columns }
    }

    fn join(&mut self, join: &Join, scope: ScopeId, level: ScopeId, left: &Namespace) -> Result<Namespace, Refusal> {
        // What ON says holds for the side that gets NULLs instead; for both of an inner join.
        let inner = if join.kind == JoinKind::Inner { scope } else { self.child(scope) };
        self.out.joins.insert((self.text, join.span), inner);
        let (left_scope, right_scope) = match join.kind {
            JoinKind::Inner => (scope, scope),
            JoinKind::Left => (scope, inner),
            JoinKind::Right => (inner, scope),
            JoinKind::Full => (self.child(scope), self.child(scope)),
        };
        let one = self.from_item(&join.left, left_scope, level, left)?;
        let mut seen = left.clone();
        seen.join(one.clone());
        let two = self.from_item(&join.right, right_scope, level, &seen)?;
        let mut both = self.joined(join, one, two, inner)?;
        if let JoinCondition::On(condition) = &join.condition {
            self.frames.push({
                let mut frame = left.clone();
                frame.join(both.clone());
                frame
            });
            self.condition(condition, inner)?;
            self.frames.pop();
        }
        if let Some(alias) = &join.alias {
            if !alias.columns.is_empty() {
                // Its names stand for columns by their place: none may be left away.
                let all: Vec<Target> = both.columns.iter().flat_map(|(_, targets)| targets.clone()).collect();
                all.into_iter().for_each(|target| self.hold_column(target));
            }
            for ((name, _), given) in both.columns.iter_mut().zip(&alias.columns) {
                *name = given.value.clone();
            }
            both.entries = vec![Entry {
                alias: alias.name.value.clone(),
                schema: None,
                columns: both.columns.clone(),
                id: None,
                open: both.entries.iter().any(|entry| entry.open),
            }];
        }
        Ok(both)
    }

    /// The columns of both sides, those of USING or NATURAL merged.
    fn joined(
        &mut self,
        join: &Join,
        mut one: Namespace,
        mut two: Namespace,
        scope: ScopeId,
    ) -> Result<Namespace, Refusal> {
        let names: Vec<String> = match &join.condition {
            JoinCondition::Using(columns, alias) => {
                if alias.is_some() {
                    return Err(unsupported("using-alias", "JOIN … USING … AS"));
                }
                columns.iter().map(|column| column.value.clone()).collect()
            }
            JoinCondition::Natural => {
                let shared = |name: &&String| two.columns.iter().any(|(other, _)| other == *name);
                one.columns.iter().map(|(name, _)| name).filter(shared).cloned().collect()
            }
            _ => Vec::new(),
        };
        let mut merged = Vec::new();
        for name in names {
            let left = take(&mut one.columns, &name).ok_or_else(|| unresolved(&name))?;
            let right = take(&mut two.columns, &name).ok_or_else(|| unresolved(&name))?;
            for target in left.iter().chain(&right) {
                self.hold_column(*target);
            }
            if let (Some(&left), Some(&right)) = (left.first(), right.first()) {
                self.out.facts.push(Fact { scope, column: left, is: Is::Equal(right) });
            }
            let targets = match join.kind {
                JoinKind::Right => right,
                // Neither side's column: the value is of whichever has one.
                JoinKind::Full => Vec::new(),
                _ => left,
            };
            merged.push((name, targets));
        }
        let mut both = Namespace { entries: one.entries, columns: merged };
        both.entries.extend(two.entries);
        both.columns.extend(one.columns);
        both.columns.extend(two.columns);
        Ok(both)
    }
}

fn take(columns: &mut Vec<(String, Vec<Target>)>, name: &str) -> Option<Vec<Target>> {
    let at = columns.iter().position(|(column, _)| column == name)?;
    Some(columns.remove(at).1)
}

/// A relation's columns as a FROM item gives them.
fn columns(relation: &Relation) -> Vec<OutColumn> {
    let column = |column: &crate::catalog::schema::Column| OutColumn {
        name: column.name.clone(),
        origin: None,
        type_oid: column.type_oid,
        collation: column.collation.clone().map_or(Known::None, Known::Collation),
    };
    relation.columns.iter().map(column).collect()
}
