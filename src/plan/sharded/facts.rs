//! Equalities that a condition surely says of columns.

use super::KeyValue;
use super::analysis::{Analysis, Fact, Is, ScopeId, Target};
use super::constant::{declared, evaluate};
use super::walk::{bare, conjuncts};
use crate::catalog::schema::Oid;
use crate::sql::ast::{Expr, ExprKind, Quantified};
use crate::value::oid;

/// Where facts are read: a text, its parameters' types, what its names mean.
pub struct Reader<'a> {
    pub analysis: &'a Analysis,
    pub text: usize,
    pub params: &'a [Oid],
}

impl Reader<'_> {
    /// The facts that hold in `scope` because `condition` is one of its conjuncts.
    pub fn facts(&self, condition: &Expr, scope: ScopeId) -> Vec<Fact> {
        conjuncts(condition).into_iter().flat_map(|conjunct| self.conjunct(conjunct, scope)).collect()
    }

    fn conjunct(&self, expr: &Expr, scope: ScopeId) -> Vec<Fact> {
        let one = |column: Option<Target>, values: Option<Vec<KeyValue>>| match (column, values) {
            (Some(column), Some(values)) => vec![Fact { scope, column, is: Is::In(values) }],
            _ => Vec::new(),
        };
        match &expr.kind {
            ExprKind::Binary { operator, qualified: false, left, right } if operator == "=" => {
                self.equality(left, right, scope)
            }
            ExprKind::InList { operand, list, negated: false } => one(self.column(operand), self.values(list)),
            ExprKind::Quantified { operand, operator, all: false, right: Quantified::Array(array) }
                if operator == "=" =>
            {
                one(self.column(operand), self.array(array))
            }
            ExprKind::Or(branches) => self.alternatives(branches, scope),
            _ => Vec::new(),
        }
    }

    fn equality(&self, left: &Expr, right: &Expr, scope: ScopeId) -> Vec<Fact> {
        if let (ExprKind::Row(left), ExprKind::Row(right)) = (&bare(left).kind, &bare(right).kind) {
            let pairs = left.iter().zip(right).filter(|_| left.len() == right.len());
            return pairs.flat_map(|(left, right)| self.equality(left, right, scope)).collect();
        }
        let (column, is) = match (self.column(left), self.column(right)) {
            (Some(left), Some(right)) => (left, Is::Equal(right)),
            (Some(column), None) => match self.value(right) {
                Some(value) => (column, Is::In(vec![value])),
                None => return Vec::new(),
            },
            (None, Some(column)) => match self.value(left) {
                Some(value) => (column, Is::In(vec![value])),
                None => return Vec::new(),
            },
            (None, None) => return Vec::new(),
        };
        vec![Fact { scope, column, is }]
    }

    /// `k = 1 OR k IN (2, 3)`: the column that every branch confines; and the equality that each of them says.
    fn alternatives(&self, branches: &[Expr], scope: ScopeId) -> Vec<Fact> {
        let facts: Vec<Vec<Fact>> = branches.iter().map(|branch| self.facts(branch, scope)).collect();
        let Some((first, rest)) = facts.split_first() else { return Vec::new() };
        let mut out = Vec::new();
        for fact in first {
            let values = match &fact.is {
                Is::In(values) => values,
                Is::Equal(other) => {
                    let same = |fact: &Fact, one: Target, two: Target| {
                        fact.column == one && matches!(fact.is, Is::Equal(is) if is == two)
                    };
                    let says = |known: &Fact| same(known, fact.column, *other) || same(known, *other, fact.column);
                    if rest.iter().all(|branch| branch.iter().any(says)) {
                        out.push(fact.clone());
                    }
                    continue;
                }
            };
            let mut all = values.clone();
            let every = rest.iter().all(|branch| {
                branch.iter().any(|other| match &other.is {
                    Is::In(more) if other.column == fact.column => {
                        all.extend(more.iter().cloned());
                        true
                    }
                    _ => false,
                })
            });
            if every {
                out.push(Fact { scope, column: fact.column, is: Is::In(all) });
            }
        }
        out
    }

    /// The column that an expression plainly is.
    pub fn column(&self, expr: &Expr) -> Option<Target> {
        let ExprKind::Column(name) = &bare(expr).kind else { return None };
        self.analysis.columns.get(&(self.text, name.span))?.first().copied()
    }

    fn value(&self, expr: &Expr) -> Option<KeyValue> {
        evaluate(expr, self.analysis.texts.get(self.text)?, self.params).filter(|_| self.text == 0 || !has_param(expr))
    }

    pub fn values(&self, list: &[Expr]) -> Option<Vec<KeyValue>> {
        let values: Vec<KeyValue> = list.iter().map(|member| self.value(member)).collect::<Option<_>>()?;
        // A list's members take one common type: strings beside numbers are read as numbers, which the key's own
        // reading gives too; but typed members of several types may be cast to another one.
        let mut types: Vec<Oid> = values.iter().filter_map(type_of).filter(|&oid| oid != 0).collect();
        types.sort_unstable();
        types.dedup();
        let int = |oid: &Oid| matches!(*oid, oid::INT2 | oid::INT4 | oid::INT8);
        (types.len() <= 1 || types.iter().all(int)).then_some(values)
    }

    /// `= ANY($1)`, `= ANY($1::int8[])`, `= ANY(ARRAY[1, 2])`
    fn array(&self, expr: &Expr) -> Option<Vec<KeyValue>> {
        let expr = bare(expr);
        match &expr.kind {
            ExprKind::Param(number) => {
                let type_oid = element(declared(*number, self.params))?;
                Some(vec![KeyValue::ParamArray { number: *number, type_oid }])
            }
            ExprKind::Cast { operand, target } if target.array => match &bare(operand).kind {
                ExprKind::Param(number) => {
                    let mut target = target.clone();
                    target.array = false;
                    let target = super::constant::type_oid(&target)?;
                    let given = declared(*number, self.params);
                    let given = if given == 0 { target } else { element(given)? };
                    (given == target).then(|| vec![KeyValue::ParamArray { number: *number, type_oid: target }])
                }
                ExprKind::Array(list) => self.values(list),
                _ => None,
            },
            ExprKind::Array(list) => self.values(list),
            _ => None,
        }
    }
}

fn has_param(expr: &Expr) -> bool {
    super::walk::any(expr, &|part| matches!(part.kind, ExprKind::Param(_)))
}

fn type_of(value: &KeyValue) -> Option<Oid> {
    match value {
        KeyValue::Literal { type_oid, .. } | KeyValue::Param { type_oid, .. } => Some(*type_oid),
        _ => None,
    }
}

/// The elements' type of a built-in array type; 0 for 0.
fn element(array: Oid) -> Option<Oid> {
    Some(match array {
        0 => 0,
        1005 => oid::INT2,
        1007 => oid::INT4,
        1016 => oid::INT8,
        1009 => oid::TEXT,
        1015 => oid::VARCHAR,
        2951 => oid::UUID,
        1231 => oid::NUMERIC,
        1182 => oid::DATE,
        1115 => oid::TIMESTAMP,
        1185 => oid::TIMESTAMPTZ,
        _ => return None,
    })
}
