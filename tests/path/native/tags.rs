//! `attributes: envoy` gives the tags, the names and the values that Envoy's own tracer gives, so dashboards made for it
//! go on working: the same requests through both, tag by tag.

use super::{LIMIT, Scene, Tracer};
use crate::harness::Ground;
use anyhow::{Context, Result, ensure};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use serde_json::json;
use spanferry_tests::fakes::WireSpan;
use spanferry_tests::stack::bootstrap::Bootstrap;
use spanferry_tests::stack::load::{Load, Until};
use spanferry_tests::stack::native::Exporter;
use spanferry_tests::stack::wait::eventually;
use std::collections::BTreeMap;

type Headers = &'static [(&'static str, &'static str)];

/// Answered by the service, by nobody, by Envoy itself; with what each tag is read from.
const REQUESTS: [(&str, Headers); 7] = [
    ("/plain", &[("user-agent", "test"), ("x-client-trace-id", "abc")]),
    ("/nobody", &[]),
    ("/local", &[("x-envoy-downstream-service-cluster", "front")]),
    ("/query?page=2&sort=up", &[("user-agent", "test")]),
    ("/package.Service/Call", GRPC),
    ("/package.Failing/Internal", GRPC),
    ("/package.Failing/NotFound", GRPC),
];
const GRPC: Headers =
    &[("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "5S")];

/// Different in each request or each Envoy.
const RANDOM: &str = "guid:x-request-id";

pub async fn our_envoy_tags_are_those_of_envoys_tracer(ground: &Ground) -> Result<()> {
    let native = spans(ground, Tracer::Native(Exporter::Http)).await?;
    let ours = spans(ground, Tracer::Ours).await?;
    for (path, _) in REQUESTS {
        let (native, ours) = (of(&native, path)?, of(&ours, path)?);
        ensure!(native == ours, "{path}: Envoy's {native:#?}, ours {ours:#?}");
    }
    Ok(())
}

/// Name and tags of each request's span, by its URL.
async fn spans(ground: &Ground, tracer: Tracer) -> Result<Vec<BTreeMap<String, String>>> {
    let scene = Scene::start_changed(ground, "tags", tracer, |bootstrap| {
        routes(bootstrap)?;
        if tracer == Tracer::Ours {
            speak_envoys_tags(bootstrap)?;
        }
        Ok(())
    })
    .await?;
    for (path, headers) in REQUESTS {
        Load::new(scene.envoy.address(), Until::Requests(1)).get(path, headers).run().await?;
    }
    eventually("a span of each request", LIMIT, async || {
        let spans = scene.collector.span_count();
        ensure!(spans >= REQUESTS.len(), "{spans} spans");
        Ok(Some(()))
    })
    .await?;
    let listener = scene.envoy.address().to_string();
    let origin = scene.origin.address().to_string();
    let told = |span: &WireSpan| {
        let places = |text: String| text.replace(&listener, "LISTENER").replace(&origin, "SERVICE");
        let mut tags: BTreeMap<_, _> =
            tags(span).into_iter().map(|(key, value)| (key, places(value))).collect();
        tags.insert("(name)".into(), span.span.name.clone());
        tags.entry(RANDOM.into()).and_modify(|value| *value = "SOME".into());
        tags
    };
    Ok(scene.collector.spans().iter().map(told).collect())
}

fn of<'a>(
    spans: &'a [BTreeMap<String, String>],
    path: &str,
) -> Result<&'a BTreeMap<String, String>> {
    let url = format!("http://LISTENER{path}");
    let mut found = spans.iter().filter(|span| span.get("http.url") == Some(&url));
    found.next().with_context(|| format!("no span of {url}: {spans:#?}"))
}

fn tags(span: &WireSpan) -> Vec<(String, String)> {
    let attributes = span.span.attributes.iter();
    let pairs = attributes.map(|attribute| {
        let value = match attribute.value.as_ref().and_then(|any| any.value.clone()) {
            Some(Any::StringValue(text)) => text,
            other => format!("{other:?}"),
        };
        (attribute.key.clone(), value)
    });
    pairs.collect()
}

fn routes(bootstrap: &mut Bootstrap) -> Result<()> {
    let answer = |status: &str| {
        json!([
            { "header": { "key": "content-type", "value": "application/grpc" } },
            { "header": { "key": "grpc-status", "value": status } },
            { "header": { "key": "grpc-message", "value": "told so" } },
        ])
    };
    *bootstrap.routes()? = json!([
        { "match": { "path": "/package.Failing/Internal" }, "direct_response": { "status": 200 },
          "response_headers_to_add": answer("13") },
        { "match": { "path": "/package.Failing/NotFound" }, "direct_response": { "status": 200 },
          "response_headers_to_add": answer("5") },
        { "match": { "prefix": "/nobody" }, "route": { "cluster": "nobody" } },
        { "match": { "prefix": "/local" }, "direct_response": { "status": 204 } },
        { "match": { "prefix": "/" }, "route": { "cluster": "sample" } },
    ]);
    bootstrap.connection_manager()?["route_config"]["validate_clusters"] = json!(false);
    Ok(())
}

fn speak_envoys_tags(bootstrap: &mut Bootstrap) -> Result<()> {
    let plugin = json!({
        "cluster": "spanferry_bridge", "service_name": "gateway", "attributes": "envoy",
    });
    bootstrap.plugin()?["configuration"]["value"] = plugin.to_string().into();
    Ok(())
}
