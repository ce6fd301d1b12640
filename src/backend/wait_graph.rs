//! Who waits for whom, over all shards, and who waits for himself in the end. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::topology::placement::ShardIndex;

/// Who waits or is waited for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// A transaction over several shards: one wait of its, so that an edge that is seen twice is of the same wait.
    Transaction { instance: String, number: u64 },
    /// A server process of which no more is known.
    Process { shard: ShardIndex, pid: i32 },
}

/// The first waits for the second.
pub type Edge = (Node, Node);

/// Rings of waiting, each with all that are in it.
pub fn rings(edges: &BTreeSet<Edge>) -> Vec<BTreeSet<Node>> {
    let mut next: BTreeMap<&Node, Vec<&Node>> = BTreeMap::new();
    for (from, to) in edges {
        next.entry(from).or_default().push(to);
    }
    let reached = |start: &Node| -> BTreeSet<&Node> {
        let mut seen = BTreeSet::new();
        let mut todo: Vec<&Node> = next.get(start).cloned().unwrap_or_default();
        while let Some(node) = todo.pop() {
            if seen.insert(node) {
                todo.extend(next.get(node).into_iter().flatten());
            }
        }
        seen
    };
    let reach: BTreeMap<&Node, BTreeSet<&Node>> = next.keys().map(|node| (*node, reached(node))).collect();
    let mut rings: Vec<BTreeSet<Node>> = Vec::new();
    for (node, from) in &reach {
        if !from.contains(node) || rings.iter().any(|ring| ring.contains(node)) {
            continue;
        }
        let back = |other: &&&Node| reach.get(**other).is_some_and(|reached| reached.contains(node));
        rings.push(from.iter().filter(back).map(|other| (*other).clone()).collect());
    }
    rings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Node {
        match name.parse() {
            Ok(pid) => Node::Process { shard: 0, pid },
            Err(_) => Node::Transaction { instance: name.to_owned(), number: 1 },
        }
    }

    fn found(edges: &str) -> Vec<String> {
        let edges = edges.split(' ').filter_map(|edge| edge.split_once('>'));
        let edges = edges.map(|(from, to)| (node(from), node(to))).collect();
        let name = |node: &Node| match node {
            Node::Process { pid, .. } => pid.to_string(),
            Node::Transaction { instance, .. } => instance.clone(),
        };
        rings(&edges).iter().map(|ring| ring.iter().map(name).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn rings_are_found_and_nothing_else() {
        assert_eq!(found("a>b b>c"), Vec::<String>::new());
        assert_eq!(found("a>b b>a"), ["a b"]);
        assert_eq!(found("a>b b>7 7>c c>a d>a a>e"), ["a b c 7"]);
        assert_eq!(found("a>b b>a c>d d>c b>c"), ["a b", "c d"]);
        assert_eq!(found("a>a"), ["a"]);
        assert_eq!(found("a>b b>c c>a b>a"), ["a b c"]);
    }
}
