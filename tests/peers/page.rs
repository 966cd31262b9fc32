//! The page `docs/performance.md`: what was promised and whether it holds, the tables behind it, and under what conditions.

mod filter;
mod tables;
mod verdicts;

use crate::Arguments;
use crate::embedded::Measured;
use crate::figures::Comparison;
use crate::variants::Tried;
use std::fmt::Write;
use std::time::Duration;

/// Everything that a run measured.
#[derive(Default)]
pub struct Results {
    /// OTLP in, Kafka out.
    pub bridges: Vec<Comparison>,
    /// Kafka in, OTLP out.
    pub forwarders: Vec<Comparison>,
    /// OTLP in, OTLP out.
    pub chains: Vec<Comparison>,
    /// OTLP in, Jaeger.
    pub ends: Vec<Comparison>,
    /// Our bridge with other settings.
    pub settings: Vec<Tried>,
    /// Without Kafka.
    pub embedded: Vec<Measured>,
}

const HEAD: &str = "# What Spanferry costs, beside its peers

Written by `make bench`; do not edit. One run on one machine, the same requests to both sides, and the same promise: an answer of 200
means that Kafka has the spans with acks=all, and an offset is committed only when the destination has answered. In each round the
sides take turns. A figure is the median of all rounds, with the smallest and the largest in brackets.

![CPU time a span](performance-cpu.svg)
![Peak memory](performance-memory.svg)
![p99 of latency](performance-latency.svg)

";

const PEERS: &str = "
## The peers

Each has the configuration that costs it least among those that keep the promise; each option is explained in its file.

| peer | as | configuration |
|---|---|---|
| OpenTelemetry Collector | bridge | [tests/peers/collector-to-kafka.yaml](../tests/peers/collector-to-kafka.yaml) |
| OpenTelemetry Collector | forwarder | [tests/peers/collector-from-kafka.yaml](../tests/peers/collector-from-kafka.yaml) |
| Jaeger | ingester | [tests/peers/jaeger-ingester.yaml](../tests/peers/jaeger-ingester.yaml) |
| Jaeger | destination of our forwarder | [tests/peers/destination-jaeger.yaml](../tests/peers/destination-jaeger.yaml) |
| Spanferry | all | its defaults, and `--record batch` where a row has it |

PyPI's `rotel` (0.0.1a15) is not compared, since its promise cannot be set equal: with `--exporter kafka --kafka-exporter-acks all` and
no Kafka there it answers 200; it has no key by trace id for traces, and no Kafka receiver.
";

const HOW_TO_READ: &str = "
## How to read it

- CPU time is user and system of the compared processes alone, from /proc. The load, Kafka and the sink share the machine with them, so
  spans a second are what is left on it, and are to be compared and not to be quoted.
- The corpus is made from a seed: spans of 200 B to 4 KB, requests of 1 to 2,000 spans, evenly spread on a logarithmic scale. Each
  request has its number in its trace ids, so no trace is sent twice.
- Every request was answered with 200, and every span of it was counted in the topic or at the sink, once; else the run ends.
- Latency is taken at half of what the slower side can do, the same rate for both, from the time at which a request should have left.
  To visible it is until the last span of the request is at the destination; the filter's batch, of at most 200 ms, comes before.
";

/// The whole page.
pub fn page(
    arguments: &Arguments,
    results: &Results,
    machine: &[String],
    took: Duration,
) -> String {
    let mut page = String::from(HEAD);
    page.push_str(&verdicts::table(results));
    page.push_str(&tables::all(results));
    page.push_str(PEERS);
    page.push_str(HOW_TO_READ);
    page.push_str(&conditions(arguments, machine, took));
    page
}

fn conditions(arguments: &Arguments, machine: &[String], took: Duration) -> String {
    let mut text = String::from("\n## Conditions\n\n");
    for line in machine {
        let _ = writeln!(text, "- {line}");
    }
    let Arguments { rounds, spans, backlog, connections, partitions, paced_seconds, .. } =
        arguments;
    let _ = writeln!(
        text,
        "- {rounds} rounds; {spans} spans of a side in each as fast as they are taken (a third of it where a trace has one span), over \
         {connections} connections, then {paced_seconds} s at a fixed rate; {partitions} partitions; backlogs of {backlog} spans \
         and a fifth of it\n- the run took {:.0} min",
        took.as_secs_f64() / 60.0,
    );
    text
}
