//! What came of it: after the storm everything runs, the senders finish, and the destination is asked for every span.

use super::numbered::{SPANS_A_TRACE, trace_id};
use super::plan::Plan;
use super::stage::Stage;
use super::storm::Storm;
use super::tally::{Sum, Tally};
use crate::stack::destination::Destination;
use crate::stack::jaeger::Jaeger;
use crate::stack::spanferry::Spanferry;
use anyhow::{Context, Result, bail, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

/// Within it the senders must be rid of what they hold, and then all of it must arrive.
const SETTLE: Duration = Duration::from_secs(240);
const LOOK: Duration = Duration::from_millis(500);
/// Questions to Jaeger at a time.
const QUESTIONS: usize = 8;
/// Numbers and faults that are printed of each kind.
const SHOWN: usize = 10;

/// See the module.
pub struct Verdict {
    /// Where the faults came from.
    pub seed: u64,
    /// How long the storm was.
    pub lasted: Duration,
    /// How often each fault.
    pub faults: BTreeMap<String, u64>,
    /// Tries that were not answered with 200.
    pub refused: u64,
    /// Spans against spans.
    pub sum: Sum,
    /// Looks at the ledger, and what did not hold.
    pub samples: u64,
    /// What did not hold in the ledger.
    pub unequal: Vec<String>,
    /// Why not everything was there at the end of the wait, if so.
    pub unsettled: Option<String>,
}

/// Waits for the calm and asks.
pub async fn of(stage: Stage, storm: Storm, plan: &Plan) -> Result<Verdict> {
    let (lasted, faults) = (storm.lasted, storm.counts.all());
    let refused = storm.senders.refused();
    let accepted = tokio::time::timeout(SETTLE, storm.senders.finish()).await;
    let accepted = accepted
        .with_context(|| format!("seed {}: a batch was not accepted in {SETTLE:?}", plan.seed))?;
    let mut tally = storm.tally;
    let settled = settle(&stage, &accepted, &mut tally).await;
    // Asked once, when nothing should be on its way any more.
    if let Destination::Jaeger(jaeger) = &stage.destination {
        ask(jaeger, &accepted, &mut tally).await?;
    }
    Ok(Verdict {
        seed: plan.seed,
        lasted,
        faults,
        refused,
        sum: tally.sum(&accepted),
        samples: storm.seen.samples,
        unequal: storm.seen.faults,
        unsettled: settled.err().map(|error| format!("{error:#}")),
    })
}

/// Until every span is there and the group has committed everything.
async fn settle(stage: &Stage, accepted: &[u64], tally: &mut Tally) -> Result<()> {
    let start = Instant::now();
    loop {
        let lag = lag(&stage.forwarders).await;
        let missing = match &stage.destination {
            Destination::Sink(sink) => {
                tally.absorb(&sink.take_spans());
                tally.missing(accepted)
            }
            Destination::Jaeger(_) => 0,
        };
        if missing == 0 && lag.as_ref().is_ok_and(|lag| *lag == 0) {
            break;
        }
        if start.elapsed() > SETTLE {
            bail!("{missing} spans missing after {SETTLE:?}, lag {lag:?}");
        }
        tokio::time::sleep(LOOK).await;
    }
    ledger(stage).await
}

/// The operators' own command must find that the sum holds.
async fn ledger(stage: &Stage) -> Result<()> {
    let log = stage.log();
    let command = ["ledger", "--json", "--log", &log, "--group", "torture"];
    let (status, printed) = Spanferry::command(&stage.directory, &command).await?;
    ensure!(status.success(), "spanferry ledger: {status}: {printed}");
    Ok(())
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

/// The topic's, as the bridge makes it.
const PARTITIONS: usize = 8;

async fn ask(jaeger: &Jaeger, accepted: &[u64], tally: &mut Tally) -> Result<()> {
    let traces: BTreeSet<u64> = accepted.iter().map(|number| number / SPANS_A_TRACE).collect();
    let question =
        async |trace: u64| jaeger.trace(&hex::encode(trace_id(trace * SPANS_A_TRACE))).await;
    let answers = stream::iter(traces).map(question).buffer_unordered(QUESTIONS);
    let found: Vec<_> = answers.try_collect().await?;
    found.iter().for_each(|spans| tally.see(spans));
    Ok(())
}

impl Verdict {
    /// What does not hold, a line each; none if nothing was lost, invented or changed, and the ledger says so.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints: Vec<String> = self.unsettled.iter().cloned().collect();
        let of = [
            ("missing", &self.sum.missing),
            ("invented", &self.sum.invented),
            ("corrupt", &self.sum.corrupt),
        ];
        for (what, numbers) in of.into_iter().filter(|(_, numbers)| !numbers.is_empty()) {
            let first = &numbers[..numbers.len().min(SHOWN)];
            complaints.push(format!("{} spans {what}, the first: {first:?}", numbers.len()));
        }
        complaints.extend(self.unequal.iter().take(SHOWN).cloned());
        complaints
    }

    /// A kill -9 of this kind of victim.
    pub fn kills(&self, victim: &str) -> u64 {
        self.faults.get(&format!("{} of {victim}", super::torment::KILL)).copied().unwrap_or(0)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sum { accepted, delivered, missing, invented, corrupt, duplicates } = &self.sum;
        writeln!(f, "torture: seed {}, a storm of {} s", self.seed, self.lasted.as_secs())?;
        for (fault, times) in &self.faults {
            writeln!(f, "  {times:>7}  {fault}")?;
        }
        writeln!(f, "  {:>7}  tries that were not answered with 200", self.refused)?;
        writeln!(
            f,
            "  {:>7}  looks at the ledger, {} that do not hold",
            self.samples,
            self.unequal.len()
        )?;
        writeln!(f, "  {accepted:>7}  spans accepted")?;
        writeln!(f, "  {delivered:>7}  delivered")?;
        writeln!(f, "  {:>7}  missing", missing.len())?;
        writeln!(f, "  {:>7}  invented", invented.len())?;
        writeln!(f, "  {:>7}  corrupt", corrupt.len())?;
        write!(f, "  {duplicates:>7}  duplicates")?;
        self.complaints().iter().try_for_each(|complaint| write!(f, "\n  ✗ {complaint}"))
    }
}
