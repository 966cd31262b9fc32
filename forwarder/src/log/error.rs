//! What can go wrong with a log, for the one who appends and for the one who reads.

use thiserror::Error;

/// Why records were not acknowledged. All of them are worth a retry by the sender, except `TooLarge`.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum AppendError {
    /// The queue has no room for these records.
    #[error("the queue of topic {topic} is full ({bytes} of {limit} bytes): retry later")]
    Full {
        /// The topic.
        topic: String,
        /// Bytes in the queue.
        bytes: usize,
        /// Its bound in bytes.
        limit: usize,
    },
    /// A record is larger than the log takes.
    #[error("a record of {size} bytes is above the limit of topic {topic} ({limit} bytes)")]
    TooLarge {
        /// The topic.
        topic: String,
        /// The record's size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The log failed these records, or could not be reached.
    #[error("topic {topic}: {detail}")]
    Failed {
        /// The topic.
        topic: String,
        /// What the log said.
        detail: String,
    },
    /// The log was closed.
    #[error("topic {topic} is closed")]
    Closed {
        /// The topic.
        topic: String,
    },
}

/// Why a log could not be opened, asked or read.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum LogError {
    /// Out of reach now; worth a retry.
    #[error("{what} is out of reach: {detail}")]
    Unavailable {
        /// What was asked for (brokers and topic, or a path).
        what: String,
        /// What was said.
        detail: String,
    },
    /// The disk did not keep what was written last; it may take the next.
    #[error("{what}: {detail}")]
    NotStored {
        /// The file.
        what: String,
        /// What failed, and what to do.
        detail: String,
    },
    /// The topic is missing, and may not be created by us.
    #[error("topic {topic} does not exist; create it, or allow it with --topic-create")]
    NoTopic {
        /// The topic.
        topic: String,
    },
    /// Another process has the directory open.
    #[error("{path} is in use by another process; a log directory serves one process at a time")]
    InUse {
        /// The directory.
        path: String,
    },
    /// A group of an embedded log has a reader already.
    #[error("group {group} of topic {topic} has a reader already")]
    GroupInUse {
        /// The group.
        group: String,
        /// The topic.
        topic: String,
    },
    /// What is stored does not make sense.
    #[error("{path} is damaged: {detail}")]
    Damaged {
        /// The file or directory.
        path: String,
        /// What was found.
        detail: String,
    },
    /// A setting is not accepted.
    #[error("{setting}={value}: {detail}")]
    Setting {
        /// The setting's name.
        setting: String,
        /// Its value.
        value: String,
        /// What is wrong, and what is allowed.
        detail: String,
    },
    /// Anything that a retry does not mend.
    #[error("{what}: {detail}")]
    Fatal {
        /// What was being done.
        what: String,
        /// What was said.
        detail: String,
    },
}
