//! The tables: every figure of every comparison.

use super::Results;
use crate::embedded::{Measured, Round};
use crate::figures::{Comparison, Figure, SIDES, Slice};
use crate::variants::Tried;
use spanferry_tests::measure::Spread;
use std::fmt::Write;

/// A column: its head, its figure, and how many digits it has.
type Column = (&'static str, Figure, usize);

const CPU: Column = ("CPU-s a million spans", |slice| slice.cpu_us, 2);
const SPEED: Column = ("spans/s", |slice| slice.spans_a_second, 0);
const MEMORY: Column = ("peak RSS, MB", |slice| slice.peak_mb, 0);
const P50: Column = ("p50, ms", |slice| slice.p50_ms, 1);
const P99: Column = ("p99, ms", |slice| slice.p99_ms, 1);
const P999: Column = ("p99.9, ms", |slice| slice.p999_ms, 1);
const BYTES: Column = ("Kafka bytes a span", |slice| slice.kafka_bytes, 0);
const RECORDS: Column = ("records a span", |slice| slice.records, 2);
const DRAIN: Column = ("a million spans in, s", |slice: &Slice| 1e6 / slice.spans_a_second, 1);

/// All of them, each below its title.
pub fn all(results: &Results) -> String {
    let bridge = [CPU, SPEED, MEMORY, BYTES, RECORDS, P50, P99, P999];
    let mut text = section(
        "Bridge: OTLP in, Kafka out",
        "Latency is from request to acknowledgement. Where it says `--record batch`, a record of ours holds all traces of a request that \
         are of one partition, under the key of the first; each trace is in the same partition as with a record a trace. The Collector \
         writes a record a trace in every row: with keys by trace id it can do nothing else.",
        &results.bridges,
        &bridge,
    );
    text += &settings(&results.settings);
    text += &section(
        "Forwarder: Kafka in, OTLP out",
        "Both drain the same backlog, written by our bridge, into a sink that is not the bottleneck. The Collector has for each the queue \
         that costs it least: it waits for half as many records as there are partitions with a record a trace, and there is none with \
         `--record batch`, where a record holds several traces of one request.",
        &results.forwarders,
        &[CPU, SPEED, DRAIN, MEMORY],
    );
    text += &section(
        "End to end: OTLP in, OTLP out",
        "Bridge and forwarder together, and two Collectors; latency is from request to visible at the sink.",
        &results.chains,
        &[CPU, SPEED, MEMORY, P50, P99, P999],
    );
    text += &section(
        "Into real Jaeger",
        "Bridge, forwarder and Jaeger together, and a Collector with Jaeger's ingester. CPU time and memory are those of all, Jaeger's \
         storage in memory included. Spans/s are up to the next commit, which is up to a second late. Latency is from request to visible \
         in Jaeger's query API, by probes of one span among the load.",
        &results.ends,
        &[CPU, SPEED, MEMORY, P50, P99],
    );
    text + &embedded(&results.embedded)
}

fn section(title: &str, what: &str, comparisons: &[Comparison], columns: &[Column]) -> String {
    if comparisons.is_empty() {
        return String::new();
    }
    let heads: Vec<&str> = columns.iter().map(|(head, _, _)| *head).collect();
    let rule = "|---".repeat(columns.len() + 2);
    let mut text =
        format!("\n## {title}\n\n{what}\n\n| what | side | {} |\n{rule}|\n", heads.join(" | "));
    for comparison in comparisons {
        for side in SIDES {
            let _ = write!(text, "| {}; {} | {} |", comparison.name, comparison.note, side.name());
            for (_, figure, digits) in columns {
                let _ = write!(text, " {:.*} |", *digits, comparison.of(side, *figure));
            }
            text.push('\n');
        }
    }
    text
}

fn settings(tried: &[Tried]) -> String {
    if tried.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\n## The bridge with other compressions\n\nOur bridge alone, a record a trace over OTLP/HTTP, as fast as it answers; the variants \
         take turns. What is saved here or in Kafka is paid there or here: the forwarder's and the broker's part is not in it.\n\n\
         | what | CPU-s a million spans | Kafka bytes a span | spans/s | peak RSS, MB |\n|---|---|---|---|---|\n",
    );
    for one in tried {
        let _ = writeln!(
            text,
            "| {} | {:.2} | {:.0} | {:.0} | {:.0} |",
            one.name,
            one.of(|slice| slice.cpu_us),
            one.of(|slice| slice.kafka_bytes),
            one.of(|slice| slice.spans_a_second),
            one.of(|slice| slice.peak_mb),
        );
    }
    text
}

fn embedded(measured: &[Measured]) -> String {
    let Some(first) = measured.first() else { return String::new() };
    let mut text = String::from(
        "\n## Embedded log: no Kafka\n\nSpans acknowledged when they are fsynced in a directory, over OTLP/HTTP; and the disk alone in the \
         same rounds: blocks written one after the other, each with fdatasync.\n\n\
         | what | spans/s with fsync | CPU-s a million spans | peak RSS, MB | bytes to the disk a span |\n|---|---|---|---|---|\n",
    );
    for one in measured {
        let of = |figure: fn(&Round) -> f64| Spread::of(one.rounds.iter().map(figure));
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.2} | {:.0} | {:.0} |",
            one.name,
            of(|round| round.spans_a_second),
            of(|round| round.cpu_us),
            of(|round| round.peak_mb),
            of(|round| round.disk_bytes),
        );
    }
    text.push_str("\n| the disk alone: block | syncs/s | MB/s |\n|---|---|---|\n");
    let blocks = first.rounds.first().map_or(0, |round| round.probes.len());
    for place in 0..blocks {
        let probes = || {
            let rounds = measured.iter().flat_map(|one| &one.rounds);
            rounds.filter_map(|round| round.probes.get(place))
        };
        let block = probes().next().map_or(0, |probe| probe.block >> 10);
        let syncs = Spread::of(probes().map(|probe| probe.syncs_a_second));
        let megabytes = Spread::of(probes().map(|probe| probe.bytes_a_second() / 1e6));
        let _ = writeln!(text, "| {block} KiB | {syncs:.0} | {megabytes:.0} |");
    }
    text
}
