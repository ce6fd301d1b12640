//! Whole rows of FROM items as values: `t`, `t.*`, `(t).f`.

use super::analysis::*;
use super::names::{Entry, Resolver};
use super::walk::bare;
use crate::sql::ast::*;

/// Built-in functions that take any row and show nothing of its type but its columns' names.
const NAMED: &[&str] = &["row_to_json", "to_json", "to_jsonb", "json_agg", "jsonb_agg"];

/// What becomes of a whole row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowUse {
    /// It is a value, of the table's row type.
    #[default]
    Value,
    /// Any row of the same values does: `t IS NULL`, `count(t)`, `ROW(t.*)`, `(t).a`.
    Fields,
    /// So does any whose columns have the same names, too.
    Named,
}

impl Resolver<'_> {
    /// What an expression does with a part that is a whole row.
    pub fn row_use(&self, expr: &Expr, part: &Expr) -> RowUse {
        let part_kind = &bare(part).kind;
        match &expr.kind {
            _ if !matches!(part_kind, ExprKind::Column(_) | ExprKind::WholeRow(_)) => RowUse::Value,
            ExprKind::Paren(_) => self.used_as,
            ExprKind::IsNull { .. } => RowUse::Fields,
            // `t.*` stands for its columns there (`transformExpressionList`).
            ExprKind::Row(_) if matches!(part_kind, ExprKind::WholeRow(_)) => RowUse::Fields,
            ExprKind::Function(call) => {
                let name = call.name.parts.last().map(|part| part.value.as_str()).unwrap_or_default();
                let functions = self.context.schema.functions.get(name);
                let builtin = functions.is_some_and(|all| all.iter().all(|function| function.builtin));
                match name {
                    "count" if builtin && !call.distinct => RowUse::Fields,
                    name if builtin && NAMED.contains(&name) => RowUse::Named,
                    _ => RowUse::Value,
                }
            }
            _ => RowUse::Value,
        }
    }

    /// A FROM item's name used as a value.
    pub fn whole_row(&mut self, alias: &str, span: Span) -> Option<()> {
        let entry = self.entry(None, alias)?.clone();
        self.row(&entry, span, self.used_as, None);
        Some(())
    }

    /// `(x).field`, `(x).*` of a FROM item. False: it is none.
    pub fn field_of_row(&mut self, operand: &Expr, field: Option<&str>) -> bool {
        let ExprKind::Column(Name { parts, span }) = &bare(operand).kind else { return false };
        let [part] = parts.as_slice() else { return false };
        let alias = part.value.as_str();
        // A column comes first, however far out.
        if self.frames.iter().any(|frame| frame.columns.iter().any(|(name, _)| name == alias)) {
            return false;
        }
        let Some(entry) = self.entry(None, alias).cloned() else { return false };
        let column = field.is_none_or(|field| entry.columns.iter().any(|(name, _)| name == field));
        let used = if column { RowUse::Fields } else { RowUse::Value };
        if let (false, Some(field)) = (column, field) {
            self.calls(field, *span);
        }
        self.row(&entry, *span, used, None);
        true
    }

    /// How many columns a value of VALUES gives: `t.*` gives several.
    pub fn columns_of(&mut self, value: &Expr) -> usize {
        let alias = match &bare(value).kind {
            ExprKind::WholeRow(name) => name.parts.last().map(|part| part.value.as_str()),
            ExprKind::FieldStar(_) => None,
            _ => return 1,
        };
        match alias.and_then(|alias| self.entry(None, alias)).filter(|entry| !entry.open) {
            Some(entry) => entry.columns.len(),
            None => {
                self.open = true;
                1
            }
        }
    }

    /// `t.f`, where `f` is no column. False: it is no function that is known either.
    pub fn function_of_row(&mut self, entry: &Entry, name: &str, span: Span) -> bool {
        let relation = entry.id.and_then(|id| self.out.refs.get(id)).is_some_and(|item| item.relation.is_some());
        if !relation || !self.context.schema.functions.contains_key(name) {
            return false;
        }
        self.calls(name, span);
        self.row(entry, span, RowUse::Value, Some(name.to_string()));
        true
    }

    /// A function is called that a field may be.
    pub fn calls(&mut self, name: &str, span: Span) {
        let place = (self.text, span);
        self.out.calls.push(Called { place, schema: None, name: name.to_string(), arguments: 1, special: false });
    }

    fn row(&mut self, entry: &Entry, span: Span, used: RowUse, function: Option<String>) {
        for target in entry.columns.iter().flat_map(|(_, targets)| targets) {
            self.hold_column(*target);
        }
        let text = self.text;
        let Some((id, item)) = entry.id.and_then(|id| Some((id, self.out.refs.get_mut(id)?))) else { return };
        let plain = item.relation.is_some() && !item.renamed && !item.columns.is_empty();
        match used {
            RowUse::Fields => {}
            // Before PostgreSQL 15 an alias' names are shown, from then on the table's own.
            RowUse::Named if !item.renamed => {}
            _ if text == 0 && plain => self.out.rows.push(WholeRow { span, id, function }),
            _ => item.whole = true,
        }
    }
}
