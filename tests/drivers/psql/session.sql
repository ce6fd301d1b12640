-- A psql session as people have it: backslash commands, \copy, \gdesc, \gset, \gexec, errors, transactions.
-- Run with -v schema=NAME in a folder of its own; what it prints must not depend on what stands between.
\set VERBOSITY verbose
\set SHOW_CONTEXT always
\pset pager off
\pset null '(null)'
SET lock_timeout = '20s';
DROP SCHEMA IF EXISTS :schema CASCADE;
CREATE SCHEMA :schema;
SET search_path = :schema;
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN small AS int CHECK (VALUE < 100);
CREATE TABLE parent (id int PRIMARY KEY, name text NOT NULL DEFAULT 'x', m mood);
CREATE TABLE child (id serial PRIMARY KEY, parent int REFERENCES parent, v small, UNIQUE (parent, v));
CREATE INDEX child_v ON child (v) WHERE v > 5;
CREATE VIEW both_of AS SELECT p.name, c.v FROM parent p JOIN child c ON c.parent = p.id;
CREATE MATERIALIZED VIEW kept AS SELECT count(*) FROM parent;
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n * 2';
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'row %', NEW.id; RETURN NEW; END $$;
CREATE TRIGGER noted BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION noted();
COMMENT ON TABLE parent IS 'the parent''s table';
GRANT SELECT ON parent TO PUBLIC;
INSERT INTO parent SELECT i, 'name ' || i, 'ok' FROM generate_series(1, 3) i;
INSERT INTO parent VALUES (1, 'again', NULL);
INSERT INTO parent (id, name) VALUES (9, NULL);
\errverbose
\dt
\dt+ no_such
\d parent
\d+ child
\d both_of
\di
\dv
\dm
\ds
\dT
\dD
\df
\sf twice
\dp parent
\dn+ :schema
\du app
\l shop
\dconfig search_path
\conninfo_is_not_a_command
SELECT * FROM parent ORDER BY id \gdesc
SELECT id, name FROM parent ORDER BY id
\gx
SELECT count(*) AS n, max(id) AS m FROM parent \gset
\echo :n :m
SELECT format('SELECT %s AS made;', i) FROM generate_series(1, 3) i \gexec
SELECT p.id, p.m, p.name FROM parent p ORDER BY 1 \crosstabview
\copy parent TO 'copied.txt'
\copy child (parent, v) FROM PROGRAM 'printf "1\t5\n2\t7\n3\t50\n"'
\copy child (parent, v) FROM PROGRAM 'printf "1\tx\n"'
\copy (SELECT * FROM both_of ORDER BY v) TO STDOUT CSV HEADER
COPY child (parent, v) FROM STDIN;
1	30
2	31
\.
SELECT * FROM both_of ORDER BY v;
\set AUTOCOMMIT off
INSERT INTO child (parent, v) VALUES (1, 60);
SELECT 1/0;
SELECT 'in a failed transaction';
ROLLBACK;
\set AUTOCOMMIT on
\set ON_ERROR_ROLLBACK on
BEGIN;
INSERT INTO child (parent, v) VALUES (1, 61);
SELECT 1/0;
INSERT INTO child (parent, v) VALUES (1, 62);
COMMIT;
\set ON_ERROR_ROLLBACK off
SELECT count(*) FROM child;
\set FETCH_COUNT 7
SELECT i FROM generate_series(1, 30) i;
\unset FETCH_COUNT
BEGIN; SELECT 1; SELECT 2; COMMIT;
SELECT 1 \; SELECT 2, 3 \; SELECT 4 WHERE false;
PREPARE p (int) AS SELECT $1 * twice($1);
EXECUTE p(6);
DEALLOCATE p;
EXECUTE p(6);
DO $$ BEGIN RAISE WARNING 'careful' USING DETAIL = 'd', HINT = 'h'; END $$;
EXPLAIN (COSTS OFF) SELECT * FROM parent WHERE id = 1;
LISTEN here;
UNLISTEN *;
SELECT lo_from_bytea(0, 'large') AS loid \gset
SELECT lo_get(:loid);
SELECT lo_unlink(:loid);
VACUUM parent;
ANALYZE parent;
SHOW search_path;
RESET search_path;
SHOW search_path;
DROP SCHEMA :schema CASCADE;
