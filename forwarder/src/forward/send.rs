//! One request to the destination: pace and gate let it pass, and its answer says how the next ones may.

use super::deliver::Deliverer;
use super::doubt::Doubt;
use super::export::{Outcome, Request};
use super::gate::Pass;
use super::lanes::Lane;
use std::time::Duration;
use tokio::time::Instant;

/// A destination that was away for so long may have started again, and is met slowly.
const LONG_AWAY: Duration = Duration::from_secs(5);

impl Deliverer {
    /// The right to make a request, perhaps another try. When the gate opens, those that waited for it do not all go at once, but by
    /// the pace.
    pub(super) async fn pass(&self, spans: u64, lane: Lane, is_another_try: bool) -> Pass<'_> {
        loop {
            self.pace.wait(spans, lane).await;
            let pass = self.gate.pass(lane, is_another_try).await;
            if pass.is_probe() {
                self.pace.goes(spans);
            }
            if pass.is_probe() || !pass.has_waited() {
                return pass;
            }
        }
    }

    /// The same for what can be divided: `None` as soon as it is more than the pace gives to one request.
    pub(super) async fn pass_or_divide(
        &self,
        spans: u64,
        lane: Lane,
        is_another_try: bool,
    ) -> Option<Pass<'_>> {
        tokio::select! {
            biased;
            () = self.pace.is_below(spans) => None,
            pass = self.pass(spans, lane, is_another_try) => Some(pass),
        }
    }

    /// One request, that may pass: what its answer means after those before it, and how long it took.
    pub(super) async fn send(
        &self,
        pass: Pass<'_>,
        request: &Request,
        doubt: &mut Doubt,
    ) -> (Outcome, Duration) {
        self.metrics.in_flight_requests.inc();
        self.metrics.in_flight_spans.inc_by(request.spans as i64);
        let start = Instant::now();
        let outcome = self.destination.export(request).await;
        let took = start.elapsed();
        self.metrics.in_flight_requests.dec();
        self.metrics.in_flight_spans.dec_by(request.spans as i64);
        match &outcome {
            Outcome::Retry { after, reason, is_overload } => {
                self.failed();
                if *is_overload {
                    self.pace.pushed_back();
                }
                pass.failed(*after, reason);
            }
            Outcome::Failed { reason } => {
                self.failed();
                pass.failed(None, reason);
            }
            _ => {
                self.metrics.destination_up.set(1);
                self.pace.delivered(request.spans, took);
                // Before the gate opens: those that wait go by the new pace.
                if pass.closed_for().is_some_and(|away| away >= LONG_AWAY) {
                    self.pace.begin_again();
                }
                pass.succeeded();
            }
        }
        (doubt.answered(outcome, self.metrics.sent_requests.get()), took)
    }

    fn failed(&self) {
        self.metrics.send_failed_requests.inc();
        self.metrics.destination_up.set(0);
    }
}
