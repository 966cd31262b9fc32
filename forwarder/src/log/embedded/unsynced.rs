//! What a failed sync leaves in doubt, and how it comes to the disk all the same.
//!
//! When a sync fails, Linux counts the pages that it could not write as clean: they are read as if they were stored, the
//! next sync succeeds, and they are not on the disk (fsync(2), "errors"; PostgreSQL's "fsyncgate" of 2018). A database
//! that is opened again would build on them. So the places written since the last good sync are remembered, and after a
//! failure they are written again before anybody is told what the file holds. A process that is killed between the two
//! knows nothing of it: then what the disk has, after a loss of power too, is what the kernel managed to write.

use redb::{BackendError, StorageBackend};
use std::io;
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The database's first page says which pages count: it is written after them.
const HEADER_BYTES: u64 = 4096;
/// Places remembered, at most; beyond it the whole file is written again.
const MAX_PLACES: usize = 10_000;
const CHUNK_BYTES: u64 = 1 << 20;

/// Of one file, over all its openings.
#[derive(Debug, Clone, Default)]
pub(super) struct Unsynced(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    places: Vec<Range<u64>>,
    has_failed: bool,
}

impl Unsynced {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn written(&mut self, place: Range<u64>) {
        if self.places.len() == MAX_PLACES {
            let end = self.places.iter().map(|place| place.end).max().unwrap_or(0);
            self.places.clear();
            self.places.push(0..end);
        }
        self.places.push(place);
    }
}

/// A file whose writes are remembered until they are synced.
#[derive(Debug)]
pub(super) struct Remembering<B> {
    file: B,
    unsynced: Unsynced,
}

impl<B: StorageBackend> Remembering<B> {
    /// Opens it; after a failed sync, writes again what was in doubt.
    pub fn open(file: B, unsynced: &Unsynced) -> io::Result<Self> {
        let mut state = unsynced.lock();
        if state.has_failed {
            write_again(&file, &state.places)?;
            *state = State::default();
        }
        drop(state);
        Ok(Self { file, unsynced: unsynced.clone() })
    }
}

/// All places but the header, then the header, each synced.
fn write_again(file: &impl StorageBackend, places: &[Range<u64>]) -> io::Result<()> {
    let length = file.len()?;
    file.set_len(length)?;
    for place in places {
        copy(file, place.start.max(HEADER_BYTES)..place.end.min(length))?;
    }
    file.sync_data()?;
    copy(file, 0..HEADER_BYTES.min(length))?;
    file.sync_data()
}

/// Writes what is read there.
fn copy(file: &impl StorageBackend, place: Range<u64>) -> io::Result<()> {
    let mut at = place.start;
    while at < place.end {
        let mut bytes = vec![0; (place.end - at).min(CHUNK_BYTES) as usize];
        file.read(at, &mut bytes)?;
        file.write(at, &bytes)?;
        at += bytes.len() as u64;
    }
    Ok(())
}

impl<B: StorageBackend> StorageBackend for Remembering<B> {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        // Held meanwhile: a write beside it is not of this sync.
        let mut state = self.unsynced.lock();
        match self.file.sync_data() {
            Ok(()) => {
                state.places.clear();
                Ok(())
            }
            Err(error) => {
                state.has_failed = true;
                Err(error)
            }
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.unsynced.lock().written(offset..offset + data.len() as u64);
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}
