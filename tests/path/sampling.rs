//! Sampling on real Envoy: what is left out, what is kept though it was left out, and what the service is told.

use crate::gateway::{Gateway, attribute, ids};
use crate::harness::{Claim, ENVOY, Ground};
use crate::rig::LIMIT;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use spanferry_tests::stack::bootstrap::Bootstrap;
use spanferry_tests::stack::wait::eventually;
use std::collections::BTreeSet;
use std::time::Instant;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![
        Claim::new("errors_and_slow_requests_are_kept_though_not_sampled", ENVOY, |ground| {
            Box::pin(errors_and_slow_requests_are_kept_though_not_sampled(ground))
        }),
        Claim::new("a_ratio_takes_the_same_traces_everywhere", ENVOY, |ground| {
            Box::pin(a_ratio_takes_the_same_traces_everywhere(ground))
        }),
        Claim::new("rules_decide_in_order", ENVOY, |ground| {
            Box::pin(rules_decide_in_order(ground))
        }),
        Claim::new("a_rate_bounds_the_spans_a_second", ENVOY, |ground| {
            Box::pin(a_rate_bounds_the_spans_a_second(ground))
        }),
        Claim::new("a_struct_in_yaml_configures_as_json_does", ENVOY, |ground| {
            Box::pin(a_struct_in_yaml_configures_as_json_does(ground))
        }),
        Claim::new("a_route_turns_tracing_off_or_samples_in_its_own_way", ENVOY, |ground| {
            Box::pin(a_route_turns_tracing_off_or_samples_in_its_own_way(ground))
        }),
    ]
}

async fn errors_and_slow_requests_are_kept_though_not_sampled(ground: &Ground) -> Result<()> {
    let keep = json!({ "errors": true, "slower_than_ms": 200 });
    let keys = json!({ "sampling": { "default": { "ratio": 0 }, "keep": keep } });
    let gateway = Gateway::start(ground, "keep", keys).await?;
    let mut wanted = Vec::new();
    for (path, reason) in [("/", None), ("/fail", Some("error")), ("/slow", Some("slow"))] {
        for _ in 0..3 {
            let told = ids(&gateway.get(path, &[]).await?)?;
            ensure!(!told.sampled, "{path}: the service was told to record");
            wanted.extend(reason.map(|reason| (told.trace, told.span, reason.to_owned())));
        }
    }
    let mut kept = Vec::new();
    for span in gateway.spans(6).await? {
        let reason = attribute(&span, "spanferry.sampled_by").context("it does not say why")?;
        kept.push((span.trace_id, span.span_id, reason));
    }
    wanted.sort();
    kept.sort();
    ensure!(kept == wanted, "{kept:?}, not {wanted:?}");
    for (stat, count) in [
        ("spans_sampled_out", 9),
        ("spans_kept_error", 3),
        ("spans_kept_slow", 3),
        ("spans_made", 6),
        ("spans_rate_limited", 0),
    ] {
        let told = gateway.envoy.filter_stat(stat).await?;
        ensure!(told == count, "{stat}: {told}, not {count}");
    }
    Ok(())
}

async fn a_ratio_takes_the_same_traces_everywhere(ground: &Ground) -> Result<()> {
    let sampled = async |name: &str, ratio: f64| {
        let sampling = json!({ "parent_based": false, "default": { "ratio": ratio } });
        let gateway = Gateway::start(ground, name, json!({ "sampling": sampling })).await?;
        let mut taken = BTreeSet::new();
        for i in 0..60_u64 {
            let random = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let parent = format!("00-{:016x}{random:016x}-00f067aa0ba902b7-01", i + 1);
            let seen = gateway.get("/", &[("traceparent", &parent)]).await?;
            let state = seen.get("tracestate").map_or("", String::as_str);
            let told = ids(&seen)?;
            ensure!(told.sampled == state.starts_with("ot=th:"), "{told:?} {state}");
            if told.sampled {
                taken.insert(told.trace);
            }
        }
        gateway.spans(taken.len()).await?;
        anyhow::Ok(taken)
    };
    let (half, again) = (sampled("half", 0.5).await?, sampled("half-again", 0.5).await?);
    let tenth = sampled("tenth", 0.1).await?;
    ensure!(half == again, "two gateways disagree: {half:?} {again:?}");
    ensure!(tenth.is_subset(&half), "a smaller ratio took others: {tenth:?} {half:?}");
    ensure!((15..=45).contains(&half.len()) && tenth.len() < half.len(), "{}", half.len());
    Ok(())
}

async fn rules_decide_in_order(ground: &Ground) -> Result<()> {
    let keys = json!({
        "exclude_paths": ["/healthz"],
        "sampling": { "default": "always_off", "rules": [
            { "path": "/api/noise*", "sample": "always_off" },
            { "name": "api", "method": "GET", "path": "/api/*", "sample": "always_on" },
            { "name": "gold", "header": { "name": "X-Tenant", "value": "gold-*" },
              "sample": { "ratio": 1 } },
        ]},
    });
    let gateway = Gateway::start(ground, "rules", keys).await?;
    let mut named = BTreeSet::new();
    for (path, tenant, rule) in [
        ("/api/orders?x=1", "none", Some("api")),
        ("/api/noise/1", "gold-7", None),
        ("/other", "gold-7", Some("gold")),
        ("/other", "silver", None),
    ] {
        let told = ids(&gateway.get(path, &[("x-tenant", tenant)]).await?)?;
        ensure!(told.sampled == rule.is_some(), "{path} {tenant}: {told:?}");
        named.extend(rule.map(|rule| (told.trace, Some(rule.to_owned()))));
    }
    let excluded = gateway.get("/healthz", &[]).await?;
    ensure!(!excluded.contains_key("traceparent"), "{excluded:?}");
    let spans = gateway.spans(2).await?;
    let told = |span: &_| attribute(span, "spanferry.sampled_by");
    let told: BTreeSet<_> = spans.iter().map(|span| (span.trace_id.clone(), told(span))).collect();
    ensure!(told == named, "{told:?}, not {named:?}");
    Ok(())
}

async fn a_rate_bounds_the_spans_a_second(ground: &Ground) -> Result<()> {
    const PER_SECOND: usize = 3;
    const WORKERS: usize = 2;
    const REQUESTS: usize = 100;
    let keys = json!({ "sampling": { "max_per_second": PER_SECOND } });
    let gateway = Gateway::start(ground, "rate", keys).await?;
    let begin = Instant::now();
    let mut sampled = 0;
    for _ in 0..REQUESTS {
        sampled += usize::from(ids(&gateway.get("/", &[]).await?)?.sampled);
    }
    // A full bucket for each worker, and what came in since.
    let seconds = begin.elapsed().as_secs() as usize + 1;
    let most = WORKERS * PER_SECOND * (1 + seconds);
    ensure!((PER_SECOND..=most).contains(&sampled), "{sampled} sampled, {most} at most");
    gateway.spans(sampled).await?;
    // Each worker counts at its next tick.
    eventually("all others to be counted as limited", LIMIT, async || {
        let limited = gateway.envoy.filter_stat("spans_rate_limited").await? as usize;
        ensure!(limited + sampled <= REQUESTS, "{limited} limited, {sampled} sampled");
        Ok((limited + sampled == REQUESTS).then_some(()))
    })
    .await
}

/// Routes with metadata before the one for all else.
fn route_metadata(bootstrap: &mut Bootstrap) -> Result<()> {
    let routes = bootstrap.routes()?.as_array_mut().context("routes are no list")?;
    for (prefix, metadata) in [
        ("/off", json!({ "disabled": true })),
        ("/never", json!({ "sample": "always_off" })),
        ("/ratio", json!({ "sample": 0.0, "other": { "a": [1, "b"] } })),
    ] {
        let route = json!({
            "match": { "prefix": prefix },
            "metadata": { "filter_metadata": { "spanferry": metadata } },
            "route": { "cluster": "sample" },
        });
        routes.insert(0, route);
    }
    Ok(())
}

async fn a_route_turns_tracing_off_or_samples_in_its_own_way(ground: &Ground) -> Result<()> {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let keys = json!({ "route_overrides": true });
    let gateway = Gateway::start_changed(ground, "routes", keys, route_metadata).await?;
    let off = gateway.get("/off", &[]).await?;
    ensure!(!off.contains_key("traceparent"), "{off:?}");
    let off = gateway.get("/off", &[("traceparent", PARENT)]).await?;
    ensure!(off.get("traceparent").map(String::as_str) == Some(PARENT), "{off:?}");
    for (path, sampled) in [("/never", false), ("/ratio", false), ("/", true)] {
        let told = ids(&gateway.get(path, &[]).await?)?;
        ensure!(told.sampled == sampled, "{path}: {told:?}");
    }
    let told = ids(&gateway.get("/never", &[("traceparent", PARENT)]).await?)?;
    ensure!(told.sampled, "a caller's decision stands before the route's: {told:?}");
    gateway.spans(2).await?;
    Ok(())
}

/// Envoy hands a Struct over as protobuf, and reads fractions in its YAML file as texts.
async fn a_struct_in_yaml_configures_as_json_does(ground: &Ground) -> Result<()> {
    let change = |bootstrap: &mut Bootstrap| {
        bootstrap.plugin()?["configuration"] = json!({
            "@type": "type.googleapis.com/google.protobuf.Struct",
            "value": {
                "cluster": "spanferry_bridge", "service_name": "gateway", "max_batch_spans": 1,
                "sampling": { "default": { "ratio": 0.0 }, "keep": { "slower_than_ms": 200 },
                    "rules": [{ "path": "/api*", "sample": { "ratio": 0.999_999_999_999 } }] },
            },
        });
        Ok(())
    };
    let gateway = Gateway::start_changed(ground, "struct", json!({}), change).await?;
    for (path, sampled) in [("/", false), ("/api", true), ("/slow", false)] {
        let told = ids(&gateway.get(path, &[]).await?)?;
        ensure!(told.sampled == sampled, "{path}: {told:?}: {}", gateway.envoy.log());
    }
    gateway.spans(2).await?;
    Ok(())
}
