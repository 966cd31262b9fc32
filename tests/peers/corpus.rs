//! The spans that both sides get: made once from a seed, realistic in size and text, and given a number in each request's trace
//! ids as they are sent, so that no trace is sent twice and every arrival can be told.

mod spans;

use crate::walk::{ID_BYTES, trace_ids};
use anyhow::Result;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use spans::Maker;

/// Requests of a corpus: as many different ones as keep a repeat out of one batch of Kafka's.
const BODIES: usize = 64;
/// The trace id's last bytes, which are the request's number.
const NUMBER_BYTES: usize = 8;

/// How many spans a request holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Batch {
    /// From 1 to 2,000, as many requests between 1 and 10 as between 100 and 1,000.
    Mixed,
    /// Always so many.
    Of(usize),
}

/// What a corpus is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Its name for a reader.
    pub name: &'static str,
    /// Spans of a trace; the last of a request may have fewer.
    pub spans_a_trace: usize,
    /// Spans of a request.
    pub batch: Batch,
    /// Attributes of a span; `None`: as many as its kind has, and now and then a long one.
    pub attributes: Option<usize>,
}

/// One-span traces, as a gateway makes them.
pub const GATEWAY: Recipe =
    Recipe { name: "1 span a trace", spans_a_trace: 1, batch: Batch::Mixed, attributes: None };
/// Small traces of a service.
pub const FIVE: Recipe =
    Recipe { name: "5 spans a trace", spans_a_trace: 5, batch: Batch::Mixed, attributes: None };
/// Large ones.
pub const FORTY: Recipe =
    Recipe { name: "40 spans a trace", spans_a_trace: 40, batch: Batch::Mixed, attributes: None };

/// A span by itself.
pub const ONE: Recipe =
    Recipe { name: "1 span a request", spans_a_trace: 1, batch: Batch::Of(1), attributes: None };

/// Requests ready to be sent.
pub struct Corpus {
    bodies: Vec<Body>,
}

/// One request's bytes.
pub struct Body {
    bytes: Vec<u8>,
    /// Where the trace ids are.
    ids: Vec<usize>,
    traces: usize,
}

/// A part of the endless sequence of requests, from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Extent {
    /// Requests.
    pub requests: u64,
    /// Spans in them.
    pub spans: u64,
    /// Traces in them, which are records in Kafka.
    pub traces: u64,
    /// Bytes of them.
    pub bytes: u64,
}

impl Corpus {
    /// The same for the same recipe and seed.
    pub fn make(recipe: Recipe, seed: u64) -> Result<Corpus> {
        let mut chance = StdRng::seed_from_u64(seed);
        let mut sizes = batch_sizes(recipe.batch);
        sizes.shuffle(&mut chance);
        let mut maker = Maker::new(chance, recipe.attributes);
        let bodies = sizes.into_iter().map(|spans| body(&mut maker, recipe.spans_a_trace, spans));
        Ok(Corpus { bodies: bodies.collect::<Result<_>>()? })
    }

    /// The request of this place in the sequence.
    pub fn body(&self, place: u64) -> &Body {
        &self.bodies[(place % self.bodies.len() as u64) as usize]
    }

    /// As many requests as hold at least so many spans.
    pub fn of_spans(&self, spans: u64) -> Extent {
        self.until(|extent| extent.spans >= spans)
    }

    /// So many requests.
    pub fn of_requests(&self, requests: u64) -> Extent {
        self.until(|extent| extent.requests >= requests)
    }

    fn until(&self, enough: impl Fn(&Extent) -> bool) -> Extent {
        let mut extent = Extent::default();
        while !enough(&extent) {
            let body = self.body(extent.requests);
            extent.requests += 1;
            extent.spans += body.spans() as u64;
            extent.traces += body.traces as u64;
            extent.bytes += body.bytes.len() as u64;
        }
        extent
    }

    /// Bytes of a request for each of its spans, on average.
    pub fn span_bytes(&self) -> u64 {
        let whole = self.of_requests(self.bodies.len() as u64);
        whole.bytes / whole.spans
    }
}

impl Body {
    /// Spans in it.
    pub fn spans(&self) -> usize {
        self.ids.len()
    }

    /// The id of its first trace when it is sent with `number`.
    pub fn trace_id(&self, number: u64) -> Vec<u8> {
        let first = self.ids.first().copied().unwrap_or_default();
        let own = self.bytes.get(first..first + ID_BYTES - NUMBER_BYTES).unwrap_or_default();
        [own, &number.to_be_bytes()].concat()
    }

    /// Its length, which no number changes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends it to `out` with `number` in each trace id.
    pub fn numbered(&self, number: u64, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&self.bytes);
        let body = &mut out[begin..];
        for at in &self.ids {
            body[at + ID_BYTES - NUMBER_BYTES..at + ID_BYTES]
                .copy_from_slice(&number.to_be_bytes());
        }
    }
}

/// The number in a trace id.
pub fn number_of(trace_id: &[u8]) -> u64 {
    let last = trace_id.last_chunk::<NUMBER_BYTES>();
    last.map_or(u64::MAX, |bytes| u64::from_be_bytes(*bytes))
}

/// Mixed ones are spread evenly on a logarithmic scale: the same sizes whatever the seed.
fn batch_sizes(batch: Batch) -> Vec<usize> {
    let size = |place: usize| match batch {
        Batch::Of(spans) => spans,
        Batch::Mixed => 2_000_f64.powf(place as f64 / (BODIES - 1) as f64).round() as usize,
    };
    (0..BODIES).map(size).collect()
}

fn body(maker: &mut Maker, spans_a_trace: usize, spans: usize) -> Result<Body> {
    let mut all: Vec<Span> = Vec::with_capacity(spans);
    let mut traces = 0;
    while all.len() < spans {
        all.extend(maker.trace(spans_a_trace.min(spans - all.len())));
        traces += 1;
    }
    let scope_spans =
        vec![ScopeSpans { scope: Some(maker.scope()), spans: all, ..Default::default() }];
    let resource = Some(maker.resource());
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..Default::default() }];
    let bytes = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    let mut ids = Vec::with_capacity(spans);
    trace_ids(&bytes, |place| ids.push(place.start))?;
    Ok(Body { bytes, ids, traces })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corpus_has_the_sizes_that_it_claims() {
        let corpus = Corpus::make(FIVE, 7).unwrap();
        let spans: Vec<usize> = corpus.bodies.iter().map(Body::spans).collect();
        assert_eq!((spans.iter().min(), spans.iter().max()), (Some(&1), Some(&2_000)));
        for recipe in [GATEWAY, FIVE, FORTY] {
            let corpus = Corpus::make(recipe, 7).unwrap();
            let extent = corpus.of_spans(20_000);
            let (a_span, a_trace) = (corpus.span_bytes(), extent.spans / extent.traces);
            assert!((300..1_200).contains(&a_span), "{}: {a_span} bytes a span", recipe.name);
            assert!(a_trace <= recipe.spans_a_trace as u64, "{}: {a_trace}", recipe.name);
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_bytes() {
        let first = Corpus::make(GATEWAY, 7).unwrap();
        let again = Corpus::make(GATEWAY, 7).unwrap();
        assert!(first.bodies.iter().zip(&again.bodies).all(|(one, two)| one.bytes == two.bytes));
    }

    #[test]
    fn a_number_is_in_every_trace_id_and_changes_nothing_else() {
        let corpus = Corpus::make(FORTY, 7).unwrap();
        let body = corpus.body(3);
        let mut out = b"before".to_vec();
        body.numbered(4711, &mut out);
        let sent = &out[6..];
        assert_eq!(sent.len(), body.len());
        let mut numbers = Vec::new();
        trace_ids(sent, |place| numbers.push(number_of(&sent[place]))).unwrap();
        assert_eq!(numbers, vec![4711; body.spans()]);
        let mut ids = Vec::new();
        trace_ids(sent, |place| ids.push(sent[place].to_vec())).unwrap();
        assert_eq!(ids[0], body.trace_id(4711));
    }

    #[test]
    fn an_extent_counts_what_its_requests_hold() {
        let corpus = Corpus::make(GATEWAY, 7).unwrap();
        let extent = corpus.of_spans(10_000);
        assert!(extent.spans >= 10_000 && extent.spans < 12_000 && extent.traces == extent.spans);
        assert_eq!(corpus.of_requests(extent.requests), extent);
    }
}
