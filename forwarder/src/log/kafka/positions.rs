//! Where each assigned partition stands: what is committed, and where the log ends. What `lag` answers from.

use crate::log::{Assignment, Commit, PartitionLag};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The assigned partitions.
#[derive(Default)]
pub(super) struct Positions(Mutex<BTreeMap<u32, Position>>);

struct Position {
    /// The committed offset, or where reading started.
    committed: i64,
    start: i64,
    end: i64,
}

impl Positions {
    /// A partition came, whose log ends at `end` if that is known.
    pub(super) fn assigned(&self, assignment: &Assignment, end: Option<i64>) {
        let committed = assignment.committed.or(assignment.log_start).unwrap_or(0);
        let start = assignment.log_start.unwrap_or(0);
        let position = Position { committed, start, end: end.unwrap_or(committed) };
        self.lock().insert(assignment.partition, position);
    }

    /// These partitions went.
    pub(super) fn removed(&self, partitions: &[u32]) {
        self.lock().retain(|partition, _| !partitions.contains(partition));
    }

    /// Whether the partition is assigned. Notes that the log reaches beyond `offset`.
    pub(super) fn read(&self, partition: u32, offset: i64) -> bool {
        self.ends_at(partition, offset + 1)
    }

    /// The log begins at `start` by now.
    pub(super) fn starts_at(&self, partition: u32, start: i64) {
        if let Some(position) = self.lock().get_mut(&partition) {
            position.start = position.start.max(start);
        }
    }

    /// The log reaches to `end` at least. False when the partition is not assigned.
    pub(super) fn ends_at(&self, partition: u32, end: i64) -> bool {
        let mut positions = self.lock();
        let position = positions.get_mut(&partition);
        position.map(|position| position.end = position.end.max(end)).is_some()
    }

    /// These were stored.
    pub(super) fn committed(&self, commits: &[Commit]) {
        let mut positions = self.lock();
        for commit in commits {
            if let Some(position) = positions.get_mut(&commit.partition) {
                position.committed = commit.offset;
                position.end = position.end.max(commit.offset);
            }
        }
    }

    /// The assigned partitions, in order.
    pub(super) fn partitions(&self) -> Vec<u32> {
        self.lock().keys().copied().collect()
    }

    /// One entry for each assigned partition.
    pub(super) fn lag(&self) -> Vec<PartitionLag> {
        let lag = |(&partition, position): (&u32, &Position)| PartitionLag {
            partition,
            committed: position.committed,
            start: position.start,
            end: position.end,
        };
        self.lock().iter().map(lag).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Position>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(committed: Option<i64>, log_start: Option<i64>, end: Option<i64>) -> Positions {
        let positions = Positions::default();
        let metadata = String::new();
        let assignment = Assignment { partition: 3, committed, metadata, log_start };
        positions.assigned(&assignment, end);
        positions
    }

    fn one(positions: &Positions) -> (i64, i64) {
        let lag = positions.lag();
        assert_eq!((lag.len(), lag[0].partition), (1, 3));
        (lag[0].committed, lag[0].end)
    }

    #[test]
    fn lag_runs_from_what_is_committed_to_the_logs_end() {
        let positions = assigned(Some(10), Some(5), Some(20));
        assert_eq!(one(&positions), (10, 20));
        assert!(positions.read(3, 24));
        positions.committed(&[Commit { partition: 3, offset: 12, metadata: String::new() }]);
        assert_eq!(one(&positions), (12, 25));
    }

    #[test]
    fn with_nothing_committed_it_runs_from_the_logs_start() {
        assert_eq!(one(&assigned(None, Some(5), Some(20))), (5, 20));
        assert_eq!(one(&assigned(None, None, None)), (0, 0));
    }

    #[test]
    fn a_partition_that_went_is_neither_read_nor_shown() {
        let positions = assigned(Some(1), None, Some(1));
        positions.removed(&[3]);
        assert!(!positions.read(3, 9));
        assert!(positions.lag().is_empty());
    }
}
