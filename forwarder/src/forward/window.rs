//! A partition's records that were read and are not all delivered: what may be committed, and since when one waits.

use crate::ledger::Stamp;
use std::collections::VecDeque;
use std::ops::Range;

/// Offsets in the order of reading; gaps are allowed.
#[derive(Debug, Default)]
pub struct Window {
    open: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    offset: i64,
    stamp: Option<Stamp>,
    timestamp_ms: i64,
    is_done: bool,
}

impl Window {
    /// A record was read; its offset is above all before it.
    pub fn read(&mut self, offset: i64, timestamp_ms: i64, stamp: Option<Stamp>) {
        self.open.push_back(Entry { offset, stamp, timestamp_ms, is_done: false });
    }

    /// A record was delivered or dead-lettered.
    pub fn done(&mut self, offset: i64) {
        if let Ok(at) = self.open.binary_search_by_key(&offset, |entry| entry.offset) {
            self.open[at].is_done = true;
        }
    }

    /// Takes the unbroken delivered prefix away, and shows its stamps in order: the offset to commit, one past its last
    /// record.
    pub fn take_prefix(&mut self, mut show: impl FnMut(&Stamp)) -> Option<i64> {
        let mut prefix = None;
        while let Some(entry) = self.open.pop_front_if(|entry| entry.is_done) {
            entry.stamp.iter().for_each(&mut show);
            prefix = Some(entry.offset + 1);
        }
        prefix
    }

    /// The runs of delivered records behind the first that is not, as ranges of offsets: gaps between them count as
    /// delivered, since no record is there.
    pub fn ahead(&self) -> Vec<Range<i64>> {
        let mut runs: Vec<Range<i64>> = Vec::new();
        let mut is_run = false;
        for entry in &self.open {
            match runs.last_mut() {
                _ if !entry.is_done => {}
                Some(run) if is_run => run.end = entry.offset + 1,
                _ => runs.push(entry.offset..entry.offset + 1),
            }
            is_run = entry.is_done;
        }
        runs
    }

    /// The offset of the first record that is not delivered, if there is one.
    pub fn first_open(&self) -> Option<i64> {
        self.open.front().map(|entry| entry.offset)
    }

    /// When the oldest record that waits was appended, ms since 1970.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.open.iter().find(|entry| !entry.is_done).map(|entry| entry.timestamp_ms)
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

    #[test]
    fn a_record_that_is_not_done_holds_back_all_behind_it() {
        let mut window = Window::default();
        for offset in [5, 6, 9] {
            window.read(offset, offset * 10, None);
        }
        window.done(6);
        assert_eq!((window.take_prefix(|_| ()), window.oldest_ms()), (None, Some(50)));
        window.done(5);
        assert_eq!((window.take_prefix(|_| ()), window.oldest_ms()), (Some(7), Some(90)));
        window.done(9);
        assert_eq!((window.take_prefix(|_| ()), window.is_empty()), (Some(10), true));
    }

    #[test]
    fn what_is_delivered_ahead_is_told_in_runs() {
        let mut window = Window::default();
        (0..10).for_each(|offset| window.read(offset * 2, 0, None));
        [2, 4, 8, 18].iter().for_each(|offset| window.done(*offset));
        assert_eq!(window.ahead(), [2..5, 8..9, 18..19]);
        assert_eq!(window.first_open(), Some(0));
    }

    proptest! {
        #[test]
        fn a_commit_never_passes_what_is_not_done(
            gaps in proptest::collection::vec(1i64..4, 1..60),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..120),
        ) {
            let offsets: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let mut window = Window::default();
            offsets.iter().for_each(|offset| window.read(*offset, 0, None));
            let mut done = std::collections::BTreeSet::new();
            let mut committed = 0;
            for index in order {
                let offset = *index.get(&offsets);
                done.insert(offset);
                window.done(offset);
                committed = window.take_prefix(|_| ()).unwrap_or(committed);
                let first_open = offsets.iter().find(|offset| !done.contains(offset));
                let model = offsets.iter().take_while(|o| first_open.is_none_or(|first| *o < first)).last();
                prop_assert_eq!(committed, model.map_or(0, |last| last + 1));
            }
        }
    }
}
