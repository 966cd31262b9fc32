//! The proof that the proof can fail, in the spool: entries taken out behind the bridge's back are lost by number.

use super::scene::{Scene, TRACES};
use crate::harness::Ground;
use crate::ledger::{ledger, number};
use crate::rig::LIMIT;
use anyhow::{Result, ensure};
use http::StatusCode;
use redb::{Database, TableDefinition};
use spanferry_tests::stack::metrics::Metrics;
use spanferry_tests::stack::wait::eventually;
use std::path::Path;

const BATCHES: u64 = 10;
/// The entries that are taken; each batch was sent after the answer to the one before, and so has a block of its own.
const TAKEN: [u64; 2] = [4, 5];

pub async fn the_ledger_says_how_many_spans_left_the_spool(ground: &Ground) -> Result<()> {
    let mut scene = Scene::start(ground, "spool-taken", &[]).await?;
    for batch in 0..BATCHES {
        let status = scene.send(batch).await?.status();
        ensure!(status == StatusCode::OK, "batch {batch}: {status}");
    }
    scene.bridge.kill();
    take_out(&scene.spool().join("log.redb"))?;

    scene.bridge.restart().await?;
    scene.kafka.restart().await?;
    scene.start_forwarder().await?;
    let is_drained = |metrics: &Metrics| metrics.count("spanferry_spool_queue_size_spans") == 0;
    scene.bridge.metrics_until("an empty spool", LIMIT, is_drained).await?;
    let left = (BATCHES - TAKEN.len() as u64) * TRACES;
    let (log, group) = scene.log_and_group();
    let admin = scene.bridge.admin()?.to_string();
    let asked = ["--log", &log, "--group", &group, "--admin", &admin];
    let delivered = async || {
        let (holds, report) = ledger(ground.directory("spool-taken")?.as_path(), &asked).await?;
        Ok((number(&report, "delivered") == left).then_some((holds, report)))
    };
    let (holds, report) = eventually("what is left is delivered", LIMIT, delivered).await?;
    let taken = TAKEN.len() as u64 * TRACES;
    ensure!(!holds && number(&report, "lost") == taken, "{taken} spans were taken: {report}");
    ensure!(number(&report, "accepted") == BATCHES * TRACES, "{report}");
    Ok(())
}

/// Removes the blocks and what the index says of them, as if they had never been.
fn take_out(file: &Path) -> Result<()> {
    let write = Database::open(file)?.begin_write()?;
    for table in ["blocks.spool", "index.spool"] {
        let mut table = write.open_table(TableDefinition::<u64, &[u8]>::new(table))?;
        for block in TAKEN {
            ensure!(table.remove(block)?.is_some(), "no block {block}");
        }
    }
    write.commit()?;
    Ok(())
}
