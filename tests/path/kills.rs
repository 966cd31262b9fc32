//! kill -9 of bridge and forwarder, at random moments, under load: every span that was answered with 200 arrives, none is
//! invented, and what comes twice is counted. SPANFERRY_KILLS sets the number of kills, SPANFERRY_SEED the moments.

use crate::harness::{Claim, Ground, WHOLE_PATH};
use crate::rig::FORWARD;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use spanferry_tests::fakes::Sink;
use spanferry_tests::stack::spanferry::Spanferry;
use spanferry_tests::stack::{http as client, wait::eventually};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SENDERS: u64 = 16;
const SPANS_A_BATCH: u64 = 5;
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

    let url: Arc<str> = format!("http://{}/v1/traces", bridge.http()?).into();
    let is_over = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| tokio::spawn(send(url.clone(), sender, is_over.clone())))
        .collect();
    for kill in 0..kills {
        tokio::time::sleep(Duration::from_millis(moments.random_range(50..600))).await;
        let victim = if kill % 3 == 2 { &mut forward } else { &mut bridge };
        victim.kill();
        victim.restart().await.with_context(|| format!("seed {seed}"))?;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    is_over.store(true, Ordering::Relaxed);
    let mut accepted = BTreeSet::new();
    for sender in senders {
        accepted.extend(sender.await?);
    }

    let found = || sink.counts().into_keys().map(|(_, span)| span).collect::<BTreeSet<_>>();
    let all = async || Ok(accepted.is_subset(&found()).then_some(()));
    let arrived = eventually("every accepted span at the sink", ARRIVE, all).await;
    let missing = accepted.difference(&found()).count();
    arrived
        .with_context(|| format!("seed {seed}: {missing} of {} spans missing", accepted.len()))?;
    // Every batch is sent until it is accepted, so a span that nobody accepted is one that nobody sent.
    let invented = found().difference(&accepted).count();
    ensure!(invented == 0, "seed {seed}: {invented} spans that nobody sent");
    let asked = ["ledger", "--log", &log, "--group", "kills"];
    let (status, printed) = Spanferry::command(&directory, &asked).await?;
    ensure!(status.success(), "seed {seed}: the sum does not hold after the kills: {printed}");
    let repeats = sink.span_count() - found().len();
    println!(
        "seed {seed}: {kills} kills, {} spans accepted, 0 missing, {repeats} repeats",
        accepted.len()
    );
    ensure!(
        repeats <= accepted.len() / 4,
        "seed {seed}: {repeats} of {} came twice",
        accepted.len()
    );
    Ok(())
}

pub fn variable(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text}")),
        Err(_) => Ok(default),
    }
}

/// Sends numbered batches as a filter does, each until its 200; gives the ids of their spans.
pub async fn send(url: Arc<str>, sender: u64, is_over: Arc<AtomicBool>) -> BTreeSet<String> {
    let mut accepted = BTreeSet::new();
    let mut sequence = 0;
    while !is_over.load(Ordering::Relaxed) {
        sequence += 1;
        let first = (sender << 40 | sequence) * SPANS_A_BATCH + 1;
        let ids: Vec<[u8; 8]> = (first..first + SPANS_A_BATCH).map(u64::to_be_bytes).collect();
        let body = Bytes::from(batch(&ids));
        while !is_accepted(&url, sender, sequence, body.clone()).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        accepted.extend(ids.iter().map(hex::encode));
    }
    accepted
}

async fn is_accepted(url: &str, sender: u64, sequence: u64, body: Bytes) -> bool {
    let request = Request::post(url)
        .header("content-type", "application/x-protobuf")
        .header("x-spanferry-source", format!("sender-{sender}"))
        .header("x-spanferry-sequence", sequence)
        .body(Full::new(body));
    let Ok(request) = request else { return false };
    client::exchange(request).await.is_ok_and(|(status, _)| status.is_success())
}

/// Each span is a trace of its own, so a batch becomes several records in several partitions.
fn batch(ids: &[[u8; 8]]) -> Vec<u8> {
    let span = |id: &[u8; 8]| Span {
        trace_id: [*id, *id].concat(),
        span_id: id.to_vec(),
        name: "numbered".into(),
        ..Span::default()
    };
    let scope_spans =
        vec![ScopeSpans { spans: ids.iter().map(span).collect(), ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}
