//! What stands around the spans: of each resource or scope, the fields that are not what it holds.

use std::ops::Range;

/// One after the other, in two lists for all of them: an envelope costs no allocation of its own.
#[derive(Debug, Default)]
pub struct Envelopes {
    fields: Vec<Range<usize>>,
    /// Of each envelope, the end of its fields in the list.
    ends: Vec<usize>,
}

impl Envelopes {
    /// Begins the next envelope, and says which it is.
    pub fn begin(&mut self) -> usize {
        self.ends.push(self.fields.len());
        self.ends.len() - 1
    }

    /// Adds a field to the last envelope.
    pub fn push(&mut self, field: Range<usize>) {
        let Some(end) = self.ends.last_mut() else { return };
        self.fields.push(field);
        *end = self.fields.len();
    }

    /// The fields of one.
    pub fn fields(&self, envelope: usize) -> &[Range<usize>] {
        let start = envelope.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.fields[start..self.ends[envelope]]
    }

    /// The bytes of its fields.
    pub fn bytes(&self, envelope: usize) -> usize {
        self.fields(envelope).iter().map(ExactSizeIterator::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}
