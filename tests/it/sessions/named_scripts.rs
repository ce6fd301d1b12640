//! The scripts of statements that were prepared by the protocol and are named in SQL.

use super::turns::{Script, q, say, script, x};
use crate::support::build;

/// Statements that were prepared by the protocol, run by SQL's EXECUTE in the extended protocol, as asyncpg does.
pub fn executed_by_name() -> Script {
    let run = |name: &str| say([build::bind("", name, &[]), build::execute("", 0), build::sync()]);
    script(
        "executed by name",
        [
            say([build::parse("foo", "SELECT $1::int + 1 AS sum", &[]), build::sync()]),
            x("EXECUTE foo(2)", &[]),
            say([build::parse("e", "EXECUTE foo(3)", &[]), build::describe(b'S', "e"), build::sync()]),
            run("e"),
            say([build::parse("", "EXECUTE foo(4)", &[]), build::sync()]),
            run("e"),
            run(""),
            q("BEGIN"),
            run("e"),
            q("SELECT 1/0"),
            x("EXECUTE foo(2)", &[]),
            q("ROLLBACK"),
            run("e"),
            say([build::close(b'S', "foo"), build::sync()]),
            run("e"),
            say([build::parse("foo", "SELECT $1::int + 10 AS sum", &[]), build::sync()]),
            run("e"),
            say([build::parse("d", "DEALLOCATE foo", &[]), build::sync()]),
            q("BEGIN; SELECT 1/0"),
            run("d"),
            q("ROLLBACK"),
            x("EXECUTE foo(2)", &[]),
            run("d"),
            x("EXECUTE foo(2)", &[]),
            q("EXECUTE foo(2)"),
            run("e"),
            run("d"),
            x("EXECUTE never(2)", &[]),
            x("DEALLOCATE never", &[]),
            q("DEALLOCATE e"),
            run("e"),
        ],
    )
}

/// DEALLOCATE of what was prepared by the protocol, whatever became of the tables, and names within longer strings.
pub fn deallocated_by_name() -> Script {
    let prepare = |name: &str, sql: &str| say([build::parse(name, sql, &[]), build::sync()]);
    let all = "SELECT * FROM shortlived";
    script(
        "deallocated by name",
        [
            q("BEGIN"),
            q("CREATE TABLE shortlived (a int)"),
            prepare("a", all),
            prepare("b", all),
            prepare("c", all),
            prepare("d", all),
            prepare("e\"\\é\n", all),
            q("DROP TABLE shortlived"),
            q("DEALLOCATE a"),
            q("SELECT 1"),
            q("DEALLOCATE b"),
            x("DEALLOCATE c", &[]),
            x("DEALLOCATE PREPARE d", &[]),
            q("DEALLOCATE \"e\"\"\\é\n\""),
            q("SELECT 1"),
            q("DEALLOCATE a"),
            q("COMMIT"),
            q("CREATE TABLE shortlived (a int)"),
            prepare("a", all),
            prepare("b", all),
            q("DROP TABLE shortlived"),
            q("DEALLOCATE a"),
            q("DEALLOCATE b"),
            q("DEALLOCATE b"),
            prepare("a", "SELECT 1"),
            prepare("b", "SELECT 1"),
            prepare("c", "SELECT $1::int + 1"),
            q("DEALLOCATE a; SELECT 1; DEALLOCATE b"),
            q("SELECT 2; EXECUTE c(3); EXECUTE c(4)"),
            q("EXECUTE c(3); DEALLOCATE c; EXECUTE c(5)"),
            q("EXECUTE c(6)"),
            q("EXECUTE c(3); DEALLOCATE c"),
            q("EXECUTE c(7)"),
            prepare("a", "SELECT 1"),
            q("DEALLOCATE ALL; EXECUTE a"),
            q("BEGIN; DEALLOCATE never; SELECT 1"),
            q("DEALLOCATE a"),
            q("ROLLBACK; EXECUTE a"),
        ],
    )
}
