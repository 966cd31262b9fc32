//! Spans that are whole on the wire, and that Jaeger cannot read all the same: dead letters, which hold nobody up.

use crate::harness::{Claim, Ground, WHOLE_PATH};
use crate::rig::{FORWARD, LIMIT};
use anyhow::{Result, ensure};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use spanferry_tests::fakes::wire::field;
use spanferry_tests::stack::http;
use spanferry_tests::stack::jaeger::{Jaeger, Storage};
use spanferry_tests::stack::metrics::Metrics;
use spanferry_tests::stack::spanferry::Spanferry;

/// What stands behind a good span's fields: an attribute whose key runs past its end, and a start time that is a varint.
const FAULTS: [&[u8]; 2] = [&[0x4a, 2, 0x0a, 0x7f], &[0x38, 1]];
/// Of each protocol: bad ones among good ones.
const SPANS: u8 = 20;
const BAD: [u8; 2] = [7, 16];

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![Claim::new("a_span_that_jaeger_cannot_read_holds_no_other_up", WHOLE_PATH, |ground| {
        Box::pin(a_span_that_jaeger_cannot_read_holds_no_other_up(ground))
    })]
}

async fn a_span_that_jaeger_cannot_read_holds_no_other_up(ground: &Ground) -> Result<()> {
    let directory = ground.directory("unreadable")?;
    let (jaeger, kafka) =
        (Jaeger::start(&directory, Storage::Memory).await?, ground.kafka().await?);
    for (protocol, to) in [("grpc", jaeger.grpc_url()), ("http", jaeger.http_url())] {
        let log = format!("kafka://{}/unreadable-{protocol}", kafka.address());
        let bridge = Spanferry::bridge(&directory, &log, &[]).await?;
        bridge.ready().await?;
        let trace = |number: u8| if protocol == "grpc" { number } else { number + 100 };
        let spans: Vec<_> = (1..=SPANS).map(|number| span(trace(number), fault(number))).collect();
        let url = format!("http://{}/v1/traces", bridge.http()?);
        let (status, _) =
            http::post(&url, "application/x-protobuf", request(&spans).into()).await?;
        ensure!(status.is_success(), "the bridge walks spans, and not what they hold: {status}");

        let more = [&["--group", "unreadable", "--protocol", protocol][..], &FORWARD[..]].concat();
        let forward = Spanferry::forward(protocol, &directory, &log, &to, &more).await?;
        let settled = |metrics: &Metrics| {
            metrics.count("spanferry_group_lag_records") == 0
                && metrics.count("spanferry_sent_spans")
                    + metrics.count("spanferry_dead_lettered_spans")
                    == u64::from(SPANS)
        };
        let metrics = forward.metrics_until("all spans settled", LIMIT, settled).await?;
        let dead = metrics.count("spanferry_dead_lettered_spans");
        ensure!(dead == BAD.len() as u64, "{protocol}: {dead} dead letters");
        for number in (1..=SPANS).filter(|number| !BAD.contains(number)) {
            let seen = jaeger.trace(&hex::encode([trace(number); 16])).await?;
            ensure!(seen.len() == 1, "{protocol}: span {number} is {} times at Jaeger", seen.len());
        }
    }
    Ok(())
}

fn fault(number: u8) -> &'static [u8] {
    BAD.iter().position(|bad| *bad == number).map_or(&[], |at| FAULTS[at])
}

fn span(trace: u8, fault: &[u8]) -> Vec<u8> {
    let span = Span {
        trace_id: vec![trace; 16],
        span_id: vec![trace; 8],
        name: "one of many".into(),
        start_time_unix_nano: 1_790_000_000_000_000_000,
        end_time_unix_nano: 1_790_000_000_000_000_001,
        ..Span::default()
    };
    [span.encode_to_vec(), fault.to_vec()].concat()
}

/// An `ExportTraceServiceRequest` by hand.
fn request(spans: &[Vec<u8>]) -> Vec<u8> {
    let scope = spans.iter().flat_map(|span| field(2, span)).collect::<Vec<_>>();
    field(1, &field(2, &scope))
}
