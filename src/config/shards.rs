//! Reads `shards.NAME = ["postgres://…", …]`.

use std::collections::HashSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::base::limits;

use super::model::{Host, ServerAddress, Shard};
use super::read::{Reader, kind_of};
use super::url;

const EXAMPLE: &str = "write shards.s1 = [\"postgres://10.0.0.1/shop\", …]";

/// The shards of a database's section.
pub(super) fn read(reader: &mut Reader<'_>, database: &str, entries: &DeTable<'_>) -> Vec<Shard> {
    let Some(node) = entries.get("shards") else {
        let place = reader.places.at(&["databases", database]);
        reader.mistakes.hinted(place, format!("[databases.{database}] has no `shards`"), EXAMPLE);
        return Vec::new();
    };
    let Some(table) = node.get_ref().as_table() else {
        let message = format!("`shards` is {}; it must name each shard", kind_of(node.get_ref()));
        reader.mistakes.hinted(node.span().start, message, EXAMPLE);
        return Vec::new();
    };
    if table.is_empty() {
        reader.mistakes.hinted(node.span().start, "`shards` has no shard", EXAMPLE);
    }

    let mut named: Vec<_> = table.iter().collect();
    named.sort_by_key(|(name, _)| name.span().start);
    if let Some((name, _)) = named.get(limits::SHARDS) {
        let message = format!("`{database}` has {} shards; at most {} can be", named.len(), limits::SHARDS);
        let hint = "a primary and its replicas belong in one list";
        reader.mistakes.hinted(name.span().start, message, hint);
    }

    let mut seen = HashSet::new();
    let mut shards = Vec::new();
    for (name, node) in named {
        reader.places.note(&["databases", database, "shards", name.get_ref()], name.span().start);
        let servers = servers(reader, database, node, &mut seen);
        shards.push(Shard { name: name.get_ref().to_string(), servers });
    }
    shards
}

/// Hosts, ports and databases seen so far.
type Seen = HashSet<(Host, u16, String)>;

fn servers(
    reader: &mut Reader<'_>,
    database: &str,
    node: &Spanned<DeValue<'_>>,
    seen: &mut Seen,
) -> Vec<ServerAddress> {
    let items = match node.get_ref() {
        DeValue::Array(items) => items.iter().collect(),
        _ => vec![node],
    };
    if items.is_empty() {
        reader.mistakes.hinted(node.span().start, "the shard has no server", EXAMPLE);
    }
    let mut servers = Vec::new();
    for item in items {
        let Some(text) = item.get_ref().as_str() else {
            let message = format!("a server is {}; it must be a URL in quotes", kind_of(item.get_ref()));
            reader.mistakes.hinted(item.span().start, message, EXAMPLE);
            continue;
        };
        match url::parse(text, database, &reader.folder) {
            Ok(server) => {
                let place = (server.host.clone(), server.port, server.dbname.clone());
                if !seen.insert(place) {
                    let message = format!("the server {server} is named twice");
                    reader.mistakes.add(item.span().start, message);
                }
                servers.push(server);
            }
            Err(faults) => {
                for (message, hint) in faults {
                    match hint {
                        Some(hint) => reader.mistakes.hinted(item.span().start, message, hint),
                        None => reader.mistakes.add(item.span().start, message),
                    }
                }
            }
        }
    }
    servers
}
