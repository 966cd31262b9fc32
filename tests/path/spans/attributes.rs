//! Custom attributes from every source, redaction, limits, and headers that nobody should send.

use super::scene::{PARTS, Scene};
use crate::harness::{Claim, Ground};
use anyhow::{Result, ensure};
use serde_json::json;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![
        Claim::new("custom_attributes_come_from_every_source", PARTS, |ground| {
            Box::pin(custom_attributes_come_from_every_source(ground))
        }),
        Claim::new("secrets_never_leave", PARTS, |ground| Box::pin(secrets_never_leave(ground))),
        Claim::new("what_is_beyond_a_limit_is_counted_in_the_span", PARTS, |ground| {
            Box::pin(what_is_beyond_a_limit_is_counted_in_the_span(ground))
        }),
        Claim::new("both_vocabularies_stand_in_one_span", PARTS, |ground| {
            Box::pin(both_vocabularies_stand_in_one_span(ground))
        }),
        Claim::new("no_header_harms_a_request_or_its_span", PARTS, |ground| {
            Box::pin(no_header_harms_a_request_or_its_span(ground))
        }),
    ]
}

async fn custom_attributes_come_from_every_source(ground: &Ground) -> Result<()> {
    let metadata = |kind: &str, key: &str| json!({ "kind": kind, "path": ["com.acme", key] });
    let custom = json!([
        { "key": "literal", "literal": "eu" },
        { "key": "header", "request_header": "X-Tenant" },
        { "key": "header.default", "request_header": "x-none", "default": "nobody" },
        { "key": "header.absent", "request_header": "x-none" },
        { "key": "response", "response_header": "x-told" },
        { "key": "environment", "environment": "POD" },
        { "key": "property.text", "property": ["xds", "virtual_host_name"] },
        { "key": "property.number", "property": ["upstream", "request_attempt_count"] },
        { "key": "property.flag", "property": ["connection", "mtls"] },
        { "key": "property.state", "property": ["filter_state", "none.such"] },
        { "key": "route", "metadata": metadata("route", "team") },
        { "key": "route.number", "metadata": metadata("route", "tier") },
        { "key": "route.flag", "metadata": metadata("route", "beta") },
        { "key": "cluster", "metadata": metadata("cluster", "region") },
        { "key": "host", "metadata": metadata("host", "rack") },
        { "key": "request", "metadata": metadata("request", "none"), "default": "no metadata" },
        { "key": "baggage", "baggage": "tenant" },
        { "key": "short", "request_header": "x-tenant", "max_length": 3 },
        { "key": "user_agent.original", "literal": "mine" },
    ]);
    let scene =
        Scene::start(ground, "custom", "INBOUND", json!({ "custom_attributes": custom })).await?;
    scene.get("/named/1", "X-TENANT: acme\r\nbaggage: a=1,tenant=a%20b;p=2\r\n").await?;
    let told = scene.span("/named/1").await?;
    for (key, value) in [
        ("literal", "eu"),
        ("header", "acme"),
        ("header.default", "nobody"),
        ("header.absent", ""),
        ("response", "by the service"),
        ("environment", "cart-7"),
        ("property.text", "all"),
        ("property.number", "1"),
        ("property.flag", "false"),
        ("property.state", ""),
        ("route", "cart"),
        ("route.number", "3"),
        ("route.flag", "true"),
        ("cluster", "eu"),
        ("host", "r1"),
        ("request", "no metadata"),
        ("baggage", "a b"),
        ("short", "acm"),
        ("user_agent.original", "mine"),
    ] {
        ensure!(told.get(key) == value, "{key}: {:#?}", told.attributes);
    }
    // A key is there once: a built-in attribute gives way.
    ensure!(told.attributes.len() == told.span.attributes.len(), "{:#?}", told.span.attributes);
    // Where there is neither route nor host, what is constant is still there.
    scene.get("/direct", "").await?;
    let direct = scene.span("/direct").await?;
    ensure!(direct.get("literal") == "eu" && direct.get("host").is_empty(), "{direct:?}");
    ensure!(direct.get("request") == "no metadata", "{direct:?}");
    Ok(())
}

async fn secrets_never_leave(ground: &Ground) -> Result<()> {
    let settings = json!({
        "attributes": "both",
        "redaction": { "query_keys": ["token"], "headers": ["X-Key"] },
        "custom_attributes": [
            { "key": "auth", "request_header": "authorization" },
            { "key": "key", "property": ["request", "headers", "x-key"] },
            { "key": "cookie", "response_header": "set-cookie" },
            { "key": "referer", "request_header": "referer" },
            { "key": "query", "property": ["request", "query"] },
        ],
    });
    let scene = Scene::start(ground, "secrets", "OUTBOUND", settings).await?;
    scene
        .get(
            "/ok/secret?token=s3cret&sig=s3cret&page=2&u=http://me:s3cret@h/",
            "authorization: Bearer s3cret\r\nx-key: s3cret\r\nreferer: http://me:s3cret@h/?sig=s3cret\r\n",
        )
        .await?;
    let told = scene.span("/ok/secret").await?;
    let query = "token=REDACTED&sig=REDACTED&page=2&u=http://REDACTED:REDACTED@h/";
    ensure!(told.get("url.query") == query && told.get("query") == query, "{told:?}");
    for key in ["auth", "key", "cookie"] {
        ensure!(told.get(key) == "REDACTED", "{key}: {told:?}");
    }
    let leaked = told.attributes.iter().find(|(_, value)| value.contains("s3cret"));
    ensure!(leaked.is_none(), "{leaked:?}");

    let dropped = json!({ "redaction": { "query": "drop" } });
    let scene = Scene::start(ground, "dropped", "OUTBOUND", dropped).await?;
    scene.get("/ok/dropped?page=2", "").await?;
    let told = scene.span("/ok/dropped").await?;
    ensure!(told.get("url.query").is_empty(), "{told:?}");
    ensure!(told.get("url.full") == "http://shop.example/ok/dropped", "{told:?}");
    Ok(())
}

async fn what_is_beyond_a_limit_is_counted_in_the_span(ground: &Ground) -> Result<()> {
    let settings = json!({
        "limits": { "attributes": 3, "attribute_length": 5, "events": 1, "event_attributes": 0 },
        "custom_attributes": [{ "key": "asked.for", "literal": "abcdefgh" }],
    });
    let scene = Scene::start(ground, "limits", "INBOUND", settings).await?;
    scene.get("/flaky", "").await?;
    let told = scene.span_with("asked.for", "abcde").await?;
    let span = &told.span;
    ensure!(span.attributes.len() == 3 && span.dropped_attributes_count > 5, "{span:#?}");
    ensure!(span.events.len() == 1 && span.dropped_events_count == 1, "{span:#?}");
    let event = &span.events[0];
    ensure!(event.attributes.is_empty() && event.dropped_attributes_count == 1, "{span:#?}");
    Ok(())
}

async fn both_vocabularies_stand_in_one_span(ground: &Ground) -> Result<()> {
    let scene = Scene::start(ground, "both", "INBOUND", json!({ "attributes": "both" })).await?;
    scene.get("/status/503", "").await?;
    let told = scene.span("/status/503").await?;
    for (key, value) in [
        ("http.response.status_code", "503"),
        ("http.status_code", "503"),
        ("error.type", "503"),
        ("error", "true"),
        ("component", "proxy"),
        ("node_id", "node-7"),
        ("zone", "zone-1"),
        ("upstream_cluster", "odd"),
        ("response_flags", "-"),
        ("http.url", "http://shop.example/status/503"),
    ] {
        ensure!(told.get(key) == value, "{key}: {:#?}", told.attributes);
    }
    ensure!(told.span.name == "GET", "{told:?}");
    Ok(())
}

async fn no_header_harms_a_request_or_its_span(ground: &Ground) -> Result<()> {
    let settings = json!({
        "attributes": "both",
        "custom_attributes": [{ "key": "odd", "request_header": "x-odd" }],
    });
    let scene = Scene::start(ground, "headers", "INBOUND", settings).await?;
    let large = "x".repeat(60_000);
    let requests: [(&str, Vec<u8>); 5] = [
        ("large", format!("x-odd: {large}\r\nuser-agent: {large:.20000}\r\n").into()),
        ("utf8", b"x-odd: a\xff\xfeb\r\nuser-agent: \xc3\r\n".to_vec()),
        ("control", b"x-odd: a\tb\x01\x7f\r\n".to_vec()),
        ("twice", b"X-ODD: 1\r\nx-Odd: 2\r\nUser-Agent: a\r\nuser-agent: b\r\n".to_vec()),
        ("absent", Vec::new()),
    ];
    let mut answered = 0;
    for (name, headers) in &requests {
        let path = format!("/ok/{name}");
        let mut bytes =
            format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n").into_bytes();
        bytes.extend_from_slice(headers);
        bytes.extend_from_slice(b"\r\n");
        // Envoy refuses some of these before any filter: then there is no span to see.
        if scene.raw(&bytes).await? == Some(200) {
            answered += 1;
            let told = scene.span(&path).await?;
            ensure!(told.get("odd").chars().count() <= 4096, "{name}");
        }
    }
    ensure!(answered >= 4, "only {answered} were answered with 200");
    let twice = scene.span("/ok/twice").await?;
    ensure!(twice.get("odd") == "1,2", "{twice:?}");
    Ok(())
}
