//! What is above a record's limit: a large trace is divided by its spans, a span that fits nowhere is a dead letter.

use crate::harness::{Claim, Ground, WHOLE_PATH};
use crate::rig::LIMIT;
use anyhow::{Result, ensure};
use opentelemetry_proto::tonic::trace::v1::Span;
use spanferry_tests::fakes::Sink;
use spanferry_tests::fakes::wire::request_of;
use spanferry_tests::stack::http;
use spanferry_tests::stack::spanferry::Spanferry;
use spanferry_tests::stack::wait::eventually;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![Claim::new("size_is_no_reason_to_lose_a_span", WHOLE_PATH, |ground| {
        Box::pin(size_is_no_reason_to_lose_a_span(ground))
    })]
}

/// One trace of forty spans of 100 KB (four records' worth) and one span of 3 MB, more than Kafka takes by default.
async fn size_is_no_reason_to_lose_a_span(ground: &Ground) -> Result<()> {
    let directory = ground.directory("oversize")?;
    let sink = Sink::start()?;
    let log = format!("kafka://{}/oversize", ground.kafka().await?.address());
    let bridge = Spanferry::bridge(&directory, &log, &[]).await?;
    bridge.ready().await?;
    let more = ["--group", "oversize"];
    let _forward = Spanferry::forward("forward", &directory, &log, &sink.grpc_url(), &more).await?;

    let mut spans: Vec<Span> = (1..=40).map(|number| span(number, 100_000)).collect();
    spans.push(span(41, 3_000_000));
    let url = format!("http://{}/v1/traces", bridge.http()?);
    let (status, answer) = http::post(&url, "application/x-protobuf", request_of(spans)).await?;
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));

    let probe = async || Ok((sink.span_count() >= 40).then_some(()));
    eventually("forty spans at the sink", LIMIT, probe).await?;
    ensure!(sink.span_count() == 40, "{}", sink.span_count());
    let metrics = bridge.metrics().await?;
    ensure!(metrics.count("spanferry_bridge_dead_lettered_spans_total") == 1);
    ensure!(metrics.count("traces_sent_total") >= 4, "{}", metrics.count("traces_sent_total"));
    Ok(())
}

fn span(number: u64, size: usize) -> Span {
    Span {
        trace_id: vec![0x0e; 16],
        span_id: number.to_be_bytes().to_vec(),
        name: "x".repeat(size),
        ..Span::default()
    }
}
