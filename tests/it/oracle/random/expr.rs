//! Random expressions of a kind.

use super::scope::{Atom, Env, Maker};
use super::tables::{KINDS, Kind};
use super::tree::Node;
use crate::seq;

impl Maker {
    /// An expression, complete in itself: in parentheses if it is made of parts.
    pub fn expr(&mut self, kind: Kind, env: &Env, depth: usize) -> Node {
        let node = if depth == 0 || self.chance.percent(45) {
            self.leaf(kind, env)
        } else {
            self.compound(kind, env, depth - 1)
        };
        Node::same(kind.name(), kind.literals()[0], node)
    }

    /// A kind of which there is a column.
    pub fn kind(&mut self, env: &Env) -> Kind {
        let own: Vec<&Atom> = env.atoms.iter().filter(|atom| atom.exact || !self.exact).collect();
        if own.is_empty() || self.chance.percent(15) { *self.chance.pick(KINDS) } else { self.chance.pick(&own).kind }
    }

    fn leaf(&mut self, kind: Kind, env: &Env) -> Node {
        if let Some(base) = &env.base
            && self.chance.percent(50)
            && let Some(node) = self.aggregate(kind, base)
        {
            return node;
        }
        let atoms = env.of(kind, self.exact);
        if !atoms.is_empty() && self.chance.percent(88) {
            let atom = self.chance.pick(&atoms).clone();
            self.loose |= !atom.exact;
            return atom.text.into();
        }
        if self.chance.percent(20)
            && let Some(param) = self.param(kind)
        {
            // Numerics of any scale.
            self.loose |= kind == Kind::Num;
            if kind != Kind::Num || !self.exact {
                return param.into();
            }
        }
        self.literal(kind)
    }

    pub fn literal(&mut self, kind: Kind) -> Node {
        let text = *self.chance.pick(kind.literals());
        if kind == Kind::Num {
            if self.exact {
                return format!("round({text}, 2)").into();
            }
            self.loose = true;
        }
        text.into()
    }

    fn compound(&mut self, kind: Kind, env: &Env, depth: usize) -> Node {
        if matches!(kind, Kind::Collated | Kind::Folded) {
            // Two columns may have two collations, and errors for it come only where rows are compared.
            return self.leaf(kind, env);
        }
        match self.chance.below(12) {
            0 => {
                let (a, b) = (self.expr(kind, env, depth), self.expr(kind, env, depth));
                seq!["coalesce(", a, ", ", b, ")"]
            }
            1 => {
                let (when, then) = (self.condition(env, depth), self.expr(kind, env, depth));
                let otherwise = self.expr(kind, env, depth);
                seq!["CASE WHEN ", when, " THEN ", then, Node::opt(seq![" ELSE ", otherwise]), " END"]
            }
            2 if self.depth < 2 && self.tables > 0 => self.scalar(kind, env),
            _ => match kind {
                Kind::Int => self.int(env, depth),
                Kind::Num => self.num(env, depth),
                Kind::Float => self.float(env, depth),
                Kind::Text => self.text(env, depth),
                Kind::Bool => self.condition(env, depth),
                Kind::Date => {
                    let (date, days) = (self.expr(kind, env, depth), self.chance.between(1, 40));
                    seq!["(", date, format!(" + {days})")]
                }
                Kind::Stamp => {
                    let (stamp, unit) = (self.expr(kind, env, depth), *self.chance.pick(&["day", "hour", "month"]));
                    seq![format!("date_trunc('{unit}', "), stamp, ")"]
                }
                Kind::Texts if self.depth < 2 && self.tables > 0 => self.array_query(env),
                Kind::Json => {
                    let (int, text) = (self.expr(Kind::Int, env, depth), self.expr(Kind::Text, env, depth));
                    seq!["jsonb_build_object('i', ", int, ", 't', ", text, ")"]
                }
                _ => self.leaf(kind, env),
            },
        }
    }

    fn int(&mut self, env: &Env, depth: usize) -> Node {
        let a = self.expr(Kind::Int, env, depth);
        match self.chance.below(12) {
            0 | 1 => {
                let (sign, b) = (*self.chance.pick(&["+", "-"]), self.expr(Kind::Int, env, depth));
                seq!["(", a, format!(" {sign} "), b, ")"]
            }
            2 => seq!["(", a, " * 2)"],
            3 => seq!["(", a, format!(" % {})", self.chance.between(2, 9))],
            4 => seq!["abs(", a, ")"],
            5 => seq!["nullif(", a, ", ", self.literal(Kind::Int), ")"],
            6 => {
                let (name, b) = (*self.chance.pick(&["greatest", "least"]), self.expr(Kind::Int, env, depth));
                seq![format!("{name}("), a, ", ", b, ")"]
            }
            7 => seq!["length(", self.expr(Kind::Text, env, depth), ")"],
            8 => seq!["(", self.expr(Kind::Date, env, depth), " - date '1995-03-01')"],
            9 if self.chance.percent(50) => {
                let field = *self.chance.pick(&["n", "g", "a"]);
                seq!["(", self.expr(Kind::Json, env, 0), format!(" ->> '{field}')::int")]
            }
            9 => seq!["extract(day from ", self.expr(Kind::Stamp, env, depth), ")::int"],
            10 if self.risky => seq!["(", a, " / ", self.expr(Kind::Int, env, depth), ")"],
            10 => seq!["(- ", a, ")"],
            _ => seq!["(", a, " / 3)"],
        }
    }

    fn num(&mut self, env: &Env, depth: usize) -> Node {
        if self.exact {
            // A result of two digits whatever it is made of.
            return self.strictly(false, |maker| {
                let (inner, _) = maker.unseen(|maker| maker.num(env, depth));
                seq!["round(", inner, ", 2)"]
            });
        }
        self.loose = true;
        let a = self.expr(Kind::Num, env, depth);
        match self.chance.below(8) {
            0 | 1 => {
                let (sign, b) = (*self.chance.pick(&["+", "-"]), self.expr(Kind::Num, env, depth));
                seq!["(", a, format!(" {sign} "), b, ")"]
            }
            2 => seq!["(", a, " * 1.5)"],
            3 => seq!["round(", a, ", 1)"],
            4 => seq!["abs(", a, ")"],
            5 => seq!["(", a, " / nullif(", self.expr(Kind::Num, env, 0), ", 0))"],
            6 if self.risky => seq!["(", a, " / ", self.expr(Kind::Num, env, 0), ")"],
            6 => seq!["trunc(", a, ")"],
            _ => seq!["(", self.expr(Kind::Int, env, depth), ")::numeric"],
        }
    }

    /// What `make` gives, forgetting whether it is loose.
    fn unseen<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> (T, bool) {
        let before = self.loose;
        let made = self.tracked(make);
        self.loose = before;
        made
    }

    fn float(&mut self, env: &Env, depth: usize) -> Node {
        let a = self.expr(Kind::Float, env, depth);
        match self.chance.below(4) {
            0 => seq!["(", a, " + ", self.expr(Kind::Float, env, depth), ")"],
            1 => seq!["(", a, " * 2)"],
            2 => seq!["abs(", a, ")"],
            _ => seq!["(", self.expr(Kind::Int, env, depth), ")::float8"],
        }
    }

    fn text(&mut self, env: &Env, depth: usize) -> Node {
        let a = self.expr(Kind::Text, env, depth);
        match self.chance.below(9) {
            0 | 1 => seq!["(", a, " || ", self.expr(Kind::Text, env, depth), ")"],
            2 => seq!["upper(", a, ")"],
            3 => seq!["lower(", a, ")"],
            4 => seq!["left(", a, ", 2)"],
            5 if self.chance.percent(50) => seq!["(", self.expr(Kind::Json, env, 0), " ->> 'n')"],
            5 => seq!["substring(", a, " from 2 for 3)"],
            6 => seq!["(", self.expr(Kind::Int, env, depth), ")::text"],
            7 if self.risky => seq!["(", a, ")::int::text"],
            7 => seq!["(", self.expr(Kind::Num, env, depth), ")::text"],
            _ => seq!["nullif(", a, ", ", self.literal(Kind::Text), ")"],
        }
    }

    /// A condition.
    pub fn condition(&mut self, env: &Env, depth: usize) -> Node {
        let node = self.strictly(false, |maker| maker.unseen(|maker| maker.predicate(env, depth)).0);
        Node::same(Kind::Bool.name(), "true", node)
    }

    fn predicate(&mut self, env: &Env, depth: usize) -> Node {
        if !env.keys.is_empty() && self.chance.percent(22) {
            return self.key_condition(env);
        }
        let deeper = depth.saturating_sub(1);
        match self.chance.below(if depth == 0 { 9 } else { 15 }) {
            8 => self.odd(env, deeper),
            0..=3 => self.comparison(env, deeper),
            4 => {
                let kind = self.kind(env);
                let word = if self.chance.percent(50) { "NULL" } else { "NOT NULL" };
                seq!["(", self.expr(kind, env, deeper), format!(" IS {word})")]
            }
            5 => {
                let kind = self.kind(env);
                let not = if self.chance.percent(25) { " NOT" } else { "" };
                let list = (0..self.chance.between(1, 4)).map(|_| self.literal(kind)).collect();
                seq!["(", self.expr(kind, env, deeper), not, " IN (", Node::list(list, ", ", 1), "))"]
            }
            6 => {
                let kind = *self.chance.pick(&[Kind::Int, Kind::Num, Kind::Date]);
                let (low, high) = (self.literal(kind), self.literal(kind));
                let word = *self.chance.pick(&["BETWEEN", "NOT BETWEEN", "BETWEEN SYMMETRIC"]);
                seq!["(", self.expr(kind, env, deeper), format!(" {word} "), low, " AND ", high, ")"]
            }
            7 => {
                let pattern = *self.chance.pick(&["'%e%'", "'a%'", "'_'", "'%d'", "'n_w'"]);
                let word = *self.chance.pick(&["LIKE", "NOT LIKE", "ILIKE"]);
                seq!["(", self.expr(Kind::Text, env, deeper), format!(" {word} {pattern})")]
            }
            9 | 10 => {
                let between = if self.chance.percent(60) { " AND " } else { " OR " };
                let parts = (0..self.chance.between(2, 3)).map(|_| self.condition(env, deeper)).collect();
                seq!["(", Node::list(parts, between, 1), ")"]
            }
            11 => seq!["(NOT ", self.condition(env, deeper), ")"],
            12 => {
                let word = *self.chance.pick(&["IS TRUE", "IS NOT TRUE", "IS FALSE", "IS UNKNOWN"]);
                seq!["(", self.condition(env, deeper), format!(" {word})")]
            }
            _ if self.depth < 2 && self.tables > 0 => self.query_condition(env),
            _ => self.comparison(env, deeper),
        }
    }

    /// Conditions of rarer forms.
    fn odd(&mut self, env: &Env, depth: usize) -> Node {
        match self.chance.below(8) {
            0 if !env.rows.is_empty() => {
                let word = *self.chance.pick(&["IS NULL", "IS NOT NULL", "IS DISTINCT FROM NULL"]);
                format!("({} {word})", self.chance.pick(&env.rows)).into()
            }
            1 => seq!["('x,\"y\"' = ANY (", self.expr(Kind::Texts, env, 0), "))"],
            2 => seq!["(", self.expr(Kind::Stamp, env, depth), " < now())"],
            3 => seq!["(", self.expr(Kind::Date, env, depth), " <> current_date)"],
            4 => {
                let operator = *self.chance.pick(&["=", "<", ">=", "<>"]);
                let (a, b) = (self.expr(Kind::Int, env, depth), self.expr(Kind::Text, env, depth));
                let (c, d) = (self.expr(Kind::Int, env, 0), self.expr(Kind::Text, env, 0));
                seq!["((", a, ", ", b, format!(") {operator} ("), c, ", ", d, "))"]
            }
            5 => {
                let (a, b) = (self.expr(Kind::Int, env, 0), self.expr(Kind::Bool, env, 0));
                seq!["((", a, ", ", b, ") IN ((1, true), (5, false), (7, NULL)))"]
            }
            6 => seq!["(", self.expr(Kind::Json, env, 0), " @> '{\"n\": 1}')"],
            _ => seq!["(", self.expr(Kind::Text, env, depth), " ~ '^[a-n]')"],
        }
    }

    fn comparison(&mut self, env: &Env, depth: usize) -> Node {
        let kind = self.kind(env);
        let operator = match kind {
            Kind::Json => *self.chance.pick(&["=", "<>"]),
            _ => *self.chance.pick(&["=", "=", "<", ">", "<=", ">=", "<>", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"]),
        };
        let left = self.expr(kind, env, depth);
        let right = match kind {
            // Two columns may have two collations.
            Kind::Collated | Kind::Folded => self.literal(kind),
            _ => self.expr(kind, env, depth),
        };
        seq!["(", left, format!(" {operator} "), right, ")"]
    }
}
