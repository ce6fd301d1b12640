"""asyncpg, its pool, and psycopg's asynchronous half: everything an application does, as a transcript."""

import asyncio
import datetime as dt
import decimal
import io
import uuid

import asyncpg
import psycopg
import psycopg_pool

from transcript import Record, arguments, emit

DSN, SCHEMA, WANTED = arguments()
SCENARIOS = []


def scenario(function):
    SCENARIOS.append(function)
    return function


def t(name):
    return f"{SCHEMA}.{name}"


class connected:
    """A connection for the time of a block."""

    def __init__(self, **kwargs):
        self.kwargs = kwargs

    async def __aenter__(self):
        self.c = await asyncpg.connect(DSN, **self.kwargs)
        return self.c

    async def __aexit__(self, *_):
        await self.c.close()


async def expect(rec, what, awaitable):
    try:
        await awaitable
    except asyncpg.PostgresError as e:
        rec.error(what, e)
    except asyncpg.InterfaceError as e:
        rec.note(what, type(e).__name__)
    except asyncio.TimeoutError:
        rec.note(what, "timeout")
    else:
        rec.note(what, "no error")


@scenario
async def connection_facts(rec):
    async with connected(server_settings={"application_name": "facts", "search_path": "pg_catalog", "jit": "off"}) as c:
        rec.note("version", c.get_server_version())
        s = c.get_settings()
        rec.note("settings", [s.client_encoding, s.TimeZone, s.server_encoding, s.application_name, s.is_superuser, s.session_authorization])
        rec.note("set", [await c.fetchval(f"SHOW {n}") for n in ("application_name", "search_path", "jit")])
        await c.execute("SET application_name = 'x'; RESET ALL")
        rec.note("reset", await c.fetchval("SHOW application_name"))
    for what, change in (("password", {"password": "wrong"}), ("database", {"database": "no_such_db"})):
        try:
            await (await asyncpg.connect(DSN, **change)).close()
            rec.note(what, "let in")
        except asyncpg.PostgresError as e:
            rec.note(what, e.sqlstate)


@scenario
async def types(rec):
    values = [("int2", -5), ("int4", 7), ("int8", 1 << 60), ("float4", 0.5), ("float8", 1e-300), ("numeric", decimal.Decimal("1.50")),
              ("text", "ü\n"), ("bytea", b"\x00\xff"), ("bool", False), ("date", dt.date(1, 1, 1)), ("time", dt.time(1, 2, 3, 4)),
              ("timestamp", dt.datetime(2000, 1, 1)), ("timestamptz", dt.datetime(2000, 1, 1, tzinfo=dt.timezone.utc)),
              ("interval", dt.timedelta(days=2, seconds=3)), ("uuid", uuid.UUID(int=5)), ("jsonb", '{"a": 1}'), ("json", "[]"),
              ("int4[]", [1, None, 2]), ("text[]", [["a", "b"], ["c", None]]), ("int4range", asyncpg.Range(1, 9)), ("inet", "10.0.0.1"),
              ("char", b"x"), ("bit(3)", asyncpg.BitString("101")), ("point", asyncpg.Point(1, 2)), ("text", None)]
    async with connected() as c:
        for name, value in values:
            rec.note(name, await c.fetchval(f"SELECT $1::{name}" if name != "char" else 'SELECT $1::"char"', value))
        await c.execute(f"CREATE TYPE {t('mood')} AS ENUM ('sad', 'ok'); CREATE TYPE {t('pair')} AS (n int, m {t('mood')}); CREATE DOMAIN {t('dom')} AS int")
        rec.note("composite", await c.fetchval(f"SELECT ROW(1, 'ok')::{t('pair')}"))
        rec.note("array", await c.fetchval(f"SELECT ARRAY[ROW(1, 'ok')::{t('pair')}, NULL]"))
        rec.note("round", await c.fetchval(f"SELECT $1::{t('pair')}", (2, "sad")))
        rec.note("domain", await c.fetchval(f"SELECT $1::{t('dom')}", 4))
        await expect(rec, "enum", c.fetchval(f"SELECT $1::{t('mood')}", "angry"))
        await c.set_type_codec("jsonb", schema="pg_catalog", encoder=lambda v: "[" + v + "]", decoder=lambda v: v[1:-1])
        rec.note("codec", await c.fetchval("SELECT $1::jsonb", "5"))
        await c.set_builtin_type_codec(f"mood", schema=SCHEMA, codec_name="text")
        rec.note("builtin", await c.fetchval(f"SELECT $1::{t('mood')}", "ok"))
        await expect(rec, "wrong type", c.fetchval("SELECT $1::int", "x"))


@scenario
async def fetching(rec):
    async with connected() as c:
        rec.note("fetch", await c.fetch("SELECT i AS a, i * 2 AS b FROM generate_series(1, $1::int) i", 4))
        rec.note("row", await c.fetchrow("SELECT 1 AS a WHERE false"))
        rec.note("val", await c.fetchval("SELECT 1, 2", column=1))
        rec.note("execute", [await c.execute(q) for q in ("SELECT 1", "SELECT 1; SELECT 2, 3", "SET LOCAL work_mem = '5MB'")])
        rec.note("big", len(await c.fetch("SELECT i, repeat('x', i % 100) FROM generate_series(1, 60000) i")))
        rec.note("large", len(await c.fetchval("SELECT $1::text", "y" * (5 << 20))))
        if hasattr(c, "fetchmany"):
            rec.note("fetchmany", await c.fetchmany("SELECT $1::int + 1", [(i,) for i in range(50)]))


@scenario
async def statements(rec):
    async with connected() as c, connected() as other:
        stmt = await c.prepare("SELECT $1::int + $2::int AS s, 'x'::text AS t")
        rec.note("parameters", [p.name for p in stmt.get_parameters()])
        rec.note("attributes", [(a.name, a.type.name) for a in stmt.get_attributes()])
        rec.note("runs", [await stmt.fetchval(i, 1) for i in range(20)])
        rec.note("message", stmt.get_statusmsg())
        rec.note("query", stmt.get_query())
        rec.note("explain", bool(await stmt.explain(1, 2)))
        for i in range(250):  # more than the cache of 100 holds
            assert await c.fetchval(f"SELECT $1::int + {i}", i) == 2 * i
        for i in range(250):
            assert await c.fetchval(f"SELECT $1::int + {i}", i) == 2 * i
        await c.execute(f"CREATE TABLE {t('ddl')} AS SELECT 1 AS a")
        rec.note("before", await c.fetch(f"SELECT * FROM {t('ddl')}"))
        await other.execute(f"ALTER TABLE {t('ddl')} ADD COLUMN b text DEFAULT 'q'")
        rec.note("after DDL", await c.fetch(f"SELECT * FROM {t('ddl')}"))
        async with c.transaction():
            rec.note("in transaction", await c.fetch(f"SELECT * FROM {t('ddl')}"))
        await other.execute(f"ALTER TABLE {t('ddl')} ALTER a TYPE text")
        tx = c.transaction()
        await tx.start()
        await expect(rec, "changed within", c.fetch(f"SELECT * FROM {t('ddl')}"))
        await tx.rollback()
        rec.note("after that", await c.fetch(f"SELECT * FROM {t('ddl')}"))
        await c.reload_schema_state()
        await expect(rec, "syntax", c.prepare("SELEC"))
        named = await c.prepare("SELECT 5", name="my_own_name")
        rec.note("named", await named.fetchval())
    async with connected(statement_cache_size=0) as c:
        rec.note("no cache", [await c.fetchval("SELECT $1::int", i) for i in range(10)])
    async with connected(max_cached_statement_lifetime=1, max_cacheable_statement_size=50) as c:
        rec.note("short cache", [await c.fetchval("SELECT $1::int", i) for i in range(10)])


@scenario
async def transactions(rec):
    async with connected() as c, connected() as other:
        await c.execute(f"CREATE TABLE {t('tx')} (v int PRIMARY KEY)")
        count = lambda: other.fetchval(f"SELECT count(*) FROM {t('tx')}")
        async with c.transaction():
            await c.execute(f"INSERT INTO {t('tx')} VALUES ($1)", 1)
            rec.note("unseen", [await count(), c.is_in_transaction()])
            try:
                async with c.transaction():
                    await c.execute(f"INSERT INTO {t('tx')} VALUES (2)")
                    await c.execute(f"INSERT INTO {t('tx')} VALUES (1)")
            except asyncpg.UniqueViolationError as e:
                rec.error("inner", e)
            async with c.transaction():
                await c.execute(f"INSERT INTO {t('tx')} VALUES (3)")
        rec.note("rows", await other.fetch(f"SELECT v FROM {t('tx')} ORDER BY v"))
        for level in ("read_committed", "repeatable_read", "serializable"):
            async with c.transaction(isolation=level, readonly=True):
                rec.note(level, await c.fetchrow("SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')"))
        async with c.transaction(isolation="serializable", readonly=True, deferrable=True):
            rec.note("deferrable", await c.fetchval("SHOW transaction_deferrable"))
        tx = c.transaction(readonly=True)
        await tx.start()
        await expect(rec, "read only", c.execute(f"DELETE FROM {t('tx')}"))
        await expect(rec, "failed", c.fetchval("SELECT 1"))
        await tx.rollback()
        await expect(rec, "stray commit", c.execute("COMMIT"))


@scenario
async def cursors(rec):
    async with connected() as c:
        async with c.transaction():
            rec.note("iterated", sum([row[0] async for row in c.cursor("SELECT generate_series(1, $1::int)", 1000, prefetch=33)]))
            cur = await c.cursor("SELECT generate_series(1, 20)")
            rec.note("fetch", await cur.fetch(3))
            rec.note("skipped", await cur.forward(5))
            rec.note("row", await cur.fetchrow())
            stmt = await c.prepare("SELECT generate_series(1, $1::int)")
            one, two = await stmt.cursor(5), await stmt.cursor(9)
            rec.note("two", [await one.fetchrow(), await two.fetch(4), await one.fetch(10), await two.fetch(10)])
        await expect(rec, "outside", c.cursor("SELECT 1").__aiter__().__anext__())


@scenario
async def many(rec):
    async with connected() as c:
        await c.execute(f"CREATE TABLE {t('many')} (a int PRIMARY KEY, b text)")
        await c.executemany(f"INSERT INTO {t('many')} VALUES ($1, $2)", [(i, f"r{i}") for i in range(3000)])
        rec.note("count", await c.fetchval(f"SELECT count(*) FROM {t('many')}"))
        await expect(rec, "duplicate", c.executemany(f"INSERT INTO {t('many')} VALUES ($1, 'x')", [(5000,), (1,), (5001,)]))
        rec.note("none", await c.fetchval(f"SELECT count(*) FROM {t('many')} WHERE a >= 5000"))
        rec.note("copy", await c.copy_records_to_table("many", schema_name=SCHEMA, records=[(i, f"c{i}") for i in range(10000, 20000)]))
        await expect(rec, "copy duplicate", c.copy_records_to_table("many", schema_name=SCHEMA, records=[(1, "z")]))
        out = io.BytesIO()
        rec.note("out", await c.copy_from_query(f"SELECT * FROM {t('many')} WHERE a < $1 ORDER BY a", 100, output=out, format="csv"))
        rec.note("bytes", len(out.getvalue()))
        rec.note("in", await c.copy_to_table("many", schema_name=SCHEMA, source=io.BytesIO(b"30000,q\n30001,r\n"), format="csv"))
        out = io.BytesIO()
        rec.note("binary", [await c.copy_from_table("many", schema_name=SCHEMA, output=out, format="binary"), len(out.getvalue()) > 1000])
        rec.note("sum", await c.fetchrow(f"SELECT count(*), sum(a) FROM {t('many')}"))


@scenario
async def listening(rec):
    channel = f"as_{SCHEMA}"
    got, arrived = [], asyncio.Event()

    def heard(_c, _pid, name, payload):
        got.append((name == channel, payload))
        if payload == "last":
            arrived.set()

    async with connected() as c, connected() as other:
        await c.add_listener(channel, heard)
        for i in range(3):
            await other.execute(f"SELECT pg_notify('{channel}', $1)", f"n{i}")
        await c.execute(f"NOTIFY {channel}, 'self'")
        await other.execute(f"NOTIFY {channel}, 'last'")
        await asyncio.wait_for(arrived.wait(), 20)
        rec.note("got", got)
        await c.remove_listener(channel, heard)
        await other.execute(f"NOTIFY {channel}, 'late'")
        await c.fetchval("SELECT 1")
        rec.note("silent", len(got))
        logged = []
        c.add_log_listener(lambda _c, m: logged.append((m.severity, m.message)))
        await c.execute("DO $$ BEGIN RAISE NOTICE 'hello'; RAISE WARNING 'careful'; END $$")
        await asyncio.sleep(0)
        rec.note("logged", logged)


@scenario
async def cancelling(rec):
    async with connected() as c:
        for round_ in range(3):
            await expect(rec, f"timeout {round_}", c.fetchval("SELECT pg_sleep(30)", timeout=0.3))
            rec.note("alive", await c.fetchval("SELECT 1"))
        task = asyncio.create_task(c.fetchval("SELECT pg_sleep(30)"))
        await asyncio.sleep(0.3)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            rec.note("cancelled", True)
        rec.note("alive", await c.fetchval("SELECT 1"))
        await expect(rec, "setting", c.execute("SET statement_timeout = 50; SELECT pg_sleep(30)"))
        rec.note("set rolled back", await c.fetchval("SHOW statement_timeout"))


@scenario
async def the_pool(rec):
    failures = []
    async with connected() as c:
        await c.execute(f"CREATE TABLE {t('acct')} AS SELECT i AS id, 0 AS v FROM generate_series(1, 10) i")
    async with asyncpg.create_pool(DSN, min_size=4, max_size=12, setup=lambda c: c.execute("SET my.setup = 'done'"),
                                   init=lambda c: c.execute("SET my.init = 'done'")) as pool:

        async def work(worker):
            try:
                for i in range(40):
                    async with pool.acquire() as c:
                        assert await c.fetchval("SHOW my.setup") == "done"
                        await c.execute(f"UPDATE {t('acct')} SET v = v + 1 WHERE id = $1", worker % 10 + 1)
                        if i % 8 == 1:
                            await c.execute("SET TimeZone = 'Asia/Tokyo'")
                            assert await c.fetchval("SHOW TimeZone") == "Asia/Tokyo"
                        elif i % 8 == 2:
                            assert await c.fetchval("SHOW TimeZone") != "Asia/Tokyo", "the pool's reset was lost"
                        elif i % 8 == 3:
                            await c.execute("SELECT pg_advisory_lock_shared(42)")
                        elif i % 8 == 4:
                            async with c.transaction():
                                assert len([r async for r in c.cursor("SELECT generate_series(1, 100)")]) == 100
                        elif i % 8 == 5:
                            try:
                                async with c.transaction():
                                    await c.execute(f"UPDATE {t('acct')} SET v = v + 1000 WHERE id = $1", worker % 10 + 1)
                                    await c.fetchval("SELECT 1/0")
                            except asyncpg.DivisionByZeroError:
                                pass
                    rows = await pool.fetch("SELECT $1::int AS w", worker)
                    assert rows[0]["w"] == worker
            except Exception as e:  # noqa: BLE001 - told in the transcript
                failures.append(f"{type(e).__name__}: {e}")

        await asyncio.gather(*(work(i) for i in range(20)))
        rec.note("locks left", await pool.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 42"))
    rec.note("failures", sorted(set(failures)))
    async with connected() as c:
        rec.note("sum", await c.fetchrow(f"SELECT sum(v), min(v), max(v) FROM {t('acct')}"))


@scenario
async def reset_on_release(rec):
    async with asyncpg.create_pool(DSN, min_size=1, max_size=1) as pool:
        async with pool.acquire() as c:
            await c.execute("SET search_path = pg_catalog; SET work_mem = '6MB'")
            await c.execute("SELECT pg_advisory_lock(77)")
            await c.execute("DECLARE held CURSOR WITH HOLD FOR SELECT 1")
            await c.execute("LISTEN something")
        async with pool.acquire() as c:
            rec.note("search_path", await c.fetchval("SHOW search_path"))
            rec.note("work_mem", await c.fetchval("SHOW work_mem"))
            rec.note("cursors", await c.fetchval("SELECT count(*) FROM pg_cursors WHERE name = 'held'"))
            rec.note("channels", await c.fetchval("SELECT count(*) FROM pg_listening_channels()"))
            rec.note("locks", await c.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77"))
            rec.note("reset query", c.get_reset_query())


@scenario
async def many_sessions(rec):
    failures = []

    async def work(worker):
        try:
            async with connected(server_settings={"application_name": f"w{worker}"}) as c:
                await c.execute(f"SET my.worker = '{worker}'")
                for i in range(80):
                    row = await c.fetchrow("SELECT current_setting('my.worker'), current_setting('application_name'), $1::int", i)
                    assert tuple(row) == (str(worker), f"w{worker}", i), tuple(row)
                    if i % 6 == 0:
                        assert await c.fetchval(f"SELECT $1::int * {i + worker}", 2) == 2 * (i + worker)
                    if i % 10 == 9:
                        async with c.transaction():
                            pid = await c.fetchval("SELECT pg_backend_pid()")
                            await c.executemany("SELECT $1::int", [(k,) for k in range(5)])
                            assert await c.fetchval("SELECT pg_backend_pid()") == pid
        except Exception as e:  # noqa: BLE001 - told in the transcript
            failures.append(f"worker {worker}: {type(e).__name__}: {e}")

    await asyncio.gather(*(work(i) for i in range(16)))
    rec.note("failures", sorted(failures))


# --- psycopg's asynchronous half ---------------------------------------------------------------------------------


@scenario
async def psycopg_async(rec):
    async with await psycopg.AsyncConnection.connect(DSN, autocommit=True, prepare_threshold=1) as c:
        await c.execute(f"CREATE TABLE {t('pa')} (v int)")
        async with c.pipeline():
            for i in range(300):
                await c.execute(f"INSERT INTO {t('pa')} VALUES (%s)", (i,))
            cur = await c.execute(f"SELECT sum(v) FROM {t('pa')}")
        rec.note("pipeline", await cur.fetchone())
        async with c.transaction():
            async with c.cursor("srv") as cur:
                await cur.execute(f"SELECT v FROM {t('pa')} ORDER BY v")
                rec.note("cursor", sum([row[0] async for row in cur]))
        cur = c.cursor()
        async with cur.copy(f"COPY {t('pa')} FROM STDIN") as copy:
            for i in range(100):
                await copy.write_row((i,))
        rec.note("copied", cur.rowcount)
        task = asyncio.create_task(c.execute("SELECT pg_sleep(30)"))
        await asyncio.sleep(0.3)
        task.cancel()
        try:
            await task
        except (asyncio.CancelledError, psycopg.errors.QueryCanceled):
            rec.note("cancelled", True)
        rec.note("alive", await (await c.execute("SELECT 1")).fetchone())
    failures = []
    async with psycopg_pool.AsyncConnectionPool(DSN, min_size=4, max_size=10, open=False) as pool:

        async def work(worker):
            try:
                for i in range(40):
                    async with pool.connection() as c:
                        row = await (await c.execute("SELECT %s::int, %s::text", (worker, str(i)))).fetchone()
                        assert row == (worker, str(i)), row
            except Exception as e:  # noqa: BLE001 - told in the transcript
                failures.append(f"{type(e).__name__}: {e}")

        await asyncio.gather(*(work(i) for i in range(16)))
    rec.note("failures", sorted(set(failures)))


async def main():
    async with connected() as c:
        await c.execute("SET lock_timeout = '20s'")
        await c.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}")
    for function in SCENARIOS:
        if WANTED and function.__name__ not in WANTED:
            continue
        record, failure = Record(), None
        try:
            await asyncio.wait_for(function(record), 120)
        except (Exception, asyncio.TimeoutError) as e:  # noqa: BLE001 - told in the transcript
            failure = e
        emit(function.__name__, record, failure)
    async with connected() as c:
        await c.execute("SET lock_timeout = '20s'")
        await c.execute(f"DROP SCHEMA {SCHEMA} CASCADE")


asyncio.run(main())
