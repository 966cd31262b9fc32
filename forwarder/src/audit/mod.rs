//! The audit: what a group's accounts say of the past, what the log says of the present, and whether the sum holds.
//!
//! The numbers come from different hands, so the sum can fail: *accepted* from the writers' totals in the records,
//! *delivered* from what the destination acknowledged, *waiting* from the records that are there now. `partition` reads
//! them, `report` adds them up, `table` prints them, `sources` goes through the whole log for the table of filters,
//! `peers` asks running roles for what only they know.

mod partition;
mod peers;
mod report;
mod sources;
mod table;
#[cfg(test)]
mod tests;

pub use peers::{Peer, report_of, written};
pub use report::{Claims, Report, Row, SourceRow};

use crate::dlq::{self, Letter};
use crate::ledger::Written;
use crate::log::{Log, LogError};
use partition::Reading;
use sources::Sources;
use std::sync::Arc;

/// What is audited.
pub struct Audit {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Its dead letters.
    pub dead_letters: Arc<dyn Log>,
    /// The forwarders' group.
    pub group: String,
}

impl Audit {
    /// Reads what waits; with `with_sources` all that is there, for the table of filters. Disturbs no reader. `written` is
    /// what bridges knew before this was called.
    pub async fn report(
        &self,
        with_sources: bool,
        written: &[Written],
    ) -> Result<Report, LogError> {
        let mut sources = with_sources.then(Sources::default);
        let of_bridge = self.letters(&mut sources).await?;
        let mut standing = self.log.standing(&self.group).await?;
        standing.sort_by_key(|standing| standing.partition);
        let mut readings: Vec<Reading> = standing.iter().map(Reading::new).collect();
        let stretches = readings.iter().map(|reading| reading.stretch(with_sources)).collect();
        let mut scan = self.log.scan(stretches).await?;
        while let Some(records) = scan.next().await? {
            for record in &records {
                let Some(reading) = readings.get_mut(record.partition as usize) else { continue };
                let state = reading.take(record);
                sources.iter_mut().for_each(|sources| sources.take(record, state));
            }
        }
        let ours = written.iter().filter(|written| written.topic == self.log.topic());
        for claim in ours.flat_map(|written| &written.claims) {
            readings.iter_mut().for_each(|reading| reading.told(claim));
        }
        let rows = readings.iter().map(Reading::row).collect();
        let sources = sources.map(Sources::rows).unwrap_or_default();
        Ok(Report::new(self.log.topic(), &self.group, rows, of_bridge, sources))
    }

    /// Spans of letters that a bridge wrote: they were accepted, and never were in the topic.
    async fn letters(&self, sources: &mut Option<Sources>) -> Result<u64, LogError> {
        let mut scan = match dlq::every(&*self.dead_letters).await {
            Err(LogError::NoTopic { .. }) => return Ok(0),
            scan => scan?,
        };
        let mut of_bridge = 0;
        while let Some(letters) = scan.next().await? {
            for letter in letters.iter().map(Letter::of) {
                if letter.place.is_none() {
                    of_bridge += letter.spans;
                }
                sources.iter_mut().for_each(|sources| sources.dead_letter(&letter));
            }
        }
        Ok(of_bridge)
    }
}
