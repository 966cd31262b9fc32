//! The page `docs/performance.md`: the tables, the ratios beside their bounds, and under what conditions.

use crate::Arguments;
use crate::figures::{Comparison, SIDES, Slice};
use std::fmt::Write;

/// Everything that a run measured.
#[derive(Default)]
pub struct Results {
    /// OTLP in, Kafka out.
    pub bridges: Vec<Comparison>,
    /// Kafka in, OTLP out.
    pub forwarders: Vec<Comparison>,
}

const HEAD: &str = "# What Spanferry costs, beside its peers

Written by `make bench`; do not edit. One run on one machine; in each round the sides take turns.

";

const BRIDGES: &str = "## Bridge: OTLP in, Kafka out

Spanferry's bridge, and the Collector with [tests/peers/collector-to-kafka.yaml](../tests/peers/collector-to-kafka.yaml).

| what | side | CPU-s a million spans | spans/s | peak RSS, MiB | Kafka bytes a span | records a span | p50, ms | p99, ms | p99.9, ms |
|---|---|---|---|---|---|---|---|---|---|
";

const FORWARDERS: &str = "
## Forwarder: Kafka in, OTLP out

Spanferry's forwarder, and the Collector with [tests/peers/collector-from-kafka.yaml](../tests/peers/collector-from-kafka.yaml), drain
the same backlog of per-trace records over OTLP/gRPC into a sink that is not the bottleneck.

| what | side | CPU-s a million spans | spans/s | peak RSS, MiB | a million spans drained in, s |
|---|---|---|---|---|---|
";

/// The whole page.
pub fn page(arguments: &Arguments, results: &Results, machine: &[String]) -> String {
    let mut page = String::from(HEAD);
    page.push_str(BRIDGES);
    results.bridges.iter().for_each(|comparison| page.push_str(&bridge(comparison)));
    page.push_str(FORWARDERS);
    results.forwarders.iter().for_each(|comparison| page.push_str(&forwarder(comparison)));
    page.push_str(&ratios(results));
    page.push_str(&conditions(arguments, machine));
    page
}

fn bridge(comparison: &Comparison) -> String {
    let mut rows = String::new();
    for side in SIDES {
        let of = |figure: fn(&Slice) -> f64| comparison.of(side, figure);
        let _ = writeln!(
            rows,
            "| {}; {} | {} | {:.2} | {:.0} | {:.0} | {:.0} | {:.2} | {:.1} | {:.1} | {:.1} |",
            comparison.name,
            comparison.note,
            side.name(),
            of(|slice| slice.cpu_us),
            of(|slice| slice.spans_a_second),
            of(|slice| slice.peak_mib),
            of(|slice| slice.kafka_bytes),
            of(|slice| slice.records),
            of(|slice| slice.p50_ms),
            of(|slice| slice.p99_ms),
            of(|slice| slice.p999_ms),
        );
    }
    rows
}

fn forwarder(comparison: &Comparison) -> String {
    let mut rows = String::new();
    for side in SIDES {
        let of = |figure: fn(&Slice) -> f64| comparison.of(side, figure);
        let _ = writeln!(
            rows,
            "| {}, {} | {} | {:.2} | {:.0} | {:.0} | {:.1} |",
            comparison.name,
            comparison.note,
            side.name(),
            of(|slice| slice.cpu_us),
            of(|slice| slice.spans_a_second),
            of(|slice| slice.peak_mib),
            of(|slice| 1e6 / slice.spans_a_second),
        );
    }
    rows
}

fn ratios(results: &Results) -> String {
    let mut text = String::from(
        "\n## Ratios\n\nSpanferry's figure as a share of the peer's, taken round by round.\n\n\
         | what | figure | ratio | bound |\n|---|---|---|---|\n",
    );
    for comparison in &results.bridges {
        let cpu = comparison.ratio(|slice| slice.cpu_us);
        let p99 = comparison.ratio(|slice| slice.p99_ms);
        let bound =
            if comparison.name.starts_with("1 span") { "1/4 = 0.250" } else { "1/8 = 0.125" };
        let _ = writeln!(text, "| bridge, {} | CPU a span | {cpu:.3} | {bound} |", comparison.name);
        let _ = writeln!(
            text,
            "| bridge, {} | p99 to acknowledgement | {p99:.2} | 1 |",
            comparison.name
        );
    }
    for comparison in &results.forwarders {
        let cpu = comparison.ratio(|slice| slice.cpu_us);
        let drain = comparison.ratio(|slice| 1.0 / slice.spans_a_second);
        let _ = writeln!(
            text,
            "| forwarder, {} | CPU a span | {cpu:.3} | 1/10 = 0.100 |",
            comparison.name
        );
        let _ = writeln!(
            text,
            "| forwarder, {} | time to drain | {drain:.3} | 1/5 = 0.200 |",
            comparison.name
        );
    }
    text
}

fn conditions(arguments: &Arguments, machine: &[String]) -> String {
    let mut text = String::from("\n## Conditions\n\n");
    for line in machine {
        let _ = writeln!(text, "- {line}");
    }
    let _ = writeln!(
        text,
        "- {} rounds; {} spans of a side in each as fast as they are taken, over {} connections, then {} s at a fixed rate\n\
         - load, Kafka and sink run on the same machine; only the compared process is counted",
        arguments.rounds, arguments.spans, arguments.connections, arguments.paced_seconds,
    );
    text
}
