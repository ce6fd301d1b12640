//! Resolves the names of a query as PostgreSQL's parser does: scopes, aliases, CTEs, views.

use std::ops::Range;

use super::among::only_rows;
use super::analysis::*;
use super::facts::Reader;
use super::functions::is_aggregate;
use super::outer::Aggregated;
use super::refuse::{unresolved, unsupported};
use super::rows::RowUse;
use super::walk::{Part, bare, parts};
use super::{Context, Refusal};
use crate::catalog::schema::Oid;
use crate::sql::ast::*;
use crate::sql::quote::ident;

/// System columns, which every table has.
const SYSTEM: &[&str] = &["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

/// Whether a text read as a date or time would hang on the moment: 'now', 'today 10:00'.
fn moment(text: &str) -> bool {
    let words = || text.split_ascii_whitespace();
    let now =
        |word: &str| ["now", "today", "tomorrow", "yesterday"].iter().any(|moment| word.eq_ignore_ascii_case(moment));
    let time = |word: &str| word.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-'));
    words().any(now) && words().all(|word| now(word) || time(word))
}

/// What names of columns can mean at one level.
#[derive(Clone, Default)]
pub struct Namespace {
    pub entries: Vec<Entry>,
    /// What unqualified names and `*` see, in order. Several targets: merged by USING.
    pub columns: Vec<(String, Vec<Target>)>,
}

/// One FROM item as qualified names see it.
#[derive(Clone)]
pub struct Entry {
    pub alias: String,
    pub schema: Option<String>,
    pub columns: Vec<(String, Vec<Target>)>,
    pub id: Option<RefId>,
    /// It has columns that aren't known.
    pub open: bool,
}

impl Namespace {
    pub fn join(&mut self, other: Namespace) {
        self.entries.extend(other.entries);
        self.columns.extend(other.columns);
    }
}

/// A CTE in sight.
#[derive(Clone)]
pub struct CteSeen {
    pub name: String,
    pub columns: Vec<OutColumn>,
    pub inside: Range<RefId>,
}

/// Walks a statement and collects the analysis.
pub struct Resolver<'a> {
    pub context: &'a Context<'a>,
    pub params: &'a [Oid],
    pub out: Analysis,
    /// Namespaces from the outermost to the innermost.
    pub frames: Vec<Namespace>,
    pub ctes: Vec<CteSeen>,
    /// The text that is walked.
    pub text: usize,
    pub views: usize,
    /// A `*` stood for columns that aren't known.
    pub open: bool,
    /// What becomes of what is resolved, if it is a whole row.
    pub used_as: RowUse,
    /// The next query's `*` needs no columns.
    idle: bool,
    /// The aggregates whose arguments are being resolved.
    pub aggregated: Vec<Aggregated>,
    /// Where `xmax` is only asked whether the row is new, by text.
    pub asked_if_new: Vec<(usize, Span)>,
}

impl<'a> Resolver<'a> {
    pub fn new(context: &'a Context<'a>, params: &'a [Oid], sql: &str) -> Self {
        let mut out = Analysis::default();
        out.texts.push(sql.into());
        out.scopes.push(None);
        Self {
            context,
            params,
            out,
            frames: Vec::new(),
            ctes: Vec::new(),
            text: 0,
            views: 0,
            open: false,
            used_as: RowUse::Value,
            idle: false,
            aggregated: Vec::new(),
            asked_if_new: Vec::new(),
        }
    }

    pub fn child(&mut self, scope: ScopeId) -> ScopeId {
        self.out.scopes.push(Some(scope));
        self.out.scopes.len() - 1
    }

    /// Resolves a query that stands in `scope`.
    pub fn query(&mut self, query: &Query, scope: ScopeId) -> Result<Vec<OutColumn>, Refusal> {
        let idle = std::mem::take(&mut self.idle);
        let scope = self.child(scope);
        let start = self.out.refs.len();
        let ctes = self.ctes.len();
        self.out.locks |= !query.locking.is_empty();
        if let Some(with) = &query.with {
            self.with(with)?;
        }
        self.idle = idle;
        let (outputs, namespace) = self.body(&query.body, scope)?;
        self.idle = false;
        // ORDER BY and LIMIT see what the body sees; plain output names come first.
        let frame = namespace.is_some();
        self.frames.extend(namespace);
        let names: Vec<String> = outputs.iter().map(|column| column.name.clone()).collect();
        for item in query.order_by.iter().flat_map(|order| &order.items) {
            if output_name(&item.expr).is_some_and(|name| names.iter().any(|output| output == name)) {
                continue;
            }
            if frame {
                self.expr(&item.expr, scope)?;
            }
        }
        if frame {
            self.frames.pop();
        }
        for bound in query.limit.iter().filter_map(|limit| limit.count.as_ref()) {
            self.expr(bound, scope)?;
        }
        if let Some(offset) = &query.offset {
            self.expr(&offset.count, scope)?;
        }
        self.ctes.truncate(ctes);
        let open = self.open;
        let free = (0..outputs.len()).map(|at| self.commutes(query, at)).collect();
        let bounded = query.limit.is_some() || query.offset.is_some();
        let inside = start..self.out.refs.len();
        let level = Level { scope, open, outputs: outputs.clone(), free, inside, bounded };
        self.out.queries.insert((self.text, query.span), level);
        Ok(outputs)
    }

    pub fn with(&mut self, with: &With) -> Result<(), Refusal> {
        for cte in &with.items {
            let start = self.out.refs.len();
            let columns = match &cte.statement {
                Statement::Query(query) => {
                    let recursive = with.recursive && mentions(&query.body, &cte.name.value);
                    if recursive {
                        self.recursive(cte, query)?
                    } else {
                        let saved = std::mem::take(&mut self.frames);
                        let columns = self.query(query, 0);
                        self.frames = saved;
                        columns?
                    }
                }
                writing => {
                    let saved = std::mem::take(&mut self.frames);
                    let columns = self.write(writing, 0);
                    self.frames = saved;
                    columns?
                }
            };
            if cte.search_or_cycle {
                return Err(unsupported("search-cycle", "SEARCH or CYCLE"));
            }
            let columns = renamed(columns, &cte.columns);
            let inside = start..self.out.refs.len();
            self.ctes.push(CteSeen { name: cte.name.value.clone(), columns, inside });
        }
        Ok(())
    }

    /// A query that names itself: its columns are those of its first branch.
    fn recursive(&mut self, cte: &Cte, query: &Query) -> Result<Vec<OutColumn>, Refusal> {
        let QueryBody::SetOperation(operation) = &query.body else {
            return Err(unsupported("recursive", "this recursive WITH query"));
        };
        let start = self.out.refs.len();
        let saved = std::mem::take(&mut self.frames);
        let scope = self.child(0);
        let (mut columns, _) = self.body(&operation.left, scope)?;
        for column in &mut columns {
            column.origin = None;
        }
        let seen = CteSeen {
            name: cte.name.value.clone(),
            columns: renamed(columns.clone(), &cte.columns),
            inside: start..self.out.refs.len(),
        };
        self.ctes.push(seen);
        let scope = self.child(0);
        self.body(&operation.right, scope)?;
        self.ctes.pop();
        self.frames = saved;
        Ok(columns)
    }

    /// A body's outputs, and the namespace that ORDER BY sees.
    fn body(&mut self, body: &QueryBody, scope: ScopeId) -> Result<(Vec<OutColumn>, Option<Namespace>), Refusal> {
        match body {
            QueryBody::Select(select) => {
                let (outputs, namespace) = self.select(select, scope)?;
                Ok((outputs, Some(namespace)))
            }
            QueryBody::Values(values) => {
                for expr in values.rows.iter().flat_map(|row| &row.values) {
                    // `t.*` stands for its columns there.
                    let columns = matches!(bare(expr).kind, ExprKind::WholeRow(_));
                    self.used_as = if columns { RowUse::Fields } else { RowUse::Value };
                    self.expr(expr, scope)?;
                    self.used_as = RowUse::Value;
                }
                let first = values.rows.iter().take(1).flat_map(|row| &row.values);
                let width = first.map(|value| self.columns_of(value)).sum();
                let outputs = (1..=width).map(|at| computed(format!("column{at}"))).collect();
                Ok((outputs, None))
            }
            QueryBody::Table(table, span) => {
                if self.text == 0 {
                    self.out.table_words.push(Span::new(span.start, table.span.start));
                }
                let namespace = self.table(table, scope, scope)?;
                let outputs = self.star_outputs(&namespace.columns);
                Ok((outputs, Some(namespace)))
            }
            QueryBody::SetOperation(operation) => {
                let left_scope = self.child(scope);
                let (mut outputs, _) = self.body(&operation.left, left_scope)?;
                let right_scope = self.child(scope);
                let (right, _) = self.body(&operation.right, right_scope)?;
                for (left, right) in outputs.iter_mut().zip(&right) {
                    left.origin = None;
                    if left.type_oid != right.type_oid {
                        left.type_oid = 0;
                    }
                    if left.collation != right.collation {
                        left.collation = Known::Unknown;
                    }
                }
                Ok((outputs, None))
            }
            QueryBody::Nested(query, _) => Ok((self.query(query, scope)?, None)),
        }
    }

    fn select(&mut self, select: &Select, scope: ScopeId) -> Result<(Vec<OutColumn>, Namespace), Refusal> {
        let idle = std::mem::take(&mut self.idle);
        let mut namespace = Namespace::default();
        for item in select.from.iter().flat_map(|from| &from.items) {
            let next = self.from_item(item, scope, scope, &namespace)?;
            namespace.join(next);
        }
        self.frames.push(namespace);
        if let Some(filter) = &select.filter {
            self.condition(&filter.expr, scope)?;
        }
        let mut outputs = Vec::new();
        for item in &select.items {
            match &item.kind {
                SelectItemKind::Expr(expr) => {
                    self.expr(expr, scope)?;
                    // How many columns that is isn't counted.
                    self.open |= matches!(bare(expr).kind, ExprKind::FieldStar(_));
                    outputs.push(self.output(expr, item.alias.as_ref()));
                }
                SelectItemKind::Star(name) => match self.tables_of(name.as_ref()).filter(|_| idle) {
                    Some(tables) => self.out.idle_stars.push(IdleStar { span: item.span, tables }),
                    None => {
                        let columns = self.star(name.as_ref())?;
                        outputs.extend(self.star_outputs(&columns));
                    }
                },
            }
        }
        for expr in select.distinct.iter().filter_map(|distinct| distinct.on.as_ref()).flatten() {
            self.named(expr, &outputs, true, scope)?;
        }
        for item in select.group_by.iter().flat_map(|group| &group.items) {
            match item {
                GroupItem::Expr(expr) => self.named(expr, &outputs, false, scope)?,
                GroupItem::Empty(_) => {}
                GroupItem::Sets(_, exprs) => {
                    for expr in exprs {
                        self.grouped(expr, &outputs, scope)?;
                    }
                }
            }
        }
        if let Some(having) = &select.having {
            self.expr(&having.expr, scope)?;
        }
        for window in &select.windows {
            self.window(&window.window, scope)?;
        }
        let namespace = self.frames.pop().unwrap_or_default();
        Ok((outputs, namespace))
    }

    /// An expression of GROUP BY or DISTINCT ON, which may be an output's name.
    fn named(&mut self, expr: &Expr, outputs: &[OutColumn], output_first: bool, scope: ScopeId) -> Result<(), Refusal> {
        if let Some(name) = output_name(expr) {
            let output = outputs.iter().any(|output| output.name == name);
            let input = self.frames.last().is_some_and(|frame| frame.columns.iter().any(|(column, _)| column == name));
            if output && (output_first || !input) {
                return Ok(());
            }
        }
        self.expr(expr, scope)
    }

    /// An expression of ROLLUP and the like: `(a, b)` are two.
    fn grouped(&mut self, expr: &Expr, outputs: &[OutColumn], scope: ScopeId) -> Result<(), Refusal> {
        match &expr.kind {
            ExprKind::Row(list) => list.iter().try_for_each(|expr| self.grouped(expr, outputs, scope)),
            ExprKind::Paren(inner) => self.grouped(inner, outputs, scope),
            _ => self.named(expr, outputs, false, scope),
        }
    }

    fn window(&mut self, window: &Window, scope: ScopeId) -> Result<(), Refusal> {
        let exprs = window.partition_by.iter().chain(window.order_by.iter().map(|item| &item.expr));
        for expr in exprs.chain(&window.bounds) {
            self.expr(expr, scope)?;
        }
        Ok(())
    }

    /// A condition whose conjuncts confine what `scope` holds.
    pub fn condition(&mut self, expr: &Expr, scope: ScopeId) -> Result<(), Refusal> {
        // Facts are read first for the sub-queries, which stand in the scope anyway: order doesn't matter.
        self.expr(expr, scope)?;
        let reader = Reader { analysis: &self.out, text: self.text, params: self.params };
        let facts = reader.facts(expr, scope);
        self.out.facts.extend(facts);
        self.among(expr, scope);
        Ok(())
    }

    /// Resolves an expression's names; its sub-queries stand in `scope`.
    pub fn expr(&mut self, expr: &Expr, scope: ScopeId) -> Result<(), Refusal> {
        match &expr.kind {
            ExprKind::Column(name) => return self.column(name),
            ExprKind::Literal(Literal::Text(Some(value))) => self.out.moments |= moment(value),
            ExprKind::WholeRow(name) => {
                let alias = name.parts.last().map(|part| part.value.as_str()).unwrap_or_default();
                self.aggregates_row(None, alias);
                return self.whole_row(alias, expr.span).ok_or_else(|| unresolved(alias));
            }
            ExprKind::Field { operand, field } if self.field_of_row(operand, Some(&field.value)) => return Ok(()),
            ExprKind::FieldStar(operand) if self.field_of_row(operand, None) => return Ok(()),
            ExprKind::Field { field, .. } => {
                // A field that is none is a function of the value.
                let functions = self.context.schema.functions.get(&field.value);
                if functions.is_some_and(|all| all.iter().any(|function| !function.builtin)) {
                    self.calls(&field.value, expr.span);
                }
            }
            ExprKind::Function(call) => {
                let mut names = call.name.parts.iter().rev().map(|part| part.value.clone());
                let called = Called {
                    place: (self.text, expr.span),
                    name: names.next().unwrap_or_default(),
                    schema: names.next(),
                    arguments: call.args.len(),
                    special: call.special,
                };
                let aggregate = call.over.is_none() && is_aggregate(self.context, &called.name);
                self.out.calls.push(called);
                if aggregate {
                    return self.aggregate(expr, scope);
                }
            }
            _ => {}
        }
        self.within(expr, scope)
    }

    /// What stands in an expression.
    pub fn within(&mut self, expr: &Expr, scope: ScopeId) -> Result<(), Refusal> {
        for part in parts(expr) {
            match part {
                Part::Expr(part) => {
                    let used_as = self.row_use(expr, part);
                    let outer = std::mem::replace(&mut self.used_as, used_as);
                    self.expr(part, scope)?;
                    self.used_as = outer;
                }
                Part::Query(query) => {
                    self.idle = self.text == 0 && matches!(expr.kind, ExprKind::Exists(_)) && only_rows(query);
                    let outer = std::mem::take(&mut self.used_as);
                    self.query(query, scope)?;
                    self.used_as = outer;
                    self.idle = false;
                }
            }
        }
        Ok(())
    }

    fn use_column(&mut self, target: Target) {
        if let Some(item) = self.out.refs.get_mut(target.0) {
            item.used.insert(target.1);
        }
    }

    /// Uses a column that isn't named: `*`, USING, a whole row.
    pub fn hold_column(&mut self, target: Target) {
        if let Some(item) = self.out.refs.get_mut(target.0) {
            item.used.insert(target.1);
            item.held.insert(target.1);
        }
    }

    fn column(&mut self, name: &Name) -> Result<(), Refusal> {
        let parts: Vec<&str> = name.parts.iter().map(|part| part.value.as_str()).collect();
        let found = match parts.as_slice() {
            [column] => {
                let mut found = None;
                for (level, frame) in self.frames.iter().enumerate().rev() {
                    found = frame.columns.iter().find(|(name, _)| name == column).map(|(_, to)| to.clone());
                    // It may be a column that isn't known: nothing is claimed of it.
                    if found.is_none() && frame.entries.iter().any(|entry| entry.open) {
                        return Ok(());
                    }
                    if found.is_some() {
                        self.aggregated.iter_mut().for_each(|aggregate| aggregate.reads(level));
                        break;
                    }
                }
                found
            }
            [.., alias, column] => {
                let schema = (parts.len() > 2).then(|| parts.get(parts.len() - 3).copied()).flatten();
                self.aggregates_row(schema, alias);
                let entry = self.entry(schema, alias);
                let found = entry.and_then(|entry| {
                    entry.columns.iter().find(|(name, _)| name == column).map(|(_, targets)| targets.clone())
                });
                if found.is_none()
                    && let Some(entry) = entry.filter(|entry| entry.id.is_some()).cloned()
                {
                    let function = !entry.open && !SYSTEM.contains(column);
                    let new = *column == "xmax" && self.asked_if_new.contains(&(self.text, name.span));
                    if !(new || function && self.function_of_row(&entry, column, name.span))
                        && let Some(item) = entry.id.and_then(|id| self.out.refs.get_mut(id))
                    {
                        // A system column, or a function of the row written as a field.
                        item.system = true;
                    }
                    return Ok(());
                }
                found
            }
            [] => None,
        };
        if let Some(targets) = found {
            for target in &targets {
                self.use_column(*target);
            }
            if let (3.., [.., column], Some(&(id, _)), 0) = (parts.len(), parts.as_slice(), targets.first(), self.text)
            {
                self.out.long_names.push((name.span, id, format!(".{}", ident(column))));
            }
            self.out.columns.insert((self.text, name.span), targets);
            return Ok(());
        }
        let [single] = parts.as_slice() else { return Err(unresolved(&parts.join("."))) };
        if SYSTEM.contains(single) {
            if self.asked_if_new.contains(&(self.text, name.span)) {
                return Ok(());
            }
            self.system_column();
            return Ok(());
        }
        self.aggregates_row(None, single);
        self.whole_row(single, name.span).ok_or_else(|| unresolved(single))
    }

    /// A system column without a table's name: one of the innermost query that has tables.
    fn system_column(&mut self) {
        for frame in self.frames.iter().rev() {
            let mut tables = false;
            for id in frame.entries.iter().filter_map(|entry| entry.id) {
                if let Some(item) = self.out.refs.get_mut(id) {
                    item.system = true;
                    tables |= matches!(item.source, Source::Table { .. });
                }
            }
            if tables {
                break;
            }
        }
    }

    pub fn entry(&self, schema: Option<&str>, alias: &str) -> Option<&Entry> {
        let fits = |entry: &&Entry| entry.alias == alias && (schema.is_none() || entry.schema.as_deref() == schema);
        self.frames.iter().rev().find_map(|frame| frame.entries.iter().find(fits))
    }

    /// The tables that a `*` is about, if it is about nothing else.
    fn tables_of(&self, name: Option<&Name>) -> Option<Vec<RefId>> {
        let table = |entry: &Entry| {
            let id = entry.id?;
            matches!(self.out.refs.get(id)?.source, Source::Table { .. }).then_some(id)
        };
        match name {
            None => self.frames.last()?.entries.iter().map(table).collect(),
            Some(name) => Some(vec![table(self.entry(None, &name.parts.last()?.value)?)?]),
        }
    }

    pub fn star(&mut self, name: Option<&Name>) -> Result<Vec<(String, Vec<Target>)>, Refusal> {
        let columns = match name {
            None => self.frames.last().map(|frame| frame.columns.clone()).unwrap_or_default(),
            Some(name) => {
                let alias = name.parts.last().map(|part| part.value.as_str()).unwrap_or_default();
                let entry = self.entry(None, alias).cloned().ok_or_else(|| unresolved(alias))?;
                if let (Some(id), 2.., 0) = (entry.id, name.parts.len(), self.text) {
                    self.out.long_names.push((name.span, id, String::new()));
                }
                entry.columns
            }
        };
        self.open |= self.frames.last().is_some_and(|frame| frame.entries.iter().any(|entry| entry.open));
        for target in columns.iter().flat_map(|(_, targets)| targets) {
            self.hold_column(*target);
        }
        Ok(columns)
    }

    pub fn star_outputs(&mut self, columns: &[(String, Vec<Target>)]) -> Vec<OutColumn> {
        let mut outputs = Vec::new();
        for (name, targets) in columns {
            for target in targets {
                self.hold_column(*target);
            }
            let target = targets.first().copied();
            let known = target.and_then(|target| self.out.column(target)).cloned();
            let mut output = known.unwrap_or_else(|| computed(name.clone()));
            output.name = name.clone();
            output.origin = target;
            outputs.push(output);
        }
        outputs
    }

    pub fn output(&self, expr: &Expr, alias: Option<&Ident>) -> OutColumn {
        let inner = bare(expr);
        let mut output = computed(String::new());
        let target = match &inner.kind {
            ExprKind::Column(name) => self.out.columns.get(&(self.text, name.span)).and_then(|to| to.first()).copied(),
            _ => None,
        };
        if let Some(column) = target.and_then(|target| self.out.column(target)) {
            output = column.clone();
            output.origin = target;
        }
        output.name = alias.map_or_else(|| figured_name(inner), |alias| alias.value.clone());
        output
    }
}

/// A column of which nothing is known but its name.
pub fn computed(name: String) -> OutColumn {
    OutColumn { name, origin: None, type_oid: 0, collation: Known::Unknown }
}

/// The name that PostgreSQL gives an output without an alias (`FigureColname`).
pub fn figured_name(expr: &Expr) -> String {
    figure(expr).map_or_else(|| "?column?".to_string(), |(name, _)| name)
}

/// The name and how strongly it stands.
fn figure(expr: &Expr) -> Option<(String, u8)> {
    let last = |name: &Name| name.parts.last().map(|part| (part.value.clone(), 2));
    match &expr.kind {
        ExprKind::Column(name) => last(name),
        ExprKind::Field { field, .. } => Some((field.value.clone(), 2)),
        ExprKind::Function(call) => {
            let name = call.name.parts.last()?.value.clone();
            Some((if call.special && name == "extract" { "extract".to_string() } else { name }, 2))
        }
        ExprKind::Paren(inner) => figure(inner),
        ExprKind::Collate { operand, .. } | ExprKind::Subscript { operand, .. } => figure(operand),
        ExprKind::Cast { operand, target } => match figure(operand) {
            Some((name, 2)) => Some((name, 2)),
            _ => target.name.last().map(|name| (name.clone(), 1)),
        },
        ExprKind::Case { otherwise, .. } => match otherwise.as_deref().and_then(figure) {
            Some((name, 2)) => Some((name, 2)),
            _ => Some(("case".to_string(), 1)),
        },
        ExprKind::Array(_) | ExprKind::ArrayQuery(_) => Some(("array".to_string(), 2)),
        ExprKind::Row(_) => Some(("row".to_string(), 2)),
        ExprKind::Exists(_) => Some(("exists".to_string(), 2)),
        ExprKind::Subquery(query) => match &query.body {
            QueryBody::Select(select) => match select.items.first() {
                Some(SelectItem { alias: Some(alias), .. }) => Some((alias.value.clone(), 2)),
                Some(SelectItem { kind: SelectItemKind::Expr(expr), .. }) => figure(expr),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// The bare name that an expression is.
pub fn output_name(expr: &Expr) -> Option<&str> {
    match &expr.kind {
        ExprKind::Column(Name { parts, .. }) => match parts.as_slice() {
            [part] => Some(&part.value),
            _ => None,
        },
        _ => None,
    }
}

/// Columns under the names that an alias gives the first of them.
pub fn renamed(mut columns: Vec<OutColumn>, names: &[Ident]) -> Vec<OutColumn> {
    for (column, name) in columns.iter_mut().zip(names) {
        column.name = name.value.clone();
    }
    columns
}

/// Whether a body names this table anywhere in its FROM items (used only to see recursion).
fn mentions(body: &QueryBody, name: &str) -> bool {
    fn item(from: &FromItem, name: &str) -> bool {
        match from {
            FromItem::Table(table) => matches!(table.name.parts.as_slice(), [part] if part.value == name),
            FromItem::Query(query) => mentions(&query.query.body, name),
            FromItem::Function(_) => false,
            FromItem::Join(join) => item(&join.left, name) || item(&join.right, name),
        }
    }
    match body {
        QueryBody::Select(select) => select.from.iter().flat_map(|from| &from.items).any(|from| item(from, name)),
        QueryBody::Values(_) => false,
        QueryBody::Table(table, _) => matches!(table.name.parts.as_slice(), [part] if part.value == name),
        QueryBody::SetOperation(operation) => mentions(&operation.left, name) || mentions(&operation.right, name),
        QueryBody::Nested(query, _) => mentions(&query.body, name),
    }
}
