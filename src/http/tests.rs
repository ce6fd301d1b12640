//! Tests over a real loopback listener.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::telemetry::view::*;

/// Rows don't matter here: only whether it is ready.
struct Fake(Result<(), Vec<String>>);

impl View for Fake {
    fn ready(&self) -> Result<(), Vec<String>> {
        self.0.clone()
    }
    fn state(&self) -> RunState {
        RunState::Active
    }
    fn pools(&self) -> Vec<PoolRow> {
        Vec::new()
    }
    fn clients(&self) -> Vec<ClientRow> {
        Vec::new()
    }
    fn servers(&self) -> Vec<ServerRow> {
        Vec::new()
    }
    fn databases(&self) -> Vec<DatabaseRow> {
        Vec::new()
    }
    fn users(&self) -> Vec<UserRow> {
        Vec::new()
    }
    fn replicas(&self) -> Vec<ReplicaRow> {
        Vec::new()
    }
    fn config(&self) -> Vec<ConfigRow> {
        Vec::new()
    }
}

async fn start(ready: Result<(), Vec<String>>) -> (SocketAddr, tokio::sync::oneshot::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let telemetry = Telemetry::new();
    telemetry.sessions().logins.add(7);
    tokio::spawn(serve(listener, Arc::new(Fake(ready)), telemetry, async {
        let _ = stopped.await;
    }));
    (address, stop)
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn fetch(address: SocketAddr, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await
}

#[tokio::test]
async fn metrics_and_health() {
    let (address, _stop) = start(Ok(())).await;
    let page = fetch(address, "/metrics").await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(page.contains("text/plain; version=0.0.4") && page.contains("\npgbraid_logins_total 7\n"), "{page}");
    assert!(fetch(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(fetch(address, "/readyz").await.ends_with("{\"ready\":true}\n"));
    assert!(fetch(address, "/nothing").await.starts_with("HTTP/1.1 404"));
    assert!(ask(address, "POST /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.starts_with("HTTP/1.1 405"));
}

#[tokio::test]
async fn not_ready_says_why() {
    let (address, _stop) = start(Err(vec!["database \"shop\" has no primary".into(), "draining".into()])).await;
    let answer = fetch(address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(
        answer.ends_with("{\"ready\":false,\"reasons\":[\"database \\\"shop\\\" has no primary\",\"draining\"]}\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_request_without_end_is_cut() {
    let (address, _stop) = start(Ok(())).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut sent = 0;
    let _ = stream.write_all(b"GET / HTTP/1.1\r\n").await;
    // Writes fail once the other side has closed; a side that never does would take all of 64 MB.
    while sent < 64 << 20 && stream.write_all(&[b'a'; 4_096]).await.is_ok() {
        sent += 4_096;
    }
    assert!(sent < 64 << 20);
    assert!(fetch(address, "/healthz").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn slow_requests_lose_their_place() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = bounded::Bounded::new(listener, 2, 1 << 14, Duration::from_millis(200));
    let app = router(Arc::new(Fake(Ok(()))), Telemetry::new());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut silent = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HT").await.unwrap();
        silent.push(stream);
    }
    // Both places are taken until their time is up; the third is then served.
    assert!(fetch(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    for mut stream in silent {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!rest.starts_with(b"HTTP/1.1 200"));
    }
}
