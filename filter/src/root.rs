//! The root context: one a worker and configuration. It owns the configuration, the outbox and the ids,
//! makes the calls to the bridge, and lends its worker to the requests. Without a valid configuration it
//! is inert, and traffic passes untouched.

mod meters;
mod node;
mod reads;
mod troubles;
mod worker;

use crate::config::Config;
use crate::host::{Host, LogLevel};
use meters::Meters;
pub use reads::{Known, Rare};
pub use worker::Worker;

/// The root context.
pub struct Root<H> {
    /// The proxy's number of it.
    pub id: u32,
    host: H,
    worker: Option<Worker<H>>,
    /// Asked to end, with spans held; when that is given up, ms since the epoch.
    ends_by_ms: Option<u64>,
}

impl<H: Host> Root<H> {
    /// A root context without a configuration yet.
    pub fn new(host: H, id: u32) -> Self {
        Self { id, host, worker: None, ends_by_ms: None }
    }

    /// The worker, when the configuration is valid.
    pub fn worker(&mut self) -> Option<&mut Worker<H>> {
        self.worker.as_mut()
    }

    /// Reads the configuration, which has `size` bytes. A fault is a line in the log and a counter.
    pub fn configure(&mut self, size: usize) {
        let mut meters = Meters::define(self.host);
        if let Some(mut old) = self.worker.take() {
            old.give_up();
        }
        let parsed = match &self.host.plugin_configuration(size) {
            Ok(json) => Config::parse(json).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match parsed {
            Ok(config) => {
                let tick = self.host.set_tick_ms(config.flush_interval_ms);
                self.worker = Some(Worker::new(self.host, config, self.id, meters));
                if let Err(error) = tick {
                    let line = format_args!("no tick, no spans leave: {error}");
                    self.host.log(LogLevel::Error, &line);
                }
            }
            Err(fault) => {
                let line = format_args!("configuration refused, no spans are made: {fault}");
                self.host.log(LogLevel::Error, &line);
                meters.tell_config_error(self.host);
            }
        }
    }

    /// Time has passed.
    pub fn tick(&mut self) {
        self.worker.iter_mut().for_each(Worker::tick);
    }

    /// A call was answered.
    pub fn answered(&mut self, token: u32, body_size: usize) {
        self.worker.iter_mut().for_each(|worker| worker.answered(token, body_size));
    }

    /// The end is asked for. True when nothing is held; else time is taken to send it, and what requests
    /// that are still under way add to it.
    pub fn end(&mut self) -> bool {
        let Some(worker) = &mut self.worker else { return true };
        if worker.finish() {
            return true;
        }
        let time = u64::from(worker.config.call_timeout_ms);
        self.ends_by_ms.get_or_insert(self.host.now_ms().saturating_add(time));
        false
    }

    /// After the end was asked for: says so to the proxy when nothing is held any more, or when time is up.
    /// True when it did: then all is over.
    pub fn end_if_due(&mut self) -> bool {
        let (Some(deadline), Some(worker)) = (self.ends_by_ms, &mut self.worker) else {
            return false;
        };
        if self.host.now_ms() >= deadline {
            worker.give_up();
        }
        let is_over = worker.outbox.held_spans() == 0;
        if is_over {
            let _ = self.host.done();
        }
        is_over
    }
}
