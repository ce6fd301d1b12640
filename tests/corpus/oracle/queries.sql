-- Joins, sub-queries, common table expressions, windows, set operations, views.

-- class: join

SELECT c.id, c.name, o.id, o.total FROM customers c <<JOIN|LEFT JOIN|RIGHT JOIN|FULL JOIN>> orders o ON o.customer_id = c.id ORDER BY c.id, o.id LIMIT 40;

SELECT o.id, i.line, i.price FROM orders o JOIN items i <<ON i.customer_id = o.customer_id AND i.order_id = o.id|ON o.customer_id = i.customer_id AND o.id = i.order_id AND i.quantity > 2>> ORDER BY 1, 2, 3 LIMIT 30;

SELECT count(*) FROM orders o JOIN items i USING (customer_id) WHERE i.order_id = o.id;

SELECT count(*) FROM orders NATURAL JOIN (SELECT id AS customer_id, vip FROM customers) c;

SELECT count(*), sum(i.quantity) FROM customers c <<JOIN|LEFT JOIN>> orders o ON o.customer_id = c.id <<JOIN|LEFT JOIN>> items i ON i.customer_id = c.id AND i.order_id = o.id;

SELECT c.id, n.name FROM customers c <<JOIN|LEFT JOIN|RIGHT JOIN|FULL JOIN>> countries n ON n.code = c.country ORDER BY c.id, n.name;

SELECT n.code, c.id FROM countries n <<JOIN|LEFT JOIN|RIGHT JOIN|FULL JOIN>> customers c ON n.code = c.country ORDER BY n.code, c.id;

SELECT n.code, count(c.id) FROM countries n LEFT JOIN customers c ON c.country = n.code GROUP BY n.code ORDER BY 1;

SELECT count(*) FROM countries n, customers c WHERE n.code <<= c.country|<> c.country>>;

SELECT count(*) FROM countries CROSS JOIN orders;

-- Off the key.
SELECT count(*) FROM orders a JOIN orders b ON <<a.quantity = b.small AND a.id < b.id|a.id = b.id + 1|a.id = b.customer_id>>;

SELECT count(*), sum(e.level) FROM events e JOIN customers c ON c.id = e.customer_id;

SELECT c.id, count(e.id) FROM customers c LEFT JOIN events e ON e.customer_id = c.id GROUP BY c.id ORDER BY 2 DESC, 1 LIMIT 12;

SELECT count(*) FROM events e JOIN readings r ON r.n = e.level;

SELECT a.id, b.id FROM customers a JOIN customers b ON b.country = a.country AND b.id > a.id WHERE a.id < 6 ORDER BY 1, 2;

SELECT a.id, b.id FROM orders a JOIN orders b ON b.customer_id = a.customer_id AND b.id > a.id WHERE a.status = 'new' ORDER BY 1, 2 LIMIT 20;

SELECT c.id, l.id FROM customers c, LATERAL (SELECT id FROM orders o WHERE o.customer_id = c.id ORDER BY id DESC LIMIT 2) l ORDER BY 1, 2;

SELECT c.id, l.n FROM customers c LEFT JOIN LATERAL (SELECT count(*) AS n FROM orders o WHERE o.customer_id = c.id) l ON true ORDER BY 1;

SELECT n.code, l.id FROM countries n, LATERAL (SELECT id FROM customers c WHERE c.country = n.code ORDER BY id LIMIT 1) l ORDER BY 1;

SELECT s.name, count(*) FROM settings s JOIN orders o ON o.small = s.n GROUP BY 1 ORDER BY 1;

SELECT c.id, g FROM customers c, generate_series(1, 2) g WHERE c.id < 4 ORDER BY 1, 2;

SELECT v.x, c.name FROM (VALUES (1), (2), (70)) v(x) <<JOIN|LEFT JOIN>> customers c ON c.id = v.x ORDER BY 1;

SELECT c.id, unnest(c.tags) FROM customers c WHERE c.id < 9 ORDER BY 1, 2;

SELECT c.id, t FROM customers c, unnest(c.tags) t WHERE t IS NOT NULL ORDER BY 1, 2;

SELECT * FROM (orders o JOIN customers c ON c.id = o.customer_id) JOIN countries n ON n.code = c.country WHERE o.id < 20 ORDER BY o.id;

SELECT p.name, sum(i.quantity) FROM products p LEFT JOIN items i ON i.product_id = p.id GROUP BY p.name ORDER BY 1;

-- class: sub-query

SELECT id FROM customers WHERE id <<IN|NOT IN>> (SELECT customer_id FROM orders WHERE <<total > 90|paid|true>>) ORDER BY 1;

SELECT id FROM customers c WHERE <<EXISTS|NOT EXISTS>> (SELECT 1 FROM orders o WHERE o.customer_id = c.id <<|AND o.status = 'new'>>) ORDER BY 1;

SELECT id FROM customers c WHERE country IN (SELECT code FROM countries WHERE euro) ORDER BY 1;

SELECT code FROM countries WHERE code <<IN|NOT IN>> (SELECT country FROM customers WHERE country IS NOT NULL) ORDER BY 1;

SELECT id FROM orders WHERE total <<=|>=|< >> (SELECT <<max|avg>>(total) FROM orders) ORDER BY 1;

SELECT id, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) AS n FROM customers c ORDER BY 2 DESC, 1 LIMIT 10;

SELECT id, (SELECT max(total) FROM orders) FROM customers ORDER BY 1 LIMIT 3;

SELECT id FROM orders o WHERE total > (SELECT avg(total) FROM orders x WHERE x.customer_id = o.customer_id) ORDER BY 1;

SELECT id FROM orders o WHERE total > (SELECT avg(total) FROM orders x WHERE x.status = o.status) ORDER BY 1 LIMIT 20;

SELECT id FROM orders WHERE total > ALL (SELECT total FROM orders WHERE customer_id = 5 AND total IS NOT NULL) ORDER BY 1;

SELECT id FROM orders WHERE quantity = ANY (SELECT level FROM events WHERE kind = 'buy') ORDER BY 1;

SELECT id FROM customers WHERE id IN (SELECT customer_id FROM events) ORDER BY 1;

SELECT count(*) FROM (SELECT DISTINCT customer_id FROM orders) t;

SELECT s, n FROM (SELECT status AS s, count(*) AS n FROM orders GROUP BY status) t WHERE n > 40 ORDER BY 1;

SELECT avg(n) FROM (SELECT customer_id, count(*) AS n FROM orders GROUP BY customer_id) t;

SELECT t.customer_id, t.n, c.name FROM (SELECT customer_id, count(*) AS n FROM orders GROUP BY customer_id) t JOIN customers c ON c.id = t.customer_id ORDER BY 2 DESC, 1 LIMIT 5;

SELECT * FROM (SELECT id FROM orders ORDER BY id LIMIT 5) t ORDER BY id DESC;

SELECT EXISTS (SELECT 1 FROM orders WHERE total > <<99|1e6>>);

SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM events);

SELECT ARRAY(SELECT id FROM orders WHERE id < 9 ORDER BY id);

SELECT (SELECT id FROM orders);

SELECT (SELECT name FROM customers WHERE id = 5), (SELECT name FROM customers WHERE id = 6);

SELECT id FROM customers WHERE (country, vip) IN (SELECT country, vip FROM customers WHERE id = 9) ORDER BY 1;

-- class: cte

WITH x AS (SELECT id, total FROM orders WHERE status = 'new') SELECT count(*), sum(total) FROM x;

WITH x AS <<|MATERIALIZED|NOT MATERIALIZED>> (SELECT customer_id, sum(total) AS s FROM orders GROUP BY 1) SELECT count(*), max(s) FROM x;

WITH x AS (SELECT customer_id, sum(total) AS s FROM orders GROUP BY 1) SELECT c.name, x.s FROM x JOIN customers c ON c.id = x.customer_id ORDER BY 2 DESC NULLS LAST, 1 LIMIT 5;

WITH a AS (SELECT id FROM customers WHERE vip), b AS (SELECT customer_id FROM orders WHERE paid) SELECT count(*) FROM a JOIN b ON b.customer_id = a.id;

WITH x AS (SELECT max(total) AS m FROM orders) SELECT id FROM orders, x WHERE total = m;

WITH customers AS (SELECT 1 AS id) SELECT * FROM customers;

WITH x AS (SELECT id FROM customers WHERE id = 5) SELECT o.id FROM x JOIN orders o ON o.customer_id = x.id ORDER BY 1;

WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT t.n, c.name FROM t LEFT JOIN customers c ON c.id = t.n ORDER BY 1;

WITH RECURSIVE t(id) AS (SELECT 1::bigint UNION SELECT o.id FROM orders o JOIN t ON o.customer_id = t.id) SELECT count(*) FROM t;

WITH x AS (SELECT 1) SELECT id FROM customers ORDER BY id LIMIT 2;

-- class: window

SELECT id, row_number() OVER (ORDER BY id) FROM orders ORDER BY id LIMIT 10;

SELECT customer_id, id, <<row_number()|rank()|dense_rank()|sum(total)|count(*)|lag(id)|lead(total, 1, 0)|first_value(id)|ntile(3)>> OVER (PARTITION BY customer_id ORDER BY id) FROM orders ORDER BY 1, 2 LIMIT 30;

SELECT id, status, <<rank()|sum(total)|count(*)|avg(weight)|last_value(id)>> OVER (PARTITION BY status ORDER BY id <<|ROWS BETWEEN 2 PRECEDING AND CURRENT ROW>>) FROM orders ORDER BY id LIMIT 20;

SELECT id, count(*) OVER (), sum(total) OVER () FROM orders ORDER BY id LIMIT 4;

SELECT status, sum(total), rank() OVER (ORDER BY sum(total) DESC) FROM orders GROUP BY status ORDER BY 3;

SELECT * FROM (SELECT id, status, row_number() OVER (PARTITION BY status ORDER BY total DESC NULLS LAST, id) AS r FROM orders) t WHERE r = 1 ORDER BY id;

SELECT id, sum(quantity) OVER w, count(*) OVER w FROM orders WINDOW w AS (PARTITION BY small ORDER BY id) ORDER BY id LIMIT 9;

-- class: set operation

SELECT id FROM customers WHERE id < 5 <<UNION|UNION ALL|INTERSECT|EXCEPT|INTERSECT ALL|EXCEPT ALL>> SELECT customer_id FROM orders WHERE id < 30 ORDER BY 1;

SELECT status FROM orders <<UNION|UNION ALL|INTERSECT|EXCEPT>> SELECT kind FROM events;

SELECT country FROM customers <<UNION|INTERSECT|EXCEPT|UNION ALL>> SELECT code FROM countries ORDER BY 1 NULLS FIRST;

SELECT code FROM countries <<UNION|UNION ALL|EXCEPT>> SELECT name FROM settings ORDER BY 1;

SELECT id FROM orders WHERE customer_id = 5 UNION ALL SELECT id FROM orders WHERE customer_id = <<5|6|7>> ORDER BY 1;

(SELECT id FROM orders ORDER BY id LIMIT 3) UNION ALL (SELECT id FROM orders ORDER BY id DESC LIMIT 3) ORDER BY 1;

SELECT count(*) FROM orders UNION ALL SELECT count(*) FROM customers ORDER BY 1;

SELECT 1 UNION SELECT 2 UNION ALL SELECT 2 ORDER BY 1;

VALUES (1, 'a'), (2, 'b');

-- class: view

SELECT <<count(*)|sum(total)|max(id)>> FROM <<paid_orders|customer_orders WHERE total > 5|top_orders>>;

SELECT * FROM <<order_sums|status_sums|euro_countries|top_orders|paid_orders WHERE customer_id = 5>> ORDER BY 1;

SELECT * FROM order_sums WHERE customer_id = <<5|6>>;

SELECT v.customer_id, v.n, c.name FROM order_sums v JOIN customers c ON c.id = v.customer_id ORDER BY 1 LIMIT 5;

SELECT country, count(*) FROM customer_orders GROUP BY 1 ORDER BY 1;

SELECT status, sum(total) FROM paid_orders GROUP BY 1 ORDER BY 1;

SELECT e.name, count(*) FROM euro_countries e JOIN customers c ON c.country = e.code GROUP BY 1 ORDER BY 1;

-- name: TABLE is a query
TABLE <<customers|orders|countries|settings|paid_orders>>;
TABLE orders ORDER BY <<id|total DESC NULLS LAST, 2, 1 LIMIT 3>>;
(TABLE countries) UNION ALL SELECT code, name, region, euro FROM countries ORDER BY 1, 2 LIMIT 5;
SELECT count(*) FROM (TABLE orders) o WHERE o.id <<IN (SELECT n FROM (TABLE settings) s)|< 5>>;
SELECT count(*) FROM customers c WHERE EXISTS (TABLE orders) AND c.id = ANY (ARRAY(SELECT n FROM (TABLE settings) s));
WITH o AS (TABLE orders) SELECT o.status, count(*) FROM o GROUP BY 1 ORDER BY 1;

-- name: functions with a list of their columns
SELECT c.id, x.g, x.h FROM customers c, jsonb_to_record(c.profile) AS x(a int, g text, h boolean) ORDER BY <<c.id|x.g, c.id|2 DESC NULLS LAST, 1 LIMIT 6>>;
SELECT x.a, count(*), max(c.id) FROM customers c CROSS JOIN LATERAL jsonb_to_recordset(jsonb_build_array(c.profile, '{"a": 5}')) AS x(a int) GROUP BY x.a ORDER BY 1;
SELECT count(*) FROM customers c LEFT JOIN LATERAL jsonb_to_record(c.profile) x(a int, g text) ON x.a > 2 JOIN events e ON e.customer_id = x.a;
SELECT x.* FROM json_to_recordset('[{"a": 1, "b": "x"}, {"a": 2}]') AS x(a int, b text) JOIN orders o ON o.customer_id = x.a ORDER BY x.a, x.b, o.id;
