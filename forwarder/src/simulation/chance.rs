//! One source of chance for a whole world, drawn from its seed.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Shared by everything that draws.
#[derive(Clone)]
pub struct Chance(Arc<Mutex<StdRng>>);

impl Chance {
    pub fn of(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// True once in so many draws.
    pub fn one_in(&self, draws: u32) -> bool {
        self.below(u64::from(draws)) == 0
    }

    /// 0 up to and without `end`, which is at least 1.
    pub fn below(&self, end: u64) -> u64 {
        self.0.lock().unwrap().random_range(0..end)
    }

    pub fn index(&self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// Up to so many ms; often none at all.
    pub fn delay(&self, most_ms: u64) -> Duration {
        Duration::from_millis(if self.one_in(2) { 0 } else { self.below(most_ms) })
    }
}
