//! A small HTTP client for the parts' admin pages and APIs.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(20);

/// One exchange on a connection of its own.
pub async fn exchange(request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes)> {
    let answer = answer(request).await?;
    Ok((answer.status(), answer.into_body()))
}

/// As `exchange`, with the answer's headers.
pub async fn answer(request: Request<Full<Bytes>>) -> Result<Response<Bytes>> {
    let uri = request.uri().clone();
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
    let exchange = async {
        let answer = client.request(request).await?;
        let (head, body) = answer.into_parts();
        anyhow::Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    };
    let answer = tokio::time::timeout(DEADLINE, exchange).await;
    answer
        .with_context(|| format!("{uri}: no answer in {DEADLINE:?}"))?
        .with_context(|| uri.to_string())
}

/// GET, whatever the status.
pub async fn get(url: &str) -> Result<(StatusCode, Bytes)> {
    exchange(Request::get(url).body(Full::default())?).await
}

/// GET with a JSON answer and status 200.
pub async fn get_json<T: DeserializeOwned>(url: &str) -> Result<T> {
    let (status, body) = get(url).await?;
    ensure!(status == StatusCode::OK, "{url}: {status}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).with_context(|| format!("{url}: not the JSON expected"))
}

/// POST, whatever the status.
pub async fn post(url: &str, content_type: &str, body: Bytes) -> Result<(StatusCode, Bytes)> {
    let request = Request::post(url).header(http::header::CONTENT_TYPE, content_type);
    exchange(request.body(Full::new(body))?).await
}
