//! How two sides are compared that have a capacity and a latency: half of what the slower one takes is the rate at which the
//! latency of both is measured, in every round behind their capacity.

use crate::figures::{SIDES, Side, Slice};
use crate::ground::Ground;
use anyhow::{Context, Result};

/// One side, running.
pub trait Way {
    /// As fast as it goes: everything but latency.
    async fn saturate(&self, ground: &Ground, spans: u64) -> Result<Slice>;

    /// At this many requests a second: adds the latency.
    async fn pace(&self, ground: &Ground, rate: f64, slice: &mut Slice) -> Result<()>;
}

/// Starts both sides.
pub async fn both<W>(start: impl AsyncFn(Side) -> Result<W>) -> Result<[W; SIDES.len()]> {
    let one = async |side: Side| start(side).await.with_context(|| side.name());
    Ok([one(SIDES[0]).await?, one(SIDES[1]).await?])
}

/// The rate, requests a second, and the rounds. One turn of each before them warms up and finds the rate.
pub async fn paced_rounds<W: Way>(
    ground: &Ground,
    name: &str,
    ways: &[W; SIDES.len()],
    spans: u64,
) -> Result<(f64, Vec<[Slice; SIDES.len()]>)> {
    let mut slowest = f64::INFINITY;
    for way in ways {
        slowest = slowest.min(way.saturate(ground, spans).await?.requests_a_second);
    }
    let rate = slowest / 2.0;
    let turn = async |side: Side| {
        let way = &ways[side as usize];
        let mut slice = way.saturate(ground, spans).await?;
        way.pace(ground, rate, &mut slice).await?;
        Ok(slice)
    };
    Ok((rate, ground.rounds(name, turn).await?))
}
