-- The sample shop: foreign keys, indexes, and the next numbers of the identity columns.
ALTER TABLE customers ADD FOREIGN KEY (country) REFERENCES countries;
ALTER TABLE orders ADD FOREIGN KEY (customer_id) REFERENCES customers;
ALTER TABLE order_items
    ADD FOREIGN KEY (order_id) REFERENCES orders ON DELETE CASCADE,
    ADD FOREIGN KEY (product_id) REFERENCES products;
CREATE INDEX customers_country ON customers (country);
CREATE INDEX orders_customer_id ON orders (customer_id);
CREATE INDEX orders_ordered_at ON orders (ordered_at);
CREATE INDEX order_items_product_id ON order_items (product_id);
SELECT setval(pg_get_serial_sequence('customers', 'id'), 10000),
       setval(pg_get_serial_sequence('products', 'id'), 1000),
       setval(pg_get_serial_sequence('orders', 'id'), (SELECT max(id) FROM orders));
DROP FUNCTION pick;
