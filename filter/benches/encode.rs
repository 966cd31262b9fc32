//! What a request's span costs natively, piece by piece: `cargo bench -p spanferry-filter --bench encode`. Figures are in
//! docs/paths.md.
#![allow(missing_docs, reason = "criterion's macros make functions")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use spanferry_filter::attributes::{Recipe, Settings, Vocabulary};
use spanferry_filter::envoy_tags::of_node;
use spanferry_filter::header_map::{RequestHeaders, pair_count, serialize};
use spanferry_filter::properties::{Properties, Selection};
use spanferry_filter::resource::Node;
use spanferry_filter::span::{Exchange, SpanKind};
use spanferry_filter::trace_context::SpanContext;
use std::hint::black_box;

/// The request by which every cost of the filter is told.
#[path = "../../tests/measure/request.rs"]
#[expect(dead_code, reason = "nothing is left out here")]
mod request;

/// A gateway's request without a body that a service answered.
const BEGUN_NS: u64 = 1_795_000_000_000_000_000;
const ENDED_NS: u64 = BEGUN_NS + 1_500_000;

/// A header map as Envoy hands it over.
fn header_map() -> Vec<u8> {
    let headers = request::OF_ENVOY.iter().chain(&request::HEADERS);
    let bytes = headers.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    serialize(&bytes.collect::<Vec<_>>())
}

fn selection(vocabulary: Vocabulary) -> Selection {
    let has_semconv = vocabulary.has_semconv();
    let (has_upstream, has_direction) = (has_semconv, true);
    Selection { is_rpc: false, has_body: false, has_semconv, has_upstream, has_direction }
}

/// Envoy's answer to the list of what is read of a request, in its order.
fn answer(selection: Selection) -> Vec<u8> {
    use spanferry_filter::properties::Property::*;
    let number = |n: u64| n.to_le_bytes().to_vec();
    let values = selection.paths().map(|(property, _)| match property {
        StartTime => number(BEGUN_NS),
        Status => number(200),
        ResponseBytes => number(512),
        Attempts | Direction => number(1),
        Protocol => b"HTTP/1.1".to_vec(),
        Client => b"10.1.2.3:51234".to_vec(),
        Cluster | Route => b"orders".to_vec(),
        Upstream => b"10.9.8.7:8080".to_vec(),
        _ => number(0),
    });
    let values: Vec<Vec<u8>> = values.collect();
    serialize(&values.iter().map(|value| (&value[..], &b""[..])).collect::<Vec<_>>())
}

fn recipe(vocabulary: Vocabulary) -> Recipe {
    let node = Node { id: "gateway-7".into(), zone: "eu-1a".into(), ..Node::default() };
    let settings = Settings { vocabulary, ..Settings::default() };
    Recipe::new(settings, of_node(&node), Vec::new)
}

fn reads(criterion: &mut Criterion) {
    let (raw, selection) = (header_map(), selection(Vocabulary::Semconv));
    let answer = answer(selection);
    let mut group = criterion.benchmark_group("read");
    group.bench_function(format!("a map of {} headers", pair_count(&raw)), |bencher| {
        bencher.iter(|| RequestHeaders::scan(black_box(&raw)));
    });
    group.bench_function("the proxy's attributes", |bencher| {
        bencher.iter(|| Properties::from_list(black_box(&answer), selection));
    });
    group.finish();
}

fn encodes(criterion: &mut Criterion) {
    let raw = header_map();
    let headers = RequestHeaders::scan(&raw);
    let mut group = criterion.benchmark_group("encode");
    for (vocabulary, name) in
        [(Vocabulary::Semconv, "as it comes"), (Vocabulary::Envoy, "with Envoy's tags")]
    {
        let (recipe, selection) = (recipe(vocabulary), selection(vocabulary));
        let answer = answer(selection);
        let Some(properties) = Properties::from_list(&answer, selection) else { return };
        let exchange = Exchange {
            kind: SpanKind::from_listener_direction(Some(1)),
            context: SpanContext { trace_id: [0xab; 16], span_id: [0xcd; 8], flags: 1 },
            parent: None,
            headers: &headers,
            properties: &properties,
            custom: &[],
            recipe: &recipe,
            is_attempt: false,
            answered_ns: Some(ENDED_NS - 200_000),
            now_ns: ENDED_NS,
        };
        let mut scratch = Vec::new();
        exchange.write(&mut scratch);
        group.throughput(Throughput::Bytes(scratch.len() as u64));
        group.bench_function(format!("a span {name}, {} bytes", scratch.len()), |bencher| {
            bencher.iter(|| {
                scratch.clear();
                black_box(&exchange).write(&mut scratch);
                black_box(&scratch);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, reads, encodes);
criterion_main!(benches);
