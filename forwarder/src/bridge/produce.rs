//! A batch into the log: split by trace, stamped, appended in one piece.

use super::metrics::Metrics;
use super::repeats::Sender;
use super::settings::RecordOf;
use crate::ledger::{STAMP_HEADER, Stamp, WriterTotals};
use crate::log::{Acknowledgement, AppendError, Log, LogError, Placed, Record, partition_of};
use crate::otlp::split::{Split, TraceId, TracePart, split, split_by, split_ordered};
use crate::otlp::wire::WireError;
use bytes::{Bytes, BytesMut};
use prost::Message;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of a record beside its value: key, header and what the log itself adds.
const RECORD_OVERHEAD: usize = 512;
/// Bytes of a trace id in hex digits.
const KEY_BYTES: usize = 32;
/// Bytes that a stamp takes, about.
const STAMP_BYTES: usize = 112;

/// Writes records under one name, with running totals per partition.
pub struct Writer {
    log: Arc<dyn Log>,
    dead_letters: Arc<dyn Log>,
    metrics: Arc<Metrics>,
    record: RecordOf,
    state: Mutex<State>,
}

/// A new one after each failure: what an old one did not get through is then no gap in its totals.
#[derive(Clone)]
struct State {
    id: [u8; 16],
    /// Of each partition.
    totals: Vec<WriterTotals>,
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
    pub fn new(
        log: Arc<dyn Log>,
        dead_letters: Arc<dyn Log>,
        metrics: Arc<Metrics>,
        record: RecordOf,
    ) -> Self {
        Self { log, dead_letters, metrics, record, state: Mutex::new(State::new()) }
    }

    /// Divides a batch into what its records will hold, each within `limit` bytes unless it is one span; the records of a
    /// partition follow each other, as the log takes them. While the partitions are not known (0) a record holds one trace.
    pub fn divide(&self, body: &Bytes, limit: usize, partitions: u32) -> Result<Split, WireError> {
        let partition = |trace: &TraceId| partition_of(&key(trace), partitions);
        match (self.record, partitions) {
            (_, 0) => split(body, limit),
            (RecordOf::Trace, _) => split_ordered(body, limit, partition),
            (RecordOf::Batch, _) => split_by(body, limit, partitions, partition),
        }
    }

    /// Whether the parts were divided as `divide` would do it for so many partitions.
    pub fn is_for(&self, parts: &[TracePart], partitions: u32) -> bool {
        self.record == RecordOf::Trace || parts.iter().all(|part| part.among == partitions)
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
        mut parts: Vec<TracePart>,
        limit: usize,
        sender: &Sender,
        partitions: u32,
        now_ms: u64,
    ) -> Result<Appended, AppendError> {
        self.check_groups(&parts, partitions)?;
        let of = parts.len() as u32;
        let too_large: Vec<_> = parts.extract_if(.., |part| part.value.len() > limit).collect();
        let letter = |part| self.dead_letter(part, limit);
        let dead_letters = too_large.iter().map(letter).collect::<Result<_, _>>()?;
        let records = parts.len() as u64;
        let spans = parts.iter().map(|part| u64::from(part.spans)).sum();
        // The order of the totals is the order of the append: both under one lock.
        let mut state = self.lock();
        let mut next = state.clone();
        let of_batch = Stamp {
            writer: next.id.to_vec(),
            source: sender.source.to_vec(),
            sequence: sender.sequence,
            dropped: sender.dropped,
            parts: of,
            received_unix_ms: now_ms,
            ..Stamp::default()
        }
        .encode_to_vec();
        // One piece of memory for the keys and stamps of all records.
        let mut small = BytesMut::with_capacity(parts.len() * (KEY_BYTES + STAMP_BYTES));
        let place = |(part, number)| next.place(part, number, &of_batch, &mut small, partitions);
        let placed = parts.into_iter().zip(1..).map(place).collect();
        let totals = next.changed_since(&state);
        let appended = self.log.append(placed);
        if let Err(AppendError::Failed { .. }) = &appended {
            *state = State::new();
        }
        let acknowledged = appended?;
        let writer = next.id;
        *state = next;
        Ok(Appended { acknowledged, records, spans, dead_letters, writer, totals })
    }

    /// Traces that were together in one partition need not be when there are more of them.
    fn check_groups(&self, parts: &[TracePart], partitions: u32) -> Result<(), AppendError> {
        if parts.iter().all(|part| part.among == 0 || part.among == partitions) {
            return Ok(());
        }
        let detail = format!("it has {partitions} partitions by now; send again");
        Err(AppendError::Failed { topic: self.log.topic().to_owned(), detail })
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
            ("spanferry.dlq.reason".into(), Bytes::from(reason)),
            ("spanferry.dlq.topic".into(), Bytes::from(self.log.topic().to_owned())),
        ];
        let record = Record {
            key: Some(Bytes::copy_from_slice(&key(&part.trace_id))),
            headers: headers.into(),
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
        Self { id: rand::random(), totals: Vec::new() }
    }

    /// The totals of those partitions that something was added to since.
    fn changed_since(&self, before: &Self) -> Vec<(u32, WriterTotals)> {
        let before =
            before.totals.iter().copied().chain(std::iter::repeat(WriterTotals::default()));
        let changed =
            self.totals.iter().zip(before).enumerate().filter(|(_, (now, old))| *now != old);
        changed.map(|(partition, (now, _))| (partition as u32, *now)).collect()
    }

    /// Gives a part its partition, and a stamp of what is said of the batch and its own numbers; key and stamp are written into
    /// `small`.
    fn place(
        &mut self,
        part: TracePart,
        number: u32,
        of_batch: &[u8],
        small: &mut BytesMut,
        partitions: u32,
    ) -> Placed {
        let key = key(&part.trace_id);
        let partition = partition_of(&key, partitions);
        let place = partition as usize;
        if place >= self.totals.len() {
            self.totals.resize(place + 1, WriterTotals::default());
        }
        let totals = &mut self.totals[place];
        totals.records += 1;
        totals.spans += u64::from(part.spans);
        let own = Stamp {
            part: number,
            spans: part.spans,
            total_records: totals.records,
            total_spans: totals.spans,
            ..Stamp::default()
        };
        small.extend_from_slice(&key);
        let key = small.split().freeze();
        // Two messages one behind the other are one (protobuf's encoding, "Last One Wins"): what is the same is written once.
        small.extend_from_slice(of_batch);
        // It fails for want of room only, and this buffer grows.
        let _ = own.encode(small);
        let headers = [(STAMP_HEADER.into(), small.split().freeze())].into();
        Placed { partition, record: Record { key: Some(key), headers, value: part.value } }
    }
}

/// A record's key.
fn key(trace: &TraceId) -> [u8; KEY_BYTES] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut key = [0; KEY_BYTES];
    for (place, byte) in key.chunks_exact_mut(2).zip(trace) {
        place[0] = DIGITS[usize::from(byte >> 4)];
        place[1] = DIGITS[usize::from(byte & 15)];
    }
    key
}
