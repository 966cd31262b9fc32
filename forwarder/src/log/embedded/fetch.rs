//! Reading blocks of a topic in the order of the appends, from a block on or from where it pays to begin.

use super::block;
use super::directory::Shared;
use super::set_aside::set_aside;
use super::store::{Fault, describe};
use super::topic::Topic;
use crate::log::StoredRecord;
use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable};

/// Records, and the sequence of the block behind them.
pub(super) struct Fetched {
    pub records: Vec<StoredRecord>,
    pub next: u64,
}

/// Where to begin.
#[derive(Debug, Clone, Copy)]
pub(super) enum Begin {
    /// With this block.
    Block(u64),
    /// With the first that holds a record wanted.
    FirstWanted,
    /// Behind the last that holds only records from before, ms since 1970.
    Since(i64),
}

impl Begin {
    /// Whether it is known that nothing is left before this end.
    pub fn is_at(self, end: u64) -> bool {
        matches!(self, Self::Block(next) if next >= end)
    }
}

/// Reads blocks until so many bytes or the end are reached. `tail` is where the end was before.
pub(super) fn fetch(
    shared: &Shared,
    topic: &Topic,
    from: Begin,
    tail: u64,
    wanted: &[i64],
    limit_bytes: usize,
) -> Result<Fetched, Fault> {
    let transaction = shared.store.read()?;
    let from = match from {
        Begin::Block(sequence) => sequence,
        Begin::FirstWanted => first_wanted(&transaction, topic, wanted)?.unwrap_or(tail),
        Begin::Since(ms) => first_since(&transaction, topic, ms, tail)?,
    };
    let blocks = transaction.open_table(topic.tables.blocks())?;
    let index = transaction.open_table(topic.tables.index())?;
    let (mut records, mut bytes, mut next) = (Vec::new(), 0, from);
    // The index leads: a block that it names and that is gone is a damaged one.
    for entry in index.range(from..)? {
        let (sequence, descriptor) = entry?;
        let sequence = sequence.value();
        let block = blocks.get(sequence)?;
        let block = Bytes::copy_from_slice(block.as_ref().map_or(&[][..], |block| block.value()));
        bytes += block.len();
        if bytes > limit_bytes && !records.is_empty() {
            return Ok(Fetched { records, next: sequence });
        }
        match block::decode(block.clone()).filter(|all| !all.is_empty()) {
            Some(all) => records.extend(all.into_iter().filter(|r| is_wanted(r, wanted))),
            None => {
                let descriptor = describe(descriptor.value())?;
                set_aside(&shared.store, topic, sequence, &block, &descriptor, wanted);
            }
        }
        next = sequence + 1;
    }
    // All that was there is read; what is missing below the old end was trimmed.
    Ok(Fetched { records, next: next.max(tail) })
}

fn is_wanted(record: &StoredRecord, wanted: &[i64]) -> bool {
    wanted.get(record.partition as usize).is_none_or(|wanted| record.offset >= *wanted)
}

/// The oldest block that holds a record wanted.
fn first_wanted(
    transaction: &ReadTransaction,
    topic: &Topic,
    wanted: &[i64],
) -> Result<Option<u64>, Fault> {
    for entry in transaction.open_table(topic.tables.index())?.iter()? {
        let (sequence, descriptor) = entry?;
        let holds = |(partition, _, end): &(u32, i64, i64)| {
            wanted.get(*partition as usize).is_none_or(|wanted| end > wanted)
        };
        if describe(descriptor.value())?.ranges.iter().any(holds) {
            return Ok(Some(sequence.value()));
        }
    }
    Ok(None)
}

/// The first block behind the last one that holds only older records. `tail`: one past the last block.
fn first_since(
    transaction: &ReadTransaction,
    topic: &Topic,
    since_ms: i64,
    tail: u64,
) -> Result<u64, Fault> {
    let mut first = tail;
    for entry in transaction.open_table(topic.tables.index())?.range(..tail)?.rev() {
        let (sequence, descriptor) = entry?;
        if describe(descriptor.value())?.newest_ms < since_ms {
            break;
        }
        first = sequence.value();
    }
    Ok(first)
}
