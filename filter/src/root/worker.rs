//! A worker with a valid configuration: its outbox, its ids, and the calls to the bridge.

use super::meters::Meters;
use crate::answer::{Outcome, judge};
use crate::batch::Envelope;
use crate::config::Config;
use crate::host::{self, Destination, Expression, HostError};
use crate::ids::IdSource;
use crate::outbox::Outbox;
use crate::resource::{self, Node};
use crate::trace_context::w3c::push_hex;
use crate::{SCOPE_NAME, VERSION, properties};
use proxy_wasm::types::LogLevel;
use std::time::Duration;

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
    /// This worker's id, 32 hex digits; empty until the first batch leaves.
    source: String,
    meters: Meters,
    is_waking: bool,
}

impl Worker {
    /// A worker for this configuration.
    pub fn new(config: Config, context_id: u32, meters: Meters) -> Self {
        let node = node();
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
            ids: ids(context_id, &node),
            expression: expression.ok(),
            scratch: Vec::with_capacity(1024),
            source: String::new(),
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

    /// A flush, or soon after a batch became full.
    pub fn tick(&mut self) {
        let is_waking = std::mem::take(&mut self.is_waking);
        if is_waking {
            report(host::set_tick_ms(self.config.flush_interval_ms));
        }
        self.send(!is_waking);
        self.meters.tell(&self.outbox);
    }

    fn send(&mut self, flush: bool) {
        if self.outbox.held_spans() == 0 {
            return;
        }
        let (now_ms, random) = (now_ms(), self.ids.random());
        let was_failing = self.outbox.is_failing();
        self.name_source();
        let to = destination(&self.config, &self.source);
        let sent = self.outbox.send(flush, now_ms, random, |call| host::post(&to, call));
        if let (Err(error), false) = (sent, was_failing) {
            host::log(LogLevel::Warn, &not_sent(error, &self.config.cluster));
        }
    }

    /// The last chance: sends all that is held, whatever the gate says. True when nothing is held.
    pub fn finish(&mut self) -> bool {
        if self.outbox.held_spans() == 0 {
            return true;
        }
        self.name_source();
        let to = destination(&self.config, &self.source);
        report(self.outbox.send_all(|call| host::post(&to, call)));
        report(host::set_tick_ms(ENDING_TICK_MS));
        self.meters.tell(&self.outbox);
        false
    }

    /// Only now, since by now a weak generator has been stirred by a request's id.
    fn name_source(&mut self) {
        if self.source.is_empty() {
            push_hex(&mut self.source, &self.ids.trace_id());
        }
    }

    /// Time is up: what is still held is dropped and counted.
    pub fn give_up(&mut self) {
        let spans = self.outbox.abandon();
        if spans > 0 {
            host::log(
                LogLevel::Warn,
                &format_args!("{spans} spans were held at the end and dropped"),
            );
        }
        self.meters.tell(&self.outbox);
    }

    /// A call was answered: settles its batch, says what is worth a line, and sends what waits.
    pub fn answered(&mut self, token: u32, body_size: usize) {
        self.settle(token, body_size);
        self.send(false);
        self.meters.tell(&self.outbox);
    }

    fn settle(&mut self, token: u32, body_size: usize) {
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
}

fn report(result: Result<(), HostError>) {
    if let Err(error) = result {
        host::log(LogLevel::Warn, &error);
    }
}

/// The tick while a root context ends, ms.
const ENDING_TICK_MS: u32 = 100;
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
    let why = if error.is_missing_cluster() { " (Envoy has no such cluster)" } else { "" };
    format!("no call to cluster `{cluster}`: {error}{why}; spans are kept and retried")
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

/// The host's clock, ms since the epoch.
pub fn now_ms() -> u64 {
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
