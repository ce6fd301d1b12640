//! The order of values against a server's ORDER BY.

use std::cmp::Ordering;

use crate::support::random::{Random, Raw};
use crate::support::servers::shop;
use pgbraid::cli::cluster::PRIMARY;
use pgbraid::value::collation::Order;
use pgbraid::value::compare::{Comparator, comparator};
use pgbraid::value::key::Format;
use tokio_postgres::Client;

const SEED: u64 = 0x6f72_6465;

async fn client() -> Client {
    shop().cluster.connect(PRIMARY, "postgres").await.unwrap()
}

/// Types, and values that random ones seldom are.
const TYPES: &[(&str, &[&str])] = &[
    ("bool", &["t", "f"]),
    ("\"char\"", &["", "a", "B", "~", "é"]),
    ("int2", &["-32768", "32767", "0"]),
    ("int4", &["-2147483648", "2147483647", "0"]),
    ("int8", &["-9223372036854775808", "9223372036854775807", "0"]),
    ("oid", &["0", "4294967295", "2147483648"]),
    ("float4", &["NaN", "-0", "0", "Infinity", "-Infinity", "1e-45"]),
    ("float8", &["NaN", "-0", "0", "Infinity", "-Infinity", "5e-324", "1.7e308"]),
    (
        "numeric",
        &["NaN", "Infinity", "-Infinity", "0", "-0.00", "1e100", "1e-100", "1.0", "1.00", "10000", "9999.9999"],
    ),
    ("money", &["-1", "0", "92233720368547758.07"]),
    ("text", &["", " ", "a", "A", "a ", "é", "\u{10ffff}"]),
    ("varchar", &["", "ab", "ab "]),
    ("name", &["", "Z", "a"]),
    ("bpchar", &["", " ", "a", "a  ", "a\t", "a b"]),
    ("bytea", &["", "\\x00", "\\xff", "\\x0000"]),
    ("uuid", &["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]),
    ("date", &["-infinity", "infinity", "4713-01-01 BC", "5874897-12-31"]),
    ("time", &["00:00", "24:00", "23:59:59.999999"]),
    ("timetz", &["00:00+00", "01:00+01", "24:00-15:59", "00:00+15:59", "23:00-01"]),
    ("timestamp", &["-infinity", "infinity", "4713-01-01 BC"]),
    ("timestamptz", &["-infinity", "infinity", "2020-01-01 00:00+00", "2020-01-01 01:00+01"]),
    ("interval", &["1 month", "30 days", "720 hours", "1 mon -30 days", "0", "-1 day", "-24:00", "178000000 years"]),
    ("inet", &["0.0.0.0/0", "10.0.0.0/8", "10.0.0.1", "10.1.0.0/9", "::", "::/0", "::1", "ffff::/16", "10.0.0.1/8"]),
    ("cidr", &["0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/16", "10.128.0.0/9", "::/0", "::1"]),
    ("macaddr", &["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "80:00:00:00:00:01"]),
    ("macaddr8", &["00:00:00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff:ff:ff"]),
    ("pg_lsn", &["0/0", "FFFFFFFF/FFFFFFFF", "1/0"]),
];

fn value(name: &str, random: &mut Random) -> String {
    let [a, b, c, d] = std::array::from_fn(|_| random.next() as u8);
    match name {
        "bool" => (a % 2 == 0).to_string(),
        "\"char\"" => char::from(a % 94 + 33).to_string(),
        "int2" => (random.int() as i16).to_string(),
        "int4" => (random.int() as i32).to_string(),
        "int8" => random.int().to_string(),
        "oid" => (random.int() as u32).to_string(),
        "float4" => f32::from_bits(random.next() as u32).to_string(),
        "float8" => f64::from_bits(random.next()).to_string(),
        "numeric" => random.numeric(),
        "money" => (random.int() % 1_000_000).to_string(),
        "bytea" => format!("\\x{}", &format!("{:016x}", random.next())[..random.below(9) * 2]),
        "uuid" => random.uuid(),
        "date" => random.date(),
        "time" => format!("{}:{}:{}.{:03}", a % 24, b % 60, c % 60, d),
        "timetz" => format!("{}:{}:{}{}", a % 24, b % 60, c % 4, random.pick(&["+00", "+01", "-08", "+05:30"])),
        "timestamp" => random.timestamp(),
        "timestamptz" => format!("{}{}", random.timestamp(), random.pick(&["+00", "-08", "+05:30"])),
        "interval" => format!("{} months {} days {} seconds", a as i8 % 4, b as i8, random.int() % 9_000_000),
        "inet" if a % 3 == 0 => format!("{:x}::{:x}/{}", b % 4, c, u32::from(d) % 129),
        "inet" => format!("10.{}.{}.{}/{}", b % 4, c % 4, d, u32::from(a) % 33),
        "cidr" if a % 3 == 0 => format!("{:x}::/16", b),
        "cidr" => format!("10.{}.0.0/16", b),
        "macaddr" => format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:00:01"),
        "macaddr8" => format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:00:01:02:03"),
        "pg_lsn" => format!("{:X}/{:X}", random.int() as u32, random.int() as u32),
        _ => random.text(),
    }
}

/// Neighbours in the server's order, and pairs at random, compare as their ranks do, in both directions.
async fn agrees(
    client: &Client,
    type_name: &str,
    collate: &str,
    comparator: &Comparator,
    values: &[String],
    random: &mut Random,
) {
    let sql = format!(
        "SELECT v AS value, v::text AS shown, dense_rank() OVER w AS place FROM unnest($1::text[]::{type_name}[]) v WINDOW w AS (ORDER BY v {collate}) ORDER BY place"
    );
    let rows = client.query(&sql, &[&values]).await.unwrap_or_else(|error| panic!("{type_name}: {error:?}"));
    let values: Vec<(Vec<u8>, String, i64)> =
        rows.iter().map(|row| (row.get::<_, Raw>(0).0, row.get(1), row.get(2))).collect();
    let check = |left: &(Vec<u8>, String, i64), right: &(Vec<u8>, String, i64)| {
        let expected = left.2.cmp(&right.2);
        assert_eq!(comparator.compare(&left.0, &right.0), expected, "{type_name} {collate} {:?} {:?}", left.1, right.1);
        assert_eq!(comparator.compare(&right.0, &left.0), expected.reverse(), "{type_name} {collate}, turned");
    };
    for pair in values.windows(2) {
        check(&pair[0], &pair[1]);
        check(&pair[0], &pair[0]);
    }
    for _ in 0..3000 {
        let (left, right) = (random.below(values.len()), random.below(values.len()));
        check(&values[left], &values[right]);
    }
}

#[tokio::test]
async fn values_are_ordered_as_the_server_orders_them() {
    let client = client().await;
    println!("seed {SEED}");
    for (type_name, edges) in TYPES {
        let mut random = Random(SEED);
        let mut values: Vec<String> = edges.iter().map(|&edge| edge.to_owned()).collect();
        values.extend((0..700).map(|_| value(type_name, &mut random)));
        let oid: u32 = client.query_one(&format!("SELECT '{type_name}'::regtype::oid"), &[]).await.unwrap().get(0);
        let comparator = comparator(oid, Format::Binary, Some(&Order::Bytes)).unwrap();
        let collate = if matches!(*type_name, "text" | "varchar" | "bpchar" | "name") { "COLLATE \"C\"" } else { "" };
        agrees(&client, type_name, collate, &comparator, &values, &mut random).await;
    }
}

/// Where a comparator for a collation is given, it is the server's order. Which collations there are depends on the
/// locales that are installed; C.UTF-8 always is.
#[tokio::test]
async fn collations_of_the_c_library_agree_or_arent_known() {
    let client = client().await;
    let sql = "SELECT quote_ident(collname), collcollate, pg_collation_actual_version(oid) FROM pg_collation \
               WHERE collprovider = 'c' AND collencoding IN (-1, 6) AND collcollate <> ''";
    let mut known = 0;
    for row in client.query(sql, &[]).await.unwrap() {
        let (name, locale, version): (&str, &str, Option<&str>) = (row.get(0), row.get(1), row.get(2));
        let order = Order::Libc { locale: locale.to_owned(), version: version.map(str::to_owned) };
        for (type_name, oid) in [("text", 25), ("bpchar", 1042)] {
            let Some(comparator) = comparator(oid, Format::Binary, Some(&order)) else { continue };
            let mut random = Random(SEED);
            let values: Vec<String> = (0..1500).map(|_| random.text()).collect();
            agrees(&client, type_name, &format!("COLLATE {name}"), &comparator, &values, &mut random).await;
            println!("{type_name} {name}: agrees");
            known += 1;
        }
    }
    assert!(known >= 4, "{known}");
    assert_eq!(Ordering::Less, comparator(25, Format::Binary, Some(&Order::Bytes)).unwrap().compare(b"B", b"a"));
}
