//! The sum, with a log that does as it is told: it holds while all is there, and says by number what is not.

use super::*;
use crate::ledger::{Account, Ahead, Claim, Fate, Kept, Stamp, Written};
use crate::log::double::Double;
use crate::log::{Commit, Placed, Record};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

fn value(spans: usize) -> Bytes {
    let scope_spans =
        vec![ScopeSpans { spans: vec![Span::default(); spans], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
}

/// The record of this number of one writer, two spans each, in a batch of its own of the source `vm`.
fn stamp(number: u64) -> Stamp {
    Stamp {
        writer: vec![7; 16],
        total_records: number,
        total_spans: number * 2,
        spans: 2,
        source: b"vm".to_vec(),
        sequence: number,
        part: 1,
        parts: 1,
        dropped: 3,
        ..Stamp::default()
    }
}

fn placed(stamp: &Stamp, spans: usize) -> Placed {
    let headers = stamp.headers();
    Placed { partition: 0, record: Record { headers, value: value(spans), ..Record::default() } }
}

struct Rig {
    log: Arc<Double>,
    audit: Audit,
}

impl Rig {
    async fn with(records: Vec<Placed>) -> Self {
        let log = Double::new("traces", 1);
        log.append(records).unwrap().await.unwrap();
        let audit = Audit {
            log: log.clone(),
            dead_letters: Double::new("traces.dlq", 1),
            group: "g".into(),
        };
        Self { log, audit }
    }

    /// The group has settled the first `delivered` records, and these beyond.
    async fn settled(&self, delivered: u64, ahead: Ahead) {
        let mut account = Account::from_the_start();
        for number in 1..=delivered {
            account.written(stamp(number).mark(), 2);
            account.settled(2, Fate::Delivered);
        }
        let offset = delivered as i64;
        let metadata = Kept { ahead, account }.encode(offset);
        self.log.store("g", vec![Commit { partition: 0, offset, metadata }]).await.unwrap();
    }

    async fn report(&self) -> Report {
        self.audit.report(false, &[]).await.unwrap()
    }
}

fn written(numbers: impl IntoIterator<Item = u64>) -> Vec<Placed> {
    numbers.into_iter().map(|number| placed(&stamp(number), 2)).collect()
}

#[tokio::test]
async fn a_sum_holds_with_what_is_delivered_dead_lettered_and_waiting() {
    let rig = Rig::with(written(1..=6)).await;
    let ahead = Ahead { runs: vec![3..4, 4..5], odd: vec![(4, Fate::DeadLettered)] };
    rig.settled(2, ahead).await;
    let report = rig.report().await;
    let Row { accepted, delivered, dead_lettered, in_log, lost, .. } = report.all;
    assert_eq!((accepted, delivered, dead_lettered, in_log, lost), (12, 6, 2, 4, 0));
    assert!(report.holds, "{report}");
    let equation =
        "✓ accepted 12 = delivered 6 + dead-lettered 2 + suppressed 0 + waiting 4, lost 0";
    assert!(report.to_string().contains(equation), "{report}");
}

#[tokio::test]
async fn a_record_taken_out_of_the_log_is_lost_by_number() {
    let rig = Rig::with(written([1, 2, 3, 5, 6])).await;
    rig.settled(2, Ahead::default()).await;
    let report = rig.report().await;
    assert_eq!((report.all.accepted, report.all.lost, report.all.unaccounted), (12, 2, 0));
    assert!(!report.holds);
    assert_eq!(report.faults, ["2 spans are lost"]);
}

/// A bridge's word for so many records of the writer, two spans each.
fn said(topic: &str, records: u64) -> Written {
    let writer = hex::encode([7; 16]);
    let claim = Claim { writer, partition: 0, records, spans: records * 2 };
    Written { topic: topic.into(), claims: vec![claim] }
}

#[tokio::test]
async fn what_is_gone_from_the_end_of_the_log_is_lost_by_its_bridges_word() {
    let rig = Rig::with(written(1..=4)).await;
    rig.settled(2, Ahead::default()).await;
    assert!(rig.report().await.holds, "nothing in the log tells of it");
    let report = rig.audit.report(false, &[said("traces", 7)]).await.unwrap();
    let Row { accepted, in_log, lost, lost_at_end, unaccounted, .. } = report.all;
    assert_eq!((accepted, in_log, lost, lost_at_end, unaccounted), (14, 4, 6, 6, 0));
    assert_eq!(
        report.faults,
        ["6 spans are lost (6 of them at the end: their bridge knows them to be written)"]
    );
}

#[tokio::test]
async fn a_bridge_that_knows_no_more_than_is_here_or_writes_elsewhere_tells_of_no_loss() {
    let rig = Rig::with(written(1..=4)).await;
    for said in [said("traces", 4), said("traces", 1), said("other", 9)] {
        let report = rig.audit.report(false, &[said]).await.unwrap();
        assert!(report.holds, "{report}");
    }
}

#[tokio::test]
async fn a_span_taken_out_of_a_record_is_lost_by_number() {
    let mut records = written(1..=3);
    records[1] = placed(&stamp(2), 1);
    let report = Rig::with(records).await.report().await;
    assert_eq!((report.all.accepted, report.all.in_log, report.all.lost), (6, 5, 1));
    assert!(!report.holds);
}

#[tokio::test]
async fn an_account_that_forgot_a_record_does_not_add_up() {
    let rig = Rig::with(written(1..=3)).await;
    let mut account = Account::from_the_start();
    account.written(stamp(1).mark(), 2);
    let metadata = Kept { account, ..Kept::default() }.encode(1);
    rig.log.store("g", vec![Commit { partition: 0, offset: 1, metadata }]).await.unwrap();
    let report = rig.report().await;
    assert_eq!((report.holds, report.all.unaccounted), (false, 2));
    assert!(report.faults.contains(&"2 spans are accepted and in no number".to_owned()));
}

#[tokio::test]
async fn a_destination_that_holds_less_than_it_took_has_lost_the_difference() {
    let rig = Rig::with(written(1..=3)).await;
    rig.settled(3, Ahead::default()).await;
    let mut report = rig.report().await;
    assert!(report.holds);
    report.hold_against(&Claims { at_destination: Some(5), ..Claims::default() });
    assert!(!report.holds && report.faults[0].starts_with("1 span is lost at the destination"));
}

#[tokio::test]
async fn a_loss_that_is_known_is_no_failure_and_one_more_is() {
    let rig = Rig::with(written([1, 3])).await;
    let mut report = rig.report().await;
    report.hold_against(&Claims { known_lost: 2, ..Claims::default() });
    assert!(report.holds);
    report.hold_against(&Claims { known_lost: 1, ..Claims::default() });
    assert!(!report.holds);
}

#[tokio::test]
async fn what_only_running_roles_know_is_put_in() {
    let rig = Rig::with(written(1..=3)).await;
    let mut report = rig.report().await;
    let peer = Peer { in_spool: 10, in_flight: 4, ..Peer::default() };
    report.hold_against(&Claims { peers: vec![peer], ..Claims::default() });
    let Row { accepted, in_spool, in_log, in_flight, .. } = report.all;
    assert_eq!((accepted, in_spool, in_log, in_flight), (16, 10, 2, 4));
    assert!(report.holds);
}

#[tokio::test]
async fn what_is_gone_from_a_spool_is_lost_by_number() {
    let mut report = Rig::with(written(1..=3)).await.report().await;
    let peer = Peer { in_spool: 5, set_aside: 1, lost_in_spool: 4, ..Peer::default() };
    report.hold_against(&Claims { peers: vec![peer], ..Claims::default() });
    assert_eq!((report.all.accepted, report.all.lost, report.all.dead_lettered), (16, 4, 1));
    assert_eq!((report.holds, &report.faults[..]), (false, &["4 spans are lost".to_owned()][..]));
}

#[tokio::test]
async fn each_filter_has_a_line_with_its_repeats_and_its_gaps() {
    let mut records = written([1, 2, 2, 5]);
    records.push(placed(&Stamp::default(), 1));
    let rig = Rig::with(records).await;
    rig.settled(0, Ahead { runs: vec![0..4, 4..5], odd: Vec::new() }).await;
    let report = rig.audit.report(true, &[]).await.unwrap();
    let vm = report.sources.iter().find(|source| source.source == "vm").unwrap();
    assert_eq!((vm.row.accepted, vm.row.delivered, vm.row.suppressed), (8, 6, 2));
    assert_eq!((vm.dropped, vm.missing_batches, vm.missing_records), (3, 2, 0));
    assert_eq!(
        (report.sources[0].source.as_str(), report.sources[0].row.delivered),
        ("(others)", 1)
    );
    assert_eq!(report.dropped_by_filter, 3);
}

#[tokio::test]
async fn a_report_is_read_as_json() {
    let report = Rig::with(written(1..=3)).await.report().await;
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}
