//! istio#12818: one percentage for all is what Envoy's own tracer has. Ours has a rule for a service, with a bound a second,
//! and takes Envoy's header that forces a trace as one more rule.

use super::{LIMIT, Scene, Tracer};
use crate::harness::Ground;
use anyhow::{Result, ensure};
use serde_json::json;
use spanferry_tests::stack::bootstrap::Bootstrap;
use spanferry_tests::stack::load::{Load, Until};
use spanferry_tests::stack::wait::eventually;

const REQUESTS: u64 = 200;
/// A second and a worker; the first second may begin with as many again.
const RATE: u64 = 5;
const WORKERS: u64 = 2;

pub async fn a_service_has_its_own_rule_and_a_bound_a_second(ground: &Ground) -> Result<()> {
    let scene = Scene::start_changed(ground, "sampling", Tracer::Ours, rules).await?;
    let load = |host: &str| {
        let path = format!("http://{host}/cart");
        Load::new(scene.envoy.address(), Until::Requests(REQUESTS)).get(&path, &[])
    };
    load("other.example").run().await?.all_ok()?;
    let report = load("shop.example").run().await?;
    report.all_ok()?;
    let forced = Load::new(scene.envoy.address(), Until::Requests(3));
    forced.get("/", &[("x-envoy-force-trace", "true")]).run().await?.all_ok()?;

    let seconds = report.elapsed.as_secs() + 2;
    let (least, most) = (RATE + 3, RATE * WORKERS * seconds + 3);
    eventually("the spans", LIMIT, async || {
        let sent = scene.envoy.filter_stat("spans_accepted").await?;
        ensure!(sent >= least && sent == scene.collector.span_count() as u64, "{sent} spans");
        Ok(Some(()))
    })
    .await?;
    let spans = scene.collector.span_count() as u64;
    ensure!(spans <= most, "{spans} spans of {REQUESTS} requests, at most {most} wanted");
    let host = |text: &str| scene.collector.spans().iter().any(|s| format!("{s:?}").contains(text));
    ensure!(host("shop.example") && !host("other.example"), "a span of the wrong service");
    Ok(())
}

fn rules(bootstrap: &mut Bootstrap) -> Result<()> {
    let plugin = json!({
        "cluster": "spanferry_bridge",
        "sampling": {
            "default": "always_off",
            "rules": [
                { "name": "forced", "header": { "name": "x-envoy-force-trace" }, "sample": "always_on" },
                { "name": "shop", "host": "shop.example", "sample": "always_on", "max_per_second": RATE },
            ],
        },
    });
    bootstrap.plugin()?["configuration"]["value"] = plugin.to_string().into();
    Ok(())
}
