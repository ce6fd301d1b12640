//! Types that users define have other OIDs on other shards: clients hear and say the home shard's.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use super::Coordinator;
use super::describe::{Described, Prepared};
use super::multi::{Bind, Question};
use crate::backend::View;
use crate::base::{PgError, SqlState};
use crate::catalog::schema::{FIRST_USER_OID, Oid};
use crate::execute::row;
use crate::value::embedded::{Shape, Types, built_in, holds, rename};
use crate::wire::frame::split_cstr;

impl Coordinator {
    /// The view, if a shard's types have other OIDs than the home shard's.
    pub(super) fn other_types(&self, shard: usize) -> Option<Arc<View>> {
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
        question.named = self.named_parameters(shard, &question.types);
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
    view.types_there.get(shard).and_then(|types| types.get(&oid)).copied().unwrap_or(oid)
}

/// Values that go between a shard and the client. The home shard's OIDs are the canonical ones.
struct Between<'a> {
    view: &'a View,
    shard: usize,
    /// To the shard.
    there: bool,
}

/// Domains of domains are followed so far.
const MOST_DOMAINS: usize = 16;

impl Types for Between<'_> {
    fn shape(&self, of: Oid) -> Shape {
        let mut of = of;
        for _ in 0..MOST_DOMAINS {
            let Some(known) = self.view.schema.types.get(&of).filter(|_| of >= FIRST_USER_OID) else { break };
            match known.kind {
                b'd' => of = known.base,
                b'c' => return Shape::Composite,
                b'r' => return Shape::Range(known.bound),
                b'm' => return Shape::Multirange(known.bound),
                _ if known.element != 0 => return Shape::Array(known.element),
                _ => return Shape::Plain,
            }
        }
        built_in(of)
    }

    fn differs(&self, of: Oid) -> bool {
        self.view.types_there.get(self.shard).is_some_and(|types| types.contains_key(&of))
    }

    fn names(&self, found: Oid) -> (Oid, Oid) {
        if self.there {
            return (found, on_shard(self.view, self.shard, found));
        }
        let home = self.view.types.get(self.shard).and_then(|types| types.get(&found)).copied().unwrap_or(found);
        (home, home)
    }
}

/// Values of a row, or of parameters, that name types of users within: which they are, and of what types.
pub struct Named {
    view: Arc<View>,
    shard: usize,
    columns: Vec<(usize, Oid)>,
}

impl Named {
    /// Puts the home shard's names into a DataRow's body.
    pub fn to_client(&self, body: &mut [u8]) {
        let types = Between { view: &self.view, shard: self.shard, there: false };
        for (at, of) in &self.columns {
            if let Some(value) = row::value_mut(body, *at) {
                rename(&types, *of, value);
            }
        }
    }

    /// Parameter `at` (from 0) with the shard's names.
    pub fn to_shard<'a>(&self, at: usize, value: &'a [u8]) -> Cow<'a, [u8]> {
        let Some((_, of)) = self.columns.iter().find(|(column, _)| *column == at) else { return Cow::Borrowed(value) };
        let mut value = value.to_vec();
        rename(&Between { view: &self.view, shard: self.shard, there: true }, *of, &mut value);
        Cow::Owned(value)
    }
}

impl Coordinator {
    fn named(&self, shard: usize, binary: impl Iterator<Item = (usize, Oid)>) -> Option<Rc<Named>> {
        let view = self.other_types(shard)?;
        let types = Between { view: &view, shard, there: false };
        let columns: Vec<_> = binary.filter(|(_, of)| holds(&types, *of)).collect();
        (!columns.is_empty()).then(|| Rc::new(Named { view, shard, columns }))
    }

    /// Columns of a statement's result, in the formats that the client asked for. `None`: a shard's rows are the client's.
    pub(super) fn named_results(&self, shard: usize, described: Option<&Described>, bind: &Bind) -> Option<Rc<Named>> {
        let columns = described?.columns.iter().enumerate();
        self.named(shard, columns.filter(|(at, _)| bind.result(*at) == 1).map(|(at, column)| (at, column.type_oid)))
    }

    /// The same of a RowDescription's body, in the home shard's OIDs, with formats.
    pub(super) fn named_row(&self, shard: usize, row: &[u8]) -> Option<Rc<Named>> {
        self.other_types(shard)?;
        let columns = super::describe::read_columns(row);
        let formats = super::welcome::formats_of(row);
        let pairs = columns.iter().zip(formats).enumerate();
        self.named(shard, pairs.filter(|(_, (_, format))| *format == 1).map(|(at, (column, _))| (at, column.type_oid)))
    }

    /// Parameters of these types.
    fn named_parameters(&self, shard: usize, types: &[Oid]) -> Option<Rc<Named>> {
        self.named(shard, types.iter().copied().enumerate())
    }

    /// Binary COPY data isn't looked into.
    pub(super) fn refuse_named_copy(&self, shard: usize, sql: &str) -> Result<(), PgError> {
        if self.other_types(shard).is_none() || !sql.to_ascii_lowercase().contains("binary") {
            return Ok(());
        }
        let text =
            "COPY in binary format from a shard whose types have other OIDs than the home shard's isn't supported";
        Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text).hint("COPY in text or CSV format, or use SELECT."))
    }

    /// What the client bound, as the shard is to have it. `None`: as it is.
    pub(super) fn bind_for(&self, shard: usize, prepared: &Prepared, bind: &Bind) -> Option<Bind> {
        let types = prepared.described.get().map(|described| described.params.as_slice()).unwrap_or_default();
        let named = self.named_parameters(shard, types)?;
        let mut bind = bind.clone();
        for at in 0..bind.values.len() {
            let binary = bind.format(at) == 1;
            if let Some(Some(value)) = bind.values.get_mut(at)
                && binary
            {
                *value = named.to_shard(at, value).into_owned();
            }
        }
        Some(bind)
    }
}
