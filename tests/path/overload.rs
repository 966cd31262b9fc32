//! Four times the load that a bridge can hold: its memory stays within its bound, every batch that it does not take is told
//! so in time to come again, and every one that it takes arrives.

use crate::harness::{Claim, Ground, WHOLE_PATH};
use crate::rig::{FORWARD, LIMIT};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use opentelemetry_proto::tonic::trace::v1::Span;
use spanferry_tests::fakes::Sink;
use spanferry_tests::fakes::proxy::{Network, Proxy};
use spanferry_tests::fakes::wire::request_of;
use spanferry_tests::stack::http as client;
use spanferry_tests::stack::kafka::Kafka;
use spanferry_tests::stack::ports;
use spanferry_tests::stack::spanferry::Spanferry;
use spanferry_tests::stack::wait::eventually;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::JoinSet;

/// What the bridge is allowed to hold, in flight and in the log's queue, MiB each.
const HOLDS_MIB: u64 = 16;
/// A batch, and the senders at a time: four times that in all.
const BATCH_BYTES: usize = 1 << 20;
const SENDERS: u64 = 4 * HOLDS_MIB;
const BATCHES: u64 = 6;
/// A body, its records and what librdkafka makes of them are three copies; the rest is the process.
const BOUND_MIB: u64 = 3 * HOLDS_MIB + 64;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![Claim::new(
        "four_times_the_load_is_told_to_retry_and_memory_stays_within_its_bound",
        WHOLE_PATH,
        |ground| Box::pin(four_times_the_load_is_told_to_retry(ground)),
    )]
}

async fn four_times_the_load_is_told_to_retry(ground: &Ground) -> Result<()> {
    let directory = ground.directory("overload")?;
    let port = ports::free()?;
    let kafka = Kafka::start_behind(&directory, port).await?;
    let network = Proxy::start(port, kafka.address().parse()?).await?;
    let sink = Sink::start()?;
    let log = format!("kafka://{}/overload", network.address());
    let holds = format!("{HOLDS_MIB}MiB");
    let more = ["--max-bytes-in-flight", &holds, "--queue-bytes", &holds, "--ack-timeout", "2s"];
    let bridge = Spanferry::bridge(&directory, &log, &more).await?;
    bridge.ready().await?;
    let more = [&["--group", "overload"], &FORWARD[..]].concat();
    let forward = Spanferry::forward("forward", &directory, &log, &sink.grpc_url(), &more).await?;

    // Everybody comes while Kafka does not answer; then it does.
    network.be(Network::HoldAnswers);
    let address = bridge.http()?;
    let mut senders: JoinSet<Result<Told>> = JoinSet::new();
    (1..=SENDERS).for_each(|id| {
        senders.spawn(send(address, id));
    });
    tokio::time::sleep(Duration::from_secs(4)).await;
    network.be(Network::Open);
    let mut all = Told::default();
    while let Some(told) = senders.join_next().await {
        let told = told??;
        all.refused += told.refused;
        all.accepted.extend(told.accepted);
    }

    let peak = peak_memory_mib(bridge.id())?;
    println!(
        "{} batches accepted, {} refusals, {peak} MiB at most",
        all.accepted.len(),
        all.refused
    );
    ensure!(all.refused > 0, "it was no overload");
    ensure!(peak <= BOUND_MIB, "{peak} MiB of memory; the bound is {BOUND_MIB} MiB");
    let found = || sink.counts().into_keys().map(|(_, span)| span).collect::<BTreeSet<_>>();
    let arrived = async || Ok(all.accepted.is_subset(&found()).then_some(()));
    eventually("every accepted span at the sink", LIMIT, arrived).await?;
    ensure!(found() == all.accepted, "spans that nobody was told are accepted");
    forward.metrics().await?;
    Ok(())
}

#[derive(Default)]
struct Told {
    accepted: BTreeSet<String>,
    refused: u64,
}

/// Sends its batches, each until it is accepted; what is no 200 must say when to come again.
async fn send(bridge: SocketAddr, id: u64) -> Result<Told> {
    let mut told = Told::default();
    for batch in 1..=BATCHES {
        let number = (id << 16 | batch).to_be_bytes();
        let body = large(number);
        loop {
            let answer = client::answer(request(bridge, id, batch, body.clone())?).await?;
            if answer.status().is_success() {
                break;
            }
            told.refused += 1;
            let status = answer.status();
            let retryable = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
            ensure!(retryable.contains(&status), "{status}");
            let after = answer.headers().get("retry-after").context("no Retry-After")?;
            let seconds: u64 = after.to_str()?.parse()?;
            ensure!((1..60).contains(&seconds), "Retry-After: {seconds}");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        told.accepted.insert(hex::encode(number));
    }
    Ok(told)
}

fn request(bridge: SocketAddr, id: u64, batch: u64, body: Bytes) -> Result<Request<Full<Bytes>>> {
    let request = Request::post(format!("http://{bridge}/v1/traces"))
        .header("content-type", "application/x-protobuf")
        .header("x-spanferry-source", format!("overload-{id}"))
        .header("x-spanferry-sequence", batch);
    Ok(request.body(Full::new(body))?)
}

/// One span that nearly fills a record.
fn large(number: [u8; 8]) -> Bytes {
    let name = "overload".repeat(BATCH_BYTES * 9 / 10 / 8);
    let trace_id = [number, number].concat();
    let span = Span { trace_id, span_id: number.to_vec(), name, ..Span::default() };
    request_of(vec![span])
}

/// The most that was ever resident (`VmHWM` of proc(5)).
fn peak_memory_mib(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024)
}
