// JDBC: everything an application does with it, as a transcript (one JSON line a scenario; what changes from run to run is
// never noted). Usage: java -cp postgresql.jar Suite.java jdbc:postgresql://… USER PASSWORD SCHEMA [SCENARIO…]

import java.io.*;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.sql.*;
import java.util.*;
import java.util.concurrent.*;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.copy.CopyManager;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

public class Suite {
    static String url, user, password, schema;

    interface Body {
        void run(Rec rec) throws Exception;
    }

    interface Act {
        void run() throws Exception;
    }

    /** What one scenario saw, in order. */
    static class Rec {
        final List<String> seen = new ArrayList<>();

        void note(String what, Object... values) {
            StringBuilder b = new StringBuilder("[" + quote(what));
            for (Object v : values) b.append(",").append(json(v));
            seen.add(b.append("]").toString());
        }

        void expect(String what, Act act) throws Exception {
            try {
                act.run();
                note(what, "no error");
            } catch (SQLException e) {
                ServerErrorMessage m = e instanceof PSQLException p ? p.getServerErrorMessage() : null;
                if (m == null) note(what, e.getClass().getSimpleName(), e.getSQLState());
                else note(what, e.getSQLState(), m.getSeverity(), m.getMessage(), m.getDetail(), m.getHint(), m.getConstraint(), m.getPosition());
            }
        }
    }

    static String quote(String s) {
        StringBuilder b = new StringBuilder("\"");
        for (char c : s.toCharArray()) {
            if (c == '"' || c == '\\') b.append('\\').append(c);
            else if (c < 32 || c > 126) b.append(String.format("\\u%04x", (int) c));
            else b.append(c);
        }
        return b.append('"').toString();
    }

    static String json(Object v) throws RuntimeException {
        if (v == null) return "null";
        if (v instanceof Integer || v instanceof Long || v instanceof Boolean || v instanceof Short) return v.toString();
        if (v instanceof byte[] bytes) return quote("hex:" + HexFormat.of().formatHex(bytes));
        if (v instanceof int[] ints) return Arrays.toString(ints).replace(" ", "");
        if (v instanceof java.sql.Array a) {
            try {
                return json(Arrays.asList((Object[]) a.getArray()));
            } catch (SQLException e) {
                throw new RuntimeException(e);
            }
        }
        if (v instanceof Collection<?> list) {
            StringJoiner j = new StringJoiner(",", "[", "]");
            for (Object o : list) j.add(json(o));
            return j.toString();
        }
        return quote(v.toString());
    }

    static Connection connect(String... options) throws SQLException {
        Properties p = new Properties();
        p.setProperty("user", user);
        p.setProperty("password", password);
        p.setProperty("ApplicationName", "jdbc suite");
        for (int i = 0; i < options.length; i += 2) p.setProperty(options[i], options[i + 1]);
        return DriverManager.getConnection(url, p);
    }

    static String t(String name) {
        return schema + "." + name;
    }

    static void run(Connection c, String sql) throws SQLException {
        try (Statement s = c.createStatement()) {
            s.execute(sql);
        }
    }

    static List<List<Object>> rows(ResultSet r) throws SQLException {
        List<List<Object>> all = new ArrayList<>();
        int n = r.getMetaData().getColumnCount();
        while (r.next()) {
            List<Object> row = new ArrayList<>();
            for (int i = 1; i <= n; i++) row.add(r.getObject(i));
            all.add(row);
        }
        r.close();
        return all;
    }

    static List<List<Object>> query(Connection c, String sql, Object... values) throws SQLException {
        try (PreparedStatement s = c.prepareStatement(sql)) {
            for (int i = 0; i < values.length; i++) s.setObject(i + 1, values[i]);
            return rows(s.executeQuery());
        }
    }

    static Object one(Connection c, String sql, Object... values) throws SQLException {
        return query(c, sql, values).get(0).get(0);
    }

    // --- scenarios -------------------------------------------------------------------------------------------------

    static void connectionFacts(Rec rec) throws Exception {
        try (Connection c = connect("options", "-c search_path=pg_catalog -c statement_timeout=43210")) {
            DatabaseMetaData m = c.getMetaData();
            rec.note("product", m.getDatabaseProductName(), m.getDatabaseMajorVersion(), m.getUserName());
            rec.note("settings", one(c, "SHOW search_path"), one(c, "SHOW statement_timeout"), one(c, "SHOW application_name"), one(c, "SHOW extra_float_digits"));
            rec.note("valid", c.isValid(10), c.getAutoCommit(), c.getTransactionIsolation(), c.isReadOnly());
            c.setClientInfo("ApplicationName", "other name");
            rec.note("renamed", one(c, "SHOW application_name"));
        }
        try (Connection c = connect()) {
            DatabaseMetaData m = c.getMetaData();
            run(c, "CREATE TABLE " + t("meta") + " (id serial PRIMARY KEY, v varchar(9) NOT NULL, n numeric(8,2) DEFAULT 1)");
            List<Object> columns = new ArrayList<>();
            try (ResultSet r = m.getColumns(null, schema, "meta", null)) {
                while (r.next()) columns.add(List.of(r.getString("COLUMN_NAME"), r.getString("TYPE_NAME"), r.getInt("COLUMN_SIZE"), r.getInt("NULLABLE")));
            }
            rec.note("columns", columns);
            try (ResultSet r = m.getPrimaryKeys(null, schema, "meta")) {
                rec.note("key", r.next(), r.getString("COLUMN_NAME"));
            }
            try (ResultSet r = m.getTables(null, schema, "%", new String[] {"TABLE"})) {
                rec.note("tables", rows(r).size());
            }
        }
        for (String[] bad : new String[][] {{"password", "wrong"}, {"user", "nobody_here"}}) {
            try (Connection c = connect(bad)) {
                rec.note(bad[0], "let in");
            } catch (SQLException e) {
                rec.note(bad[0], e.getSQLState());
            }
        }
    }

    static void types(Rec rec) throws Exception {
        Object[][] values = {{"int2", 5}, {"int4", -7}, {"int8", 1L << 60}, {"float4", 0.5f}, {"float8", 1e-300}, {"numeric", new BigDecimal("1.50")},
            {"text", "\u00fc ' \\ \n"}, {"bytea", new byte[] {0, 1, (byte) 255}}, {"bool", true}, {"date", java.time.LocalDate.of(2024, 2, 29)},
            {"timestamp", java.time.LocalDateTime.of(2024, 1, 1, 12, 0)}, {"uuid", UUID.fromString("01234567-89ab-cdef-0123-456789abcdef")}, {"text", null},
            {"time", java.time.LocalTime.of(1, 2, 3)}};
        for (String mode : new String[] {"extended", "simple", "extendedForPrepared", "extendedCacheEverything"}) {
            try (Connection c = connect("preferQueryMode", mode, "prepareThreshold", "2")) {
                for (Object[] v : values) {
                    if (mode.equals("simple") && v[0].equals("bytea")) continue; // the driver can't write one
                    for (int i = 0; i < 4; i++) {
                        Object got = one(c, "SELECT ?::" + v[0], v[1]);
                        if (i == 0 || i == 3) rec.note(mode + " " + v[0] + " " + i, got);
                    }
                }
                java.sql.Array a = c.createArrayOf("int4", new Object[] {1, null, 3});
                try (PreparedStatement s = c.prepareStatement("SELECT ?::int4[], 'a'::char(3), '1 day'::interval, '{\"a\":1}'::jsonb, '(1,2)'::point, ARRAY['x','y']")) {
                    s.setArray(1, a);
                    for (int i = 0; i < 4; i++) rec.note(mode + " others " + i, rows(s.executeQuery()));
                }
            }
        }
    }

    static void errors(Rec rec) throws Exception {
        try (Connection c = connect()) {
            run(c, "CREATE TABLE " + t("errs") + " (id int PRIMARY KEY, v text NOT NULL)");
            for (String q : new String[] {"SELEC", "SELECT 1/0", "SELECT * FROM nowhere", "SELECT 'x'::int", "INSERT INTO " + t("errs") + " VALUES (1, NULL)",
                "INSERT INTO " + t("errs") + " VALUES (1, 'a'), (1, 'b')", "SELECT 1; SELECT 1/0; SELECT 2", "EXECUTE nothing", "", ";"}) {
                rec.expect(q, () -> run(c, q));
            }
            rec.expect("missing parameter", () -> c.prepareStatement("SELECT ?::int").executeQuery());
            rec.note("alive", one(c, "SELECT 1"));
            try (Statement s = c.createStatement()) {
                s.execute("DO $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two'; END $$");
                SQLWarning w = s.getWarnings();
                rec.note("warnings", w.getMessage(), w.getNextWarning().getMessage());
                boolean first = s.execute("SELECT 1 AS a; CREATE TEMP TABLE several (v int); INSERT INTO several VALUES (1), (2); SELECT 2, 3");
                rec.note("first", first, rows(s.getResultSet()));
                while (s.getMoreResults() || s.getUpdateCount() != -1) rec.note("more", s.getUpdateCount(), s.getResultSet() == null ? null : rows(s.getResultSet()));
            }
        }
    }

    static void serverPrepared(Rec rec) throws Exception {
        for (String threshold : new String[] {"1", "3", "0", "-1"}) {
            try (Connection c = connect("prepareThreshold", threshold, "preparedStatementCacheQueries", "8"); Connection other = connect()) {
                try (PreparedStatement s = c.prepareStatement("SELECT ?::int + 1")) {
                    List<Object> got = new ArrayList<>();
                    for (int i = 0; i < 12; i++) {
                        s.setInt(1, i);
                        got.add(rows(s.executeQuery()).get(0).get(0));
                    }
                    rec.note("runs " + threshold, got);
                    s.setString(1, "5");
                    rec.expect("other type", () -> rows(s.executeQuery()));
                }
                for (int i = 0; i < 60; i++) {
                    Object v = one(c, "SELECT ?::int + " + (i % 20), i);
                    if (!v.equals(i + i % 20)) throw new IllegalStateException("wrong sum " + v);
                }
                run(c, "DROP TABLE IF EXISTS " + t("ddl"));
                run(c, "CREATE TABLE " + t("ddl") + " AS SELECT 1 AS a");
                PreparedStatement star = c.prepareStatement("SELECT * FROM " + t("ddl"));
                for (int i = 0; i < 6; i++) rows(star.executeQuery());
                run(other, "ALTER TABLE " + t("ddl") + " ADD COLUMN b int DEFAULT 2");
                rec.expect("changed", () -> rec.note("after DDL", rows(star.executeQuery())));
                c.setAutoCommit(false);
                for (int i = 0; i < 6; i++) rows(star.executeQuery());
                run(other, "SET lock_timeout = '5s'");
                c.commit();
                run(other, "ALTER TABLE " + t("ddl") + " ALTER b TYPE text");
                rec.expect("changed within", () -> rec.note("within", rows(star.executeQuery())));
                c.rollback();
                rec.expect("afterwards", () -> rec.note("now", rows(star.executeQuery())));
                c.rollback();
                run(c, "DEALLOCATE ALL");
                rec.expect("deallocated", () -> one(c, "SELECT ?::int + 1", 1));
                c.rollback();
            }
        }
    }

    static void transactions(Rec rec) throws Exception {
        try (Connection c = connect(); Connection other = connect()) {
            run(c, "CREATE TABLE " + t("tx") + " (v int PRIMARY KEY)");
            c.setAutoCommit(false);
            run(c, "INSERT INTO " + t("tx") + " VALUES (1)");
            rec.note("unseen", one(other, "SELECT count(*) FROM " + t("tx")));
            Savepoint a = c.setSavepoint("a");
            rec.expect("duplicate", () -> run(c, "INSERT INTO " + t("tx") + " VALUES (1)"));
            rec.expect("in failed", () -> one(c, "SELECT 1"));
            c.rollback(a);
            Savepoint unnamed = c.setSavepoint();
            run(c, "INSERT INTO " + t("tx") + " VALUES (2)");
            c.releaseSavepoint(unnamed);
            c.commit();
            rec.note("seen", one(other, "SELECT count(*) FROM " + t("tx")));
            for (int level : new int[] {Connection.TRANSACTION_READ_UNCOMMITTED, Connection.TRANSACTION_REPEATABLE_READ, Connection.TRANSACTION_SERIALIZABLE, Connection.TRANSACTION_READ_COMMITTED}) {
                c.setTransactionIsolation(level);
                rec.note("level " + level, one(c, "SHOW transaction_isolation"));
                c.rollback();
            }
            c.setReadOnly(true);
            rec.expect("read only", () -> run(c, "DELETE FROM " + t("tx")));
            c.rollback();
            c.setReadOnly(false);
            rec.expect("failing", () -> run(c, "SELECT 1/0"));
            rec.expect("commit of failed", c::commit);
            c.setAutoCommit(true);
            rec.note("kept", one(c, "SELECT count(*) FROM " + t("tx")));
        }
        for (String autosave : new String[] {"always", "conservative"}) {
            try (Connection c = connect("autosave", autosave)) {
                c.setAutoCommit(false);
                run(c, "INSERT INTO " + t("tx") + " VALUES (100)");
                rec.expect(autosave, () -> run(c, "SELECT 1/0"));
                rec.expect("goes on", () -> rec.note("count", one(c, "SELECT count(*) FROM " + t("tx"))));
                c.rollback();
            }
        }
    }

    static void batches(Rec rec) throws Exception {
        for (String rewrite : new String[] {"false", "true"}) {
            try (Connection c = connect("reWriteBatchedInserts", rewrite)) {
                run(c, "DROP TABLE IF EXISTS " + t("batch"));
                run(c, "CREATE TABLE " + t("batch") + " (id serial PRIMARY KEY, v int UNIQUE)");
                try (PreparedStatement s = c.prepareStatement("INSERT INTO " + t("batch") + " (v) VALUES (?)", Statement.RETURN_GENERATED_KEYS)) {
                    for (int i = 0; i < 1000; i++) {
                        s.setInt(1, i);
                        s.addBatch();
                    }
                    rec.note("counts", s.executeBatch().length);
                    rec.note("keys", rows(s.getGeneratedKeys()).size());
                    for (int v : new int[] {2000, 5, 2001}) {
                        s.setInt(1, v);
                        s.addBatch();
                    }
                    rec.expect("duplicate", () -> s.executeBatch());
                }
                rec.note("rows", one(c, "SELECT count(*) FROM " + t("batch")));
                try (Statement s = c.createStatement()) {
                    s.addBatch("UPDATE " + t("batch") + " SET v = v + 10000 WHERE v < 10");
                    s.addBatch("DELETE FROM " + t("batch") + " WHERE v > 10000");
                    rec.note("statements", (Object) s.executeBatch());
                    s.executeUpdate("INSERT INTO " + t("batch") + " (v) VALUES (7777)", new String[] {"v"});
                    rec.note("generated", rows(s.getGeneratedKeys()));
                }
            }
        }
    }

    static void cursors(Rec rec) throws Exception {
        try (Connection c = connect()) {
            c.setAutoCommit(false);
            for (int round = 0; round < 8; round++) {
                try (PreparedStatement s = c.prepareStatement("SELECT i FROM generate_series(1, ?) i")) {
                    s.setFetchSize(37);
                    s.setInt(1, 1000);
                    long sum = 0;
                    try (ResultSet r = s.executeQuery()) {
                        while (r.next()) sum += r.getInt(1);
                    }
                    rec.note("sum", sum);
                }
            }
            try (Statement one = c.createStatement(); Statement two = c.createStatement()) {
                one.setFetchSize(3);
                two.setFetchSize(4);
                ResultSet a = one.executeQuery("SELECT generate_series(1, 10)"), b = two.executeQuery("SELECT generate_series(11, 30)");
                long sum = 0;
                for (int i = 0; i < 10; i++) {
                    a.next();
                    b.next();
                    sum = sum * 3 + a.getInt(1) + b.getInt(1);
                }
                rec.note("interleaved", sum);
                c.commit();
                rec.expect("after commit", () -> { while (b.next()) { } });
            }
            c.rollback();
            c.setAutoCommit(true);
            try (Statement s = c.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_READ_ONLY)) {
                ResultSet r = s.executeQuery("SELECT generate_series(1, 9)");
                r.absolute(5);
                int fifth = r.getInt(1);
                r.last();
                rec.note("scrolled", fifth, r.getInt(1));
                s.setMaxRows(4);
                rec.note("max rows", rows(s.executeQuery("SELECT generate_series(1, 9)")));
            }
            c.setAutoCommit(false);
            run(c, "CREATE FUNCTION " + t("rc") + "() RETURNS refcursor LANGUAGE plpgsql AS $$ DECLARE r refcursor; BEGIN OPEN r FOR SELECT generate_series(1, 4); RETURN r; END $$");
            try (CallableStatement s = c.prepareCall("{? = call " + t("rc") + "()}")) {
                s.registerOutParameter(1, Types.REF_CURSOR);
                s.execute();
                rec.note("refcursor", rows((ResultSet) s.getObject(1)));
            }
            c.commit();
        }
    }

    static void copying(Rec rec) throws Exception {
        try (Connection c = connect()) {
            run(c, "CREATE TABLE " + t("cp") + " (id int PRIMARY KEY, v text)");
            CopyManager m = c.unwrap(PGConnection.class).getCopyAPI();
            StringBuilder b = new StringBuilder();
            for (int i = 0; i < 20000; i++) b.append(i).append("\tline ").append(i).append('\n');
            rec.note("in", m.copyIn("COPY " + t("cp") + " FROM STDIN", new StringReader(b.toString())));
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            rec.note("out", m.copyOut("COPY (SELECT * FROM " + t("cp") + " ORDER BY id) TO STDOUT (FORMAT csv)", out), out.size());
            out.reset();
            rec.note("binary", m.copyOut("COPY " + t("cp") + " TO STDOUT (FORMAT binary)", out), out.size());
            byte[] image = out.toByteArray();
            run(c, "TRUNCATE " + t("cp"));
            rec.note("back", m.copyIn("COPY " + t("cp") + " FROM STDIN (FORMAT binary)", new ByteArrayInputStream(image)));
            rec.expect("bad", () -> m.copyIn("COPY " + t("cp") + " FROM STDIN", new StringReader("x\ty\n")));
            var started = m.copyIn("COPY " + t("cp") + " FROM STDIN");
            started.writeToCopy("99999\tz\n".getBytes(StandardCharsets.UTF_8), 0, 8);
            started.cancelCopy();
            rec.note("count", one(c, "SELECT count(*) FROM " + t("cp")));
        }
    }

    static void cancelling(Rec rec) throws Exception {
        try (Connection c = connect()) {
            for (int i = 0; i < 2; i++) {
                try (Statement s = c.createStatement()) {
                    Thread stop = new Thread(() -> {
                        try {
                            Thread.sleep(400);
                            s.cancel();
                        } catch (Exception e) {
                            throw new RuntimeException(e);
                        }
                    });
                    stop.start();
                    rec.expect("cancel", () -> s.execute("SELECT pg_sleep(30)"));
                    stop.join();
                    s.setQueryTimeout(1);
                    rec.expect("timeout", () -> s.execute("SELECT pg_sleep(30)"));
                }
                rec.note("alive", one(c, "SELECT 1"));
            }
            c.setNetworkTimeout(Runnable::run, 20000);
            rec.note("network timeout", one(c, "SELECT 1"));
        }
    }

    static void listening(Rec rec) throws Exception {
        try (Connection c = connect(); Connection other = connect()) {
            String channel = "jdbc_" + schema;
            run(c, "LISTEN " + channel);
            run(other, "NOTIFY " + channel + ", 'one'");
            query(other, "SELECT pg_notify(?, 'two')::text", channel);
            List<Object> got = new ArrayList<>();
            long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
            while (got.size() < 2 && System.nanoTime() < until) {
                PGNotification[] ns = c.unwrap(PGConnection.class).getNotifications(1000);
                if (ns != null) for (PGNotification n : ns) got.add(n.getParameter());
            }
            rec.note("got", got);
            run(c, "UNLISTEN *");
        }
    }

    static void settings(Rec rec) throws Exception {
        try (Connection c = connect()) {
            run(c, "SET TimeZone = 'Asia/Tokyo'");
            c.setSchema(schema);
            rec.note("schema", c.getSchema());
            run(c, "CREATE TABLE in_schema (v int)");
            rec.note("found", one(c, "SELECT count(*) FROM in_schema"));
            c.setAutoCommit(false);
            run(c, "SET LOCAL TimeZone = 'UTC'");
            rec.note("local", one(c, "SHOW TimeZone"));
            c.commit();
            rec.note("back", one(c, "SHOW TimeZone"));
            run(c, "SET work_mem = '7MB'");
            c.rollback();
            rec.note("rolled back", one(c, "SHOW work_mem"));
            c.commit();
            c.setAutoCommit(true);
            run(c, "CREATE TEMP TABLE tmp AS SELECT 5 AS v");
            rec.note("temp", one(c, "SELECT v FROM tmp"));
            run(c, "DISCARD ALL");
            rec.expect("gone", () -> one(c, "SELECT v FROM tmp"));
        }
    }

    static void manySessions(Rec rec) throws Exception {
        try (Connection c = connect()) {
            run(c, "CREATE TABLE " + t("acct") + " AS SELECT i AS id, 0 AS v FROM generate_series(1, 6) i");
        }
        Set<String> failures = new ConcurrentSkipListSet<>();
        ExecutorService pool = Executors.newFixedThreadPool(12);
        for (int w = 0; w < 12; w++) {
            final int worker = w;
            pool.submit(() -> {
                try (Connection c = connect("prepareThreshold", String.valueOf(worker % 4), "ApplicationName", "w" + worker)) {
                    run(c, "SET my.worker = '" + worker + "'");
                    for (int i = 0; i < 60; i++) {
                        List<Object> row = query(c, "SELECT current_setting('my.worker'), current_setting('application_name'), ?::int", i).get(0);
                        if (!row.equals(List.of(String.valueOf(worker), "w" + worker, i))) throw new IllegalStateException("another's row: " + row);
                        try (PreparedStatement s = c.prepareStatement("UPDATE " + t("acct") + " SET v = v + 1 WHERE id = ?")) {
                            s.setInt(1, worker % 6 + 1);
                            s.executeUpdate();
                        }
                        if (i % 10 == 3) {
                            c.setAutoCommit(false);
                            Object pid = one(c, "SELECT pg_backend_pid()");
                            run(c, "UPDATE " + t("acct") + " SET v = v + 1000 WHERE id = " + (worker % 6 + 1));
                            if (!pid.equals(one(c, "SELECT pg_backend_pid()"))) throw new IllegalStateException("moved within a transaction");
                            c.rollback();
                            c.setAutoCommit(true);
                        }
                    }
                } catch (Exception e) {
                    failures.add("worker " + worker + ": " + e);
                }
            });
        }
        pool.shutdown();
        if (!pool.awaitTermination(120, TimeUnit.SECONDS)) failures.add("took over 120 s");
        rec.note("failures", failures);
        try (Connection c = connect()) {
            rec.note("sum", query(c, "SELECT sum(v), min(v), max(v) FROM " + t("acct")));
        }
    }

    public static void main(String[] args) throws Exception {
        if (args.length < 4) {
            System.err.println("usage: java -cp postgresql.jar Suite.java URL USER PASSWORD SCHEMA [SCENARIO...]");
            System.exit(2);
        }
        url = args[0];
        user = args[1];
        password = args[2];
        schema = args[3];
        TimeZone.setDefault(TimeZone.getTimeZone("UTC"));
        Set<String> wanted = new HashSet<>(Arrays.asList(args).subList(4, args.length));
        Map<String, Body> all = new LinkedHashMap<>();
        all.put("connectionFacts", Suite::connectionFacts);
        all.put("types", Suite::types);
        all.put("errors", Suite::errors);
        all.put("serverPrepared", Suite::serverPrepared);
        all.put("transactions", Suite::transactions);
        all.put("batches", Suite::batches);
        all.put("cursors", Suite::cursors);
        all.put("copying", Suite::copying);
        all.put("cancelling", Suite::cancelling);
        all.put("listening", Suite::listening);
        all.put("settings", Suite::settings);
        all.put("manySessions", Suite::manySessions);
        try (Connection c = connect()) {
            run(c, "SET lock_timeout = '20s'; DROP SCHEMA IF EXISTS " + schema + " CASCADE; CREATE SCHEMA " + schema);
        }
        for (Map.Entry<String, Body> e : all.entrySet()) {
            if (!wanted.isEmpty() && !wanted.contains(e.getKey())) continue;
            Rec rec = new Rec();
            String failed = "";
            try {
                e.getValue().run(rec);
            } catch (Exception x) {
                failed = ",\"failed\":" + quote(x.toString());
            }
            System.out.println("{\"scenario\":" + quote(e.getKey()) + ",\"seen\":[" + String.join(",", rec.seen) + "]" + failed + "}");
        }
        try (Connection c = connect()) {
            run(c, "SET lock_timeout = '20s'; DROP SCHEMA " + schema + " CASCADE");
        }
        System.exit(0);
    }
}
