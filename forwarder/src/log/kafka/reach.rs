//! Brokers that are away: one line when it begins, one when it ends, and librdkafka's own lines in small measure.

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::{debug, error, info, warn};

/// One line of librdkafka's that is worth a warning in so much time; the others are debug lines.
const PAUSE: Duration = Duration::from_secs(30);

/// One client's view of its brokers.
pub(super) struct Reach {
    client: String,
    brokers: String,
    away: AtomicBool,
    quiet_until: Mutex<Option<Instant>>,
}

impl Reach {
    /// `client` stands in every line, such as `producer of topic traces`.
    pub(super) fn new(client: String, brokers: &str) -> Self {
        let quiet_until = Mutex::new(None);
        Self { client, brokers: brokers.into(), away: AtomicBool::new(false), quiet_until }
    }

    /// A broker answered.
    pub(super) fn answered(&self) {
        if self.away.load(Ordering::Relaxed) && self.away.swap(false, Ordering::Relaxed) {
            info!(client = self.client, brokers = self.brokers, "Kafka is back");
        }
    }

    /// What librdkafka reports as an error of the whole client. It goes on by itself unless the error is fatal.
    pub(super) fn error(&self, error: &KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                if !self.away.swap(true, Ordering::Relaxed) {
                    warn!(
                        client = self.client,
                        brokers = self.brokers,
                        reason,
                        "Kafka is out of reach; trying on"
                    );
                }
            }
            Some(RDKafkaErrorCode::Fatal) => error!(client = self.client, reason, "fatal in Kafka"),
            // One broker's connection: librdkafka says it in a line of its own too.
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve) => {
                debug!(client = self.client, reason, "librdkafka");
            }
            _ => self.now_and_then(reason),
        }
    }

    /// A log line of librdkafka's.
    pub(super) fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        use RDKafkaLogLevel::{Alert, Critical, Emerg, Error, Warning};
        // FATAL comes as an error too; CONFWARN says of each client that it ignores the other kind's properties.
        let worth = matches!(level, Emerg | Alert | Critical | Error | Warning)
            && !matches!(facility, "FATAL" | "CONFWARN")
            && !self.away.load(Ordering::Relaxed);
        if worth {
            self.now_and_then(line);
        } else {
            debug!(client = self.client, facility, "{line}");
        }
    }

    fn now_and_then(&self, line: &str) {
        let mut quiet_until = self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if quiet_until.is_some_and(|until| now < until) {
            debug!(client = self.client, "{line}");
        } else {
            *quiet_until = Some(now + PAUSE);
            warn!(client = self.client, "librdkafka: {line}");
        }
    }
}
