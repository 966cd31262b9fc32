//! The proof machine: real processes, real disk, real Kafka, and every fault that can be had, drawn from a printed seed.
//! Each span carries its number; at the end every span that was accepted is in the destination byte for byte, what came
//! twice is counted, and nothing is there that nobody sent.
//!
//! `plan` (how long, which seed) → `stage` (what runs) → `storm` (what is done to it, by `torment` and `weather`) while
//! `senders` send, `front` is an Envoy before it, and `watch` and `books` sample → `verdict` (what came of it, with what the
//! `witness` saw of Envoy's spans and the `tally` of all that arrived).

mod books;
mod front;
pub mod numbered;
pub mod plan;
pub mod senders;
mod settle;
mod stage;
mod storm;
pub mod tally;
mod torment;
pub mod verdict;
mod watch;
mod weather;
pub mod witness;

use anyhow::Result;
use plan::Plan;
use std::path::Path;
use verdict::Verdict;

/// Runs a storm and says what came of it; files go to `directory`. An error means that the machine itself failed: a part
/// did not come back.
pub async fn run(directory: &Path, plan: &Plan) -> Result<Verdict> {
    let stage = stage::Stage::start(directory, plan).await?;
    let (stage, storm) = storm::rage(stage, plan).await?;
    verdict::of(stage, storm, plan).await
}
