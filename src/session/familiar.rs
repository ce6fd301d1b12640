//! Texts that came lately, known by their looks: their plans without cutting the next one like them into tokens.

use std::cell::Cell;

use crate::base::limits;
use crate::sql::outline::Outline;

/// The bytes by whose look a set is chosen.
const BEGINNING: usize = 16;
/// One in so many texts that aren't known takes a known one's place: where no two texts are alike, remembering them all
/// would cost more than it saves.
const RARELY: u32 = 16;

/// Outlines of texts with a fingerprint, a few for each way to begin, and what is known of each.
pub struct Familiar<T> {
    /// Empty as long as nothing is known.
    sets: Vec<Vec<Known<T>>>,
    strangers: u32,
}

/// How a text is read: all that its meaning hangs on besides itself, as one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Manner {
    pub number: u64,
    pub standard_strings: bool,
}

struct Known<T> {
    outline: Outline,
    manner: Manner,
    what: T,
    /// It was asked for since it was last to go.
    asked: Cell<bool>,
}

impl<T> Default for Familiar<T> {
    fn default() -> Self {
        Self { sets: Vec::new(), strangers: 0 }
    }
}

impl<T> Familiar<T> {
    /// What is known of a text that differs from a known one in literals alone, and that one's outline.
    #[inline]
    pub fn find(&self, sql: &[u8], manner: Manner) -> Option<(&T, &Outline)> {
        let set = self.sets.get(set_of(sql))?;
        let known = set.iter().find(|known| known.outline.fits(sql) && known.manner == manner)?;
        known.asked.set(true);
        Some((&known.what, &known.outline))
    }

    /// Remembers a text that has a fingerprint, perhaps.
    pub fn note(&mut self, sql: &[u8], manner: Manner, what: impl FnOnce(&Outline) -> Option<T>) {
        if sql.len() > limits::OUTLINE_TEXT {
            return;
        }
        if self.sets.is_empty() {
            self.sets.resize_with(limits::OUTLINE_SETS, Vec::new);
        }
        let Some(set) = self.sets.get_mut(set_of(sql)) else { return };
        let full = set.len() >= limits::OUTLINES_ALIKE;
        if full {
            self.strangers = self.strangers.wrapping_add(1);
            if !self.strangers.is_multiple_of(RARELY) {
                return;
            }
        }
        let outline = Outline::new(sql, manner.standard_strings);
        let Some(what) = what(&outline) else { return };
        if full {
            let idle = set.iter().position(|known| !known.asked.take()).unwrap_or_default();
            set.swap_remove(idle);
        }
        set.push(Known { outline, manner, what, asked: Cell::new(false) });
    }
}

/// Texts that begin alike are in one set. No secret is needed: who makes all texts begin alike has them read as if none
/// were known.
fn set_of(sql: &[u8]) -> usize {
    let mut beginning = [0; BEGINNING];
    let length = sql.len().min(BEGINNING);
    if let (Some(to), Some(from)) = (beginning.get_mut(..length), sql.get(..length)) {
        to.copy_from_slice(from);
    }
    let number = u128::from_le_bytes(beginning);
    let mixed = (number as u64 ^ (number >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as usize % limits::OUTLINE_SETS
}
