//! Texts that came lately, known by their looks: their plans without cutting the next one like them into tokens.

use std::cell::Cell;
use std::rc::Rc;

use super::context::Reading;
use crate::base::limits;
use crate::plan::Plan;
use crate::sql::outline::Outline;

/// The bytes by whose look a set is chosen.
const BEGINNING: usize = 16;
/// One in so many texts that aren't known takes a known one's place: where no two texts are alike, remembering them all
/// would cost more than it saves.
const RARELY: u32 = 16;

/// Outlines of texts with a fingerprint, a few for each way to begin.
#[derive(Default)]
pub struct Familiar {
    /// Empty as long as nothing is known.
    sets: Vec<Vec<Known>>,
    strangers: u32,
}

struct Known {
    outline: Outline,
    reading: Reading,
    plan: Rc<Plan>,
    /// It was asked for since it was last to go.
    asked: Cell<bool>,
}

impl Familiar {
    /// The plan of a text that differs from a known one in literals alone.
    #[inline]
    pub fn find(&self, sql: &[u8], reading: Reading) -> Option<&Rc<Plan>> {
        let set = self.sets.get(set_of(sql))?;
        let known = set.iter().find(|known| known.outline.fits(sql) && known.reading == reading)?;
        known.asked.set(true);
        Some(&known.plan)
    }

    /// Remembers a text that has been seen before, or one like it, perhaps.
    pub fn note(&mut self, sql: &[u8], reading: Reading, plan: &Rc<Plan>) {
        if sql.len() > limits::OUTLINE_TEXT {
            return;
        }
        if self.sets.is_empty() {
            self.sets.resize_with(limits::OUTLINE_SETS, Vec::new);
        }
        let Some(set) = self.sets.get_mut(set_of(sql)) else { return };
        let known = || {
            let outline = Outline::new(sql, reading.standard_strings);
            Known { outline, reading, plan: plan.clone(), asked: Cell::new(false) }
        };
        if set.len() < limits::OUTLINES_ALIKE {
            return set.push(known());
        }
        self.strangers = self.strangers.wrapping_add(1);
        if self.strangers.is_multiple_of(RARELY) {
            let idle = set.iter().position(|known| !known.asked.take()).unwrap_or_default();
            set.iter_mut().skip(idle).take(1).for_each(|place| *place = known());
        }
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
