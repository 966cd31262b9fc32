//! What may go, oldest first: what every known group has committed, and what is older than the topic keeps.
//! The bound in bytes drops nothing: above it, appends are refused.

use super::block::Descriptor;
use super::store::{Fault, describe};
use super::topic::State;
use crate::log::{Commit, Retention};
use redb::ReadableTable;
use std::collections::BTreeMap;

/// Blocks that go in one round, at most; more than a round writes, so trimming keeps up.
pub(super) const BLOCKS_A_ROUND: usize = 512;

/// For each partition, the offset below which every known group has committed; `None` without any group.
#[derive(Debug)]
pub(super) struct Floor(Option<Vec<i64>>);

impl Floor {
    /// As it will be when these commits are stored.
    pub fn after(state: &State, commits: &[(String, Vec<Commit>)]) -> Self {
        let mut pending: BTreeMap<(&str, u32), i64> = BTreeMap::new();
        for (group, commits) in commits {
            for commit in commits {
                pending.insert((group, commit.partition), commit.offset);
            }
        }
        let committed = |partition: u32| {
            let of_groups = state.groups.iter().map(|(name, group)| {
                let waiting = pending.get(&(name.as_str(), partition));
                waiting.copied().unwrap_or_else(|| group.committed(partition))
            });
            of_groups.min()
        };
        Self((0..state.bounds.len() as u32).map(committed).collect())
    }

    fn of(&self, partition: u32) -> Option<i64> {
        self.0.as_ref()?.get(partition as usize).copied()
    }

    /// Records of a block that some group (or, without groups, anybody) has still to commit.
    fn unread(&self, block: &Descriptor) -> u64 {
        let of_range = |(partition, first, end): &(u32, i64, i64)| {
            let read = self.of(*partition).map_or(*first, |floor| floor.max(*first));
            (end - read).max(0) as u64
        };
        block.ranges.iter().map(of_range).sum()
    }
}

/// A block that may go.
#[derive(Debug)]
pub(super) struct Due {
    pub sequence: u64,
    pub block: Descriptor,
    /// Records in it that are lost to a group.
    pub unread: u64,
}

/// The blocks that may go now, from the front; at most [`BLOCKS_A_ROUND`].
pub(super) fn due(
    index: &impl ReadableTable<u64, &'static [u8]>,
    floor: &Floor,
    retention: &Retention,
    now_ms: i64,
) -> Result<Vec<Due>, Fault> {
    let age_ms = retention.age.map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    let oldest_ms = age_ms.map_or(i64::MIN, |age| now_ms.saturating_sub(age));
    let mut due = Vec::new();
    for entry in index.iter()?.take(BLOCKS_A_ROUND) {
        let (sequence, descriptor) = entry?;
        let block = describe(descriptor.value())?;
        let unread = floor.unread(&block);
        if unread > 0 && block.newest_ms >= oldest_ms {
            break;
        }
        due.push(Due { sequence: sequence.value(), block, unread });
    }
    Ok(due)
}

#[cfg(test)]
mod tests {
    use super::super::topic::Group;
    use super::*;

    fn state(groups: &[&[i64]]) -> State {
        let groups = groups.iter().enumerate().map(|(name, committed)| {
            let positions = (0..).zip(committed.iter()).map(|(p, c)| (p, (*c, String::new())));
            (name.to_string(), Group { positions: positions.collect(), ..Group::default() })
        });
        State { bounds: vec![(0, 9), (0, 9)], groups: groups.collect(), ..State::default() }
    }

    fn unread(groups: &[&[i64]], commits: &[(String, Vec<Commit>)]) -> u64 {
        let block = Descriptor { ranges: vec![(0, 2, 5), (1, 0, 2)], ..Descriptor::default() };
        Floor::after(&state(groups), commits).unread(&block)
    }

    #[test]
    fn without_a_group_everything_is_unread() {
        assert_eq!(unread(&[], &[]), 5);
    }

    #[test]
    fn the_slowest_group_counts() {
        assert_eq!(unread(&[&[9, 9], &[3, 9]], &[]), 2);
        assert_eq!(unread(&[&[9, 9], &[]], &[]), 5, "a group that never committed");
        assert_eq!(unread(&[&[5, 2], &[9, 9]], &[]), 0);
    }

    #[test]
    fn a_commit_of_the_same_round_counts() {
        let commit = Commit { partition: 0, offset: 5, metadata: String::new() };
        assert_eq!(unread(&[&[2, 2]], &[("0".into(), vec![commit])]), 0);
    }
}
