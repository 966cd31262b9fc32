//! Which number a trace has among those of a request: one lookup a run of spans, by a hash of 16 bytes.

use super::TraceId;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;

/// Drawn once a process: ids that were chosen to collide elsewhere do not collide here.
static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));

/// Traces in the order in which they first appear.
#[derive(Debug, Default)]
pub struct Slots {
    known: HashMap<u128, usize, Seeded>,
    last: Option<(u128, usize)>,
}

impl Slots {
    /// The trace's number; the next one if it is new.
    pub fn of(&mut self, trace: &TraceId) -> usize {
        let id = u128::from_ne_bytes(*trace);
        if let Some((last, slot)) = self.last
            && last == id
        {
            return slot;
        }
        let next = self.known.len();
        let slot = *self.known.entry(id).or_insert(next);
        self.last = Some((id, slot));
        slot
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Seeded;

impl BuildHasher for Seeded {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded(*SEED)
    }
}

/// Multiplies the two halves, each mixed with the seed, and folds the product twice.
struct Folded(u64);

impl Hasher for Folded {
    fn write_u128(&mut self, id: u128) {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let (low, high) = (id as u64 ^ self.0, (id >> 64) as u64 ^ self.0.wrapping_mul(ODD));
        let product = u128::from(low).wrapping_mul(u128::from(high));
        let folded = product as u64 ^ (product >> 64) as u64;
        // The table takes places from the low bits, which a product of even numbers leaves poor.
        let mixed = (folded ^ low ^ high).wrapping_mul(ODD);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxhash_rust::xxh3::xxh3_64_with_seed(bytes, self.0);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_trace_keeps_its_number() {
        let mut slots = Slots::default();
        let numbers = [1u8, 1, 2, 1, 3, 2].map(|trace| slots.of(&[trace; 16]));
        assert_eq!(numbers, [0, 0, 1, 0, 2, 1]);
    }

    #[test]
    fn ids_that_differ_in_little_spread_well() {
        // 4096 ids into 16384 places: of a good hash about 3600 are taken.
        for at in [0, 56, 64, 120] {
            let hash = |n: u128| Seeded.hash_one(n.rotate_left(at));
            let places: HashSet<u64> = (0..4096).map(|n| hash(n) % 16384).collect();
            assert!(places.len() > 3300, "{} at bit {at}", places.len());
            let tops: HashSet<u64> = (0..4096).map(|n| hash(n) >> 50).collect();
            assert!(tops.len() > 3300, "{} tops at bit {at}", tops.len());
        }
    }
}
