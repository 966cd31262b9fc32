//! Where the spans end: it remembers each of them for good, and answers as badly as a destination can.

use super::chance::Chance;
use super::numbered;
use crate::forward::{Export, Outcome, Request};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What it does with every request for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Takes nearly everything.
    Moody,
    /// Takes everything that is no poison.
    Good,
    /// Answers 503, 429 or 500.
    Away,
    /// Does not answer for a minute.
    Hanging,
}

/// See the module.
pub struct Destination {
    chance: Chance,
    state: Mutex<State>,
}

struct State {
    mood: Mood,
    taken: HashMap<u64, u64>,
    corrupt: Vec<u64>,
}

impl Destination {
    pub fn new(chance: Chance) -> Arc<Self> {
        let state = State { mood: Mood::Moody, taken: HashMap::new(), corrupt: Vec::new() };
        Arc::new(Self { chance, state: Mutex::new(state) })
    }

    pub fn set(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    pub fn has(&self, number: u64) -> bool {
        self.state.lock().unwrap().taken.contains_key(&number)
    }

    /// How often each span came.
    pub fn taken(&self) -> HashMap<u64, u64> {
        self.state.lock().unwrap().taken.clone()
    }

    /// Spans whose bytes are not those that were sent.
    pub fn corrupt(&self) -> Vec<u64> {
        self.state.lock().unwrap().corrupt.clone()
    }

    fn take(&self, spans: &[(u64, Bytes)]) {
        let mut state = self.state.lock().unwrap();
        for (number, bytes) in spans {
            *state.taken.entry(*number).or_default() += 1;
            if *bytes != numbered::span(*number) {
                state.corrupt.push(*number);
            }
        }
    }

    /// The answer, and how many of the spans it takes; the rest of a partial success is at the front.
    fn decide(&self, spans: &[(u64, Bytes)]) -> (Outcome, usize) {
        let retry = |reason: &str| Outcome::Retry {
            after: None,
            reason: reason.into(),
            is_overload: false,
        };
        let failed = || Outcome::Failed { reason: "500".into() };
        let mood = self.state.lock().unwrap().mood;
        let moody = |draws| mood == Mood::Moody && self.chance.one_in(draws);
        match mood {
            Mood::Away if self.chance.one_in(3) => {
                let after = Some(self.chance.delay(3_000));
                (Outcome::Retry { after, reason: "429".into(), is_overload: true }, 0)
            }
            Mood::Away if self.chance.one_in(3) => (failed(), 0),
            Mood::Away => (retry("503"), 0),
            Mood::Hanging => {
                (retry("no answer"), if self.chance.one_in(2) { spans.len() } else { 0 })
            }
            _ if moody(20) => (retry("503"), 0),
            _ if moody(40) => (failed(), 0),
            _ if spans.iter().any(|(number, _)| numbered::is_poison(*number)) => {
                (Outcome::Refused { reason: "poison".into() }, 0)
            }
            _ if moody(30) => (retry("the answer was lost"), spans.len()),
            _ if moody(60) => {
                let rejected = self.chance.index(spans.len()) + 1;
                let message = "no room".into();
                let partial = Outcome::Partial { rejected_spans: rejected as u64, message };
                (partial, spans.len() - rejected)
            }
            _ => (Outcome::Delivered, spans.len()),
        }
    }
}

#[async_trait]
impl Export for Destination {
    async fn export(&self, request: &Request) -> Outcome {
        let spans = numbered::read(request.chunks.concat().into());
        assert_eq!(spans.len() as u64, request.spans);
        tokio::time::sleep(self.chance.delay(40)).await;
        let (outcome, taken) = self.decide(&spans);
        self.take(&spans[spans.len() - taken..]);
        let hangs = self.state.lock().unwrap().mood == Mood::Hanging;
        let most_ms = if hangs { 60_000 } else { 40 };
        tokio::time::sleep(Duration::from_millis(self.chance.below(most_ms))).await;
        outcome
    }
}
