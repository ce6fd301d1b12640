-- Writes on several shards: counts, RETURNING, rows by VALUES, reference tables; all rows are compared after each case.

-- class: write several

-- name: autocommit, over all shards
UPDATE orders SET note = upper(note) WHERE status = 'new';
SELECT count(*), count(note) FROM orders WHERE note = upper(note);
UPDATE orders SET note = lower(note) WHERE status = 'new';

BEGIN;
UPDATE orders SET total = total + 1, paid = NOT paid WHERE total > 50 RETURNING id, customer_id, total, paid;
SELECT count(*), sum(total) FROM orders;
ROLLBACK;
SELECT count(*), sum(total) FROM orders;

BEGIN;
UPDATE orders SET note = 'x' WHERE <<customer_id IN (5, 6, 7, 8)|customer_id = ANY ('{5,6,7}')|customer_id > 40|status IS NULL|true|false|id % 3 = 0 AND customer_id IN (1, 2, 3)>>;
SELECT count(*) FROM orders WHERE note = 'x';
ROLLBACK;

BEGIN;
UPDATE customers SET mood = 'happy', moods = '{sad,angry}', tags = tags || 'more' WHERE country <<= 'DE'|IS NULL|IN ('FR', 'JP')>> RETURNING id, mood, moods, tags;
ROLLBACK;

BEGIN;
DELETE FROM items WHERE <<quantity > 3|price IS NULL|true|order_id < 20 RETURNING *|customer_id IN (4, 5, 6) RETURNING order_id, line>>;
SELECT count(*) FROM items;
ROLLBACK;

BEGIN;
UPDATE orders o SET note = c.name FROM customers c WHERE c.id = o.customer_id AND c.country = 'DE' RETURNING o.id, c.id, o.note;
ROLLBACK;

BEGIN;
DELETE FROM items i USING orders o WHERE o.customer_id = i.customer_id AND o.id = i.order_id AND o.status = 'paid';
SELECT count(*) FROM items;
ROLLBACK;

BEGIN;
UPDATE customers c SET name = n.name FROM countries n WHERE n.code = c.country AND n.euro;
SELECT count(*) FROM customers c JOIN countries n ON n.name = c.name;
ROLLBACK;

BEGIN;
UPDATE customers c SET credit = (SELECT sum(total) FROM orders o WHERE o.customer_id = c.id) WHERE id < 30;
SELECT sum(credit) FROM customers;
DELETE FROM customers WHERE NOT EXISTS (SELECT FROM orders WHERE customer_id = customers.id);
SELECT count(*) FROM customers;
ROLLBACK;

-- Off the key: not on one shard.
BEGIN;
UPDATE orders SET note = 'x' WHERE <<total > (SELECT avg(total) FROM orders)|id IN (SELECT order_id FROM items)|customer_id IN (SELECT id FROM customers WHERE country = 'DE')>>;
SELECT count(*) FROM orders WHERE note = 'x';
ROLLBACK;

BEGIN;
UPDATE orders SET note = 'x' FROM events e WHERE e.customer_id = orders.customer_id;
ROLLBACK;

BEGIN;
UPDATE orders SET total = 1 / (quantity - quantity) WHERE total > 0;
ROLLBACK;

UPDATE orders SET total = 1 / (customer_id - 17);

DELETE FROM orders WHERE customer_id / (id - 7) = 1;

-- name: what a statement changed is seen by the next
BEGIN;
UPDATE readings SET value = n WHERE device <> 'device 3';
DELETE FROM readings WHERE value > 2;
SELECT count(*), sum(value) FROM readings;
SAVEPOINT s;
DELETE FROM readings;
SELECT count(*) FROM readings;
ROLLBACK TO s;
SELECT count(*) FROM readings;
ROLLBACK;

-- name: rows by their keys
BEGIN;
INSERT INTO customers (id, name, country) VALUES (1001, 'a', 'DE'), (1002, 'b', NULL), (1003, 'c', 'FR'), (1004, upper('d'), 'AT'), (1005, 'e' || 'f', 'XX') RETURNING id, name, country;
SELECT id, name FROM customers WHERE id > 1000 ORDER BY id;
ROLLBACK;

INSERT INTO customers (id, name) VALUES (2001, 'a'), (2002, 'b'), (2003, 'c'), (2004, 'd');
SELECT id, name FROM customers WHERE id > 2000 ORDER BY id;
DELETE FROM customers WHERE id > 2000 RETURNING id;

-- name: one row fails
INSERT INTO customers (id, name) VALUES (3001, 'a'), (3002, 'b'), (5, 'twice'), (3003, 'c');
SELECT count(*) FROM customers WHERE id > 3000;

INSERT INTO customers (id, name) VALUES (3001, 'a'), (3002, 'b'), (3003, NULL), (3001, 'again');

INSERT INTO customers (id, name) VALUES (3001, 'a'), (NULL, 'b'), (3003, 'c');

INSERT INTO customers (id, credit) VALUES (3001, 1), (3002, 99999999999), (3003, 3);

INSERT INTO customers (id, name) VALUES (3001, 'a'), (3002), (3003, 'c');

BEGIN;
INSERT INTO customers (id, name) VALUES (5, 'five'), (6, 'six'), (7, 'seven'), (4001, 'new') ON CONFLICT <<DO NOTHING|(id) DO NOTHING|(id) DO UPDATE SET name = excluded.name RETURNING id, name|(id) DO UPDATE SET name = excluded.name || customers.id WHERE customers.id <> 6>>;
SELECT id, name FROM customers WHERE id IN (5, 6, 7, 4001) ORDER BY id;
ROLLBACK;

BEGIN;
INSERT INTO orders VALUES (1000, 1, 'new', 1.5), (1001, 2, 'new', -2), (1002, 3, DEFAULT, DEFAULT), (1003, 4, 'paid', 1e3) RETURNING *;
SELECT count(*) FROM orders;
ROLLBACK;

BEGIN;
INSERT INTO events (id, kind, at) VALUES ('c4ca4238-a0b9-2382-0dcc-509a6f75849b', 'a', now()), ('c81e728d-9d4c-2f63-6f06-7f89cc14862c', 'b', now()), ('eccbc87e-4b5c-e2fe-2830-8fd9f2a7baf3', 'c', now());
SELECT count(DISTINCT at) FROM events WHERE kind IN ('a', 'b', 'c');
SELECT count(*) FROM events WHERE at = now();
ROLLBACK;

BEGIN;
INSERT INTO readings (device, n, value) VALUES ('new 1', 1, random()), ('new 2', 1, 0.5), ('new 3', 1, 2), ('new 1', 2, NULL);
SELECT device, n FROM readings WHERE device LIKE 'new%' ORDER BY device COLLATE "C", n;
ROLLBACK;

-- class: write parameters

-- params: int8=1001, text=a, int8=1002, text=b, int8=1003, text=NULL
INSERT INTO customers (id, name) VALUES ($1, $2), ($3, $4), ($5, $6) RETURNING id, name;
DELETE FROM customers WHERE id IN (1001, 1002, 1003);

-- params: numeric=50 | numeric=90
UPDATE orders SET note = note WHERE total > $1;

-- params: text=new, int8[]={1,2,3,4,5,6} | text=paid, int8[]={7,8}
UPDATE orders SET status = status WHERE status = $1 AND customer_id = ANY ($2) RETURNING id;

BEGIN;
-- params: int8=7, numeric=2.5
INSERT INTO orders (id, customer_id, total) VALUES (5000, 1, $2), (5001, $1, $2), (5002, 3, $2 * 2) RETURNING id, customer_id, total;
ROLLBACK;

-- class: write reference

BEGIN;
INSERT INTO countries VALUES ('XA', 'Xanadu', 'Asia', false), ('XB', 'Xebec', NULL, NULL) RETURNING code, name;
SELECT count(*) FROM countries;
UPDATE countries SET region = 'Europa' WHERE region = 'Europe' RETURNING code;
DELETE FROM countries WHERE euro IS NULL;
SELECT count(*) FROM countries c JOIN customers k ON k.country = c.code WHERE c.region = 'Europa';
ROLLBACK;

INSERT INTO countries VALUES ('YA', 'Yonder', 'Asia', false);
UPDATE countries SET name = name || '!' WHERE code = 'YA' RETURNING *;
DELETE FROM countries WHERE code = 'YA';

INSERT INTO countries VALUES ('DE', 'again', NULL, NULL);

INSERT INTO countries VALUES ('DE', 'again', NULL, NULL) ON CONFLICT (code) DO UPDATE SET name = countries.name RETURNING name;

BEGIN;
UPDATE products SET price = price * 1.1 WHERE category <<= 'home'|IS NULL|= 'nothing'>>;
SELECT sum(price) FROM products;
SELECT count(*), sum(i.quantity * p.price) FROM items i JOIN products p ON p.id = i.product_id;
ROLLBACK;

BEGIN;
UPDATE products SET price = <<random()|(SELECT max(price) FROM products)|(SELECT sum(total) FROM orders)>> WHERE id = 1;
ROLLBACK;

BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE products SET price = 1 WHERE id = 1;
ROLLBACK;

-- class: write kinds

-- name: all kinds of tables in one transaction
BEGIN;
INSERT INTO settings VALUES ('five', 'e', 5);
UPDATE customers SET name = 'x' WHERE id IN (5, 6, 7);
INSERT INTO countries VALUES ('XC', 'Xyz', NULL, NULL);
DELETE FROM orders WHERE customer_id = 9;
SELECT count(*) FROM settings;
SELECT count(*) FROM orders;
SELECT count(*) FROM customers WHERE name = 'x';
ROLLBACK;

BEGIN;
WITH gone AS (DELETE FROM orders RETURNING *) SELECT count(*) FROM gone;
ROLLBACK;

BEGIN;
INSERT INTO orders (id, customer_id) SELECT id + 10000, id FROM customers;
SELECT count(*) FROM orders;
ROLLBACK;

BEGIN;
UPDATE customers SET id = id + 1000;
ROLLBACK;
