//! The page `docs/filter-performance.md`: the table, the ratios, and under what conditions.

use crate::Arguments;
use crate::cases::{ALL, Case};
use crate::figures::{Measured, Slice};
use spanferry_tests::measure::Spread;
use std::fmt::Write;

const HEAD: &str = "# What the filter costs

Written by `make bench-filter`; do not edit. One run, one Envoy binary, one load; each round takes every case in turn.

![CPU time a request](filter-performance.svg)

";

const COLUMNS: &str =
    "| case | CPU a request, µs | added CPU, µs | added p50, µs | added p99, µs | RSS, MiB |
|---|---|---|---|---|---|
";

const HOW_TO_READ: &str = "
Each figure is the median of all rounds, with the smallest and the largest in brackets. CPU time is that of the whole Envoy
process, user and system, for requests sent as fast as they are answered. \"Added\" is the difference to no tracing in the same
round. Latency is measured at a fixed rate, from the time at which a request should have left. Every request was answered with
200, and every span was counted at the collector, which answers 200 to all.
";

/// The whole page.
pub fn page(arguments: &Arguments, measured: &Measured, machine: &[String]) -> String {
    let mut page = String::from(HEAD);
    page.push_str(COLUMNS);
    ALL.iter().for_each(|case| page.push_str(&row(measured, *case)));
    page.push_str(HOW_TO_READ);
    page.push_str(&ratios(measured));
    page.push_str(&latency(measured));
    page.push_str(&where_it_goes(measured));
    page.push_str(&conditions(arguments, measured, machine));
    page
}

fn row(measured: &Measured, case: Case) -> String {
    let cpu = |slice: &Slice| slice.cpu_us;
    let added = |figure: fn(&Slice) -> f64| match case {
        Case::Bare => "–".to_owned(),
        _ => shown(measured.beyond(case, Case::Bare, figure), 1),
    };
    let resident = measured.resident.get(case.index()).copied().unwrap_or_default();
    format!(
        "| {} | {} | {} | {} | {} | {} |\n",
        case.name(),
        shown(measured.of(case, cpu), 1),
        added(cpu),
        added(|slice| slice.p50_us),
        added(|slice| slice.p99_us),
        resident >> 20,
    )
}

fn ratios(measured: &Measured) -> String {
    let peer = measured.cheaper_native();
    let mut text = format!(
        "\n## Ratios\n\nAdded CPU time as a share of what {} adds, the cheaper of its two exporters; taken round by \
         round.\n\n| what | ratio | bound |\n|---|---|---|\n",
        peer.name()
    );
    let rows = [
        (Case::SameTags, Case::Bare, "", "0.6"),
        (Case::Default, Case::Bare, "", ""),
        (Case::Calls, Case::Bare, "", ""),
        (Case::LeftOutByCaller, Case::FloorOfCaller, ", beyond the floor", "0.15"),
        (Case::LeftOutHere, Case::Floor, ", beyond the floor", "0.15"),
    ];
    for (case, base, beyond, bound) in rows {
        let ratio = shown(measured.ratio((case, base), peer), 2);
        let _ = writeln!(text, "| {}{beyond} | {ratio} | {bound} |", case.name());
    }
    text
}

fn latency(measured: &Measured) -> String {
    let (ours, rounds) = (Case::SameTags, measured.rounds.len());
    let mut text = format!(
        "\n## Latency beside Envoy's tracer\n\nBy how much {} is above each exporter, in the same round, µs; and in how many of \
         {rounds} rounds it is not. Where neither differs, chance alone makes it half of them.\n\n\
         | beside | p50 | not above in | p99 | not above in |\n|---|---|---|---|---|\n",
        ours.name()
    );
    for peer in [Case::NativeGrpc, Case::NativeHttp] {
        let above = |figure| shown(measured.beyond(ours, peer, figure), 1);
        let not_above = |figure| measured.no_higher(ours, peer, figure);
        let (p50, p99) = (|slice: &Slice| slice.p50_us, |slice: &Slice| slice.p99_us);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            peer.name(),
            above(p50),
            not_above(p50),
            above(p99),
            not_above(p99),
        );
    }
    text
}

fn where_it_goes(measured: &Measured) -> String {
    let step = |case, base| shown(measured.beyond(case, base, |slice| slice.cpu_us), 1);
    let mut text = String::from("\n## Where it goes\n\n| step | µs |\n|---|---|\n");
    let steps = [
        ("calls into the VM and back, which no filter is without", Case::Floor, Case::Bare),
        (
            "a caller's header, which Envoy reads and passes on whoever traces",
            Case::FloorOfCaller,
            Case::Floor,
        ),
        ("seeing that the caller left the request out", Case::LeftOutByCaller, Case::FloorOfCaller),
        (
            "leaving it out itself: seeing no caller, writing the context on",
            Case::LeftOutHere,
            Case::Floor,
        ),
        (
            "what Envoy is asked for a span: headers, properties, clock, the context on",
            Case::Calls,
            Case::Floor,
        ),
        ("beyond that: the filter's own code, the export", Case::SameTags, Case::Calls),
        ("Envoy's tags in the place of the conventions' attributes", Case::SameTags, Case::Default),
    ];
    for (what, case, base) in steps {
        let _ = writeln!(text, "| {what} | {} |", step(case, base));
    }
    text
}

fn conditions(arguments: &Arguments, measured: &Measured, machine: &[String]) -> String {
    let Arguments { rounds, laps, requests, paced_requests, rate, connections, workers, .. } =
        arguments;
    let mut text = String::from("\n## Conditions\n\n");
    for line in machine {
        let _ = writeln!(text, "- {line}");
    }
    let _ = writeln!(
        text,
        "- {rounds} rounds; a case in a round: {laps} times {requests} requests over {connections} connections for CPU \
         time, then {paced_requests} at {rate} a second for latency; Envoy with --concurrency {workers}\n\
         - client, service and collector are one process on the same machine, {}",
        if measured.had_own_core { "and Envoy has a core of its own" } else { "on one core" }
    );
    text
}

fn shown(figures: Spread, digits: usize) -> String {
    format!("{figures:.digits$}")
}
