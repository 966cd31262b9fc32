//! HTTP/3: the same listener over QUIC. Envoy is its own client, since a second listener carries what it gets there.

use super::scene::{PARTS, Scene};
use crate::harness::{Claim, Ground};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use spanferry_tests::stack::bootstrap::Bootstrap;
use spanferry_tests::stack::ports;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![Claim::new("a_request_over_http3_makes_one_span", PARTS, |ground| {
        Box::pin(a_request_over_http3_makes_one_span(ground))
    })]
}

async fn a_request_over_http3_makes_one_span(ground: &Ground) -> Result<()> {
    let scene = Scene::start_changed(ground, "http3", "INBOUND", json!({}), over_quic).await?;
    for (path, seen, error) in [("/ok", 200, ""), ("/status/503", 503, "503")] {
        ensure!(scene.get(path, "").await? == Some(seen), "{path} was not answered with {seen}");
        let told = scene.span(path).await?;
        ensure!(told.get("network.protocol.version") == "3", "{path}: {told:?}");
        told.is("GET", &seen.to_string(), error, &["upstream.first_byte"]).context(path)?;
    }
    ensure!(scene.get("/slow", "").await? == Some(504), "Envoy's own answer");
    scene.span("/slow").await?.is("GET", "504", "504", &["upstream_request_timeout"])?;
    scene.has_spans(3).await
}

/// Moves the listener with the filter to QUIC, and puts one in its place that has no filter and sends all to it.
fn over_quic(bootstrap: &mut Bootstrap) -> Result<()> {
    let port = ports::free()?;
    let mut quic = bootstrap.at("/static_resources/listeners/0")?.clone();
    quic["name"] = "quic".into();
    quic["address"] = address(port, "UDP");
    quic["udp_listener_config"] = json!({ "quic_options": {} });
    quic["filter_chains"][0]["transport_socket"] = receiving()?;
    let manager = &mut quic["filter_chains"][0]["filters"][0]["typed_config"];
    manager["codec_type"] = "HTTP3".into();

    bootstrap.http_filters()?.remove(0);
    *bootstrap.routes()? = json!([{ "match": { "prefix": "/" }, "route": { "cluster": "quic" } }]);
    let mut add = |list: &str, value: Value| {
        bootstrap.at(list)?.as_array_mut().context("no list")?.push(value);
        anyhow::Ok(())
    };
    add("/static_resources/listeners", quic)?;
    add("/static_resources/clusters", cluster(port))
}

fn cluster(port: u16) -> Value {
    const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let host = json!({ "endpoint": { "address": address(port, "TCP") } });
    json!({
        "name": "quic",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": { "cluster_name": "quic", "endpoints": [{ "lb_endpoints": [host] }] },
        "typed_extension_protocol_options": { OPTIONS: {
            "@type": format!("type.googleapis.com/{OPTIONS}"),
            "explicit_http_config": { "http3_protocol_options": {} },
        }},
        // Without a root it trusts every certificate.
        "transport_socket": socket("Upstream", json!({ "sni": "localhost", "common_tls_context": {} })),
    })
}

fn receiving() -> Result<Value> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let certificate = json!({
        "certificate_chain": { "inline_string": made.cert.pem() },
        "private_key": { "inline_string": made.signing_key.serialize_pem() },
    });
    Ok(socket("Downstream", json!({ "common_tls_context": { "tls_certificates": [certificate] } })))
}

/// QUIC on one side, with what TLS has to know there.
fn socket(side: &str, tls: Value) -> Value {
    const KIND: &str = "type.googleapis.com/envoy.extensions.transport_sockets.quic.v3.Quic";
    json!({
        "name": "envoy.transport_sockets.quic",
        "typed_config": {
            "@type": format!("{KIND}{side}Transport"),
            format!("{}_tls_context", side.to_lowercase()): tls,
        },
    })
}

fn address(port: u16, protocol: &str) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port, "protocol": protocol } })
}
