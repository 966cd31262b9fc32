//! What became of a partition's spans up to an offset, as numbers that must add up.

use serde::Serialize;

/// Spans, but for the two fields that say records. Everything counts from the group's first commit of the partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Records that were settled.
    pub records: u64,
    /// Written into the log, as the writers' own totals say: what is missing is in it.
    pub accepted: u64,
    /// Taken by the destination.
    pub delivered: u64,
    /// Kept as dead letters.
    pub dead_lettered: u64,
    /// Repeats of what was delivered, and not delivered again.
    pub suppressed: u64,
    /// Missing from the log, by the writers' totals.
    pub lost: u64,
    /// Records that the log dropped before they were read and that no writer's totals have told of yet.
    pub overrun_records: u64,
    /// Spans in them, estimated from the records that were settled.
    pub overrun: u64,
}

impl Totals {
    /// All spans that are gone, the estimated ones included.
    pub fn gone(&self) -> u64 {
        self.lost + self.overrun
    }

    /// Accepted spans that are in no other number: 0, or a fault of ours. Below 0: spans that nobody accepted.
    pub fn unaccounted(&self) -> i64 {
        let known = self.delivered + self.dead_lettered + self.suppressed + self.gone();
        self.accepted as i64 - known as i64
    }

    /// The sum of both.
    pub fn plus(&self, other: &Self) -> Self {
        let (mut sum, more) = (*self, other.numbers());
        sum.numbers_mut().into_iter().zip(more).for_each(|(number, more)| *number += more);
        sum
    }

    /// As text for a commit's metadata: at most 140 characters.
    pub fn encode(&self) -> String {
        self.numbers().map(|number| format!("{number:x}")).join(":")
    }

    /// Reads what `encode` wrote; `None` for anything else.
    pub fn decode(text: &str) -> Option<Self> {
        let (mut totals, mut parts) = (Self::default(), text.split(':'));
        for number in totals.numbers_mut() {
            *number = u64::from_str_radix(parts.next()?, 16).ok()?;
        }
        parts.next().is_none().then_some(totals)
    }

    /// The order of the text: only ever added to.
    fn numbers(&self) -> [u64; 8] {
        let mut copy = *self;
        copy.numbers_mut().map(|number| *number)
    }

    fn numbers_mut(&mut self) -> [&mut u64; 8] {
        [
            &mut self.records,
            &mut self.accepted,
            &mut self.delivered,
            &mut self.dead_lettered,
            &mut self.suppressed,
            &mut self.lost,
            &mut self.overrun_records,
            &mut self.overrun,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_in_no_number_is_unaccounted() {
        let totals =
            Totals { accepted: 10, delivered: 5, lost: 1, overrun: 2, ..Totals::default() };
        assert_eq!((totals.unaccounted(), totals.gone()), (2, 3));
        assert_eq!(Totals { delivered: 1, ..Totals::default() }.unaccounted(), -1);
    }

    #[test]
    fn what_others_wrote_is_nothing() {
        for text in ["", "1:2", "1:2:3:4:5:6:7:8:9", "x:2:3:4:5:6:7:8", "consumer-1"] {
            assert_eq!(Totals::decode(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn totals_are_read_as_written(numbers in any::<[u64; 8]>()) {
            let mut totals = Totals::default();
            totals.numbers_mut().into_iter().zip(numbers).for_each(|(place, number)| *place = number);
            let text = totals.encode();
            prop_assert!(text.len() <= 140);
            prop_assert_eq!(Totals::decode(&text), Some(totals));
        }
    }
}
