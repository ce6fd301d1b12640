//! What resolving a statement's names gives: its tables, the equalities that hold where, the functions that it calls.

use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;

use super::{KeyValue, Refusal};
use crate::catalog::schema::{Collation, Oid};
use crate::sql::ast::{Query, Span};
use crate::topology::placement::TablePlace;

/// A FROM item's number.
pub type RefId = usize;
/// A column of a FROM item.
pub type Target = (RefId, usize);
/// A scope: where conditions hold. 0 is the outermost.
pub type ScopeId = usize;
/// A node of one of the texts: 0 is the statement's own, others are views'.
pub type Place = (usize, Span);

/// Everything that was found.
#[derive(Default)]
pub struct Analysis {
    pub refs: Vec<Ref>,
    /// Each scope's parent.
    pub scopes: Vec<Option<ScopeId>>,
    pub facts: Vec<Fact>,
    pub among: Vec<Among>,
    /// `*` of the statement's own text in EXISTS: whatever it stands for, only rows are counted.
    pub idle_stars: Vec<IdleStar>,
    pub columns: FxHashMap<Place, Vec<Target>>,
    pub items: FxHashMap<Place, RefId>,
    pub joins: FxHashMap<Place, ScopeId>,
    pub queries: FxHashMap<Place, Level>,
    pub calls: Vec<Called>,
    /// Texts by number.
    pub texts: Vec<Rc<str>>,
    /// Tables that are written.
    pub writes: Vec<super::writes::Write>,
    /// Calls of `nextval` that are a value of a new row: the home shard's, evaluated once.
    pub drawn: Vec<Place>,
    /// A constant such as 'now' or 'today' is among the texts.
    pub moments: bool,
    /// An aggregate within a sub-query is of the rows around it.
    pub outer_aggregates: bool,
    /// The keywords of `TABLE name` as queries of the statement's own text, up to the name.
    pub table_words: Vec<Span>,
    /// Some level locks rows.
    pub locks: bool,
    /// Code beside a write is right on one shard only: elsewhere this is said.
    pub one_shard: Option<Refusal>,
    /// What `*` in RETURNING of the statement itself stands for.
    pub stars: FxHashMap<Span, Vec<Vec<Target>>>,
    /// Names of columns with a schema, and what follows the item's name.
    pub long_names: Vec<(Span, RefId, String)>,
    /// Where a whole row of a table is a value of the table's row type.
    pub rows: Vec<WholeRow>,
}

/// A `*` that no columns are needed of, and the tables whose columns it names.
pub struct IdleStar {
    pub span: Span,
    pub tables: Vec<RefId>,
}

/// A whole row as a value, in the statement's own text.
pub struct WholeRow {
    pub span: Span,
    pub id: RefId,
    /// `t.f` stands there, which calls the function `f` of the row.
    pub function: Option<String>,
}

/// One item of FROM.
pub struct Ref {
    /// Its name in its scope.
    pub name: String,
    pub columns: Vec<OutColumn>,
    pub source: Source,
    pub place: Place,
    pub scope: ScopeId,
    /// The scope of its query's WHERE.
    pub level_scope: ScopeId,
    pub used: BTreeSet<usize>,
    /// Those of the used ones that don't stand by name only: they are used by `*`, USING, a whole row.
    pub held: BTreeSet<usize>,
    /// A table's primary key.
    pub primary: Option<Vec<usize>>,
    /// A relation's name, as SQL has it: that of its row type.
    pub relation: Option<String>,
    /// An alias gives its columns names.
    pub renamed: bool,
    /// The whole row is used as a value otherwise than [`Analysis::rows`] says.
    pub whole: bool,
    /// A system column is used.
    pub system: bool,
    /// A table with row security.
    pub guarded: bool,
}

#[derive(Clone)]
pub enum Source {
    Table {
        home: Home,
    },
    /// A sub-query in the same text.
    Query,
    View {
        inside: Range<RefId>,
        view: Rc<View>,
    },
    Cte {
        inside: Range<RefId>,
    },
    Function,
}

/// A view's query.
pub struct View {
    pub text: usize,
    pub query: Query,
}

/// Where a table is.
#[derive(Clone, PartialEq, Debug)]
pub enum Home {
    /// By its key, whose column's position is given.
    Sharded(TablePlace, usize),
    Reference,
    /// Whole on the home shard.
    Unsharded,
    Catalog,
}

/// A column that a FROM item or a query gives.
#[derive(Clone)]
pub struct OutColumn {
    pub name: String,
    /// The column that it plainly is.
    pub origin: Option<Target>,
    /// 0: unknown.
    pub type_oid: Oid,
    pub collation: Known,
}

/// What is known of a value's collation.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    Collation(Collation),
    /// The type has none.
    None,
    Unknown,
}

/// One query, resolved.
#[derive(Clone)]
pub struct Level {
    pub scope: ScopeId,
    pub outputs: Vec<OutColumn>,
    /// By output, whether a condition on it may as well stand in the query's own WHERE.
    pub free: Vec<bool>,
    /// `*` stands for columns that aren't known.
    pub open: bool,
    /// The FROM items within, nested ones too.
    pub inside: Range<RefId>,
    /// It has a LIMIT or OFFSET.
    pub bounded: bool,
}

/// An equality that holds in a scope and those below it.
#[derive(Clone, Debug)]
pub struct Fact {
    pub scope: ScopeId,
    pub column: Target,
    pub is: Is,
}

#[derive(Clone, Debug)]
pub enum Is {
    Equal(Target),
    In(Vec<KeyValue>),
}

/// A column that equals one of a sub-query's values wherever a scope's conditions hold: for each row there is such a value,
/// which is less than an equality of columns.
#[derive(Clone, Debug)]
pub struct Among {
    pub scope: ScopeId,
    pub column: Target,
    pub rows: Rows,
}

/// Where the values are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rows {
    /// An output of a query.
    Output(Place, usize),
    /// A column within it, in the rows that its own conditions leave.
    Column(Target),
}

/// A function that is called.
#[derive(Clone, Debug)]
pub struct Called {
    pub place: Place,
    pub schema: Option<String>,
    pub name: String,
    pub arguments: usize,
    /// The grammar's own spelling.
    pub special: bool,
}

impl Analysis {
    /// Whether a fact of `holder` holds in `scope`.
    pub fn sees(&self, scope: ScopeId, holder: ScopeId) -> bool {
        let mut at = Some(scope);
        while let Some(scope) = at {
            if scope == holder {
                return true;
            }
            at = self.scopes.get(scope).copied().flatten();
        }
        false
    }

    /// The columns that are equal to this one wherever `scope`'s conditions hold, itself first.
    pub fn equals(&self, from: Target, scope: ScopeId) -> Vec<Target> {
        let mut reached = vec![from];
        let mut next = 0;
        while let Some(&at) = reached.get(next) {
            next += 1;
            for fact in &self.facts {
                let Is::Equal(other) = fact.is else { continue };
                let step = if fact.column == at {
                    other
                } else if other == at {
                    fact.column
                } else {
                    continue;
                };
                if !reached.contains(&step) && self.sees(scope, fact.scope) && self.same_family(at, step) {
                    reached.push(step);
                }
            }
        }
        reached
    }

    /// Whether equality between columns of these types carries the key's value over.
    fn same_family(&self, a: Target, b: Target) -> bool {
        match (self.column(a), self.column(b)) {
            (Some(a), Some(b)) => comparable(a, b),
            _ => false,
        }
    }

    pub fn column(&self, target: Target) -> Option<&OutColumn> {
        self.refs.get(target.0)?.columns.get(target.1)
    }

    /// The key column of a sharded table.
    pub fn key(&self, id: RefId) -> Option<(&TablePlace, Target)> {
        match &self.refs.get(id)?.source {
            Source::Table { home: Home::Sharded(place, column), .. } => Some((place, (id, *column))),
            _ => None,
        }
    }

    /// Whether the item is a reference table.
    pub fn is_reference(&self, id: RefId) -> bool {
        self.refs.get(id).is_some_and(|item| matches!(item.source, Source::Table { home: Home::Reference }))
    }

    /// The sharded tables among these items.
    pub fn sharded(&self, inside: Range<RefId>) -> impl Iterator<Item = RefId> + '_ {
        inside.filter(|&id| self.key(id).is_some())
    }

    /// The text of a place.
    pub fn text(&self, place: Place) -> &str {
        self.texts.get(place.0).map(|text| place.1.of(text)).unwrap_or_default()
    }

    /// `orders.customer_id`, for proofs.
    pub fn display(&self, target: Target) -> String {
        match (self.refs.get(target.0), self.column(target)) {
            (Some(item), Some(column)) => format!("{}.{}", item.name, column.name),
            _ => String::new(),
        }
    }
}

/// Whether one operator family compares columns of these types, under deterministic collations.
pub fn comparable(a: &OutColumn, b: &OutColumn) -> bool {
    let family = |oid: Oid| match oid {
        21 | 23 => 20,
        1043 => 25,
        other => other,
    };
    a.type_oid != 0 && family(a.type_oid) == family(b.type_oid) && plain(a) && plain(b)
}

/// Whether equal values of the column are the same bytes.
fn plain(column: &OutColumn) -> bool {
    match &column.collation {
        Known::Collation(collation) => collation.deterministic,
        Known::None => true,
        Known::Unknown => false,
    }
}

/// The co-location group of a placement.
pub fn group(place: &TablePlace) -> Option<&str> {
    match place {
        TablePlace::Hash { group, .. } | TablePlace::List { group, .. } => Some(group),
        TablePlace::Reference => None,
    }
}
