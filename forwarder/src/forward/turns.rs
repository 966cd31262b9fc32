//! Whose turn it is to try a destination that failed: one that was not tried yet before one that was, fresh ones first among those;
//! else whoever waits longest. One that fails whatever becomes of the others thus does not keep them from their tries.

use super::lanes::Lane;
use std::collections::BTreeSet;

/// The requests that wait.
#[derive(Debug, Default)]
pub struct Turns {
    waiting: BTreeSet<Turn>,
    number: u64,
}

/// A place among those that wait; what is smaller comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    is_another_try: bool,
    yields_to_fresh: bool,
    number: u64,
}

impl Turns {
    /// Waits from now on, until `end`.
    pub fn begin(&mut self, lane: Lane, is_another_try: bool) -> Turn {
        self.number += 1;
        let yields_to_fresh = !is_another_try && lane == Lane::InOrder;
        let turn = Turn { is_another_try, yields_to_fresh, number: self.number };
        self.waiting.insert(turn);
        turn
    }

    /// Waits no more.
    pub fn end(&mut self, turn: Turn) {
        self.waiting.remove(&turn);
    }

    /// Whether it is this one's turn.
    pub fn is_next(&self, turn: Turn) -> bool {
        self.waiting.first() == Some(&turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_tried_goes_behind_what_was_not_and_fresh_ones_go_first() {
        let mut turns = Turns::default();
        let places = [
            (Lane::Fresh, true),
            (Lane::InOrder, false),
            (Lane::InOrder, true),
            (Lane::Fresh, false),
            (Lane::Fresh, true),
            (Lane::InOrder, false),
        ];
        let mut waiting: Vec<_> =
            places.map(|(lane, again)| turns.begin(lane, again)).into_iter().enumerate().collect();
        let mut order = Vec::new();
        while let Some(at) = waiting.iter().position(|(_, turn)| turns.is_next(*turn)) {
            let (number, turn) = waiting.remove(at);
            turns.end(turn);
            order.push(number);
        }
        assert_eq!(order, [3, 1, 5, 0, 2, 4]);
    }
}
