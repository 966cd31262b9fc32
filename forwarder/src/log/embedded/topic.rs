//! What is known of a topic in memory: what is acknowledged, who has committed what, and what waits.
//! It follows the database: it is changed only after a commit, by the one thread that writes.

use super::set_aside::Damage;
use super::store::{StoredTopic, TopicTables};
use crate::log::{Assignment, Commit, LogError, PartitionLag, QueueSize, Record, TopicSettings};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Counted since the directory was opened, but for `stored_bytes`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes that the topic's records take on disk, about.
    pub stored_bytes: u64,
    /// Records that grew older than `retention.age` before every known group had committed them.
    pub expired_unread_records: u64,
    /// Records that readers could not be given, since their block is damaged: it is set aside.
    pub damaged_records: u64,
    /// Bytes that those took on disk, about.
    pub damaged_bytes: u64,
    /// What those weighed.
    pub damaged_weight: u64,
    /// Records that were refused by the disk and answered with an error.
    pub failed_records: u64,
}

/// A group: its commits, and whether it has a reader.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub positions: BTreeMap<u32, (i64, String)>,
    pub has_reader: bool,
    /// Whether the database knows it.
    pub is_stored: bool,
}

impl Group {
    /// The committed offset of a partition; 0 if there is none.
    pub fn committed(&self, partition: u32) -> i64 {
        self.positions.get(&partition).map_or(0, |(offset, _)| *offset)
    }
}

/// What changes with a commit.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Oldest offset held and next offset, of each partition; both as on disk.
    pub bounds: Vec<(i64, i64)>,
    pub groups: BTreeMap<String, Group>,
    pub disk_bytes: u64,
    /// The sequence of the next block.
    pub next_sequence: u64,
}

/// What a record weighs to the topic's owner, such as the spans in it: each block knows the sum, readable or not.
pub type Weigh = fn(&Record) -> u64;

/// A topic.
#[derive(Debug)]
pub(super) struct Topic {
    pub name: String,
    pub weigh: Weigh,
    pub partitions: u32,
    pub settings: TopicSettings,
    pub tables: TopicTables,
    /// The offset of the next record to be taken, of each partition. Locked within the queue's lock only.
    pub next_offsets: Mutex<Vec<i64>>,
    /// The sequence one past the last acknowledged block: readers wait on it.
    pub tail: watch::Sender<u64>,
    /// Records were not stored: the next append is refused, so that none numbered behind them slips in.
    pub is_broken: AtomicBool,
    pub queued_records: AtomicUsize,
    pub queued_bytes: AtomicUsize,
    pub expired_unread: AtomicU64,
    /// The damaged blocks that were met, by sequence.
    pub damaged: Mutex<BTreeMap<u64, Damage>>,
    pub failed: AtomicU64,
    state: Mutex<State>,
}

impl Topic {
    pub fn new(name: &str, settings: &TopicSettings, weigh: Weigh, stored: StoredTopic) -> Self {
        let topic = Self {
            name: name.into(),
            weigh,
            partitions: stored.partitions.len() as u32,
            settings: settings.clone(),
            tables: TopicTables::new(name),
            next_offsets: Mutex::new(vec![0; stored.partitions.len()]),
            tail: watch::Sender::new(0),
            is_broken: AtomicBool::new(false),
            queued_records: AtomicUsize::new(0),
            queued_bytes: AtomicUsize::new(0),
            expired_unread: AtomicU64::new(0),
            damaged: Mutex::default(),
            failed: AtomicU64::new(0),
            state: Mutex::new(State::default()),
        };
        topic.follow(stored);
        topic
    }

    /// Takes over what the database says, at the start and when it was opened anew.
    pub fn follow(&self, stored: StoredTopic) {
        let mut next = self.next_offsets.lock().unwrap_or_else(PoisonError::into_inner);
        for (next, (_, end)) in next.iter_mut().zip(&stored.partitions) {
            *next = (*next).max(*end);
        }
        drop(next);
        let mut state = self.state();
        state.bounds = stored.partitions;
        state.disk_bytes = stored.disk_bytes;
        // Never back: a reader stands at a sequence, and would miss what is written below it.
        state.next_sequence = state.next_sequence.max(stored.next_sequence);
        for (name, positions) in stored.groups {
            let group = state.groups.entry(name).or_default();
            group.positions = positions;
            group.is_stored = true;
        }
        let tail = state.next_sequence;
        drop(state);
        self.tail.send_replace(tail);
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn queued(&self) -> QueueSize {
        QueueSize {
            records: self.queued_records.load(Relaxed),
            bytes: self.queued_bytes.load(Relaxed),
        }
    }

    pub fn counters(&self) -> Counters {
        let damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        Counters {
            stored_bytes: self.state().disk_bytes,
            expired_unread_records: self.expired_unread.load(Relaxed),
            damaged_records: damaged.values().map(|damage| damage.records).sum(),
            damaged_bytes: damaged.values().map(|damage| damage.bytes).sum(),
            damaged_weight: damaged.values().map(|damage| damage.weight).sum(),
            failed_records: self.failed.load(Relaxed),
        }
    }

    /// Whether the block of this sequence was found damaged.
    pub fn is_damaged(&self, sequence: u64) -> bool {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&sequence)
    }

    /// Takes the one place of a group's reader, and says where the group stands.
    pub fn enter(&self, group: &str) -> Result<Vec<Assignment>, LogError> {
        let mut state = self.state();
        let State { groups, bounds, .. } = &mut *state;
        let member = groups.entry(group.into()).or_default();
        if std::mem::replace(&mut member.has_reader, true) {
            return Err(LogError::GroupInUse { group: group.into(), topic: self.name.clone() });
        }
        let assign = |(partition, (start, _)): (usize, &(i64, i64))| {
            let position = member.positions.get(&(partition as u32));
            Assignment {
                partition: partition as u32,
                committed: position.map(|(offset, _)| *offset),
                metadata: position.map(|(_, metadata)| metadata.clone()).unwrap_or_default(),
                log_start: Some(*start),
            }
        };
        Ok(bounds.iter().enumerate().map(assign).collect())
    }

    /// Whether the database knows the group.
    pub fn is_stored(&self, group: &str) -> bool {
        self.state().groups.get(group).is_some_and(|group| group.is_stored)
    }

    /// Gives the place back.
    pub fn leave(&self, group: &str) {
        if let Some(group) = self.state().groups.get_mut(group) {
            group.has_reader = false;
        }
    }

    /// How far a group is behind; `started` is where it began in a partition without a commit.
    pub fn lag(&self, group: &str, started: &[i64]) -> Vec<PartitionLag> {
        let state = self.state();
        let group = state.groups.get(group);
        let of = |(partition, (oldest, end)): (usize, &(i64, i64))| {
            let position = group.and_then(|g| g.positions.get(&(partition as u32)));
            let start = started.get(partition).copied().unwrap_or_default();
            PartitionLag {
                partition: partition as u32,
                committed: position.map_or(start, |(offset, _)| *offset),
                start: *oldest,
                end: *end,
            }
        };
        state.bounds.iter().enumerate().map(of).collect()
    }

    /// Those of the commits that name a partition of ours; an offset beyond the log's end is a mistake,
    /// and would let records go unread.
    pub fn check(&self, group: &str, commits: Vec<Commit>) -> Result<Vec<Commit>, LogError> {
        let state = self.state();
        let mut known = Vec::with_capacity(commits.len());
        for commit in commits {
            let Some((_, end)) = state.bounds.get(commit.partition as usize) else { continue };
            if !(0..=*end).contains(&commit.offset) {
                let Commit { partition, offset, .. } = commit;
                return Err(LogError::Fatal {
                    what: format!("commit of group {group} in topic {}", self.name),
                    detail: format!(
                        "partition {partition}: offset {offset} is not in the log, which ends at {end}"
                    ),
                });
            }
            known.push(commit);
        }
        Ok(known)
    }
}
