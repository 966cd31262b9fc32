use super::*;
use crate::testing::test;
use std::convert::Infallible;

const LIMITS: Limits =
    Limits { batch_spans: 4, batch_bytes: 4096, buffered_bytes: 10_000, calls_in_flight: 2 };

/// An outbox, its clock, and a proxy that takes every call.
struct Rig {
    outbox: Outbox,
    now: u64,
    next_token: u32,
    calls: Vec<(u32, u64, u32, u64, Vec<u8>)>,
}

impl Rig {
    fn new(limits: Limits) -> Self {
        let envelope = Envelope::new(b"resource".to_vec(), "scope", "1");
        Self { outbox: Outbox::new(limits, envelope), now: 1000, next_token: 1, calls: Vec::new() }
    }

    fn push(&mut self, n: usize) -> bool {
        (0..n).map(|_| self.outbox.push(&[b's'; 100])).fold(false, |any, full| any | full)
    }

    /// Tokens of the calls made.
    fn tick(&mut self) -> Vec<u32> {
        let before = self.calls.len();
        let Self { outbox, calls, next_token, .. } = self;
        let sent: Result<(), Infallible> = outbox.send(self.now, 0, |call| {
            let token = *next_token;
            *next_token += 1;
            calls.push((token, call.sequence, call.spans, call.dropped, call.body.to_vec()));
            Ok(token)
        });
        assert!(sent.is_ok());
        self.check();
        self.calls[before..].iter().map(|call| call.0).collect()
    }

    fn answer(&mut self, token: u32, outcome: Outcome) {
        assert!(self.outbox.answered(token, outcome, self.now, 0).is_some());
        self.check();
    }

    fn check(&self) {
        let ledger = self.outbox.ledger();
        assert!(ledger.balances(self.outbox.held_spans()), "{ledger:?}");
        assert!(self.outbox.held_bytes() <= self.outbox.limits.buffered_bytes);
    }
}

const ACCEPTED: Outcome = Outcome::Accepted { rejected: 0 };
const RETRY: Outcome = Outcome::Retry { after_ms: None };

#[test]
fn a_tick_sends_what_there_is_and_nothing_when_there_is_nothing() {
    let mut rig = Rig::new(LIMITS);
    assert!(rig.tick().is_empty());
    rig.push(3);
    assert_eq!(rig.tick(), [1]);
    assert!(rig.tick().is_empty());
    rig.answer(1, ACCEPTED);
    assert_eq!(rig.outbox.ledger().accepted, 3);
    assert_eq!((rig.outbox.held_spans(), rig.outbox.held_bytes()), (0, 0));
}

#[test]
fn a_full_batch_asks_to_be_sent_at_once() {
    let mut rig = Rig::new(LIMITS);
    assert!(!rig.push(3));
    assert!(rig.push(1));
    rig.push(1);
    rig.tick();
    assert_eq!(rig.calls.iter().map(|call| call.2).collect::<Vec<_>>(), [4, 1]);
}

#[test]
fn a_batch_is_full_by_bytes_too() {
    let mut rig = Rig::new(Limits { batch_spans: 1000, batch_bytes: 400, ..LIMITS });
    assert!(!rig.push(3));
    assert!(rig.push(1));
}

#[test]
fn no_more_calls_are_in_flight_than_allowed() {
    let mut rig = Rig::new(LIMITS);
    rig.push(20);
    assert_eq!(rig.tick(), [1, 2]);
    assert!(rig.tick().is_empty());
    rig.answer(1, ACCEPTED);
    assert_eq!(rig.tick(), [3]);
}

#[test]
fn a_retry_has_the_same_sequence_and_the_same_bytes() {
    let mut rig = Rig::new(LIMITS);
    rig.push(4);
    rig.tick();
    rig.answer(1, RETRY);
    rig.push(4);
    assert!(rig.tick().is_empty(), "the gate is closed");
    rig.now += 60_000;
    // One probe at a time, the untried batch first.
    assert_eq!(rig.tick(), [2]);
    rig.answer(2, ACCEPTED);
    assert_eq!(rig.tick(), [3]);
    let [first, second, third] = &rig.calls[..] else { panic!() };
    assert_eq!((first.1, second.1, third.1), (1, 2, 1));
    assert_eq!(first.4, third.4);
    assert_eq!(rig.outbox.ledger().batches_retried, 1);
}

#[test]
fn while_the_bridge_fails_spans_gather_in_the_open_batch() {
    let mut rig = Rig::new(Limits { batch_spans: 100, ..LIMITS });
    rig.push(1);
    rig.tick();
    rig.answer(1, RETRY);
    for _ in 0..10 {
        rig.push(1);
        rig.tick();
    }
    rig.now += 60_000;
    rig.tick();
    rig.answer(2, ACCEPTED);
    rig.tick();
    assert_eq!(rig.calls.iter().map(|call| call.2).collect::<Vec<_>>(), [1, 1, 10]);
}

#[test]
fn the_oldest_waiting_batch_goes_when_the_buffer_is_full_and_is_counted() {
    let mut rig = Rig::new(Limits { buffered_bytes: 2000, ..LIMITS });
    rig.push(4);
    rig.tick();
    rig.push(40);
    rig.check();
    let dropped = rig.outbox.ledger().dropped_buffer_full;
    assert!(dropped > 0 && dropped % 4 == 0, "{dropped}");
    rig.answer(1, ACCEPTED);
    rig.tick();
    assert_eq!(rig.calls[1].3, dropped, "the next call tells what was dropped");
    assert_eq!(rig.calls[1].1, 2, "a batch that was never sent took no number");
}

#[test]
fn with_everything_in_flight_a_new_span_is_dropped_and_counted() {
    let mut rig = Rig::new(Limits { batch_spans: 2, buffered_bytes: 300, ..LIMITS });
    rig.push(2);
    rig.tick();
    rig.push(1);
    assert_eq!(rig.outbox.ledger().dropped_buffer_full, 1);
    rig.answer(1, ACCEPTED);
    assert_eq!(rig.outbox.ledger().accepted, 2);
}

#[test]
fn a_refused_batch_is_dropped_and_the_next_goes_on() {
    let mut rig = Rig::new(LIMITS);
    rig.push(4);
    rig.tick();
    rig.answer(1, Outcome::Refused);
    assert_eq!(rig.outbox.ledger().dropped_refused, 4);
    rig.push(4);
    assert_eq!(rig.tick(), [2]);
    rig.answer(2, Outcome::Accepted { rejected: 1 });
    let ledger = *rig.outbox.ledger();
    assert_eq!((ledger.accepted, ledger.dropped_refused), (3, 5));
    assert!(rig.outbox.answered(2, ACCEPTED, 0, 0).is_none(), "answered once");
}

#[test]
fn a_missing_cluster_is_counted_and_tried_again_without_a_busy_loop() {
    let mut rig = Rig::new(LIMITS);
    rig.push(12);
    let mut tries = 0;
    for _ in 0..300 {
        let _ = rig.outbox.send(rig.now, 0, |_| {
            tries += 1;
            Err::<u32, ()>(())
        });
        rig.now += 200;
        rig.check();
    }
    assert!((3..=12).contains(&tries), "{tries} tries in a minute");
    assert_eq!(rig.outbox.ledger().calls_failed, tries);
    assert_eq!(rig.outbox.held_spans(), 12);
    rig.now += 60_000;
    assert_eq!(rig.tick().len(), 1);
}

#[test]
fn at_the_end_all_is_sent_though_the_gate_is_closed() {
    let mut rig = Rig::new(LIMITS);
    rig.push(4);
    rig.tick();
    rig.answer(1, RETRY);
    rig.push(30);
    let mut spans = 0;
    let mut token = 100;
    let sent: Result<(), Infallible> = rig.outbox.send_all(|call| {
        spans += call.spans;
        token += 1;
        Ok(token)
    });
    assert!(sent.is_ok());
    assert_eq!(spans, 34);
    assert_eq!(rig.outbox.calls_in_flight(), 9);
}

#[cfg(not(target_arch = "wasm32"))]
mod any_history {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Push(usize),
        Tick { pass_ms: u64, fails: bool },
        Answer { which: usize, outcome: Outcome },
        End,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0_usize..600).prop_map(Step::Push),
            4 => (0_u64..5000, prop::bool::weighted(0.2))
                .prop_map(|(pass_ms, fails)| Step::Tick { pass_ms, fails }),
            4 => (0_usize..8, outcome()).prop_map(|(which, outcome)| Step::Answer { which, outcome }),
            1 => Just(Step::End),
        ]
    }

    fn outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            (0_u64..3).prop_map(|rejected| Outcome::Accepted { rejected }),
            prop::option::of(0_u64..10_000).prop_map(|after_ms| Outcome::Retry { after_ms }),
            Just(Outcome::Refused),
        ]
    }

    fn limits() -> impl Strategy<Value = Limits> {
        (1_u32..20, 100_usize..2000, 200_usize..8000, 1_usize..5).prop_map(
            |(batch_spans, batch_bytes, buffered_bytes, calls_in_flight)| Limits {
                batch_spans,
                batch_bytes,
                buffered_bytes,
                calls_in_flight,
            },
        )
    }

    proptest! {
        #[test]
        fn made_is_accepted_and_held_and_dropped(
            limits in limits(),
            steps in prop::collection::vec(step(), 1..200),
        ) {
            let mut rig = Rig::new(limits);
            let mut flying: Vec<u32> = Vec::new();
            let mut sequences = std::collections::HashMap::new();
            for (at, step) in steps.into_iter().enumerate() {
                let random = at as u64 * 7919;
                match step {
                    Step::Push(size) => {
                        rig.outbox.push(&vec![b's'; size]);
                    }
                    Step::Tick { pass_ms, fails } => {
                        rig.now += pass_ms;
                        let token = &mut rig.next_token;
                        let _ = rig.outbox.send(rig.now, random, |call| {
                            if fails { return Err(()); }
                            let known = sequences.entry(call.sequence).or_insert(call.body.to_vec());
                            assert_eq!(known, call.body);
                            *token += 1;
                            flying.push(*token);
                            Ok(*token)
                        });
                        prop_assert!(rig.outbox.calls_in_flight() <= limits.calls_in_flight.max(flying.len()));
                    }
                    Step::Answer { which, outcome } => {
                        if !flying.is_empty() {
                            let token = flying.remove(which % flying.len());
                            prop_assert!(rig.outbox.answered(token, outcome, rig.now, random).is_some());
                        }
                    }
                    Step::End => {
                        let token = &mut rig.next_token;
                        let _ = rig.outbox.send_all(|_| {
                            *token += 1;
                            flying.push(*token);
                            Ok::<_, Infallible>(*token)
                        });
                    }
                }
                rig.check();
                prop_assert_eq!(rig.outbox.calls_in_flight(), flying.len());
            }
        }
    }
}
