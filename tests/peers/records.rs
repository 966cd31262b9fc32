//! Which spans become which records: for our bridge a flag; for the peer that reads them, the queue that costs it least.

use crate::corpus::Recipe;
use crate::load::Protocol;
use spanferry::bridge::RecordOf;

/// Stands in the name of a comparison in which a record of ours may hold several traces.
pub const OF_BATCHES: &str = "--record batch";

/// A corpus and how it stands in Kafka.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Records {
    /// The spans.
    pub recipe: Recipe,
    /// What a record of our bridge holds. One of the Collector holds a trace: it can do nothing else with per-trace keys.
    pub of: RecordOf,
}

impl Records {
    /// A record for each trace.
    pub const fn of_traces(recipe: Recipe) -> Records {
        Records { recipe, of: RecordOf::Trace }
    }

    /// A record for the traces of a request that are of one partition.
    pub const fn of_batches(recipe: Recipe) -> Records {
        Records { recipe, of: RecordOf::Batch }
    }

    /// Its name for a reader.
    pub fn name(&self) -> String {
        match self.of {
            RecordOf::Trace => self.recipe.name.to_owned(),
            RecordOf::Batch => format!("{}, {OF_BATCHES}", self.recipe.name),
        }
    }

    /// Its name with the protocol by which it comes or goes.
    pub fn name_over(&self, protocol: Protocol) -> String {
        format!("{}, {}", self.name(), protocol.name())
    }

    /// Flags of our bridge.
    pub fn flags(&self) -> &'static [&'static str] {
        match self.of {
            RecordOf::Trace => &[],
            RecordOf::Batch => &["--record", "batch"],
        }
    }

    /// Spans for which the Collector's queue waits before it sends; `None`: it costs least without one. Its receiver takes a
    /// partition's records one after the other, so one record of each partition is there at a time; to wait for half of them
    /// costs as little as to wait for all, and is half as fast again.
    pub fn queue(&self, partitions: u32) -> Option<usize> {
        match self.of {
            RecordOf::Trace => Some((partitions as usize * self.recipe.spans_a_trace / 2).max(1)),
            RecordOf::Batch => None,
        }
    }
}
