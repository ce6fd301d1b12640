-- The sample shop over several shards: this shard's part of the orders from {first} to {last}, and their items.
INSERT INTO orders
SELECT i,
       1 + pick(i, 21, 10000),
       (ARRAY['new', 'paid', 'shipped', 'shipped', 'shipped', 'shipped', 'shipped', 'returned'])[1 + pick(i, 22, 8)],
       timestamptz '2022-01-01 00:00:00+00' + i * interval '12 minutes' + pick(i, 23, 720) * interval '1 second'
FROM generate_series({first}::bigint, {last}::bigint) AS i
WHERE mine(1 + pick(i, 21, 10000));

INSERT INTO order_items
SELECT orders.id, line, orders.customer_id, products.id, 1 + pick(orders.id * 8 + line, 33, 3), products.price
FROM orders
CROSS JOIN LATERAL generate_series(1, 1 + pick(orders.id, 31, 4)::int) AS line
JOIN products ON products.id = 1 + pick(orders.id * 8 + line, 32, 1000)
WHERE orders.id BETWEEN {first} AND {last};
