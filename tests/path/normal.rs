//! Normal operation: every span of every request is in Jaeger, none twice, each under its parent.

use crate::harness::{Claim, Ground, WHOLE_PATH};
use crate::rig::Rig;
use anyhow::{Context, Result, ensure};
use spanferry_tests::samples::driver::{Answer, Plan, Traceparent};
use spanferry_tests::stack::destination::Destination;
use spanferry_tests::stack::jaeger::{Jaeger, Storage};
use spanferry_tests::traces::{Seen, in_order, root_of};

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![Claim::new("every_span_is_in_jaeger_once_and_under_its_parent", WHOLE_PATH, |ground| {
        Box::pin(every_span_is_in_jaeger_once_and_under_its_parent(ground))
    })]
}

async fn every_span_is_in_jaeger_once_and_under_its_parent(ground: &Ground) -> Result<()> {
    let directory = ground.directory("normal")?;
    let jaeger = Jaeger::start(&directory, Storage::Memory).await?;
    let mut rig = Rig::start(ground, "normal", Destination::Jaeger(jaeger)).await?;

    let plan = Plan { traceparent: Traceparent::Alternate, failing_every: 10, ..Plan::of(100) };
    rig.send(plan).await?;

    rig.accepted().await?;
    rig.delivered().await?;
    let holdings = rig.held().await?;
    ensure!(holdings.traces == 100 && holdings.repeats == 0, "{holdings:?}");
    for answer in &rig.answers {
        let spans = rig.destination.trace(&answer.trace_id).await?;
        has_the_shape_of_a_request(answer, &spans).with_context(|| format!("{spans:#?}"))?;
    }
    if let Destination::Jaeger(jaeger) = &rig.destination {
        let received = jaeger.received_spans().await?;
        ensure!(received == rig.expected(), "Jaeger took {received} spans");
    }
    ensure!(rig.envoy.filter_stat("spans_made").await? == 100, "a span for each request");
    ensure!(rig.envoy.dropped_spans().await? == 0, "the filter dropped spans");
    Ok(())
}

/// The gateway's span on top, the sample's `process-request` under it, and its three or two steps under that.
fn has_the_shape_of_a_request(answer: &Answer, spans: &[Seen]) -> Result<()> {
    let root = match root_of(spans, answer.client_span.as_deref()) {
        Ok(root) => root,
        Err(fault) => anyhow::bail!("{fault:?}"),
    };
    let shape: Vec<(usize, &str, &str)> = in_order(spans, root)
        .into_iter()
        .map(|(depth, span)| (depth, span.service.as_str(), span.name.as_str()))
        .collect();
    let mut wanted = vec![
        (0, "gateway", root.name.as_str()),
        (1, "sample", "process-request"),
        (2, "sample", "validate-request"),
        (2, "sample", "process-business-logic"),
        (2, "sample", "send-response"),
    ];
    if answer.status == 400 {
        wanted.remove(3);
    }
    ensure!(shape == wanted, "{} has the shape {shape:?}", answer.trace_id);
    let failed = spans.iter().filter(|span| span.failed).count();
    // 500: gateway, process-request and business logic; 400: the validation only, as a server's fault it is none.
    let wanted = match answer.status {
        500 => 3,
        400 => 1,
        _ => 0,
    };
    ensure!(failed == wanted, "{failed} failed spans, {wanted} wanted");
    Ok(())
}
