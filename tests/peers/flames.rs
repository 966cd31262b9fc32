//! Where Spanferry's own time goes: bridge and forwarder under `perf` while they work as fast as they go, each as a flame graph.

mod recording;
mod stacks;
mod svg;

use crate::bridges::Stage;
use crate::corpus::{Corpus, FIVE};
use crate::figures::Side;
use crate::forwarders::Backlog;
use crate::ground::Ground;
use crate::load::Protocol;
use crate::records::Records;
use crate::sides::Forwarder;
use crate::sink::Sink;
use crate::turns::Way;
use anyhow::{Context, Result};
use recording::Recording;
use std::sync::Arc;

/// A flame graph and its file's name.
pub type Drawn = (&'static str, String);

/// Records both roles with five spans a trace and a record a trace.
pub async fn draw(ground: &Ground) -> Result<Vec<Drawn>> {
    Ok(vec![
        ("paths-bridge.svg", bridge(ground).await.context("the bridge")?),
        ("paths-forwarder.svg", forwarder(ground).await.context("the forwarder")?),
    ])
}

/// Once without being watched first, so that what happens only at the beginning is not in it.
async fn bridge(ground: &Ground) -> Result<String> {
    let (records, spans) = (Records::of_traces(FIVE), ground.arguments.spans);
    let corpus = Arc::new(Corpus::make(FIVE, ground.arguments.seed)?);
    let stage = Stage::start(ground, Side::Spanferry, records, corpus, Protocol::Http).await?;
    stage.saturate(ground, spans).await?;
    let recording = Recording::start(&ground.place("perf")?.0, stage.bridge.id()).await?;
    stage.saturate(ground, spans).await?;
    let title = format!("spanferry bridge: {}, OTLP/HTTP, a record a trace, lz4", records.name());
    Ok(svg::draw(&title, &recording.end().await?))
}

/// From its start, which is a small part of a backlog's time.
async fn forwarder(ground: &Ground) -> Result<String> {
    let records = Records::of_traces(FIVE);
    // A million are gone before perf has begun.
    let spans = 4 * ground.arguments.backlog;
    let (backlog, _) = Backlog::fill(ground, records, spans).await?;
    let sink = Sink::start()?;
    sink.await_load(backlog.first, &backlog.corpus, &backlog.extent);
    let (_, group) = ground.place("group")?;
    let from = (&backlog.topic, records);
    let to = (Protocol::Grpc, sink.address());
    let own = Forwarder::start(ground, Side::Spanferry, from, &group, to).await?;
    let recording = Recording::start(&ground.place("perf")?.0, own.id()).await?;
    let all = backlog.extent.requests;
    sink.until("the last span", |seen| seen.whole == all).await?;
    let title = format!("spanferry forward: {}, records of a trace, OTLP/gRPC", records.name());
    Ok(svg::draw(&title, &recording.end().await?))
}
