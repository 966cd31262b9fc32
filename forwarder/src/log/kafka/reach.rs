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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::Arc;
    use tracing_subscriber::fmt::MakeWriter;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Lines;
        fn make_writer(&self) -> Lines {
            self.clone()
        }
    }

    /// What is logged at `info` and above.
    fn logged(work: impl FnOnce(&Reach)) -> Vec<String> {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false);
        let reach = Reach::new("producer of topic t".into(), "a:1");
        tracing::subscriber::with_default(subscriber.finish(), || work(&reach));
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(Into::into).collect()
    }

    #[test]
    fn an_outage_is_two_lines_however_long_it_lasts() {
        let lines = logged(|reach| {
            for _ in 0..100 {
                reach.error(&KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 down");
                let failed = KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure);
                reach.error(&failed, "a:1: connection refused");
                reach.log(RDKafkaLogLevel::Error, "FAIL", "a:1: connection refused");
            }
            for _ in 0..100 {
                reach.answered();
            }
        });
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(lines[0].contains("out of reach") && lines[1].contains("is back"), "{lines:#?}");
    }

    #[test]
    fn other_trouble_is_said_now_and_then() {
        let lines = logged(|reach| {
            for _ in 0..100 {
                let refused = KafkaError::Global(RDKafkaErrorCode::Authentication);
                reach.error(&refused, "SASL: wrong password");
            }
        });
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].contains("wrong password"), "{lines:#?}");
    }
}
