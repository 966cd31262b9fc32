//! The calm after the storm: everything runs, and what is on its way must come to its end. It may take its time, as long as it
//! moves.

use super::numbered::{SPANS_A_TRACE, trace_id};
use super::stage::{GROUP, Stage};
use super::tally::Tally;
use crate::stack::destination::Destination;
use crate::stack::jaeger::Jaeger;
use crate::stack::spanferry::Spanferry;
use anyhow::{Context, Result, bail, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use rustix::process::Signal;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Nothing moved for so long: it is stuck. And so long it may take in all.
const STUCK: Duration = Duration::from_secs(240);
const LIMIT: Duration = Duration::from_secs(1_200);
const LOOK: Duration = Duration::from_millis(500);
/// Questions to Jaeger at a time.
const QUESTIONS: usize = 8;
/// The topic's, as the bridge makes it.
const PARTITIONS: usize = 8;

/// What `spanferry ledger` says at the end, in spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Books {
    /// Written into the topic, what was written twice included.
    pub accepted: u64,
    /// Taken by the destination, as the forwarders count.
    pub delivered: u64,
    /// Written twice, and not delivered again.
    pub suppressed: u64,
}

/// Until every span is there and the group has committed everything.
pub async fn settle(stage: &Stage, accepted: &[u64], tally: &mut Tally) -> Result<Books> {
    let (start, mut moved, mut last) = (Instant::now(), Instant::now(), None);
    loop {
        let lag = lag(&stage.forwarders).await;
        let missing = missing(stage, accepted, tally);
        if missing == 0 && lag.as_ref().is_ok_and(|lag| *lag == 0) {
            break;
        }
        let now = Some((missing, lag.as_ref().ok().copied()));
        if now != last {
            (moved, last) = (Instant::now(), now);
        }
        if moved.elapsed() > STUCK || start.elapsed() > LIMIT {
            // What its threads wait for goes to its log.
            stage.kafka.signal(Signal::QUIT)?;
            tokio::time::sleep(LOOK).await;
            let waited = start.elapsed().as_secs();
            let lag = lag.map_or_else(|error| format!("{error:#}"), |lag| lag.to_string());
            let told: String = stage.forwarders.iter().map(last_words).collect();
            bail!("{missing} spans missing after {waited} s, lag {lag}{told}");
        }
        tokio::time::sleep(LOOK).await;
    }
    ledger(stage).await
}

/// The end of a forwarder's log: why it does not go on.
fn last_words(forwarder: &Spanferry) -> String {
    format!("\n{}:\n{}", forwarder.name(), forwarder.tail())
}

/// Accepted spans that are not at the destination, where that is in this process.
fn missing(stage: &Stage, accepted: &[u64], tally: &mut Tally) -> usize {
    let Destination::Sink(sink) = &stage.destination else { return 0 };
    tally.absorb(&sink.take_spans());
    let of_the_gateway =
        stage.front.as_ref().map_or(0, |front| front.witness.missing(&tally.of_the_gateway));
    tally.missing(accepted) + of_the_gateway
}

/// The operators' own command must find that the sum holds.
async fn ledger(stage: &Stage) -> Result<Books> {
    let log = stage.log();
    let mut command: Vec<String> =
        ["ledger", "--json", "--log", &log, "--group", GROUP].map(String::from).to_vec();
    for bridge in &stage.bridges {
        command.extend(["--admin".into(), bridge.admin()?.to_string()]);
    }
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let (status, printed) = Spanferry::command(&stage.directory, &command).await?;
    ensure!(status.success(), "spanferry ledger: {status}: {printed}");
    #[derive(Deserialize)]
    struct Report {
        all: Books,
    }
    let line = printed.lines().next().unwrap_or_default();
    let report: Report = serde_json::from_str(line).with_context(|| printed.clone())?;
    Ok(report.all)
}

/// Records behind the ends, over all partitions; an error when not every partition is somebody's.
async fn lag(forwarders: &[Spanferry]) -> Result<u64> {
    let (mut lag, mut partitions) = (0, 0);
    for forwarder in forwarders {
        let metrics = forwarder.metrics().await?;
        lag += metrics.count("spanferry_group_lag_records");
        partitions += metrics.series("spanferry_group_lag_records");
    }
    if partitions < PARTITIONS {
        bail!("{partitions} of {PARTITIONS} partitions are somebody's");
    }
    Ok(lag)
}

/// Asks Jaeger for every trace of the accepted spans, and of those that Envoy's filter sent.
pub async fn ask(
    stage: &Stage,
    jaeger: &Jaeger,
    accepted: &[u64],
    tally: &mut Tally,
) -> Result<()> {
    let numbers: BTreeSet<u64> = accepted.iter().map(|number| number / SPANS_A_TRACE).collect();
    let question =
        async |trace: u64| jaeger.trace(&hex::encode(trace_id(trace * SPANS_A_TRACE))).await;
    let answers = stream::iter(numbers).map(question).buffer_unordered(QUESTIONS);
    let found: Vec<_> = answers.try_collect().await?;
    found.iter().for_each(|spans| tally.see(spans));
    let traces = stage.front.as_ref().map(|front| front.witness.traces()).unwrap_or_default();
    let question = async |trace: String| Ok((jaeger.trace(&trace).await?, trace));
    let answers = stream::iter(traces).map(question).buffer_unordered(QUESTIONS);
    let found: Vec<_> =
        answers.try_collect::<Vec<_>>().await.map_err(|error: anyhow::Error| error)?;
    for (spans, trace) in found {
        spans.into_iter().for_each(|span| tally.of_the_gateway.see(&trace, span));
    }
    Ok(())
}
