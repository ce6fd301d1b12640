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

-- class: write select

-- name: each shard inserts what it reads
BEGIN;
INSERT INTO orders (id, customer_id) SELECT id + 10000, id FROM customers;
SELECT count(*) FROM orders;
SELECT count(*), sum(id) FROM orders WHERE id > 10000;
ROLLBACK;

BEGIN;
INSERT INTO orders (id, customer_id, total, note) SELECT max(id) + 1000, customer_id, sum(total), 'sum' FROM orders GROUP BY customer_id RETURNING id, customer_id, total;
SELECT count(*) FROM orders WHERE note = 'sum';
ROLLBACK;

BEGIN;
INSERT INTO items SELECT o.id, o.customer_id, 90 + c.id % 5, 1, o.quantity, o.total FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.total IS NOT NULL AND o.total < 1000;
SELECT count(*), sum(price) FROM items;
ROLLBACK;

BEGIN;
INSERT INTO orders (id, customer_id, ordered_at, due) SELECT id + 20000, customer_id, now(), current_date FROM orders WHERE <<true|customer_id IN (3, 4, 5, 6)|customer_id = 7>>;
SELECT count(*) FROM orders WHERE ordered_at = now() AND id > 20000;
ROLLBACK;

-- name: from the target itself
BEGIN;
INSERT INTO orders SELECT id + 100000, customer_id, status, total FROM orders;
INSERT INTO orders SELECT id + 1000000, customer_id, status, total FROM orders;
SELECT count(*), sum(id), sum(total) FROM orders;
ROLLBACK;

BEGIN;
INSERT INTO orders (customer_id, id) SELECT customer_id, id FROM orders WHERE id < 50 ON CONFLICT <<DO NOTHING|(customer_id, id) DO UPDATE SET note = 'again' RETURNING id, note|(customer_id, id) DO UPDATE SET note = concat(orders.note, excluded.id) WHERE orders.id > 20 RETURNING orders.id>>;
SELECT count(*) FROM orders WHERE note = 'again';
ROLLBACK;

-- name: rows that move to other shards
BEGIN;
INSERT INTO customers (id, name, country, credit) SELECT id + 5000, name, country, total FROM (SELECT o.id, c.name, c.country, o.total FROM orders o JOIN customers c ON c.id = o.customer_id) t;
SELECT count(*), sum(credit) FROM customers WHERE id > 5000;
ROLLBACK;

BEGIN;
INSERT INTO customers (id, name) SELECT id + 5000, upper(name) FROM customers WHERE id < 20 ORDER BY id <<|DESC>> RETURNING id, name;
SELECT count(*) FROM customers;
ROLLBACK;

BEGIN;
INSERT INTO customers (id, name) SELECT id + 6000, name FROM customers ORDER BY <<id|name DESC NULLS LAST, id>> LIMIT 7 <<|OFFSET 2>> RETURNING *;
ROLLBACK;

BEGIN;
INSERT INTO events (id, kind, customer_id, at) SELECT md5(customer_id || '/' || id)::uuid, status, customer_id, ordered_at FROM orders;
SELECT count(*), count(DISTINCT id), count(at) FROM events;
ROLLBACK;

BEGIN;
INSERT INTO readings (device, n, value) SELECT coalesce(country, 'none'), count(*), avg(credit) FROM customers GROUP BY country RETURNING device, n;
SELECT count(*), sum(n) FROM readings;
ROLLBACK;

BEGIN;
INSERT INTO readings (device, n, at) SELECT 'x' || g, g, '2020-01-01' FROM generate_series(1, 300) g;
SELECT count(*), sum(n) FROM readings WHERE device LIKE 'x%' AND at = '2020-01-01';
ROLLBACK;

BEGIN;
INSERT INTO orders (id, customer_id, total) SELECT row_number() OVER (ORDER BY id, customer_id) + 70000, id % 40 + 1, avg(total) OVER () FROM orders;
SELECT count(*), sum(id) FROM orders WHERE id > 70000;
ROLLBACK;

BEGIN;
WITH x AS (SELECT customer_id, sum(total) AS s FROM orders GROUP BY 1), y AS (SELECT id FROM customers WHERE vip) INSERT INTO customers (id, name, credit) SELECT id + 8000, 'x', s FROM x JOIN y ON y.id = x.customer_id RETURNING id, name, credit;
ROLLBACK;

BEGIN;
INSERT INTO orders (id, customer_id, status) (SELECT id + 300, id + 1, 'a' FROM customers UNION ALL SELECT n, 5, device FROM readings WHERE n < 3) ON CONFLICT DO NOTHING;
SELECT count(*), count(DISTINCT status) FROM orders;
ROLLBACK;

-- name: constants take the type of their column
BEGIN;
INSERT INTO orders (customer_id, id, status, due, took, total, paid, small, label) SELECT id + 1, 9000, NULL, '2024-02-29', '3 days', '12.345', 'yes', '7', 'abc' FROM customers RETURNING due, took, total, paid, small, label;
SELECT count(*), sum(total) FROM orders WHERE id = 9000;
ROLLBACK;

BEGIN;
INSERT INTO customers (id, mood, moods, tags, profile, born) SELECT id + 4000, 'happy', '{sad,ok}', '{a,b}', '{"a": 1}', '2001-01-01' FROM customers WHERE id < 9 RETURNING id, mood, moods, tags, profile;
ROLLBACK;

BEGIN;
INSERT INTO customers SELECT id + 4000, 'n', c.email, c.city, nick FROM customers c WHERE id < 9 RETURNING *;
INSERT INTO customers SELECT c.* FROM (SELECT id + 7000 AS id, name, email, city, nick, country, vip, mood, born, joined, credit, score, tags, profile, code, photo, seen, moods, handle FROM customers) c;
SELECT count(*), sum(credit), count(photo), count(moods) FROM customers WHERE id > 7000;
SELECT * FROM customers WHERE id > 7000 ORDER BY id;
ROLLBACK;

-- name: values are converted as by assignment
BEGIN;
INSERT INTO orders (id, customer_id, <<label|total|small|due|quantity|weight4>>) SELECT id, id + 1, <<name|12345678901.5|70000|joined|2.5|1e300>> FROM customers;
SELECT count(*), sum(total), sum(quantity), sum(small), count(due) FROM orders;
ROLLBACK;

BEGIN;
INSERT INTO orders (id, customer_id, label) SELECT id, id + 1, 'abc          ' FROM customers RETURNING label || '|';
ROLLBACK;

BEGIN;
INSERT INTO customers (id, name) SELECT <<total|total::float8|id::text|NULL::bigint|nullif(id, 7)>>, 'x' FROM orders WHERE customer_id < 30;
ROLLBACK;

BEGIN;
INSERT INTO customers (id, code) SELECT id + 3000, <<country|'abcdefghi'|name>> FROM customers WHERE id < 20 RETURNING code;
ROLLBACK;

-- name: conflicts
BEGIN;
INSERT INTO customers (id, name) SELECT quantity, 'q' || quantity FROM orders WHERE quantity IS NOT NULL <<|ON CONFLICT DO NOTHING|ON CONFLICT (id) DO UPDATE SET name = excluded.name>>;
SELECT count(*), sum(id) FROM customers;
ROLLBACK;

BEGIN;
INSERT INTO customers (id, name) SELECT DISTINCT quantity + 30, 'q' || quantity FROM orders WHERE quantity IS NOT NULL ON CONFLICT (id) DO UPDATE SET name = excluded.name || customers.id <<|WHERE customers.id % 2 = 0>> RETURNING id, name;
SELECT count(*), sum(id) FROM customers;
ROLLBACK;

-- name: into and from unsharded and reference tables
BEGIN;
INSERT INTO settings SELECT 'c' || id, name, id FROM customers <<|WHERE id = 5|ORDER BY id LIMIT 3>> RETURNING name, value, n;
SELECT count(*), sum(n) FROM settings;
INSERT INTO customers (id, name) SELECT n + 900, value FROM settings WHERE n IS NOT NULL ON CONFLICT DO NOTHING;
SELECT count(*), sum(id) FROM customers;
INSERT INTO orders (id, customer_id, note) SELECT s.n, c.id, s.value FROM settings s JOIN customers c ON c.id = s.n ON CONFLICT DO NOTHING;
SELECT count(*) FROM orders;
ROLLBACK;

BEGIN;
INSERT INTO countries SELECT 'Z' || id, name, NULL, vip FROM customers WHERE name IS NOT NULL <<|ORDER BY id DESC>> RETURNING code;
SELECT count(*), count(euro) FROM countries;
INSERT INTO countries SELECT code || code, name FROM countries ON CONFLICT DO NOTHING;
SELECT count(*), count(euro) FROM countries;
ROLLBACK;

BEGIN;
INSERT INTO products (id, name, price) SELECT customer_id + 1000, 'sum', sum(total) FROM orders GROUP BY customer_id;
INSERT INTO products SELECT * FROM products WHERE id < 5 ON CONFLICT (id) DO UPDATE SET price = excluded.price + 1 RETURNING id, price;
SELECT count(*), sum(price) FROM products;
ROLLBACK;

BEGIN;
INSERT INTO products (id, name, price) VALUES (5000, 'r', random());
SELECT count(*) FROM products WHERE price BETWEEN 0 AND 1 AND id = 5000;
ROLLBACK;

BEGIN;
INSERT INTO orders (id, customer_id, note) SELECT 1, 9, name FROM countries WHERE code = 'DE';
INSERT INTO orders (id, customer_id, note) SELECT 1000 + length(name), length(code) + n.id, name FROM countries, (SELECT id FROM products) n ON CONFLICT DO NOTHING;
SELECT count(*), sum(id), sum(customer_id) FROM orders;
ROLLBACK;

-- name: in several parts
BEGIN;
INSERT INTO readings (device, n, value) SELECT 'd' || g % 97, g, sqrt(g) FROM generate_series(1, 12000) g ORDER BY g DESC RETURNING n, device;
SELECT count(*), sum(n), max(value) FROM readings;
INSERT INTO readings (device, n, value) SELECT 'e' || n % 89, n, value FROM readings ON CONFLICT DO NOTHING;
SELECT count(*), sum(n), max(value) FROM readings;
INSERT INTO readings (device, n) SELECT 'e' || n % 89, n FROM readings ON CONFLICT (device, n) DO UPDATE SET value = -1;
SELECT count(*), sum(n), sum(value) FROM readings;
INSERT INTO settings SELECT device || n, repeat('x', n % 1000), n FROM readings;
SELECT count(*), sum(n), sum(length(value)) FROM settings;
ROLLBACK;

-- name: one row whose key is computed
BEGIN;
INSERT INTO orders (id, customer_id, note) VALUES (1000, (SELECT max(id) FROM customers), 'x') RETURNING *;
INSERT INTO customers (id, name, mood) VALUES (abs(-7000), upper('x'), 'sad') RETURNING id, name, mood;
INSERT INTO events (id, kind) VALUES (md5('x')::uuid, 'm');
SELECT count(*) FROM events WHERE kind = 'm';
ROLLBACK;

-- name: nothing to insert
INSERT INTO customers (id, name) SELECT id + 5000, name FROM customers WHERE id < 0;
INSERT INTO countries SELECT name, name FROM customers WHERE id < 0 RETURNING *;
INSERT INTO settings SELECT name FROM customers WHERE id < 0 RETURNING *;

-- name: failures leave nothing
INSERT INTO customers (id, name) SELECT id + 10, name FROM customers;

INSERT INTO orders (customer_id, id, total) SELECT id + 1, 7777, 1 / (id - 30) FROM customers;

INSERT INTO settings SELECT name, country FROM customers WHERE name IS NULL;

INSERT INTO settings SELECT 'twice', country FROM customers;

INSERT INTO customers (id, name, nothing) SELECT id + 10, name, 1 FROM customers;

INSERT INTO customers (id) SELECT id, name FROM customers;

INSERT INTO orders (customer_id, id, due) SELECT id + 1, 7777, name FROM customers;

-- name: autocommit
INSERT INTO customers (id, name) SELECT id + 50000, name FROM customers WHERE id < 30;
SELECT count(*) FROM customers WHERE id > 50000;
INSERT INTO orders (id, customer_id) SELECT id, id FROM customers WHERE id > 50000;
DELETE FROM orders WHERE customer_id > 50000;
DELETE FROM customers WHERE id > 50000;

-- class: write parameters

BEGIN;
-- params: int8=100, text=a | int8=200, text=NULL
INSERT INTO customers (id, name, country) SELECT id + 20000 + $1, $2, country FROM customers WHERE id < 12 RETURNING id, name;
-- params: int8=9, int8=3
INSERT INTO orders (id, customer_id) SELECT id + 30000 + $2, $1 FROM orders;
SELECT count(*) FROM orders WHERE customer_id = 9;
-- params: ?=2024-01-01, numeric=1.239
INSERT INTO orders (id, customer_id, due, total) SELECT id + 40000, customer_id + 1, $1, $2 FROM orders WHERE id < 20 RETURNING due, total;
ROLLBACK;

-- class: write key

-- name: a key that is NULL or missing
INSERT INTO customers (id, name) VALUES (NULL, 'x');

INSERT INTO customers (name) VALUES ('x') RETURNING id;

INSERT INTO customers (id, name) VALUES (3001, 'a'), (NULL, 'b'), (3003, 'c');

INSERT INTO orders (id, total) SELECT id, total FROM orders;

INSERT INTO orders (id, total) SELECT id, total FROM orders WHERE id < 0;

INSERT INTO customers (id, name) SELECT NULL, name FROM customers;

INSERT INTO orders (id, customer_id) SELECT id, nullif(customer_id, 17) FROM orders;

INSERT INTO readings (n) VALUES (1);

BEGIN;
-- params: int8=NULL, text=x
INSERT INTO customers (id, name) VALUES ($1, $2);
ROLLBACK;

-- class: write moves

-- name: rows get other keys
BEGIN;
UPDATE customers SET id = id + 1000;
SELECT count(*), sum(id), count(photo), count(moods) FROM customers WHERE id > 1000;
SELECT * FROM customers ORDER BY id LIMIT 20;
UPDATE customers SET id = id - 1000, name = upper(name), mood = 'sad' WHERE id % 3 = 0 RETURNING id, name, mood, tags;
SELECT count(*), sum(id) FROM customers;
ROLLBACK;

BEGIN;
UPDATE orders SET customer_id = <<7|customer_id + 1|id|customer_id % 3 + 50|abs(-customer_id) + 2>> <<|WHERE status = 'new'|WHERE customer_id = 4|WHERE customer_id IN (4, 5, 6, 7) AND total > 10>> RETURNING id, customer_id, total;
SELECT customer_id, count(*), sum(total) FROM orders GROUP BY 1 ORDER BY 1;
ROLLBACK;

BEGIN;
UPDATE orders o SET (customer_id, quantity) = (o.customer_id + 1, quantity + 1), total = o.total * 2, note = 'moved', due = '2024-02-29', label = NULL, took = '1 day' WHERE paid RETURNING o.*;
SELECT count(*), sum(quantity), sum(total), count(due) FROM orders WHERE note = 'moved';
ROLLBACK;

BEGIN;
UPDATE orders SET customer_id = customer_id + 1, ordered_at = now() WHERE id < 60;
UPDATE orders SET customer_id = customer_id + 1 WHERE ordered_at = now() RETURNING id;
SELECT count(*), sum(customer_id) FROM orders WHERE ordered_at = now();
SAVEPOINT s;
UPDATE orders SET customer_id = 1;
SELECT count(*) FROM orders WHERE customer_id = 1;
ROLLBACK TO s;
SELECT count(*), sum(customer_id) FROM orders;
ROLLBACK;

BEGIN;
UPDATE events SET id = md5(id::text)::uuid, level = level + 1;
SELECT count(*), count(DISTINCT id), sum(level) FROM events;
UPDATE readings SET device = upper(device) || '!', value = NULL WHERE n > 1 RETURNING device, n, flags;
SELECT device, count(*) FROM readings GROUP BY 1 ORDER BY device COLLATE "C";
UPDATE items SET customer_id = customer_id + 1, price = price + 1;
SELECT sum(customer_id), sum(price) FROM items;
ROLLBACK;

BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE customers SET id = -id WHERE id < 9 RETURNING id, name;
SELECT count(*), sum(id) FROM customers;
ROLLBACK;

-- name: keys that stay
BEGIN;
UPDATE orders SET customer_id = customer_id, note = 'same' WHERE id < 30 RETURNING id, note;
UPDATE orders SET customer_id = 5, note = 'same' WHERE customer_id = 5 RETURNING id, note;
UPDATE orders o SET note = 'c', customer_id = o.customer_id FROM customers c WHERE c.id = o.customer_id AND c.vip;
SELECT note, count(*) FROM orders GROUP BY 1 ORDER BY 2, 1;
ROLLBACK;

BEGIN;
INSERT INTO customers (id, name) VALUES (5, 'five'), (6, 'six'), (4001, 'new') ON CONFLICT (id) DO UPDATE SET id = excluded.id, name = excluded.name RETURNING id, name;
INSERT INTO orders (customer_id, id, note) SELECT customer_id, id, 'again' FROM orders WHERE id < 20 ON CONFLICT (customer_id, id) DO UPDATE SET id = excluded.id, customer_id = excluded.customer_id, note = excluded.note;
SELECT count(*) FROM orders WHERE note = 'again';
ROLLBACK;

-- name: moves that fail
UPDATE customers SET id = <<5|NULL|'x'|id + 100000 + 0 / (id - 30)>> WHERE id > 20;

UPDATE customers SET id = 5 WHERE id = 6;

UPDATE orders SET customer_id = NULL WHERE customer_id = 9;

UPDATE customers SET id = id + 1000, credit = 1e12 WHERE id > 3;

BEGIN;
UPDATE customers SET id = 5 WHERE id = 6;
SELECT 1;
ROLLBACK;

-- name: moves that autocommit
UPDATE orders SET customer_id = customer_id + 100;
SELECT count(*), sum(customer_id) FROM orders;
UPDATE orders SET customer_id = customer_id - 100 RETURNING id;

-- name: moves with parameters
BEGIN;
-- params: int8=7, int8=8 | int8=9, int8=8
UPDATE orders SET customer_id = $1, note = 'p' WHERE customer_id = $2 RETURNING id, customer_id;
-- params: int8=3, text=new
UPDATE orders SET customer_id = customer_id + $1, note = $2 WHERE status = $2 RETURNING id, customer_id, note;
SELECT count(*), sum(customer_id) FROM orders;
ROLLBACK;

-- name: not proven
BEGIN;
UPDATE orders SET customer_id = <<(SELECT max(id) FROM customers)|(random() * 10)::int>> WHERE id < 5;
ROLLBACK;

UPDATE orders SET customer_id = DEFAULT WHERE id < 5;

BEGIN;
UPDATE orders SET customer_id = c.id + 1 FROM customers c WHERE c.id = customer_id AND false;
ROLLBACK;

-- class: write merge

-- name: confined to one shard
BEGIN;
MERGE INTO customers t USING (VALUES (<<5|4005>>, 'merged')) s(id, name) ON t.id = s.id WHEN MATCHED THEN UPDATE SET name = s.name WHEN NOT MATCHED THEN INSERT (id, name) VALUES (s.id, s.name);
SELECT id, name FROM customers WHERE name = 'merged';
ROLLBACK;

BEGIN;
MERGE INTO customers t USING (SELECT <<7|4007>> AS id, 'x'::text AS name) s ON t.id = s.id AND t.id > 0 WHEN MATCHED AND t.vip THEN DELETE WHEN MATCHED THEN UPDATE SET id = t.id, name = 'm' WHEN NOT MATCHED AND s.id > 9 THEN INSERT VALUES (s.id, s.name || '!') WHEN NOT MATCHED THEN DO NOTHING;
SELECT id, name FROM customers WHERE id IN (7, 4007);
ROLLBACK;

BEGIN;
MERGE INTO orders t USING (SELECT * FROM items WHERE customer_id = 9) s ON t.customer_id = s.customer_id AND t.id = s.order_id AND s.line = 1 WHEN MATCHED THEN UPDATE SET note = 'merged', quantity = s.quantity WHEN NOT MATCHED THEN INSERT (customer_id, id, note) VALUES (9, s.order_id + 5000 + s.line * 10000, 'new');
SELECT note, count(*) FROM orders WHERE customer_id = 9 GROUP BY 1 ORDER BY 1;
ROLLBACK;

BEGIN;
MERGE INTO readings t USING (VALUES ('device 2', 1, 5.5), ('device 2', 99, 6.5)) s(device, n, value) ON t.device = s.device AND t.n = s.n WHEN MATCHED THEN UPDATE SET value = s.value WHEN NOT MATCHED THEN INSERT (device, n, value) VALUES (s.device, s.n, s.value);
SELECT n, value FROM readings WHERE device = 'device 2' ORDER BY n;
ROLLBACK;

BEGIN;
-- params: int8=5, text=p | int8=4010, text=q
MERGE INTO customers t USING (SELECT $1::bigint AS id, $2::text AS name) s ON t.id = s.id WHEN MATCHED THEN UPDATE SET name = s.name WHEN NOT MATCHED THEN INSERT (id, name) VALUES (s.id, s.name);
SELECT id, name FROM customers WHERE name IN ('p', 'q') ORDER BY id;
ROLLBACK;

-- name: each shard its own rows
BEGIN;
MERGE INTO orders t USING items s ON t.customer_id = s.customer_id AND t.id = s.order_id AND s.line = 1 WHEN MATCHED AND t.paid THEN DELETE WHEN MATCHED THEN UPDATE SET quantity = t.quantity + s.quantity, note = 'merged' WHEN NOT MATCHED AND s.line = 2 THEN INSERT (customer_id, id, note) VALUES (s.customer_id, s.order_id + 100000, 'new');
SELECT note, count(*), sum(quantity) FROM orders GROUP BY 1 ORDER BY 2, 1;
ROLLBACK;

BEGIN;
MERGE INTO customers t USING (SELECT customer_id, sum(total) AS total FROM orders GROUP BY customer_id) s ON s.customer_id = t.id WHEN MATCHED THEN UPDATE SET credit = s.total WHEN NOT MATCHED THEN INSERT (id, name, credit) VALUES (s.customer_id, 'new', s.total);
SELECT count(*), sum(credit), count(*) FILTER (WHERE name = 'new') FROM customers;
ROLLBACK;

BEGIN;
MERGE INTO customers t USING countries s ON t.country = s.code WHEN MATCHED AND s.euro THEN UPDATE SET name = s.name WHEN MATCHED THEN DELETE;
SELECT count(*), count(DISTINCT name) FROM customers;
ROLLBACK;

BEGIN;
MERGE INTO orders t USING items s ON t.customer_id = s.customer_id WHEN MATCHED THEN UPDATE SET note = 'twice';
ROLLBACK;

MERGE INTO orders t USING orders s ON t.customer_id = s.customer_id AND t.id = s.id WHEN MATCHED THEN UPDATE SET total = 1 / (s.customer_id - 17);

-- name: not proven
BEGIN;
MERGE INTO customers t USING countries s ON t.country = s.code WHEN NOT MATCHED THEN INSERT (id, name) VALUES (length(s.name) + 5000, s.name);
ROLLBACK;

BEGIN;
MERGE INTO customers t USING orders s ON t.id = s.quantity WHEN MATCHED AND false THEN DELETE;
ROLLBACK;

BEGIN;
MERGE INTO customers t USING (VALUES (5, 'a'), (6, 'b'), (7, 'c')) s(id, name) ON t.id = s.id WHEN MATCHED THEN UPDATE SET name = s.name;
ROLLBACK;

-- class: write with

-- name: confined to one shard
BEGIN;
WITH gone AS (DELETE FROM orders WHERE customer_id = 5 RETURNING *) INSERT INTO orders (id, customer_id, note, total) SELECT id + 9000, customer_id, 'again', total FROM gone RETURNING id, customer_id;
SELECT count(*), sum(total) FROM orders WHERE customer_id = 5;
ROLLBACK;

BEGIN;
WITH o AS (INSERT INTO orders (id, customer_id, note) VALUES (9001, 7, 'n'), (9002, 7, 'm') RETURNING id, customer_id AS who), i AS (INSERT INTO items (order_id, customer_id, line, quantity) SELECT id, who, 1, 5 FROM o RETURNING *) SELECT o.*, i.quantity FROM o JOIN i ON i.order_id = o.id AND i.customer_id = o.who ORDER BY o.id;
SELECT count(*) FROM items WHERE order_id > 9000;
ROLLBACK;

BEGIN;
WITH c AS (UPDATE customers SET credit = 1, country = 'DE' WHERE id = 9 RETURNING id, country) UPDATE orders SET note = c.country FROM c WHERE c.id = customer_id RETURNING orders.id, note;
WITH d AS (DELETE FROM items WHERE customer_id = 9 RETURNING order_id, customer_id) DELETE FROM orders o USING d WHERE o.customer_id = d.customer_id AND o.id = d.order_id RETURNING o.id;
SELECT count(*) FROM orders WHERE customer_id = 9;
ROLLBACK;

BEGIN;
WITH u AS (UPDATE orders SET status = 'x' WHERE customer_id = 9 AND status = 'new' RETURNING *), n AS (SELECT count(*) AS n FROM u) INSERT INTO orders (customer_id, id, quantity) SELECT 9, 8000, n FROM n RETURNING quantity;
ROLLBACK;

BEGIN;
-- params: int8=5, text=p | int8=8, text=q
WITH o AS (INSERT INTO orders (customer_id, id, note) VALUES ($1, 9100, $2) RETURNING customer_id, id) UPDATE customers SET name = $2 FROM o WHERE o.customer_id = customers.id RETURNING customers.id, name;
ROLLBACK;

-- name: not proven
BEGIN;
WITH gone AS (DELETE FROM orders WHERE customer_id = 5 RETURNING *) INSERT INTO orders (id, customer_id) SELECT id, customer_id + 1 FROM gone;
ROLLBACK;

BEGIN;
WITH o AS (UPDATE orders SET customer_id = 6 WHERE customer_id = 5 RETURNING customer_id) SELECT count(*) FROM o JOIN customers c ON c.id = o.customer_id;
ROLLBACK;

-- class: write several

-- name: a row's place
BEGIN;
<<DELETE FROM orders|UPDATE orders SET note = 'x'|UPDATE countries SET name = 'x'>> WHERE ctid = '(0,1)';
ROLLBACK;

-- class: write sub-query

-- name: found by rows of other shards
BEGIN;
UPDATE orders SET note = 'x' WHERE <<id IN (SELECT order_id FROM items)|id NOT IN (SELECT order_id FROM items WHERE order_id IS NOT NULL)|id NOT IN (SELECT NULL::bigint)|id = ANY (SELECT order_id FROM items WHERE price > 10)|id > ALL (SELECT order_id FROM items WHERE line = 2)|total > (SELECT avg(total) FROM orders)|total > (SELECT 1 WHERE false)|EXISTS (SELECT FROM events WHERE level > 2)|NOT EXISTS (SELECT FROM customers WHERE id < 0) AND id % 3 = 0|status IN (SELECT status FROM orders WHERE id < 5)|id % 10 IN (SELECT n FROM readings) OR customer_id IN (SELECT max(id) FROM customers)>> <<|RETURNING id, customer_id, note>>;
SELECT count(*) FROM orders WHERE note = 'x';
ROLLBACK;

-- name: found by keys
BEGIN;
DELETE FROM items WHERE customer_id <<IN (SELECT id FROM customers WHERE country = 'DE' AND vip)|= (SELECT min(customer_id) FROM orders)|= (SELECT customer_id FROM orders WHERE id < 0)|IN (SELECT customer_id FROM orders GROUP BY 1 HAVING count(*) > 4) AND order_id IN (SELECT id FROM orders WHERE status = 'new')>>;
SELECT count(*), sum(order_id) FROM items;
ROLLBACK;

-- name: the same in one snapshot
BEGIN ISOLATION LEVEL REPEATABLE READ;
DELETE FROM items WHERE customer_id IN (SELECT customer_id FROM orders GROUP BY 1 HAVING count(*) > 4) AND order_id IN (SELECT id FROM orders WHERE status = 'new');
UPDATE orders SET quantity = (SELECT max(quantity) FROM items), total = (SELECT sum(total) FROM orders), note = (SELECT min(code) FROM countries) WHERE id IN (SELECT order_id FROM items);
SELECT count(*), sum(quantity), sum(total), count(note) FROM orders;
ROLLBACK;

-- name: values from other shards
BEGIN;
UPDATE customers SET <<credit = (SELECT sum(total) FROM orders)|tags = ARRAY(SELECT status FROM orders WHERE id < 9 ORDER BY id)|vip = EXISTS (SELECT FROM events)|mood = (SELECT mood FROM customers WHERE mood IS NOT NULL ORDER BY id LIMIT 1)|born = (SELECT max(born) FROM customers)|joined = (SELECT min(joined) FROM customers)|score = (SELECT avg(score) FROM customers)|name = (SELECT name FROM countries ORDER BY code LIMIT 1)|credit = (SELECT total FROM orders WHERE id < 3)>> WHERE id < 40;
SELECT count(credit), sum(credit), count(tags), count(vip), min(born) FROM customers;
ROLLBACK;

-- name: of reference tables
BEGIN;
UPDATE products SET price = (SELECT max(total) FROM orders WHERE id < 50) WHERE id IN (1, 2);
DELETE FROM countries WHERE code NOT IN (SELECT country FROM customers WHERE country IS NOT NULL);
SELECT (SELECT sum(price) FROM products), (SELECT count(*) FROM countries);
ROLLBACK;

-- name: what stays correlated, or isn't taken
BEGIN;
UPDATE orders SET note = 'x' WHERE <<id IN (SELECT order_id FROM items WHERE items.line = orders.quantity)|EXISTS (SELECT FROM items WHERE order_id = orders.id)|(id, status) IN (SELECT order_id, 'new' FROM items)|ctid = (SELECT ctid FROM orders LIMIT 1)>>;
SELECT count(*) FROM orders WHERE note = 'x';
ROLLBACK;

-- name: new rows
BEGIN;
INSERT INTO orders (id, customer_id, note) VALUES <<((SELECT max(id) + 1 FROM orders), 7, (SELECT name FROM countries ORDER BY code LIMIT 1))|(9000, (SELECT min(id) FROM customers), 'x'), (9001, 8, 'y')|(9000, 8, (SELECT note FROM orders WHERE id < 0))>> <<RETURNING id, customer_id, note|ON CONFLICT DO NOTHING>>;
SELECT count(*), max(id) FROM orders;
ROLLBACK;

-- name: outside of blocks
DELETE FROM items WHERE order_id IN (SELECT id FROM orders WHERE id < 3);
SELECT count(*) FROM items;
UPDATE orders SET quantity = (SELECT max(n) FROM readings) WHERE total > (SELECT avg(total) FROM orders WHERE id < 9) RETURNING id, quantity;

-- name: what reads beside its sub-query
BEGIN <<|ISOLATION LEVEL REPEATABLE READ>>;
UPDATE orders SET note = 'x' FROM items i WHERE i.customer_id = orders.customer_id AND i.order_id = orders.id AND orders.quantity IN (SELECT n FROM readings);
DELETE FROM items USING orders o WHERE o.customer_id = items.customer_id AND o.id = items.order_id AND o.total > (SELECT avg(total) FROM orders);
SELECT (SELECT count(*) FROM orders WHERE note = 'x'), (SELECT count(*) FROM items);
ROLLBACK;

-- name: styles of settings
BEGIN;
SET LOCAL <<datestyle = 'SQL, DMY'|DateStyle = 'German'|extra_float_digits = 0|intervalstyle = 'sql_standard'>>;
UPDATE customers SET born = (SELECT max(born) FROM customers WHERE born < '2000-01-01') WHERE id < 9;
UPDATE customers SET score = (SELECT avg(score) FROM customers) WHERE id < 9;
SELECT min(born), max(score) FROM customers WHERE id < 9;
ROLLBACK;

-- name: arrays, rows, operators by their schema
BEGIN;
UPDATE <<customers SET vip = true WHERE tags IN (SELECT tags FROM customers WHERE id < 5)|customers SET vip = true WHERE id OPERATOR(pg_catalog.=) ANY (SELECT order_id FROM items WHERE line = 1)|orders SET (quantity) = (SELECT max(quantity) FROM items)|orders SET (quantity, note) = (SELECT max(quantity), min(status) FROM items, events)|orders SET (quantity, note) = ROW ((SELECT max(quantity) FROM items), 'x')>>;
SELECT (SELECT count(*) FROM customers WHERE vip), (SELECT sum(quantity) FROM orders), (SELECT min(note) FROM orders);
ROLLBACK;

-- class: write sub-query parameters

BEGIN;
-- params: int4=2 | int4=NULL
UPDATE orders SET quantity = $1 WHERE id IN (SELECT order_id FROM items WHERE line < $1) AND id > $1 RETURNING id, quantity;
ROLLBACK;
