//! A topic: how many partitions it has, how large its records may be; made when it is missing and that is allowed.
//!
//! The number of partitions that was learnt first holds for the life of the process: were it to change, a key would
//! change its partition while older records of it are still on their way. Partitions that are added to the topic later
//! are read, and written to after the next start.

use super::cluster::{Cluster, FRAMING_BYTES, REQUEST_BYTES, refused};
use crate::log::{LogError, Retention, TopicSettings};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::info;

/// How long `partitions` may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How long one conversation with the brokers may take: it ends within `LIMIT`.
const CONVERSATION: Duration = Duration::from_millis(4_500);

type Admin = AdminClient<DefaultClientContext>;

/// A topic of a cluster.
pub(super) struct Topic {
    name: String,
    cluster: Arc<Cluster>,
    settings: TopicSettings,
    known: OnceLock<Known>,
    /// One conversation at a time; the others wait for its outcome. Holds the last failure and its time.
    asking: tokio::sync::Mutex<Option<(Instant, LogError)>>,
}

/// What the brokers said of the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    partitions: u32,
    record_bytes: usize,
    retention: Option<Duration>,
}

/// What the topic is configured with at the brokers, as far as it is told to us.
#[derive(Debug, Clone, Copy, Default)]
struct Configured {
    largest_batch: Option<usize>,
    retention: Option<Duration>,
}

impl Topic {
    pub(super) fn new(name: &str, cluster: Arc<Cluster>, settings: TopicSettings) -> Self {
        let asking = tokio::sync::Mutex::default();
        Self { name: name.into(), cluster, settings, known: OnceLock::new(), asking }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The number of partitions, if it was learnt.
    pub(super) fn known_partitions(&self) -> Option<u32> {
        self.known.get().map(|known| known.partitions)
    }

    /// The largest record, in bytes of key, headers and value.
    pub(super) fn record_bytes(&self) -> usize {
        let limit = self.known.get().map(|known| known.record_bytes);
        limit.unwrap_or(self.settings.max_record_bytes).min(REQUEST_BYTES - FRAMING_BYTES)
    }

    /// `retention.ms`; `None` when it is without end or was not told.
    pub(super) fn retention(&self) -> Option<Duration> {
        self.known.get()?.retention
    }

    /// The number of partitions: asked for once, within 5 s; `LogError::Unavailable` when no broker answers.
    pub(super) async fn partitions(self: &Arc<Self>) -> Result<u32, LogError> {
        match self.known_partitions() {
            Some(partitions) => Ok(partitions),
            None => match timeout(LIMIT, self.ask()).await {
                Ok(answer) => answer,
                Err(_) => Err(self.unavailable("no answer in 5 s")),
            },
        }
    }

    async fn ask(self: &Arc<Self>) -> Result<u32, LogError> {
        let began = Instant::now();
        let mut last = self.asking.lock().await;
        if let Some(partitions) = self.known_partitions() {
            return Ok(partitions);
        }
        if let Some((_, error)) = last.as_ref().filter(|(ended, _)| *ended > began) {
            return Err(error.clone());
        }
        let topic = self.clone();
        let runtime = Handle::current();
        let conversation = spawn_blocking(move || topic.learn(&runtime)).await;
        let answer = conversation.unwrap_or_else(|error| Err(self.fatal("asking", &error)));
        let known = answer.inspect_err(|error| *last = Some((Instant::now(), error.clone())))?;
        info!(
            topic = self.name,
            partitions = known.partitions,
            record_bytes = known.record_bytes,
            "topic found; this number of partitions holds until the next start"
        );
        Ok(self.known.get_or_init(|| known).partitions)
    }

    fn learn(&self, runtime: &Handle) -> Result<Known, LogError> {
        let deadline = Instant::now() + CONVERSATION;
        let admin: Admin = self.cluster.plain().create().map_err(|error| refused(&error))?;
        let mut partitions = self.look(&admin, deadline)?;
        if partitions.is_none() {
            if !self.settings.create {
                return Err(LogError::NoTopic { topic: self.name.clone() });
            }
            self.create(&admin, runtime, deadline)?;
            partitions = Some(self.appear(&admin, deadline)?);
        }
        let configured = self.configured(&admin, runtime, deadline).unwrap_or_default();
        // A larger batch would be refused for good.
        let of_broker = configured.largest_batch.map(|limit| limit.saturating_sub(FRAMING_BYTES));
        let record_bytes = of_broker.unwrap_or(usize::MAX).min(self.settings.max_record_bytes);
        let retention = configured.retention;
        Ok(Known { partitions: partitions.unwrap_or(1), record_bytes, retention })
    }

    /// Waits for a topic that was made: brokers take a moment to hear of it, and to choose leaders.
    fn appear(&self, admin: &Admin, deadline: Instant) -> Result<u32, LogError> {
        loop {
            match self.look(admin, deadline) {
                Ok(Some(partitions)) => return Ok(partitions),
                Ok(None) => {}
                Err(LogError::Unavailable { .. }) if Instant::now() < deadline => {}
                Err(error) => return Err(error),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks for the topic's partitions; `None` when there is no such topic.
    fn look(&self, admin: &Admin, deadline: Instant) -> Result<Option<u32>, LogError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.unavailable("its partitions have no leader yet"));
        }
        let metadata = admin.inner().fetch_metadata(Some(&self.name), left);
        let metadata = metadata.map_err(|error| self.unavailable(error))?;
        let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == self.name) else {
            return Ok(None);
        };
        use RDKafkaErrorCode::{LeaderNotAvailable, UnknownTopicOrPartition};
        match topic.error().map(RDKafkaErrorCode::from) {
            None if topic.partitions().is_empty() => Ok(None),
            None => Ok(Some(topic.partitions().len() as u32)),
            Some(UnknownTopicOrPartition) => Ok(None),
            Some(LeaderNotAvailable) => Err(self.unavailable("it has no leader yet")),
            Some(code) => Err(self.fatal("looking for", &code)),
        }
    }

    fn create(&self, admin: &Admin, runtime: &Handle, deadline: Instant) -> Result<(), LogError> {
        let Retention { age, bytes } = self.settings.retention;
        let age = age.map_or("-1".into(), |age| age.as_millis().to_string());
        let bytes = bytes.map_or("-1".into(), |bytes| bytes.to_string());
        let largest = self.settings.max_record_bytes.saturating_add(FRAMING_BYTES).to_string();
        let replicas = TopicReplication::Fixed(self.settings.replication.map_or(-1, i32::from));
        let new = NewTopic::new(&self.name, self.settings.partitions as i32, replicas)
            .set("cleanup.policy", "delete")
            .set("retention.ms", &age)
            .set("retention.bytes", &bytes)
            .set("max.message.bytes", &largest);
        let left = deadline.saturating_duration_since(Instant::now());
        let options = AdminOptions::new().request_timeout(Some(left)).operation_timeout(Some(left));
        let answer = runtime.block_on(admin.create_topics([&new], &options));
        match answer.map_err(|error| self.not_created(&error))?.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
            Some(Err((_, code))) => Err(self.not_created(&KafkaError::AdminOp(code))),
            _ => {
                info!(topic = self.name, partitions = self.settings.partitions, "topic created");
                Ok(())
            }
        }
    }

    fn not_created(&self, error: &KafkaError) -> LogError {
        use RDKafkaErrorCode as Code;
        let setting = |name: &str, value: String| LogError::Setting {
            setting: name.into(),
            value,
            detail: format!("Kafka refused to create topic {}: {error}", self.name),
        };
        match error.rdkafka_error_code() {
            Some(Code::InvalidReplicationFactor) => {
                let replicas = self.settings.replication.map(|n| n.to_string());
                setting("topic replication", replicas.unwrap_or("the broker's default".into()))
            }
            Some(Code::InvalidPartitions) => {
                setting("topic partitions", self.settings.partitions.to_string())
            }
            Some(
                Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::BrokerTransportFailure
                | Code::NotController
                | Code::AllBrokersDown,
            ) => self.unavailable(error),
            _ => self.fatal("creating", error),
        }
    }

    /// `max.message.bytes` and `retention.ms` of the topic. `None` when they are not told to us.
    fn configured(&self, admin: &Admin, runtime: &Handle, deadline: Instant) -> Option<Configured> {
        let left = deadline.saturating_duration_since(Instant::now());
        let options = AdminOptions::new().request_timeout(Some(left.min(LIMIT / 5)));
        let resource = ResourceSpecifier::Topic(&self.name);
        let answer = runtime.block_on(admin.describe_configs([&resource], &options)).ok()?;
        let described = answer.into_iter().next()?.ok()?;
        let value = |name: &str| described.get(name)?.value.clone();
        // -1 is without end.
        let retention = value("retention.ms").and_then(|ms| ms.parse().ok());
        Some(Configured {
            largest_batch: value("max.message.bytes").and_then(|bytes| bytes.parse().ok()),
            retention: retention.map(Duration::from_millis),
        })
    }

    fn unavailable(&self, detail: impl ToString) -> LogError {
        let what = format!("kafka://{}/{}", self.cluster.brokers(), self.name);
        LogError::Unavailable { what, detail: detail.to_string() }
    }

    fn fatal(&self, doing: &str, detail: &impl ToString) -> LogError {
        LogError::Fatal { what: format!("{doing} topic {}", self.name), detail: detail.to_string() }
    }
}
