//! Random items of FROM and joins of them.

use super::scope::{Atom, Env, Maker, Output};
use super::tables::{Kind, TABLES, Table};
use super::tree::Node;
use crate::seq;

/// Items of FROM, joined.
pub struct From {
    pub node: Node,
    pub env: Env,
    /// What `*` gives, if that is known.
    pub star: Option<Vec<Atom>>,
    /// Each item's name, and what `name.*` gives.
    pub items: Vec<(String, Vec<Atom>)>,
    /// What WHERE must ask besides.
    pub filters: Vec<Node>,
}

impl Maker {
    /// A FROM of one or more items; `around` is what queries around give.
    pub fn from(&mut self, around: &Env) -> From {
        let mut from = self.item(around, false);
        let more = self.chance.weighted(&[(45, 0), (40, 1), (15, 2)]);
        for _ in 0..more {
            if self.tables == 0 && self.chance.percent(70) {
                break;
            }
            from = self.join(from, around);
        }
        from.env.outer.clone_from(&around.outer);
        from.env.rows = from.items.iter().map(|(name, _)| name.clone()).collect();
        let from = self.bare_names(from);
        From { node: seq![" FROM ", from.node], ..from }
    }

    /// Some columns by their bare names, where these are clear.
    fn bare_names(&mut self, mut from: From) -> From {
        let star: Vec<String> = from.star.iter().flatten().map(|atom| atom.name.clone()).collect();
        let mut atoms = std::mem::take(&mut from.env.atoms);
        for atom in &mut atoms {
            let clear = star.iter().filter(|name| **name == atom.name).count() == 1;
            let merged = atom.qualified.is_empty();
            if clear && !merged && self.chance.percent(25) {
                atom.text.clone_from(&atom.name);
            }
        }
        from.env.atoms = atoms;
        from
    }

    fn item(&mut self, around: &Env, lateral: bool) -> From {
        if self.tables == 0 {
            return self.cheap();
        }
        let choice = self.chance.weighted(&[(70, 0), (13, 1), (6, 2), (11, 3)]);
        match choice {
            1 if self.depth < 2 => self.sub_select(around, lateral),
            2 => self.cheap(),
            3 if !self.ctes.is_empty() => {
                let (name, outputs) = self.chance.pick(&self.ctes.clone()).clone();
                let alias = self.alias();
                self.tables = self.tables.saturating_sub(1);
                derived(format!("{name} AS {alias}").into(), &alias, &outputs)
            }
            _ => {
                let weights: Vec<(usize, usize)> =
                    TABLES.iter().enumerate().map(|(at, table)| (table.weight, at)).collect();
                let table = &TABLES[self.chance.weighted(&weights)];
                self.table(table)
            }
        }
    }

    /// A table under an alias or its own name.
    pub fn table(&mut self, table: &Table) -> From {
        self.tables = self.tables.saturating_sub(1);
        let alias = self.alias();
        let word = if self.chance.percent(50) { " AS" } else { "" };
        if table.base {
            self.lockable.push(alias.clone());
        }
        let atom = |(name, kind, exact): &(&str, Kind, bool)| Atom {
            kind: *kind,
            name: (*name).to_owned(),
            qualified: format!("{alias}.{name}"),
            text: format!("{alias}.{name}"),
            exact: *exact,
        };
        let atoms: Vec<Atom> = table.columns.iter().map(atom).collect();
        let keys = table.key.iter().map(|key| atoms[*key].clone()).collect();
        let unique = table.unique.iter().map(|name| format!("{alias}.{name}")).collect();
        let env = Env { atoms: atoms.clone(), keys, unique: Some(unique), ..Env::default() };
        let schema = if self.chance.percent(5) { "public." } else { "" };
        From {
            node: format!("{schema}{}{word} {alias}", table.name).into(),
            env,
            star: Some(atoms.clone()),
            items: vec![(alias, atoms)],
            filters: Vec::new(),
        }
    }

    /// Rows from nowhere.
    fn cheap(&mut self) -> From {
        let alias = self.alias();
        let output = |name: &str, kind| Output { name: name.to_owned(), kind, exact: true, rough: false };
        match self.chance.below(3) {
            0 => {
                let node = format!("generate_series(1, {}) AS {alias}(n)", self.chance.between(1, 6));
                derived(node.into(), &alias, &[output("n", Kind::Int)])
            }
            1 => {
                let rows = (0..self.chance.between(1, 4)).map(|_| {
                    let (int, text) = (self.chance.between(1, 50), self.literal(Kind::Text));
                    seq![format!("({int}, "), text, ")"]
                });
                let rows: Vec<Node> = rows.collect();
                let node = seq!["(VALUES ", Node::list(rows, ", ", 1), format!(") AS {alias}(v, w)")];
                derived(node, &alias, &[output("v", Kind::Int), output("w", Kind::Text)])
            }
            _ => {
                let node = format!("unnest(ARRAY['new', 'paid', NULL, 'DE']) AS {alias}(u)");
                derived(node.into(), &alias, &[output("u", Kind::Text)])
            }
        }
    }

    /// A join in parentheses.
    fn nested(&mut self, around: &Env) -> From {
        let one = self.item(around, false);
        let inner = self.join(one, around);
        // What WHERE asks can't stand inside an outer join's side as well as it would outside.
        From { node: seq!["(", inner.node.clone(), ")"], ..inner }
    }

    /// Rows that hang on the items before.
    fn lateral_series(&mut self, seen: &Env) -> From {
        let alias = self.alias();
        let int = self.expr(Kind::Int, &seen.inside(), 0);
        let output = Output { name: "n".to_owned(), kind: Kind::Int, exact: true, rough: false };
        let node = seq!["generate_series(1, least(", int, format!(", 4)) AS {alias}(n)")];
        derived(node, &alias, &[output])
    }

    fn sub_select(&mut self, around: &Env, lateral: bool) -> From {
        let around = if lateral { around.clone() } else { Env { outer: around.outer.clone(), ..Env::default() } };
        let inside = if lateral { around.inside() } else { Env { outer: around.outer, ..Env::default() } };
        self.depth += 1;
        let query = self.named_query(&inside);
        self.depth -= 1;
        let alias = self.alias();
        let word = if lateral { "LATERAL " } else { "" };
        let mut outputs = query.outputs;
        let mut names = String::new();
        if self.chance.percent(25) {
            for (at, output) in outputs.iter_mut().enumerate() {
                output.name = format!("n{at}");
            }
            names = format!("({})", outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>().join(", "));
        }
        derived(seq![word, "(", query.node, format!(") AS {alias}{names}")], &alias, &outputs)
    }

    fn join(&mut self, left: From, around: &Env) -> From {
        let lateral = self.chance.percent(12);
        let mut seen = left.env.clone();
        seen.outer.clone_from(&around.outer);
        let right = if lateral && self.depth < 2 && self.tables > 0 {
            self.sub_select(&seen, true)
        } else if lateral {
            self.lateral_series(&seen)
        } else if self.tables > 1 && self.chance.percent(10) {
            self.nested(around)
        } else {
            self.item(around, false)
        };
        let small = right.node.sql(false).len() < 60 && self.tables > 0;
        let kind = self.chance.weighted(&[(45, "JOIN"), (25, "LEFT JOIN"), (8, "RIGHT JOIN"), (7, "FULL JOIN")]);
        let kind = if lateral && kind != "JOIN" { "LEFT JOIN" } else { kind };
        if !lateral && self.chance.percent(22) {
            let shared = shared(&left, &right);
            if (1..=4).contains(&shared.len()) {
                return self.using(left, right, kind, &shared);
            }
        }
        if small && self.chance.percent(6) {
            let word = *self.chance.pick(&[", ", " CROSS JOIN "]);
            let node = seq![left.node.clone(), word, right.node.clone()];
            return joined(left, right, node);
        }
        let mut both = joined(left_of(&left), left_of(&right), Node::none());
        both.env.outer.clone_from(&around.outer);
        let equality = self.equality(&left.env, &right.env);
        if !lateral && kind == "JOIN" && left.comma() && right.comma() && self.chance.percent(25) {
            let node = seq![left.node.clone(), ", ", right.node.clone()];
            let mut both = joined(left, right, node);
            both.filters.push(equality);
            return both;
        }
        let condition = if kind == "FULL JOIN" || self.chance.percent(70) {
            equality
        } else {
            let more = self.condition(&both.env, 1);
            seq![equality, Node::opt(seq![" AND ", more])]
        };
        let node = seq![left.node.clone(), format!(" {kind} "), right.node.clone(), " ON ", condition];
        joined(left, right, node)
    }

    /// An equality between both sides.
    fn equality(&mut self, left: &Env, right: &Env) -> Node {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for one in &left.keys {
            for two in right.keys.iter().filter(|two| two.kind == one.kind) {
                pairs.push((one.text.clone(), two.text.clone()));
            }
        }
        if !pairs.is_empty() && self.chance.percent(70) {
            let (one, two) = self.chance.pick(&pairs).clone();
            return if self.chance.percent(50) { format!("{one} = {two}") } else { format!("{two} = {one}") }.into();
        }
        for one in left
            .atoms
            .iter()
            .filter(|atom| !matches!(atom.kind, Kind::Bool | Kind::Collated | Kind::Folded | Kind::Json))
        {
            for two in right.atoms.iter().filter(|two| two.kind == one.kind) {
                pairs.push((one.text.clone(), two.text.clone()));
            }
        }
        // Few values make many pairs of rows: with a second equality fewer.
        if pairs.is_empty() {
            return "true = true".into();
        }
        if self.chance.percent(40) && pairs.len() > 1 {
            let (one, two) = (self.chance.pick(&pairs).clone(), self.chance.pick(&pairs).clone());
            return format!("{} = {} AND {} = {}", one.0, one.1, two.0, two.1).into();
        }
        let (one, two) = self.chance.pick(&pairs).clone();
        format!("{one} = {two}").into()
    }

    fn using(&mut self, left: From, right: From, kind: &str, shared: &[String]) -> From {
        let natural = self.chance.percent(40);
        let count = if natural { shared.len() } else { self.chance.between(1, shared.len()) };
        let names = &shared[..count];
        let (kind, condition) = match natural {
            true => (format!(" NATURAL {kind} "), String::new()),
            false => (format!(" {kind} "), format!(" USING ({})", names.join(", "))),
        };
        let node = seq![left.node.clone(), kind, right.node.clone(), condition];
        let mut both = joined(left_of(&left), left_of(&right), node);
        let find = |from: &From, name: &String| from.env.atoms.iter().find(|atom| atom.name == *name).cloned();
        let merged: Vec<Atom> = (names.iter())
            .filter_map(|name| {
                let (one, two) = (find(&left, name)?, find(&right, name)?);
                let name = name.clone();
                Some(Atom { text: name.clone(), qualified: String::new(), name, exact: one.exact && two.exact, ..one })
            })
            .collect();
        let rest =
            |from: &From| from.star.iter().flatten().filter(|atom| !names.contains(&atom.name)).cloned().collect();
        let (one, two): (Vec<Atom>, Vec<Atom>) = (rest(&left), rest(&right));
        both.star = Some(merged.iter().cloned().chain(one).chain(two).collect());
        // The bare names of what is merged are no longer the items' own.
        for atom in both.env.atoms.iter_mut().filter(|atom| names.contains(&atom.name) && !atom.qualified.is_empty()) {
            atom.text.clone_from(&atom.qualified);
        }
        both.env.atoms.retain(|atom| !atom.qualified.is_empty() || !names.contains(&atom.name));
        both.env.atoms.extend(merged);
        both
    }
}

impl From {
    /// Whether a comma may stand beside it: no comma or JOIN is in it.
    fn comma(&self) -> bool {
        let text = self.node.sql(false);
        !text.contains(" JOIN ") && !text.starts_with('(')
    }
}

/// A copy without the text.
fn left_of(from: &From) -> From {
    let filters = from.filters.clone();
    From { node: Node::none(), env: from.env.clone(), star: from.star.clone(), items: from.items.clone(), filters }
}

/// The names that both sides' stars have once, of one kind.
fn shared(left: &From, right: &From) -> Vec<String> {
    let once = |star: &[Atom], name: &str| star.iter().filter(|atom| atom.name == name).count() == 1;
    let (Some(one), Some(two)) = (&left.star, &right.star) else { return Vec::new() };
    let mut out = Vec::new();
    for atom in one.iter().filter(|atom| two.iter().any(|other| other.name == atom.name)) {
        let other = two.iter().find(|other| other.name == atom.name);
        if other.is_none_or(|other| other.kind != atom.kind) || !once(one, &atom.name) || !once(two, &atom.name) {
            return Vec::new();
        }
        out.push(atom.name.clone());
    }
    out
}

fn joined(left: From, right: From, node: Node) -> From {
    let mut env = left.env;
    env.atoms.extend(right.env.atoms);
    env.keys.extend(right.env.keys);
    env.unique = match (env.unique, right.env.unique) {
        (Some(one), Some(two)) => Some(one.into_iter().chain(two).collect()),
        _ => None,
    };
    let star = match (left.star, right.star) {
        (Some(one), Some(two)) => Some(one.into_iter().chain(two).collect()),
        _ => None,
    };
    let filters = left.filters.into_iter().chain(right.filters).collect();
    From { node, env, star, items: left.items.into_iter().chain(right.items).collect(), filters }
}

/// An item with the columns of a query.
fn derived(node: Node, alias: &str, outputs: &[Output]) -> From {
    let atom = |output: &Output| Atom {
        kind: output.kind,
        name: output.name.clone(),
        qualified: format!("{alias}.{}", output.name),
        text: format!("{alias}.{}", output.name),
        exact: output.exact,
    };
    let atoms: Vec<Atom> = outputs.iter().map(atom).collect();
    // All columns together: rows that are equal in them can't be told apart.
    let exact = outputs.iter().all(|output| output.exact);
    let unique = exact.then(|| atoms.iter().map(|atom| atom.qualified.clone()).collect());
    let keys = atoms.iter().filter(|atom| matches!(atom.name.as_str(), "customer_id" | "device")).cloned().collect();
    let env = Env { atoms: atoms.clone(), keys, unique, ..Env::default() };
    From { node, env, star: Some(atoms.clone()), items: vec![(alias.to_owned(), atoms)], filters: Vec::new() }
}
