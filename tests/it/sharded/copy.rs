//! COPY … FROM STDIN over shards: the same bytes, put into one PostgreSQL and through the proxy, come to the same.

use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use pgbraid::cli::cluster::{Binaries, PRIMARY};
use tokio::io::AsyncWriteExt;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::defined::{Three, cluster, make};
use crate::support::build;
use crate::support::random::Random;
use crate::support::raw::{Frame, PATIENCE, Raw, Target};

const SCHEMA: &str = "CREATE TABLE items (id bigint PRIMARY KEY, name text, n int CHECK (n <> 13), at timestamptz);
    CREATE TABLE words (word text NOT NULL, n int, note text);
    CREATE TABLE loose (k int, v text);
    CREATE TABLE amounts (amount numeric(8, 2) PRIMARY KEY, day date);
    CREATE TABLE days (at timestamp, n int);
    CREATE TABLE kinds (code text PRIMARY KEY, name text, n int DEFAULT 5);
    CREATE TABLE local (id serial PRIMARY KEY, text text)";

const PLACES: &str = "[databases.shop.tables]\nitems = { key = \"id\" }\nwords = { key = \"word\" }\n\
    loose = { key = \"k\" }\namounts = { key = \"amount\" }\ndays = { key = \"at\" }\nkinds = { reference = true }\n";

const TABLES: &[&str] = &["items", "words", "loose", "amounts", "days", "kinds", "local"];

/// One PostgreSQL and three shards with the same tables.
struct Both {
    plain: String,
    three: Three,
}

impl Both {
    async fn start(name: &'static str) -> Self {
        let plain = format!("{name}_plain");
        make(cluster(), &plain).await;
        cluster().execute(PRIMARY, &plain, &format!("SET ROLE app; {SCHEMA}")).await.unwrap();
        let three = Three::start(name, PLACES).await;
        let mut raw = three.client().await;
        let frames = raw.query(SCHEMA).await.unwrap();
        assert!(frames.iter().all(|frame| frame.kind != b'E'), "{frames:?}");
        Self { plain, three }
    }

    fn plain(&self) -> Target {
        let address = format!("{}:{}", cluster().host(), cluster().port(PRIMARY));
        Target::new(address, "app", "app", &self.plain)
    }

    /// All rows of all tables, by table.
    async fn contents(&self) -> (String, String) {
        let mut plain = String::new();
        let mut ours = String::new();
        for table in TABLES {
            let list = format!(
                "SELECT coalesce(string_agg('+' || replace(t::text, E'\\n', '\\n'), E'\\n'), '') FROM {table} t"
            );
            let sorted = |text: String| {
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                lines.sort();
                format!("{table}\n{}\n", lines.join("\n"))
            };
            plain += &sorted(cluster().value(PRIMARY, &self.plain, &list).await.unwrap());
            let mut all = String::new();
            for shard in ["s1", "s2", "s3"] {
                let rows = self.three.on(shard, &list).await;
                if *table == "kinds" {
                    all = rows;
                } else {
                    all += &format!("{rows}\n");
                }
            }
            ours += &sorted(all.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n"));
        }
        (plain, ours)
    }
}

/// What a COPY came to: its tag; or the error with its context.
async fn copy(raw: &mut Raw, sql: &str, data: &[u8], chunk: usize) -> String {
    raw.send(&build::query(sql)).await.unwrap();
    let mut frames = Vec::new();
    loop {
        let frame = raw.expect().await.unwrap();
        let kind = frame.kind;
        frames.push(frame);
        match kind {
            b'Z' => return told(&frames),
            b'G' => break,
            _ => {}
        }
    }
    let mut bytes = Vec::new();
    for part in data.chunks(chunk.max(1)) {
        bytes.extend(build::copy_data(part));
    }
    bytes.extend(build::copy_done());
    raw.send(&bytes).await.unwrap();
    frames.extend(raw.until_ready(1).await.unwrap());
    told(&frames)
}

fn told(frames: &[Frame]) -> String {
    let errors: Vec<&Frame> = frames.iter().filter(|frame| frame.kind == b'E').collect();
    match errors.as_slice() {
        [] => frames.iter().rev().find_map(Frame::tag).unwrap_or_default(),
        [error] => {
            let fields = error.fields();
            let field = |letter| fields.get(&letter).cloned().unwrap_or_default();
            format!("{}: {} [{}] ({})", field('C'), field('M'), field('W'), field('D'))
        }
        several => panic!("several errors for one statement: {several:?}"),
    }
}

/// COPY's options and what is sent.
const STREAMS: &[(&str, &[u8])] = &[
    ("items FROM STDIN", b"1\tone\t1\t2020-01-01 00:00:00+00\n2\ttwo\t\\N\t\\N\n3\t\\N\t3\t\\N\n"),
    ("items FROM STDIN", b"11\tone\t1\t\\N\r\n12\ttwo\t2\t\\N\r\n"),
    ("items FROM STDIN", b"13\tone\t1\t\\N\r14\ttwo\t2\t\\N\r"),
    ("items FROM STDIN", b"15\tone\t1\t\\N\n16\ttwo\t2\t\\N"),
    ("items FROM STDIN", b"17\tone\t1\t\\N\n\\.\n18\ttwo\t2\t\\N\n"),
    ("items FROM STDIN", b"19\tone\t1\t\\N\n20\ttwo\t2\t\\N\\.\n21\ta\t1\t\\N\n"),
    ("items FROM STDIN", b"\\.\n"),
    ("items FROM STDIN", b""),
    ("items FROM STDIN", b"\\x32\\062\ta\\tb\\\nc\\\\.\t1\t\\N\n2\\3\t\\b\\f\\n\\r\\v\\q\t2\t\\N\n"),
    ("items (n, id) FROM STDIN DELIMITER '|' NULL ''", b"5|24\n|25\n6|26\n"),
    ("items FROM STDIN (FORMAT csv)", b"31,one,1,\n\"32\",\"t\"\"w,o\",2,\n33,\"a\nb\nc\",3,\n3\"4\",,4,\n"),
    ("items FROM STDIN (FORMAT csv, HEADER)", b"id,\"na\nme\",n,at\n35,one,1,\n36,two,2,\n"),
    ("items FROM STDIN (FORMAT csv, HEADER MATCH)", b"id,name,n,at\n37,one,1,\n38,two,2,\n"),
    (
        "items (name, id) FROM STDIN (FORMAT csv, QUOTE '''', ESCAPE '\\', DELIMITER ';')",
        b"'a\\'b\\c';'40'\n'\\\\';41\n",
    ),
    ("items FROM STDIN CSV", b"42,one,1,\r\n43,\"a\r\nb\",1,\r\n"),
    ("items FROM STDIN CSV", b"44,one,1,\n\\.\n45,a,1,\n"),
    ("items (name, id) FROM STDIN CSV", b"\\.x,46\n\\,47\n"),
    ("items (name, id) FROM STDIN CSV", b"a,48\n\\."),
    ("words FROM STDIN", "häß\t1\ta\n\\303\\244\t2\tb\n\t3\tc\n\\\\N\t4\td\n".as_bytes()),
    ("words FROM STDIN (FORMAT csv, NULL 'x', FORCE_NOT_NULL (word, note))", b"x,1,x\n\"x\",2,\"x\"\ny,3,\n"),
    ("words FROM STDIN (FORMAT csv, FORCE_NULL (word))", b"a,1,\"\"\n\"\",1,b\n"),
    ("words (word) FROM STDIN CSV WHERE word <> 'no'", b"yes\nno\nmaybe\n"),
    ("words FROM STDIN WHERE n % 2 = 0 AND length(note) > 1", b"e1\t1\tab\ne2\t2\tab\ne3\t4\ta\ne4\t6\tcd\n"),
    ("amounts (amount) FROM STDIN", b"1.5\n1.70\n2\n"),
    ("amounts (amount) FROM STDIN", b"7.5\n7.50\n8\n"),
    ("amounts FROM STDIN", b"3.25\t2020-02-29\n-4\tinfinity\n"),
    ("days FROM STDIN", b"2020-01-01 10:00:00\t1\n1999-12-31 23:59:59.5\t2\n"),
    ("days FROM STDIN", b"Jan 8 1999 04:05:06\t1\n19990108\t2\nepoch\t3\n-infinity\t4\n2000-13-01\t1\n"),
    ("days FROM STDIN", b"Jan 8 1999 04:05:06\t1\n19990108\t2\nepoch\t3\n-infinity\t4\n"),
    ("amounts (amount) FROM STDIN", b"3.14159\n2.71828\n1e3\n NaN\n"),
    ("kinds (code, name) FROM STDIN", b"a\tA\nb\tB\n"),
    ("kinds FROM STDIN CSV HEADER", b"code,name,n\nc,C,1\nd,,\n"),
    ("kinds FROM STDIN", b"x\tX\t1\ny\tY\tz\n"),
    ("local (text) FROM STDIN", b"a\nb\n"),
    // What PostgreSQL refuses.
    ("items FROM STDIN", b"101\tone\t1\t\\N\n102\ttwo\tzwei\t\\N\n103\ta\t1\t\\N\n"),
    ("items FROM STDIN", b"101\tone\t1\t\\N\nx\ttwo\t2\t\\N\n"),
    ("items FROM STDIN", b"101\tone\t1\t\\N\n99999999999999999999\ttwo\t2\t\\N\n"),
    ("items FROM STDIN", b"101\tone\t1\t\\N\n\\N\ttwo\t2\t\\N\n"),
    ("items FROM STDIN", b"101\tone\t1\t\\N\n102\ttwo\t13\t\\N\n"),
    ("items FROM STDIN", b"101\tone\t1\t\\N\n102\ttwo\t2\t\\N\n101\tdrei\t3\t\\N\n"),
    ("items FROM STDIN", b"101\tone\t1\t\\N\n102\ttwo\n103\ta\t1\t\\N\n"),
    ("items FROM STDIN", b"101\tone\t1\t\\N\n102\ttwo\t1\t\\N\tmore\n"),
    ("items FROM STDIN", b"101\tone\t1\t\\N\n\n"),
    ("items (name, n, id) FROM STDIN", b"one\t1\t101\none\n"),
    ("items FROM STDIN", b"101\ta\t1\t\\N\n102\tb\t1\t\\N\n103\tc\t1\t\\N\r104\td\t1\t\\N\n"),
    ("items FROM STDIN", b"101\ta\t1\t\\N\n102\tb\t1\t\\N\r\n"),
    ("items FROM STDIN", b"101\ta\t1\t\\N\r\n102\tb\t1\t\\N\r\n103\tc\t1\t\\N\n"),
    ("items FROM STDIN", b"101\ta\t1\t\\N\r\n102\tb\t1\t\\N\r\n103\tc\r\t1\t\\N\r\n"),
    ("items FROM STDIN", b"101\ta\t1\t\\N\r102\tb\t1\t\\N\r\n103\tc\t1\t\\N\r"),
    ("items FROM STDIN", b"101\ta\t1\t\\N\n102\tb\t1\t\\N\n\\.\r\n"),
    ("items FROM STDIN", b"101\ta\t1\t\\N\n102\tb\t1\t\\N\n\\.x\n"),
    ("items FROM STDIN", b"101\ta\t1\t\\N\n102\tb\t1\t\\N\n\\."),
    ("items FROM STDIN CSV", b"101,a,1,\n102,\"b\nc\",1,\n103,\"c,1,\n104,d,1,\n"),
    ("items FROM STDIN CSV", b"101,a,1,\n102,\"b\nc\",1,\n103,\"d\ne\",x,\n104,d,1,\n"),
    ("items FROM STDIN CSV", b"101,a,1,\r\n102,\"b\r\nc\",1,\r\n103,\"d\re\",x,\r\n104,d,1,\r\n"),
    ("items FROM STDIN CSV", b"101,a,1,\n102,b\r,1,\n"),
    ("items FROM STDIN CSV HEADER", b"id,name,n,at\n101,a,1,\n102,b,x,\n"),
    ("items FROM STDIN (FORMAT csv, HEADER match)", b"id,name,at,n\n101,a,1,\n102,b,x,\n"),
    ("items FROM STDIN (FORMAT csv, HEADER match)", b"id,name,at\n"),
    ("items FROM STDIN", b"101\ta\xff\t1\t\\N\n"),
    ("items FROM STDIN", b"101\ta\t1\t\\N\n102\tb\\377\t1\t\\N\n"),
    ("words FROM STDIN", b"a\t1\tb\nb\xc3\t1\tc\n"),
    ("words FROM STDIN", b"a\t1\tb\nb\\000c\t1\tc\n"),
    ("words FROM STDIN (FORMAT csv, FORCE_NULL (word))", b"a,1,b\n\"\",2,b\n"),
    ("words FROM STDIN CSV", b"a,1,b\n,2,b\n"),
    ("amounts FROM STDIN", b"5\t2020-01-01\n1000000\t2020-01-01\n"),
    ("kinds FROM STDIN", b"k\tA\t1\nl\tB\tx\n"),
    ("kinds FROM STDIN", b"k\tA\t1\nk\tB\t2\n"),
    ("items FROM STDIN (DELIMITER 'ab')", b""),
    ("items FROM STDIN (FORMAT csv, QUOTE ',')", b""),
    ("items (nothing) FROM STDIN", b""),
    ("nowhere FROM STDIN", b""),
    ("items (id, id) FROM STDIN", b""),
    ("items FROM STDIN (FORMAT avro)", b""),
    ("items FROM STDIN WHERE nothing = 1", b""),
    ("items FROM STDIN BINARY", b"no signature at all, this is"),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_come_to_the_same() {
    let both = Both::start("copied").await;
    let mut plain = Raw::login(&both.plain()).await;
    let mut ours = both.three.client().await;
    let mut faults = String::new();
    for (at, (options, data)) in STREAMS.iter().enumerate() {
        let sql = format!("COPY {options}");
        let chunk = [1, 3, 7, 1000][at % 4];
        let expected = copy(&mut plain, &sql, data, 1000).await;
        let found = copy(&mut ours, &sql, data, chunk).await;
        if expected != found {
            let data = String::from_utf8_lossy(data);
            faults += &format!("{sql}\n{data:?}\none PostgreSQL: {expected}\npgbraid:        {found}\n\n");
        }
        assert_eq!(ours.value("SELECT 1").await, "1");
    }
    assert!(faults.is_empty(), "{faults}");
    let (plain, ours) = both.contents().await;
    assert_eq!(plain, ours);
    both.three.everywhere("SELECT string_agg(k::text, ',' ORDER BY code) FROM kinds k").await;
}

/// Bytes among which quotes, escapes and ends of lines are frequent.
fn stream(random: &mut Random) -> Vec<u8> {
    const PIECES: &[&str] = &[
        "\n", "\n", "\n", "\n", "\r", "\r\n", "\"", "\"\"", "\\", "\\.", "\\.\n", "\\N", "\\t", "\\101", "\\x7", "\\x",
        ",", ",", ",", "\t", "\t", "\t", "a", "b", "é", "1", "\"a\nb\"", "'",
    ];
    // Mostly of one style, or nearly all would be refused.
    let (text, csv) = (random.below(3) == 0, random.below(3) == 0);
    let mut bytes = Vec::new();
    for _ in 0..random.below(30) {
        let piece = random.pick(PIECES);
        let odd = (text && (piece == "," || piece.contains('"'))) || (csv && (piece == "\t" || piece.contains('\\')));
        if !(odd || piece.contains('\r') && random.below(4) > 0) {
            bytes.extend_from_slice(piece.as_bytes());
        }
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn random_bytes_come_to_the_same() {
    const OPTIONS: &[&str] = &[
        "words (word) FROM STDIN",
        "words (word, note) FROM STDIN",
        "words (note, word) FROM STDIN (FORMAT csv)",
        "words (word) FROM STDIN (FORMAT csv, NULL 'a')",
        "words (word, note) FROM STDIN (FORMAT csv, QUOTE '''', ESCAPE '\\', HEADER)",
        "words (word) FROM STDIN (FORMAT csv, FORCE_NOT_NULL (word))",
        "words (note, word) FROM STDIN (DELIMITER ',', NULL '')",
    ];
    let both = Both::start("copied_random").await;
    let mut plain = Raw::login(&both.plain()).await;
    let mut ours = both.three.client().await;
    let mut random = Random(4);
    let (mut kept, mut refused) = (0, 0);
    let mut faults = String::new();
    for _ in 0..1_500 {
        let sql = format!("COPY {}", random.pick(OPTIONS));
        let data = stream(&mut random);
        let chunk = 1 + random.below(20);
        let expected = copy(&mut plain, &sql, &data, 1000).await;
        let found = copy(&mut ours, &sql, &data, chunk).await;
        if expected.starts_with("COPY") {
            kept += 1;
        } else {
            refused += 1;
        }
        if expected != found {
            let data = data.escape_ascii();
            faults += &format!("{sql}\n{data}\none PostgreSQL: {expected}\npgbraid:        {found}\n\n");
        }
    }
    assert!(faults.is_empty(), "{faults}");
    assert!(kept > 300 && refused > 300, "{kept} kept, {refused} refused: the bytes say little");
    let (plain, ours) = both.contents().await;
    assert_eq!(plain, ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_rows_are_dealt_out() {
    let both = Both::start("copied_binary").await;
    let mut outputs = Vec::new();
    for target in [both.plain(), both.three.target()] {
        let client = target.connect().await.unwrap();
        let sink = client.copy_in("COPY items (name, id, n) FROM STDIN BINARY").await.unwrap();
        let types = [Type::TEXT, Type::INT8, Type::INT4];
        let writer = BinaryCopyInWriter::new(sink, &types);
        tokio::pin!(writer);
        for id in 0..1_000_i64 {
            let name = (id % 3 > 0).then(|| "x".repeat(id as usize));
            writer.as_mut().write(&[&name, &id, &((id % 12) as i32)]).await.unwrap();
        }
        outputs.push(writer.finish().await.unwrap());
        let sink = client.copy_in("COPY amounts FROM STDIN BINARY").await.unwrap();
        let types = [Type::NUMERIC, Type::DATE];
        let writer = BinaryCopyInWriter::new(sink, &types);
        tokio::pin!(writer);
        // 1.5 and 3.14159, which the column rounds.
        for amount in [&b"\0\x02\0\0\0\0\0\x01\0\x01\x13\x88"[..], b"\0\x03\0\0\0\0\0\x05\0\x03\x05\x87\x23\x28"] {
            writer.as_mut().write(&[&Given(amount), &None::<Given>]).await.unwrap();
        }
        outputs.push(writer.finish().await.unwrap());
    }
    assert_eq!(outputs, [1_000, 2, 1_000, 2]);
    let (plain, ours) = both.contents().await;
    assert_eq!(plain, ours);

    // What isn't well formed is refused in PostgreSQL's words.
    let head = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    let row = |id: u32, rest: &[u8]| [&b"\0\x02\0\0\0\x04"[..], &id.to_be_bytes(), rest].concat();
    let mut plain = Raw::login(&both.plain()).await;
    let mut ours = both.three.client().await;
    for rest in [
        &b"\0\0\0\x01ax"[..],
        b"\0\0\0\x01a\xff\xffmore",
        b"\0\0\0\x01a\xff\xff",
        b"\0\0\0\x01a",
        b"\0\0\0\x01a\0\x01\0\0\0\x04\0\0\0\x01",
        b"\0\0\0\x01a\0\x02\0\0\0\x03\0\0\0\0\0\0\0",
        b"\xff\xff\xff\xfe",
        b"\0\0\0\x02a\xff",
        b"\0\0",
    ] {
        let data = [head.clone(), row(5, b"\0\0\0\x01a"), row(6, b"\0\0\0\x01a"), row(7, rest)].concat();
        let expected = copy(&mut plain, "COPY loose FROM STDIN BINARY", &data, 1000).await;
        let found = copy(&mut ours, "COPY loose FROM STDIN BINARY", &data, 3).await;
        assert_eq!(expected, found, "{}", rest.escape_ascii());
    }
    let (plain, ours) = both.contents().await;
    assert_eq!(plain, ours);
}

/// A value's bytes as they are.
#[derive(Debug)]
struct Given(&'static [u8]);

impl ToSql for Given {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_place_is_refused_by_name_and_line() {
    let both = Both::start("copied_refused").await;
    let three = &both.three;
    let mut raw = three.client().await;
    for (sql, data, says) in [
        ("COPY loose FROM STDIN", "1\ta\n\\N\tb\n", &["0A000", "\"k\"", "is NULL", "line 2"][..]),
        ("COPY loose (v) FROM STDIN", "a\n", &["0A000", "\"k\"", "shard"]),
        ("COPY amounts FROM STDIN", "1\t2020-01-01\n", &["COPY 1"]),
        ("COPY items FROM STDIN WHERE random() < 2", "1\ta\t1\t\\N\n", &["0A000", "WHERE"]),
        ("COPY items FROM STDIN WHERE at < now()", "1\ta\t1\t\\N\n", &["0A000", "WHERE"]),
        ("COPY words FROM STDIN (ENCODING 'sjis')", "1\ta\t1\n", &["0A000", "encoding sjis"]),
        ("COPY words FROM STDIN (ENCODING 'latin1')", "word\t1\tb\n", &["COPY 1"]),
        ("COPY items FROM 'rows.csv'", "", &["0A000", "server's file"]),
    ] {
        let said = copy(&mut raw, sql, data.as_bytes(), 5).await;
        let refused = copy(&mut raw, "COPY items FROM STDIN", b"", 5).await;
        assert_eq!(refused, "COPY 0");
        assert!(says.iter().all(|text| said.contains(text)), "{sql}: {said}");
    }
    let said = copy(&mut raw, "COPY words FROM STDIN (ENCODING 'latin1')", b"w\xe4rd\t1\tb\n", 5).await;
    assert!(said.contains("0A000") && said.contains("UTF-8"), "{said}");
    assert_eq!(raw.value("SELECT count(*) FROM loose").await, "0");
    assert_eq!(raw.value("SELECT string_agg(word, ',') FROM words").await, "word");
    // Dates are read as the session reads them.
    raw.query("SET datestyle = 'ISO, DMY'").await.unwrap();
    let said = copy(&mut raw, "COPY days FROM STDIN", b"01/02/2020 00:00\t1\n13/02/2020 00:00\t2\n", 5).await;
    assert_eq!(said, "COPY 2");
    for (at, n) in [("2020-02-01", 1), ("2020-02-13", 2)] {
        assert_eq!(raw.value(&format!("SELECT n FROM days WHERE at = '{at}'")).await, n.to_string());
    }
}

/// A COPY of which many rows have gone to shards, and its client.
async fn begun(both: &Both) -> Raw {
    let mut raw = both.three.client().await;
    raw.send(&build::query("COPY items (id, name) FROM STDIN")).await.unwrap();
    while raw.expect().await.unwrap().kind != b'G' {}
    for from in 0..20 {
        let rows: String = (1..=1_000).map(|id| format!("{}\tname\n", from * 1_000 + id)).collect();
        raw.send(&build::copy_data(rows.as_bytes())).await.unwrap();
    }
    raw
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_of_what_ends_in_the_middle() {
    let both = Both::start("copied_half").await;
    let three = &both.three;
    // The client dies.
    drop(begun(&both).await);
    // A server process of one shard is ended.
    let mut raw = begun(&both).await;
    let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE datname = 'copied_half_s2' AND query LIKE 'COPY items%' AND state = 'active'";
    let begin = Instant::now();
    while cluster().value(PRIMARY, "postgres", ended).await.unwrap() == "0" {
        assert!(begin.elapsed() < PATIENCE, "no COPY runs there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let rows: String = (30_000..31_000).map(|id| format!("{id}\tname\n")).collect();
    raw.send(&[build::copy_data(rows.as_bytes()), build::copy_done()].concat()).await.unwrap();
    let frames = raw.until_ready(1).await.unwrap();
    let codes: Vec<String> = frames.iter().filter(|frame| frame.kind == b'E').map(Frame::sqlstate).collect();
    assert!(matches!(codes.as_slice(), [code] if ["57P01", "08006"].contains(&code.as_str())), "{frames:?}");
    // A cancel request.
    let mut raw = begun(&both).await;
    let (pid, key) = raw.key.clone().unwrap();
    let mut other = Raw::open(&three.target().address).await.unwrap();
    other.send(&build::cancel(pid, &key)).await.unwrap();
    loop {
        let frame = raw.expect().await.unwrap();
        match frame.kind {
            b'E' => assert_eq!(frame.sqlstate(), "57014"),
            b'Z' => break,
            _ => {}
        }
    }
    // A row in the middle that a shard refuses: the client may send on for a while.
    let mut raw = begun(&both).await;
    raw.send(&build::copy_data(b"20001\tname\n7\tagain\n20002\tname\n")).await.unwrap();
    let rows: String = (30_000..50_000).map(|id| format!("{id}\tname\n")).collect();
    raw.send(&[build::copy_data(rows.as_bytes()), build::copy_done()].concat()).await.unwrap();
    let said = told(&raw.until_ready(1).await.unwrap());
    assert!(said.starts_with("23505") && said.contains("[COPY items, line 20002]"), "{said}");
    assert_eq!(raw.value("SELECT count(*) FROM items").await, "0");
    let left = "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'copied_half_s_' AND query LIKE 'COPY items%' \
                AND (state = 'active' OR xact_start IS NOT NULL)";
    let begin = Instant::now();
    while cluster().value(PRIMARY, "postgres", left).await.unwrap() != "0" {
        assert!(begin.elapsed() < PATIENCE, "a COPY is left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for shard in ["s1", "s2", "s3"] {
        assert_eq!(three.on(shard, "SELECT count(*) FROM items").await, "0");
    }
    assert_eq!(copy(&mut raw, "COPY items (id) FROM STDIN", b"1\n2\n3\n4\n", 5).await, "COPY 4");
}

/// A shard that doesn't take rows slows the client, whose rows aren't piled up.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_shard_slows_the_client() {
    let both = Both::start("copied_slow").await;
    let blocker = cluster().connect(PRIMARY, "copied_slow_s2").await.unwrap();
    blocker.batch_execute("BEGIN; INSERT INTO items (id) SELECT generate_series(1, 100)").await.unwrap();
    let mut raw = both.three.client().await;
    raw.send(&build::query("COPY items (id, name) FROM STDIN")).await.unwrap();
    while raw.expect().await.unwrap().kind != b'G' {}
    // It waits for the other transaction at the first row that both have.
    let name = "x".repeat(1_000);
    let mut sent = 0;
    let mut id = 0;
    while sent < 1_000 << 20 {
        let rows: String = (0..64).map(|at| format!("{}\t{name}\n", id + at + 1)).collect();
        id += 64;
        match tokio::time::timeout(Duration::from_secs(3), raw.send(&build::copy_data(rows.as_bytes()))).await {
            Ok(result) => result.unwrap(),
            Err(_) => break,
        }
        sent += rows.len();
    }
    assert!(sent < 64 << 20, "{} MB were taken", sent >> 20);
    blocker.batch_execute("ROLLBACK").await.unwrap();
}

/// Runs psql against the proxy with this input; what it printed.
pub async fn psql(target: &Target, input: &[u8]) -> String {
    let program = Binaries::find().unwrap().program("psql");
    let mut psql = tokio::process::Command::new(program);
    psql.args(["-X", "-v", "ON_ERROR_STOP=1", &target.url()]).env("PGSSLMODE", "disable");
    psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut psql = psql.spawn().unwrap();
    let mut stdin = psql.stdin.take().unwrap();
    let input = input.to_vec();
    let writing = tokio::spawn(async move { stdin.write_all(&input).await });
    let output =
        tokio::time::timeout(std::time::Duration::from_secs(180), psql.wait_with_output()).await.unwrap().unwrap();
    let _ = writing.await.unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_copies_two_hundred_thousand_rows() {
    let both = Both::start("copied_many").await;
    let mut input = b"COPY items (id, name, n) FROM STDIN;\n".to_vec();
    for id in 1..=200_000 {
        input.extend(format!("{id}\tname {id}\t{}\n", id % 12).into_bytes());
    }
    input.extend(b"\\.\nSELECT count(*), sum(id), sum(n) FROM items;\n");
    let said = psql(&both.three.target(), &input).await;
    let sum: u64 = (1..=200_000).map(|id| id % 12).sum();
    assert!(said.contains("COPY 200000") && said.contains(&format!("200000 | 20000100000 | {sum}")), "{said}");
    for shard in ["s1", "s2", "s3"] {
        assert!(both.three.on(shard, "SELECT count(*) FROM items").await.parse::<u64>().unwrap() > 50_000);
    }
}
