//! An upstream filter sees each attempt at a request. Every retry comes with the `traceparent` that the
//! attempt before it wrote, and the proxy's times and status are those of the whole request: here attempts
//! become siblings again, with times and a status of their own.

use crate::admission::Recording;
use crate::properties::{Properties, Property};
use crate::trace_context::SpanId;

/// Attempts that a worker remembers: 64 KiB. One forgotten makes the next a child of it, no more.
const SLOTS: usize = 4096;
const NONE: SpanId = [0; 8];

/// Whose children the latest attempts of this worker are, by their own ids.
#[derive(Debug, Default)]
pub struct Attempts {
    /// An attempt's id and its parent's, at a place that the id says; empty until the first.
    slots: Vec<(SpanId, SpanId)>,
}

impl Attempts {
    /// Takes an attempt in: a retry gets the parent that the attempt before it had.
    pub fn join(&mut self, recording: &mut Recording) {
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, (NONE, NONE));
        }
        let named = recording.parent.as_ref().map_or(NONE, |parent| parent.span_id);
        let parent = match self.slots[place(named)] {
            (attempt, parent) if attempt == named => parent,
            _ => named,
        };
        match &mut recording.parent {
            Some(_) if parent == NONE => recording.parent = None,
            Some(own) => own.span_id = parent,
            None => {}
        }
        let own = recording.context.span_id;
        self.slots[place(own)] = (own, parent);
    }
}

/// Ids are random: any of their bits will do.
fn place(id: SpanId) -> usize {
    usize::from(u16::from_le_bytes([id[0], id[1]])) % SLOTS
}

/// One attempt, as this filter itself saw it.
#[derive(Debug)]
pub struct Attempt {
    begun_ns: u64,
    status: i64,
}

impl Attempt {
    /// It begins now.
    pub fn begins(now_ns: u64) -> Self {
        Self { begun_ns: now_ns, status: 0 }
    }

    /// The answer's `:status` is there.
    pub fn answered(&mut self, status: &[u8]) {
        let status = std::str::from_utf8(status).ok().and_then(|text| text.parse::<u16>().ok());
        self.status = status.unwrap_or(0).into();
    }

    /// The status that it was answered with; 0 when it was not.
    pub fn status(&self) -> u64 {
        self.status.unsigned_abs()
    }

    /// What is known of it, as properties: when it began, how long it took, its status.
    pub fn values(&self, now_ns: u64) -> [(Property, [u8; 8]); 3] {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX).to_le_bytes();
        [
            (Property::StartTime, number(self.begun_ns)),
            (Property::Duration, number(now_ns.saturating_sub(self.begun_ns))),
            (Property::Status, self.status.to_le_bytes()),
        ]
    }
}

impl<'a> Properties<'a> {
    /// With these in the place of the proxy's.
    #[must_use]
    pub fn with(mut self, values: &'a [(Property, [u8; 8]); 3]) -> Self {
        values.iter().for_each(|(property, bytes)| self.set(*property, bytes));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;
    use crate::trace_context::{Parent, SpanContext};

    fn recording(own: u8, parent: Option<u8>) -> Recording {
        let parent = parent.map(|id| Parent {
            trace_id: [1; 16],
            span_id: [id; 8],
            flags: 1,
            state: String::new(),
        });
        Recording {
            context: SpanContext { trace_id: [1; 16], span_id: [own; 8], flags: 1 },
            parent,
            root_state: String::new(),
            rule: None,
            has_other_tracer: false,
        }
    }

    /// The parent that each attempt ends up with, when each names the attempt before it.
    fn parents(first: Option<u8>) -> Vec<Option<u8>> {
        let mut attempts = Attempts::default();
        let mut named = first;
        let mut found = Vec::new();
        for own in [11, 12, 13] {
            let mut recording = recording(own, named);
            attempts.join(&mut recording);
            found.push(recording.parent.map(|parent| parent.span_id[0]));
            named = Some(own);
        }
        found
    }

    #[test]
    fn retries_are_siblings() {
        assert_eq!(parents(Some(5)), [Some(5); 3]);
    }

    #[test]
    fn retries_without_a_parent_are_siblings_too() {
        assert_eq!(parents(None), [None; 3]);
    }

    #[test]
    fn a_parent_of_somebody_elses_stays() {
        let mut attempts = Attempts::default();
        for own in 1..=200_u8 {
            let mut one = recording(own, Some(250));
            attempts.join(&mut one);
            assert_eq!(one.parent.unwrap().span_id, [250; 8]);
        }
    }

    #[test]
    fn an_attempt_has_its_own_times_and_status() {
        let mut attempt = Attempt::begins(1000);
        attempt.answered(b"503");
        let values = attempt.values(1500);
        let properties = Properties::default().with(&values);
        assert_eq!(properties.number(Property::StartTime), Some(1000));
        assert_eq!(properties.number(Property::Duration), Some(500));
        assert_eq!(properties.number(Property::Status), Some(503));
    }

    #[test]
    fn an_attempt_that_was_never_answered_has_no_status() {
        let mut attempt = Attempt::begins(1000);
        attempt.answered(b"\xff");
        assert_eq!(attempt.values(900)[1].1, [0; 8]);
        assert_eq!(attempt.values(900)[2].1, [0; 8]);
    }
}
