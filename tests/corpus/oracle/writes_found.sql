-- UPDATE and DELETE whose rows are found by rows of other shards. Where a row has several matches, what it gets hangs on
-- none of them, or is only counted.

-- class: write found

-- name: joined off the key
BEGIN;
UPDATE orders SET note = 'x' FROM <<items i WHERE i.order_id = orders.id|items i WHERE i.order_id = orders.id AND i.line = 2 AND i.quantity > 3|events e WHERE e.level = orders.small|customers c WHERE c.id = orders.quantity AND c.vip|countries c WHERE c.name = orders.note|settings s WHERE s.n = orders.small|customers c JOIN countries n ON n.code = c.country WHERE c.id = orders.quantity|(SELECT order_id, count(*) AS n FROM items GROUP BY 1) AS i WHERE i.order_id = orders.id AND i.n > 1|generate_series(1, 3) g WHERE g = orders.quantity AND EXISTS (SELECT FROM events WHERE level = g)|readings r, things t WHERE r.n = orders.quantity AND t.id = r.n|status_sums s WHERE s.status = orders.status AND s.n > 50|items i WHERE false>>;
SELECT count(*), sum(id) FROM orders WHERE note = 'x';
ROLLBACK;

BEGIN;
DELETE FROM orders o USING <<items i WHERE i.order_id = o.id AND i.price > 20|events e WHERE e.customer_id = o.id|customers c WHERE c.id = o.id AND c.vip IS NULL|settings s WHERE s.n = o.id|orders p WHERE p.id = o.id + 1 AND p.customer_id > o.customer_id|items i LEFT JOIN products p ON p.id = i.product_id WHERE i.order_id = o.id AND p.id IS NULL>>;
SELECT count(*), sum(id), sum(total) FROM orders;
ROLLBACK;

-- name: values that come from others
BEGIN;
UPDATE orders o SET total = i.price * 2, note = upper(o.note) || '!', quantity = o.quantity + i.quantity, label = NULL, took = '3 days', due = o.due + 1, discount = i.price::float8 FROM items i WHERE i.order_id = o.id AND i.line = 1;
SELECT count(*), sum(total), sum(quantity), sum(discount), count(label), min(took), min(due), min(note) FROM orders;
ROLLBACK;

BEGIN;
UPDATE customers c SET (name, credit) = (e.kind, e.level), tags = ARRAY[e.kind], profile = e.payload, joined = e.at, score = e.level / 7.0, vip = e.level > 2, born = e.at::date, seen = e.at::timestamp, photo = decode(md5(e.id::text), 'hex'), code = e.kind FROM events e WHERE e.id = md5('event' || c.id)::uuid;
SELECT id, name, credit, tags, profile, joined, score, vip, born, seen, photo, code FROM customers ORDER BY id;
ROLLBACK;

BEGIN;
UPDATE customers c SET mood = d.mood, moods = d.moods, handle = d.nick, nick = d.handle, city = d.email, email = d.city FROM customers d WHERE d.id = c.id + 1;
SELECT id, mood, moods, handle, nick, city, email FROM customers ORDER BY id;
ROLLBACK;

BEGIN;
UPDATE things t SET word = u.word, attrs = u.attrs, path = u.path, two = u.two, size = u.size, reach = u.reach, pairs = u.pairs FROM things u WHERE u.id = 91 - t.id;
SELECT * FROM things ORDER BY id;
ROLLBACK;

-- name: values that are converted as they are assigned
BEGIN;
UPDATE orders o SET small = i.price, label = i.order_id, weight4 = i.price, big = i.price, quantity = i.price / 7 FROM items i WHERE i.order_id = o.id AND i.line = 2;
SELECT sum(small), min(label), sum(weight4), sum(big), sum(quantity) FROM orders;
ROLLBACK;

BEGIN;
<<UPDATE orders o SET small = i.order_id * 1000 FROM items i WHERE i.order_id = o.id|UPDATE orders o SET label = repeat('x', i.line * 10) FROM items i WHERE i.order_id = o.id AND o.id > 20|UPDATE orders o SET total = 1 / (i.line - 2) FROM items i WHERE i.order_id = o.id|UPDATE orders o SET due = i.price FROM items i WHERE i.order_id = o.id|UPDATE orders o SET customer_id = NULL FROM settings s WHERE s.n = o.id|UPDATE orders o SET id = NULL FROM settings s WHERE s.n = o.id|UPDATE orders o SET id = 7 FROM items i WHERE i.line = 3 AND i.order_id = o.id|UPDATE orders o SET nothing = 1 FROM items i WHERE i.order_id = o.id|UPDATE things t SET size = 0 - i.line FROM items i WHERE i.order_id = t.id>>;
SELECT 1;
ROLLBACK;

-- name: a row is written once
BEGIN;
UPDATE customers c SET credit = coalesce(credit, 0) + 1 FROM events e WHERE e.level < 3;
UPDATE orders o SET quantity = quantity + 1 FROM items i WHERE i.quantity = o.quantity;
-- check: count
UPDATE orders o SET note = i.line FROM items i WHERE i.order_id = o.id RETURNING o.id, i.line;
SELECT sum(credit), (SELECT sum(quantity) FROM orders), (SELECT count(*) FROM orders WHERE note IS NOT NULL) FROM customers;
DELETE FROM customers c USING events e WHERE e.level = c.id % 6;
SELECT count(*) FROM customers;
ROLLBACK;

-- name: RETURNING
BEGIN;
UPDATE orders o SET total = o.total + 1 FROM items i WHERE i.order_id = o.id AND i.line = 1 AND o.id < 40 RETURNING <<*|o.*|i.*|o.id, i.product_id, o.total, i.price * 2|o.total + i.price AS both, i.line, 'x'|o.id, (SELECT max(n) FROM readings), (SELECT max(level) FROM events) + o.id|i.quantity AS q, o.quantity AS r, o.paid|public.o.id>>;
DELETE FROM customers c USING events e WHERE e.id = md5('event' || c.id)::uuid RETURNING <<c.id, e.kind, e.at, e.payload|*|c.city < c.email COLLATE "C", c.id|concat(e.kind, c.name), c.id|c.city, c.nick, c.handle, e.level>>;
SELECT count(*), (SELECT sum(total) FROM orders) FROM customers;
ROLLBACK;

BEGIN;
UPDATE customers c SET name = d.name FROM customers d WHERE d.id = c.id + 7 RETURNING c.id, d.city < c.city, d.city, d.nick = c.nick, d.handle = c.handle, d.email < c.email, lower(d.city), d.mood, d.moods, c.name;
ROLLBACK;

-- name: sub-queries that hang on the row
BEGIN;
UPDATE orders SET note = 'x' WHERE <<EXISTS (SELECT FROM items WHERE order_id = orders.id)|NOT EXISTS (SELECT FROM items WHERE order_id = orders.id AND line = 2)|id IN (SELECT order_id FROM items WHERE items.line = orders.quantity)|quantity NOT IN (SELECT level FROM events WHERE events.customer_id = orders.id)|total > (SELECT avg(total) FROM orders o WHERE o.status = orders.status)|quantity > ALL (SELECT line FROM items WHERE product_id = orders.small)|(id, status) IN (SELECT order_id, 'new' FROM items)|(quantity, small) NOT IN (SELECT n, n FROM readings)|(SELECT count(*) FROM items i WHERE i.order_id = orders.id) = 2|(quantity, small) = (SELECT max(line), min(line) FROM items WHERE order_id = orders.id)|row (id, customer_id) < ALL (SELECT order_id, customer_id FROM items WHERE line = 3)|EXISTS (SELECT FROM events WHERE customer_id = orders.id) OR id IN (SELECT n FROM readings)|id = (SELECT order_id FROM items WHERE line = orders.small)>> <<|RETURNING id, customer_id, note>>;
SELECT count(*) FROM orders WHERE note = 'x';
ROLLBACK;

BEGIN;
DELETE FROM items WHERE <<NOT EXISTS (SELECT FROM products p WHERE p.id = items.product_id AND p.price > (SELECT avg(price) FROM items i WHERE i.product_id = p.id))|price > (SELECT avg(price) FROM items i WHERE i.product_id = items.product_id)|EXISTS (SELECT FROM customers c WHERE c.id = items.order_id AND c.mood = 'ok')>> RETURNING *;
SELECT count(*), sum(price) FROM items;
ROLLBACK;

BEGIN;
UPDATE customers SET <<credit = (SELECT sum(price) FROM items WHERE product_id = customers.id)|name = (SELECT kind FROM events WHERE id = md5(concat('event', customers.id))::uuid)|tags = ARRAY(SELECT status FROM orders WHERE id < customers.id AND id < 20 ORDER BY id)|vip = EXISTS (SELECT FROM events WHERE level = customers.id)|mood = (SELECT mood FROM customers c WHERE c.id = customers.id + 1)|credit = credit + (SELECT count(*) FROM events WHERE level = customers.id % 6), name = lower(name)|name = (SELECT status FROM orders WHERE id % 60 = customers.id)|born = (SELECT max(due) FROM orders WHERE quantity = customers.id % 7), joined = DEFAULT|score = CASE WHEN id % 2 = 0 THEN (SELECT max(level) FROM events) ELSE score END>> WHERE <<id < 40|true>>;
SELECT * FROM customers ORDER BY id;
ROLLBACK;

-- name: several columns from a sub-query
BEGIN;
UPDATE orders SET <<(quantity, note) = (SELECT max(quantity), min(kind) FROM items, events WHERE order_id = orders.id AND level = 1)|(quantity, note) = (SELECT line, 'n' FROM items WHERE order_id = orders.id AND line = 2)|(quantity, note) = (SELECT line, 'n' FROM items WHERE order_id = orders.id)|(quantity, total, status) = (SELECT line, price, NULL FROM items WHERE order_id = orders.id AND false)|(quantity) = (SELECT max(line) FROM items WHERE order_id = orders.id)|(quantity, note) = (SELECT max(quantity), min(status) FROM items, events)|(quantity, note) = ROW ((SELECT max(quantity) FROM items), 'x')|(quantity, label) = ((SELECT max(line) FROM items WHERE order_id = orders.id), DEFAULT)|(quantity, big) = (SELECT o.small, o.big FROM orders o WHERE o.id = orders.id + 1), note = 'z'>> <<|WHERE id % 3 = 0>>;
SELECT id, quantity, note, total, status, label, big FROM orders ORDER BY id;
ROLLBACK;

BEGIN;
UPDATE orders o SET (quantity, note) = (SELECT e.level, e.kind FROM events e WHERE e.id = md5('event' || i.order_id)::uuid) FROM items i WHERE i.order_id = o.id AND i.line = 1 RETURNING o.id, o.quantity, o.note, i.product_id;
ROLLBACK;

-- name: tables of the home shard and reference tables
BEGIN;
<<UPDATE settings SET value = o.note, n = o.quantity FROM orders o WHERE o.id = settings.n RETURNING *|DELETE FROM settings s USING orders o WHERE o.id = s.n AND o.small = 2 RETURNING s.name, o.total|UPDATE settings SET n = (SELECT count(*) FROM orders WHERE small = settings.n)|DELETE FROM settings WHERE EXISTS (SELECT FROM items WHERE order_id = settings.n)|UPDATE settings SET (value, n) = (SELECT max(status), min(small) FROM orders WHERE id < settings.n * 9)|UPDATE settings SET n = n + 1 FROM events>>;
SELECT * FROM settings ORDER BY name;
ROLLBACK;

BEGIN;
<<UPDATE products p SET price = i.price, name = concat('p', i.line) FROM items i WHERE i.product_id = p.id AND i.line = 3 AND i.order_id = p.id * 5 RETURNING *|DELETE FROM countries c USING customers d WHERE d.country = c.code RETURNING c.*|UPDATE products SET price = (SELECT sum(price) FROM items WHERE product_id = products.id)|UPDATE products SET category = upper(category) WHERE EXISTS (SELECT FROM items i WHERE i.product_id = products.id AND i.line = 3)|UPDATE countries SET name = p.name FROM products p WHERE p.id = length(countries.name) RETURNING countries.code, p.id|DELETE FROM products WHERE id IN (SELECT length(name) FROM countries)|UPDATE products SET price = s.n FROM settings s WHERE s.n = products.id>>;
SELECT (SELECT sum(price) FROM products), (SELECT count(*) FROM countries), (SELECT min(name) FROM products), (SELECT string_agg(name, ',' ORDER BY code) FROM countries);
ROLLBACK;

-- name: WITH queries
BEGIN;
WITH best AS (SELECT product_id, max(price) AS price FROM items GROUP BY 1), few (id) AS (SELECT n FROM readings WHERE n < 5) UPDATE orders o SET total = best.price FROM best WHERE best.product_id = o.quantity AND o.small IN (SELECT id FROM few) RETURNING o.id, o.total, best.product_id;
WITH old AS (SELECT id FROM orders WHERE due < '2000-01-01') DELETE FROM items USING old WHERE items.order_id = old.id;
SELECT count(*), sum(order_id) FROM items;
ROLLBACK;

-- name: what the transaction wrote before
BEGIN;
INSERT INTO orders (id, customer_id, quantity) VALUES (9001, 5, 3), (9002, 6, 3), (9003, 7, 4);
INSERT INTO items (order_id, customer_id, line, price) VALUES (9001, 6, 1, 5), (9003, 5, 1, 6);
DELETE FROM items WHERE order_id < 100;
UPDATE orders o SET total = i.price FROM items i WHERE i.order_id = o.id AND i.line = 1 RETURNING o.id, o.total, i.line;
SAVEPOINT s;
UPDATE orders SET note = 'gone' WHERE EXISTS (SELECT FROM items WHERE order_id = orders.id);
ROLLBACK TO s;
DELETE FROM orders WHERE EXISTS (SELECT FROM items WHERE order_id = orders.id AND items.customer_id <> orders.customer_id) RETURNING id;
SELECT count(*), count(*) FILTER (WHERE note = 'gone') FROM orders;
ROLLBACK;

-- name: the same in one snapshot
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE orders o SET total = i.price FROM items i WHERE i.order_id = o.id AND i.line = 2;
DELETE FROM items WHERE EXISTS (SELECT FROM orders o WHERE o.id = items.order_id AND o.total = items.price);
SELECT count(*), (SELECT sum(total) FROM orders) FROM items;
ROLLBACK;

-- name: clocks
BEGIN;
UPDATE orders SET ordered_at = now() FROM items i WHERE i.order_id = orders.id AND ordered_at < now();
UPDATE orders SET ordered_at = ordered_at + interval '1 day', due = current_date WHERE ordered_at = now() AND EXISTS (SELECT FROM items WHERE order_id = orders.id);
SELECT count(*) FROM orders WHERE ordered_at = now() + interval '1 day' AND due = current_date;
ROLLBACK;

-- name: in a transaction that only reads
BEGIN READ ONLY;
UPDATE orders SET note = 'x' FROM items i WHERE i.order_id = orders.id <<|AND false>>;
ROLLBACK;

-- name: outside of blocks
UPDATE orders SET weight = i.price FROM items i WHERE i.order_id = orders.id AND i.line = 1;
DELETE FROM items WHERE EXISTS (SELECT FROM orders o WHERE o.id = items.order_id AND o.small = 3 AND items.line = 3) RETURNING *;
UPDATE orders SET (quantity, note) = (SELECT level, kind FROM events WHERE id = md5('event' || orders.id)::uuid) WHERE id < 50 RETURNING id, quantity, note;
UPDATE settings SET n = o.small FROM orders o WHERE o.id = settings.n;
UPDATE products SET price = (SELECT max(price) FROM items WHERE product_id = products.id);
DELETE FROM customers WHERE id > 50 AND EXISTS (SELECT FROM events WHERE level = customers.id % 60);
SELECT (SELECT count(*) FROM items), (SELECT sum(quantity) FROM orders), (SELECT sum(n) FROM settings), (SELECT sum(price) FROM products), (SELECT count(*) FROM customers);

-- name: of keys that confine it
BEGIN;
UPDATE orders o SET note = 'k' FROM items i WHERE i.order_id = o.id AND o.customer_id <<= 8|IN (8, 9, 15)>>;
UPDATE orders o SET note = e.kind FROM events e WHERE o.customer_id = 8 AND e.id = md5('event' || o.id)::uuid RETURNING o.id, o.note, e.level;
DELETE FROM items WHERE customer_id IN (8, 15) AND order_id NOT IN (SELECT o.id FROM orders o WHERE o.quantity = items.line);
SELECT count(*), (SELECT count(*) FROM orders WHERE note = 'k') FROM items;
ROLLBACK;

-- name: names that mean two things
BEGIN;
<<WITH orders AS (SELECT 1 AS id) UPDATE orders SET note = 'x' FROM items WHERE items.order_id = orders.id|UPDATE orders SET note = 'x' FROM orders o WHERE o.id = orders.quantity|UPDATE orders o SET note = 'x' FROM customers orders WHERE orders.id = o.quantity>>;
SELECT count(*) FROM orders WHERE note = 'x';
ROLLBACK;

-- name: styles of settings
BEGIN;
SET LOCAL <<datestyle = 'SQL, DMY'|extra_float_digits = 0|intervalstyle = 'sql_standard'>>;
UPDATE customers c SET born = d.born, score = d.score, joined = d.joined, seen = d.seen FROM customers d WHERE d.id = c.id + 1;
UPDATE customers SET score = (SELECT avg(score) FROM customers WHERE score > 0 AND score <> 'NaN') WHERE id < 9;
UPDATE orders SET took = (SELECT max(took) FROM orders WHERE id < 30) WHERE id < 9;
SELECT sum(score) FILTER (WHERE score <> 'NaN'), min(born), max(born), max(joined), (SELECT max(took) FROM orders) FROM customers;
ROLLBACK;

-- name: not proven
BEGIN;
UPDATE orders SET note = 'x' FROM items i WHERE i.order_id = orders.id AND <<random() < 0|orders.ctid = i.ctid>>;
ROLLBACK;

BEGIN;
UPDATE orders SET customer_id = i.line FROM items i WHERE i.order_id = orders.id;
ROLLBACK;

BEGIN;
UPDATE orders o SET note = 'x' FROM items i WHERE i.order_id = o.id RETURNING <<i|o.ctid|(SELECT max(line) FROM items WHERE order_id = o.id)>>;
ROLLBACK;

-- class: write found parameters

BEGIN;
-- params: int4=2, text=p | int4=NULL, text=q | int4=1, text=NULL
UPDATE orders o SET note = $2, quantity = o.quantity + $1 FROM items i WHERE i.order_id = o.id AND i.line = $1 RETURNING o.id, o.note, o.quantity, i.price, $1 + i.line;
-- params: int4=3
DELETE FROM items WHERE EXISTS (SELECT FROM orders o WHERE o.id = items.order_id AND o.small = $1);
-- params: ?=2, ?=5
UPDATE orders SET (quantity, note) = (SELECT level, kind FROM events WHERE level = $1 AND id = md5('event' || orders.id)::uuid) WHERE id > $2;
SELECT count(*), sum(quantity) FROM orders;
ROLLBACK;

-- class: write found merge

-- name: joined off the key
BEGIN;
MERGE INTO orders t USING <<(SELECT order_id, sum(price) AS price FROM items GROUP BY 1) s|(SELECT order_id, max(price) AS price FROM items WHERE product_id < 9 GROUP BY order_id) AS s>> ON t.id = s.order_id WHEN MATCHED AND t.paid THEN DELETE WHEN MATCHED AND s.price > 20 THEN UPDATE SET total = s.price, note = upper(t.note), quantity = t.quantity + 1 WHEN MATCHED THEN DO NOTHING;
SELECT note, count(*), sum(total), sum(quantity) FROM orders GROUP BY 1 ORDER BY 1;
ROLLBACK;

BEGIN;
MERGE INTO customers t USING events s ON s.id = md5('event' || t.id)::uuid WHEN MATCHED THEN DELETE;
MERGE INTO customers c USING (SELECT DISTINCT quantity, status FROM orders WHERE status = 'new') s ON c.id = s.quantity WHEN MATCHED THEN UPDATE SET name = s.status WHEN NOT MATCHED THEN INSERT (id, name, credit) VALUES (coalesce(s.quantity, 99) + 5000, s.status, 7.5);
SELECT id, name, credit FROM customers WHERE id > 4000 OR name = 'new' ORDER BY id;
ROLLBACK;

-- name: rows that meet none
BEGIN;
MERGE INTO customers t USING events s ON t.id = s.level + 58 WHEN MATCHED AND s.kind = 'nothing' THEN DELETE WHEN NOT MATCHED AND s.level = 5 AND s.customer_id % 7 = 0 THEN INSERT (id, name, joined) VALUES (s.customer_id + 7000 + extract(minute FROM s.at)::int * 1000, s.kind, s.at) WHEN NOT MATCHED AND s.level = 4 THEN DO NOTHING WHEN NOT MATCHED AND s.level = 4 THEN INSERT (id) VALUES (1) WHEN NOT MATCHED AND s.customer_id = 10 THEN INSERT (name, id) VALUES ('ten', s.level * 1000 + 100000);
SELECT id, name, joined FROM customers WHERE id > 4000 ORDER BY id;
ROLLBACK;

BEGIN;
MERGE INTO orders t USING events s ON t.id = s.customer_id AND s.level = 3 WHEN MATCHED THEN UPDATE SET note = 'm' WHEN NOT MATCHED AND s.level = 2 THEN INSERT VALUES (s.customer_id + 1000, extract(day FROM s.at) * 100 + extract(hour FROM s.at), s.kind);
SELECT count(*), sum(id), sum(customer_id) FROM orders WHERE note = 'm' OR id > 1000;
ROLLBACK;

BEGIN;
MERGE INTO customers t USING (SELECT DISTINCT level FROM events) s ON t.id = s.level WHEN NOT MATCHED AND s.level <> 0 THEN INSERT (id) VALUES (100 / s.level) WHEN NOT MATCHED THEN INSERT (id, name) VALUES (7777, 'zero');
SELECT id, name FROM customers WHERE id > 60 ORDER BY id;
ROLLBACK;

-- name: from VALUES
BEGIN;
MERGE INTO customers t USING (VALUES (5, 'a'), (6, 'b'), (7, 'c'), (4005, 'd'), (4006, NULL)) s(id, name) ON t.id = s.id WHEN MATCHED AND t.vip THEN DELETE WHEN MATCHED THEN UPDATE SET name = s.name WHEN NOT MATCHED THEN INSERT (id, name) VALUES (s.id, s.name);
SELECT id, name FROM customers WHERE id IN (5, 6, 7, 4005, 4006) ORDER BY id;
MERGE INTO customers t USING (VALUES (8, 'a'), (9, 'b')) s(id, name) ON t.id = s.id WHEN MATCHED THEN UPDATE SET name = s.name, nick = s.name, city = t.name;
MERGE INTO readings t USING (VALUES ('device 2', 1, 5.5), ('device 3', 99, 6.5), ('device 4', 98, NULL)) s(device, n, value) ON t.device = s.device AND t.n = s.n WHEN MATCHED THEN UPDATE SET value = s.value WHEN NOT MATCHED THEN INSERT (device, n, value) VALUES (s.device, s.n, s.value);
SELECT device, n, value FROM readings WHERE n > 50 OR device = 'device 2' ORDER BY device, n;
SELECT id, name, nick, city FROM customers WHERE id IN (8, 9) ORDER BY id;
ROLLBACK;

BEGIN;
-- params: int8=5, text=p, int8=4010 | int8=4011, text=q, int8=4012
MERGE INTO customers t USING (SELECT $1::bigint AS id, $2::text AS name UNION ALL SELECT $3, 'other') s ON t.id = s.id WHEN MATCHED THEN UPDATE SET name = s.name || $2 WHEN NOT MATCHED THEN INSERT (id, name, city) VALUES (s.id, s.name, $2);
SELECT id, name, city FROM customers WHERE id > 4000 OR id = 5 ORDER BY id;
ROLLBACK;

-- name: from reference tables and tables of the home shard
BEGIN;
MERGE INTO customers t USING countries s ON t.country = s.code WHEN NOT MATCHED THEN INSERT (id, name) VALUES (length(s.name) + 5000, s.name);
MERGE INTO customers t USING settings s ON t.id = s.n WHEN MATCHED THEN UPDATE SET name = s.value WHEN NOT MATCHED THEN INSERT (id, name) VALUES (6000, s.name);
SELECT id, name FROM customers WHERE id > 4000 OR id < 6 ORDER BY id;
ROLLBACK;

-- name: into reference tables and tables of the home shard
BEGIN;
MERGE INTO settings t USING orders s ON t.n = s.id WHEN MATCHED THEN UPDATE SET value = s.status, n = s.small WHEN NOT MATCHED AND s.id < 9 THEN INSERT VALUES ('s' || s.id, s.note, s.quantity);
SELECT * FROM settings ORDER BY name;
MERGE INTO products t USING (SELECT product_id, max(price) AS price FROM items GROUP BY 1) s ON t.id = s.product_id WHEN MATCHED AND s.price > 49 THEN DELETE WHEN MATCHED THEN UPDATE SET price = s.price WHEN NOT MATCHED THEN INSERT (id, name, price) VALUES (s.product_id, 'new', s.price);
SELECT * FROM products ORDER BY id;
ROLLBACK;

-- name: errors
BEGIN;
<<MERGE INTO customers t USING events s ON t.id = s.level WHEN MATCHED THEN UPDATE SET name = s.kind|MERGE INTO customers t USING events s ON t.id = s.level WHEN MATCHED THEN DELETE|MERGE INTO customers t USING (VALUES (4001), (4001), (5)) s(id) ON t.id = s.id WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)|MERGE INTO customers t USING (VALUES (1, NULL), (5, 4)) s(a, b) ON t.id = s.a + 1000 WHEN NOT MATCHED THEN INSERT (id) VALUES (s.b)|MERGE INTO orders t USING events s ON t.id = s.customer_id WHEN NOT MATCHED THEN INSERT (id) VALUES (5)|MERGE INTO customers t USING (SELECT DISTINCT level FROM events) s ON t.id = s.level WHEN MATCHED THEN UPDATE SET code = 'much too long'|MERGE INTO customers t USING (SELECT DISTINCT level FROM events) s ON t.id = s.level WHEN MATCHED THEN UPDATE SET credit = 1 / (s.level - 3)>>;
SELECT count(*) FROM customers;
ROLLBACK;

BEGIN;
MERGE INTO customers t USING events s ON t.id = s.level WHEN MATCHED AND s.id = md5('event7')::uuid THEN UPDATE SET name = s.kind WHEN MATCHED THEN DO NOTHING;
SELECT id, name FROM customers WHERE id < 7 ORDER BY id;
ROLLBACK;

-- name: what the transaction wrote before, and outside of blocks
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE events SET level = 9 WHERE level = 2;
MERGE INTO customers t USING (SELECT DISTINCT level FROM events) s ON t.id = s.level WHEN MATCHED THEN UPDATE SET credit = s.level WHEN NOT MATCHED THEN INSERT (id, credit) VALUES (4000 + s.level, s.level);
SELECT id, credit FROM customers WHERE id < 10 OR id > 3999 ORDER BY id;
ROLLBACK;

MERGE INTO customers t USING (SELECT DISTINCT level FROM events) s ON t.id = s.level + 57 WHEN MATCHED THEN UPDATE SET credit = s.level, seen = NULL WHEN NOT MATCHED THEN INSERT (id, credit) VALUES (4000 + s.level, s.level);
SELECT id, credit FROM customers WHERE id > 50 ORDER BY id;
MERGE INTO customers t USING (SELECT DISTINCT level FROM events) s ON t.id = s.level + 4000 WHEN MATCHED THEN DELETE;

-- name: sub-queries and clocks
BEGIN;
MERGE INTO customers t USING (SELECT DISTINCT level FROM events) s ON t.id = s.level AND t.credit < (SELECT max(total) FROM orders) WHEN MATCHED AND t.id > (SELECT min(level) FROM events) THEN UPDATE SET credit = (SELECT max(n) FROM readings), joined = now() WHEN NOT MATCHED THEN INSERT (id, joined) VALUES (9000 + s.level + (SELECT max(level) FROM events), now());
SELECT id, credit, joined = now() FROM customers WHERE id < 7 OR id > 8000 ORDER BY id;
ROLLBACK;

-- name: WITH queries
BEGIN;
WITH s AS (SELECT customer_id AS id, max(level) AS level FROM events WHERE customer_id > 3 GROUP BY 1) MERGE INTO customers t USING s ON t.id = s.id + 3 WHEN MATCHED THEN UPDATE SET credit = s.level WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id + 3);
SELECT count(*), sum(credit), max(id) FROM customers;
ROLLBACK;

-- name: not proven
BEGIN;
MERGE INTO customers t USING events s ON t.id = s.level WHEN MATCHED AND random() < 0 THEN DELETE;
ROLLBACK;

BEGIN;
MERGE INTO customers t USING events s ON t.id = s.level WHEN MATCHED AND <<EXISTS (SELECT FROM orders WHERE customer_id = t.id AND false)|t.ctid IS NULL>> THEN DELETE;
ROLLBACK;

BEGIN;
MERGE INTO customers t USING orders s ON t.id = s.quantity WHEN MATCHED AND false THEN UPDATE SET id = s.id;
ROLLBACK;

-- name: collations of values that come from others
BEGIN;
MERGE INTO orders t USING (SELECT id, <<city AS up|upper(name) COLLATE "de-x-icu" AS up|city || 'x' AS up|max(city) AS up>> FROM customers <<|GROUP BY id>>) s ON t.id = s.id WHEN MATCHED AND s.up < 'a' THEN UPDATE SET note = 'upper' WHEN MATCHED THEN UPDATE SET note = 'other';
SELECT note, count(*), sum(id) FROM orders GROUP BY 1 ORDER BY 1;
ROLLBACK;

BEGIN;
MERGE INTO orders t USING events s ON t.id = s.customer_id AND s.level = 3 WHEN MATCHED AND (SELECT max(city) FROM customers) < 'a' THEN UPDATE SET note = 'upper' WHEN MATCHED THEN UPDATE SET note = 'other';
ROLLBACK;

BEGIN;
UPDATE orders o SET small = 3 FROM (SELECT id, city || '' AS up FROM customers) s WHERE s.id = o.id AND o.paid RETURNING o.id, <<s.up|s.up < 'a'|(SELECT max(city) FROM customers)|(SELECT max(city) FROM customers) < 'a'>>;
ROLLBACK;

-- name: names of XML
BEGIN;
UPDATE orders o SET small = 3 FROM customers s WHERE s.id = o.id AND o.paid RETURNING o.id, <<xmlforest(o.status)|xmlforest(s.country)|xmlelement(name a, xmlattributes(s.country))>>;
ROLLBACK;

-- name: names that other readers take for others
BEGIN;
UPDATE U&"order\0073" o SET small = 3 FROM customers s WHERE s.id = o.id AND o.paid RETURNING o.id;
UPDATE public /* here */ . orders o SET small = 3 FROM customers s WHERE s.id = o.id AND o.paid RETURNING o.id;
ROLLBACK;

-- name: collations of domains
BEGIN;
CREATE DOMAIN loud AS text COLLATE "de-x-icu";
MERGE INTO orders t USING (SELECT id, upper(name)::loud AS up FROM customers) s ON t.id = s.id WHEN MATCHED AND s.up < 'a' THEN UPDATE SET note = 'upper' WHEN MATCHED THEN UPDATE SET note = 'other';
ROLLBACK;
