//! What a bridge knows to be in the log: the totals of its writers up to the last acknowledged record, per partition.
//!
//! A reader sees a loss by the next record of its writer. Behind the last one there is none; but who read to the end after
//! a bridge said this must have seen as much, and what it has not seen is lost.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Writers of one process that are remembered: there is a new one after each failure.
const MAX_WRITERS: usize = 16;

/// A writer's totals in a partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriterTotals {
    /// Records.
    pub records: u64,
    /// Spans in them.
    pub spans: u64,
}

/// So much of a writer is in a partition, by the word of its bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// 32 hex digits.
    pub writer: String,
    /// The partition.
    pub partition: u32,
    /// Its records.
    pub records: u64,
    /// The spans in them.
    pub spans: u64,
}

/// What a bridge says at `/written`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The topic that it writes to.
    pub topic: String,
    /// Its writers, in each partition.
    pub claims: Vec<Claim>,
}

/// See the module. Bounded: the oldest writers are forgotten, and then nothing is said of them.
#[derive(Debug, Default)]
pub struct Acknowledged(Mutex<VecDeque<Writer>>);

#[derive(Debug)]
struct Writer {
    id: [u8; 16],
    totals: BTreeMap<u32, WriterTotals>,
}

impl Acknowledged {
    /// The writer's records up to these totals are in the log, in each of these partitions.
    pub fn note(&self, id: [u8; 16], totals: &[(u32, WriterTotals)]) {
        let mut writers = self.lock();
        let at = writers.iter().rposition(|writer| writer.id == id).unwrap_or_else(|| {
            if writers.len() == MAX_WRITERS {
                writers.pop_front();
            }
            writers.push_back(Writer { id, totals: BTreeMap::new() });
            writers.len() - 1
        });
        for (partition, more) in totals {
            let known = writers[at].totals.entry(*partition).or_default();
            // Batches are acknowledged in any order.
            if more.records > known.records {
                *known = *more;
            }
        }
    }

    /// All that is known, for a topic of this name.
    pub fn written(&self, topic: &str) -> Written {
        let claim = |writer: &Writer| {
            let id = hex::encode(writer.id);
            let claim = move |(partition, totals): (&u32, &WriterTotals)| Claim {
                writer: id.clone(),
                partition: *partition,
                records: totals.records,
                spans: totals.spans,
            };
            writer.totals.iter().map(claim).collect::<Vec<_>>()
        };
        let claims = self.lock().iter().flat_map(claim).collect();
        Written { topic: topic.into(), claims }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Writer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(records: u64) -> WriterTotals {
        WriterTotals { records, spans: records * 3 }
    }

    #[test]
    fn the_highest_totals_stay_whatever_order_they_are_told_in() {
        let acknowledged = Acknowledged::default();
        acknowledged.note([1; 16], &[(0, totals(5)), (2, totals(1))]);
        acknowledged.note([1; 16], &[(0, totals(4)), (2, totals(2))]);
        let Written { topic, claims } = acknowledged.written("traces");
        let said: Vec<_> =
            claims.iter().map(|claim| (claim.partition, claim.records, claim.spans)).collect();
        assert_eq!((topic.as_str(), said), ("traces", vec![(0, 5, 15), (2, 2, 6)]));
        assert_eq!(claims[0].writer, "01".repeat(16));
    }

    #[test]
    fn the_writers_are_bounded_and_the_oldest_is_forgotten() {
        let acknowledged = Acknowledged::default();
        for id in 0..=MAX_WRITERS as u8 {
            acknowledged.note([id; 16], &[(0, totals(1))]);
        }
        let claims = acknowledged.written("traces").claims;
        assert_eq!((claims.len(), claims[0].writer.as_str()), (MAX_WRITERS, &*"01".repeat(16)));
    }
}
