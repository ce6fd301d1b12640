-- LIMIT and ORDER BY over shards.

-- class: order

SELECT id, total FROM orders ORDER BY <<id|total, id|total DESC, id|total NULLS FIRST, id|total DESC NULLS LAST, id|id DESC|1 DESC|2, 1|-id|total IS NULL, id|total * 2 DESC NULLS LAST, id|round(total), id|status, id|coalesce(total, 0), id|id % 7, id|due, id|took, id|ordered_at DESC, id|paid, id|weight, id|weight4 DESC, id|big, id|small, quantity, id|label, id|discount, id|note, id|customer_id, id>>;

SELECT id FROM orders ORDER BY id USING <;

SELECT id FROM orders ORDER BY id USING >;

SELECT id, name, email, city, nick FROM customers ORDER BY <<name, id|email, id|city, id|nick, id|city DESC, id|nick DESC NULLS LAST, id|name COLLATE "de-x-icu", id|name COLLATE english DESC, id|city COLLATE "C", id|nick COLLATE "en-x-icu", id|email COLLATE english, id|lower(name), id|code, id|mood, id|mood DESC NULLS LAST, id|born, id|joined DESC|score, id|score DESC, id|credit DESC NULLS LAST, id|vip, id|vip DESC, id|tags, id|profile, id|photo, id|seen, id|moods, id|name > 'b', id>>;

SELECT id, name, email, city, nick FROM customers ORDER BY country || name, id;

SELECT id, name, email, city, nick FROM customers ORDER BY (profile->>'a')::int, id;

SELECT id FROM events ORDER BY <<id|id DESC|at|level, id|kind NULLS FIRST, at|payload->'g'|payload>> LIMIT 20;

SELECT device, n FROM readings ORDER BY <<device, n|value, device, n|flags, device, n|at, device|n DESC, device DESC>>;

-- An output name hides a column.
SELECT -id AS id FROM orders ORDER BY id LIMIT 5;

SELECT total AS id, id AS total FROM orders ORDER BY id NULLS FIRST, total LIMIT 15;

SELECT -id AS total FROM orders ORDER BY total LIMIT 5;

-- An expression means the input column.
SELECT -id AS id FROM orders ORDER BY id + 0 LIMIT 5;

-- Two columns of one name.
SELECT id, id FROM orders ORDER BY 1 LIMIT 3;

SELECT o.id, c.id FROM orders o JOIN customers c ON c.id = o.customer_id ORDER BY o.id LIMIT 4;

SELECT id, total AS id FROM orders ORDER BY id;

SELECT id AS x, total AS x FROM orders ORDER BY 2 NULLS FIRST, 1 LIMIT 14;

SELECT * FROM orders ORDER BY id LIMIT 5;

SELECT o.* FROM orders o ORDER BY o.total DESC NULLS LAST, o.id LIMIT 5;

SELECT c.*, o.* FROM customers c JOIN orders o ON o.customer_id = c.id ORDER BY o.id LIMIT 3;

SELECT *, id FROM countries ORDER BY 1;

SELECT id, 'const' FROM orders ORDER BY 2, 1 LIMIT 3;

SELECT id AS "Order", total "a b" FROM orders ORDER BY "Order" DESC LIMIT 3;

SELECT id FROM orders ORDER BY (SELECT count(*) FROM countries), id LIMIT 3;

SELECT id FROM orders ORDER BY (SELECT code FROM countries WHERE length(code) > orders.id ORDER BY 1 LIMIT 1), id LIMIT 5;

-- Not all of the order is said: ties in any order.
-- order: 1
SELECT status, id FROM orders ORDER BY status;

-- order: 2
SELECT id, country FROM customers ORDER BY country NULLS FIRST;

-- order: 1
SELECT city, id FROM customers ORDER BY city;

-- order: 2
SELECT id, score FROM customers ORDER BY score;

-- order: 2
SELECT id, round(discount, 9) FROM orders ORDER BY discount;

-- order: 2
SELECT id, mood FROM customers ORDER BY mood;

-- class: limit

SELECT id FROM orders ORDER BY id LIMIT <<0|1|5|100|1000|NULL|ALL|2 + 3|5::bigint|'4'|(SELECT 3)|length('abc')|3.4>>;

SELECT id FROM orders ORDER BY id <<OFFSET 3|OFFSET 230|OFFSET 1000|LIMIT 5 OFFSET 5|LIMIT 5 OFFSET 238|OFFSET 5 LIMIT 2|LIMIT ALL OFFSET 235|OFFSET 2 ROWS FETCH FIRST 3 ROWS ONLY|FETCH FIRST ROW ONLY|FETCH NEXT 4 ROWS ONLY|LIMIT 0 OFFSET 10|OFFSET NULL|LIMIT 1 + 1 OFFSET 1 + 2>>;

-- order: 2
SELECT id, quantity FROM orders ORDER BY quantity DESC NULLS LAST FETCH FIRST <<1|5|40>> ROWS WITH TIES;

SELECT status FROM orders ORDER BY status OFFSET 10 FETCH FIRST 3 ROWS WITH TIES;

-- choice: SELECT id, total FROM orders
SELECT id, total FROM orders LIMIT <<1|10|200|500>>;

-- choice: SELECT id FROM orders
SELECT id FROM orders OFFSET <<0|10|200>>;

-- choice: SELECT id FROM orders
SELECT id FROM orders LIMIT 10 OFFSET 50;

-- choice: SELECT quantity, id FROM orders
-- order: 1
SELECT quantity, id FROM orders ORDER BY quantity LIMIT <<5|50>> OFFSET <<0|30>>;

-- choice: SELECT status, id FROM orders WHERE paid
-- order: 1
SELECT status, id FROM orders WHERE paid ORDER BY 1 DESC LIMIT 7;

-- choice: SELECT id FROM customers
SELECT id FROM customers WHERE id > 0 FETCH FIRST 5 ROWS ONLY;

SELECT count(*) FROM (SELECT 1 FROM orders LIMIT 10) t;

SELECT count(*) FROM (SELECT 1 FROM orders OFFSET 200) t;

SELECT id FROM orders ORDER BY id LIMIT -1;

SELECT id FROM orders ORDER BY id OFFSET -1;

SELECT id FROM orders ORDER BY id LIMIT 'x';

SELECT id FROM orders ORDER BY nothing LIMIT 1;

SELECT id FROM orders ORDER BY 5;

-- choice: SELECT id FROM orders
-- params: int4=5
SELECT id FROM orders LIMIT $1::int + 1;

-- params: ?=7, ?=2
SELECT id, total FROM orders ORDER BY total DESC NULLS LAST, id LIMIT $1 OFFSET $2;

-- choice: SELECT customer_id, count(*) FROM orders GROUP BY 1
-- order: 2
SELECT customer_id, count(*) FROM orders GROUP BY 1 ORDER BY 2 DESC LIMIT 5;

SELECT status, count(*) FROM orders GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 2;

SELECT quantity, sum(total) FROM orders GROUP BY quantity ORDER BY sum(total) DESC LIMIT 3;

SELECT quantity FROM orders GROUP BY quantity ORDER BY quantity OFFSET 2 LIMIT 3;

SELECT DISTINCT quantity FROM orders ORDER BY quantity DESC NULLS LAST LIMIT 3;

SELECT DISTINCT status FROM orders ORDER BY 1 OFFSET 1 LIMIT 2;

SELECT count(*) FROM orders LIMIT <<0|1|5>>;

SELECT count(*) FROM orders OFFSET <<0|1>>;

SELECT max(id) FROM orders ORDER BY 1 LIMIT 1;

SELECT id FROM (SELECT id FROM orders ORDER BY id DESC LIMIT 5) t ORDER BY id;

SELECT id FROM (SELECT id, total FROM orders ORDER BY total NULLS LAST, id LIMIT 50) t ORDER BY id LIMIT 5;

-- name: the rows of a sorted sub-query come in its order
-- order: 1
SELECT * FROM (SELECT id, status FROM orders ORDER BY total DESC NULLS LAST, id) t LIMIT <<5|3 OFFSET 2>>;
-- order: 1
SELECT id FROM (SELECT id, total FROM orders ORDER BY total NULLS FIRST, id) t WHERE id % 3 = 0;
-- order: 1
SELECT t.n FROM (SELECT s.id AS n FROM (SELECT id FROM orders WHERE paid ORDER BY id DESC) s WHERE s.id > 4) t LIMIT 4;
-- order: 1
(SELECT id FROM orders ORDER BY id DESC) UNION ALL (SELECT id FROM orders ORDER BY id);
SELECT array_agg(t.id) FROM (SELECT id FROM orders ORDER BY total NULLS FIRST, id) t;
SELECT (SELECT id FROM (SELECT id FROM orders ORDER BY total DESC NULLS LAST, id) t LIMIT 1), count(*) FROM settings;
SELECT count(*), max(id) FROM (SELECT id FROM orders ORDER BY total DESC NULLS LAST, id) t;
SELECT customer_id, count(*) FROM (SELECT customer_id, id FROM orders ORDER BY id DESC) t GROUP BY customer_id ORDER BY 1 LIMIT 5;

-- name: the rows of a sorted view come in its order
-- order: 1
SELECT * FROM sorted_orders LIMIT <<4|4 OFFSET 30>>;
-- order: 1
SELECT id FROM sorted_orders WHERE paid;
