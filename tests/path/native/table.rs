//! The table of `docs/filter.md` is whole: every option that this Envoy's own tracer knows and every tag that it gives has
//! its row. What a later Envoy adds fails here until the table says what ours does about it.

use super::descriptor::Descriptors;
use super::{LIMIT, Scene, Tracer};
use crate::harness::Ground;
use anyhow::{Result, ensure};
use serde_json::json;
use spanferry_tests::stack::bootstrap::Bootstrap;
use spanferry_tests::stack::load::{Load, Until};
use spanferry_tests::stack::native::Exporter;
use spanferry_tests::stack::wait::eventually;
use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../docs/filter.md");

/// The messages that configure it.
const MESSAGES: [(&str, &str); 9] = [
    ("envoy/config/trace/v3/opentelemetry.proto", "OpenTelemetryConfig"),
    (
        "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto",
        "HttpConnectionManager.Tracing",
    ),
    ("envoy/config/route/v3/route_components.proto", "Tracing"),
    ("envoy/config/route/v3/route_components.proto", "Decorator"),
    ("envoy/type/tracing/v3/custom_tag.proto", "CustomTag"),
    (
        "envoy/extensions/tracers/opentelemetry/resource_detectors/v3/static_config_resource_detector.proto",
        "StaticConfigResourceDetectorConfig",
    ),
    (
        "envoy/extensions/tracers/opentelemetry/samplers/v3/parent_based_sampler.proto",
        "ParentBasedSamplerConfig",
    ),
    (
        "envoy/extensions/tracers/opentelemetry/samplers/v3/trace_id_ratio_based_sampler.proto",
        "TraceIdRatioBasedSamplerConfig",
    ),
    ("envoy/extensions/tracers/opentelemetry/samplers/v3/cel_sampler.proto", "CELSamplerConfig"),
];

pub async fn the_table_has_every_option_of_envoys_tracer() -> Result<()> {
    let descriptors = Descriptors::of_envoy()?;
    let mut missing = Vec::new();
    for (file, message) in MESSAGES {
        let fields = descriptors.fields(file, message)?;
        ensure!(!fields.is_empty(), "{message} has no fields");
        missing.extend(
            fields.into_iter().filter(|field| !has_row(field)).map(|field| (message, field)),
        );
    }
    ensure!(missing.is_empty(), "docs/filter.md has no row for {missing:?}");
    Ok(())
}

pub async fn the_table_has_every_tag_of_envoys_tracer(ground: &Ground) -> Result<()> {
    let scene =
        Scene::start_changed(ground, "tags", Tracer::Native(Exporter::Http), routes).await?;
    let requests: [(&str, &[(&str, &str)]); 5] = [
        ("/", &[("user-agent", "test"), ("x-client-trace-id", "abc")]),
        ("/nobody", &[]),
        (
            "/package.Service/Call",
            &[("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "1S")],
        ),
        ("/local", &[("x-envoy-downstream-service-cluster", "front")]),
        ("/none", &[]),
    ];
    for (path, headers) in requests {
        Load::new(scene.envoy.address(), Until::Requests(1)).get(path, headers).run().await?;
    }
    eventually("a span of each request, and of each request upstream", LIMIT, async || {
        let spans = scene.collector.span_count();
        ensure!(spans > requests.len(), "{spans} spans");
        Ok(Some(()))
    })
    .await?;
    let spans = scene.collector.spans();
    let tags: BTreeSet<&str> = spans
        .iter()
        .flat_map(|span| span.span.attributes.iter().map(|attribute| attribute.key.as_str()))
        .collect();
    ensure!(tags.contains("guid:x-client-trace-id") && tags.contains("error"), "{tags:?}");
    let missing: Vec<_> = tags.iter().filter(|tag| !has_row(tag)).collect();
    ensure!(missing.is_empty(), "docs/filter.md has no row for {missing:?}");
    Ok(())
}

/// Routes to a service, to nobody, and to none; a span of its own for each request upstream.
fn routes(bootstrap: &mut Bootstrap) -> Result<()> {
    *bootstrap.routes()? = json!([
        { "match": { "prefix": "/nobody" }, "route": { "cluster": "nobody" } },
        { "match": { "prefix": "/local" }, "direct_response": { "status": 204 } },
        { "match": { "prefix": "/" }, "route": { "cluster": "sample", "retry_policy": { "retry_on": "5xx" } } },
    ]);
    let manager = bootstrap.connection_manager()?;
    manager["route_config"]["validate_clusters"] = json!(false);
    let tracing = &mut manager["tracing"];
    (tracing["verbose"], tracing["spawn_upstream_span"]) = (json!(true), json!(true));
    Ok(())
}

/// Whether a row of a table names it.
fn has_row(name: &str) -> bool {
    let name = format!("`{name}`");
    PAGE.lines().any(|line| line.starts_with('|') && line.contains(&name))
}
