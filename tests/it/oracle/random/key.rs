//! Conditions on sharding keys: those that confine a statement, and those that only look so.

use super::scope::{Atom, Env, Maker};
use super::tables::Kind;
use super::tree::Node;
use crate::seq;

impl Maker {
    /// A condition on some key.
    pub fn key_condition(&mut self, env: &Env) -> Node {
        let key = self.chance.pick(&env.keys).clone();
        let node = match key.kind {
            Kind::Int => self.number_key(&key, env),
            _ => self.other_key(&key, env),
        };
        Node::same(Kind::Bool.name(), "true", node)
    }

    fn number_key(&mut self, key: &Atom, env: &Env) -> Node {
        let k = key.text.as_str();
        let n = self.chance.between(1, 52);
        let m = self.chance.between(1, 52);
        match self.chance.below(44) {
            40..=43 if self.depth < 2 && self.tables > 0 => self.key_query(k, env),
            0..=4 => format!("{k} = {n}").into(),
            5 => format!("({n} = {k})").into(),
            6 | 7 => {
                let list = [n, m, 7].iter().map(|n| n.to_string().into()).collect();
                seq![format!("{k} IN ("), Node::list(list, ", ", 1), ")"]
            }
            8 => format!("{k} = ANY ('{{{n},{m}}}')").into(),
            9 => format!("{k} = ANY (ARRAY[{n}, {m}]::int[])").into(),
            10 | 11 => format!("{k} = {}", self.key_param(n)).into(),
            12 => {
                let param = self.push(1016, "int8[]", Some(format!("{{{n},{m}}}")));
                format!("{k} = ANY ({param})").into()
            }
            13 => format!("({k}, 1) = ({n}, 1)").into(),
            14 => format!("{k} = {n} + 1").into(),
            15 => format!("{k} = - {n}::bigint + {n} + {m}").into(),
            16 => format!("({k} = {n} OR {k} = {m})").into(),
            17 => seq![format!("({k} = {n} OR "), self.comparison_of(env), ")"],
            18 => format!("NOT ({k} = {n})").into(),
            19 => format!("({k} = {n}) IS NOT TRUE").into(),
            20 => seq![format!("CASE WHEN {k} = {n} THEN true ELSE "), self.comparison_of(env), " END"],
            21 => format!("{k} + 1 = {n}").into(),
            22 => format!("{k} % 10 = {}", n % 10).into(),
            23 => format!("{k} = {n}.0").into(),
            24 => format!("{k}::text = '{n}'").into(),
            25 => format!("{k} BETWEEN {n} AND {n}").into(),
            26 => format!("{k} IS NOT DISTINCT FROM {n}").into(),
            27 => format!("{k} = NULL").into(),
            28 => format!("coalesce({k}, 0) = {n}").into(),
            29 => format!("{k} IN ({n}, NULL, 1 + {m})").into(),
            30 => format!("{k} = '{n}'").into(),
            31 => format!("({k} = {n} AND {k} = {m})").into(),
            32 => format!("{k} = (SELECT {n})").into(),
            33 => format!("{k} <= {m}").into(),
            34 => format!("{k} = {n}::smallint").into(),
            35 => format!("{k} = {n}::float8").into(),
            36 => format!("{k} = ANY (SELECT generate_series({n}, {}))", n + 1).into(),
            37 => format!("{k} NOT IN ({n}, {m})").into(),
            38 => format!("({k} = {n}) IS TRUE").into(),
            _ => format!("{k} IN (SELECT {n} UNION SELECT {m})").into(),
        }
    }

    fn key_param(&mut self, n: usize) -> String {
        let (oid, kind) = *self.chance.pick(&[(20, "int8"), (23, "int4"), (21, "int2"), (0, "?"), (1700, "numeric")]);
        self.push(oid, kind, Some(n.to_string()))
    }

    fn other_key(&mut self, key: &Atom, env: &Env) -> Node {
        let k = key.text.as_str();
        let (one, two) = match key.kind {
            Kind::Uuid => (self.literal(Kind::Uuid).sql(false), "'938429be-5d31-dc91-b053-2af798e9bd21'".to_owned()),
            Kind::Text => {
                (format!("'device {}'", self.chance.between(1, 13)), format!("'device {}'", self.chance.between(1, 13)))
            }
            _ => (self.literal(key.kind).sql(false), self.literal(key.kind).sql(false)),
        };
        match self.chance.below(12) {
            0..=2 => format!("{k} = {one}").into(),
            3 => format!("{k} IN ({one}, {two})").into(),
            4 => format!("({k} = {one} OR {k} = {two})").into(),
            5 => seq![format!("({k} = {one} OR "), self.comparison_of(env), ")"],
            6 => format!("NOT ({k} = {one})").into(),
            7 => format!("{k} = ANY (ARRAY[{one}, {two}])").into(),
            8 => format!("{k} IS NOT DISTINCT FROM {one}").into(),
            9 if key.kind == Kind::Text => format!("{k} = 'device ' || 3").into(),
            9 => format!("{k}::text = 'x'").into(),
            10 => match self.param(key.kind) {
                Some(param) => format!("{k} = {param}").into(),
                None => format!("{k} = {one}").into(),
            },
            _ => format!("{k} > {one}").into(),
        }
    }

    fn comparison_of(&mut self, env: &Env) -> Node {
        let env = Env { keys: Vec::new(), ..env.clone() };
        self.condition(&env, 0)
    }
}
