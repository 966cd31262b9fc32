//! `spanferry dlq` on real Kafka: what the destination refused is listed and shown, goes again when it may, and is
//! remembered as done.

use crate::harness::{Claim, Ground, WHOLE_PATH};
use crate::lost::send;
use crate::rig::LIMIT;
use anyhow::{Result, ensure};
use spanferry_tests::fakes::{Behaviour, Sink};
use spanferry_tests::stack::spanferry::Spanferry;
use spanferry_tests::stack::wait::eventually;
use std::path::Path;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![Claim::new("dead_letters_are_listed_replayed_and_discarded", WHOLE_PATH, |ground| {
        Box::pin(dead_letters_are_listed_replayed_and_discarded(ground))
    })]
}

async fn dlq(directory: &Path, arguments: &[&str]) -> Result<String> {
    let arguments = [&["dlq"], arguments].concat();
    let (status, printed) = Spanferry::command(directory, &arguments).await?;
    ensure!(status.success(), "{arguments:?}: {status}: {printed}");
    Ok(printed)
}

async fn dead_letters_are_listed_replayed_and_discarded(ground: &Ground) -> Result<()> {
    let directory = ground.directory("dlq")?;
    let (sink, kafka) = (Sink::start()?, ground.kafka().await?);
    let log = format!("kafka://{}/dlq", kafka.address());
    let bridge = Spanferry::bridge(&directory, &log, &[]).await?;
    bridge.ready().await?;
    let none = dlq(&directory, &["list", "--log", &log]).await?;
    ensure!(none == "no dead letters to list\n", "{none}");

    sink.behave(Behaviour::Refuse(400));
    let more = ["--group", "dlq"];
    let forward = Spanferry::forward("forward", &directory, &log, &sink.grpc_url(), &more).await?;
    send(&format!("http://{}/v1/traces", bridge.http()?), 1..=4).await?;
    let refused = |metrics: &spanferry_tests::stack::metrics::Metrics| {
        metrics.count("spanferry_dead_lettered_spans") == 12
    };
    forward.metrics_until("twelve spans in dead letters", LIMIT, refused).await?;

    let list = dlq(&directory, &["list", "--log", &log]).await?;
    ensure!(list.lines().count() == 4 && list.contains("refused"), "{list}");
    ensure!(list.contains("3 spans") && list.contains("open"), "{list}");
    let shown = dlq(&directory, &["show", "0", "--log", &log]).await?;
    ensure!(shown.matches("        span ").count() == 3, "{shown}");
    ensure!(shown.contains("spanferry.dlq.reason"), "{shown}");

    dlq(&directory, &["discard", "1", "--log", &log]).await?;
    sink.behave(Behaviour::Accept);
    dlq(&directory, &["replay", "3", "--to", &sink.http_url(), "--log", &log]).await?;
    ensure!(sink.span_count() == 3, "a letter went straight to the destination");
    let replayed = dlq(&directory, &["replay", "--all", "--log", &log]).await?;
    ensure!(replayed.lines().count() == 2, "two were open: {replayed}");
    let probe = async || Ok((sink.span_count() == 9).then_some(()));
    eventually("the replayed letters at the sink", LIMIT, probe).await?;
    let none = dlq(&directory, &["list", "--log", &log]).await?;
    ensure!(none == "no dead letters to list\n", "all are done: {none}");
    let all = dlq(&directory, &["list", "--all", "--log", &log]).await?;
    ensure!(all.lines().count() == 4 && !all.contains("open"), "{all}");

    let asked = ["ledger", "--log", &log, "--group", "dlq", "--sources"];
    let (status, printed) = Spanferry::command(&directory, &asked).await?;
    let equation =
        "accepted 18 = delivered 6 + dead-lettered 12 + suppressed 0 + waiting 0, lost 0";
    ensure!(status.success() && printed.contains(equation), "{printed}");
    Ok(())
}
