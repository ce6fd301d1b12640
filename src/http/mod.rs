//! Metrics and health over HTTP.
//!
//! One request a connection, within [`limits::HTTP_TIMEOUT`] and [`limits::HTTP_REQUEST`] bytes, on at most
//! [`limits::HTTP_CONNECTIONS`] connections: whoever reaches the port can't make the proxy hold more than that.

mod bounded;

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;

use crate::base::limits;
use crate::telemetry::Telemetry;
use crate::telemetry::view::View;

#[derive(Clone)]
struct Shown {
    view: Arc<dyn View>,
    telemetry: Telemetry,
}

/// Serves `/metrics`, `/healthz` and `/readyz` until `shutdown` is ready, then ends what is under way.
/// A `tokio` TCP or Unix listener fits.
///
/// # Errors
/// What the listener said.
pub async fn serve<L>(
    listener: L,
    view: Arc<dyn View>,
    telemetry: Telemetry,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()>
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    let listener =
        bounded::Bounded::new(listener, limits::HTTP_CONNECTIONS, limits::HTTP_REQUEST, limits::HTTP_TIMEOUT);
    axum::serve(listener, router(view, telemetry)).with_graceful_shutdown(shutdown).await
}

fn router(view: Arc<dyn View>, telemetry: Telemetry) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(Shown { view, telemetry })
        .layer(axum::middleware::map_response(once))
}

/// Every connection carries one request; nothing is kept by a cache.
async fn once(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn index() -> &'static str {
    "pgbraid\n/metrics  for Prometheus\n/healthz  the process lives\n/readyz   it can serve\n"
}

/// Rendering a page of thousands of pools takes milliseconds: not on a thread that serves clients.
async fn metrics(State(shown): State<Shown>) -> Response {
    match tokio::task::spawn_blocking(move || shown.telemetry.render()).await {
        Ok(page) => ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn ready(State(shown): State<Shown>) -> Response {
    let (status, body) = match shown.view.ready() {
        Ok(()) => (StatusCode::OK, "{\"ready\":true}\n".to_owned()),
        Err(reasons) => {
            let reasons: Vec<_> = reasons.iter().map(|reason| json_string(reason)).collect();
            (StatusCode::SERVICE_UNAVAILABLE, format!("{{\"ready\":false,\"reasons\":[{}]}}\n", reasons.join(",")))
        }
    };
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

/// A JSON string (RFC 8259 §7).
fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests;
