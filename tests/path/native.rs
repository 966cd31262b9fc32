//! What users of Envoy's own OpenTelemetry tracer report, run with both tracers side by side: same binary, same requests,
//! same collector. What `docs/filter.md` says of either is asserted here.

mod away;
mod descriptor;
mod names;
mod refused;
mod sampling;
mod table;
mod tags;

use crate::harness::{Claim, Ground, Part};
use anyhow::Result;
use serde_json::{Value, json};
use spanferry_tests::fakes::{Origin, Sink};
use spanferry_tests::stack::bootstrap::Bootstrap;
use spanferry_tests::stack::envoy::{Envoy, Setup};
use spanferry_tests::stack::load::{Load, Until};
use spanferry_tests::stack::native::{self, Exporter};
use spanferry_tests::stack::parts;
use std::time::Duration;

/// Envoy and the filter; the rest is in this process.
const BOTH: &[Part] = &[parts::envoy, parts::filter];
/// Generous: two cores, shared. Envoy's own tracer flushes what it holds every 5 s.
const LIMIT: Duration = Duration::from_secs(60);

/// The claims of this folder.
pub fn tests() -> Vec<Claim> {
    vec![
        Claim::new("a_collector_that_refuses_is_seen_in_our_counters_only", BOTH, |ground| {
            Box::pin(refused::a_collector_that_refuses_is_seen_in_our_counters_only(ground))
        }),
        Claim::new("a_collector_that_was_away_lacks_spans_of_envoys_tracer_only", BOTH, |ground| {
            Box::pin(away::a_collector_that_was_away_lacks_spans_of_envoys_tracer_only(ground))
        }),
        Claim::new("a_collector_that_hung_lacks_spans_of_envoys_tracer_only", BOTH, |ground| {
            Box::pin(away::a_collector_that_hung_lacks_spans_of_envoys_tracer_only(ground))
        }),
        Claim::new("a_name_carries_the_route_in_ours_only", BOTH, |ground| {
            Box::pin(names::a_name_carries_the_route_in_ours_only(ground))
        }),
        Claim::new("a_service_has_its_own_rule_and_a_bound_a_second", BOTH, |ground| {
            Box::pin(sampling::a_service_has_its_own_rule_and_a_bound_a_second(ground))
        }),
        Claim::new("our_envoy_tags_are_those_of_envoys_tracer", BOTH, |ground| {
            Box::pin(tags::our_envoy_tags_are_those_of_envoys_tracer(ground))
        }),
        Claim::new("the_table_has_every_option_of_envoys_tracer", BOTH, |_| {
            Box::pin(table::the_table_has_every_option_of_envoys_tracer())
        }),
        Claim::new("the_table_has_every_tag_of_envoys_tracer", BOTH, |ground| {
            Box::pin(table::the_table_has_every_tag_of_envoys_tracer(ground))
        }),
    ]
}

/// Who traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tracer {
    /// Envoy's own.
    Native(Exporter),
    /// The filter.
    Ours,
}

impl Tracer {
    const ALL: [Tracer; 3] =
        [Tracer::Native(Exporter::Grpc), Tracer::Native(Exporter::Http), Tracer::Ours];
}

/// One Envoy that one of them traces, with a service behind it and a collector.
struct Scene {
    tracer: Tracer,
    envoy: Envoy,
    collector: Sink,
    origin: Origin,
}

impl Scene {
    /// Nothing configured but where the spans go; calls to the collector are given up after a second.
    async fn start(ground: &Ground, name: &str, tracer: Tracer) -> Result<Scene> {
        Scene::start_changed(ground, name, tracer, |_| Ok(())).await
    }

    /// The same with a change that is made for either tracer.
    async fn start_changed(
        ground: &Ground,
        name: &str,
        tracer: Tracer,
        change: impl FnOnce(&mut Bootstrap) -> Result<()>,
    ) -> Result<Scene> {
        let directory = ground.directory(&format!("native-{name}-{tracer:?}"))?;
        let (origin, collector) = (Origin::start()?, Sink::start()?);
        let mut setup = Setup::new(origin.address(), collector.address());
        setup.plugin = json!({
            "cluster": "spanferry_bridge", "service_name": "gateway", "call_timeout_ms": 1000,
        })
        .to_string();
        let change = |bootstrap: &mut Bootstrap| {
            if let Tracer::Native(exporter) = tracer {
                native::trace(bootstrap, exporter, json!({}), json!({}))?;
                give_up_after_a_second(bootstrap, exporter)?;
            }
            change(bootstrap)
        };
        let envoy = Envoy::start_changed(&directory, &setup, change).await?;
        Ok(Scene { tracer, envoy, collector, origin })
    }

    /// Sends requests; every one must be answered with 200.
    async fn send(&self, requests: u64) -> Result<()> {
        Load::new(self.envoy.address(), Until::Requests(requests)).run().await?.all_ok()
    }

    /// A counter of Envoy's own tracer.
    async fn native_stat(&self, name: &str) -> Result<u64> {
        Ok(self.envoy.stats().await?.count(&format!("tracing.opentelemetry.{name}")))
    }
}

fn give_up_after_a_second(bootstrap: &mut Bootstrap, exporter: Exporter) -> Result<()> {
    let tracer = bootstrap.connection_manager()?;
    let config: &mut Value = &mut tracer["tracing"]["provider"]["typed_config"];
    match exporter {
        Exporter::Grpc => config["grpc_service"]["timeout"] = json!("1s"),
        Exporter::Http => config["http_service"]["http_uri"]["timeout"] = json!("1s"),
    }
    Ok(())
}
