//! A filter that traps, on purpose: what Envoy does to requests, by failure policy, and how tracing comes back.
//! What follows from it is in docs/filter-failure.md.

use crate::harness::{Claim, Ground, Part};
use anyhow::{Context, Result, ensure};
use spanferry_tests::fakes::{Origin, Sink};
use spanferry_tests::stack::envoy::{Envoy, Setup};
use spanferry_tests::stack::listeners::Listeners;
use spanferry_tests::stack::load::{Load, Report, Until};
use spanferry_tests::stack::parts;
use spanferry_tests::stack::wait::eventually;
use std::time::Duration;

const NEEDS: &[Part] = &[parts::envoy, parts::filter, parts::trapping_filter];
const LIMIT: Duration = Duration::from_secs(30);

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![
        Claim::new(
            "a_trap_that_fails_open_costs_what_is_under_way_and_nothing_after",
            NEEDS,
            |g| Box::pin(fails_open(g, "now")),
        ),
        Claim::new("a_filter_out_of_memory_is_passed_by_until_it_is_configured_anew", NEEDS, |g| {
            Box::pin(fails_open(g, "memory"))
        }),
        Claim::new("a_trap_that_reloads_costs_requests_until_it_has_reloaded", NEEDS, |ground| {
            Box::pin(reloads(ground))
        }),
    ]
}

/// An Envoy with one worker and the filter that traps.
struct Scene {
    envoy: Envoy,
    listeners: Listeners,
    origin: Origin,
    _sink: Sink,
}

impl Scene {
    async fn start(ground: &Ground, name: &str, policy: &str) -> Result<Scene> {
        let directory = ground.directory(name)?;
        let (origin, sink) = (Origin::start()?, Sink::start()?);
        let setup = Setup { concurrency: 1, ..Setup::new(origin.address(), sink.address()) };
        let mut listeners = None;
        let envoy = Envoy::start_changed(&directory, &setup, |bootstrap| {
            let plugin = bootstrap.plugin()?;
            plugin["failure_policy"] = policy.into();
            let file = parts::trapping_filter()?.display().to_string();
            plugin["vm_config"]["code"]["local"]["filename"] = file.into();
            listeners = Some(Listeners::split(bootstrap, &directory)?);
            Ok(())
        })
        .await?;
        let listeners = listeners.context("no listeners")?;
        Ok(Scene { envoy, listeners, origin, _sink: sink })
    }

    async fn send(&self, requests: u64) -> Result<Report> {
        Load::new(self.envoy.address(), Until::Requests(requests)).run().await
    }

    /// One request that makes the filter trap.
    async fn trap(&self, how: &str) -> Result<Report> {
        let load = Load::new(self.envoy.address(), Until::Requests(1));
        load.get("/", &[("x-trap", how)]).run().await
    }

    /// Spans made, once it is as many as this.
    async fn made(&self, at_least: u64) -> Result<u64> {
        eventually("spans", LIMIT, async || {
            let made = self.envoy.filter_stat("spans_made").await?;
            ensure!(made >= at_least, "{made} of {at_least}");
            Ok(Some(made))
        })
        .await
    }
}

async fn fails_open(ground: &Ground, how: &str) -> Result<()> {
    let mut scene = Scene::start(ground, &format!("trap-open-{how}"), "FAIL_OPEN").await?;
    scene.send(20).await?.all_ok()?;
    scene.made(20).await?;

    // The request that traps fails, and so does each that is under way in that worker.
    scene.origin.delay(Duration::from_millis(500));
    let slow = Load::new(scene.envoy.address(), Until::Requests(4));
    let slow = tokio::spawn(async move { slow.run().await });
    let origin = &scene.origin;
    eventually("four requests under way", LIMIT, async || {
        Ok((origin.requests() == 24).then_some(()))
    })
    .await?;
    ensure!(scene.trap(how).await?.with(503) == 1, "a request that traps");
    let slow = slow.await??;
    ensure!(slow.with(503) == 4, "under way: {:?}", slow.by_status);
    scene.origin.delay(Duration::ZERO);

    // From then on every request passes, and none has a span.
    scene.send(200).await?.all_ok()?;
    ensure!(scene.trap(how).await?.with(200) == 1, "a dead filter cannot trap");
    ensure!(scene.made(20).await? == 20, "a dead filter makes no spans");

    // Somebody has to act: a configuration that differs makes a new VM.
    let plugin = r#"{"cluster": "spanferry_bridge", "service_name": "revived"}"#;
    let envoy = &scene.envoy;
    scene.listeners.reconfigure(envoy, plugin).await?;
    scene.send(20).await?.all_ok()?;
    ensure!(scene.made(40).await? == 40, "a span for each request again");
    Ok(())
}

async fn reloads(ground: &Ground) -> Result<()> {
    let scene = Scene::start(ground, "trap-reload", "FAIL_RELOAD").await?;
    scene.send(20).await?.all_ok()?;
    scene.made(20).await?;

    ensure!(scene.trap("now").await?.with(503) == 1, "a request that traps");
    // Until the back-off is over, one second at first, every request in that worker fails.
    let meanwhile = scene.send(20).await?;
    ensure!(meanwhile.with(503) == 20, "in the back-off: {:?}", meanwhile.by_status);
    let stats = scene.envoy.stats().await?;
    ensure!(stats.count("wasm.spanferry.vm_reload_backoff") == 20, "the counter of those");

    eventually("a request that passes", LIMIT, async || {
        Ok((scene.send(1).await?.with(200) == 1).then_some(()))
    })
    .await?;
    scene.send(20).await?.all_ok()?;
    scene.made(40).await?;
    let stats = scene.envoy.stats().await?;
    ensure!(stats.count("wasm.spanferry.vm_reload_success") == 1, "the counter of reloads");
    Ok(())
}
