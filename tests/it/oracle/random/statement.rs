//! One random statement as a case of the oracle.

use super::query::Order;
use super::scope::{Env, Maker};
use super::select::Want;
use super::tree::Node;
use crate::oracle::corpus::{Case, Check, Param, Step};
use crate::seq;

/// A statement with all that is needed to judge it.
#[derive(Clone)]
pub struct Statement {
    pub class: String,
    pub tree: Node,
    pub params: Vec<Param>,
    order: Order,
    /// Execute's row limit.
    rows: u32,
    /// In the simple protocol alone.
    simple: bool,
    risky: bool,
    /// Statements before and behind, in one transaction.
    around: Option<(Vec<String>, Vec<String>)>,
}

/// Features from the one that names the class first.
const CLASSES: &[&str] = &[
    "copy",
    "lock",
    "bare limit",
    "with ties",
    "recursive",
    "grouping sets",
    "set operation",
    "with",
    "window",
    "distinct on",
    "distinct",
    "sub-query",
    "group",
    "join",
];

/// Every so many statements one may lock or write: these run one after another.
pub const ALONE: u64 = 10;

impl Statement {
    /// The statement of a seed.
    pub fn new(seed: u64, at: u64) -> Self {
        let mut maker = Maker::new(seed, at);
        maker.alone = at.is_multiple_of(ALONE);
        if maker.alone && maker.chance.percent(60) {
            return Self::write(&mut maker);
        }
        let query = maker.query(&Env::default(), Want { kinds: None, named: false, top: true });
        let exact = query.outputs.iter().all(|output| output.exact && !output.rough);
        let whole = query.order == Order::Rows && exact;
        let ordered = maker.features.contains(&"order");
        let mut rows = 0;
        let mut tree = query.node;
        let mut simple = false;
        if whole && maker.params.is_empty() && !maker.alone && maker.chance.percent(3) {
            tree = seq!["COPY (", tree, ") TO STDOUT"];
            maker.features.push("copy");
            simple = true;
        } else if whole && ordered && !maker.alone && maker.chance.percent(6) {
            rows = 3;
        }
        let class = CLASSES.iter().find(|class| maker.features.contains(class)).unwrap_or(&"rows");
        Self {
            class: (*class).to_owned(),
            tree,
            params: maker.params,
            order: query.order,
            rows,
            simple,
            risky: maker.risky,
            around: None,
        }
    }

    fn write(maker: &mut Maker) -> Self {
        let (tree, look) = maker.write();
        Self {
            class: "write".to_owned(),
            tree,
            params: std::mem::take(&mut maker.params),
            order: Order::Rows,
            rows: 0,
            simple: false,
            risky: maker.risky,
            around: Some((vec!["BEGIN".to_owned()], vec![look, "ROLLBACK".to_owned()])),
        }
    }

    pub fn with_tree(&self, tree: Node) -> Self {
        Self { tree, ..self.clone() }
    }

    /// The case to be judged.
    pub fn case(&self) -> Case {
        let sql = self.tree.sql(false);
        // A parameter that shrinking has dropped keeps its place.
        let check = match &self.order {
            Order::Rows => Check::Rows,
            Order::Columns(columns) => Check::Order(columns.clone()),
            Order::Choice(columns) => Check::Choice { of: self.tree.sql(true), order: columns.clone() },
        };
        let main = Step {
            sql,
            params: vec![self.params.clone()],
            check,
            limit: self.rows,
            simple: self.simple,
            risky: self.risky,
        };
        let plain = |sql: &String| Step { sql: sql.clone(), params: vec![Vec::new()], ..Step::default() };
        let steps = match &self.around {
            Some((before, after)) => {
                before.iter().map(plain).chain(std::iter::once(main)).chain(after.iter().map(plain)).collect()
            }
            None => vec![main],
        };
        Case { class: self.class.clone(), name: String::new(), steps }
    }
}
