//! What the hot functions allocate, counted: exact on any machine, so a slip shows without a timed test. Each bound is what
//! is measured with a little room for lists that grow by doubling, and does not grow with the number of spans.

#[path = "../benches/corpus/mod.rs"]
mod corpus;

use allocation_counter::measure;
use bytes::Bytes;
use corpus::{partition, request};
use spanferry::forward::request_of;
use spanferry::log::Record;
use spanferry::otlp::count::count_spans;
use spanferry::otlp::split::{split, split_by, split_ordered};

const LIMIT: usize = 1_000_000;

/// Allocations of `work`, and the most bytes that it held at a time.
fn allocations<T>(work: impl FnOnce() -> T) -> (u64, u64) {
    let info = measure(|| drop(std::hint::black_box(work())));
    (info.count_total, info.bytes_max)
}

#[test]
fn a_split_allocates_a_few_lists_and_one_piece_for_all_values() {
    // The seed of the hash is drawn once a process.
    drop(split(&request(2, 1), LIMIT));
    for (spans, of_a_trace) in [(10, 1), (1_000, 1), (1_000, 5), (10_000, 5)] {
        let request = request(spans, of_a_trace);
        let few = 12 + 3 * u64::from(spans.ilog2());
        // The values, and what is known of each span and each trace.
        let most = 2 * request.len() as u64 + 300 * spans as u64;
        let as_it_comes = allocations(|| split(&request, LIMIT));
        let ordered = allocations(|| split_ordered(&request, LIMIT, partition));
        for ((count, bytes), few) in [(as_it_comes, few), (ordered, few + 4)] {
            assert!(count <= few, "{count} allocations for {spans} spans");
            assert!(bytes <= most, "{bytes} bytes for {spans} spans of {} bytes", request.len());
        }
    }
}

#[test]
fn a_request_of_one_trace_is_not_copied() {
    let request = request(1_000, 1_000);
    let (_, bytes) = allocations(|| split(&request, 10 * LIMIT));
    assert!(bytes < request.len() as u64 / 2, "{bytes} bytes of {}", request.len());
}

#[test]
fn traces_of_a_partition_are_put_together_without_an_allocation_each() {
    drop(split(&request(2, 1), LIMIT));
    let request = request(1_000, 1);
    let (count, _) = allocations(|| split_by(&request, LIMIT, 8, partition));
    assert!(count <= 50, "{count} allocations");
}

#[test]
fn spans_are_counted_without_an_allocation() {
    let request = request(1_000, 5);
    assert_eq!(allocations(|| count_spans(&request)).0, 0);
}

#[test]
fn a_record_is_read_into_a_request_without_a_copy() {
    let value: Bytes = request(1_000, 5);
    let record = Record { value: value.clone(), ..Record::default() };
    let (count, bytes) = allocations(|| request_of(&record));
    assert!(count <= 2 && bytes < 200, "{count} allocations, {bytes} bytes");
}
