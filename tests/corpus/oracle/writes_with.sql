-- WITH queries that write over several shards: rows that are archived, and queries over what was written.

-- class: write with

-- name: rows that are archived where they are
BEGIN;
CREATE TABLE archive (LIKE orders INCLUDING ALL) /* pgbraid: key=customer_id, with=customers */;
WITH gone AS (DELETE FROM orders WHERE total > 50 RETURNING *) INSERT INTO archive SELECT * FROM gone;
SELECT (SELECT count(*) FROM orders), count(*), sum(total), sum(id), sum(customer_id) FROM archive;
WITH gone AS (DELETE FROM orders WHERE status = 'new' AND customer_id <<> 3|IN (3, 4, 5, 6, 7)|= 7>> RETURNING customer_id AS c, id, note, ordered_at) INSERT INTO archive AS a (id, customer_id, note, ordered_at, due) SELECT g.id, g.c, upper(g.note), now(), current_date FROM gone g WHERE g.id % 2 = 0 <<RETURNING a.id, a.customer_id, a.note, a.ordered_at = now()|ON CONFLICT DO NOTHING|ON CONFLICT (customer_id, id) DO UPDATE SET note = 'twice'>>;
SELECT (SELECT count(*) FROM orders), count(*), sum(total), sum(id), sum(customer_id) FROM archive;
ROLLBACK;

BEGIN;
CREATE TABLE archive (c int, line int, at timestamptz DEFAULT now(), note text DEFAULT 'moved', twice int GENERATED ALWAYS AS (line * 2) STORED) /* pgbraid: key=c, with=customers */;
WITH moved (a, b) AS (UPDATE items SET quantity = quantity + 1 WHERE price > 5 RETURNING customer_id, quantity, line) INSERT INTO archive (line, c) SELECT coalesce(b, 0) + line, a FROM moved;
SELECT count(*), count(DISTINCT at), sum(line), sum(twice), min(note), sum(c) FROM archive;
WITH moved AS (DELETE FROM archive a USING customers k WHERE k.id = a.c AND k.country = 'DE' RETURNING a.c, a.line, k.name, k.id) INSERT INTO archive (c, line, note) SELECT <<c|id>>, line + 100, name FROM moved;
SELECT count(*), sum(line), sum(twice), max(note COLLATE "C"), sum(c) FROM archive;
ROLLBACK;

-- name: from a table to itself, and errors
BEGIN;
WITH gone AS (DELETE FROM orders WHERE total > 50 RETURNING *) INSERT INTO orders SELECT * FROM gone;
ROLLBACK;

WITH gone AS (DELETE FROM orders WHERE total > 50 RETURNING *) INSERT INTO items (customer_id, order_id, line) SELECT customer_id, id, 1 FROM gone;

WITH gone AS (DELETE FROM orders RETURNING *) INSERT INTO items (customer_id, order_id, line) SELECT customer_id, id + 70000, 1 / (customer_id - 7) FROM gone;

-- name: outside of blocks
WITH gone AS (DELETE FROM items WHERE line > 2 RETURNING *) INSERT INTO orders (customer_id, id, quantity) SELECT customer_id, 100000 + order_id * 10 + line, quantity FROM gone;
SELECT count(*), sum(quantity) FROM orders WHERE id >= 100000;
DELETE FROM orders WHERE id >= 100000;

-- name: archives that aren't proven
BEGIN;
WITH gone AS (DELETE FROM orders RETURNING *) INSERT INTO <<items (customer_id, order_id, line) SELECT id, customer_id, 1 FROM gone|items (customer_id, order_id, line) SELECT customer_id + 1, id, 1 FROM gone|items (customer_id, order_id, line) SELECT customer_id, count(*), 1 FROM gone GROUP BY 1|customers (id, name) SELECT id + 5000, 'x' FROM gone|settings (name, n) SELECT 'x' || id, customer_id FROM gone|orders (customer_id, id) SELECT g.customer_id, g.id + 5000 FROM gone g JOIN items i ON i.order_id = g.id>>;
ROLLBACK;

BEGIN;
WITH gone AS (UPDATE orders SET customer_id = 9 - customer_id WHERE customer_id < 9 AND customer_id > 0 RETURNING *) INSERT INTO items (customer_id, order_id, line) SELECT customer_id, id + 70000, 1 FROM gone;
ROLLBACK;

-- name: what was written is counted
BEGIN;
WITH gone AS (DELETE FROM orders WHERE <<total > 50|customer_id IN (3, 4, 5, 6)|customer_id = 5|false>> RETURNING *) SELECT count(*), sum(total), max(note), count(DISTINCT status), avg(weight) FROM gone;
SELECT count(*) FROM orders;
ROLLBACK;

BEGIN;
WITH gone AS (DELETE FROM orders RETURNING id, customer_id AS c, status, total) SELECT <<status, count(*), sum(total) FROM gone GROUP BY 1 ORDER BY 1|c, id, rank() OVER (ORDER BY total DESC NULLS LAST, id, c) FROM gone ORDER BY 3, 1, 2 LIMIT 9|DISTINCT c % 5 FROM gone ORDER BY 1|a.c, count(*) FROM gone a JOIN gone b ON b.id = a.c GROUP BY 1 ORDER BY 1|* FROM gone WHERE c = 5 ORDER BY id, c|count(*) FROM gone WHERE total > (SELECT avg(total) FROM gone)|(SELECT count(*) FROM gone), s.* FROM (SELECT max(id), min(c) FROM gone) s|g FROM gone g ORDER BY id, c LIMIT 3|to_json(g) FROM gone g ORDER BY id, c LIMIT 3|1 FROM gone LIMIT 1|n, count(*) FROM gone, generate_series(1, 3) n GROUP BY 1 ORDER BY 1>>;
SELECT count(*) FROM orders;
ROLLBACK;

-- name: rows of all types
BEGIN;
-- order: 1
WITH u AS (UPDATE customers SET name = upper(name), mood = 'happy' WHERE id < 40 RETURNING *) SELECT * FROM u ORDER BY id;
-- order: 1
WITH u AS (DELETE FROM things RETURNING *) SELECT id, u.*, (two).b, attrs -> 'a', path FROM u ORDER BY id;
-- order: 1
WITH u AS (UPDATE readings SET flags = B'1010' WHERE n < 4 RETURNING *) SELECT device || n, flags, at FROM u ORDER BY 1;
ROLLBACK;

-- name: collations of what was returned
BEGIN;
WITH u AS (UPDATE customers SET vip = true RETURNING id, city, nick, email, handle, name) SELECT <<city, id FROM u ORDER BY city, id|nick, id FROM u ORDER BY nick, id|email, id FROM u ORDER BY email, id|count(*), count(DISTINCT handle) FROM u GROUP BY handle ORDER BY 1, 2|max(city), min(nick), max(email), min(name) FROM u|count(*) FROM u WHERE city < nick|count(*) FROM u WHERE email > 'm'>>;
ROLLBACK;

BEGIN;
WITH u AS (UPDATE customers SET vip = true RETURNING id, <<lower(city) AS t|id::text AS t|id + 1 AS t>>) SELECT max(t), count(*) FROM u;
ROLLBACK;

-- name: rows by their keys, of WITH
BEGIN;
-- order: 1,2
WITH n AS (INSERT INTO customers (id, name) VALUES (4003, 'c'), (4001, 'a'), (5, 'five'), (4002, 'b'), (4004, NULL) ON CONFLICT <<DO NOTHING|(id) DO UPDATE SET name = 'was ' || customers.id>> RETURNING id, name, xmax = 0 AS new) SELECT id, name, new, row_number() OVER () FROM n;
WITH n AS (INSERT INTO customers (id, name) VALUES (4013, 'c'), (4011, 'a'), (4012, 'b') RETURNING id, name, joined) SELECT count(*), string_agg(name, ',' ORDER BY id), min(id) FILTER (WHERE name > 'a') FROM n;
SELECT count(*) FROM customers;
ROLLBACK;

BEGIN;
CREATE TABLE fresh (id bigserial PRIMARY KEY, text text, at timestamptz DEFAULT now()) /* pgbraid: key=id */;
WITH n AS (INSERT INTO fresh (text) VALUES ('a'), ('b'), ('c'), ('d') RETURNING id, text) SELECT array_agg(id ORDER BY id), max(text) FROM n;
WITH n AS (INSERT INTO fresh (text) VALUES ('a'), ('b') RETURNING id, at), m AS MATERIALIZED (SELECT max(id) AS top FROM n) SELECT top, n.id FROM n, m ORDER BY 2;
ROLLBACK;

-- name: clocks beside what is written
BEGIN;
WITH u AS (UPDATE orders SET note = 'x' WHERE total > 90 RETURNING ordered_at, id) SELECT count(*), bool_and(ordered_at < now()), max(now()) = now(), current_date = now()::date FROM u;
WITH u AS (UPDATE orders SET ordered_at = now() WHERE total > 90 RETURNING ordered_at, id) SELECT count(*), bool_and(ordered_at = '2000-01-01') FROM u;
WITH u AS (UPDATE orders SET ordered_at = now() WHERE total > 90 RETURNING ordered_at, id) SELECT count(*), bool_and(ordered_at = now()) FROM u;
ROLLBACK;

-- name: what WITH wrote stays, or goes with an error
WITH u AS (UPDATE orders SET note = 'counted' WHERE total > 50 RETURNING customer_id) SELECT count(*), count(DISTINCT customer_id) FROM u;
SELECT count(*) FROM orders WHERE note = 'counted';
WITH u AS (UPDATE orders SET note = 'again' WHERE total > 50 RETURNING customer_id) SELECT 1 / (count(*) - count(*)) FROM u;
WITH u AS (UPDATE orders SET note = 'again' WHERE 1 / (customer_id - 7) > 0 RETURNING customer_id) SELECT count(*) FROM u;
SELECT count(*) FROM orders WHERE note = 'again';

-- name: queries that aren't proven
BEGIN;
WITH gone AS (DELETE FROM orders RETURNING *) SELECT <<count(*) FROM gone g JOIN customers c ON c.id = g.customer_id|count(*), (SELECT count(*) FROM orders) FROM gone|count(*) FROM gone JOIN countries c ON c.code = gone.note|count(*) FROM gone WHERE random() < 2|count(*), txid_current() > 0 FROM gone>>;
ROLLBACK;

BEGIN;
WITH <<customers AS (SELECT 5 AS id), u AS (DELETE FROM orders USING customers c WHERE c.id = customer_id RETURNING *) SELECT count(*) FROM u|a AS (DELETE FROM orders RETURNING id), b AS (DELETE FROM items RETURNING line) SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)|a AS (DELETE FROM orders WHERE id IN (SELECT order_id FROM items) RETURNING id) SELECT count(*) FROM a|a AS (UPDATE orders SET customer_id = customer_id + 1 RETURNING id) SELECT count(*) FROM a|a AS (DELETE FROM orders) SELECT 1>>;
ROLLBACK;

-- class: write with parameters

BEGIN;
-- params: numeric=50, int8=4, text=x | numeric=1, int8=2, text=NULL
WITH u AS (UPDATE orders SET note = $3 WHERE total > $1 RETURNING id, customer_id, note, total) SELECT customer_id % $2 AS rest, count(*), max(total) + $1, count(note), $3 FROM u GROUP BY 1 ORDER BY 1;
-- params: int8=5 | int8=6
WITH gone AS (DELETE FROM orders WHERE customer_id = $1 RETURNING *) SELECT count(*), sum(total) FROM gone;
-- params: int8=7, int8=8, text=p | int8=9, int8=9, text=q
WITH gone AS (DELETE FROM orders WHERE customer_id IN ($1, $2) RETURNING *) INSERT INTO items (customer_id, order_id, line, quantity) SELECT customer_id, id + 70000, length($3), quantity FROM gone RETURNING order_id, line;
-- params: int8=4001, int8=5, text=a | int8=4003, int8=4004, text=b
WITH n AS (INSERT INTO customers (id, name) VALUES ($1, $3), ($2, $3), (4002, 'z') ON CONFLICT DO NOTHING RETURNING id, name) SELECT count(*), max(name) FROM n;
ROLLBACK;
