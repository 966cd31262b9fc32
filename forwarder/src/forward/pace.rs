//! How fast spans go out: as fast as they can, until the destination says that it is too fast. Then additive increase and
//! multiplicative decrease, as TCP has it (RFC 5681), of spans a second. A destination that was away is met slowly, and
//! twice as fast each second until it pushes back: one that has just started again shall not be knocked over.

use super::lanes::Lane;
use prometheus_client::metrics::gauge::Gauge;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// What is kept of the rate when the destination pushes back; and when it only answers slowly.
const DECREASE: f64 = 0.7;
const DECREASE_WHEN_SLOW: f64 = 0.9;
/// What a second adds to the rate, of the rate after the last decrease.
const INCREASE: f64 = 0.05;
/// Two decreases are this far apart: requests that were in flight together are one sign.
const ROUND: Duration = Duration::from_secs(1);
/// How often a request that waits looks whether the rate is another.
const LOOK: Duration = Duration::from_millis(50);
/// How soon a request looks again that let a fresh one go first.
const LOOK_SOON: Duration = Duration::from_millis(2);
/// What may be under way together, in seconds of the rate: a destination that takes less than the rate has so much before it, and no
/// more, and answers in time.
const IN_FLIGHT_SECONDS: f64 = 1.0;
/// What one request may take of the rate, in seconds, however few go at once: whoever comes behind it waits for so long.
const REQUEST_SECONDS: f64 = 0.5;
/// Never slower than this, spans a second.
const LEAST: f64 = 50.0;
/// How a destination is met that was away.
const FIRST: f64 = 2_000.0;
/// So many times above what is delivered, a limit limits nothing, and ends.
const OUT_OF_REACH: f64 = 8.0;

/// Shared by all requests to one destination.
#[derive(Debug)]
pub struct Pace {
    state: Mutex<State>,
    /// The rate, spans a second; 0: without a limit.
    shown: Gauge,
    /// The spans of one request, at most.
    limit: watch::Sender<u64>,
    /// What one request may take of the rate, in seconds.
    share: f64,
    /// An answer that takes longer is a sign to go slower.
    slow: Duration,
}

#[derive(Debug)]
struct State {
    /// Spans a second; `None`: without a limit.
    rate: Option<f64>,
    /// What a second adds.
    step: f64,
    /// Growing twofold each second, until the first sign.
    is_starting: bool,
    /// When the next request may go.
    next: Instant,
    /// Fresh requests that wait: they go first.
    fresh_waiting: usize,
    /// When the rate was changed last, and when it was last made less.
    changed: Instant,
    decreased: Option<Instant>,
    /// Spans delivered in this second, which began then, and in the one before.
    second: Instant,
    now: f64,
    before: f64,
}

impl Pace {
    /// Without a limit. So many requests go at once; an answer that takes longer than `slow` is a sign to go slower.
    pub fn new(requests: usize, slow: Duration, shown: Gauge) -> Self {
        let now = Instant::now();
        let state = State {
            rate: None,
            step: 0.0,
            is_starting: false,
            next: now,
            fresh_waiting: 0,
            changed: now,
            decreased: None,
            second: now,
            now: 0.0,
            before: 0.0,
        };
        let share = (IN_FLIGHT_SECONDS / requests.max(1) as f64).min(REQUEST_SECONDS);
        Self { state: Mutex::new(state), shown, limit: watch::Sender::new(u64::MAX), share, slow }
    }

    /// Waits until so many spans may go; fresh ones before the others.
    pub async fn wait(&self, spans: u64, lane: Lane) {
        let _place = (lane == Lane::Fresh).then(|| Place::take(self));
        while let Some(until) = self.take(spans, lane) {
            sleep_until(until).await;
        }
    }

    /// So many spans go, for which nobody waits.
    pub fn goes(&self, spans: u64) {
        self.lock().goes(spans, Instant::now());
    }

    /// Waits until one request may not have so many spans.
    pub async fn is_below(&self, spans: u64) {
        let is_below = |most: &u64| spans > *most;
        if self.limit.subscribe().wait_for(is_below).await.is_err() {
            std::future::pending().await
        }
    }

    fn take(&self, spans: u64, lane: Lane) -> Option<Instant> {
        self.lock().take(spans, lane, Instant::now())
    }

    /// The spans of one request, at most: `most`, or its share of the rate.
    pub fn request_spans(&self, most: u64) -> u64 {
        (*self.limit.borrow()).clamp(1, most.max(1))
    }

    /// The destination took so many spans, and answered after this time.
    pub fn delivered(&self, spans: u64, after: Duration) {
        let mut state = self.lock();
        state.count(spans as f64);
        if after > self.slow {
            state.decrease(DECREASE_WHEN_SLOW);
        } else if !state.is_above_what_is_taken(after) {
            state.increase(spans as f64);
        }
        self.show(&state);
    }

    /// The destination said that it is too much.
    pub fn pushed_back(&self) {
        let mut state = self.lock();
        state.decrease(DECREASE);
        self.show(&state);
    }

    /// The destination answers again, after a time away.
    pub fn begin_again(&self) {
        let mut state = self.lock();
        let rate = state.rate.map_or(FIRST, |rate| rate.min(FIRST));
        (state.rate, state.is_starting) = (Some(rate), true);
        (state.next, state.changed) = (Instant::now(), Instant::now());
        self.show(&state);
    }

    fn show(&self, state: &State) {
        self.shown.set(state.rate.unwrap_or(0.0) as i64);
        let limit = state.rate.map_or(u64::MAX, |rate| (rate * self.share) as u64);
        self.limit.send_replace(limit);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fresh request that waits.
struct Place<'a>(&'a Pace);

impl<'a> Place<'a> {
    fn take(pace: &'a Pace) -> Self {
        pace.lock().fresh_waiting += 1;
        Self(pace)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.lock().fresh_waiting -= 1;
    }
}

impl State {
    /// Lets a request of so many spans go, and the next one when its time is over; else says when to look again. Nobody
    /// has a place in a queue: that would be reckoned by a rate that may be long past.
    fn take(&mut self, spans: u64, lane: Lane, now: Instant) -> Option<Instant> {
        self.rate?;
        if now < self.next {
            return Some(self.next.min(now + LOOK));
        }
        if lane == Lane::InOrder && self.fresh_waiting > 0 {
            return Some(now + LOOK_SOON);
        }
        self.goes(spans, now);
        None
    }

    fn goes(&mut self, spans: u64, now: Instant) {
        if let Some(rate) = self.rate {
            self.next = self.next.max(now) + Duration::from_secs_f64(spans as f64 / rate);
        }
    }

    fn count(&mut self, spans: f64) {
        let elapsed = self.second.elapsed();
        if elapsed >= Duration::from_secs(1) {
            self.before = if elapsed < Duration::from_secs(2) { self.now } else { 0.0 };
            (self.now, self.second) = (0.0, Instant::now());
        }
        self.now += spans;
    }

    /// Spans a second, as delivered.
    fn delivered(&self) -> f64 {
        self.before.max(self.now)
    }

    /// The rate is not what limits: a higher one would only put more before the destination. (Congestion window validation,
    /// RFC 7661, has the half, too.)
    fn is_above_what_is_taken(&self, after: Duration) -> bool {
        let is_under_way_for_long = after.as_secs_f64() > IN_FLIGHT_SECONDS;
        is_under_way_for_long && self.rate.is_some_and(|rate| self.delivered() < rate / 2.0)
    }

    fn decrease(&mut self, factor: f64) {
        if self.decreased.is_some_and(|last| last.elapsed() < ROUND) {
            return;
        }
        let (rate, is_starting) = match self.rate {
            Some(rate) if !self.is_starting => (rate, false),
            // It grew by what got through, so twofold at most since then.
            Some(rate) => (self.delivered().max(rate / 2.0), false),
            // What got through may be little yet: from there it is found quickly what is possible.
            None => (self.delivered(), true),
        };
        let rate = (rate * factor).max(LEAST);
        (self.rate, self.step, self.is_starting) = (Some(rate), rate * INCREASE, is_starting);
        (self.changed, self.decreased) = (Instant::now(), Some(Instant::now()));
    }

    fn increase(&mut self, spans: f64) {
        let Some(rate) = self.rate else { return };
        let more = match self.is_starting {
            // As many again as got through: twofold each second.
            true => spans,
            false => self.step * self.changed.elapsed().as_secs_f64().min(1.0),
        };
        let now = Instant::now();
        self.changed = now;
        // What is left of the pause was reckoned by the old rate.
        let pause = self.next.saturating_duration_since(now);
        self.next = now + pause.mul_f64(rate / (rate + more));
        let is_out_of_reach = rate + more > OUT_OF_REACH * self.delivered().max(FIRST);
        self.rate = (!is_out_of_reach).then_some(rate + more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const REQUEST: u64 = 250;

    fn pace() -> Pace {
        Pace::new(8, Duration::from_secs(5), Gauge::default())
    }

    /// A destination that takes so many spans a second, and says so when it is asked to take more.
    struct Busy {
        rate: f64,
        room: Mutex<(f64, Instant)>,
    }

    impl Busy {
        fn take(&self, spans: u64) -> bool {
            let mut room = self.room.lock().unwrap();
            let more = room.1.elapsed().as_secs_f64() * self.rate;
            *room = ((room.0 + more).min(self.rate / 2.0), Instant::now());
            let is_taken = room.0 >= spans as f64;
            if is_taken {
                room.0 -= spans as f64;
            }
            is_taken
        }
    }

    /// Sends from eight tasks for a minute: spans taken, and requests refused of all.
    async fn a_minute(pace: Arc<Pace>, rate: f64) -> (u64, u64, u64) {
        let busy = Arc::new(Busy { rate, room: Mutex::new((0.0, Instant::now())) });
        let end = Instant::now() + Duration::from_secs(60);
        let senders: Vec<_> = (0..8)
            .map(|_| {
                let (pace, busy) = (pace.clone(), busy.clone());
                tokio::spawn(async move {
                    let (mut taken, mut refused, mut all) = (0, 0, 0);
                    while Instant::now() < end {
                        pace.wait(REQUEST, Lane::InOrder).await;
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        all += 1;
                        if busy.take(REQUEST) {
                            taken += REQUEST;
                            pace.delivered(REQUEST, Duration::from_millis(5));
                        } else {
                            refused += 1;
                            pace.pushed_back();
                            tokio::time::sleep(Duration::from_millis(500)).await;
                        }
                    }
                    (taken, refused, all)
                })
            })
            .collect();
        let mut sum = (0, 0, 0);
        for sender in senders {
            let (taken, refused, all) = sender.await.unwrap();
            sum = (sum.0 + taken, sum.1 + refused, sum.2 + all);
        }
        sum
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_destination_is_used_well_and_seldom_asked_too_much() {
        for rate in [2_000.0, 20_000.0, 100_000.0] {
            let (taken, refused, all) = a_minute(Arc::new(pace()), rate).await;
            let possible = (rate * 60.0) as u64;
            assert!(taken * 10 >= possible * 6, "{rate}: {taken} of {possible}");
            assert!(refused * 10 <= all, "{rate}: {refused} refused of {all}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_destination_that_says_nothing_has_no_limit() {
        let pace = pace();
        for _ in 0..1_000 {
            pace.wait(REQUEST, Lane::InOrder).await;
            pace.delivered(REQUEST, Duration::from_millis(1));
        }
        assert_eq!(pace.lock().rate, None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_away_is_met_slowly_and_then_without_a_limit() {
        let pace = pace();
        pace.begin_again();
        let start = Instant::now();
        let mut first_second = 0;
        while pace.lock().rate.is_some() {
            pace.wait(REQUEST, Lane::InOrder).await;
            if start.elapsed() < Duration::from_secs(1) {
                first_second += REQUEST;
            }
            pace.delivered(REQUEST, Duration::from_millis(1));
            assert!(start.elapsed() < Duration::from_secs(30), "it goes on");
        }
        assert!((1_000..8_000).contains(&first_second), "{first_second}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fresh_request_waits_for_one_other_at_most() {
        let pace = Arc::new(pace());
        pace.begin_again();
        let limit = pace.request_spans(8_192);
        assert_eq!(limit, 250, "of eight they are a second's worth");
        for _ in 0..8 {
            let pace = pace.clone();
            tokio::spawn(async move {
                loop {
                    pace.wait(limit, Lane::InOrder).await;
                }
            });
        }
        for _ in 0..10 {
            let start = Instant::now();
            pace.wait(10, Lane::Fresh).await;
            assert!(start.elapsed() <= Duration::from_millis(130), "{:?}", start.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn slow_answers_are_a_sign_too_and_those_of_one_moment_are_one() {
        let pace = pace();
        for _ in 0..10 {
            pace.delivered(1_000, Duration::from_millis(1));
        }
        for _ in 0..10 {
            pace.delivered(1_000, Duration::from_secs(6));
        }
        let rate = pace.lock().rate.unwrap();
        assert!((9_000.0..12_000.0).contains(&rate), "{rate}");
    }
}
