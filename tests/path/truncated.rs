//! The proof that the proof can fail, at the end of the topic: the last records are cut off a partition's file while Kafka is
//! down, as a lost disk does it. No record stands behind them; the bridge knows that they were written.

use crate::harness::{Claim, Ground, Part};
use crate::ledger::{ledger, number};
use crate::lost::send;
use crate::rig::{FORWARD, LIMIT};
use anyhow::{Context, Result, ensure};
use spanferry_tests::fakes::Sink;
use spanferry_tests::stack::kafka::Kafka;
use spanferry_tests::stack::parts;
use spanferry_tests::stack::spanferry::Spanferry;
use spanferry_tests::stack::wait::eventually;
use std::fs;
use std::path::Path;

const NEEDS: &[Part] = &[parts::spanferry, parts::kafka_libs];
/// A trace, which is a record, has so many spans.
const SPANS: u64 = 3;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![Claim::new("the_ledger_says_how_many_spans_left_the_end_of_the_topic", NEEDS, |ground| {
        Box::pin(the_ledger_says_how_many_spans_left_the_end_of_the_topic(ground))
    })]
}

async fn the_ledger_says_how_many_spans_left_the_end_of_the_topic(ground: &Ground) -> Result<()> {
    let directory = ground.directory("truncated")?;
    let (sink, mut kafka) = (Sink::start()?, Kafka::start(&directory).await?);
    let log = format!("kafka://{}/truncated", kafka.address());
    let one = ["--topic-partitions", "1"];
    let mut bridge = Spanferry::bridge(&directory, &log, &one).await?;
    bridge.ready().await?;
    let url = format!("http://{}/v1/traces", bridge.http()?);
    let more = [&["--group", "truncated"], &FORWARD[..]].concat();
    let to = sink.grpc_url();
    let mut forward = Spanferry::forward("forward", &directory, &log, &to, &more).await?;
    let asked = ["--log", &log, "--group", "truncated"];
    send(&url, 1..=10).await?;
    let delivered = async || {
        let (holds, report) = ledger(&directory, &asked).await?;
        ensure!(holds, "nothing is lost yet: {report}");
        Ok((number(&report, "delivered") == 10 * SPANS).then_some(()))
    };
    eventually("ten records in the ledger", LIMIT, delivered).await?;
    forward.terminate(LIMIT).await?;

    // A bridge that has ended, and one in its place that has another writer, tell of no loss.
    bridge.terminate(LIMIT).await?;
    bridge.restart().await?;
    bridge.ready().await?;
    let admin = bridge.admin()?.to_string();
    let with_bridge = [&asked[..], &["--admin", &admin]].concat();
    let (holds, report) = ledger(&directory, &with_bridge).await?;
    ensure!(holds && number(&report, "accepted") == 10 * SPANS, "a new bridge: {report}");
    send(&url, 11..=15).await?;
    let (holds, report) = ledger(&directory, &with_bridge).await?;
    ensure!(holds && number(&report, "in_log") == 5 * SPANS, "all is there: {report}");

    kafka.kill();
    cut_off_from(&kafka.partition("truncated", 0), 13)?;
    kafka.restart().await?;
    let (holds, report) = ledger(&directory, &asked).await?;
    ensure!(holds && number(&report, "accepted") == 13 * SPANS, "the topic cannot tell: {report}");
    let (holds, report) = ledger(&directory, &with_bridge).await?;
    ensure!(!holds && number(&report, "lost") == 2 * SPANS, "two records were cut off: {report}");
    ensure!(number(&report, "lost_at_end") == 2 * SPANS, "{report}");
    ensure!(number(&report, "accepted") == 15 * SPANS, "{report}");
    ensure!(number(&report, "in_log") == 3 * SPANS, "{report}");
    Ok(())
}

/// Ends a partition's only segment before the batch with this offset. Kafka makes its indexes anew.
fn cut_off_from(partition: &Path, offset: u64) -> Result<()> {
    let segment = partition.join(format!("{:020}.log", 0));
    let bytes = fs::read(&segment).with_context(|| segment.display().to_string())?;
    let mut at = 0;
    // A batch begins with its first offset (8 bytes) and the length of what follows (4 bytes).
    while let Some((head, _)) = bytes[at..].split_first_chunk::<12>() {
        let (first, length) = head.split_at(8);
        if u64::from_be_bytes(first.try_into()?) >= offset {
            break;
        }
        at += head.len() + u32::from_be_bytes(length.try_into()?) as usize;
    }
    ensure!(at < bytes.len(), "no batch at or above offset {offset} in {}", segment.display());
    fs::File::options().write(true).open(&segment)?.set_len(at as u64)?;
    for index in ["index", "timeindex"] {
        fs::remove_file(segment.with_extension(index))?;
    }
    Ok(())
}
