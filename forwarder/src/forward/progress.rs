//! What becomes of the records in flight, told to the loop part by part: a batch that is divided may be under way for long, and what
//! is delivered of it is committed meanwhile.

use super::consume::Consumer;
use super::deliver::Origin;
use super::lanes::Lane;
use crate::ledger::Fate;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A batch whose records are all settled, and told.
pub struct Done {
    /// The lane that it came by.
    pub lane: Lane,
    /// What it was held with, in bytes.
    pub bytes: usize,
}

/// What was told and not yet taken in; no more than the records in flight.
pub struct Progress {
    tell: UnboundedSender<Settled>,
    told: UnboundedReceiver<Settled>,
}

/// Records of one request.
pub struct Settled {
    lane: Lane,
    records: Vec<(Origin, Fate)>,
}

/// Tells of the records of one batch.
pub struct Teller {
    lane: Lane,
    tell: UnboundedSender<Settled>,
}

impl Default for Progress {
    fn default() -> Self {
        let (tell, told) = unbounded_channel();
        Self { tell, told }
    }
}

impl Progress {
    /// For a batch of this lane.
    pub fn teller(&self, lane: Lane) -> Teller {
        Teller { lane, tell: self.tell.clone() }
    }

    /// What was told next; waits for ever while nobody tells anything. Cancel safe.
    pub async fn next(&mut self) -> Settled {
        match self.told.recv().await {
            Some(settled) => settled,
            None => std::future::pending().await,
        }
    }
}

impl Teller {
    /// These are settled.
    pub fn settled(&self, records: Vec<(Origin, Fate)>) {
        // A loop that has ended commits nothing any more: the next one delivers them again.
        let _ = self.tell.send(Settled { lane: self.lane, records });
    }
}

impl Consumer {
    pub(super) fn done(&mut self, done: Done) {
        self.lanes.done(done.lane, done.bytes);
        self.take_progress();
    }

    /// Marks what was settled since the last time.
    pub(super) fn take_progress(&mut self) {
        while let Ok(settled) = self.progress.told.try_recv() {
            self.settled(settled);
        }
    }

    pub(super) fn settled(&mut self, Settled { lane, records }: Settled) {
        if lane == Lane::Fresh {
            self.metrics.fresh_settled_records.inc_by(records.len() as u64);
        }
        let is_of_one = |one: &(Origin, Fate), next: &(Origin, Fate)| {
            (one.0.partition, one.0.epoch) == (next.0.partition, next.0.epoch)
        };
        for run in records.chunk_by(is_of_one) {
            if let Some((origin, _)) = run.first()
                && let Some(partition) = self.partitions.get_mut(&origin.partition)
                && partition.epoch == origin.epoch
            {
                partition.settled(run.iter().map(|(origin, fate)| (origin.offset, *fate)));
            }
        }
    }
}
