//! The filter's span and the SDK's meet in one trace; the filter's kind follows the listener. The sink is the bridge.

use crate::harness::{Claim, ENVOY, Ground};
use crate::rig::{LIMIT, all_as_wanted};
use anyhow::{Result, ensure};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use spanferry_tests::fakes::Sink;
use spanferry_tests::samples::driver::{Driver, Plan, Traceparent};
use spanferry_tests::stack::destination::Destination;
use spanferry_tests::stack::envoy::{Direction, Envoy, Setup};
use spanferry_tests::stack::sample::Sample;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![
        Claim::new("an_inbound_listener_makes_server_spans_of_one_tree", ENVOY, |ground| {
            Box::pin(one_tree(ground, Direction::Inbound, SpanKind::Server))
        }),
        Claim::new("an_outbound_listener_makes_client_spans_of_one_tree", ENVOY, |ground| {
            Box::pin(one_tree(ground, Direction::Outbound, SpanKind::Client))
        }),
    ]
}

async fn one_tree(ground: &Ground, direction: Direction, kind: SpanKind) -> Result<()> {
    let directory = ground.directory(&format!("one-tree-{direction:?}"))?;
    let sink = Sink::start()?;
    let sample = Sample::start(&directory, sink.address()).await?;
    let setup = Setup { direction, ..Setup::new(sample.address(), sink.address()) };
    let envoy = Envoy::start(&directory, &setup).await?;

    let plan = Plan { traceparent: Traceparent::Alternate, failing_every: 4, ..Plan::of(40) };
    let answers = Driver::new(envoy.address()).send_all(plan).await;
    all_as_wanted(&answers)?;

    let destination = Destination::Sink(sink);
    destination.holdings(&answers, LIMIT).await?.whole()?;
    let Destination::Sink(sink) = destination else { anyhow::bail!("a sink it was") };
    let own: Vec<_> = sink.spans().into_iter().filter(|span| span.service == "gateway").collect();
    ensure!(own.len() == 40, "{} spans of the gateway", own.len());
    for found in own {
        ensure!(found.span.kind() == kind, "{:?}", found.span);
    }
    Ok(())
}
