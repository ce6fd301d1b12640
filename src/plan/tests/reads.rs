//! What is proven to only read, and what must not be.

use super::*;

fn answer(sql: &str) -> String {
    let plan = planned(sql);
    match &plan.replica {
        Some(ReadSet::Tables(keys)) => names(keys),
        Some(ReadSet::All) => "*".to_owned(),
        None => format!("!{}", plan.primary_reason),
    }
}

fn check(cases: &[(&str, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .map(|(sql, expected)| (sql, answer(sql), expected))
        .filter(|(_, got, expected)| got != *expected)
        .map(|(sql, got, expected)| format!("{sql}\n   got {got}, expected {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn plain_queries() {
    check(&[
        ("select abalance from t where a = 1", "t"),
        ("SELECT * FROM T;", "t"),
        ("select a from t; select b from u", "t,u"),
        ("table t", "t"),
        ("table only t order by 1", "t"),
        ("(select a from t) union all (select a from u) order by 1 limit 3", "t,u"),
        ("((select a from t))", "t"),
        ("select a from t union table u", "t,u"),
        ("select 1 where exists (table t)", "t"),
        ("select * from (values (1)) v(x), t", "t"),
        ("values ((select max(a) from t))", "t"),
        (
            "with x as (select a from t), y(q) as materialized (select * from x) select * from y join u on y.q = u.a",
            "t,u",
        ),
        ("with recursive r(n) as (values (1) union all select n + 1 from r, t) select n from r", "t"),
        (
            "with recursive r as (select a from t) search depth first by a, b set o cycle a set c using p select * from r",
            "t",
        ),
        ("select * from t x(p, q) join u as y(r, q) using (a)", "t,u"),
        ("select * from t left join lateral (select b from u where u.a = t.a) z on true", "t,u"),
        ("select * from (t cross join u) join orders on true", "orders,t,u"),
        ("select * from ((t join u using (a)) join orders o on o.id = a)", "orders,t,u"),
        ("select * from public.t, shop.countries c, only (u)", "countries,t,u"),
        ("select * from \"Odd Name\"", "Odd Name"),
        ("select * from t, generate_series(1, a) g(x), unnest(array[1, 2]) with ordinality", "t"),
        ("select * from rows from (generate_series(1, 2), unnest(array[1])) as r(a, b), t", "t"),
        ("select * from totals", "totals"),
        ("select * from measures where day = current_date", "measures,measures_1"),
        ("select * from animals", "animals,dogs"),
        ("select * from t where a = $1 and b like '%;drop table t%' escape '!'", "t"),
        ("select ctid, xmin, tableoid::regclass from t", "t"),
        ("select a isnull, b notnull, -2 ^ 2, 5 !~ '3', @ -1, a::numeric(10, 2) from t", "t"),
        (
            "select count(*) filter (where a > 0) over (partition by b order by c rows between 1 preceding and current row \
          exclude current row) from t",
            "t",
        ),
        ("select a, b from t group by grouping sets ((a), rollup (b), cube (a, c)) having sum(a) > 1", "t"),
        (
            "select extract(year from now()), substring(b from 1 for 2), trim(both from b), position('a' in b), \
          overlay(b placing 'x' from 1 for 2), cast(a as varchar(10)), interval '1 day', timestamp with time zone \
          '2020-01-01' as x from t",
            "t",
        ),
        ("select substring(b for 2 from 3), trim(leading 'x' from b) from t", "t"),
        ("select case when a is distinct from c then coalesce(a, nullif(c, 1)) else greatest(a, 2) end from t", "t"),
        ("select 1 is not distinct from c from t", "t"),
        ("select now(), current_timestamp, localtime, current_user, user from t", "t"),
        (
            "select to_char(now(), 'YYYY'), lower(b), b || 'x', age(now(), now()), jsonb_build_object('a', a) from t",
            "t",
        ),
        ("select string_agg(b, ',' order by a), percentile_cont(0.5) within group (order by a) from t", "t"),
        ("select array(select a from u), (select b from u limit 1), a in (select a from t) from t", "t,u"),
        ("select version, t.version, c.version from customers c, t", "customers,t"),
        (
            "select * from t order by a using >, b collate \"C\" desc nulls last offset 2 rows fetch first (1 + 1) rows only",
            "t",
        ),
        ("select pg_typeof(a), format('%s', b) from t", "t"),
        ("select $$ for update $$, 'nextval(1)', /* nextval('s') */ a from t -- delete from t", "t"),
        ("select x.a from t as x window w as (partition by a), v as (order by b)", "t"),
        ("select 1 as select, 2 as into_it, 3 as \"into\" from t", "t"),
        ("select all a from t except all select a from u intersect distinct select 1", "t,u"),
        ("select '{1,2}'::int[], (array[1,2])[1:2], row(a, b), (t).a, (t).* from t", "t"),
        ("select * from xmltable('/r' passing xml '<r/>' columns a int path 'a', n for ordinality), t", "t"),
        ("select from t", "t"),
    ]);
}

#[test]
fn views_policies_functions() {
    check(&[
        ("select * from v_plain", "t,v_plain"),
        ("select * from v_nested", "t,u,v_nested,v_plain"),
        ("select * from v_vol", "!function with effects"),
        ("select * from v_random", "!volatile function"),
        ("select * from v_lock", "!locks rows"),
        ("select * from v_system", "!system catalog"),
        ("select * from v_scratch", "!unlogged table"),
        ("select * from mixed", "!unlogged table"),
        ("select * from tenants", "tenants"),
        ("select * from guarded", "!function with effects"),
        ("select * from scoped", "scoped,u"),
        ("select imm(a), agg_fine(a) from t", "t"),
        ("select stab(a) from t", "*"),
        ("select stab_atomic(a) from t", "*"),
        ("select a ### 1 from t", "t"),
        ("select a operator(public.###) 1 from t", "t"),
        ("select current_setting('app.x'), current_setting('app.y', true) from t", "t"),
        ("select 1::positive from t", "t"),
    ]);
}

#[test]
fn relations_that_only_the_primary_has() {
    check(&[
        ("select 1", "!no table"),
        ("", "!no table"),
        ("select * from scratch", "!unlogged table"),
        ("select last_value from s", "!sequence"),
        ("select * from pg_class, t", "!system catalog"),
        ("select * from pg_catalog.pg_class", "!system catalog"),
        ("select * from information_schema.tables", "!system catalog"),
        ("select * from t join pg_stat_activity on true", "!system catalog"),
        ("select * from pg_temp.t", "!temporary schema"),
        ("select * from nowhere", "!unknown relation"),
        ("select * from t, nowhere", "!unknown relation"),
        ("select * from t join nowhere on true", "!unknown relation"),
        ("select (select 1 from nowhere) from t", "!unknown relation"),
        ("select * from (t join nowhere on true)", "!unknown relation"),
        ("select 1 distinct from nowhere, t", "!unknown relation"),
        ("select t.is distinct from nowhere, t", "!unknown relation"),
        ("select t.is not distinct from nowhere, t", "!unknown relation"),
        ("select a from t union table nowhere", "!unknown relation"),
        ("with x as (select * from nowhere) select * from x, t", "!unknown relation"),
        ("with x as (select 1) select * from public.x, t", "!unknown relation"),
    ]);
}

#[test]
fn locks_and_writes() {
    check(&[
        ("select * from t for update", "!locks rows"),
        ("select * from t for no key update skip locked", "!locks rows"),
        ("select * from t for share of t nowait", "!locks rows"),
        ("select * from t for key share", "!locks rows"),
        ("select * from (select * from t for update) x", "!locks rows"),
        ("with x as (select * from t for update) select * from x", "!locks rows"),
        ("select * from t FOR/* */UPDATE", "!locks rows"),
        // Writes.
        ("with x as (delete from t returning *) select * from x", "!writes"),
        ("with x as (select 1) insert into t select * from x", "!writes"),
        ("select 1; drop table t", "!definition"),
        ("select a from t; delete from t", "!writes"),
        ("select * into n from t", "!writes"),
        ("insert into t values (1)", "!writes"),
        ("update t set a = 1", "!writes"),
        ("delete from t", "!writes"),
        ("explain analyze delete from t", "!not a query"),
        ("explain select * from t", "!not a query"),
        ("copy t to stdout", "!not a query"),
        ("declare c cursor for select * from t", "!not a query"),
        ("execute p", "!not a query"),
        ("begin; select * from t", "!not a query"),
    ]);
}

#[test]
fn functions_wherever_they_hide() {
    check(&[
        ("select nextval('s') from t", "!function with effects"),
        ("select pg_catalog.nextval('s') from t", "!function with effects"),
        ("select \"nextval\"('s') from t", "!function with effects"),
        ("select pg_catalog . \"nextval\" /* c */ ('s') from t", "!function with effects"),
        ("select nextval /*c*/ ('s') from t", "!function with effects"),
        ("select NextVal\n--x\n('s') from t", "!function with effects"),
        ("select ('s'::regclass).nextval from t", "!function with effects"),
        ("select ('s'::regclass) . /* */ \"nextval\" from t", "!function with effects"),
        ("values (nextval('s'), (select a from t))", "!function with effects"),
        ("select t.vol_row from t", "!function with effects"),
        ("select (t).vol_row from t", "!function with effects"),
        ("select t.a from t order by random()", "!volatile function"),
        ("select a from t limit (random() * 10)::int", "!volatile function"),
        ("select case when a = 1 then vol(a) end from t", "!function with effects"),
        ("select sum(a) filter (where vol(a) = 1) from t", "!function with effects"),
        ("select * from t, lateral vol(a) v(x)", "!function with effects"),
        ("select * from t where a in (select public.vol(1))", "!function with effects"),
        ("select * from t tablesample bernoulli (10)", "!volatile function"),
        ("select * from rows from (vol(1)) x, t", "!function with effects"),
        ("select liar(1) from t", "!function with effects"),
        ("select liar_twice(1) from t", "!function with effects"),
        ("select dynamic('select 1') from t", "!function with effects"),
        ("select puts() from t", "!function with effects"),
        ("select reads_view() from t", "!function with effects"),
        ("select reads_view_of_view() from t", "!function with effects"),
        ("select uses_operator(a) from t", "!function with effects"),
        ("select agg_vol(a) from t", "!function with effects"),
        ("select nowhere(a) from t", "!unknown function"),
        ("select nowhere.nowhere(a) from t", "!unknown function"),
        ("select \"and\"(a) from t", "!unknown function"),
    ]);
}

#[test]
fn operators_and_functions_of_postgres() {
    check(&[
        ("select a @@@ 1 from t", "!volatile operator"),
        ("select a operator(public.@@@) 1 from t", "!volatile operator"),
        ("select a from t order by a using @@@", "!volatile operator"),
        ("select gen_random_uuid(), clock_timestamp() from t", "!volatile function"),
        ("select version() from t", "!volatile function"),
        ("select inet_server_addr() from t", "!volatile function"),
        ("select pg_is_in_recovery() from t", "!volatile function"),
        ("select txid_current() from t", "!volatile function"),
        ("select age(xmin) from t", "!volatile function"),
        ("select current_setting('transaction_read_only') from t", "!volatile function"),
        ("select current_setting('app.' || b) from t", "!volatile function"),
        ("select current_setting(b) from t", "!volatile function"),
        ("select currval('s') from t", "!volatile function"),
        ("select query_to_xml('select 1', true, true, '') from t", "!function with effects"),
        ("select set_config('a.b', 'c', true) from t", "!volatile function"),
        ("select pg_advisory_lock(1) from t", "!volatile function"),
        ("select lo_get(1) from t", "!function with effects"),
        ("select U&\"\\006eextval\"('s') from t", "!not parsed"),
        ("select U&\"!006eextval\" uescape '!' ('s') from t", "!not parsed"),
    ]);
}

#[test]
fn other_texts() {
    check(&[
        ("select 'a from t", "!not parsed"),
        ("select (a from t", "!not parsed"),
        ("select a) from t", "!not parsed"),
        ("select a\0 from t", "!not parsed"),
        ("select /* a from t", "!not parsed"),
        ("foo t", "!not parsed"),
        // Hints.
        ("/* pgbraid: role=primary */ select * from t", "!hint"),
        ("select * from t -- pgbraid: x, role = primary", "!hint"),
        ("/* pgbraid: role=replica */ select random() from t", "*"),
        ("/* pgbraid: role=replica */ /* pgbraid: role=primary */ select * from t", "!hint"),
        ("/* pgbraid: role=replica */ delete from t", "!writes"),
        ("/* pgbraid: role=replica */ select vol(1)", "!function with effects"),
        ("/* pgbraid: role=replica */ select * from t for update", "!locks rows"),
        ("/* pgbraid: role=replica */ with x as (delete from t returning 1) select * from x", "!writes"),
        ("/* pgbraid: role=replica */ select pg_advisory_xact_lock(1) from t", "!volatile function"),
        ("/* pgbraid: role=replica */ select pg_notify('a', 'b')", "!volatile function"),
        ("/* pgbraid: role=replica */ select pg_terminate_backend(1)", "!volatile function"),
        ("/* pgbraid: role=replica */ select nextval('s')", "!function with effects"),
        ("/* pgbraid: role=replica */ select currval('s')", "!volatile function"),
        ("/* pgbraid: role=replica */ select set_config('a.b', 'c', false)", "!function with effects"),
        ("/* pgbraid: role=replica */ select 1; select vol(1)", "!function with effects"),
        ("/* pgbraid: role=replica */ select pg_is_in_recovery(), pg_stat_get_numscans(1)", "*"),
        ("/* pgbraid: role=replica */ select count(*) from pg_stat_activity", "*"),
        ("/* pgbraid: role=replica */ select 1", "*"),
        ("/* pgbraid: role=replica */", "!no table"),
        ("select stab(1)", "*"),
        ("select '/* pgbraid: role=primary */' from t", "t"),
    ]);
}

#[test]
fn nothing_is_proven_without_a_catalog() {
    let catalog = Catalog::unknown();
    for sql in ["select a from t", "select lower(a) from t", "table t", "select * from pg_class"] {
        let plan = plan(sql.as_bytes(), &context(&catalog));
        assert_eq!(plan.replica, None, "{sql}");
        assert!(plan.opaque, "{sql}");
    }
    assert!(!Catalog::from_rows(&[("relations", vec![])]).is_known());
}

#[test]
fn search_paths_may_reach_the_information_schema() {
    let sql = b"select * from t, tables";
    let context = Context { search_path_is_default: false, ..context(&CATALOG) };
    assert_eq!(plan(sql, &context).primary_reason, "system catalog");
    assert_eq!(planned("select * from t, tables").primary_reason, "unknown relation");
}

#[test]
fn backslashes_hide_nothing() {
    // Without standard_conforming_strings the text goes on behind the escaped quote.
    let sql = b"select '\\', nextval('s'), ' from t";
    let off = Context { standard_conforming_strings: false, ..context(&CATALOG) };
    assert!(plan(b"select '\\'', a from t where b = 'nextval(1)'", &off).replica.is_some());
    assert_eq!(planned("select '\\', nextval('s'), '' from t").primary_reason, "function with effects");
    assert_eq!(plan(sql, &off).replica, None);
}

#[test]
fn depth_and_length_are_harmless() {
    for depth in [100, 100_000] {
        let sql = format!("select {}a{} from t", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(answer(&sql), "t");
        let sql = format!("{}select a from t{}", "select * from (".repeat(depth), ") x".repeat(depth));
        assert_eq!(answer(&sql), "t");
        assert_eq!(answer(&"(".repeat(depth)), "!not parsed");
    }
    let list = "1,".repeat(3 << 20);
    assert_eq!(answer(&format!("select a from t where a in ({list}1)")), "!not parsed");
}
