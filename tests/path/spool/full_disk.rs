//! A disk that is really full: the spool is on a small file system of its own, with a stone in it that is taken out later.

use super::scene::{Scene, TRACES};
use crate::harness::Ground;
use anyhow::{Context, Result, ensure};
use http::StatusCode;
use spanferry_tests::stack::http as client;
use spanferry_tests::stack::tmpfs::Tmpfs;
use spanferry_tests::stack::wait::eventually;
use std::fs;
use std::time::Duration;

const DISK_BYTES: u64 = 5 << 20;
const STONE_BYTES: usize = 3 << 20;
/// It takes batches again as soon as it finds room.
const AGAIN: Duration = Duration::from_secs(20);

pub async fn a_disk_that_is_really_full_costs_no_span(ground: &Ground) -> Result<()> {
    let spool = ground.directory("spool-disk")?.join("spool");
    let disk = Tmpfs::mount(&spool, DISK_BYTES)?;
    let stone = spool.join("stone");
    fs::write(&stone, vec![7; STONE_BYTES])?;
    let mut scene = Scene::start(ground, "spool-disk", &[]).await?;
    let (number, refused) = scene.fill(100_000).await?;
    let said = String::from_utf8_lossy(refused.body()).into_owned();
    ensure!(said.contains("No space left on device"), "the system's own words: {said}");
    let metrics = scene.bridge.metrics().await?;
    let refused = "spanferry_refused_requests_total";
    ensure!(metrics.sum_where(refused, "reason=\"spool_failed\"") > 0.0, "{metrics:?}");

    let readyz = format!("http://{}/readyz", scene.bridge.admin()?);
    for _ in 0..3 {
        let (status, said) = client::get(&readyz).await?;
        let said = String::from_utf8_lossy(&said).into_owned();
        let is_told = said.contains("No space left on device");
        ensure!(status == StatusCode::SERVICE_UNAVAILABLE && is_told, "{status}: {said}");
    }

    fs::remove_file(&stone)?;
    scene.bridge.ready().await.context("ready again before any batch came")?;
    let taken = async || Ok((scene.send(number).await?.status() == StatusCode::OK).then_some(()));
    eventually("the bridge to take batches again", AGAIN, taken).await?;
    for more in 1..=20 {
        let status = scene.send(number + more).await?.status();
        ensure!(status == StatusCode::OK, "batch {more} after there is room: {status}");
    }
    println!("{number} batches until the disk was full, 21 after there was room");

    // What was answered with 200 on the full disk is there after a kill, too.
    scene.bridge.kill();
    scene.bridge.restart().await.context("a start on a disk that was full")?;
    let waiting = scene.waiting_spans().await?;
    ensure!(waiting == (number + 21) * TRACES, "{waiting} spans wait, of {} batches", number + 21);
    scene.kafka.restart().await?;
    scene.everything_arrives().await?;
    scene.the_topic_has_each_trace_in_order().await?;
    drop(scene);
    drop(disk);
    Ok(())
}
