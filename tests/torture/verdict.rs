//! What came of it: after the storm everything runs, the senders finish, and the destination is asked for every span.

use super::plan::Plan;
use super::settle::{Books, ask, settle};
use super::stage::Stage;
use super::storm::Storm;
use super::tally::Sum;
use super::watch::Seen;
use super::witness::Account;
use crate::stack::destination::Destination;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Within it the senders must be rid of what they hold.
const FINISH: Duration = Duration::from_secs(240);
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
    /// Tries that were refused, and those without a clear answer.
    pub tries: (u64, u64),
    /// Numbered spans against numbered spans.
    pub sum: Sum,
    /// What became of the spans of Envoy's filter, and how many requests Envoy answered; if it was there.
    pub front: Option<(Account, u64)>,
    /// What the ledger says at the end.
    pub books: Books,
    /// Looks at the forwarders' accounts, and at the whole ledger.
    pub seen: [Seen; 2],
    /// Why not everything was there at the end of the wait, if so.
    pub unsettled: Option<String>,
}

/// Waits for the calm and asks.
pub async fn of(stage: Stage, storm: Storm, plan: &Plan) -> Result<Verdict> {
    let (lasted, faults) = (storm.lasted, storm.counts.all());
    let tries = storm.senders.tries();
    let accepted = tokio::time::timeout(FINISH, storm.senders.finish()).await;
    let accepted = accepted
        .with_context(|| format!("seed {}: a batch was not accepted in {FINISH:?}", plan.seed))?;
    if let Some(front) = &stage.front {
        front.flushed().await?;
    }
    let mut tally = storm.tally;
    let settled = settle(&stage, &accepted, &mut tally).await;
    // Asked once, when nothing should be on its way any more.
    if let Destination::Jaeger(jaeger) = &stage.destination {
        ask(&stage, jaeger, &accepted, &mut tally).await?;
    }
    let front = stage.front.as_ref();
    Ok(Verdict {
        seed: plan.seed,
        lasted,
        faults,
        tries,
        sum: tally.sum(&accepted),
        front: front.map(|f| (f.witness.account(&tally.of_the_gateway), f.answered())),
        books: settled.as_ref().copied().unwrap_or_default(),
        seen: [storm.seen, storm.books],
        unsettled: settled.err().map(|error| format!("{error:#}")),
    })
}

impl Verdict {
    /// What does not hold, a line each; none if nothing was lost, invented or changed, and the ledger says so.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints: Vec<String> = self.unsettled.iter().cloned().collect();
        let Sum { missing, invented, corrupt, .. } = &self.sum;
        for (what, numbers) in [("missing", missing), ("invented", invented), ("corrupt", corrupt)]
        {
            complaints.extend(complaint("spans", what, numbers));
        }
        if let Some((Account { missing, invented, corrupt, .. }, _)) = &self.front {
            for (what, ids) in [("missing", missing), ("invented", invented), ("corrupt", corrupt)]
            {
                complaints.extend(complaint("spans of Envoy", what, ids));
            }
        }
        for seen in &self.seen {
            complaints.extend(seen.faults.iter().take(SHOWN).cloned());
        }
        complaints
    }

    /// A kill -9 of this kind of victim.
    pub fn kills(&self, victim: &str) -> u64 {
        self.faults.get(&format!("{} of {victim}", super::torment::KILL)).copied().unwrap_or(0)
    }

    /// Spans that came, each once, Envoy's included.
    fn came(&self) -> u64 {
        self.sum.delivered + self.front.as_ref().map_or(0, |(account, _)| account.arrived)
    }

    /// Why spans came twice: written twice, since their sender was not told of the first time, or sent twice out of one
    /// record. Where a repeat is not seen at the destination, only the first is known.
    fn twice(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Books { accepted, suppressed, .. } = self.books;
        let of_the_gateway = self.front.as_ref().map_or(0, |(account, _)| account.duplicates);
        let duplicates = self.sum.duplicates + of_the_gateway;
        let of_filters = self.sum.duplicates_of_filters + of_the_gateway;
        let written_twice = accepted.saturating_sub(self.came());
        let let_through = written_twice.saturating_sub(suppressed);
        let by_forwarders = duplicates.saturating_sub(let_through);
        line(
            f,
            written_twice,
            "spans written twice: by senders without a clear answer, or again out of a spool",
        )?;
        line(f, suppressed, "of them not delivered again")?;
        line(f, duplicates, "arrivals of a span that had arrived before")?;
        line(f, let_through.min(duplicates), "of them since they were written twice")?;
        line(f, by_forwarders, "of them sent again by forwarders")?;
        line(f, of_filters, "of them of senders that number their batches")
    }
}

fn complaint<T: fmt::Debug>(of: &str, what: &str, which: &[T]) -> Option<String> {
    let first = &which[..which.len().min(SHOWN)];
    (!which.is_empty()).then(|| format!("{} {of} {what}, the first: {first:?}", which.len()))
}

fn line(f: &mut fmt::Formatter<'_>, number: impl fmt::Display, what: &str) -> fmt::Result {
    writeln!(f, "  {number:>7}  {what}")
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "torture: seed {}, a storm of {} s", self.seed, self.lasted.as_secs())?;
        for (fault, times) in &self.faults {
            line(f, times, fault)?;
        }
        line(f, self.tries.0, "tries that were refused")?;
        line(f, self.tries.1, "tries without a clear answer")?;
        for (seen, of) in self.seen.iter().zip(["forwarders' accounts", "the whole ledger"]) {
            let (seconds, faults) = (seen.seconds, seen.faults.len());
            line(
                f,
                seen.samples,
                &format!("looks at {of} in {seconds} s, {faults} that do not hold"),
            )?;
        }
        let Sum { accepted, delivered, missing, invented, corrupt, .. } = &self.sum;
        line(f, accepted, "spans accepted")?;
        line(f, delivered, "delivered")?;
        line(f, missing.len(), "missing")?;
        line(f, invented.len(), "invented")?;
        line(f, corrupt.len(), "corrupt")?;
        if let Some((account, answered)) = &self.front {
            let Account { sent, accepted, missing, invented, corrupt, .. } = account;
            let never = sent - accepted;
            line(f, answered, "requests that Envoy answered")?;
            line(f, accepted, "spans of its filter accepted")?;
            line(f, missing.len(), "missing")?;
            line(f, invented.len(), "invented")?;
            line(f, corrupt.len(), "corrupt")?;
            let unheard = account.arrived_unheard;
            line(
                f,
                never,
                &format!("sent and never accepted, {unheard} of them delivered all the same"),
            )?;
            line(f, answered.saturating_sub(*sent), "answered and never sent: gone with an Envoy")?;
        }
        self.twice(f)?;
        self.complaints().iter().try_for_each(|complaint| writeln!(f, "  ✗ {complaint}"))
    }
}
