//! Any statement over a small sharded schema: planned without a panic; texts for shards that have nothing filled in are
//! statements again; the same text gives the same plan.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgbraid::plan::sharded::prior::prior;
use pgbraid::plan::sharded::{Access, Context, Finish, Piece, Plan, Vouched, Work, plan, shards};
use pgbraid::sql::parse::parse;
use pgbraid::{catalog, topology, value};
use std::sync::LazyLock;
use world::World;

#[path = "../../src/plan/sharded/tests/world.rs"]
mod world;

static WORLD: LazyLock<World> = LazyLock::new(world::world);

/// The text, if it is all there; a value that is evaluated before stands as NULL, an input as a query of its columns.
fn text(pieces: &[Piece], columns: &[Vec<String>]) -> String {
    let part = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Once(_) => "NULL".to_owned(),
        Piece::Input(at) => {
            assert!(*at < columns.len(), "{pieces:?}");
            "(SELECT 1)".to_owned()
        }
        Piece::Semi(semi) => format!(" AND {} = ANY ('{{}}')", semi.test),
    };
    pieces.iter().map(part).collect()
}

fn again(pieces: &[Piece], columns: &[Vec<String>], sql: &str) {
    let text = text(pieces, columns);
    if let Err(stopped) = parse(&text, true) {
        panic!("{stopped:?}: {text:?} of {sql:?}");
    }
}

fn placed(access: &Access) {
    shards(access, &WORLD.placement, &|_| None);
}

fn check(plan: &Plan, sql: &str) {
    placed(&plan.access);
    let Work::Scatter(scatter) = &plan.work else { return };
    let columns: Vec<Vec<String>> = scatter.inputs.iter().map(|input| input.columns.clone()).collect();
    for input in &scatter.inputs {
        placed(&input.access);
        again(&input.sql, &[], sql);
    }
    match &scatter.finish {
        Finish::Rest { sql: rest } => again(rest, &columns, sql),
        Finish::Stream { instead: Some(instead), .. } => again(instead, &columns, sql),
        Finish::Stream { .. } | Finish::Changed(_) => assert_eq!(scatter.inputs.len(), 1, "{sql:?}"),
        Finish::Moved(moved) => again(&moved.read.sql, &[], sql),
        Finish::Fed(feed) => check(&feed.plan, &feed.query),
        Finish::Found(found) => {
            check(&found.plan, &found.query);
            let rows = Piece::Text("(SELECT 1)".to_owned());
            again(&[found.before.as_slice(), &[rows], &found.after].concat(), &[], sql);
        }
        Finish::Copied(_) => {}
    }
    for once in &scatter.once {
        assert!(parse(&format!("SELECT {once}"), true).is_ok(), "{once:?} of {sql:?}");
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(sql) = std::str::from_utf8(data) else { return };
    let Ok(statement) = parse(sql, true) else { return };
    let path = ["public".to_owned()];
    let context = Context {
        schema: &WORLD.schema,
        placement: &WORLD.placement,
        search_path: &path,
        standard_strings: true,
        unique_per_shard: false,
        vouched: &|name| (name == "price_of").then_some(Vouched::None),
    };
    let planned = plan(sql, &statement, &context, &[]);
    assert_eq!(planned, plan(sql, &statement, &context, &[]));
    if let Ok(plan) = planned {
        check(&plan, sql);
    }
    if let Some(prior) = prior(sql, &statement, &context, &[]) {
        again(&prior.sql, &[], sql);
        for asked in &prior.queries {
            assert!(parse(&asked.sql, true).is_ok(), "{asked:?} of {sql:?}");
        }
    }
});
