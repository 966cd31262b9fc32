//! envoy#27871: the spans of a gateway are all called `ingress`; ours are named after method and route.

use super::{LIMIT, Scene, Tracer};
use crate::harness::Ground;
use anyhow::{Result, ensure};
use serde_json::json;
use spanferry_tests::stack::bootstrap::Bootstrap;
use spanferry_tests::stack::load::{Load, Until};
use spanferry_tests::stack::wait::eventually;

pub async fn a_name_carries_the_route_in_ours_only(ground: &Ground) -> Result<()> {
    let routes = |bootstrap: &mut Bootstrap| {
        *bootstrap.routes()? = json!([
            { "name": "/orders/{id}", "match": { "prefix": "/orders/" }, "route": { "cluster": "sample" } },
            { "name": "/", "match": { "prefix": "/" }, "route": { "cluster": "sample" } },
        ]);
        Ok(())
    };
    for tracer in Tracer::ALL {
        let scene = Scene::start_changed(ground, "names", tracer, routes).await?;
        for n in 0..5 {
            let load = Load::new(scene.envoy.address(), Until::Requests(1));
            load.get(&format!("/orders/{n}"), &[]).run().await?.all_ok()?;
        }
        eventually("five spans", LIMIT, async || {
            Ok((scene.collector.span_count() == 5).then_some(()))
        })
        .await?;
        let wanted = match tracer {
            Tracer::Native(_) => "ingress",
            Tracer::Ours => "GET /orders/{id}",
        };
        for span in scene.collector.spans() {
            ensure!(span.span.name == wanted, "{tracer:?} names a span {:?}", span.span.name);
        }
    }
    Ok(())
}
