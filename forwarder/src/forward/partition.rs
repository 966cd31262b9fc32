//! A partition that is ours: what was read of it, what is settled, and what is to be committed.

use super::deliver::Origin;
use super::overtaken::{Met, Overtaken};
use super::repeats::Repeats;
use super::window::{Entry, Window};
use crate::ledger::{Account, Fate, Finding, Kept, Mark, Stamp, Totals, View};
use crate::log::{Assignment, Commit, StoredRecord};

/// Whether a record is to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// It is.
    New,
    /// It came before, under another offset.
    Repeat,
    /// The reader before us had settled it, beyond the offset that it committed.
    Settled,
    /// It overtook: it is settled, or on its way.
    Overtook,
    /// It cannot overtake: it is when its turn comes.
    Later,
}

/// What a record says of itself and of those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Whether it is to be delivered.
    pub due: Due,
    /// Records, and spans, that were written before it or in it and that are not there.
    pub lost: Option<(u64, u64)>,
    /// Records that the log dropped before they were read.
    pub overrun: u64,
}

/// See the module.
pub struct Partition {
    /// Which assignment this is: what was read under an older one counts for nothing.
    pub epoch: u64,
    /// Records read and not committed.
    pub window: Window,
    repeats: Repeats,
    overtaken: Overtaken,
    /// The writers as of the last record read.
    view: View,
    /// The account as of the committed offset.
    account: Account,
    /// The offset of the next record, where known; and that of the oldest one in the log, as last heard.
    next: Option<i64>,
    log_start: i64,
    /// Records that the log dropped, and that the next one that is read comes behind.
    overrun: u64,
    /// The offset to commit when no record is open; unknown until one was committed or settled.
    position: Option<i64>,
    /// Whether something was settled since the last commit.
    is_behind: bool,
}

impl Partition {
    /// A partition as it was assigned.
    pub fn new(epoch: u64, assignment: &Assignment) -> Self {
        let Assignment { committed, log_start, .. } = *assignment;
        let begins_with_the_first = committed.is_none() && log_start == Some(0);
        let kept = match committed {
            Some(committed) => Kept::decode(committed, &assignment.metadata),
            None if begins_with_the_first => {
                Kept { account: Account::from_the_start(), ..Kept::default() }
            }
            None => Kept::default(),
        };
        let start = log_start.unwrap_or(0);
        Self {
            epoch,
            window: Window::default(),
            repeats: Repeats::default(),
            overtaken: Overtaken::of(kept.ahead),
            view: kept.account.view.clone(),
            account: kept.account,
            next: committed.map(|committed| committed.max(start)),
            log_start: start,
            overrun: committed.map_or(0, |committed| (start - committed).max(0) as u64),
            // Where the reader begins: what overtakes before it has read anything is committed with that.
            position: committed.or(log_start),
            is_behind: false,
        }
    }

    /// A record that was settled before the committed offset: it is known when it comes again.
    pub fn remember(&mut self, stored: &StoredRecord) {
        if self.next.is_some_and(|next| stored.offset < next)
            && let Some(stamp) = Stamp::of(&stored.record)
        {
            self.repeats.known(&stamp, &stored.record.value, stored.offset);
        }
    }

    /// Takes a record in that holds so many spans; one that is not to be delivered is settled at once.
    pub fn read(&mut self, stored: &StoredRecord, spans: Option<u64>) -> Arrival {
        let stamp = Stamp::of(&stored.record);
        let stamped = stamp.as_ref().map_or(0, |stamp| u64::from(stamp.spans));
        // What is not understood still has the spans that its writer put into it.
        let spans = spans.unwrap_or(stamped);
        let mark = stamp.as_ref().and_then(Stamp::mark);
        let lost = mark.and_then(|mark| self.lost(mark, spans));
        let (due, fate) = self.due(stored, stamp.as_ref());
        let overrun = self.jumped_to(stored.offset);
        self.window.read(Entry {
            offset: stored.offset,
            timestamp_ms: stored.timestamp_ms,
            mark,
            spans,
            overrun: std::mem::take(&mut self.overrun),
            fate: None,
        });
        if let Some(fate) = fate {
            self.settled([(stored.offset, fate)]);
        }
        Arrival { due, lost, overrun }
    }

    /// Whether the record is to be delivered, and what became of it if that is known.
    fn due(&mut self, stored: &StoredRecord, stamp: Option<&Stamp>) -> (Due, Option<Fate>) {
        let met = self.overtaken.meet(stored.offset);
        // One that was suppressed stands for no other: after a restart it may be known before what it repeats.
        let counts =
            !matches!(met, Met::Settled(Fate::Suppressed) | Met::Inherited(Fate::Suppressed));
        let original = if counts { self.original(stored, stamp) } else { None };
        match (met, original) {
            (Met::Nobody, None) => (Due::New, None),
            (Met::Nobody, Some(original)) => (Due::Repeat, self.fate_with(original, stored.offset)),
            (Met::OnItsWay, _) => (Due::Overtook, None),
            (Met::Settled(fate), _) => (Due::Overtook, Some(fate)),
            (Met::Inherited(fate), _) => (Due::Settled, Some(fate)),
        }
    }

    /// A commit that passes a repeat passes what it repeats, too, or finds it settled: so one that overtook is waited for.
    fn fate_with(&mut self, original: i64, repeat: i64) -> Option<Fate> {
        if original < repeat || self.overtaken.is_settled(original) {
            return Some(Fate::Suppressed);
        }
        self.overtaken.wait_for(original, repeat);
        None
    }

    /// The offset of the record that this one repeats.
    fn original(&mut self, stored: &StoredRecord, stamp: Option<&Stamp>) -> Option<i64> {
        let original = self.repeats.known(stamp?, &stored.record.value, stored.offset)?;
        (original < stored.offset || self.overtaken.knows(original)).then_some(original)
    }

    /// A fresh record comes before its turn: whether it is to be delivered, or `None` when it is known already.
    pub fn overtake(&mut self, stored: &StoredRecord) -> Option<Due> {
        let offset = stored.offset;
        let next = self.next.or(self.position);
        if next.is_some_and(|next| offset < next) || self.overtaken.knows(offset) {
            return None;
        }
        // What no commit can tell of does not overtake.
        let Some(next) = next.filter(|_| !self.overtaken.is_full()) else {
            return Some(Due::Later);
        };
        match self.original(stored, Stamp::of(&stored.record).as_ref()) {
            None => {
                self.overtaken.begin(offset);
                Some(Due::New)
            }
            Some(original) if original < next || self.overtaken.is_settled(original) => {
                self.overtaken.settle(offset, Fate::Suppressed);
                self.is_behind = true;
                Some(Due::Repeat)
            }
            Some(_) => Some(Due::Later),
        }
    }

    /// A fresh record is not sent before its turn; false when it must be.
    pub fn let_go(&mut self, stored: &StoredRecord) -> bool {
        let is_let_go = self.overtaken.let_go(stored.offset);
        if let (true, Some(stamp)) = (is_let_go, Stamp::of(&stored.record)) {
            self.repeats.forget(&stamp, &stored.record.value, stored.offset);
        }
        is_let_go
    }

    /// Whether nothing waits.
    pub fn is_idle(&self) -> bool {
        self.window.is_empty() && self.overtaken.is_idle()
    }

    fn lost(&mut self, mark: Mark, spans: u64) -> Option<(u64, u64)> {
        let short = u64::from(mark.here).saturating_sub(spans);
        match self.view.see(mark) {
            Finding::Missing { records, spans } => Some((records, spans + short)),
            _ => (short > 0).then_some((0, short)),
        }
    }

    /// The records between the last one and this that the log is known to have dropped.
    fn jumped_to(&mut self, offset: i64) -> u64 {
        let next = self.next.replace(offset + 1).unwrap_or(offset);
        let dropped = (self.log_start.min(offset) - next).max(0) as u64;
        self.overrun += dropped;
        dropped
    }

    /// The log begins at this offset by now.
    pub fn log_starts_at(&mut self, start: i64) {
        self.log_start = self.log_start.max(start);
    }

    /// Where a record stands.
    pub fn origin(&self, stored: &StoredRecord) -> Origin {
        Origin { partition: stored.partition, epoch: self.epoch, offset: stored.offset }
    }

    /// Records were settled.
    pub fn settled(&mut self, records: impl IntoIterator<Item = (i64, Fate)>) {
        self.is_behind = true;
        for (offset, fate) in records {
            if !self.overtaken.arrived(offset, fate) {
                self.window.settle(offset, fate);
            }
            for repeat in self.overtaken.take_repeats(offset) {
                self.window.settle(repeat, Fate::Suppressed);
            }
        }
        let prefix = self.window.take_prefix(&mut self.account);
        self.position = prefix.or(self.position);
    }

    /// What is to be committed now, if anything is: the unbroken prefix, and what is kept beside it.
    pub fn commit(&mut self, partition: u32) -> Option<Commit> {
        let offset = self.window.first_open().or(self.position)?;
        if !std::mem::take(&mut self.is_behind) {
            return None;
        }
        let ahead = self.overtaken.beyond(self.window.ahead(), self.next.unwrap_or(offset));
        let (metadata, filled) = Kept { ahead, account: self.account.clone() }.write(offset);
        self.overtaken.committed(filled);
        Some(Commit { partition, offset, metadata })
    }

    /// The last commit failed: the next tick commits, as it is then.
    pub fn commit_again(&mut self) {
        self.is_behind = true;
    }

    /// The spans in so many records that were never read, by the mean of those that were.
    pub fn estimate(&self, records: u64) -> u64 {
        self.account.estimate(records)
    }

    /// The account's numbers, as of the offset that is committed next.
    pub fn totals(&self) -> &Totals {
        &self.account.totals
    }
}
