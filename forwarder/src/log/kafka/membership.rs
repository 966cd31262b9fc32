//! The thread of a reader: it polls as long as the reader lives, so that the group's membership is kept for hours while
//! nobody calls `next`. When what was fetched is not taken it waits, and then pauses the partitions.

use super::native;
use super::pages::Pages;
use super::rebalance::Member;
use super::topic::Topic;
use crate::log::{LogError, Record, StoredRecord};
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
/// Records that are taken before the caller of `next` hears of them: waking it for each costs more than the record.
const AT_ONCE: usize = 128;
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
            let mut pages = Pages::default();
            while !stopping() {
                turn(&consumer, &member, &mut pages);
            }
        }
        Err(error) => member.fetched.fail(fatal(&member, &error)),
    }
    leave(consumer);
}

/// A few polls, when there is room for what it brings or the partitions are paused.
fn turn(consumer: &MemberConsumer, member: &Member, pages: &mut Pages) {
    if member.paused.load(Ordering::Acquire) {
        if member.fetched.has_room() {
            member.set_paused(consumer, false);
        }
    } else if !member.fetched.wait_for_room(PATIENCE) && member.has_started() {
        member.set_paused(consumer, true);
    }
    let mut patience = POLL;
    for _ in 0..AT_ONCE {
        match consumer.poll(patience) {
            Some(Ok(message)) => take(member, &message, pages),
            Some(Err(error)) => {
                trouble(member, &error);
                break;
            }
            None => break,
        }
        if member.fetched.is_full() {
            break;
        }
        patience = Duration::ZERO;
    }
    member.fetched.tell_of_records();
}

fn trouble(member: &Member, error: &KafkaError) {
    match error {
        KafkaError::MessageConsumptionFatal(_) => member.fetched.fail(fatal(member, error)),
        // The context was told too, and librdkafka gets over it.
        error => debug!(topic = member.topic, %error, "poll"),
    }
}

fn take(member: &Member, message: &BorrowedMessage<'_>, pages: &mut Pages) {
    member.reach.answered();
    let partition = message.partition() as u32;
    if !member.positions.read(partition, message.offset()) {
        return;
    }
    member.fetched.push(stored(message, pages));
}

/// A message as a record of ours.
pub(super) fn stored(message: &BorrowedMessage<'_>, pages: &mut Pages) -> StoredRecord {
    let record = Record {
        key: message.key().map(|key| pages.copy(key)),
        headers: native::headers(message, pages),
        value: message.payload().map(|value| pages.copy(value)).unwrap_or_default(),
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
