-- Whole rows of tables as values, where the tables are gathered. Binary values have types' OIDs in them, which differ from
-- database to database: rows with types of users are asked for in text.

-- class: gather rows

-- name: whole rows of gathered tables
-- protocol: simple
SELECT <<c|c.*::text, c|(c.*)|c::text|(c).name, (c).id|(c).*|c IS NULL, c IS NOT NULL|c = c, c <= ROW(c.*)|ROW(c, 1)|ROW(c.*, e.level)|ARRAY[c]|row_to_json(c)|to_jsonb(c.*)|jsonb_build_object('c', c)|format('%s', c)|length(c::text), c|CASE WHEN e.level > 2 THEN c END|coalesce(c, c)|ARRAY[c, NULL]::customers[]|(ARRAY[c])[1].name|row_to_json(ROW(c))|hstore(c) -> 'city'|c.hstore -> 'name'|(c).hstore -> 'city'>> FROM customers c JOIN events e ON e.level = c.id - 3 ORDER BY c.id, e.at;

-- name: whole rows of built-in types
SELECT <<i|i.*::text, i|(i).line, i|i = i, i <= ROW(i.*)|ARRAY[(i).line, (i.*).line]|ROW(i.*, e.level)|length(i::text), i|CASE WHEN e.level > 2 THEN i END|coalesce(i, i)>> FROM items i JOIN events e ON e.level = i.line AND e.customer_id = i.customer_id ORDER BY i.order_id, i.line, i.customer_id, e.at;

-- name: whole rows of built-in types on the side that gets NULLs
SELECT e.id, <<i|i IS NULL, i|coalesce(i::text, 'none')|(i).*>> FROM events e LEFT JOIN items i ON i.line = e.level AND i.product_id = 3 AND e.kind = 'buy' ORDER BY e.at, e.id, i.order_id, i.customer_id;

-- name: the side that gets NULLs has no row, not a row of NULLs
-- protocol: simple
SELECT e.id, <<c|c IS NULL, c IS NOT NULL|c IS DISTINCT FROM NULL, c.* IS NOT DISTINCT FROM NULL|num_nulls(c)|num_nonnulls(c, c.id)|coalesce(c::text, 'none')|row_to_json(c)|jsonb_build_array(c)|ARRAY[c]|(c).id, (c).name|CASE WHEN c IS NULL THEN 'no' ELSE c::text END|c = ROW(c.*)::customers|concat(c)>> FROM events e LEFT JOIN customers c ON c.id = e.customer_id AND c.vip AND e.level > 2 ORDER BY e.at, e.id;

-- name: rows whose columns are all NULL are rows
SELECT t, t IS NULL, t IS NOT DISTINCT FROM NULL, num_nulls(t) FROM (SELECT n.euro AS a FROM countries n) t, settings s WHERE s.n = 1 ORDER BY t::text;

-- name: aggregates of whole rows
SELECT <<count(o)|count(o.*), count(e)|count(DISTINCT o)|array_length(array_agg(o), 1)|jsonb_agg(o ORDER BY o.id) -> 0|json_agg(o ORDER BY o.id, e.at)|array_agg(o ORDER BY o)|max(o::text)|string_agg(o::text, ';' ORDER BY o.id)|array_agg(DISTINCT o ORDER BY o)>> FROM orders o LEFT JOIN events e ON e.customer_id = o.id AND e.level = 3 WHERE o.id < 40;

-- name: groups of whole rows
-- protocol: simple
SELECT <<c, count(*)|c AS x, count(e)|count(*), max(e.level)|c.id, c, count(*)>> FROM customers c LEFT JOIN events e ON e.level = c.id GROUP BY c.id, c<< HAVING count(*) > 1|>> ORDER BY c.id, 2;

-- name: a row that hangs on its primary key
-- protocol: simple
SELECT c, count(*) FROM customers c JOIN events e ON e.level = c.id GROUP BY c.id ORDER BY c.id;

-- name: groups by an output that is a row
SELECT t, count(*) FROM items t, events e WHERE e.level = t.line AND t.product_id < 4 GROUP BY <<t|1>> ORDER BY t;

-- name: rows in order, and once each
SELECT <<DISTINCT i|DISTINCT ON (i) i|i>> FROM items i, events e WHERE e.level = i.line AND i.product_id = 3 ORDER BY i LIMIT 9;

-- name: rows of a table with an alias of its columns
SELECT <<r|r::text|row_to_json(r)|(r).a|count(r)>> FROM readings AS r (a, b) JOIN settings s ON s.n = r.b<< GROUP BY r|>>;

-- name: rows of two tables compared
SELECT count(*) FROM items a, items b WHERE a = b AND a.line <= b.quantity;

-- name: rows in sub-queries
-- protocol: simple
SELECT e.level, <<(SELECT c FROM customers c WHERE c.id = e.level)|ARRAY(SELECT c FROM customers c WHERE c.id < e.level ORDER BY c.id)|(SELECT count(c) FROM customers c WHERE c.id > e.level AND c IS NOT NULL)|(SELECT (c).name FROM customers c WHERE c.id = e.level)|EXISTS (SELECT c FROM customers c WHERE c.id = e.level + 20)>> FROM events e WHERE e.kind = 'buy' ORDER BY e.at, e.id;

-- name: a row of a row
SELECT (q.o).id, (q.o).status, (q).k FROM (SELECT o, e.kind AS k FROM orders o JOIN events e ON e.level = o.small AND e.customer_id = o.id) q ORDER BY 1, 3;

-- name: rows from a WITH query
WITH w AS (SELECT i, i.product_id AS p FROM items i) SELECT (w.i).line, count(*), max((w.i)::text) FROM w JOIN events e ON e.level = w.p GROUP BY 1 ORDER BY 1;

-- name: types of users among a row's columns
-- protocol: simple
SELECT <<t|(t).two|(t.two).b|t::text|to_jsonb(t)>> FROM things t JOIN events e ON e.level = t.id ORDER BY t.id, e.at;

-- name: rows of joined co-located tables
-- protocol: simple
SELECT c, o FROM customers c JOIN orders o ON o.customer_id = c.id JOIN events e ON e.level = o.small AND e.customer_id = o.id ORDER BY o.id, c.id, e.at;

-- name: rows of an alias of a join
-- protocol: simple
SELECT count(x), count(DISTINCT x::text) FROM (customers c JOIN events e ON e.level = c.id) AS x;

-- name: rows of views
SELECT <<v|v::text|(v).total|count(v) OVER ()>> FROM paid_orders v JOIN events e ON e.level = v.id ORDER BY v.id, e.at;

-- name: rows of a view that is taken apart
SELECT <<v|(v).total|v IS NULL|to_jsonb(v)>> FROM status_sums v ORDER BY v.status;

-- name: rows of reference and unsharded tables beside gathered ones
SELECT n, s, e.kind FROM countries n, settings s, events e WHERE s.n = e.level AND e.customer_id = s.n AND n.euro ORDER BY n.code, s.name, e.at;

-- name: groups of ROW
SELECT ROW(<<status, paid|status|small, o.paid>>) AS r, count(*), sum(total) FROM orders o GROUP BY <<ROW(status, paid)|1|r>> ORDER BY <<1|r, 2>>;

-- name: distinct rows of columns
SELECT DISTINCT <<ROW(status, paid)|(status, small)|ROW(status, NULL)>> FROM orders ORDER BY 1;

-- name: groups by a row and its columns
SELECT status, paid, count(*) FROM orders GROUP BY ROW(status, paid), status, paid ORDER BY 1, 2;

-- name: a star in parentheses
SELECT (o.*) FROM items o ORDER BY o.quantity + o.line, o.customer_id, o.order_id, o.line;

-- name: values of rows
SELECT v.* FROM items i, LATERAL (VALUES (i.*)) AS v, events e WHERE e.level = i.line AND i.product_id = 2 AND e.customer_id = i.customer_id ORDER BY i.order_id, i.line, e.at;

-- name: a row written as a function's argument
SELECT twice(i.line), i.twice FROM items i JOIN events e ON e.level = i.line;
