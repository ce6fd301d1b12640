//! Random aggregates and window functions.

use super::scope::{Env, Maker};
use super::tables::Kind;
use super::tree::Node;
use crate::seq;

impl Maker {
    /// An aggregate of a kind over the rows of `env`.
    pub fn aggregate(&mut self, kind: Kind, env: &Env) -> Option<Node> {
        let call = match kind {
            Kind::Int => self.int_aggregate(env),
            Kind::Num if self.exact => self.strictly(false, |maker| {
                let before = maker.loose;
                let call = maker.num_aggregate(env);
                maker.loose = before;
                seq!["round(", call, ", 2)"]
            }),
            Kind::Num => {
                self.loose = true;
                self.num_aggregate(env)
            }
            Kind::Text if self.chance.percent(40) => {
                let text = self.strictly(true, |maker| maker.expr(Kind::Text, env, 1).sql(false));
                let distinct = if self.chance.percent(40) { "DISTINCT " } else { "" };
                seq![format!("string_agg({distinct}{text}, ',' ORDER BY {text})"), self.filter(env)]
            }
            Kind::Texts if self.chance.percent(60) => {
                let text = self.strictly(true, |maker| maker.expr(Kind::Text, env, 1).sql(false));
                let order = *self.chance.pick(&["", " DESC", " DESC NULLS LAST"]);
                seq![format!("array_agg({text} ORDER BY {text}{order})"), self.filter(env)]
            }
            Kind::Bool => {
                let name = *self.chance.pick(&["bool_and", "bool_or", "every"]);
                seq![format!("{name}("), self.condition(env, 1), ")", self.filter(env)]
            }
            Kind::Json => {
                let int = self.expr(Kind::Int, env, 1).sql(false);
                format!("jsonb_agg({int} ORDER BY {int})").into()
            }
            kind if kind.extreme() => {
                let name = *self.chance.pick(&["min", "max"]);
                let arg = self.strictly(true, |maker| maker.expr(kind, env, 1));
                let collate = match kind {
                    Kind::Text if self.chance.percent(20) => {
                        *self.chance.pick(&[" COLLATE \"C\"", " COLLATE english", " COLLATE \"de-x-icu\""])
                    }
                    _ => "",
                };
                seq![format!("{name}("), arg, collate, ")", self.filter(env)]
            }
            _ => return None,
        };
        Some(call)
    }

    fn int_aggregate(&mut self, env: &Env) -> Node {
        let filter = self.filter(env);
        match self.chance.below(9) {
            0 | 1 => seq!["count(*)", filter],
            2 if !env.rows.is_empty() && self.chance.percent(15) => {
                seq!["count(", self.chance.pick(&env.rows).as_str(), ")", filter]
            }
            2 => {
                let kind = self.kind(env);
                seq!["count(", self.expr(kind, env, 1), ")", filter]
            }
            3 => {
                let kind = self.kind(env);
                seq!["count(DISTINCT ", self.expr(kind, env, 1), ")", filter]
            }
            4 => seq!["(sum(", self.small(env), ")", filter, ")::bigint"],
            5 => {
                let name = *self.chance.pick(&["bit_and", "bit_or", "bit_xor"]);
                seq![format!("{name}("), self.expr(Kind::Int, env, 1), ")", filter]
            }
            6 => {
                let name = *self.chance.pick(&["percentile_disc(0.5)", "mode()", "percentile_disc(0.9)"]);
                let arg = self.strictly(true, |maker| maker.expr(Kind::Int, env, 1));
                seq![format!("{name} WITHIN GROUP (ORDER BY "), arg, ")", filter]
            }
            _ => {
                let name = *self.chance.pick(&["min", "max"]);
                seq![format!("{name}("), self.expr(Kind::Int, env, 1), ")", filter]
            }
        }
    }

    /// An integer whose sum stays small.
    fn small(&mut self, env: &Env) -> Node {
        self.expr(Kind::Int, env, 0)
    }

    fn num_aggregate(&mut self, env: &Env) -> Node {
        let filter = self.filter(env);
        let name = *self.chance.pick(&["sum", "sum", "avg", "avg", "stddev", "variance", "var_pop", "stddev_pop"]);
        let distinct = if self.chance.percent(12) { "DISTINCT " } else { "" };
        let kind = if self.chance.percent(50) && name != "sum" { Kind::Int } else { Kind::Num };
        let arg = match distinct {
            "" => self.expr(kind, env, 1),
            _ => self.strictly(true, |maker| maker.expr(kind, env, 1)),
        };
        let call = seq![format!("{name}({distinct}"), arg, ")", filter];
        match self.chance.below(5) {
            0 => seq!["coalesce(", call, ", 0)"],
            1 => seq!["round(", call, ", 2)"],
            _ => call,
        }
    }

    /// A sum of floats and what is made of it; its last digits are chance.
    pub fn rough(&mut self, env: &Env) -> Node {
        let filter = self.filter(env);
        let atoms: Vec<_> = env.of(Kind::Float, false).into_iter().filter(|atom| atom.name != "score").collect();
        let one = match atoms.is_empty() {
            true => "0.37::float8".to_owned(),
            false => self.chance.pick(&atoms).text.clone(),
        };
        match self.chance.below(4) {
            0 => {
                let name = *self.chance.pick(&["regr_slope", "covar_pop", "regr_sxx", "regr_avgx"]);
                let int = self.expr(Kind::Int, env, 0);
                seq![format!("{name}({one}, "), int, ")", filter]
            }
            _ => {
                let name = *self.chance.pick(&["sum", "avg", "stddev", "var_pop"]);
                seq![format!("{name}({one})"), filter]
            }
        }
    }

    fn filter(&mut self, env: &Env) -> Node {
        if !self.chance.percent(18) {
            return Node::none();
        }
        Node::opt(seq![" FILTER (WHERE ", self.condition(env, 1), ")"])
    }

    /// A window function, and the kind that it gives. What stands in `named` is the text of a window of the query.
    pub fn window(&mut self, env: &Env, named: Option<&str>) -> (Kind, Node) {
        let partition = match self.chance.below(3) {
            0 => Node::none(),
            _ => {
                let kind = self.kind(env);
                let one = if !env.keys.is_empty() && self.chance.percent(40) {
                    self.chance.pick(&env.keys).text.clone().into()
                } else {
                    self.expr(kind, env, 1)
                };
                Node::opt(seq!["PARTITION BY ", one])
            }
        };
        let total = env.unique.clone().filter(|_| self.chance.percent(55));
        let (kind, call) = self.window_call(env, total.is_some());
        let (base, partition) = match named {
            Some(name) if self.chance.percent(50) => (format!("{name} "), Node::none()),
            _ => (String::new(), partition),
        };
        let order = match &total {
            Some(unique) => {
                let first = self.sort_list(env, 1);
                seq![" ORDER BY ", Node::opt(seq![first, ", "]), unique.join(", ")]
            }
            None if self.chance.percent(60) => seq![" ORDER BY ", self.sort_list(env, 1)],
            None => Node::none(),
        };
        let ordered = !matches!(&order, Node::Seq(parts) if parts.is_empty());
        let frame = self.frame(total.is_some(), ordered);
        (kind, seq![call, " OVER (", base, partition, order, Node::opt(frame), ")"])
    }

    fn window_call(&mut self, env: &Env, total: bool) -> (Kind, Node) {
        let whole = if total { 12 } else { 7 };
        match self.chance.below(whole) {
            0 => (Kind::Int, "count(*)".into()),
            1 => {
                let int = self.expr(Kind::Int, env, 0);
                (Kind::Num, seq!["sum(", int, ")"])
            }
            2 => (Kind::Num, self.strictly(true, |maker| seq!["sum(", maker.expr(Kind::Num, env, 0), ")"])),
            3 => {
                let kind = self.kind(env);
                let kind = if kind.extreme() { kind } else { Kind::Int };
                let name = *self.chance.pick(&["min", "max"]);
                (kind, self.strictly(true, |maker| seq![format!("{name}("), maker.expr(kind, env, 1), ")"]))
            }
            4 => (Kind::Int, "rank()".into()),
            5 => (Kind::Int, "dense_rank()".into()),
            6 => (Kind::Float, self.chance.pick(&["percent_rank()", "cume_dist()"]).to_owned().into()),
            7 => (Kind::Int, "row_number()".into()),
            8 => {
                let (kind, name) = (self.kind(env), *self.chance.pick(&["lag", "lead"]));
                (kind, seq![format!("{name}("), self.expr(kind, env, 1), ", 2)"])
            }
            9 => {
                let (kind, name) = (self.kind(env), *self.chance.pick(&["first_value", "last_value"]));
                (kind, seq![format!("{name}("), self.expr(kind, env, 1), ")"])
            }
            10 => {
                let kind = self.kind(env);
                (kind, seq!["nth_value(", self.expr(kind, env, 1), ", 3)"])
            }
            _ => (Kind::Int, "ntile(3)".into()),
        }
    }

    fn frame(&mut self, total: bool, ordered: bool) -> Node {
        if !self.chance.percent(35) {
            return Node::none();
        }
        let unit = match (total, ordered) {
            (true, _) => *self.chance.pick(&["ROWS", "GROUPS", "ROWS"]),
            (false, true) => "GROUPS",
            (false, false) => return " RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING".into(),
        };
        let bounds = *self.chance.pick(&[
            "BETWEEN 1 PRECEDING AND 1 FOLLOWING",
            "BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
            "BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
            "BETWEEN 3 PRECEDING AND 1 PRECEDING",
            "UNBOUNDED PRECEDING",
        ]);
        let exclude = *self.chance.pick(&["", "", " EXCLUDE CURRENT ROW", " EXCLUDE GROUP", " EXCLUDE TIES"]);
        format!(" {unit} {bounds}{exclude}").into()
    }

    /// Sort keys over rows.
    pub fn sort_list(&mut self, env: &Env, depth: usize) -> Node {
        let items = (0..self.chance.between(1, 2))
            .map(|_| {
                let kind = self.kind(env);
                let expr = self.expr(kind, env, depth);
                // A number would be an ordinal where an ORDER BY of the query has it.
                let expr = if expr.sql(false).contains(['(', '.']) { expr } else { seq!["coalesce(", expr, ")"] };
                let collate = match kind {
                    Kind::Text | Kind::Collated if self.chance.percent(25) => {
                        *self.chance.pick(&[" COLLATE \"C\"", " COLLATE english", " COLLATE \"de-x-icu\""])
                    }
                    _ => "",
                };
                seq![expr, collate, self.direction()]
            })
            .collect();
        Node::list(items, ", ", 1)
    }

    /// ASC, DESC, NULLS.
    pub fn direction(&mut self) -> Node {
        match self.chance.below(10) {
            0..=3 => Node::none(),
            4 | 5 => Node::opt(" DESC"),
            6 => Node::opt(" NULLS FIRST"),
            7 => Node::opt(" DESC NULLS LAST"),
            8 => Node::opt(" USING <"),
            _ => Node::opt(" ASC"),
        }
    }
}
