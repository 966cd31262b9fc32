//! The desk at which letters are handled: one after the other, each remembered when it is done.

use super::every;
use super::letter::{Letter, Number};
use super::memory::{Memory, State};
use crate::forward::{Export, Outcome, request_of};
use crate::log::{AppendError, Log, LogError, Placed, StoredRecord, partition_of};
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;
use thiserror::Error;

/// Why a letter could not be handled.
#[derive(Debug, Error)]
pub enum DlqError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Numbers that name no letter.
    #[error("no such dead letter: {0}; `list` shows those that there are")]
    NoLetter(String),
    /// The log did not take the record.
    #[error("letter {number} was not written again: {error}")]
    NotWritten {
        /// Its number.
        number: Number,
        /// What the log said.
        error: AppendError,
    },
    /// The destination did not take it.
    #[error("letter {number} was not delivered: {reason}; it stays as it was")]
    NotDelivered {
        /// Its number.
        number: Number,
        /// What the destination said.
        reason: String,
    },
    /// It is none of the formats that can be sent.
    #[error("letter {number} is none of the formats that are delivered: {reason}")]
    NotUnderstood {
        /// Its number.
        number: Number,
        /// Why.
        reason: String,
    },
    /// The memory has no room.
    #[error("letter {0} cannot be remembered as done: too many before it are open; do those first")]
    NoRoom(Number),
}

/// What happens to a letter.
#[derive(Clone)]
pub enum Way {
    /// Back into the topic that it came from.
    Topic(Arc<dyn Log>),
    /// Straight to a destination.
    Destination(Arc<dyn Export>),
    /// Nowhere.
    Away,
}

/// A letter and what was done with it.
#[derive(Debug, Clone, Serialize)]
pub struct Done {
    /// The letter.
    #[serde(flatten)]
    pub letter: Letter,
    /// What was done.
    pub state: State,
}

/// A topic of dead letters and its memory.
pub struct Desk {
    dead_letters: Arc<dyn Log>,
    memory: Memory,
}

impl Desk {
    /// Opens the desk. `None` if there never was a letter.
    pub async fn open(dead_letters: Arc<dyn Log>) -> Result<Option<Self>, DlqError> {
        match dead_letters.partitions().await {
            Err(LogError::NoTopic { .. }) => return Ok(None),
            partitions => partitions?,
        };
        let memory = Memory::read(&*dead_letters).await?;
        Ok(Some(Self { dead_letters, memory }))
    }

    /// Shows each letter with its record, in order.
    pub async fn each(&self, mut show: impl FnMut(Done, &StoredRecord)) -> Result<(), DlqError> {
        let mut scan = every(&*self.dead_letters).await?;
        while let Some(records) = scan.next().await? {
            for record in &records {
                let letter = Letter::of(record);
                let state = self.memory.state(letter.number);
                show(Done { letter, state }, record);
            }
        }
        Ok(())
    }

    /// Handles the letters of these numbers, or every open one for `None`; gives those that were done.
    /// A letter is remembered after it is safe elsewhere: a crash in between does it twice, never not at all.
    pub async fn handle(
        &mut self,
        numbers: Option<BTreeSet<Number>>,
        way: &Way,
    ) -> Result<Vec<Done>, DlqError> {
        let mut wanted = numbers.clone();
        let mut done = Vec::new();
        let mut scan = every(&*self.dead_letters).await?;
        while let Some(records) = scan.next().await? {
            for record in &records {
                let letter = Letter::of(record);
                let is_named = wanted.as_mut().is_some_and(|left| left.remove(&letter.number));
                let is_open = self.memory.state(letter.number) == State::Open;
                if is_named || (numbers.is_none() && is_open) {
                    done.push(self.handle_one(letter, record, way).await?);
                }
            }
        }
        match wanted.filter(|left| !left.is_empty()) {
            None => Ok(done),
            Some(left) => {
                let names: Vec<String> = left.iter().map(Number::to_string).collect();
                Err(DlqError::NoLetter(names.join(", ")))
            }
        }
    }

    async fn handle_one(
        &mut self,
        letter: Letter,
        record: &StoredRecord,
        way: &Way,
    ) -> Result<Done, DlqError> {
        let number = letter.number;
        let state = match way {
            Way::Topic(log) => write_again(&**log, number, record).await.map(|()| State::Replayed),
            Way::Destination(destination) => {
                deliver(&**destination, number, record).await.map(|()| State::Replayed)
            }
            Way::Away => Ok(State::Discarded),
        }?;
        if !self.memory.note(&*self.dead_letters, number, state).await? {
            return Err(DlqError::NoRoom(number));
        }
        Ok(Done { letter, state })
    }
}

async fn write_again(log: &dyn Log, number: Number, stored: &StoredRecord) -> Result<(), DlqError> {
    let partitions = log.partitions().await?;
    let record = Letter::to_write_again(stored);
    let partition = partition_of(record.key.as_deref().unwrap_or_default(), partitions);
    let not_written = |error| DlqError::NotWritten { number, error };
    let taken = log.append(vec![Placed { partition, record }]).map_err(not_written)?;
    taken.await.map(|_| ()).map_err(not_written)
}

async fn deliver(
    destination: &dyn Export,
    number: Number,
    stored: &StoredRecord,
) -> Result<(), DlqError> {
    let request =
        request_of(&stored.record).map_err(|reason| DlqError::NotUnderstood { number, reason })?;
    let not_delivered = |reason| Err(DlqError::NotDelivered { number, reason });
    match destination.export(&request).await {
        Outcome::Delivered => Ok(()),
        Outcome::Partial { rejected_spans, message } => {
            not_delivered(format!("{rejected_spans} spans were left out: {message}"))
        }
        Outcome::Retry { reason, .. }
        | Outcome::Failed { reason }
        | Outcome::TooLarge { reason }
        | Outcome::Refused { reason } => not_delivered(reason),
    }
}
