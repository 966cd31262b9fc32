//! Two forwarders share the partitions; one is killed, and the other delivers everything.

use crate::harness::{Claim, Ground, WHOLE_PATH};
use crate::rig::{FORWARD, LIMIT, Rig};
use anyhow::{Result, ensure};
use spanferry_tests::fakes::{Behaviour, Sink};
use spanferry_tests::samples::driver::Plan;
use spanferry_tests::stack::destination::Destination;
use spanferry_tests::stack::spanferry::Spanferry;
use spanferry_tests::stack::wait::eventually;
use std::time::Duration;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![Claim::new("two_forwarders_share_and_one_may_die", WHOLE_PATH, |ground| {
        Box::pin(two_forwarders_share_and_one_may_die(ground))
    })]
}

async fn two_forwarders_share_and_one_may_die(ground: &Ground) -> Result<()> {
    let destination = Destination::Sink(Sink::start()?);
    let mut rig = Rig::start(ground, "forwarders", destination).await?;
    let more = [&["--group", rig.topic.as_str()], &FORWARD[..]].concat();
    let url = rig.destination.url();
    let second = Spanferry::forward("second", &rig.directory, &rig.log, &url, &more).await?;
    second.ready().await?;
    let sent = async |forwarder: &Spanferry| {
        anyhow::Ok(forwarder.metrics().await?.count("spanferry_sent_spans_total"))
    };

    // Traffic until both have delivered: then both hold partitions.
    eventually("both forwarders to deliver", LIMIT, async || {
        rig.send(Plan::of(20)).await?;
        let both = sent(&rig.forward).await? > 0 && sent(&second).await? > 0;
        Ok(both.then_some(()))
    })
    .await?;

    if let Destination::Sink(sink) = &rig.destination {
        sink.behave(Behaviour::Delay(Duration::from_millis(100)));
    }
    rig.send(Plan::of(200)).await?;
    rig.forward.kill();
    rig.send(Plan::of(100)).await?;
    rig.accepted().await?;

    let Destination::Sink(sink) = &rig.destination else { anyhow::bail!("a sink was asked for") };
    let expected = rig.expected() as usize;
    eventually("every span at the sink", LIMIT, async || {
        let found = sink.counts().len();
        ensure!(found >= expected, "{found} of {expected}");
        Ok(Some(()))
    })
    .await?;
    second
        .metrics_until("no lag", LIMIT, |now| now.count("spanferry_group_lag_records") == 0)
        .await?;
    // What was in flight at the kill may come twice, nothing else: far less than was sent.
    let repeats = sink.span_count() - sink.counts().len();
    ensure!(sink.counts().len() == expected, "{} spans of {expected}", sink.counts().len());
    ensure!(repeats < expected / 2, "{repeats} of {expected} spans came twice");
    Ok(())
}
