//! Random operations, with opening anew and crashes among them, against a model of plain vectors.

use super::EmbeddedLog;
use super::faults::Hands;
use crate::log::{Commit, Event, Log, LogSettings, Placed, Record, Retention, TopicSettings};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::timeout;

const PARTITIONS: u32 = 3;
const AGE_MS: i64 = 1_000;
const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
enum Operation {
    /// Partition and size of each record.
    Append(Vec<(u32, usize)>),
    /// A group reads all that there is for it, and commits this share of what it read in each partition.
    Read { group: usize, share: [u8; PARTITIONS as usize] },
    /// Closes and opens.
    Reopen,
    /// Opens what is on the disk while the old process has not closed anything.
    Crash,
    /// Time goes by, ms, and what is too old is trimmed.
    Wait(i64),
}

fn operation() -> impl Strategy<Value = Operation> {
    let size = prop_oneof![5 => 0usize..200, 2 => 200usize..5_000, 1 => 60_000usize..150_000];
    let records = prop::collection::vec((0..PARTITIONS, size), 1..8);
    prop_oneof![
        6 => records.prop_map(Operation::Append),
        4 => (0usize..3, any::<[u8; 3]>()).prop_map(|(group, share)| Operation::Read { group, share }),
        1 => Just(Operation::Reopen),
        1 => Just(Operation::Crash),
        1 => (0i64..800).prop_map(Operation::Wait),
    ]
}

/// A record weighs what its value is long.
fn weigh(record: &Record) -> u64 {
    record.value.len() as u64
}

struct Kept {
    value: Bytes,
    timestamp_ms: i64,
}

/// Of a group: where it reads from; what is guaranteed to be there for it, but for age.
#[derive(Default, Clone)]
struct Group {
    committed: [Option<i64>; PARTITIONS as usize],
    guaranteed: [i64; PARTITIONS as usize],
}

struct Model {
    root: TempDir,
    crashes: usize,
    hands: Hands,
    log: Option<Arc<EmbeddedLog>>,
    partitions: [Vec<Kept>; PARTITIONS as usize],
    groups: BTreeMap<usize, Group>,
    appended: u64,
}

impl Model {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let mut model = Self {
            root,
            crashes: 0,
            hands: Hands::default(),
            log: None,
            partitions: Default::default(),
            groups: BTreeMap::new(),
            appended: 0,
        };
        model.open();
        model
    }

    fn path(&self) -> PathBuf {
        self.root.path().join(self.crashes.to_string())
    }

    fn open(&mut self) {
        let retention = Retention { age: Some(Duration::from_millis(AGE_MS as u64)), bytes: None };
        let topic = TopicSettings { partitions: PARTITIONS, retention, ..TopicSettings::default() };
        let settings = LogSettings { topic, ..LogSettings::default() };
        let surroundings = self.hands.surroundings();
        self.log =
            Some(EmbeddedLog::open_in(&self.path(), "t", &settings, weigh, surroundings).unwrap());
    }

    fn log(&self) -> Arc<EmbeddedLog> {
        self.log.clone().unwrap()
    }

    async fn run(&mut self, operation: Operation) {
        match operation {
            Operation::Append(records) => self.append(records).await,
            Operation::Read { group, share } => self.read(group, share).await,
            Operation::Reopen => {
                self.log = None;
                self.open();
                self.check_waiting();
            }
            Operation::Crash => {
                let file = self.path().join("log.redb");
                self.crashes += 1;
                fs::create_dir(self.path()).unwrap();
                fs::copy(file, self.path().join("log.redb")).unwrap();
                self.open();
                self.check_waiting();
            }
            Operation::Wait(ms) => {
                self.hands.advance_ms(ms);
                self.log().flush().await.unwrap();
                self.check_trimmed();
            }
        }
    }

    async fn append(&mut self, records: Vec<(u32, usize)>) {
        let timestamp_ms = self.hands.now_ms();
        let (mut placed, mut expected) = (Vec::new(), Vec::new());
        for (partition, size) in records {
            self.appended += 1;
            let mut value = format!("{} ", self.appended).into_bytes();
            value.resize(value.len() + size, b'x');
            let value = Bytes::from(value);
            let record = Record { value: value.clone(), ..Record::default() };
            placed.push(Placed { partition, record });
            let kept = &mut self.partitions[partition as usize];
            expected.push(kept.len() as i64);
            kept.push(Kept { value, timestamp_ms });
        }
        let answer = self.log().append(placed).unwrap();
        assert_eq!(timeout(DEADLINE, answer).await.unwrap().unwrap(), expected);
    }

    /// Records of a partition that this group must see, by offset.
    fn required(&self, group: &Group, partition: usize) -> Vec<i64> {
        let from = group.committed[partition].unwrap_or(0).max(group.guaranteed[partition]);
        let oldest_ms = self.hands.now_ms() - AGE_MS;
        let kept = self.partitions[partition].iter().enumerate();
        let young = kept.filter(|(_, kept)| kept.timestamp_ms >= oldest_ms);
        young.map(|(offset, _)| offset as i64).filter(|offset| *offset >= from).collect()
    }

    fn group(&mut self, name: usize) -> Group {
        if !self.groups.contains_key(&name) {
            let floor = |partition: usize| {
                let committed =
                    |g: &Group| g.committed[partition].unwrap_or(0).max(g.guaranteed[partition]);
                self.groups.values().map(committed).min().unwrap_or(0)
            };
            let guaranteed = [floor(0), floor(1), floor(2)];
            self.groups.insert(name, Group { guaranteed, ..Group::default() });
        }
        self.groups[&name].clone()
    }

    async fn read(&mut self, name: usize, share: [u8; PARTITIONS as usize]) {
        let group = self.group(name);
        let mut reader = self.log().reader(&format!("g{name}")).await.unwrap();
        let Event::Assigned(assigned) = reader.next().await.unwrap() else { panic!() };
        let committed: Vec<_> = assigned.iter().map(|a| a.committed).collect();
        assert_eq!(committed, group.committed);
        let required = [0, 1, 2].map(|p| self.required(&group, p));
        let mut seen: [Vec<i64>; PARTITIONS as usize] = Default::default();
        let all_seen = |seen: &[Vec<i64>; 3]| {
            required.iter().zip(seen).all(|(r, s)| r.last().is_none_or(|r| s.last() >= Some(r)))
        };
        loop {
            let patience = if all_seen(&seen) { Duration::from_millis(5) } else { DEADLINE };
            let Ok(event) = timeout(patience, reader.next()).await else { break };
            let Event::Records(records) = event.unwrap() else { panic!() };
            for record in records {
                let kept = &self.partitions[record.partition as usize][record.offset as usize];
                assert_eq!(record.record.value, kept.value);
                assert_eq!(record.timestamp_ms, kept.timestamp_ms);
                seen[record.partition as usize].push(record.offset);
            }
        }
        let mut commits = Vec::new();
        for (p, seen) in seen.iter().enumerate() {
            assert!(seen.windows(2).all(|w| w[0] < w[1]), "in order, none twice: {seen:?}");
            assert!(seen.first() >= group.committed[p].as_ref().filter(|_| !seen.is_empty()));
            let missing: Vec<_> = required[p].iter().filter(|r| !seen.contains(r)).collect();
            assert!(missing.is_empty(), "partition {p}: {missing:?} of {seen:?}");
            let end = seen.last().map_or(0, |last| last + 1);
            let offset = group.committed[p].unwrap_or(0)
                + (end - group.committed[p].unwrap_or(0)).max(0) * i64::from(share[p]) / 255;
            commits.push(Commit { partition: p as u32, offset, metadata: String::new() });
        }
        for commit in &commits {
            let group = self.groups.get_mut(&name).unwrap();
            group.committed[commit.partition as usize] = Some(commit.offset);
        }
        reader.commit(commits).await.unwrap();
        reader.close().await.unwrap();
        self.check_trimmed();
        self.check_waiting();
    }

    /// What waits for a group is what it has not committed; what grew too old may be gone of it.
    fn check_waiting(&self) {
        for (name, group) in &self.groups {
            let waiting = self.log().waiting(&format!("g{name}")).unwrap();
            let kept = self.partitions.iter().zip(&group.committed);
            let left = kept.flat_map(|(kept, from)| &kept[from.unwrap_or(0) as usize..]);
            let all: Vec<_> = left.map(|kept| kept.value.len() as u64).collect();
            assert!(waiting.records <= all.len() as u64 && waiting.weight <= all.iter().sum());
            let required =
                (0..3).flat_map(|p| self.required(group, p).into_iter().map(move |o| (p, o)));
            let required: Vec<_> =
                required.map(|(p, o)| self.partitions[p][o as usize].value.len() as u64).collect();
            assert!(
                waiting.records >= required.len() as u64 && waiting.weight >= required.iter().sum()
            );
        }
    }

    /// When every group has committed everything, or all is too old, nothing is stored.
    fn check_trimmed(&self) {
        let oldest_ms = self.hands.now_ms() - AGE_MS;
        let is_old = |kept: &Kept| kept.timestamp_ms < oldest_ms;
        let all_old = self.partitions.iter().flatten().all(is_old);
        let committed_all = |group: &Group| {
            let ends = self.partitions.iter().map(|kept| kept.len() as i64);
            group.committed.iter().zip(ends).all(|(committed, end)| committed.unwrap_or(0) >= end)
        };
        let all_read = !self.groups.is_empty() && self.groups.values().all(committed_all);
        if all_old || all_read {
            assert_eq!(self.log().counters().stored_bytes, 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_log_does_what_plain_vectors_do(operations in prop::collection::vec(operation(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut model = Model::new();
            for operation in operations {
                model.run(operation).await;
            }
        });
    }
}
