//! A disk that fails on command, under the database, for tests.

use super::directory::Surroundings;
use super::platter::Platter;
use super::store::open_on;
use super::unsynced::Unsynced;
use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering::SeqCst};

/// What the disk does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Disk {
    Works,
    Full,
    FailsToSync,
    FailsToRead,
    ReadOnly,
}

/// Time and disk in the hands of a test.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hands {
    disk: Arc<AtomicU8>,
    now_ms: Arc<AtomicI64>,
    /// A disk in memory, instead of the file.
    platter: Option<Platter>,
}

impl Hands {
    /// Hands that hold a disk in memory, whose power may go.
    pub fn on(platter: &Platter) -> Self {
        Self { platter: Some(platter.clone()), ..Self::default() }
    }

    pub fn disk(&self, disk: Disk) {
        self.disk.store(disk as u8, SeqCst);
    }

    pub fn now_ms(&self) -> i64 {
        self.now_ms.load(SeqCst)
    }

    pub fn advance_ms(&self, ms: i64) {
        self.now_ms.fetch_add(ms, SeqCst);
    }

    pub(super) fn surroundings(&self) -> Surroundings {
        let (disk, now_ms) = (self.disk.clone(), self.now_ms.clone());
        let clock = Arc::new(move || now_ms.load(SeqCst));
        if let Some(platter) = &self.platter {
            return Surroundings { clock, ..platter.surroundings() };
        }
        let unsynced = Unsynced::default();
        Surroundings {
            clock,
            open_database: Box::new(move |path| {
                let mut options = File::options();
                let file = options.read(true).write(true).create(true).truncate(false);
                let file = FileBackend::new(file.open(path)?)?;
                open_on(Faulty { file, disk: disk.clone() }, &unsynced)
            }),
        }
    }
}

#[derive(Debug)]
struct Faulty {
    file: FileBackend,
    disk: Arc<AtomicU8>,
}

impl Faulty {
    fn check(&self, fault: Disk, code: i32) -> io::Result<()> {
        if self.disk.load(SeqCst) == fault as u8 {
            return Err(io::Error::from_raw_os_error(code));
        }
        Ok(())
    }
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;

impl StorageBackend for Faulty {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.check(Disk::FailsToRead, EIO)?;
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check(Disk::Full, ENOSPC)?;
        self.check(Disk::ReadOnly, EROFS)?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check(Disk::FailsToSync, EIO)?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check(Disk::Full, ENOSPC)?;
        self.check(Disk::ReadOnly, EROFS)?;
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
