//! A statement as a tree of text that knows what may be left out, for shrinking.

/// A part of a statement.
#[derive(Clone, Debug)]
pub enum Node {
    Text(String),
    Seq(Vec<Node>),
    /// May be left out.
    Opt(Box<Node>),
    /// Items with a text between; some may be left out, as long as this many stay.
    List {
        items: Vec<Node>,
        between: &'static str,
        least: usize,
    },
    /// A part of the same kind may stand in its place, or this text if it isn't empty.
    Same {
        kind: String,
        simple: String,
        node: Box<Node>,
    },
    /// A bound on the rows, not printed where all rows are asked for.
    Bound(Box<Node>),
}

/// A node from its parts.
#[macro_export]
macro_rules! seq {
    ($($part:expr),* $(,)?) => { $crate::oracle::random::tree::Node::Seq(vec![$($part.into()),*]) };
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Node {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Node {
    pub fn none() -> Self {
        Self::Seq(Vec::new())
    }

    pub fn opt(node: impl Into<Self>) -> Self {
        Self::Opt(Box::new(node.into()))
    }

    pub fn list(items: Vec<Self>, between: &'static str, least: usize) -> Self {
        Self::List { items, between, least }
    }

    pub fn same(kind: impl Into<String>, simple: impl Into<String>, node: impl Into<Self>) -> Self {
        Self::Same { kind: kind.into(), simple: simple.into(), node: Box::new(node.into()) }
    }

    /// The text; without bounds if `all`.
    pub fn sql(&self, all: bool) -> String {
        let mut out = String::new();
        self.write(&mut out, all);
        out
    }

    fn write(&self, out: &mut String, all: bool) {
        match self {
            Self::Text(text) => out.push_str(text),
            Self::Seq(parts) => parts.iter().for_each(|part| part.write(out, all)),
            Self::Opt(node) | Self::Same { node, .. } => node.write(out, all),
            Self::Bound(node) if !all => node.write(out, all),
            Self::Bound(_) => {}
            Self::List { items, between, .. } => {
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push_str(between);
                    }
                    item.write(out, all);
                }
            }
        }
    }

    /// All trees that are this one with one thing left out or made simpler, the greatest changes first.
    pub fn smaller(&self) -> Vec<Self> {
        let mut out = Vec::new();
        match self {
            Self::Text(_) => {}
            Self::Seq(parts) => {
                for (at, part) in parts.iter().enumerate() {
                    out.extend(part.smaller().into_iter().map(|part| {
                        let mut parts = parts.clone();
                        parts[at] = part;
                        Self::Seq(parts)
                    }));
                }
            }
            Self::Opt(node) => {
                out.push(Self::none());
                out.extend(node.smaller().into_iter().map(Self::opt));
            }
            Self::Bound(node) => out.extend(node.smaller().into_iter().map(|node| Self::Bound(Box::new(node)))),
            Self::List { items, between, least } => {
                if items.len() > *least {
                    for at in 0..items.len() {
                        let mut items = items.clone();
                        items.remove(at);
                        out.push(Self::list(items, between, *least));
                    }
                }
                for (at, item) in items.iter().enumerate() {
                    out.extend(item.smaller().into_iter().map(|item| {
                        let mut items = items.clone();
                        items[at] = item;
                        Self::list(items, between, *least)
                    }));
                }
            }
            Self::Same { kind, simple, node } => {
                let text = node.sql(false);
                if !simple.is_empty() && *simple != text {
                    out.push(simple.as_str().into());
                }
                node.of_kind(kind, &mut out);
                out.extend(node.smaller().into_iter().map(|node| Self::same(kind, simple, node)));
            }
        }
        out
    }

    /// The outermost parts of one kind.
    fn of_kind(&self, wanted: &str, out: &mut Vec<Self>) {
        match self {
            Self::Text(_) => {}
            Self::Seq(parts) => parts.iter().for_each(|part| part.of_kind(wanted, out)),
            Self::Opt(node) | Self::Bound(node) => node.of_kind(wanted, out),
            Self::List { items, .. } => items.iter().for_each(|item| item.of_kind(wanted, out)),
            Self::Same { kind, .. } if kind == wanted => out.push(self.clone()),
            Self::Same { node, .. } => node.of_kind(wanted, out),
        }
    }
}

#[test]
fn a_tree_shrinks_by_what_may_be_left_out() {
    let tree = Node::Seq(vec![
        Node::list(vec!["a".into(), "b".into()], ", ", 1),
        Node::opt(" c"),
        Node::same("int", "0", Node::Seq(vec!["(".into(), Node::same("int", "", "x"), " + 1)".into()])),
    ]);
    let texts: Vec<String> = tree.smaller().iter().map(|tree| tree.sql(false)).collect();
    assert_eq!(texts, ["b c(x + 1)", "a c(x + 1)", "a, b(x + 1)", "a, b c0", "a, bcx".replace("bc", "b c").as_str()]);
}
