//! Random writes of rows with one key, for a transaction that is rolled back.

use super::scope::{Env, Maker};
use super::tables::{Kind, TABLES, Table};
use super::tree::Node;
use crate::seq;

impl Maker {
    /// A write, and the query that looks at what it did.
    pub fn write(&mut self) -> (Node, String) {
        self.tables = 2;
        let table = &TABLES[self.chance.below(5)];
        let (key, kind, _) = table.columns[table.key.unwrap_or(0)];
        let value = match kind {
            Kind::Int => self.chance.between(1, 50).to_string(),
            Kind::Text => format!("'device {}'", self.chance.between(1, 12)),
            _ => self.literal(Kind::Uuid).sql(false),
        };
        let look = format!("SELECT * FROM {} WHERE {key} = {value}", table.name);
        let node = match self.chance.below(10) {
            0..=2 => self.insert(table, &value),
            3..=7 => self.update(table, key, &value),
            _ => self.delete(table, key, &value),
        };
        (node, look)
    }

    fn insert(&mut self, table: &Table, value: &str) -> Node {
        let rows = self.chance.between(1, 3);
        let head = match table.name {
            "customers" => "id, name",
            "orders" => "customer_id, id, total",
            "items" => "customer_id, order_id, line, quantity",
            "events" => "id, kind",
            _ => "device, n, value",
        };
        let rows = if matches!(table.name, "customers" | "events") { 1 } else { rows };
        let list = (0..rows).map(|_| self.row(table.name, value).into()).collect();
        let second = head.split(", ").last().unwrap_or("id");
        let keys = table.unique.join(", ");
        let conflict = match self.chance.below(4) {
            0 => Node::none(),
            1 => " ON CONFLICT DO NOTHING".into(),
            2 => format!(" ON CONFLICT ({keys}) DO NOTHING").into(),
            _ => format!(" ON CONFLICT ({keys}) DO UPDATE SET {second} = excluded.{second}").into(),
        };
        let returning = if self.chance.percent(50) { Node::opt(" RETURNING *") } else { Node::none() };
        seq![
            format!("INSERT INTO {} ({head}) VALUES ", table.name),
            Node::list(list, ", ", 1),
            Node::opt(conflict),
            returning
        ]
    }

    /// A row to be inserted.
    fn row(&mut self, table: &str, value: &str) -> String {
        let (number, digit) = (900 + self.chance.below(50), self.chance.below(9));
        match table {
            "customers" => format!("({value}, 'new one')"),
            "orders" => format!("({value}, {number}, {digit}.5)"),
            "items" => format!("({value}, {number}, 1, {digit})"),
            "events" => format!("({value}, 'new')"),
            _ => format!("({value}, {number}, 1.5)"),
        }
    }

    /// The condition that confines, with others.
    fn confined(&mut self, env: &Env, key: &str, value: &str) -> Node {
        let mut conditions: Vec<Node> = vec![format!("{key} = {value}").into()];
        if self.chance.percent(60) {
            let env = Env { keys: Vec::new(), ..env.clone() };
            conditions.push(seq![" AND ", self.condition(&env, 1)]);
        }
        Node::list(conditions, "", 1)
    }

    fn update(&mut self, table: &Table, key: &str, value: &str) -> Node {
        let from = self.table(table);
        let (alias, _) = from.items[0].clone();
        let free: Vec<_> = table
            .columns
            .iter()
            .filter(|(name, kind, _)| {
                !table.unique.contains(name) && matches!(kind, Kind::Num | Kind::Text | Kind::Bool) && *name != "label"
            })
            .collect();
        let set: Vec<Node> = if free.is_empty() {
            vec!["value = 2.5".into()]
        } else {
            let (name, kind, _) = **self.chance.pick(&free);
            let cast = if kind == Kind::Num { "::numeric(8, 2)" } else { "" };
            let expr = match kind {
                Kind::Num => seq!["least(", self.expr(Kind::Int, &from.env, 1), ", 9999)"],
                _ => self.expr(kind, &from.env, 1),
            };
            vec![seq![format!("{name} = ("), expr, format!("){cast}")]]
        };
        let filter = self.confined(&from.env, &format!("{alias}.{key}"), value);
        let returning = self.returning(&from.env);
        seq!["UPDATE ", from.node, " SET ", Node::list(set, ", ", 1), " WHERE ", filter, returning]
    }

    fn delete(&mut self, table: &Table, key: &str, value: &str) -> Node {
        let from = self.table(table);
        let (alias, _) = from.items[0].clone();
        let filter = self.confined(&from.env, &format!("{alias}.{key}"), value);
        let returning = self.returning(&from.env);
        seq!["DELETE FROM ", from.node, " WHERE ", filter, returning]
    }

    fn returning(&mut self, env: &Env) -> Node {
        match self.chance.below(3) {
            0 => Node::none(),
            1 => Node::opt(" RETURNING *"),
            _ => {
                let kind = self.kind(env);
                Node::opt(seq![" RETURNING ", self.expr(kind, env, 1), " AS r"])
            }
        }
    }
}
