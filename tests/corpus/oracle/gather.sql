-- Statements that aren't split as a whole: what is joined, grouped and left out on the shards before their rows are gathered.

-- class: gather

-- name: co-located tables beside one that isn't
SELECT c.name, o.id, e.kind, e.level FROM customers c, orders o, events e WHERE o.customer_id = c.id AND e.customer_id = c.id AND o.total > 50 AND e.level = <<3|5|9>> ORDER BY o.id, e.at;

-- name: three co-located tables, the largest in the middle
SELECT c.id, o.id, i.line, e.kind FROM customers c JOIN items i ON i.customer_id = c.id JOIN orders o ON o.customer_id = i.customer_id AND o.id = i.order_id JOIN events e ON e.level = i.line AND e.customer_id = o.id ORDER BY 1, 2, 3, e.at;

-- name: reference tables that only the gathered rows join
SELECT n.region, p.category, count(*), sum(i.quantity) FROM customers c, items i, countries n, products p WHERE i.customer_id = c.id AND n.code = c.country AND p.id = i.product_id AND n.euro AND p.price > 3 GROUP BY ROLLUP (n.region, p.category) ORDER BY 1, 2, 3;

-- name: reference tables that are joined otherwise than by equality, or by one branch of an OR
SELECT i.order_id, i.line, p.id, q.id FROM items i, customers c, countries n, countries m, products p, products q WHERE c.id = i.quantity AND n.code = c.country AND m.region = n.region AND m.euro AND p.id = i.product_id AND q.id = i.line AND <<q.price > p.price|q.price <> p.price|p.price + q.price > 3>> AND ((p.category = 'music' AND q.price > 2) OR (p.price > 5 AND q.category IS NOT NULL)) ORDER BY 1, 2, 3, 4, m.code LIMIT 30;

-- name: USING joins what is joined on the shards
SELECT count(*), sum(o.total), min(e.at) FROM orders o JOIN items i USING (customer_id) JOIN events e USING (customer_id) WHERE o.id = i.order_id;

-- name: a star over joined tables
SELECT * FROM customers c JOIN orders o ON o.customer_id = c.id, readings r WHERE r.n = o.small AND o.id < <<9|30>> AND r.device = 'device 3' ORDER BY o.id, c.id, r.n;

-- name: stars with aliases
SELECT c.*, 1 AS one, o.* FROM orders o, customers AS c (a, b, c, d), events e WHERE o.customer_id = c.a AND e.level = o.small AND e.customer_id = o.id ORDER BY o.id, e.at;

-- name: a star behind USING
SELECT * FROM orders JOIN items USING (customer_id) JOIN readings r ON r.n = line WHERE orders.id = order_id AND orders.id < 12 AND r.device = 'device 1' ORDER BY 1, 2, line;

-- name: an alias of a join hides its tables
SELECT x.name, x.total, e.kind FROM (customers c JOIN orders o ON o.customer_id = c.id) AS x (cid, name), events e WHERE e.customer_id = x.cid AND x.small = 3 ORDER BY x.total, e.at, x.name;

-- name: a star over an alias of a join
SELECT * FROM (countries t JOIN events u ON u.kind = 'buy') AS x (a, b), readings r WHERE r.n = x.level AND r.device = 'device 2' ORDER BY x.at, x.a, r.n;

-- name: many rows meet many
SELECT count(*), sum(o.id * i.line) FROM orders o, items i, events e WHERE i.customer_id = o.customer_id AND e.level = o.small AND e.customer_id = 7;

-- name: the other side of an outer join
SELECT c.id, o.id, e.kind FROM customers c LEFT JOIN orders o ON o.customer_id = c.id AND o.paid AND o.total > <<50|1000>> JOIN events e ON e.customer_id = c.id ORDER BY 1, 2, e.at;

-- name: an outer join above joined tables
SELECT c.id, o.id, e.level FROM customers c JOIN orders o ON o.customer_id = c.id LEFT JOIN events e ON e.customer_id = o.id AND e.level > 2 AND c.vip ORDER BY 1, 2, e.at;

-- name: joined tables on the kept side of a right join
SELECT e.kind, o.id FROM events e RIGHT JOIN orders o ON e.customer_id = o.id AND e.level = 4, customers c WHERE c.id = o.customer_id AND c.vip ORDER BY o.id, e.at;

-- name: a full join keeps what ON leaves out
SELECT count(*), count(c.id), count(e.id) FROM customers c FULL JOIN events e ON e.customer_id = c.id AND c.vip AND e.level = 2;

-- name: a condition on the side that gets NULLs stays above
SELECT c.id, e.level FROM customers c LEFT JOIN events e ON e.customer_id = c.id WHERE e.level IS NULL OR e.level > 4 ORDER BY 1, e.at;

-- name: what every branch asks of one table
SELECT count(*), sum(o.total) FROM orders o, events e WHERE e.customer_id = o.id AND ((o.status = 'new' AND e.level < 3) OR (o.status = 'paid' AND e.level > 3 AND o.quantity > 2) OR (e.kind = 'buy' AND o.paid));

-- name: a branch that asks nothing of one table
SELECT count(*), sum(o.total) FROM orders o, events e WHERE e.customer_id = o.id AND ((o.status = 'new' AND e.level < 3) OR e.level > 3);

-- name: what is asked of reference tables
SELECT c.id, n.name, e.kind FROM customers c, events e, countries n WHERE c.country = n.code AND e.customer_id = c.id AND n.region = 'Europe' AND e.level = 1 ORDER BY 1, 2, e.at;

-- name: reference tables tied to both sides by OR
SELECT a.id, b.id FROM customers a, events e, customers b, countries n1, countries n2 WHERE e.customer_id = a.id AND b.id = e.level AND a.country = n1.code AND b.country = n2.code AND ((n1.name = 'France' AND n2.name = 'Germany') OR (n1.name = 'Germany' AND n2.name = 'France') OR n2.euro IS NULL) ORDER BY 1, 2, e.at;

-- name: a reference table on the kept side
SELECT n.code, c.id, e.kind FROM countries n LEFT JOIN (customers c JOIN events e ON e.customer_id = c.id AND e.level = 1) ON c.country = n.code AND n.euro ORDER BY 1, 2, e.at;

-- name: sub-queries about rows of the same key
SELECT o.id, e.kind FROM orders o, events e WHERE e.customer_id = o.id AND <<EXISTS|NOT EXISTS>> (SELECT 1 FROM items i WHERE i.customer_id = o.customer_id AND i.order_id = o.id AND i.line = 2) ORDER BY 1, e.at;

-- name: a sub-query about other keys
SELECT o.id, e.kind FROM orders o, events e WHERE e.customer_id = o.id AND <<EXISTS|NOT EXISTS>> (SELECT 1 FROM items i WHERE i.order_id = o.id AND i.line = 2 AND i.product_id < 6) ORDER BY 1, e.at;

-- name: NOT IN over a reference table with NULLs
SELECT c.id, e.kind FROM customers c, events e WHERE e.customer_id = c.id AND c.country NOT IN (SELECT <<code|region>> FROM countries WHERE euro IS NOT TRUE) ORDER BY 1, e.at;

-- name: a sub-query that names a WITH query
WITH n AS (SELECT code FROM countries WHERE euro) SELECT c.id, e.kind FROM customers c, events e WHERE e.customer_id = c.id AND c.country IN (SELECT code FROM n) ORDER BY 1, e.at;

-- name: a sub-query in a select list and GROUP BY
SELECT (SELECT max(total) FROM orders) AS most, count(*) FROM events GROUP BY (SELECT max(total) FROM orders);

-- name: ROLLUP of a sub-query
SELECT e.level, count(*) FROM events e GROUP BY ROLLUP (e.level, (e.level > (SELECT count(*) FROM orders) - 238)) ORDER BY 1, 2;

-- name: a clock in CUBE
SELECT e.kind, count(*) FROM events e GROUP BY CUBE (e.kind, (e.at < now())) ORDER BY 1, 2;

-- name: an alias of a join counts its columns
SELECT x.d, x.kind FROM (customers u JOIN events e ON e.customer_id = u.id) AS x (a, b, c, d) WHERE x.level = 2 ORDER BY x.at;

-- name: DISTINCT ON a sub-query
SELECT DISTINCT ON ((SELECT count(*) FROM top_orders)) kind FROM events ORDER BY (SELECT count(*) FROM top_orders), kind, id;

-- name: groups of a WITH query used twice
WITH sums AS (SELECT status, sum(total) AS total, count(*) AS n FROM orders GROUP BY status) SELECT * FROM sums WHERE total = (SELECT <<max|min>>(total) FROM sums) ORDER BY 1;

-- name: groups joined with rows
SELECT c.id, s.n, s.top FROM customers c JOIN (SELECT customer_id, count(*) AS n, max(level) AS top FROM events WHERE level > 1 GROUP BY customer_id) s ON s.customer_id = c.id ORDER BY 1;

-- name: groups under a collation
SELECT s.email, s.n, s.last, s.first FROM (SELECT email, count(*) AS n, max(nick) AS last, min(city) AS first FROM customers GROUP BY email) s, settings t WHERE t.n = 1 AND s.email > 'B' ORDER BY s.last, s.email;

-- name: groups under a collation that folds case
SELECT s.handle = 'ADA' AS same, s.n FROM (SELECT handle, count(*) AS n FROM customers GROUP BY handle) s, settings t WHERE t.n = s.n - 11 ORDER BY 1, 2;

-- name: groups of char and varchar
SELECT s.code, length(s.code), s.n, t.label FROM (SELECT code, count(*) AS n FROM customers GROUP BY code) s, (SELECT DISTINCT label FROM orders) t WHERE s.code = 'c1' ORDER BY t.label;

-- name: the first rows in a sub-query
SELECT t.id, t.total, e.kind FROM (SELECT id, customer_id, total FROM orders ORDER BY total DESC NULLS LAST, id LIMIT <<5|7 OFFSET 2|3 + 2>>) t JOIN events e ON e.customer_id = t.customer_id ORDER BY t.total DESC, t.id, e.at;

-- name: an order within a sub-query
SELECT string_agg(t.id::text, ',') FROM (SELECT id FROM orders WHERE small = 2 ORDER BY total NULLS FIRST, id LIMIT 20) t, settings s WHERE s.n = 2;

-- name: distinct rows in a sub-query
SELECT x.status, x."?column?", count(*) FROM (SELECT DISTINCT status, paid, 1 FROM orders) x, events e WHERE e.level = 2 GROUP BY 1, 2 ORDER BY 1;

-- name: a correlated average
SELECT sum(o.total) FROM orders o, events e WHERE e.customer_id = o.id AND e.level < 3 AND o.quantity <= (SELECT avg(i.quantity) FROM items i WHERE i.product_id = e.level);

-- name: volatile conditions stay where they are
SELECT count(*) FROM customers c, events e WHERE e.customer_id = c.id AND random() < 2 AND c.joined < now();

-- name: a clock inside groups of a sub-query
SELECT s.n FROM (SELECT kind, count(*) AS n FROM events WHERE at < now() GROUP BY kind) s, settings t WHERE t.n = 1 ORDER BY 1;

-- name: a scalar sub-query without rows
SELECT e.id FROM events e WHERE e.level > (SELECT <<max|sum|count>>(small) FROM orders WHERE total < 0) ORDER BY 1;

-- name: keys from a small side, NULLs and duplicates among them
SELECT count(*), count(DISTINCT o.id) FROM orders o JOIN events e ON e.customer_id = o.<<id|quantity|small|big|customer_id>> WHERE e.level < 3;

-- name: keys of other types
SELECT count(*), sum(i.line) FROM items i JOIN <<orders o ON o.small = i.product_id|orders o ON o.discount = i.product_id|orders o ON o.weight = i.product_id|orders o ON o.big = i.quantity>> WHERE o.id < 60;

-- name: numeric keys that are written differently
SELECT a.id, b.id FROM orders a JOIN orders b ON a.discount = b.discount WHERE a.id < 14 AND b.id BETWEEN 20 AND 33 ORDER BY 1, 2;

-- name: keys of char and text
SELECT count(*) FROM customers a JOIN <<customers b ON a.code = b.code|orders b ON a.code = b.label|orders b ON b.label = a.code::text>> WHERE a.id < 9;

-- name: keys under a collation that folds case
SELECT count(*) FROM customers a JOIN customers b ON a.handle = b.handle WHERE a.id < 9;

-- name: keys under two collations
SELECT count(*) FROM customers a JOIN customers b ON a.name = b.<<country COLLATE "C"|name|nick COLLATE "C">> WHERE a.id < 9;

-- name: keys that are the other side's sharding key
SELECT c.id, e.kind FROM events e JOIN customers c ON c.id = e.customer_id WHERE e.level = 5 AND e.kind = 'view' ORDER BY 1, e.at;

-- name: keys for the side of an outer join that gets NULLs
SELECT e.kind, e.customer_id, c.name FROM events e LEFT JOIN customers c ON c.id = e.customer_id AND c.vip WHERE e.level = 5 ORDER BY e.at;

-- name: no keys for the side that an outer join keeps
SELECT c.id, e.kind FROM customers c LEFT JOIN events e ON e.customer_id = c.id AND e.level = 5 ORDER BY 1, e.at;

-- name: keys over three tables
SELECT count(*), min(r.at) FROM events e, orders o, readings r WHERE e.customer_id = o.id AND r.n = o.quantity AND e.level = 0 AND e.kind = 'click';

-- name: keys through sub-queries
SELECT c.id FROM customers c WHERE c.id <<IN|NOT IN>> (SELECT e.customer_id FROM events e WHERE e.level = 3 AND e.customer_id IS NOT NULL) ORDER BY 1;

-- name: keys in a correlated sub-query
SELECT e.kind, (SELECT sum(o.total) FROM orders o WHERE o.id = e.customer_id) AS total FROM events e WHERE e.level = 3 ORDER BY e.at;

-- name: keys that no row has
SELECT count(*) FROM events e JOIN orders o ON o.id = e.customer_id WHERE e.level = 99;

-- name: a parameter in what went to the shards
-- params: int4=3, text=new | int4=4, text=paid
SELECT o.id, e.kind FROM orders o, events e WHERE e.customer_id = o.id AND e.level = $1 AND o.status = $2 ORDER BY 1, e.at;

-- name: one sub-query twice, with keys
SELECT DISTINCT ON ((SELECT max(r.n) FROM readings r JOIN items i ON r.n = i.line WHERE i.customer_id IN (3, 5) AND i.order_id <> a.order_id)) 0 AS x FROM items a ORDER BY (SELECT max(r.n) FROM readings r JOIN items i ON r.n = i.line WHERE i.customer_id IN (3, 5) AND i.order_id <> a.order_id), 1;

-- name: keys out of a sub-query
SELECT c.id, c.name FROM customers c WHERE c.id <<IN|NOT IN|= ANY|<> ALL>> (SELECT e.customer_id FROM events e WHERE e.level = 5 AND e.kind <<= 'view'|IS NULL>>) ORDER BY 1;

-- name: keys out of a sub-query that may give NULL
SELECT o.customer_id, o.id FROM orders o WHERE o.<<quantity|small|big>> <<IN|NOT IN>> (SELECT r.n FROM readings r WHERE r.device = 'device 3' UNION ALL SELECT NULL) ORDER BY 1, 2;

-- name: keys out of EXISTS
SELECT e.id FROM events e WHERE <<EXISTS|NOT EXISTS>> (SELECT <<*|1|o.id, o.note|o.*>> FROM orders o WHERE o.id = e.customer_id AND o.total > <<700|100000>>) ORDER BY 1;

-- name: keys out of EXISTS with a bound
SELECT e.id FROM events e WHERE EXISTS (SELECT * FROM orders o WHERE o.id = e.customer_id AND o.paid LIMIT <<1|0>>) ORDER BY 1;

-- name: an aggregate in EXISTS is always a row
SELECT count(*) FROM events e WHERE EXISTS (SELECT <<count(*)|max(o.total)>> FROM orders o WHERE o.id = e.customer_id AND o.id < 3);

-- name: groups in EXISTS
SELECT e.id FROM events e WHERE EXISTS (SELECT <<o.status|count(*)>> FROM orders o WHERE o.id = e.customer_id AND o.id < 60 GROUP BY o.status HAVING count(*) > <<0|1>>) ORDER BY 1;

-- name: EXISTS with joined tables
SELECT e.id FROM events e WHERE EXISTS (SELECT * FROM orders o JOIN items i ON i.customer_id = o.customer_id AND i.order_id = o.id WHERE o.id = e.customer_id AND i.product_id = 3) ORDER BY 1;

-- name: EXISTS over a side that gets NULLs
SELECT c.id FROM customers c WHERE EXISTS (SELECT * FROM events e LEFT JOIN orders o ON o.id = e.customer_id AND o.paid WHERE <<o.id|e.customer_id>> = c.id AND e.level = 4) ORDER BY 1;

-- name: EXISTS over an outer join without keys
SELECT c.id, (SELECT count(*) FROM orders x WHERE x.small = c.id) FROM customers c WHERE EXISTS (SELECT * FROM events e FULL JOIN readings r ON r.n = e.level WHERE e.level IS NULL OR r.n = c.id) ORDER BY 1;

-- name: a sub-query of one side's ON
SELECT c.id, e.id FROM customers c <<LEFT|RIGHT|FULL>> JOIN events e ON e.customer_id = c.id AND c.id IN (SELECT o.small FROM orders o WHERE o.id < 40) ORDER BY 1, 2;

-- name: a sub-query of ON about the side that gets NULLs
SELECT c.id, e.id FROM customers c LEFT JOIN events e ON e.customer_id = c.id AND EXISTS (SELECT * FROM readings r WHERE r.n = e.level AND r.device = 'device 2') ORDER BY 1, 2;

-- name: sub-queries under OR and NOT
SELECT c.id FROM customers c WHERE <<c.vip OR|NOT>> c.id IN (SELECT e.customer_id FROM events e WHERE e.level = 5) ORDER BY 1;

-- name: a sub-query under IS NOT TRUE
SELECT c.id FROM customers c WHERE (c.id IN (SELECT e.customer_id FROM events e WHERE e.level = 5)) IS NOT TRUE ORDER BY 1;

-- name: sub-queries in sub-queries
SELECT c.id FROM customers c WHERE c.id IN (SELECT e.customer_id FROM events e WHERE e.level IN (SELECT r.n FROM readings r WHERE r.value > 90)) ORDER BY 1;

-- name: two sub-queries about one column
SELECT c.id FROM customers c WHERE c.id IN (SELECT e.customer_id FROM events e WHERE e.level = 3) AND c.id IN (SELECT o.small FROM orders o WHERE o.paid) ORDER BY 1;

-- name: rows in a sub-query
SELECT o.customer_id, o.id FROM orders o WHERE (o.small, o.quantity) IN (SELECT e.level, r.n FROM events e, readings r WHERE r.n = e.level + 1) ORDER BY 1, 2;

-- name: keys of char and text out of a sub-query
SELECT count(*) FROM customers a WHERE <<a.code IN (SELECT b.code FROM customers b WHERE b.id < 9 AND b.id <> a.id)|a.code IN (SELECT b.label FROM orders b WHERE b.small = 2)|EXISTS (SELECT * FROM orders b WHERE b.label = a.code AND b.small = 2)|a.code::text IN (SELECT b.label FROM orders b WHERE b.small = 2)>>;

-- name: keys under collations out of a sub-query
SELECT count(*) FROM customers a WHERE a.<<handle|nick|city|email>> IN (SELECT b.<<handle|nick|city|email>> FROM customers b, events e WHERE e.customer_id = b.id AND e.level = 1);

-- name: keys of other types out of a sub-query
SELECT count(*), sum(i.line) FROM items i WHERE i.product_id IN (SELECT o.<<small|discount|weight|big>> FROM orders o WHERE o.id < 60);

-- name: keys out of groups
SELECT o.customer_id, o.id FROM orders o WHERE o.quantity IN (SELECT i.product_id FROM items i GROUP BY <<i.product_id|1>> HAVING <<sum(i.quantity) > 60|count(*) < 3>>) ORDER BY 1, 2;

-- name: groups of the same key
SELECT c.id, e.kind FROM customers c, events e WHERE e.customer_id = c.id AND c.id IN (SELECT o.customer_id FROM orders o GROUP BY o.customer_id HAVING count(*) > 6) ORDER BY 1, e.at;

-- name: groups of another key are whole
SELECT o.customer_id, o.id FROM orders o WHERE o.id IN (SELECT i.order_id FROM items i GROUP BY i.order_id HAVING sum(i.quantity) > 20) ORDER BY 1, 2;

-- name: groups by more than the column
SELECT o.customer_id, o.id FROM orders o WHERE o.small IN (SELECT e.level FROM events e GROUP BY e.level, e.kind HAVING count(*) > 8) ORDER BY 1, 2;

-- name: grouping sets aren't cut
SELECT o.customer_id, o.id FROM orders o WHERE o.small IN (SELECT coalesce(e.level, 2) FROM events e GROUP BY ROLLUP (e.level) HAVING count(*) > 150) ORDER BY 1, 2;

-- name: windows over groups aren't cut
SELECT c.id FROM customers c JOIN (SELECT e.customer_id, rank() OVER (ORDER BY count(*) DESC, e.customer_id) AS place FROM events e GROUP BY e.customer_id) s ON s.customer_id = c.id AND s.place < 9 WHERE c.vip ORDER BY 1;

-- name: bounded rows aren't cut
SELECT c.id FROM customers c WHERE c.id IN (SELECT e.customer_id FROM events e GROUP BY e.customer_id ORDER BY count(*) DESC, e.customer_id LIMIT 5) ORDER BY 1;

-- name: groups that are joined off their key
SELECT o.customer_id, o.id, s.n FROM orders o JOIN (SELECT e.level, count(*) AS n, max(e.at) AS last FROM events e GROUP BY e.level) s ON s.level = o.small WHERE o.id < 20 ORDER BY 1, 2;

-- name: groups on the side that gets NULLs
SELECT o.customer_id, o.id, s.n FROM orders o LEFT JOIN (SELECT e.level, count(*) AS n FROM events e GROUP BY e.level) s ON s.level = o.small + 1 AND s.level = o.quantity WHERE o.id < 20 ORDER BY 1, 2;

-- name: DISTINCT rows that are joined off their key
SELECT o.customer_id, o.id, s.level FROM orders o LEFT JOIN (SELECT DISTINCT e.level, e.kind FROM events e) s ON s.level = o.small WHERE o.id < 12 ORDER BY 1, 2, 3, s.kind;

-- name: a condition on a group
SELECT s.customer_id, s.n FROM (SELECT customer_id, count(*) AS n FROM orders GROUP BY customer_id HAVING count(*) > 2) s WHERE s.customer_id <<= 5|IN (3, 4, 5)>> ORDER BY 1;

-- name: an equality in every branch
SELECT count(*), sum(o.total) FROM orders o, events e WHERE (e.customer_id = o.id AND e.level = 1 AND o.paid) OR (o.id = e.customer_id AND e.level = 2 AND NOT o.paid) OR (o.status = 'new' AND e.customer_id = o.id AND e.kind = 'buy');

-- name: an equality in some branches
SELECT count(*), sum(o.total) FROM orders o, events e WHERE (e.customer_id = o.id AND e.level = 1 AND o.paid) OR (e.customer_id = o.quantity AND e.level = 2 AND NOT o.paid AND o.id < 50);

-- name: stars in EXISTS
SELECT c.id FROM customers c WHERE <<EXISTS|NOT EXISTS>> (SELECT * FROM orders o JOIN events e USING (customer_id) WHERE e.customer_id = c.id AND o.small = e.level) ORDER BY 1;

-- name: a star of groups in EXISTS
SELECT c.id FROM customers c WHERE EXISTS (SELECT * FROM (SELECT level FROM events WHERE customer_id = c.id) e GROUP BY level HAVING count(*) > 1) ORDER BY 1;

-- name: correlated aggregates over rows, none and NULLs
SELECT e.id, <<(SELECT count(*) FROM orders o WHERE o.small = e.level)|(SELECT count(o.discount) FROM orders o WHERE o.small = e.level AND o.id < 30)|(SELECT sum(o.quantity) FROM orders o WHERE e.level = o.small AND o.total > 900)|(SELECT avg(o.total) FROM orders o WHERE o.small = e.level)|(SELECT min(o.label) FROM orders o WHERE o.small = e.level)|(SELECT max(o.took) FROM orders o WHERE o.small = e.level)>> FROM events e ORDER BY 1;

-- name: correlated aggregates within expressions
SELECT e.id FROM events e WHERE <<(SELECT count(*) FROM orders o WHERE o.quantity = e.customer_id) = 0|(SELECT count(*) + 1 FROM orders o WHERE o.quantity = e.customer_id) * 2 > e.level|e.level > (SELECT coalesce(sum(o.small), 1) / 2 FROM orders o WHERE o.quantity = e.customer_id)|(SELECT CASE WHEN count(*) > 1 THEN max(o.small) ELSE e.level END FROM orders o WHERE o.quantity = e.customer_id) > 2|NOT (SELECT bool_and(o.paid) FROM orders o WHERE o.quantity = e.customer_id)>> ORDER BY 1;

-- name: a correlated aggregate by two columns
SELECT e.id, (SELECT sum(o.total) FROM orders o WHERE o.small = e.level AND o.quantity = e.customer_id) AS s FROM events e ORDER BY 1;

-- name: a correlated aggregate by two tables
SELECT e.id, r.n FROM events e JOIN readings r ON r.n = e.level WHERE r.device = 'device 1' AND (SELECT count(*) FROM orders o WHERE o.small = e.level AND o.quantity = r.n + 0) >= 0 AND (SELECT max(o.id) FROM orders o WHERE o.small = e.level AND o.quantity = r.n) > 20 ORDER BY 1, 2;

-- name: a correlated aggregate by more than equality
SELECT e.id FROM events e WHERE e.level < (SELECT avg(o.quantity) FROM orders o WHERE o.small = e.level AND o.quantity > e.level) ORDER BY 1;

-- name: correlated aggregates of joined tables
SELECT e.id, (SELECT sum(i.price * i.quantity) FROM orders o JOIN items i ON i.customer_id = o.customer_id AND i.order_id = o.id WHERE o.small = e.level) AS worth, (SELECT max(i.price) FROM orders o JOIN items i ON i.customer_id = o.customer_id AND i.order_id = o.id WHERE o.small = e.level AND o.paid) AS most FROM events e ORDER BY 1;

-- name: a correlated aggregate in an aggregate
SELECT e.kind, sum((SELECT count(*) FROM orders o WHERE o.small = e.level)) AS n FROM events e GROUP BY e.kind ORDER BY 1;

-- name: a correlated aggregate over groups
SELECT e.level, count(*), (SELECT count(*) FROM orders o WHERE o.small = e.level) AS n FROM events e GROUP BY e.level ORDER BY 1;

-- name: a correlated aggregate above groups
SELECT e.level, count(*) FROM events e WHERE e.customer_id > (SELECT avg(o.quantity) FROM orders o WHERE o.small = e.level) GROUP BY e.level HAVING count(*) > (SELECT count(*) / 20 FROM orders o WHERE o.small = e.level) ORDER BY 1;

-- name: a correlated aggregate of distinct values
SELECT e.id, (SELECT count(DISTINCT o.status) FROM orders o WHERE o.small = e.level) AS n FROM events e ORDER BY 1;

-- name: a correlated aggregate of ordered values
SELECT e.id, (SELECT string_agg(o.status, ',' ORDER BY o.id) FROM orders o WHERE o.small = e.level AND o.id < 30) AS n FROM events e ORDER BY 1;

-- name: correlated aggregates that fail for rows that nobody asks for
SELECT e.id, <<(SELECT sum(1 / (o.id - 40)) FROM orders o WHERE o.small = e.level AND o.id = e.customer_id)|(SELECT max(o.id) / (count(*) - 1) FROM orders o WHERE o.id = e.customer_id)>> FROM events e WHERE e.level = 3 AND e.customer_id = 17 ORDER BY 1;

-- name: a correlated aggregate over a side that gets NULLs
SELECT c.id, e.id, (SELECT count(*) FROM orders o WHERE o.small = e.level) AS n FROM customers c LEFT JOIN events e ON e.customer_id = c.id AND e.level > 3 ORDER BY 1, 2;

-- name: a correlated aggregate in ON
SELECT c.id, e.id FROM customers c LEFT JOIN events e ON e.customer_id = c.id AND e.customer_id < (SELECT avg(o.quantity) * 3 FROM orders o WHERE o.small = e.level) ORDER BY 1, 2;

-- name: stars beside a correlated aggregate
SELECT <<*|e.*|e.*, e.level AS again>> FROM events e JOIN readings r ON r.n = e.level WHERE r.device = 'device 1' AND e.customer_id < (SELECT avg(o.quantity) FROM orders o WHERE o.small = e.level) ORDER BY e.id;

-- name: NATURAL and USING beside a correlated aggregate
SELECT * FROM <<orders NATURAL JOIN (SELECT customer_id, level FROM events) x|orders JOIN events x USING (customer_id)>> WHERE orders.id < 9 AND x.level < (SELECT avg(r.n) FROM readings r WHERE r.n = orders.small) ORDER BY orders.id, x.level, x.*::text;

-- name: an alias of a join beside a correlated aggregate
SELECT x.a, x.kind FROM (customers c JOIN events e ON e.customer_id = c.id) AS x (a, b) WHERE x.level <= (SELECT avg(o.small) FROM orders o WHERE o.quantity = x.level) ORDER BY 1, x.at;

-- name: correlated aggregates in correlated aggregates
SELECT c.id FROM customers c WHERE c.id < (SELECT sum(e.level) FROM events e WHERE e.customer_id = c.id AND e.level > (SELECT avg(o.small) FROM orders o WHERE o.quantity = e.level)) ORDER BY 1;

-- name: correlated aggregates of a condition on the outer row
SELECT e.id, (SELECT max(o.total) FROM orders o WHERE o.small = e.level AND e.kind = 'buy') AS m FROM events e ORDER BY 1;

-- name: correlated aggregates by char, text and collations
SELECT c.id, <<(SELECT count(*) FROM customers d WHERE d.code = c.code)|(SELECT count(*) FROM orders o WHERE o.label = c.code)|(SELECT min(d.id) FROM customers d WHERE d.handle = c.handle)|(SELECT max(d.name) FROM customers d WHERE d.city = c.city)|(SELECT count(d.handle) FROM customers d WHERE d.nick = c.nick)|(SELECT count(*) FROM customers d WHERE d.mood = c.mood)>> AS n FROM customers c ORDER BY 1;

-- name: correlated aggregates by numbers of other types
SELECT i.line, count(*), sum((SELECT count(*) FROM orders o WHERE o.<<discount|weight|small|big>> = i.product_id)) FROM items i GROUP BY i.line ORDER BY 1;

-- name: a correlated aggregate of a parameter
-- params: int4=3, numeric=1.5 | int4=4, numeric=0
SELECT e.id, (SELECT avg(o.total) * $2 FROM orders o WHERE o.small = e.level AND o.quantity > $1) FROM events e ORDER BY 1;

-- name: a correlated aggregate of a clock and of chance
SELECT e.id, (SELECT count(*) FROM orders o WHERE o.small = e.level AND o.ordered_at < <<now()|now() + random() * interval '1 day'>>) FROM events e WHERE e.level = 3 ORDER BY 1;

-- name: a correlated aggregate of reference tables stays
SELECT e.id, (SELECT max(p.price) FROM products p WHERE p.id = e.level) FROM events e ORDER BY 1;

-- name: a correlated aggregate from a WITH query and a view
WITH w AS (SELECT level, customer_id FROM events WHERE kind = 'buy') SELECT w.customer_id, (SELECT sum(p.total) FROM <<paid_orders|orders>> p WHERE p.id = w.customer_id) FROM w WHERE w.level > (SELECT avg(o.small) FROM orders o WHERE o.quantity = w.level) ORDER BY 1, 2;

-- name: a correlated aggregate in both branches of UNION
SELECT id::text FROM events e WHERE level < (SELECT avg(small) FROM orders o WHERE o.quantity = e.level) UNION ALL SELECT code FROM customers c WHERE id < (SELECT avg(quantity) FROM orders o WHERE o.small = c.id) ORDER BY 1;

-- name: a correlated aggregate in LATERAL
SELECT e.id, x.n FROM events e, LATERAL (SELECT e.level AS l, (SELECT count(*) FROM orders o WHERE o.small = e.level) AS n) x ORDER BY 1;

-- name: a correlated value of a row
SELECT e.id, (SELECT c.name FROM customers c WHERE c.id = e.customer_id) FROM events e ORDER BY 1;

-- name: own keys for each shard
SELECT c.id, c.name FROM customers c WHERE c.id IN (SELECT <<e.level|e.customer_id|e.level - 5|e.level * 10000000000>> FROM events e WHERE e.kind = 'buy') ORDER BY 1;

-- name: own keys of text for each shard
SELECT r.device, r.n FROM readings r WHERE r.device IN (SELECT <<'device ' || e.level|e.kind>> FROM events e WHERE e.level < 3) ORDER BY 1, 2;

-- name: own keys that differ by blanks and letters
SELECT count(*) FROM readings r JOIN customers c ON r.device = c.<<name|email|code>> WHERE c.id < 30;

-- name: own keys for the groups of a sub-query
SELECT e.id, s.n FROM events e JOIN (SELECT customer_id, count(*) AS n FROM orders GROUP BY customer_id) s ON s.customer_id = e.customer_id WHERE e.level = 5 ORDER BY 1;

-- name: own keys and others
SELECT count(*), sum(o.total) FROM orders o JOIN events e ON e.customer_id = o.customer_id AND e.level = o.small WHERE e.kind = 'view' AND e.level > 3;

-- name: own keys for joined tables
SELECT count(*), sum(i.price) FROM orders o JOIN items i ON i.customer_id = o.customer_id AND i.order_id = o.id, events e WHERE e.customer_id = i.customer_id AND e.level = 4 AND e.kind = 'buy';

-- name: own keys that are all NULL
SELECT c.id FROM customers c JOIN events e ON c.id = e.customer_id + NULL WHERE e.level = 5;

-- name: reference tables around a sub-query
SELECT p.id, p.name FROM products p JOIN countries n ON n.euro AND p.category <> n.region WHERE p.price > 20 AND p.id <<IN|NOT IN>> (SELECT i.product_id FROM items i, events e WHERE e.customer_id = i.order_id AND e.level = 2 AND i.product_id IS NOT NULL) ORDER BY 1, n.code;

-- name: reference tables around EXISTS
SELECT n.code FROM countries n WHERE n.region = 'Europe' AND <<EXISTS|NOT EXISTS>> (SELECT * FROM customers c JOIN events e ON e.customer_id = c.id WHERE c.country = n.code AND e.level = 1) ORDER BY 1;

-- name: a reference table of the same name around a sub-query
SELECT n.code FROM countries n WHERE n.euro AND EXISTS (SELECT * FROM customers c, countries n, events e WHERE n.code = c.country AND e.customer_id = c.id AND e.level = 5 AND n.name > 'F') ORDER BY 1;

-- name: a reference table on the side that gets NULLs around a sub-query
SELECT s.name, p.id FROM settings s LEFT JOIN products p ON p.id = s.n AND p.price > 50 WHERE <<EXISTS|NOT EXISTS>> (SELECT * FROM items i, events e WHERE i.product_id = p.id AND e.customer_id = i.order_id AND e.level = 3) ORDER BY 1, 2;

-- name: a reference table two levels up
SELECT p.id FROM products p WHERE p.price > 30 AND p.id IN (SELECT e.level FROM events e WHERE e.kind = 'buy' AND EXISTS (SELECT * FROM items i WHERE i.product_id = p.id AND i.order_id = e.customer_id)) ORDER BY 1;

-- name: rows that are the same in a set
SELECT c.id FROM customers c WHERE <<c.id IN (SELECT e.level FROM events e)|c.id NOT IN (SELECT e.level FROM events e WHERE e.level IS NOT NULL)|c.id > ALL (SELECT o.small FROM orders o WHERE o.small < 5)|EXISTS (SELECT 1 FROM events e WHERE e.level = 99)|NOT EXISTS (SELECT e.kind FROM events e WHERE e.level = c.id)|(c.id, c.vip) IN (SELECT e.level, true FROM events e)>> ORDER BY 1;

-- name: numbers and texts that are equal and not the same in a set
SELECT <<count(*)|min(a.id)>> FROM orders a WHERE a.discount::text IN (SELECT b.discount::text FROM orders b WHERE b.small = 2) AND a.id IN (SELECT o.quantity FROM orders o);

-- name: rows in a set that are counted
SELECT c.id FROM customers c WHERE c.id IN (SELECT <<count(*)|row_number() OVER ()|sum(e.level)>> FROM events e WHERE e.level = 5) ORDER BY 1;

-- name: a bounded set
SELECT count(*) FROM customers c WHERE c.id IN (SELECT o.small FROM orders o ORDER BY o.total, o.customer_id, o.id LIMIT 7) AND EXISTS (SELECT o.small FROM orders o WHERE o.small = c.id OFFSET 3);

-- name: sets within sets
SELECT c.id FROM customers c WHERE c.id IN (SELECT o.small FROM orders o WHERE o.quantity IN (SELECT r.n FROM readings r WHERE r.value > 20) OR o.paid) ORDER BY 1;

-- class: gather outer

-- name: a table found by its primary key from the side that gets NULLs
SELECT o.id, c.name, c.vip, e.kind FROM orders o LEFT JOIN customers c ON c.id = o.customer_id<<| AND c.vip| AND o.paid| AND c.country = o.status| AND c.id % 2 = o.small % 2| AND (c.vip OR o.total > 50)| AND false>> JOIN events e ON e.level = o.small<< WHERE o.id < 40| WHERE c.vip AND o.id < 80| WHERE c.vip IS NULL AND o.id < 80| WHERE coalesce(c.name, 'none') <> 'Ada' AND o.id < 40>> ORDER BY o.id, e.at, e.id;

-- name: two of them, one by the other
SELECT i.order_id, i.line, o.total, c.name FROM items i LEFT JOIN orders o ON o.customer_id = i.customer_id AND o.id = i.order_id AND o.paid LEFT JOIN customers c ON c.id = <<i|o>>.customer_id AND c.vip, events e WHERE e.level = i.line AND e.kind = 'buy' ORDER BY i.customer_id, 1, 2, e.at;

-- name: beside inner joins by the same key
SELECT c.id, o.id, i.line, i.quantity FROM customers c JOIN orders o ON o.customer_id = c.id LEFT JOIN items i ON i.customer_id = o.customer_id AND i.order_id = o.id AND i.line = <<1|2|o.small>> JOIN events e ON e.level = o.small AND e.customer_id = o.id ORDER BY 2, 1, 3, e.at;

-- name: not by the primary key alone
SELECT c.id, o.id, e.level FROM customers c LEFT JOIN orders o ON o.customer_id = c.id<<| AND o.paid| AND o.id = c.id + 1| AND o.id = e.level>> JOIN events e ON e.level = c.id WHERE c.id < 5 ORDER BY 1, 2, e.at;

-- name: a condition about a third table
SELECT o.id, c.name, e.kind FROM orders o JOIN events e ON e.customer_id = o.id LEFT JOIN customers c ON c.id = o.customer_id AND c.vip = (e.level > 2) ORDER BY 1, e.at, 2;

-- name: within what gets NULLs itself
SELECT e.level, o.id, c.name FROM events e LEFT JOIN (orders o LEFT JOIN customers c ON c.id = o.customer_id AND c.vip) ON o.id = e.customer_id AND o.paid ORDER BY e.at, e.id, 2, 3;

-- name: on the kept side of a right join
SELECT e.level, o.id, c.name FROM events e RIGHT JOIN (orders o LEFT JOIN customers c ON c.id = o.customer_id AND c.vip) ON o.id = e.customer_id AND e.level = 3 ORDER BY o.id, o.customer_id, e.at, 3;

-- name: under a full join
SELECT count(*), count(c.id), count(o.id), count(e.id) FROM (orders o LEFT JOIN customers c ON c.id = o.customer_id AND c.vip) FULL JOIN events e ON e.customer_id = o.id AND e.level = 2;

-- name: what is joined with the side that gets NULLs
SELECT o.id, c.name, e.kind FROM orders o LEFT JOIN customers c ON c.id = o.customer_id AND c.vip <<LEFT JOIN|JOIN>> events e ON e.level = c.id<< AND e.kind = 'buy'|>> WHERE o.id < 50 ORDER BY 1, e.at, e.id;

-- name: whole rows beside them
-- protocol: simple
SELECT c, o.id FROM orders o LEFT JOIN customers c ON c.id = o.customer_id AND c.vip JOIN readings r ON r.n = o.small AND r.device = 'device 1' WHERE o.id < 30;

-- name: stars and aliases
SELECT <<*|c.*, o.*|o.id, c IS NULL, c IS NOT DISTINCT FROM NULL|count(c)>> FROM orders o LEFT JOIN customers c ON c.id = o.customer_id AND c.vip JOIN readings r ON r.n = o.small AND r.device = 'device 1' WHERE o.id < 30;

-- name: groups and sub-queries over them
SELECT c.country, count(*), count(c.id), sum(o.total), max((SELECT count(*) FROM events e WHERE e.level = o.small)) FROM orders o LEFT JOIN customers c ON c.id = o.customer_id AND c.vip JOIN events e ON e.customer_id = o.id GROUP BY 1 ORDER BY 1;

-- params: int4=3, bool=t | int4=NULL, bool=f
SELECT o.id, c.name, e.kind FROM orders o LEFT JOIN customers c ON c.id = o.customer_id AND c.vip = $2 JOIN events e ON e.customer_id = o.id AND e.level = $1 ORDER BY 1, e.at, 2;

-- class: gather broadcast

-- name: joins off the key, in order
SELECT o.id, o.status, e.kind, e.level FROM orders o <<JOIN|LEFT JOIN|RIGHT JOIN|FULL JOIN>> events e ON e.level = o.small AND e.customer_id = o.<<id|customer_id>> ORDER BY <<o.total DESC NULLS LAST, o.id, o.customer_id, e.at, e.id|e.at, e.id, o.id, o.customer_id>><<| LIMIT 7| OFFSET 5| LIMIT 9 OFFSET 3>>;

-- name: keys of other integer types, NULLs and duplicates
SELECT count(*), count(DISTINCT a.id), sum(b.n) FROM orders a JOIN readings b ON b.n = a.<<small|quantity|big|id>>;

-- name: groups over a join off the key
SELECT e.kind, count(*), sum(o.total), max(o.note), avg(o.quantity) FROM orders o JOIN events e ON e.customer_id = o.id WHERE e.level <<> 2|< 0>> GROUP BY e.kind<< HAVING count(*) > 20|>> ORDER BY <<2 DESC, 1|e.kind>>;

-- name: groups by the key of what stays
SELECT e.id, count(*), max(o.total) FROM orders o JOIN events e ON e.customer_id = o.id GROUP BY e.id<<|, e.kind>> ORDER BY 1;

-- name: a column that hangs on the primary key of what goes along
SELECT c.id, c.name, count(*) FROM customers c JOIN events e ON e.level = c.id GROUP BY c.id ORDER BY 1;

-- name: no row on either side
SELECT o.id, e.kind FROM orders o <<JOIN|LEFT JOIN>> events e ON e.customer_id = o.id WHERE o.total < <<0|-1000>>;

-- name: columns under collations
SELECT c.nick, c.city, count(*) FROM customers c JOIN events e ON e.level = c.id GROUP BY c.nick, c.city ORDER BY c.nick, c.city;

-- name: comparisons under collations
SELECT c.id, d.id FROM customers c JOIN customers d ON d.email = c.email AND c.id < d.id JOIN events e ON e.level = c.id WHERE c.city > 'a' ORDER BY c.city, 1, 2, e.at;

-- name: types of users
SELECT c.id, c.mood, c.moods, e.kind FROM customers c JOIN events e ON e.level = c.id WHERE c.mood <<> 'ok'|IS NULL>> ORDER BY c.mood, c.id, e.at;

-- name: stars
SELECT <<*|e.*, s.*|s.*, e.id>> FROM settings s JOIN events e ON e.level = s.n ORDER BY e.at, e.id, s.name;

-- name: a table with a schema before it
SELECT public.orders.id, events.kind FROM public.orders JOIN events ON events.customer_id = public.orders.id WHERE public.orders.paid ORDER BY 1, events.at;

-- name: aliases of columns
SELECT r.a, e.kind FROM readings AS r (a, b) JOIN events e ON e.level = r.b ORDER BY 1, 2, e.at;

-- name: nothing but rows
SELECT count(*) FROM settings s, events e;

-- name: conditions on both sides, and a sub-query about the same key
SELECT o.id, e.kind FROM orders o JOIN events e ON e.customer_id = o.id WHERE o.paid AND e.level > 2 AND o.total > e.level AND EXISTS (SELECT 1 FROM items i WHERE i.customer_id = o.customer_id AND i.order_id = o.id) ORDER BY 1, e.at;

-- name: windows over the key of what stays
SELECT e.kind, o.id, row_number() OVER (PARTITION BY e.id ORDER BY o.id, o.customer_id) FROM orders o JOIN events e ON e.level = o.small WHERE o.id < 30 ORDER BY e.at, e.id, 2, 3;

-- name: distinct rows
SELECT DISTINCT o.status, e.kind FROM orders o JOIN events e ON e.customer_id = o.id ORDER BY 1, 2;

-- params: int4=3, text=new, int8=4 | int4=NULL, text=paid, int8=0 | int4=2, text=new, int8=NULL
SELECT o.id, e.kind FROM orders o JOIN events e ON e.customer_id = o.id AND e.level = $1 WHERE o.status = $2 ORDER BY 1, e.at LIMIT $3;

-- name: clocks are read once
SELECT count(*) FROM orders o JOIN events e ON e.customer_id = o.id AND o.ordered_at < now() WHERE e.at < current_timestamp;

-- name: a portal with a row limit
-- rows: 5
SELECT o.id, e.kind FROM orders o JOIN events e ON e.customer_id = o.id ORDER BY 1, e.at;

-- name: cursors
BEGIN;
DECLARE c <<|SCROLL >>CURSOR FOR SELECT o.id, e.kind FROM orders o JOIN events e ON e.customer_id = o.id ORDER BY 1, e.at;
FETCH 5 FROM c;
FETCH FORWARD 20 FROM c;
CLOSE c;
COMMIT;

-- name: in transactions
BEGIN<<| ISOLATION LEVEL REPEATABLE READ>>;
SELECT o.id, e.kind FROM orders o JOIN events e ON e.customer_id = o.id ORDER BY 1, e.at;
SELECT e.kind, count(*), sum(o.total) FROM orders o JOIN events e ON e.customer_id = o.id GROUP BY 1 ORDER BY 1;
COMMIT;

-- name: tables of sub-queries go along
SELECT e.kind, e.level FROM events e WHERE <<EXISTS (SELECT 1 FROM orders o WHERE o.small = e.level AND o.total > 60)|e.level NOT IN (SELECT o.small FROM orders o WHERE o.small IS NOT NULL AND o.paid)|e.level > (SELECT avg(r.n) FROM readings r WHERE r.n < 5)|e.level = ANY (SELECT n FROM readings)|e.level IN (SELECT o.small FROM orders o WHERE o.quantity > e.level)>> ORDER BY e.at, e.id;

-- name: a sub-query in FROM goes along
SELECT e.kind, q.total FROM events e <<JOIN|LEFT JOIN>> (SELECT o.id, o.total FROM orders o WHERE o.paid) q ON q.id = e.customer_id ORDER BY e.at, e.id, q.total;

-- name: a lateral sub-query goes along
SELECT e.kind, q.* FROM events e, LATERAL (SELECT o.id, o.total FROM orders o WHERE o.id = e.customer_id ORDER BY o.total DESC NULLS LAST, o.id LIMIT 2) q ORDER BY e.at, e.id, 2;

-- name: an aggregate anywhere makes one row, that always exists
SELECT count(*) FROM (SELECT c.id FROM customers c, events e WHERE e.customer_id = c.id AND EXISTS (SELECT <<1|DISTINCT 1|DISTINCT ON (count(*)) 1>> FROM orders o WHERE o.small = c.id AND o.total > 99999999 <<ORDER BY count(*)|WINDOW w AS (ORDER BY count(*))>>)) x;
SELECT count(*) FROM settings s WHERE EXISTS (SELECT 1 FROM orders o WHERE o.id = s.n AND o.total > 99999999 <<ORDER BY count(*)|WINDOW w AS (ORDER BY count(*))|>>);

-- name: a column that FULL JOIN merges is another one elsewhere
SELECT count(*) FROM countries r, (customers a FULL JOIN orders b USING (id)) WHERE length(r.name) < id AND EXISTS (SELECT 1 FROM customers c WHERE c.country = r.code AND c.id <= <<2|20>>);

-- name: conditions that begin with the moment
SELECT count(*) FROM customers c WHERE c.id IN (SELECT <<o.customer_id FROM orders o WHERE now() > o.ordered_at GROUP BY 1|DISTINCT o.customer_id FROM orders o WHERE now() - interval '1 day' > o.ordered_at|o.small FROM orders o WHERE current_date > o.due GROUP BY o.small|DISTINCT o.small FROM orders o WHERE current_timestamp > o.ordered_at OR o.paid>>);

-- name: whether there are rows at all
SELECT count(*) FROM customers c WHERE <<|NOT >>EXISTS (SELECT <<*|o.*>> FROM orders o <<LIMIT 1|FETCH FIRST ROW ONLY|OFFSET 3 LIMIT 2|LIMIT 0>>);

-- name: an aggregate within a sub-query is of the rows around it
SELECT (SELECT max(<<c.id|(SELECT o.total FROM orders o WHERE o.customer_id = c.id AND o.id = 7)|o.id + c.id>>) FROM orders o WHERE o.customer_id = 3) FROM customers c;
SELECT (SELECT <<count(c.*)|max(c.id) FILTER (WHERE c.vip)|string_agg(c.name, ',' ORDER BY c.id)>>) FROM customers c;
SELECT country, (SELECT sum(c.credit)) FROM customers c GROUP BY country ORDER BY 1;

-- name: a name that NATURAL JOIN makes one stands for several without it
SELECT count(*) OVER (ORDER BY 'new'), a.*, 'new' FROM countries AS a NATURAL JOIN products b WHERE (0, name) IN (SELECT 0, o.note FROM orders o) AND <<'new'|'A'>> < name;

-- name: a name of both sides beside rows that no reference table goes with
SELECT id, i.line, p.category FROM (SELECT product_id AS id, line, customer_id FROM items) i LEFT JOIN products p USING (id), events e WHERE e.level = i.line AND e.customer_id = i.customer_id AND (p.price > id OR p.price IS NULL) ORDER BY 1, 2, 3, e.at;

-- name: reference tables that may be missing beside gathered rows
SELECT o.id, e.kind, n.region, p.category FROM orders o LEFT JOIN countries n ON n.code = o.note LEFT JOIN products p ON p.id = o.small, events e WHERE e.level = o.small AND e.customer_id = o.id AND (n.euro OR n.code IS NULL) AND (p.category = 'music' OR p.id IS NULL OR p.price > <<3|50>>) ORDER BY 1, 2, 3, 4, e.at;

-- name: the same beside the gathered tables
SELECT a.code, b.id, o.id FROM countries AS a JOIN products b USING (name), orders o, events e WHERE o.note = name AND e.level = o.small AND e.customer_id = o.id AND name > 'A';
