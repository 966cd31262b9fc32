//! The dead letters and what an operator does with them: look, send again, let go.
//!
//! What is done with a letter is remembered in the offsets of the group `spanferry-dlq` on the topic of dead letters, as
//! a forwarder remembers what it delivered: the letters themselves stay as they are.

mod desk;
mod letter;
mod memory;
mod summary;
#[cfg(test)]
mod tests;

pub use desk::{Desk, DlqError, Done, Way};
pub use letter::{Letter, Number};
pub use memory::{Memory, State};
pub use summary::{SpanLine, Summary};

use crate::log::{Log, LogError, Scan, Standing, Stretch};

/// The group in whose offsets it is remembered what was done.
pub const GROUP: &str = "spanferry-dlq";

/// Every letter that the topic holds. `LogError::NoTopic` if there never was one.
pub async fn every(dead_letters: &dyn Log) -> Result<Box<dyn Scan>, LogError> {
    dead_letters.partitions().await?;
    let standing = dead_letters.standing(GROUP).await?;
    let whole = |standing: &Standing| Stretch {
        partition: standing.partition,
        offsets: standing.start..standing.end,
    };
    dead_letters.scan(standing.iter().map(whole).collect()).await
}
