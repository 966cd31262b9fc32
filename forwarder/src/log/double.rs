//! A log in memory for tests: it does as it is told (acknowledge, hang, be full, fail), and its reader tells what the
//! test gives it.

use super::*;
use bytes::Bytes;
use futures_util::FutureExt;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Notify, watch};

/// What the double does with an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Acknowledges at once.
    Good,
    /// Takes records and acknowledges when the mood is good again.
    Hanging,
    /// Takes records and then fails them.
    Failing,
    /// Refuses as if its queue were full.
    Full,
    /// Cannot be reached: has no partitions to tell.
    Away,
}

/// See the module.
pub struct Double {
    topic: String,
    partitions: u32,
    max_record_bytes: usize,
    is_strict: AtomicBool,
    mood: watch::Sender<Mood>,
    records: Mutex<Vec<Placed>>,
    reader: Mutex<Option<ScriptedReader>>,
    events: Arc<Events>,
    /// What its recent records tell, and since when each was asked for them.
    recent: Arc<Events>,
    asked_since: Mutex<Vec<i64>>,
    commits: Arc<Mutex<Vec<Commit>>>,
}

#[derive(Default)]
struct Events {
    waiting: Mutex<VecDeque<Event>>,
    more: Notify,
}

impl Events {
    fn tell(&self, event: Event) {
        self.waiting.lock().unwrap().push_back(event);
        self.more.notify_one();
    }

    async fn take(&self, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            let more = self.more.notified();
            {
                let mut waiting = self.waiting.lock().unwrap();
                if let Some(at) = waiting.iter().position(&wanted) {
                    return waiting.remove(at).unwrap();
                }
            }
            more.await;
        }
    }
}

struct ScriptedReader {
    events: Arc<Events>,
    commits: Arc<Mutex<Vec<Commit>>>,
}

impl Double {
    /// An empty log.
    pub fn new(topic: &str, partitions: u32) -> Arc<Self> {
        Self::with_limit(topic, partitions, 1_000_000)
    }

    /// An empty log with a limit for a record, in bytes.
    pub fn with_limit(topic: &str, partitions: u32, max_record_bytes: usize) -> Arc<Self> {
        let events = Arc::new(Events::default());
        let commits = Arc::new(Mutex::new(Vec::new()));
        let reader = ScriptedReader { events: events.clone(), commits: commits.clone() };
        Arc::new(Self {
            topic: topic.into(),
            partitions,
            max_record_bytes,
            is_strict: AtomicBool::new(false),
            mood: watch::Sender::new(Mood::Good),
            records: Mutex::default(),
            reader: Mutex::new(Some(reader)),
            events,
            recent: Arc::default(),
            asked_since: Mutex::default(),
            commits,
        })
    }

    /// Changes what it does from now on; what hangs goes on when the mood is good.
    pub fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// From now on refuses what is above its limit.
    pub fn refuse_above_the_limit(&self) {
        self.is_strict.store(true, Ordering::Relaxed);
    }

    /// Everything that was taken, in order.
    pub fn records(&self) -> Vec<Placed> {
        self.records.lock().unwrap().clone()
    }

    /// Has the reader tell this.
    pub fn tell(&self, event: Event) {
        self.events.tell(event);
    }

    /// Has the reader tell of a partition and of records in it, with offsets from `first`.
    pub fn tell_records(
        &self,
        partition: u32,
        first: i64,
        values: impl IntoIterator<Item = Bytes>,
    ) {
        self.tell(Event::Records(records(partition, first, values)));
    }

    /// Has whoever reads from its end see these records.
    pub fn tell_recent(&self, records: Vec<StoredRecord>) {
        self.recent.tell(Event::Records(records));
    }

    /// Since when it was asked for recent records, each time.
    pub fn asked_since(&self) -> Vec<i64> {
        self.asked_since.lock().unwrap().clone()
    }

    /// Has the reader be given a partition.
    pub fn assign(&self, partition: u32) {
        let assignment =
            Assignment { partition, committed: None, metadata: String::new(), log_start: None };
        self.tell(Event::Assigned(vec![assignment]));
    }

    /// The records of a partition as they would be read.
    fn of(&self, partition: u32) -> Vec<StoredRecord> {
        let records = self.records().into_iter().filter(|placed| placed.partition == partition);
        let stored = |(offset, placed): (usize, Placed)| StoredRecord {
            partition,
            offset: offset as i64,
            timestamp_ms: 1,
            record: placed.record,
        };
        records.enumerate().map(stored).collect()
    }

    /// What was stored with the last commit of a partition.
    pub fn metadata(&self, partition: u32) -> String {
        let commits = self.commits.lock().unwrap();
        let last = commits.iter().rev().find(|commit| commit.partition == partition);
        last.map(|commit| commit.metadata.clone()).unwrap_or_default()
    }

    /// The last committed offset of a partition.
    pub fn committed(&self, partition: u32) -> Option<i64> {
        let commits = self.commits.lock().unwrap();
        commits
            .iter()
            .rev()
            .find(|commit| commit.partition == partition)
            .map(|commit| commit.offset)
    }
}

/// Records of a partition with offsets from `first`, of long ago.
pub fn records(
    partition: u32,
    first: i64,
    values: impl IntoIterator<Item = Bytes>,
) -> Vec<StoredRecord> {
    let stored = |(i, value)| StoredRecord {
        partition,
        offset: first + i as i64,
        timestamp_ms: 1,
        record: Record { value, ..Record::default() },
    };
    values.into_iter().enumerate().map(stored).collect()
}

/// What the test has it see.
struct Told(Arc<Events>);

#[async_trait]
impl Scan for Told {
    async fn next(&mut self) -> Result<Option<Vec<StoredRecord>>, LogError> {
        match self.0.take(|_| true).await {
            Event::Records(records) => Ok(Some(records)),
            other => panic!("{other:?} is not recent records"),
        }
    }
}

/// A scan of one batch.
struct Held(Option<Vec<StoredRecord>>);

#[async_trait]
impl Scan for Held {
    async fn next(&mut self) -> Result<Option<Vec<StoredRecord>>, LogError> {
        Ok(self.0.take())
    }
}

#[async_trait]
impl Log for Double {
    fn topic(&self) -> &str {
        &self.topic
    }

    async fn partitions(&self) -> Result<u32, LogError> {
        match *self.mood.borrow() {
            Mood::Away => {
                Err(LogError::Unavailable { what: "double".into(), detail: "away".into() })
            }
            _ => Ok(self.partitions),
        }
    }

    fn max_record_bytes(&self) -> usize {
        self.max_record_bytes
    }

    fn append(&self, records: Vec<Placed>) -> Result<Acknowledgement, AppendError> {
        let (topic, mood) = (self.topic.clone(), *self.mood.borrow());
        if mood == Mood::Full {
            return Err(AppendError::Full { topic, bytes: 1, limit: 1 });
        }
        let largest = records.iter().map(|placed| placed.record.size()).max().unwrap_or(0);
        let limit = self.max_record_bytes;
        if self.is_strict.load(Ordering::Relaxed) && largest > limit {
            return Err(AppendError::TooLarge { topic, size: largest, limit });
        }
        let mut all = self.records.lock().unwrap();
        let offsets = (all.len() as i64..).take(records.len()).collect();
        all.extend(records);
        let mut moods = self.mood.subscribe();
        Ok(async move {
            if mood == Mood::Failing {
                return Err(AppendError::Failed { topic, detail: "told to".into() });
            }
            let _ = moods.wait_for(|mood| *mood == Mood::Good).await;
            Ok(offsets)
        }
        .boxed())
    }

    fn queue(&self) -> QueueSize {
        QueueSize::default()
    }

    async fn reader(&self, _group: &str) -> Result<Box<dyn Reader>, LogError> {
        Ok(Box::new(self.reader.lock().unwrap().take().expect("one reader")))
    }

    /// As a log that holds what was appended; of the group it knows what its reader committed.
    async fn standing(&self, _group: &str) -> Result<Vec<Standing>, LogError> {
        let standing = |partition| {
            let committed = self.committed(partition);
            let metadata = self.metadata(partition);
            let end = self.of(partition).len() as i64;
            Standing { partition, committed, metadata, start: 0, end }
        };
        Ok((0..self.partitions).map(standing).collect())
    }

    async fn scan(&self, stretches: Vec<Stretch>) -> Result<Box<dyn Scan>, LogError> {
        self.partitions().await?;
        let of = |stretch: &Stretch| {
            let records = self.of(stretch.partition);
            let offsets = stretch.offsets.clone();
            records.into_iter().filter(move |record| offsets.contains(&record.offset))
        };
        Ok(Box::new(Held(Some(stretches.iter().flat_map(of).collect()))))
    }

    fn recent(&self, _partitions: &[u32], since_ms: i64) -> Box<dyn Scan> {
        self.asked_since.lock().unwrap().push(since_ms);
        Box::new(Told(self.recent.clone()))
    }

    async fn store(&self, _group: &str, commits: Vec<Commit>) -> Result<(), LogError> {
        self.commits.lock().unwrap().extend(commits);
        Ok(())
    }

    fn retention(&self) -> Option<Duration> {
        None
    }

    fn sibling(&self, topic: &str, _settings: &TopicSettings) -> Result<Arc<dyn Log>, LogError> {
        Ok(Double::new(topic, 1))
    }

    async fn flush(&self) -> Result<(), LogError> {
        let _ = self.mood.subscribe().wait_for(|mood| *mood == Mood::Good).await;
        Ok(())
    }
}

#[async_trait]
impl Reader for ScriptedReader {
    async fn next(&mut self) -> Result<Event, LogError> {
        Ok(self.events.take(|_| true).await)
    }

    async fn next_change(&mut self) -> Result<Event, LogError> {
        Ok(self.events.take(|event| !matches!(event, Event::Records(_))).await)
    }

    async fn commit(&mut self, commits: Vec<Commit>) -> Result<(), LogError> {
        self.commits.lock().unwrap().extend(commits);
        Ok(())
    }

    fn lag(&self) -> Vec<PartitionLag> {
        Vec::new()
    }

    async fn close(self: Box<Self>) -> Result<(), LogError> {
        Ok(())
    }
}
