//! A disk in memory that does what a disk may do when the power goes, or a sync fails: what was not synced is there, or
//! not, or in part.

use super::directory::Surroundings;
use super::store::open_on;
use super::unsynced::Unsynced;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redb::{BackendError, StorageBackend};
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A disk writes a sector wholly or not at all.
const SECTOR: usize = 512;

/// A disk that a test holds in its hands. What a process sees of it ends with a crash.
#[derive(Debug, Clone)]
pub(crate) struct Platter(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    chance: StdRng,
    /// What survives.
    durable: Vec<u8>,
    /// What the process sees.
    current: Vec<u8>,
    /// Since the last sync, in order.
    unsynced: Vec<Change>,
    /// So many more writes, resizes and syncs until the power goes.
    left: Option<u64>,
    is_off: bool,
    /// Each access fails once in so many times.
    fails_one_in: Option<u32>,
    failures: u64,
}

#[derive(Debug)]
enum Change {
    Length(usize),
    Write(usize, Vec<u8>),
}

impl Platter {
    /// An empty disk.
    pub fn of(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            chance: StdRng::seed_from_u64(seed),
            durable: Vec::new(),
            current: Vec::new(),
            unsynced: Vec::new(),
            left: None,
            is_off: false,
            fails_one_in: None,
            failures: 0,
        })))
    }

    /// The power goes at one of the next accesses; each access may fail before that, with EIO or ENOSPC.
    pub fn go_off_within(&self, accesses: u64, fails_one_in: Option<u32>) {
        let mut state = self.lock();
        let left = state.chance.random_range(0..accesses);
        (state.left, state.fails_one_in) = (Some(left), fails_one_in);
    }

    /// The power goes now.
    pub fn go_off(&self) {
        self.lock().is_off = true;
    }

    /// Whether the power went.
    pub fn is_off(&self) -> bool {
        self.lock().is_off
    }

    /// Power off now, and on again: this is what the next process finds.
    pub fn turn_on_again(&self) {
        let mut state = self.lock();
        let lost = std::mem::take(&mut state.unsynced);
        for change in lost {
            state.survive(&change);
        }
        state.current = state.durable.clone();
        (state.left, state.is_off, state.fails_one_in) = (None, false, None);
    }

    /// Whether an access may fail although the power is on.
    pub fn fails(&self) -> bool {
        self.lock().fails_one_in.is_some()
    }

    /// Accesses that failed although the power was on.
    pub fn failures(&self) -> u64 {
        self.lock().failures
    }

    /// For a log on this disk.
    pub(super) fn surroundings(&self) -> Surroundings {
        let (platter, unsynced) = (self.clone(), Unsynced::default());
        Surroundings {
            open_database: Box::new(move |path| {
                // The name alone is a file's.
                File::create(path)?;
                open_on(platter.clone(), &unsynced)
            }),
            ..Surroundings::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Before a change: the power may go, or the access may fail.
    fn step(&mut self) -> io::Result<()> {
        if self.is_off {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        if self.left == Some(0) {
            self.is_off = true;
            return Err(io::Error::from_raw_os_error(EIO));
        }
        self.left = self.left.map(|left| left - 1);
        if let Some(times) = self.fails_one_in
            && self.chance.random_range(0..times) == 0
        {
            self.failures += 1;
            let code = if self.chance.random() { EIO } else { ENOSPC };
            return Err(io::Error::from_raw_os_error(code));
        }
        Ok(())
    }

    fn apply(&mut self, change: Change) {
        change.to(&mut self.current, |_| true);
        self.unsynced.push(change);
    }

    /// Of a change that was not synced: all, nothing, or any of its sectors.
    fn survive(&mut self, change: &Change) {
        let chance = &mut self.chance;
        match chance.random_range(0..3) {
            0 => {}
            1 => change.to(&mut self.durable, |_| true),
            _ => change.to(&mut self.durable, |_| chance.random()),
        }
    }
}

impl Change {
    fn to(&self, bytes: &mut Vec<u8>, mut is_kept: impl FnMut(usize) -> bool) {
        match self {
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Write(offset, data) => {
                // A file grows by a write beyond its end.
                bytes.resize(bytes.len().max(offset + data.len()), 0);
                for (sector, part) in data.chunks(SECTOR).enumerate() {
                    if is_kept(sector) {
                        let at = offset + sector * SECTOR;
                        bytes[at..at + part.len()].copy_from_slice(part);
                    }
                }
            }
        }
    }
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

impl StorageBackend for Platter {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.lock();
        if state.is_off {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let from = offset as usize;
        let found = state.current.get(from..from + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.lock();
        state.step()?;
        state.apply(Change::Length(len as usize));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.lock();
        if let Err(error) = state.step() {
            if !state.is_off {
                // As Linux does it: what could not be written counts as clean, and is never written again.
                let lost = std::mem::take(&mut state.unsynced);
                lost.iter().for_each(|change| state.survive(change));
            }
            return Err(error);
        }
        let synced = std::mem::take(&mut state.unsynced);
        synced.iter().for_each(|change| change.to(&mut state.durable, |_| true));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        let gone = state.step();
        let change = Change::Write(offset as usize, data.to_vec());
        if gone.is_err() {
            // Some of it may reach the disk all the same.
            state.unsynced.push(change);
            return gone;
        }
        state.apply(change);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }
}
