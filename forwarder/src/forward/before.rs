//! What stands before the committed offset. When a partition comes, the last records in it that are settled are looked at
//! once more: a batch of theirs that is written again is then known, whoever delivered it. Nothing else is read meanwhile.

use crate::log::{Log, LogError, StoredRecord, Stretch};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

/// Records of a partition that are looked at, at most.
const MAX_RECORDS: u64 = 5_000;
/// Spans in them, of all partitions that come together: about 50 MB.
const MAX_SPANS: u64 = 200_000;
/// Their bytes, about: what they weigh is known only as they come.
const MAX_BYTES: usize = 64 << 20;
/// One in so many is looked at before the others.
const NEWEST: f64 = 16.0;
/// After so long it goes on without the rest.
const PATIENCE: Duration = Duration::from_secs(10);
/// Batches of records that wait for the loop.
const BATCHES: usize = 4;

/// See the module.
pub struct Before {
    log: Arc<dyn Log>,
    waiting: Vec<Stretch>,
    reading: Option<Reading>,
}

struct Reading {
    records: mpsc::Receiver<Vec<StoredRecord>>,
    _task: AbortOnDropHandle<()>,
}

impl Before {
    /// Looks at nothing yet.
    pub fn new(log: Arc<dyn Log>) -> Self {
        Self { log, waiting: Vec::new(), reading: None }
    }

    /// How many records to look at before the committed offset of one of so many partitions that come together, when a
    /// record holds so many spans.
    pub fn records(partitions: usize, spans_of_one: u64) -> i64 {
        let most = MAX_SPANS / spans_of_one.max(1) / (partitions as u64).max(1);
        most.min(MAX_RECORDS) as i64
    }

    /// Looks at these, too.
    pub fn look(&mut self, stretches: impl IntoIterator<Item = Stretch>) {
        self.waiting.extend(stretches);
        if self.reading.is_none() {
            self.begin();
        }
    }

    /// Whether it has not come to its end.
    pub fn is_on(&self) -> bool {
        self.reading.is_some()
    }

    /// The next records, none at the end; waits for ever while there is nothing to look at. Cancel safe.
    pub async fn next(&mut self) -> Vec<StoredRecord> {
        let Some(reading) = &mut self.reading else { return std::future::pending().await };
        if let Some(records) = reading.records.recv().await {
            return records;
        }
        self.begin();
        Vec::new()
    }

    /// Begins with what waits, if something does.
    fn begin(&mut self) {
        let stretches = std::mem::take(&mut self.waiting);
        self.reading = (!stretches.is_empty()).then(|| {
            let (send, records) = mpsc::channel(BATCHES);
            let task = tokio::spawn(read(self.log.clone(), stretches, send));
            Reading { records, _task: AbortOnDropHandle::new(task) }
        });
    }
}

async fn read(
    log: Arc<dyn Log>,
    stretches: Vec<Stretch>,
    records: mpsc::Sender<Vec<StoredRecord>>,
) {
    let since = Instant::now();
    let reason = match timeout(PATIENCE, scan(&*log, stretches, records)).await {
        Ok(Ok(records)) => {
            let ms = since.elapsed().as_millis() as u64;
            return tracing::info!(records, ms, "what was settled before is known");
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("not done within {} s", PATIENCE.as_secs()),
    };
    tracing::warn!(
        reason,
        "what was settled before could not be looked at: a batch of it that is written again is delivered again"
    );
}

/// The newest first, since they are the likeliest to come again: what they weigh says how many of the others fit into the bound. How
/// many records there were.
async fn scan(
    log: &dyn Log,
    stretches: Vec<Stretch>,
    send: mpsc::Sender<Vec<StoredRecord>>,
) -> Result<usize, LogError> {
    let (newest, others): (Vec<Stretch>, Vec<Stretch>) = stretches.iter().map(divided).unzip();
    let of_newest = pass_on(log, newest, &send, MAX_BYTES).await?;
    let mean = of_newest.bytes as f64 / of_newest.records.max(1) as f64;
    let left = MAX_BYTES.saturating_sub(of_newest.bytes);
    let records: i64 = others.iter().map(length).sum();
    let share = left as f64 / (mean * records as f64).max(1.0);
    let others = others.iter().map(|all| last(all, share.min(1.0))).collect();
    Ok(of_newest.records + pass_on(log, others, &send, left).await?.records)
}

/// The newest records of a stretch, and those before them.
fn divided(all: &Stretch) -> (Stretch, Stretch) {
    let newest = last(all, 1.0 / NEWEST);
    let others = all.offsets.start..newest.offsets.start;
    (newest, Stretch { partition: all.partition, offsets: others })
}

/// The last records of a stretch, this share of them.
fn last(all: &Stretch, share: f64) -> Stretch {
    let (records, end) = ((length(all) as f64 * share).ceil() as i64, all.offsets.end);
    Stretch { partition: all.partition, offsets: end - records..end }
}

/// In records, where there are no gaps.
fn length(stretch: &Stretch) -> i64 {
    stretch.offsets.end - stretch.offsets.start
}

/// Records that were passed on.
#[derive(Default)]
struct Passed {
    records: usize,
    bytes: usize,
}

async fn pass_on(
    log: &dyn Log,
    stretches: Vec<Stretch>,
    send: &mpsc::Sender<Vec<StoredRecord>>,
    most_bytes: usize,
) -> Result<Passed, LogError> {
    let mut scan = log.scan(stretches).await?;
    let mut passed = Passed::default();
    while passed.bytes < most_bytes
        && let Some(records) = scan.next().await?
    {
        passed.records += records.len();
        passed.bytes += records.iter().map(|stored| stored.record.memory()).sum::<usize>();
        if send.send(records).await.is_err() {
            break;
        }
    }
    Ok(passed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::double::Double;
    use crate::log::{Placed, Record};
    use bytes::Bytes;

    #[test]
    fn the_more_partitions_come_and_the_more_a_record_holds_the_fewer_are_looked_at() {
        let records = [(1, 1), (40, 1), (80, 1), (8, 5), (8, 50), (0, 0), (1, 1_000_000)]
            .map(|(partitions, spans)| Before::records(partitions, spans));
        assert_eq!(records, [5_000, 5_000, 2_500, 5_000, 500, 5_000, 0]);
    }

    /// Partition and offset of all that it looks at.
    async fn all(mut before: Before) -> Vec<(u32, i64)> {
        let mut seen = Vec::new();
        while before.is_on() {
            let records = before.next().await;
            seen.extend(records.iter().map(|stored| (stored.partition, stored.offset)));
        }
        seen
    }

    #[tokio::test]
    async fn what_comes_meanwhile_is_looked_at_next() {
        let log = Double::new("traces", 2);
        let one = |partition| Placed { partition, record: Record::default() };
        drop(log.append(vec![one(0), one(0), one(0), one(1)]).unwrap());
        let mut before = Before::new(log);
        assert!(!before.is_on());
        before.look([Stretch { partition: 0, offsets: 1..3 }]);
        before.look([Stretch { partition: 1, offsets: 0..1 }]);
        assert_eq!(all(before).await, [(0, 2), (0, 1), (1, 0)]);
    }

    #[tokio::test]
    async fn of_large_records_the_newest_are_looked_at() {
        let log = Double::new("traces", 2);
        let value = Bytes::from(vec![0; 1 << 20]);
        let large = |partition| Placed {
            partition,
            record: Record { value: value.clone(), ..Record::default() },
        };
        drop(log.append((0..400).map(|number| large(number % 2)).collect()).unwrap());
        let mut before = Before::new(log);
        before.look([0, 1].map(|partition| Stretch { partition, offsets: 0..200 }));
        let seen = all(before).await;
        let oldest = seen.iter().map(|(_, offset)| *offset).min();
        assert!((30..70).contains(&seen.len()), "{} MiB", seen.len());
        assert!(oldest.is_some_and(|oldest| oldest >= 200 - 35), "{oldest:?}");
    }
}
