//! What was promised, what was measured, and whether it holds: the median against the bound.

use super::{Results, filter};
use crate::embedded::Round;
use crate::figures::{Comparison, Side, Slice};
use crate::records::OF_BATCHES;
use spanferry_tests::measure::Spread;

/// The most resident memory that is promised, MB.
const MEMORY_MB: f64 = 64.0;
/// Spans a second that the embedded log is to acknowledge.
const EMBEDDED: f64 = 300_000.0;
/// From request to visible, ms.
const VISIBLE_MS: f64 = 1_000.0;

const HEAD: &str = "## What is promised

Ratios are Spanferry's figure as a share of the peer's, taken round by round; the median counts.

| what | figure | measured | bound | holds |
|---|---|---|---|---|
";

/// The table.
pub fn table(results: &Results) -> String {
    let mut rows = vec![];
    for one in &results.bridges {
        let name = format!("bridge, {}", one.name);
        rows.push(cpu(&name, one, parts_of_a_bridge(&one.name)));
        rows.push(memory(&name, one));
        rows.push(at_most(&name, "p99 to acknowledgement, ratio", one.ratio(|s| s.p99_ms), 1.0));
    }
    for one in &results.forwarders {
        let name = format!("forwarder, {}", one.name);
        let has_a_record_a_trace = !one.name.contains(OF_BATCHES);
        rows.push(cpu(&name, one, has_a_record_a_trace.then_some(10.0)));
        rows.push(memory(&name, one));
        let drain = one.ratio(|slice: &Slice| 1.0 / slice.spans_a_second);
        rows.push(at_most(&name, "time to drain, ratio", drain, 1.0 / 5.0));
    }
    for (to, comparisons) in [("the sink", &results.chains), ("Jaeger", &results.ends)] {
        for one in comparisons {
            let name = format!("end to end into {to}, {}", one.name);
            rows.push(cpu(&name, one, None));
            let visible = one.of(Side::Spanferry, |slice| slice.p99_ms);
            rows.push(at_most(&name, "p99 to visible, ms", visible, VISIBLE_MS));
        }
    }
    for one in &results.embedded {
        let speed = Spread::of(one.rounds.iter().map(|round| round.spans_a_second));
        let name = format!("embedded log, {}", one.name);
        let holds = Some(speed.median >= EMBEDDED);
        rows.push(row(&name, "spans/s with fsync", &format!("{speed:.0}"), "≥ 300000", holds));
        let disk = format!("{:.0}", Spread::of(one.rounds.iter().map(Round::disk_limit)));
        rows.push(row(&name, "spans/s that the disk alone would take", &disk, "", None));
    }
    rows.extend(filter::rows());
    format!("{HEAD}{}", rows.concat())
}

/// What is promised of a bridge's CPU time: with several traces in a record only where traces have one span.
fn parts_of_a_bridge(name: &str) -> Option<f64> {
    let is_of_batches = name.contains(OF_BATCHES);
    if name.starts_with("1 span ") { Some(4.0) } else { (!is_of_batches).then_some(8.0) }
}

/// The CPU time a span, which is to be one of so many parts of the peer's, if that is promised.
fn cpu(name: &str, one: &Comparison, parts: Option<f64>) -> String {
    let (figure, ratio) = ("CPU a span, ratio", one.ratio(|slice| slice.cpu_us));
    match parts {
        Some(parts) => at_most(name, figure, ratio, 1.0 / parts),
        None => row(name, figure, &format!("{ratio:.3}"), "", None),
    }
}

fn memory(name: &str, one: &Comparison) -> String {
    at_most(name, "peak RSS, MB", one.of(Side::Spanferry, |slice| slice.peak_mb), MEMORY_MB)
}

fn at_most(name: &str, figure: &str, measured: Spread, bound: f64) -> String {
    let digits = if bound > 1.0 { 0 } else { 3 };
    let (measured, holds) = (format!("{measured:.digits$}"), measured.median <= bound);
    row(name, figure, &measured, &format!("≤ {bound:.digits$}"), Some(holds))
}

fn row(name: &str, figure: &str, measured: &str, bound: &str, holds: Option<bool>) -> String {
    let holds = holds.map_or("–", |holds| if holds { "yes" } else { "**no**" });
    format!("| {name} | {figure} | {measured} | {bound} | {holds} |\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::{FIVE, GATEWAY};
    use crate::records::Records;

    #[test]
    fn the_median_decides() {
        let held = at_most("a", "b", Spread::of([0.1, 0.12, 9.0]), 0.125);
        assert_eq!(held, "| a | b | 0.120 (0.100 … 9.000) | ≤ 0.125 | yes |\n");
        assert!(at_most("a", "b", Spread::of([65.0]), 64.0).ends_with("≤ 64 | **no** |\n"));
    }

    #[test]
    fn a_bridge_is_held_to_what_was_promised_of_its_records() {
        let of = |records: Records| parts_of_a_bridge(&records.name());
        assert_eq!(
            (of(Records::of_traces(FIVE)), of(Records::of_traces(GATEWAY))),
            (Some(8.0), Some(4.0))
        );
        assert_eq!(
            (of(Records::of_batches(FIVE)), of(Records::of_batches(GATEWAY))),
            (None, Some(4.0))
        );
    }
}
