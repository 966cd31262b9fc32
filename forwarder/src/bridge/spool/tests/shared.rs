//! Records that several traces share (`--record batch`), through the spool: each trace comes out once, in its order and in its
//! partition.

use super::of_trace;
use super::stage::{Stage, Written, stamp};
use crate::bridge::RecordOf;
use crate::log::double::Mood;
use crate::log::partition_of;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

const PARTITIONS: u32 = 4;
const BATCHES: u64 = 20;

fn traces() -> Vec<u8> {
    (1..=40).collect()
}

fn stage() -> Stage {
    let mut stage = Stage::new();
    stage.settings.record = RecordOf::Batch;
    stage
}

async fn send_all(stage: &Stage) {
    for number in 0..BATCHES {
        stage.running().send(number, &traces()).await.unwrap();
    }
}

fn each_trace_is_whole_and_in_order(spans: &[Written]) {
    for trace in traces() {
        assert_eq!(of_trace(spans, trace), (0..BATCHES).collect::<Vec<_>>());
    }
}

/// What the log took: of each batch a record for each partition, and in it only traces that belong there.
fn each_trace_is_in_its_partition(stage: &Stage) {
    for placed in stage.log.records() {
        let request = ExportTraceServiceRequest::decode(placed.record.value.clone()).unwrap();
        let spans = &request.resource_spans[0].scope_spans[0].spans;
        assert!(spans.len() > 1, "it is shared");
        let of = |id: &[u8]| partition_of(hex::encode(id).as_bytes(), PARTITIONS);
        assert!(spans.iter().all(|span| of(&span.trace_id) == placed.partition));
        let stamp = stamp(&placed);
        assert_eq!((stamp.spans as usize, stamp.parts), (spans.len(), PARTITIONS));
    }
}

#[tokio::test]
async fn a_batch_that_waited_for_the_partitions_is_divided_for_them_when_it_is_written() {
    let mut stage = stage();
    stage.log.set(Mood::Away);
    stage.start().await;
    send_all(&stage).await;
    assert_eq!(stage.running().waiting(), (BATCHES as i64, BATCHES as i64 * 40));
    stage.log.set(Mood::Good);
    stage.drained().await;
    assert_eq!(stage.log.records().len() as u64, BATCHES * u64::from(PARTITIONS));
    each_trace_is_in_its_partition(&stage);
    each_trace_is_whole_and_in_order(&stage.written());
    assert_eq!(stage.running().metrics.written_spans.get(), BATCHES * 40);
}

#[tokio::test]
async fn a_batch_that_the_log_may_have_is_divided_alike_when_it_comes_out_of_the_spool() {
    let mut stage = stage();
    stage.start().await;
    stage.drained().await;
    stage.log.set(Mood::Failing);
    send_all(&stage).await;
    stage.log.set(Mood::Good);
    stage.drained().await;
    assert!(stage.written().len() > stage.delivered().len(), "some were written twice");
    each_trace_is_in_its_partition(&stage);
    each_trace_is_whole_and_in_order(&stage.delivered());
}

#[tokio::test]
async fn a_kill_amid_the_spool_loses_no_trace_of_a_shared_record() {
    let mut stage = stage();
    stage.log.set(Mood::Away);
    stage.start().await;
    send_all(&stage).await;
    stage.kill().await;
    stage.log.set(Mood::Good);
    stage.drained().await;
    each_trace_is_in_its_partition(&stage);
    each_trace_is_whole_and_in_order(&stage.delivered());
}
