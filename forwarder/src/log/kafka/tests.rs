//! What a real broker does rarely, on librdkafka's own mock of a cluster: refusals for good, refused commits, silence.

use super::open;
use super::producer::producers_replaced;
use crate::log::{
    Acknowledgement, AppendError, Commit, Event, Log, LogError, LogSettings, Placed, QueueSize,
    Reader, Record,
};

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr as Error};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const DEADLINE: Duration = Duration::from_secs(60);
const TOPIC: &str = "traces";

type Mock = MockCluster<'static, DefaultProducerContext>;

/// A mock of one broker with a topic of two partitions, and the log in it.
async fn mock() -> (Mock, Arc<dyn Log>) {
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic(TOPIC, 2, 1).unwrap();
    let log = open(&mock.bootstrap_servers(), TOPIC, &LogSettings::default()).unwrap();
    assert_eq!(log.partitions().await, Ok(2));
    (mock, log)
}

fn append(log: &Arc<dyn Log>, partition: u32, value: &'static str) -> Acknowledgement {
    log.append(one(partition, value)).unwrap()
}

fn one(partition: u32, value: &'static str) -> Vec<Placed> {
    vec![Placed { partition, record: Record { value: value.into(), ..Record::default() } }]
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("in time")
}

/// A record leaves the queue a moment after its acknowledgement.
async fn empty(log: &Arc<dyn Log>) {
    let end = Instant::now() + DEADLINE;
    while log.queue() != QueueSize::default() {
        assert!(Instant::now() < end, "{:?}", log.queue());
        sleep(Duration::from_millis(10)).await;
    }
}

async fn read(reader: &mut Box<dyn Reader>, count: usize) -> Vec<(u32, i64, String)> {
    let mut read = Vec::new();
    while read.len() < count {
        if let Event::Records(records) = in_time(reader.next()).await.unwrap() {
            read.extend(records.into_iter().map(|r| {
                (r.partition, r.offset, String::from_utf8_lossy(&r.record.value).into_owned())
            }));
        }
    }
    read
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_refused_for_good_stops_the_producer_and_the_next_append_is_told() {
    let (mock, log) = mock().await;
    let replaced = producers_replaced();
    assert_eq!(in_time(append(&log, 0, "before")).await, Ok(vec![0]));
    mock.request_errors(RDKafkaApiKey::Produce, &[Error::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let refused = append(&log, 0, "refused");
    let error = in_time(refused).await.unwrap_err();
    assert!(matches!(error, AppendError::Failed { .. }), "{error}");
    // It may carry the old numbering, whose records have a hole now: it is not taken.
    let told = log.append(one(0, "told")).err().expect("refused once");
    assert!(matches!(told, AppendError::Failed { .. }), "{told}");
    assert_eq!(in_time(append(&log, 0, "after")).await, Ok(vec![1]));
    assert!(producers_replaced() > replaced);
    empty(&log).await;
    let mut reader = log.reader("g").await.unwrap();
    let values: Vec<_> = read(&mut reader, 2).await.into_iter().map(|(_, _, v)| v).collect();
    assert_eq!(values, ["before", "after"]);
    in_time(reader.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_behind_a_refused_record_in_its_partition_fails_with_it() {
    let (mock, log) = mock().await;
    in_time(append(&log, 0, "before")).await.unwrap();
    // All wait together: the broker is away until they are queued.
    mock.broker_down(1).unwrap();
    let waiting: Vec<_> = (0..20).map(|_| append(&log, 0, "waits")).collect();
    mock.request_errors(
        RDKafkaApiKey::Produce,
        &[Error::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED],
    );
    mock.broker_up(1).unwrap();
    for acknowledgement in waiting {
        assert!(in_time(acknowledgement).await.is_err());
    }
    empty(&log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_that_pass_are_retried_and_acknowledged_once() {
    let (mock, log) = mock().await;
    mock.request_errors(
        RDKafkaApiKey::Produce,
        &[
            Error::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            Error::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            Error::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        ],
    );
    let appended: Vec<_> = (0..10).map(|_| append(&log, 1, "r")).collect();
    let mut offsets = Vec::new();
    for acknowledgement in appended {
        offsets.extend(in_time(acknowledgement).await.unwrap());
    }
    assert_eq!(offsets, (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_ends_when_the_log_is_closed_and_kafka_stays_away() {
    let (mock, log) = mock().await;
    in_time(append(&log, 0, "before")).await.unwrap();
    mock.broker_down(1).unwrap();
    let waiting = append(&log, 0, "waits");
    drop(log);
    assert_eq!(in_time(waiting).await, Err(AppendError::Closed { topic: TOPIC.into() }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_queued_when_the_log_is_closed_is_still_delivered() {
    let (_mock, log) = mock().await;
    let waiting: Vec<_> = (0..100).map(|_| append(&log, 0, "r")).collect();
    drop(log);
    for acknowledgement in waiting {
        assert!(in_time(acknowledgement).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_commit_is_worth_a_retry_and_does_not_move_the_lag() {
    let (mock, log) = mock().await;
    for value in ["a", "b", "c"] {
        in_time(append(&log, 0, value)).await.unwrap();
    }
    let mut reader = log.reader("g").await.unwrap();
    read(&mut reader, 3).await;
    mock.request_errors(
        RDKafkaApiKey::OffsetCommit,
        &[Error::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS],
    );
    let commit = || vec![Commit { partition: 0, offset: 2, metadata: String::new() }];
    let committed = |reader: &dyn Reader| {
        reader.lag().iter().find(|lag| lag.partition == 0).map(|lag| (lag.committed, lag.end))
    };
    let refused = in_time(reader.commit(commit())).await.unwrap_err();
    assert!(matches!(refused, LogError::Unavailable { .. }), "{refused}");
    assert_eq!(committed(&*reader), Some((0, 3)));
    in_time(reader.commit(commit())).await.unwrap();
    assert_eq!(committed(&*reader), Some((2, 3)));
    in_time(reader.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_the_topic_has_not_got_takes_nothing() {
    let (_mock, log) = mock().await;
    let mut records = one(0, "good");
    records.extend(one(2, "bad"));
    let error = log.append(records).err().expect("refused");
    assert!(error.to_string().contains("no partition 2 among 2"), "{error}");
    assert_eq!(in_time(append(&log, 0, "first")).await, Ok(vec![0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_headers_are_refused_before_librdkafka_would_break_the_producer() {
    let (_mock, log) = mock().await;
    let limit = LogSettings::default().topic.max_record_bytes;
    let record = |headers: usize| {
        let value = vec![0; limit - headers].into();
        let headers = vec![("h".into(), Default::default()); headers].into();
        vec![Placed { partition: 0, record: Record { key: None, headers, value } }]
    };
    for headers in [91, 1_000] {
        let error = log.append(record(headers)).err().expect("refused");
        assert!(matches!(error, AppendError::TooLarge { .. }), "{headers}: {error}");
    }
    assert_eq!(in_time(log.append(record(90)).unwrap()).await, Ok(vec![0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_closes_while_kafka_is_away() {
    let (mock, log) = mock().await;
    in_time(append(&log, 0, "r")).await.unwrap();
    let mut reader = log.reader("g").await.unwrap();
    read(&mut reader, 1).await;
    mock.broker_down(1).unwrap();
    sleep(Duration::from_millis(500)).await;
    in_time(reader.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_answers_unavailable_within_its_bound() {
    // A port that was free a moment ago: nobody answers there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let log = open(&format!("127.0.0.1:{port}"), TOPIC, &LogSettings::default()).unwrap();
    let (a, b) = in_time(async { tokio::join!(log.partitions(), log.partitions()) }).await;
    assert!(matches!(a, Err(LogError::Unavailable { .. })), "{a:?}");
    assert!(matches!(b, Err(LogError::Unavailable { .. })), "{b:?}");
}
