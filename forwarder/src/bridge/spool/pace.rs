//! While the pump catches up, new batches come in at half the pace at which old ones go out, so that it does catch up
//! whatever the load. A batch is held up for a moment only: then it is taken all the same.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// A batch waits for so long at most.
const LONGEST: Duration = Duration::from_secs(1);
/// Room that is kept for a burst, bytes.
const BURST: usize = 1 << 20;

/// Bytes that may come in.
#[derive(Debug)]
pub struct Pace {
    is_kept: AtomicBool,
    room: Semaphore,
}

impl Pace {
    /// One that holds nobody up.
    pub fn new() -> Self {
        Self { is_kept: AtomicBool::new(false), room: Semaphore::new(0) }
    }

    /// From now on keeps the pace, or lets everything in.
    pub fn keep(&self, is_kept: bool) {
        self.is_kept.store(is_kept, Relaxed);
    }

    /// So many bytes went out.
    pub fn went_out(&self, bytes: usize) {
        if self.room.available_permits() < BURST {
            self.room.add_permits(bytes / 2);
        }
    }

    /// Waits for a batch's turn.
    pub async fn wait(&self, bytes: usize) {
        if !self.is_kept.load(Relaxed) {
            return;
        }
        let wanted = bytes.min(BURST) as u32;
        if let Ok(Ok(room)) = timeout(LONGEST, self.room.acquire_many(wanted)).await {
            room.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_until_twice_as_much_has_gone_out() {
        let pace = Pace::new();
        assert!(pace.wait(1_000).now_or_never().is_some(), "nobody keeps the pace");
        pace.keep(true);
        let mut waits = Box::pin(pace.wait(1_000));
        assert!(waits.as_mut().now_or_never().is_none());
        pace.went_out(1_998);
        assert!(waits.as_mut().now_or_never().is_none());
        pace.went_out(2);
        assert!(waits.as_mut().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_taken_in_the_end_though_nothing_goes_out() {
        let pace = Pace::new();
        pace.keep(true);
        pace.wait(usize::MAX).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_bounded() {
        let pace = Pace::new();
        for _ in 0..100 {
            pace.went_out(BURST);
        }
        assert!(pace.room.available_permits() < 2 * BURST);
    }
}
