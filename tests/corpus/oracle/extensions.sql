-- Types, functions and aggregates that don't come with PostgreSQL: of its extensions, and of users. Their OIDs differ from shard to shard.

-- class: extension

SELECT id, <<word|attrs|path|two|size|reach|pairs>> FROM things WHERE <<id = 7|id IN (3, 4, 5, 6)|id < 20>> ORDER BY id;

-- name: folded cases
-- Which of the words that are equal stands for its group is PostgreSQL's choice.
SELECT <<lower(word::text), count(*)|lower(word::text), count(*), min(id)>> FROM things <<WHERE word = 'WORD'|WHERE word <> 'other'|>> <<GROUP BY word ORDER BY 2 DESC, 1|GROUP BY 1 ORDER BY 1>>;

SELECT DISTINCT ON (word) lower(word::text) AS w FROM things ORDER BY word;

SELECT <<count(DISTINCT word)|count(*) FILTER (WHERE word = 'wOrD')|lower(min(word)::text)|lower(max(word)::text)|string_agg(word::text, ',' ORDER BY id)|array_agg(word ORDER BY id)|bool_or(word > 'Other')>> FROM things;

SELECT DISTINCT lower(word::text) FROM things WHERE word <<= 'word'|IN ('WORD', 'OTHER')|LIKE 'W%'|IS NULL>> ORDER BY 1;

SELECT id, word FROM things WHERE id < 40 ORDER BY word <<|DESC NULLS LAST>>, id LIMIT 12;

SELECT count(*) FROM things a JOIN things b ON a.word = b.word <<|AND a.id <> b.id>> <<|WHERE a.id < 9>>;

SELECT a.id, b.id FROM things a JOIN customers b ON a.word = b.name::citext ORDER BY 1, 2;

-- name: hstore
SELECT <<attrs -> 'a', count(*)|attrs, count(*)>> FROM things WHERE attrs <<? 'b'|@> 'a=>1'|IS NOT NULL>> GROUP BY 1 ORDER BY 2 DESC, 1;

SELECT <<hstore_to_json(attrs)|akeys(attrs)|attrs || 'c=>3'|delete(attrs, 'a')|(each(attrs)).key>> FROM things WHERE id < 12 ORDER BY id, 1;

SELECT key, count(*) FROM things, LATERAL each(attrs) GROUP BY 1 ORDER BY 1;

-- name: ltree
SELECT <<path, count(*)|subpath(path, 1, 1), max(id)|nlevel(path), count(DISTINCT path)>> FROM things WHERE path <<<@ 'top.p1'|~ '*.q2'|@ 'q1 & top'>> GROUP BY 1 ORDER BY 1;

SELECT <<lca(array_agg(path))|min(path)|count(DISTINCT path)|percentile_disc(0.5) WITHIN GROUP (ORDER BY path)>> FROM things WHERE id > 3;

SELECT a.id, a.path, b.id FROM things a JOIN things b ON a.path = b.path AND a.id < b.id WHERE a.id % 10 = 1 ORDER BY 1, 3 LIMIT 15;

-- name: composites, domains, ranges
SELECT <<two, count(*)|(two).b, sum((two).a)|size, count(*)|reach, min(id)|pairs, max(id)>> FROM things GROUP BY 1 ORDER BY 1;

SELECT id, (two).a, (pairs[1]).b, upper(reach), size + 1 FROM things WHERE <<(two).a = 2|two = ROW (1, 'b1')::pair|reach @> 2.2::float8|size > 4|two IS NOT NULL>> ORDER BY id LIMIT 9;

SELECT <<max(two)|range_agg(reach)|array_agg(two ORDER BY id)|sum(size)|count(DISTINCT two)|count(DISTINCT reach)>> FROM things WHERE id < 30;

SELECT a.id, b.id FROM things a JOIN things b ON <<a.two = b.two|a.reach = b.reach|a.size = b.size AND a.pairs = b.pairs>> AND a.id < b.id WHERE b.id < 25 ORDER BY 1, 2;

SELECT row_number() OVER (ORDER BY two, id), id, lag(two) OVER (ORDER BY reach, id) FROM things WHERE id < 15 ORDER BY 1;

SELECT id FROM things WHERE <<two IN (SELECT two FROM things WHERE id = 9)|word = ANY (SELECT word FROM things WHERE id = 10)|path IN (SELECT path FROM things WHERE size = 2)>> ORDER BY id;

-- name: aggregates of users
SELECT <<product_of(size::int8)|product_of(DISTINCT size::int8)|product_of(id ORDER BY id) FILTER (WHERE id < 9)>>, count(*) FROM things WHERE id < 20 <<|GROUP BY word ORDER BY 2, 1|GROUP BY ROLLUP (path) ORDER BY 2, 1>>;

-- name: GROUPING SETS
SELECT lower(word::text), size, count(*), grouping(word, size) FROM things GROUP BY <<CUBE (word, size)|GROUPING SETS ((word), (size), ())|ROLLUP (size, word)>> ORDER BY 4, 3, 1, 2;

-- name: recursion
WITH RECURSIVE t AS (SELECT id, size FROM things WHERE id = 1 UNION ALL SELECT n.id, n.size FROM things n JOIN t ON n.id = t.id + t.size) SELECT * FROM t ORDER BY 1;

-- params: text=word
SELECT id, word FROM things WHERE word = $1::citext ORDER BY id;

-- class: write extension

BEGIN;
UPDATE things SET <<word = upper(word::text)::citext|attrs = attrs || 'z=>9'|two.a = 7|reach = NULL|pairs = pairs || two>> WHERE <<word = 'WORD'|size = 3|id = 4>> RETURNING id, word, attrs, two, reach, pairs;
INSERT INTO things (id, word, attrs, path, two) VALUES (1001, 'New', 'a=>1', 'x.y', '(1,q)'), (1002, 'new', NULL, NULL, NULL), (1003, NULL, '', '', ROW (NULL, NULL));
SELECT count(*), count(DISTINCT word) FROM things;
ROLLBACK;

BEGIN;
INSERT INTO things SELECT id + 500, word, attrs, path, two, size, reach, pairs FROM things WHERE size < 3;
SELECT count(*), count(DISTINCT path) FROM things;
ROLLBACK;
