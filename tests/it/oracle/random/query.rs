//! Random queries: WITH, set operations, ORDER BY, LIMIT, sub-queries in expressions.

use super::from::From;
use super::scope::{Env, Maker, Output};
use super::select::{Select, Want};
use super::tables::{KINDS, Kind};
use super::tree::Node;
use crate::seq;

/// A whole query.
pub struct Query {
    pub node: Node,
    pub outputs: Vec<Output>,
    pub order: Order,
}

/// How far a query's order is determined.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Not at all, or as far as rows that are alike can be told apart.
    Rows,
    /// By these columns, as numbers from 1; other columns' order is chance.
    Columns(Vec<usize>),
    /// Which rows come is a choice; how many isn't, nor what these columns are.
    Choice(Vec<usize>),
}

impl Maker {
    /// A query whose outputs have names, for FROM and WITH.
    pub fn named_query(&mut self, around: &Env) -> Query {
        let strict = std::mem::replace(&mut self.exact, false);
        let query = self.query(around, Want { kinds: None, named: true, top: false });
        self.exact = strict;
        query
    }

    pub fn query(&mut self, around: &Env, want: Want<'_>) -> Query {
        let seen = self.ctes.len();
        let with = if self.depth == 0 && self.tables > 0 && self.chance.percent(if want.top { 16 } else { 4 }) {
            self.with()
        } else {
            Node::none()
        };
        let select = match self.chance.weighted(&[(83, 0), (14, 1), (3, 2)]) {
            1 => self.set_operation(around, want),
            2 if want.kinds.is_none() && !want.named => self.values(),
            _ => self.select(around, want),
        };
        self.ctes.truncate(seen);
        let (clause, order) = self.order(&select, want);
        let lock = self.lock(&select, want, &order);
        Query { node: seq![with, select.node, clause, lock], outputs: select.outputs, order }
    }

    fn with(&mut self) -> Node {
        self.features.push("with");
        let mut items = Vec::new();
        let recursive = self.chance.percent(22);
        for _ in 0..self.chance.weighted(&[(75, 1), (25, 2)]) {
            let name = format!("w{}", self.ctes.len() + 1);
            if recursive {
                items.push(self.recursive(&name));
                continue;
            }
            self.depth += 1;
            let query = self.named_query(&Env::default());
            self.depth -= 1;
            let word = *self.chance.pick(&["", "", "MATERIALIZED ", "NOT MATERIALIZED "]);
            items.push(seq![format!("{name} AS {word}("), query.node, ")"]);
            self.ctes.push((name, query.outputs));
        }
        let word = if recursive { "WITH RECURSIVE " } else { "WITH " };
        let least = items.len();
        Node::opt(seq![word, Node::list(items, ", ", least), " "])
    }

    /// A query that counts from rows of a table.
    fn recursive(&mut self, name: &str) -> Node {
        self.features.push("recursive");
        let int = Output { name: "n".to_owned(), kind: Kind::Int, exact: true, rough: false };
        let kind = *self.chance.pick(&[Kind::Int, Kind::Text]);
        let from = self.from(&Env::default());
        let start = self.strictly(true, |maker| maker.expr(kind, &from.env, 0));
        let mut conditions = from.filters.clone();
        conditions.push(self.condition(&from.env, 1));
        let filter = Node::list(conditions, " AND ", 1);
        let all = if self.chance.percent(50) { " ALL" } else { "" };
        let cast = if kind == Kind::Int { "::bigint" } else { "::text" };
        let step = match kind {
            Kind::Int if self.chance.percent(50) => "r.v + 1",
            _ => "r.v",
        };
        let node = seq![
            format!("{name}(n, v) AS (SELECT 1, ("),
            start,
            format!("){cast}"),
            from.node,
            Node::opt(seq![" WHERE ", filter]),
            format!(" UNION{all} SELECT r.n + 1, {step} FROM {name} r WHERE r.n < 3)"),
        ];
        let value = Output { name: "v".to_owned(), kind, ..int.clone() };
        self.ctes.push((name.to_owned(), vec![int, value]));
        node
    }

    fn values(&mut self) -> Select {
        let rows = (0..self.chance.between(1, 4))
            .map(|_| seq!["(", self.literal(Kind::Text), format!(", {})", self.chance.below(9))])
            .collect();
        let output = |name: &str, kind| Output { name: name.to_owned(), kind, exact: true, rough: false };
        let outputs = vec![output("column1", Kind::Text), output("column2", Kind::Int)];
        Select { node: seq!["VALUES ", Node::list(rows, ", ", 1)], outputs, env: None, plain: false, first: None }
    }

    fn set_operation(&mut self, around: &Env, want: Want<'_>) -> Select {
        self.features.push("set operation");
        let own: Vec<Kind> = (0..self.chance.between(1, 3)).map(|_| *self.chance.pick(KINDS)).collect();
        let kinds = want.kinds.map_or(own, <[Kind]>::to_vec);
        let signature = format!("query {kinds:?}");
        let before = std::mem::replace(&mut self.exact, true);
        let inner = Want { kinds: Some(&kinds), named: true, top: false };
        let first = self.select(around, inner);
        let mut parts = vec![Node::same(&signature, "", first.node)];
        for _ in 0..self.chance.weighted(&[(75, 1), (25, 2)]) {
            let word = *self.chance.pick(&[
                "UNION",
                "UNION ALL",
                "UNION ALL",
                "INTERSECT",
                "EXCEPT",
                "EXCEPT ALL",
                "INTERSECT ALL",
            ]);
            let next = match self.chance.percent(15) {
                true => {
                    let query = self.query(around, inner);
                    seq!["(", query.node, ")"]
                }
                false => self.select(around, inner).node,
            };
            parts.push(Node::opt(seq![format!(" {word} "), Node::same(&signature, "", next)]));
        }
        self.exact = before;
        let mut outputs = first.outputs;
        for output in &mut outputs {
            output.exact = true;
        }
        let node = Node::same(&signature, "", Node::Seq(parts));
        Select { node, outputs, env: None, plain: false, first: None }
    }

    /// ORDER BY and bounds.
    fn order(&mut self, select: &Select, want: Want<'_>) -> (Node, Order) {
        let exact = select.outputs.iter().all(|output| output.exact && !output.rough);
        let width = select.outputs.len();
        let total: Vec<String> = (1..=width).map(|at| at.to_string()).collect();
        if let Some(first) = &select.first {
            let clause = seq![format!(" ORDER BY {first}"), self.direction_of_first(), ", ", total.join(", ")];
            return (seq![clause, self.bounds(30)], Order::Rows);
        }
        if !self.chance.percent(if want.top { 65 } else { 12 }) {
            if want.top && self.chance.percent(6) {
                self.features.push("bare limit");
                return (Node::Bound(Box::new(self.bounds(100))), Order::Choice(Vec::new()));
            }
            return (Node::none(), Order::Rows);
        }
        if !want.top && !exact {
            return (Node::none(), Order::Rows);
        }
        if want.top {
            self.features.push("order");
        }
        if exact && (!want.top || self.chance.percent(70)) {
            let prefix = self.prefix(select);
            let bounds = self.bounds(if want.top { 40 } else { 90 });
            let clause = seq![" ORDER BY ", prefix, total.join(", "), bounds];
            return (Node::opt(clause), Order::Rows);
        }
        self.partial(select, want)
    }

    /// Sort keys ahead of all others.
    fn prefix(&mut self, select: &Select) -> Node {
        let mut items = Vec::new();
        match &select.env {
            Some(env) if self.chance.percent(50) => {
                items.push(seq![self.strictly(false, |maker| maker.sort_list(env, 1)), ", "])
            }
            _ => {}
        }
        if self.chance.percent(60) {
            let at = self.chance.between(1, select.outputs.len());
            items.push(seq![at.to_string(), self.direction(), ", "]);
        }
        let names: Vec<&String> =
            select.outputs.iter().map(|output| &output.name).filter(|name| !name.is_empty()).collect();
        if !names.is_empty() && self.chance.percent(25) {
            let name = *self.chance.pick(&names);
            if names.iter().filter(|other| **other == name).count() == 1 {
                items.push(seq![name.as_str(), self.direction(), ", "]);
            }
        }
        Node::list(items, "", 0)
    }

    /// DISTINCT ON's own order: as it likes.
    fn direction_of_first(&mut self) -> Node {
        self.direction()
    }

    /// An order that leaves some to chance.
    fn partial(&mut self, select: &Select, _want: Want<'_>) -> (Node, Order) {
        let exact: Vec<usize> = (1..=select.outputs.len())
            .filter(|at| select.outputs[at - 1].exact && !select.outputs[at - 1].rough)
            .collect();
        if exact.is_empty() {
            return (Node::none(), Order::Rows);
        }
        let mut columns = Vec::new();
        let mut items = Vec::new();
        for _ in 0..self.chance.between(1, 2) {
            let at = *self.chance.pick(&exact);
            columns.push(at);
            items.push(seq![at.to_string(), self.direction()]);
        }
        let least = items.len();
        let clause = seq![" ORDER BY ", Node::list(items, ", ", least)];
        if !self.chance.percent(20) {
            return (clause, Order::Columns(columns));
        }
        self.features.push("with ties");
        let offset = if self.chance.percent(30) { "OFFSET 2 ROWS " } else { "" };
        let ties = format!(" {offset}FETCH FIRST {} ROWS WITH TIES", self.chance.between(1, 9));
        // Which of the rows that tie an OFFSET skips is a choice.
        (seq![clause, Node::Bound(Box::new(Node::opt(ties)))], Order::Choice(columns))
    }

    /// LIMIT and OFFSET in all their spellings, in so many of a hundred.
    fn bounds(&mut self, percent: usize) -> Node {
        if !self.chance.percent(percent) {
            return Node::none();
        }
        let (limit, offset) = (self.chance.between(1, 12), self.chance.between(0, 5));
        let text = match self.chance.below(12) {
            0..=3 => format!(" LIMIT {limit}"),
            4 => format!(" LIMIT {limit} OFFSET {offset}"),
            5 => format!(" OFFSET {offset} LIMIT {limit}"),
            6 => format!(" OFFSET {offset}"),
            7 => format!(" OFFSET {offset} ROWS FETCH NEXT {limit} ROWS ONLY"),
            8 => format!(" LIMIT {limit} + 1 OFFSET {offset}::bigint"),
            9 => {
                let param = self.push(20, "int8", Some(limit.to_string()));
                format!(" LIMIT {param}")
            }
            10 => {
                let (one, two) = (Some(limit.to_string()), Some(offset.to_string()));
                let (limit, offset) = (self.push(20, "int8", one), self.push(23, "int4", two));
                format!(" LIMIT {limit} OFFSET {offset}")
            }
            _ => format!(" LIMIT {} OFFSET {offset}", *self.chance.pick(&["ALL", "NULL", "(SELECT 3)"])),
        };
        Node::opt(text)
    }

    fn lock(&mut self, select: &Select, want: Want<'_>, order: &Order) -> Node {
        if !want.top || !self.alone || !select.plain || matches!(order, Order::Choice(_)) || !self.chance.percent(30) {
            return Node::none();
        }
        self.features.push("lock");
        let word = *self.chance.pick(&["UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE"]);
        Node::opt(format!(" FOR {word}"))
    }

    /// A sub-query that gives one value.
    pub fn scalar(&mut self, kind: Kind, env: &Env) -> Node {
        self.features.push("sub-query");
        let inside = env.inside();
        self.depth += 1;
        let (query, loose) = self.tracked(|maker| {
            let from = maker.from(&inside);
            let filter = maker.inner_filter(&from);
            if let Some(call) = maker.chance.percent(65).then(|| maker.aggregate(kind, &from.env)).flatten() {
                return seq!["(SELECT ", call, from.node, filter, ")"];
            }
            let value = maker.strictly(true, |maker| maker.expr(kind, &from.env, 1));
            let direction = if maker.chance.percent(40) { " DESC" } else { "" };
            seq!["(SELECT ", value, from.node, filter, format!(" ORDER BY 1{direction} LIMIT 1)")]
        });
        self.depth -= 1;
        self.loose |= loose;
        query
    }

    /// WHERE of a sub-query: often tied to the rows outside.
    fn inner_filter(&mut self, from: &From) -> Node {
        let env = &from.env;
        let mut conditions = from.filters.clone();
        if !env.keys.is_empty() && self.chance.percent(55) {
            let key = self.chance.pick(&env.keys).clone();
            let same: Vec<_> = env.outer.iter().filter(|atom| atom.kind == key.kind).collect();
            if !same.is_empty() {
                conditions.push(format!("{} = {}", key.text, self.chance.pick(&same).text).into());
            }
        }
        if self.chance.percent(60) {
            conditions.push(self.condition(env, 1));
        }
        if conditions.is_empty() {
            return Node::none();
        }
        Node::opt(seq![" WHERE ", Node::list(conditions, " AND ", 1)])
    }

    /// EXISTS, IN, ANY, ALL.
    pub fn query_condition(&mut self, env: &Env) -> Node {
        self.features.push("sub-query");
        let inside = env.inside();
        let choice = self.chance.below(8);
        let kind = if choice < 2 { Kind::Int } else { self.kind(env) };
        let kind = if KINDS.contains(&kind) { kind } else { Kind::Int };
        let left = self.expr(kind, env, 0);
        self.depth += 1;
        let node = match choice {
            0..=2 => {
                let from = self.from(&inside);
                let filter = self.inner_filter(&from);
                let not = if self.chance.percent(35) { "NOT " } else { "" };
                seq![format!("({not}EXISTS (SELECT 1"), from.node, filter, "))"]
            }
            3..=5 => {
                let not = if self.chance.percent(30) { " NOT" } else { "" };
                let query = self.one_column(kind, &inside);
                seq!["(", left, not, " IN (", query, "))"]
            }
            6 => {
                let operator = *self.chance.pick(&["= ANY", "<> ANY", "= SOME", "<> ALL"]);
                let query = self.one_column(kind, &inside);
                seq!["(", left, format!(" {operator} ("), query, "))"]
            }
            _ => {
                let (a, b) = (self.expr(Kind::Int, env, 0), self.expr(Kind::Text, env, 0));
                let kinds = [Kind::Int, Kind::Text];
                let select = self.select(&inside, Want { kinds: Some(&kinds), named: false, top: false });
                seq!["((", a, ", ", b, ") IN (", select.node, "))"]
            }
        };
        self.depth -= 1;
        node
    }

    /// An array of a query's values, in order.
    pub fn array_query(&mut self, env: &Env) -> Node {
        self.features.push("sub-query");
        let inside = env.inside();
        self.depth += 1;
        let from = self.from(&inside);
        let filter = self.inner_filter(&from);
        let value = self.strictly(true, |maker| maker.expr(Kind::Text, &from.env, 1));
        self.depth -= 1;
        seq!["ARRAY(SELECT ", value, from.node, filter, " ORDER BY 1)"]
    }

    /// `key IN (SELECT key …)`
    pub fn key_query(&mut self, key: &str, env: &Env) -> Node {
        let inside = env.inside();
        self.depth += 1;
        let from = self.from(&inside);
        let filter = self.inner_filter(&from);
        let numbers: Vec<_> = from.env.keys.iter().filter(|key| key.kind == Kind::Int).cloned().collect();
        let value = match numbers.is_empty() {
            true => self.expr(Kind::Int, &from.env, 0),
            false => self.chance.pick(&numbers).text.clone().into(),
        };
        self.depth -= 1;
        seq![format!("({key} IN (SELECT "), value, from.node, filter, "))"]
    }

    fn one_column(&mut self, kind: Kind, around: &Env) -> Node {
        if self.chance.percent(20) {
            let kinds = [kind];
            return self.query(around, Want { kinds: Some(&kinds), named: false, top: false }).node;
        }
        let from = self.from(around);
        let filter = self.inner_filter(&from);
        seq!["SELECT ", self.expr(kind, &from.env, 1), from.node, filter]
    }
}
