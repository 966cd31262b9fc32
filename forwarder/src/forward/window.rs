//! A partition's records that were read and are not all settled: what may be committed, and since when one waits.

use crate::ledger::{Account, Ahead, Fate, Mark};
use std::collections::VecDeque;
use std::ops::Range;

/// Offsets in the order of reading; gaps are allowed.
#[derive(Debug, Default)]
pub struct Window {
    open: VecDeque<Entry>,
}

/// A record as it was read.
#[derive(Debug, Default)]
pub struct Entry {
    /// Its offset.
    pub offset: i64,
    /// When it was appended, ms since 1970.
    pub timestamp_ms: i64,
    /// What its stamp says of its writer, if it has one of ours.
    pub mark: Option<Mark>,
    /// The spans in it.
    pub spans: u64,
    /// Records before it that the log dropped before they were read.
    pub overrun: u64,
    /// What became of it; `None` while it is open.
    pub fate: Option<Fate>,
}

impl Window {
    /// A record was read; its offset is above all before it.
    pub fn read(&mut self, entry: Entry) {
        self.open.push_back(entry);
    }

    /// A record was settled.
    pub fn settle(&mut self, offset: i64, fate: Fate) {
        if let Some(at) = self.place(offset) {
            self.open[at].fate = Some(fate);
        }
    }

    /// Where the record of this offset is: mostly there are no gaps, and its distance from the first says it.
    fn place(&self, offset: i64) -> Option<usize> {
        let first = self.open.front()?.offset;
        let near = usize::try_from(offset.checked_sub(first)?).ok()?;
        if self.open.get(near).is_some_and(|entry| entry.offset == offset) {
            return Some(near);
        }
        self.open.binary_search_by_key(&offset, |entry| entry.offset).ok()
    }

    /// Takes the unbroken settled prefix away and writes it into the account: the offset to commit, one past its last
    /// record.
    pub fn take_prefix(&mut self, account: &mut Account) -> Option<i64> {
        let mut prefix = None;
        while let Some(entry) = self.open.pop_front_if(|entry| entry.fate.is_some()) {
            if entry.overrun > 0 {
                account.overrun(entry.overrun);
            }
            account.written(entry.mark, entry.spans);
            account.settled(entry.spans, entry.fate.unwrap_or(Fate::Delivered));
            prefix = Some(entry.offset + 1);
        }
        prefix
    }

    /// What is settled behind the first record that is not. Gaps between settled records count as settled, since no
    /// record is there.
    pub fn ahead(&self) -> Ahead {
        let odd = |entry: &Entry| {
            let fate = entry.fate.filter(|fate| *fate != Fate::Delivered)?;
            Some((entry.offset, fate))
        };
        Ahead { runs: self.runs(), odd: self.open.iter().filter_map(odd).collect() }
    }

    fn runs(&self) -> Vec<Range<i64>> {
        let mut runs: Vec<Range<i64>> = Vec::new();
        let mut is_run = false;
        for entry in &self.open {
            match runs.last_mut() {
                _ if entry.fate.is_none() => {}
                Some(run) if is_run => run.end = entry.offset + 1,
                _ => runs.push(entry.offset..entry.offset + 1),
            }
            is_run = entry.fate.is_some();
        }
        runs
    }

    /// The offset of the first record that is not settled, if there is one.
    pub fn first_open(&self) -> Option<i64> {
        self.open.front().map(|entry| entry.offset)
    }

    /// When the oldest record that waits was appended, ms since 1970.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.open.iter().find(|entry| entry.fate.is_none()).map(|entry| entry.timestamp_ms)
    }

    /// Records that are read and not in a taken prefix.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(offset: i64) -> Entry {
        Entry { offset, timestamp_ms: offset * 10, spans: 1, ..Entry::default() }
    }

    fn prefix(window: &mut Window) -> Option<i64> {
        window.take_prefix(&mut Account::default())
    }

    #[test]
    fn a_record_that_is_open_holds_back_all_behind_it() {
        let mut window = Window::default();
        [5, 6, 9].map(entry).into_iter().for_each(|entry| window.read(entry));
        window.settle(6, Fate::Delivered);
        assert_eq!((prefix(&mut window), window.oldest_ms()), (None, Some(50)));
        window.settle(5, Fate::Delivered);
        assert_eq!((prefix(&mut window), window.oldest_ms()), (Some(7), Some(90)));
        window.settle(9, Fate::Delivered);
        assert_eq!((prefix(&mut window), window.is_empty()), (Some(10), true));
    }

    #[test]
    fn what_is_settled_ahead_is_told_in_runs_with_what_was_not_delivered() {
        let mut window = Window::default();
        (0..10).for_each(|offset| window.read(entry(offset * 2)));
        [2, 4, 18].iter().for_each(|offset| window.settle(*offset, Fate::Delivered));
        window.settle(8, Fate::DeadLettered);
        let ahead = window.ahead();
        assert_eq!(ahead.runs, [2..5, 8..9, 18..19]);
        assert_eq!(ahead.odd, [(8, Fate::DeadLettered)]);
        assert_eq!(window.first_open(), Some(0));
    }

    #[test]
    fn the_account_has_the_prefix_and_nothing_beyond() {
        let (mut window, mut account) = (Window::default(), Account::default());
        (0..4).for_each(|offset| window.read(entry(offset)));
        window.settle(0, Fate::Delivered);
        window.settle(1, Fate::DeadLettered);
        window.settle(3, Fate::Delivered);
        window.take_prefix(&mut account);
        let totals = account.totals;
        assert_eq!((totals.accepted, totals.delivered, totals.dead_lettered), (2, 1, 1));
    }

    proptest! {
        #[test]
        fn a_commit_never_passes_what_is_open(
            gaps in proptest::collection::vec(1i64..4, 1..60),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..120),
        ) {
            let offsets: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let mut window = Window::default();
            offsets.iter().for_each(|offset| window.read(entry(*offset)));
            let mut done = std::collections::BTreeSet::new();
            let mut committed = 0;
            for index in order {
                let offset = *index.get(&offsets);
                done.insert(offset);
                window.settle(offset, Fate::Delivered);
                committed = prefix(&mut window).unwrap_or(committed);
                let first_open = offsets.iter().find(|offset| !done.contains(offset));
                let model = offsets.iter().take_while(|o| first_open.is_none_or(|first| *o < first)).last();
                prop_assert_eq!(committed, model.map_or(0, |last| last + 1));
            }
        }
    }
}
