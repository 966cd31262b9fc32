//! What arrived: how often each numbered span came, and which of them are not what was sent.

use super::numbered::Numbered;
use crate::fakes::WireSpan;
use crate::traces::Seen;
use std::collections::{BTreeSet, HashMap};

/// See the module.
#[derive(Debug)]
pub struct Tally {
    numbered: Numbered,
    counts: HashMap<u64, u32>,
    corrupt: BTreeSet<u64>,
}

/// What a tally says against what was accepted. Of a loss or a fault the first numbers are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Spans whose sender saw a 200.
    pub accepted: u64,
    /// Of these, spans that arrived.
    pub delivered: u64,
    /// Of these, spans that did not.
    pub missing: Vec<u64>,
    /// Spans that arrived and that nobody sent.
    pub invented: Vec<u64>,
    /// Spans that arrived with other bytes.
    pub corrupt: Vec<u64>,
    /// Arrivals of a span that had arrived before.
    pub duplicates: u64,
}

impl Tally {
    /// An empty one.
    pub fn new(numbered: Numbered) -> Tally {
        Tally { numbered, counts: HashMap::new(), corrupt: BTreeSet::new() }
    }

    /// Takes in spans as they came over the wire.
    pub fn absorb(&mut self, spans: &[WireSpan]) {
        for span in spans {
            let (number, is_whole) = self.numbered.check(span);
            self.count(number, is_whole);
        }
    }

    /// Takes in spans as a query API shows them.
    pub fn see(&mut self, spans: &[Seen]) {
        for span in spans {
            let (number, is_whole) = self.numbered.check_seen(span);
            self.count(number, is_whole);
        }
    }

    fn count(&mut self, number: u64, is_whole: bool) {
        *self.counts.entry(number).or_default() += 1;
        if !is_whole {
            self.corrupt.insert(number);
        }
    }

    /// Distinct spans that arrived.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether nothing arrived.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// How many of these did not arrive yet.
    pub fn missing(&self, accepted: &[u64]) -> usize {
        accepted.iter().filter(|number| !self.counts.contains_key(number)).count()
    }

    /// Compares with what was accepted, which is all that was sent.
    pub fn sum(&self, accepted: &[u64]) -> Sum {
        let sent: BTreeSet<u64> = accepted.iter().copied().collect();
        let missing = sent.iter().copied().filter(|number| !self.counts.contains_key(number));
        let missing: Vec<u64> = missing.collect();
        let mut invented: Vec<u64> =
            self.counts.keys().copied().filter(|number| !sent.contains(number)).collect();
        invented.sort_unstable();
        Sum {
            accepted: sent.len() as u64,
            delivered: (sent.len() - missing.len()) as u64,
            missing,
            invented,
            corrupt: self.corrupt.iter().copied().collect(),
            duplicates: self.counts.values().map(|count| u64::from(*count) - 1).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::wire::spans_of;

    #[test]
    fn what_is_missing_twice_invented_or_changed_is_told_by_its_number() {
        let numbered = Numbered::from_now();
        let mut tally = Tally::new(numbered);
        let arrived = |range| spans_of(numbered.batch(range).into()).unwrap();
        tally.absorb(&arrived(0..4));
        tally.absorb(&arrived(3..4));
        tally.absorb(&arrived(90..91));
        let mut changed = arrived(5..6);
        changed[0].bytes = "other".into();
        tally.absorb(&changed);

        let sum = tally.sum(&[0, 1, 2, 3, 4, 5]);
        assert_eq!((sum.accepted, sum.delivered, sum.duplicates), (6, 5, 1));
        assert_eq!((sum.missing, sum.invented, sum.corrupt), (vec![4], vec![90], vec![5]));
    }
}
