//! Hashes as PostgreSQL 15 computes them, pinned: data already placed depends on them.

use super::key::{Format, KeyHash, KeyType, hash, hash_assigned};
use super::oid;

const fn hashed(value: i64) -> KeyHash {
    KeyHash::Hash(value as u64)
}

fn text(key: KeyType, from: u32, value: &str) -> KeyHash {
    hash(key, from, Format::Text, Some(value.as_bytes()))
}

#[test]
fn integers() {
    for (value, expected) in [
        ("1", -3_670_598_878_359_251_130),
        ("0", 4_154_612_158_245_552_303),
        ("-1", -1_888_257_769_727_981_238),
        (" +1\t", -3_670_598_878_359_251_130),
        ("9223372036854775807", 1_977_219_185_673_256_887),
        ("-9223372036854775808", -9_109_110_466_470_504_941),
    ] {
        assert_eq!(text(KeyType::Int8, 0, value), hashed(expected), "{value}");
        assert_eq!(text(KeyType::Int8, oid::NUMERIC, value), hashed(expected), "{value}");
    }
    let one = text(KeyType::Int8, 0, "1");
    assert_eq!(hash(KeyType::Int2, oid::INT4, Format::Binary, Some(&[0, 0, 0, 1])), one);
    assert_eq!(hash(KeyType::Int4, oid::INT8, Format::Binary, Some(&[0, 0, 0, 0, 0, 0, 0, 1])), one);
    assert_eq!(text(KeyType::Int4, oid::NUMERIC, "1.000"), one);
    assert_eq!(text(KeyType::Int4, oid::NUMERIC, "100e-2"), one);
    for (key, from, value) in [
        (KeyType::Int2, oid::INT4, "32768"),
        (KeyType::Int4, oid::INT8, "-2147483649"),
        (KeyType::Int8, oid::NUMERIC, "9223372036854775808"),
        (KeyType::Int8, oid::NUMERIC, "1.5"),
        (KeyType::Int8, oid::NUMERIC, "NaN"),
        (KeyType::Int8, oid::NUMERIC, "-infinity"),
    ] {
        assert_eq!(text(key, from, value), KeyHash::Nowhere, "{value}");
    }
    assert_eq!(hash(KeyType::Int8, 0, Format::Text, None), KeyHash::Nowhere);
    for (key, from, value) in [
        (KeyType::Int2, 0, "32768"),
        (KeyType::Int8, 0, "9223372036854775808"),
        (KeyType::Int8, 0, ""),
        (KeyType::Int8, 0, "-"),
        (KeyType::Int8, 0, "0x10"),
        (KeyType::Int8, 0, "1_000"),
        (KeyType::Int8, 0, "1.0"),
        (KeyType::Int8, oid::FLOAT8, "1"),
        (KeyType::Int8, oid::TEXT, "1"),
    ] {
        assert_eq!(text(key, from, value), KeyHash::Unknown, "{value}");
    }
    assert_eq!(hash(KeyType::Int8, oid::INT8, Format::Binary, Some(&[0, 0, 0, 1])), KeyHash::Unknown);
}

#[test]
fn texts() {
    for (value, expected) in [
        ("", -6_939_563_903_564_495_251),
        ("a", 3_591_986_179_850_072_241),
        ("ab", 2_833_316_173_711_343_549),
        ("abc", -6_747_756_470_228_489_321),
        ("abcdefg", -6_158_032_784_613_548_338),
        ("abcdefgh", -8_882_191_227_074_733_005),
        ("abcdefghi", -3_278_210_106_038_014_113),
        ("abcdefghij", -3_183_301_415_634_409_076),
        ("abcdefghijk", 3_112_909_444_737_856_467),
        ("abcdefghijkl", -7_556_637_188_122_330_412),
        ("abcdefghijklmnopqrstuvwxyz0123456789é", 8_745_091_305_766_421_261),
    ] {
        assert_eq!(text(KeyType::Text, 0, value), hashed(expected), "{value}");
        assert_eq!(text(KeyType::Varchar, oid::TEXT, value), hashed(expected), "{value}");
        assert_eq!(text(KeyType::Bpchar, 0, &format!("{value}  ")), hashed(expected), "{value}");
    }
    assert_ne!(text(KeyType::Text, 0, "ab "), text(KeyType::Text, 0, "ab"));
    assert_eq!(text(KeyType::Bpchar, oid::TEXT, "ab "), KeyHash::Nowhere);
    assert_eq!(text(KeyType::Text, oid::BPCHAR, "ab "), text(KeyType::Text, 0, "ab"));
    assert_eq!(text(KeyType::Varchar, oid::BPCHAR, "ab"), KeyHash::Unknown);
}

#[test]
fn uuids() {
    let one = hashed(3_419_970_005_924_668_665);
    for value in [
        "00000000-0000-0000-0000-000000000001",
        "{00000000-0000-0000-0000-000000000001}",
        "00000000000000000000000000000001",
        "0000-0000-0000-0000-0000-0000-0000-0001",
    ] {
        assert_eq!(text(KeyType::Uuid, 0, value), one, "{value}");
    }
    for value in ["", "00000000-0000-0000-0000-00000000000", "00000000-0000-0000-0000-000000000001-", "{0}", "0-0"] {
        assert_eq!(text(KeyType::Uuid, 0, value), KeyHash::Unknown, "{value}");
    }
}

#[test]
fn numerics() {
    for (value, expected) in [
        ("0", -1),
        ("0.000", -1),
        ("-0", -1),
        ("NaN", 0),
        ("-Infinity", 0),
        ("1", -7_507_508_252_608_306_360),
        ("+1.00", -7_507_508_252_608_306_360),
        ("10000e-4", -7_507_508_252_608_306_360),
        (".00012", -1_262_723_763_896_015_266),
        ("-0.00012", -1_262_723_763_896_015_266),
        ("123456789.5000", -2_760_006_474_064_746_310),
        ("1234567895e-1", -2_760_006_474_064_746_310),
    ] {
        assert_eq!(text(KeyType::Numeric, 0, value), hashed(expected), "{value}");
    }
    for value in ["", ".", "1e", "e1", "1.2.3", "1 2", "0x1", "1_0", "-NaN", "1e99999"] {
        assert_eq!(text(KeyType::Numeric, 0, value), KeyHash::Unknown, "{value}");
    }
    // A display scale that hides a digit: the server cuts it.
    let hidden = [0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0x13, 0x88];
    assert_eq!(hash(KeyType::Numeric, 0, Format::Binary, Some(&hidden)), KeyHash::Unknown);
}

#[test]
fn moments() {
    assert_eq!(text(KeyType::Date, 0, "1999-01-01"), hashed(-4_036_816_907_875_924_847));
    let moment = hashed(-7_369_653_629_806_794_742);
    for value in ["2020-01-01", "2020-01-01 00:00:00", "2020-01-01T00:00:00.000000"] {
        assert_eq!(text(KeyType::Timestamp, 0, value), moment, "{value}");
        assert_eq!(text(KeyType::Timestamptz, 0, value), KeyHash::Unknown, "{value}");
    }
    for value in ["2020-01-01 00:00:00+00", "2020-01-01 05:30:00+05:30", "2019-12-31T23:00:00.0-01"] {
        assert_eq!(text(KeyType::Timestamptz, 0, value), moment, "{value}");
        assert_eq!(text(KeyType::Timestamp, 0, value), KeyHash::Unknown, "{value}");
    }
    assert_eq!(text(KeyType::Timestamptz, 0, "-infinity"), hashed(-9_109_110_466_470_504_941));
    for value in ["2021-02-29", "01/02/2020", "2020-1-1", "0000-01-01", "today", "2020-13-01", "infinity"] {
        assert_eq!(text(KeyType::Date, 0, value), KeyHash::Unknown, "{value}");
    }
    for value in ["2020-01-01 24:00:00", "2020-01-01 00:00:60", "2020-01-01 00:00:00.1234567", "2020-01-01 00:00:00."] {
        assert_eq!(text(KeyType::Timestamp, 0, value), KeyHash::Unknown, "{value}");
    }
    assert_eq!(text(KeyType::Timestamp, oid::DATE, "2020-01-01"), KeyHash::Unknown);
}

#[test]
fn what_a_column_changes_is_not_known() {
    let assigned =
        |key, typmod, from, value: &str| hash_assigned(key, typmod, from, Format::Text, Some(value.as_bytes()));
    assert_eq!(assigned(KeyType::Int4, -1, oid::NUMERIC, "5"), text(KeyType::Int4, 0, "5"));
    for (key, typmod, from, value) in [
        (KeyType::Int4, -1, oid::NUMERIC, "5.5"),
        (KeyType::Int2, -1, oid::INT4, "70000"),
        (KeyType::Varchar, 6, 0, "ab "),
        (KeyType::Numeric, (5 << 16 | 2) + 4, 0, "1.005"),
        (KeyType::Numeric, (5 << 16 | 0x7ff) + 4, 0, "15"),
        (KeyType::Timestamp, 0, 0, "2020-01-01 00:00:00.5"),
    ] {
        assert_eq!(assigned(key, typmod, from, value), KeyHash::Unknown, "{value}");
    }
    for (key, typmod, from, value) in [
        (KeyType::Varchar, 7, 0, "ab "),
        (KeyType::Numeric, (5 << 16 | 2) + 4, 0, "1.01"),
        (KeyType::Timestamp, 3, 0, "2020-01-01 00:00:00.5"),
        (KeyType::Bpchar, 6, oid::BPCHAR, "ab"),
    ] {
        assert_eq!(assigned(key, typmod, from, value), text(key, 0, value), "{value}");
    }
    assert_eq!(assigned(KeyType::Bpchar, 7, oid::TEXT, "ab "), text(KeyType::Text, 0, "ab"));
    assert_eq!(assigned(KeyType::Varchar, -1, oid::BPCHAR, "ab "), text(KeyType::Text, 0, "ab"));
}

#[test]
fn names_and_expressions() {
    for key in KeyType::ALL {
        assert_eq!(KeyType::from_oid(key.oid()), Some(key));
        assert_eq!(KeyType::from_name(key.name()), Some(key));
    }
    assert_eq!(KeyType::from_oid(oid::FLOAT8), None);
    assert_eq!(
        KeyType::Int4.sql_hash("my \"id\""),
        "pg_catalog.hashint8extended(\"my \"\"id\"\"\"::pg_catalog.int8, 0)"
    );
}
