//! The root context: one a worker. It owns the configuration, the outbox and the ids, makes the calls
//! to the bridge, and lends itself to the requests. Without a valid configuration it is inert, and
//! traffic passes untouched.

mod meters;
mod worker;

use crate::config::Config;
use crate::host;
use crate::request::Request;
use meters::Meters;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{ContextType, LogLevel};
use std::cell::RefCell;
use std::rc::Rc;
pub use worker::Worker;
use worker::now_ms;

/// What one worker shares between its root context and its requests. One thread, never two borrows:
/// the proxy makes no callback within a call of ours.
pub type Shared = Rc<RefCell<Worker>>;

/// The root context.
pub struct Root {
    context_id: u32,
    worker: Option<Shared>,
    /// Asked to end, with calls in flight; when that is given up, ms since the epoch.
    ends_by_ms: Option<u64>,
}

impl Root {
    /// A root context without a configuration yet.
    pub fn new(context_id: u32) -> Self {
        Self { context_id, worker: None, ends_by_ms: None }
    }

    fn with_worker(&self, run: impl FnOnce(&mut Worker)) {
        if let Some(mut worker) =
            self.worker.as_ref().and_then(|shared| shared.try_borrow_mut().ok())
        {
            run(&mut worker);
        }
    }

    /// After the end was asked for: says so when nothing is held any more, or when time is up.
    fn end_if_due(&mut self) {
        let Some(deadline) = self.ends_by_ms else { return };
        let is_late = now_ms() >= deadline;
        let mut is_empty = true;
        self.with_worker(|worker| {
            if is_late {
                worker.give_up();
            }
            is_empty = worker.outbox.held_spans() == 0;
        });
        if is_empty {
            self.ends_by_ms = None;
            let _ = host::done();
        }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, _: usize, body_size: usize, _: usize) {
        self.with_worker(|worker| worker.answered(token, body_size));
        self.end_if_due();
    }

    fn on_done(&mut self) -> bool {
        let mut ends_by_ms = None;
        self.with_worker(|worker| {
            if !worker.finish() {
                ends_by_ms = Some(now_ms().saturating_add(worker.config.call_timeout_ms.into()));
            }
        });
        self.ends_by_ms = ends_by_ms;
        ends_by_ms.is_none()
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let mut meters = Meters::define();
        let json = host::plugin_configuration(size);
        let parsed = match &json {
            Ok(json) => Config::parse(json).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match parsed {
            Ok(config) => {
                let tick = host::set_tick_ms(config.flush_interval_ms);
                let worker = Worker::new(config, self.context_id, meters);
                if let Err(error) = tick {
                    host::log(LogLevel::Error, &format_args!("no tick, no spans leave: {error}"));
                }
                self.worker = Some(Rc::new(RefCell::new(worker)));
            }
            Err(fault) => {
                let line = format!("configuration refused, no spans are made: {fault}");
                host::log(LogLevel::Error, &line);
                meters.tell_config_error();
                self.worker = None;
            }
        }
        true
    }

    fn on_tick(&mut self) {
        self.with_worker(Worker::tick);
        self.end_if_due();
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request::new(self.worker.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
