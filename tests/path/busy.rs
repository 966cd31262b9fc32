//! A destination that is busy: it answers 429 above a rate. The backlog drains without loss, nothing twice, and it is
//! seldom asked too much.

use crate::harness::{Claim, Ground, WHOLE_PATH};
use anyhow::{Result, ensure};
use bytes::Bytes;
use opentelemetry_proto::tonic::trace::v1::Span;
use spanferry_tests::fakes::wire::request_of;
use spanferry_tests::fakes::{Behaviour, Sink};
use spanferry_tests::stack::http;
use spanferry_tests::stack::spanferry::Spanferry;
use spanferry_tests::stack::wait::eventually;
use std::time::Duration;

const REQUESTS: u64 = 100;
const TRACES: u64 = 50;
const SPANS: u64 = 10;
const RATE: u32 = 5_000;
const ALL: usize = (REQUESTS * TRACES * SPANS) as usize;
/// At least what the rate allows, many times over.
const LIMIT: Duration = Duration::from_secs(120);

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![Claim::new("a_busy_destination_gets_a_backlog_at_its_own_pace", WHOLE_PATH, |ground| {
        Box::pin(a_busy_destination_gets_a_backlog_at_its_own_pace(ground))
    })]
}

async fn a_busy_destination_gets_a_backlog_at_its_own_pace(ground: &Ground) -> Result<()> {
    let directory = ground.directory("busy")?;
    let sink = Sink::start()?;
    let log = format!("kafka://{}/busy", ground.kafka().await?.address());
    let bridge = Spanferry::bridge(&directory, &log, &[]).await?;
    bridge.ready().await?;
    let url = format!("http://{}/v1/traces", bridge.http()?);
    for request in 0..REQUESTS {
        let (status, _) = http::post(&url, "application/x-protobuf", batch(request)).await?;
        ensure!(status.is_success(), "{status}");
    }
    sink.behave(Behaviour::AtMost(RATE));
    let more = ["--group", "busy", "--send-request-bytes", "16KiB"];
    let forward = Spanferry::forward("forward", &directory, &log, &sink.grpc_url(), &more).await?;
    let all = async || Ok((sink.counts().len() == ALL).then_some(()));
    eventually("the whole backlog at the sink", LIMIT, all).await?;
    let (count, requests, pushed_back) = (sink.span_count(), sink.requests(), sink.pushed_back());
    println!("{count} spans, {requests} requests, {pushed_back} answered 429");
    ensure!(count == ALL, "{} came twice", count - ALL);
    ensure!(pushed_back * 5 <= requests, "{pushed_back} of {requests} were too much");
    let metrics = forward.metrics().await?;
    ensure!(metrics.count("spanferry_send_rate_limit_spans") > 0, "it has found the rate");
    Ok(())
}

fn batch(request: u64) -> Bytes {
    let span = |number: u64| Span {
        trace_id: u128::from(request * TRACES + number % TRACES + 1).to_be_bytes().to_vec(),
        span_id: (request * TRACES * SPANS + number + 1).to_be_bytes().to_vec(),
        name: "numbered".into(),
        ..Span::default()
    };
    request_of((0..TRACES * SPANS).map(span).collect())
}
