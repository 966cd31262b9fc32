//! Random operations, with kills among them, against what was answered: every batch that was accepted is delivered once,
//! the batches of a trace in their order, and what waits is a number that is always right.

use super::stage::{DEADLINE, Stage, Written};
use crate::log::double::Mood;
use crate::log::embedded::faults::Disk;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

#[derive(Debug, Clone)]
enum Operation {
    /// A sender's next batch, of these traces; it is sent again until it is accepted, or the log and the disk have failed
    /// it so often that the sender gives up.
    Send(Vec<u8>),
    /// Several at once.
    Burst(u8),
    Log(Mood),
    Disk(Disk),
    Kill,
    Restart,
    Wait(u64),
}

fn operation() -> impl Strategy<Value = Operation> {
    let mood = prop_oneof![
        4 => Just(Mood::Good),
        2 => Just(Mood::Hanging),
        2 => Just(Mood::Failing),
        1 => Just(Mood::Full),
        1 => Just(Mood::Away),
    ];
    let disk =
        prop_oneof![3 => Just(Disk::Works), 1 => Just(Disk::Full), 1 => Just(Disk::FailsToSync)];
    prop_oneof![
        8 => prop::collection::vec(1u8..5, 1..4).prop_map(Operation::Send),
        2 => (2u8..12).prop_map(Operation::Burst),
        4 => mood.prop_map(Operation::Log),
        1 => disk.prop_map(Operation::Disk),
        2 => Just(Operation::Kill),
        1 => Just(Operation::Restart),
        2 => (0u64..90).prop_map(Operation::Wait),
    ]
}

struct Model {
    stage: Stage,
    next: u64,
    accepted: Vec<Written>,
}

impl Model {
    async fn run(&mut self, operation: Operation) {
        match operation {
            Operation::Send(mut traces) => {
                traces.sort_unstable();
                traces.dedup();
                self.next += 1;
                let number = self.next;
                // A log that hangs and a disk that fails leave it open: the sender goes away.
                let sent = self.stage.running().send(number, &traces);
                let patience = Duration::from_millis(400);
                if let Ok(Ok(())) = tokio::time::timeout(patience, sent).await {
                    let spans = traces.iter().map(|trace| Written { trace: *trace, number });
                    self.accepted.extend(spans);
                }
            }
            Operation::Burst(count) => {
                // Each is a trace of its own: their order is nobody's.
                let first = self.next + 1;
                self.next += u64::from(count);
                let running = self.stage.running();
                let send = async |i: u64| {
                    let written = Written { trace: 100 + (i % 100) as u8, number: first + i };
                    let traces = [written.trace];
                    let sent = running.send(written.number, &traces);
                    let sent = tokio::time::timeout(Duration::from_millis(400), sent).await;
                    matches!(sent, Ok(Ok(()))).then_some(written)
                };
                let all = futures_util::future::join_all((0..u64::from(count)).map(send)).await;
                self.accepted.extend(all.into_iter().flatten());
            }
            Operation::Log(mood) => self.stage.log.set(mood),
            Operation::Disk(disk) => self.stage.hands.disk(disk),
            Operation::Kill => self.stage.kill().await,
            Operation::Restart => {
                self.stage.hands.disk(Disk::Works);
                self.stage.kill().await;
            }
            Operation::Wait(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
        }
    }

    async fn check(&mut self) {
        self.stage.hands.disk(Disk::Works);
        self.stage.log.set(Mood::Good);
        tokio::time::timeout(DEADLINE, self.stage.drained()).await.unwrap();
        let delivered = self.stage.delivered();
        let found: BTreeSet<_> = delivered.iter().copied().collect();
        let missing: Vec<_> = self.accepted.iter().filter(|span| !found.contains(span)).collect();
        assert!(missing.is_empty(), "missing: {missing:?}");
        assert_eq!(found.len(), delivered.len(), "delivered twice: {delivered:?}");
        for trace in 1u8..5 {
            let accepted = self.accepted.iter().filter(|span| span.trace == trace);
            let order: Vec<_> = delivered
                .iter()
                .filter(|span| span.trace == trace && self.accepted.contains(span))
                .collect();
            assert_eq!(order, accepted.collect::<Vec<_>>(), "the order of trace {trace}");
        }
        assert_eq!(self.stage.running().metrics.spool.lost_records.get(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn whatever_fails_and_whoever_is_killed_the_accepted_are_delivered_once_and_in_order(
        operations in prop::collection::vec(operation(), 1..25)
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut model = Model { stage: Stage::new(), next: 0, accepted: Vec::new() };
            model.stage.start().await;
            for operation in operations {
                model.run(operation).await;
            }
            model.check().await;
        });
        runtime.shutdown_background();
    }
}
