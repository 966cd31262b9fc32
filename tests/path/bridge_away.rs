//! The bridge is away, or unknown to Envoy, or the plugin's configuration is broken: requests never notice.

use crate::harness::{Claim, ENVOY, Ground, WHOLE_PATH};
use crate::rig::{LIMIT, Rig, all_as_wanted};
use anyhow::{Result, ensure};
use serde_json::json;
use spanferry_tests::fakes::{Origin, Sink};
use spanferry_tests::samples::driver::{Driver, Plan};
use spanferry_tests::stack::destination::Destination;
use spanferry_tests::stack::envoy::{Envoy, Setup};
use spanferry_tests::stack::load::{Load, Until};
use spanferry_tests::stack::ports;
use spanferry_tests::stack::sample::Sample;
use spanferry_tests::stack::wait::eventually;
use std::net::SocketAddr;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![
        Claim::new("a_bridge_may_go_away_and_come_back", WHOLE_PATH, |ground| {
            Box::pin(a_bridge_may_go_away_and_come_back(ground))
        }),
        Claim::new("a_bridge_that_is_down_costs_no_request", ENVOY, |ground| {
            Box::pin(a_bridge_that_is_down_costs_no_request(ground))
        }),
        Claim::new("a_cluster_that_is_missing_costs_no_request", ENVOY, |ground| {
            Box::pin(a_cluster_that_is_missing_costs_no_request(ground))
        }),
        Claim::new("a_cluster_without_hosts_costs_no_request", ENVOY, |ground| {
            Box::pin(a_cluster_without_hosts_costs_no_request(ground))
        }),
        Claim::new("a_broken_configuration_costs_no_request", ENVOY, |ground| {
            Box::pin(a_broken_configuration_costs_no_request(ground))
        }),
    ]
}

async fn a_bridge_may_go_away_and_come_back(ground: &Ground) -> Result<()> {
    let destination = Destination::Sink(Sink::start()?);
    let mut rig = Rig::start(ground, "bridge-away", destination).await?;
    rig.send(Plan::of(100)).await?;
    rig.accepted().await?;

    rig.bridge.kill();
    rig.send(Plan::of(100)).await?;
    let held = eventually("the filter to hold 100 spans", LIMIT, async || {
        Ok((rig.envoy.filter_stat("buffered_spans").await? == 100).then_some(()))
    });
    held.await?;
    ensure!(rig.sample.spans().await?.held() == 400, "the sample's SDK holds its spans");

    rig.bridge.restart().await?;
    rig.send(Plan::of(100)).await?;
    rig.held().await?;
    rig.delivered().await?;
    ensure!(rig.held().await?.traces == 300, "300 traces");
    ensure!(rig.envoy.dropped_spans().await? == 0, "the filter dropped spans");
    ensure!(rig.sample.spans().await?.failed == 0, "the sample's SDK gave up spans");
    Ok(())
}

async fn a_bridge_that_is_down_costs_no_request(ground: &Ground) -> Result<()> {
    let (envoy, _sample) = thousand(ground, "bridge-down", |_| {}).await?;
    let failed = eventually("a failed call", LIMIT, async || {
        Ok(Some(envoy.filter_stat("calls_failed").await?).filter(|calls| *calls > 0))
    });
    failed.await?;
    every_span_is_held_or_counted(&envoy).await
}

async fn a_cluster_that_is_missing_costs_no_request(ground: &Ground) -> Result<()> {
    let (envoy, _sample) = thousand(ground, "cluster-missing", |setup| setup.bridge = None).await?;
    every_span_is_held_or_counted(&envoy).await
}

/// Nor does it bring Envoy down (istio#31194).
async fn a_cluster_without_hosts_costs_no_request(ground: &Ground) -> Result<()> {
    let directory = ground.directory("cluster-empty")?;
    let origin = Origin::start()?;
    let setup = Setup::new(origin.address(), origin.address());
    let envoy = Envoy::start_changed(&directory, &setup, |bootstrap| {
        bootstrap.cluster("spanferry_bridge")?["load_assignment"]["endpoints"] = json!([]);
        Ok(())
    })
    .await?;
    Load::new(envoy.address(), Until::Requests(1000)).run().await?.all_ok()?;
    let failed = eventually("a failed call", LIMIT, async || {
        Ok(Some(envoy.filter_stat("calls_failed").await?).filter(|calls| *calls > 0))
    });
    failed.await?;
    every_span_is_held_or_counted(&envoy).await?;
    let told = envoy.log().matches("calls to the bridge fail").count();
    ensure!(told <= 2, "each of two workers says it once, not {told} lines");
    Load::new(envoy.address(), Until::Requests(1)).run().await?.all_ok()
}

async fn a_broken_configuration_costs_no_request(ground: &Ground) -> Result<()> {
    let broken = [
        ("not-json", "{cluster", "JSON"),
        ("unknown-key", r#"{"cluster":"spanferry_bridge","clutser":"x"}"#, "clutser"),
        (
            "wrong-type",
            r#"{"cluster":"spanferry_bridge","max_batch_spans":"many"}"#,
            "max_batch_spans",
        ),
    ];
    for (name, plugin, named) in broken {
        let (envoy, _sample) = thousand(ground, name, |setup| setup.plugin = plugin.into()).await?;
        let log = envoy.log();
        let told = log.lines().any(|line| line.contains("spanferry") && line.contains(named));
        ensure!(told, "{name}: no line of Envoy's log names {named}:\n{log}");
        ensure!(envoy.filter_stat("spans_made").await? == 0, "{name}: it made spans");
        ensure!(envoy.filter_stat("config_errors").await? > 0, "{name}: no counter says so");
    }
    Ok(())
}

/// A thousand requests, each answered with 200, through an Envoy whose bridge nobody answers for.
async fn thousand(
    ground: &Ground,
    name: &str,
    change: impl FnOnce(&mut Setup),
) -> Result<(Envoy, Sample)> {
    let directory = ground.directory(name)?;
    let nobody = SocketAddr::from(([127, 0, 0, 1], ports::free()?));
    let sample = Sample::start(&directory, nobody).await?;
    let mut setup = Setup::new(sample.address(), nobody);
    change(&mut setup);
    let envoy = Envoy::start(&directory, &setup).await?;
    let plan = Plan { concurrency: 8, ..Plan::of(1000) };
    let answers = Driver::new(envoy.address()).send_all(plan).await;
    all_as_wanted(&answers)?;
    ensure!(answers.iter().filter(|answer| answer.status == 200).count() == 1000, "{name}");
    Ok((envoy, sample))
}

/// The filter's sum: made = accepted + held + dropped.
async fn every_span_is_held_or_counted(envoy: &Envoy) -> Result<()> {
    eventually("1,000 spans held or counted as dropped", LIMIT, async || {
        let made = envoy.filter_stat("spans_made").await?;
        let accepted = envoy.filter_stat("spans_accepted").await?;
        let held = envoy.filter_stat("buffered_spans").await?;
        let dropped = envoy.dropped_spans().await?;
        ensure!(
            made == 1000 && accepted == 0 && held + dropped == made,
            "made {made}, accepted {accepted}, held {held}, dropped {dropped}"
        );
        Ok(Some(()))
    })
    .await
}
