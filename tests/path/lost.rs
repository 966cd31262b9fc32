//! The proof that the proof can fail: records taken out of the topic behind our back are reported as lost, by number.

use crate::harness::{Claim, Ground, WHOLE_PATH};
use crate::rig::LIMIT;
use anyhow::{Result, ensure};
use opentelemetry_proto::tonic::trace::v1::Span;
use spanferry_tests::fakes::Sink;
use spanferry_tests::fakes::wire::request_of;
use spanferry_tests::stack::spanferry::Spanferry;
use spanferry_tests::stack::wait::eventually;
use spanferry_tests::stack::{console, http};
use std::fs;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![Claim::new("what_is_taken_out_of_the_topic_is_reported_as_lost", WHOLE_PATH, |ground| {
        Box::pin(what_is_taken_out_of_the_topic_is_reported_as_lost(ground))
    })]
}

/// Ten records of three spans are delivered; of ten more, four are deleted while no forwarder runs.
async fn what_is_taken_out_of_the_topic_is_reported_as_lost(ground: &Ground) -> Result<()> {
    let directory = ground.directory("lost")?;
    let (sink, kafka) = (Sink::start()?, ground.kafka().await?);
    let log = format!("kafka://{}/lost", kafka.address());
    let bridge = Spanferry::bridge(&directory, &log, &["--topic-partitions", "1"]).await?;
    bridge.ready().await?;
    let url = format!("http://{}/v1/traces", bridge.http()?);
    let to = sink.grpc_url();
    let mut forward =
        Spanferry::forward("forward", &directory, &log, &to, &["--group", "lost"]).await?;

    send(&url, 1..=10).await?;
    let probe = async || Ok((sink.span_count() == 30).then_some(()));
    eventually("thirty spans at the sink", LIMIT, probe).await?;
    forward.terminate(LIMIT).await?;
    send(&url, 11..=20).await?;
    let offsets = directory.join("delete.json");
    let to_go = r#"{"version":1,"partitions":[{"topic":"lost","partition":0,"offset":14}]}"#;
    fs::write(&offsets, to_go)?;
    let mut delete = kafka.tool("org.apache.kafka.tools.DeleteRecordsCommand", &[])?;
    delete.args(["--bootstrap-server", &kafka.address(), "--offset-json-file"]).arg(&offsets);
    console::run(delete, Vec::new()).await?;

    forward.restart().await?;
    let delivered = |metrics: &_| count(metrics, "spanferry_sent_spans_total") == 18;
    let metrics = forward.metrics_until("six records delivered", LIMIT, delivered).await?;
    let lost = count(&metrics, "spanferry_lost_spans_total");
    ensure!(lost == 12, "{lost} of 12 spans are reported as lost");
    let records = count(&metrics, "spanferry_lost_records_total");
    ensure!(records == 4, "{records} of 4 records are reported as lost");
    ensure!(count(&metrics, "spanferry_overrun_records_total") == 4, "the overrun is counted");
    ensure!(count(&metrics, "spanferry_retention_headroom_seconds") > 0, "and there is room again");
    let (status, said) = http::get(&format!("http://{}/readyz", forward.admin()?)).await?;
    let said = String::from_utf8_lossy(&said).into_owned();
    let overrun = "retention overrun: 4 records of partition 0 (about 12 spans)";
    ensure!(status.is_success() && said.contains(overrun), "{status}: {said}");
    ensure!(said.contains("lost: 12 spans"), "{said}");
    Ok(())
}

fn count(metrics: &spanferry_tests::stack::metrics::Metrics, name: &str) -> u64 {
    metrics.count(name)
}

/// A trace of three spans for each number, one request each.
pub async fn send(url: &str, numbers: impl Iterator<Item = u8>) -> Result<()> {
    for number in numbers {
        let span = |id: u8| Span {
            trace_id: vec![number; 16],
            span_id: vec![id; 8],
            start_time_unix_nano: 1_790_000_000_000_000_000,
            end_time_unix_nano: 1_790_000_000_001_000_000,
            ..Span::default()
        };
        let body = request_of([1, 2, 3].map(span).to_vec());
        let (status, _) = http::post(url, "application/x-protobuf", body).await?;
        ensure!(status.is_success(), "{status}");
    }
    Ok(())
}
