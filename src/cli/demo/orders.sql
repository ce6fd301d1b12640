-- The sample shop: the orders from {first} to {last}, and their items (one to four each), which make their totals.
INSERT INTO order_items
SELECT i, line, products.id, 1 + pick(i * 8 + line, 33, 3), products.price
FROM generate_series({first}::bigint, {last}::bigint) AS i
CROSS JOIN LATERAL generate_series(1, 1 + pick(i, 31, 4)::int) AS line
JOIN products ON products.id = 1 + pick(i * 8 + line, 32, 1000);

INSERT INTO orders
SELECT i,
       1 + pick(i, 21, 10000),
       (ARRAY['new', 'paid', 'shipped', 'shipped', 'shipped', 'shipped', 'shipped', 'returned'])[1 + pick(i, 22, 8)],
       timestamptz '2022-01-01 00:00:00+00' + i * interval '12 minutes' + pick(i, 23, 720) * interval '1 second',
       items.total
FROM (SELECT order_id AS i, sum(quantity * price) AS total
      FROM order_items WHERE order_id BETWEEN {first}::bigint AND {last}::bigint GROUP BY order_id) AS items;
