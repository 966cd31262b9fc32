//! Requests that last: a stream, a WebSocket, a CONNECT tunnel. The span is made at the end.

use super::scene::{PARTS, Scene};
use crate::harness::{Claim, Ground};
use anyhow::{Result, ensure};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![
        Claim::new("a_stream_is_one_span_from_its_first_to_its_last_byte", PARTS, |ground| {
            Box::pin(a_stream_is_one_span_from_its_first_to_its_last_byte(ground))
        }),
        Claim::new("a_websocket_is_one_span_and_no_error", PARTS, |ground| {
            Box::pin(a_websocket_is_one_span_and_no_error(ground))
        }),
        Claim::new("a_connect_tunnel_is_one_span_and_no_error", PARTS, |ground| {
            Box::pin(a_connect_tunnel_is_one_span_and_no_error(ground))
        }),
    ]
}

async fn a_stream_is_one_span_from_its_first_to_its_last_byte(ground: &Ground) -> Result<()> {
    let scene = Scene::start(ground, "stream", "INBOUND", json!({})).await?;
    ensure!(scene.get("/stream", "").await? == Some(200), "200");
    let told = scene.span("/stream").await?;
    told.is("GET", "200", "", &["upstream.first_byte"])?;
    let (start, end) = (told.span.start_time_unix_nano, told.span.end_time_unix_nano);
    let first = told.span.events[0].time_unix_nano;
    // The service takes 5 × 100 ms after its headers.
    ensure!(end - first >= 400_000_000 && first > start, "{:#?}", told.span);
    ensure!(told.get("http.response.body.size") == "10", "{told:?}");
    scene.has_spans(1).await
}

async fn a_websocket_is_one_span_and_no_error(ground: &Ground) -> Result<()> {
    let scene = Scene::start(ground, "websocket", "INBOUND", json!({})).await?;
    let head =
        "GET /upgrade HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    speak(&scene, head, "101").await?;
    let told = scene.span("/upgrade").await?;
    ensure!(told.span.name == "GET", "{told:?}");
    ensure!(told.get("http.response.status_code") == "101" && !told.failed(), "{told:?}");
    ensure!(told.events().contains(&"upstream.first_byte"), "{told:?}");
    scene.has_spans(1).await
}

async fn a_connect_tunnel_is_one_span_and_no_error(ground: &Ground) -> Result<()> {
    let scene = Scene::start(ground, "connect", "INBOUND", json!({})).await?;
    speak(&scene, "CONNECT odd.example:443 HTTP/1.1\r\nhost: odd.example:443\r\n\r\n", "200")
        .await?;
    let told = scene.span_with("http.request.method", "CONNECT").await?;
    ensure!(told.span.name == "CONNECT", "{told:?}");
    ensure!(told.get("server.address") == "odd.example", "{told:?}");
    ensure!(told.get("server.port") == "443", "{told:?}");
    ensure!(told.get("http.response.status_code") == "200" && !told.failed(), "{told:?}");
    scene.has_spans(1).await
}

/// Sets a tunnel up, has some bytes echoed through it, and leaves.
async fn speak(scene: &Scene, head: &str, code: &str) -> Result<()> {
    let mut stream = TcpStream::connect(scene.address()).await?;
    stream.write_all(head.as_bytes()).await?;
    let opened = read_until(&mut stream, "\r\n\r\n").await?;
    ensure!(opened.starts_with(&format!("HTTP/1.1 {code}")), "{opened}");
    stream.write_all(b"tunnelled.").await?;
    let echoed = read_until(&mut stream, ".").await?;
    ensure!(echoed.ends_with("tunnelled."), "{echoed}");
    Ok(())
}

async fn read_until(stream: &mut TcpStream, end: &str) -> Result<String> {
    let mut read = Vec::new();
    let reading = async {
        while !read.ends_with(end.as_bytes()) {
            ensure!(stream.read_buf(&mut read).await? > 0, "closed");
        }
        Ok(())
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await??;
    Ok(String::from_utf8_lossy(&read).into_owned())
}
