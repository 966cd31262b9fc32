//! The root context: one a worker. It owns the configuration, the outbox and the ids, makes the calls
//! to the bridge, and lends itself to the requests. Without a valid configuration it is inert, and
//! traffic passes untouched.

use crate::answer::{Outcome, judge};
use crate::batch::Envelope;
use crate::config::Config;
use crate::host::{self, Destination, Expression, HostError, MetricId};
use crate::ids::IdSource;
use crate::metrics::{METRICS, Meter, Reading};
use crate::outbox::Outbox;
use crate::request::Request;
use crate::resource::{self, Node};
use crate::trace_context::w3c::push_hex;
use crate::{SCOPE_NAME, VERSION, properties};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{ContextType, LogLevel};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// What one worker shares between its root context and its requests. One thread, never two borrows:
/// the proxy makes no callback within a call of ours.
pub type Shared = Rc<RefCell<Worker>>;

/// A worker with a valid configuration.
pub struct Worker {
    /// The configuration.
    pub config: Config,
    /// The listener's direction, where the host tells it to the root context (older Envoys).
    pub direction: Option<u64>,
    /// Spans on their way.
    pub outbox: Outbox,
    /// New ids.
    pub ids: IdSource,
    /// Reads all properties at once, where the host can.
    pub expression: Option<Expression>,
    /// A span is encoded here before it goes into the batch.
    pub scratch: Vec<u8>,
    source: String,
    meters: Meters,
    is_waking: bool,
}

impl Worker {
    fn new(config: Config, context_id: u32, meters: Meters) -> Self {
        let node = node();
        let mut ids = ids(context_id, &node);
        let mut source = String::with_capacity(32);
        push_hex(&mut source, &ids.trace_id());
        let resource = resource::encode(&resource::attributes(&config, &node));
        let outbox = Outbox::new(config.limits, Envelope::new(resource, SCOPE_NAME, VERSION));
        let expression = host::compile(&properties::list_expression());
        if let Err(error) = &expression {
            host::log(LogLevel::Info, &format_args!("properties are read one by one: {error}"));
        }
        Self {
            config,
            direction: listener_direction(),
            outbox,
            ids,
            expression: expression.ok(),
            scratch: Vec::with_capacity(1024),
            source,
            meters,
            is_waking: false,
        }
    }

    /// Puts the encoded span in `scratch` into the batch; a full batch is sent in a millisecond, by
    /// the root context, since a call made by a request would end with that request.
    pub fn hand_over(&mut self) {
        let is_full = self.outbox.push(&self.scratch);
        if is_full && !self.is_waking {
            self.is_waking = host::set_tick_ms(1).is_ok();
        }
    }

    fn tick(&mut self) {
        if std::mem::take(&mut self.is_waking) {
            self.report(host::set_tick_ms(self.config.flush_interval_ms));
        }
        self.send();
        self.meters.tell(&self.outbox);
    }

    fn send(&mut self) {
        let (now_ms, random) = (now_ms(), self.ids.random());
        let was_failing = self.outbox.is_failing();
        let to = destination(&self.config, &self.source);
        if let Err(error) = self.outbox.send(now_ms, random, |call| host::post(&to, call)) {
            if !was_failing {
                host::log(LogLevel::Warn, &not_sent(error, &self.config.cluster));
            }
        }
    }

    /// Sends what is held without regard to the gate. True when nothing is left in flight.
    fn finish(&mut self) -> bool {
        let to = destination(&self.config, &self.source);
        if let Err(error) = self.outbox.send_all(|call| host::post(&to, call)) {
            let held = self.outbox.held_spans();
            host::log(LogLevel::Warn, &format_args!("{held} spans are held at the end: {error}"));
        }
        self.meters.tell(&self.outbox);
        self.outbox.calls_in_flight() == 0
    }

    fn answered(&mut self, token: u32, body_size: usize) {
        let status = call_response_number(":status");
        let retry_after = host::call_response_header("retry-after");
        let retry_after = retry_after.as_deref().and_then(|text| std::str::from_utf8(text).ok());
        let body = if body_size > 0 { host::call_response_body(ANSWER_BYTES) } else { Vec::new() };
        let outcome = judge(status, retry_after, &body);
        let was_failing = self.outbox.is_failing();
        let random = self.ids.random();
        let Some(settled) = self.outbox.answered(token, outcome, now_ms(), random) else { return };
        let (spans, sequence) = (settled.spans, settled.sequence);
        let status = status.map_or("no answer".to_owned(), |code| code.to_string());
        match outcome {
            Outcome::Retry { .. } if !was_failing => host::log(
                LogLevel::Warn,
                &format_args!("batch {sequence} ({spans} spans) is kept and retried: {status}"),
            ),
            Outcome::Refused => host::log(
                LogLevel::Error,
                &format_args!(
                    "batch {sequence} ({spans} spans) was refused and dropped: {status} {}",
                    printable(&body)
                ),
            ),
            Outcome::Accepted { rejected } if rejected > 0 => host::log(
                LogLevel::Error,
                &format_args!(
                    "of batch {sequence} the bridge rejected {rejected} of {spans} spans"
                ),
            ),
            _ if was_failing && !self.outbox.is_failing() => {
                host::log(LogLevel::Info, &"the bridge answers again");
            }
            _ => {}
        }
    }

    fn report(&self, result: Result<(), HostError>) {
        if let Err(error) = result {
            host::log(LogLevel::Warn, &error);
        }
    }
}

/// How much of an answer's body is read, bytes.
const ANSWER_BYTES: usize = 1024;

fn destination<'a>(config: &'a Config, source: &'a str) -> Destination<'a> {
    Destination {
        cluster: &config.cluster,
        authority: &config.authority,
        path: &config.path,
        source,
        timeout: Duration::from_millis(config.call_timeout_ms.into()),
    }
}

fn not_sent(error: HostError, cluster: &str) -> String {
    let why = if error.is_missing_cluster() { "; does Envoy have that cluster?" } else { "" };
    format!("no call to cluster `{cluster}`: {error}{why} Spans are kept and retried")
}

/// The readable part of an answer's body: it may be a protobuf with a message in it.
fn printable(body: &[u8]) -> String {
    String::from_utf8_lossy(body)
        .chars()
        .filter(|c| !c.is_control() && *c != '\u{fffd}')
        .take(200)
        .collect()
}

fn call_response_number(name: &str) -> Option<u16> {
    let value = host::call_response_header(name)?;
    std::str::from_utf8(&value).ok()?.parse().ok()
}

fn now_ms() -> u64 {
    host::now_ns() / 1_000_000
}

/// Newer Envoys tell this to requests only, as `xds.listener_direction`.
fn listener_direction() -> Option<u64> {
    host::property(&["listener_direction"])?.try_into().ok().map(u64::from_le_bytes)
}

fn node() -> Node {
    let label = |name| node_text(&["metadata", "LABELS", name]);
    Node {
        id: node_text(&["id"]),
        cluster: node_text(&["cluster"]),
        canonical_name: label("service.istio.io/canonical-name"),
        app: label("app"),
        workload: node_text(&["metadata", "WORKLOAD_NAME"]),
    }
}

/// The node is at `xds.node`; in older Envoys at `node`.
fn node_text(path: &[&str]) -> String {
    let newer = host::text_property(&[&["xds", "node"], path].concat());
    if newer.is_empty() { host::text_property(&[&["node"], path].concat()) } else { newer }
}

fn ids(context_id: u32, node: &Node) -> IdSource {
    if let Some(seed) = host::entropy() {
        return IdSource::seeded(seed);
    }
    host::log(LogLevel::Warn, &"no entropy from the host: ids are made of time and request ids");
    let now = host::now_ns().to_le_bytes();
    IdSource::without_entropy(&[&now, &context_id.to_le_bytes(), node.id.as_bytes()])
}

/// The proxy's metrics, and what they were last told.
#[derive(Default)]
struct Meters {
    ids: Vec<Option<MetricId>>,
    meter: Meter,
    config_errors: u64,
}

impl Meters {
    fn define() -> Self {
        let define = |(kind, name): (_, &str)| host::define_metric(kind, name).ok();
        Self { ids: METRICS.map(define).to_vec(), ..Self::default() }
    }

    fn tell(&mut self, outbox: &Outbox) {
        self.tell_reading(Reading {
            ledger: *outbox.ledger(),
            config_errors: self.config_errors,
            buffered_bytes: outbox.held_bytes() as u64,
            buffered_spans: outbox.held_spans(),
        });
    }

    fn tell_config_error(&mut self) {
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

    /// After the end was asked for: says so when nothing is in flight, or when time is up.
    fn end_if_due(&mut self) {
        let Some(deadline) = self.ends_by_ms else { return };
        let mut is_idle = true;
        self.with_worker(|worker| is_idle = worker.outbox.calls_in_flight() == 0);
        if is_idle || now_ms() >= deadline {
            self.ends_by_ms = None;
            let _ = host::done();
        }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, _: usize, body_size: usize, _: usize) {
        let ending = self.ends_by_ms.is_some();
        self.with_worker(|worker| {
            worker.answered(token, body_size);
            if !ending {
                worker.send();
            }
            worker.meters.tell(&worker.outbox);
        });
        self.end_if_due();
    }

    fn on_done(&mut self) -> bool {
        let (mut is_idle, mut timeout_ms) = (true, 0);
        self.with_worker(|worker| {
            is_idle = worker.finish();
            timeout_ms = u64::from(worker.config.call_timeout_ms);
        });
        if !is_idle {
            self.ends_by_ms = Some(now_ms().saturating_add(timeout_ms));
        }
        is_idle
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
                worker.report(tick);
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
        if self.ends_by_ms.is_none() {
            self.with_worker(Worker::tick);
        }
        self.end_if_due();
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request::new(self.worker.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
