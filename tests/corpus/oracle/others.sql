-- Values, functions, transactions, portals, COPY, errors, writes.

-- class: values

SELECT <<id, born|id, joined|id, credit, score|id, tags, moods|id, profile|id, code, photo|id, seen|*>> FROM customers ORDER BY id;

SELECT <<id, discount|id, took|id, due, ordered_at|id, weight, weight4, big, small|id, note, label>> FROM orders ORDER BY id;

SELECT id, payload, at FROM events ORDER BY id LIMIT 20;

SELECT min(born), max(born), min(seen), max(seen) FROM customers;

SELECT count(*), sum(discount) FROM orders WHERE discount = <<1|1.00|0.123456789012345678901234567890>>;

SELECT id, born - 1, born::text, joined::date, score::text, code || '!', code = 'c1', length(code) FROM customers ORDER BY id;

SELECT NULL, 'x', 1.50, 1e10, ARRAY[1, 2], ROW(1, 'a'), '{}'::jsonb, now() IS NULL;

SET DateStyle = 'German';
SELECT id, born, joined FROM customers ORDER BY born, id LIMIT 9;
SELECT max(born), min(joined) FROM customers;
SET IntervalStyle = 'iso_8601';
SELECT sum(took), max(took) FROM orders;
SET extra_float_digits = -5;
SELECT id, weight FROM orders ORDER BY weight, id LIMIT 5;
SELECT status, min(weight) FROM orders GROUP BY 1 ORDER BY 1;

SET TimeZone = 'America/New_York';
SELECT date_trunc('day', ordered_at) AS d, count(*) FROM orders GROUP BY 1 ORDER BY 1;
SELECT max(ordered_at) FROM orders;

SET bytea_output = 'escape';
SELECT id, photo FROM customers ORDER BY photo, id LIMIT 5;

-- class: function

-- check: count
SELECT id, <<now()|clock_timestamp()|random()|current_date|statement_timestamp()|current_timestamp(0)|localtime>> FROM orders;

SELECT count(*) FROM orders WHERE ordered_at < <<now()|current_date|current_timestamp - interval '1 day'>>;

SELECT count(DISTINCT n) FROM (SELECT now() AS n FROM orders) t;

SELECT twice(quantity), count(*) FROM orders GROUP BY 1 ORDER BY 1;

SELECT current_user, current_database() IS NULL, current_schema();

SELECT id, upper(name), substring(email from 1 for 2), extract(year from born) FROM customers WHERE isfinite(born) ORDER BY id;

SELECT to_char(sum(total), '999G999D99'), to_char(max(ordered_at), 'YYYY-MM') FROM orders;

-- class: error

SELECT 1 / (id - id) FROM orders;

SELECT id / (quantity - quantity) FROM orders WHERE quantity IS NOT NULL ORDER BY 1;

SELECT sum(1 / (small - small)) FROM orders;

SELECT <<nothing FROM orders|id FROM nowhere|id::int2::nothing FROM orders|id FROM orders WHERE|id, count(*) FROM orders|name::int FROM customers|'x'::int FROM orders|id FROM orders WHERE id = 'x'|sum(sum(id)) FROM orders|o.x FROM orders o|id FROM customers JOIN orders ON true|sum(id) OVER (ORDER BY nothing) FROM orders>>;

SELECT id::int2 * 1000::int2 FROM orders ORDER BY 1;

BEGIN;
SELECT 1 / 0 FROM orders;
SELECT 1;
ROLLBACK;
SELECT count(*) FROM orders;

BEGIN;
SAVEPOINT a;
SELECT id / 0 FROM orders;
ROLLBACK TO a;
SELECT count(*) FROM orders;
COMMIT;

-- class: transaction

BEGIN ISOLATION LEVEL <<READ COMMITTED|REPEATABLE READ|SERIALIZABLE>>;
SELECT count(*) FROM orders;
SELECT status, sum(total) FROM orders GROUP BY 1 ORDER BY 1;
SELECT id FROM orders WHERE customer_id = 5 ORDER BY 1;
SELECT count(*) FROM orders a JOIN events e ON e.level = a.small;
COMMIT;

BEGIN READ ONLY;
SELECT count(*) FROM customers;
UPDATE customers SET name = 'x' WHERE id = 5;
ROLLBACK;

BEGIN;
UPDATE customers SET name = 'changed' WHERE id = 5;
SELECT name FROM customers WHERE id = 5;
SELECT count(*) FROM customers WHERE name = 'changed';
SELECT name, count(*) FROM customers GROUP BY 1 ORDER BY 2, 1;
ROLLBACK;
SELECT name FROM customers WHERE id = 5;

BEGIN;
SELECT id FROM customers WHERE id = 5 FOR UPDATE;
SELECT id FROM customers ORDER BY id FOR UPDATE;
ROLLBACK;

SELECT id FROM customers ORDER BY id LIMIT 3 FOR <<UPDATE|SHARE>>;

-- class: portal

-- rows: <<1|7|60|100>>
SELECT id FROM orders WHERE id < <<20|5>> ORDER BY id;

-- rows: 5
SELECT status, count(*) FROM orders GROUP BY status ORDER BY 1;

-- rows: 3
SELECT id FROM orders WHERE customer_id = 5 ORDER BY 1;

BEGIN;
DECLARE c CURSOR FOR SELECT id FROM orders ORDER BY id;
FETCH 3 FROM c;
FETCH 3 FROM c;
CLOSE c;
COMMIT;

-- class: copy

-- protocol: simple
COPY (SELECT id, name FROM customers <<WHERE id = 5|ORDER BY id>>) TO STDOUT <<|WITH (FORMAT csv, HEADER)|WITH CSV>>;

-- protocol: simple
COPY <<customers|orders (id, status)|countries>> TO STDOUT <<|WITH CSV>>;

-- name: a word that is no option
-- protocol: simple
COPY <<orders (id, status)|(SELECT id, 'header' AS header FROM orders)>> TO STDOUT <<|WITH (FORMAT csv, HEADER)|WITH (FORMAT csv, HEADER false)|CSV HEADER|WITH (FORMAT csv, FORCE_QUOTE *)|/* header, binary */>>;

-- name: a query of any kind
-- protocol: simple
COPY (SELECT <<name, city, note, born, mood, tags|email, nick, NULL, vip>> FROM customers <<LEFT JOIN (SELECT customer_id, min(note) AS note FROM orders GROUP BY 1) o ON o.customer_id = id>> ORDER BY id <<|LIMIT 20 OFFSET 3>>) TO STDOUT <<|WITH (FORMAT csv, HEADER)|WITH (FORMAT csv, DELIMITER ';', NULL 'nil', QUOTE '''', ESCAPE '\')|(HEADER, DELIMITER '|')|(FORMAT binary)>>;

-- name: groups, windows, set operations
-- protocol: simple
COPY (<<SELECT country, count(*), avg(id) AS "the, mean" FROM customers GROUP BY 1 ORDER BY 1|SELECT id, rank() OVER (ORDER BY total DESC, id) FROM orders ORDER BY 2 LIMIT 9|SELECT country FROM customers UNION SELECT code FROM countries ORDER BY 1|WITH t AS (SELECT sum(total) AS s FROM orders) SELECT s, now() = now() AS same FROM t|SELECT count(*) FROM orders|SELECT FROM orders ORDER BY id LIMIT 2>>) TO STDOUT <<|CSV HEADER|WITH (FORMAT csv, FORCE_QUOTE *)|BINARY>>;

-- name: binary
-- protocol: simple
COPY <<customers (id, name, born, vip)|orders (id, total)|(SELECT id FROM orders WHERE id < 0)|(SELECT max(id) FROM orders)|(SELECT 1 FROM orders WHERE false ORDER BY id)>> TO STDOUT (FORMAT binary);

-- name: errors
-- protocol: simple
COPY (SELECT <<id, name|nobody|1 / (id - id), name>> FROM customers ORDER BY <<id|nick>>) TO STDOUT <<|WITH (FORMAT avro)|WITH (FORMAT csv, FORCE_QUOTE (nobody))|WITH (DELIMITER 'ab')|WITH (FORMAT binary, HEADER)>>;

-- name: of changed rows
-- protocol: simple
BEGIN; COPY (<<UPDATE orders SET note = 'x' WHERE id < 30 RETURNING customer_id > 0, note|DELETE FROM orders WHERE customer_id = 5 RETURNING note IS NULL OR true>>) TO STDOUT <<|CSV HEADER>>; SELECT count(*) FROM orders WHERE note = 'x'; ROLLBACK;

-- class: explain

-- check: succeeds
EXPLAIN (COSTS OFF) SELECT <<count(*) FROM orders|id FROM orders WHERE customer_id = 5|id FROM orders ORDER BY id LIMIT 3|status, sum(total) FROM orders GROUP BY 1>>;

-- check: succeeds
EXPLAIN ANALYZE SELECT count(*) FROM orders;

-- class: write

BEGIN;
INSERT INTO customers (id, name) VALUES (<<1001|1002|1003>>, 'new') RETURNING *;
SELECT count(*) FROM customers;
UPDATE customers SET name = upper(name), credit = 1.5 WHERE id = <<5|6>> RETURNING id, name, credit;
DELETE FROM items WHERE customer_id = 5 RETURNING order_id, line;
SELECT count(*) FROM items;
ROLLBACK;
SELECT count(*) FROM customers;

INSERT INTO customers (id, name) VALUES (<<2001|2002|2003>>, 'kept');
SELECT name FROM customers WHERE id IN (2001, 2002, 2003);
DELETE FROM customers WHERE id = <<2001|2002|2003>> RETURNING name;

INSERT INTO customers (id, name) VALUES (5, 'twice');

INSERT INTO customers (id, name) VALUES (NULL, 'none');

BEGIN;
INSERT INTO customers (id, name) VALUES (5, 'x') ON CONFLICT <<DO NOTHING|(id) DO UPDATE SET name = customers.name RETURNING id>>;
ROLLBACK;

UPDATE orders SET total = total WHERE customer_id = <<5|-1>>;

BEGIN;
UPDATE customers SET id = id + 1000 WHERE id = 5;
ROLLBACK;

INSERT INTO readings VALUES ('device new', 1, NULL, 2.5, B'0101'), ('device new', 2, NULL, NULL, NULL);
SELECT * FROM readings WHERE device = 'device new' ORDER BY n;
DELETE FROM readings WHERE device = 'device new';

BEGIN;
UPDATE settings SET value = 'z' WHERE name = 'one' RETURNING *;
ROLLBACK;

BEGIN;
UPDATE orders SET note = 'x' WHERE status = 'new';
ROLLBACK;

BEGIN;
DELETE FROM orders WHERE total > 50;
ROLLBACK;

-- class: values

-- name: typmods that planning finds
SELECT <<order_id, line, coalesce(NULL::numeric, price) AS p, CASE WHEN true THEN price ELSE 1.5 END FROM items ORDER BY 1, 2 LIMIT 5|coalesce(NULL::numeric, price), count(*) FROM items GROUP BY price ORDER BY 1 LIMIT 4|coalesce(NULL::numeric, i.price) FROM items i JOIN orders o ON o.id = i.line ORDER BY 1 LIMIT 3>>;

-- params: int8=3
SELECT order_id, coalesce(NULL::numeric, price) FROM items WHERE order_id < $1 ORDER BY 1, line;

-- name: COPY of a write without RETURNING does nothing
COPY (<<DELETE FROM orders|UPDATE orders SET note = 'x'|INSERT INTO countries (code, name) VALUES ('zz', 'Zz')|DELETE FROM settings>>) TO STDOUT;
SELECT count(*), count(note) FROM orders;
SELECT count(*) FROM countries;
SELECT count(*) FROM settings;
