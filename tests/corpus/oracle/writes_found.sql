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
UPDATE orders o SET total = i.price FROM items i WHERE i.order_id = o.id RETURNING o.id, o.total, i.line;
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
