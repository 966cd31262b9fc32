//! The whole path of one test: Envoy with the filter → bridge → Kafka → forwarder → destination, and the sample.

use crate::harness::Ground;
use anyhow::{Context, Result, ensure};
use spanferry_tests::samples::driver::{Answer, Driver, Plan};
use spanferry_tests::stack::destination::{Destination, Holdings};
use spanferry_tests::stack::envoy::{Envoy, Setup};
use spanferry_tests::stack::sample::Sample;
use spanferry_tests::stack::spanferry::Spanferry;
use std::path::PathBuf;
use std::time::Duration;

/// Generous: two cores, shared.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Short pauses between tries, and a group that notices a dead member soon.
pub const FORWARD: [&str; 6] = [
    "--backoff-max",
    "1s",
    "--kafka-property",
    "session.timeout.ms=4000",
    "--kafka-property",
    "heartbeat.interval.ms=500",
];

/// Everything that runs for one test. Dropped top down: who sends goes before who receives.
pub struct Rig {
    /// The gateway.
    pub envoy: Envoy,
    /// The service behind it.
    pub sample: Sample,
    /// Takes spans in.
    pub bridge: Spanferry,
    /// Delivers them.
    pub forward: Spanferry,
    /// Where they end.
    pub destination: Destination,
    /// `kafka://…/TOPIC`.
    pub log: String,
    /// The topic, which is the group too.
    pub topic: String,
    /// Configurations, logs and data.
    pub directory: PathBuf,
    /// Answers of all requests so far.
    pub answers: Vec<Answer>,
}

impl Rig {
    /// Starts it all with a topic and a group named after the test.
    pub async fn start(ground: &Ground, name: &str, destination: Destination) -> Result<Rig> {
        let directory = ground.directory(name)?;
        let log = format!("kafka://{}/{name}", ground.kafka().await?.address());
        let bridge = Spanferry::bridge(&directory, &log, &[]).await?;
        bridge.ready().await?;
        let more = [&["--group", name], &FORWARD[..]].concat();
        let to = destination.url();
        let forward = Spanferry::forward("forward", &directory, &log, &to, &more).await?;
        forward.ready().await?;
        let sample = Sample::start(&directory, bridge.http()?).await?;
        let setup = Setup::new(sample.address(), bridge.http()?);
        let envoy = Envoy::start(&directory, &setup).await?;
        let topic = name.to_owned();
        let answers = Vec::new();
        Ok(Rig { envoy, sample, bridge, forward, destination, log, topic, directory, answers })
    }

    /// Sends requests through Envoy; every one must be answered as it asked.
    pub async fn send(&mut self, plan: Plan) -> Result<Vec<Answer>> {
        let answers = Driver::new(self.envoy.address()).send_all(plan).await;
        self.answers.extend(answers.iter().cloned());
        all_as_wanted(&answers)?;
        Ok(answers)
    }

    /// Spans that the requests so far should have made.
    pub fn expected(&self) -> u64 {
        self.answers.iter().map(|answer| answer.spans() as u64).sum()
    }

    /// Waits until the bridge answered 200 for every span.
    pub async fn accepted(&self) -> Result<()> {
        let expected = self.expected();
        let what = format!("{expected} accepted spans");
        let holds = |metrics: &_| count(metrics, "spanferry_accepted_spans_total") >= expected;
        let metrics = self.bridge.metrics_until(&what, LIMIT, holds).await?;
        let accepted = metrics.count("spanferry_accepted_spans_total");
        ensure!(accepted == expected, "{accepted} spans accepted of {expected}");
        Ok(())
    }

    /// Waits until the forwarder has delivered every span and committed every record.
    pub async fn delivered(&self) -> Result<()> {
        let expected = self.expected();
        let what = format!("{expected} delivered spans and no lag");
        let holds = |metrics: &_| {
            count(metrics, "spanferry_sent_spans_total") >= expected
                && count(metrics, "spanferry_group_lag_records") == 0
        };
        self.forward.metrics_until(&what, LIMIT, holds).await?;
        Ok(())
    }

    /// Waits until the destination holds every trace as one whole tree; an error names what is missing or twice.
    pub async fn held(&self) -> Result<Holdings> {
        let holdings = self.destination.holdings(&self.answers, LIMIT).await?;
        holdings.whole().with_context(|| self.destination.name())
    }
}

/// Fails on the first answers that are not as asked for.
pub fn all_as_wanted(answers: &[Answer]) -> Result<()> {
    let wrong: Vec<&Answer> = answers.iter().filter(|answer| !answer.is_as_wanted()).collect();
    ensure!(wrong.is_empty(), "{} wrong answers, the first: {:?}", wrong.len(), wrong.first());
    Ok(())
}

fn count(metrics: &spanferry_tests::stack::metrics::Metrics, name: &str) -> u64 {
    metrics.count(name)
}
