//! Random INSERTs of rows some of which ON CONFLICT leaves out or updates, from a seed: which rows come back, and in what order.

use super::corpus::{self, Case};
use super::found_random::all_are_carried_out;
use super::random::Chance;

/// How many; the seed as for random statements that read.
const COUNT: &str = "PGBRAID_ORACLE_CONFLICTS";

const ORDINARY: u64 = 150;

struct Grammar {
    chance: Chance,
    params: Vec<String>,
}

impl Grammar {
    /// A number as some client may write it.
    fn number(&mut self, value: usize) -> String {
        match self.chance.below(6) {
            0 => format!("'{value}'"),
            1 => format!("{value}::bigint"),
            2 => format!("'{value}'::int8"),
            3 | 4 => self.param("int8", value.to_string()),
            _ => value.to_string(),
        }
    }

    fn text(&mut self, value: String) -> String {
        match self.chance.below(6) {
            0 => "NULL".to_owned(),
            1 => "DEFAULT".to_owned(),
            2 => format!("upper('{value}')"),
            3 => self.param("text", value),
            _ => format!("'{value}'"),
        }
    }

    fn param(&mut self, kind: &str, value: String) -> String {
        self.params.push(format!("{kind}={value}"));
        format!("${}", self.params.len())
    }

    /// Keys of rows that exist, of new ones, and of some that come twice.
    fn key(&mut self) -> usize {
        let base = *self.chance.pick(&[0, 0, 7000]);
        base + self.chance.between(1, 9)
    }

    fn case(&mut self) -> Case {
        let orders = self.chance.percent(40);
        let (table, keys) = if orders { ("orders", "customer_id, id") } else { ("customers", "id") };
        let text = if orders { "note" } else { "name" };
        let mut rows = Vec::new();
        for at in 0..self.chance.between(2, 9) {
            let key = self.key();
            let mut values = vec![self.number(key)];
            if orders {
                let id = self.chance.between(1, 3);
                values.push(self.number(id));
            }
            values.push(self.text(format!("row {at}")));
            rows.push(format!("({})", values.join(", ")));
        }
        let of = if self.chance.percent(50) { String::new() } else { format!(" ({keys})") };
        let first = keys.split(',').next().unwrap();
        let action = match self.chance.below(4) {
            0 => format!(" ({keys}) DO UPDATE SET {text} = excluded.{text} WHERE {table}.{first} % 2 = 0"),
            1 => format!(" ({keys}) DO UPDATE SET {text} = concat({table}.{text}, excluded.{text})"),
            _ => format!("{of} DO NOTHING"),
        };
        let returning = self.chance.pick(&["xmax = 0, {k}, {t}", "{k}, {t}", "{t}, *", "{k}"]);
        let returning = returning.replace("{k}", keys).replace("{t}", text);
        let columns = returning.split(',').enumerate().filter(|(_, item)| !item.contains('*'));
        let order: Vec<String> = columns.map(|(at, _)| (at + 1).to_string()).collect();
        let params =
            if self.params.is_empty() { String::new() } else { format!("-- params: {}\n", self.params.join(", ")) };
        let begin = self.chance.pick(&["BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ"]);
        let text = format!(
            "-- class: write random\n{begin};\nDELETE FROM {table} WHERE {first} IN (2, 5);\n{params}-- order: {}\n\
             INSERT INTO {table} ({keys}, {text}) VALUES {} ON CONFLICT{action} RETURNING {returning};\n\
             SELECT count(*), max({text} COLLATE \"C\") FROM {table};\nROLLBACK;",
            order.join(","),
            rows.join(", ")
        );
        corpus::read(&text).remove(0)
    }
}

#[test]
fn random_conflicts_leave_out_the_same_rows_as_on_one_postgresql() {
    let make = |seed, at| Grammar { chance: Chance::new(seed, at), params: Vec::new() }.case();
    all_are_carried_out(COUNT, ORDINARY, make);
}
