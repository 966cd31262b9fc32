//! `spanferry ledger` on real Kafka: it adds up at every moment, and it says by number what was taken out of the topic and
//! what the destination let fall.

use crate::harness::{Claim, Ground, WHOLE_PATH};
use crate::lost::send;
use crate::rig::{FORWARD, LIMIT};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use spanferry_tests::fakes::{Behaviour, Sink};
use spanferry_tests::stack::kafka::Kafka;
use spanferry_tests::stack::spanferry::Spanferry;
use spanferry_tests::stack::wait::eventually;
use spanferry_tests::stack::{console, http};
use std::fs;
use std::path::Path;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![
        Claim::new("the_ledger_adds_up_at_every_moment", WHOLE_PATH, |ground| {
            Box::pin(the_ledger_adds_up_at_every_moment(ground))
        }),
        Claim::new("the_ledger_says_how_many_spans_left_the_topic", WHOLE_PATH, |ground| {
            Box::pin(the_ledger_says_how_many_spans_left_the_topic(ground))
        }),
        Claim::new(
            "the_ledger_says_how_many_spans_the_destination_let_fall",
            WHOLE_PATH,
            |ground| Box::pin(the_ledger_says_how_many_spans_the_destination_let_fall(ground)),
        ),
        Claim::new("a_running_all_in_one_shows_its_ledger", WHOLE_PATH, |ground| {
            Box::pin(a_running_all_in_one_shows_its_ledger(ground))
        }),
    ]
}

/// The command's answer as JSON, and whether its exit status was 0.
pub async fn ledger(directory: &Path, arguments: &[&str]) -> Result<(bool, Value)> {
    let arguments = [&["ledger", "--json"], arguments].concat();
    let (status, printed) = Spanferry::command(directory, &arguments).await?;
    let line = printed.lines().next().unwrap_or_default();
    let report = serde_json::from_str(line).with_context(|| printed.clone())?;
    ensure!(matches!(status.code(), Some(0 | 1)), "{status}: {printed}");
    Ok((status.success(), report))
}

/// A number of the report, over all sources.
pub fn number(report: &Value, name: &str) -> u64 {
    report["all"][name].as_u64().unwrap_or(u64::MAX)
}

async fn held(sink: &Sink, spans: usize) -> Result<()> {
    let probe = async || Ok((sink.span_count() >= spans).then_some(()));
    eventually(&format!("{spans} spans at the sink"), LIMIT, probe).await
}

/// Twenty records before, while and after the destination is away, over a kill -9 and a second forwarder.
async fn the_ledger_adds_up_at_every_moment(ground: &Ground) -> Result<()> {
    let directory = ground.directory("ledger")?;
    let (mut sink, kafka) = (Sink::start()?, ground.kafka().await?);
    let log = format!("kafka://{}/ledger", kafka.address());
    let bridge = Spanferry::bridge(&directory, &log, &[]).await?;
    bridge.ready().await?;
    let url = format!("http://{}/v1/traces", bridge.http()?);
    let asked = ["--log", &log, "--group", "ledger"];
    let more = [&["--group", "ledger"], &FORWARD[..]].concat();
    let to = sink.grpc_url();

    send(&url, 1..=10).await?;
    let (holds, report) = ledger(&directory, &asked).await?;
    ensure!(holds && number(&report, "in_log") == 30, "before any forwarder: {report}");
    let mut forward = Spanferry::forward("forward", &directory, &log, &to, &more).await?;
    held(&sink, 30).await?;
    sink.stop();
    send(&url, 11..=20).await?;
    let settled = async || {
        let (holds, report) = ledger(&directory, &asked).await?;
        ensure!(holds, "the sum does not hold: {report}");
        Ok((number(&report, "delivered") == 30).then_some(report))
    };
    let report = eventually("thirty spans in the ledger", LIMIT, settled).await?;
    ensure!(number(&report, "accepted") == 60 && number(&report, "in_log") == 30, "{report}");

    forward.kill();
    sink.restart()?;
    let second = Spanferry::forward("second", &directory, &log, &to, &more).await?;
    held(&sink, 60).await?;
    let all = async || {
        let (holds, report) = ledger(&directory, &asked).await?;
        ensure!(holds, "the sum does not hold: {report}");
        Ok((number(&report, "delivered") == 60).then_some(report))
    };
    eventually("sixty spans in the ledger of two forwarders", LIMIT, all).await?;
    let (_, answer) = http::get(&format!("http://{}/ledger", second.admin()?)).await?;
    let own: Value = serde_json::from_slice(&answer)?;
    ensure!(number(&own, "delivered") == 60 && own["holds"] == true, "{own}");
    Ok(())
}

async fn the_ledger_says_how_many_spans_left_the_topic(ground: &Ground) -> Result<()> {
    let directory = ground.directory("ledger-topic")?;
    let kafka = ground.kafka().await?;
    let log = format!("kafka://{}/ledger-topic", kafka.address());
    let bridge = Spanferry::bridge(&directory, &log, &["--topic-partitions", "1"]).await?;
    bridge.ready().await?;
    send(&format!("http://{}/v1/traces", bridge.http()?), 1..=10).await?;
    delete_below(kafka, &directory, "ledger-topic", 4).await?;
    // A group that has begun at the first record knows the difference between what is gone and what never was.
    let sink = Sink::start()?;
    sink.behave(Behaviour::Refuse(503));
    let asked = ["--log", &log, "--group", "ledger-topic"];
    let more = ["--group", "ledger-topic"];
    let forward = Spanferry::forward("forward", &directory, &log, &sink.grpc_url(), &more).await?;
    send(&format!("http://{}/v1/traces", bridge.http()?), 11..=12).await?;
    let (holds, report) = ledger(&directory, &asked).await?;
    // Nothing was ever forwarded: whether the first four were read by somebody is not ours to say.
    ensure!(holds && number(&report, "accepted") == 24, "{report}");

    sink.behave(Behaviour::Accept);
    held(&sink, 24).await?;
    let delivered = async || {
        let (_, report) = ledger(&directory, &asked).await?;
        Ok((number(&report, "delivered") == 24).then_some(()))
    };
    eventually("what is left is delivered", LIMIT, delivered).await?;
    drop(forward);
    send(&format!("http://{}/v1/traces", bridge.http()?), 13..=20).await?;
    delete_below(kafka, &directory, "ledger-topic", 15).await?;
    let (holds, report) = ledger(&directory, &asked).await?;
    ensure!(!holds, "a loss is a failure: {report}");
    ensure!(number(&report, "lost") == 9, "three records of three spans: {report}");
    ensure!(number(&report, "accepted") == 48 && number(&report, "in_log") == 15, "{report}");
    ensure!(report["faults"][0] == "9 spans are lost", "{report}");
    let known = [&asked[..], &["--known-lost", "9"]].concat();
    ensure!(ledger(&directory, &known).await?.0, "a loss that is known is no failure");

    // With nothing behind what retention took, no total tells of it: it is estimated.
    delete_below(kafka, &directory, "ledger-topic", 20).await?;
    let (holds, report) = ledger(&directory, &asked).await?;
    ensure!(!holds && number(&report, "lost") == 24, "eight records of three spans: {report}");
    ensure!(number(&report, "overrun") == 24 && number(&report, "accepted") == 48, "{report}");
    Ok(())
}

async fn delete_below(kafka: &Kafka, directory: &Path, topic: &str, offset: u32) -> Result<()> {
    let offsets = directory.join("delete.json");
    let place = format!(r#"{{"topic":"{topic}","partition":0,"offset":{offset}}}"#);
    fs::write(&offsets, format!(r#"{{"version":1,"partitions":[{place}]}}"#))?;
    let mut delete = kafka.tool("org.apache.kafka.tools.DeleteRecordsCommand", &[])?;
    delete.args(["--bootstrap-server", &kafka.address(), "--offset-json-file"]).arg(&offsets);
    console::run(delete, Vec::new()).await?;
    Ok(())
}

/// The sink answers 200 for one span that it does not keep: only its own count can tell.
async fn the_ledger_says_how_many_spans_the_destination_let_fall(ground: &Ground) -> Result<()> {
    let directory = ground.directory("ledger-sink")?;
    let (sink, kafka) = (Sink::start()?, ground.kafka().await?);
    let log = format!("kafka://{}/ledger-sink", kafka.address());
    let bridge = Spanferry::bridge(&directory, &log, &["--topic-partitions", "1"]).await?;
    bridge.ready().await?;
    let more = ["--group", "ledger-sink"];
    let _forward = Spanferry::forward("forward", &directory, &log, &sink.grpc_url(), &more).await?;
    let url = format!("http://{}/v1/traces", bridge.http()?);
    let asked = ["--log", &log, "--group", "ledger-sink"];
    let delivered = async |spans: u64| {
        let probe = async || {
            let (_, report) = ledger(&directory, &asked).await?;
            Ok((number(&report, "delivered") == spans).then_some(()))
        };
        eventually("the delivered spans in the ledger", LIMIT, probe).await
    };
    send(&url, 1..=5).await?;
    delivered(15).await?;
    sink.behave(Behaviour::LetFall(1));
    send(&url, 6..=6).await?;
    delivered(18).await?;
    ensure!(ledger(&directory, &asked).await?.0, "the log and the forwarder know nothing of it");
    let count = sink.span_count().to_string();
    let counted = [&asked[..], &["--at-destination", &count]].concat();
    let (holds, report) = ledger(&directory, &counted).await?;
    ensure!(!holds, "{report}");
    let fault = report["faults"][0].as_str().unwrap_or_default();
    ensure!(fault.starts_with("1 span is lost at the destination"), "{report}");
    Ok(())
}

async fn a_running_all_in_one_shows_its_ledger(ground: &Ground) -> Result<()> {
    let directory = ground.directory("ledger-one")?;
    let sink = Sink::start()?;
    let mut one = Spanferry::all_in_one(&directory, &sink.grpc_url(), &[]).await?;
    one.ready().await?;
    send(&format!("http://{}/v1/traces", one.http()?), 1..=4).await?;
    held(&sink, 12).await?;
    let admin = one.admin()?.to_string();
    let asked = ["--admin", &admin, "--sources"];
    let probe = async || {
        let (holds, report) = ledger(&directory, &asked).await?;
        ensure!(holds, "{report}");
        Ok((number(&report, "delivered") == 12).then_some(()))
    };
    eventually("twelve spans in the ledger", LIMIT, probe).await?;

    one.terminate(LIMIT).await?;
    let data = format!("dir:{}", directory.join("spanferry-data").display());
    let (holds, report) = ledger(&directory, &["--log", &data]).await?;
    ensure!(holds && number(&report, "delivered") == 12, "{report}");
    Ok(())
}
