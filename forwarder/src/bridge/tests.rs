//! The bridge's promises, over real sockets, with a log that does as it is told.

mod rig;
mod spooled;

use super::*;
use crate::forward::Outcome;
use crate::log::double::{Double, Mood};
use crate::log::partition_of;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use std::io::Write;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use rig::{PROTOBUF, Rig, request};

/// Waits little, so that tests of a log that hangs are short.
fn hasty() -> Settings {
    Settings { ack_timeout: Duration::from_millis(100), ..Settings::default() }
}

#[tokio::test]
async fn each_trace_becomes_a_record_with_its_key_its_partition_and_its_stamp() {
    let rig = Rig::start(Settings::default()).await;
    assert_eq!(rig.post(&[PROTOBUF], request(&[1, 2, 1])).await.status, 200);
    let records = rig.log.records();
    assert_eq!(records.len(), 2);
    for (placed, trace) in records.iter().zip([1u8, 2]) {
        let key = hex::encode([trace; 16]);
        assert_eq!(placed.record.key, Some(Bytes::from(key.clone())));
        assert_eq!(placed.partition, partition_of(key.as_bytes(), 8));
        assert_eq!(placed.record.headers.len(), 1);
    }
    assert_eq!(records[0].record.value, request(&[1, 1]));
    let stamps = rig.stamps();
    assert_eq!((stamps[0].part, stamps[0].parts, stamps[0].spans), (1, 2, 2));
    assert_eq!((stamps[1].part, stamps[1].parts, stamps[1].spans), (2, 2, 1));
    assert_eq!((rig.metrics.sent_records.get(), rig.metrics.accepted_spans()), (2, 3));
}

#[tokio::test]
async fn the_records_of_a_partition_are_handed_over_together() {
    let rig = Rig::start(Settings::default()).await;
    let traces: Vec<u8> = (1..=100).collect();
    for _ in 0..2 {
        assert_eq!(rig.post(&[PROTOBUF], request(&traces)).await.status, 200);
    }
    let records = rig.log.records();
    let (_, second) = records.split_at(100);
    assert!(second.is_sorted_by_key(|placed| placed.partition));
    assert!(rig.stamps().chunks(100).all(|of| of.iter().map(|stamp| stamp.part).eq(1..=100)));
}

#[tokio::test]
async fn traces_of_one_partition_share_a_record_when_told_so() {
    let rig = Rig::start(Settings { record: RecordOf::Batch, ..Settings::default() }).await;
    let traces: Vec<u8> = (1..=100).collect();
    for _ in 0..2 {
        assert_eq!(rig.post(&[PROTOBUF], request(&traces)).await.status, 200);
    }
    let records = rig.log.records();
    assert_eq!(records.len(), 16, "a record for each of eight partitions, twice");
    let of = |trace: &[u8]| partition_of(hex::encode(trace).as_bytes(), 8);
    let mut found = Vec::new();
    for (placed, stamp) in records.iter().zip(rig.stamps()) {
        let message = ExportTraceServiceRequest::decode(placed.record.value.clone()).unwrap();
        let spans = &message.resource_spans[0].scope_spans[0].spans;
        assert!(spans.iter().all(|span| of(&span.trace_id) == placed.partition));
        assert_eq!(placed.record.key, Some(hex::encode(&spans[0].trace_id).into()));
        assert_eq!((stamp.spans as usize, stamp.parts), (spans.len(), 8));
        found.extend(spans.iter().map(|span| span.trace_id[0]));
    }
    found.sort_unstable();
    assert_eq!(found, (1..=100).flat_map(|trace| [trace, trace]).collect::<Vec<u8>>());
    assert!(rig.stamps()[8..].iter().all(|stamp| stamp.total_records == 2));
    assert_eq!((rig.metrics.sent_records.get(), rig.metrics.accepted_spans()), (16, 200));
}

#[tokio::test]
async fn totals_grow_by_one_record_at_a_time_in_each_partition() {
    let rig = Rig::start(Settings::default()).await;
    for _ in 0..3 {
        rig.post(&[PROTOBUF], request(&[1, 1, 2])).await;
    }
    let of_one: Vec<_> = rig
        .stamps()
        .iter()
        .filter(|stamp| stamp.spans == 2)
        .map(|stamp| (stamp.total_records, stamp.total_spans))
        .collect();
    assert_eq!(of_one, [(1, 2), (2, 4), (3, 6)]);
    assert!(rig.stamps().iter().all(|stamp| stamp.writer == rig.stamps()[0].writer));
}

#[tokio::test]
async fn a_writer_that_failed_is_followed_by_a_new_one() {
    let rig = Rig::start(Settings::default()).await;
    rig.log.set(Mood::Failing);
    assert_eq!(rig.post(&[PROTOBUF], request(&[1])).await.status, 503);
    rig.log.set(Mood::Good);
    assert_eq!(rig.post(&[PROTOBUF], request(&[1])).await.status, 200);
    let stamps = rig.stamps();
    assert_ne!(stamps[0].writer, stamps[1].writer);
    assert_eq!(stamps[1].total_records, 1);
}

#[tokio::test]
async fn compressed_bodies_are_read() {
    let rig = Rig::start(Settings::default()).await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&request(&[1])).unwrap();
    let gzip = gzip.finish().unwrap();
    assert_eq!(rig.post(&[PROTOBUF, ("content-encoding", "gzip")], gzip).await.status, 200);
    let zstd = zstd::encode_all(&request(&[1])[..], 0).unwrap();
    assert_eq!(rig.post(&[PROTOBUF, ("content-encoding", "zstd")], zstd).await.status, 200);
    assert!(rig.log.records().iter().all(|placed| placed.record.value == request(&[1])));
    assert_eq!(rig.log.records().len(), 2);
}

#[tokio::test]
async fn json_becomes_protobuf_and_is_answered_in_json() {
    let rig = Rig::start(Settings::default()).await;
    let json = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[
        {"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174","name":"a","kind":2},
        {"traceId":"","spanId":"EEE19B7EC3C1B175","name":"b"}]}]}]}"#;
    let answer = rig.post(&[("content-type", "application/json; charset=utf-8")], json).await;
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status, &body["partialSuccess"]["rejectedSpans"]), (200, &"1".into()));
    let record = &rig.log.records()[0].record;
    assert_eq!(record.key, Some("5b8efff798038103d269b633813fc60c".into()));
    let answer = rig.post(&[("content-type", "application/json")], "{\"resourceSpans\": 1}").await;
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status, &body["code"]), (400, &3.into()));
}

#[tokio::test]
async fn a_sender_that_is_still_writing_hears_its_refusal() {
    let rig = Rig::start(Settings::default()).await;
    let body = vec![0; 8 << 20];
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: b\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut socket = tokio::net::TcpStream::connect(rig.address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&body).await.unwrap();
    let mut status = [0; 12];
    socket.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 415");
}

/// Headers, body; the status, and what the message names.
type BadRequest<'a> = (Vec<(&'a str, &'a str)>, Vec<u8>, u16, &'a str);

#[tokio::test]
async fn bad_requests_get_a_final_status_that_names_the_fault() {
    let rig = Rig::start(Settings { max_request_bytes: 10_000, ..Settings::default() }).await;
    let good = request(&[1]);
    let truncated = good[..good.len() - 1].to_vec();
    let bomb = zstd::encode_all(&vec![0; 10_001][..], 0).unwrap();
    let gzip = ("content-encoding", "gzip");
    let cases: Vec<BadRequest> = vec![
        (vec![PROTOBUF], truncated, 400, "truncated"),
        (vec![PROTOBUF], b"hello, world".to_vec(), 400, "ExportTraceServiceRequest"),
        (vec![PROTOBUF], vec![0x12, 0], 400, "without resource_spans"),
        (vec![PROTOBUF], request(&[0, 0]), 400, "none of the 2 spans has a trace_id"),
        (vec![PROTOBUF], vec![0; 10_001], 413, "10000 bytes"),
        (vec![PROTOBUF, ("content-encoding", "zstd")], bomb, 413, "10000 bytes"),
        (vec![PROTOBUF, gzip], b"not gzip".to_vec(), 400, "gzip"),
        (vec![PROTOBUF, ("content-encoding", "br")], good.clone(), 415, "\"br\""),
        (vec![("content-type", "text/plain")], good.clone(), 415, "\"text/plain\""),
        (vec![], good.clone(), 415, "content-type \"\""),
        (
            vec![PROTOBUF, ("x-spanferry-source", "vm"), ("x-spanferry-sequence", "one")],
            good,
            400,
            "x-spanferry-sequence: \"one\"",
        ),
    ];
    for (headers, body, status, named) in cases {
        let answer = rig.post(&headers, body).await;
        assert_eq!((answer.status, answer.retry_after.as_deref()), (status, None), "{named}");
        assert!(answer.message().contains(named), "{named}: {}", answer.message());
    }
    assert!(rig.log.records().is_empty());
}

#[tokio::test]
async fn wrong_methods_and_paths_are_told() {
    let rig = Rig::start(Settings::default()).await;
    let url = format!("http://{}", rig.address);
    assert_eq!(rig.client.get(format!("{url}/v1/traces")).send().await.unwrap().status(), 405);
    assert_eq!(rig.client.post(format!("{url}/v1/logs")).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn spans_without_a_trace_id_are_left_out_and_told() {
    let rig = Rig::start(Settings::default()).await;
    let answer = rig.post(&[PROTOBUF], request(&[1, 0, 0])).await;
    let partial = ExportTraceServiceResponse::decode(answer.body).unwrap().partial_success.unwrap();
    assert_eq!((answer.status, partial.rejected_spans), (200, 2));
    assert_eq!((rig.metrics.accepted_spans(), rig.metrics.rejected_spans.get()), (1, 2));
}

#[tokio::test]
async fn an_empty_request_is_accepted_and_writes_nothing() {
    let rig = Rig::start(Settings::default()).await;
    assert_eq!(rig.post(&[PROTOBUF], "").await.status, 200);
    assert!(rig.log.records().is_empty());
}

#[tokio::test]
async fn a_batch_that_is_not_acknowledged_in_time_is_retryable_and_its_retry_joins_it() {
    let rig = Rig::start(hasty()).await;
    rig.log.set(Mood::Hanging);
    for _ in 0..2 {
        let answer = rig.post(&[PROTOBUF], request(&[1])).await;
        assert_eq!((answer.status, answer.retry_after.as_deref()), (503, Some("1")));
    }
    assert_eq!(rig.metrics.accepted_spans(), 0);
    rig.log.set(Mood::Good);
    assert_eq!(rig.post(&[PROTOBUF], request(&[1])).await.status, 200);
    assert_eq!((rig.log.records().len(), rig.metrics.accepted_spans()), (1, 1));
}

#[tokio::test]
async fn while_a_batch_is_overdue_new_ones_are_refused_before_they_are_taken() {
    let rig = Rig::start(hasty()).await;
    rig.log.set(Mood::Hanging);
    rig.post(&[PROTOBUF], request(&[1])).await;
    assert_eq!(rig.post(&[PROTOBUF], request(&[2])).await.status, 503);
    assert_eq!(rig.log.records().len(), 1);
    rig.log.set(Mood::Good);
    for _ in 0..500 {
        if rig.post(&[PROTOBUF], request(&[2])).await.status == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still refused");
}

#[tokio::test]
async fn two_batches_alike_are_two_batches_when_both_were_answered() {
    let rig = Rig::start(Settings::default()).await;
    rig.post(&[PROTOBUF], request(&[1])).await;
    rig.post(&[PROTOBUF], request(&[1])).await;
    assert_eq!(rig.log.records().len(), 2);
}

#[tokio::test]
async fn a_filters_batch_that_comes_again_is_answered_and_not_written_again() {
    let rig = Rig::start(Settings::default()).await;
    let headers = [
        PROTOBUF,
        ("x-spanferry-source", "vm-1"),
        ("x-spanferry-sequence", "9"),
        ("x-spanferry-dropped", "4"),
    ];
    assert_eq!(rig.post(&headers, request(&[1])).await.status, 200);
    assert_eq!(rig.post(&headers, request(&[1])).await.status, 200);
    let stamps = rig.stamps();
    assert_eq!(stamps.len(), 1);
    assert_eq!(
        (&stamps[0].source[..], stamps[0].sequence, stamps[0].dropped),
        (&b"vm-1"[..], 9, 4)
    );
    assert_eq!(
        (rig.metrics.repeated_requests.get(), rig.metrics.filter_dropped_spans.get()),
        (1, 4)
    );
    assert_eq!(rig.metrics.accepted_spans(), 1);
}

#[tokio::test]
async fn a_log_that_is_away_or_full_is_a_retryable_answer() {
    let rig =
        Rig::start(Settings { retry_after: Duration::from_millis(2500), ..Settings::default() })
            .await;
    for mood in [Mood::Away, Mood::Full, Mood::Failing] {
        rig.log.set(mood);
        let answer = rig.post(&[PROTOBUF], request(&[1])).await;
        assert_eq!((answer.status, answer.retry_after.as_deref()), (503, Some("3")), "{mood:?}");
    }
    rig.log.set(Mood::Good);
    assert_eq!(rig.post(&[PROTOBUF], request(&[1])).await.status, 200);
}

#[tokio::test]
async fn bytes_in_flight_are_bounded() {
    let body = request(&[1]);
    let rig = Rig::start(Settings { max_bytes_in_flight: body.len() * 2 - 1, ..hasty() }).await;
    rig.log.set(Mood::Hanging);
    assert_eq!(rig.post(&[PROTOBUF], body.clone()).await.status, 503);
    let answer = rig.post(&[PROTOBUF], body.clone()).await;
    assert_eq!((answer.status, answer.retry_after.is_some()), (429, true));
    rig.log.set(Mood::Good);
    for _ in 0..500 {
        if rig.metrics.bytes_in_flight.get() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("room never came back");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_given_up() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let rig =
        Rig::start(Settings { read_timeout: Duration::from_millis(200), ..Settings::default() })
            .await;
    let mut stream = tokio::net::TcpStream::connect(rig.address).await.unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 9\r\n\r\nxx";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn grpc_is_answered_as_otlp_has_it() {
    let rig = Rig::start(Settings { max_request_bytes: 10_000, ..hasty() }).await;
    assert_eq!(rig.grpc(request(&[1])).await, Outcome::Delivered);
    assert!(matches!(rig.grpc(request(&[1, 0])).await, Outcome::Partial { rejected_spans: 1, .. }));
    let Outcome::Refused { reason } = rig.grpc(b"hello, world".to_vec()).await else { panic!() };
    assert!(
        reason.contains("InvalidArgument") && reason.contains("ExportTraceServiceRequest"),
        "{reason}"
    );
    rig.log.set(Mood::Away);
    let Outcome::Retry { after, reason, .. } = rig.grpc(request(&[1])).await else { panic!() };
    assert_eq!(after, Some(Duration::from_secs(1)), "{reason}");
    assert!(reason.contains("Unavailable"), "{reason}");
}

#[tokio::test]
async fn a_span_too_large_for_a_record_is_dead_lettered_before_the_200_and_the_rest_is_written() {
    let rig = Rig::start_on(Settings::default(), Double::with_limit("traces", 8, 1512)).await;
    let mut message = ExportTraceServiceRequest::decode(&request(&[1, 1, 2])[..]).unwrap();
    message.resource_spans[0].scope_spans[0].spans[1].name = "x".repeat(2_000);
    assert_eq!(rig.post(&[PROTOBUF], message.encode_to_vec()).await.status, 200);
    assert_eq!((rig.log.records().len(), rig.letters.records().len()), (2, 1));
    let letter = &rig.letters.records()[0].record;
    let reason = letter.header("spanferry.dlq.reason").unwrap();
    assert!(String::from_utf8_lossy(reason).contains("above the limit of a record"));
}

#[tokio::test]
async fn at_the_end_what_was_begun_is_answered_and_nothing_more_is_taken() {
    let rig = Rig::start(Settings::default()).await;
    rig.log.set(Mood::Hanging);
    let (client, url) = (rig.client.clone(), format!("http://{}/v1/traces", rig.address));
    let begun =
        tokio::spawn(client.post(&url).header(PROTOBUF.0, PROTOBUF.1).body(request(&[1])).send());
    while rig.log.records().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    rig.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(50)).await;
    rig.log.set(Mood::Good);
    assert_eq!(begun.await.unwrap().unwrap().status(), 200);
    tokio::time::timeout(Duration::from_secs(30), rig.task).await.unwrap().unwrap().unwrap();
    assert!(rig.client.post(&url).send().await.is_err());
}

#[tokio::test]
async fn an_end_that_cannot_flush_says_what_is_left() {
    let rig = Rig::start(Settings { drain_timeout: Duration::from_millis(100), ..hasty() }).await;
    rig.log.set(Mood::Hanging);
    assert_eq!(rig.post(&[PROTOBUF], request(&[1])).await.status, 503);
    rig.shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(30), rig.task).await.unwrap().unwrap();
    assert!(ended.unwrap_err().to_string().contains("not acknowledged"));
}
