//! The database file: its tables and keys, opening it, and opening it anew after the disk failed.
//!
//! | table | key | value |
//! |---|---|---|
//! | `format` | `version` | the number of this layout |
//! | `topics` | topic | its number of partitions |
//! | `partitions` | topic, partition | oldest offset held, next offset |
//! | `groups` | topic, group | nothing: the group is known |
//! | `positions` | topic, group, partition | committed offset, metadata |
//! | `trial` | nothing | as many bytes as a large batch; there for a moment, while a disk that failed is tried |
//! | `blocks.TOPIC` | sequence | a block of records |
//! | `index.TOPIC` | sequence | that block's descriptor |

use super::block::Descriptor;
use super::unsynced::{Remembering, Unsynced};
use crate::log::LogError;
use redb::backends::FileBackend;
use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend,
    StorageError, TableDefinition, TableError, WriteTransaction,
};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

/// The number of the layout above; another one is not read.
const VERSION: u64 = 2;

/// What the database keeps in memory.
const CACHE_BYTES: usize = 16 << 20;

pub(super) const FORMAT: TableDefinition<&str, u64> = TableDefinition::new("format");
pub(super) const TOPICS: TableDefinition<&str, u32> = TableDefinition::new("topics");
pub(super) const PARTITIONS: TableDefinition<(&str, u32), (i64, i64)> =
    TableDefinition::new("partitions");
pub(super) const GROUPS: TableDefinition<(&str, &str), ()> = TableDefinition::new("groups");
pub(super) const POSITIONS: TableDefinition<(&str, &str, u32), (i64, &str)> =
    TableDefinition::new("positions");

/// There only while a disk that failed is tried.
pub(super) const TRIAL: TableDefinition<(), &[u8]> = TableDefinition::new("trial");

/// A table of blocks or of descriptors.
pub(super) type Sequence<'a> = TableDefinition<'a, u64, &'static [u8]>;

/// Names of a topic's two tables.
#[derive(Debug, Clone)]
pub(super) struct TopicTables {
    blocks: String,
    index: String,
}

impl TopicTables {
    pub fn new(topic: &str) -> Self {
        Self { blocks: format!("blocks.{topic}"), index: format!("index.{topic}") }
    }

    pub fn blocks(&self) -> Sequence<'_> {
        TableDefinition::new(&self.blocks)
    }

    pub fn index(&self) -> Sequence<'_> {
        TableDefinition::new(&self.index)
    }
}

/// What a failed access says. It ends the access and nothing else.
#[derive(Debug)]
pub(super) struct Fault(pub redb::Error);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl Fault {
    /// Of something stored that makes no sense.
    pub fn corrupted(what: impl Into<String>) -> Self {
        Self(redb::Error::Corrupted(what.into()))
    }
}

/// Opens (or makes) the database file; a test puts a failing disk under it.
pub(super) type OpenDatabase = dyn Fn(&Path) -> Result<Database, DatabaseError> + Send + Sync;

/// How a database is opened when nothing is to fail.
pub(super) fn open_file(path: &Path, unsynced: &Unsynced) -> Result<Database, DatabaseError> {
    let mut options = File::options();
    let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
    open_on(FileBackend::new(file)?, unsynced)
}

/// Opens what is in a file, or begins in an empty one.
pub(super) fn open_on(
    file: impl StorageBackend,
    unsynced: &Unsynced,
) -> Result<Database, DatabaseError> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder.create_with_backend(Remembering::open(file, unsynced)?)
}

/// The open database.
pub(super) struct Store {
    path: PathBuf,
    open: Box<OpenDatabase>,
    /// `None` between a failure and the next successful opening, and once closed.
    database: RwLock<Option<Database>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the file and makes its tables.
    pub fn open(path: PathBuf, open: Box<OpenDatabase>) -> Result<Self, LogError> {
        let mut store = Self { path, open, database: RwLock::new(None) };
        store.make_file()?;
        store.open_again()?;
        Ok(store)
    }

    /// Makes a missing file under another name first: a crash in the middle leaves none that cannot be opened.
    fn make_file(&mut self) -> Result<(), LogError> {
        if self.path.exists() {
            return Ok(());
        }
        let path = self.path.clone();
        self.path = path.with_extension("new");
        let failed = |error: std::io::Error| LogError::Unavailable {
            what: path.display().to_string(),
            detail: error.to_string(),
        };
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        self.open_again()?;
        self.close();
        if self.path.exists() {
            fs::rename(&self.path, &path).map_err(failed)?;
        }
        self.path = path;
        Ok(())
    }

    /// Closes the database and opens it anew: after a failed access it serves no other.
    pub fn open_again(&self) -> Result<(), LogError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        let failed = database.take();
        let opened = catch_unwind(AssertUnwindSafe(|| {
            drop(failed);
            let database = (self.open)(&self.path).map_err(|error| self.explain_open(error))?;
            make_tables(&database).map_err(|fault| self.explain(fault))?;
            self.check_layout(&database)?;
            Ok(database)
        }));
        let opened = opened.unwrap_or_else(|_| Err(self.damaged("its pages make no sense")))?;
        *database = Some(opened);
        Ok(())
    }

    /// Closes the file, whoever still holds this; reads that run fail.
    pub fn close(&self) {
        let database = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(database) = database {
            // What was acknowledged is on disk already; a failure costs a check at the next opening.
            if catch_unwind(AssertUnwindSafe(|| drop(database))).is_err() {
                tracing::warn!(path = %self.path.display(), "the log was not closed cleanly");
            }
        }
    }

    /// A view of all that is committed; does not hold up the writer.
    pub fn read(&self) -> Result<ReadTransaction, Fault> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        Ok(database.as_ref().ok_or(StorageError::DatabaseClosed)?.begin_read()?)
    }

    /// Runs `work` and commits with fsync; all of it is there afterwards, or none.
    pub fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let transaction = database.as_ref().ok_or(StorageError::DatabaseClosed)?.begin_write()?;
        let result = work(&transaction)?;
        transaction.commit()?;
        Ok(result)
    }

    /// The directory of the file.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// The file, for messages.
    pub fn path(&self) -> String {
        self.path.display().to_string()
    }

    /// A fault in the words of the log.
    pub fn explain(&self, fault: Fault) -> LogError {
        match fault.0 {
            redb::Error::Corrupted(detail) => self.damaged(&detail),
            redb::Error::Io(error) if error.kind() == ErrorKind::PermissionDenied => {
                LogError::Fatal { what: self.path(), detail: error.to_string() }
            }
            error => LogError::Unavailable { what: self.path(), detail: error.to_string() },
        }
    }

    /// Another program's layout is sound, but nothing for this one: it is left alone.
    fn check_layout(&self, database: &Database) -> Result<(), LogError> {
        let version = || -> Result<Option<u64>, Fault> {
            let format = database.begin_read()?.open_table(FORMAT)?;
            Ok(format.get("version")?.map(|version| version.value()))
        };
        match version().map_err(|fault| self.explain(fault))? {
            Some(VERSION) => Ok(()),
            other => Err(LogError::Fatal {
                what: self.path(),
                detail: format!("layout {other:?}, and this program knows {VERSION}"),
            }),
        }
    }

    fn explain_open(&self, error: DatabaseError) -> LogError {
        match error {
            DatabaseError::DatabaseAlreadyOpen => LogError::InUse { path: self.path() },
            DatabaseError::Storage(StorageError::Io(error))
                if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
            {
                self.damaged(&error.to_string())
            }
            DatabaseError::UpgradeRequired(_) | DatabaseError::RepairAborted => {
                self.damaged(&error.to_string())
            }
            error => self.explain(error.into()),
        }
    }

    /// The error for a file that makes no sense.
    pub fn damaged(&self, found: &str) -> LogError {
        let detail = format!("{found}; move it away to begin anew, and keep it: it holds records");
        LogError::Damaged { path: self.path(), detail }
    }
}

/// Makes the tables of a file that is new.
fn make_tables(database: &Database) -> Result<(), Fault> {
    match database.begin_read()?.open_table(FORMAT) {
        Ok(_) => return Ok(()),
        Err(TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let transaction = database.begin_write()?;
    transaction.open_table(FORMAT)?.insert("version", VERSION)?;
    transaction.open_table(TOPICS)?;
    transaction.open_table(PARTITIONS)?;
    transaction.open_table(GROUPS)?;
    transaction.open_table(POSITIONS)?;
    Ok(transaction.commit()?)
}

/// All that is stored of a topic, without its records.
#[derive(Debug, Default)]
pub(super) struct StoredTopic {
    /// Oldest offset held and next offset, of each partition.
    pub partitions: Vec<(i64, i64)>,
    /// Committed offsets with metadata, by group and partition.
    pub groups: BTreeMap<String, BTreeMap<u32, (i64, String)>>,
    /// Bytes that its blocks take on disk, about.
    pub disk_bytes: u64,
    /// The sequence of the next block; it may begin anew when all blocks are gone.
    pub next_sequence: u64,
}

/// Reads a topic; `None` when there is none of this name.
pub(super) fn load_topic(
    transaction: &ReadTransaction,
    topic: &str,
) -> Result<Option<StoredTopic>, Fault> {
    let Some(count) = transaction.open_table(TOPICS)?.get(topic)?.map(|count| count.value()) else {
        return Ok(None);
    };
    let mut stored = StoredTopic::default();
    let partitions = transaction.open_table(PARTITIONS)?;
    for partition in 0..count {
        let bounds = partitions.get((topic, partition))?;
        stored.partitions.push(bounds.map_or((0, 0), |b| b.value()));
    }
    for entry in transaction.open_table(GROUPS)?.range((topic, "")..)? {
        let (key, _) = entry?;
        let (of, group) = key.value();
        if of != topic {
            break;
        }
        stored.groups.insert(group.to_string(), BTreeMap::new());
    }
    for entry in transaction.open_table(POSITIONS)?.range((topic, "", 0)..)? {
        let (key, position) = entry?;
        let (of, group, partition) = key.value();
        if of != topic {
            break;
        }
        let (offset, metadata) = position.value();
        let positions = stored.groups.entry(group.to_string()).or_default();
        positions.insert(partition, (offset, metadata.to_string()));
    }
    for entry in transaction.open_table(TopicTables::new(topic).index())?.iter()? {
        let (sequence, descriptor) = entry?;
        stored.disk_bytes += describe(descriptor.value())?.disk_bytes;
        stored.next_sequence = sequence.value() + 1;
    }
    Ok(Some(stored))
}

/// Makes a topic.
pub(super) fn create_topic(
    transaction: &WriteTransaction,
    topic: &str,
    partitions: u32,
) -> Result<(), Fault> {
    transaction.open_table(TOPICS)?.insert(topic, partitions)?;
    let tables = TopicTables::new(topic);
    transaction.open_table(tables.blocks())?;
    transaction.open_table(tables.index())?;
    Ok(())
}

/// A descriptor of the index.
pub(super) fn describe(bytes: &[u8]) -> Result<Descriptor, Fault> {
    Descriptor::decode(bytes).ok_or_else(|| Fault::corrupted("an entry of the index"))
}
