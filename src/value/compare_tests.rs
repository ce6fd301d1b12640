//! Values in PostgreSQL's order, by type.

use std::cmp::Ordering;

use super::collation::Order;
use super::compare::{Comparator, comparator};
use super::key::Format;
use super::{libc_collation, oid};

fn binary(oid: u32) -> Comparator {
    comparator(oid, Format::Binary, Some(&Order::Bytes)).unwrap()
}

/// Each group's values are equal, and less than those of the next.
fn ascending(comparator: &Comparator, groups: &[Vec<Vec<u8>>]) {
    for (i, group) in groups.iter().enumerate() {
        for (j, other) in groups.iter().enumerate() {
            for (left, right) in group.iter().flat_map(|left| other.iter().map(move |right| (left, right))) {
                assert_eq!(comparator.compare(left, right), i.cmp(&j), "{left:?} {right:?}");
            }
        }
    }
}

fn each(values: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
    values.into_iter().map(|value| vec![value]).collect()
}

#[test]
fn integers() {
    let bytes = |value: i64| value.to_be_bytes().to_vec();
    ascending(&binary(oid::INT8), &each([i64::MIN, -2, -1, 0, 1, 256, i64::MAX].map(bytes)));
    ascending(&binary(oid::INT4), &each([i32::MIN, -1, 0, 1].map(|value| value.to_be_bytes().to_vec())));
    ascending(&binary(oid::INT2), &each([i16::MIN, -1, 0, 1].map(|value| value.to_be_bytes().to_vec())));
    ascending(&binary(oid::OID), &each([0, 1, 0x8000_0000_u32].map(|value| value.to_be_bytes().to_vec())));
}

#[test]
fn floats() {
    let group = |values: &[f64]| values.iter().map(|value| value.to_be_bytes().to_vec()).collect::<Vec<_>>();
    ascending(
        &binary(oid::FLOAT8),
        &[
            group(&[f64::NEG_INFINITY]),
            group(&[-1.0]),
            group(&[-0.0, 0.0]),
            group(&[f64::MAX]),
            group(&[f64::INFINITY]),
            group(&[f64::NAN, -f64::NAN]),
        ],
    );
}

#[test]
fn numerics() {
    let value = |weight: i16, sign: u16, digits: &[u16]| {
        let head = [digits.len() as u16, weight as u16, sign, 20];
        head.iter().chain(digits).flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>()
    };
    ascending(
        &binary(oid::NUMERIC),
        &[
            vec![value(0, 0xf000, &[])],
            vec![value(1, 0x4000, &[1])],
            vec![value(0, 0x4000, &[2])],
            vec![value(0, 0x4000, &[1, 5]), value(1, 0x4000, &[0, 1, 5, 0])],
            vec![value(0, 0x4000, &[1])],
            vec![value(-1, 0x4000, &[9])],
            vec![value(0, 0, &[]), value(3, 0, &[0]), value(0, 0x4000, &[0])],
            vec![value(-2, 0, &[9999])],
            vec![value(-1, 0, &[1])],
            vec![value(0, 0, &[1]), value(0, 0, &[1, 0, 0])],
            vec![value(0, 0, &[1, 1])],
            vec![value(1, 0, &[1])],
            vec![value(0, 0xd000, &[])],
            vec![value(0, 0xc000, &[])],
        ],
    );
}

#[test]
fn moments_and_spans() {
    let timetz =
        |hour: i64, west: i32| [&(hour * 3_600_000_000).to_be_bytes()[..], &(west * 3600).to_be_bytes()].concat();
    ascending(&binary(oid::TIMETZ), &each([timetz(11, -1), timetz(10, 0), timetz(9, 1), timetz(11, 0)]));
    let interval = |micros: i64, days: i32, months: i32| {
        [&micros.to_be_bytes()[..], &days.to_be_bytes(), &months.to_be_bytes()].concat()
    };
    ascending(
        &binary(oid::INTERVAL),
        &[
            vec![interval(0, i32::MIN, i32::MIN)],
            vec![interval(0, -1, 0), interval(-86_400_000_000, 0, 0), interval(0, 29, -1)],
            vec![interval(0, 0, 0), interval(0, -30, 1)],
            vec![interval(1, 0, 0)],
            vec![interval(0, 30, 0), interval(0, 0, 1), interval(86_400_000_000, 29, 0)],
            vec![interval(i64::MAX, i32::MAX, i32::MAX)],
        ],
    );
}

#[test]
fn addresses() {
    let v4 = |address: [u8; 4], bits: u8| [&[2, bits, 0, 4][..], &address].concat();
    let v6 = |last: u8, bits: u8| [&[3, bits, 0, 16][..], &[0; 15], &[last]].concat();
    ascending(
        &binary(oid::INET),
        &each([
            v4([0; 4], 0),
            v4([10, 0, 0, 0], 8),
            v4([10, 1, 0, 0], 9),
            v4([10, 0, 0, 0], 16),
            v4([10, 0, 3, 0], 16),
            v4([10, 0, 0, 1], 32),
            v4([11, 0, 0, 0], 8),
            v6(0, 128),
            v6(1, 128),
        ]),
    );
}

#[test]
fn text() {
    let group = |values: &[&str]| values.iter().map(|value| value.as_bytes().to_vec()).collect::<Vec<_>>();
    ascending(&binary(oid::TEXT), &[group(&[""]), group(&["B"]), group(&["a"]), group(&["a "]), group(&["é"])]);
    ascending(
        &binary(oid::BPCHAR),
        &[group(&["", " "]), group(&["a\n"]), group(&["a b"]), group(&["ab", "ab  "])].map(|group| group),
    );
}

#[test]
fn what_isnt_known_is_none() {
    let libc =
        |locale: &str, version: Option<&str>| Order::Libc { locale: locale.into(), version: version.map(Into::into) };
    let text = |order: Order| comparator(oid::TEXT, Format::Binary, Some(&order));
    assert!(comparator(oid::INT4, Format::Text, None).is_none());
    assert!(comparator(oid::TEXT, Format::Binary, None).is_none());
    assert!(comparator(114, Format::Binary, Some(&Order::Bytes)).is_none());
    assert!(comparator(1007, Format::Binary, None).is_none());
    assert!(text(Order::Icu { locale: "en".into() }).is_none());
    assert!(text(libc("C", None)).is_some());
    let version = libc_collation::version();
    assert!(text(libc("xx_XX.UTF-8", version)).is_none());
    assert!(text(libc("en_US.UTF-8", None)).is_none());
    assert!(text(libc("en_US.UTF-8", Some("0.1"))).is_none());
    assert!(text(libc("en_US.ISO-8859-1", version)).is_none());
    assert!(text(libc("en_US", version)).is_none());
}

/// C.UTF-8 is in every glibc; its order is the bytes'.
#[test]
fn the_c_librarys_order() {
    let Some(version) = libc_collation::version() else { return };
    let Some(locale) = libc_collation::Locale::open("C.UTF-8", version) else { return };
    let long = "x".repeat(1000);
    for (left, right) in [("a", "B"), ("", "a"), ("é", "z"), (&long, "x"), (&long, &format!("{long}y"))] {
        assert_eq!(locale.compare(left.as_bytes(), right.as_bytes()), left.cmp(right));
    }
    assert_eq!(locale.compare(b"a", b"a"), Ordering::Equal);
}
