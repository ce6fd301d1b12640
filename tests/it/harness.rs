//! The harness itself: the client by hand against PostgreSQL, and the comparison against itself.

use crate::support::both::both;
use crate::support::build;
use crate::support::proxy::{Inside, Proxy};
use crate::support::raw::{Frame, Raw, Target};
use crate::support::servers::shop;

#[tokio::test]
async fn the_client_by_hand_talks_to_postgres() {
    let target = shop().primary();
    let mut raw = Raw::login(&target).await;
    assert!(raw.key.is_some() && raw.parameters.contains_key("server_version"));
    assert_eq!(raw.value("SELECT count(*) FROM orders").await, "120000");
    raw.send(&build::extended("SELECT $1::int + 1, NULL", &[Some("41")])).await.unwrap();
    let frames = raw.until_ready(1).await.unwrap();
    let kinds: String = frames.iter().map(|frame| char::from(frame.kind)).collect();
    assert_eq!(kinds, "12TDCZ");
    assert_eq!(frames[3].values(), [Some("42".to_owned()), None]);
    let frames = raw.query("SELECT nonsense").await.unwrap();
    assert_eq!(frames[0].sqlstate(), "42703");
    let mut wrong = target.clone();
    wrong.password = "wrong".to_owned();
    let (_, frames) = Raw::login_with(&wrong, &[]).await.unwrap();
    assert_eq!(frames.last().map(|frame| frame.sqlstate()).as_deref(), Some("28P01"));
}

#[tokio::test]
async fn two_conversations_with_the_same_server_are_the_same() {
    let target = shop().primary();
    let script =
        [(build::query("SELECT 1; SELECT 1/0"), 1), (build::extended("SELECT name FROM countries LIMIT 1", &[]), 1)];
    let seen = both(&target, &target, &script).await;
    seen.assert_same();
    assert!(seen.direct[0].iter().any(|frame| frame.sqlstate() == "22012"));
}

#[tokio::test]
async fn the_shop_is_the_same_on_the_replica_and_has_no_gaps() {
    let cluster = &shop().cluster;
    cluster.wait_for_catchup().await.unwrap();
    let sums = "SELECT count(*), sum(quantity), sum(price), count(DISTINCT product_id) FROM order_items";
    let primary = cluster.query(0, "shop", sums).await.unwrap();
    assert_eq!(primary, cluster.query(1, "shop", sums).await.unwrap());
    // The same rows at every load, on every machine: documents quote them.
    let figures: Vec<String> = primary.into_iter().flatten().flatten().collect();
    assert_eq!(figures, ["299988", "600340", "76010336.07", "1000"]);
    let without = "SELECT count(*) FROM orders o WHERE NOT EXISTS (SELECT FROM order_items i WHERE i.order_id = o.id)";
    assert_eq!(cluster.value(0, "shop", without).await.unwrap(), "0");
}

#[tokio::test]
async fn a_proxy_starts_inside_and_outside() {
    let configuration = shop().configuration("");
    let mut inside = Inside::start(&configuration).await;
    let mut outside = Proxy::start(&configuration).await;
    for address in [inside.address.clone(), outside.address.clone()] {
        let stranger = Target::new(address, "nobody", "x", "shop");
        let (_, frames) = Raw::login_with(&stranger, &[]).await.unwrap();
        assert_eq!(frames.last().map(Frame::sqlstate).as_deref(), Some("28P01"));
    }
    inside.drain().await;
    assert!(Raw::open(&inside.address).await.is_err(), "it listens after its end");
    outside.signal("TERM");
    assert_eq!(outside.ended().await, 0);
}
