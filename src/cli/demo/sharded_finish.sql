-- The sample shop over several shards: foreign keys, indexes, and the next numbers of the identity columns.
ALTER TABLE customers ADD FOREIGN KEY (country) REFERENCES countries;
ALTER TABLE orders ADD FOREIGN KEY (customer_id) REFERENCES customers;
ALTER TABLE order_items
    ADD FOREIGN KEY (customer_id, order_id) REFERENCES orders ON DELETE CASCADE,
    ADD FOREIGN KEY (product_id) REFERENCES products;
CREATE INDEX customers_country ON customers (country);
CREATE INDEX customers_email ON customers (email);
CREATE INDEX orders_id ON orders (id);
CREATE INDEX orders_ordered_at ON orders (ordered_at);
CREATE INDEX order_items_order_id ON order_items (order_id);
CREATE INDEX order_items_product_id ON order_items (product_id);
SELECT setval(pg_get_serial_sequence('customers', 'id'), 10000),
       setval(pg_get_serial_sequence('products', 'id'), 1000),
       setval(pg_get_serial_sequence('orders', 'id'), {orders});
DROP FUNCTION pick, mine;
