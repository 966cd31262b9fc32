//! HTTP requests of every kind: one span each, with the right name, status and events.

use super::scene::{PARTS, Scene};
use crate::harness::{Claim, Ground};
use ::http::Request;
use anyhow::{Context, Result, ensure};
use http_body_util::Full;
use serde_json::json;
use spanferry_tests::stack::bootstrap::Bootstrap;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const FIRST: &str = "upstream.first_byte";

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![
        Claim::new("every_kind_of_answer_makes_one_server_span", PARTS, |ground| {
            Box::pin(every_kind_of_answer_makes_one_server_span(ground))
        }),
        Claim::new("every_kind_of_answer_makes_one_client_span", PARTS, |ground| {
            Box::pin(every_kind_of_answer_makes_one_client_span(ground))
        }),
        Claim::new("an_internal_redirect_is_a_span_for_each_pass_in_one_trace", PARTS, |ground| {
            Box::pin(an_internal_redirect_is_a_span_for_each_pass_in_one_trace(ground))
        }),
        Claim::new("every_version_of_http_makes_one_span", PARTS, |ground| {
            Box::pin(every_version_of_http_makes_one_span(ground))
        }),
        Claim::new("a_client_that_leaves_makes_one_failed_span", PARTS, |ground| {
            Box::pin(a_client_that_leaves_makes_one_failed_span(ground))
        }),
        Claim::new("a_header_that_is_written_lets_envoy_match_the_route_again", PARTS, |ground| {
            Box::pin(a_header_that_is_written_lets_envoy_match_the_route_again(ground))
        }),
        Claim::new("a_name_is_the_routes_or_a_templates_and_never_the_path", PARTS, |ground| {
            Box::pin(a_name_is_the_routes_or_a_templates_and_never_the_path(ground))
        }),
    ]
}

/// Path, what the client sees, then status, error for a server, error for a client, and events.
type Kind =
    (&'static str, Option<u16>, &'static str, &'static str, &'static str, &'static [&'static str]);

const KINDS: [Kind; 12] = [
    ("/ok", Some(200), "200", "", "", &[FIRST]),
    ("/status/404", Some(404), "404", "", "404", &[FIRST]),
    ("/status/500", Some(500), "500", "500", "500", &[FIRST]),
    // Envoy's own answers: no service spoke.
    ("/direct", Some(403), "403", "", "403", &[]),
    ("/redirect", Some(301), "301", "", "", &[]),
    ("/nowhere", Some(503), "503", "503", "503", &[]),
    ("/refused", Some(503), "503", "503", "503", &["upstream_connection_failure"]),
    ("/slow", Some(504), "504", "504", "504", &["upstream_request_timeout"]),
    ("/reset", Some(503), "503", "503", "503", &["upstream_connection_termination"]),
    // The answer had begun, and was shorter than it said.
    (
        "/cut",
        Some(200),
        "200",
        "upstream_protocol_error",
        "upstream_protocol_error",
        &[FIRST, "upstream_protocol_error"],
    ),
    ("/flaky", Some(200), "200", "", "", &["upstream.retry", FIRST]),
    ("/continue", Some(200), "200", "", "", &[FIRST]),
];

async fn every_kind_of_answer_makes_one_server_span(ground: &Ground) -> Result<()> {
    let scene = Scene::start(ground, "server", "INBOUND", json!({})).await?;
    for (path, seen, code, error, _, events) in KINDS {
        ensure!(scene.get(path, "").await? == seen, "{path} was not answered with {seen:?}");
        let told = scene.span(path).await?;
        told.is("GET", code, error, events).context(path)?;
        ensure!(told.span.kind == 2, "{path}: a SERVER span");
    }
    let refused = scene.span("/refused").await?;
    ensure!(refused.get("envoy.response.flags") == "UF", "{refused:?}");
    let retried = scene.span("/flaky").await?;
    ensure!(retried.span.events[0].attributes.len() == 1, "the event says how often: {retried:?}");
    scene.has_spans(KINDS.len()).await
}

async fn every_kind_of_answer_makes_one_client_span(ground: &Ground) -> Result<()> {
    let scene = Scene::start(ground, "client", "OUTBOUND", json!({})).await?;
    for (path, seen, code, _, error, events) in KINDS {
        ensure!(scene.get(path, "").await? == seen, "{path} was not answered with {seen:?}");
        let told = scene.span(path).await?;
        told.is("GET", code, error, events).context(path)?;
        ensure!(told.span.kind == 3, "{path}: a CLIENT span");
        ensure!(told.get("url.full").ends_with(path), "{path}: {told:?}");
    }
    let retried = scene.span("/flaky").await?;
    ensure!(retried.get("http.request.resend_count") == "2", "{retried:?}");
    scene.has_spans(KINDS.len()).await
}

/// For Envoy it is two requests, each with its own filters and its own line in the access log.
async fn an_internal_redirect_is_a_span_for_each_pass_in_one_trace(ground: &Ground) -> Result<()> {
    let scene = Scene::start(ground, "moved", "INBOUND", json!({})).await?;
    ensure!(scene.get("/moved", "").await? == Some(200), "the client sees the end only");
    let (first, second) = (scene.span("/moved").await?, scene.span("/arrived").await?);
    first.is("GET", "302", "", &[])?;
    second.is("GET", "200", "", &[FIRST])?;
    ensure!(second.span.trace_id == first.span.trace_id, "{second:?}");
    ensure!(second.span.parent_span_id == first.span.span_id, "{second:?}");
    scene.has_spans(2).await
}

async fn every_version_of_http_makes_one_span(ground: &Ground) -> Result<()> {
    let scene = Scene::start(ground, "versions", "INBOUND", json!({})).await?;
    scene.raw(b"GET /old HTTP/1.0\r\n\r\n").await?;
    scene.get("/usual", "").await?;
    let newer = Request::get(scene.url("/newer")).body(Full::default())?;
    ensure!(scene.http2(newer).await? == 200, "HTTP/2");
    for (path, version) in [("/old", "1.0"), ("/usual", "1.1"), ("/newer", "2")] {
        let told = scene.span(path).await?;
        ensure!(told.get("network.protocol.version") == version, "{path}: {told:?}");
        told.is("GET", "200", "", &[FIRST])?;
    }
    // Expect: 100-continue, answered by Envoy, then a body.
    let head = "POST /expect HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\
                connection: close\r\n\r\nhi";
    scene.raw(head.as_bytes()).await?;
    scene.span("/expect").await?.is("POST", "200", "", &[FIRST])?;
    scene.has_spans(4).await
}

/// What Envoy does for a filter of ABI 0.2.1, and what docs/filter.md says that it costs: a route that wants a
/// `traceparent` is chosen for a request that came without one.
async fn a_header_that_is_written_lets_envoy_match_the_route_again(ground: &Ground) -> Result<()> {
    let traced = json!({
        "match": { "prefix": "/", "headers": [{ "name": "traceparent", "present_match": true }] },
        "direct_response": { "status": 208 },
    });
    let before_all = |bootstrap: &mut Bootstrap| {
        bootstrap.routes()?.as_array_mut().context("no routes")?.insert(0, traced);
        Ok(())
    };
    let scene = Scene::start_changed(ground, "route", "INBOUND", json!({}), before_all).await?;
    ensure!(scene.get("/ok", "").await? == Some(208), "the route that was matched first stayed");
    scene.span("/ok").await?.is("GET", "208", "", &[])
}

async fn a_client_that_leaves_makes_one_failed_span(ground: &Ground) -> Result<()> {
    let scene = Scene::start(ground, "left", "INBOUND", json!({})).await?;
    let mut stream = TcpStream::connect(scene.address()).await?;
    stream.write_all(b"GET /stream/left HTTP/1.1\r\nhost: a\r\n\r\n").await?;
    tokio::time::sleep(Duration::from_millis(250)).await;
    drop(stream);
    let left = scene.span("/stream/left").await?;
    left.is("GET", "200", "", &[FIRST, "downstream_connection_termination"])?;

    let mut stream = TcpStream::connect(scene.address()).await?;
    stream.write_all(b"POST /slow/unsent HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n").await?;
    tokio::time::sleep(Duration::from_millis(250)).await;
    drop(stream);
    let reason = "downstream_connection_termination";
    scene.span("/slow/unsent").await?.is("POST", "", reason, &[reason])?;
    scene.has_spans(2).await
}

async fn a_name_is_the_routes_or_a_templates_and_never_the_path(ground: &Ground) -> Result<()> {
    let names = json!({ "span_names": { "templates": ["/users/{id}", "/orders/{id}/items/*"] } });
    let scene = Scene::start(ground, "names", "INBOUND", names).await?;
    for (path, name, route) in [
        ("/users/7", "GET /users/{id}", "/users/{id}"),
        ("/orders/8/items/9", "GET /orders/{id}/items/*", "/orders/{id}/items/*"),
        ("/named/1", "GET a-name", "a-name"),
        ("/else/2", "GET", ""),
    ] {
        scene.get(&format!("{path}?q=1"), "").await?;
        let told = scene.span(path).await?;
        ensure!(told.span.name == name && told.get("http.route") == route, "{path}: {told:?}");
    }
    Ok(())
}
