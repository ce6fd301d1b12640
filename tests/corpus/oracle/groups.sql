-- Groups and aggregates over shards.

-- class: aggregate

SELECT count(*) FROM <<customers|orders|items|events|readings|countries|settings>>;

SELECT <<count|sum|avg|min|max|stddev|variance|stddev_pop|var_pop|var_samp|stddev_samp>>(<<total|discount|weight|weight4|quantity|big|small>>) FROM orders;

SELECT <<sum|avg|min|max|count>>(took), <<min|max>>(due), <<min|max>>(ordered_at) FROM orders;

SELECT <<min|max>>(<<name|email|city|nick|born|mood|code|seen|joined|credit|score|tags|country COLLATE english>>) FROM customers;

SELECT bool_and(paid), bool_or(paid), every(paid IS NULL), bit_and(small), bit_or(small), bit_xor(quantity) FROM orders;

SELECT bit_and(flags), bit_or(flags), bit_xor(flags) FROM readings;

SELECT <<corr|covar_pop|covar_samp|regr_slope|regr_intercept|regr_r2|regr_count|regr_avgx|regr_avgy|regr_sxx|regr_syy|regr_sxy>>(weight, quantity) FROM orders;

SELECT count(<<status|DISTINCT status|DISTINCT quantity|DISTINCT customer_id|DISTINCT total|DISTINCT discount|DISTINCT took|ALL note|DISTINCT paid|DISTINCT (status, paid)|DISTINCT label|DISTINCT weight>>) FROM orders;

SELECT count(DISTINCT <<name|email|city|nick|mood|code|score|profile|tags|lower(name)|born>>) FROM customers;

SELECT <<sum|avg|min|max|stddev>>(DISTINCT <<quantity|discount|small>>) FROM orders;

SELECT count(*) FILTER (WHERE paid), sum(total) FILTER (WHERE status = 'new'), avg(total) FILTER (WHERE false), count(DISTINCT status) FILTER (WHERE total > 50) FROM orders;

-- An aggregate of no rows, of one row.
SELECT count(*), sum(total), avg(total), min(id), max(status), stddev(total), bool_and(paid), array_agg(id), string_agg(note, ',') FROM orders WHERE <<false|customer_id = -1|total > 1e9|id = 77>>;

SELECT coalesce(sum(total), 0), round(avg(total), 2), sum(total) / sum(quantity), count(*) + 1, CASE WHEN count(*) > 10 THEN 'many' ELSE 'few' END FROM orders;

SELECT coalesce(sum(total), 0) FROM orders WHERE false;

SELECT sum(total) * 2 + count(*), max(id) - min(id), sum(total)::int, count(DISTINCT status)::int, -count(*), abs(sum(big) / 1000) FROM orders;

SELECT sum(quantity * total), avg(quantity + 1), sum(CASE WHEN paid THEN total ELSE 0 END), max(total - coalesce(discount, 0)), min(length(note)) FROM orders;

SELECT sum(x) FROM (SELECT sum(total) AS x FROM orders GROUP BY status) t;

SELECT sum(big) FROM orders WHERE big > 0;

SELECT sum(big)::bigint FROM orders WHERE big > 0;

SELECT sum(9223372036854775807::numeric + id) FROM orders;

SELECT sum(2147483647) FROM orders;

SELECT sum(id) FROM orders;

SELECT avg(id), avg(customer_id), sum(customer_id) FROM orders;

SELECT array_agg(id ORDER BY id) FROM orders WHERE id < 30;

SELECT array_agg(<<status|total|paid|due>> ORDER BY id DESC) FROM orders WHERE id BETWEEN 10 AND 20;

SELECT string_agg(status, ', ' ORDER BY id) FROM orders WHERE id < 20;

SELECT string_agg(<<note, '-'|note, status|status, id::text|DISTINCT note, ','>> ORDER BY <<note|note DESC>>) FROM orders WHERE id < 9;

SELECT string_agg(note, '-' ORDER BY id), string_agg(note, status ORDER BY id DESC) FROM orders WHERE id < 40;

-- check: bag
SELECT array_agg(id) FROM orders WHERE id < 30;

-- check: bag
SELECT string_agg(id::text, ',') FROM orders;

-- check: bag
SELECT json_agg(id) FROM orders WHERE id < 20;

SELECT json_agg(id ORDER BY id), jsonb_agg(status ORDER BY id), json_object_agg(id, total ORDER BY id), jsonb_object_agg(id, paid) FROM orders WHERE id < 12;

SELECT <<percentile_cont(0.5)|percentile_disc(0.5)|percentile_cont(ARRAY[0.1, 0.9])|percentile_disc(0.25)>> WITHIN GROUP (ORDER BY weight) FROM orders;

SELECT mode() WITHIN GROUP (ORDER BY status), percentile_disc(0.5) WITHIN GROUP (ORDER BY total DESC), rank(50) WITHIN GROUP (ORDER BY total) FROM orders;

SELECT array_agg(tags ORDER BY id) FROM customers WHERE id IN (2, 6, 10);

SELECT array_agg(mood ORDER BY id), array_agg(DISTINCT mood) FROM customers WHERE id < 20;

SELECT sum(x), count(*) FROM generate_series(1, 10) x;

SELECT sum(total), sum(discount), avg(discount) FROM orders WHERE discount < 100;

SELECT min(discount) + 0.00, max(discount) + 0.00 FROM orders WHERE discount IN (1, 0);

SELECT sum(1.0), sum(2.000) , avg(3) FROM customers WHERE id < 4;

SELECT sum(DISTINCT n), array_agg(DISTINCT n) FROM readings;

SELECT count(*) AS n, count(*), sum(total) AS sum FROM orders;

SELECT count(c), count(c.*), count(*) FROM customers c;

SELECT any_value(status) FROM orders;

SELECT nothing(total) FROM orders;

SELECT sum(status) FROM orders;

SELECT id, count(*) FROM orders;

-- class: group-by

SELECT <<status|quantity|paid|small|label|weight IS NULL|date_trunc('month', ordered_at)|round(discount, 3)|justify_interval(took)|extract(year FROM due)|customer_id % 3|lower(status)|total > 50>> AS g, count(*), sum(total), min(id), max(due) FROM orders GROUP BY 1 ORDER BY 1;

SELECT <<name|email|city|nick|country|mood|vip|code|tags|profile|moods|country IS NULL|lower(name)|left(name, 1)|name COLLATE "C"|nick COLLATE "de-x-icu">> AS g, count(*), sum(credit), count(DISTINCT id) FROM customers GROUP BY 1 ORDER BY 1;

-- The first representative of equal values is chance; rows are compared without it.
SELECT count(*), sum(id) FROM orders GROUP BY discount ORDER BY 1, 2;

SELECT count(*), min(id) FROM customers GROUP BY score ORDER BY 1, 2;

SELECT count(*), sum(total) FROM orders GROUP BY status;

SELECT status, count(*) FROM orders GROUP BY status;

SELECT status AS s, count(*) FROM orders GROUP BY s ORDER BY s;

SELECT customer_id % 2 AS status, count(*) FROM orders GROUP BY status ORDER BY 1, 2;

SELECT date_trunc('day', ordered_at) AS d, count(*) FROM orders GROUP BY d ORDER BY d;

SELECT ordered_at::date AS d, sum(total) FROM orders GROUP BY d ORDER BY d DESC;

SELECT customer_id, count(*), sum(total) FROM orders GROUP BY customer_id ORDER BY customer_id;

SELECT customer_id, status, count(*) FROM orders GROUP BY customer_id, status ORDER BY 1, 2;

SELECT customer_id + 0 AS k, count(*) FROM orders GROUP BY k ORDER BY k;

SELECT status, paid, count(*), avg(total) FROM orders GROUP BY status, paid ORDER BY 1, 2;

SELECT status FROM orders GROUP BY status ORDER BY status;

SELECT status FROM orders GROUP BY 1 HAVING <<count(*) > 40|sum(total) > 2000|min(id) < 5|status <> 'new'|count(DISTINCT customer_id) > 3|avg(total) > 50 AND status IS NOT NULL|bool_or(paid)|true|false>> ORDER BY 1;

SELECT status, <<coalesce(sum(total), 0)|round(avg(total), 2)|sum(total) / nullif(sum(quantity), 0)|count(*) + 1|CASE WHEN count(*) > 50 THEN 'x' ELSE status END|max(total) - min(total)|count(DISTINCT quantity)|stddev(total)|array_agg(DISTINCT quantity)|string_agg(DISTINCT label, '/' ORDER BY label)|percentile_cont(0.5) WITHIN GROUP (ORDER BY total)|count(*) FILTER (WHERE paid)|sum(sum(total)) OVER ()|rank() OVER (ORDER BY count(*), status)|avg(weight)|var_pop(weight)|upper(status) || count(*)|sum(took)|avg(took)>> AS v FROM orders GROUP BY status ORDER BY status;

SELECT status, count(*) FROM orders GROUP BY status ORDER BY <<count(*) DESC, status|2, 1|sum(total)|-count(*), status|max(id)|status DESC NULLS LAST|avg(weight)>>;

SELECT status, count(*) FROM orders GROUP BY <<ROLLUP (status)|CUBE (status)|GROUPING SETS ((status), ())|ROLLUP (status), ()>> ORDER BY 1, 2;

SELECT status, paid, count(*), grouping(status, paid) FROM orders GROUP BY <<ROLLUP (status, paid)|CUBE (status, paid)|GROUPING SETS ((status), (paid))>> ORDER BY 1, 2, 3, 4;

SELECT o.*, count(*) FROM orders o GROUP BY o.customer_id, o.id ORDER BY o.id LIMIT 5;

SELECT c.*, count(o.id) FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.id ORDER BY c.id LIMIT 9;

SELECT c.id, c.name, sum(o.total) FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY c.id ORDER BY 3 DESC NULLS LAST, 1 LIMIT 7;

SELECT c.country, count(*), sum(o.total), round(avg(o.total), 2) FROM orders o JOIN customers c ON c.id = o.customer_id GROUP BY 1 HAVING count(*) > 10 ORDER BY 3 DESC, 1 LIMIT 5;

SELECT n.name, count(*) FROM customers c JOIN countries n ON n.code = c.country GROUP BY n.name ORDER BY 1;

SELECT n.region, n.name, count(DISTINCT c.id), sum(o.total) FROM countries n JOIN customers c ON c.country = n.code JOIN orders o ON o.customer_id = c.id GROUP BY 1, 2 ORDER BY 2;

SELECT p.category, sum(i.quantity), sum(i.price * i.quantity), count(DISTINCT i.order_id) FROM items i JOIN products p ON p.id = i.product_id GROUP BY p.category ORDER BY 1;

SELECT kind, level, count(*) FROM events GROUP BY kind, level ORDER BY 1, 2;

SELECT device, avg(value), count(value) FROM readings GROUP BY device ORDER BY device;

SELECT substr(device, 8, 1) AS d, sum(value), count(*) FROM readings GROUP BY d ORDER BY d;

SELECT payload->>'n' AS n, count(*), min(at) FROM events GROUP BY 1 ORDER BY 1;

SELECT status, count(*) AS n FROM orders WHERE customer_id = 5 GROUP BY status ORDER BY 1;

SELECT count(*) FROM orders GROUP BY ();

SELECT 1 AS one, count(*) FROM orders GROUP BY one;

SELECT 'x' AS c, status FROM orders GROUP BY c, status ORDER BY 2;

SELECT status, total FROM orders GROUP BY status;

SELECT status, count(*) FROM orders GROUP BY status, customer_id ORDER BY 1, 2 LIMIT 10;

SELECT count(*) FROM orders GROUP BY customer_id HAVING count(*) > 4 ORDER BY 1;

SELECT max(n) FROM (SELECT count(*) AS n FROM orders GROUP BY customer_id) t;

SELECT n, count(*) FROM (SELECT count(*) AS n FROM orders GROUP BY customer_id) t GROUP BY n ORDER BY n;

SELECT status, (SELECT count(*) FROM countries), count(*) FROM orders GROUP BY status ORDER BY 1;

SELECT count(*) OVER () AS n, status FROM orders GROUP BY status ORDER BY 2;

SELECT count(*) OVER () FROM orders WHERE customer_id < 4;

-- params: text=x, int4=2
SELECT $1 || coalesce(status, ''), sum(total) * $2 FROM orders GROUP BY status ORDER BY 1;

-- params: int8=30
SELECT status, count(*) FROM orders GROUP BY status HAVING count(*) > $1 ORDER BY 1;

-- class: distinct

SELECT DISTINCT <<status|paid|quantity|status, paid|label, small|customer_id|took IS NULL|date_trunc('month', due)|status || label|NULL|1>> FROM orders;

SELECT DISTINCT <<name|email|city|nick|country|mood|vip|code|tags|profile|lower(nick)|moods>> AS v FROM customers ORDER BY v;

SELECT DISTINCT status FROM orders ORDER BY status <<ASC|DESC|NULLS FIRST|DESC NULLS LAST>>;

SELECT DISTINCT status, total > 50 FROM orders ORDER BY 2, 1;

SELECT DISTINCT ON (status) status, id FROM orders ORDER BY status, id;

SELECT DISTINCT ON (o.status) o.id, o.total FROM orders o ORDER BY o.status, o.total DESC NULLS LAST, o.id;

SELECT DISTINCT ON (id % 5) id, status FROM orders ORDER BY id % 5, id DESC;

SELECT DISTINCT ON (1) customer_id, id FROM orders ORDER BY 1, id;

SELECT DISTINCT ON (customer_id) customer_id, id, total FROM orders ORDER BY customer_id, total DESC NULLS LAST, id LIMIT 6;

SELECT DISTINCT ON (c.country) c.country, c.id FROM customers c ORDER BY c.country, c.id DESC;

SELECT DISTINCT c.country, n.region FROM customers c LEFT JOIN countries n ON n.code = c.country ORDER BY 1, 2;

SELECT DISTINCT count(*) FROM orders GROUP BY customer_id ORDER BY 1;

SELECT DISTINCT * FROM countries ORDER BY 1;

SELECT count(*) FROM (SELECT DISTINCT status, label FROM orders) t;

SELECT DISTINCT level, kind FROM events WHERE level > 2 ORDER BY 1, 2;

SELECT DISTINCT id FROM orders ORDER BY total;

SELECT DISTINCT o.customer_id FROM orders o JOIN items i ON i.customer_id = o.customer_id AND i.order_id = o.id WHERE i.quantity > 5 ORDER BY 1;
