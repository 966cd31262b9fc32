//! The forwarder's promises, with a log and a destination that do as they are told.

mod again;
mod busy;
mod doubted;
mod fresh;
mod room;
mod too_large;
mod two_readers;

use super::*;
use crate::log::double::{Double, Mood};
use crate::log::{Event, Record, Revocation};
use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A span whose name tells the destination what to do with it.
fn value(name: &str) -> Bytes {
    let span =
        Span { trace_id: vec![1; 16], span_id: vec![1; 8], name: name.into(), ..Span::default() };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
}

/// So many of a kind, told apart by their numbers.
fn numbered(kind: &str, count: usize) -> impl Iterator<Item = Bytes> {
    (0..count).map(move |number| value(&format!("{kind} {number:02}")))
}

/// What a record with this span is held with.
fn held(name: &str) -> usize {
    Record { value: value(name), ..Record::default() }.memory()
}

fn names(request: &Request) -> Vec<String> {
    let joined = request.chunks.concat();
    let message = ExportTraceServiceRequest::decode(&joined[..]).unwrap();
    let scopes = message.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).map(|span| span.name).collect()
}

/// Takes spans; refuses requests with one named `poison`, and as too large those with two named `huge…`; takes too long
/// for more than ten named `heavy…`, and dies of more than ten named `deadly…`; fails over one named `cursed…`; holds those with
/// one named `slow` until told; is away when told, and then says of one named `blame…` that it failed.
struct Fake {
    taken: Mutex<Vec<String>>,
    tries: watch::Sender<usize>,
    is_away: watch::Sender<bool>,
    is_slow: watch::Sender<bool>,
}

#[async_trait]
impl Export for Fake {
    async fn export(&self, request: &Request) -> Outcome {
        self.tries.send_modify(|tries| *tries += 1);
        let names = names(request);
        assert_eq!(names.len() as u64, request.spans);
        let is_away = *self.is_away.borrow();
        let is_blamed = is_away && names.iter().any(|name| name.starts_with("blame"));
        if is_blamed || names.iter().any(|name| name.starts_with("cursed")) {
            return Outcome::Failed { reason: "HTTP 500: index out of range".into() };
        }
        if is_away {
            return Outcome::Retry { after: None, reason: "away".into(), is_overload: false };
        }
        if names.iter().any(|name| name == "slow") {
            let _ = self.is_slow.subscribe().wait_for(|is_slow| !is_slow).await;
        }
        if names.iter().any(|name| name == "poison") {
            return Outcome::Refused { reason: "poison".into() };
        }
        if names.iter().filter(|name| name.starts_with("heavy")).count() > 10 {
            tokio::time::sleep(Duration::from_secs(10)).await;
            return Outcome::Retry { after: None, reason: "too late".into(), is_overload: true };
        }
        if names.iter().filter(|name| name.starts_with("deadly")).count() > 10 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            return Outcome::Retry { after: None, reason: "cut off".into(), is_overload: false };
        }
        let huge = names.iter().filter(|name| name.starts_with("huge")).count();
        if huge > 1 || names.iter().any(|name| name == "huge alone") {
            return Outcome::TooLarge { reason: "too large".into() };
        }
        if names.iter().any(|name| name == "half") {
            return Outcome::Partial { rejected_spans: 1, message: "half".into() };
        }
        self.taken.lock().unwrap().extend(names);
        Outcome::Delivered
    }
}

struct Rig {
    log: Arc<Double>,
    letters: Arc<Double>,
    fake: Arc<Fake>,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), ForwardError>>,
}

impl Rig {
    fn start(settings: Settings) -> Self {
        let (log, letters) = (Double::new("traces", 4), Double::new("traces.dlq", 1));
        let fake = Arc::new(Fake {
            taken: Mutex::default(),
            tries: watch::Sender::new(0),
            is_away: watch::Sender::new(false),
            is_slow: watch::Sender::new(true),
        });
        let metrics =
            Arc::new(Metrics::register(&mut prometheus_client::registry::Registry::default()));
        let shutdown = CancellationToken::new();
        let running = run(
            log.clone(),
            letters.clone(),
            fake.clone(),
            settings,
            metrics.clone(),
            shutdown.clone(),
        );
        Self { log, letters, fake, metrics, shutdown, task: tokio::spawn(running) }
    }

    fn taken(&self) -> Vec<String> {
        let mut taken = self.fake.taken.lock().unwrap().clone();
        taken.sort();
        taken
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..10_000 {
            if is_so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {what}; taken {:?}, committed {:?}", self.taken(), self.log.committed(0));
    }

    async fn end(self) -> (Arc<Double>, Arc<Double>) {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(60), self.task).await.unwrap().unwrap().unwrap();
        (self.log, self.letters)
    }
}

/// One record a request, so that each has its own fate.
fn single() -> Settings {
    Settings { max_request_spans: 1, ..Settings::default() }
}

#[tokio::test(start_paused = true)]
async fn what_is_delivered_is_committed() {
    let rig = Rig::start(Settings::default());
    rig.log.assign(0);
    rig.log.tell_records(0, 10, ["a", "b", "c"].map(value));
    rig.until("committed", |rig| rig.log.committed(0) == Some(13)).await;
    assert_eq!(rig.taken(), ["a", "b", "c"]);
    assert_eq!((rig.metrics.delivered_records.get(), rig.metrics.sent_spans()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_record_in_flight_holds_back_the_commit_of_all_behind_it() {
    let rig = Rig::start(single());
    rig.log.assign(0);
    rig.log.tell_records(0, 0, ["a", "slow", "b", "c"].map(value));
    rig.until("the others are delivered", |rig| rig.taken() == ["a", "b", "c"]).await;
    rig.until("the prefix is committed", |rig| rig.log.committed(0).is_some()).await;
    assert_eq!(rig.log.committed(0), Some(1));
    rig.fake.is_slow.send_replace(false);
    rig.until("all is committed", |rig| rig.log.committed(0) == Some(4)).await;
}

#[tokio::test(start_paused = true)]
async fn while_the_destination_is_away_nothing_is_committed_and_then_all_is_delivered() {
    let rig = Rig::start(single());
    rig.fake.is_away.send_replace(true);
    rig.log.assign(0);
    rig.log.tell_records(0, 0, (0..50).map(|i| value(&format!("{i:02}"))));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!((rig.log.committed(0), rig.taken().len()), (None, 0));
    let tries = *rig.fake.tries.borrow();
    assert!((100..400).contains(&tries), "{tries} tries in an hour");
    rig.fake.is_away.send_replace(false);
    rig.until("all is committed", |rig| rig.log.committed(0) == Some(50)).await;
    assert_eq!(rig.taken().len(), 50, "each once");
}

async fn all_of_a_batch_are_delivered_once(kind: &str) {
    let rig = Rig::start(Settings::default());
    rig.log.assign(0);
    rig.log.tell_records(0, 0, numbered(kind, 50));
    rig.until("all is committed", |rig| rig.log.committed(0) == Some(50)).await;
    assert_eq!(rig.taken().len(), 50, "each once");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_much_for_the_time_it_has_is_divided() {
    all_of_a_batch_are_delivered_once("heavy").await;
}

#[tokio::test(start_paused = true)]
async fn what_is_delivered_of_a_divided_request_is_committed_before_the_rest() {
    let rig = Rig::start(Settings::default());
    rig.log.assign(0);
    rig.log.tell_records(0, 0, numbered("heavy", 48));
    rig.until("a part is committed", |rig| rig.log.committed(0) == Some(6)).await;
    assert!(rig.taken().len() < 24, "the rest is under way");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_the_destination_does_not_live_through_is_divided() {
    all_of_a_batch_are_delivered_once("deadly").await;
}

#[tokio::test(start_paused = true)]
async fn a_poisoned_record_is_found_and_dead_lettered_and_the_rest_is_delivered_once() {
    let rig = Rig::start(Settings::default());
    rig.log.assign(0);
    rig.log.tell_records(0, 0, ["a", "b", "poison", "c", "d"].map(value));
    rig.until("all is committed", |rig| rig.log.committed(0) == Some(5)).await;
    assert_eq!(rig.taken(), ["a", "b", "c", "d"]);
    assert_eq!((rig.metrics.sent_spans(), rig.metrics.dead_lettered_spans()), (4, 1));
    let (_, letters) = rig.end().await;
    let letter = &letters.records()[0].record;
    let header = |name| String::from_utf8(letter.header(name).unwrap().to_vec()).unwrap();
    assert_eq!(letter.value, value("poison"));
    assert_eq!(header("spanferry.dlq.reason"), "poison");
    assert_eq!(header("spanferry.dlq.topic"), "traces");
    assert_eq!(
        (header("spanferry.dlq.partition"), header("spanferry.dlq.offset")),
        ("0".into(), "2".into())
    );
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_not_understood_is_dead_lettered_and_the_rest_moves_on() {
    let rig = Rig::start(Settings::default());
    rig.log.assign(0);
    rig.log.tell_records(0, 0, [value("a"), Bytes::from("garbage"), value("b"), Bytes::new()]);
    rig.until("all is committed", |rig| rig.log.committed(0) == Some(4)).await;
    assert_eq!(rig.taken(), ["a", "b"]);
    let (_, letters) = rig.end().await;
    assert_eq!(letters.records().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_cannot_be_written_holds_its_partition() {
    let rig = Rig::start(Settings::default());
    rig.letters.set(Mood::Away);
    rig.log.assign(0);
    rig.log.tell_records(0, 0, [Bytes::from("garbage"), value("a")]);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(rig.log.committed(0), None);
    rig.letters.set(Mood::Good);
    rig.until("all is committed", |rig| rig.log.committed(0) == Some(2)).await;
    assert_eq!(rig.letters.records().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn spans_left_out_of_a_request_are_in_dead_letters_and_are_not_sent_again() {
    let rig = Rig::start(Settings::default());
    rig.log.assign(0);
    rig.log.tell_records(0, 0, ["half", "a"].map(value));
    rig.until("all is committed", |rig| rig.log.committed(0) == Some(2)).await;
    assert_eq!(*rig.fake.tries.borrow(), 1);
    assert_eq!((rig.metrics.sent_spans(), rig.metrics.dead_lettered_spans()), (1, 1));
    assert_eq!(rig.letters.records().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn revoked_partitions_finish_what_is_in_flight_and_say_where_they_are() {
    let rig = Rig::start(single());
    rig.log.assign(0);
    rig.log.tell_records(0, 0, ["slow", "a"].map(value));
    rig.until("one is delivered", |rig| rig.taken() == ["a"]).await;
    let (done, answer) = oneshot::channel();
    rig.log.tell(Event::Revoked(Revocation { partitions: vec![0], done }));
    let fake = rig.fake.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        fake.is_slow.send_replace(false);
    });
    let commits = answer.await.unwrap();
    assert_eq!(
        commits.iter().map(|commit| (commit.partition, commit.offset)).collect::<Vec<_>>(),
        [(0, 2)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_revocation_is_answered_although_there_is_no_room_for_records() {
    let rig = Rig::start(Settings { max_held_bytes: 1, ..single() });
    rig.fake.is_away.send_replace(true);
    rig.log.assign(0);
    rig.log.tell_records(0, 0, ["a"].map(value));
    rig.log.tell_records(0, 1, ["b"].map(value));
    rig.until("it is full", |rig| rig.metrics.held_bytes.get() > 0).await;
    let (done, answer) = oneshot::channel();
    rig.log.tell(Event::Revoked(Revocation { partitions: vec![0], done }));
    assert_eq!(answer.await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_does_not_wait_for_a_destination_that_is_away() {
    let rig = Rig::start(single());
    rig.fake.is_away.send_replace(true);
    rig.log.assign(0);
    rig.log.tell_records(0, 0, ["a", "b"].map(value));
    rig.until("it was tried", |rig| *rig.fake.tries.borrow() > 0).await;
    let (done, answer) = oneshot::channel();
    let start = tokio::time::Instant::now();
    rig.log.tell(Event::Revoked(Revocation { partitions: vec![0], done }));
    assert_eq!(answer.await.unwrap(), []);
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_a_partition_came_back_counts_for_nothing() {
    let rig = Rig::start(single());
    rig.log.assign(0);
    rig.log.tell_records(0, 0, ["slow"].map(value));
    rig.until("it was tried", |rig| *rig.fake.tries.borrow() == 1).await;
    rig.log.tell(Event::Lost(vec![0]));
    rig.log.assign(0);
    rig.fake.is_slow.send_replace(false);
    rig.until("it was delivered", |rig| rig.taken().len() == 1).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(rig.log.committed(0), None);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_what_is_in_flight_is_delivered_and_committed() {
    let rig = Rig::start(single());
    rig.log.assign(0);
    rig.log.tell_records(0, 0, ["slow"].map(value));
    rig.until("it was tried", |rig| *rig.fake.tries.borrow() == 1).await;
    let fake = rig.fake.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(2)).await;
        fake.is_slow.send_replace(false);
    });
    let (log, _) = rig.end().await;
    assert_eq!(log.committed(0), Some(1));
}

#[tokio::test(start_paused = true)]
async fn at_the_end_a_destination_that_is_away_is_not_waited_for() {
    let rig = Rig::start(single());
    rig.fake.is_away.send_replace(true);
    rig.log.assign(0);
    rig.log.tell_records(0, 0, ["a"].map(value));
    rig.until("it was tried", |rig| *rig.fake.tries.borrow() > 0).await;
    let start = tokio::time::Instant::now();
    let (log, _) = rig.end().await;
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(log.committed(0), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_read_and_not_delivered_is_bounded() {
    let one = held("slow");
    let rig = Rig::start(Settings { max_held_bytes: 10 * one, ..single() });
    rig.log.assign(0);
    for offset in 0..100 {
        rig.log.tell_records(0, offset, ["slow"].map(value));
    }
    rig.until("it is full", |rig| rig.metrics.held_bytes.get() as usize == 10 * one).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.metrics.held_bytes.get() as usize, 10 * one);
    rig.fake.is_slow.send_replace(false);
    rig.until("all is committed", |rig| rig.log.committed(0) == Some(100)).await;
}
