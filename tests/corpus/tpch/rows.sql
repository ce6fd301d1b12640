-- Rows of TPC-H's shape and distributions, always the same ones. `{scale}`: thousandths of the specification's scale 1, even.
-- A number below n that hangs on i and on the column.
CREATE FUNCTION tpch.pick(i bigint, salt int, n int) RETURNS int LANGUAGE sql IMMUTABLE AS
    $$ SELECT (((hashint8extended(i, salt) % n) + n) % n)::int $$;
CREATE FUNCTION tpch.one(i bigint, salt int, of text[]) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT of[1 + (((hashint8extended(i, salt) % cardinality(of)) + cardinality(of)) % cardinality(of))] $$;

INSERT INTO tpch.region
SELECT i - 1, (ARRAY['AFRICA', 'AMERICA', 'ASIA', 'EUROPE', 'MIDDLE EAST'])[i], 'region ' || i FROM generate_series(1, 5) i;

INSERT INTO tpch.nation
SELECT i - 1, split_part(entry, ':', 1), split_part(entry, ':', 2)::int, 'nation ' || i
FROM unnest(ARRAY['ALGERIA:0', 'ARGENTINA:1', 'BRAZIL:1', 'CANADA:1', 'EGYPT:4', 'ETHIOPIA:0', 'FRANCE:3', 'GERMANY:3',
    'INDIA:2', 'INDONESIA:2', 'IRAN:4', 'IRAQ:4', 'JAPAN:2', 'JORDAN:4', 'KENYA:0', 'MOROCCO:0', 'MOZAMBIQUE:0', 'PERU:1',
    'CHINA:2', 'ROMANIA:3', 'SAUDI ARABIA:4', 'VIETNAM:2', 'RUSSIA:3', 'UNITED KINGDOM:3', 'UNITED STATES:1'])
    WITH ORDINALITY AS t (entry, i);

INSERT INTO tpch.supplier
SELECT i, 'Supplier#' || lpad(i::text, 9, '0'), 'address ' || tpch.pick(i, 1, 1000), i % 25,
    (10 + i % 25) || '-' || (100 + tpch.pick(i, 2, 900)) || '-' || (100 + tpch.pick(i, 3, 900)) || '-' || (1000 + tpch.pick(i, 4, 9000)),
    (tpch.pick(i, 5, 1099999) - 99999) / 100.0,
    CASE WHEN i % 10 = 4 THEN 'slow Customer of many Complaints' ELSE 'supplier of ' || tpch.pick(i, 6, 100) END
FROM generate_series(1, 10 * {scale}) i;

INSERT INTO tpch.part
SELECT i, tpch.one(i, 10, c) || ' ' || tpch.one(i, 11, c) || ' ' || tpch.one(i, 12, c) || ' ' || tpch.one(i, 13, c),
    'Manufacturer#' || 1 + tpch.pick(i, 14, 5),
    tpch.one(i, 15, ARRAY['Brand#11', 'Brand#12', 'Brand#23', 'Brand#34', 'Brand#45', 'Brand#55']),
    tpch.one(i, 16, ARRAY['STANDARD', 'SMALL', 'MEDIUM', 'LARGE', 'ECONOMY', 'PROMO']) || ' '
        || tpch.one(i, 17, ARRAY['ANODIZED', 'BURNISHED', 'PLATED', 'POLISHED', 'BRUSHED']) || ' '
        || tpch.one(i, 18, ARRAY['TIN', 'NICKEL', 'BRASS', 'STEEL', 'COPPER']),
    1 + tpch.pick(i, 19, 50),
    tpch.one(i, 20, ARRAY['SM CASE', 'SM BOX', 'MED BAG', 'MED BOX', 'LG CASE', 'LG BOX', 'WRAP PKG', 'JUMBO JAR']),
    (90000 + (i / 10) % 20001 + 100 * (i % 1000)) / 100.0, 'part ' || tpch.pick(i, 21, 100)
FROM generate_series(1, 200 * {scale}) i, (SELECT ARRAY['almond', 'azure', 'beige', 'blue', 'brown', 'coral', 'cream', 'dim',
    'firebrick', 'forest', 'ghost', 'green', 'grey', 'indian', 'ivory', 'khaki', 'lace', 'lime', 'linen', 'maroon'] AS c) AS colours;

INSERT INTO tpch.partsupp
SELECT p, (p + p / (10 * {scale}) + j * (10 * {scale} / 4)) % (10 * {scale}) + 1, 1 + tpch.pick(p * 4 + j, 30, 200),
    (100 + tpch.pick(p * 4 + j, 31, 99901)) / 100.0, 'supply ' || tpch.pick(p * 4 + j, 32, 1000)
FROM generate_series(1, 200 * {scale}) p, generate_series(0, 3) j;

INSERT INTO tpch.customer
SELECT i, 'Customer#' || lpad(i::text, 9, '0'), 'address ' || tpch.pick(i, 40, 1000), n,
    (10 + n) || '-' || (100 + tpch.pick(i, 41, 900)) || '-' || (100 + tpch.pick(i, 42, 900)) || '-' || (1000 + tpch.pick(i, 43, 9000)),
    (tpch.pick(i, 44, 1099999) - 99999) / 100.0,
    tpch.one(i, 45, ARRAY['AUTOMOBILE', 'BUILDING', 'FURNITURE', 'MACHINERY', 'HOUSEHOLD']), 'customer ' || tpch.pick(i, 46, 1000)
FROM generate_series(1, 150 * {scale}) i, LATERAL (SELECT tpch.pick(i, 47, 25) AS n) AS nations;

INSERT INTO tpch.lineitem
SELECT o, p, (p + p / (10 * {scale}) + s * (10 * {scale} / 4)) % (10 * {scale}) + 1, n, quantity,
    quantity * (90000 + (p / 10) % 20001 + 100 * (p % 1000)) / 100.0, tpch.pick(l, 53, 11) / 100.0, tpch.pick(l, 54, 9) / 100.0,
    CASE WHEN received <= date '1995-06-17' THEN tpch.one(l, 55, ARRAY['R', 'A']) ELSE 'N' END,
    CASE WHEN shipped > date '1995-06-17' THEN 'O' ELSE 'F' END, shipped, ordered + 30 + tpch.pick(l, 56, 61), received,
    tpch.one(l, 57, ARRAY['DELIVER IN PERSON', 'COLLECT COD', 'NONE', 'TAKE BACK RETURN']),
    tpch.one(l, 58, ARRAY['REG AIR', 'AIR', 'RAIL', 'SHIP', 'TRUCK', 'MAIL', 'FOB']), 'line ' || tpch.pick(l, 59, 1000)
FROM generate_series(1, 1500 * {scale}) o, LATERAL generate_series(1, 1 + tpch.pick(o, 60, 7)) n,
    LATERAL (SELECT o * 8 + n AS l) AS line,
    LATERAL (SELECT 1 + tpch.pick(l, 61, 200 * {scale}) AS p, tpch.pick(l, 62, 4) AS s, 1 + tpch.pick(l, 63, 50) AS quantity,
        date '1992-01-01' + tpch.pick(o, 64, 2406) AS ordered) AS picked,
    LATERAL (SELECT ordered + 1 + tpch.pick(l, 65, 121) AS shipped) AS shipped,
    LATERAL (SELECT shipped + 1 + tpch.pick(l, 66, 30) AS received) AS received;

-- A third of the customers have no orders.
INSERT INTO tpch.orders
SELECT o, 3 * tpch.pick(o, 70, 50 * {scale}) + 1 + tpch.pick(o, 71, 2), status, total, date '1992-01-01' + tpch.pick(o, 64, 2406),
    tpch.one(o, 72, ARRAY['1-URGENT', '2-HIGH', '3-MEDIUM', '4-NOT SPECIFIED', '5-LOW']),
    'Clerk#' || lpad((1 + tpch.pick(o, 73, {scale}))::text, 9, '0'), 0,
    CASE WHEN tpch.pick(o, 74, 20) = 0 THEN 'some special packages and requests' ELSE 'order ' || tpch.pick(o, 75, 1000) END
FROM (SELECT l_orderkey AS o, CASE WHEN min(l_linestatus) = max(l_linestatus) THEN min(l_linestatus) ELSE 'P' END AS status,
        sum(round(l_extendedprice * (1 + l_tax) * (1 - l_discount), 2)) AS total
    FROM tpch.lineitem GROUP BY l_orderkey) AS lines;

DROP FUNCTION tpch.pick(bigint, int, int);
DROP FUNCTION tpch.one(bigint, int, text[]);
