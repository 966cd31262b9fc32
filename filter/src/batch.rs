//! Spans put together into one export request: the open batch that takes spans in, and the sealed one
//! whose bytes never change again, however often it is sent.

use crate::encode::{bytes_field, field_len, length_prefix};

/// What every batch of a worker says around its spans: the encoded `Resource` and `InstrumentationScope`.
#[derive(Debug, Clone, Default)]
pub struct Envelope {
    resource: Vec<u8>,
    scope: Vec<u8>,
}

/// An upper bound for the tags and lengths around resource, scope and spans, in bytes.
const FRAME_BYTES: usize = 24;

impl Envelope {
    /// From an encoded `Resource` message, and the scope's name and version.
    pub fn new(resource: Vec<u8>, scope_name: &str, scope_version: &str) -> Self {
        let mut scope = Vec::with_capacity(64);
        bytes_field(&mut scope, 1, scope_name.as_bytes());
        bytes_field(&mut scope, 2, scope_version.as_bytes());
        Self { resource, scope }
    }

    /// What the envelope adds to a batch, in bytes, at most.
    pub fn cost(&self) -> usize {
        self.resource.len() + self.scope.len() + FRAME_BYTES
    }

    /// `ExportTraceServiceRequest { resource_spans: [{ resource, scope_spans: [{ scope, spans }] }] }`
    fn wrap(&self, spans: &[u8]) -> Vec<u8> {
        let scope_spans = field_len(self.scope.len()) + spans.len();
        let resource_spans = field_len(self.resource.len()) + field_len(scope_spans);
        let mut out = Vec::with_capacity(field_len(resource_spans));
        length_prefix(&mut out, 1, resource_spans);
        bytes_field(&mut out, 1, &self.resource);
        length_prefix(&mut out, 2, scope_spans);
        bytes_field(&mut out, 1, &self.scope);
        out.extend_from_slice(spans);
        out
    }
}

/// The batch that takes spans in.
#[derive(Debug, Default)]
pub struct OpenBatch {
    spans: Vec<u8>,
    count: u32,
}

impl OpenBatch {
    /// Takes one encoded `Span` message.
    pub fn push(&mut self, span: &[u8]) {
        bytes_field(&mut self.spans, 2, span);
        self.count += 1;
    }

    /// What a span of this many bytes takes in a batch, in bytes.
    pub fn cost(span_len: usize) -> usize {
        field_len(span_len)
    }

    /// Spans held.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Bytes held, without the envelope.
    pub fn bytes(&self) -> usize {
        self.spans.len()
    }

    /// Closes the batch and begins a new one. `None` when it holds nothing.
    pub fn seal(&mut self, envelope: &Envelope, order: u64) -> Option<Batch> {
        if self.count == 0 {
            return None;
        }
        let open = std::mem::take(self);
        let body = envelope.wrap(&open.spans);
        Some(Batch { order, sequence: None, attempts: 0, spans: open.count, body })
    }
}

/// A sealed batch, kept until it is answered for good.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// Which came first: lower is older.
    pub order: u64,
    /// The number it carries from its first dispatch on: 1, 2, 3, … a worker; `None` before that.
    pub sequence: Option<u64>,
    /// How often it was dispatched.
    pub attempts: u32,
    /// Spans in it.
    pub spans: u32,
    /// The encoded request.
    pub body: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn an_empty_batch_is_not_sealed() {
        assert_eq!(OpenBatch::default().seal(&Envelope::default(), 1), None);
    }

    #[test]
    fn a_sealed_batch_is_framed_and_costs_no_more_than_foretold() {
        let envelope = Envelope::new(b"RRRR".to_vec(), "n", "v");
        let mut open = OpenBatch::default();
        open.push(b"SS");
        assert_eq!(open.bytes(), OpenBatch::cost(2));
        let cost = open.bytes() + envelope.cost();
        let batch = open.seal(&envelope, 7).unwrap();
        let scope = [0x0a, 6, 0x0a, 1, b'n', 0x12, 1, b'v'];
        let spans = [0x12, 2, b'S', b'S'];
        let mut expected = vec![0x0a, 20, 0x0a, 4, b'R', b'R', b'R', b'R', 0x12, 12];
        expected.extend(scope.iter().chain(&spans));
        assert_eq!(batch.body, expected);
        assert!(batch.body.len() <= cost);
        assert_eq!((batch.spans, batch.order, batch.sequence), (1, 7, None));
        assert_eq!(open.count(), 0);
    }
}
