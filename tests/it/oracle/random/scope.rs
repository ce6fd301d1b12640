//! What an expression may refer to, and what a query gives.

use super::chance::Chance;
use super::tables::Kind;
use crate::oracle::corpus::Param;

/// Something that an expression may be made of.
#[derive(Clone, Debug)]
pub struct Atom {
    pub kind: Kind,
    /// Its name without and with its item's.
    pub name: String,
    pub qualified: String,
    /// How it is written here.
    pub text: String,
    /// Equal values look alike.
    pub exact: bool,
}

/// Where an expression stands.
#[derive(Clone, Default)]
pub struct Env {
    pub atoms: Vec<Atom>,
    /// Columns of the queries around, qualified.
    pub outer: Vec<Atom>,
    /// Inside a grouped query: what aggregates are made of.
    pub base: Option<Box<Env>>,
    /// Sharding keys among the atoms.
    pub keys: Vec<Atom>,
    /// Names of items, which are whole rows.
    pub rows: Vec<String>,
    /// Texts that together tell every row from every other.
    pub unique: Option<Vec<String>>,
}

impl Env {
    /// The same as it is seen from a query inside.
    pub fn inside(&self) -> Self {
        let named = |atom: &&Atom| !atom.qualified.is_empty();
        let mut outer: Vec<Atom> = self.atoms.iter().chain(&self.outer).filter(named).cloned().collect();
        for atom in &mut outer {
            atom.text.clone_from(&atom.qualified);
        }
        Self { outer, ..Self::default() }
    }

    pub fn of(&self, kind: Kind, exact: bool) -> Vec<Atom> {
        let fits = |atom: &&Atom| atom.kind == kind && (atom.exact || !exact);
        // Own columns before those of queries around.
        let own: Vec<Atom> = self.atoms.iter().filter(fits).cloned().collect();
        let outer = self.outer.iter().filter(fits).cloned();
        if own.len() < 3 { own.into_iter().chain(outer).collect() } else { own }
    }
}

/// A column that a query gives.
#[derive(Clone, Debug)]
pub struct Output {
    pub name: String,
    pub kind: Kind,
    pub exact: bool,
    /// A sum of floats, whose last digits hang on the order of the rows.
    pub rough: bool,
}

/// Makes one statement.
pub struct Maker {
    pub chance: Chance,
    pub aliases: usize,
    /// How many more tables may be named.
    pub tables: usize,
    pub params: Vec<Param>,
    /// WITH queries in sight.
    pub ctes: Vec<(String, Vec<Output>)>,
    /// Only what is exact may be used.
    pub exact: bool,
    /// Something was used whose equal values don't look alike.
    pub loose: bool,
    /// Errors at run time are possible, and may be made use of.
    pub risky: bool,
    /// Queries around.
    pub depth: usize,
    /// Names of items that can be locked.
    pub lockable: Vec<String>,
    /// What the statement has, for its class.
    pub features: Vec<&'static str>,
    /// Locks and writes may be made.
    pub alone: bool,
}

impl Maker {
    pub fn new(seed: u64, at: u64) -> Self {
        let mut chance = Chance::new(seed, at);
        let tables = chance.weighted(&[(30, 1), (42, 2), (20, 3), (8, 4)]);
        let risky = chance.percent(2);
        Self {
            chance,
            aliases: 0,
            tables,
            params: Vec::new(),
            ctes: Vec::new(),
            exact: false,
            loose: false,
            risky,
            depth: 0,
            lockable: Vec::new(),
            features: Vec::new(),
            alone: false,
        }
    }

    pub fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("a{}", self.aliases)
    }

    /// What `make` gives, and whether it is loose.
    pub fn tracked<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> (T, bool) {
        let before = std::mem::replace(&mut self.loose, false);
        let made = make(self);
        let loose = std::mem::replace(&mut self.loose, before);
        self.loose |= loose;
        (made, loose)
    }

    /// What `make` gives under another strictness.
    pub fn strictly<T>(&mut self, exact: bool, make: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.exact, exact);
        let made = make(self);
        self.exact = before;
        made
    }

    /// A parameter with a value of the kind.
    pub fn param(&mut self, kind: Kind) -> Option<String> {
        let values: &[(u32, &str, &[&str])] = match kind {
            Kind::Int => &[(20, "int8", &["1", "5", "40", "77", "NULL"]), (23, "int4", &["2", "5", "48", "-1"])],
            Kind::Num => &[(1700, "numeric", &["10.5", "50", "NULL"])],
            Kind::Float => &[(701, "float8", &["0.37", "12.5"])],
            Kind::Text => &[(25, "text", &["new", "Ada", "DE", "device 3", "NULL"]), (1043, "varchar", &["paid", "a"])],
            Kind::Bool => &[(16, "bool", &["true", "false"])],
            Kind::Date => &[(1082, "date", &["2001-01-31"])],
            Kind::Stamp => &[(1184, "timestamptz", &["2024-01-10 10:00:00+00"])],
            Kind::Uuid => &[(2950, "uuid", &["1f15485f-4b8a-bb91-e4cc-16e720e02c1e", "NULL"])],
            _ => return None,
        };
        let (oid, name, texts) = *self.chance.pick(values);
        let value = *self.chance.pick(texts);
        let value = (value != "NULL").then(|| value.to_owned());
        Some(self.push(oid, name, value))
    }

    pub fn push(&mut self, oid: u32, kind: &str, value: Option<String>) -> String {
        self.params.push(Param { oid, kind: kind.to_owned(), value });
        format!("${}", self.params.len())
    }
}
