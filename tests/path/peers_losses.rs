//! Where others lose or double spans (docs/proof.md says who and why): a kill between delivery and commit, rebalances under
//! load, an answer that is lost on its way.

use crate::harness::{Claim, Ground, WHOLE_PATH};
use crate::rig::{FORWARD, LIMIT};
use anyhow::{Result, ensure};
use http::{Request, StatusCode};
use http_body_util::Full;
use spanferry_tests::fakes::proxy::{Network, Proxy};
use spanferry_tests::fakes::{Behaviour, Sink};
use spanferry_tests::stack::http as client;
use spanferry_tests::stack::spanferry::Spanferry;
use spanferry_tests::stack::wait::eventually;
use spanferry_tests::torture::numbered::{Numbered, SPANS_A_BATCH};
use spanferry_tests::torture::senders::{Sender, Senders};
use spanferry_tests::torture::tally::Tally;
use std::net::SocketAddr;
use std::time::Duration;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![
        Claim::new(
            "a_kill_between_delivery_and_commit_repeats_what_was_in_flight_and_no_more",
            WHOLE_PATH,
            |ground| {
                Box::pin(a_kill_between_delivery_and_commit_repeats_what_was_in_flight(ground))
            },
        ),
        Claim::new("rebalances_under_load_lose_nothing_and_repeat_nothing", WHOLE_PATH, |ground| {
            Box::pin(rebalances_under_load_lose_nothing_and_repeat_nothing(ground))
        }),
        Claim::new("an_answer_that_is_lost_makes_no_duplicate", WHOLE_PATH, |ground| {
            Box::pin(an_answer_that_is_lost_makes_no_duplicate(ground))
        }),
    ]
}

/// A batch of a filter, sent once.
async fn post(bridge: SocketAddr, numbered: &Numbered, sequence: u64) -> Result<StatusCode> {
    let first = sequence * SPANS_A_BATCH;
    let request = Request::post(format!("http://{bridge}/v1/traces"))
        .header("content-type", "application/x-protobuf")
        .header("x-spanferry-source", "peers")
        .header("x-spanferry-sequence", sequence)
        .body(Full::from(numbered.batch(first..first + SPANS_A_BATCH)))?;
    Ok(client::exchange(request).await?.0)
}

/// The destination has taken everything, and none of its answers has come, when the forwarder is killed: nothing of it
/// is committed, so all of it comes again, and nothing else does.
async fn a_kill_between_delivery_and_commit_repeats_what_was_in_flight(
    ground: &Ground,
) -> Result<()> {
    let directory = ground.directory("between")?;
    let (sink, numbered) = (Sink::start()?, Numbered::from_now());
    let network = Proxy::start(0, sink.address()).await?;
    let log = format!("kafka://{}/between", ground.kafka().await?.address());
    let bridge = Spanferry::bridge(&directory, &log, &[]).await?;
    bridge.ready().await?;
    let more = [&["--group", "between", "--protocol", "grpc"], &FORWARD[..]].concat();
    let to = format!("http://{}", network.address());
    let mut forward = Spanferry::forward("forward", &directory, &log, &to, &more).await?;
    let bridge = bridge.http()?;
    let count = async |wanted: u64| {
        let probe = async || Ok((sink.counts().len() as u64 >= wanted).then_some(()));
        eventually(&format!("{wanted} spans at the sink"), LIMIT, probe).await
    };

    for sequence in 1..=20 {
        ensure!(post(bridge, &numbered, sequence).await?.is_success());
    }
    count(20 * SPANS_A_BATCH).await?;
    let no_lag = |now: &_| count_of(now, "spanferry_group_lag_records") == 0;
    forward.metrics_until("no lag", LIMIT, no_lag).await?;
    network.be(Network::HoldAnswers);
    ensure!(post(bridge, &numbered, 21).await?.is_success());
    count(21 * SPANS_A_BATCH).await?;
    let in_flight = sink.span_count() - 20 * SPANS_A_BATCH as usize;
    forward.kill();
    network.be(Network::Open);
    forward.restart().await?;
    for sequence in 22..=40 {
        ensure!(post(bridge, &numbered, sequence).await?.is_success());
    }
    count(40 * SPANS_A_BATCH).await?;
    forward.metrics_until("no lag", LIMIT, no_lag).await?;

    let repeats = sink.span_count() - sink.counts().len();
    println!("killed with {in_flight} spans in flight: {repeats} came twice");
    ensure!(repeats == in_flight, "{repeats} came twice, {in_flight} were in flight");
    Ok(())
}

/// A second forwarder comes and goes, and the first one too, each told to end, while everything is on the move.
async fn rebalances_under_load_lose_nothing_and_repeat_nothing(ground: &Ground) -> Result<()> {
    let directory = ground.directory("rebalances")?;
    let (sink, numbered) = (Sink::start()?, Numbered::from_now());
    sink.behave(Behaviour::Delay(Duration::from_millis(20)));
    let log = format!("kafka://{}/rebalances", ground.kafka().await?.address());
    let bridge = Spanferry::bridge(&directory, &log, &[]).await?;
    bridge.ready().await?;
    let more = [&["--group", "rebalances"], &FORWARD[..]].concat();
    let to = sink.grpc_url();
    let start = async |number: u64| {
        let name = format!("forward-{number}");
        Spanferry::forward(&name, &directory, &log, &to, &more).await
    };
    let mut forwarders = vec![start(0).await?];
    let bridges = vec![bridge.http()?];
    let sender = |id| Sender {
        id,
        is_filter: true,
        bridges: bridges.clone(),
        numbered,
        pause: Duration::from_millis(20),
    };
    let senders = Senders::start((1..=4).map(sender));

    for round in 1..=4 {
        forwarders.push(start(round).await?);
        both_work(&forwarders).await?;
        let status = forwarders.remove(0).terminate(LIMIT).await?;
        ensure!(status.success(), "{status}");
    }
    let accepted = senders.finish().await;
    let mut tally = Tally::new(numbered);
    let all = async || {
        tally.absorb(&sink.take_spans());
        Ok((tally.missing(&accepted) == 0).then_some(()))
    };
    eventually("every accepted span at the sink", LIMIT, all).await?;
    let no_lag = |now: &_| count_of(now, "spanferry_group_lag_records") == 0;
    forwarders[0].metrics_until("no lag", LIMIT, no_lag).await?;
    tally.absorb(&sink.take_spans());
    let sum = tally.sum(&accepted);
    println!("{} spans over 8 rebalances, {} came twice", sum.accepted, sum.duplicates);
    ensure!(sum.invented.is_empty() && sum.corrupt.is_empty(), "{sum:?}");
    ensure!(sum.duplicates == 0, "{} of {} spans came twice", sum.duplicates, sum.accepted);
    Ok(())
}

/// Until each of them has delivered something since now: both have partitions.
async fn both_work(forwarders: &[Spanferry]) -> Result<()> {
    for forwarder in forwarders {
        let sent = |now: &_| count_of(now, "spanferry_sent_spans_total");
        let before = sent(&forwarder.metrics().await?);
        forwarder.metrics_until("more spans sent", LIMIT, |now| sent(now) > before).await?;
    }
    Ok(())
}

/// The bridge has the spans, and its answer never comes: the filter sends them again, to it and to another bridge.
async fn an_answer_that_is_lost_makes_no_duplicate(ground: &Ground) -> Result<()> {
    let directory = ground.directory("lost-answer")?;
    let (sink, numbered) = (Sink::start()?, Numbered::from_now());
    let log = format!("kafka://{}/lost-answer", ground.kafka().await?.address());
    let arguments = |log| {
        let free = "127.0.0.1:0";
        ["bridge", "--log", log, "--listen-http", free, "--listen-grpc", free, "--admin", free]
    };
    let first = Spanferry::start("bridge-0", &directory, &arguments(&log)).await?;
    let second = Spanferry::start("bridge-1", &directory, &arguments(&log)).await?;
    first.ready().await?;
    second.ready().await?;
    let network = Proxy::start(0, first.http()?).await?;
    let more = [&["--group", "lost-answer"], &FORWARD[..]].concat();
    let forward = Spanferry::forward("forward", &directory, &log, &sink.grpc_url(), &more).await?;

    network.be(Network::LoseAnswers);
    for sequence in 1..=20 {
        let answer = post(network.address(), &numbered, sequence).await;
        ensure!(answer.is_err(), "batch {sequence} was answered: {answer:?}");
        let again = if sequence % 2 == 0 { first.http()? } else { second.http()? };
        ensure!(post(again, &numbered, sequence).await?.is_success());
    }
    ensure!(network.cut() == 20, "{} answers were lost", network.cut());

    let all = (20 * SPANS_A_BATCH) as usize;
    let probe = async || Ok((sink.counts().len() == all).then_some(()));
    eventually("every span at the sink", LIMIT, probe).await?;
    let no_lag = |now: &_| count_of(now, "spanferry_group_lag_records") == 0;
    forward.metrics_until("no lag", LIMIT, no_lag).await?;
    ensure!(sink.span_count() == all, "{} spans of {all}", sink.span_count());
    Ok(())
}

fn count_of(metrics: &spanferry_tests::stack::metrics::Metrics, name: &str) -> u64 {
    metrics.count(name)
}
