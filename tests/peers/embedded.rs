//! The embedded log, which needs no Kafka: spans acknowledged a second when each answer waits for an fsync, beside what the disk
//! gives in the same round.

use crate::corpus::{Corpus, Recipe};
use crate::disk::{Probe, probe};
use crate::ground::Ground;
use crate::load::Protocol;
use crate::meter::Meter;
use crate::sides::Bridge;
use anyhow::{Context, Result};
use std::sync::Arc;
use std::time::Duration;

/// Blocks of the probe, bytes.
const BLOCKS: [usize; 3] = [64 << 10, 512 << 10, 4 << 20];
const PROBE: Duration = Duration::from_millis(700);

/// One round.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// Spans acknowledged a second.
    pub spans_a_second: f64,
    /// CPU time of the process a span, µs.
    pub cpu_us: f64,
    /// The most resident memory, MB (10⁶ bytes).
    pub peak_mb: f64,
    /// Bytes that the process had the kernel write to the disk, a span.
    pub disk_bytes: f64,
    /// The disk alone.
    pub probes: Vec<Probe>,
}

impl Round {
    /// Spans a second that the disk alone would take at its best size of block, if each span cost it as many bytes as here.
    pub fn disk_limit(&self) -> f64 {
        let speeds = self.probes.iter().map(Probe::bytes_a_second);
        speeds.fold(0.0, f64::max) / self.disk_bytes.max(1.0)
    }
}

/// What was sent, and all rounds.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// For a reader.
    pub name: String,
    /// By round.
    pub rounds: Vec<Round>,
}

/// Measures it over all rounds, each with a log of its own.
pub async fn measure(ground: &Ground, recipe: Recipe, spans: u64) -> Result<Measured> {
    let corpus = Arc::new(Corpus::make(recipe, ground.arguments.seed)?);
    let mut rounds = Vec::new();
    for round in 0..ground.arguments.rounds {
        eprintln!(
            "embedded log, {}: round {} of {}",
            recipe.name,
            round + 1,
            ground.arguments.rounds
        );
        rounds.push(turn(ground, &corpus, spans).await?);
    }
    Ok(Measured { name: recipe.name.into(), rounds })
}

async fn turn(ground: &Ground, corpus: &Arc<Corpus>, spans: u64) -> Result<Round> {
    let (directory, _) = ground.place("embedded")?;
    let log = format!("dir:{}", directory.join("log").display());
    let bridge = Bridge::own(ground, &log, &[]).await?;
    let extent = corpus.of_spans(spans);
    let load = ground.load(bridge.address(Protocol::Http)?, Protocol::Http, corpus, extent);
    let (meter, written) = (Meter::start(&[bridge.id()])?, written(bridge.id())?);
    let report = load.run().await?;
    let used = meter.read()?;
    let disk_bytes = (self::written(bridge.id())? - written) as f64 / extent.spans as f64;
    let spans_a_second = extent.spans as f64 / report.elapsed.as_secs_f64();
    let (cpu_us, peak_mb) = (used.cpu_us(extent.spans), used.peak_mb);
    drop(bridge);
    let probes = BLOCKS.iter().map(|block| probe(&directory, *block, PROBE));
    let probes = probes.collect::<Result<_>>()?;
    std::fs::remove_dir_all(&directory)?;
    Ok(Round { spans_a_second, cpu_us, peak_mb, disk_bytes, probes })
}

/// `write_bytes` of proc_pid_io.
fn written(process: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/io"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes:"));
    Ok(line.context("no write_bytes")?.trim().parse()?)
}
