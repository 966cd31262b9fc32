//! What becomes of the entries that were handed over: done and committed as an unbroken prefix, or handed over again.

use super::{Outcome, Pump, TICK};
use crate::log::Commit;
use futures_util::StreamExt;
use std::collections::VecDeque;

/// Bytes drained before a commit that nothing else asks for.
const COMMIT_BYTES: usize = 1 << 20;

impl Pump {
    /// Takes in the outcome of the entry that is the next of the prefix.
    pub(super) fn settle(&mut self, outcome: &Outcome) {
        self.closing.acknowledged(outcome.handed.elapsed());
        self.spool.pace.went_out(outcome.record.record.size());
        if outcome.is_written {
            self.spool.metrics.spool.drained(outcome.spans);
        }
        self.done = outcome.record.offset + 1;
        self.uncommitted_bytes += outcome.record.record.size();
        self.uncommitted = (self.uncommitted.0 + 1, self.uncommitted.1 + outcome.spans);
    }

    /// After a failure, at this entry or at one to be handed over: what is still open is waited for, and what did not get
    /// through is handed over again, in order.
    pub(super) async fn begin_again(&mut self, failed: Option<Outcome>) {
        let mut outcomes: Vec<Outcome> = failed.into_iter().collect();
        while let Some(outcome) = self.handed.next().await {
            outcomes.push(outcome);
        }
        let mut again = VecDeque::new();
        for outcome in outcomes {
            match &outcome.result {
                Ok(()) if again.is_empty() => {
                    self.settle(&outcome);
                    continue;
                }
                Ok(()) => {
                    self.done_beyond.insert(outcome.record.offset, outcome.is_written);
                }
                Err(refusal) if again.is_empty() => tracing::warn!(
                    %refusal, offset = outcome.record.offset,
                    "a batch of the spool did not get through; it is tried again"
                ),
                Err(_) => {}
            }
            again.push_back(outcome.record);
        }
        again.append(&mut self.queue);
        (self.queue, self.handed_bytes, self.next) = (again, 0, self.done);
        tokio::time::sleep(TICK).await;
    }

    /// Commits after so many bytes, or when nothing is on its way.
    pub(super) async fn commit_when_due(&mut self) {
        let is_due = self.uncommitted_bytes >= COMMIT_BYTES || self.handed.is_empty();
        if is_due && self.done > self.committed {
            self.commit().await;
        }
    }

    /// Entries may go now. A failure is tried again; until then a kill has them written twice.
    pub(super) async fn commit(&mut self) {
        if self.done == self.committed {
            return;
        }
        let commit = Commit { partition: 0, offset: self.done, metadata: self.view.encode() };
        match self.reader.commit(vec![commit]).await {
            Ok(()) => {
                (self.committed, self.uncommitted_bytes, self.uncommitted) = (self.done, 0, (0, 0));
            }
            Err(error) => tracing::warn!(%error, "what is drained could not be noted; trying on"),
        }
    }
}
