//! The proxy's metrics of one worker: defined once, told what has changed.

use crate::host::{self, MetricId};
use crate::metrics::{METRICS, Meter, Reading};
use crate::outbox::Outbox;

/// The proxy's metrics, and what they were last told.
#[derive(Default)]
pub struct Meters {
    ids: Vec<Option<MetricId>>,
    meter: Meter,
    config_errors: u64,
}

impl Meters {
    /// Defines every metric; one that cannot be defined is not told.
    pub fn define() -> Self {
        let define = |(kind, name): (_, &str)| host::define_metric(kind, name).ok();
        Self { ids: METRICS.map(define).to_vec(), ..Self::default() }
    }

    /// Tells what has changed in the outbox.
    pub fn tell(&mut self, outbox: &Outbox) {
        self.tell_reading(Reading {
            ledger: *outbox.ledger(),
            config_errors: self.config_errors,
            buffered_bytes: outbox.held_bytes() as u64,
            buffered_spans: outbox.held_spans(),
        });
    }

    /// Counts a refused configuration.
    pub fn tell_config_error(&mut self) {
        self.config_errors += 1;
        let config_errors = self.config_errors;
        self.tell_reading(Reading { config_errors, ..Reading::default() });
    }

    /// A metric that cannot be told is no reason to do anything else than before.
    fn tell_reading(&mut self, reading: Reading) {
        for (metric, by) in self.meter.changes(&reading) {
            if let Some(Some(id)) = self.ids.get(metric) {
                let _ = host::add_to_metric(*id, by);
            }
        }
    }
}
