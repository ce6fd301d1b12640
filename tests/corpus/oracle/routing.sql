-- Where the key is taken from: only a conjunct confines, and values are evaluated, not read.

-- class: routing

SELECT id, name, country FROM customers WHERE id = <<5|7|8|9|23|59|60|61>>;

SELECT id, total FROM orders WHERE customer_id = <<5|5::bigint|5::int2|5.0|'5'|+5|10/2|4 + 1|(5)|- -5>> ORDER BY id;

SELECT id, total FROM orders WHERE <<5 = customer_id|customer_id = 6 - 1 AND total IS NOT NULL|total > 10 AND customer_id = 5|(customer_id = 5 AND id > 20)|customer_id = 5 AND customer_id = 6|customer_id = 5 AND NOT paid>> ORDER BY id;

SELECT id, customer_id FROM orders WHERE customer_id IN <<(5)|(5, 6)|(1, 2+3)|(1, 2, 3, 4, 5)|('7', '8')|(5, NULL)|(NULL)>> ORDER BY customer_id, id;

SELECT id, customer_id FROM orders WHERE customer_id = ANY (<<'{5}'|'{5,6,7}'::bigint[]|ARRAY[5, 6]|ARRAY[1, 2+3]|'{}'|ARRAY[5, NULL]::int[]>>) ORDER BY customer_id, id;

-- What confines nothing.
SELECT count(*), sum(total) FROM orders WHERE <<customer_id + 1 = 5|customer_id % 10 = 3|NOT customer_id = 5|customer_id <> 5|customer_id = 5 OR total > 50|(customer_id = 5) IS NOT TRUE|(customer_id = 5) IS TRUE|(customer_id = 5) = false|CASE WHEN customer_id = 5 THEN true ELSE total > 50 END|customer_id > 5|customer_id BETWEEN 5 AND 7|customer_id IS NOT NULL|customer_id IS NULL|customer_id IS DISTINCT FROM 5|customer_id IS NOT DISTINCT FROM 5|customer_id = id|customer_id::text = '5'|abs(customer_id) = 5|-customer_id = -5|NOT (customer_id = 5 AND paid)|customer_id NOT IN (5, 6)|customer_id <> ALL ('{5,6}')|customer_id = ALL ('{5}')|coalesce(customer_id, 1) = 5>>;

SELECT count(*) FROM orders WHERE customer_id = <<5 OR customer_id = 6|5 OR customer_id = 6 AND paid|5 OR false|5 AND false|5 AND NULL|NULL|NULL::bigint|5 AND (customer_id = 6 OR customer_id = 5)>>;

SELECT count(*) FROM orders WHERE (customer_id, status) = (5, 'paid');

SELECT count(*) FROM orders WHERE (customer_id, id) IN ((5, 52), (6, 86), (8, 1));

SELECT count(*) FROM orders WHERE (customer_id, id) > (5, 52);

SELECT id = 5 AS five, count(*) FROM customers GROUP BY 1 ORDER BY 1;

SELECT id, CASE WHEN id = 5 THEN 'five' END FROM customers WHERE country = 'DE' ORDER BY id = 5 DESC, id;

SELECT count(*) FILTER (WHERE customer_id = 5), count(*) FROM orders;

SELECT sum(total) FROM orders WHERE customer_id = 5 HAVING count(*) > 1;

SELECT count(*) FROM orders HAVING count(*) FILTER (WHERE customer_id = 5) > 0;

SELECT id FROM orders WHERE customer_id = 5 AND id IN (SELECT id FROM orders WHERE customer_id = 5) ORDER BY 1;

SELECT id FROM customers WHERE id IN (SELECT customer_id FROM orders WHERE customer_id = 5) ORDER BY 1;

SELECT id FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = 5) ORDER BY 1 LIMIT 3;

SELECT a.id, b.id FROM customers a, customers b WHERE a.id = 1 AND b.id = 2;

SELECT a.id, b.id FROM customers a JOIN customers b ON a.id = <<1|5|9>> AND b.id = <<1|2|6>>;

SELECT c.id, o.id FROM customers c JOIN orders o ON o.customer_id = c.id AND c.id = 5 ORDER BY 2;

SELECT c.id, o.id FROM customers c LEFT JOIN orders o ON o.customer_id = c.id AND c.id = 5 ORDER BY 1, 2;

SELECT c.id, o.id FROM customers c LEFT JOIN orders o ON o.customer_id = c.id AND o.customer_id = 5 WHERE c.id < 9 ORDER BY 1, 2;

SELECT c.id, o.id FROM orders o RIGHT JOIN customers c ON o.customer_id = c.id AND c.id = 5 ORDER BY 1, 2;

SELECT c.id, o.id FROM customers c FULL JOIN orders o ON o.customer_id = c.id AND c.id = 5 ORDER BY 1, 2;

SELECT c.name, o.id, i.line FROM customers c JOIN orders o ON o.customer_id = c.id JOIN items i ON i.customer_id = o.customer_id AND i.order_id = o.id WHERE c.id = <<5|6>> ORDER BY 2, 3;

SELECT count(*) FROM items WHERE customer_id = <<5|5::bigint|5::int2|'5'|5.0|5.5|99999999999>>;

SELECT kind, level FROM events WHERE id = md5('event<<1|2|3>>')::uuid;

SELECT kind, level FROM events WHERE id = '<<5c1a5f2e-6f1c-5b9f-8d4e-1d4e6f1c5b9f|not a uuid>>';

SELECT device, n, value FROM readings WHERE device = <<'device 1'|'device 5'|'device 12'|'device ' || 3|'nothing'|'device 4'::varchar|'device 4'::bpchar|lower('DEVICE 4')|E'device\x205'|U&'device\00205'|$$device 6$$>> ORDER BY n;

SELECT count(*), min(n) FROM readings WHERE device IN ('device 1', 'device 2', upper('x'));

SELECT count(*) FROM readings WHERE device <<LIKE 'device 1%'|~ '1'|> 'device 3'|COLLATE "C" = 'device 3'|= 'device 3' COLLATE "C">>;

SELECT count(*) FROM customers WHERE id = (SELECT <<5|max(id) FROM customers|count(*) FROM countries>>);

SELECT id FROM customers WHERE id = length(<<'hello'|current_setting('TimeZone')>>);

SELECT id FROM customers WHERE id = 9223372036854775807;

SELECT id FROM customers WHERE id = 9223372036854775808;

SELECT id FROM customers WHERE id = 'x';

-- class: routing parameters

-- params: int8=<<5|6|NULL>>
SELECT id, name FROM customers WHERE id = $1;

-- params: <<int4|int2|int8|numeric|text|float8|?>>=7
SELECT id, status FROM orders WHERE customer_id = $1 ORDER BY id;

-- params: int4=4
SELECT id FROM orders WHERE customer_id = $1 + 1 ORDER BY id;

-- params: text=5
SELECT id FROM orders WHERE customer_id = $1::bigint ORDER BY id;

-- params: ?=5, ?=6
SELECT id, customer_id FROM orders WHERE customer_id IN ($1, $2) ORDER BY customer_id, id;

-- params: int8[]=<<{5}|{5,6}|{}|{NULL,7}|NULL>>
SELECT id, customer_id FROM orders WHERE customer_id = ANY ($1) ORDER BY customer_id, id;

-- params: uuid=<<c4ca4238-a0b9-2382-0dcc-509a6f75849b|00000000-0000-0000-0000-000000000000>>
SELECT kind FROM events WHERE id = $1;

-- params: <<text|varchar|?>>=device 7
SELECT n, value FROM readings WHERE device = $1 ORDER BY n;

-- params: int8=5, int8=1
SELECT id FROM orders WHERE customer_id = $1 ORDER BY id LIMIT $2;

-- params: int8=10, int8=3
SELECT id FROM orders ORDER BY id LIMIT $1 OFFSET $2;

-- params: int8=5, bool=true
SELECT count(*) FROM orders WHERE customer_id = $1 OR $2;

-- params: int8=2 | int8=3 | int8=4 | int8=NULL | int8=5
-- name: a prepared statement whose shard changes
SELECT id, name FROM customers WHERE id = $1;

-- params: int8=2, text=new | int8=3, text=paid | int8=4, text=shipped | int8=5, text=new | int8=6, text=paid | int8=7, text=new | int8=8, text=new
SELECT id, total FROM orders WHERE customer_id = $1 AND status = $2 ORDER BY id;

-- params: int8[]={2} | int8[]={3} | int8[]={4,5} | int8[]={6,7,8}
SELECT count(*), sum(total) FROM orders WHERE customer_id = ANY ($1);

-- params: numeric=10 | numeric=50 | numeric=90
SELECT status, count(*) FROM orders WHERE total > $1 GROUP BY status ORDER BY 1;

-- params: int8=3 | int8=0 | int8=NULL | int8=500
SELECT id FROM orders ORDER BY id LIMIT $1;

-- params: int8=-1
SELECT id FROM orders ORDER BY id LIMIT $1;

-- params: int8=-1
SELECT id FROM orders ORDER BY id OFFSET $1;

-- params: int4=1
SELECT $1;

-- params: ?=1
SELECT id + $1 FROM orders WHERE customer_id = 5 ORDER BY 1;

-- params: text=a
SELECT $1 || name FROM customers ORDER BY id;
