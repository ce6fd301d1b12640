//! Random writes whose rows rows of other shards decide about, from a seed. What a row gets never hangs on which of several
//! matches is taken.

use std::fmt::Write as _;

use super::corpus::{self, Case};
use super::random::Chance;
use super::report::Totals;
use super::run::Runner;
use super::system::system;

/// How many, and from which seed; as for random statements that read.
const COUNT: &str = "PGBRAID_ORACLE_WRITES";
const SEED: &str = "PGBRAID_ORACLE_SEED";

const ORDINARY: u64 = 250;

/// A table as the grammar sees it.
struct Table {
    name: &'static str,
    keys: &'static [&'static str],
    ints: &'static [&'static str],
    texts: &'static [&'static str],
    /// What is set, numbers and texts.
    numbers: &'static [&'static str],
    words: &'static [&'static str],
    /// Columns and values of a MERGE's INSERT, from `s (k, v, n)`.
    inserted: &'static str,
}

const TABLES: &[Table] = &[
    Table {
        name: "orders",
        keys: &["customer_id", "id"],
        ints: &["id", "customer_id", "quantity", "small"],
        texts: &["status", "note", "label"],
        numbers: &["quantity", "small", "big"],
        words: &["note", "status"],
        inserted: "(customer_id, id, quantity) VALUES (s.k % 40 + 1, 100000 + s.k, s.v % 100)",
    },
    Table {
        name: "items",
        keys: &["customer_id", "order_id", "line"],
        ints: &["order_id", "customer_id", "line", "product_id", "quantity"],
        texts: &[],
        numbers: &["product_id", "quantity"],
        words: &[],
        inserted: "(customer_id, order_id, line, quantity) VALUES (coalesce(s.k, 3), 5000, s.n, s.v)",
    },
    Table {
        name: "customers",
        keys: &["id"],
        ints: &["id"],
        texts: &["name", "country", "email"],
        numbers: &["credit"],
        words: &["name", "country"],
        inserted: "(id, credit, name) VALUES (90000 + coalesce(s.k, 0), s.v, 'm')",
    },
    Table {
        name: "events",
        keys: &["id"],
        ints: &["customer_id", "level"],
        texts: &["kind"],
        numbers: &["level", "customer_id"],
        words: &["kind"],
        inserted: "(id, level) VALUES (md5(concat('m', s.k))::uuid, s.v)",
    },
    Table {
        name: "readings",
        keys: &["device", "n"],
        ints: &["n"],
        texts: &["device"],
        numbers: &["value"],
        words: &[],
        inserted: "VALUES (concat('m', s.k), s.n)",
    },
    Table {
        name: "settings",
        keys: &["name"],
        ints: &["n"],
        texts: &["name", "value"],
        numbers: &["n"],
        words: &["value"],
        inserted: "(name, n) VALUES (concat('m', s.k), s.v)",
    },
    Table {
        name: "products",
        keys: &["id"],
        ints: &["id"],
        texts: &["name", "category"],
        numbers: &["price"],
        words: &["name", "category"],
        inserted: "(id, name, price) VALUES (9000 + coalesce(s.k, 0), 'm', s.n)",
    },
];

/// Makes statements.
struct Grammar {
    chance: Chance,
}

impl Grammar {
    fn table(&mut self) -> &'static Table {
        self.chance.pick(TABLES)
    }

    fn number(&mut self) -> &'static str {
        self.chance.pick::<&str>(&["0", "1", "2", "3", "4", "5", "7", "30"])
    }

    fn int(&mut self, (table, alias): (&Table, &str)) -> String {
        format!("{alias}.{}", self.chance.pick(table.ints))
    }

    /// A condition on one table.
    fn filter(&mut self, of: (&Table, &str)) -> String {
        if let (false, true) = (of.0.texts.is_empty(), self.chance.percent(30)) {
            let test = self.chance.pick(&["IS NULL", "IS NOT NULL", "= 'new'", "> 'c'"]);
            return format!("{}.{} {test}", of.1, self.chance.pick(of.0.texts));
        }
        let (operator, number) = (*self.chance.pick(&["<", ">", "=", "<>", ">="]), self.number());
        format!("{} {operator} {number}", self.int(of))
    }

    /// One that joins two.
    fn pair(&mut self, a: (&Table, &str), b: (&Table, &str)) -> String {
        let (left, right) = (self.int(a), self.int(b));
        match self.chance.below(8) {
            0 => format!("{left} + {} = {right}", self.number()),
            1 => format!("{left} IS NOT DISTINCT FROM {right}"),
            2 if !a.0.texts.is_empty() && !b.0.texts.is_empty() => {
                let operator = self.chance.pick(&["=", "<>", "<"]);
                format!("{}.{} {operator} {}.{}", a.1, self.chance.pick(a.0.texts), b.1, self.chance.pick(b.0.texts))
            }
            _ => format!("{left} = {right}"),
        }
    }

    fn condition(&mut self, a: (&Table, &str), b: (&Table, &str)) -> String {
        let mut all = vec![self.pair(a, b)];
        for _ in 0..self.chance.below(3) {
            let more = match self.chance.below(3) {
                0 => self.filter(a),
                1 => self.filter(b),
                _ => self.pair(a, b),
            };
            all.push(more);
        }
        if self.chance.percent(10) {
            format!("({} OR {})", all.join(" AND "), self.filter(a))
        } else {
            all.join(" AND ")
        }
    }

    fn aggregate(&mut self, of: (&Table, &str)) -> String {
        match self.chance.pick(&["count", "max", "min", "sum"]) {
            &"count" => "count(*)".to_owned(),
            function => format!("{function}({})", self.int(of)),
        }
    }

    /// A sub-query's test of the row.
    fn sub_query(&mut self, of: (&Table, &str), depth: usize) -> String {
        let (table, alias) = (self.table(), format!("x{depth}"));
        let other = (table, alias.as_str());
        let mut within = if self.chance.percent(85) { self.condition(of, other) } else { self.filter(other) };
        if depth == 0 && self.chance.percent(15) {
            write!(within, " AND {}", self.sub_query(of, 1)).unwrap();
        }
        let from = format!("FROM {} {alias} WHERE {within}", table.name);
        let (left, right) = (self.int(of), self.int(other));
        let (not, operator) = (*self.chance.pick(&["", "NOT "]), *self.chance.pick(&["<", ">=", "="]));
        match self.chance.below(7) {
            0 | 1 => format!("{not}EXISTS (SELECT {from})"),
            2 => format!("{left} {not}IN (SELECT {right} {from})"),
            3 => format!("{left} {operator} (SELECT {} {from})", self.aggregate(other)),
            4 => format!("{left} {operator} {} (SELECT {right} {from})", self.chance.pick(&["ANY", "ALL"])),
            5 => format!("({left}, {}) {not}IN (SELECT {right}, {} {from})", self.int(of), self.int(other)),
            _ => format!("({left} IN (SELECT {right} {from}) OR {})", self.filter(of)),
        }
    }

    /// What hangs on the row alone.
    fn set(&mut self, table: &Table) -> String {
        let column = self.chance.pick(table.numbers);
        let value = match self.chance.below(4) {
            0 => self.number().to_owned(),
            1 => "NULL".to_owned(),
            2 => format!("coalesce(t.{column}, 0) - 1"),
            _ => format!("t.{column} + 1"),
        };
        let mut set = format!("{column} = {value}");
        if !table.words.is_empty() && self.chance.percent(50) {
            let word = self.chance.pick(table.words);
            write!(set, ", {word} = {}", self.chance.pick(&["'z'".to_owned(), format!("upper(t.{word})")])).unwrap();
        }
        set
    }

    fn update(&mut self, table: &Table) -> String {
        let (name, own, other) = (table.name, (table, "t"), self.table());
        let column = self.chance.pick(table.numbers);
        match self.chance.below(6) {
            0 => format!(
                "UPDATE {name} t SET {} FROM {} x WHERE {}",
                self.set(table),
                other.name,
                self.condition(own, (other, "x"))
            ),
            1 => {
                let third = self.table();
                format!(
                    "UPDATE {name} t SET {} FROM {} x {} JOIN {} y ON {} WHERE {} AND {}",
                    self.set(table),
                    other.name,
                    self.chance.pick(&["LEFT", "INNER"]),
                    third.name,
                    self.pair((other, "x"), (third, "y")),
                    self.condition(own, (other, "x")),
                    self.filter((third, "y"))
                )
            }
            2 => format!("UPDATE {name} t SET {} WHERE {}", self.set(table), self.sub_query(own, 0)),
            3 => {
                let (value, test) = (self.aggregate((other, "x")), self.condition(own, (other, "x")));
                let filter = self.filter(own);
                format!(
                    "UPDATE {name} t SET {column} = (SELECT {value} FROM {} x WHERE {test}) WHERE {filter}",
                    other.name
                )
            }
            4 if table.numbers.len() > 1 => {
                let (one, two) = (self.aggregate((other, "x")), self.aggregate((other, "x")));
                let (a, b, test) = (table.numbers[0], table.numbers[1], self.condition(own, (other, "x")));
                format!(
                    "UPDATE {name} t SET ({a}, {b}) = (SELECT {one}, {two} FROM {} x WHERE {test}) WHERE {}",
                    other.name,
                    self.sub_query(own, 5)
                )
            }
            _ => format!(
                "UPDATE {name} t SET {column} = s.v FROM {} WHERE {} = s.k AND {}",
                self.groups(),
                self.int(own),
                self.filter(own)
            ),
        }
    }

    /// A group by group, `s (k, v, n)`: one row for each k.
    fn groups(&mut self) -> String {
        let table = self.table();
        let (key, value) = (self.int((table, "x")), self.aggregate((table, "x")));
        format!("(SELECT {key} AS k, {value} AS v, count(*) AS n FROM {} x GROUP BY 1) s", table.name)
    }

    fn merge(&mut self, table: &Table) -> String {
        let own = (table, "t");
        let mut sql = format!("MERGE INTO {} t USING {} ON {} = s.k", table.name, self.groups(), self.int(own));
        if self.chance.percent(40) {
            write!(sql, " AND {}", self.filter(own)).unwrap();
        }
        for _ in 0..self.chance.between(1, 2) {
            let test = match self.chance.below(3) {
                0 => String::new(),
                1 => " AND s.v > 2".to_owned(),
                _ => format!(" AND {} AND s.n < 9", self.filter(own)),
            };
            let action = match self.chance.below(6) {
                0 => "DELETE".to_owned(),
                1 => "DO NOTHING".to_owned(),
                2 => format!("UPDATE SET {}", self.set(table)),
                _ => format!("UPDATE SET {} = s.v", self.chance.pick(table.numbers)),
            };
            write!(sql, " WHEN MATCHED{test} THEN {action}").unwrap();
        }
        for _ in 0..self.chance.below(3) {
            let test = self.chance.pick(&["", " AND s.n > 2", " AND s.v IS NOT NULL", " AND s.k < 9"]);
            let action =
                if self.chance.percent(20) { "DO NOTHING".to_owned() } else { format!("INSERT {}", table.inserted) };
            write!(sql, " WHEN NOT MATCHED{test} THEN {action}").unwrap();
        }
        sql
    }

    /// A write in a transaction that has written before, and what is there then.
    fn case(&mut self) -> Case {
        let table = self.table();
        let columns: Vec<&str> = table.keys.iter().chain(table.numbers).chain(table.words).copied().collect();
        let mut sql = match self.chance.below(8) {
            0..=3 => self.update(table),
            4 | 5 => {
                let (own, other) = ((table, "t"), self.table());
                match self.chance.below(2) {
                    0 => format!("DELETE FROM {} t WHERE {}", table.name, self.sub_query(own, 0)),
                    _ => {
                        let test = self.condition(own, (other, "x"));
                        format!("DELETE FROM {} t USING {} x WHERE {test}", table.name, other.name)
                    }
                }
            }
            _ => self.merge(table),
        };
        if !sql.starts_with("MERGE") && self.chance.percent(40) {
            write!(sql, " RETURNING t.{}", columns.join(", t.")).unwrap();
        }
        let snapshot = table.name != "products" && self.chance.percent(25);
        let begin = if snapshot { "BEGIN ISOLATION LEVEL REPEATABLE READ" } else { "BEGIN" };
        let before = self.chance.pick(&[
            "UPDATE items SET quantity = quantity + 1 WHERE line = 2",
            "DELETE FROM events WHERE level = 3",
            "INSERT INTO orders (customer_id, id, quantity, small) VALUES (3, 7001, 2, 1), (4, 7002, NULL, 3)",
        ]);
        let look = format!(
            "SELECT count(*), sum(hashtext(concat_ws(',', {}))::bigint) FROM {}",
            columns.join(", "),
            table.name
        );
        let text = format!("-- class: write random\n{begin};\n{before};\n{sql};\n{look};\nROLLBACK;");
        corpus::read(&text).remove(0)
    }
}

/// Runs the cases that `make` gives for a seed and a number, as many as the environment says or `ordinary`: each as by one
/// PostgreSQL, the rows afterwards as well, and of a hundred at most two refused or slow.
pub fn all_are_carried_out(count: &str, ordinary: u64, make: impl Fn(u64, u64) -> Case) {
    let number = |name: &str| std::env::var_os(name).and_then(|text| text.to_str()?.parse::<u64>().ok());
    let (seed, times) = (number(SEED).unwrap_or(1), number(count).unwrap_or(ordinary));
    eprintln!("{times} ({count}) from {SEED}={seed}");
    let system = system();
    let _turn = system.turn();
    let totals = system.block_on(async {
        let mut totals = Totals::default();
        let mut runner = Runner::new(system).await;
        for at in 0..times {
            let case = make(seed, at);
            let verdict = runner.case(&case).await;
            totals.count(&case, verdict);
        }
        totals
    });
    eprintln!("{}{}", totals.table(), totals.reasons());
    assert!(totals.wrong.is_empty(), "{} wrong:\n\n{}", totals.wrong.len(), totals.wrong.join("\n\n"));
    let faults = system.block_on(system.same_rows());
    assert!(faults.is_empty(), "rows after all statements: {faults:#?}");
    let few = |these: usize| these as u64 * 100 <= times * 2;
    assert!(few(totals.slow.len()) && few(totals.refused.len()), "{:#?}{}", totals.slow, totals.reasons());
}

#[test]
fn random_writes_are_carried_out_as_by_one_postgresql() {
    all_are_carried_out(COUNT, ORDINARY, |seed, at| Grammar { chance: Chance::new(seed, at) }.case());
}
