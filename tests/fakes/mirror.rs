//! A service that shows what reached it: it answers every request with the headers as they came, as JSON.
//! A path that begins with `/fail` is answered with 500, one that begins with `/slow` later.

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Json, Response};
use http::StatusCode;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How much later a slow answer comes.
pub const SLOW: Duration = Duration::from_millis(400);

/// The request's headers, by name; a repeated one joined by `, `.
pub type Headers = BTreeMap<String, String>;

/// The service. Dropping it ends it.
pub struct Mirror {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Mirror {
    /// Starts one on a free loopback port, in the current runtime.
    pub async fn start() -> Result<Mirror> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let router = Router::new().fallback(answer);
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Mirror { address, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The headers that an answer of a mirror shows.
    pub fn headers_in(body: &[u8]) -> Result<Headers> {
        serde_json::from_slice(body).context("no answer of a mirror")
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(request: Request) -> Response {
    let mut headers = Headers::new();
    for (name, value) in request.headers() {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let known = headers.entry(name.as_str().to_owned()).or_default();
        *known = if known.is_empty() { value } else { format!("{known}, {value}") };
    }
    let path = request.uri().path();
    if path.starts_with("/slow") {
        tokio::time::sleep(SLOW).await;
    }
    let status =
        if path.starts_with("/fail") { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
    (status, Json(headers)).into_response()
}
