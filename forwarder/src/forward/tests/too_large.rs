//! What is too large for the destination: divided by records, then by spans, and only a span that is too large alone is a
//! dead letter. And what is refused: divided by records, then by traces.

use super::*;
use crate::forward::letter_headers::LEFT_OUT;
use crate::ledger::Kept;

/// A record of spans of one trace with these names.
fn record(names: &[&str]) -> Bytes {
    record_of(&names.iter().map(|name| (1, *name)).collect::<Vec<_>>())
}

/// A record of spans with these traces and names.
pub(super) fn record_of(spans: &[(u8, &str)]) -> Bytes {
    let span = |(i, (trace, name)): (usize, &(u8, &str))| Span {
        trace_id: vec![*trace; 16],
        span_id: vec![i as u8 + 1; 8],
        name: (*name).into(),
        ..Span::default()
    };
    let spans = spans.iter().enumerate().map(span).collect();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
}

#[tokio::test(start_paused = true)]
async fn records_that_are_too_large_together_go_one_by_one() {
    let rig = Rig::start(Settings::default());
    rig.log.assign(0);
    rig.log.tell_records(0, 0, ["huge 1", "a", "huge 2"].map(value));
    rig.until("all is committed", |rig| rig.log.committed(0) == Some(3)).await;
    assert_eq!(rig.taken(), ["a", "huge 1", "huge 2"]);
    assert!(rig.letters.records().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_too_large_alone_goes_by_its_spans() {
    let rig = Rig::start(Settings::default());
    rig.log.assign(0);
    rig.log.tell_records(0, 0, [record(&["huge 1", "huge 2", "huge 3", "b"])]);
    rig.until("it is committed", |rig| rig.log.committed(0) == Some(1)).await;
    assert_eq!(rig.taken(), ["b", "huge 1", "huge 2", "huge 3"]);
    assert_eq!((rig.metrics.sent_spans(), rig.metrics.delivered_records.get()), (4, 1));
    assert!(rig.letters.records().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_span_that_is_too_large_alone_is_a_dead_letter_and_the_rest_is_delivered() {
    let rig = Rig::start(Settings::default());
    rig.log.assign(0);
    rig.log.tell_records(0, 0, [record(&["a", "huge alone", "b", "c"])]);
    rig.until("it is committed", |rig| rig.log.committed(0) == Some(1)).await;
    assert_eq!(rig.taken(), ["a", "b", "c"]);
    let letters = rig.letters.records();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].record.header(LEFT_OUT), Some(&Bytes::from("1")));
    let totals = Kept::decode(1, &rig.log.metadata(0)).account.totals;
    assert_eq!((totals.delivered, totals.dead_lettered, totals.unaccounted()), (3, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn of_a_refused_record_of_several_traces_only_the_trace_to_blame_is_a_dead_letter() {
    let rig = Rig::start(Settings::default());
    rig.log.assign(0);
    let spans = [(1, "a"), (2, "b"), (3, "poison"), (2, "c"), (3, "with it"), (4, "d"), (5, "e")];
    rig.log.tell_records(0, 0, [record_of(&spans)]);
    rig.until("it is committed", |rig| rig.log.committed(0) == Some(1)).await;
    assert_eq!(rig.taken(), ["a", "b", "c", "d", "e"]);
    let letters = rig.letters.records();
    assert_eq!(letters.len(), 1);
    let letter = crate::forward::request_of(&letters[0].record).unwrap();
    assert_eq!(names(&letter), ["poison", "with it"]);
    assert_eq!(letters[0].record.header(LEFT_OUT), Some(&Bytes::from("2")));
    let totals = Kept::decode(1, &rig.log.metadata(0)).account.totals;
    assert_eq!((totals.delivered, totals.dead_lettered, totals.unaccounted()), (5, 2, 0));
}
