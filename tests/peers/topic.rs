//! A topic of a run: made with what both sides get alike, looked at for what it holds, and counted record by record.

use crate::walk::trace_ids;
use anyhow::{Context, Result, ensure};
use spanferry::log::{Log, LogLocation, LogSettings, Standing, Stretch, TopicSettings, open};
use spanferry_tests::stack::kafka::Kafka;
use std::sync::Arc;

/// A topic in Kafka.
pub struct Topic {
    /// Its name.
    pub name: String,
    log: Arc<dyn Log>,
}

/// What a topic has got since some time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Written {
    /// Records.
    pub records: u64,
    /// Spans in them.
    pub spans: u64,
}

/// Where a topic's partitions end.
pub struct Mark(Vec<Standing>);

impl Topic {
    /// Makes it, with so many partitions.
    pub async fn make(kafka: &Kafka, name: &str, partitions: u32) -> Result<Topic> {
        let location = LogLocation::Kafka { brokers: kafka.address(), topic: name.into() };
        let topic = TopicSettings { partitions, ..TopicSettings::default() };
        let log = open(&location, &LogSettings { topic, ..LogSettings::default() })?;
        let made = log.partitions().await?;
        ensure!(made == partitions, "{name} has {made} partitions");
        Ok(Topic { name: name.into(), log })
    }

    /// Its place for `--log`.
    pub fn location(&self, kafka: &Kafka) -> String {
        format!("kafka://{}/{}", kafka.address(), self.name)
    }

    /// Where its partitions end now.
    pub async fn mark(&self) -> Result<Mark> {
        Ok(Mark(self.log.standing("nobody").await?))
    }

    /// Records that a group has not committed.
    pub async fn lag(&self, group: &str) -> Result<u64> {
        let standings = self.log.standing(group).await?.into_iter();
        let waits = standings.map(|one| one.end - one.committed.unwrap_or(one.start));
        Ok(waits.sum::<i64>().max(0) as u64)
    }

    /// What it got since `mark`, read and counted.
    pub async fn since(&self, mark: &Mark) -> Result<Written> {
        let now = self.mark().await?;
        let stretches = mark
            .0
            .iter()
            .zip(&now.0)
            .map(|(then, now)| Stretch { partition: then.partition, offsets: then.end..now.end });
        let mut scan = self.log.scan(stretches.collect()).await?;
        let mut written = Written::default();
        while let Some(records) = scan.next().await? {
            for stored in records {
                written.records += 1;
                trace_ids(&stored.record.value, |_| written.spans += 1)
                    .with_context(|| format!("a record of {}", self.name))?;
            }
        }
        Ok(written)
    }

    /// Bytes of its records on the broker's disk, as they were sent: batches, compressed.
    pub fn bytes(&self, kafka: &Kafka) -> Result<u64> {
        let mut bytes = 0;
        for directory in std::fs::read_dir(kafka.data())? {
            let directory = directory?;
            let name = directory.file_name();
            let own = name.to_str().and_then(|name| name.rsplit_once('-'));
            if own.is_none_or(|(topic, _)| topic != self.name) {
                continue;
            }
            for file in std::fs::read_dir(directory.path())? {
                let file = file?;
                if file.path().extension().is_some_and(|kind| kind == "log") {
                    bytes += file.metadata()?.len();
                }
            }
        }
        Ok(bytes)
    }
}
