//! Random SELECTs: items, groups, windows, DISTINCT.

use super::from::From;
use super::scope::{Atom, Env, Maker, Output};
use super::tables::{KINDS, Kind};
use super::tree::Node;
use crate::seq;

/// A SELECT, or what is like one.
pub struct Select {
    pub node: Node,
    pub outputs: Vec<Output>,
    /// What ORDER BY may be made of; none: outputs only.
    pub env: Option<Env>,
    /// Rows of it can be locked.
    pub plain: bool,
    /// DISTINCT ON's expressions, which ORDER BY must begin with.
    pub first: Option<String>,
}

/// What is asked of a SELECT.
#[derive(Clone, Copy)]
pub struct Want<'a> {
    /// The outputs' kinds.
    pub kinds: Option<&'a [Kind]>,
    /// Each output has a name of its own.
    pub named: bool,
    /// The statement's own, not one inside.
    pub top: bool,
}

/// Items of a select list.
#[derive(Default)]
struct Items {
    nodes: Vec<Node>,
    outputs: Vec<Output>,
}

/// What a SELECT's items are made of.
struct Frame<'a> {
    from: &'a From,
    env: &'a Env,
    want: Want<'a>,
    grouped: bool,
    window: Option<&'a str>,
}

const NAMES: &[&str] = &["x", "y", "id", "status", "total", "n", "\"Mixed Case\"", "name"];

impl Maker {
    pub fn select(&mut self, around: &Env, want: Want<'_>) -> Select {
        self.depth += usize::from(!want.top);
        let select = self.select_here(around, want);
        self.depth -= usize::from(!want.top);
        select
    }

    fn select_here(&mut self, around: &Env, want: Want<'_>) -> Select {
        let from = self.from(around);
        if from.items.len() > 1 {
            self.features.push("join");
        }
        let filter = self.filter_clause(&from);
        let grouped = self.chance.percent(32);
        let distinct = !grouped && self.chance.percent(14);
        let on = distinct && self.chance.percent(35) && want.kinds.is_none();
        let before = self.exact;
        self.exact |= distinct;
        let select =
            if grouped { self.grouped(&from, filter, want) } else { self.rows(&from, filter, want, distinct, on) };
        self.exact = before;
        select
    }

    /// WHERE, with a key's condition more often than chance would give one.
    fn filter_clause(&mut self, from: &From) -> Node {
        let env = &from.env;
        if self.chance.percent(25) && from.filters.is_empty() {
            return Node::none();
        }
        let mut conditions = from.filters.clone();
        if !env.keys.is_empty() && self.chance.percent(30) {
            conditions.push(self.strictly(false, |maker| maker.key_condition(env)));
        }
        for _ in 0..self.chance.between(usize::from(conditions.is_empty()), 2) {
            conditions.push(self.condition(env, 2));
        }
        Node::opt(seq![" WHERE ", Node::list(conditions, " AND ", 1)])
    }

    fn rows(&mut self, from: &From, filter: Node, want: Want<'_>, distinct: bool, on: bool) -> Select {
        let windowed = !self.exact && self.chance.percent(20);
        let (name, clause) = match windowed && self.chance.percent(30) {
            true => self.window_clause(&from.env),
            false => (None, Node::none()),
        };
        let frame = Frame { from, env: &from.env, want, grouped: false, window: name };
        let items = self.items(&frame, windowed);
        let mut word: Node = "SELECT ".into();
        let mut first = None;
        if on {
            let kind = self.kind(&from.env);
            let expr = self.strictly(true, |maker| maker.expr(kind, &from.env, 1).sql(false));
            // A plain number would be an ordinal.
            let expr = if expr.contains(['.', '(']) { expr } else { format!("coalesce({expr})") };
            word = format!("SELECT DISTINCT ON ({expr}) ").into();
            first = Some(expr);
            self.features.push("distinct on");
        } else if distinct {
            word = seq!["SELECT ", Node::opt("DISTINCT ")];
            self.features.push("distinct");
        }
        let node = seq![
            word,
            Node::list(items.nodes, ", ", items.outputs.len()),
            from.node.clone(),
            filter,
            Node::opt(clause)
        ];
        let env = (!distinct || on).then(|| from.env.clone());
        let plain = !distinct && !windowed;
        Select { node, outputs: items.outputs, env, plain, first }
    }

    fn window_clause(&mut self, env: &Env) -> (Option<&'static str>, Node) {
        let kind = self.kind(env);
        let one = self.expr(kind, env, 1);
        (Some("w"), seq![" WINDOW w AS (PARTITION BY ", one, ")"])
    }

    fn items(&mut self, frame: &Frame<'_>, windowed: bool) -> Items {
        let mut items = Items::default();
        if let Some(kinds) = frame.want.kinds {
            for kind in kinds {
                let (node, loose) = self.tracked(|maker| maker.expr(*kind, frame.env, 2));
                self.add(&mut items, frame, node, *kind, (!loose, false));
            }
            return items;
        }
        for at in 0..self.chance.weighted(&[(30, 1), (35, 2), (25, 3), (10, 5)]) {
            if !frame.want.named && !frame.grouped && !self.exact && self.chance.percent(6) {
                self.star(&mut items, frame.from);
                continue;
            }
            if windowed && (at == 0 || self.chance.percent(30)) {
                self.features.push("window");
                let ((kind, node), loose) = self.tracked(|maker| maker.window(frame.env, frame.window));
                self.add(&mut items, frame, node, kind, (!loose, false));
                continue;
            }
            if frame.want.top && frame.grouped && !self.exact && self.chance.percent(10) {
                let base = frame.env.base.clone().unwrap_or_default();
                let node = self.rough(&base);
                self.add(&mut items, frame, node, Kind::Float, (false, true));
                continue;
            }
            let kind = self.kind(frame.env);
            let (node, loose) = self.tracked(|maker| maker.expr(kind, frame.env, 2));
            self.add(&mut items, frame, node, kind, (!loose, false));
        }
        items
    }

    /// One item, with a name or without.
    fn add(&mut self, items: &mut Items, frame: &Frame<'_>, node: Node, kind: Kind, (exact, rough): (bool, bool)) {
        let text = node.sql(false);
        let plain = frame.env.atoms.iter().find(|atom| atom.text == text && !atom.name.is_empty());
        let taken = |name: &str| items.outputs.iter().any(|output| output.name == name);
        let mut name = plain.map_or(String::new(), |atom| atom.name.clone());
        let mut alias = None;
        if frame.want.named {
            if name.is_empty() || taken(&name) || self.chance.percent(40) {
                name = format!("c{}", items.outputs.len());
                alias = Some(name.clone());
            }
        } else if self.chance.percent(30) {
            (*self.chance.pick(NAMES)).clone_into(&mut name);
            alias = Some(name.clone());
        }
        items.outputs.push(Output { name, kind, exact, rough });
        items.nodes.push(match alias {
            // A sub-query around may name it.
            Some(alias) if frame.want.named => seq![node, format!(" AS {alias}")],
            Some(alias) => seq![node, Node::opt(format!(" AS {alias}"))],
            None => node,
        });
    }

    /// `*`, or `item.*`.
    fn star(&mut self, items: &mut Items, from: &From) {
        let (text, atoms) = match &from.star {
            Some(star) if self.chance.percent(50) => ("*".to_owned(), star),
            _ => {
                let (name, atoms) = self.chance.pick(&from.items);
                (format!("{name}.*"), atoms)
            }
        };
        let output = |atom: &Atom| Output { name: atom.name.clone(), kind: atom.kind, exact: atom.exact, rough: false };
        items.outputs.extend(atoms.iter().map(output));
        items.nodes.push(text.into());
    }

    fn grouped(&mut self, from: &From, filter: Node, want: Want<'_>) -> Select {
        let base = from.env.clone();
        let mut groups = Vec::new();
        let count = self.chance.weighted(&[(22, 0), (40, 1), (30, 2), (8, 3)]);
        for _ in 0..count {
            let atom = self.strictly(true, |maker| maker.group(&base));
            if !groups.iter().any(|other: &Atom| other.text == atom.text) {
                groups.push(atom);
            }
        }
        let sets = !groups.is_empty() && self.chance.percent(15);
        let texts: Vec<String> = groups.iter().map(|group| group.text.clone()).collect();
        let unique = (!sets).then(|| texts.clone()).filter(|texts| !texts.is_empty());
        let env = Env {
            atoms: groups,
            outer: base.outer.clone(),
            base: Some(Box::new(base)),
            keys: Vec::new(),
            rows: Vec::new(),
            unique,
        };
        let windowed = !self.exact && self.chance.percent(8);
        let frame = Frame { from, env: &env, want, grouped: true, window: None };
        let items = self.items(&frame, windowed);
        self.features.push(if sets { "grouping sets" } else { "group" });
        let by = self.group_clause(&texts, sets, &items);
        let having = match self.chance.percent(20) {
            true => Node::opt(seq![" HAVING ", self.condition(&env, 1)]),
            false => Node::none(),
        };
        // Without a group a query without an aggregate isn't grouped.
        let aggregate = texts.is_empty().then(|| format!(" HAVING count(*) >= {}", self.chance.below(2)));
        let having = aggregate.map_or(having, Into::into);
        let node =
            seq!["SELECT ", Node::list(items.nodes, ", ", items.outputs.len()), from.node.clone(), filter, by, having];
        Select { node, outputs: items.outputs, env: Some(env), plain: false, first: None }
    }

    /// A group as it is, by its place or by its name among the outputs.
    fn group_name(&mut self, text: &str, items: &Items) -> String {
        let begins = |node: &Node| node.sql(false).split(" AS ").next() == Some(text);
        match items.nodes.iter().position(begins) {
            Some(at) if self.chance.percent(35) => (at + 1).to_string(),
            Some(at) if self.chance.percent(35) && !items.outputs[at].name.is_empty() => items.outputs[at].name.clone(),
            _ => text.to_owned(),
        }
    }

    /// One group: a column, or an expression whose text is used again.
    fn group(&mut self, base: &Env) -> Atom {
        if !base.keys.is_empty() && self.chance.percent(20) {
            return self.chance.pick(&base.keys).clone();
        }
        let kind = self.kind(base);
        let columns = base.of(kind, true);
        if !columns.is_empty() && self.chance.percent(70) {
            return self.chance.pick(&columns).clone();
        }
        let depth = self.depth;
        // No sub-queries: their text would stand twice.
        self.depth = 9;
        let text = self.compound_text(kind, base);
        self.depth = depth;
        Atom { kind, name: String::new(), qualified: String::new(), text, exact: true }
    }

    fn compound_text(&mut self, kind: Kind, env: &Env) -> String {
        let kind = if KINDS.contains(&kind) { kind } else { Kind::Int };
        let (node, loose) = self.tracked(|maker| maker.expr(kind, env, 1));
        let text = node.sql(false);
        // A constant would be an ordinal; what is loose can't be a group.
        if loose || !text.contains('.') || text.contains('$') {
            format!("length({}::text)", self.any_text(env))
        } else {
            text
        }
    }

    fn any_text(&mut self, env: &Env) -> String {
        let exact: Vec<&Atom> = env.atoms.iter().filter(|atom| atom.exact && atom.kind != Kind::Num).collect();
        if exact.is_empty() { "'x'".to_owned() } else { self.chance.pick(&exact).text.clone() }
    }

    fn group_clause(&mut self, texts: &[String], sets: bool, items: &Items) -> Node {
        let list = |texts: &[String]| texts.join(", ");
        let Some((first, rest)) = texts.split_first() else { return Node::none() };
        if !sets {
            let list: Vec<Node> = texts.iter().map(|text| self.group_name(text, items).into()).collect();
            return seq![" GROUP BY ", Node::list(list, ", ", 1)];
        }
        let text = match self.chance.below(4) {
            0 => format!(" GROUP BY ROLLUP ({})", list(texts)),
            1 => format!(" GROUP BY CUBE ({})", list(texts)),
            2 if rest.is_empty() => format!(" GROUP BY GROUPING SETS (({first}), ())"),
            2 => format!(" GROUP BY GROUPING SETS (({first}), ({}), ())", list(rest)),
            _ if rest.is_empty() => format!(" GROUP BY GROUPING SETS ({first})"),
            _ => format!(" GROUP BY {first}, ROLLUP ({})", list(rest)),
        };
        text.into()
    }
}
