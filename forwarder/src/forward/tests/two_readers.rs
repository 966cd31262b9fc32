//! Any interleaving of the reader in order, the one of fresh records, deliveries, commits and crashes: a commit passes only
//! what is delivered, what a commit knew or passed is not sent again, and every record is.

use super::super::partition::{Due, Partition};
use crate::ledger::{Fate, Kept, Stamp};
use crate::log::{Assignment, Commit, Record, StoredRecord};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone)]
enum Step {
    InOrder,
    Fresh(prop::sample::Index),
    Deliver(prop::sample::Index),
    LetGo(prop::sample::Index),
    Commit,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        3 => Just(Step::InOrder),
        4 => index().prop_map(Step::Fresh),
        4 => index().prop_map(Step::Deliver),
        1 => index().prop_map(Step::LetGo),
        2 => Just(Step::Commit),
        1 => Just(Step::Crash),
    ]
}

/// One partition, and what became of its records.
struct World {
    records: Vec<StoredRecord>,
    partition: Partition,
    next: usize,
    /// Offsets on their way, and whether they are fresh ones.
    in_flight: BTreeMap<i64, bool>,
    /// How often each value was delivered, and the offsets of those that the last commit knew of.
    delivered: BTreeMap<Vec<u8>, usize>,
    settled: BTreeSet<i64>,
    known: BTreeSet<i64>,
    committed: Option<Commit>,
    /// Values of a filter that were committed before the last crash.
    passed: BTreeSet<Vec<u8>>,
    crashes: usize,
}

impl World {
    /// Records whose number is above 0 are a filter's: those of one number are copies of one batch.
    fn of(numbers: &[u8]) -> Self {
        let record = |(offset, number): (usize, &u8)| {
            let offset = offset as i64;
            let stamp = Stamp {
                writer: vec![1; 16],
                total_records: offset as u64 + 1,
                total_spans: offset as u64 + 1,
                spans: 1,
                source: if *number > 0 { b"vm".to_vec() } else { Vec::new() },
                sequence: (*number).into(),
                ..Stamp::default()
            };
            let headers = stamp.headers();
            let value = if *number > 0 { vec![*number] } else { vec![0, offset as u8] };
            let record = Record { headers, value: value.into(), ..Record::default() };
            StoredRecord { partition: 0, offset, timestamp_ms: 1, record }
        };
        Self {
            records: numbers.iter().enumerate().map(record).collect(),
            partition: assigned(None),
            next: 0,
            in_flight: BTreeMap::new(),
            delivered: BTreeMap::new(),
            settled: BTreeSet::new(),
            known: BTreeSet::new(),
            committed: None,
            passed: BTreeSet::new(),
            crashes: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::InOrder => self.read(),
            Step::Fresh(index) => {
                let stored = index.get(&self.records).clone();
                if self.partition.overtake(&stored) == Some(Due::New) {
                    assert!(self.in_flight.insert(stored.offset, true).is_none(), "sent twice");
                }
            }
            Step::Deliver(index) => {
                let all: Vec<i64> = self.in_flight.keys().copied().collect();
                if !all.is_empty() {
                    self.deliver(*index.get(&all));
                }
            }
            Step::LetGo(index) => self.let_go(index),
            Step::Commit => self.commit(),
            Step::Crash => {
                self.crashes += 1;
                self.in_flight.clear();
                self.settled.clone_from(&self.known);
                self.next = self.committed.as_ref().map_or(0, |commit| commit.offset as usize);
                self.partition = assigned(self.committed.as_ref());
                self.look_before();
            }
        }
    }

    /// The next reader looks at all that is committed.
    fn look_before(&mut self) {
        let passed = &self.records[..self.next];
        passed.iter().for_each(|stored| self.partition.remember(stored));
        let values = passed.iter().map(|stored| stored.record.value.to_vec());
        self.passed = values.filter(|value| value[0] > 0).collect();
    }

    fn read(&mut self) {
        let Some(stored) = self.records.get(self.next) else { return };
        self.next += 1;
        let arrival = self.partition.read(stored, Some(1));
        assert_eq!(arrival.lost, None);
        if arrival.due == Due::New {
            assert!(self.in_flight.insert(stored.offset, false).is_none(), "sent twice");
        }
    }

    fn let_go(&mut self, index: &prop::sample::Index) {
        let fresh = self.in_flight.iter().filter(|(_, is_fresh)| **is_fresh);
        let fresh: Vec<i64> = fresh.map(|(offset, _)| *offset).collect();
        if fresh.is_empty() {
            return;
        }
        let offset = *index.get(&fresh);
        if self.partition.let_go(&self.records[offset as usize]) {
            self.in_flight.remove(&offset);
        }
    }

    fn deliver(&mut self, offset: i64) {
        self.in_flight.remove(&offset);
        assert!(!self.known.contains(&offset), "{offset} was known to a commit, and is sent again");
        let value = self.records[offset as usize].record.value.to_vec();
        assert!(
            !self.passed.contains(&value),
            "{offset} repeats what a reader before had committed"
        );
        *self.delivered.entry(value).or_default() += 1;
        self.settled.insert(offset);
        self.partition.settled([(offset, Fate::Delivered)]);
    }

    fn commit(&mut self) {
        let Some(commit) = self.partition.commit(0) else { return };
        for passed in &self.records[..commit.offset as usize] {
            assert!(
                self.delivered.contains_key(&passed.record.value.to_vec()),
                "{commit:?} passes {passed:?}"
            );
        }
        let totals = Kept::decode(commit.offset, &commit.metadata).account.totals;
        assert_eq!((totals.accepted, totals.unaccounted()), (commit.offset as u64, 0));
        self.known.clone_from(&self.settled);
        self.committed = Some(commit);
    }

    /// The rest is read and delivered.
    fn end(&mut self) {
        while self.next < self.records.len() {
            self.read();
        }
        while let Some((offset, _)) = self.in_flight.first_key_value() {
            self.deliver(*offset);
        }
        self.commit();
        let end = self.committed.as_ref().map_or(0, |commit| commit.offset);
        assert_eq!(end, self.records.len() as i64);
        if self.crashes == 0 {
            assert!(self.delivered.values().all(|times| *times == 1), "{:?}", self.delivered);
        }
    }
}

fn assigned(commit: Option<&Commit>) -> Partition {
    let assignment = Assignment {
        partition: 0,
        committed: commit.map(|commit| commit.offset),
        metadata: commit.map(|commit| commit.metadata.clone()).unwrap_or_default(),
        log_start: Some(0),
    };
    Partition::new(1, &assignment)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn every_record_is_delivered_and_what_a_commit_knew_is_not_sent_again(
        numbers in proptest::collection::vec(prop_oneof![2 => Just(0u8), 1 => 1u8..4], 1..20),
        steps in proptest::collection::vec(step(), 0..80),
    ) {
        let mut world = World::of(&numbers);
        steps.iter().for_each(|step| world.step(step));
        world.end();
    }
}
