//! What cannot be read is set aside: its bytes are kept in the folder `set-aside`, its records are counted, and the rest
//! is served.

use super::block::Descriptor;
use super::directory::DATABASE;
use super::store::Store;
use super::topic::Topic;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::{SystemTime, UNIX_EPOCH};

const FOLDER: &str = "set-aside";

/// What a damaged block held.
#[derive(Debug, Clone, Copy)]
pub(super) struct Damage {
    /// Records that somebody still wanted.
    pub records: u64,
    /// Bytes on disk, about.
    pub bytes: u64,
    /// What its records weighed.
    pub weight: u64,
}

/// Passes over a block whose bytes are not those that were written: it is kept as a file and counted once, however often
/// it is met. Records below their partition's offset in `wanted` are no loss.
pub(super) fn set_aside(
    store: &Store,
    topic: &Topic,
    sequence: u64,
    block: &[u8],
    descriptor: &Descriptor,
    wanted: &[i64],
) {
    let records = descriptor.records_from(wanted);
    if records == 0 {
        return;
    }
    let damage = Damage { records, bytes: descriptor.disk_bytes, weight: descriptor.weight };
    let mut damaged = topic.damaged.lock().unwrap_or_else(PoisonError::into_inner);
    if damaged.insert(sequence, damage).is_some() {
        return;
    }
    let kept = store.folder().join(FOLDER).join(format!("{}-{sequence}.block", topic.name));
    let error = keep(&kept, block).err().map(|error| error.to_string());
    tracing::error!(
        log = %store.path(), topic = %topic.name, records, weight = descriptor.weight,
        partitions = ?descriptor.ranges, kept = %kept.display(), error,
        "a block is damaged: its records are set aside (partition, first offset, end), the rest is served"
    );
}

fn keep(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Moves the database of a directory that cannot be opened into the folder, so that a new one can begin. Gives its new
/// place and its bytes. Nobody may have the directory open.
pub fn set_file_aside(directory: &Path) -> io::Result<(PathBuf, u64)> {
    let folder = directory.join(FOLDER);
    fs::create_dir_all(&folder)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (from, to) = (directory.join(DATABASE), folder.join(format!("{}.redb", now.as_millis())));
    let bytes = fs::metadata(&from)?.len();
    fs::rename(&from, &to)?;
    for folder in [&folder, directory] {
        File::open(folder)?.sync_all()?;
    }
    Ok((to, bytes))
}
