//! The log in Kafka keeps every promise of the trait, and those that only a cluster can break: on a real broker.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A broken promise is a failed test.

mod groups;

use async_trait::async_trait;
use bytes::Bytes;
use spanferry::log::{
    AppendError, Commit, Event, Log, LogError, LogLocation, LogSettings, Placed, Reader, Record,
    Retention, TopicSettings, open, partition_of,
};
use spanferry_tests::log_conformance::{DEADLINE, Fixture, Member, settings, store, text, value};
use spanferry_tests::stack::kafka::Kafka;
use spanferry_tests::stack::{console, leash, parts};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout};

/// One broker for all the tests that do not stop it; the leash ends it with this process.
static SHARED: OnceCell<Option<Kafka>> = OnceCell::const_new();
static TOPICS: AtomicU32 = AtomicU32::new(0);

struct Cluster(&'static Kafka);

impl Cluster {
    async fn shared() -> Option<Self> {
        let start = async || {
            have_kafka()?;
            let directory = TempDir::new().unwrap().keep();
            leash::remove_at_end(&directory).unwrap();
            Some(Kafka::start(&directory).await.unwrap())
        };
        SHARED.get_or_init(start).await.as_ref().map(Self)
    }
}

/// A broker of the test's own, that it may stop.
async fn own() -> Option<(Kafka, TempDir)> {
    have_kafka()?;
    let directory = TempDir::new().unwrap();
    Some((Kafka::start(directory.path()).await.unwrap(), directory))
}

fn have_kafka() -> Option<()> {
    match parts::kafka_libs() {
        Ok(_) => Some(()),
        Err(error) if std::env::var("CI").is_ok_and(|ci| ci == "true") => panic!("{error}"),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

fn at(kafka: &Kafka, topic: &str, settings: &LogSettings) -> Arc<dyn Log> {
    let location = LogLocation::Kafka { brokers: kafka.address(), topic: topic.into() };
    open(&location, settings).unwrap()
}

/// A topic of a new name, made and known.
async fn fresh(kafka: &Kafka, settings: &LogSettings) -> Arc<dyn Log> {
    let topic = format!("topic-{}", TOPICS.fetch_add(1, Ordering::Relaxed));
    let log = at(kafka, &topic, settings);
    log.partitions().await.unwrap();
    log
}

#[async_trait]
impl Fixture for Cluster {
    async fn fresh(&self, settings: LogSettings) -> Arc<dyn Log> {
        fresh(self.0, &settings).await
    }

    async fn reopen(&self, log: Arc<dyn Log>, settings: LogSettings) -> Arc<dyn Log> {
        let log = at(self.0, log.topic(), &settings);
        log.partitions().await.unwrap();
        log
    }
}

spanferry_tests::conformance!(Cluster::shared().await);

/// Settings with properties of librdkafka's.
fn with(properties: &[(&str, &str)], settings: LogSettings) -> LogSettings {
    let properties = properties.iter().map(|(k, v)| (k.to_string(), v.to_string()));
    LogSettings { kafka_properties: properties.collect(), ..settings }
}

fn many(partitions: u32, names: impl Iterator<Item = usize>) -> Vec<Placed> {
    names.map(|i| text(i as u32 % partitions, format!("{i}"))).collect()
}

/// All values of a topic, each with how often it stands there.
async fn census(log: &Arc<dyn Log>, count: usize) -> BTreeMap<usize, usize> {
    let mut member = Member::join(log, "census").await;
    member.read(count).await;
    let mut census = BTreeMap::new();
    for record in &member.records {
        *census.entry(value(record).parse().unwrap()).or_default() += 1;
    }
    member.leave().await;
    census
}

fn once_each(count: usize) -> BTreeMap<usize, usize> {
    (0..count).map(|i| (i, 1)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ordinary_consumer_sees_key_headers_value_and_the_acknowledged_offset() {
    let Some(Cluster(kafka)) = Cluster::shared().await else { return };
    let log = fresh(kafka, &settings(3)).await;
    let key = "4bf92f3577b34da6a3ce929d0e0e4736";
    let headers = vec![("a".into(), Bytes::from("1")), ("b".into(), Bytes::from("2"))].into();
    let record = Record { key: Some(key.into()), headers, value: "spans".into() };
    let partition = partition_of(key.as_bytes(), 3);
    let offsets = store(&log, vec![Placed { partition, record: record.clone() }; 2]).await;
    let shown = console::consume(kafka, log.topic(), 2).await.unwrap();
    assert_eq!(shown.iter().map(|s| s.offset).collect::<Vec<_>>(), offsets);
    for one in shown {
        assert_eq!((one.partition, &*one.key, &*one.value), (partition, key, "spans"));
        assert_eq!(one.headers[..], [("a".into(), "1".into()), ("b".into(), "2".into())]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn javas_producer_puts_a_key_where_we_put_it() {
    let Some(Cluster(kafka)) = Cluster::shared().await else { return };
    let log = fresh(kafka, &settings(7)).await;
    let key = |i: u32| format!("{:032x}", 0x9e37_79b9_7f4a_7c15_u128.wrapping_mul(u128::from(i)));
    let records: Vec<_> = (0..50).map(|i| (key(i), format!("{i}"))).collect();
    console::produce(kafka, log.topic(), &records).await.unwrap();
    let mut member = Member::join(&log, "a").await;
    let mut used = BTreeSet::new();
    for record in member.read(50).await {
        let key = record.record.key.as_ref().unwrap();
        assert_eq!(record.partition, partition_of(key, 7), "{key:?}");
        used.insert(record.partition);
    }
    assert!(used.len() > 3, "keys are spread: {used:?}");
    member.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_topic_is_made_as_the_settings_say() {
    let Some(Cluster(kafka)) = Cluster::shared().await else { return };
    let retention = Retention { age: Some(Duration::from_secs(7200)), bytes: Some(123_456_789) };
    let topic = TopicSettings {
        partitions: 5,
        replication: Some(1),
        retention,
        max_record_bytes: 50_000,
        ..TopicSettings::default()
    };
    let log = fresh(kafka, &LogSettings { topic, ..LogSettings::default() }).await;
    let tool = "org.apache.kafka.tools.TopicCommand";
    let arguments = ["--bootstrap-server", &kafka.address(), "--describe", "--topic", log.topic()];
    let described = console::run(kafka.tool(tool, &arguments).unwrap(), vec![]).await.unwrap();
    for part in [
        "PartitionCount: 5",
        "ReplicationFactor: 1",
        "cleanup.policy=delete",
        "retention.ms=7200000",
        "retention.bytes=123456789",
        "max.message.bytes=51024",
    ] {
        assert!(described.contains(part), "{part} is not in {described}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_topic_is_named_when_it_may_not_be_made() {
    let Some(Cluster(kafka)) = Cluster::shared().await else { return };
    let topic = TopicSettings { create: false, ..TopicSettings::default() };
    let log = at(kafka, "nobody-made-it", &LogSettings { topic, ..LogSettings::default() });
    let error = log.partitions().await.unwrap_err();
    assert_eq!(error, LogError::NoTopic { topic: "nobody-made-it".into() });
    assert!(matches!(log.append(vec![text(0, "r")]), Err(AppendError::Failed { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_openers_of_a_missing_topic_agree() {
    let Some(Cluster(kafka)) = Cluster::shared().await else { return };
    let opened: Vec<_> = (1..=4).map(|n| at(kafka, "contested", &settings(n))).collect();
    let asked = opened.iter().map(|log| log.partitions());
    let answers = futures_util::future::join_all(asked).await;
    let answers: BTreeSet<u32> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topics_own_limit_holds_when_it_is_the_smaller_one() {
    let Some(Cluster(kafka)) = Cluster::shared().await else { return };
    let topic = TopicSettings { max_record_bytes: 20_000, ..settings(1).topic };
    let small = fresh(kafka, &LogSettings { topic, ..settings(1) }).await;
    let log = at(kafka, small.topic(), &settings(1));
    log.partitions().await.unwrap();
    let error = log.append(vec![text(0, "x".repeat(20_001))]).err().unwrap();
    assert!(matches!(error, AppendError::TooLarge { limit: 20_000, .. }), "{error}");
    // The largest that is taken, and that no compression makes smaller, is stored.
    let noise: Vec<u8> = std::iter::repeat_with(rand::random).take(19_910).collect();
    let headers = vec![("h".into(), Bytes::new()); 90].into();
    let record = Record { key: None, headers, value: noise.into() };
    store(&log, vec![Placed { partition: 0, record }]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_taken_before_and_while_the_broker_is_killed_are_stored_once_each() {
    const COUNT: usize = 2_000;
    let Some((mut kafka, _directory)) = own().await else { return };
    let log = fresh(&kafka, &settings(3)).await;
    let appender = tokio::spawn({
        let log = log.clone();
        async move {
            let mut waiting = Vec::new();
            for i in (0..COUNT).step_by(5) {
                waiting.push(log.append(many(3, i..i + 5)).expect("taken"));
                sleep(Duration::from_millis(5)).await;
            }
            let answers = timeout(DEADLINE, futures_util::future::join_all(waiting)).await;
            answers.expect("acknowledged in time")
        }
    });
    for _ in 0..2 {
        sleep(Duration::from_millis(300)).await;
        kafka.kill();
        sleep(Duration::from_millis(500)).await;
        kafka.restart().await.unwrap();
    }
    let answers = appender.await.unwrap();
    assert!(answers.iter().all(Result::is_ok), "{:?}", answers.iter().find(|a| a.is_err()));
    assert_eq!(census(&log, COUNT).await, once_each(COUNT));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bridge_and_reader_start_without_kafka_and_get_to_work_when_it_comes() {
    let Some((mut kafka, _directory)) = own().await else { return };
    kafka.stop().await.unwrap();
    let log = at(&kafka, "late", &settings(2));
    let mut member = Member::join(&log, "a").await;
    let asked = Instant::now();
    let error = log.partitions().await.unwrap_err();
    assert!(matches!(error, LogError::Unavailable { .. }), "{error}");
    assert!(asked.elapsed() < Duration::from_secs(10), "bounded");
    kafka.restart().await.unwrap();
    let end = Instant::now() + DEADLINE;
    while log.partitions().await.is_err() {
        assert!(Instant::now() < end, "the topic is not there");
    }
    store(&log, many(2, 0..10)).await;
    member.read(10).await;
    assert_eq!(member.assigned.len(), 2);
    member.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_gets_over_an_outage_without_an_error() {
    let Some((mut kafka, _directory)) = own().await else { return };
    let log = fresh(&kafka, &settings(2)).await;
    store(&log, many(2, 0..10)).await;
    let mut member = Member::join(&log, "a").await;
    member.read(10).await;
    kafka.kill();
    let taken = log.append(many(2, 10..20)).unwrap();
    member.poll(Duration::from_secs(3)).await;
    kafka.restart().await.unwrap();
    timeout(DEADLINE, taken).await.unwrap().unwrap();
    member.until("what was taken meanwhile", |m| m.records.len() >= 20).await;
    let end = member.records.iter().filter(|r| r.partition == 1).map(|r| r.offset).max().unwrap();
    // The first commits after an outage may be refused; the next one mends it.
    let limit = Instant::now() + DEADLINE;
    let commit = || vec![Commit { partition: 1, offset: end + 1, metadata: "after".into() }];
    while let Err(error) = member.reader.commit(commit()).await {
        assert!(matches!(error, LogError::Unavailable { .. }), "{error}");
        assert!(Instant::now() < limit, "{error}");
        member.poll(Duration::from_millis(200)).await;
    }
    member.leave().await;
    let mut member = Member::join(&log, "a").await;
    member.until("assigned", |m| m.assigned.len() == 2).await;
    assert_eq!(member.assigned[&1].committed, Some(end + 1));
    member.leave().await;
}
