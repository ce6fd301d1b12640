//! Which keys confine a table: the equalities that hold where it stands.

use super::analysis::{Analysis, Is, RefId};
use super::{KeyCondition, KeyValue};

/// What confines one table, if anything does.
pub fn confined(analysis: &Analysis, id: RefId) -> Option<KeyCondition> {
    let (place, key) = analysis.key(id)?;
    let item = analysis.refs.get(id)?;
    let reached = analysis.equals(key, item.scope);
    let lists = analysis.facts.iter().filter_map(|fact| match &fact.is {
        Is::In(values) if reached.contains(&fact.column) && analysis.sees(item.scope, fact.scope) => {
            // The value must be compared as the key's own column compares it.
            (deterministic(analysis, fact.column) && deterministic(analysis, key)).then_some(values)
        }
        _ => None,
    });
    let arrays = |values: &&Vec<KeyValue>| values.iter().any(|value| matches!(value, KeyValue::ParamArray { .. }));
    let values = lists.min_by_key(|values| (arrays(values), values.len()))?;
    Some(KeyCondition { column: analysis.display(key), place: place.clone(), values: values.clone(), assigned: None })
}

/// The conditions that together name all shards with rows of these tables; `None` if one of them isn't confined.
pub fn conditions(analysis: &Analysis, ids: impl Iterator<Item = RefId>) -> Option<Vec<KeyCondition>> {
    let mut out: Vec<KeyCondition> = Vec::new();
    for id in ids {
        let condition = confined(analysis, id)?;
        let same = |other: &KeyCondition| other.place == condition.place && other.values == condition.values;
        if !out.iter().any(same) {
            out.push(condition);
        }
    }
    Some(out)
}

/// Whether equality on the column is equality of bytes.
pub fn deterministic(analysis: &Analysis, target: super::analysis::Target) -> bool {
    match analysis.column(target).map(|column| &column.collation) {
        Some(super::analysis::Known::Collation(collation)) => collation.deterministic,
        Some(super::analysis::Known::None) => true,
        _ => false,
    }
}

/// A sentence for the proof.
pub fn sentence(condition: &KeyCondition) -> String {
    let shown: Vec<String> = condition.values.iter().map(shown_value).collect();
    match shown.as_slice() {
        [one] => format!("{} = {one}", condition.column),
        many => format!("{} IN ({})", condition.column, many.join(", ")),
    }
}

pub fn shown_value(value: &KeyValue) -> String {
    match value {
        KeyValue::Literal { type_oid: 0 | 25 | 1043, text, .. } => format!("'{text}'"),
        KeyValue::Literal { text, .. } => text.clone(),
        KeyValue::Param { number, .. } => format!("${number}"),
        KeyValue::ParamArray { number, .. } => format!("ANY(${number})"),
        KeyValue::Null => "NULL".to_string(),
        KeyValue::Once(_) => "DEFAULT".to_string(),
    }
}
