//! What is settled beyond the committed offset, as the strings that travel with the commit: after a crash or a
//! rebalance only what was in flight is sent again, and what was not delivered but settled otherwise is counted as such.
//!
//! The first string is hex of varints: the length of a run that is not settled, then of one that is, and so on, from the
//! committed offset. The second lists those of the settled records that were not plainly delivered: the distance from the
//! one before, and what became of it. What does not fit is left out from the end, and is then delivered twice rather
//! than never.

use super::account::Fate;
use std::ops::Range;

/// The settled records above a committed offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ahead {
    /// Runs of offsets, ascending, apart from each other.
    pub runs: Vec<Range<i64>>,
    /// Those in the runs that were not plainly delivered, ascending.
    pub odd: Vec<(i64, Fate)>,
}

impl Ahead {
    /// Both strings, together of at most `limit` bytes; empty when there is nothing.
    pub fn encode(&self, committed: i64, limit: usize) -> (String, String) {
        let (odd, cut) = self.encode_odd(committed, limit / 2);
        let (mut bytes, mut at) = (Vec::new(), committed);
        for run in self.runs.iter().filter(|run| run.start < cut) {
            let before = bytes.len();
            put(&mut bytes, run.start.abs_diff(at));
            put(&mut bytes, run.end.min(cut).abs_diff(run.start));
            if bytes.len() * 2 + odd.len() > limit {
                bytes.truncate(before);
                break;
            }
            at = run.end;
        }
        (hex::encode(bytes), odd)
    }

    /// The odd ones that fit, and the offset of the first that does not: nothing from there on may count as settled.
    fn encode_odd(&self, committed: i64, limit: usize) -> (String, i64) {
        let (mut bytes, mut at) = (Vec::new(), committed);
        for (offset, fate) in &self.odd {
            let before = bytes.len();
            put(&mut bytes, offset.abs_diff(at));
            put(&mut bytes, code(*fate));
            if bytes.len() * 2 > limit {
                bytes.truncate(before);
                return (hex::encode(bytes), *offset);
            }
            at = *offset;
        }
        (hex::encode(bytes), i64::MAX)
    }

    /// Reads what `encode` wrote. Strings of somebody else's say nothing.
    pub fn decode(committed: i64, runs: &str, odd: &str) -> Self {
        let pairs = pairs_of(runs);
        let runs = pairs.into_iter().scan(committed, |at, (gap, length)| {
            let start = at.checked_add_unsigned(gap)?;
            *at = start.checked_add_unsigned(length)?;
            Some(start..*at)
        });
        let odd = pairs_of(odd).into_iter().scan(committed, |at, (gap, code)| {
            *at = at.checked_add_unsigned(gap)?;
            Some((*at, fate(code)))
        });
        Self { runs: runs.collect(), odd: odd.collect() }
    }

    /// A record is settled.
    pub fn settle(&mut self, offset: i64, fate: Fate) {
        self.add(offset..offset.saturating_add(1));
        if fate != Fate::Delivered {
            let at = self.odd.partition_point(|(odd, _)| *odd < offset);
            self.odd.insert(at, (offset, fate));
        }
    }

    /// Takes in what another one knows.
    pub fn absorb(&mut self, other: &Self) {
        other.runs.iter().for_each(|run| self.add(run.clone()));
        self.odd.extend_from_slice(&other.odd);
        self.odd.sort_unstable_by_key(|(offset, _)| *offset);
    }

    /// Knows no more of what is below an offset.
    pub fn forget_below(&mut self, offset: i64) {
        self.runs.retain(|run| run.end > offset);
        if let Some(first) = self.runs.first_mut() {
            first.start = first.start.max(offset);
        }
        self.odd.retain(|(odd, _)| *odd >= offset);
    }

    /// Adds a run; those that it touches become one with it.
    fn add(&mut self, run: Range<i64>) {
        let first = self.runs.partition_point(|other| other.end < run.start);
        let behind = self.runs.partition_point(|other| other.start <= run.end);
        let touched = &self.runs[first..behind];
        let start = touched.first().map_or(run.start, |other| other.start.min(run.start));
        let end = touched.last().map_or(run.end, |other| other.end.max(run.end));
        self.runs.splice(first..behind, std::iter::once(start..end));
    }

    /// What became of the record at `offset`, if it is settled.
    pub fn fate(&self, offset: i64) -> Option<Fate> {
        let at = self.runs.partition_point(|run| run.end <= offset);
        let is_settled = self.runs.get(at).is_some_and(|run| run.contains(&offset));
        let odd = self.odd.binary_search_by_key(&offset, |(offset, _)| *offset);
        is_settled.then(|| odd.map_or(Fate::Delivered, |at| self.odd[at].1))
    }
}

/// 0 suppressed, 1 dead-lettered, 2 delivered, then the spans that were left out.
fn code(fate: Fate) -> u64 {
    match fate {
        Fate::Suppressed => 0,
        Fate::DeadLettered => 1,
        Fate::Delivered => 2,
        Fate::Partly(spans) => spans.saturating_add(2),
    }
}

fn fate(code: u64) -> Fate {
    match code {
        0 => Fate::Suppressed,
        1 => Fate::DeadLettered,
        2 => Fate::Delivered,
        more => Fate::Partly(more - 2),
    }
}

fn pairs_of(text: &str) -> Vec<(u64, u64)> {
    pairs(text).unwrap_or_default()
}

fn pairs(text: &str) -> Option<Vec<(u64, u64)>> {
    let bytes = hex::decode(text).ok()?;
    let (mut rest, mut pairs) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        pairs.push((take(&mut rest)?, take(&mut rest)?));
    }
    Some(pairs)
}

fn put(bytes: &mut Vec<u8>, number: u64) {
    prost::encoding::encode_varint(number, bytes);
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    prost::encoding::decode_varint(rest).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn runs(runs: Vec<Range<i64>>) -> Ahead {
        Ahead { runs, odd: Vec::new() }
    }

    #[test]
    fn nothing_beyond_the_prefix_is_empty_strings() {
        assert_eq!(Ahead::default().encode(7, 4096), (String::new(), String::new()));
        assert_eq!(Ahead::decode(7, "", ""), Ahead::default());
    }

    #[test]
    fn what_others_wrote_says_nothing() {
        for text in ["consumer-1", "zz", "01", "ffffffffffffffffffff01", "0000"] {
            let read = Ahead::decode(i64::MAX - 1, text, text);
            assert!(read.runs.iter().all(|run| run.is_empty()), "{text}");
        }
    }

    #[test]
    fn an_odd_one_that_does_not_fit_is_not_settled_nor_is_what_follows_it() {
        let odd: Vec<_> = (0..900).map(|i| (i * 2 + 1, Fate::DeadLettered)).collect();
        let ahead = Ahead { runs: Vec::from([1..900, 900..1_800]), odd };
        let (runs, odd) = ahead.encode(0, 1_000);
        let read = Ahead::decode(0, &runs, &odd);
        let last = read.runs.last().unwrap().end - 1;
        assert!(last > 200 && last < 1_800, "{last}");
        for offset in 1..=last {
            assert_eq!(read.fate(offset), ahead.fate(offset), "{offset}");
        }
        assert_eq!(read.fate(last + 1), None);
    }

    proptest! {
        #[test]
        fn what_is_settled_in_any_order_is_known_each_with_its_fate(
            offsets in proptest::collection::btree_map(0i64..60, 0u8..4, 0..60)
                .prop_map(|map| map.into_iter().collect::<Vec<_>>()).prop_shuffle(),
            split in 0i64..60,
            below in 0i64..60,
        ) {
            let fate = |code: u8| [Fate::Delivered, Fate::Suppressed, Fate::DeadLettered, Fate::Partly(7)][code as usize];
            let (mut one, mut other) = (Ahead::default(), Ahead::default());
            for (offset, code) in &offsets {
                let ahead = if *offset < split { &mut one } else { &mut other };
                ahead.settle(*offset, fate(*code));
            }
            other.absorb(&one);
            other.forget_below(below);
            for offset in 0..60 {
                let settled = offsets.iter().find(|(o, _)| *o == offset && offset >= below);
                prop_assert_eq!(other.fate(offset), settled.map(|(_, code)| fate(*code)));
            }
            prop_assert!(other.runs.windows(2).all(|two| two[0].end < two[1].start), "{:?}", other.runs);
        }

        #[test]
        fn runs_are_read_as_written(
            start in 0i64..1 << 40,
            lengths in proptest::collection::vec((1i64..9, 1i64..300, 0u8..5), 0..100),
        ) {
            let (mut at, mut ahead) = (start, Ahead::default());
            for (gap, run, kind) in lengths {
                ahead.runs.push(at + gap..at + gap + run);
                let fate = [Fate::Suppressed, Fate::DeadLettered, Fate::Partly(7)].get(kind as usize).copied();
                ahead.odd.extend(fate.map(|fate| (at + gap, fate)));
                at += gap + run;
            }
            let (runs, odd) = ahead.encode(start, 4096);
            prop_assert_eq!(Ahead::decode(start, &runs, &odd), ahead);
        }

        #[test]
        fn what_does_not_fit_is_forgotten_from_the_end(count in 2_000usize..3_000) {
            let all: Vec<_> = (0..count as i64).map(|i| i * 300 + 1..i * 300 + 2).collect();
            let (text, odd) = runs(all.clone()).encode(0, 4096);
            prop_assert!(text.len() <= 4096 && odd.is_empty());
            let read = Ahead::decode(0, &text, &odd).runs;
            prop_assert!(read.len() > 500 && all.starts_with(&read));
        }

        #[test]
        fn any_string_is_read_or_ignored_without_a_panic(committed in any::<i64>(), text in "[0-9a-f]{0,40}") {
            let _ = Ahead::decode(committed.max(0), &text, &text);
        }
    }
}
