//! One librdkafka producer from its first record to its end. It has no gap: when a record fails for good, everything
//! behind it fails too, and a new writer takes its place.

use super::acknowledge::Pending;
use super::native::carried::Carried;
use super::native::produce::TopicProducer;
use super::reach::Reach;
use crate::log::{AppendError, Record};
use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer, ProducerContext, PurgeConfig};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// How long one poll for delivery reports lasts. rdkafka spins through the last millisecond of it, so a short one burns a core's
/// percents for nothing.
const POLL: Duration = Duration::from_millis(500);
/// How long records in flight may still be acknowledged after a failure, or after the log was closed.
const WIND_DOWN: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 10 });

/// A running producer. Dropping it lets its thread bring what is queued to an end, within 10 s.
pub(super) struct Writer {
    producer: TopicProducer<Deliveries>,
    state: Arc<State>,
}

/// What the thread and the appenders tell each other.
#[derive(Default)]
struct State {
    /// Why it takes no more; set once.
    broken: OnceLock<String>,
    /// No append will come any more.
    released: AtomicBool,
}

/// Receives the delivery reports.
pub(super) struct Deliveries {
    topic: String,
    state: Arc<State>,
    reach: Reach,
}

impl Writer {
    pub(super) fn start(config: &ClientConfig, topic: &str, reach: Reach) -> Result<Self, String> {
        let state = Arc::new(State::default());
        let deliveries = Deliveries { topic: topic.into(), state: state.clone(), reach };
        let producer: BaseProducer<Deliveries> =
            config.create_with_context(deliveries).map_err(|error| error.to_string())?;
        let producer = Arc::new(producer);
        let records = TopicProducer::new(producer.clone(), topic)?;
        let writer = Self { producer: records, state: state.clone() };
        let name = "kafka-producer".to_string();
        let thread = thread::Builder::new().name(name).spawn(move || serve(producer, &state));
        thread.map_err(|error| error.to_string())?;
        Ok(writer)
    }

    /// Why it takes no more records, if so.
    pub(super) fn broken(&self) -> Option<&str> {
        self.state.broken.get().map(String::as_str)
    }

    /// Hands a record to librdkafka, with the value that is carried. When that fails the writer is broken.
    pub(super) fn send(
        &self,
        partition: u32,
        record: &Record,
        value: Carried<Arc<Pending>>,
    ) -> Result<(), String> {
        self.producer.send(partition, record, value).map_err(|error| {
            let detail = error.to_string();
            self.state.broken.get_or_init(|| detail.clone());
            detail
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.state.released.store(true, Ordering::Release);
    }
}

/// Polls for delivery reports until the writer is released and nothing is left of it.
fn serve(producer: Arc<BaseProducer<Deliveries>>, state: &State) {
    let mut ending: Option<Instant> = None;
    loop {
        producer.poll(POLL);
        let released = state.released.load(Ordering::Acquire);
        let broken = state.broken.get().is_some();
        if released && producer.in_flight_count() == 0 {
            return;
        }
        if !released && !broken {
            continue;
        }
        if broken {
            // Behind a failed record nothing new goes out.
            producer.purge(PurgeConfig::default().queue());
        }
        if ending.get_or_insert_with(Instant::now).elapsed() > WIND_DOWN {
            producer.purge(PurgeConfig::default().queue().inflight());
        }
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Carried<Arc<Pending>>;

    fn delivery(&self, result: &DeliveryResult<'_>, carried: Carried<Arc<Pending>>) {
        let pending = carried.note();
        match result {
            Ok(message) => {
                self.reach.answered();
                pending.stored(carried.index(), message.offset());
            }
            Err((error, _)) => pending.failed(1, self.failure(error)),
        }
    }
}

impl Deliveries {
    fn failure(&self, error: &KafkaError) -> AppendError {
        use RDKafkaErrorCode::{PurgeInflight, PurgeQueue};
        let topic = self.topic.clone();
        let purged = matches!(error.rdkafka_error_code(), Some(PurgeQueue | PurgeInflight));
        if purged && self.state.broken.get().is_none() {
            return AppendError::Closed { topic };
        }
        let detail = self.state.broken.get_or_init(|| error.to_string()).clone();
        AppendError::Failed { topic, detail }
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.reach.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reach.error(&error, reason);
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.state.broken.get_or_init(|| reason.to_string());
        }
    }
}
