//! Two clients in turn over one server connection, through every feature of a session: nothing leaks, and each finds
//! its own state as on PostgreSQL.

mod definition_scripts;
mod named_scripts;
mod reset_scripts;
mod scripts;
mod settings_scripts;
mod turns;

use turns::{SHARED, Script, compare};

use crate::support::build;
use crate::support::proxy::Inside;
use crate::support::raw::{PATIENCE, Raw};

pub use turns::world;

/// Plays all, and tells of all that differ.
async fn all(user: &str, scripts: Vec<Script>) {
    all_with(SHARED, user, scripts).await;
}

async fn all_with(configuration: &'static str, user: &str, scripts: Vec<Script>) {
    let mut wrong = Vec::new();
    for script in scripts {
        let name = script.name;
        let user = user.to_owned();
        let result = tokio::spawn(async move { compare(&user, &script, configuration).await }).await;
        if result.is_err() {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "these scripts went differently (see above): {wrong:?}");
}

#[tokio::test]
async fn settings() {
    all("plain", settings_scripts::settings()).await;
}

#[tokio::test]
async fn authorization() {
    all("tester", settings_scripts::authorization()).await;
}

#[tokio::test]
async fn statements() {
    all("plain", scripts::statements()).await;
}

#[tokio::test]
async fn statements_executed_by_name() {
    all("plain", vec![named_scripts::executed_by_name(), named_scripts::deallocated_by_name()]).await;
}

#[tokio::test]
async fn statements_that_are_listed() {
    all("plain", vec![scripts::listed()]).await;
}

#[tokio::test]
async fn statements_whose_tables_change() {
    all("tester", vec![definition_scripts::defined()]).await;
}

/// Definitions change under statements that aren't used meanwhile, one of which can't be prepared any more.
#[tokio::test]
async fn statements_that_are_listed_after_definitions() {
    let proxy = Inside::start(&world().configuration(SHARED)).await;
    let target = proxy.target("tester", "tester", "turns");
    let (mut one, mut two) = (Raw::login(&target).await, Raw::login(&target).await);
    two.query("CREATE TABLE listed_away (a int, b text)").await.unwrap();
    for (name, sql) in
        [("a", "SELECT $1::int8 + $2::int2"), ("b", "SELECT a FROM listed_away WHERE b = $1"), ("c", "SELECT 1")]
    {
        one.send(&[build::parse(name, sql, &[]), build::sync()].concat()).await.unwrap();
        one.until_ready(1).await.unwrap();
    }
    two.query("DROP TABLE listed_away").await.unwrap();
    let listing = "SELECT string_agg(name || statement || parameter_types::text || from_sql::text || \
                   (generic_plans + custom_plans) || (now() - prepare_time < '1h' AND now() - prepare_time > '-1m'), ' ' \
                   ORDER BY name) FROM pg_prepared_statements";
    let expected = "aSELECT $1::int8 + $2::int2{bigint,smallint}false0true \
                    bSELECT a FROM listed_away WHERE b = $1{text}false0true cSELECT 1{}false0true";
    assert_eq!(one.value(listing).await, expected);
    one.query("BEGIN").await.unwrap();
    assert_eq!(one.value(listing).await, expected);
    let asked = [build::parse("", listing, &[]), build::bind("", "", &[]), build::execute("", 0), build::sync()];
    one.send(&asked.concat()).await.unwrap();
    let frames = one.until_ready(1).await.unwrap();
    let row = frames.iter().find(|frame| frame.kind == b'D').unwrap_or_else(|| panic!("{frames:?}"));
    assert!(String::from_utf8_lossy(&row.body).ends_with(expected), "{row:?}");
    one.query("COMMIT").await.unwrap();
}

#[tokio::test]
async fn queries_copy_functions() {
    all("plain", scripts::what_is_said()).await;
}

#[tokio::test]
async fn pins() {
    all("plain", scripts::pins()).await;
}

/// A session whose role is gone must not go on with the rights of its login.
#[tokio::test]
async fn a_role_that_was_dropped() {
    let proxy = Inside::start(&world().configuration("pool_size = 1")).await;
    let target = proxy.target("plain", "plain", "turns");
    world().execute("CREATE ROLE short_lived; GRANT short_lived TO plain").await;
    let (mut one, mut two) = (Raw::login(&target).await, Raw::login(&target).await);
    one.query("SET ROLE short_lived").await.unwrap();
    assert_eq!(one.value("SELECT current_user").await, "short_lived");
    assert_eq!(two.value("SELECT current_user").await, "plain");
    world().execute("DROP ROLE short_lived").await;
    for _ in 0..2 {
        let frames = one.query("SELECT current_user").await.unwrap();
        assert_eq!(frames[0].sqlstate(), "22023", "{frames:?}");
        assert_eq!(two.value("SELECT current_user").await, "plain");
    }
}

/// Cancel requests at any moment hit the one that they are meant for, or nobody.
#[tokio::test]
async fn cancels_that_come_too_late() {
    let proxy = Inside::start(&world().configuration("pool_size = 1")).await;
    let target = proxy.target("plain", "plain", "turns");
    let (mut victim, mut other) = (Raw::login(&target).await, Raw::login(&target).await);
    let (pid, key) = victim.key.clone().unwrap();
    let address = proxy.address.clone();
    let canceller = tokio::spawn(async move {
        for _ in 0..300 {
            let mut raw = Raw::open(&address).await.unwrap();
            raw.send(&build::cancel(pid, &key)).await.unwrap();
            raw.until_closed().await.unwrap();
        }
    });
    let (mut hits, mut rounds) = (0, 0);
    while !canceller.is_finished() || rounds == 0 {
        victim.send(&build::query("SELECT pg_sleep(0.002)")).await.unwrap();
        other.send(&build::query("SELECT pg_sleep(0.002), 'other'")).await.unwrap();
        let frames = victim.until_ready(1).await.unwrap();
        hits += usize::from(frames.iter().any(|frame| frame.sqlstate() == "57014"));
        let frames = other.until_ready(1).await.unwrap();
        assert!(frames.iter().all(|frame| frame.kind != b'E'), "round {rounds}: {frames:?}");
        rounds += 1;
    }
    canceller.await.unwrap();
    assert_eq!(other.value("SELECT 1").await, "1");
    // One that comes in time.
    victim.send(&build::query("SELECT pg_sleep(600)")).await.unwrap();
    let (pid, key) = victim.key.clone().unwrap();
    world().cluster.until(0, "SELECT count(*) = 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active' AND datname = 'turns'").await.unwrap();
    let mut raw = Raw::open(&proxy.address).await.unwrap();
    raw.send(&build::cancel(pid, &key)).await.unwrap();
    let frames = victim.until_ready(1).await.unwrap();
    assert!(frames.iter().any(|frame| frame.sqlstate() == "57014"), "{hits} hits of {rounds}: {frames:?}");
}

/// What code sets under a name that it makes up can't be seen: its session may lose it, another must not find it.
#[tokio::test]
async fn settings_that_nobody_can_see() {
    world()
        .execute(
            "CREATE FUNCTION hidden_setting() RETURNS text LANGUAGE plpgsql VOLATILE AS \
         $$BEGIN RETURN set_config('turns' || '.hidden', 'secret', false); END$$",
        )
        .await;
    let proxy = Inside::start(&world().configuration("pool_size = 1")).await;
    let target = proxy.target("plain", "plain", "turns");
    let (mut one, mut two) = (Raw::login(&target).await, Raw::login(&target).await);
    for sql in [
        "SELECT hidden_setting()",
        "DO $$BEGIN PERFORM hidden_setting(); END$$",
        "BEGIN; SELECT hidden_setting(); COMMIT",
    ] {
        one.query(sql).await.unwrap();
        assert_eq!(two.value("SELECT coalesce(current_setting('turns.hidden', true), '')").await, "", "{sql}");
    }
}

#[tokio::test]
async fn reset_in_the_extended_protocol() {
    all("plain", vec![reset_scripts::extended_reset()]).await;
}

#[tokio::test]
async fn start_up_parameters() {
    all("plain", vec![reset_scripts::start_up(), reset_scripts::remarked()]).await;
}

#[tokio::test]
async fn what_resets_return_to() {
    all("plain", reset_scripts::resets()).await;
}

#[tokio::test]
async fn what_resets_return_to_in_session_mode() {
    let mode = "pool_size = 4\npool_mode = \"session\"";
    let mut scripts = reset_scripts::resets();
    // No probe looks for them where a session has its connection for good.
    scripts.retain(|script| !script.name.starts_with("resets that nobody sees"));
    all_with(mode, "plain", scripts).await;
    all_with(mode, "plain", vec![reset_scripts::start_up()]).await;
}

/// What a login is told of settings is its own role's, whoever logged in before with the same start-up parameters.
#[tokio::test]
async fn roles_with_settings_of_their_own() {
    world()
        .execute(
            "CREATE ROLE stylish LOGIN PASSWORD 'stylish'; ALTER ROLE stylish SET datestyle = 'German'; \
             ALTER ROLE stylish SET client_encoding = latin1; ALTER ROLE stylish SET timezone = 'Asia/Tokyo'",
        )
        .await;
    let users = "[users.stylish]\npassword = \"stylish\"\n[users.missing]\npassword = \"missing\"\n";
    let proxy = Inside::start(&format!("{users}{}", world().configuration(""))).await;
    for user in ["tester", "plain", "stylish", "tester", "stylish"] {
        let direct = Raw::login(&world().direct(user)).await;
        let through = Raw::login(&proxy.target(user, user, "turns")).await;
        assert_eq!(through.parameters, direct.parameters, "{user}");
    }
    // A role that no server knows isn't let in.
    for target in [world().direct("missing"), proxy.target("missing", "missing", "turns")] {
        let (_, frames) = Raw::login_with(&target, &[]).await.unwrap();
        assert_eq!(frames.last().map(|frame| frame.sqlstate()).as_deref(), Some("28P01"), "{frames:?}");
    }
}

/// A parameter counts more than what `options` says of it, and later ones more than earlier ones.
#[tokio::test]
async fn start_up_parameters_that_name_a_setting_twice() {
    let proxy = Inside::start(&world().configuration("")).await;
    for more in [
        &[("client_encoding", "UTF8"), ("options", "-c client_encoding=SQL_ASCII -c datestyle=German")][..],
        &[("options", "-c client_encoding=SQL_ASCII"), ("client_encoding", "UTF8")],
        &[("DateStyle", "German"), ("datestyle", "SQL, DMY"), ("options", "--DateStyle=ISO")],
        &[("options", "-c datestyle=German"), ("options", "-c timezone=Asia/Tokyo")],
        &[("options", "-c timezone=Asia/Tokyo -c TimeZone=Europe/Rome")],
    ] {
        let (direct, _) = Raw::login_with(&world().direct("plain"), more).await.unwrap();
        let (through, _) = Raw::login_with(&proxy.target("plain", "plain", "turns"), more).await.unwrap();
        assert_eq!(through.parameters, direct.parameters, "{more:?}");
    }
}

/// Without a service user the catalog is read in the first client's name; when that one isn't let in any more, in the
/// next one's.
#[tokio::test]
async fn the_catalog_finds_another_reader() {
    world().execute("CREATE ROLE first_reader LOGIN PASSWORD 'f'; CREATE ROLE second_reader LOGIN PASSWORD 's'").await;
    let users = "[users.first_reader]\npassword = \"f\"\n[users.second_reader]\npassword = \"s\"\n";
    let proxy = Inside::start(&format!("{users}{}", world().configuration(""))).await;
    let reads = |user: &str| {
        format!(
            "SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = '{user}_reader' AND query LIKE '%pg_catalog%' \
             AND application_name LIKE 'pgbraid%'"
        )
    };
    drop(Raw::login(&proxy.target("first_reader", "f", "turns")).await);
    world().cluster.until(0, &reads("first")).await.unwrap();
    world()
        .execute(
            "ALTER ROLE first_reader NOLOGIN; \
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'first_reader'",
        )
        .await;
    let begin = std::time::Instant::now();
    loop {
        drop(Raw::login(&proxy.target("second_reader", "s", "turns")).await);
        if world().cluster.value(0, "postgres", &reads("second")).await.unwrap() == "t" {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "nobody reads the catalog");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// Applications know their own notifications by the process id that they were told at login.
#[tokio::test]
async fn own_notifications() {
    let proxy = Inside::start(&world().configuration("pool_size = 2")).await;
    let target = proxy.target("plain", "plain", "turns");
    let (mut one, mut two) = (Raw::login(&target).await, Raw::login(&target).await);
    let own = one.key.clone().unwrap().0.to_be_bytes();
    one.query("LISTEN own").await.unwrap();
    for sql in ["NOTIFY own, 'a'", "SELECT pg_notify('own', 'b')", "BEGIN; NOTIFY own, 'c'; COMMIT"] {
        let frames = one.query(sql).await.unwrap();
        let told = frames.iter().find(|frame| frame.kind == b'A').unwrap_or_else(|| panic!("{sql}: {frames:?}"));
        assert_eq!(told.body.first_chunk(), Some(&own), "{sql}");
    }
    world().execute("CREATE FUNCTION tells() RETURNS void LANGUAGE plpgsql AS $$BEGIN NOTIFY own, 'e'; END$$").await;
    let others = two.key.clone().unwrap().0.to_be_bytes();
    for sql in ["NOTIFY own, 'd'", "SELECT pg_notify('own', 'd')", "SELECT tells()"] {
        two.query(sql).await.unwrap();
        let told = one.expect().await.unwrap();
        assert_eq!(told.kind, b'A', "{sql}");
        assert_eq!(told.body.first_chunk(), Some(&others), "{sql}: another's");
    }
    // Around the proxy.
    let mut direct = Raw::login(&world().direct("plain")).await;
    direct.query("NOTIFY own, 'f'").await.unwrap();
    let told = one.expect().await.unwrap();
    assert_eq!(told.body.first_chunk(), Some(&direct.key.clone().unwrap().0.to_be_bytes()));
}
