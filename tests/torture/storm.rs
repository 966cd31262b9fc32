//! The storm: everything is tormented at once, under load, until there were enough kills or the time is over.

use super::books;
use super::numbered::is_filter;
use super::plan::Plan;
use super::senders::{Sender, Senders};
use super::stage::{GROUP, Stage};
use super::tally::Tally;
use super::torment::{Counts, KILL, Torment};
use super::watch::{Seen, watch};
use crate::fakes::sink::Control;
use crate::stack::destination::Destination;
use crate::stack::spanferry::Spanferry;
use anyhow::{Context, Result};
use futures_util::future::{OptionFuture, join_all, try_join_all};
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
    /// What was seen of the forwarders' accounts, once a second.
    pub seen: Seen,
    /// What was seen of the whole ledger, once a second.
    pub books: Seen,
    /// How long it was.
    pub lasted: Duration,
}

/// Rages over the stage. All processes run when it is over.
pub async fn rage(stage: Stage, plan: &Plan) -> Result<(Stage, Storm)> {
    let over = CancellationToken::new();
    let counts = Counts::default();
    let mut seeds = StdRng::seed_from_u64(plan.seed);
    let torment = || Torment {
        chance: StdRng::seed_from_u64(seeds.random()),
        over: over.clone(),
        counts: counts.clone(),
    };
    let senders = senders(&stage, plan);
    let watching = tokio::spawn(watch(admins(&stage.forwarders)?, over.clone()));
    let audit = books::audit(&stage.log(), GROUP)?;
    let looking = tokio::spawn(books::look(audit, admins(&stage.bridges)?, over.clone()));
    let sink = match &stage.destination {
        Destination::Sink(sink) => Some(sink.control()),
        Destination::Jaeger(_) => None,
    };
    let (start, mut tally) = (Instant::now(), Tally::new(stage.numbered));
    let tormenting = async {
        let stage = all_at_once(stage, plan, sink.clone(), torment).await;
        over.cancel();
        stage
    };
    let end = ends(plan, &counts, &senders, &over, || {
        sink.iter().for_each(|sink| tally.absorb(&sink.take_spans()));
    });
    let (stage, ()) = tokio::join!(tormenting, end);
    let stage = stage.with_context(|| format!("seed {}", plan.seed))?;
    let (seen, books) = (watching.await?, looking.await?);
    let lasted = start.elapsed();
    Ok((stage, Storm { counts, senders, tally, seen, books, lasted }))
}

/// Everybody on the stage has a tormentor, until the storm is over.
async fn all_at_once(
    stage: Stage,
    plan: &Plan,
    sink: Option<Control>,
    mut torment: impl FnMut() -> Torment,
) -> Result<Stage> {
    let Stage { kafka, kafka_network, bridges, bridge_networks, forwarders, .. } = stage;
    let Stage { destination, destination_network, front, numbered, directory, .. } = stage;
    let answering = sink.map(|sink| torment().answers(sink));
    let roles = |roles: Vec<_>, victim, torment: &mut dyn FnMut() -> Torment| {
        let one = |role| torment().role(role, victim, plan.role_up_ms, &directory);
        try_join_all(roles.into_iter().map(one).collect::<Vec<_>>())
    };
    let bridges = roles(bridges, "bridges", &mut torment);
    let forwarders = roles(forwarders, "forwarders", &mut torment);
    let networks = bridge_networks.into_iter().map(|n| torment().network(n, "bridges"));
    let bridge_networks = join_all(networks.collect::<Vec<_>>());
    let kafka_network = torment().network(kafka_network, "Kafka");
    let destination_network = torment().network(destination_network, "the destination");
    let kafka = torment().kafka(kafka, plan.kafka_up_ms);
    let destination = torment().destination(destination, plan.destination_up_ms);
    let front = torment().front(front, plan.envoy_up_ms);
    let answering = OptionFuture::from(answering);
    let between =
        async { Ok(tokio::join!(bridge_networks, kafka_network, destination_network, answering)) };
    let (bridges, forwarders, kafka, destination, front, between) =
        tokio::try_join!(bridges, forwarders, kafka, destination, front, between)?;
    let (bridge_networks, kafka_network, destination_network, _) = between;
    Ok(Stage {
        kafka,
        kafka_network,
        bridges,
        bridge_networks,
        forwarders,
        destination,
        destination_network,
        front,
        numbered,
        directory,
    })
}

fn admins(roles: &[Spanferry]) -> Result<Vec<SocketAddr>> {
    roles.iter().map(Spanferry::admin).collect()
}

fn senders(stage: &Stage, plan: &Plan) -> Senders {
    let bridges = stage.doors();
    let sender = |id| Sender {
        id,
        is_filter: is_filter(id),
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
