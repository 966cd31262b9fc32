//! What no crash touches: the topic's records, its dead letters, the group and its committed offsets. A commit that
//! passes a record which is nowhere, or whose account does not hold, is a fault at once.

use super::destination::Destination;
use super::group::{Group, MemberId};
use super::numbered;
use crate::ledger::Kept;
use crate::log::{Commit, Record, StoredRecord};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;

pub const PARTITIONS: u32 = 4;

/// See the module.
pub struct Cluster {
    state: Mutex<State>,
    /// Something is there for a reader.
    pub changed: Notify,
    destination: Arc<Destination>,
}

pub struct State {
    /// Nothing can be reached.
    pub is_away: bool,
    /// It loses one in so many records that it acknowledged: a broker that lies, to prove that the proof can fail.
    pub loses_one_in: Option<i64>,
    pub group: Group,
    partitions: Vec<Vec<Record>>,
    committed: HashMap<u32, Commit>,
    stored: HashSet<u64>,
    dead_lettered: HashSet<u64>,
    faults: Vec<String>,
}

impl Cluster {
    pub fn new(destination: Arc<Destination>) -> Arc<Self> {
        let state = State {
            is_away: false,
            loses_one_in: None,
            group: Group::of(PARTITIONS as usize),
            partitions: vec![Vec::new(); PARTITIONS as usize],
            committed: HashMap::new(),
            stored: HashSet::new(),
            dead_lettered: HashSet::new(),
            faults: Vec::new(),
        };
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new(), destination })
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Stores a record of the topic and gives its offset.
    pub fn store(&self, partition: u32, record: Record) -> i64 {
        let numbers = numbered::read(record.value.clone()).into_iter().map(|(number, _)| number);
        let mut state = self.lock();
        state.stored.extend(numbers);
        let partition = &mut state.partitions[partition as usize];
        partition.push(record);
        self.changed.notify_waiters();
        partition.len() as i64 - 1
    }

    /// Stores a dead letter.
    pub fn store_letter(&self, record: Record) {
        let numbers = numbered::read(record.value).into_iter().map(|(number, _)| number);
        self.lock().dead_lettered.extend(numbers);
    }

    /// Commits what the member owns. Whatever a commit passes must be with the destination or a dead letter.
    pub fn commit(&self, member: MemberId, commits: Vec<Commit>) {
        let mut state = self.lock();
        for commit in commits {
            if !state.group.owns(member, commit.partition) {
                continue;
            }
            let before = state.committed.get(&commit.partition).map_or(0, |before| before.offset);
            if commit.offset < before {
                state.faults.push(format!("a commit fell back from {before}: {commit:?}"));
            }
            let passed = state.partitions[commit.partition as usize]
                .get(before as usize..commit.offset as usize)
                .unwrap_or_default()
                .to_vec();
            for (number, _) in passed.into_iter().flat_map(|record| numbered::read(record.value)) {
                if !self.destination.has(number) && !state.dead_lettered.contains(&number) {
                    state.faults.push(format!("{commit:?} passes span {number}: it is nowhere"));
                }
            }
            let fault = state.fault_of_account(&commit);
            state.faults.extend(fault);
            state.committed.insert(commit.partition, commit);
        }
    }

    /// Every span of these is stored in the topic.
    pub fn holds(&self, mut numbers: impl Iterator<Item = u64>) -> bool {
        let state = self.lock();
        numbers.all(|number| state.stored.contains(&number))
    }

    pub fn is_dead_lettered(&self, number: u64) -> bool {
        self.lock().dead_lettered.contains(&number)
    }

    /// Nothing is left to be delivered.
    pub fn is_drained(&self) -> bool {
        let state = self.lock();
        let ends = state.partitions.iter().map(Vec::len).enumerate();
        let committed = |p: usize| state.committed.get(&(p as u32)).map_or(0, |c| c.offset);
        ends.into_iter().all(|(partition, end)| committed(partition) == end as i64)
    }

    pub fn records(&self) -> usize {
        self.lock().partitions.iter().map(Vec::len).sum()
    }

    pub fn take_faults(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().faults)
    }
}

impl State {
    /// The ledger's equation as of this commit: every span up to it is in one number, and none is lost.
    fn fault_of_account(&self, commit: &Commit) -> Option<String> {
        let totals = Kept::decode(commit.offset, &commit.metadata).account.totals;
        let passed = &self.partitions[commit.partition as usize][..commit.offset as usize];
        let spans = |record: &Record| numbered::read(record.value.clone()).len() as u64;
        let written: u64 = passed.iter().map(spans).sum();
        let holds = totals.unaccounted() == 0 && totals.gone() == 0 && totals.accepted == written;
        (!holds).then(|| format!("of {written} spans up to {commit:?} the account says {totals:?}"))
    }

    /// Committed offset and metadata of a partition.
    pub fn committed(&self, partition: u32) -> Option<&Commit> {
        self.committed.get(&partition)
    }

    /// One past the last record of a partition.
    pub fn end(&self, partition: u32) -> i64 {
        self.partitions[partition as usize].len() as i64
    }

    /// Up to `most` records from an offset on.
    pub fn read(&self, partition: u32, from: i64, most: usize) -> Vec<StoredRecord> {
        let records = self.partitions[partition as usize].iter().enumerate().skip(from as usize);
        let stored = |(offset, record): (usize, &Record)| StoredRecord {
            partition,
            offset: offset as i64,
            // Some are old by it for ever, and some are fresh.
            timestamp_ms: if offset % 3 == 0 { i64::MAX } else { 1 },
            record: record.clone(),
        };
        let lost = |stored: &StoredRecord| {
            self.loses_one_in.is_some_and(|times| stored.offset % times == times - 1)
        };
        records.map(stored).filter(|stored| !lost(stored)).take(most).collect()
    }
}
