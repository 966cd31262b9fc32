//! The thread of a reader: it polls as long as the reader lives, so that the group's membership is kept for hours while
//! nobody calls `next`. When what was fetched is not taken it waits, and then pauses the partitions.

use super::native;
use super::rebalance::Member;
use super::topic::Topic;
use crate::log::{LogError, Record, StoredRecord};
use bytes::Bytes;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tracing::debug;

pub(super) type MemberConsumer = BaseConsumer<Member>;

/// How long one poll lasts; what is told to the thread otherwise is noticed after it.
const POLL: Duration = Duration::from_millis(100);
/// How long a full reader waits before it pauses. To pause throws away what librdkafka has fetched, so a caller who is
/// only slower than Kafka shall not cause it; to wait longer would delay rebalances.
const PATIENCE: Duration = Duration::from_millis(1_000);
/// How long one question for a log's end may take.
const ASK: Duration = Duration::from_secs(1);
/// How long others may hold on to a consumer that is to leave.
const LET_GO: Duration = Duration::from_secs(5);

/// Joins the group when the topic is there, serves it until the reader closes, and leaves it.
pub(super) fn serve(consumer: Arc<MemberConsumer>, topic: &Topic) {
    let member = consumer.context().clone();
    let stopping = || member.stopping.load(Ordering::Acquire);
    while topic.known_partitions().is_none() {
        if stopping() {
            return;
        }
        sleep(POLL / 2);
    }
    match consumer.subscribe(&[topic.name()]) {
        Ok(()) => {
            while !stopping() {
                turn(&consumer, &member);
            }
        }
        Err(error) => member.fetched.fail(fatal(&member, &error)),
    }
    leave(consumer);
}

/// One poll, when there is room for what it brings or the partitions are paused.
fn turn(consumer: &MemberConsumer, member: &Member) {
    if member.paused.load(Ordering::Acquire) {
        if member.fetched.has_room() {
            set_paused(consumer, member, false);
        }
    } else if !member.fetched.wait_for_room(PATIENCE) {
        set_paused(consumer, member, true);
    }
    match consumer.poll(POLL) {
        Some(Ok(message)) => take(member, &message),
        Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
            member.fetched.fail(fatal(member, &error));
        }
        // The context was told too, and librdkafka gets over it.
        Some(Err(error)) => debug!(topic = member.topic, %error, "poll"),
        None => {}
    }
}

fn set_paused(consumer: &MemberConsumer, member: &Member, paused: bool) {
    let all = consumer.assignment();
    let done = all.and_then(|all| match (all.count(), paused) {
        (0, _) => Ok(()),
        (_, true) => consumer.pause(&all),
        (_, false) => consumer.resume(&all),
    });
    match done {
        Ok(()) => {
            debug!(topic = member.topic, paused, "fetching");
            member.paused.store(paused, Ordering::Release);
        }
        // Tried again at the next turn.
        Err(error) => debug!(topic = member.topic, paused, %error, "could not pause or resume"),
    }
}

fn take(member: &Member, message: &BorrowedMessage<'_>) {
    member.reach.answered();
    let partition = message.partition() as u32;
    if !member.positions.read(partition, message.offset()) {
        return;
    }
    member.fetched.push(stored(message));
}

/// A message as a record of ours.
pub(super) fn stored(message: &BorrowedMessage<'_>) -> StoredRecord {
    let record = Record {
        key: message.key().map(Bytes::copy_from_slice),
        headers: native::headers(message),
        value: message.payload().map(Bytes::copy_from_slice).unwrap_or_default(),
    };
    StoredRecord {
        partition: message.partition() as u32,
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
        record,
    }
}

fn fatal(member: &Member, error: &KafkaError) -> LogError {
    LogError::Fatal { what: format!("reading topic {}", member.topic), detail: error.to_string() }
}

/// Dropping the last handle leaves the group: commits and questions under way end first.
fn leave(mut consumer: Arc<MemberConsumer>) {
    let deadline = Instant::now() + LET_GO;
    while let Err(shared) = Arc::try_unwrap(consumer) {
        if Instant::now() > deadline {
            close(&shared);
            return;
        }
        consumer = shared;
        sleep(LET_GO / 500);
    }
}

fn close(consumer: &MemberConsumer) {
    if consumer.close_queue().is_err() {
        return;
    }
    let deadline = Instant::now() + LET_GO;
    while !consumer.closed() && Instant::now() < deadline {
        consumer.poll(POLL);
    }
}

/// Asks where the assigned partitions begin and end: a paused partition is not fetched, and its lag grows all the same.
pub(super) fn refresh_ends(consumer: &Weak<MemberConsumer>) -> KafkaResult<()> {
    let Some(consumer) = consumer.upgrade() else { return Ok(()) };
    let member = consumer.context();
    for partition in member.positions.partitions() {
        if member.stopping.load(Ordering::Acquire) {
            break;
        }
        let (start, end) = consumer.fetch_watermarks(&member.topic, partition as i32, ASK)?;
        member.reach.answered();
        member.positions.starts_at(partition, start);
        member.positions.ends_at(partition, end);
    }
    Ok(())
}
