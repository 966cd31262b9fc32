//! The sum: every number of the ledger, for the whole and for each part, and what does not hold.

use super::peers::Peer;
use crate::ledger::Totals;
use serde::{Deserialize, Serialize};

/// Spans. `accepted = delivered + dead_lettered + suppressed + waiting + lost + unaccounted`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Answered with 200: written into the log, or safe in a spool.
    pub accepted: u64,
    /// In the bridges' spools.
    pub in_spool: u64,
    /// In the log, and in no request.
    pub in_log: u64,
    /// In requests to the destination.
    pub in_flight: u64,
    /// Taken by the destination.
    pub delivered: u64,
    /// Kept as dead letters.
    pub dead_lettered: u64,
    /// Repeats that were not delivered again.
    pub suppressed: u64,
    /// Gone, with their number; `overrun` of them are estimated.
    pub lost: u64,
    /// Of the lost ones: in records that retention took, and no writer's totals have told of.
    pub overrun: u64,
    /// Of the lost ones: known to their bridge to be in the log, and not there, with nothing behind them.
    #[serde(default)]
    pub lost_at_end: u64,
    /// In no other number: a fault of ours, whichever sign it has.
    pub unaccounted: i64,
}

/// What a filter sent, as far as the log reaches back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRow {
    /// `x-spanferry-source`, or `(others)` for all that have none.
    pub source: String,
    /// Its spans.
    #[serde(flatten)]
    pub row: Row,
    /// Spans that it dropped itself, by its own count.
    pub dropped: u64,
    /// Numbers of batches that are missing between the first and the last one seen.
    pub missing_batches: u64,
    /// Records that are missing in batches of which others are here.
    pub missing_records: u64,
}

/// What others say, to be held against the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// Running roles.
    pub peers: Vec<Peer>,
    /// Spans that the destination holds.
    pub at_destination: Option<u64>,
    /// Lost spans that somebody knows of already.
    pub known_lost: u64,
}

/// The ledger of a topic and a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The topic.
    pub topic: String,
    /// The group.
    pub group: String,
    /// The sum.
    pub all: Row,
    /// Spans that filters dropped, by their own count; not accepted, and so in no other number.
    pub dropped_by_filter: u64,
    /// Each partition, in order.
    pub partitions: Vec<Row>,
    /// Each filter; empty unless asked for.
    pub sources: Vec<SourceRow>,
    /// Whether the sum holds.
    pub holds: bool,
    /// What does not, in words.
    pub faults: Vec<String>,
}

impl Row {
    /// What a partition's account says, with what waits in it.
    pub fn of(totals: &Totals, waiting: u64) -> Self {
        Self {
            accepted: totals.accepted,
            in_log: waiting,
            delivered: totals.delivered,
            dead_lettered: totals.dead_lettered,
            suppressed: totals.suppressed,
            lost: totals.gone(),
            overrun: totals.overrun,
            unaccounted: totals.unaccounted() - waiting as i64,
            ..Self::default()
        }
    }

    /// Accepted, and on its way.
    pub fn waiting(&self) -> u64 {
        self.in_spool + self.in_log + self.in_flight
    }

    /// The sum of both.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            in_spool: self.in_spool + other.in_spool,
            in_log: self.in_log + other.in_log,
            in_flight: self.in_flight + other.in_flight,
            delivered: self.delivered + other.delivered,
            dead_lettered: self.dead_lettered + other.dead_lettered,
            suppressed: self.suppressed + other.suppressed,
            lost: self.lost + other.lost,
            overrun: self.overrun + other.overrun,
            lost_at_end: self.lost_at_end + other.lost_at_end,
            unaccounted: self.unaccounted + other.unaccounted,
        }
    }
}

impl Report {
    /// The report of what the log says. `letters` are spans that the bridge dead-lettered.
    pub fn new(
        topic: &str,
        group: &str,
        partitions: Vec<Row>,
        letters: u64,
        sources: Vec<SourceRow>,
    ) -> Self {
        let of_bridge = Row { accepted: letters, dead_lettered: letters, ..Row::default() };
        let all = partitions.iter().fold(of_bridge, |sum, row| sum.plus(row));
        let dropped_by_filter = sources.iter().map(|source| source.dropped).sum();
        let mut report = Self {
            topic: topic.into(),
            group: group.into(),
            all,
            dropped_by_filter,
            partitions,
            sources,
            ..Self::default()
        };
        report.judge(&Claims::default());
        report
    }

    /// Holds the report against what others say. To be called once.
    pub fn hold_against(&mut self, claims: &Claims) {
        for peer in &claims.peers {
            self.all.accepted += peer.in_spool + peer.set_aside + peer.lost_in_spool;
            self.all.in_spool += peer.in_spool;
            self.all.dead_lettered += peer.set_aside;
            self.all.lost += peer.lost_in_spool;
            let in_flight = peer.in_flight.min(self.all.in_log);
            self.all.in_flight += in_flight;
            self.all.in_log -= in_flight;
            self.dropped_by_filter = self.dropped_by_filter.max(peer.dropped_by_filter);
        }
        self.judge(claims);
    }

    fn judge(&mut self, claims: &Claims) {
        let Row { lost, overrun, lost_at_end, unaccounted, delivered, .. } = self.all;
        let mut faults = Vec::new();
        if lost > claims.known_lost {
            let estimated = match overrun {
                0 => String::new(),
                some => format!(" ({some} of them estimated: retention took them unread)"),
            };
            let at_end = match lost_at_end {
                0 => String::new(),
                some => {
                    format!(" ({some} of them at the end: their bridge knows them to be written)")
                }
            };
            faults.push(format!("{} lost{estimated}{at_end}", are(lost)));
        }
        match unaccounted {
            0 => {}
            more if more > 0 => {
                faults.push(format!("{} accepted and in no number", are(more.unsigned_abs())));
            }
            less => faults.push(format!("{} here that nobody accepted", are(less.unsigned_abs()))),
        }
        for (partition, row) in self.partitions.iter().enumerate() {
            if row.unaccounted != 0 {
                faults.push(format!("partition {partition}: {} unaccounted", row.unaccounted));
            }
        }
        if let Some(held) = claims.at_destination.filter(|held| *held < delivered) {
            let missing = delivered - held;
            faults.push(format!(
                "{} lost at the destination: it took {delivered} and holds {held}",
                are(missing)
            ));
        }
        self.holds = faults.is_empty();
        self.faults = faults;
    }
}

fn are(spans: u64) -> String {
    match spans {
        1 => "1 span is".into(),
        more => format!("{more} spans are"),
    }
}
