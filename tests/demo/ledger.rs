//! The closing sum: what was accepted is delivered, and the destination holds every span once.

use crate::acts::Acts;
use crate::cast::Cast;
use crate::screen::{Ink, Screen};
use anyhow::Result;
use std::time::{Duration, Instant};

/// How long the destination may take to show what it took.
const SHOW: Duration = Duration::from_secs(20);
/// How long the forwarder may take to commit what is delivered.
const SETTLE: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(100);

/// Asks the destination for every trace, writes the sum, and says whether it holds.
pub async fn close(screen: &Screen, cast: &Cast, acts: &Acts) -> Result<bool> {
    let name = cast.destination.name();
    screen.heading("Ledger", &format!("{} requests, {} spans", acts.answers.len(), acts.expected));
    let holdings = cast.destination.holdings(&acts.answers, SHOW).await?;
    let counted = cast.product.counted().await?;
    let sample = cast.sample.spans().await?;
    let dropped_by_filter = cast.envoy.dropped_spans().await?;
    let lag = settled_lag(cast).await?;

    let lost = counted.accepted.saturating_sub(counted.delivered + counted.dead_lettered);
    let sum =
        format!("accepted {} = delivered {}, lost {lost}", counted.accepted, counted.delivered);
    let held = format!(
        "{name} holds {} of {} spans in {} traces, {} twice; lag {lag}",
        holdings.spans, holdings.expected, holdings.traces, holdings.repeats
    );
    let before = format!(
        "before the bridge: {dropped_by_filter} dropped by the filter, {} given up by the sample's SDK",
        sample.failed + sample.held()
    );
    let answered = acts.answers.iter().all(|answer| answer.is_as_wanted());
    let sum_holds = counted.accepted == counted.delivered && counted.accepted == acts.expected;
    let held_whole = holdings.is_whole() && lag == 0;

    screen.line(&verdict(screen, held_whole, &held));
    screen.line(&verdict(screen, dropped_by_filter + sample.failed + sample.held() == 0, &before));
    screen.line(&verdict(screen, answered, "every request was answered as it asked"));
    for fault in holdings.faults.iter().take(5) {
        screen.line(&screen.ink(Ink::Bad, &format!("  {fault}")));
    }
    screen.line("");
    screen.line(&verdict(screen, sum_holds, &screen.ink(Ink::Bold, &sum)));
    screen.line("");
    Ok(sum_holds && held_whole && answered)
}

/// The lag when it is 0, or after a while: offsets are committed a moment after the delivery.
async fn settled_lag(cast: &Cast) -> Result<u64> {
    let deadline = Instant::now() + SETTLE;
    loop {
        let lag = cast.product.lag().await?;
        if lag == 0 || Instant::now() > deadline {
            return Ok(lag);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn verdict(screen: &Screen, good: bool, text: &str) -> String {
    let mark = if good { screen.ink(Ink::Good, "✓") } else { screen.ink(Ink::Bad, "✗") };
    format!("{mark} {text}")
}
