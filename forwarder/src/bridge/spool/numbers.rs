//! The bridge's numbers for batches that come without one: by them a second writing is known. A batch that was refused,
//! and that a failing disk or log may have all the same, has its number again when its sender comes again.

use crate::bridge::repeats::Sender;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use xxhash_rust::xxh3::xxh3_128;

/// Refused batches remembered, at most: about 50 bytes each.
const MAX_REFUSED: usize = 20_000;

/// A source of its own for each start of a bridge, and its sequence.
pub struct Numbers {
    source: Bytes,
    last: AtomicU64,
    refused: Mutex<Refused>,
}

/// Numbers by the bytes of their batches.
#[derive(Default)]
struct Refused {
    numbers: HashMap<u128, u64>,
    order: VecDeque<u128>,
}

impl Numbers {
    /// Under a name that was not there before: `bridge/` and 16 hex digits.
    pub fn new() -> Self {
        let source = format!("bridge/{}", hex::encode(rand::random::<[u8; 8]>()));
        Self { source: source.into(), last: AtomicU64::new(0), refused: Mutex::default() }
    }

    /// Gives a sender without a number one for this batch.
    pub fn give(&self, sender: &mut Sender, body: &[u8]) {
        if sender.sequence > 0 && !sender.source.is_empty() {
            return;
        }
        let known = self.lock().take(body);
        sender.source = self.source.clone();
        sender.sequence = known.unwrap_or_else(|| self.last.fetch_add(1, Ordering::Relaxed) + 1);
    }

    /// The batch was refused: its sender will come again.
    pub fn refused(&self, sender: &Sender, body: &[u8]) {
        if sender.source == self.source {
            self.lock().remember(xxh3_128(body), sender.sequence);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refused {
    fn take(&mut self, body: &[u8]) -> Option<u64> {
        // Nothing is hashed while nothing is refused.
        if self.numbers.is_empty() { None } else { self.numbers.remove(&xxh3_128(body)) }
    }

    fn remember(&mut self, hash: u128, sequence: u64) {
        if self.numbers.insert(hash, sequence).is_none() {
            self.order.push_back(hash);
        }
        while self.order.len() > MAX_REFUSED
            && let Some(oldest) = self.order.pop_front()
        {
            self.numbers.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(numbers: &Numbers, body: &str) -> Sender {
        let mut sender = Sender::default();
        numbers.give(&mut sender, body.as_bytes());
        sender
    }

    #[test]
    fn each_batch_has_a_number_of_its_own_and_a_filters_keeps_its() {
        let numbers = Numbers::new();
        assert_eq!([given(&numbers, "a").sequence, given(&numbers, "a").sequence], [1, 2]);
        let filter = Sender { source: "vm".into(), sequence: 7, dropped: 1 };
        let mut same = filter.clone();
        numbers.give(&mut same, b"a");
        assert_eq!(same, filter);
    }

    #[test]
    fn a_refused_batch_has_its_number_again_and_only_once() {
        let numbers = Numbers::new();
        let first = given(&numbers, "a");
        numbers.refused(&first, b"a");
        assert_ne!(given(&numbers, "b"), first);
        assert_eq!(given(&numbers, "a"), first);
        assert_ne!(given(&numbers, "a"), first);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let numbers = Numbers::new();
        for i in 0..=MAX_REFUSED {
            let body = i.to_string();
            numbers.refused(&given(&numbers, &body), body.as_bytes());
        }
        assert_eq!(numbers.lock().numbers.len(), MAX_REFUSED);
    }
}
