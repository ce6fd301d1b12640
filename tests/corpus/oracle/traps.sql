-- What proxies over several databases are known to answer wrongly. Each case has a name that says which trap it is.

-- class: trap

-- name: key inside CASE
SELECT count(*), sum(total) FROM orders WHERE CASE customer_id WHEN 5 THEN paid ELSE status = 'new' END;

-- name: key in the select list
SELECT id, customer_id = 5 AS mine FROM orders ORDER BY id;

-- name: key in ORDER BY
SELECT id, customer_id FROM orders ORDER BY customer_id = 5 DESC, id LIMIT 12;

-- name: key in FILTER
SELECT count(*) FILTER (WHERE customer_id = 5) AS mine, count(*) FILTER (WHERE customer_id IN (6, 7)), count(*) FROM orders;

-- name: key in the ON of an outer join, preserved side
SELECT c.id, count(o.id) FROM customers c LEFT JOIN orders o ON o.customer_id = c.id AND c.id = <<5|61>> GROUP BY c.id ORDER BY 1;

-- name: key in the ON of an outer join, other side
SELECT count(*), count(o.id) FROM customers c LEFT JOIN orders o ON o.customer_id = c.id AND o.customer_id = 5;

-- name: key in WHERE above an outer join's other side
SELECT c.id, o.id FROM customers c LEFT JOIN orders o ON o.customer_id = c.id WHERE o.customer_id = <<5|8>> ORDER BY 2;

-- name: key under NOT
SELECT count(*) FROM orders WHERE NOT (customer_id = 5 OR customer_id = 6);

-- name: key under OR with something else
SELECT count(*) FROM orders WHERE customer_id = 5 OR note IS NULL;

-- name: key under IS NOT TRUE
SELECT count(*) FROM orders WHERE (customer_id = 5 AND paid) IS NOT TRUE;

-- name: key in a sub-query for the outer query
SELECT count(*) FROM customers c WHERE c.vip AND EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = 5 AND o.total > c.credit);

-- name: key of the outer query in a sub-query's condition
SELECT id FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND c.id = 9) ORDER BY 1;

-- name: key with arithmetic on its side
SELECT count(*) FROM orders WHERE <<customer_id + 1 = 5|customer_id % 10 = 3|-customer_id = -5|customer_id * 2 = 10|abs(customer_id) = 5>>;

-- name: key equals arithmetic of constants
SELECT id FROM orders WHERE customer_id = <<5 + 1|2 * 3 - 1|- -5|-5::bigint + 10|(1 + 2) * 3|10 / 2|length('five!')|power(2, 3)>> ORDER BY 1;

-- name: key equals arithmetic of a parameter
-- params: int8=<<4|5|-6>>
SELECT id FROM orders WHERE customer_id = $1 + 1 ORDER BY 1;

-- name: minus binds looser than a cast
-- The cast is of 5, and its sign comes after.
SELECT count(*) FROM orders WHERE customer_id = -5::bigint;

-- name: no member of IN is dropped
SELECT id, customer_id FROM orders WHERE customer_id IN <<(1, 2+3)|(1, length('abcde'))|(NULL, 5)|(1, (SELECT 5))|(1, 5, 5, 40/2)>> ORDER BY customer_id, id;

-- name: two keys on two tables
SELECT a.id, b.id, b.customer_id FROM customers a, orders b WHERE a.id = <<1|2|3>> AND b.customer_id = <<2|5>> ORDER BY 1, 2;

-- name: two keys on two tables of other groups
SELECT count(*) FROM customers c, events e WHERE c.id = 5 AND e.id = '1f15485f-4b8a-bb91-e4cc-16e720e02c1e';

-- name: an untyped literal is read by the column's type
SELECT (SELECT count(*) FROM orders WHERE customer_id = '12'), (SELECT count(*) FROM readings WHERE device = 'device 12'), (SELECT count(*) FROM events WHERE id = '{1F15485F4B8ABB91E4CC16E720E02C1E}');

-- name: an untyped literal with blanks
SELECT count(*) FROM orders WHERE customer_id = <<' 5'|'5 '|'+5'|'0005'>>;

-- name: NULL keys
SELECT count(*) FROM orders WHERE <<customer_id = NULL|customer_id IN (NULL)|customer_id IS NULL|customer_id IS NOT DISTINCT FROM NULL|customer_id = ANY (NULL::bigint[])|(customer_id, id) = (NULL, 1)>>;

-- name: NULL as a key's parameter
-- params: <<int8|?|text>>=NULL
SELECT count(*) FROM customers WHERE id = $1::bigint;

-- name: int4 column, int8 value
SELECT count(*) FROM items WHERE customer_id = <<5::bigint|9223372036854775807|-1::bigint>>;

-- name: int4 column, numeric value
SELECT count(*) FROM items WHERE customer_id = <<5.0|5.00::numeric|5.5|'5'::numeric>>;

-- name: bigint column, float value
SELECT count(*) FROM orders WHERE customer_id = <<5::float8|5.5::float8|'NaN'::float8>>;

-- name: parameters of other integer types
-- params: <<int2|int4|int8|numeric|float8>>=<<5|12>>
SELECT id FROM items i JOIN orders o ON o.customer_id = i.customer_id AND o.id = i.order_id WHERE i.customer_id = $1 ORDER BY 1;

-- name: varchar and text keys
SELECT count(*) FROM readings WHERE device = <<'device 4'::varchar|'device 4'::varchar(8)|'device 40'::varchar(8)|'device 4'::text|'device 4'::name>>;

-- name: a char(n) value loses its blanks
SELECT count(*) FROM readings WHERE device = <<'device 4  '|'device 4  '::char(12)|'device 4  '::bpchar|'device 4  '::varchar>>;

-- name: a parameter without a declared type
-- params: ?=<<5|7>>, ?=new
SELECT id FROM orders WHERE customer_id = $1 AND status = $2 ORDER BY 1;

-- name: a key as parameter in text and in binary
-- params: uuid=<<1f15485f-4b8a-bb91-e4cc-16e720e02c1e|280ceb2f-4794-2aeb-489e-16be0076db48>>
SELECT kind, level FROM events WHERE id = $1;

-- name: keys as an array parameter
-- params: int8[]=<<{5,6}|{5,NULL}|{}|NULL>>
SELECT id FROM orders WHERE customer_id = ANY ($1) ORDER BY 1;

-- name: a key compared under another collation
SELECT count(*) FROM readings WHERE device = 'device 4' COLLATE <<"C"|english|"de-x-icu"|folded>>;

-- name: a key joined under a collation that folds case
SELECT count(*) FROM readings r JOIN (VALUES ('DEVICE 4'), ('device 5')) v (d) ON r.device = v.d COLLATE folded;

-- name: a key by IN under a collation that folds case
SELECT count(*) FROM readings WHERE device COLLATE folded IN ('DEVICE 4', 'Device 5');

-- name: a row comparison
SELECT id FROM orders WHERE <<(customer_id, status) = (5, 'new')|ROW(customer_id, status) = ROW(5, 'new')|(customer_id, id) IN ((5, 100), (6, 2))|(customer_id, id) >= (46, 0)>> ORDER BY 1;

-- name: a key by BETWEEN
SELECT count(*) FROM orders WHERE customer_id BETWEEN <<5 AND 5|SYMMETRIC 7 AND 5>>;

-- name: a key carried over by USING
SELECT count(*) FROM orders JOIN items USING (customer_id) WHERE customer_id = <<5|9>>;

-- name: a key on the merged column of a full join
SELECT count(*), count(o.id), count(i.line) FROM orders o FULL JOIN items i USING (customer_id) WHERE customer_id = <<5|4|60>>;

-- name: a key carried over by a join's equality
SELECT count(*) FROM customers c JOIN orders o ON o.customer_id = c.id JOIN items i ON i.customer_id = o.customer_id WHERE i.customer_id = 5;

-- name: a key not carried over by an outer join's equality
SELECT c.id, o.id FROM orders o RIGHT JOIN customers c ON c.id = o.customer_id AND o.customer_id = 5 WHERE c.id < 8 ORDER BY 1, 2;

-- name: a key through a view
SELECT * FROM <<order_sums WHERE customer_id = 5|customer_orders WHERE customer_id = 5 AND total > 10|top_orders WHERE customer_id = 5|status_sums WHERE n > 3>> ORDER BY 1, 2, 3;

-- name: a key outside LIMIT of a sub-query
SELECT id, customer_id FROM (SELECT id, customer_id FROM orders ORDER BY id LIMIT 20) t WHERE customer_id = <<8|15>> ORDER BY 1;

-- name: a key outside a window
SELECT * FROM (SELECT customer_id, id, count(*) OVER () AS n FROM orders) t WHERE customer_id = 5 ORDER BY 2;

-- name: a key outside DISTINCT ON
SELECT * FROM (SELECT DISTINCT ON (status) status, customer_id, id FROM orders ORDER BY status, id) t WHERE customer_id = 15 ORDER BY 1;

-- name: a bare LIMIT
-- choice: SELECT id, status FROM orders
SELECT id, status FROM orders LIMIT <<7|239|241>>;

-- name: OFFSET without LIMIT
SELECT id FROM orders ORDER BY id OFFSET <<3|235>>;

-- name: OFFSET is applied once
SELECT id FROM orders ORDER BY id DESC LIMIT 5 OFFSET <<1|7|100>>;

-- name: LIMIT as an expression
SELECT id FROM orders ORDER BY id LIMIT <<2 * 3|(SELECT count(*) FROM countries)|least(4, 9)|'6'::int|4.5>>;

-- name: LIMIT as a cast parameter
-- params: text=4, text=2
SELECT id FROM orders ORDER BY id LIMIT $1::int OFFSET $2::bigint;

-- name: WITH TIES keeps ties
SELECT quantity FROM orders ORDER BY quantity FETCH FIRST <<1|40>> ROWS WITH TIES;

-- name: top-N over groups
SELECT quantity, count(*) FROM orders GROUP BY quantity ORDER BY count(*) DESC, quantity LIMIT <<1|2|3>>;

-- name: top-N over groups by their sum
SELECT status, sum(total) FROM orders GROUP BY status ORDER BY 2 LIMIT 1;

-- name: ORDER BY an expression
SELECT id, status FROM orders ORDER BY <<length(status), id|id % 9 DESC, id|status IS NULL DESC, id|total * -1 NULLS FIRST, id>> LIMIT 15;

-- name: ORDER BY a column not selected
SELECT id FROM orders ORDER BY total DESC NULLS LAST, note, id LIMIT 15;

-- name: ORDER BY an ordinal
SELECT status, id FROM orders ORDER BY 1 DESC, 2 LIMIT 15;

-- name: ORDER BY an output name that hides a column
SELECT id, -total AS status FROM orders ORDER BY status, id LIMIT 15;

-- name: ORDER BY with two output columns of one name
SELECT id AS total, total FROM orders ORDER BY 2 NULLS LAST, 1 LIMIT 15;

-- name: an ambiguous ORDER BY is PostgreSQL's error
SELECT id AS x, total AS x FROM orders ORDER BY x;

-- name: NULLS FIRST and NULLS LAST
SELECT id, total FROM orders ORDER BY total <<NULLS FIRST|DESC NULLS FIRST|DESC NULLS LAST|DESC|ASC>>, id;

-- name: ORDER BY COLLATE
SELECT id, email FROM customers ORDER BY email COLLATE <<"C"|english|"de-x-icu"|"POSIX">>, id;

-- name: ORDER BY USING
SELECT id, total FROM orders ORDER BY total USING <<<|> >>, id LIMIT 9;

-- name: text order of a linguistic collation
SELECT id, <<city|nick|name COLLATE english|name COLLATE "de-x-icu">> AS c FROM customers ORDER BY 2, 1;

-- name: text order of a collation that folds case
-- order: 2
SELECT lower(handle), handle IS NULL FROM customers ORDER BY handle, 1;

-- name: GROUP BY the alias of an expression
SELECT ordered_at::date AS d, count(*), sum(total) FROM orders GROUP BY d ORDER BY d;

-- name: GROUP BY an alias that hides a column means the column
SELECT status || '!' AS status, count(*) FROM orders GROUP BY status ORDER BY 1;

-- name: GROUP BY an expression
SELECT (total / 20)::int, count(*) FROM orders GROUP BY (total / 20)::int ORDER BY 1;

-- name: GROUP BY a key that isn't selected
SELECT count(*), sum(total) FROM orders GROUP BY customer_id ORDER BY 1, 2;

-- name: GROUP BY a column that isn't selected
SELECT count(*), sum(total) FROM orders GROUP BY status ORDER BY 1, 2;

-- name: GROUP BY without aggregates
SELECT status, quantity FROM orders GROUP BY status, quantity ORDER BY 1, 2;

-- name: HAVING on partial results
SELECT status FROM orders GROUP BY status HAVING count(*) <<> 40|< 40>> ORDER BY 1;

-- name: HAVING without GROUP BY
SELECT sum(total) FROM orders HAVING count(*) > <<200|300>>;

-- name: coalesce around a sum
SELECT coalesce(sum(total), 0), coalesce(max(id), -1) FROM orders WHERE customer_id > <<100|40>>;

-- name: round around an average
SELECT status, round(avg(total), 2), round(avg(quantity)::numeric, 4) FROM orders GROUP BY 1 ORDER BY 1;

-- name: a quotient of sums
SELECT status, sum(total) / sum(quantity), sum(total) / count(*) FROM orders GROUP BY 1 ORDER BY 1;

-- name: count(*) + 1
SELECT status, count(*) + 1, 1 + count(quantity) FROM orders GROUP BY 1 ORDER BY 1;

-- name: CASE around an aggregate
SELECT CASE WHEN sum(total) > 3000 THEN 'much' WHEN bool_or(paid) THEN 'paid' END, CASE status WHEN max(status) THEN 1 END FROM orders GROUP BY status ORDER BY status;

-- name: count(*) OVER () isn't an aggregate
SELECT id, count(*) OVER () FROM orders WHERE total > 90 ORDER BY id;

-- name: a distinct count with a cast
SELECT count(DISTINCT status)::int, (count(DISTINCT quantity))::text FROM orders;

-- name: a distinct count of the key
SELECT count(DISTINCT customer_id), count(DISTINCT id) FROM orders;

-- name: aggregates of no rows
SELECT count(*), count(total), sum(total), avg(total), min(id), max(note), stddev(total), variance(total), bool_and(paid), array_agg(id), string_agg(note, ','), count(DISTINCT id), percentile_cont(0.5) WITHIN GROUP (ORDER BY total) FROM orders WHERE id < 0;

-- name: groups of no rows
SELECT status, count(*), sum(total) FROM orders WHERE id < 0 GROUP BY status;

-- name: aggregates of one row
SELECT count(*), sum(total), avg(total), stddev(total), var_pop(total), stddev_pop(total), variance(weight), corr(weight, quantity) FROM orders WHERE id = 1;

-- name: a sum that overflows
SELECT sum(id)::bigint, sum(big) FROM orders WHERE big > 0;

-- name: an overflow after the sum
SELECT sum(big)::bigint FROM orders WHERE big > 0;

-- name: a row beside an aggregate
SELECT c.*, count(*) FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.id < 6 GROUP BY c.id ORDER BY c.id;

-- name: a row of a table that is gathered
SELECT count(a), count(b), count(*) FILTER (WHERE b IS NULL), count(*) FILTER (WHERE a IS NOT NULL) FROM orders a LEFT JOIN events b ON b.level = a.small AND b.customer_id = a.id;

-- name: a row of a table that is gathered, as JSON
SELECT row_to_json(s), to_jsonb(r.*) FROM settings s JOIN readings r ON r.n = s.n WHERE device = 'device 3' ORDER BY s.name;

-- name: rows of a table that is gathered, as JSON
SELECT c.id, json_agg(e ORDER BY e.id), jsonb_agg(c) FROM customers c JOIN events e ON e.customer_id = c.id WHERE c.id < 5 GROUP BY c.id ORDER BY 1;

-- name: FILTER on every aggregate
SELECT status, sum(total) FILTER (WHERE paid), avg(total) FILTER (WHERE NOT paid), count(*) FILTER (WHERE paid IS NULL), min(id) FILTER (WHERE id > 100), array_agg(id ORDER BY id) FILTER (WHERE id < 20) FROM orders GROUP BY status ORDER BY 1;

-- name: ordered-set aggregates
SELECT status, percentile_cont(0.3) WITHIN GROUP (ORDER BY total), mode() WITHIN GROUP (ORDER BY quantity), rank(3) WITHIN GROUP (ORDER BY quantity), percentile_disc(0.7) WITHIN GROUP (ORDER BY id DESC) FROM orders GROUP BY status ORDER BY 1;

-- name: ROLLUP, CUBE, GROUPING SETS
SELECT status, paid, count(*), sum(total), grouping(status), grouping(paid, status) FROM orders GROUP BY <<ROLLUP (status, paid)|CUBE (paid, status)|GROUPING SETS ((status, paid), (paid), ())|status, ROLLUP (paid)|DISTINCT ROLLUP (status), CUBE (status, paid)>> ORDER BY 1, 2, 5, 6, 3, 4;

-- name: GROUPING SETS with the key
SELECT customer_id, status, count(*) FROM orders WHERE customer_id < 5 GROUP BY GROUPING SETS ((customer_id), (status), (customer_id, status), ()) ORDER BY 1, 2, 3;

-- name: DISTINCT ON a qualified key
SELECT DISTINCT ON (o.status) o.status, o.id, o.total FROM orders o ORDER BY o.status, o.total DESC NULLS LAST, o.id;

-- name: DISTINCT ON a computed key
SELECT DISTINCT ON (o.customer_id % 5) o.customer_id % 5, o.id FROM orders o ORDER BY o.customer_id % 5, o.id DESC;

-- name: DISTINCT ON the sharding key
SELECT DISTINCT ON (o.customer_id) o.customer_id, o.id FROM orders o ORDER BY o.customer_id, o.id DESC LIMIT 9;

-- name: set operations of branches on different shards
SELECT id, total FROM orders WHERE customer_id = 5 <<UNION|UNION ALL|EXCEPT|INTERSECT>> SELECT id, total FROM orders WHERE customer_id IN (5, 6) ORDER BY 1, 2;

-- name: UNION removes what two shards have
SELECT status FROM orders WHERE customer_id = 5 UNION SELECT status FROM orders WHERE customer_id = 6;

-- name: EXCEPT of rows on another shard
SELECT quantity FROM orders WHERE customer_id = 5 EXCEPT <<|ALL>> SELECT quantity FROM orders WHERE customer_id = 6;

-- name: IN a sub-query with LIMIT
SELECT id FROM customers WHERE id IN (SELECT customer_id FROM orders ORDER BY total DESC NULLS LAST, id LIMIT 5) ORDER BY 1;

-- name: EXISTS off the key
SELECT c.id FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.quantity = c.id) ORDER BY 1;

-- name: NOT EXISTS off the key
SELECT c.id FROM customers c WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.customer_id = c.id) ORDER BY 1;

-- name: NOT IN with NULLs elsewhere
SELECT id FROM customers WHERE id NOT IN (SELECT customer_id FROM events WHERE level < 3) ORDER BY 1;

-- name: a scalar sub-query over all shards
SELECT id, total - (SELECT avg(total) FROM orders) FROM orders ORDER BY id LIMIT 7;

-- name: a sub-query in FROM with LIMIT
SELECT count(*), sum(total) FROM (SELECT total FROM orders ORDER BY total DESC NULLS LAST, id LIMIT 25) t;

-- name: a sub-query in FROM with groups
SELECT max(n), min(n) FROM (SELECT status, count(*) AS n FROM orders GROUP BY status) t;

-- name: one sub-query twice
SELECT (SELECT count(*) FROM events e WHERE e.customer_id = c.country_rank), count(*) FROM (SELECT length(country) AS country_rank FROM customers) c GROUP BY (SELECT count(*) FROM events e WHERE e.customer_id = c.country_rank) ORDER BY 1, 2;

-- name: DISTINCT ON a sub-query
SELECT DISTINCT ON ((SELECT max(i.quantity) FROM items i WHERE i.order_id = o.id)) o.id FROM orders o ORDER BY (SELECT max(i.quantity) FROM items i WHERE i.order_id = o.id), o.id;

-- name: a WITH query
WITH t AS <<|MATERIALIZED|NOT MATERIALIZED>> (SELECT customer_id, count(*) AS n FROM orders GROUP BY 1) SELECT n, count(*) FROM t GROUP BY n ORDER BY 1;

-- name: a WITH query that is read twice
WITH t AS (SELECT status, sum(total) AS s FROM orders GROUP BY 1) SELECT a.status, b.status FROM t a JOIN t b ON a.s > b.s ORDER BY 1, 2;

-- name: a WITH query named as a table
WITH orders AS (SELECT id AS customer_id FROM customers WHERE id < 4) SELECT count(*), max(customer_id) FROM orders;

-- name: a recursive WITH query over a sharded table
WITH RECURSIVE r (id, d) AS (SELECT 5::bigint, 0 UNION SELECT o.quantity::bigint, r.d + 1 FROM r JOIN orders o ON o.customer_id = r.id WHERE r.d < 3 AND o.quantity > 0) SELECT id, d FROM r ORDER BY 1, 2;

-- name: a WITH query that writes
BEGIN;
WITH w AS (UPDATE customers SET credit = 7 WHERE id = 5 RETURNING id) SELECT count(*) FROM w;
SELECT credit FROM customers WHERE id IN (5, 6) ORDER BY 1;
ROLLBACK;

-- name: a join off the key
SELECT count(*), sum(o.total) FROM orders o JOIN customers c ON c.id = o.quantity;

-- name: a join of differently sharded tables
SELECT c.country, count(e.id) FROM customers c JOIN events e ON e.customer_id = c.id GROUP BY 1 ORDER BY 1;

-- name: a self join off the key
SELECT count(*) FROM orders a JOIN orders b ON b.id = a.id + 1 AND b.status = a.status;

-- name: a self join on the key
SELECT count(*) FROM orders a JOIN orders b ON b.customer_id = a.customer_id AND b.id < a.id;

-- name: a reference table on the preserved side
SELECT n.code, count(c.id) FROM countries n LEFT JOIN customers c ON c.country = n.code GROUP BY n.code ORDER BY 1;

-- name: a reference table on the preserved side of a full join
SELECT n.code, c.id FROM customers c FULL JOIN countries n ON c.country = n.code AND c.id < 5 ORDER BY 1, 2;

-- name: a reference table before a semi join
SELECT code FROM countries n WHERE EXISTS (SELECT 1 FROM customers c WHERE c.country = n.code) ORDER BY 1;

-- name: a reference table in UNION ALL with a sharded one
SELECT name FROM countries UNION ALL SELECT name FROM customers WHERE id < 9 ORDER BY 1;

-- name: rows without a table in UNION ALL with a sharded one
SELECT 0 AS id UNION ALL SELECT id FROM customers WHERE id > 55 ORDER BY 1;

-- name: dates before 2000
SELECT id, born, born - 1, born < '2000-01-01' FROM customers WHERE id <> 7 AND id <> 8 ORDER BY born NULLS FIRST, id;

-- name: dates before 2000 as least and greatest
SELECT min(due), max(due), min(born), max(born) FROM orders JOIN customers ON customers.id = customer_id;

-- name: timestamps with a fraction and without
SELECT id, joined, seen FROM customers ORDER BY joined, id;

-- name: infinite times
SELECT max(seen), min(born), max(born), count(*) FILTER (WHERE seen = 'infinity') FROM customers;

-- name: numerics beyond 28 digits
SELECT sum(discount), max(discount), min(discount) + 0.00, sum(discount * 1000000000000000000000.000000000001) FROM orders WHERE discount IS NOT NULL;

-- name: NaN and infinity among numerics
SELECT sum(n), avg(n), max(n), min(n), count(DISTINCT n) FROM (SELECT CASE WHEN id = 7 THEN <<'NaN'|'Infinity'|'-Infinity'>>::numeric ELSE total END AS n FROM orders) t;

-- name: infinities that cancel
SELECT sum(CASE id WHEN 7 THEN 'Infinity'::numeric WHEN 8 THEN '-Infinity' ELSE total END), avg(CASE id WHEN 7 THEN 'Infinity'::numeric WHEN 9 THEN '-Infinity' END), variance(CASE id WHEN 7 THEN 'Infinity'::numeric ELSE 1 END) FROM orders;

-- name: intervals keep their fields
SELECT sum(took), min(took) IS NOT NULL, avg(took), count(DISTINCT took) FROM orders;

-- name: a merged value in the client's style
SET IntervalStyle = '<<iso_8601|sql_standard|postgres_verbose>>';
SET DateStyle = 'SQL, DMY';
SELECT sum(took), avg(took), max(due), min(ordered_at) FROM orders;
SELECT status, max(took), max(due) FROM orders GROUP BY 1 ORDER BY 1;
SET extra_float_digits = <<-3|0|3>>;
SELECT max(weight), min(weight4), sum(weight4) FROM orders;
SELECT id, weight, took FROM orders ORDER BY took DESC NULLS LAST, id LIMIT 5;

-- name: a LIMIT that locks
SELECT id FROM orders ORDER BY id LIMIT 3 FOR UPDATE;

-- name: a cursor over shards
BEGIN;
DECLARE c CURSOR FOR SELECT id, total FROM orders ORDER BY total NULLS FIRST, id;
FETCH 5 FROM c;
FETCH FORWARD 2 FROM c;
FETCH ALL FROM c;
CLOSE c;
COMMIT;

-- name: a portal with a row limit
-- rows: 4
SELECT id, total FROM orders ORDER BY total NULLS FIRST, id;

-- name: a portal with a row limit over groups
-- rows: 2
SELECT status, count(*) FROM orders GROUP BY status ORDER BY 1;

-- name: a statement prepared in one round trip and executed in another
-- params: int8=2, text=a | int8=3, text=b | int8=NULL, text=c | int8=4, text=NULL
SELECT $2 || status, count(*), sum(total) FROM orders WHERE quantity > $1 GROUP BY 1 ORDER BY 1;

-- name: a rewritten statement is described as it was
SELECT status AS "Status", avg(total), sum(quantity), count(*)::int AS n, max(label), min(total)::numeric(8, 1) FROM orders GROUP BY status ORDER BY 1;

-- name: COPY of a query over shards
-- protocol: simple
COPY (SELECT id, status, note FROM orders ORDER BY id) TO STDOUT <<|WITH (FORMAT csv, HEADER)|WITH (DELIMITER '|', NULL 'none')>>;

-- class: merge

-- name: text under C
SELECT email, count(*) FROM customers GROUP BY email ORDER BY email;

-- name: text under a collation of libc
SELECT nick, count(*), min(nick), max(nick) FROM customers GROUP BY nick ORDER BY nick;

-- name: text under a collation of ICU
SELECT city, count(*), min(city), max(city) FROM customers GROUP BY city ORDER BY city;

-- name: least and greatest text
SELECT min(email), max(email), min(city), max(city), min(nick), max(nick), min(name COLLATE "C"), max(name COLLATE english) FROM customers;

-- name: text under a collation that isn't deterministic
SELECT lower(min(handle)), count(DISTINCT handle), count(*) FILTER (WHERE handle = 'ADA') FROM customers;

-- name: groups under a collation that isn't deterministic
SELECT count(*), sum(id) FROM customers GROUP BY handle ORDER BY 1, 2;

-- name: DISTINCT under a collation that isn't deterministic
SELECT count(*) FROM (SELECT DISTINCT handle FROM customers) t;

-- name: NULLs in every order
SELECT id, quantity, note FROM orders ORDER BY quantity <<|DESC|NULLS FIRST|DESC NULLS LAST>>, note <<|DESC>>, id;

-- name: floats with NaN and two zeros
SELECT count(*), count(DISTINCT score), max(score), min(score) = 0 FROM customers;

-- name: groups of floats
SELECT count(*), min(id) FROM customers GROUP BY score ORDER BY 2;

-- name: order of floats
SELECT id FROM customers ORDER BY score <<|DESC>>, id;

-- name: equal numerics of several scales
SELECT count(DISTINCT discount), count(*) FILTER (WHERE discount = 1), max(discount) FROM orders;

-- name: equal intervals
SELECT count(DISTINCT took), count(*) FILTER (WHERE took = '30 days') FROM orders;

-- name: groups of intervals
SELECT count(*), min(id) FROM orders GROUP BY took ORDER BY 2;

-- name: char(n) without its blanks
SELECT code, count(*), count(DISTINCT code || 'x') FROM customers GROUP BY code ORDER BY code;

-- name: timetz differs by zone
SELECT z, count(*) FROM (SELECT CASE id % 3 WHEN 0 THEN '12:00+00' WHEN 1 THEN '13:00+01' ELSE '12:00+00' END::timetz AS z FROM orders) t GROUP BY z ORDER BY 1;

-- name: json has no equality
SELECT DISTINCT payload::json FROM events;

-- name: jsonb is semantic
SELECT profile, count(*) FROM customers GROUP BY profile ORDER BY 1;

-- name: order and extremes of enums
SELECT min(mood), max(mood), count(DISTINCT mood), array_agg(DISTINCT mood ORDER BY mood DESC) FROM customers;

-- name: arrays and rows as groups
SELECT tags, ROW(country, vip), count(*) FROM customers GROUP BY tags, ROW(country, vip) ORDER BY 3 DESC, 1, 2 LIMIT 5;

-- name: bytea, bit and uuid in order
SELECT <<photo FROM customers|flags FROM readings|id FROM events>> GROUP BY 1 ORDER BY 1;

-- name: count
SELECT count(*), count(note), count(ALL quantity), count((quantity, note)) FROM orders;

-- name: sum of int2, int4, int8
SELECT sum(small), sum(quantity), sum(big), sum(id), pg_typeof(sum(small)) FROM orders;

-- name: a sum of int4 beyond int4
SELECT sum(2000000000 + quantity), sum(small * 10000::int) FROM orders;

-- name: sum of numeric keeps the greatest scale
SELECT sum(discount) FILTER (WHERE id % 6 = 1), sum(discount) FILTER (WHERE id % 6 IN (1, 2)), sum(discount) FILTER (WHERE id % 6 = 3) FROM orders;

-- name: avg of integers and numerics
SELECT avg(small), avg(quantity), avg(big), avg(id), avg(total), avg(discount), avg(3), avg(-total) FROM orders;

-- name: avg by group, of great and of small numbers
SELECT id % 6, avg(discount), avg(big), avg(total / 1000000), avg(quantity * 100000000000) FROM orders GROUP BY 1 ORDER BY 1;

-- name: sum and avg of floats
SELECT sum(weight), avg(weight), sum(weight4), avg(weight4) FROM orders;

-- name: variance and stddev of integers and numerics
SELECT <<variance|var_samp|var_pop|stddev|stddev_samp|stddev_pop>>(<<small|quantity|id|total|big>>) FROM orders;

-- name: variance and stddev by group
SELECT quantity, variance(total), stddev(id), var_pop(small), stddev_pop(total) FROM orders GROUP BY quantity ORDER BY 1;

-- name: variance, regr and corr of floats
SELECT variance(weight), stddev_pop(weight), corr(weight, id), regr_slope(weight, id), regr_count(weight, quantity), covar_samp(weight, small) FROM orders;

-- name: sum and avg of intervals
SELECT id % 5, sum(took), avg(took) FROM orders GROUP BY 1 ORDER BY 1;

-- name: bool and bit aggregates leave NULLs out
SELECT bool_and(paid), bool_or(paid), every(paid), bit_and(quantity), bit_or(quantity), bit_xor(small), bool_and(NULL::boolean), bit_or(NULL::int) FROM orders;

-- name: lists in an order
SELECT quantity, array_agg(id ORDER BY id DESC), string_agg(status, ',' ORDER BY id), string_agg(note, status ORDER BY total, id) FROM orders GROUP BY quantity ORDER BY 1;

-- name: lists without an order
-- check: bag
SELECT array_agg(status), string_agg(label, ',') FROM orders;

-- name: json aggregates
SELECT json_agg(id ORDER BY id), jsonb_agg(total ORDER BY id), json_object_agg(id, status ORDER BY id), jsonb_object_agg(id, paid) FROM orders WHERE id < 15;

-- name: percentiles, mode, rank
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY weight4), percentile_disc(ARRAY[0.2, 0.8]) WITHIN GROUP (ORDER BY id), mode() WITHIN GROUP (ORDER BY status), dense_rank(50) WITHIN GROUP (ORDER BY total), cume_dist(50) WITHIN GROUP (ORDER BY total) FROM orders;

-- name: DISTINCT in aggregates
SELECT sum(DISTINCT quantity), avg(DISTINCT small), count(DISTINCT (quantity, paid)), string_agg(DISTINCT status, '/' ORDER BY status), array_agg(DISTINCT label) FROM orders;

-- name: DISTINCT in aggregates by group
SELECT status, count(DISTINCT quantity), sum(DISTINCT total), count(DISTINCT customer_id) FROM orders GROUP BY 1 ORDER BY 1;

-- name: LIMIT isn't pushed under groups
SELECT customer_id % 7, count(*) FROM orders GROUP BY 1 ORDER BY 1 LIMIT 3;

-- name: LIMIT isn't pushed under DISTINCT
SELECT DISTINCT customer_id % 7 FROM orders ORDER BY 1 LIMIT 3 OFFSET 1;

-- name: LIMIT isn't pushed under windows
SELECT id, rank() OVER (ORDER BY total DESC NULLS LAST, id) FROM orders ORDER BY 2 LIMIT 4;

-- name: a WITH query over sharded tables, read within a sub-query
WITH w AS (SELECT <<0 AS c FROM customers|small AS c FROM orders>>) SELECT <<count(*)|a.id, count(b.c)>> FROM orders a <<LEFT JOIN|JOIN>> <<LATERAL|>> (SELECT c FROM w WHERE c = 0) b ON a.small = b.c <<GROUP BY a.id ORDER BY 1, 2|GROUP BY a.customer_id, a.id ORDER BY 1, 2>> LIMIT 9;

WITH w AS (SELECT small AS c FROM orders), v AS (SELECT c FROM w) SELECT a.id FROM customers a WHERE <<EXISTS (SELECT FROM v WHERE c = a.id % 5)|a.id % 7 IN (SELECT c FROM v)|(SELECT count(*) FROM v) > 100 AND a.id < 9>> ORDER BY 1;

WITH w AS (SELECT 0 AS c FROM customers) SELECT interval '1 day' FROM orders a LEFT JOIN LATERAL (SELECT 0 AS c, 0 AS d FROM w x) b ON a.small = b.c;

-- name: an order behind the columns of a composite value
SELECT id, (two).* FROM things ORDER BY size DESC, id;

-- name: an order behind the columns of a row
SELECT (i).*, i.line FROM items i ORDER BY i.quantity, i.customer_id, i.order_id, i.line;

-- name: rows of a reference table that a LIMIT deep within takes are the same for all shards
-- check: count
WITH w AS (SELECT code FROM countries LIMIT 3) SELECT DISTINCT w.code FROM customers c, w;

-- name: the same in a sub-query of a sub-query
-- check: count
SELECT DISTINCT n.code FROM customers c, countries n WHERE n.code IN (SELECT code FROM (SELECT code FROM countries OFFSET 5) q);
