//! The proxy's metrics of one worker: defined once, told what has changed.

use crate::host::{Host, MetricId};
use crate::metrics::{METRICS, Meter, Reading};

/// The proxy's metrics, and what they were last told.
#[derive(Default)]
pub struct Meters {
    ids: Vec<Option<MetricId>>,
    meter: Meter,
}

impl Meters {
    /// Defines every metric; one that cannot be defined is not told.
    pub fn define(host: impl Host) -> Self {
        let define = |(kind, name): (_, &str)| host.define_metric(kind, name).ok();
        Self { ids: METRICS.map(define).to_vec(), ..Self::default() }
    }

    /// Counts a refused configuration.
    pub fn tell_config_error(&mut self, host: impl Host) {
        self.tell(host, Reading { config_errors: 1, ..Reading::default() });
    }

    /// Tells what has changed. A metric that cannot be told is no reason to do anything else than before.
    pub fn tell(&mut self, host: impl Host, reading: Reading) {
        for (metric, by) in self.meter.changes(&reading) {
            if let Some(Some(id)) = self.ids.get(metric) {
                let _ = host.add_to_metric(*id, by);
            }
        }
    }
}
