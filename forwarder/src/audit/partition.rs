//! One partition: the account up to the committed offset, and what is read of the records behind it.

use super::report::Row;
use crate::forward::spans_in;
use crate::ledger::{Account, Claim, Kept, Stamp};
use crate::log::{Standing, StoredRecord, Stretch};

/// Where a record stands to the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Below the committed offset, or beyond it and in the commit's metadata.
    Settled,
    /// Neither.
    Waiting,
}

/// A partition that is being read.
pub struct Reading {
    partition: u32,
    /// The first offset that the account does not know.
    from: i64,
    start: i64,
    end: i64,
    kept: Kept,
    waiting: u64,
    lost_at_end: u64,
}

impl Reading {
    /// What the group has kept of it.
    pub fn new(standing: &Standing) -> Self {
        let Standing { partition, committed, start, end, .. } = *standing;
        let mut kept = match committed {
            Some(committed) => Kept::decode(committed, &standing.metadata),
            None if start == 0 => Kept { account: Account::from_the_start(), ..Kept::default() },
            None => Kept::default(),
        };
        let from = committed.unwrap_or(start);
        if start > from {
            kept.account.overrun(start.abs_diff(from));
        }
        Self {
            partition,
            from: from.max(start),
            start,
            end: end.max(from),
            kept,
            waiting: 0,
            lost_at_end: 0,
        }
    }

    /// What is to be read: what the account does not know, or all that is there.
    pub fn stretch(&self, whole: bool) -> Stretch {
        let start = if whole { self.start } else { self.from };
        Stretch { partition: self.partition, offsets: start..self.end }
    }

    /// Takes a record in.
    pub fn take(&mut self, record: &StoredRecord) -> State {
        if record.offset < self.from {
            return State::Settled;
        }
        let stamp = Stamp::of(&record.record);
        let stamped = stamp.as_ref().map_or(0, |stamp| u64::from(stamp.spans));
        let spans = spans_in(&record.record).unwrap_or(stamped);
        self.kept.account.written(stamp.as_ref().and_then(Stamp::mark), spans);
        match self.kept.ahead.fate(record.offset) {
            Some(fate) => {
                self.kept.account.settled(spans, fate);
                State::Settled
            }
            None => {
                self.waiting += spans;
                State::Waiting
            }
        }
    }

    /// Takes in what a bridge knew to be here before all was read; what is not is lost, though nothing stands behind it.
    pub fn told(&mut self, claim: &Claim) {
        let mut writer = [0; 16];
        if claim.partition == self.partition
            && hex::decode_to_slice(&claim.writer, &mut writer).is_ok()
        {
            self.lost_at_end += self.kept.account.told(writer, claim.records, claim.spans);
        }
    }

    /// The partition's line.
    pub fn row(&self) -> Row {
        let row = Row::of(&self.kept.account.totals, self.waiting);
        Row { lost_at_end: self.lost_at_end, ..row }
    }
}
