//! One entry from the disk to the log: divided, placed, stamped and appended as a batch that has just come.

use super::PATIENCE;
use crate::bridge::refusal::Refusal;
use crate::bridge::spool::entry::Entry;
use crate::bridge::spool::switch::Spool;
use crate::log::{AppendError, StoredRecord};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

/// How it went.
pub enum Hand {
    /// Nothing is left to do: the log has it already, or it can never be written and is kept beside.
    Done {
        /// The log has it.
        is_written: bool,
    },
    /// It is on its way.
    On(BoxFuture<'static, Result<(), Refusal>>),
    /// The log has no room now.
    Full,
    /// The log's writer has failed.
    Broken,
}

impl Spool {
    /// Hands an entry to the log, unless it is there from before the way changed.
    pub(super) async fn hand(&self, record: &StoredRecord, entry: Option<&Entry>) -> Hand {
        let Some(entry) = entry else {
            return self.set_aside(record, 0, "it is no batch of a bridge").await;
        };
        let direct = self.lock().open.get(&entry.number()).cloned();
        match direct.as_ref().map(|direct| (direct, direct.peek())) {
            Some((_, Some(Ok(())))) => return Hand::Done { is_written: true },
            Some((direct, None)) => return Hand::On(direct.clone().boxed()),
            Some((_, Some(Err(_)))) => {
                self.lock().open.remove(&entry.number());
            }
            None => {}
        }
        self.write(record, entry).await
    }

    async fn write(&self, record: &StoredRecord, entry: &Entry) -> Hand {
        let (limit, partitions) = (self.writer.max_value_bytes(), self.partitions());
        let parts = match self.writer.divide(&entry.body, limit, partitions) {
            Ok(split) => split.traces,
            Err(error) => return self.set_aside(record, entry.spans, &error.to_string()).await,
        };
        if let Err(error) = self.writer.prepare(&parts, limit).await {
            tracing::warn!(%error, "a span for the dead letters waits in the spool");
            tokio::time::sleep(PATIENCE).await;
            return Hand::Full;
        }
        match self.writer.append(parts, limit, &entry.sender, partitions, entry.received_ms) {
            Ok(appended) => {
                let writer = self.writer.clone();
                let settled = async move { appended.settled(&writer).await.map_err(Refusal::from) };
                Hand::On(settled.boxed())
            }
            Err(AppendError::Full { .. }) => Hand::Full,
            Err(error @ AppendError::TooLarge { .. }) => {
                self.set_aside(record, entry.spans, &error.to_string()).await
            }
            Err(AppendError::Failed { .. } | AppendError::Closed { .. }) => Hand::Broken,
        }
    }

    async fn set_aside(&self, record: &StoredRecord, spans: u64, reason: &str) -> Hand {
        let value = &record.record.value;
        match self.disk.keep(record.offset, value, reason) {
            Ok(kept) => {
                self.metrics.spool.set_aside(1, spans, value.len() as u64);
                tracing::error!(
                    offset = record.offset, spans, reason, kept = %kept.display(),
                    "a batch of the spool can never be written: it is set aside, the rest goes on"
                );
                Hand::Done { is_written: false }
            }
            Err(error) => {
                let offset = record.offset;
                tracing::error!(offset, reason, %error, "a batch cannot be set aside; trying on");
                tokio::time::sleep(PATIENCE).await;
                Hand::Full
            }
        }
    }
}
