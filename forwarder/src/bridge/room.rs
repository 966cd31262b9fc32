//! The bound on bytes in flight: room is taken before a body is read, and given back when its batch is settled.

use super::refusal::Refusal;
use prometheus_client::metrics::gauge::Gauge;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All the room there is.
#[derive(Debug, Clone)]
pub struct Room {
    free: Arc<Semaphore>,
    limit: usize,
    taken: Gauge,
}

/// Room taken; given back when dropped.
#[derive(Debug)]
pub struct Taken {
    room: Room,
    permit: OwnedSemaphorePermit,
}

impl Room {
    /// Room for `limit` bytes; `taken` shows how many are in use.
    pub fn new(limit: usize, taken: Gauge) -> Self {
        let limit = limit.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        Self { free: Arc::new(Semaphore::new(limit)), limit, taken }
    }

    /// Takes room for `bytes`, or refuses at once.
    pub fn take(&self, bytes: usize) -> Result<Taken, Refusal> {
        let busy = Refusal::Busy { bytes, limit: self.limit };
        let wanted = u32::try_from(bytes).map_err(|_| busy.clone())?;
        let permit = self.free.clone().try_acquire_many_owned(wanted).map_err(|_| busy)?;
        self.taken.inc_by(i64::from(wanted));
        Ok(Taken { room: self.clone(), permit })
    }
}

impl Taken {
    /// Makes sure that there is room for `bytes` in all.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Refusal> {
        let more = bytes.saturating_sub(self.permit.num_permits());
        if more > 0 {
            let mut taken = self.room.take(more)?;
            // What is merged is given back by this one; the other one is left with nothing.
            if let Some(permits) = taken.permit.split(more) {
                self.permit.merge(permits);
            }
        }
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.taken.dec_by(self.permit.num_permits() as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_bounded_and_comes_back() {
        let shown = Gauge::default();
        let room = Room::new(100, shown.clone());
        let mut first = room.take(40).unwrap();
        assert!(room.take(61).is_err());
        first.grow_to(90).unwrap();
        assert_eq!(shown.get(), 90);
        assert!(first.grow_to(101).is_err());
        drop(first);
        assert_eq!(shown.get(), 0);
        assert!(room.take(100).is_ok());
    }
}
