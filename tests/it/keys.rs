//! Hashes of sharding keys against a server: its own hash functions, its own `=`, what its columns keep.

use crate::support::random::{Random, Raw};
use crate::support::servers::shop;
use pgbraid::cli::cluster::PRIMARY;
use pgbraid::value::key::{Format, KeyHash, KeyType, hash, hash_assigned};
use tokio_postgres::Client;

const SEED: u64 = 0x6b65_7973;

async fn client() -> Client {
    let client = shop().cluster.connect(PRIMARY, "postgres").await.unwrap();
    // Hashes depend on neither; what text means does.
    client.batch_execute("SET TimeZone = 'Asia/Kolkata'; SET DateStyle = 'ISO, DMY'").await.unwrap();
    client
}

/// A value's text that PostgreSQL reads and we do too.
fn value(key: KeyType, random: &mut Random) -> String {
    match key {
        KeyType::Int2 => (random.int() as i16).to_string(),
        KeyType::Int4 => (random.int() as i32).to_string(),
        KeyType::Int8 => random.int().to_string(),
        KeyType::Text | KeyType::Varchar | KeyType::Bpchar => random.text(),
        KeyType::Uuid => random.uuid(),
        KeyType::Numeric => random.numeric(),
        KeyType::Date => random.date(),
        KeyType::Timestamp => random.timestamp(),
        KeyType::Timestamptz => {
            format!("{}{}", random.timestamp(), random.pick(&["+00", "-08", "+05:30", "+15:59:59"]))
        }
    }
}

#[tokio::test]
async fn the_servers_functions_agree() {
    let client = client().await;
    println!("seed {SEED}");
    for key in KeyType::ALL {
        let mut random = Random(SEED);
        let values: Vec<String> = (0..2500).map(|_| value(key, &mut random)).collect();
        let sql = format!(
            "SELECT t, v, v::text, {} FROM (SELECT t, t::{} AS v FROM unnest($1::text[]) t) x",
            key.sql_hash("v"),
            key.name(),
        );
        let rows = client.query(&sql, &[&values]).await.unwrap();
        assert_eq!(rows.len(), values.len());
        for row in rows {
            let (text, Raw(binary), shown): (&str, Raw, &str) = (row.get(0), row.get(1), row.get(2));
            let expected = KeyHash::Hash(row.get::<_, i64>(3) as u64);
            assert_eq!(hash(key, 0, Format::Text, Some(text.as_bytes())), expected, "{key:?} {text:?}");
            assert_eq!(hash(key, key.oid(), Format::Text, Some(shown.as_bytes())), expected, "{key:?} {shown:?}");
            assert_eq!(hash(key, key.oid(), Format::Binary, Some(&binary)), expected, "{key:?} {text:?} in binary");
        }
    }
}

/// Spellings of the edge.
const SPELLINGS: &[&str] = &[
    "",
    " ",
    "0",
    "-0",
    "+0",
    " 7 ",
    "\t7\n",
    "0007",
    "7.",
    ".7",
    "7.0",
    "7e0",
    "7E+1",
    "-7e-1",
    "1_0",
    "0x7",
    "0b1",
    "NaN",
    "nan",
    "-NaN",
    "inf",
    "+Infinity",
    "-inf",
    "INFINITY",
    "infinity",
    "-infinity",
    "32768",
    "-32768",
    "2147483648",
    "9223372036854775808",
    "-9223372036854775808",
    "99999999999999999999",
    "1e20",
    "1e-20",
    "2020-02-29",
    "2021-02-29",
    "1900-02-29",
    "2000-02-29",
    "0001-01-01",
    "0000-01-01",
    "9999-12-31",
    "2020-1-1",
    "01-02-2020",
    "20200101",
    "today",
    "2020-01-01 BC",
    "2020-01-01 24:00:00",
    "2020-01-01 23:59:60",
    "2020-01-01 00:00:00.1",
    "2020-01-01T00:00:00.123456",
    "2020-01-01 00:00:00.9999999",
    "2020-01-01 00:00:00.",
    "2020-01-01 00:00:00Z",
    "2020-01-01 00:00:00+0",
    "2020-01-01 00:00:00+0530",
    "2020-01-01 00:00:00+16",
    "2020-01-01 00:00:00-15:59:59",
    "2020-01-01 00:00:00 +01",
    "2020-01-01+01",
    "2020-01-01 00:00",
    "2020-01-01t00:00:00",
    "{00000000-0000-0000-0000-0000000000ab}",
    "000000000000000000000000000000AB",
    "{000000000000000000000000000000ab",
    "0000-0000-00000000-000000000000-00ab",
    "00000000-0000-0000-0000-0000000000ab ",
    "0-0",
    "ab ",
    "ab\u{a0}",
];

/// What we read, the server reads alike.
#[tokio::test]
async fn odd_spellings_are_read_as_the_server_does_or_not_at_all() {
    let client = client().await;
    for key in KeyType::ALL {
        let sql = format!("SELECT {} FROM (SELECT $1::text::{} AS v) x", key.sql_hash("v"), key.name());
        let statement = client.prepare(&sql).await.unwrap();
        for text in SPELLINGS {
            let ours = hash(key, 0, Format::Text, Some(text.as_bytes()));
            match client.query_one(&statement, &[text]).await {
                Ok(row) if ours != KeyHash::Unknown => {
                    assert_eq!(ours, KeyHash::Hash(row.get::<_, i64>(0) as u64), "{key:?} {text:?}");
                }
                Ok(_) => {}
                Err(_) => assert_eq!(ours, KeyHash::Unknown, "{key:?} {text:?}: the server refuses it"),
            }
        }
    }
}

const INTS: &[&str] = &["0", "1", "-1", "5", "32767", "-32768", "100"];
const WIDE: &[&str] = &["32768", "-32769", "2147483647", "2147483648", "-9223372036854775808", "9223372036854775807"];
const FRACTIONS: &[&str] = &[
    "0.0",
    "5.00",
    "5.5",
    "-0.5",
    "NaN",
    "Infinity",
    "-Infinity",
    "9223372036854775808",
    "1e30",
    "0.00001",
    "32768.0",
];
const TEXTS: &[&str] = &["", " ", "a", "a ", "a  ", " a", "ab", "é", "é "];

/// Values of a type for the test of equality.
fn pool(name: &str) -> Vec<&'static str> {
    match name {
        "int2" => INTS.to_vec(),
        "int4" => [INTS, &WIDE[..3]].concat(),
        "int8" => [INTS, WIDE].concat(),
        "numeric" => [INTS, WIDE, FRACTIONS].concat(),
        "float8" => [INTS, &["5.5"]].concat(),
        "date" => vec!["2020-01-01", "1999-12-31"],
        "timestamp" => vec!["2020-01-01", "2020-01-01 00:00:00.5"],
        "timestamptz" => vec!["2020-01-01 00:00:00+05:30", "2019-12-31 18:30:00+00"],
        _ => TEXTS.to_vec(),
    }
}

/// Types that compare, and whether the hash must always be known.
const PAIRS: &[(KeyType, &[&str], bool)] = &[
    (KeyType::Int2, &["int2", "int4", "int8", "numeric"], true),
    (KeyType::Int4, &["int2", "int4", "int8", "numeric"], true),
    (KeyType::Int8, &["int2", "int4", "int8", "numeric"], true),
    (KeyType::Numeric, &["int2", "int4", "int8", "numeric"], true),
    (KeyType::Int8, &["float8"], false),
    (KeyType::Numeric, &["float8"], false),
    (KeyType::Text, &["text", "varchar", "bpchar"], true),
    (KeyType::Varchar, &["text", "varchar"], true),
    (KeyType::Varchar, &["bpchar", "name"], false),
    (KeyType::Bpchar, &["text", "varchar", "bpchar"], true),
    (KeyType::Text, &["name"], false),
    (KeyType::Date, &["timestamp", "timestamptz"], false),
    (KeyType::Timestamp, &["date", "timestamptz"], false),
    (KeyType::Timestamptz, &["date", "timestamp"], false),
];

#[tokio::test]
async fn what_the_server_finds_equal_hashes_alike() {
    let client = client().await;
    let mut equal = 0;
    for &(key, types, known) in PAIRS {
        for from in types {
            let sql = format!(
                "SELECT a::text, '{from}'::regtype::oid, b, b::text, a = b, {} FROM unnest($1::text[]::{}[]) a, unnest($2::text[]::{from}[]) b",
                key.sql_hash("a"),
                key.name(),
            );
            for row in client.query(&sql, &[&pool(key.name()), &pool(from)]).await.unwrap() {
                let (oid, Raw(binary), shown): (u32, Raw, &str) = (row.get(1), row.get(2), row.get(3));
                // As text, char(n) has lost the blanks that it has on the wire.
                let text = if *from == "bpchar" { &binary[..] } else { shown.as_bytes() };
                for (format, bytes) in [(Format::Text, text), (Format::Binary, &binary[..])] {
                    let what = format!("{key:?} {:?} = {from} {shown:?} {format:?}", row.get::<_, &str>(0));
                    let ours = hash(key, oid, format, Some(bytes));
                    assert!(!known || ours != KeyHash::Unknown, "{what}: not known");
                    if row.get::<_, bool>(4) && ours != KeyHash::Unknown {
                        assert_eq!(ours, KeyHash::Hash(row.get::<_, i64>(5) as u64), "{what}");
                        equal += 1;
                    }
                }
            }
        }
    }
    assert!(equal > 300, "{equal}");
}

/// Columns' types with their typmods, and what is assigned to them.
const COLUMNS: &[(KeyType, &str, &[&str])] = &[
    (KeyType::Int2, "int2", &["int4", "int8", "numeric", "float8"]),
    (KeyType::Int4, "int4", &["int2", "int8", "numeric"]),
    (KeyType::Numeric, "numeric(12,1)", &["numeric", "int8"]),
    (KeyType::Numeric, "numeric(12,-1)", &["numeric", "int4"]),
    (KeyType::Numeric, "numeric", &["numeric", "int4"]),
    (KeyType::Varchar, "varchar(2)", &["text", "varchar", "bpchar"]),
    (KeyType::Varchar, "varchar", &["text", "bpchar"]),
    (KeyType::Text, "text", &["varchar", "bpchar"]),
    (KeyType::Bpchar, "char(2)", &["text", "varchar", "bpchar"]),
    (KeyType::Timestamp, "timestamp(0)", &["timestamp", "timestamptz", "date"]),
    (KeyType::Timestamptz, "timestamptz(1)", &["timestamptz", "timestamp", "date"]),
    (KeyType::Date, "date", &["timestamp"]),
];

#[tokio::test]
async fn what_a_column_keeps_hashes_as_told() {
    let client = client().await;
    for &(key, column, types) in COLUMNS {
        client
            .batch_execute(&format!("DROP TABLE IF EXISTS pg_temp.kept; CREATE TEMP TABLE kept (v {column})"))
            .await
            .unwrap();
        let typmod: i32 = client
            .query_one(
                "SELECT atttypmod FROM pg_attribute WHERE attrelid = 'pg_temp.kept'::regclass AND attname = 'v'",
                &[],
            )
            .await
            .unwrap()
            .get(0);
        let mut known = 0;
        for from in types {
            let sql = format!("SELECT '{from}'::regtype::oid, b FROM unnest($1::text[]::{from}[]) b");
            let insert = format!("INSERT INTO kept SELECT $1::text::{from} RETURNING {}", key.sql_hash("v"));
            let insert = client.prepare(&insert).await.unwrap();
            let values = pool(from);
            let rows = client.query(&sql, &[&values]).await.unwrap();
            for (text, row) in values.iter().zip(rows) {
                let (oid, Raw(binary)): (u32, Raw) = (row.get(0), row.get(1));
                let Ok(stored) = client.query_one(&insert, &[text]).await else { continue };
                let expected = KeyHash::Hash(stored.get::<_, i64>(0) as u64);
                for (format, bytes) in [(Format::Text, text.as_bytes()), (Format::Binary, &binary[..])] {
                    let ours = hash_assigned(key, typmod, oid, format, Some(bytes));
                    assert!(
                        ours == expected || ours == KeyHash::Unknown,
                        "{column} := {from} {text:?} {format:?}: {ours:?}"
                    );
                    known += u32::from(ours == expected);
                }
            }
        }
        // Some are never told: nothing but a date is read as one, and a scale below zero rounds.
        assert_eq!(known > 0, !matches!(column, "date" | "numeric(12,-1)"), "{column}");
    }
}
