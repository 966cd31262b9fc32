//! The storm: everything is tormented at once, under load, until there were enough kills or the time is over.

use super::plan::Plan;
use super::senders::{Sender, Senders};
use super::stage::Stage;
use super::tally::Tally;
use super::torment::{Counts, KILL, Torment};
use super::watch::{Seen, watch};
use crate::stack::destination::Destination;
use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often the storm says how it goes.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// What happened.
pub struct Storm {
    /// How often each fault.
    pub counts: Counts,
    /// Who sends, still sending.
    pub senders: Senders,
    /// What arrived so far, at a destination that is in this process.
    pub tally: Tally,
    /// What was seen of the ledger.
    pub seen: Seen,
    /// How long it was.
    pub lasted: Duration,
}

/// Rages over the stage. All processes run when it is over.
pub async fn rage(stage: Stage, plan: &Plan) -> Result<(Stage, Storm)> {
    let over = CancellationToken::new();
    let counts = Counts::default();
    let mut seeds = StdRng::seed_from_u64(plan.seed);
    let mut torment = || Torment {
        chance: StdRng::seed_from_u64(seeds.random()),
        over: over.clone(),
        counts: counts.clone(),
    };
    let senders = senders(&stage, plan);
    let admins: Vec<SocketAddr> =
        stage.forwarders.iter().map(|forwarder| forwarder.admin()).collect::<Result<_>>()?;
    let watching = tokio::spawn(watch(admins, over.clone()));
    let Stage { kafka, kafka_network, bridges, bridge_networks, forwarders, .. } = stage;
    let Stage { destination, destination_network, numbered, directory, .. } = stage;

    let sink = match &destination {
        Destination::Sink(sink) => Some(sink.control()),
        Destination::Jaeger(_) => None,
    };
    let answering = sink.clone().map(|sink| torment().answers(sink));
    let roles = |roles: Vec<_>, victim, torment: &mut dyn FnMut() -> Torment| {
        let one = |role| torment().role(role, victim, &directory);
        futures_util::future::try_join_all(roles.into_iter().map(one).collect::<Vec<_>>())
    };
    let bridges = roles(bridges, "bridges", &mut torment);
    let forwarders = roles(forwarders, "forwarders", &mut torment);
    let networks = bridge_networks.into_iter().map(|n| torment().network(n, "bridges"));
    let bridge_networks = futures_util::future::join_all(networks.collect::<Vec<_>>());
    let kafka_network = torment().network(kafka_network, "Kafka");
    let destination_network = torment().network(destination_network, "the destination");
    let kafka = torment().kafka(kafka);
    let destination = torment().destination(destination);

    let start = Instant::now();
    let tormenting = async {
        let between = async {
            let answering = async {
                if let Some(answering) = answering {
                    answering.await;
                }
            };
            Ok(tokio::join!(bridge_networks, kafka_network, destination_network, answering))
        };
        let all = tokio::try_join!(bridges, forwarders, kafka, destination, between);
        over.cancel();
        all
    };
    let mut tally = Tally::new(numbered);
    let end = ends(plan, &counts, &senders, &over, || {
        sink.iter().for_each(|sink| tally.absorb(&sink.take_spans()));
    });
    let (all, ()) = tokio::join!(tormenting, end);
    let (bridges, forwarders, kafka, destination, between) =
        all.with_context(|| format!("seed {}", plan.seed))?;
    let (bridge_networks, kafka_network, destination_network, ()) = between;
    let seen = watching.await?;
    let lasted = start.elapsed();
    let stage = Stage {
        kafka,
        kafka_network,
        bridges,
        bridge_networks,
        forwarders,
        destination,
        destination_network,
        numbered,
        directory,
    };
    Ok((stage, Storm { counts, senders, tally, seen, lasted }))
}

fn senders(stage: &Stage, plan: &Plan) -> Senders {
    let bridges: Vec<SocketAddr> = stage.bridge_networks.iter().map(|n| n.address()).collect();
    let sender = |id| Sender {
        id,
        is_filter: id % 3 != 0,
        bridges: bridges.clone(),
        numbered: stage.numbered,
        pause: Duration::from_millis(plan.pause_ms),
    };
    Senders::start((1..=plan.senders).map(sender))
}

/// Waits for enough kills, or the time, or an end by a failure; says now and then how it goes.
async fn ends(
    plan: &Plan,
    counts: &Counts,
    senders: &Senders,
    over: &CancellationToken,
    mut meanwhile: impl FnMut(),
) {
    let (start, mut told) = (Instant::now(), Instant::now());
    while !over.is_cancelled() {
        meanwhile();
        let kills = counts.of(KILL, "bridges").min(counts.of(KILL, "forwarders"));
        if kills >= plan.cycles || start.elapsed() > plan.limit() {
            over.cancel();
        }
        if told.elapsed() > TELL_EVERY {
            told = Instant::now();
            let seconds = start.elapsed().as_secs();
            eprintln!(
                "{seconds} s: {kills} kills of each role, {} spans accepted",
                senders.accepted()
            );
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(100)) => (),
            () = over.cancelled() => (),
        }
    }
}
