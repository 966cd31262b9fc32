//! The spool on disk: a log in a directory with one partition and one reader, bounded in bytes. Entries are fsynced in
//! groups; one goes when the pump has committed it.

use super::entry::{Entry, weigh};
use super::metrics::SpoolMetrics;
use super::settings::SpoolSettings;
use crate::log::embedded::{EmbeddedLog, set_file_aside};
use crate::log::{
    Acknowledgement, AppendError, Log, LogError, LogSettings, Reader, Retention, TopicSettings,
};
use futures_util::FutureExt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

const TOPIC: &str = "spool";
const GROUP: &str = "pump";
/// Holds, after damage of the database's own pages, how many batches and spans waited, and what was found: the next opening
/// sets the file aside.
const DAMAGED: &str = "damaged";
/// The pump's share of memory for what it reads.
const FETCH_AHEAD_BYTES: usize = 4 << 20;
/// What an entry has beside its body, and more.
const ENTRY_OVERHEAD: usize = 1024;

/// The open directory.
pub struct Disk {
    path: PathBuf,
    log: Arc<EmbeddedLog>,
    numbering: Mutex<Numbering>,
    /// The disk has refused entries, and may have them all the same.
    is_in_doubt: Arc<AtomicBool>,
    metrics: SpoolMetrics,
}

/// Entries are numbered as records in Kafka are, so that one taken out behind our back is missed, by number.
struct Numbering {
    writer: [u8; 16],
    records: u64,
    spans: u64,
}

impl Disk {
    /// Opens the directory, which is made when it is missing and locked to this process. A file that is damaged as a
    /// whole is set aside, and a new one begins.
    pub fn open(settings: &SpoolSettings, metrics: SpoolMetrics) -> Result<Self, LogError> {
        let path = &settings.path;
        let log = settings.log();
        let open = || EmbeddedLog::open_weighed(path, TOPIC, &log, weigh);
        Self::open_by(path, open, metrics)
    }

    /// As `open`, with time and disk in the hands of a test.
    #[cfg(test)]
    pub fn open_in_hands(
        settings: &SpoolSettings,
        metrics: SpoolMetrics,
        hands: &crate::log::embedded::faults::Hands,
    ) -> Result<Self, LogError> {
        let path = &settings.path;
        let log = settings.log();
        let open = || EmbeddedLog::open_in_hands(path, TOPIC, &log, weigh, hands);
        Self::open_by(path, open, metrics)
    }

    fn open_by(
        path: &Path,
        open: impl Fn() -> Result<Arc<EmbeddedLog>, LogError>,
        metrics: SpoolMetrics,
    ) -> Result<Self, LogError> {
        let found = fs::read_to_string(path.join(DAMAGED)).ok();
        let log = match found {
            None => open(),
            Some(mark) => {
                let (records, spans, found) = read_mark(&mark);
                metrics.set_aside_records.inc_by(records);
                metrics.set_aside_spans.inc_by(spans);
                Err(LogError::Damaged { path: path.display().to_string(), detail: found.into() })
            }
        };
        let log = match log {
            Err(LogError::Damaged { path: file, detail }) => {
                set_aside(path, &file, &detail, &metrics)?;
                open()?
            }
            other => other?,
        };
        let waiting = log.waiting(GROUP)?;
        metrics.waiting_records.set(waiting.records as i64);
        metrics.waiting_spans.set(waiting.weight as i64);
        metrics.waiting_bytes.set(log.counters().stored_bytes as i64);
        let (numbering, is_in_doubt) = (Mutex::new(Numbering::new()), Arc::default());
        Ok(Self { path: path.into(), log, numbering, is_in_doubt, metrics })
    }

    /// Takes an entry in, behind all that came before. It is safe when the answer says so.
    pub fn append(&self, entry: &Entry) -> Result<Acknowledgement, AppendError> {
        let mut numbering = self.numbering.lock().unwrap_or_else(PoisonError::into_inner);
        let (records, spans) = (numbering.records + 1, numbering.spans + entry.spans);
        let appended = self.log.append(vec![entry.record(numbering.writer, records, spans)]);
        match &appended {
            Ok(_) => (numbering.records, numbering.spans) = (records, spans),
            Err(AppendError::Failed { .. }) => *numbering = Numbering::new(),
            Err(_) => {}
        }
        drop(numbering);
        let acknowledged = appended?;
        self.metrics.waits(1, entry.spans as i64);
        let (metrics, spans) = (self.metrics.clone(), entry.spans);
        let (log, in_doubt) = (Arc::downgrade(&self.log), self.is_in_doubt.clone());
        Ok(async move {
            let result = acknowledged.await;
            match &result {
                Ok(_) => {
                    metrics.spooled(spans);
                    let bytes = log.upgrade().map(|log| log.counters().stored_bytes);
                    metrics.waiting_bytes.set(bytes.unwrap_or_default() as i64);
                }
                Err(_) => {
                    metrics.waits(-1, -(spans as i64));
                    in_doubt.store(true, Relaxed);
                }
            }
            result
        }
        .boxed())
    }

    /// After the disk has refused entries: counts anew what waits, beside what is drained and not committed yet (entries
    /// and spans). Blocks while it reads the index, and then only.
    pub fn count_again(&self, uncommitted: (u64, u64)) -> Result<(), LogError> {
        if !self.is_in_doubt.load(Relaxed) {
            return Ok(());
        }
        let _nothing_is_taken_meanwhile = self.numbering.lock();
        if self.is_writing() {
            return Ok(());
        }
        let waiting = self.log.waiting(GROUP)?;
        self.is_in_doubt.store(false, Relaxed);
        self.metrics.waiting_records.set(waiting.records.saturating_sub(uncommitted.0) as i64);
        self.metrics.waiting_spans.set(waiting.weight.saturating_sub(uncommitted.1) as i64);
        Ok(())
    }

    /// The pump's place.
    pub async fn reader(&self) -> Result<Box<dyn Reader>, LogError> {
        self.log.reader(GROUP).await
    }

    /// Whether it keeps what is written; after a failure, tries.
    pub async fn writable(&self) -> Result<(), LogError> {
        self.log.writable().await
    }

    /// Whether entries were taken that are not fsynced yet.
    pub fn is_writing(&self) -> bool {
        self.log.queue().records > 0
    }

    /// Bytes of the bound that are in use.
    pub fn bytes(&self) -> u64 {
        self.log.counters().stored_bytes
    }

    /// What could not be read since the start: records, spans, bytes.
    pub fn damaged(&self) -> (u64, u64, u64) {
        let counters = self.log.counters();
        (counters.damaged_records, counters.damaged_weight, counters.damaged_bytes)
    }

    /// Whether anything from this offset on can be read. Blocks while it reads the index.
    pub fn is_readable_from(&self, offset: i64) -> Result<bool, LogError> {
        self.log.is_readable_from(0, offset)
    }

    /// Keeps an entry that can never be written to the log, as a file with its reason beside it.
    pub fn keep(&self, offset: i64, body: &[u8], reason: &str) -> io::Result<PathBuf> {
        let folder = self.path.join("set-aside");
        fs::create_dir_all(&folder)?;
        let kept = folder.join(format!("entry-{offset}.otlp"));
        for (path, bytes) in [(&kept, body), (&kept.with_extension("reason"), reason.as_bytes())] {
            let mut file = File::create(path)?;
            file.write_all(bytes)?;
            file.sync_all()?;
        }
        Ok(kept)
    }

    /// Has the next opening set the file aside.
    pub fn mark_damaged(&self, found: &str) {
        let (records, spans) =
            (self.metrics.waiting_records.get(), self.metrics.waiting_spans.get());
        let mark = File::create(self.path.join(DAMAGED)).and_then(|mut file| {
            file.write_all(format!("{records} {spans} {found}").as_bytes())?;
            file.sync_all()
        });
        if let Err(error) = mark {
            tracing::error!(path = %self.path.display(), %error, "the damage could not be noted");
        }
    }
}

impl Numbering {
    fn new() -> Self {
        Self { writer: rand::random(), records: 0, spans: 0 }
    }
}

/// Batches, spans, and what was found.
fn read_mark(mark: &str) -> (u64, u64, &str) {
    let mut words = mark.splitn(3, ' ');
    let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    let (records, spans) = (number(), number());
    (records, spans, words.next().unwrap_or(mark))
}

fn set_aside(path: &Path, file: &str, found: &str, metrics: &SpoolMetrics) -> Result<(), LogError> {
    let failed = |error: io::Error| LogError::Damaged {
        path: file.into(),
        detail: format!("{found}; it could not be set aside either: {error}"),
    };
    let (kept, bytes) = set_file_aside(path).map_err(failed)?;
    match fs::remove_file(path.join(DAMAGED)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    metrics.set_aside_bytes.inc_by(bytes);
    tracing::error!(
        path = %path.display(), kept = %kept.display(), bytes, found,
        "the spool is damaged: it is set aside with all that waited in it, and a new one begins"
    );
    Ok(())
}

impl SpoolSettings {
    fn log(&self) -> LogSettings {
        let max_record_bytes = self.max_request_bytes.saturating_add(ENTRY_OVERHEAD);
        let retention = Retention { age: None, bytes: Some(self.bytes) };
        let topic = TopicSettings {
            partitions: 1,
            retention,
            max_record_bytes,
            ..TopicSettings::default()
        };
        LogSettings {
            topic,
            // Room is taken for every request before it comes here: this bound is never met.
            queue_bytes: self.max_bytes_in_flight.saturating_mul(2),
            fetch_ahead_bytes: FETCH_AHEAD_BYTES,
            ..LogSettings::default()
        }
    }
}
