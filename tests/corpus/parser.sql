-- Statements that sql::parse must read as PostgreSQL does; one a line. The schema is in tests/it/parser.rs.
select id, name from t where id = 5
select 1 + 2 * 3 - 4 / 2 % 3
select 2 ^ 3 ^ 2, -2 ^ 2, - 2 * 3, -id::bigint from t
select a + b > c and not a = b or c < 3 from t
select not a = b and not b = c or not a > 1 is null from t
select a is null is null, a = b is null, a is null = true from t
select a between 1 and 2 and b between symmetric 3 and 1 or c not between b + 1 and c * 2 from t
select a between 1 and 2 = true from t
select flag = a in (1, 2), a in (1, 2) = true, a + 1 in (1, 2), a not in (select 1) from t
select name like 'a%' = true, name || 'x' like 'y' || '%', name not like '%!%' escape '!' from t
select name ilike 'a%' and name not ilike 'b%' or name similar to 'a|b' escape '#' from t
select name like any (array['a%', 'b%']), name not like all (array['c%']), name ilike some (select 'x') from t
select a = any (arr), a <> all (select id from u), a + 1 > some (arr || 1) from t
select a = any (arr) = true, not a = any (arr) from t
select a is distinct from b, a + 1 is not distinct from b + 1, a is distinct from b and true from t
select name is normalized, name is not nfkc normalized, x is document from t
select flag is true, flag is not false, flag is unknown, flag isnull, name notnull, a > 1 is true from t
select ts at time zone 'utc' at time zone 'cet', ts at time zone 'utc' at time zone 'cet' + d from t
select ts at time zone 'utc' || 'x' from t
select name collate "C" < 'a', name || 'a' collate "C", (name || 'a') collate "C" > 'b' from t
select name collate pg_catalog."C" from t
select - a, + a, - - a, @ -5, @ a + b, @ a * b - c from t
select a operator(pg_catalog.+) b * c, a operator(pg_catalog.*) b + c, operator(pg_catalog.-) a from t
select |/ 25.0, ||/ 27.0, ~ a & b | c # a << 1 >> 2 from t
select a & b = c, a + b & c, a & b + c, a || 'x' || b from t
select j -> 'a' ->> 'b' = 'c', j #>> '{a,b}' || 'x', j @> '{"a":1}' and j ? 'b' from t
select k.j - 1 > 0 from (select 1 as x) s cross join lateral (select 2 as j) k where false or j - 1 > 0
select arr[1], arr[1:2], arr[:2], arr[2:], arr[:], arr[a + 1] from t
select (arr)[1], (array[1,2,3])[2], (select arr from t limit 1)[1], array[[1,2],[3,4]] from t
select (comp).f1, (comp).*, (t.comp).f2, (t).comp.f1, t.*, t from t
select t is null, t.* is not null, row(a, b) = row(1, 2), (a, b) < (1, 2), row(1) is null, (a, b) in ((1, 2), (3, 4)) from t
select (a, b) = (select 1, 2), (a, b) in (select 1, 2), row(a, b) = any (select 1, 2) from t
select (date '2020-01-01', date '2020-02-01') overlaps (date '2020-01-15', interval '1 month')
select row(ts, ts) overlaps row(ts, ts) and true from t
select case a when 1 then 'x' when 2 then 'y' else 'z' end, case when a > 1 or b < 2 then c + 1 end + 1 from t
select exists (select 1) and not exists (select 1 from t where a = 1)
select array(select a from t order by 1), array[1, 2] || 3, array[]::int[]
select ((select 1)), ((select 1) + 1), ((select 1) union select 2), (((select 1)) + ((2))), ((values (1)))
select ((select 1) limit 1), ((select 1) order by 1), (((select 1) intersect select 1) except select 2)
select a in ((select 1)), a in ((select 1), 2), a in ((((select 3)) union all select 4)) from t
select 'it''s', E'a\nb', $$x$$, $q$a$$b$q$, U&'d\0061t', U&'d!0061t' uescape '!', b'101', x'1F'
select date '2020-01-01', timestamp '2020-01-01', timestamp(3) with time zone '2020-01-01', time with time zone '10:00+0', timestamp without time zone '2020-01-01'
select interval '1 day', interval '1' day, interval '1' day to second, interval '1 2:03' day to minute, interval(3) '1 s', interval '1.5' second (1), interval '1-2' year to month
select numeric '1.5', int '5', float '1', double precision '1', real '1', bit '101', bit varying '101', boolean 't', char 'a', varchar 'b', character varying(3) 'abcd', national character 'x', dec '1', pg_catalog.int4 '3', json '1', "char" 'x'
select a::numeric(10,2), a::double precision, name::char(3), name::character varying(5), ts::timestamp(0) with time zone, ts::time, a::bigint::text, arr::text[], arr::int array, arr::int array[3], arr::int[3][], '1'::interval day to second, '1'::bit varying(5) from t
select cast(a as numeric(10, 2)), cast(a + 1 as text) || 'x', cast('1' as interval second), cast(null as int[]) from t
select a::text || b::text, -1::int, - a ::int, a + b::int8 * 2, not flag::text = 'x' from t
select extract(year from ts), extract('epoch' from ts), extract(day from d), extract(dow from ts) + 1 from t
select substring(name from 1 for 2), substring(name for 2), substring(name from 'a.'), substring(name similar 'a#"b#"c' escape '#'), substring(name, 1, 2), substring(name for 2 from 1) from t
select trim(name), trim(both 'x' from name), trim(leading from name), trim(trailing 'y' from name), trim(from name), trim(name, 'x') from t
select position('a' in name), position('a' || 'b' in name || 'c'), overlay(name placing 'x' from 1), overlay(name placing 'x' from 1 for 2), overlay(name, 'x', 1) from t
select coalesce(a, b + 1, c), nullif(a, b), greatest(a, b, c), least(a, 1), normalize(name), normalize(name, nfkd), collation for (name) from t
select current_date, current_time, current_time(2), current_timestamp(0), localtime, localtimestamp(3), current_user, session_user, user, current_role, current_catalog, current_schema, current_schema()
select xmlelement(name foo, xmlattributes(a as x, b as "Y"), 'c', name), xmlforest(a, b as q), xmlconcat(x, x), xmlpi(name php, 'echo'), xmlroot(x, version '1.0', standalone yes), xmlserialize(content x as text), xmlparse(document '<a/>'), xmlparse(content 'a' preserve whitespace), xmlexists('//a' passing by ref x) from t
select count(*), count(distinct a), count(all b), sum(a) filter (where a > 1 and b < 2), string_agg(name, ',' order by name desc, a) from t
select string_agg(distinct name, ',' order by name, ','::text) from (select name, ',' as s from t) q where false group by () having count(*) > 0
select percentile_cont(0.5) within group (order by a desc), mode() within group (order by name) filter (where a > 1) from t
select rank() over w, sum(a) over (w rows unbounded preceding), lag(a, 1 + 1) over (partition by b, c + 1 order by a nulls first) from t window w as (partition by b order by c), v as (order by a)
select sum(a) over (order by a rows between 1 + 1 preceding and current row exclude ties), sum(a) over (order by a groups between unbounded preceding and 1 following exclude current row), sum(a) over (order by a range between current row and unbounded following exclude no others), sum(a) over (order by a range 2 preceding), sum(a) over () from t
select count(*) filter (where true) over (order by a rows between 2 following and 3 following exclude group) from t
select format('%s %s', variadic array['a', 'b']), make_interval(days => 3, hours := 2 + 1), concat_ws(',', a, b) from t
select distinct a, b from t order by a desc nulls last, b using > limit 5 offset 2
select distinct on (a, b + 1) a, b, c from t order by a, b + 1, c
select all a from t
select from t
select
select a "x y", b as select, c as "order", a value, b name, c day_ from t
select a isnull, b + 1 sum, a type, b key, c text from t
select t.a, public.t.b, "t"."c", U&"\0061" from public.t
select a from only t, u * where t.id = u.id
select x.p, x.q from t as x (p, q)
select * from t x (p, q) join u on p = u.id where false
select * from t natural join u v
select * from t join u on t.id = u.id and t.a > 1 left join v on v.id = u.id or v.id is null
select * from t join u join v on v.id = u.id on t.id = u.id
select * from t join u using (id, name) full outer join t t2 using (id) cross join v v2
select * from (t join u using (id)) join v using (id)
select j.id from (t join u using (id)) as j
select j.id, t.a from t join u using (id) as j
select * from t left join (u inner join v on u.id = v.id) on t.id = u.id right outer join t t2 on true
select * from ((select 1 as a) x cross join (select 2 as b) y) cross join (values (1, 2), (3, 4)) as z (p, q)
select * from ((select 1 as a)) x, ((select 2 as b) union select 3) y, (((select 3)) limit 1) z
select * from t, lateral (select * from u where u.id = t.id) s, lateral generate_series(1, t.a) g
select * from generate_series(1, 3) with ordinality as g (x, n), unnest(array[1, 2], array['a']) u (a, b)
select * from rows from (generate_series(1, 2), unnest(array[3, 4])) with ordinality as r (a, b, n)
select * from json_to_record('{"a":1}') as r (a int, b text collate "C"), json_to_recordset('[]') as (x numeric(3, 1), y int[])
select * from rows from (json_to_record('{"a":1}') as (a int), generate_series(1, 2)) as r
select * from current_date d, coalesce(1, 2) c, cast(1 as int) k, pg_catalog.abs(-1) as m
select * from t tablesample system (10), t t2 tablesample bernoulli (50) repeatable (1 + 1) where t.id = t2.id
select z.* from t, xmltable('//row' passing t.x columns n for ordinality, a int path '@a' default 1 + 1 not null, b text) as z
select * from xmltable(xmlnamespaces('http://x' as x, default 'http://d'), '/x:a' passing by ref (xml '<a/>') columns c text path 'c')
select a, count(*) from t group by a having count(*) > 1 and sum(b) < 3 order by count(*) desc
select a, b, grouping(a, b) from t group by rollup (a, b), ()
select a, b from t group by grouping sets ((a), (b), (), (a, b), rollup (a), cube (a, b))
select a, b, c from t group by distinct rollup (a, b), cube ((a, b), c)
select a from t group by all a, (b, c), t.id
select a as x from t union select b from t intersect select c from t except all select 1 order by x limit 1
select 1 union all (select 2 limit 1) union distinct (values (3) order by 1)
(select 1) union (select 2) order by 1
(select a from t order by a limit 1) union all select b from t offset 1
((select 1))
values (1, 'a'), (2 + 1, 'b') order by 1 desc
table t
table only t order by id
select a from t limit all offset 3 rows
select a from t offset (1 + 1) row fetch first 5 rows only
select a from t order by a fetch next row with ties
select a from t fetch first (1 + 1) rows only offset 2
select a from t limit (select 1) + 1
with x as (select 1 as n), y (m) as not materialized (select n + 1 from x) select * from x, y
with recursive r (n, p) as (values (1, 0) union all select n + 1, n from r where n < 5) search depth first by n set o cycle n set cyc to true default false using path select * from r
with recursive r (n) as (select 1 union all select n + 1 from r) search breadth first by n set o select n from r limit 3
with recursive r (n) as (select 1 union select n + 1 from r where n < 3) cycle n set c using p select * from r
with a as materialized (with b as (select 1 as q) select q from b) (select * from a) union select 2
select (with z as (select 1 as n) select n from z) + 1, a in (with z as (select 1) table z) from t
select a from t -- a comment
select a /* one /* nested */ */ + /* two */ b from t
select 'a' /* no */ , 'b' from t where a=-1 and b<>-1 and c>=-(1) and a<+1
select a-1, a -1, a*-1, a+-b, 1.5e3, .5, 5., 0.1::text from t
select case when a = 1 then b else c end::text, (case when flag then 1 end) + 1, not flag or flag and not flag from t
select (a < b) = flag from (select 1 as a, 2 as b, true as flag) s where (a < b) = flag or (a, b) is distinct from (b, a)
select "select", "A b""c" from (select 1 as "select", 2 as "A b""c") s
select current_setting('x', true) is not null and coalesce(nullif(name, ''), 'x') = 'y' from t
select abs(a) between abs(b) - 1 and abs(c) + 1 and a between -1 and +1 from t
select a from t where a = 1 or (b = 2 and (c = 3 or not (a = 4 and b = 5)))
select a from t where (((a))) = ((1)) and ((a, b)) = ((1, 2))
select (array_agg(a order by b using <, c desc nulls last))[1] from t
select name ~ '^a' and name !~ 'b' or name ~* 'c' = true, name !~~ 'x' from t
select ts - interval '1 day' < now() and ts > timestamp '2020-01-01' + interval '1' month * 2 from t
select arr @> array[1] and arr && array[2, 3] or arr <@ array[a, b]::int[] from t
select a % 2 = 0, a / b * c, a - b - c, a - (b - c), a ^ b * c, - a ^ b, a < b is not true from t
select name like 'a' || 'b' and name || 'x' not like name from t
select name::text collate "C" like 'a%' collate "C" from t
select row(1, row(2, 'x')), row(), row(t.*), (t.*)::text, row(t.*, 1) from t
select (row(1, 2)).f1 + 1 from (select 1) s where (select true)
select array[array[a, b], array[c, 1]], array[[a], [b]] = array[[1], [2]] from t
select count(*) over (partition by a = 1 and b = 2 order by c + 1 desc, a is null) from t
select sum(a) over w as s from t window w as (order by (a, b) rows between unbounded preceding and unbounded following)
select a from t for update
select a from t join u using (id) for no key update of t nowait for key share of u skip locked
select a from t for share limit 3
select a from t order by a limit 3 for update skip locked
select null, true, false, null::int, 'a'::text::varchar(3), $1::int + $1, ($2::int[])[1], $2[1]
select a into temp table zz from t
insert into t (id, a) values (1, 2)
insert into t values (1, default, 2 + 1, default)
insert into t default values
insert into t (id, arr[1], arr[2], comp.f1) values (1, 2, 3, 4)
insert into t as q (id, a) overriding user value select u.id, a + 1 from u, t where u.id = t.id and t.a > 1 or t.a is null on conflict do nothing
insert into t (id, a) (select 1, 2) on conflict (id) do update set a = excluded.a + 1, b = t.b * 2 - 1 where t.a > 1 and t.b < 2 or t.c is null returning *, a + b as s
insert into t (id) values (1) on conflict on constraint t_pkey do update set (a, b) = (excluded.a + 1, default), arr[1] = 3, comp.f1 = 4 + 1
insert into t (id) values (1) on conflict (id) where a > 1 do nothing returning id
insert into u (id, name) values (1, 'a') on conflict (lower(name)) do nothing
insert into u (id, name) values (1, 'a') on conflict (lower(name) collate "default" text_ops) where true do update set (id) = row(5) returning (u.id + 1) * 2
insert into t (id, a) overriding system value values (1, 2), (3, 4 + 1) returning (select count(*) from u) + 1
with n as (insert into u (id) values (1) returning id) insert into t (id) select id + 1 from n
with n as (select 1 as id) insert into t (id) with m as (select id + 1 as id from n) table m
insert into t (id) table v_ids
update t set a = 1 where id = 2
update only t as x set a = a + 1, b = default, arr[1:2] = '{1,2}', comp.f1 = 3, (c) = row(1 + 1) where x.id = 1 and not x.flag
update t set a = 1, b = 2
update t x set (a, b) = (select id, id + 1 from u where u.id = x.id), (c) = row(3) from u join v using (id) where x.id = u.id and u.id > 1 returning x.*, x.a + 1 > 2
update t set a = case when b > 1 and c < 2 then a - 1 - 1 else - a end from u left join v on u.id = v.id and v.id > 1 + 1
update t * set flag = a > b is true
delete from t
delete from only t as x using u, v where x.id = u.id and u.id = v.id or false returning x.id, x.*
delete from t x where x.id in (select id from u where u.id = x.a + 1) and exists (select 1)
with gone as (delete from u where id = 1 + 1 returning *) select * from gone where id > 1 and id < 3
with a as (update u set id = id + 1 returning id), b as (select * from a where id = 1 or id = 2) delete from t using b where t.id = b.id
merge into t using u on t.id = u.id and u.id > 1 when matched and t.a = 1 or u.id = 3 then update set a = t.a + 1 * 2, (b, c) = (1, 2) when not matched and u.id < 5 then insert (id, a) values (u.id, u.id + 1 - 1) when matched then delete
merge into only t as x using (select id + 1 as id from u) s on x.id = s.id when not matched then insert default values when matched and x.flag then do nothing
merge into t using u join v using (id) on t.id = u.id when not matched then insert (id) overriding system value values (1 + 1)
