//! The tree of a query or of DML, as `sql::parse` reads it: what planning over shards must see of PostgreSQL's grammar.
//!
//! Every node has its bytes in the text, so that a rewrite replaces a range and leaves the rest as the client wrote it.

mod expr;

pub use expr::*;

/// Bytes `start..end` of the statement's text, spaces around it left out, parentheses that belong to it included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub fn new(start: u32, end: u32) -> Self {
        Self { start, end }
    }

    /// Its text within `sql`, the text that was parsed.
    pub fn of<'a>(&self, sql: &'a str) -> &'a str {
        sql.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// From the start of this to the end of `other`.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start, end: other.end }
    }
}

/// An identifier: its value (lower-cased unless quoted, cut to 63 bytes) and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Ident {
    pub value: String,
    pub span: Span,
}

/// A name with dots: `schema.table`, `table.column`.
#[derive(Clone, Debug, PartialEq)]
pub struct Name {
    pub parts: Vec<Ident>,
    pub span: Span,
}

/// One statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    Query(Box<Query>),
    Insert(Box<Insert>),
    Update(Box<Update>),
    Delete(Box<Delete>),
    Merge(Box<Merge>),
    /// `COPY (query) TO STDOUT …` and `COPY table [(columns)] TO STDOUT | FROM STDIN …`
    Copy(Box<Copy>),
    /// `DECLARE name … CURSOR … FOR query`
    Declare(Box<Declare>),
    /// `EXPLAIN [options] statement`
    Explain(Box<Explain>),
}

/// SELECT, VALUES, TABLE, set operations; `(…)` around it included in the span only where it is a sub-query's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub span: Span,
    pub with: Option<With>,
    pub body: QueryBody,
    /// `ORDER BY …`
    pub order_by: Option<OrderBy>,
    pub limit: Option<Limit>,
    pub offset: Option<Offset>,
    /// `FOR UPDATE …`
    pub locking: Vec<Locking>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum QueryBody {
    Select(Box<Select>),
    Values(Values),
    /// `TABLE name`, and its bytes.
    Table(FromTable, Span),
    SetOperation(Box<SetOperation>),
    /// A query in parentheses as an operand (it may have its own WITH, ORDER BY, LIMIT). The span is the parentheses'.
    Nested(Box<Query>, Span),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    pub span: Span,
    pub rows: Vec<ValuesRow>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ValuesRow {
    /// `(…)`
    pub span: Span,
    /// `DEFAULT` stands as [`ExprKind::Default`].
    pub values: Vec<Expr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOperator {
    Union,
    Intersect,
    Except,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SetOperation {
    pub span: Span,
    pub operator: SetOperator,
    pub all: bool,
    /// The words `UNION [ALL|DISTINCT]`.
    pub operator_span: Span,
    pub left: QueryBody,
    pub right: QueryBody,
}

#[derive(Clone, Debug, PartialEq)]
pub struct With {
    pub span: Span,
    pub recursive: bool,
    pub items: Vec<Cte>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Cte {
    pub span: Span,
    pub name: Ident,
    pub columns: Vec<Ident>,
    pub materialized: Option<bool>,
    /// Its query or writing statement.
    pub statement: Statement,
    /// `(…)` around it.
    pub statement_span: Span,
    /// `SEARCH …` or `CYCLE …` follows.
    pub search_or_cycle: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    pub span: Span,
    pub distinct: Option<Distinct>,
    pub items: Vec<SelectItem>,
    /// From the first item to the last (empty, at the place where they would stand, if there is none).
    pub items_span: Span,
    /// `INTO [TEMP] [TABLE] name`
    pub into: Option<Span>,
    pub from: Option<From>,
    /// `WHERE`
    pub filter: Option<Clause>,
    pub group_by: Option<GroupBy>,
    pub having: Option<Clause>,
    /// `WINDOW w AS (…), …`
    pub windows: Vec<NamedWindow>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Distinct {
    /// `DISTINCT [ON (…)]`
    pub span: Span,
    /// The expressions of `ON`.
    pub on: Option<Vec<Expr>>,
}

/// A keyword and its expression; the span covers both.
#[derive(Clone, Debug, PartialEq)]
pub struct Clause {
    pub span: Span,
    pub expr: Expr,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SelectItem {
    pub span: Span,
    pub kind: SelectItemKind,
    /// `AS name`, or the bare label.
    pub alias: Option<Ident>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SelectItemKind {
    Expr(Expr),
    /// `*` (no parts) or `t.*`, `s.t.*`.
    Star(Option<Name>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct From {
    /// With the keyword.
    pub span: Span,
    pub items: Vec<FromItem>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum FromItem {
    Table(FromTable),
    Query(FromQuery),
    Function(FromFunction),
    Join(Box<Join>),
}

/// `[ONLY] name [*] [[AS] alias [(columns)]] [TABLESAMPLE …]`
#[derive(Clone, Debug, PartialEq)]
pub struct FromTable {
    pub span: Span,
    pub name: Name,
    pub only: bool,
    pub alias: Option<Alias>,
    pub tablesample: Option<Span>,
}

/// `[LATERAL] (query) [AS alias [(columns)]]`
#[derive(Clone, Debug, PartialEq)]
pub struct FromQuery {
    pub span: Span,
    pub lateral: bool,
    pub query: Query,
    pub alias: Option<Alias>,
}

/// `[LATERAL] f(…) [WITH ORDINALITY] [AS alias (…)]`, `ROWS FROM (…)`, `XMLTABLE(…)`.
#[derive(Clone, Debug, PartialEq)]
pub struct FromFunction {
    pub span: Span,
    pub lateral: bool,
    pub functions: Vec<Expr>,
    pub ordinality: bool,
    pub alias: Option<Alias>,
    /// A column definition list `AS (a int, …)` was given.
    pub typed: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Alias {
    pub span: Span,
    pub name: Ident,
    pub columns: Vec<Ident>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// `CROSS JOIN`, and an inner join with a condition.
    Inner,
    Left,
    Right,
    Full,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// Parentheses and the alias included.
    pub span: Span,
    pub kind: JoinKind,
    pub left: FromItem,
    pub right: FromItem,
    pub condition: JoinCondition,
    /// `(a JOIN b …) AS alias (columns)`
    pub alias: Option<Alias>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum JoinCondition {
    /// `CROSS JOIN`
    None,
    On(Expr),
    /// `USING (columns) [AS alias]`
    Using(Vec<Ident>, Option<Ident>),
    Natural,
}

#[derive(Clone, Debug, PartialEq)]
pub struct GroupBy {
    /// With the keywords.
    pub span: Span,
    /// `GROUP BY DISTINCT`
    pub distinct: bool,
    pub items: Vec<GroupItem>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum GroupItem {
    Expr(Expr),
    /// `()`
    Empty(Span),
    /// `ROLLUP (…)`, `CUBE (…)`, `GROUPING SETS (…)`, with all expressions in it.
    Sets(Span, Vec<Expr>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct NamedWindow {
    pub name: Ident,
    pub window: Window,
}

#[derive(Clone, Debug, PartialEq)]
pub struct OrderBy {
    /// With the keywords.
    pub span: Span,
    pub items: Vec<OrderItem>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct OrderItem {
    pub span: Span,
    pub expr: Expr,
    pub descending: bool,
    /// `USING operator`
    pub using: Option<String>,
    pub nulls_first: Option<bool>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// The whole clause, `LIMIT …` or `FETCH FIRST … ONLY`.
    pub span: Span,
    /// `None`: `LIMIT ALL`, or `FETCH FIRST ROW` without a number (then `implied_one`).
    pub count: Option<Expr>,
    pub implied_one: bool,
    pub with_ties: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Offset {
    pub span: Span,
    pub count: Expr,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Locking {
    pub span: Span,
    /// Names after OF.
    pub of: Vec<Name>,
}

/// `INSERT INTO …`
#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    pub span: Span,
    pub with: Option<With>,
    /// Table and alias.
    pub table: FromTable,
    /// `(a, b[1], c.d)`: only plain columns; `None` if there is no list.
    pub columns: Option<Vec<TargetColumn>>,
    pub overriding: Option<Span>,
    pub source: InsertSource,
    pub on_conflict: Option<OnConflict>,
    pub returning: Option<Returning>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TargetColumn {
    pub name: Ident,
    /// With subscripts or fields: `a[1]`, `c.d`.
    pub part: bool,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum InsertSource {
    DefaultValues(Span),
    /// Also VALUES.
    Query(Query),
}

#[derive(Clone, Debug, PartialEq)]
pub struct OnConflict {
    pub span: Span,
    /// `(…) [WHERE …]` or `ON CONSTRAINT name`.
    pub target: Option<Span>,
    /// The plain columns within the target.
    pub target_columns: Vec<Ident>,
    /// `None`: DO NOTHING.
    pub update: Option<Vec<Assignment>>,
    pub filter: Option<Clause>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Returning {
    pub span: Span,
    pub items: Vec<SelectItem>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    pub span: Span,
    pub columns: Vec<TargetColumn>,
    /// One value, or for `(a, b) = …` a row or a sub-query.
    pub value: Expr,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    pub span: Span,
    pub with: Option<With>,
    pub table: FromTable,
    pub assignments: Vec<Assignment>,
    pub from: Option<From>,
    pub filter: Option<Clause>,
    /// `WHERE CURRENT OF cursor`
    pub current_of: Option<Ident>,
    pub returning: Option<Returning>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Delete {
    pub span: Span,
    pub with: Option<With>,
    pub table: FromTable,
    /// `USING …`
    pub using: Option<From>,
    pub filter: Option<Clause>,
    pub current_of: Option<Ident>,
    pub returning: Option<Returning>,
}

/// `MERGE INTO …`
#[derive(Clone, Debug, PartialEq)]
pub struct Merge {
    pub span: Span,
    pub with: Option<With>,
    pub table: FromTable,
    pub source: FromItem,
    pub on: Expr,
    pub whens: Vec<MergeWhen>,
    pub returning: Option<Returning>,
}

/// `WHEN [NOT] MATCHED [BY SOURCE] [AND condition] THEN action`
#[derive(Clone, Debug, PartialEq)]
pub struct MergeWhen {
    /// MATCHED, without NOT.
    pub matched: bool,
    /// `NOT MATCHED BY SOURCE`
    pub by_source: bool,
    pub condition: Option<Expr>,
    pub action: MergeAction,
}

#[derive(Clone, Debug, PartialEq)]
pub enum MergeAction {
    Nothing,
    Delete,
    Update(Vec<Assignment>),
    Insert {
        columns: Option<Vec<TargetColumn>>,
        overriding: Option<Span>,
        /// `None`: DEFAULT VALUES.
        values: Option<Vec<Expr>>,
    },
}

impl Merge {
    /// The expressions of all WHENs.
    pub fn expressions(&self) -> impl Iterator<Item = &Expr> {
        self.whens.iter().flat_map(|when| {
            let (set, values) = match &when.action {
                MergeAction::Update(set) => (Some(set), None),
                MergeAction::Insert { values, .. } => (None, values.as_ref()),
                MergeAction::Nothing | MergeAction::Delete => (None, None),
            };
            let set = set.into_iter().flatten().map(|assignment| &assignment.value);
            when.condition.iter().chain(set).chain(values.into_iter().flatten())
        })
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Copy {
    pub span: Span,
    pub source: CopySource,
    pub from: bool,
    /// STDIN or STDOUT; else a file or a program.
    pub stdio: bool,
    /// `COPY BINARY …`, the old spelling.
    pub binary: bool,
    /// Options, `WHERE` included: their text.
    pub options: Option<Span>,
    pub filter: Option<Expr>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum CopySource {
    Table(Name, Option<Vec<Ident>>),
    /// A query, or a writing statement with RETURNING.
    Statement(Box<Statement>, Span),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Declare {
    pub span: Span,
    pub name: Ident,
    pub binary: bool,
    pub scroll: Option<bool>,
    pub hold: bool,
    pub query: Query,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Explain {
    pub span: Span,
    /// `(ANALYZE, FORMAT JSON)` or the bare words: name in lower case and the value's text, if any.
    pub options: Vec<(String, Option<String>)>,
    /// Its bytes, from EXPLAIN up to the statement.
    pub head: Span,
    pub statement: Statement,
}
