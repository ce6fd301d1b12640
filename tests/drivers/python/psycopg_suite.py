"""psycopg 3 (blocking): everything an application does with it, as a transcript. See transcript.py."""

import contextlib
import datetime as dt
import decimal
import inspect
import sys
import threading
import time
import uuid

import psycopg
from psycopg import sql
from psycopg.rows import dict_row, namedtuple_row, scalar_row
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.json import Json, Jsonb
from psycopg.types.range import Range
from psycopg_pool import ConnectionPool

from transcript import Record, arguments, emit

DSN, SCHEMA, WANTED = arguments()
SCENARIOS = []


def scenario(function):
    SCENARIOS.append(function)
    return function


def connect(**kwargs):
    kwargs.setdefault("autocommit", True)
    return psycopg.connect(DSN, **kwargs)


def t(name):
    """A table's name in the schema of this run."""
    return f"{SCHEMA}.{name}"


def expect(rec, what, function, *args, **kwargs):
    """Runs `function`, which must fail, and notes how."""
    try:
        function(*args, **kwargs)
    except psycopg.Error as e:
        rec.error(what, e)
    else:
        rec.note(what, "no error")


# --- the connection itself ---------------------------------------------------------------------------------------


@scenario
def connection_facts(rec):
    with connect() as c:
        for name in ("server_encoding", "client_encoding", "DateStyle", "integer_datetimes", "standard_conforming_strings",
                     "TimeZone", "is_superuser", "session_authorization", "application_name", "IntervalStyle",
                     "default_transaction_read_only", "server_version"):
            rec.note(name, c.info.parameter_status(name))
        rec.note("version", c.info.server_version)
        rec.note("status", c.info.transaction_status)
        rec.note("user", c.execute("SELECT current_user, session_user, current_database()").fetchone())
        rec.note("same backend", c.execute("SELECT pg_backend_pid() > 0").fetchone())
    rec.note("closed", c.closed)


@scenario
def start_up_options(rec):
    with connect(application_name="a 'b' c", options="-c search_path=pg_temp,pg_catalog -c statement_timeout=12345 -c DateStyle=SQL,DMY") as c:
        for name in ("application_name", "search_path", "statement_timeout", "DateStyle"):
            rec.note(name, c.execute(f"SHOW {name}").fetchone())
        rec.note("date", c.execute("SELECT '2024-02-01'::date::text").fetchone())
        c.execute("SET statement_timeout = 1")
        c.execute("RESET statement_timeout")
        rec.note("reset", c.execute("SHOW statement_timeout").fetchone())
        c.execute("SET application_name = 'z'")
        c.execute("DISCARD ALL")
        rec.note("discarded", c.execute("SHOW application_name").fetchone())
    with connect(client_encoding="LATIN1") as c:
        rec.note("encoding", c.info.encoding)
        rec.note("bytes", c.pgconn.exec_(b"SELECT 'h\xe9'").get_value(0, 0))
        rec.note("length", c.execute("SELECT length(%s)", ("é",)).fetchone())
    with connect() as c:
        rec.note("after", [c.execute(f"SHOW {n}").fetchone()[0] for n in ("client_encoding", "DateStyle", "statement_timeout")])


@scenario
def bad_logins(rec):
    for what, change in (("password", {"password": "wrong"}), ("user", {"user": "nobody_here"}), ("database", {"dbname": "no_such_db"})):
        try:
            connect(**change).close()
            rec.note(what, "let in")
        except psycopg.OperationalError as e:
            rec.note(what, type(e).__name__)
    with connect() as c:
        rec.note("then", c.execute("SELECT 1").fetchone())


# --- types -------------------------------------------------------------------------------------------------------

VALUES = [
    ("int2", 32767), ("int4", -2147483648), ("int8", 9223372036854775807), ("float4", 1.5), ("float8", 1e300),
    ("float8", float("inf")), ("float8", float("nan")), ("numeric", decimal.Decimal("12345678901234567890.0987654321")),
    ("numeric", decimal.Decimal("NaN")), ("text", "grüße 🐘 \\ ' \" %"), ("text", ""), ("varchar(5)", "abc"), ("char(5)", "ab"),
    ("bytea", b"\x00\x01\xff\\x"), ("bool", True), ("date", dt.date(2024, 2, 29)), ("time", dt.time(23, 59, 59, 999999)),
    ("timetz", dt.time(1, 2, 3, tzinfo=dt.timezone.utc)), ("timestamp", dt.datetime(1999, 12, 31, 23, 59, 59, 123456)),
    ("timestamptz", dt.datetime(2024, 7, 1, 12, tzinfo=dt.timezone.utc)), ("interval", dt.timedelta(days=3, seconds=7, microseconds=5)),
    ("uuid", uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")), ("json", Json({"a": [1, None, "x"]})), ("jsonb", Jsonb({"k": 1.5})),
    ("int4[]", [1, None, 3]), ("text[]", ["a,b", 'c"d', "", "{}"]), ("int4[][]", [[1, 2], [3, 4]]),
    ("int4range", Range(1, 5)), ("int8", None), ("name", "pg_class"), ("oid", 42), ("xml", None), ("money", "$1.50"),
    ("inet", "10.1.2.3/24"), ("cidr", "10.0.0.0/8"), ("macaddr", "08:00:2b:01:02:03"), ("bit(4)", "1010"), ("varbit", "101"),
    ("point", "(1,2)"), ("tsvector", "'a':1 'b':2"), ("tsquery", "'a' & 'b'"), ("int4multirange", "{[1,3),[5,8)}"),
]


@scenario
def types_both_formats(rec):
    with connect() as c:
        for binary in (False, True):
            for name, value in VALUES:
                try:
                    cast = sql.SQL("SELECT %s::" + name)
                    row = c.execute(cast, (value,), binary=binary).fetchone()
                    rec.note(f"{name} {'binary' if binary else 'text'}", row[0])
                except psycopg.Error as e:
                    rec.error(f"{name} {'binary' if binary else 'text'}", e)


@scenario
def types_stored_and_described(rec):
    with connect() as c:
        c.execute(f"CREATE TABLE {t('types')} (a int PRIMARY KEY, b text NOT NULL, c numeric(10,3), d timestamptz, e varchar(7), f int[])")
        c.execute(f"INSERT INTO {t('types')} VALUES (%s, %s, %s, %s, %s, %s)", (1, "x", decimal.Decimal("1.5"), dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc), "abc", [1, 2]))
        cur = c.execute(f"SELECT * FROM {t('types')}")
        rec.note("columns", [(d.name, d.type_code, d.display_size, d.internal_size, d.precision, d.scale) for d in cur.description])
        rec.note("row", cur.fetchone())
        cur = c.execute(f"SELECT * FROM {t('types')} WHERE false")
        rec.note("none", [cur.rowcount, cur.fetchall(), cur.statusmessage])
        rec.note("no columns", c.execute("SELECT").statusmessage)


@scenario
def user_types(rec):
    with connect() as c:
        c.execute(f"CREATE TYPE {t('mood')} AS ENUM ('sad', 'ok', 'happy')")
        c.execute(f"CREATE TYPE {t('pair')} AS (n int, s text)")
        c.execute(f"CREATE DOMAIN {t('small')} AS int CHECK (VALUE < 10)")
        mood = EnumInfo.fetch(c, t("mood"))
        register_enum(mood, c)
        rec.note("enum", mood.labels)
        pair = CompositeInfo.fetch(c, t("pair"))
        register_composite(pair, c)
        rec.note("pair fields", pair.field_names)
        for binary in (False, True):
            rec.note("mood", c.execute(f"SELECT %s::{t('mood')}", ("ok",), binary=binary).fetchone())
            rec.note("pair", c.execute(f"SELECT row(1, 'x')::{t('pair')}, ARRAY[row(2, NULL)::{t('pair')}]", binary=binary).fetchone())
            rec.note("round", c.execute("SELECT %s", (pair.python_type(5, "y"),), binary=binary).fetchone())
        expect(rec, "domain", c.execute, f"SELECT 11::{t('small')}")
        expect(rec, "enum value", c.execute, f"SELECT 'angry'::{t('mood')}")


# --- errors ------------------------------------------------------------------------------------------------------


@scenario
def errors(rec):
    with connect() as c:
        c.execute(f"CREATE TABLE {t('errs')} (id int PRIMARY KEY, v text NOT NULL, n int CHECK (n > 0))")
        c.execute(f"INSERT INTO {t('errs')} VALUES (1, 'a', 1)")
        for statement in ("SELEC 1", "SELECT 1/0", "SELECT * FROM no_such_table", "SELECT no_such_column", "SELECT nosuch(1)",
                          f"INSERT INTO {t('errs')} VALUES (1, 'b', 1)", f"INSERT INTO {t('errs')} VALUES (2, NULL, 1)",
                          f"INSERT INTO {t('errs')} VALUES (2, 'b', -1)", "SELECT 'x'::int", "SELECT '2024-13-45'::date",
                          "SELECT 'unfinished", "SELECT 1; SELECT 2", "", "   ", "-- only a comment", ";",
                          "COMMIT PREPARED 'no such'", "SET no_such_setting = 1", "SET statement_timeout = 'x'", "EXECUTE nothing",
                          "FETCH ALL FROM nothing", "CLOSE nothing", "RELEASE SAVEPOINT x", "ROLLBACK", "COMMIT", "LOCK TABLE pg_class",
                          "SHOW no_such", "DROP TABLE no_such", "COPY no_such TO STDOUT", "VACUUM no_such", "DEALLOCATE nothing"):
            for prepare in (False, True):
                try:
                    cur = c.execute(statement, prepare=prepare)
                    rec.note(f"{statement} {prepare}", [cur.statusmessage, cur.pgresult.status])
                except psycopg.Error as e:
                    rec.error(f"{statement} {prepare}", e)
                rec.note("status", c.info.transaction_status)
        for level in ("NOTICE", "WARNING", "EXCEPTION"):
            notices = []
            c.add_notice_handler(lambda d: notices.append((d.severity, d.sqlstate, d.message_primary, d.message_detail, d.message_hint)))
            try:
                c.execute(f"DO $$ BEGIN RAISE {level} 'said %', 1 USING DETAIL = 'd', HINT = 'h', ERRCODE = 'P1234'; END $$")
            except psycopg.Error as e:
                rec.error(level, e)
            rec.note("notices", notices)
        rec.note("alive", c.execute("SELECT 1").fetchone())


# --- transactions ------------------------------------------------------------------------------------------------


@scenario
def transactions(rec):
    with connect() as c, connect() as other:
        c.execute(f"CREATE TABLE {t('tx')} (v int)")
        count = lambda: other.execute(f"SELECT count(*) FROM {t('tx')}").fetchone()[0]
        with c.transaction():
            c.execute(f"INSERT INTO {t('tx')} VALUES (1)")
            rec.note("unseen", count())
            rec.note("status", c.info.transaction_status)
        rec.note("seen", count())
        try:
            with c.transaction():
                c.execute(f"INSERT INTO {t('tx')} VALUES (2)")
                raise KeyError
        except KeyError:
            pass
        rec.note("rolled back", count())
        with c.transaction():
            c.execute(f"INSERT INTO {t('tx')} VALUES (3)")
            for depth in range(3):
                try:
                    with c.transaction():
                        c.execute(f"INSERT INTO {t('tx')} VALUES ({10 + depth})")
                        with c.transaction("named"):
                            c.execute(f"INSERT INTO {t('tx')} VALUES ({20 + depth})")
                        if depth == 1:
                            c.execute("SELECT 1/0")
                except psycopg.Error as e:
                    rec.error("inner", e)
                rec.note("status", c.info.transaction_status)
        rec.note("rows", other.execute(f"SELECT v FROM {t('tx')} ORDER BY v").fetchall())
        with c.transaction(force_rollback=True):
            c.execute(f"DELETE FROM {t('tx')}")
        rec.note("kept", count())


@scenario
def transactions_implicit(rec):
    with connect(autocommit=False) as c:
        c.execute(f"CREATE TABLE {t('tx2')} (v int)")
        rec.note("status", c.info.transaction_status)
        c.commit()
        c.execute(f"INSERT INTO {t('tx2')} VALUES (1)")
        expect(rec, "fails", c.execute, "SELECT 1/0")
        rec.note("status", c.info.transaction_status)
        expect(rec, "in failed", c.execute, "SELECT 1")
        c.rollback()
        rec.note("count", c.execute(f"SELECT count(*) FROM {t('tx2')}").fetchone())
        rec.note("commit of failed", None)
        expect(rec, "fails", c.execute, "SELECT 1/0")
        c.commit()
        rec.note("status", c.info.transaction_status)
        for level in psycopg.IsolationLevel:
            c.rollback()
            c.isolation_level = level
            rec.note(level.name, c.execute("SHOW transaction_isolation").fetchone())
        c.rollback()
        c.isolation_level = None
        c.read_only = True
        expect(rec, "read only", c.execute, f"INSERT INTO {t('tx2')} VALUES (1)")
        c.rollback()
        c.read_only = None
        c.deferrable = True
        rec.note("deferrable", c.execute("SHOW transaction_deferrable").fetchone())
        c.rollback()


@scenario
def transaction_words(rec):
    with connect() as c:
        c.execute(f"CREATE TABLE {t('words')} (v int)")
        for statement in ("START TRANSACTION ISOLATION LEVEL REPEATABLE READ READ WRITE", f"INSERT INTO {t('words')} VALUES (1)", "SAVEPOINT a",
                          f"INSERT INTO {t('words')} VALUES (2)", "ROLLBACK TO a", "RELEASE a", "COMMIT AND CHAIN",
                          "SHOW transaction_isolation", "END", "BEGIN; SELECT 1", "ABORT", "BEGIN", "BEGIN", "COMMIT", "COMMIT",
                          "BEGIN READ ONLY", f"SELECT count(*) FROM {t('words')}", f"DELETE FROM {t('words')}", "SELECT 2", "ROLLBACK",
                          f"BEGIN; INSERT INTO {t('words')} VALUES (7); COMMIT; SELECT 5", f"INSERT INTO {t('words')} VALUES (8); SELECT 1/0",
                          f"SELECT v FROM {t('words')} ORDER BY v", "BEGIN; SELECT 1; ROLLBACK; SELECT 3"):
            try:
                cur = c.execute(statement)
                rows = []
                while True:
                    rows.append([cur.statusmessage, cur.fetchall() if cur.description else None])
                    if not cur.nextset():
                        break
                rec.note(statement, rows)
            except psycopg.Error as e:
                rec.error(statement, e)
            rec.note("status", c.info.transaction_status)


@scenario
def two_phase(rec):
    with connect() as c:
        c.execute(f"CREATE TABLE {t('tp')} (v int)")
    with contextlib.closing(connect(autocommit=False)) as c:
        xid = c.xid(1, f"{SCHEMA}-gtrid", "bq")
        for finish in ("commit", "rollback"):
            c.tpc_begin(xid)
            c.execute(f"INSERT INTO {t('tp')} VALUES (1)")
            c.tpc_prepare()
            rec.note("unseen", c.info.transaction_status)
            (c.tpc_commit if finish == "commit" else c.tpc_rollback)()
            rec.note(finish, c.execute(f"SELECT count(*) FROM {t('tp')}").fetchone())
            c.commit()
        c.tpc_begin(xid)
        c.execute(f"INSERT INTO {t('tp')} VALUES (1)")
        c.tpc_prepare()
    with contextlib.closing(connect(autocommit=False)) as c:
        mine = [x for x in c.tpc_recover() if x.gtrid == f"{SCHEMA}-gtrid"]
        rec.note("recovered", len(mine))
        c.rollback()
        for x in mine:
            c.tpc_rollback(x)
        rec.note("after", c.execute(f"SELECT count(*) FROM {t('tp')}").fetchone())


@scenario
def conflicts(rec):
    with connect(autocommit=False) as a, connect(autocommit=False) as b:
        a.execute(f"CREATE TABLE {t('conf')} AS SELECT 1 AS id, 0 AS v UNION SELECT 2, 0")
        a.commit()
        for c in (a, b):
            c.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            c.execute(f"SELECT * FROM {t('conf')}")
        a.execute(f"UPDATE {t('conf')} SET v = 1 WHERE id = 1")
        a.commit()
        expect(rec, "serialization", b.execute, f"UPDATE {t('conf')} SET v = 2 WHERE id = 1")
        b.rollback()
        for c in (a, b):
            c.isolation_level = None
        a.execute(f"UPDATE {t('conf')} SET v = 1 WHERE id = 1")
        b.execute("SET LOCAL lock_timeout = '50ms'")
        expect(rec, "lock timeout", b.execute, f"UPDATE {t('conf')} SET v = 1 WHERE id = 1")
        b.rollback()
        expect(rec, "nowait", b.execute, f"SELECT * FROM {t('conf')} WHERE id = 1 FOR UPDATE NOWAIT")
        b.rollback()
        rec.note("skip locked", b.execute(f"SELECT id FROM {t('conf')} ORDER BY id FOR UPDATE SKIP LOCKED").fetchall())
        b.rollback()
        a.rollback()


# --- prepared statements -----------------------------------------------------------------------------------------


@scenario
def prepared(rec):
    with connect(prepare_threshold=0) as c:
        c.execute(f"CREATE TABLE {t('prep')} (id int PRIMARY KEY, v text)")
        for i in range(30):
            c.execute(f"INSERT INTO {t('prep')} VALUES (%s, %s)", (i, f"v{i}"))
        for i in range(30):
            got = c.execute(f"SELECT v FROM {t('prep')} WHERE id = %s", (i,), binary=i % 2 == 0).fetchone()[0]
            assert got == f"v{i}", got
        rec.note("prepared", c.execute("SELECT count(*) > 0 FROM pg_prepared_statements WHERE NOT from_sql").fetchone())
        c.prepared_max = 3
        for i in range(40):
            rec.note("evicting", c.execute(f"SELECT %s::int + {i % 7}", (i,)).fetchone())
        c.execute("SELECT %s::text", ("x",), prepare=True)
        c.execute("DEALLOCATE ALL")
        rec.note("deallocated", c.execute("SELECT count(*) FROM pg_prepared_statements").fetchone())
    for threshold in (None, 1, 5):
        with connect(prepare_threshold=threshold) as c:
            rec.note(f"threshold {threshold}", sum(c.execute("SELECT %s::int", (i,)).fetchone()[0] for i in range(20)))


@scenario
def prepared_and_ddl(rec):
    with connect(prepare_threshold=0) as c, connect() as other:
        c.execute(f"CREATE TABLE {t('ddl')} AS SELECT 1 AS a")
        q = f"SELECT * FROM {t('ddl')}"
        rec.note("before", c.execute(q).fetchall())
        other.execute(f"ALTER TABLE {t('ddl')} ADD COLUMN b text DEFAULT 'x'")
        try:
            rec.note("after", c.execute(q).fetchall())
        except psycopg.Error as e:
            rec.error("after", e)
        other.execute(f"CREATE INDEX ON {t('ddl')} (a)")
        q2 = f"SELECT a FROM {t('ddl')} WHERE a = %s"
        for round_ in range(4):
            rec.note(f"index {round_}", c.execute(q2, (1,)).fetchall())
            other.execute(f"ALTER TABLE {t('ddl')} ADD COLUMN c{round_} int")
        other.execute(f"DROP TABLE {t('ddl')}")
        expect(rec, "dropped", c.execute, q2, (1,))
        other.execute(f"CREATE TABLE {t('ddl')} (a int)")
        rec.note("again", c.execute(q2, (1,)).fetchall())


@scenario
def sql_prepare(rec):
    with connect() as c:
        c.execute("PREPARE p1 (int) AS SELECT $1 + 1")
        rec.note("execute", c.execute("EXECUTE p1(41)").fetchone())
        expect(rec, "twice", c.execute, "PREPARE p1 AS SELECT 1")
        rec.note("listed", c.execute("SELECT name, statement, from_sql FROM pg_prepared_statements WHERE name = 'p1'").fetchall())
        c.execute("DEALLOCATE p1")
        expect(rec, "gone", c.execute, "EXECUTE p1(1)")


@scenario
def executemany(rec):
    with connect() as c:
        c.execute(f"CREATE TABLE {t('many')} (id int PRIMARY KEY, v text)")
        cur = c.cursor()
        cur.executemany(f"INSERT INTO {t('many')} VALUES (%s, %s)", [(i, str(i)) for i in range(500)])
        rec.note("rowcount", cur.rowcount)
        cur.executemany(f"UPDATE {t('many')} SET v = v || '!' WHERE id = %s RETURNING id, v", [(3,), (4,), (999,)], returning=True)
        out = []
        while True:
            out.append(cur.fetchall())
            if not cur.nextset():
                break
        rec.note("returning", out)
        expect(rec, "duplicate", cur.executemany, f"INSERT INTO {t('many')} VALUES (%s, 'x')", [(1000,), (1,), (1001,)])
        rec.note("nothing of it", c.execute(f"SELECT count(*) FROM {t('many')} WHERE id >= 1000").fetchone())


# --- pipelines ---------------------------------------------------------------------------------------------------


@scenario
def pipeline_plain(rec):
    with connect() as c:
        c.execute(f"CREATE TABLE {t('pipe')} (id int PRIMARY KEY)")
        with c.pipeline() as p:
            cursors = [c.execute("SELECT %s::int", (i,)) for i in range(100)]
            rec.note("sum", sum(k.fetchone()[0] for k in cursors))
            for i in range(50):
                c.execute(f"INSERT INTO {t('pipe')} VALUES (%s)", (i,))
            p.sync()
            rec.note("count", c.execute(f"SELECT count(*) FROM {t('pipe')}").fetchone())
        with c.pipeline():
            with c.transaction():
                c.execute(f"INSERT INTO {t('pipe')} VALUES (100)")
                with c.transaction():
                    c.execute(f"INSERT INTO {t('pipe')} VALUES (101)")
                cur = c.execute(f"SELECT max(id) FROM {t('pipe')}")
            rec.note("in transaction", cur.fetchone())
        with c.pipeline(), c.pipeline():
            rec.note("nested", c.execute("SELECT 1").fetchone())
        rec.note("status", c.info.transaction_status)


@scenario
def pipeline_errors(rec):
    with connect() as c:
        c.execute(f"CREATE TABLE {t('pipe2')} (id int PRIMARY KEY)")
        try:
            with c.pipeline():
                c.execute(f"INSERT INTO {t('pipe2')} VALUES (1)")
                c.execute("SELECT 1/0")
                c.execute(f"INSERT INTO {t('pipe2')} VALUES (2)")
        except psycopg.Error as e:
            rec.error("aborts", e)
        rec.note("rolled back", c.execute(f"SELECT id FROM {t('pipe2')}").fetchall())
        bad = after = None
        try:
            with c.pipeline() as p:
                c.execute(f"INSERT INTO {t('pipe2')} VALUES (3)")
                p.sync()
                bad = c.execute("SELECT nope")
                after = c.execute("SELECT 1")
        except psycopg.Error as e:
            rec.error("bad", e)
        # Whether the error comes while "SELECT 1" is sent or at the end is a matter of time, with PostgreSQL too: only
        # that it never gives a row is sure.
        try:
            assert after is None or after.fetchone() is None, "a statement behind an error was carried out"
        except psycopg.Error:
            pass
        with c.pipeline():
            rec.note("next", c.execute("SELECT 2").fetchone())
        rec.note("kept", c.execute(f"SELECT id FROM {t('pipe2')}").fetchall())
        try:
            with c.pipeline(), c.transaction():
                c.execute(f"INSERT INTO {t('pipe2')} VALUES (5)")
                c.execute(f"INSERT INTO {t('pipe2')} VALUES (5)")
        except psycopg.Error as e:
            rec.error("transaction", e)
        rec.note("rows", c.execute(f"SELECT id FROM {t('pipe2')}").fetchall())
        rec.note("status", c.info.transaction_status)


@scenario
def pipeline_prepared_and_long(rec):
    with connect(prepare_threshold=0) as c:
        c.execute(f"CREATE TABLE {t('pipe3')} (id int, v text)")
        with c.pipeline():
            for i in range(5000):
                c.execute(f"INSERT INTO {t('pipe3')} VALUES (%s, %s)", (i, "x" * (i % 50)))
            total = c.execute(f"SELECT count(*), sum(length(v)) FROM {t('pipe3')}").fetchone()
        rec.note("total", total)
        with c.pipeline():
            cursors = [c.execute(f"SELECT id FROM {t('pipe3')} WHERE id < %s ORDER BY id", (k,), prepare=True) for k in (3, 5, 0, 2000)]
            rec.note("lengths", [len(k.fetchall()) for k in cursors])
        with c.pipeline():
            c.cursor().executemany(f"DELETE FROM {t('pipe3')} WHERE id = %s", [(i,) for i in range(1000)])
        rec.note("left", c.execute(f"SELECT count(*) FROM {t('pipe3')}").fetchone())


@scenario
def pipeline_settings(rec):
    """Settings made within a pipeline hold for the statements behind them."""
    with connect() as c:
        with c.pipeline() as p:
            c.execute("SET TimeZone = 'Asia/Tokyo'")
            tokyo = c.execute("SELECT '2024-01-01 00:00+00'::timestamptz::text")
            p.sync()
            c.execute("SET LOCAL TimeZone = 'UTC'")
            c.execute("SET extra_float_digits = 0")
            third = c.execute("SELECT (1.0::float8 / 3)::text")
            rec.note("tokyo", tokyo.fetchone())
            rec.note("third", third.fetchone())
        rec.note("zone", c.execute("SHOW TimeZone").fetchone())
        rec.note("status", c.info.parameter_status("TimeZone"))


# --- cursors -----------------------------------------------------------------------------------------------------


@scenario
def server_cursors(rec):
    with connect(autocommit=False) as c:
        for binary in (False, True):
            with c.cursor("named", binary=binary) as cur:
                cur.itersize = 7
                cur.execute("SELECT i, i::text FROM generate_series(1, %s) i", (50,))
                rec.note("one", cur.fetchone())
                rec.note("many", cur.fetchmany(3))
                rec.note("rest", sum(row[0] for row in cur))
        with c.cursor("scrolling", scrollable=True) as cur:
            cur.execute("SELECT i FROM generate_series(1, 10) i")
            cur.scroll(5)
            rec.note("sixth", cur.fetchone())
            cur.scroll(-3)
            rec.note("fourth", cur.fetchone())
            cur.scroll(0, mode="absolute")
            rec.note("first", cur.fetchone())
        with c.cursor("a") as one, c.cursor("b") as two:
            one.execute("SELECT generate_series(1, 3)")
            two.execute("SELECT generate_series(11, 13)")
            rec.note("interleaved", [one.fetchone(), two.fetchone(), one.fetchone(), two.fetchone()])
        c.commit()
        with c.cursor("held", withhold=True) as cur:
            cur.execute("SELECT generate_series(1, 5)")
            cur.fetchone()
            c.commit()
            rec.note("after commit", cur.fetchall())
        c.rollback()
        cur = c.cursor("lost")
        cur.execute("SELECT 1")
        c.rollback()
        expect(rec, "lost", cur.fetchall)
        c.rollback()
        c.execute("DECLARE k CURSOR FOR SELECT generate_series(1, 5)")
        rec.note("declared", c.execute("FETCH 2 FROM k").fetchall())
        c.execute("MOVE 1 IN k")
        rec.note("moved", c.execute("FETCH ALL k").fetchall())
        rec.note("listed", c.execute("SELECT name, is_holdable FROM pg_cursors WHERE name = 'k'").fetchall())


@scenario
def streaming(rec):
    with connect() as c:
        cur = c.cursor()
        rec.note("stream", sum(row[0] for row in cur.stream("SELECT generate_series(1, 20000)")))
        rec.note("chunks", sum(row[0] for row in cur.stream("SELECT generate_series(1, 5000)", binary=True)))
        for row in cur.stream("SELECT generate_series(1, 100000), repeat('x', 100)"):
            break
        rec.note("after a stop", c.execute("SELECT 1").fetchone())
        try:
            for row in cur.stream("SELECT 10 / (500 - i) FROM generate_series(1, 1000) i"):
                pass
        except psycopg.Error as e:
            rec.error("error on the way", e)
        rec.note("then", c.execute("SELECT 1").fetchone())


@scenario
def row_kinds(rec):
    with connect() as c:
        rec.note("dict", c.cursor(row_factory=dict_row).execute("SELECT 1 AS a, 'x' AS b").fetchone())
        rec.note("tuple", c.cursor(row_factory=namedtuple_row).execute("SELECT 1 AS a, 'x' AS b").fetchone()._asdict())
        rec.note("scalar", c.cursor(row_factory=scalar_row).execute("SELECT generate_series(1, 3)").fetchall())
        rec.note("client side", psycopg.ClientCursor(c).execute("SELECT %s, %s", ("it's", [1, 2])).fetchone())
        rec.note("raw", psycopg.RawCursor(c).execute("SELECT $1::int + $2::int", (1, 2)).fetchone())
        cur = c.execute("SELECT 1; SELECT 2, 3; SELECT 4 WHERE false")
        sets = []
        while True:
            sets.append([cur.statusmessage, cur.fetchall()])
            if not cur.nextset():
                break
        rec.note("sets", sets)


# --- copy --------------------------------------------------------------------------------------------------------


@scenario
def copy_in_and_out(rec):
    with connect() as c:
        c.execute(f"CREATE TABLE {t('cp')} (id int, v text, w float8)")
        cur = c.cursor()
        with cur.copy(f"COPY {t('cp')} FROM STDIN") as copy:
            for i in range(5000):
                copy.write_row((i, f"tab\t{i}\\ line\n" if i % 3 else None, i / 3))
        rec.note("text in", [cur.rowcount, cur.statusmessage])
        with cur.copy(f"COPY {t('cp')} FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int4", "text", "float8"])
            for i in range(5000, 6000):
                copy.write_row((i, f"b{i}", 1.5))
        rec.note("binary in", cur.rowcount)
        with cur.copy(f"COPY {t('cp')} FROM STDIN (FORMAT csv)") as copy:
            copy.write('7000,"a ""q"" b",1\n7001,,2\n')
        rec.note("csv in", cur.rowcount)
        rec.note("sum", c.execute(f"SELECT count(*), sum(id), count(v), sum(length(v)) FROM {t('cp')}").fetchone())
        for fmt in ("text", "binary", "csv"):
            size = 0
            with cur.copy(f"COPY (SELECT * FROM {t('cp')} ORDER BY id) TO STDOUT (FORMAT {fmt})") as copy:
                for block in copy:
                    size += len(block)
            rec.note(f"{fmt} out", [size, cur.rowcount])
        with cur.copy(f"COPY (SELECT id, v FROM {t('cp')} ORDER BY id LIMIT 4) TO STDOUT") as copy:
            copy.set_types(["int4", "text"])
            rec.note("rows out", list(copy.rows()))
        with cur.copy("COPY (SELECT %s::int) TO STDOUT", (7,)) as copy:
            rec.note("parameter", [bytes(b) for b in copy])
        try:
            with cur.copy(f"COPY (SELECT * FROM {t('cp')}, generate_series(1, 50)) TO STDOUT") as copy:
                next(iter(copy))
                raise KeyError("enough")
        except KeyError:
            pass
        rec.note("left early", c.execute("SELECT 1").fetchone())


@scenario
def copy_errors(rec):
    with connect() as c:
        c.execute(f"CREATE TABLE {t('cpe')} (id int PRIMARY KEY)")
        cur = c.cursor()

        def copy_in(data):
            with cur.copy(f"COPY {t('cpe')} FROM STDIN") as copy:
                for line in data:
                    copy.write(line)

        expect(rec, "not a number", copy_in, ["1\n", "x\n", "3\n"])
        expect(rec, "duplicate", copy_in, ["1\n", "1\n"])
        expect(rec, "early error", copy_in, ["x\n"] + ["1\n" * 10000] * 50)
        try:
            with cur.copy(f"COPY {t('cpe')} FROM STDIN") as copy:
                copy.write("1\n")
                raise KeyError("stop")
        except KeyError:
            rec.note("stopped", c.info.transaction_status)
        expect(rec, "no table", lambda: cur.copy("COPY nope FROM STDIN").__enter__())
        expect(rec, "no rights", lambda: cur.copy("COPY pg_authid TO STDOUT").__enter__())
        rec.note("empty", c.execute(f"SELECT count(*) FROM {t('cpe')}").fetchone())
        with c.transaction():
            copy_in(["5\n"])
            rec.note("within", c.execute(f"SELECT id FROM {t('cpe')}").fetchall())
        rec.note("alive", c.execute("SELECT 1").fetchone())


# --- notifications, notices, cancelling --------------------------------------------------------------------------


@scenario
def notifications(rec):
    channel = f"ch_{SCHEMA}"
    with connect() as c, connect() as other:
        c.execute(f"LISTEN {channel}")
        rec.note("listening", c.execute("SELECT count(*) FROM pg_listening_channels()").fetchone())
        other.execute(f"NOTIFY {channel}, 'one'")
        with other.transaction():
            other.execute("SELECT pg_notify(%s, 'two')", (channel,))
            other.execute("SELECT pg_notify(%s, 'two')", (channel,))
            other.execute("SELECT pg_notify(%s, 'three')", (channel,))
        got = []
        for n in c.notifies(timeout=20, stop_after=3):
            got.append((n.channel == channel, n.payload))
        rec.note("got", got)
        handled = []
        c.add_notify_handler(lambda n: handled.append(n.payload))
        c.execute(f"NOTIFY {channel}, 'self'")
        c.execute("SELECT 1")
        rec.note("self", handled)
        with other.transaction(force_rollback=True):
            other.execute(f"NOTIFY {channel}, 'never'")
        c.execute(f"UNLISTEN {channel}")
        other.execute(f"NOTIFY {channel}, 'late'")
        c.execute("SELECT 1")
        rec.note("after unlisten", [handled, c.execute("SELECT count(*) FROM pg_listening_channels()").fetchone()])


@scenario
def cancelling(rec):
    for how in ("cancel", "cancel_safe"):
        with connect() as c:
            for round_ in range(3):
                started = threading.Event()

                def stop():
                    started.wait()
                    time.sleep(0.3)
                    (c.cancel if how == "cancel" else c.cancel_safe)()

                helper = threading.Thread(target=stop)
                helper.start()
                started.set()
                expect(rec, f"{how} {round_}", c.execute, "SELECT pg_sleep(30)")
                helper.join()
                rec.note("alive", c.execute("SELECT 1").fetchone())
            c.cancel()  # with nothing running it hits nobody
            time.sleep(0.2)
            rec.note("idle cancel", c.execute("SELECT 1").fetchone())
            expect(rec, "timeout", c.execute, "SET statement_timeout = 100; SELECT pg_sleep(30)")
            rec.note("timeout is", c.execute("SHOW statement_timeout").fetchone())


# --- what a session may hold -------------------------------------------------------------------------------------


@scenario
def settings(rec):
    with connect() as c:
        show = lambda n: c.execute(f"SHOW {n}").fetchone()[0]
        c.execute("SET TimeZone = 'America/New_York'")
        rec.note("zone", [show("TimeZone"), c.info.parameter_status("TimeZone"), str(c.info.timezone)])
        with c.transaction():
            c.execute("SET LOCAL TimeZone = 'Asia/Tokyo'")
            rec.note("local", show("TimeZone"))
        rec.note("back", show("TimeZone"))
        with c.transaction(force_rollback=True):
            c.execute("SET work_mem = '8MB'")
        rec.note("rolled back", show("work_mem"))
        with c.transaction():
            c.execute("SET work_mem = '9MB'")
            with c.transaction(force_rollback=True):
                c.execute("SET work_mem = '10MB'")
                rec.note("inner", show("work_mem"))
            rec.note("outer", show("work_mem"))
        rec.note("kept", show("work_mem"))
        c.execute("SELECT set_config('my.own', %s, false)", ("v'1",))
        rec.note("own", show("my.own"))
        c.execute(f"SET search_path = {SCHEMA}, public")
        c.execute("CREATE TABLE in_path (v int)")
        rec.note("path", c.execute("SELECT count(*) FROM in_path").fetchone())
        c.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        expect(rec, "read only", c.execute, "INSERT INTO in_path VALUES (1)")
        c.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE")
        c.execute("INSERT INTO in_path VALUES (1)")
        c.execute("SET datestyle = 'German'; SET intervalstyle = 'iso_8601'")
        rec.note("styles", c.execute("SELECT '2024-02-01'::date::text, '1 day 2 hours'::interval::text").fetchone())
        c.execute("RESET ALL")
        rec.note("reset", [show(n) for n in ("TimeZone", "work_mem", "search_path", "DateStyle", "IntervalStyle")])
        expect(rec, "own reset", c.execute, "SHOW my.other")
        c.execute("SET bytea_output = 'escape'")
        rec.note("bytea", c.execute("SELECT '\\x0001ff'::bytea::text").fetchone())
        c.execute("SET standard_conforming_strings = off")
        rec.note("strings", [c.execute("SELECT 'a\\\\b'").fetchone(), c.info.parameter_status("standard_conforming_strings")])
        expect(rec, "failing set", c.execute, "SET work_mem = '1 elephant'")
        expect(rec, "set and fail", c.execute, "SET work_mem = '7MB'; SELECT 1/0")
        rec.note("reverted", show("work_mem"))
    with connect() as c:
        rec.note("clean", [c.execute(f"SHOW {n}").fetchone()[0] for n in ("TimeZone", "work_mem", "bytea_output", "standard_conforming_strings", "search_path")])


@scenario
def session_objects(rec):
    with connect() as c, connect() as other:
        c.execute("CREATE TEMP TABLE tmp (v int)")
        c.execute("INSERT INTO tmp VALUES (1), (2)")
        rec.note("temp", c.execute("SELECT sum(v) FROM tmp").fetchone())
        expect(rec, "other's", other.execute, "SELECT * FROM tmp")
        rec.note("lock", c.execute("SELECT pg_try_advisory_lock(hashtext(%s))", (SCHEMA,)).fetchone())
        rec.note("taken", other.execute("SELECT pg_try_advisory_lock(hashtext(%s))", (SCHEMA,)).fetchone())
        rec.note("unlock", c.execute("SELECT pg_advisory_unlock(hashtext(%s))", (SCHEMA,)).fetchone())
        rec.note("free", other.execute("SELECT pg_try_advisory_lock(hashtext(%s))", (SCHEMA,)).fetchone())
        other.execute("SELECT pg_advisory_unlock_all()")
        with c.transaction():
            c.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (SCHEMA,))
            rec.note("xact lock", other.execute("SELECT pg_try_advisory_xact_lock(hashtext(%s))", (SCHEMA,)).fetchone())
        rec.note("xact free", other.execute("SELECT pg_try_advisory_xact_lock(hashtext(%s))", (SCHEMA,)).fetchone())
        c.execute(f"CREATE SEQUENCE {t('sq')}")
        rec.note("nextval", [c.execute("SELECT nextval(%s)", (t("sq"),)).fetchone()[0] for _ in range(3)])
        rec.note("currval", c.execute("SELECT currval(%s), lastval()", (t("sq"),)).fetchone())
        c.execute("DISCARD ALL")
        expect(rec, "discarded", c.execute, "SELECT * FROM tmp")
        with c.transaction():
            c.execute("CREATE TEMP TABLE dropped (v int) ON COMMIT DROP")
            c.execute("INSERT INTO dropped VALUES (1)")
        expect(rec, "on commit drop", c.execute, "SELECT * FROM dropped")


@scenario
def functions_and_do(rec):
    with connect() as c:
        c.execute(f"CREATE FUNCTION {t('setter')}() RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('my.f', 'inside', false); RETURN current_setting('my.f'); END $$")
        rec.note("setter", c.execute(f"SELECT {t('setter')}()").fetchone())
        rec.note("kept", c.execute("SHOW my.f").fetchone())
        c.execute("DO $$ BEGIN CREATE TEMP TABLE made (v int); INSERT INTO made VALUES (5); END $$")
        rec.note("temp from DO", c.execute("SELECT v FROM made").fetchone())
        c.execute(f"CREATE TABLE {t('calls')} (v int)")
        c.execute(f"CREATE PROCEDURE {t('proc')}(INOUT n int) LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..n LOOP INSERT INTO {t('calls')} VALUES (i); COMMIT; END LOOP; n := n * 2; END $$")
        rec.note("call", c.execute(f"CALL {t('proc')}(3)").fetchone())
        rec.note("rows", c.execute(f"SELECT count(*) FROM {t('calls')}").fetchone())
        c.execute(f"CREATE FUNCTION {t('rc')}() RETURNS refcursor LANGUAGE plpgsql AS $$ DECLARE r refcursor := 'rc'; BEGIN OPEN r FOR SELECT generate_series(1, 3); RETURN r; END $$")
        with c.transaction():
            c.execute(f"SELECT {t('rc')}()")
            rec.note("refcursor", c.execute("FETCH ALL IN rc").fetchall())
        with c.transaction():
            loid = c.execute("SELECT lo_from_bytea(0, %s)", (b"large object",)).fetchone()[0]
            rec.note("large object", c.execute("SELECT lo_get(%s)", (loid,)).fetchone())
            c.execute("SELECT lo_unlink(%s)", (loid,))


@scenario
def large_values(rec):
    with connect() as c:
        for size in (0, 1, 8191, 8192, 32768, 65536, 1 << 20, 6 << 20):
            got = c.execute("SELECT %s::text, length(%s::text)", ("y" * size, "z" * size)).fetchone()
            rec.note(f"text {size}", [len(got[0]), got[0] == "y" * size, got[1]])
            got = c.execute("SELECT %b::bytea", (b"\x00" * size,), binary=True).fetchone()
            rec.note(f"bytea {size}", len(got[0]))
        rec.note("long statement", c.execute("SELECT " + "+".join(["1"] * 1000)).fetchone())
        rec.note("wide", len(c.execute("SELECT " + ",".join(str(i) for i in range(1600))).fetchone()))
        rec.note("many parameters", c.execute("SELECT " + "+".join(["%s::int"] * 1000), list(range(1000))).fetchone())
        rows = c.execute("SELECT i, repeat('r', i %% 300) FROM generate_series(1, %s) i", (40000,)).fetchall()
        rec.note("rows", [len(rows), sum(len(r[1]) for r in rows)])


# --- many clients ------------------------------------------------------------------------------------------------


@scenario
def pool(rec):
    with connect() as c:
        c.execute(f"CREATE TABLE {t('acct')} AS SELECT i AS id, 0 AS v FROM generate_series(1, 8) i")
    failures = []
    with ConnectionPool(DSN, min_size=4, max_size=8, check=ConnectionPool.check_connection) as pool:
        pool.wait(30)

        def work(worker):
            try:
                for i in range(60):
                    with pool.connection() as c:
                        c.execute(f"UPDATE {t('acct')} SET v = v + 1 WHERE id = %s", (worker % 8 + 1,))
                        if i % 5 == 4:
                            c.execute("SELECT v FROM " + t("acct") + " WHERE id = %s", (worker % 8 + 1,)).fetchone()
                    if i % 10 == 9:
                        try:
                            with pool.connection() as c:
                                c.execute(f"UPDATE {t('acct')} SET v = v + 1000 WHERE id = %s", (worker % 8 + 1,))
                                c.execute("SELECT 1/0")
                        except psycopg.errors.DivisionByZero:
                            pass
            except Exception as e:  # noqa: BLE001 - told in the transcript
                failures.append(f"{type(e).__name__}: {e}")

        run_threads(work, 16)
    rec.note("failures", sorted(set(failures)))
    with connect() as c:
        rec.note("sum", c.execute(f"SELECT sum(v), min(v), max(v) FROM {t('acct')}").fetchone())


@scenario
def many_sessions(rec):
    """Twelve sessions, each with settings, statements and transactions of its own, on fewer server connections."""
    failures = []

    def work(worker):
        try:
            zone = ["UTC", "Asia/Tokyo", "America/New_York", "Europe/Berlin"][worker % 4]
            with connect(prepare_threshold=worker % 3, application_name=f"worker {worker}") as c:
                c.execute(f"SET TimeZone = '{zone}'")
                c.execute("SELECT set_config('my.worker', %s, false)", (str(worker),))
                if worker % 2:
                    c.execute(f"PREPARE mine AS SELECT {worker}")
                for i in range(60):
                    got = c.execute("SELECT current_setting('TimeZone'), current_setting('my.worker'), current_setting('application_name'), %s::int", (i,)).fetchone()
                    assert got == (zone, str(worker), f"worker {worker}", i), got
                    if i % 7 == 3:
                        with c.transaction():
                            pid = c.execute("SELECT pg_backend_pid()").fetchone()
                            c.execute("SET LOCAL my.worker = 'local'")
                            assert c.execute("SHOW my.worker").fetchone() == ("local",)
                            assert c.execute("SELECT pg_backend_pid()").fetchone() == pid
                    if i % 9 == 5:
                        with c.pipeline():
                            cursors = [c.execute("SELECT %s::int, current_setting('my.worker')", (k,)) for k in range(20)]
                            assert [k.fetchone() for k in cursors] == [(k, str(worker)) for k in range(20)]
                    if i % 11 == 7:
                        try:
                            c.execute("SELECT 1/0")
                        except psycopg.errors.DivisionByZero:
                            pass
                    if worker % 2 and i % 13 == 1:
                        assert c.execute("EXECUTE mine").fetchone() == (worker,)
        except Exception as e:  # noqa: BLE001 - told in the transcript
            failures.append(f"worker {worker}: {type(e).__name__}: {e}")

    run_threads(work, 12)
    rec.note("failures", sorted(failures))


@scenario
def short_connections(rec):
    failures = []

    def work(worker):
        try:
            for i in range(15):
                with connect() as c:
                    assert c.execute("SELECT %s::int", (i,)).fetchone() == (i,)
                    if i % 5 == 0:
                        c.execute("BEGIN")
                        c.execute("SELECT 1")  # and leaves in the middle of a transaction
        except Exception as e:  # noqa: BLE001 - told in the transcript
            failures.append(f"{type(e).__name__}: {e}")

    run_threads(work, 10)
    rec.note("failures", sorted(set(failures)))


def run_threads(work, count):
    threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main():
    with connect() as c:
        c.execute("SET lock_timeout = '20s'")
        c.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        c.execute(f"CREATE SCHEMA {SCHEMA}")
    for function in SCENARIOS:
        if WANTED and function.__name__ not in WANTED:
            continue
        record, failure = Record(), None
        try:
            function(record)
        except Exception as e:  # noqa: BLE001 - told in the transcript
            failure = e
        emit(function.__name__, record, failure)
    with connect() as c:
        c.execute("SET lock_timeout = '20s'")
        c.execute(f"DROP SCHEMA {SCHEMA} CASCADE")


main()
