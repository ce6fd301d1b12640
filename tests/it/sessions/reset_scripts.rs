//! The scripts of RESET and its kin where the client's start-up packet set something.

use super::settings_scripts::look;
use super::turns::{Script, Step, q, say, x};
use crate::support::build;

/// What RESET takes back where the start-up packet set something, and what it leaves.
pub fn resets() -> Vec<Script> {
    vec![
        one_leaves_the_others(),
        that_fail(),
        in_transactions(),
        in_the_extended_protocol(),
        in_a_pinned_session(),
        that_nobody_sees(),
        that_nobody_sees_in_a_pinned_session(),
        a_role_from_the_start(),
    ]
}

fn named(name: &'static str, steps: Vec<Step>) -> Script {
    let startup = &[
        ("TimeZone", "Europe/Rome"),
        ("application_name", "starter"),
        ("options", "-c work_mem=2MB -c search_path=dirt,\\ public -c turns.x=it's\\ é"),
    ];
    Script { name, startup, steps }
}

/// A statement, and behind it in the same segment a look at what it left.
fn reset_ahead(statement: &str) -> Step {
    say([
        build::parse("", statement, &[]),
        build::bind("", "", &[]),
        build::execute("", 0),
        build::parse("", "SELECT current_setting('work_mem'), current_setting('TimeZone')", &[]),
        build::bind("", "", &[]),
        build::describe(b'P', ""),
        build::execute("", 0),
        build::sync(),
    ])
}

fn one_leaves_the_others() -> Script {
    named(
        "one reset leaves the others",
        vec![
            q("SET work_mem = '8MB'; RESET timezone"),
            look(),
            q("RESET timezone; SELECT current_setting('work_mem')"),
            q("SET timezone = 'UTC'; SET timezone TO DEFAULT; SELECT current_setting('TimeZone')"),
            look(),
            q("RESET ALL; SET work_mem = '8MB'"),
            look(),
            q("SET work_mem = '9MB'; RESET ALL; SELECT current_setting('work_mem'); SET timezone = 'UTC'"),
            look(),
            q("RESET search_path; SELECT current_setting('search_path')"),
            q("SET search_path = public; SHOW search_path; RESET search_path; SHOW search_path"),
            q("SET turns.x = 'y'; RESET turns.x; SELECT current_setting('turns.x')"),
            q("RESET TIME ZONE;"),
            q("SET TIME ZONE LOCAL"),
            look(),
            q("DISCARD ALL"),
            look(),
        ],
    )
}

fn that_fail() -> Script {
    named(
        "resets that fail",
        vec![
            q("SET work_mem = '8MB'"),
            q("RESET ALL; SELECT 1/0"),
            look(),
            q("RESET timezone; SELECT 1 FROM nowhere"),
            q("RESET ALL; SELECT 'é', nothing; RESET timezone"),
            q("RESET ALL; SELECT 1 FROM; RESET timezone"),
            q("RESET ALL; SELEC; DISCARD ALL"),
            look(),
            q("SELECT 1; DISCARD ALL"),
            look(),
            q("BEGIN"),
            q("DISCARD ALL"),
            q("RESET ALL"),
            q("ROLLBACK"),
            look(),
            q("RESET ALL ALL"),
            q("RESET nothing.at_all"),
            q("RESET nonsense"),
            look(),
        ],
    )
}

fn in_transactions() -> Script {
    named(
        "resets in transactions",
        vec![
            q("BEGIN"),
            q("SET work_mem = '8MB'"),
            q("RESET timezone"),
            look(),
            q("SAVEPOINT a; RESET ALL; SET timezone = 'UTC'"),
            look(),
            q("ROLLBACK TO a"),
            look(),
            q("SET LOCAL work_mem = '3MB'; SET LOCAL work_mem TO DEFAULT"),
            look(),
            q("COMMIT"),
            look(),
            q("BEGIN; RESET ALL"),
            q("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
            q("SHOW transaction_isolation"),
            q("ROLLBACK"),
            look(),
            q("SET LOCAL work_mem TO DEFAULT"),
            look(),
            q("BEGIN; SET work_mem = '4MB'; COMMIT; RESET work_mem; BEGIN; RESET ALL; SELECT 1/0"),
            q("ROLLBACK"),
            look(),
            q("RESET ALL; BEGIN; SET work_mem = '5MB'; ROLLBACK"),
            look(),
        ],
    )
}

fn in_the_extended_protocol() -> Script {
    named(
        "resets in the extended protocol",
        vec![
            q("SET work_mem = '8MB'"),
            x("RESET timezone", &[]),
            look(),
            reset_ahead("RESET ALL"),
            look(),
            q("SET work_mem = '8MB'"),
            reset_ahead("DISCARD ALL"),
            look(),
            q("SET work_mem = '8MB'; SET timezone = 'UTC'"),
            reset_ahead("SET timezone TO DEFAULT"),
            reset_ahead("RESET nonsense"),
            say([build::parse("r", "RESET work_mem", &[]), build::describe(b'S', "r"), build::sync()]),
            say([build::bind("", "r", &[]), build::execute("", 0), build::execute("", 0), build::sync()]),
            look(),
            say([build::bind("", "r", &[]), build::execute("", 0), build::sync()]),
            look(),
            q("BEGIN"),
            reset_ahead("SET LOCAL timezone TO DEFAULT"),
            look(),
            reset_ahead("DISCARD ALL"),
            q("ROLLBACK"),
            look(),
            x("SET LOCAL work_mem TO DEFAULT", &[]),
            look(),
        ],
    )
}

fn in_a_pinned_session() -> Script {
    named(
        "resets in a pinned session",
        vec![
            q("LISTEN turns"),
            Step::Pinned,
            q("SET work_mem = '8MB'; RESET timezone"),
            look(),
            q("RESET ALL; SET work_mem = '8MB'"),
            look(),
            x("RESET timezone", &[]),
            look(),
            q("DISCARD ALL"),
            Step::Shared,
            look(),
        ],
    )
}

fn that_nobody_sees() -> Script {
    named(
        "resets that nobody sees",
        vec![
            q("SET work_mem = '8MB'"),
            q("DO $$BEGIN EXECUTE 'RESET search_path'; END$$"),
            look(),
            q("DO $$BEGIN EXECUTE 'RESET work_mem'; END$$"),
            look(),
        ],
    )
}

fn that_nobody_sees_in_a_pinned_session() -> Script {
    named(
        "resets that nobody sees in a pinned session",
        vec![
            q("LISTEN turns"),
            Step::Pinned,
            q("SET work_mem = '8MB'"),
            q("DO $$BEGIN EXECUTE 'RESET search_path'; END$$"),
            look(),
            q("DO $$BEGIN EXECUTE 'RESET work_mem'; END$$"),
            look(),
        ],
    )
}

fn a_role_from_the_start() -> Script {
    Script {
        name: "a role from the start",
        startup: &[("options", "-c role=worker")],
        steps: vec![
            look(),
            q("SET ROLE other"),
            look(),
            q("RESET ROLE"),
            look(),
            q("SET ROLE NONE"),
            look(),
            q("RESET ALL"),
            look(),
            q("SET role TO DEFAULT"),
            look(),
            q("SET ROLE other"),
            q("DISCARD ALL"),
            look(),
        ],
    }
}

/// RESET ALL by the extended protocol, where the start-up packet set something.
pub fn extended_reset() -> Script {
    Script {
        name: "extended reset",
        startup: &[("TimeZone", "Europe/Rome"), ("options", "-c work_mem=3MB")],
        steps: vec![q("SET work_mem = '9MB'"), x("RESET ALL", &[]), look(), x("RESET work_mem", &[]), look()],
    }
}

/// The server remarks on a start-up parameter, each time.
pub fn remarked() -> Script {
    Script {
        name: "remarks on start-up parameters",
        startup: &[("application_name", "a name that is longer than any identifier may be in PostgreSQL, by far")],
        steps: vec![look(), Step::Again, look(), q("RESET application_name"), look()],
    }
}

pub fn start_up() -> Script {
    Script {
        name: "start-up parameters",
        startup: &[
            ("application_name", "starter"),
            ("TimeZone", "Europe/Rome"),
            ("options", "-c work_mem=3MB --turns.x=o\\ p"),
            ("client_encoding", "UTF8"),
            ("extra_float_digits", "2"),
        ],
        steps: vec![
            look(),
            q("SET work_mem = '9MB'"),
            look(),
            q("RESET work_mem"),
            look(),
            q("SET timezone = 'UTC'"),
            look(),
            q("RESET ALL"),
            look(),
            q("SET timezone = 'UTC'; SET turns.x = 'q'"),
            look(),
            q("DISCARD ALL"),
            look(),
            q("BEGIN"),
            q("SET timezone = 'UTC'"),
            look(),
            q("RESET timezone"),
            look(),
            q("COMMIT"),
            look(),
            q("BEGIN"),
            q("RESET ALL"),
            look(),
            q("ROLLBACK"),
            look(),
            q("SET timezone TO DEFAULT"),
            look(),
            q("SET LOCAL timezone = 'UTC'"),
            look(),
            Step::Again,
            look(),
            q("BEGIN; SET LOCAL timezone TO DEFAULT"),
            look(),
            q("COMMIT"),
            look(),
        ],
    }
}
