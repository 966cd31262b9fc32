//! One gate before the destination: closed by a failure, and then tried by one request at a time, with growing pauses.

use super::lanes::Lane;
use super::turns::{Turn, Turns};
use rand::Rng;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How often trouble is told while it lasts.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Shared by all requests to one destination.
#[derive(Debug)]
pub struct Gate {
    backoff: (Duration, Duration),
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    /// Failures since the last success; 0 means open.
    failures: u32,
    /// Grows with each failure, so that requests which started together count as one.
    round: u64,
    is_probing: bool,
    turns: Turns,
    next_try: Instant,
    since: Instant,
    told: Instant,
}

/// The right to make one request. Dropped without a word (the request was given up), it counts for nothing.
#[derive(Debug)]
pub struct Pass<'a> {
    gate: &'a Gate,
    round: u64,
    is_probe: bool,
    has_waited: bool,
}

impl Gate {
    /// An open gate; pauses go from the first to the second duration.
    pub fn new(backoff_min: Duration, backoff_max: Duration) -> Self {
        let now = Instant::now();
        let state = State {
            failures: 0,
            round: 0,
            is_probing: false,
            turns: Turns::default(),
            next_try: now,
            since: now,
            told: now,
        };
        Self {
            backoff: (backoff_min, backoff_max),
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }

    /// Whether requests may go now without a pause.
    pub fn is_open(&self) -> bool {
        self.lock().failures == 0
    }

    /// Waits for the right to make a request, which is perhaps another try. While the gate is closed they take turns.
    pub async fn pass(&self, lane: Lane, is_another_try: bool) -> Pass<'_> {
        let place = Place::take(self, lane, is_another_try);
        let mut has_waited = false;
        loop {
            let changed = self.changed.notified();
            let wait = match self.try_pass(place.turn, has_waited) {
                Ok(pass) => return pass,
                Err(wait) => wait,
            };
            has_waited = true;
            match wait {
                Some(until) => {
                    tokio::select! { () = changed => (), () = tokio::time::sleep_until(until) => () }
                }
                None => changed.await,
            }
        }
    }

    /// A pass, or until when to wait (`None`: for another request, whose turn it is).
    fn try_pass(&self, turn: Turn, has_waited: bool) -> Result<Pass<'_>, Option<Instant>> {
        let mut state = self.lock();
        let is_probe = state.failures > 0;
        if is_probe && (state.is_probing || !state.turns.is_next(turn)) {
            return Err(None);
        }
        if is_probe && Instant::now() < state.next_try {
            return Err(Some(state.next_try));
        }
        state.is_probing = is_probe;
        Ok(Pass { gate: self, round: state.round, is_probe, has_waited })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that waits.
struct Place<'a> {
    gate: &'a Gate,
    turn: Turn,
}

impl<'a> Place<'a> {
    fn take(gate: &'a Gate, lane: Lane, is_another_try: bool) -> Self {
        let turn = gate.lock().turns.begin(lane, is_another_try);
        Self { gate, turn }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.gate.lock().turns.end(self.turn);
        self.gate.changed.notify_waiters();
    }
}

impl Pass<'_> {
    /// Whether the gate was closed when it was asked for.
    pub fn has_waited(&self) -> bool {
        self.has_waited
    }

    /// Whether the gate is closed, and this is the one that tries.
    pub fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// How long the gate is closed by now, if it is.
    pub fn closed_for(&self) -> Option<Duration> {
        let state = self.gate.lock();
        (state.failures > 0).then(|| state.since.elapsed())
    }

    /// The destination answered: the gate opens.
    pub fn succeeded(self) {
        let mut state = self.gate.lock();
        if state.failures == 0 {
            return;
        }
        let seconds = state.since.elapsed().as_secs_f32();
        tracing::info!(failures = state.failures, seconds, "the destination answers again");
        state.failures = 0;
        state.round += 1;
    }

    /// The destination failed: the gate closes for the back-off, or for what the destination asked.
    pub fn failed(self, asked: Option<Duration>, reason: &str) {
        let mut state = self.gate.lock();
        if state.round != self.round {
            return;
        }
        let (least, most) = self.gate.backoff;
        let pause = least.saturating_mul(1 << state.failures.min(16)).min(most);
        // Between a half and the whole, so that many forwarders do not come at once.
        let pause =
            pause.mul_f64(rand::rng().random_range(0.5..=1.0)).max(asked.unwrap_or_default());
        let now = Instant::now();
        if state.failures == 0 {
            (state.since, state.told) = (now, now);
            tracing::warn!(
                reason,
                "the destination is away: records wait in the log, and are tried again"
            );
        } else if now - state.told >= TELL_EVERY {
            state.told = now;
            let seconds = state.since.elapsed().as_secs();
            tracing::warn!(
                reason,
                failures = state.failures,
                seconds,
                "the destination is still away"
            );
        }
        state.failures += 1;
        state.round += 1;
        state.next_try = now + pause;
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            self.gate.lock().is_probing = false;
        }
        self.gate.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    async fn pass(gate: &Gate) -> Pass<'_> {
        gate.pass(Lane::InOrder, false).await
    }

    fn gate() -> Gate {
        Gate::new(Duration::from_millis(500), Duration::from_secs(30))
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_gate_lets_all_through() {
        let gate = gate();
        let _passes = (pass(&gate).await, pass(&gate).await, pass(&gate).await);
        assert!(gate.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_gate_is_tried_by_one_at_a_time() {
        let gate = Arc::new(gate());
        pass(&gate).await.failed(None, "refused");
        let (tries, at_once) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        for _ in 0..8 {
            let (gate, tries, at_once) = (gate.clone(), tries.clone(), at_once.clone());
            tokio::spawn(async move {
                loop {
                    let pass = pass(&gate).await;
                    assert_eq!(at_once.fetch_add(1, Ordering::SeqCst), 0);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    tries.fetch_add(1, Ordering::SeqCst);
                    at_once.fetch_sub(1, Ordering::SeqCst);
                    pass.failed(None, "refused");
                }
            });
        }
        tokio::time::sleep(Duration::from_secs(600)).await;
        let tries = tries.load(Ordering::SeqCst);
        assert!((18..60).contains(&tries), "{tries} tries in ten minutes");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_failed_together_count_once() {
        let gate = gate();
        let passes = (pass(&gate).await, pass(&gate).await, pass(&gate).await);
        passes.0.failed(None, "refused");
        passes.1.failed(None, "refused");
        passes.2.failed(None, "refused");
        assert_eq!(gate.lock().failures, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_opens_the_gate_for_all_who_wait() {
        let gate = Arc::new(gate());
        pass(&gate).await.failed(None, "refused");
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                let gate = gate.clone();
                tokio::spawn(async move {
                    pass(&gate).await.succeeded();
                })
            })
            .collect();
        for task in waiting {
            tokio::time::timeout(Duration::from_secs(1), task).await.unwrap().unwrap();
        }
        assert!(gate.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn a_fresh_request_makes_the_next_try() {
        let gate = Arc::new(gate());
        pass(&gate).await.failed(None, "429");
        let (tries, order) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        for lane in [Lane::InOrder, Lane::InOrder, Lane::Fresh, Lane::InOrder] {
            let (gate, tries, order) = (gate.clone(), tries.clone(), order.clone());
            tokio::spawn(async move {
                let pass = gate.pass(lane, false).await;
                order.lock().unwrap().push(lane);
                match tries.fetch_add(1, Ordering::SeqCst) {
                    0 => pass.failed(None, "429"),
                    _ => pass.succeeded(),
                }
            });
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(order.lock().unwrap().len(), 4, "nobody waits for ever");
        assert_eq!(order.lock().unwrap()[0], Lane::Fresh);
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_were_tried_let_one_go_first_that_was_not() {
        let gate = Arc::new(gate());
        let tries = Arc::new(AtomicUsize::new(0));
        for _ in 0..8 {
            let (failing, tries) = (gate.clone(), tries.clone());
            tokio::spawn(async move {
                loop {
                    let pass = failing.pass(Lane::InOrder, true).await;
                    tries.fetch_add(1, Ordering::SeqCst);
                    pass.failed(None, "500");
                }
            });
        }
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_secs(40)).await;
            let before = tries.load(Ordering::SeqCst);
            pass(&gate).await.succeeded();
            assert_eq!(tries.load(Ordering::SeqCst), before, "the next try is for the other one");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_destination_asks_for_is_obeyed() {
        let gate = gate();
        pass(&gate).await.failed(Some(Duration::from_secs(90)), "429");
        let start = Instant::now();
        drop(pass(&gate).await);
        assert!(start.elapsed() >= Duration::from_secs(90));
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_that_is_given_up_lets_another_one_try() {
        let gate = gate();
        pass(&gate).await.failed(None, "refused");
        drop(pass(&gate).await);
        tokio::time::timeout(Duration::from_secs(1), pass(&gate)).await.unwrap().succeeded();
    }
}
