//! One who sends numbered spans: a filter, which numbers its batches, or an SDK, which does not. Each batch is sent until
//! it was accepted, to whichever bridge is there.

use super::chance::Chance;
use super::numbered;
use super::process::Bridge;
use axum::body::Body;
use bytes::Bytes;
use http::Request;
use std::ops::Range;
use tokio::sync::oneshot::{Receiver, error::TryRecvError};

/// See the module.
pub struct Sender {
    id: u64,
    is_filter: bool,
    sequence: u64,
    next: u64,
    batch: Option<Batch>,
    pub accepted: Vec<u64>,
}

struct Batch {
    numbers: Range<u64>,
    body: Bytes,
    answer: Option<Receiver<u16>>,
}

impl Sender {
    pub fn new(id: u64) -> Self {
        let next = id << 32;
        Self {
            id,
            is_filter: !id.is_multiple_of(3),
            sequence: 0,
            next,
            batch: None,
            accepted: Vec::new(),
        }
    }

    /// Looks for an answer, and sends what is to be sent. Gives the numbers of a batch that was accepted just now.
    pub fn step(
        &mut self,
        bridges: &[Bridge],
        chance: &Chance,
        makes_more: bool,
    ) -> Option<Range<u64>> {
        if self.batch.is_none() && makes_more && chance.one_in(2) {
            self.make(chance);
        }
        let batch = self.batch.as_mut()?;
        match batch.answer.as_mut().map(Receiver::try_recv) {
            Some(Ok(200)) if !chance.one_in(25) => {
                let numbers = batch.numbers.clone();
                self.accepted.extend(numbers.clone());
                self.batch = None;
                return Some(numbers);
            }
            // Nobody waits for ever.
            Some(Err(TryRecvError::Empty)) if !chance.one_in(200) => {}
            // Refused, cut off, or answered and the answer was lost.
            Some(_) => batch.answer = None,
            None if chance.one_in(3) => self.send(&bridges[chance.index(bridges.len())]),
            None => {}
        }
        None
    }

    pub fn is_idle(&self) -> bool {
        self.batch.is_none()
    }

    fn make(&mut self, chance: &Chance) {
        let numbers = self.next..self.next + chance.below(8) + 1;
        self.next = numbers.end;
        self.sequence += 1;
        self.batch = Some(Batch { body: numbered::batch(numbers.clone()), numbers, answer: None });
    }

    fn send(&mut self, bridge: &Bridge) {
        let Some(batch) = &mut self.batch else { return };
        let mut request =
            Request::post("/v1/traces").header("content-type", "application/x-protobuf");
        if self.is_filter {
            request = request
                .header("x-spanferry-source", format!("sender-{}", self.id))
                .header("x-spanferry-sequence", self.sequence);
        }
        batch.answer = Some(bridge.post(request.body(Body::from(batch.body.clone())).unwrap()));
    }
}
