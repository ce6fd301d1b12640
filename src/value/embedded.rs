//! OIDs of types inside binary values: arrays, composites and ranges of them name the types of what they hold, and types
//! of users have other OIDs on other servers. The names are put over each other in place.

use super::oid;

/// A type's OID.
type Oid = u32;

/// How a type's binary form holds others (`array_send`, `record_send`, `range_send`, `multirange_send`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// It names no type.
    Plain,
    /// Of elements of this type, which it names.
    Array(Oid),
    /// Each column with its type's name.
    Composite,
    /// Bounds of this type.
    Range(Oid),
    /// Ranges with bounds of this type.
    Multirange(Oid),
}

/// Types by their canonical OIDs, and what the two servers call them between which values go.
pub trait Types {
    fn shape(&self, of: Oid) -> Shape;
    /// Whether the two call it differently.
    fn differs(&self, of: Oid) -> bool;
    /// The canonical OID of the one that a value names, and the one to be named instead.
    fn names(&self, found: Oid) -> (Oid, Oid);
}

/// Values within values are followed so far.
const MOST_DEPTH: usize = 32;

/// Whether a value of this type may name types that are called otherwise.
pub fn holds(types: &impl Types, of: Oid) -> bool {
    within(types, of, 0)
}

fn within(types: &impl Types, of: Oid, depth: usize) -> bool {
    depth < MOST_DEPTH
        && match types.shape(of) {
            Shape::Plain => false,
            Shape::Composite => true,
            Shape::Array(element) => types.differs(element) || within(types, element, depth + 1),
            Shape::Range(bound) | Shape::Multirange(bound) => within(types, bound, depth + 1),
        }
}

/// Renames the types inside a value of type `of`. What can't be read is left as it is: its reader will say so.
pub fn rename(types: &impl Types, of: Oid, value: &mut [u8]) {
    let _ = renamed(types, of, value, 0);
}

/// None: it ends before it should.
fn renamed(types: &impl Types, of: Oid, value: &mut [u8], depth: usize) -> Option<()> {
    if depth >= MOST_DEPTH {
        return None;
    }
    match types.shape(of) {
        Shape::Plain => Some(()),
        Shape::Array(_) => {
            let dimensions = usize::try_from(number(value, 0)?).ok()?;
            let element = swap(types, value, 8)?;
            let mut at = 12usize.checked_add(dimensions.checked_mul(8)?)?;
            while dimensions > 0 && at < value.len() {
                at = held(types, element, value, at, depth)?;
            }
            Some(())
        }
        Shape::Composite => {
            let columns = number(value, 0)?;
            let mut at = 4;
            for _ in 0..columns {
                let of = swap(types, value, at)?;
                at = held(types, of, value, at + 4, depth)?;
            }
            Some(())
        }
        Shape::Range(bound) => range(types, bound, value, depth),
        Shape::Multirange(bound) => {
            let count = number(value, 0)?;
            let mut at = 4usize;
            for _ in 0..count {
                let length = usize::try_from(number(value, at)?).ok()?;
                let end = at.checked_add(4)?.checked_add(length)?;
                range(types, bound, value.get_mut(at + 4..end)?, depth)?;
                at = end;
            }
            Some(())
        }
    }
}

/// Flags (`RANGE_EMPTY`, `RANGE_LB_INF`, `RANGE_UB_INF`), then the bounds that there are.
fn range(types: &impl Types, bound: Oid, value: &mut [u8], depth: usize) -> Option<()> {
    const EMPTY: u8 = 0x01;
    const INFINITE: [u8; 2] = [0x08, 0x10];
    let flags = *value.first()?;
    let mut at = 1;
    for infinite in INFINITE {
        if flags & (EMPTY | infinite) == 0 {
            at = held(types, bound, value, at, depth)?;
        }
    }
    Some(())
}

/// A length and as many bytes; the offset behind them.
fn held(types: &impl Types, of: Oid, value: &mut [u8], at: usize, depth: usize) -> Option<usize> {
    let Ok(length) = usize::try_from(number(value, at)?) else { return at.checked_add(4) };
    let end = at.checked_add(4)?.checked_add(length)?;
    renamed(types, of, value.get_mut(at + 4..end)?, depth + 1)?;
    Some(end)
}

fn number(value: &[u8], at: usize) -> Option<i32> {
    value.get(at..)?.first_chunk::<4>().map(|bytes| i32::from_be_bytes(*bytes))
}

/// Renames one type, and gives its canonical OID.
fn swap(types: &impl Types, value: &mut [u8], at: usize) -> Option<Oid> {
    let bytes = value.get_mut(at..)?.first_chunk_mut::<4>()?;
    let (of, other) = types.names(Oid::from_be_bytes(*bytes));
    *bytes = other.to_be_bytes();
    Some(of)
}

/// The shapes of built-in types that hold what users define.
pub fn built_in(of: Oid) -> Shape {
    match of {
        oid::RECORD => Shape::Composite,
        oid::RECORD_ARRAY => Shape::Array(oid::RECORD),
        _ => Shape::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20001: an enum, 20002 its array, 20003 a composite, 20004 its range, 20005 its multirange. Elsewhere all are 10 more.
    struct Two;

    impl Types for Two {
        fn shape(&self, of: Oid) -> Shape {
            match of {
                20_002 => Shape::Array(20_001),
                20_003 => Shape::Composite,
                20_004 => Shape::Range(20_002),
                20_005 => Shape::Multirange(20_002),
                1_007 => Shape::Array(23),
                of => built_in(of),
            }
        }

        fn differs(&self, of: Oid) -> bool {
            of >= 20_000
        }

        fn names(&self, found: Oid) -> (Oid, Oid) {
            (found, if found >= 20_000 { found + 10 } else { found })
        }
    }

    fn array(element: Oid, values: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for word in [1, 0, element, values.len() as u32, 1] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        values.iter().for_each(|value| put(&mut out, value));
        out
    }

    fn put(out: &mut Vec<u8>, value: &[u8]) {
        out.extend_from_slice(&(value.len() as u32).to_be_bytes());
        out.extend_from_slice(value);
    }

    fn composite(columns: &[(Oid, &[u8])]) -> Vec<u8> {
        let mut out = (columns.len() as u32).to_be_bytes().to_vec();
        for (of, value) in columns {
            out.extend_from_slice(&of.to_be_bytes());
            put(&mut out, value);
        }
        out
    }

    #[test]
    fn all_names_are_changed_at_every_depth() {
        let (inner, inner_new) = (array(20_001, &[b"ok", b"sad"]), array(20_011, &[b"ok", b"sad"]));
        let made = |of, moods: &[u8]| composite(&[(23, b"\0\0\0\x05"), (of, moods)]);
        let mut nested = array(20_003, &[&made(20_002, &inner), &made(20_002, &inner)]);
        rename(&Two, 2_287, &mut composite(&[]));
        let types = Two;
        // An array of composites is known by its element's name alone.
        struct Of(Two);
        impl Types for Of {
            fn shape(&self, of: Oid) -> Shape {
                if of == 20_006 { Shape::Array(20_003) } else { self.0.shape(of) }
            }
            fn differs(&self, of: Oid) -> bool {
                self.0.differs(of)
            }
            fn names(&self, found: Oid) -> (Oid, Oid) {
                self.0.names(found)
            }
        }
        rename(&Of(types), 20_006, &mut nested);
        assert_eq!(nested, array(20_013, &[&made(20_012, &inner_new), &made(20_012, &inner_new)]));

        let mut bounds = vec![0x02];
        put(&mut bounds, &inner);
        put(&mut bounds, &inner);
        let mut expected = vec![0x02];
        put(&mut expected, &inner_new);
        put(&mut expected, &inner_new);
        let mut many = 1u32.to_be_bytes().to_vec();
        put(&mut many, &bounds);
        rename(&Two, 20_004, &mut bounds);
        assert_eq!(bounds, expected);
        rename(&Two, 20_005, &mut many);
        assert_eq!(many.get(8..), Some(&expected[..]));
        for mut short in [vec![0x01], vec![0x18]] {
            let before = short.clone();
            rename(&Two, 20_004, &mut short);
            assert_eq!(short, before, "empty, and without bounds");
        }
    }

    #[test]
    fn what_names_nothing_else_is_known() {
        let held: Vec<bool> = [23, 1_007, 20_001, 20_002, 20_003, 20_004, 2_249].map(|of| holds(&Two, of)).into();
        assert_eq!(held, [false, false, false, true, true, true, true]);
    }

    #[test]
    fn nulls_empty_arrays_and_what_is_cut_short_do_no_harm() {
        let whole = array(20_001, &[b"ok"]);
        for cut in 0..whole.len() {
            let mut value = whole.get(..cut).unwrap_or_default().to_vec();
            rename(&Two, 20_002, &mut value);
            assert_eq!(value.len(), cut);
        }
        let mut empty: Vec<u8> = [0u32, 0, 20_001].iter().flat_map(|word| word.to_be_bytes()).collect();
        rename(&Two, 20_002, &mut empty);
        assert_eq!(empty.get(8..), Some(&20_011u32.to_be_bytes()[..]));
        let mut null = composite(&[(20_001, b"")]);
        null.truncate(8);
        null.extend_from_slice(&(-1i32).to_be_bytes());
        rename(&Two, 2_249, &mut null);
        assert_eq!(null.get(4..8), Some(&20_011u32.to_be_bytes()[..]));
        let mut lies = vec![0xff; 40];
        rename(&Two, 20_002, &mut lies);
        rename(&Two, 20_005, &mut lies);
    }
}
