//! How Spanferry's cost grows: one thing is changed at a time, and CPU time a span is measured of the bridge, of the broker and of
//! the forwarder that drains what the bridge wrote.

use crate::corpus::{Batch, Corpus, FIVE, GATEWAY, Recipe};
use crate::disk::{Probe, probe};
use crate::figures::Side;
use crate::forwarders::Backlog;
use crate::ground::Ground;
use crate::load::Protocol;
use crate::meter::Meter;
use crate::records::Records;
use crate::sides::Bridge;
use crate::sink::Sink;
use anyhow::{Context, Result};
use spanferry_tests::measure::Spread;
use std::sync::Arc;
use std::time::Duration;

/// Requests of a small batch are many: no more than so many are sent.
const MOST_REQUESTS: u64 = 20_000;
/// Of the disk's probe, bytes.
const BLOCK: usize = 512 << 10;
/// Spans of a request where that is not what is changed.
const BATCH: usize = 500;

/// Where one measurement is made.
#[derive(Clone, Copy, Debug)]
struct Place {
    recipe: Recipe,
    partitions: u32,
    connections: usize,
    spans: u64,
}

/// What one measurement gave.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// CPU time of the bridge a span, µs.
    pub bridge_us: f64,
    /// CPU time of the broker a span, µs, for taking it in and giving it out.
    pub broker_us: f64,
    /// CPU time of the forwarder a span, µs.
    pub forwarder_us: f64,
    /// Bytes in Kafka a span.
    pub kafka_bytes: f64,
    /// Spans a second that the bridge acknowledged.
    pub accepted_a_second: f64,
    /// Spans a second that the forwarder delivered.
    pub delivered_a_second: f64,
}

/// A place on a curve, measured several times.
pub struct Point {
    /// Where on the axis.
    pub at: f64,
    /// By round.
    pub samples: Vec<Sample>,
}

/// A curve.
pub struct Curve {
    /// What is changed, for a reader.
    pub axis: &'static str,
    /// The name of its plot.
    pub file: &'static str,
    /// In order of the axis.
    pub points: Vec<Point>,
}

/// Spans of a point. More of them, in large requests or over many connections, are more at once than the bridge lets into its
/// queue (`--queue-bytes`), and it would tell senders to retry.
const MOST_SPANS: u64 = 30_000;

/// All curves, and what the extrapolation rests on.
pub struct Curves {
    /// Every curve.
    pub curves: Vec<Curve>,
    /// Traces of five spans, and of one, in mixed requests.
    pub usual: [Point; 2],
    /// The disk alone.
    pub disk: Probe,
}

impl Point {
    /// One figure over all rounds.
    pub fn of(&self, figure: fn(&Sample) -> f64) -> Spread {
        Spread::of(self.samples.iter().map(figure))
    }
}

/// Measures every point of every curve.
pub async fn measure(ground: &Ground) -> Result<Curves> {
    let mut curves = Vec::new();
    for (axis, file, mut places) in axes(ground) {
        if ground.arguments.quick {
            places.drain(1..places.len() - 1);
        }
        let mut points = Vec::new();
        for (at, place) in places {
            points.push(point(ground, &format!("{axis}: {at}"), at, place).await?);
        }
        curves.push(Curve { axis, file, points });
    }
    let place = usual(ground);
    let five = point(ground, FIVE.name, 5.0, place).await?;
    let gateway = Place { recipe: GATEWAY, ..place };
    let one = point(ground, GATEWAY.name, 1.0, gateway).await?;
    let (directory, _) = ground.place("disk")?;
    let disk = probe(&directory, BLOCK, Duration::from_secs(2))?;
    Ok(Curves { curves, usual: [five, one], disk })
}

type Axis = (&'static str, &'static str, Vec<(f64, Place)>);

fn usual(ground: &Ground) -> Place {
    let arguments = &ground.arguments;
    Place {
        recipe: FIVE,
        partitions: arguments.partitions,
        connections: arguments.connections,
        spans: (arguments.spans / 2).min(MOST_SPANS),
    }
}

fn axes(ground: &Ground) -> Vec<Axis> {
    let place = usual(ground);
    let recipe = Recipe { batch: Batch::Of(BATCH), ..FIVE };
    let place = Place { recipe, ..place };
    let spans_a_trace =
        |spans_a_trace| Place { recipe: Recipe { spans_a_trace, ..recipe }, ..place };
    let batch = |spans: usize| Place {
        recipe: Recipe { batch: Batch::Of(spans), ..recipe },
        spans: place.spans.min(spans as u64 * MOST_REQUESTS),
        ..place
    };
    let attributes =
        |count| Place { recipe: Recipe { attributes: Some(count), ..recipe }, ..place };
    let each = |counts: &[usize], of: &dyn Fn(usize) -> Place| {
        counts.iter().map(|count| (*count as f64, of(*count))).collect::<Vec<_>>()
    };
    vec![
        ("spans a trace", "scaling-trace.svg", each(&[1, 2, 5, 10, 20, 40], &spans_a_trace)),
        ("spans a request", "scaling-batch.svg", each(&[1, 10, 100, 500, 2_000], &batch)),
        ("attributes a span", "scaling-attributes.svg", each(&[0, 5, 10, 20, 40], &attributes)),
        (
            "partitions",
            "scaling-partitions.svg",
            each(&[1, 4, 16, 64], &|count| Place { partitions: count as u32, ..place }),
        ),
        (
            "sources (connections)",
            "scaling-sources.svg",
            each(&[1, 8, 64, 256], &|connections| Place { connections, ..place }),
        ),
        (
            "backlog, spans",
            "scaling-backlog.svg",
            each(&[1, 10, 100], &|share| Place {
                spans: ground.arguments.backlog * share as u64 / 100,
                ..place
            })
            .into_iter()
            .map(|(_, place)| (place.spans as f64, place))
            .collect(),
        ),
    ]
}

async fn point(ground: &Ground, name: &str, at: f64, place: Place) -> Result<Point> {
    eprintln!("{name}");
    let corpus = Arc::new(Corpus::make(place.recipe, ground.arguments.seed)?);
    let mut samples = Vec::new();
    for _ in 0..ground.arguments.rounds {
        samples.push(sample(ground, place, &corpus).await.with_context(|| name.to_owned())?);
    }
    Ok(Point { at, samples })
}

async fn sample(ground: &Ground, place: Place, corpus: &Arc<Corpus>) -> Result<Sample> {
    let extent = corpus.of_spans(place.spans);
    let topic = ground.topic(place.partitions).await?;
    let records = Records::of_traces(place.recipe);
    let bridge = Bridge::start(ground, Side::Spanferry, &topic, records).await?;
    let target = bridge.address(Protocol::Http)?;
    let mut load = ground.load(target, Protocol::Http, corpus, extent);
    load.connections = place.connections;
    let first = load.first;
    let broker = Meter::start(&[ground.kafka.id()?])?;
    let meter = Meter::start(&[bridge.id()])?;
    let report = load.run().await?;
    let used = meter.read()?;
    drop(bridge);
    let kafka_bytes = topic.bytes(&ground.kafka)? as f64 / extent.spans as f64;
    let backlog = Backlog { topic, records, corpus: corpus.clone(), extent, first };
    let sink = Sink::start()?;
    let drained = backlog.drain(ground, Side::Spanferry, Protocol::Grpc, &sink).await?;
    Ok(Sample {
        bridge_us: used.cpu_us(extent.spans),
        broker_us: broker.read()?.cpu_us(extent.spans),
        forwarder_us: drained.cpu_us,
        kafka_bytes,
        accepted_a_second: extent.spans as f64 / report.elapsed.as_secs_f64(),
        delivered_a_second: drained.spans_a_second,
    })
}
