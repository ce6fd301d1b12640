-- The oracle's rows, the same at every load: ties, NULLs, extremes.
INSERT INTO countries VALUES
    ('AT', 'Austria', 'Europe', true), ('CA', 'Canada', 'America', false), ('CH', 'Switzerland', 'Europe', false),
    ('DE', 'Germany', 'Europe', true), ('FR', 'France', 'Europe', true), ('JP', 'Japan', 'Asia', NULL),
    ('NZ', 'New Zealand', NULL, false), ('ZZ', 'Nowhere', NULL, NULL);
INSERT INTO products
SELECT g, 'product ' || g, (ARRAY['home', 'garden', NULL, 'music'])[1 + g % 4], (g * 37 % 100) + 0.99
FROM generate_series(1, 12) g;
INSERT INTO settings VALUES ('one', 'a', 1), ('two', 'b', 2), ('three', NULL, 3), ('four', 'd', NULL);
INSERT INTO customers
SELECT g,
    CASE WHEN g % 11 = 0 THEN NULL ELSE (ARRAY['Ada', 'ada', 'Bea', 'Çem', 'Zoë', 'Äsa', 'zoe', 'Émile', 'eve'])[1 + g % 9] END,
    (ARRAY['a', 'B', 'b', 'Z', '_x', 'é', ''])[1 + g % 7] || g % 5,
    (ARRAY['Ähre', 'ahorn', 'Zebra', 'öl', 'Ofen', 'ss', 'ß', 'a-b', 'ab'])[1 + g % 9],
    CASE WHEN g % 6 = 0 THEN NULL ELSE (ARRAY['co-op', 'coop', 'Coop', 'CO-OP', 'résumé', 'resume', 'Resume'])[1 + g % 7] END,
    (ARRAY['DE', 'FR', 'JP', 'AT', NULL, 'XX', 'CA'])[1 + g % 7],
    CASE g % 5 WHEN 0 THEN NULL ELSE g % 2 = 0 END,
    (ARRAY['sad', 'happy', NULL, 'ok', 'angry'])[1 + g % 5]::mood,
    CASE WHEN g = 7 THEN '-infinity' WHEN g = 8 THEN 'infinity' WHEN g % 13 = 0 THEN NULL
        ELSE date '1969-12-28' + g * 401 END,
    timestamptz '1999-12-31 23:59:58.5+00' + g * interval '11 hours 7 minutes 0.25 seconds',
    CASE g % 8 WHEN 0 THEN NULL WHEN 1 THEN 0 ELSE g * 12.5 - 300 END,
    CASE g % 10 WHEN 0 THEN NULL WHEN 1 THEN 'NaN' WHEN 2 THEN '-0' WHEN 3 THEN 0 ELSE g / 7.0 END,
    CASE g % 4 WHEN 0 THEN NULL WHEN 1 THEN '{}' ELSE ARRAY['t' || g % 3, NULL, 'x,"y'] END,
    CASE g % 3 WHEN 0 THEN NULL WHEN 1 THEN jsonb_build_object('a', g % 4, 'b', '[1, 2]'::jsonb) ELSE '1.0' END,
    'c' || g % 6,
    CASE g % 4 WHEN 0 THEN NULL ELSE decode(lpad(to_hex(g * 7919), 6, '0'), 'hex') END,
    CASE g % 9 WHEN 0 THEN 'infinity' ELSE timestamp '1987-06-05 04:03:02' + g * interval '1 day 0.5 seconds' END,
    CASE g % 3 WHEN 0 THEN NULL ELSE ARRAY['ok', 'happy']::mood[] END,
    (ARRAY['Ada', 'ADA', 'bea', 'Bea', NULL])[1 + g % 5]
FROM generate_series(1, 60) g;
INSERT INTO orders
SELECT g, 1 + g * 7 % 48,
    CASE WHEN g % 17 = 0 THEN NULL ELSE (ARRAY['new', 'paid', 'shipped', 'returned'])[1 + g * 3 % 4] END,
    CASE WHEN g % 19 = 0 THEN NULL ELSE (g * 7919 % 10007) / 100.0 END,
    CASE g % 6 WHEN 0 THEN NULL WHEN 1 THEN 1.0 WHEN 2 THEN 1.00 WHEN 3 THEN 0.123456789012345678901234567890
        WHEN 4 THEN g * 1000000000000000000000.5 ELSE g % 5 END,
    CASE g % 9 WHEN 0 THEN NULL ELSE g * 0.37 END,
    CASE g % 9 WHEN 0 THEN NULL ELSE g * 0.25 END,
    CASE g % 10 WHEN 0 THEN NULL ELSE g * 13 % 7 END,
    CASE g % 7 WHEN 0 THEN NULL WHEN 1 THEN 4611686018427387904 + g ELSE -g END,
    g % 5,
    timestamptz '2024-01-01 00:00+00' + g % 40 * interval '17 hours',
    date '1995-03-01' + g * 31,
    CASE g % 5 WHEN 0 THEN NULL WHEN 1 THEN interval '1 month' WHEN 2 THEN interval '30 days' ELSE g * interval '1 day 2 hours 0.5 seconds' END,
    CASE g % 4 WHEN 0 THEN NULL ELSE g % 3 = 0 END,
    CASE g % 8 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE repeat(chr(97 + g % 5), 1 + g % 3) END,
    'l' || g % 4
FROM generate_series(1, 240) g;
INSERT INTO items
SELECT o.id, o.customer_id, line, 1 + (o.id * 5 + line * 3) % 14, 1 + (o.id + line) % 6, (o.id * line % 500) / 10.0
FROM orders o, generate_series(1, 3) line WHERE line <= o.id % 4;
INSERT INTO events
SELECT md5('event' || g)::uuid, (ARRAY['click', 'view', 'buy', NULL])[1 + g % 4], CASE WHEN g % 9 = 0 THEN NULL ELSE g % 70 END,
    timestamptz '2024-02-28 12:00+00' + g * interval '31 minutes', g % 6,
    jsonb_build_object('n', g % 3, 'g', g)
FROM generate_series(1, 150) g;
INSERT INTO readings
SELECT 'device ' || d, n, timestamp '2024-01-01' + n * interval '1 hour', CASE WHEN n % 7 = 0 THEN NULL ELSE d * n / 3.0 END,
    (d * n % 16)::bit(4)
FROM generate_series(1, 12) d, generate_series(1, 9) n;
INSERT INTO things
SELECT g, CASE g % 9 WHEN 0 THEN NULL WHEN 1 THEN 'Word' WHEN 2 THEN 'wORD' WHEN 3 THEN 'other' WHEN 4 THEN 'Other' ELSE 'w' || g % 11 END,
    CASE WHEN g % 7 = 0 THEN NULL ELSE hstore(ARRAY['a', 'b'], ARRAY[(g % 3)::text, CASE WHEN g % 4 > 0 THEN 'x' END]) END,
    ('top.p' || g % 3 || '.q' || g % 5)::ltree, ROW (g % 4, CASE WHEN g % 5 > 0 THEN 'b' || g % 2 END)::pair, 1 + g % 6,
    CASE WHEN g % 8 > 0 THEN stretch(g % 5, g % 5 + 1.5) END, ARRAY[ROW (g % 2, 'z'), ROW (g % 3, NULL)]::pair[]
FROM generate_series(1, 90) g;
ANALYZE;
