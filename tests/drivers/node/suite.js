// node-postgres, its pool, cursors and COPY streams: everything an application does, as a transcript (one JSON line a
// scenario; what changes from run to run is never noted). Usage: node suite.js DSN SCHEMA [SCENARIO…]
'use strict';

const path = require('path');
const { pipeline } = require('stream/promises');
const { Readable } = require('stream');
const modules = process.env.DRIVER_MODULES || path.join(__dirname, '../../../target/drivers/node_modules');
const { Client, Pool, types } = require(path.join(modules, 'pg'));
const Cursor = require(path.join(modules, 'pg-cursor'));
const copy = require(path.join(modules, 'pg-copy-streams'));

const [DSN, SCHEMA, ...WANTED] = process.argv.slice(2);
if (!SCHEMA) {
  console.error('usage: node suite.js DSN SCHEMA [SCENARIO…]');
  process.exit(2);
}
const t = (name) => `${SCHEMA}.${name}`;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

class Record {
  constructor() {
    this.seen = [];
  }
  note(what, value) {
    this.seen.push([what, plain(value)]);
  }
  error(what, e) {
    const entry = { sqlstate: e.code ?? null };
    for (const field of ['severity', 'detail', 'hint', 'position', 'constraint', 'table', 'column', 'where', 'routine']) {
      if (e[field] !== undefined) entry[field] = e[field];
    }
    if (e.code !== undefined) entry.message = e.message;
    this.seen.push([what, entry]);
  }
  async expect(what, promise) {
    try {
      await promise;
      this.note(what, 'no error');
    } catch (e) {
      this.error(what, e);
    }
  }
}

function plain(value) {
  if (value === undefined) return null;
  if (Buffer.isBuffer(value)) return value.length <= 64 ? 'hex:' + value.toString('hex') : `bytes:${value.length}`;
  if (value instanceof Date) return value.toISOString();
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]));
  return value;
}

async function withClient(body, options = {}) {
  const client = new Client({ connectionString: DSN, ...options });
  client.on('error', () => {});
  await client.connect();
  try {
    return await body(client);
  } finally {
    await client.end();
  }
}

const rows = async (client, ...args) => (await client.query(...args)).rows;
const one = async (client, ...args) => Object.values((await client.query(...args)).rows[0])[0];

const scenarios = {
  async connectionFacts(rec) {
    await withClient(async (c) => {
      rec.note('who', await rows(c, 'SELECT current_user, current_database()'));
      rec.note('name', await one(c, 'SHOW application_name'));
      rec.note('timeout', await one(c, 'SHOW statement_timeout'));
      rec.note('path', await one(c, 'SHOW search_path'));
    }, { application_name: 'node facts', statement_timeout: 54321, options: '-c search_path=pg_catalog' });
    for (const [what, change] of [['password', { password: 'wrong' }], ['database', { database: 'no_such_db' }]]) {
      const url = new URL(DSN);
      const settings = { host: url.hostname, port: +url.port, user: url.username, password: url.password, database: url.pathname.slice(1), ...change };
      const client = new Client(settings);
      client.on('error', () => {});
      try {
        await client.connect();
        rec.note(what, 'let in');
        await client.end();
      } catch (e) {
        rec.note(what, e.code);
      }
    }
  },

  async typesAndParameters(rec) {
    const values = [['int2', 5], ['int4', -7], ['int8', '9007199254740993'], ['float8', 0.1], ['numeric', '1.50'], ['text', "ü ' \\ 🐘"],
      ['bytea', Buffer.from([0, 1, 255])], ['bool', true], ['date', '2024-02-29'], ['timestamptz', new Date(0)], ['interval', '1 day 02:00:00'],
      ['jsonb', { a: [1, null] }], ['json', '"x"'], ['int4[]', [1, 2, null]], ['text[]', ['a,b', 'c"d']], ['uuid', '01234567-89ab-cdef-0123-456789abcdef'],
      ['point', '(1,2)'], ['text', null], ['inet', '10.0.0.1']];
    await withClient(async (c) => {
      for (const [name, value] of values) {
        const given = name === 'jsonb' ? JSON.stringify(value) : value;
        const r = await c.query(`SELECT $1::${name} AS v`, [given]);
        rec.note(name, [r.rows, r.fields.map((f) => [f.name, f.dataTypeID, f.dataTypeSize, f.format])]);
        const b = await c.query({ text: `SELECT $1::${name} AS v`, values: [given], binary: ['int4', 'bool', 'text'].includes(name), rowMode: 'array' });
        rec.note(`${name} array mode`, b.rows);
      }
      rec.note('several', (await c.query('SELECT 1 AS a; SELECT 2 AS b, 3 AS c; SET my.x = 1')).map((r) => [r.command, r.rowCount, r.rows]));
      rec.note('empty', (await c.query('')).command);
      rec.note('no rows', (await c.query('SELECT 1 WHERE false')).rows);
      rec.note('large', (await one(c, 'SELECT $1::text', ['y'.repeat(3 << 20)])).length);
      rec.note('many rows', (await rows(c, "SELECT i, repeat('x', i % 200) AS v FROM generate_series(1, 30000) i")).reduce((n, r) => n + r.v.length, 0));
    });
  },

  async errors(rec) {
    await withClient(async (c) => {
      await c.query(`CREATE TABLE ${t('errs')} (id int PRIMARY KEY, v text NOT NULL)`);
      for (const statement of ['SELEC', 'SELECT 1/0', 'SELECT * FROM nowhere', "SELECT 'x'::int", `INSERT INTO ${t('errs')} VALUES (1, NULL)`,
        `INSERT INTO ${t('errs')} VALUES (1, 'a'), (1, 'b')`, 'SELECT 1; SELECT 1/0; SELECT 2', 'EXECUTE nothing', 'SAVEPOINT x']) {
        await rec.expect(`simple ${statement}`, c.query(statement));
        await rec.expect(`extended ${statement}`, c.query({ text: statement, values: [], queryMode: 'extended' }));
      }
      await rec.expect('parameters', c.query('SELECT $1::int', []));
      await rec.expect('too many', c.query('SELECT $1::int', [1, 2]));
      await rec.expect('not a number', c.query('SELECT $1::int', ['x']));
      const together = await Promise.allSettled([c.query('SELECT 1 AS a'), c.query('SELECT 1/0'), c.query('SELECT 2 AS a')]);
      rec.note('queued', together.map((r) => r.value?.rows ?? r.reason.code));
      const notices = [];
      c.on('notice', (n) => notices.push([n.severity, n.message, n.code]));
      await c.query("DO $$ BEGIN RAISE NOTICE 'n'; RAISE WARNING 'w' USING ERRCODE = '01234'; END $$");
      rec.note('notices', notices);
    });
  },

  async transactions(rec) {
    await withClient((c) => withClient(async (other) => {
      await c.query(`CREATE TABLE ${t('tx')} (v int)`);
      const count = () => one(other, `SELECT count(*) FROM ${t('tx')}`);
      await c.query('BEGIN');
      await c.query(`INSERT INTO ${t('tx')} VALUES ($1)`, [1]);
      rec.note('unseen', await count());
      await c.query('SAVEPOINT a');
      await rec.expect('fails', c.query('SELECT 1/0'));
      await rec.expect('in failed', c.query('SELECT 1'));
      await rec.expect('in failed, extended', c.query('SELECT $1::int', [1]));
      await c.query('ROLLBACK TO a');
      await c.query(`INSERT INTO ${t('tx')} VALUES (2)`);
      rec.note('commit', (await c.query('COMMIT')).command);
      rec.note('seen', await count());
      await c.query('BEGIN');
      await rec.expect('fails', c.query('nonsense'));
      rec.note('commit of failed', (await c.query('COMMIT')).command);
      await c.query('BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY');
      rec.note('level', await one(c, 'SHOW transaction_isolation'));
      await rec.expect('read only', c.query(`DELETE FROM ${t('tx')}`));
      await c.query('ROLLBACK');
      rec.note('kept', await count());
    }));
  },

  async namedStatements(rec) {
    await withClient((c) => withClient(async (other) => {
      const query = { name: 'add', text: 'SELECT $1::int + $2::int AS s' };
      const sums = [];
      for (let i = 0; i < 20; i++) sums.push(await one(c, { ...query, values: [i, 1] }));
      rec.note('sums', sums);
      rec.note('others', await one(other, { name: 'add', text: "SELECT $1::text || 'other' AS s", values: ['an'] }));
      rec.note('still', await one(c, { ...query, values: [1, 1] }));
      await rec.expect('other text', c.query({ name: 'add', text: 'SELECT 1', values: [] }));
      await rec.expect('bad', c.query({ name: 'bad', text: 'SELEC', values: [] }));
      await rec.expect('bad again', c.query({ name: 'bad', text: 'SELEC', values: [] }));
      for (let i = 0; i < 120; i++) {
        if ((await one(c, { name: `s${i}`, text: `SELECT $1::int + ${i} AS v`, values: [i] })) !== 2 * i) throw new Error('wrong sum');
      }
      await c.query(`CREATE TABLE ${t('ddl')} AS SELECT 1 AS a`);
      const star = { name: 'star', text: `SELECT * FROM ${t('ddl')}` };
      rec.note('before', await rows(c, star));
      await other.query(`ALTER TABLE ${t('ddl')} ADD COLUMN b int DEFAULT 2`);
      await rec.expect('changed', c.query(star));
      await c.query('DEALLOCATE ALL');
      await rec.expect('deallocated', c.query({ ...query, values: [1, 1] }));
    }));
  },

  async cursors(rec) {
    await withClient(async (c) => {
      const cursor = c.query(new Cursor('SELECT i FROM generate_series(1, $1::int) i', [10]));
      rec.note('three', await cursor.read(3));
      rec.note('three more', await cursor.read(3));
      rec.note('rest', await cursor.read(100));
      rec.note('end', await cursor.read(1));
      await cursor.close();
      const left = c.query(new Cursor('SELECT generate_series(1, 100000)'));
      await left.read(5);
      await left.close();
      rec.note('after', await one(c, 'SELECT 1'));
      const bad = c.query(new Cursor('SELECT 10 / (5 - i) FROM generate_series(1, 10) i'));
      await rec.expect('fails', (async () => { for (;;) if (!(await bad.read(1)).length) break; })());
      await bad.close().catch(() => {});
      rec.note('alive', await one(c, 'SELECT 1'));
      await c.query('BEGIN');
      const within = c.query(new Cursor('SELECT generate_series(1, 7) AS v'));
      rec.note('within', [(await within.read(4)).length, (await within.read(4)).length]);
      await within.close();
      await c.query('COMMIT');
    });
  },

  async copying(rec) {
    await withClient(async (c) => {
      await c.query(`CREATE TABLE ${t('cp')} (id int PRIMARY KEY, v text)`);
      const lines = function* (from, to) { for (let i = from; i < to; i++) yield `${i}\tline ${i}\n`; };
      const into = c.query(copy.from(`COPY ${t('cp')} FROM STDIN`));
      await pipeline(Readable.from(lines(0, 20000)), into);
      rec.note('in', into.rowCount);
      let bytes = 0;
      const out = c.query(copy.to(`COPY (SELECT * FROM ${t('cp')} ORDER BY id) TO STDOUT`));
      for await (const chunk of out) bytes += chunk.length;
      rec.note('out', bytes);
      await rec.expect('duplicate', pipeline(Readable.from(lines(5, 6)), c.query(copy.from(`COPY ${t('cp')} FROM STDIN`))));
      await rec.expect('bad data', pipeline(Readable.from(['x\ty\n']), c.query(copy.from(`COPY ${t('cp')} FROM STDIN`))));
      rec.note('count', await one(c, `SELECT count(*) FROM ${t('cp')}`));
    });
  },

  async listening(rec) {
    const channel = `node_${SCHEMA}`;
    await withClient((c) => withClient(async (other) => {
      const got = [];
      let last;
      const arrived = new Promise((done) => { last = done; });
      c.on('notification', (n) => {
        got.push([n.channel === channel, n.payload]);
        if (n.payload === 'last') last();
      });
      await c.query(`LISTEN ${channel}`);
      await other.query(`NOTIFY ${channel}, 'one'`);
      await other.query('SELECT pg_notify($1, $2)', [channel, 'two']);
      await c.query(`NOTIFY ${channel}, 'self'`);
      await other.query(`NOTIFY ${channel}, 'last'`);
      await arrived;
      rec.note('got', got);
      await c.query('UNLISTEN *');
      await other.query(`NOTIFY ${channel}, 'late'`);
      await c.query('SELECT 1');
      rec.note('silent', got.length);
    }));
  },

  async cancelling(rec) {
    await withClient((c) => withClient(async (other) => {
      for (let i = 0; i < 3; i++) {
        const slow = c.query('SELECT pg_sleep(30)');
        const told = rec.expect(`cancelled ${i}`, slow);
        await sleep(300);
        // node-postgres has no call for it: a cancel request goes over a connection of its own.
        await cancelRequest(c);
        await told;
        rec.note('alive', await one(c, 'SELECT 1'));
      }
      await cancelRequest(c);
      await sleep(200);
      rec.note('idle cancel', [await one(c, 'SELECT 1'), await one(other, 'SELECT 2')]);
    }));
    await withClient(async (c) => rec.expect('statement timeout', c.query('SELECT pg_sleep(30)')), { statement_timeout: 100 });
  },

  async settings(rec) {
    await withClient(async (c) => {
      await c.query("SET TimeZone = 'Asia/Tokyo'");
      await c.query('BEGIN');
      await c.query("SET LOCAL TimeZone = 'UTC'");
      rec.note('local', await one(c, 'SHOW TimeZone'));
      await c.query('COMMIT');
      rec.note('back', await one(c, 'SHOW TimeZone'));
      await c.query('BEGIN');
      await c.query("SET TimeZone = 'Europe/Berlin'");
      await c.query('ROLLBACK');
      rec.note('rolled back', await one(c, 'SHOW TimeZone'));
      await c.query('CREATE TEMP TABLE mine (v int)');
      await c.query('INSERT INTO mine VALUES ($1)', [3]);
      rec.note('temp', await rows(c, 'SELECT * FROM mine'));
      await c.query('DISCARD ALL');
      rec.note('zone', (await one(c, 'SHOW TimeZone')) !== 'Asia/Tokyo');
      await rec.expect('temp gone', c.query('SELECT * FROM mine'));
    });
  },

  async pooled(rec) {
    await withClient((c) => c.query(`CREATE TABLE ${t('acct')} AS SELECT i AS id, 0 AS v FROM generate_series(1, 8) i`));
    const pool = new Pool({ connectionString: DSN, max: 12, idleTimeoutMillis: 200, maxUses: 50 });
    pool.on('error', () => {});
    const failures = new Set();
    const work = async (worker) => {
      for (let i = 0; i < 50; i++) {
        await pool.query(`UPDATE ${t('acct')} SET v = v + 1 WHERE id = $1`, [(worker % 8) + 1]);
        const r = await pool.query({ name: 'both', text: 'SELECT $1::int AS w, $2::int AS i', values: [worker, i] });
        if (r.rows[0].w !== worker || r.rows[0].i !== i) throw new Error(`another's row: ${JSON.stringify(r.rows)}`);
        if (i % 10 === 4) {
          const c = await pool.connect();
          try {
            await c.query('BEGIN');
            const pid = await one(c, 'SELECT pg_backend_pid()');
            await c.query(`UPDATE ${t('acct')} SET v = v + 1000 WHERE id = $1`, [(worker % 8) + 1]);
            if ((await one(c, 'SELECT pg_backend_pid()')) !== pid) throw new Error('moved within a transaction');
            await c.query('SELECT 1/0').catch((e) => { if (e.code !== '22012') throw e; });
            await c.query('ROLLBACK');
          } finally {
            c.release();
          }
        }
      }
    };
    await Promise.all(Array.from({ length: 16 }, (_, i) => work(i).catch((e) => failures.add(e.message))));
    await pool.end();
    rec.note('failures', [...failures].sort());
    await withClient(async (c) => rec.note('sum', await rows(c, `SELECT sum(v), min(v), max(v) FROM ${t('acct')}`)));
  },

  async manySessions(rec) {
    const failures = [];
    const work = (worker) => withClient(async (c) => {
      await c.query(`SET my.worker = '${worker}'`);
      for (let i = 0; i < 60; i++) {
        const got = await rows(c, { name: `q${i % 3}`, text: `SELECT current_setting('my.worker') AS w, current_setting('application_name') AS a, $1::int + ${worker} AS s`, values: [i] });
        if (got[0].w !== String(worker) || got[0].a !== `node ${worker}` || got[0].s !== i + worker) throw new Error(JSON.stringify(got));
        if (i % 9 === 2) await Promise.all([c.query('SELECT 1'), c.query('SELECT $1::int', [2]), c.query('SELECT 3')]);
      }
    }, { application_name: `node ${worker}` });
    await Promise.all(Array.from({ length: 12 }, (_, i) => work(i).catch((e) => failures.push(e.message))));
    rec.note('failures', failures.sort());
  },
};

function cancelRequest(client) {
  const request = Buffer.alloc(16);
  [16, 80877102, client.processID, client.secretKey].forEach((v, i) => request.writeInt32BE(v | 0, 4 * i));
  const { hostname, port } = new URL(DSN);
  return new Promise((done, failed) => {
    const socket = require('net').connect(+port, hostname, () => socket.write(request));
    socket.on('close', done);
    socket.on('error', failed);
    socket.resume();
  });
}

async function main() {
  types.setTypeParser(1082, (v) => v);
  await withClient((c) => c.query(`SET lock_timeout = '20s'; DROP SCHEMA IF EXISTS ${SCHEMA} CASCADE; CREATE SCHEMA ${SCHEMA}`));
  for (const [name, body] of Object.entries(scenarios)) {
    if (WANTED.length && !WANTED.includes(name)) continue;
    const rec = new Record();
    const line = { scenario: name, seen: rec.seen };
    let timer;
    try {
      await Promise.race([body(rec), new Promise((_, late) => { timer = setTimeout(() => late(new Error('took over 120 s')), 120000); })]);
    } catch (e) {
      line.failed = `${e.code ?? ''} ${e.message}`.trim();
    }
    clearTimeout(timer);
    console.log(JSON.stringify(line));
  }
  await withClient((c) => c.query(`SET lock_timeout = '20s'; DROP SCHEMA ${SCHEMA} CASCADE`));
}

main().then(() => process.exit(0), (e) => {
  console.error(e);
  process.exit(1);
});
