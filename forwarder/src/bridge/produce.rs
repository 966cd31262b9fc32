//! A batch into the log: split by trace, stamped, appended in one piece.

use super::metrics::Metrics;
use super::repeats::Sender;
use crate::ledger::{STAMP_HEADER, Stamp, WriterTotals};
use crate::log::{Acknowledgement, AppendError, Log, LogError, Placed, Record, partition_of};
use crate::otlp::split::TracePart;
use bytes::Bytes;
use prost::Message;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of a record beside its value: key, header and what the log itself adds.
const RECORD_OVERHEAD: usize = 512;

/// Writes records under one name, with running totals per partition.
pub struct Writer {
    log: Arc<dyn Log>,
    dead_letters: Arc<dyn Log>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

/// A new one after each failure: what an old one did not get through is then no gap in its totals.
#[derive(Clone)]
struct State {
    id: [u8; 16],
    totals: HashMap<u32, WriterTotals>,
}

/// Records handed to the log.
pub struct Appended {
    /// Resolves when all are safe.
    pub acknowledged: Acknowledgement,
    /// How many went to the log, and the spans in them.
    records: u64,
    spans: u64,
    /// Spans that are too large for a record, handed to the dead letters.
    pub dead_letters: Vec<Acknowledgement>,
    writer: [u8; 16],
    /// The writer's totals with these records, in each partition that they went to.
    totals: Vec<(u32, WriterTotals)>,
}

impl Writer {
    /// A writer for `log`.
    pub fn new(log: Arc<dyn Log>, dead_letters: Arc<dyn Log>, metrics: Arc<Metrics>) -> Self {
        Self { log, dead_letters, metrics, state: Mutex::new(State::new()) }
    }

    /// The largest value of a record, bytes.
    pub fn max_value_bytes(&self) -> usize {
        self.log.max_record_bytes().saturating_sub(RECORD_OVERHEAD).max(1)
    }

    /// Whether each part will find a place: a span too large for a record is kept as a dead letter, within its limit.
    pub fn check_size(&self, parts: &[TracePart], limit: usize) -> Result<(), AppendError> {
        let longest = parts.iter().map(|part| part.value.len()).max().unwrap_or(0);
        let of_letter = self.dead_letters.max_record_bytes().saturating_sub(RECORD_OVERHEAD);
        if longest <= limit.max(of_letter) {
            return Ok(());
        }
        let topic = self.dead_letters.topic().to_owned();
        Err(AppendError::TooLarge { topic, size: longest, limit: of_letter })
    }

    /// Asks for what `append` needs to know of the dead letters' topic, if one of the parts will go there.
    pub async fn prepare(&self, parts: &[TracePart], limit: usize) -> Result<(), LogError> {
        if parts.iter().any(|part| part.value.len() > limit) {
            self.dead_letters.partitions().await?;
        }
        Ok(())
    }

    /// Appends the parts of one batch, all or none; those above `limit` bytes as dead letters.
    pub fn append(
        &self,
        parts: Vec<TracePart>,
        limit: usize,
        sender: &Sender,
        partitions: u32,
        now_ms: u64,
    ) -> Result<Appended, AppendError> {
        let of = parts.len() as u32;
        let (good, too_large): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|part| part.value.len() <= limit);
        let letter = |part| self.dead_letter(part, limit);
        let dead_letters = too_large.iter().map(letter).collect::<Result<_, _>>()?;
        let stamp = Stamp {
            source: sender.source.to_vec(),
            sequence: sender.sequence,
            dropped: sender.dropped,
            parts: of,
            received_unix_ms: now_ms,
            ..Stamp::default()
        };
        let records = good.len() as u64;
        let spans = good.iter().map(|part| u64::from(part.spans)).sum();
        // The order of the totals is the order of the append: both under one lock.
        let mut state = self.lock();
        let mut next = state.clone();
        let number = |(i, part)| {
            next.place(&part, Stamp { part: i as u32 + 1, ..stamp.clone() }, partitions)
        };
        let placed: Vec<Placed> = good.into_iter().enumerate().map(number).collect();
        let totals = next.totals_of(&placed);
        let appended = self.log.append(placed);
        if let Err(AppendError::Failed { .. }) = &appended {
            *state = State::new();
        }
        let acknowledged = appended?;
        let writer = next.id;
        *state = next;
        Ok(Appended { acknowledged, records, spans, dead_letters, writer, totals })
    }

    /// A batch was not acknowledged for good: its writer ends, and a new one begins.
    pub fn failed(&self, appended: [u8; 16]) {
        let mut state = self.lock();
        if state.id == appended {
            *state = State::new();
        }
    }

    /// A span that fits in no record: kept with its reason, so the batch need not fail for it.
    fn dead_letter(&self, part: &TracePart, limit: usize) -> Result<Acknowledgement, AppendError> {
        let reason = format!(
            "a span of {} bytes is above the limit of a record ({} bytes)",
            part.value.len(),
            limit
        );
        let headers = vec![
            ("spanferry.dlq.reason".to_owned(), Bytes::from(reason)),
            ("spanferry.dlq.topic".to_owned(), Bytes::from(self.log.topic().to_owned())),
        ];
        let record = Record {
            key: Some(hex::encode(part.trace_id).into()),
            headers,
            value: part.value.clone(),
        };
        self.dead_letters.append(vec![Placed { partition: 0, record }])
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Appended {
    /// Waits until all is safe, or something is not; what is, is counted.
    pub async fn settled(self, writer: &Writer) -> Result<(), AppendError> {
        let mut result = self.acknowledged.await.map(|_| ());
        match &result {
            Ok(()) => {
                writer.metrics.sent_records.inc_by(self.records);
                writer.metrics.written_spans.inc_by(self.spans);
                writer.metrics.acknowledged.note(self.writer, &self.totals);
            }
            Err(_) => writer.failed(self.writer),
        }
        for letter in self.dead_letters {
            let kept = letter.await;
            // Each holds one span: a part of more would have been divided.
            writer.metrics.dead_lettered_spans.inc_by(u64::from(kept.is_ok()));
            result = result.and(kept.map(|_| ()));
        }
        result
    }
}

impl State {
    fn new() -> Self {
        Self { id: rand::random(), totals: HashMap::new() }
    }

    /// The totals in each partition of these records, which were placed last.
    fn totals_of(&self, placed: &[Placed]) -> Vec<(u32, WriterTotals)> {
        let partitions: BTreeSet<u32> = placed.iter().map(|placed| placed.partition).collect();
        let totals = |partition| Some((partition, *self.totals.get(&partition)?));
        partitions.into_iter().filter_map(totals).collect()
    }

    fn place(&mut self, part: &TracePart, stamp: Stamp, partitions: u32) -> Placed {
        let key = hex::encode(part.trace_id);
        let partition = partition_of(key.as_bytes(), partitions);
        let totals = self.totals.entry(partition).or_default();
        totals.records += 1;
        totals.spans += u64::from(part.spans);
        let stamp = Stamp {
            writer: self.id.to_vec(),
            total_records: totals.records,
            total_spans: totals.spans,
            spans: part.spans,
            ..stamp
        };
        let headers = vec![(STAMP_HEADER.to_owned(), stamp.encode_to_vec().into())];
        Placed {
            partition,
            record: Record { key: Some(key.into()), headers, value: part.value.clone() },
        }
    }
}
