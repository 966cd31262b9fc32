//! The troubles of a worker, seen in its ledger: each look compares it with the last one, so that no line
//! depends on how often something happens.

use crate::host::{Host, LogLevel};
use crate::ledger::Ledger;
use crate::trouble::{Told, Trouble};
use std::fmt::{self, Display, Formatter};

/// What may be wrong, each told by itself.
#[derive(Default)]
pub struct Troubles {
    calls: Watched,
    refused: Watched,
    full: Watched,
    crowded: Watched,
    accepted_seen: u64,
}

#[derive(Default)]
struct Watched {
    trouble: Trouble,
    seen: u64,
    /// The last reason, for its lines.
    reason: String,
}

impl Troubles {
    /// Why a call failed, for the next line about it.
    pub fn note_failed_call(&mut self, reason: String) {
        self.calls.reason = reason;
    }

    /// Why spans were refused, for the next line about it.
    pub fn note_refusal(&mut self, reason: String) {
        self.refused.reason = reason;
    }

    /// Writes what is worth a line.
    pub fn look(&mut self, host: impl Host, ledger: &Ledger, now_ms: u64) {
        let took_some = ledger.accepted > self.accepted_seen;
        self.accepted_seen = ledger.accepted;
        let answered = took_some || ledger.dropped_refused > self.refused.seen;
        let watched = [
            (&mut self.calls, LogLevel::Warn, CALLS, ledger.calls_failed, answered),
            (&mut self.refused, LogLevel::Error, REFUSED, ledger.dropped_refused, took_some),
            (&mut self.full, LogLevel::Error, FULL, ledger.dropped_buffer_full, true),
            (&mut self.crowded, LogLevel::Error, CROWDED, ledger.not_recorded, true),
        ];
        for (watched, level, name, count, is_well) in watched {
            let times = count - watched.seen.min(count);
            watched.seen = count;
            let told = match times {
                0 if is_well => {
                    watched.trouble.is_well(now_ms);
                    watched.trouble.tick(now_ms)
                }
                0 => watched.trouble.tick(now_ms),
                _ => watched.trouble.strikes(now_ms, times),
            };
            let Some(told) = told else { continue };
            let level = if matches!(told, Told::Ends { .. }) { LogLevel::Info } else { level };
            host.log(level, &Line { name, told, reason: &watched.reason });
        }
    }
}

const CALLS: &str = "calls to the bridge fail, spans are kept and retried";
const REFUSED: &str = "the bridge refuses spans, they are dropped";
const FULL: &str = "max_buffered_bytes is reached, the oldest spans are dropped";
const CROWDED: &str = "max_open_bytes is reached by requests under way, some are not recorded";

struct Line<'a> {
    name: &'a str,
    told: Told,
    reason: &'a str,
}

impl Display for Line<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match self.told {
            Told::Begins => {}
            Told::Lasts { seconds, since_told, times } => {
                write!(f, ": for {seconds} s, {since_told} since the last line, {times} in all")?;
            }
            Told::Ends { seconds, times } => {
                return write!(f, ": over after {seconds} s, {times} in all");
            }
        }
        if self.reason.is_empty() { Ok(()) } else { write!(f, ": {}", self.reason) }
    }
}
