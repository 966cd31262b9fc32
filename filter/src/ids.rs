//! Trace, span and source ids: never all zero, never repeated between workers.

use crate::trace_context::{SpanId, TraceId};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// Bytes of entropy that seed a generator.
pub const SEED_BYTES: usize = 32;

/// One worker's generator. Not for secrets: ids are public. A clone draws the same.
#[derive(Clone)]
pub struct IdSource {
    generator: Xoshiro256PlusPlus,
    weak: bool,
}

impl IdSource {
    /// A generator with full entropy.
    pub fn seeded(seed: [u8; SEED_BYTES]) -> Self {
        Self { generator: Xoshiro256PlusPlus::from_seed(seed), weak: false }
    }

    /// A generator for a host without entropy: seeded from what differs between workers (time, context
    /// id, node), and stirred by each request's id, which is unique.
    pub fn without_entropy(hints: &[&[u8]]) -> Self {
        let mut seed = Self { generator: Xoshiro256PlusPlus::seed_from_u64(0), weak: true };
        hints.iter().for_each(|hint| seed.stir(hint));
        seed
    }

    /// Whether the generator lacks entropy, so that [`Self::stir`] matters.
    pub fn is_weak(&self) -> bool {
        self.weak
    }

    /// Mixes bytes into a weak generator; a well-seeded one ignores them.
    pub fn stir(&mut self, bytes: &[u8]) {
        if !self.weak || bytes.is_empty() {
            return;
        }
        // FNV-1a over the bytes, four times with different starts: 256 bits from any length.
        let mut seed = [0; SEED_BYTES];
        for word in seed.chunks_exact_mut(8) {
            let start = 0xcbf2_9ce4_8422_2325 ^ self.generator.next_u64();
            let mix = |hash: u64, byte: &u8| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
            };
            word.copy_from_slice(&bytes.iter().fold(start, mix).to_le_bytes());
        }
        self.generator = Xoshiro256PlusPlus::from_seed(seed);
    }

    /// A new trace id.
    pub fn trace_id(&mut self) -> TraceId {
        self.fill()
    }

    /// A new span id.
    pub fn span_id(&mut self) -> SpanId {
        self.fill()
    }

    /// Any 64 bits: for jitter.
    pub fn random(&mut self) -> u64 {
        self.generator.next_u64()
    }

    fn fill<const N: usize>(&mut self) -> [u8; N] {
        let mut id = [0; N];
        self.generator.fill_bytes(&mut id);
        if id == [0; N] {
            id[N - 1] = 1;
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;
    use std::collections::HashSet;

    #[test]
    fn ids_are_distinct_and_never_zero() {
        let mut ids = IdSource::seeded([7; SEED_BYTES]);
        let mut seen = HashSet::new();
        for _ in 0..10_000 {
            let id = ids.trace_id();
            assert!(id != [0; 16] && seen.insert(id));
        }
        assert_ne!(ids.span_id(), [0; 8]);
    }

    #[test]
    fn different_seeds_give_different_ids() {
        let mut one = IdSource::seeded([1; SEED_BYTES]);
        let mut two = IdSource::seeded([2; SEED_BYTES]);
        assert_ne!(one.trace_id(), two.trace_id());
    }

    #[test]
    fn workers_without_entropy_part_at_their_first_request() {
        let hints: &[&[u8]] = &[b"the same time", b"the same context"];
        let mut one = IdSource::without_entropy(hints);
        let mut two = IdSource::without_entropy(hints);
        one.stir(b"request-1");
        two.stir(b"request-2");
        assert_ne!(one.trace_id(), two.trace_id());
        assert!(one.is_weak());
    }

    #[test]
    fn a_seeded_generator_is_not_moved_by_stirring() {
        let mut one = IdSource::seeded([1; SEED_BYTES]);
        let mut two = IdSource::seeded([1; SEED_BYTES]);
        one.stir(b"request-1");
        assert_eq!(one.trace_id(), two.trace_id());
    }
}
