//! The trace context on real Envoy: every dialect is joined, no header names another trace, and Envoy's own tracer
//! and the filter make one tree.

use crate::gateway::{Gateway, ids};
use crate::harness::{Claim, ENVOY, Ground};
use crate::rig::LIMIT;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use spanferry_tests::fakes::WireSpan;
use spanferry_tests::stack::bootstrap::Bootstrap;
use spanferry_tests::stack::wait::eventually;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![
        Claim::new("each_dialect_of_the_trace_context_is_joined", ENVOY, |ground| {
            Box::pin(each_dialect_of_the_trace_context_is_joined(ground))
        }),
        Claim::new("every_dialect_written_names_the_same_span", ENVOY, |ground| {
            Box::pin(every_dialect_written_names_the_same_span(ground))
        }),
        Claim::new("what_is_not_configured_passes_untouched", ENVOY, |ground| {
            Box::pin(what_is_not_configured_passes_untouched(ground))
        }),
        Claim::new("envoys_own_tracer_and_the_filter_make_one_tree", ENVOY, |ground| {
            Box::pin(envoys_own_tracer_and_the_filter_make_one_tree(ground))
        }),
    ]
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const W3C: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const B3: &str = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1";
/// A context that nobody may join: it is there to be overruled or removed.
const OTHER_JAEGER: &str = "1234:5678:0:1";

/// How each dialect writes the same caller.
const DIALECTS: &[&[(&str, &str)]] = &[
    &[("traceparent", W3C), ("tracestate", "vendor=1")],
    &[("b3", B3)],
    &[("X-B3-TraceId", TRACE), ("X-B3-SpanId", SPAN), ("X-B3-Sampled", "1")],
    &[("uber-trace-id", "4bf92f3577b34da6a3ce929d0e0e4736%3Af067aa0ba902b7%3A0%3A1")],
    &[(
        "X-Amzn-Trace-Id",
        "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1",
    )],
    &[
        ("x-datadog-trace-id", "11803532876627986230"),
        ("x-datadog-parent-id", "67667974448284343"),
        ("x-datadog-sampling-priority", "1"),
        ("x-datadog-tags", "_dd.p.dm=-1,_dd.p.tid=4bf92f3577b34da6"),
    ],
];

/// All headers of all dialects but W3C's own.
const OTHERS: [&str; 8] = [
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-sampled",
    "uber-trace-id",
    "x-amzn-trace-id",
    "x-datadog-trace-id",
    "x-datadog-tags",
];

async fn each_dialect_of_the_trace_context_is_joined(ground: &Ground) -> Result<()> {
    let keys = json!({
        "propagators": ["tracecontext", "b3", "xray", "datadog", "jaeger"],
        "max_batch_spans": 1,
    });
    let gateway = Gateway::start(ground, "dialects", keys).await?;
    for headers in DIALECTS {
        // Of two valid contexts the first in the configured order wins, and the other does not go on.
        let is_jaeger = headers[0].0 == "uber-trace-id";
        let other = (!is_jaeger).then_some(("uber-trace-id", OTHER_JAEGER));
        let sent: Vec<_> = headers.iter().copied().chain(other).collect();
        let seen = gateway.get("/", &sent).await?;
        let ids = ids(&seen)?;
        ensure!(ids.trace == TRACE && ids.span != SPAN && ids.sampled, "{headers:?}: {ids:?}");
        let left: Vec<_> = OTHERS.iter().filter(|name| seen.contains_key(**name)).collect();
        ensure!(left.is_empty(), "{headers:?}: {left:?} went on");
    }
    let spans = gateway.spans(DIALECTS.len()).await?;
    for span in spans {
        ensure!(span.trace_id == TRACE && span.parent_id == SPAN, "{:?}", span.span);
    }
    Ok(())
}

async fn every_dialect_written_names_the_same_span(ground: &Ground) -> Result<()> {
    let keys = json!({
        "propagators": ["b3"],
        "inject": ["tracecontext", "b3", "b3multi", "jaeger"],
    });
    let gateway = Gateway::start(ground, "inject", keys).await?;
    let sent = [("b3", "a3ce929d0e0e4736-00f067aa0ba902b7-d"), ("X-B3-ParentSpanId", SPAN)];
    let seen = gateway.get("/", &sent).await?;
    let ids = ids(&seen)?;
    ensure!(ids.trace == "0000000000000000a3ce929d0e0e4736" && ids.sampled, "{ids:?}");
    for (name, wanted) in [
        ("b3", format!("{}-{}-d", ids.trace, ids.span)),
        ("x-b3-traceid", ids.trace.clone()),
        ("x-b3-spanid", ids.span.clone()),
        ("x-b3-flags", "1".into()),
        ("uber-trace-id", format!("{}:{}:0:3", ids.trace, ids.span)),
    ] {
        ensure!(seen.get(name) == Some(&wanted), "{name}: {:?}, not {wanted}", seen.get(name));
    }
    ensure!(!seen.contains_key("x-b3-parentspanid"), "the caller's parent went on");
    ensure!(gateway.span(&ids.trace).await?.span_id == ids.span, "the span is another");
    Ok(())
}

async fn what_is_not_configured_passes_untouched(ground: &Ground) -> Result<()> {
    let gateway = Gateway::start(ground, "untouched-context", json!({})).await?;
    let sent = [
        ("traceparent", W3C),
        ("tracestate", "a=1, b=2"),
        ("baggage", "user=alice;ttl=1,  x=%20"),
        ("b3", B3),
        ("uber-trace-id", OTHER_JAEGER),
    ];
    let seen = gateway.get("/", &sent).await?;
    for (name, value) in &sent[1..] {
        ensure!(seen.get(*name).map(String::as_str) == Some(*value), "{name}: {seen:?}");
    }
    ensure!(ids(&seen)?.trace == TRACE, "{seen:?}");
    Ok(())
}

/// Envoy's own tracer, which sends to the same sink.
fn trace_natively(bootstrap: &mut Bootstrap) -> Result<()> {
    bootstrap.connection_manager()?["tracing"] = json!({
        "random_sampling": { "value": 100 },
        "spawn_upstream_span": true,
        "provider": { "name": "envoy.tracers.opentelemetry", "typed_config": {
            "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
            "service_name": "native",
            "http_service": { "http_uri": {
                "uri": "http://bridge/v1/traces", "cluster": "spanferry_bridge", "timeout": "1s",
            }},
        }},
    });
    Ok(())
}

/// Envoy's tracer writes its own context when the request leaves, after the filter. The filter's span then joins
/// the trace that went upstream, below the span that upstream sees as its caller.
async fn envoys_own_tracer_and_the_filter_make_one_tree(ground: &Ground) -> Result<()> {
    let gateway = Gateway::start_changed(ground, "both", json!({}), trace_natively).await?;
    for (client, sent) in [("", &[][..]), (SPAN, &[("traceparent", W3C)][..])] {
        let upstream = ids(&gateway.get("/", sent).await?)?;
        let ours = gateway.span(&upstream.trace).await?;
        ensure!(ours.parent_id == upstream.span, "{ours:?} is not below {upstream:?}");
        let native = eventually("two spans of Envoy's own tracer", LIMIT, async || {
            let mut spans = gateway.spans_of("native");
            spans.retain(|span| span.trace_id == upstream.trace);
            Ok((spans.len() == 2).then_some(spans))
        })
        .await?;
        let by_id = |id: &str| native.iter().find(|span: &&WireSpan| span.span_id == id);
        let egress = by_id(&upstream.span).context("the upstream's caller was not exported")?;
        let ingress = by_id(&egress.parent_id).context("Envoy's own tree is broken")?;
        ensure!(ingress.parent_id == client, "the root's parent: {}", ingress.parent_id);
    }
    Ok(())
}
