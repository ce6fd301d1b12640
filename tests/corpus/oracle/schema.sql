-- The oracle's tables: two groups by keys of other types, reference tables, an unsharded table, views.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
ALTER TYPE mood ADD VALUE 'angry' BEFORE 'sad';
CREATE TABLE countries (
    code text PRIMARY KEY,
    name text NOT NULL,
    region text,
    euro boolean
);
CREATE TABLE products (
    id int PRIMARY KEY,
    name text NOT NULL,
    category text,
    price numeric(10, 2)
);
CREATE TABLE settings (
    name text PRIMARY KEY,
    value text,
    n int
);
CREATE TABLE customers (
    id bigint PRIMARY KEY,
    name text,
    email text COLLATE "C",
    city text COLLATE "de-x-icu",
    nick text COLLATE english,
    country text,
    vip boolean,
    mood mood,
    born date,
    joined timestamptz,
    credit numeric(10, 2),
    score float8,
    tags text[],
    profile jsonb,
    code char(6),
    photo bytea,
    seen timestamp,
    moods mood[],
    handle text COLLATE folded
);
CREATE TABLE orders (
    id bigint,
    customer_id bigint NOT NULL,
    status text,
    total numeric(12, 2),
    discount numeric,
    weight float8,
    weight4 float4,
    quantity int,
    big int8,
    small int2,
    ordered_at timestamptz,
    due date,
    took interval,
    paid boolean,
    note text,
    label varchar(10),
    PRIMARY KEY (customer_id, id)
);
CREATE TABLE items (
    order_id bigint,
    customer_id int NOT NULL,
    line int,
    product_id int,
    quantity int,
    price numeric(10, 2),
    PRIMARY KEY (customer_id, order_id, line)
);
CREATE TABLE events (
    id uuid PRIMARY KEY,
    kind text,
    customer_id bigint,
    at timestamptz,
    level int,
    payload jsonb
);
CREATE TABLE readings (
    device text,
    n int,
    at timestamp,
    value float8,
    flags bit(4),
    PRIMARY KEY (device, n)
);
CREATE EXTENSION citext;
CREATE EXTENSION hstore;
CREATE EXTENSION ltree;
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE stretch AS RANGE (subtype = float8);
CREATE TABLE things (
    id bigint PRIMARY KEY,
    word citext,
    attrs hstore,
    path ltree,
    two pair,
    size positive,
    reach stretch,
    pairs pair[]
);
CREATE VIEW paid_orders AS SELECT id, customer_id, status, total FROM orders WHERE paid;
CREATE VIEW order_sums AS SELECT customer_id, count(*) AS n, sum(total) AS total FROM orders GROUP BY customer_id;
CREATE VIEW status_sums AS SELECT status, count(*) AS n, sum(total) AS total FROM orders GROUP BY status;
CREATE VIEW euro_countries AS SELECT code, name FROM countries WHERE euro;
CREATE VIEW customer_orders AS
    SELECT c.id AS customer_id, c.name, c.country, o.id AS order_id, o.total
    FROM customers c JOIN orders o ON o.customer_id = c.id;
CREATE VIEW top_orders AS SELECT id, customer_id, total FROM orders ORDER BY total DESC NULLS LAST, customer_id, id LIMIT 10;
CREATE VIEW sorted_orders AS SELECT id, customer_id, paid FROM orders ORDER BY total DESC NULLS LAST, customer_id, id;
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n * 2';
CREATE AGGREGATE product_of(int8) (sfunc = int8mul, stype = int8, initcond = '1');
