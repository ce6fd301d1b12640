//! The planner against a real server: thousands of statements, cut and spliced at random from the unit tests' own, are
//! planned and run. What is proven to read must not try to write, and each statement must be what it was taken for.

use crate::support::raw::{Frame, Raw, Target};
use crate::support::servers::shop;
use pgbraid::cli::cluster::PRIMARY;
use pgbraid::plan::{Context, Kind, Plan, plan};
use pgbraid::sql::{Lexer, TokenKind};

const SCHEMA: &str = include_str!("../../src/plan/testdata/schema.sql");
const STATEMENTS: &str = include_str!("../../src/plan/testdata/statements.txt");

/// How many statements are tried. `PROOF_SEED` in the environment tries others.
const TRIES: u64 = 1_500;

/// What could harm the tests beside this one, or take long.
const LEFT_OUT: &[&str] = &[
    "copy",
    "sleep",
    "advisory",
    "database",
    "checkpoint",
    "vacuum",
    "load",
    "program",
    "alter",
    "drop",
    "pgbraid",
    "lo_",
];

#[tokio::test]
async fn what_is_proven_to_read_reads_and_statements_are_what_they_seem() {
    let target = database().await;
    let catalog = crate::catalog::read(&target.connect().await.unwrap()).await;
    let seed = std::env::var_os("PROOF_SEED").and_then(|seed| seed.to_str()?.parse().ok()).unwrap_or(1);
    let mut splicer = Splicer::new(seed);
    let mut raw = login(&target).await;
    let (mut proven, mut ran) = (0, 0);
    for _ in 0..TRIES {
        let sql = splicer.next();
        if LEFT_OUT.iter().any(|word| sql.to_ascii_lowercase().contains(word)) {
            continue;
        }
        let context = Context { catalog: &catalog, search_path_is_default: true, standard_conforming_strings: true };
        let plan = plan(sql.as_bytes(), &context);
        match try_one(&mut raw, &sql, &plan).await {
            Ok(worked) => ran += u64::from(worked),
            // The statement ended the connection.
            Err(_) => raw = login(&target).await,
        }
        proven += u64::from(plan.replica.is_some());
    }
    assert!(proven > TRIES / 30 && ran > TRIES / 10, "of {TRIES}, {ran} ran and {proven} were proven to read");
}

/// A database of the unit tests' schema in which volatile functions fail.
async fn database() -> Target {
    let failing = "LANGUAGE plpgsql VOLATILE AS 'BEGIN RAISE SQLSTATE ''XX999''; END'";
    let schema = SCHEMA
        .replace("LANGUAGE sql VOLATILE AS 'SELECT 1'", failing)
        .replace("LANGUAGE sql VOLATILE AS 'SELECT true'", failing);
    assert_ne!(schema, SCHEMA);
    let cluster = &shop().cluster;
    cluster.execute(PRIMARY, "postgres", "DROP DATABASE IF EXISTS proof").await.unwrap();
    cluster.execute(PRIMARY, "postgres", "CREATE DATABASE proof").await.unwrap();
    cluster.execute(PRIMARY, "proof", &schema).await.unwrap();
    let rows = "INSERT INTO t SELECT i, i, i FROM generate_series(1, 3) i; INSERT INTO u SELECT a, b FROM t;
                INSERT INTO customers SELECT a, b, c FROM t; INSERT INTO guarded VALUES (1)";
    cluster.execute(PRIMARY, "proof", rows).await.unwrap();
    let rights = "GRANT ALL ON ALL TABLES IN SCHEMA public, shop TO PUBLIC; GRANT ALL ON SCHEMA public, shop TO PUBLIC;
                  GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO PUBLIC";
    cluster.execute(PRIMARY, "proof", rights).await.unwrap();
    Target { database: "proof".to_owned(), ..shop().primary() }
}

async fn login(target: &Target) -> Raw {
    let limits = [("options", "-c statement_timeout=5000 -c lock_timeout=1000")];
    Raw::login_with(target, &limits).await.unwrap().0
}

/// Runs the statement, first as a replica would. Whether it worked.
async fn try_one(raw: &mut Raw, sql: &str, plan: &Plan) -> std::io::Result<bool> {
    raw.query("ROLLBACK").await?;
    raw.query("DISCARD ALL").await?;
    if plan.replica.is_some() {
        raw.query("BEGIN READ ONLY").await?;
        let frames = raw.query(sql).await?;
        let failure = error(&frames);
        let wrote = failure.as_deref().is_some_and(|code| code == "25006" || code == "XX999");
        assert!(!wrote, "proven to read, but failed with {failure:?}: {sql}");
        assert!(tags(&frames).iter().all(|tag| tag.starts_with("SELECT")), "proven to read: {sql}");
        raw.query("ROLLBACK").await?;
    }
    raw.query("BEGIN").await?;
    let frames = raw.query(sql).await?;
    let tags = tags(&frames);
    let unknown = plan.steps.iter().any(|step| step.kind == Kind::Unknown);
    assert!(tags.len() <= plan.steps.len() || unknown, "{tags:?}: {sql}");
    for (step, tag) in plan.steps.iter().zip(&tags) {
        assert!(agrees(&step.kind, tag), "taken for {:?}, but it said {tag}: {sql}", step.kind);
    }
    Ok(error(&frames).is_none())
}

fn error(frames: &[Frame]) -> Option<String> {
    frames.iter().find(|frame| frame.kind == b'E').map(Frame::sqlstate)
}

fn tags(frames: &[Frame]) -> Vec<String> {
    frames.iter().filter(|frame| frame.kind == b'C').filter_map(Frame::tag).collect()
}

/// Whether a statement of this kind ends with this tag.
fn agrees(kind: &Kind, tag: &str) -> bool {
    let any = |tags: &[&str]| tags.iter().any(|want| tag.starts_with(want));
    match kind {
        Kind::Unknown | Kind::Execute { .. } | Kind::CopyIn | Kind::CopyOut => true,
        Kind::Read => any(&["SELECT", "EXPLAIN"]),
        Kind::SetConstraints => tag == "SET CONSTRAINTS",
        Kind::Write => !any(&[
            "BEGIN",
            "START",
            "COMMIT",
            "ROLLBACK",
            "SAVEPOINT",
            "RELEASE",
            "SET",
            "RESET",
            "DISCARD",
            "PREPARE",
            "DEALLOCATE",
            "LISTEN",
            "UNLISTEN",
            "NOTIFY",
            "DECLARE",
            "CLOSE",
            "FETCH",
            "MOVE",
            "LOAD",
            "DO",
            "CALL",
            "SHOW",
        ]),
        Kind::Begin(_) => any(&["BEGIN", "START TRANSACTION"]),
        Kind::Commit { .. } => any(&["COMMIT", "ROLLBACK"]),
        Kind::Rollback { .. } | Kind::RollbackTo(_) => any(&["ROLLBACK"]),
        Kind::Savepoint(_) => any(&["SAVEPOINT"]),
        Kind::Release(_) => any(&["RELEASE"]),
        Kind::PrepareTransaction => any(&["PREPARE TRANSACTION", "ROLLBACK"]),
        Kind::FinishPrepared => any(&["COMMIT PREPARED", "ROLLBACK PREPARED"]),
        Kind::SetTransaction(_) | Kind::Set(_) => tag == "SET",
        Kind::Reset(_) | Kind::ResetAll => tag == "RESET",
        Kind::Discard(_) => any(&["DISCARD"]),
        Kind::Show(_) => any(&["SHOW"]),
        Kind::Prepare { .. } => tag == "PREPARE",
        Kind::Deallocate(_) => any(&["DEALLOCATE"]),
        Kind::Listen(_) => any(&["LISTEN"]),
        Kind::Unlisten(_) => any(&["UNLISTEN"]),
        Kind::Notify => any(&["NOTIFY"]),
        Kind::Declare { .. } => any(&["DECLARE"]),
        Kind::Fetch => any(&["FETCH", "MOVE"]),
        Kind::Close(_) => any(&["CLOSE"]),
        Kind::Load => any(&["LOAD"]),
        Kind::Call => any(&["DO", "CALL"]),
    }
}

/// Makes statements out of others: words left out, put in, exchanged, pieces joined.
struct Splicer {
    state: u64,
    statements: Vec<Vec<String>>,
    words: Vec<String>,
}

impl Splicer {
    fn new(seed: u64) -> Self {
        let statements: Vec<Vec<String>> = STATEMENTS.lines().map(cut).collect();
        let words = statements.concat();
        Self { state: seed, statements, words }
    }

    /// A number below `limit` (splitmix64).
    fn below(&mut self, limit: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit.max(1) as u64) as usize
    }

    fn next(&mut self) -> String {
        let at = self.below(self.statements.len());
        let mut words = self.statements[at].clone();
        for _ in 0..[0, 1, 1, 1, 2, 3][self.below(6)] {
            let at = self.below(words.len() + 1);
            match self.below(10) {
                0..3 => {
                    let end = (at + 1 + self.below(3)).min(words.len());
                    words.drain(at.min(end)..end);
                }
                3..6 => {
                    let word = self.below(self.words.len());
                    words.insert(at, self.words[word].clone());
                }
                6..8 => {
                    let word = self.below(self.words.len());
                    words.splice(at..(at + 1).min(words.len()), [self.words[word].clone()]);
                }
                _ => {
                    let other = self.below(self.statements.len());
                    let from = self.below(self.statements[other].len());
                    let to = from + self.below(self.statements[other].len() - from + 1);
                    words.splice(at..at, self.statements[other][from..to].to_vec());
                }
            }
        }
        words.join(" ")
    }
}

/// The tokens of a statement, comments among them.
fn cut(sql: &str) -> Vec<String> {
    let tokens = Lexer::new(sql.as_bytes(), true).filter(|token| token.kind != TokenKind::Space);
    tokens.map(|token| String::from_utf8_lossy(token.bytes(sql.as_bytes())).into_owned()).collect()
}
