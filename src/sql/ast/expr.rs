//! Expressions of the tree.

use super::{Ident, Name, OrderItem, Query, Span};

/// An expression, with the parentheses around it if it has any.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub span: Span,
    pub kind: ExprKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// `a`, `t.a`, `s.t.a`. `t.*` as a whole row stands as [`ExprKind::WholeRow`].
    Column(Name),
    /// `t.*` within an expression.
    WholeRow(Name),
    Literal(Literal),
    /// `$1`
    Param(u32),
    /// An expression in parentheses. The inner span is without them.
    Paren(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    /// `- x`, `@ x`, any prefix operator; `OPERATOR(s.op)` gives the operator's bare name and `qualified`.
    Prefix {
        operator: String,
        qualified: bool,
        operand: Box<Expr>,
    },
    /// `a + b`, `a = b`, `a || b`; also the comparison operators. `!=` reads `<>`.
    Binary {
        operator: String,
        qualified: bool,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// `x IS [NOT] NULL`, `ISNULL`, `NOTNULL`
    IsNull {
        operand: Box<Expr>,
        negated: bool,
    },
    /// `x IS [NOT] TRUE | FALSE | UNKNOWN`, `IS DOCUMENT`, `IS NORMALIZED`, `IS JSON`: the words after IS.
    Is {
        operand: Box<Expr>,
        test: Span,
    },
    /// `a IS [NOT] DISTINCT FROM b`
    IsDistinct {
        left: Box<Expr>,
        right: Box<Expr>,
        negated: bool,
    },
    /// `x [NOT] BETWEEN [SYMMETRIC] a AND b`
    Between {
        operand: Box<Expr>,
        low: Box<Expr>,
        high: Box<Expr>,
        negated: bool,
        symmetric: bool,
    },
    /// `x [NOT] IN (a, b)`
    InList {
        operand: Box<Expr>,
        list: Vec<Expr>,
        negated: bool,
    },
    /// `x [NOT] IN (SELECT …)`
    InQuery {
        operand: Box<Expr>,
        query: Box<Query>,
        negated: bool,
    },
    /// `x [NOT] LIKE | ILIKE | SIMILAR TO pattern [ESCAPE e]`
    Like {
        operand: Box<Expr>,
        pattern: Box<Expr>,
        escape: Option<Box<Expr>>,
        negated: bool,
        operator: Like,
    },
    /// `x op ANY|SOME|ALL (array or query)`; `OPERATOR(s.op)` stands as it is written.
    Quantified {
        operand: Box<Expr>,
        operator: String,
        all: bool,
        right: Quantified,
    },
    /// `x::type`, `CAST(x AS type)`, `type 'literal'`
    Cast {
        operand: Box<Expr>,
        target: TypeName,
    },
    Function(Box<Call>),
    /// `CASE …`
    Case {
        operand: Option<Box<Expr>>,
        whens: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    Exists(Box<Query>),
    /// `(SELECT …)` as a value.
    Subquery(Box<Query>),
    /// `ARRAY(SELECT …)`
    ArrayQuery(Box<Query>),
    /// `ARRAY[…]`, also the inner `[…]`.
    Array(Vec<Expr>),
    /// `ROW(…)`, `(a, b)`
    Row(Vec<Expr>),
    /// `x[i]`, `x[a:b]`
    Subscript {
        operand: Box<Expr>,
        bounds: Vec<Expr>,
    },
    /// `(x).field`
    Field {
        operand: Box<Expr>,
        field: Ident,
    },
    /// `(x).*`
    FieldStar(Box<Expr>),
    /// `x COLLATE c`
    Collate {
        operand: Box<Expr>,
        collation: Name,
    },
    /// `x AT TIME ZONE z`
    AtTimeZone {
        operand: Box<Expr>,
        zone: Box<Expr>,
    },
    /// `(a, b) OVERLAPS (c, d)`
    Overlaps(Box<Expr>, Box<Expr>),
    /// DEFAULT, as a value to insert or assign.
    Default,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Like {
    Like,
    Ilike,
    Similar,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Quantified {
    Array(Box<Expr>),
    Query(Box<Query>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Null,
    Bool(bool),
    /// Digits as written (`1`, `1.50`, `1e3`, `0x1F`); a sign is a [`ExprKind::Prefix`].
    Number,
    /// A string constant's value; `None`: not plainly readable (`U&''` with UESCAPE, escapes that don't give UTF-8).
    Text(Option<String>),
    /// `B''`, `X''`
    Bits,
}

/// A type's name as written, with modifiers and array bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeName {
    pub span: Span,
    /// The name's parts, SQL spellings resolved to PostgreSQL's own: `int`, `integer` → `int4`; `character varying` →
    /// `varchar`; `double precision` → `float8`; `char` → `bpchar`; `timestamp with time zone` → `timestamptz` …
    pub name: Vec<String>,
    /// The modifiers' text, `(10,2)`.
    pub modifiers: Option<Span>,
    /// `[]`, `ARRAY`
    pub array: bool,
    pub setof: bool,
}

/// A function call, and what the grammar writes specially: `EXTRACT(x FROM y)` is `extract`, `SUBSTRING(a FROM b)`
/// `substring`, `POSITION`, `OVERLAY`, `TRIM` (`btrim`, `ltrim`, `rtrim`), `COALESCE`, `GREATEST`, `LEAST`, `NULLIF`,
/// `GROUPING`, `XMLELEMENT` …; and the words `CURRENT_DATE`, `CURRENT_USER`, `LOCALTIME(0)` ([`Call::word`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub name: Name,
    /// Not an ordinary `name(…)`: the grammar's own spelling.
    pub special: bool,
    /// A word without parentheses, as CURRENT_DATE.
    pub word: bool,
    pub args: Vec<Arg>,
    /// `f(*)`
    pub star: bool,
    pub distinct: bool,
    pub variadic: bool,
    /// `f(x ORDER BY y)`
    pub order_by: Vec<OrderItem>,
    /// `WITHIN GROUP (ORDER BY …)`
    pub within_group: Option<Vec<OrderItem>>,
    /// `FILTER (WHERE …)`
    pub filter: Option<Expr>,
    pub over: Option<Over>,
    /// `f(…)` alone, without WITHIN GROUP, FILTER and OVER.
    pub head: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Arg {
    /// `name => value`
    pub name: Option<Ident>,
    pub value: Expr,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Over {
    Named(Ident),
    Window(Window),
}

/// `([base] PARTITION BY … ORDER BY … frame)`
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    pub span: Span,
    pub base: Option<Ident>,
    pub partition_by: Vec<Expr>,
    pub order_by: Vec<OrderItem>,
    /// `ROWS BETWEEN …`
    pub frame: Option<Span>,
    /// The offsets in the frame.
    pub bounds: Vec<Expr>,
}
