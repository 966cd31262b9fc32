//! Records of a partition that are before the reader in order: on their way to the destination, or settled. When it comes to
//! one of them, that is not sent again. What is settled goes into each commit; when that has no more room, nothing overtakes.

use crate::ledger::{Ahead, Fate};
use std::collections::{BTreeMap, BTreeSet};

/// How full a commit may be before nothing more overtakes, and how full when something may again.
const FULL: f64 = 0.75;
const HAS_ROOM: f64 = 0.5;
/// What is under way must fit beside it: so many runs, of 18 bytes at most, when 24 writers leave the least room.
const MOST_RUNS: usize = 32;

/// See the module.
#[derive(Debug, Default)]
pub struct Overtaken {
    on_their_way: BTreeSet<i64>,
    /// Records that the reader in order has met and that repeat one on its way: they are settled with it.
    repeats: BTreeMap<i64, Vec<i64>>,
    settled: Ahead,
    /// Settled by the reader before us.
    inherited: Ahead,
    is_full: bool,
    /// Runs that the next commit may have more than the last one.
    new_runs: usize,
}

/// What the reader in order finds that it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// Nobody was here.
    Nobody,
    /// A record that is on its way; what becomes of it is told later.
    OnItsWay,
    /// One that overtook, and what became of it.
    Settled(Fate),
    /// One that the reader before us had settled, and what became of it.
    Inherited(Fate),
}

impl Overtaken {
    /// With what the reader before us had settled beyond its commit.
    pub fn of(inherited: Ahead) -> Self {
        Self { inherited, ..Self::default() }
    }

    /// Whether this record is known already.
    pub fn knows(&self, offset: i64) -> bool {
        self.on_their_way.contains(&offset) || self.is_settled(offset)
    }

    /// Whether this record is settled.
    pub fn is_settled(&self, offset: i64) -> bool {
        self.settled.fate(offset).is_some() || self.inherited.fate(offset).is_some()
    }

    /// Whether a commit has no room for more.
    pub fn is_full(&self) -> bool {
        self.is_full || self.new_runs >= MOST_RUNS
    }

    /// A record that is not known begins its way.
    pub fn begin(&mut self, offset: i64) {
        self.new_runs += usize::from(!self.knows(offset - 1));
        self.on_their_way.insert(offset);
    }

    /// A record that is not known is settled at once, and not as others are.
    pub fn settle(&mut self, offset: i64, fate: Fate) {
        self.new_runs += 1;
        self.settled.settle(offset, fate);
    }

    /// A record at the end of its way. False when the reader in order has come to it, or never was overtaken.
    pub fn arrived(&mut self, offset: i64, fate: Fate) -> bool {
        let is_ahead = self.on_their_way.remove(&offset);
        if is_ahead {
            self.settled.settle(offset, fate);
        }
        is_ahead
    }

    /// A record is not sent from here. False when it must be: the reader in order has come to it, or to a repeat of it.
    pub fn let_go(&mut self, offset: i64) -> bool {
        !self.repeats.contains_key(&offset) && self.on_their_way.remove(&offset)
    }

    /// The reader in order has met a repeat of one that is on its way.
    pub fn wait_for(&mut self, original: i64, repeat: i64) {
        self.repeats.entry(original).or_default().push(repeat);
    }

    /// Takes out the repeats that waited for this one.
    pub fn take_repeats(&mut self, original: i64) -> Vec<i64> {
        self.repeats.remove(&original).unwrap_or_default()
    }

    /// The reader in order comes to this offset; from now on what becomes of the record is told to it.
    pub fn meet(&mut self, offset: i64) -> Met {
        if self.on_their_way.remove(&offset) {
            return Met::OnItsWay;
        }
        match (self.settled.fate(offset), self.inherited.fate(offset)) {
            (Some(fate), _) => Met::Settled(fate),
            (None, Some(fate)) => Met::Inherited(fate),
            (None, None) => Met::Nobody,
        }
    }

    /// All that is settled behind the committed offset: `window` knows it up to `next`, which the reader in order reads
    /// next.
    pub fn beyond(&mut self, window: Ahead, next: i64) -> Ahead {
        let mut all = window;
        for ahead in [&mut self.settled, &mut self.inherited] {
            ahead.forget_below(next);
            all.absorb(ahead);
        }
        all
    }

    /// So full is the commit that is made now, from 0 to 1.
    pub fn committed(&mut self, filled: f64) {
        self.is_full = filled > if self.is_full { HAS_ROOM } else { FULL };
        let begins_a_run = |offset: &&i64| !self.on_their_way.contains(&(**offset - 1));
        self.new_runs = self.on_their_way.iter().filter(begins_a_run).count();
    }

    /// Whether nothing is on its way that the reader in order has not come to.
    pub fn is_idle(&self) -> bool {
        self.on_their_way.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overtook_is_met_as_it_stands_then() {
        let mut overtaken = Overtaken::default();
        [7, 8, 9].iter().for_each(|offset| overtaken.begin(*offset));
        assert!(overtaken.arrived(8, Fate::DeadLettered) && overtaken.let_go(9));
        let met = [6, 7, 8, 9].map(|offset| overtaken.meet(offset));
        let settled = Met::Settled(Fate::DeadLettered);
        assert_eq!(met, [Met::Nobody, Met::OnItsWay, settled, Met::Nobody]);
        assert!(!overtaken.arrived(7, Fate::Delivered), "it is the other reader's by now");
    }

    #[test]
    fn a_record_that_was_met_cannot_be_let_go() {
        let mut overtaken = Overtaken::default();
        overtaken.begin(7);
        overtaken.meet(7);
        assert!(!overtaken.let_go(7));
    }

    #[test]
    fn a_record_whose_repeat_was_met_cannot_be_let_go() {
        let mut overtaken = Overtaken::default();
        overtaken.begin(7);
        overtaken.wait_for(7, 2);
        assert!(!overtaken.let_go(7) && overtaken.arrived(7, Fate::Delivered));
        assert_eq!((overtaken.take_repeats(7), overtaken.take_repeats(7)), (vec![2], vec![]));
    }

    #[test]
    fn a_commit_has_what_the_window_knows_and_what_is_beyond_it() {
        let inherited = Ahead { runs: vec![2..4, 20..22], odd: vec![(3, Fate::Suppressed)] };
        let mut overtaken = Overtaken::of(inherited);
        for offset in [30, 31] {
            overtaken.begin(offset);
            overtaken.arrived(offset, Fate::Delivered);
        }
        let window = Ahead { runs: vec![7..10, 15..20], odd: vec![(8, Fate::DeadLettered)] };
        let all = overtaken.beyond(window, 20);
        assert_eq!(all.runs, [7..10, 15..22, 30..32]);
        assert_eq!(all.odd, [(8, Fate::DeadLettered)]);
    }

    #[test]
    fn so_many_runs_may_be_under_way_and_no_more() {
        let mut overtaken = Overtaken::default();
        (0..1_000).for_each(|offset| overtaken.begin(offset));
        assert!(!overtaken.is_full(), "it is one run");
        for run in 1..MOST_RUNS as i64 {
            overtaken.begin(1_000 + run * 2);
        }
        assert!(overtaken.is_full());
        overtaken.committed(0.1);
        assert!(overtaken.is_full(), "they are still under way");
        overtaken.arrived(1_002, Fate::Delivered);
        overtaken.committed(0.1);
        assert!(!overtaken.is_full());
    }

    #[test]
    fn nothing_overtakes_from_a_full_commit_to_one_that_has_room_again() {
        let mut overtaken = Overtaken::default();
        let mut is_full_after = |filled| {
            overtaken.committed(filled);
            overtaken.is_full()
        };
        assert_eq!(
            [0.6, 0.8, 0.6, 0.4, 0.6].map(&mut is_full_after),
            [false, true, true, false, false]
        );
    }
}
