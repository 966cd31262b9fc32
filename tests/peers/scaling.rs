//! The page `docs/scaling.md`: the curves, and what they mean for a million spans a second.

use crate::Arguments;
use crate::curves::{Curve, Curves, Point};
use std::fmt::Write;
use std::time::Duration;

/// Spans a second of the extrapolation.
const GOAL: f64 = 1e6;
const SECONDS_A_DAY: f64 = 86_400.0;
/// Copies that Kafka keeps, as is usual.
const REPLICAS: f64 = 3.0;

const HEAD: &str = "# How cost grows

Written by `make bench BENCH=--curves`; do not edit. One thing is changed at a time; the rest is: traces of 5 spans, requests of 500
spans, over OTLP/HTTP. CPU time a span in µs is CPU seconds a million spans: of the bridge, of Kafka's broker (taking in and giving out,
with one replica), and of the forwarder that drains what the bridge wrote. The median of all rounds, with the smallest and the largest.

Each point has processes and a topic of its own, so what a first connection to new partitions costs is in it: with few spans, accepted/s
and the broker's CPU time show that more than the steady state (compare the last lines of \"By backlog\"), and the more the more partitions
there are. A broker's figure of 0 is a round in which its threads ended, which takes their time out of /proc.

";

/// The whole page.
pub fn page(arguments: &Arguments, curves: &Curves, machine: &[String], took: Duration) -> String {
    let mut page = String::from(HEAD);
    curves.curves.iter().for_each(|one| page.push_str(&curve(one)));
    page.push_str(&goal(curves));
    page.push_str("\n## Conditions\n\n");
    for line in machine {
        let _ = writeln!(page, "- {line}");
    }
    let _ = writeln!(
        page,
        "- {} rounds of {} spans (fewer where requests are small) and backlogs of up to {}; {} connections and {} partitions where \
         nothing else is said\n- the run took {:.0} min",
        arguments.rounds,
        arguments.spans / 2,
        arguments.backlog,
        arguments.connections,
        arguments.partitions,
        took.as_secs_f64() / 60.0,
    );
    page
}

fn curve(curve: &Curve) -> String {
    let Curve { axis, file, points } = curve;
    let mut text = format!(
        "## By {axis}\n\n![CPU time a span by {axis}]({file})\n\n\
         | {axis} | bridge, µs | broker, µs | forwarder, µs | Kafka bytes a span | accepted/s | delivered/s |\n\
         |---|---|---|---|---|---|---|\n"
    );
    for point in points {
        let _ = writeln!(
            text,
            "| {} | {:.2} | {:.2} | {:.2} | {:.0} | {:.0} | {:.0} |",
            point.at,
            point.of(|sample| sample.bridge_us),
            point.of(|sample| sample.broker_us),
            point.of(|sample| sample.forwarder_us),
            point.of(|sample| sample.kafka_bytes),
            point.of(|sample| sample.accepted_a_second),
            point.of(|sample| sample.delivered_a_second),
        );
    }
    text + "\n"
}

/// What a million spans a second need, straight from the figures of mixed requests.
struct Need {
    bridge_cores: f64,
    broker_cores: f64,
    forwarder_cores: f64,
    megabytes_a_second: f64,
}

impl Need {
    fn of(point: &Point) -> Need {
        let cores = |figure| point.of(figure).median * GOAL / 1e6;
        Need {
            bridge_cores: cores(|sample| sample.bridge_us),
            broker_cores: cores(|sample| sample.broker_us),
            forwarder_cores: cores(|sample| sample.forwarder_us),
            megabytes_a_second: point.of(|sample| sample.kafka_bytes).median * GOAL / 1e6,
        }
    }
}

fn goal(curves: &Curves) -> String {
    let needs = curves.usual.each_ref().map(Need::of);
    let row = |what: &str, of: &dyn Fn(&Need) -> f64| {
        format!("| {what} | {:.1} | {:.1} |\n", of(&needs[0]), of(&needs[1]))
    };
    let one_partition = curves.curves.iter().find(|one| one.axis == "partitions");
    let one_partition = one_partition.and_then(|one| one.points.first());
    let reading = one_partition.map_or(0.0, |one| one.of(|s| s.delivered_a_second).median);
    let writing = one_partition.map_or(0.0, |one| one.of(|s| s.accepted_a_second).median);
    let disk = curves.disk.bytes_a_second() / 1e6;
    let slower = reading.min(writing).max(1.0);
    let mut text = String::from(
        "## A million spans a second\n\nThe straight line through the measured cost of requests of 1 to 2,000 spans: no step in it was \
         run, and cores are such as this machine's.\n\n\
         | what | traces of 5 spans | traces of 1 span |\n|---|---|---|\n",
    );
    text += &row("cores for bridges", &|need| need.bridge_cores);
    text += &row("cores for forwarders", &|need| need.forwarder_cores);
    text += &row("cores for brokers, one replica", &|need| need.broker_cores);
    text += &row("MB/s into Kafka, one replica", &|need| need.megabytes_a_second);
    text += &row("TB a day in Kafka, three replicas", &|need| {
        need.megabytes_a_second * REPLICAS * SECONDS_A_DAY / 1e6
    });
    text += &row("disks such as this one, three replicas", &|need| {
        need.megabytes_a_second * REPLICAS / disk.max(1.0)
    });
    let _ = writeln!(
        text,
        "\nThis machine's disk takes {disk:.0} MB/s in blocks of {} KiB with fdatasync. One partition was written at {writing:.0} and read \
         at {reading:.0} spans/s here, with load, broker and sink on the same cores: so at least {:.0} partitions, and as many as there \
         are forwarders; the first connection is in that, so fewer will do.",
        curves.disk.block >> 10,
        (GOAL / slower).ceil(),
    );
    text + &breaks(&needs, disk)
}

/// What is used up first when one machine such as this one holds everything but the load.
fn breaks(needs: &[Need; 2], disk: f64) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let mut text = String::from("\nWhat would break first:\n\n");
    for (name, need) in ["traces of 5 spans", "traces of 1 span"].iter().zip(needs) {
        let parts = [
            ("a bridge on a machine of its own", GOAL * cores / need.bridge_cores.max(1e-9)),
            ("a forwarder on a machine of its own", GOAL * cores / need.forwarder_cores.max(1e-9)),
            (
                "a broker on a machine of its own, by CPU",
                GOAL * cores / need.broker_cores.max(1e-9),
            ),
            (
                "a broker's disk, three replicas on three",
                GOAL * disk / need.megabytes_a_second.max(1e-9),
            ),
        ];
        let mut parts = parts.to_vec();
        parts.sort_by(|(_, one), (_, other)| one.total_cmp(other));
        let parts: Vec<String> =
            parts.iter().map(|(part, spans)| format!("{part}: {spans:.0} spans/s")).collect();
        let _ = writeln!(text, "- {name}: {}", parts.join("; "));
    }
    text
}
