//! A worker with a valid configuration: its outbox, its ids, and the calls to the bridge.

use super::meters::Meters;
use super::node;
use super::reads::Reads;
use super::troubles::Troubles;
use crate::answer::{Outcome, judge};
use crate::attempt::Attempts;
use crate::attributes::Recipe;
use crate::batch::Envelope;
use crate::config::Config;
use crate::envoy_tags;
use crate::glance::Glance;
use crate::host::{Destination, Host, HostError, LogLevel};
use crate::ids::IdSource;
use crate::metrics::Reading;
use crate::outbox::{Outbox, Settled};
use crate::resource;
use crate::room::Room;
use crate::sampling::Sampler;
use crate::trace_context::w3c::push_hex;
use crate::{SCOPE_NAME, VERSION};
use std::time::Duration;

/// A worker with a valid configuration.
pub struct Worker<H> {
    /// The proxy.
    pub host: H,
    /// The configuration.
    pub config: Config,
    /// The listener's direction, where the host tells it to the root context (older Envoys).
    pub direction: Option<u64>,
    /// Spans on their way.
    pub outbox: Outbox,
    /// Room for requests under way.
    pub room: Room,
    /// The latest attempts, of an upstream filter.
    pub attempts: Attempts,
    /// New ids.
    pub ids: IdSource,
    /// Whether one header tells that there is nothing to do.
    pub glance: Glance,
    /// Which requests are recorded.
    pub sampler: Sampler,
    /// What a span is made by.
    pub recipe: Recipe,
    /// What is read of a finished request.
    pub reads: Reads,
    /// A span is encoded here before it goes into the batch.
    pub scratch: Vec<u8>,
    /// This worker's id, 32 hex digits; empty until the first batch leaves.
    source: String,
    meters: Meters,
    troubles: Troubles,
    is_waking: bool,
}

impl<H: Host> Worker<H> {
    /// A worker for this configuration.
    pub fn new(host: H, mut config: Config, context_id: u32, meters: Meters) -> Self {
        let node = node::node(host);
        let resource = resource::encode(&resource::attributes(&config, &node));
        let outbox = Outbox::new(config.limits, Envelope::new(resource, SCOPE_NAME, VERSION));
        let ids = node::ids(host, context_id, &node);
        let glance = Glance::new(&config, !ids.is_weak());
        let sampler = Sampler::new(config.sampling.clone());
        let environment = || host.environment().unwrap_or_default();
        let recipe =
            Recipe::new(std::mem::take(&mut config.spans), envoy_tags::of_node(&node), environment);
        let reads = Reads::new(host, &recipe, config.span_kind);
        let room = Room::new(config.max_open_bytes);
        Self {
            host,
            config,
            glance,
            sampler,
            direction: node::listener_direction(host),
            outbox,
            room,
            attempts: Attempts::default(),
            ids,
            recipe,
            reads,
            scratch: Vec::with_capacity(1024),
            source: String::new(),
            meters,
            troubles: Troubles::default(),
            is_waking: false,
        }
    }

    /// Puts the encoded span in `scratch` into the batch; a full batch is sent in a millisecond, by
    /// the root context, since a call made by a request would end with that request.
    pub fn hand_over(&mut self) {
        let is_full = self.outbox.push(&self.scratch);
        if is_full && !self.is_waking {
            self.is_waking = self.host.set_tick_ms(1).is_ok();
        }
    }

    /// A flush, or soon after a batch became full.
    pub fn tick(&mut self) {
        let is_waking = std::mem::take(&mut self.is_waking);
        if is_waking {
            self.set_tick(self.config.flush_interval_ms);
        }
        self.send(!is_waking);
        self.tell();
    }

    fn send(&mut self, flush: bool) {
        if self.outbox.held_spans() == 0 {
            return;
        }
        let (host, now_ms, random) = (self.host, self.host.now_ms(), self.ids.random());
        self.name_source();
        let to = destination(&self.config, &self.source);
        let sent = self.outbox.send(flush, now_ms, random, |call| host.post(&to, call));
        self.note_not_sent(sent);
    }

    /// The last chance: sends all that is held, whatever the gate says. True when nothing is held.
    pub fn finish(&mut self) -> bool {
        if self.outbox.held_spans() == 0 {
            return true;
        }
        self.name_source();
        let host = self.host;
        let to = destination(&self.config, &self.source);
        let sent = self.outbox.send_all(|call| host.post(&to, call));
        self.note_not_sent(sent);
        self.set_tick(ENDING_TICK_MS);
        self.tell();
        false
    }

    /// Only now, since by now a weak generator has been stirred by a request's id.
    fn name_source(&mut self) {
        if self.source.is_empty() {
            push_hex(&mut self.source, &self.ids.trace_id());
        }
    }

    fn set_tick(&mut self, period_ms: u32) {
        if let Err(error) = self.host.set_tick_ms(period_ms) {
            self.host.log(LogLevel::Warn, &error);
        }
    }

    fn note_not_sent(&mut self, sent: Result<(), HostError>) {
        if let Err(error) = sent {
            let why = if error.is_missing_cluster() { " (Envoy has no such cluster)" } else { "" };
            let reason = format!("cluster `{}`: {error}{why}", self.config.cluster);
            self.troubles.note_failed_call(reason);
        }
    }

    /// Time is up: what is still held is dropped and counted.
    pub fn give_up(&mut self) {
        let spans = self.outbox.abandon();
        if spans > 0 {
            let line = format_args!("{spans} spans were held at the end and dropped");
            self.host.log(LogLevel::Warn, &line);
        }
        self.tell();
    }

    /// A call was answered: settles its batch, and sends what waits.
    pub fn answered(&mut self, token: u32, body_size: usize) {
        self.settle(token, body_size);
        self.send(false);
        self.tell();
    }

    fn settle(&mut self, token: u32, body_size: usize) {
        let header = |name| self.host.call_response_header(name).ok();
        let text = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let status = text(header(":status")).and_then(|text| text.parse().ok());
        let retry_after = text(header("retry-after"));
        let longest = body_size.min(ANSWER_BYTES);
        let body = match longest {
            0 => Vec::new(),
            _ => self.host.call_response_body(longest).unwrap_or_default(),
        };
        let outcome = judge(status, retry_after.as_deref(), &body);
        let (now_ms, random) = (self.host.now_ms(), self.ids.random());
        if let Some(settled) = self.outbox.answered(token, outcome, now_ms, random) {
            self.note_answer(settled, outcome, status, &body);
        }
    }

    fn note_answer(
        &mut self,
        settled: Settled,
        outcome: Outcome,
        status: Option<u16>,
        body: &[u8],
    ) {
        let Settled { sequence, spans } = settled;
        let status = status.map_or("no answer".to_owned(), |code| code.to_string());
        match outcome {
            Outcome::Accepted { rejected: 0 } => {}
            Outcome::Accepted { rejected } => self.troubles.note_refusal(format!(
                "{rejected} of the {spans} spans of batch {sequence}: {}",
                printable(body)
            )),
            Outcome::Refused => self.troubles.note_refusal(format!(
                "batch {sequence} ({spans} spans): {status} {}",
                printable(body)
            )),
            Outcome::Retry { .. } => self
                .troubles
                .note_failed_call(format!("batch {sequence} ({spans} spans): {status}")),
        }
    }

    /// Tells the numbers that have changed, and the troubles worth a line.
    fn tell(&mut self) {
        let ledger = *self.outbox.ledger();
        self.meters.tell(
            self.host,
            Reading {
                ledger,
                config_errors: 0,
                sampling: self.sampler.counts,
                buffered_bytes: self.outbox.held_bytes() as u64,
                buffered_spans: self.outbox.held_spans(),
                open_bytes: self.room.used() as u64,
            },
        );
        self.troubles.look(self.host, &ledger, self.host.now_ms());
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

/// The readable part of an answer's body: it may be a protobuf with a message in it.
fn printable(body: &[u8]) -> String {
    String::from_utf8_lossy(body)
        .chars()
        .filter(|c| !c.is_control() && *c != '\u{fffd}')
        .take(200)
        .collect()
}
