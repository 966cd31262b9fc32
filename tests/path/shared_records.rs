//! `--record batch` on real Kafka: traces share records, and everything that was promised of a record a trace holds: each span once,
//! all of a trace in its partition, a ledger that adds up; with the log there and with the spool before it.

use crate::harness::{Claim, Ground, Part};
use crate::ledger::{ledger, number};
use crate::rig::{FORWARD, LIMIT};
use anyhow::{Context, Result, ensure};
use opentelemetry_proto::tonic::trace::v1::Span;
use spanferry::log::{LogLocation, LogSettings, Stretch, open, partition_of};
use spanferry_tests::fakes::wire::{request_of, spans_of};
use spanferry_tests::fakes::{Behaviour, Sink};
use spanferry_tests::stack::kafka::Kafka;
use spanferry_tests::stack::spanferry::Spanferry;
use spanferry_tests::stack::wait::eventually;
use spanferry_tests::stack::{http, parts};

const NEEDS: &[Part] = &[parts::spanferry, parts::kafka_libs];
/// Traces, each with a span in every request.
const TRACES: u16 = 200;
const REQUESTS: u8 = 15;
const SPANS: usize = TRACES as usize * REQUESTS as usize;
const PARTITIONS: u32 = 8;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![
        Claim::new("traces_that_share_records_are_delivered_once", NEEDS, |ground| {
            Box::pin(traces_that_share_records_are_delivered_once(ground))
        }),
        Claim::new("traces_that_share_records_come_through_the_spool", NEEDS, |ground| {
            Box::pin(traces_that_share_records_come_through_the_spool(ground))
        }),
    ]
}

/// The destination refuses one half of the way, so that the records wait and are sent again.
async fn traces_that_share_records_are_delivered_once(ground: &Ground) -> Result<()> {
    let directory = ground.directory("shared-records")?;
    let (sink, kafka) = (Sink::start()?, ground.kafka().await?);
    let log = format!("kafka://{}/shared-records", kafka.address());
    let bridge = Spanferry::bridge(&directory, &log, &["--record", "batch"]).await?;
    bridge.ready().await?;
    let more = [&["--group", "shared-records"], &FORWARD[..]].concat();
    let _forward = Spanferry::forward("forward", &directory, &log, &sink.grpc_url(), &more).await?;
    for request in 0..REQUESTS {
        let half = if request < REQUESTS / 2 { Behaviour::Refuse(503) } else { Behaviour::Accept };
        sink.behave(half);
        send(&bridge, request).await?;
    }
    each_span_is_there_once(&sink).await?;
    each_trace_is_in_its_partition(kafka, "shared-records").await?;
    let all = async || {
        let (holds, report) =
            ledger(&directory, &["--log", &log, "--group", "shared-records"]).await?;
        ensure!(holds, "the sum does not hold: {report}");
        ensure!(number(&report, "accepted") == SPANS as u64, "{report}");
        Ok((number(&report, "delivered") == SPANS as u64).then_some(()))
    };
    eventually("every span in the ledger", LIMIT, all).await
}

/// The first half comes while Kafka was never there: it is divided for the partitions only when it leaves the spool.
async fn traces_that_share_records_come_through_the_spool(ground: &Ground) -> Result<()> {
    let directory = ground.directory("shared-spool")?;
    let (sink, mut kafka) = (Sink::start()?, Kafka::prepare(&directory)?);
    let log = format!("kafka://{}/shared-spool", kafka.address());
    let spool = directory.join("spool").display().to_string();
    let more = ["--record", "batch", "--spool", &spool];
    let mut bridge = Spanferry::bridge(&directory, &log, &more).await?;
    for request in 0..REQUESTS / 2 {
        send(&bridge, request).await?;
    }
    bridge.kill();
    bridge.restart().await?;
    kafka.restart().await?;
    let is_empty = |metrics: &spanferry_tests::stack::metrics::Metrics| {
        metrics.count("spanferry_spool_in_use") == 0
    };
    bridge.metrics_until("an empty spool", LIMIT, is_empty).await?;
    for request in REQUESTS / 2..REQUESTS {
        send(&bridge, request).await?;
    }
    let more = [&["--group", "shared-spool"], &FORWARD[..]].concat();
    let _forward = Spanferry::forward("forward", &directory, &log, &sink.grpc_url(), &more).await?;
    each_span_is_there_once(&sink).await?;
    each_trace_is_in_its_partition(&kafka, "shared-spool").await
}

/// A span of each trace, with the request's number.
async fn send(bridge: &Spanferry, request: u8) -> Result<()> {
    let span = |trace: u16| Span {
        trace_id: [trace.to_be_bytes(); 8].concat(),
        span_id: vec![request + 1; 8],
        name: "shared".into(),
        ..Span::default()
    };
    let body = request_of((1..=TRACES).map(span).collect());
    let url = format!("http://{}/v1/traces", bridge.http()?);
    let (status, answer) = http::post(&url, "application/x-protobuf", body).await?;
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));
    Ok(())
}

async fn each_span_is_there_once(sink: &Sink) -> Result<()> {
    let all = async || Ok((sink.counts().len() == SPANS).then_some(()));
    let arrived = eventually("every span at the sink", LIMIT, all).await;
    arrived.with_context(|| format!("{} of {SPANS} spans", sink.counts().len()))?;
    let stored = sink.span_count();
    ensure!(stored == SPANS, "{stored} spans stored, and {SPANS} were sent");
    Ok(())
}

/// Read from the topic: fewer records than traces, and in each partition only traces that belong there, in order of the requests.
async fn each_trace_is_in_its_partition(kafka: &Kafka, topic: &str) -> Result<()> {
    let location = LogLocation::Kafka { brokers: kafka.address(), topic: topic.into() };
    let log = open(&location, &LogSettings::default())?;
    let whole = log.standing("nobody").await?.into_iter();
    let whole = whole.map(|one| Stretch { partition: one.partition, offsets: one.start..one.end });
    let mut scan = log.scan(whole.collect()).await?;
    let (mut records, mut found) = (0, Vec::new());
    while let Some(stored) = scan.next().await? {
        for stored in stored {
            records += 1;
            for span in spans_of(stored.record.value)? {
                let own = partition_of(span.trace_id.as_bytes(), PARTITIONS);
                ensure!(own == stored.partition, "{span:?} is in {}, not {own}", stored.partition);
                found.push((span.trace_id, span.span_id));
            }
        }
    }
    ensure!(records <= u32::from(REQUESTS) * PARTITIONS, "{records} records");
    ensure!(found.len() == SPANS, "{} of {SPANS} spans in the topic", found.len());
    // Stable: the spans of a trace stay in the order in which they were read.
    found.sort_by(|one, other| one.0.cmp(&other.0));
    let is_in_order = |pair: &[(String, String)]| pair[0].0 != pair[1].0 || pair[0].1 < pair[1].1;
    ensure!(found.windows(2).all(is_in_order), "a trace is out of order: {found:?}");
    Ok(())
}
