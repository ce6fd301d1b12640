//! Clients that break the rules: each is told or shut out, and the next one finds everything in order.

use crate::sessions::world;
use crate::support::build;
use crate::support::proxy::{Inside, Proxy};
use crate::support::raw::{Frame, PATIENCE, Raw, Target};

const POOL: i64 = 2;

fn last_code(frames: &[Frame]) -> String {
    frames.iter().rev().find(|frame| frame.kind == b'E').map(Frame::sqlstate).unwrap_or_default()
}

/// A client works, and no more server connections are open than the pool may have, none of them in a transaction.
async fn all_is_well(target: &Target, pool: i64) {
    let mut raw = Raw::login(target).await;
    let name = format!("SELECT usename FROM pg_user WHERE usename = '{}'", target.user);
    assert_eq!(raw.value(&name).await, target.user);
    drop(raw);
    // One more follows the catalog.
    let most = pool + 1;
    let count = format!(
        "SELECT count(*) <= {most} AND count(*) FILTER (WHERE state <> 'idle') = 0 \
         FROM pg_stat_activity WHERE usename = '{}' AND pid <> pg_backend_pid()",
        target.user
    );
    world().cluster.until(0, &count).await.unwrap();
}

/// A role of the test's own, so that its server connections can be counted.
async fn own_role(name: &str) {
    world().execute(&format!("CREATE ROLE {name} LOGIN PASSWORD '{name}' IN ROLE worker")).await;
}

fn configuration(role: &str, lines: &str) -> String {
    format!("[users.{role}]\npassword = \"{role}\"\n{}", world().configuration(lines))
}

#[tokio::test]
async fn logins_that_fail() {
    own_role("bad_login").await;
    let lines = format!("pool_size = {POOL}");
    let proxy = Inside::start(&configuration("bad_login", &lines)).await;
    let good = proxy.target("bad_login", "bad_login", "turns");
    for (user, password, database, code) in [
        ("bad_login", "wrong", "turns", "28P01"),
        ("nobody", "wrong", "turns", "28P01"),
        ("bad_login", "bad_login", "nowhere", "3D000"),
        ("bad_login", "", "turns", "28P01"),
    ] {
        let (mut raw, frames) = Raw::login_with(&proxy.target(user, password, database), &[]).await.unwrap();
        assert_eq!(last_code(&frames), code, "{user} {database}");
        assert!(raw.until_closed().await.unwrap().is_empty());
        all_is_well(&good, POOL).await;
    }
    // A password message of another method: in place of SCRAM's first.
    let mut raw = Raw::open(&proxy.address).await.unwrap();
    raw.send(&build::startup(&[("user", "bad_login"), ("database", "turns")])).await.unwrap();
    assert_eq!(raw.expect().await.unwrap().kind, b'R');
    raw.send(&build::frame(b'p', b"bad_login\0")).await.unwrap();
    let frames = raw.until_closed().await.unwrap();
    assert!(["08P01", "28P01"].contains(&last_code(&frames).as_str()), "{frames:?}");
    all_is_well(&good, POOL).await;

    for garbage in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"\x00\x00\x00\x00",
        b"\x00\x00\x00\x03",
        b"\x7f\xff\xff\xff\x00\x03\x00\x00",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x00\x00\x00\x09\x00\x03\x00\x00x",
        b"\x00\x00\x00\x08\x00\x09\x00\x00",
        b"\x00\x00\x00\x0f\x00\x03\x00\x00user\0ab",
    ] {
        let mut raw = Raw::open(&proxy.address).await.unwrap();
        raw.send(garbage).await.unwrap();
        let frames = raw.until_closed().await.unwrap_or_default();
        assert!(frames.iter().all(|frame| frame.kind == b'E'), "{garbage:?}: {frames:?}");
    }
    // Half a start-up packet, and gone.
    let mut raw = Raw::open(&proxy.address).await.unwrap();
    raw.send(b"\x00\x00\x00\x20\x00\x03\x00\x00user").await.unwrap();
    drop(raw);
    all_is_well(&good, POOL).await;
}

#[tokio::test]
async fn messages_that_lie() {
    own_role("bad_messages").await;
    let lines = format!("pool_size = {POOL}");
    let proxy = Inside::start(&configuration("bad_messages", &lines)).await;
    let good = proxy.target("bad_messages", "bad_messages", "turns");
    let huge = |kind: u8| [&[kind][..], &0x3fff_ffff_u32.to_be_bytes(), &[b'x'; 1000]].concat();
    let cases: Vec<Vec<u8>> = vec![
        build::frame(b'y', b"unknown"),
        b"Q\0\0\0\x03".to_vec(),
        b"Q\xff\xff\xff\xff".to_vec(),
        build::frame(b'Q', b"no end"),
        build::frame(b'Q', b"two\0strings\0"),
        build::frame(b'P', b"s\0"),
        build::frame(b'B', b"s"),
        build::frame(b'D', b"Xs\0"),
        build::frame(b'E', b"\0"),
        build::frame(b'C', b""),
        huge(b'Q'),
        huge(b'P'),
        huge(b'D'),
        huge(b'E'),
    ];
    for bytes in cases {
        for before in ["", "BEGIN", "CREATE TEMP TABLE IF NOT EXISTS bad (a int)"] {
            let mut raw = Raw::login(&good).await;
            if !before.is_empty() {
                raw.query(before).await.unwrap();
            }
            raw.send(&bytes).await.unwrap();
            // An ERROR is ended by Sync; a FATAL one by itself.
            let _ = raw.send(&build::sync()).await;
            let frames = raw.until_ready(1).await.unwrap_or_default();
            let code = last_code(&frames);
            assert!(
                ["08P01", "54000"].contains(&code.as_str()),
                "{}: {frames:?}",
                bytes[..9.min(bytes.len())].escape_ascii()
            );
        }
    }
    all_is_well(&good, POOL).await;

    // Half a message, and gone; in a transaction, too.
    for before in ["SELECT 1", "BEGIN; SELECT 1", "CREATE TEMP TABLE bad (a int)"] {
        for half in [&b"Q"[..], b"Q\0\0\0\x20SELE", b"B\0\0\x80\0\0\0", b"P\0\0\0\x30s\0SELECT"] {
            let mut raw = Raw::login(&good).await;
            raw.query(before).await.unwrap();
            raw.send(half).await.unwrap();
            drop(raw);
        }
        all_is_well(&good, POOL).await;
    }
}

#[tokio::test]
async fn parameters_that_do_not_fit() {
    let proxy = Inside::start(&world().configuration("pool_size = 1")).await;
    let target = proxy.target("plain", "plain", "turns");
    let parse = build::parse("", "SELECT $1::int", &[]);
    let cut = |n: usize| {
        let whole = build::bind("", "", &[Some("1")]);
        build::frame(b'B', &whole[5..whole.len() - n])
    };
    for bind in [build::bind("", "", &[Some("1"), Some("2")]), build::bind("", "", &[]), cut(1), cut(3), cut(6)] {
        let mut direct = Raw::login(&world().direct("plain")).await;
        let mut through = Raw::login(&target).await;
        let mut codes = Vec::new();
        for raw in [&mut direct, &mut through] {
            raw.send(&[parse.clone(), bind.clone(), build::execute("", 0), build::sync()].concat()).await.unwrap();
            let frames = raw.until_ready(1).await.unwrap();
            codes.push((last_code(&frames), frames.iter().map(|frame| char::from(frame.kind)).collect::<String>()));
            assert_eq!(raw.value("SELECT 7").await, "7");
        }
        assert_eq!(codes[0], codes[1], "{}", bind.escape_ascii());
    }
}

#[tokio::test]
async fn clients_that_do_not_read() {
    own_role("bad_reader").await;
    let proxy = Proxy::start(&configuration("bad_reader", "pool_size = 2")).await;
    let good = proxy.target("bad_reader", "bad_reader", "turns");
    all_is_well(&good, 2).await;
    let before = resident(proxy.pid);
    let mut raw = Raw::login(&good).await;
    raw.send(&build::query("SELECT repeat('x', 100000) FROM generate_series(1, 20000)")).await.unwrap();
    // The server waits for us, as we wait for the client: then all that anybody will hold is held.
    let stuck = "SELECT count(*) = 1 FROM pg_stat_activity WHERE usename = 'bad_reader' AND wait_event = 'ClientWrite'";
    world().cluster.until(0, stuck).await.unwrap();
    let mut other = Raw::login(&good).await;
    assert_eq!(other.value("SELECT 5").await, "5");
    let grown = resident(proxy.pid).saturating_sub(before);
    assert!(grown < 32 << 10, "the proxy holds {grown} KiB for a client that doesn't read");
    drop((raw, other));
    all_is_well(&good, 2).await;
}

/// Resident memory in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn a_thousand_at_once() {
    own_role("bad_crowd").await;
    let text = format!("[auth]\nmethod = \"trust\"\n{}", configuration("bad_crowd", "pool_size = 3"));
    let proxy = Inside::start(&text).await;
    let good = proxy.target("bad_crowd", "bad_crowd", "turns");
    let mut clients = tokio::task::JoinSet::new();
    for n in 0..1000 {
        let good = good.clone();
        clients.spawn(async move {
            let mut raw = Raw::login(&good).await;
            assert_eq!(raw.value(&format!("SELECT {n}")).await, n.to_string());
            raw
        });
    }
    let clients = tokio::time::timeout(4 * PATIENCE, clients.join_all()).await.expect("all are served");
    assert_eq!(clients.len(), 1000);
    drop(clients);
    all_is_well(&good, 3).await;
}

#[tokio::test]
async fn a_pool_that_is_used_up() {
    own_role("bad_pool").await;
    let lines = "pool_size = 1\npool_wait = \"700ms\"\nmax_waiting = 1";
    let proxy = Inside::start(&configuration("bad_pool", lines)).await;
    let good = proxy.target("bad_pool", "bad_pool", "turns");
    let mut holder = Raw::login(&good).await;
    let mut waiting = [Raw::login(&good).await, Raw::login(&good).await];
    holder.query("BEGIN").await.unwrap();
    for raw in &mut waiting {
        raw.send(&build::query("SELECT 1")).await.unwrap();
    }
    let mut codes = Vec::new();
    for raw in &mut waiting {
        let frames = raw.until_ready(1).await.unwrap();
        assert!(frames[0].fields().contains_key(&'H'), "a hint: {frames:?}");
        codes.push(last_code(&frames));
    }
    codes.sort();
    assert_eq!(codes, ["53300", "57014"]);
    holder.query("COMMIT").await.unwrap();
    for raw in &mut waiting {
        assert_eq!(raw.value("SELECT 2").await, "2");
    }
    all_is_well(&good, 1).await;
}
