//! Types that users define have other OIDs on other shards: clients hear and say the home shard's.

use std::borrow::Cow;
use std::sync::Arc;

use super::Coordinator;
use super::multi::Question;
use crate::backend::View;
use crate::catalog::schema::Oid;
use crate::wire::frame::split_cstr;

impl Coordinator {
    /// The view, if a shard's types have other OIDs than the home shard's.
    fn other_types(&self, shard: usize) -> Option<Arc<View>> {
        if shard == self.home() {
            return None;
        }
        let view = self.last_view()?;
        view.types.get(shard).is_some_and(|types| !types.is_empty()).then_some(view)
    }

    /// A question in a shard's own OIDs.
    pub(super) fn question_for<'a>(&self, shard: usize, question: &'a Question) -> Cow<'a, Question> {
        let Some(view) = self.other_types(shard) else { return Cow::Borrowed(question) };
        let mut question = question.clone();
        for oid in &mut question.types {
            *oid = on_shard(&view, shard, *oid);
        }
        Cow::Owned(question)
    }

    /// The declared parameter types of a Parse message (count and OIDs) in a shard's own OIDs.
    pub(super) fn types_for<'a>(&self, shard: usize, types: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(view) = self.other_types(shard) else { return Cow::Borrowed(types) };
        let mut types = types.to_vec();
        for field in types.get_mut(2..).unwrap_or_default().chunks_exact_mut(4) {
            if let Ok(bytes) = <[u8; 4]>::try_from(&*field) {
                field.copy_from_slice(&on_shard(&view, shard, Oid::from_be_bytes(bytes)).to_be_bytes());
            }
        }
        Cow::Owned(types)
    }

    /// The body of a shard's RowDescription in the home shard's OIDs.
    pub(super) fn row_from(&self, shard: usize, row: &[u8]) -> Option<Vec<u8>> {
        let view = self.other_types(shard)?;
        let types = view.types.get(shard)?;
        let mut out = row.to_vec();
        let mut at = 2;
        while let Some((name, _)) = row.get(at..).and_then(split_cstr) {
            // The name, the table's OID and column, then the type.
            let field = at + name.len() + 1 + 6;
            if let Some(bytes) = out.get_mut(field..field + 4)
                && let Ok(oid) = <[u8; 4]>::try_from(&*bytes)
                && let Some(home) = types.get(&Oid::from_be_bytes(oid))
            {
                bytes.copy_from_slice(&home.to_be_bytes());
            }
            at = field + 12;
        }
        Some(out)
    }
}

/// The shard's OID of a type whose OID on the home shard is given.
fn on_shard(view: &View, shard: usize, oid: Oid) -> Oid {
    let types = view.types.get(shard);
    types.and_then(|types| types.iter().find(|(_, home)| **home == oid)).map_or(oid, |(own, _)| *own)
}
