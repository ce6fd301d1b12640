//! The servers that the other tests stand on: they start, replicate, break, come back, and leave nothing behind.

use pgbraid::cli::cluster::{Cluster, ClusterOptions, PRIMARY};
use pgbraid::cli::failure::Failure;

#[tokio::test]
async fn a_cluster_replicates_breaks_and_leaves_nothing_behind() -> Result<(), Failure> {
    let mut cluster = Cluster::start(ClusterOptions { replicas: 2, ..ClusterOptions::default() }).await?;
    let dir = cluster.dir().to_owned();
    cluster.execute(PRIMARY, "postgres", "CREATE TABLE t AS SELECT 1 AS n").await?;
    cluster.wait_for_catchup().await?;
    assert_eq!(cluster.value(2, "postgres", "SELECT n FROM t").await?, "1");

    cluster.pause_replay(1).await?;
    cluster.execute(PRIMARY, "postgres", "UPDATE t SET n = 2").await?;
    assert_eq!(cluster.value(1, "postgres", "SELECT n FROM t").await?, "1", "replay is paused");
    cluster.resume_replay(1).await?;
    cluster.wait_for_catchup().await?;
    assert_eq!(cluster.value(1, "postgres", "SELECT n FROM t").await?, "2");

    cluster.kill_9(1).await?;
    assert!(cluster.query(1, "postgres", "SELECT 1").await.is_err());
    cluster.stop(2).await?;
    cluster.execute(PRIMARY, "postgres", "UPDATE t SET n = 3").await?;
    cluster.restart(1).await?;
    cluster.restart(2).await?;
    cluster.wait_for_catchup().await?;
    assert_eq!(cluster.value(1, "postgres", "SELECT n FROM t").await?, "3");

    cluster.freeze(2)?;
    cluster.thaw(2)?;
    cluster.kill_9(PRIMARY).await?;
    cluster.promote(1).await?;
    cluster.execute(1, "postgres", "UPDATE t SET n = 4").await?;

    let pids: Vec<u32> = (0..cluster.size()).filter_map(|i| cluster.pid(i)).collect();
    assert_eq!(pids.len(), 2);
    drop(cluster);
    assert!(!dir.exists(), "{} is still there", dir.display());
    for pid in pids {
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "process {pid} still runs");
    }
    Ok(())
}
