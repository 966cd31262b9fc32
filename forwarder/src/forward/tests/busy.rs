//! A destination that was away, or takes so many spans a second: it is given what it can take, and fresh spans first.

use super::super::deliver::{Deliverer, Item, Origin};
use super::super::format::{Format, Payload};
use super::super::gate::Gate;
use super::super::lanes::Lane;
use super::super::pace::Pace;
use super::super::{dead_letter::DeadLetters, export::Export};
use super::*;
use crate::log::StoredRecord;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const SPANS_A_RECORD: u64 = 100;

/// Away at first; then takes so many spans a second, up to a second's worth at once, and answers 429 above.
struct Busy {
    rate: f64,
    back: Instant,
    room: Mutex<(f64, Instant)>,
    /// When it took how many spans; and how many requests it was too busy for.
    took: Mutex<Vec<(Duration, u64)>>,
    pushed_back: Mutex<usize>,
}

impl Busy {
    fn take(&self, spans: u64) -> bool {
        let mut room = self.room.lock().unwrap();
        let more = room.1.elapsed().as_secs_f64() * self.rate;
        *room = ((room.0 + more).min(self.rate), Instant::now());
        let has_room = room.0 > 0.0;
        if has_room {
            room.0 -= spans as f64;
        }
        has_room
    }

    fn taken(&self) -> u64 {
        self.took.lock().unwrap().iter().map(|(_, spans)| spans).sum()
    }
}

#[async_trait]
impl Export for Busy {
    async fn export(&self, request: &Request) -> Outcome {
        sleep(Duration::from_millis(5)).await;
        let reason = String::from("told so");
        if Instant::now() < self.back {
            return Outcome::Retry { after: None, reason, is_overload: false };
        }
        if !self.take(request.spans) {
            *self.pushed_back.lock().unwrap() += 1;
            return Outcome::Retry { after: None, reason, is_overload: true };
        }
        self.took.lock().unwrap().push((self.back.elapsed(), request.spans));
        Outcome::Delivered
    }
}

/// Takes so many spans a second, one request after the other, and answers each when it has them.
struct Slow {
    rate: f64,
    done: Mutex<Instant>,
    /// When it was asked, and how long that took.
    answers: Mutex<Vec<(Instant, Duration)>>,
}

#[async_trait]
impl Export for Slow {
    async fn export(&self, request: &Request) -> Outcome {
        let asked = Instant::now();
        let done = {
            let mut done = self.done.lock().unwrap();
            let work = Duration::from_secs_f64(request.spans as f64 / self.rate);
            *done = done.max(asked) + work;
            *done
        };
        tokio::time::sleep_until(done).await;
        self.answers.lock().unwrap().push((asked, asked.elapsed()));
        Outcome::Delivered
    }
}

/// Before a destination that is away for so long, and takes so many spans a second then.
fn before(away: Duration, rate: f64) -> (Arc<Deliverer>, Arc<Busy>) {
    let back = Instant::now() + away;
    let busy = Arc::new(Busy {
        rate,
        back,
        room: Mutex::new((0.0, back)),
        took: Mutex::default(),
        pushed_back: Mutex::default(),
    });
    (deliverer(busy.clone()), busy)
}

fn deliverer(destination: Arc<dyn Export>) -> Arc<Deliverer> {
    let metrics =
        Arc::new(Metrics::register(&mut prometheus_client::registry::Registry::default()));
    Arc::new(Deliverer {
        destination,
        gate: Gate::new(Duration::from_millis(500), Duration::from_secs(1)),
        pace: Pace::new(8, Duration::from_secs(5), metrics.send_rate_limit.clone()),
        dead_letters: DeadLetters::new(Double::new("traces.dlq", 1), "traces", metrics.clone()),
        metrics,
    })
}

fn batch(lane: Lane, records: i64) -> Vec<Item> {
    let item = |offset| {
        let value = Bytes::from_static(b"spans");
        let record = Record { value: value.clone(), ..Record::default() };
        Item {
            origin: Origin { partition: 0, epoch: 0, offset },
            stored: StoredRecord { partition: 0, offset, timestamp_ms: 0, record },
            payload: Ok(Payload { format: Format::Protobuf, value, spans: SPANS_A_RECORD }),
            lane,
            since: Instant::now(),
        }
    };
    (0..records).map(item).collect()
}

/// Eight requests of so many records each, as they were made before the destination went away.
fn backlog(deliverer: &Arc<Deliverer>, records: i64) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let deliverer = deliverer.clone();
        tasks.spawn(async move {
            let told = AtomicI64::new(0);
            let tell = |settled: Vec<_>| {
                told.fetch_add(settled.len() as i64, Ordering::Relaxed);
            };
            deliverer.deliver(&batch(Lane::InOrder, records), tell).await;
            assert_eq!(told.into_inner(), records);
        });
    }
    tasks
}

#[tokio::test(start_paused = true)]
async fn what_waited_for_a_destination_does_not_come_all_at_once_when_it_is_back() {
    for records in [5, 80] {
        let (deliverer, busy) = before(Duration::from_secs(60), f64::INFINITY);
        backlog(&deliverer, records).join_all().await;
        assert_eq!(busy.taken(), 8 * records as u64 * SPANS_A_RECORD);
        let took = busy.took.lock().unwrap();
        let (first, of_one) = (took[0].0, records as u64 * SPANS_A_RECORD);
        let within = |time| took.iter().filter(move |(at, _)| *at < first + time);
        let at_once: u64 = within(Duration::from_millis(100)).map(|(_, spans)| spans).sum();
        assert!(at_once <= of_one + 1_000, "{at_once} spans at once: {took:?}");
        let soon: u64 = within(Duration::from_secs(1)).map(|(_, spans)| spans).sum();
        assert!(soon <= of_one + 6_000, "{soon} spans in the first second: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_takes_less_than_the_rate_answers_in_time_all_the_same() {
    const TIME: Duration = Duration::from_secs(300);
    const RATE: u64 = 3_000;
    let begun = Instant::now();
    let done = Mutex::new(begun);
    let slow = Arc::new(Slow { rate: RATE as f64, done, answers: Mutex::default() });
    let deliverer = deliverer(slow.clone());
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let deliverer = deliverer.clone();
        tasks.spawn(async move {
            while begun.elapsed() < TIME {
                let records = deliverer.pace.request_spans(8_192) / SPANS_A_RECORD;
                deliverer.deliver(&batch(Lane::InOrder, records.max(1) as i64), drop).await;
            }
        });
    }
    tasks.join_all().await;
    let sent = deliverer.metrics.sent_spans();
    let possible = RATE * TIME.as_secs();
    let answers = slow.answers.lock().unwrap();
    let later = answers.iter().filter(|(asked, _)| *asked > begun + TIME / 5);
    let slowest = later.map(|(_, took)| *took).max().unwrap();
    assert!(sent * 10 > possible * 9, "{sent} of {possible}");
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
}

#[tokio::test(start_paused = true)]
async fn fresh_spans_are_soon_taken_by_a_busy_destination_though_a_backlog_waits() {
    let (deliverer, busy) = before(Duration::from_secs(60), 5_000.0);
    let mut waiting = backlog(&deliverer, 80);
    sleep(Duration::from_secs(63)).await;
    let mut slowest = Duration::ZERO;
    while waiting.try_join_next().is_some() || waiting.len() > 4 {
        let since = Instant::now();
        deliverer.deliver(&batch(Lane::Fresh, 1), drop).await;
        slowest = slowest.max(since.elapsed());
        sleep(Duration::from_millis(100)).await;
    }
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let (taken, pushed_back) = (busy.took.lock().unwrap().len(), *busy.pushed_back.lock().unwrap());
    assert!(pushed_back * 5 < taken, "{pushed_back} pushed back, {taken} taken");
}
