//! What arrived: how often each numbered span came, and which of them are not what was sent.

use super::numbered::{Numbered, is_of_a_filter};
use super::witness::{GATEWAY, id, is_shown};
use crate::fakes::WireSpan;
use crate::traces::Seen;
use std::collections::{BTreeSet, HashMap};

/// See the module.
#[derive(Debug)]
pub struct Tally {
    numbered: Numbered,
    counts: HashMap<u64, u32>,
    corrupt: BTreeSet<u64>,
    /// What a real filter made: it has no number.
    pub of_the_gateway: Arrived,
}

/// Spans of a filter that arrived, as they came over the wire or as a query API shows them.
#[derive(Debug, Default)]
pub struct Arrived {
    over_the_wire: HashMap<(String, String), (u64, WireSpan)>,
    shown: HashMap<(String, String), (u64, Seen)>,
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
    /// Arrivals of a span that had arrived before; those of senders that number their batches among them.
    pub duplicates: u64,
    /// See above.
    pub duplicates_of_filters: u64,
}

impl Tally {
    /// An empty one.
    pub fn new(numbered: Numbered) -> Tally {
        Tally {
            numbered,
            counts: HashMap::new(),
            corrupt: BTreeSet::new(),
            of_the_gateway: Arrived::default(),
        }
    }

    /// Takes in spans as they came over the wire.
    pub fn absorb(&mut self, spans: &[WireSpan]) {
        let (of_the_gateway, numbered): (Vec<_>, Vec<_>) =
            spans.iter().partition(|span| span.service == GATEWAY);
        of_the_gateway.into_iter().for_each(|span| self.of_the_gateway.take(span.clone()));
        for span in numbered {
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

    fn repeats(&self, wanted: impl Fn(u64) -> bool) -> u64 {
        let wanted = self.counts.iter().filter(|(number, _)| wanted(**number));
        wanted.map(|(_, count)| u64::from(*count) - 1).sum()
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
            duplicates: self.repeats(|_| true),
            duplicates_of_filters: self.repeats(is_of_a_filter),
        }
    }
}

impl Arrived {
    /// A span that came over the wire.
    pub fn take(&mut self, span: WireSpan) {
        self.over_the_wire.entry(id(&span)).or_insert_with(|| (0, span)).0 += 1;
    }

    /// A span of a trace that a query API shows.
    pub fn see(&mut self, trace: &str, span: Seen) {
        let id = (trace.to_owned(), span.span_id.clone());
        self.shown.entry(id).or_insert_with(|| (0, span)).0 += 1;
    }

    /// Whether it arrived.
    pub fn has(&self, id: &(String, String)) -> bool {
        self.over_the_wire.contains_key(id) || self.shown.contains_key(id)
    }

    /// Whether it is what was sent.
    pub fn is_whole(&self, id: &(String, String), sent: &WireSpan) -> bool {
        let came = self.over_the_wire.get(id).is_none_or(|(_, came)| {
            (&came.bytes, &came.resource, &came.scope) == (&sent.bytes, &sent.resource, &sent.scope)
        });
        came && self.shown.get(id).is_none_or(|(_, seen)| is_shown(sent, seen))
    }

    /// How often each arrived.
    pub fn counts(&self) -> impl Iterator<Item = (&(String, String), u64)> {
        let wire = self.over_the_wire.iter().map(|(id, (times, _))| (id, *times));
        wire.chain(self.shown.iter().map(|(id, (times, _))| (id, *times)))
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
