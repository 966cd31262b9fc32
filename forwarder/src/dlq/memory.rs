//! What was done with which letter: the group's offset for those before it, and beside it those beyond.

use super::GROUP;
use super::letter::Number;
use crate::ledger::{Fate, Kept};
use crate::log::{Commit, Log, LogError, Standing};
use serde::Serialize;
use std::collections::BTreeMap;

/// What can be done with a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing yet.
    Open,
    /// Sent again.
    Replayed,
    /// Let go.
    Discarded,
    /// One of both; the memory no longer says which.
    Done,
}

/// The memory of one topic of dead letters.
pub struct Memory {
    partitions: BTreeMap<u32, Shelf>,
}

struct Shelf {
    /// All below are done.
    from: i64,
    done: BTreeMap<i64, Fate>,
}

impl Memory {
    /// Reads it.
    pub async fn read(dead_letters: &dyn Log) -> Result<Self, LogError> {
        let standing = dead_letters.standing(GROUP).await?;
        let shelf = |standing: Standing| {
            let from = standing.committed.unwrap_or(standing.start);
            let ahead = Kept::decode(from, &standing.metadata).ahead;
            let done = ahead.runs.iter().cloned().flatten();
            let fate = |offset| Some((offset, ahead.fate(offset)?));
            let done = done.filter_map(fate).collect();
            (standing.partition, Shelf { from: from.max(standing.start), done })
        };
        Ok(Self { partitions: standing.into_iter().map(shelf).collect() })
    }

    /// What was done with a letter.
    pub fn state(&self, number: Number) -> State {
        let Some(shelf) = self.partitions.get(&number.partition) else { return State::Open };
        match shelf.done.get(&number.offset) {
            _ if number.offset < shelf.from => State::Done,
            None => State::Open,
            Some(Fate::DeadLettered) => State::Discarded,
            Some(_) => State::Replayed,
        }
    }

    /// Notes what was done, and stores it. `false` if it cannot be stored for want of room: then the letters in front
    /// must be done first.
    pub async fn note(
        &mut self,
        dead_letters: &dyn Log,
        number: Number,
        state: State,
    ) -> Result<bool, LogError> {
        let Some(shelf) = self.partitions.get_mut(&number.partition) else { return Ok(false) };
        let fate = if state == State::Discarded { Fate::DeadLettered } else { Fate::Delivered };
        shelf.done.insert(number.offset, fate);
        let commit = shelf.commit(number.partition);
        let read = Kept::decode(commit.offset, &commit.metadata).ahead;
        let is_kept = number.offset < commit.offset || read.fate(number.offset).is_some();
        if !is_kept {
            shelf.done.remove(&number.offset);
            return Ok(false);
        }
        dead_letters.store(GROUP, vec![commit]).await?;
        Ok(true)
    }
}

impl Shelf {
    /// Moves over what is done in front, and gives what is to be stored.
    fn commit(&mut self, partition: u32) -> Commit {
        while let Some(entry) = self.done.first_entry().filter(|entry| *entry.key() <= self.from) {
            self.from = self.from.max(entry.key() + 1);
            entry.remove();
        }
        let mut kept = Kept::default();
        for (offset, fate) in &self.done {
            match kept.ahead.runs.last_mut() {
                Some(run) if run.end == *offset => run.end += 1,
                _ => kept.ahead.runs.push(*offset..offset + 1),
            }
            if *fate != Fate::Delivered {
                kept.ahead.odd.push((*offset, *fate));
            }
        }
        Commit { partition, offset: self.from, metadata: kept.encode(self.from) }
    }
}
