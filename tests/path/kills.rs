//! kill -9 of bridge and forwarder, at random moments, under load: every span that was answered with 200 arrives, none is
//! invented, and what comes twice is counted. SPANFERRY_KILLS sets the number of kills, SPANFERRY_SEED the moments.

use crate::harness::{Claim, Ground, WHOLE_PATH};
use crate::rig::FORWARD;
use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use spanferry_tests::fakes::Sink;
use spanferry_tests::stack::spanferry::Spanferry;
use spanferry_tests::stack::wait::eventually;
use spanferry_tests::torture::numbered::Numbered;
use spanferry_tests::torture::senders::{Sender, Senders};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

const SENDERS: u64 = 16;
/// The forwarder is killed under load only: so many spans more are accepted before each of its kills.
const UNDER_LOAD: u64 = 960;
/// The bridge takes them by then, whatever happened to it before.
const LOADED: Duration = Duration::from_secs(30);
/// Everything must have arrived by then: the forwarder's place in the group expires first.
const ARRIVE: Duration = Duration::from_secs(120);

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![Claim::new("kills_at_random_lose_nothing_that_was_accepted", WHOLE_PATH, |ground| {
        Box::pin(kills_at_random_lose_nothing_that_was_accepted(ground))
    })]
}

async fn kills_at_random_lose_nothing_that_was_accepted(ground: &Ground) -> Result<()> {
    let (kills, seed) =
        (variable("SPANFERRY_KILLS", 9)?, variable("SPANFERRY_SEED", rand::random())?);
    let mut moments = StdRng::seed_from_u64(seed);
    let directory = ground.directory("kills")?;
    let sink = Sink::start()?;
    let log = format!("kafka://{}/kills", ground.kafka().await?.address());
    let mut bridge = Spanferry::bridge(&directory, &log, &[]).await?;
    bridge.ready().await?;
    let more = [&["--group", "kills"], &FORWARD[..]].concat();
    let mut forward =
        Spanferry::forward("forward", &directory, &log, &sink.grpc_url(), &more).await?;

    let senders = filters(SENDERS, bridge.http()?);
    for kill in 0..kills {
        let is_forwarder = kill % 3 == 2;
        if is_forwarder {
            accepted_more(&senders, UNDER_LOAD).await.with_context(|| format!("seed {seed}"))?;
        }
        tokio::time::sleep(Duration::from_millis(moments.random_range(50..600))).await;
        let victim = if is_forwarder { &mut forward } else { &mut bridge };
        victim.kill();
        victim.restart().await.with_context(|| format!("seed {seed}"))?;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let accepted =
        all_arrive(senders, &sink, ARRIVE).await.with_context(|| format!("seed {seed}"))?;
    let asked = ["ledger", "--log", &log, "--group", "kills"];
    let (status, printed) = Spanferry::command(&directory, &asked).await?;
    ensure!(status.success(), "seed {seed}: the sum does not hold after the kills: {printed}");
    let least = (kills / 3 * UNDER_LOAD) as usize;
    ensure!(
        accepted >= least,
        "seed {seed}: {accepted} spans accepted: under {least} prove little"
    );
    let repeats = sink.span_count() - accepted;
    println!("seed {seed}: {kills} kills, {accepted} spans accepted, 0 missing, {repeats} repeats");
    ensure!(repeats <= accepted / 4, "seed {seed}: {repeats} of {accepted} came twice");
    Ok(())
}

/// Waits until so many more spans are accepted than now.
async fn accepted_more(senders: &Senders, more: u64) -> Result<()> {
    let before = senders.accepted();
    let grown = || senders.accepted() - before;
    let enough = async || Ok((grown() >= more).then_some(()));
    let reached = eventually("load between the kills", LOADED, enough).await;
    let tries = senders.tries();
    reached.with_context(|| {
        format!("{} spans accepted, not {more}; (refused, unclear) tries: {tries:?}", grown())
    })
}

pub fn variable(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text}")),
        Err(_) => Ok(default),
    }
}

/// So many who send to a bridge as filters do, without a pause.
pub fn filters(count: u64, bridge: SocketAddr) -> Senders {
    let numbered = Numbered::from_now();
    let sender = |id| {
        let (bridges, pause) = (vec![bridge], Duration::ZERO);
        Sender { id, is_filter: true, bridges, numbered, pause }
    };
    Senders::start((0..count).map(sender))
}

/// Stops them, and waits until every span that was accepted is at the sink; one that is there and that nobody sent is an
/// error. Gives how many were accepted: what the sink counts beyond them came twice.
pub async fn all_arrive(senders: Senders, sink: &Sink, within: Duration) -> Result<usize> {
    let numbers = senders.finish().await.into_iter();
    let accepted: BTreeSet<String> =
        numbers.map(|number| hex::encode(number.to_be_bytes())).collect();
    let found = || sink.counts().into_keys().map(|(_, span)| span).collect::<BTreeSet<_>>();
    let all = async || Ok(accepted.is_subset(&found()).then_some(()));
    let arrived = eventually("every accepted span at the sink", within, all).await;
    let missing = accepted.difference(&found()).count();
    arrived.with_context(|| format!("{missing} of {} spans missing", accepted.len()))?;
    // Every batch is sent until it is accepted, so a span that nobody accepted is one that nobody sent.
    let invented = found().difference(&accepted).count();
    ensure!(invented == 0, "{invented} spans that nobody sent");
    Ok(accepted.len())
}
