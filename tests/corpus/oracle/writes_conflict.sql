-- INSERT … ON CONFLICT … RETURNING over several shards: rows come in the order of the input, without those that are left out.

-- class: write conflict

-- name: existing rows on all, some and no shards
BEGIN;
-- order: 1,2
INSERT INTO customers (id, name) VALUES <<(5, 'five'), (6, 'six'), (7, 'seven'), (8, 'eight')|(4004, 'd'), (5, 'five'), (4001, 'a'), (6, 'six'), (4003, 'c'), (7, 'seven'), (4002, 'b')|(4003, 'c'), (4002, 'b'), (4001, 'a'), (4005, 'e'), (4004, 'd'), (4006, 'f')>> ON CONFLICT <<DO NOTHING|(id) DO NOTHING|ON CONSTRAINT customers_pkey DO NOTHING|(id) DO UPDATE SET name = excluded.name || customers.id|(id) DO UPDATE SET name = excluded.name WHERE customers.id <> 6|(id) DO UPDATE SET name = excluded.name WHERE false>> RETURNING <<id, name|id, upper(name), *>>;
SELECT id, name FROM customers WHERE id IN (5, 6, 7, 8) OR id > 4000 ORDER BY id;
ROLLBACK;

-- name: the same row more than once
BEGIN;
-- order: 1,2
INSERT INTO customers (id, name) VALUES (4001, 'a'), (5, 'five'), (4002, 'b'), (4001, 'again'), (4003, 'c'), (5, 'once more'), (4002, 'and again'), (4004, 'd') ON CONFLICT <<DO NOTHING|(id) DO NOTHING|(id) DO UPDATE SET name = excluded.name|(id) DO UPDATE SET name = excluded.name WHERE customers.id <> 5>> RETURNING id, name;
SELECT id, name FROM customers WHERE id > 4000 ORDER BY id;
ROLLBACK;

-- name: rows that are alike but for what nobody compares
BEGIN;
-- order: 2,3
INSERT INTO orders (customer_id, id, note) VALUES (5, 9001, 'x'), (6, 9001, 'x'), (7, 9001, 'x'), (5, 9001, 'y'), (6, 9002, 'x'), (8, 9001, NULL), (7, 9001, 'x'), (5, 9003, NULL) ON CONFLICT DO NOTHING RETURNING note, id, customer_id, total;
ROLLBACK;

-- name: outside of blocks
-- order: 1
INSERT INTO customers (id, name) VALUES (4001, 'a'), (5, 'five'), (4002, 'b'), (6, 'six'), (4003, 'c') ON CONFLICT DO NOTHING RETURNING id;
-- order: 1
INSERT INTO customers (id, name) VALUES (4003, 'c'), (4004, 'd'), (4002, 'b'), (4005, 'e'), (4001, 'a') ON CONFLICT (id) DO UPDATE SET name = upper(excluded.name) WHERE customers.id = 4002 RETURNING id, name;
DELETE FROM customers WHERE id > 4000;

-- name: one shard, one row
BEGIN;
INSERT INTO customers (id, name) VALUES <<(5, 'five')|(4001, 'a')|(5, 'five'), (5, 'twice')|(4001, 'a'), (4001, 'b')>> ON CONFLICT <<DO NOTHING|(id) DO UPDATE SET name = excluded.name WHERE customers.id = 4001>> RETURNING id, name;
ROLLBACK;

-- name: which values carry the number
BEGIN;
-- order: 1,2
INSERT INTO readings (device, n, value) VALUES ('new 1', 1, 0.5), ('new 2', 1, NULL), ('device 3', 1, 1), ('new 3', -1, 2), ('device 3', +1, 1) ON CONFLICT DO NOTHING RETURNING device, n, value;
-- order: 1,2
INSERT INTO readings (device, n) VALUES ('new 4', '1'), ('new 5', '1'), ('device 3', '1'), ('new 1', '1'), ('new 6', '1') ON CONFLICT DO NOTHING RETURNING device, n;
ROLLBACK;

BEGIN;
-- order: 1
INSERT INTO events (kind, id, level) VALUES ('a', 'c4ca4238-a0b9-2382-0dcc-509a6f75849b', NULL), ('b', 'c81e728d-9d4c-2f63-6f06-7f89cc14862c', NULL), ('c', 'eccbc87e-4b5c-e2fe-2830-8fd9f2a7baf3', NULL), ('d', 'a87ff679-a2f3-e71d-9181-a67b7542122c', NULL), ('e', 'c4ca4238-a0b9-2382-0dcc-509a6f75849b', NULL) ON CONFLICT DO NOTHING RETURNING kind, id;
-- order: 1
INSERT INTO events (id, kind) VALUES ('c4ca4238-a0b9-2382-0dcc-509a6f75849b', upper('a')), ('c81e728d-9d4c-2f63-6f06-7f89cc14862c', NULL), ('eccbc87e-4b5c-e2fe-2830-8fd9f2a7baf3', DEFAULT) ON CONFLICT DO NOTHING RETURNING id;
ROLLBACK;

BEGIN;
-- order: 1
INSERT INTO things (id, word, attrs, size, two, pairs) VALUES ('9001', 'A', 'a=>1', 5, ROW (1, 'x'), NULL), ('9002', 'B', NULL, NULL, '(2,y)', ARRAY[ROW (1, 'z')::pair]), ('1', 'C', NULL, 1, NULL, '{}'), ('9003', 'D', NULL, 2, NULL, NULL) ON CONFLICT DO NOTHING RETURNING word, id, attrs, size, two, pairs;
-- order: 1
INSERT INTO things VALUES <<('9001', 'A'), ('9002', 'B'), ('1', 'C'), ('9003', 'D')|(9001, 'A', NULL, NULL, NULL, 0), (9002, 'B', NULL, NULL, NULL, 1)|('9001', 'A', NULL, NULL, NULL, '-1'), ('9002', 'B', NULL, NULL, NULL, '1')>> ON CONFLICT DO NOTHING RETURNING word, id;
ROLLBACK;

BEGIN;
-- order: 1
INSERT INTO customers (mood, took, id, code, credit) VALUES ('happy', NULL, '4001', 'abc', '1.005') ON CONFLICT DO NOTHING RETURNING mood;
ROLLBACK;

BEGIN;
-- order: 2
INSERT INTO customers (mood, id, code, credit, vip, born) VALUES ('happy', '4001', 'abc', '1.005', 't', '2000-02-29'), ('angry', '5', 'abc', '1.005', NULL, NULL), (NULL, '4002', 'abc   ', '1.005', 'no', 'infinity'), ('sad', '4003', NULL, NULL, '1', '-infinity') ON CONFLICT DO NOTHING RETURNING mood, id, code, credit, vip, born;
-- order: 2
INSERT INTO orders (label, customer_id, id, took) VALUES ('0123456789', '1', '9001', '1 day'), ('0123456789   ', '2', '9001', '01:02'), ('0123456789', '3', '9001', '1') ON CONFLICT DO NOTHING RETURNING label, customer_id, took;
ROLLBACK;

-- name: errors are what they are
INSERT INTO customers (id, name, code) VALUES <<(4001, 'a', 'x'), (4002, 'b', 'too long')|(4001, 'a', NULL), ('x', 'b', NULL)|(4001, 'a', NULL), (NULL, 'b', NULL)|('4001', 'a', NULL), ('99999999999999999999', 'b', NULL)|(4001, 'a', 1), (4002, 'b', 2.5)|(4001, 'a', NULL), (4002, 'b', 1 / (length('a') - 1)::text)>> ON CONFLICT DO NOTHING RETURNING id, code;

INSERT INTO orders (customer_id, id, label) VALUES <<(1, 9001, 'a'), (2, 9001, 'much too long')|(1, 9001, 'a'), (2, NULL, 'b')|('1', '9001', 'a'), ('2', '9001', 'much too long'), ('3', '9001', '')>> ON CONFLICT DO NOTHING RETURNING id;

INSERT INTO customers (id, name) VALUES (4001, 'a'), (4002, 'b') ON CONFLICT (name) DO NOTHING RETURNING id;

INSERT INTO customers (id, name) VALUES (4001, 'a'), (4002, 'b'), (4003, 'c') ON CONFLICT DO NOTHING RETURNING 1 / (id - 4002);

-- name: defaults, sequences and generated columns
BEGIN;
CREATE TABLE fresh (id bigserial PRIMARY KEY, n int DEFAULT 7, twice int GENERATED ALWAYS AS (n * 2) STORED, at timestamptz DEFAULT now(), text varchar(4)) /* pgbraid: key=id */;
-- order: 1,2
INSERT INTO fresh (text) VALUES ('a'), ('b'), ('c'), ('d'), ('e') ON CONFLICT DO NOTHING RETURNING id, text, n, twice, at = now();
-- order: 1,2
INSERT INTO fresh (id, text, n) VALUES (9, 'i', 1), (DEFAULT, 'f', NULL), (3, 'three', DEFAULT), (1, 'one', 2), (DEFAULT, 'g', 3), (DEFAULT, DEFAULT, 3), (12, 'l', 3) ON CONFLICT <<DO NOTHING|(id) DO NOTHING|(id) DO UPDATE SET n = fresh.n + excluded.n WHERE fresh.id = 1>> RETURNING *, twice + 1;
-- order: 1,2
INSERT INTO fresh (id, text, n) VALUES (19, 'i', 1), (DEFAULT, 'f', NULL), (3, 'x', DEFAULT), (1, 'one', 2), (DEFAULT, 'g', 3) ON CONFLICT DO NOTHING RETURNING id, text;
-- order: 1
INSERT INTO fresh (n) VALUES (1), (2), (3), (4), (5), (6) ON CONFLICT DO NOTHING RETURNING id, n;
INSERT INTO fresh VALUES (DEFAULT), (DEFAULT), (DEFAULT) ON CONFLICT DO NOTHING RETURNING id;
SELECT currval('fresh_id_seq'), count(*), sum(id), sum(twice) FROM fresh GROUP BY 1;
ROLLBACK;

BEGIN;
CREATE TABLE fresh (id bigint GENERATED <<ALWAYS|BY DEFAULT>> AS IDENTITY, k bigint, n int, UNIQUE (k, n), CHECK (n < 100)) /* pgbraid: key=k */;
-- order: 1,2,3
INSERT INTO fresh (k, n) VALUES (1, 1), (2, 1), (3, 1), (1, 1), (1, 2), (2, 1), (4, NULL), (4, NULL), (5, 1) ON CONFLICT DO NOTHING RETURNING id, k, n;
-- order: 1,2,3
INSERT INTO fresh (id, k, n) <<OVERRIDING SYSTEM VALUE|OVERRIDING USER VALUE|>> VALUES (70, 1, 1), (71, 7, 1), (72, 8, 1), (73, 2, 1), (74, 9, 1) ON CONFLICT (k, n) DO <<NOTHING|UPDATE SET n = excluded.n + 1 WHERE fresh.k = 2>> RETURNING id, k, n;
-- order: 1
INSERT INTO fresh (k, n) VALUES (10, 1), (11, 100), (12, 1) ON CONFLICT DO NOTHING RETURNING id;
ROLLBACK;

-- name: several constraints
BEGIN;
CREATE TABLE fresh (k bigint NOT NULL, a int, b int, c text, UNIQUE (k, a), UNIQUE (b, k), UNIQUE (k, c)) /* pgbraid: key=k */;
INSERT INTO fresh VALUES (1, 1, 1, 'a'), (2, 1, 1, 'a'), (3, 1, 1, 'a');
-- order: 1,2,3,4
INSERT INTO fresh VALUES (1, 2, 1, 'b'), (1, 2, 2, 'b'), (1, 2, 3, 'c'), (1, 3, 3, 'b'), (2, NULL, NULL, 'b'), (2, NULL, NULL, 'b'), (3, NULL, NULL, NULL), (3, NULL, NULL, NULL), (4, 1, 1, 'a'), (1, 3, 3, 'c') ON CONFLICT DO NOTHING RETURNING *;
-- order: 1,2,3,4
INSERT INTO fresh VALUES (5, 2, 1, 'b'), (1, 7, 1, 'z'), (6, 2, 3, 'c') ON CONFLICT (k, a) DO NOTHING RETURNING *;
ROLLBACK;

BEGIN;
CREATE TABLE fresh (k bigint NOT NULL, a text, live boolean, span int8range) /* pgbraid: key=k */;
CREATE UNIQUE INDEX fresh_low ON fresh (k, lower(a)) WHERE live;
-- order: 1,2,3
INSERT INTO fresh VALUES (1, 'A', true), (2, 'a', true), (1, 'a', true), (1, 'a', false), (1, 'a', false), (3, 'a', true), (2, 'A', NULL), (2, 'A', true) ON CONFLICT <<DO NOTHING|(k, lower(a)) WHERE live DO NOTHING|(k, lower(a)) WHERE live DO UPDATE SET a = 'x' WHERE false>> RETURNING k, a, live;
SELECT count(*), count(*) FILTER (WHERE live) FROM fresh;
ROLLBACK;

-- name: rows that refer to each other, and to others
BEGIN;
CREATE TABLE fresh (k bigint, id bigint, parent bigint, country text REFERENCES countries, PRIMARY KEY (k, id), FOREIGN KEY (k, parent) REFERENCES fresh (k, id)) /* pgbraid: key=k */;
-- order: 1,2
INSERT INTO fresh (k, id, parent) VALUES (1, 1, 2), (2, 1, 3), (1, 2, NULL), (2, 2, 2), (3, 1, 1), (2, 3, 1), (1, 1, 7) ON CONFLICT DO NOTHING RETURNING k, id, parent;
-- order: 1,2
INSERT INTO fresh VALUES (4, 1, NULL, 'DE'), (1, 1, 99, 'none'), (5, 1, NULL, 'FR') ON CONFLICT DO NOTHING RETURNING k, id;
INSERT INTO fresh (k, id, parent) VALUES (6, 1, 1), (7, 1, 2) ON CONFLICT DO NOTHING RETURNING k, id;
ROLLBACK;

-- name: triggers
BEGIN;
CREATE TABLE fresh (k bigint PRIMARY KEY, text text, n int DEFAULT 1) /* pgbraid: key=k */;
CREATE FUNCTION louder() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.text := upper(NEW.text) || coalesce(NEW.n, 0); RETURN NEW; END';
CREATE TRIGGER louder BEFORE INSERT OR UPDATE ON fresh FOR EACH ROW EXECUTE FUNCTION louder();
-- order: 1,2,3
INSERT INTO fresh VALUES (1, 'a'), (2, 'b'), (3, 'c'), (1, 'd'), (4, 'e'), (2, 'f') ON CONFLICT DO NOTHING RETURNING *;
-- order: 1,2,3
INSERT INTO fresh VALUES (5, 'a', 2), (2, 'b', 2), (6, 'c', 2), (1, 'd', 2), (7, 'e', 2) ON CONFLICT (k) DO <<NOTHING|UPDATE SET n = fresh.n + 1 WHERE fresh.k = 2>> RETURNING *;
SELECT * FROM fresh ORDER BY k;
ROLLBACK;

-- name: partitions
BEGIN;
CREATE TABLE fresh (k bigint, id bigint, PRIMARY KEY (k, id)) PARTITION BY RANGE (id) /* pgbraid: key=k */;
CREATE TABLE fresh_low PARTITION OF fresh FOR VALUES FROM (0) TO (100);
CREATE TABLE fresh_high PARTITION OF fresh FOR VALUES FROM (100) TO (200);
-- order: 1,2
INSERT INTO fresh VALUES (1, 1), (2, 1), (3, 101), (1, 101), (1, 1), (2, 101), (3, 101), (4, 1) ON CONFLICT DO NOTHING RETURNING k, id;
-- order: 1,2
INSERT INTO fresh VALUES (5, 1), (1, 1), (6, 101) ON CONFLICT (k, id) DO NOTHING RETURNING k, id;
INSERT INTO fresh VALUES (5, 1), (1, 1), (6, 201) ON CONFLICT (k, id) DO NOTHING RETURNING k, id;
ROLLBACK;

-- name: savepoints and what was changed before
BEGIN <<|ISOLATION LEVEL REPEATABLE READ>>;
DELETE FROM customers WHERE id IN (5, 6, 7);
SAVEPOINT s;
-- order: 1,2
INSERT INTO customers (id, name) VALUES (5, 'five'), (8, 'eight'), (6, 'six'), (4001, 'a'), (7, 'seven') ON CONFLICT DO NOTHING RETURNING id, name;
INSERT INTO customers (id, name) VALUES (4002, 'a'), (4003, 1 / (length('a') - 1)), (4004, 'c') ON CONFLICT DO NOTHING RETURNING id;
ROLLBACK TO s;
-- order: 1,2
INSERT INTO customers (id, name) VALUES (5, 'five'), (8, 'eight'), (6, 'six'), (4001, 'a'), (7, 'seven') ON CONFLICT DO NOTHING RETURNING id, name;
ROLLBACK;

-- name: as Rails writes them
BEGIN;
CREATE TABLE posts (id bigserial PRIMARY KEY, slug varchar NOT NULL, title varchar, created_at timestamp(6) NOT NULL, updated_at timestamp(6) NOT NULL) /* pgbraid: key=id */;
-- order: 1
INSERT INTO "posts" ("slug","title","created_at","updated_at") VALUES ('a', 'A', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP), ('b', NULL, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP), ('c', 'C', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP) ON CONFLICT DO NOTHING RETURNING "id";
-- order: 1
INSERT INTO "posts" ("id","slug","title","created_at","updated_at") VALUES (7, 'x', 'A', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP), (2, 'y', 'B', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP), (9, 'z', 'C', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP) ON CONFLICT  DO NOTHING RETURNING "id";
-- order: 1
INSERT INTO "posts" ("id","slug","title","created_at","updated_at") VALUES (7, 'x', 'A', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP), (2, 'y', 'B', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP), (10, 'z', 'C', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP) ON CONFLICT ("id") DO UPDATE SET updated_at=(CASE WHEN ("posts"."slug" IS NOT DISTINCT FROM excluded."slug" AND "posts"."title" IS NOT DISTINCT FROM excluded."title") THEN "posts".updated_at ELSE CURRENT_TIMESTAMP END),"slug"=excluded."slug","title"=excluded."title" RETURNING "id";
SELECT id, slug, title FROM posts ORDER BY id;
ROLLBACK;

-- name: whether a row is new
BEGIN;
INSERT INTO customers (id, name) VALUES (4000, 'z');
-- order: 1
INSERT INTO customers AS c (id, name) VALUES (4001, 'a'), (5, 'five'), (4002, 'b'), (4000, 'c'), (6, 'six') ON CONFLICT <<DO NOTHING|(id) DO UPDATE SET name = excluded.name|(id) DO UPDATE SET name = excluded.name WHERE c.id <> 5>> RETURNING c.id, (xmax = 0) AS inserted, c.xmax <> 0, 0 = (c.xmax), CASE WHEN xmax::text::bigint > 0 THEN 'updated' ELSE 'inserted' END, xmax::text <> '0', xmax::text::int = 0;
INSERT INTO customers (id, name) VALUES (4003, 'a'), (4004, 'b') RETURNING xmax = 0;
INSERT INTO countries VALUES ('DE', 'again'), ('XX', 'new') ON CONFLICT (code) DO UPDATE SET name = excluded.name RETURNING code, xmax = 0;
INSERT INTO customers (id, name) SELECT id, 'x' FROM orders WHERE id < 20 OR id > 400 ON CONFLICT (id) DO UPDATE SET name = 'y' RETURNING id, xmax = 0, name;
ROLLBACK;

BEGIN;
INSERT INTO customers (id, name) VALUES (4001, 'a'), (5, 'five'), (4002, 'b') ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING <<xmax|ctid = '(0,1)'|xmin = 0|xmax = 1|xmax::text > '0'|(SELECT xmax = 0)|(SELECT ctid)>>;
ROLLBACK;

-- class: write conflict parameters

BEGIN;
-- params: int8=4001, text=a, int8=5, text=five, int8=4002, text=NULL | int8=4001, text=a, int8=4003, text=x, int8=4004, text=y | int8=5, text=a, int8=6, text=x, int8=7, text=y | int8=4005, text=a, int8=NULL, text=x, int8=7, text=y
-- order: 1,2
INSERT INTO customers (id, name) VALUES ($1, $2), ($3, $4), ($5, $6) ON CONFLICT <<DO NOTHING|(id) DO UPDATE SET name = excluded.name WHERE customers.id <> 6>> RETURNING id, name, credit, joined, mood, tags;
ROLLBACK;

BEGIN;
-- params: ?=4001, ?=a, ?=5, ?=4002
-- order: 2,1
INSERT INTO customers (name, id) VALUES ($2, $1), ($2, $3), ($2, $4), ('x', 4003), ('y', 6) ON CONFLICT DO NOTHING RETURNING name, id;
ROLLBACK;

BEGIN;
-- params: int4=4001, varchar=happy, text=abc | int4=5, varchar=sad, text=abcdefg
-- order: 1
INSERT INTO customers (id, mood, code) VALUES ($1, $2::mood, $3), (6, $2::mood, $3), (4002, $2::mood, $3) ON CONFLICT DO NOTHING RETURNING id, mood, moods, code;
ROLLBACK;
