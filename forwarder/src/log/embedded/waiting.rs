//! What a group has still to commit, as the disk has it: also after a kill, before anything was read.

use super::block;
use super::store::{Fault, Store, describe};
use super::topic::Topic;
use crate::log::LogError;
use bytes::Bytes;
use redb::ReadableTable;

/// Records that wait for a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Records.
    pub records: u64,
    /// What they weigh.
    pub weight: u64,
}

/// What waits for `group`; for one that is not known, everything.
pub(super) fn of(store: &Store, topic: &Topic, group: &str) -> Result<Waiting, LogError> {
    let committed: Vec<i64> = {
        let state = topic.state();
        let group = state.groups.get(group);
        let of = |partition| group.map_or(0, |group| group.committed(partition));
        (0..topic.partitions).map(of).collect()
    };
    count(store, topic, &committed).map_err(|fault| store.explain(fault))
}

fn count(store: &Store, topic: &Topic, committed: &[i64]) -> Result<Waiting, Fault> {
    let transaction = store.read()?;
    let blocks = transaction.open_table(topic.tables.blocks())?;
    let mut waiting = Waiting::default();
    for entry in transaction.open_table(topic.tables.index())?.iter()? {
        let (sequence, descriptor) = entry?;
        let descriptor = describe(descriptor.value())?;
        let records = descriptor.records_from(committed);
        waiting.records += records;
        waiting.weight += match records {
            0 => 0,
            all if all == descriptor.records() => descriptor.weight,
            // Committed in part: only its records can tell.
            _ => {
                let block = blocks.get(sequence.value())?;
                let bytes = block.map(|block| Bytes::copy_from_slice(block.value()));
                let left = bytes.and_then(block::decode).map(|all| {
                    let is_left = |r: &&crate::log::StoredRecord| {
                        committed.get(r.partition as usize).is_none_or(|c| r.offset >= *c)
                    };
                    all.iter().filter(is_left).map(|r| (topic.weigh)(&r.record)).sum()
                });
                left.unwrap_or(descriptor.weight)
            }
        };
    }
    Ok(waiting)
}

/// Whether a partition has a record from this offset on whose block is not known to be damaged.
pub(super) fn is_readable_from(
    store: &Store,
    topic: &Topic,
    partition: u32,
    offset: i64,
) -> Result<bool, LogError> {
    let find = || -> Result<bool, Fault> {
        let transaction = store.read()?;
        for entry in transaction.open_table(topic.tables.index())?.iter()?.rev() {
            let (sequence, descriptor) = entry?;
            let descriptor = describe(descriptor.value())?;
            let is_damaged = topic.is_damaged(sequence.value());
            let holds = |(of, _, end): &(u32, i64, i64)| *of == partition && *end > offset;
            if !is_damaged && descriptor.ranges.iter().any(holds) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    find().map_err(|fault| store.explain(fault))
}
