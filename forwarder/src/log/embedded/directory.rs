//! A directory that is opened: its lock, its database, its writer's thread, its topics.

use super::queue::Queue;
use super::store::{self, OpenDatabase, Store, open_file};
use super::topic::{Topic, Weigh};
use super::unsynced::Unsynced;
use super::verdict::Verdict;
use super::writer;
use crate::log::{LogError, LogSettings, TopicSettings};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

/// Partitions of a topic, at most.
const MOST_PARTITIONS: u32 = 10_000;

/// The database's file in the directory.
pub(super) const DATABASE: &str = "log.redb";

/// Time and disk: tests bring their own.
pub(super) struct Surroundings {
    /// ms since 1970.
    pub clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    pub open_database: Box<OpenDatabase>,
}

impl Default for Surroundings {
    fn default() -> Self {
        let now = || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        };
        let unsynced = Unsynced::default();
        let open_database = Box::new(move |path: &Path| open_file(path, &unsynced));
        Self { clock: Arc::new(now), open_database }
    }
}

/// What the writer's thread and the readers share.
pub(super) struct Shared {
    pub store: Store,
    pub queue: Queue,
    pub verdict: Verdict,
    clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    topics: Mutex<BTreeMap<String, Arc<Topic>>>,
}

impl Shared {
    pub fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    pub fn topics(&self) -> Vec<Arc<Topic>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// After a failed access: the database is opened anew, and what it says holds. Only the writer calls it.
    pub fn recover(&self) -> Result<(), LogError> {
        self.store.open_again()?;
        writer::follow(self).map_err(|fault| self.store.explain(fault))
    }
}

/// An open directory; closed when dropped, after what waits was written.
pub(super) struct Directory {
    pub shared: Arc<Shared>,
    pub fetch_ahead_bytes: usize,
    writer: Option<JoinHandle<()>>,
    /// Held (and so locked) until everything else is closed.
    _lock: File,
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("store", &self.shared.store).finish_non_exhaustive()
    }
}

impl Directory {
    pub fn open(
        path: &Path,
        settings: &LogSettings,
        surroundings: Surroundings,
    ) -> Result<Self, LogError> {
        let lock = lock(path)?;
        let Surroundings { clock, open_database } = surroundings;
        let store = Store::open(path.join(DATABASE), open_database)?;
        // The file's name must outlive a loss of power as its bytes do.
        File::open(path).and_then(|dir| dir.sync_all()).map_err(|error| unusable(path, &error))?;
        let queue = Queue::new(settings.queue_bytes, clock.clone());
        let (verdict, topics) = (Verdict::default(), Mutex::default());
        let shared = Arc::new(Shared { store, queue, verdict, clock, topics });
        let writer = thread::Builder::new().name("log-writer".into()).spawn({
            let shared = shared.clone();
            move || writer::run(&shared)
        });
        let writer = Some(writer.map_err(|error| unusable(path, &error))?);
        Ok(Self { shared, fetch_ahead_bytes: settings.fetch_ahead_bytes, writer, _lock: lock })
    }

    /// A topic, made when it is missing and may be.
    pub fn topic(
        &self,
        name: &str,
        settings: &TopicSettings,
        weigh: Weigh,
    ) -> Result<Arc<Topic>, LogError> {
        let store = &self.shared.store;
        let mut topics = self.shared.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = topics.get(name) {
            return Ok(topic.clone());
        }
        let load = || store.read().and_then(|t| store::load_topic(&t, name));
        let mut stored = load().map_err(|fault| store.explain(fault))?;
        if stored.is_none() {
            check_new(name, settings)?;
            let create = store.write(|t| store::create_topic(t, name, settings.partitions));
            stored = create.and_then(|()| load()).map_err(|fault| store.explain(fault))?;
        }
        let topic = Arc::new(Topic::new(name, settings, weigh, stored.unwrap_or_default()));
        topics.insert(name.into(), topic.clone());
        Ok(topic)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.shared.queue.close();
        if self.writer.take().is_some_and(|writer| writer.join().is_err()) {
            tracing::error!(path = %self.shared.store.path(), "the log's writer has failed");
        }
        self.shared.store.close();
    }
}

fn check_new(topic: &str, settings: &TopicSettings) -> Result<(), LogError> {
    if !settings.create {
        return Err(LogError::NoTopic { topic: topic.into() });
    }
    if (1..=MOST_PARTITIONS).contains(&settings.partitions) {
        return Ok(());
    }
    Err(LogError::Setting {
        setting: "partitions".into(),
        value: settings.partitions.to_string(),
        detail: format!("a topic has 1 to {MOST_PARTITIONS}"),
    })
}

/// Makes the directory and locks it; the lock goes with the process, however that ends.
fn lock(path: &Path) -> Result<File, LogError> {
    fs::create_dir_all(path).map_err(|error| unusable(path, &error))?;
    let file = File::options().create(true).write(true).truncate(false).open(path.join("lock"));
    let file = file.map_err(|error| unusable(path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogError::InUse { path: path.display().to_string() }),
        Err(TryLockError::Error(error)) => Err(unusable(path, &error)),
    }
}

fn unusable(path: &Path, error: &io::Error) -> LogError {
    let what = path.display().to_string();
    let detail = format!("a log cannot be kept here: {error}");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            LogError::Unavailable { what, detail }
        }
        _ => LogError::Fatal { what, detail },
    }
}
