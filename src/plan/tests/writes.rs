//! What statements write, and when code may run unseen.

use super::*;

/// Expected: the tables written (`*` all, `-` none), then `opaque` if it is.
fn check(cases: &[(&str, &str)]) {
    let mut wrong = String::new();
    for (sql, expected) in cases {
        let plan = planned(sql);
        let sets: Vec<_> = plan.steps.iter().map(|step| written(&step.writes)).collect();
        let got = format!("{}{}", sets.join(";"), if plan.opaque { " opaque" } else { "" });
        if got != *expected {
            wrong += &format!("{sql}\n   got {got}, expected {expected}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn tables_written() {
    check(&[
        ("insert into t values (1)", "t"),
        ("insert into t (a, b) values (1, lower('x')) on conflict (a) do update set b = excluded.b returning *", "t"),
        ("insert into t select * from u for update", "t"),
        ("update t set a = 1", "t"),
        ("update only public.t as x set a = 1 from u where x.a = u.a", "t"),
        ("update only (t) set a = 1", "t"),
        ("update \"Odd Name\" set a = 1", "Odd Name"),
        ("delete from t using u where t.a = u.a", "t"),
        ("delete from customers", "customers,order_items,orders"),
        ("delete from products", "products"),
        ("update orders set id = 2", "order_items,orders"),
        ("insert into customers values (1)", "customers"),
        ("insert into customers values (1) on conflict (id) do update set id = 3", "customers,order_items,orders"),
        ("insert into measures_1 values (now(), 1)", "measures,measures_1"),
        ("insert into measures values (now(), 1)", "measures,measures_1"),
        ("update dogs set name = 'x'", "animals,dogs"),
        ("insert into scratch values (1)", "scratch"),
        (
            "merge into t using u on t.a = u.a when matched then update set a = 1 when not matched then insert (a) \
          values (1) when matched then delete",
            "t",
        ),
        ("with x as (delete from u returning a) insert into t select a from x", "t,u"),
        ("with x as (delete from u returning a), y as (update t set a = 1 returning a) select * from x, y", "t,u"),
        ("with x as (select 1) delete from t", "t"),
        ("insert into t values (nextval('s'), gen_random_uuid())", "t"),
        ("insert into serials (a) values (1)", "serials"),
        ("explain analyze insert into t values (1)", "t"),
        ("explain (analyze, buffers) delete from u", "u"),
        ("explain insert into t values (1)", "-"),
        ("truncate t, only u restart identity", "t,u"),
        ("truncate table products cascade", "order_items,products"),
        ("copy t (a, b) from stdin with (format csv)", "t"),
        ("copy public.t from stdin", "t"),
        ("copy t from 'x.csv'", "t"),
        ("copy t to stdout", "-"),
        ("copy (delete from t returning *) to stdout", "t"),
        ("copy (select * from t) to stdout", "-"),
        ("declare c cursor for select * from t for update", "-"),
        ("select * from t for update", "-"),
        ("select nextval('s')", "-"),
        ("select random()", "-"),
        ("select pg_sleep(1)", "-"),
        ("select * from pg_class", "-"),
        ("lock table t in share mode", "-"),
        ("set x = 1", "-"),
    ]);
}

#[test]
fn anything_may_be_written() {
    check(&[
        ("insert into t values (vol(1))", "* opaque"),
        ("insert into t select a from v_vol", "* opaque"),
        ("insert into t select t.vol_row from t", "* opaque"),
        ("insert into t select a from u where a @@@ 1", "* opaque"),
        ("insert into triggered values (1)", "* opaque"),
        ("delete from triggered_parent", "* opaque"),
        ("insert into public.triggered_parent (id) values (1)", "?"),
        ("insert into ruled values (1)", "* opaque"),
        ("insert into defaulted values (1)", "* opaque"),
        ("insert into checked values (1)", "* opaque"),
        ("insert into v_plain values (1)", "* opaque"),
        ("insert into guarded values (1)", "* opaque"),
        ("insert into nowhere values (1)", "* opaque"),
        ("insert into nowhere (a, b) values (1, 2)", "* opaque"),
        ("update t set a = nowhere(1)", "* opaque"),
        ("select vol(1)", "* opaque"),
        ("select * from v_vol", "* opaque"),
        ("select * from nowhere", "* opaque"),
        ("declare c cursor for select vol(1)", "* opaque"),
        ("copy (select vol(1)) to stdout", "* opaque"),
        ("explain analyze select vol(1)", "* opaque"),
        ("select set_config('a.b', 'c', false)", "* opaque"),
        ("select set_config('a.b', 'c', 'true')", "* opaque"),
        ("select set_config('a.b', 'c', true)", "-"),
        ("select set_config('a.b', f('c', true), $1)", "* opaque"),
        ("select query_to_xml('delete from t', true, true, '')", "* opaque"),
        ("do 'begin end'", "* opaque"),
        ("call proc()", "* opaque"),
        ("execute p(1)", "* opaque"),
        ("explain analyze execute p(1)", "* opaque"),
        ("create table n as execute p", "* opaque"),
        ("create table n (a int)", "*"),
        ("create table n as select vol(1)", "* opaque"),
        ("select * into n from t", "*"),
        ("alter table t add d int", "*"),
        ("refresh materialized view totals", "*"),
        ("vacuum", "*"),
        ("commit prepared 'x'", "*"),
        ("rollback prepared 'x'", "*"),
        ("select 'a", "* opaque"),
        ("nonsense", "* opaque"),
    ]);
}

/// Only what outlives the transaction is asked for behind a statement.
#[test]
fn settings_that_are_left_behind_are_named() {
    for (sql, names) in [
        ("select vol(1), set_config('a.b', 'c', true), set_config('D.e', 'f', false)", &["d.e"][..]),
        ("select set_config('pgbraid.row', 'x', false)", &["pgbraid.row"]),
        ("select set_config('a.b', f('c', true), $1)", &["a.b"]),
        ("insert into guarded values (case when set_config('a.b', '1', true) is null then 1 end)", &[]),
    ] {
        assert_eq!(&*plan(sql.as_bytes(), &context(&CATALOG)).names, names, "{sql}");
    }
}
