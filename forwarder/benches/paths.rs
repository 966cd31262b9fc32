//! What the bytes' ways cost, piece by piece: `cargo bench -p spanferry --bench paths`. Figures are in docs/paths.md.
#![allow(missing_docs, reason = "criterion's macros make functions")]

mod corpus;

use bytes::Bytes;
use corpus::{partition, request};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use spanferry::forward::request_of;
use spanferry::log::embedded::EmbeddedLog;
use spanferry::log::{Log, LogSettings, Placed, Record, partition_of};
use spanferry::otlp::count::count_spans;
use spanferry::otlp::split::{split, split_by, split_ordered};
use std::hint::black_box;

const SPANS: usize = 1_000;
const LIMIT: usize = 1_000_000;
/// Appends at a time, as of so many senders.
const APPENDS: usize = 64;

fn splits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("split");
    group.throughput(Throughput::Elements(SPANS as u64));
    for of_a_trace in [1, 5, 40] {
        let request = request(SPANS, of_a_trace);
        group.bench_function(format!("{of_a_trace} spans a trace"), |bencher| {
            bencher.iter(|| split(black_box(&request), LIMIT));
        });
    }
    let request = request(SPANS, 1);
    group.bench_function("1 span a trace, in the order of partitions", |bencher| {
        bencher.iter(|| split_ordered(black_box(&request), LIMIT, partition));
    });
    group.bench_function("1 span a trace, by partition", |bencher| {
        bencher.iter(|| split_by(black_box(&request), LIMIT, 8, partition));
    });
    group.finish();
}

fn concatenates(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("concatenate");
    group.throughput(Throughput::Elements(SPANS as u64));
    for of_a_trace in [1, 5] {
        let records = records(&request(SPANS, of_a_trace));
        group.bench_function(format!("records of {of_a_trace} spans"), |bencher| {
            bencher.iter(|| {
                let chunks = |placed: &Placed| request_of(&placed.record).map(|one| one.chunks);
                let chunks: Vec<Vec<Bytes>> = records.iter().flat_map(chunks).collect();
                chunks.concat().concat()
            });
        });
    }
    let whole = request(SPANS, 5);
    group.bench_function("count spans", |bencher| bencher.iter(|| count_spans(black_box(&whole))));
    group.finish();
}

fn appends(criterion: &mut Criterion) {
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().build() else { return };
    let _entered = runtime.enter();
    let Ok(directory) = tempfile::tempdir() else { return };
    let Ok(log) = EmbeddedLog::open(directory.path(), "traces", &LogSettings::default()) else {
        return;
    };
    let records = records(&request(SPANS, 5));
    let mut group = criterion.benchmark_group("embedded log");
    group.sample_size(10).throughput(Throughput::Elements((APPENDS * SPANS) as u64));
    group.bench_function("append and fsync, 64 senders of 1,000 spans", |bencher| {
        let prepare = || vec![records.clone(); APPENDS];
        let append = |batches: Vec<Vec<Placed>>| {
            let appended: Vec<_> =
                batches.into_iter().filter_map(|batch| log.append(batch).ok()).collect();
            runtime.block_on(join_all(appended))
        };
        bencher.iter_batched(prepare, append, BatchSize::LargeInput);
    });
    group.finish();
}

/// A record for each trace, as the bridge makes them.
fn records(request: &Bytes) -> Vec<Placed> {
    let parts = split(request, LIMIT).map(|split| split.traces).unwrap_or_default();
    let record = |part: spanferry::otlp::split::TracePart| {
        let key = hex::encode(part.trace_id);
        let partition = partition_of(key.as_bytes(), 8);
        let headers = [("spanferry".into(), Bytes::from_static(&[7; 60]))].into();
        Placed { partition, record: Record { key: Some(key.into()), headers, value: part.value } }
    };
    parts.into_iter().map(record).collect()
}

criterion_group!(benches, splits, concatenates, appends);
criterion_main!(benches);
