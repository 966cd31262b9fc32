//! What an operator must hear of although the forwarder is ready: a restart would mend none of it. `/readyz` says it
//! behind its `ok`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// See the module.
#[derive(Debug, Default)]
pub struct Trouble(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    overrun: BTreeMap<u32, (u64, u64)>,
    lost_spans: u64,
    blocked: BTreeMap<u32, String>,
    low: Option<String>,
}

impl Trouble {
    /// The log dropped records of a partition before they were read.
    pub fn overrun(&self, partition: u32, records: u64, spans: u64) {
        let mut state = self.lock();
        let sum = state.overrun.entry(partition).or_default();
        *sum = (sum.0 + records, sum.1 + spans);
    }

    /// Spans are missing.
    pub fn lost(&self, spans: u64) {
        self.lock().lost_spans += spans;
    }

    /// A partition waits for its dead letter, for this reason; or waits no more.
    pub fn blocked(&self, partition: u32, reason: Option<&str>) {
        let mut state = self.lock();
        match reason {
            Some(reason) => state.blocked.insert(partition, reason.into()),
            None => state.blocked.remove(&partition),
        };
    }

    /// Retention is near, or no more.
    pub fn low(&self, what: Option<String>) {
        self.lock().low = what;
    }

    /// A line for each.
    pub fn lines(&self) -> Vec<String> {
        let state = self.lock();
        let overrun = state.overrun.iter().map(|(partition, (records, spans))| {
            format!(
                "retention overrun: {records} records of partition {partition} (about {spans} spans) \
                 were dropped by the log before they were forwarded"
            )
        });
        let lost = (state.lost_spans > 0)
            .then(|| format!("lost: {} spans are missing from the log", state.lost_spans));
        let blocked = state.blocked.iter().map(|(partition, reason)| {
            format!("partition {partition} waits: its dead letter cannot be written: {reason}")
        });
        overrun.chain(lost).chain(blocked).chain(state.low.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_is_a_line_until_it_is_over() {
        let trouble = Trouble::default();
        assert!(trouble.lines().is_empty());
        trouble.overrun(3, 10, 30);
        trouble.overrun(3, 1, 3);
        trouble.blocked(2, Some("no topic"));
        trouble.low(Some("soon".into()));
        let lines = trouble.lines();
        assert!(lines[0].contains("11 records of partition 3 (about 33 spans)"), "{lines:?}");
        assert!(lines[1].contains("no topic") && lines[2] == "soon", "{lines:?}");
        trouble.blocked(2, None);
        trouble.low(None);
        assert_eq!(trouble.lines().len(), 1, "what is gone stays gone");
    }
}
