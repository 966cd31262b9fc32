//! What a service exports arrives byte for byte: children, events, links, errors, and fields that nobody knows.

use crate::harness::{Claim, Ground, PRODUCT, WHOLE_PATH};
use crate::rig::LIMIT;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use spanferry_tests::fakes::Sink;
use spanferry_tests::fakes::wire::{WireSpan, field, spans_of};
use spanferry_tests::samples::driver::{Driver, Plan};
use spanferry_tests::samples::service;
use spanferry_tests::samples::telemetry::{Kept, Telemetry};
use spanferry_tests::stack::http;
use spanferry_tests::stack::spanferry::Spanferry;
use spanferry_tests::stack::wait::eventually;
use std::collections::HashMap;
use std::net::SocketAddr;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![
        Claim::new("spans_pass_kafka_and_grpc_unchanged", WHOLE_PATH, |ground| {
            Box::pin(spans_pass_kafka_and_grpc_unchanged(ground))
        }),
        Claim::new("spans_pass_all_in_one_and_http_unchanged", PRODUCT, |ground| {
            Box::pin(spans_pass_all_in_one_and_http_unchanged(ground))
        }),
    ]
}

async fn spans_pass_kafka_and_grpc_unchanged(ground: &Ground) -> Result<()> {
    let directory = ground.directory("unchanged-kafka")?;
    let sink = Sink::start()?;
    let log = format!("kafka://{}/unchanged", ground.kafka().await?.address());
    let bridge = Spanferry::bridge(&directory, &log, &[]).await?;
    bridge.ready().await?;
    let more = ["--group", "unchanged"];
    let _forward = Spanferry::forward("forward", &directory, &log, &sink.grpc_url(), &more).await?;
    arrive_unchanged(&sink, bridge.http()?).await
}

async fn spans_pass_all_in_one_and_http_unchanged(ground: &Ground) -> Result<()> {
    let directory = ground.directory("unchanged-all-in-one")?;
    let sink = Sink::start()?;
    let all = Spanferry::all_in_one(&directory, &sink.http_url(), &[]).await?;
    all.ready().await?;
    arrive_unchanged(&sink, all.http()?).await
}

/// Sends the sample's spans and one with unknown fields, and compares what left with what arrived.
async fn arrive_unchanged(sink: &Sink, bridge: SocketAddr) -> Result<()> {
    let mut sent = by_id(samples_spans(bridge).await?);
    let events = sent.values().filter(|span| !span.span.events.is_empty()).count();
    let links = sent.values().filter(|span| !span.span.links.is_empty()).count();
    ensure!(events > 100 && links > 10, "{events} spans with events, {links} with links");

    let body = with_unknown_fields();
    let url = format!("http://{bridge}/v1/traces");
    let (status, answer) = http::post(&url, "application/x-protobuf", body.clone()).await?;
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));
    sent.extend(by_id(spans_of(body)?));

    let probe = async || Ok((sink.span_count() >= sent.len()).then_some(()));
    eventually("all spans at the sink", LIMIT, probe).await?;
    ensure!(sink.span_count() == sent.len(), "{} of {}", sink.span_count(), sent.len());
    for found in sink.spans() {
        let key = (found.trace_id.clone(), found.span_id.clone());
        let own = sent.get(&key).with_context(|| format!("nobody sent {key:?}"))?;
        ensure!(found.bytes == own.bytes, "{:?} became {:?}", own.span, found.span);
        ensure!(found.resource == own.resource, "the resource of {key:?}");
        ensure!(found.scope == own.scope, "the scope of {key:?}");
    }
    Ok(())
}

/// What a sample in this process exported, and the bridge answered 200 for.
async fn samples_spans(bridge: SocketAddr) -> Result<Vec<WireSpan>> {
    let kept = Kept::default();
    let endpoint = format!("http://{bridge}");
    let telemetry = Telemetry::start(Some(&endpoint), Some(kept.clone()))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving =
        tokio::spawn(service::run(listener, telemetry.clone(), std::future::pending::<()>()));
    let plan = Plan { failing_every: 3, ..Plan::of(60) };
    Driver::new(address).send_all(plan).await;
    let spans = telemetry.shutdown(LIMIT).await;
    serving.abort();
    ensure!(spans.failed + spans.held() == 0, "{spans:?}");
    let bodies = kept.lock().map(|bodies| bodies.clone()).unwrap_or_default();
    let mut sent = Vec::new();
    for body in bodies {
        sent.extend(spans_of(body)?);
    }
    ensure!(sent.len() as u64 == spans.ended, "{} bodies' spans of {spans:?}", sent.len());
    Ok(sent)
}

fn by_id(spans: Vec<WireSpan>) -> HashMap<(String, String), WireSpan> {
    spans.into_iter().map(|span| ((span.trace_id.clone(), span.span_id.clone()), span)).collect()
}

/// An OTLP request written by hand: its span, scope and resource hold fields that OTLP does not have (yet).
fn with_unknown_fields() -> Bytes {
    let unknown = field(1000, b"from a later version");
    let resource = [field(1, &attribute("service.name", "later")), unknown.clone()].concat();
    let scope = [field(1, b"scope"), unknown.clone()].concat();
    // The span's fields out of order, as a parser must allow and a re-encoder would not keep.
    let span = [field(5, b"odd"), unknown, field(2, &[9; 8]), field(1, &[7; 16])].concat();
    let scope_spans = [field(1, &scope), field(2, &span)].concat();
    field(1, &[field(1, &resource), field(2, &scope_spans)].concat()).into()
}

fn attribute(key: &str, value: &str) -> Vec<u8> {
    [field(1, key.as_bytes()), field(2, &field(1, value.as_bytes()))].concat()
}
