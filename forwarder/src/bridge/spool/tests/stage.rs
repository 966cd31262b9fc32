//! A spool with its pump, on a disk in the hands of the test and before a log that does as it is told. It can be killed
//! at any moment: what was fsynced by then is what the next one finds.

use super::super::disk::Disk;
use super::super::switch::Way;
use super::super::{Batch, Spool, SpoolSettings, pump};
use crate::bridge::RecordOf;
use crate::bridge::metrics::Metrics;
use crate::bridge::refusal::Refusal;
use crate::bridge::repeats::Sender;
use crate::ledger::{STAMP_HEADER, Stamp};
use crate::log::LogError;
use crate::log::double::Double;
use crate::log::embedded::faults::{Disk as Mood, Hands};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const DEADLINE: Duration = Duration::from_secs(60);

pub struct Stage {
    root: TempDir,
    kills: usize,
    pub settings: SpoolSettings,
    pub hands: Hands,
    pub log: Arc<Double>,
    pub letters: Arc<Double>,
    pub running: Option<Running>,
}

pub struct Running {
    pub spool: Arc<Spool>,
    pub metrics: Arc<Metrics>,
    stop: CancellationToken,
    pump: JoinHandle<Result<(), LogError>>,
}

/// A span as the log has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Written {
    pub trace: u8,
    pub number: u64,
}

impl Stage {
    pub fn new() -> Self {
        Self::on(Double::new("traces", 4))
    }

    pub fn on(log: Arc<Double>) -> Self {
        let root = TempDir::new().unwrap();
        let settings = SpoolSettings {
            path: root.path().join("0"),
            bytes: 64 << 20,
            after: Duration::from_millis(60),
            max_request_bytes: 1 << 20,
            record: RecordOf::Trace,
            max_bytes_in_flight: 8 << 20,
        };
        let letters = Double::new("traces.dlq", 1);
        Self { root, kills: 0, settings, hands: Hands::default(), log, letters, running: None }
    }

    /// Opens the spool; its pump is not started.
    pub fn open(&self) -> Result<(Arc<Spool>, Arc<Metrics>), LogError> {
        let registry = &mut prometheus_client::registry::Registry::default();
        let metrics = Arc::new(Metrics::register(registry));
        let disk = Disk::open_in_hands(&self.settings, metrics.spool.clone(), &self.hands)?;
        let (log, letters) = (self.log.clone(), self.letters.clone());
        Ok((Spool::with(disk, &self.settings, log, letters, metrics.clone()), metrics))
    }

    pub async fn start(&mut self) {
        let (spool, metrics) = self.open().unwrap();
        let stop = CancellationToken::new();
        let pump = tokio::spawn(pump(spool.clone(), stop.clone()));
        self.running = Some(Running { spool, metrics, stop, pump });
    }

    /// An orderly end.
    pub async fn stop(&mut self) {
        let Running { spool, stop, pump, metrics } = self.running.take().unwrap();
        spool.landed().await;
        stop.cancel();
        tokio::time::timeout(DEADLINE, pump).await.unwrap().unwrap().unwrap();
        drop((spool, metrics));
    }

    /// kill -9: whatever the process still does reaches no disk, and the next one finds what is there.
    pub async fn kill(&mut self) {
        self.hands.disk(Mood::Full);
        let Running { spool, pump, .. } = self.running.take().unwrap();
        let from = self.settings.path.join("log.redb");
        self.kills += 1;
        self.settings.path = self.root.path().join(self.kills.to_string());
        fs::create_dir(&self.settings.path).unwrap();
        fs::copy(from, self.file()).unwrap();
        pump.abort();
        drop(spool);
        self.hands = Hands::default();
        self.start().await;
    }

    pub fn file(&self) -> PathBuf {
        self.settings.path.join("log.redb")
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// What the log has, in order, repeats included.
    pub fn written(&self) -> Vec<Written> {
        self.log.records().iter().flat_map(|placed| spans(&placed.record.value)).collect()
    }

    /// As a forwarder delivers it: a record with a source, a sequence and bytes that were here before is left out.
    pub fn delivered(&self) -> Vec<Written> {
        let mut seen = HashSet::new();
        let is_new = |stamp: &Stamp, value: &Bytes| {
            seen.insert((stamp.source.clone(), stamp.sequence, value.clone()))
        };
        let records = self.log.records();
        let stamped = records.iter().map(|placed| (stamp(placed), &placed.record.value));
        let mut is_new = is_new;
        let new: Vec<_> = stamped.filter(|(stamp, value)| is_new(stamp, value)).collect();
        new.into_iter().flat_map(|(_, value)| spans(value)).collect()
    }

    pub async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let in_time = tokio::time::timeout(DEADLINE, wait).await;
        assert!(in_time.is_ok(), "in vain for {what}: {:?}", self.running());
    }

    /// Waits until nothing is in the spool and batches go to the log.
    pub async fn drained(&self) {
        self.until("the direct way", |stage| stage.running().way() == Way::Direct).await;
        assert_eq!(self.running().waiting(), (0, 0));
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("way", &self.way())
            .field("is_writing", &self.spool.is_writing())
            .field("pump_has_ended", &self.pump.is_finished())
            .field("spool", &self.metrics.spool)
            .finish()
    }
}

impl Running {
    pub fn way(&self) -> Way {
        self.spool.lock().way()
    }

    /// Batches and spans in the spool.
    pub fn waiting(&self) -> (i64, i64) {
        let metrics = &self.metrics.spool;
        (metrics.waiting_records.get(), metrics.waiting_spans.get())
    }

    /// Sends a batch of one span for each trace; they carry this number.
    pub async fn send(&self, number: u64, traces: &[u8]) -> Result<(), Refusal> {
        self.send_as(Sender::default(), body(number, traces, 0)).await
    }

    pub async fn send_as(&self, sender: Sender, body: Bytes) -> Result<(), Refusal> {
        let (limit, partitions) = (self.spool.writer().max_value_bytes(), self.spool.partitions());
        let parts = self.spool.writer().divide(&body, limit, partitions).unwrap().traces;
        let spans = parts.iter().map(|part| u64::from(part.spans)).sum();
        let batch = Batch { body, sender, parts, limit, spans, received_ms: 77 };
        let safe = self.spool.take(batch).await?;
        tokio::time::timeout(DEADLINE, safe).await.expect("an answer")
    }
}

pub fn body(number: u64, traces: &[u8], padding: usize) -> Bytes {
    let span = |trace: &u8| Span {
        trace_id: vec![*trace; 16],
        span_id: number.to_be_bytes().to_vec(),
        name: "x".repeat(padding),
        ..Span::default()
    };
    let scope_spans =
        vec![ScopeSpans { spans: traces.iter().map(span).collect(), ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
}

pub fn stamp(placed: &crate::log::Placed) -> Stamp {
    Stamp::decode(placed.record.header(STAMP_HEADER).unwrap().clone()).unwrap()
}

fn spans(value: &Bytes) -> Vec<Written> {
    let request = ExportTraceServiceRequest::decode(value.clone()).unwrap();
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    let number = |span: &Span| u64::from_be_bytes(span.span_id[..].try_into().unwrap());
    let written = |span: Span| Written { trace: span.trace_id[0], number: number(&span) };
    scopes.flat_map(|scope| scope.spans).map(written).collect()
}
