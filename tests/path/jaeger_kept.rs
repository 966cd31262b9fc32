//! The Jaeger that we ship, killed while it is being given a backlog: what it acknowledged is there afterwards, and what it
//! did not is sent again.

use crate::harness::{Claim, Ground, WHOLE_PATH};
use crate::lost::send;
use crate::rig::{FORWARD, LIMIT};
use anyhow::{Result, ensure};
use spanferry_tests::stack::jaeger::{Jaeger, Storage};
use spanferry_tests::stack::spanferry::Spanferry;
use spanferry_tests::stack::wait::eventually;
use std::time::Duration;

const TRACES: u8 = 200;
const KILLS: u64 = 4;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![Claim::new("what_jaeger_acknowledged_survives_its_kill", WHOLE_PATH, |ground| {
        Box::pin(what_jaeger_acknowledged_survives_its_kill(ground))
    })]
}

/// Each record is a request of its own, so that the kills fall between many answers.
async fn what_jaeger_acknowledged_survives_its_kill(ground: &Ground) -> Result<()> {
    let directory = ground.directory("jaeger-kept")?;
    let mut jaeger = Jaeger::start(&directory, Storage::Shipped).await?;
    let log = format!("kafka://{}/jaeger-kept", ground.kafka().await?.address());
    let bridge = Spanferry::bridge(&directory, &log, &[]).await?;
    bridge.ready().await?;
    let url = format!("http://{}/v1/traces", bridge.http()?);
    send(&url, 1..=TRACES / 2).await?;
    let one_by_one =
        ["--group", "jaeger-kept", "--send-request-bytes", "1", "--requests-in-flight", "2"];
    let more = [&one_by_one[..], &FORWARD[..]].concat();
    let forward =
        Spanferry::forward("forward", &directory, &log, &jaeger.grpc_url(), &more).await?;
    let sending = send(&url, TRACES / 2 + 1..=TRACES);
    let killing = async {
        let mut before = 0;
        for _ in 0..KILLS {
            // A few more answers, and then the kill in the midst of the next ones.
            let some_more = async || {
                let sent = forward.metrics().await?.count("spanferry_sent_spans");
                Ok((sent > before + 20 || sent == u64::from(TRACES) * 3).then_some(sent))
            };
            before = eventually("more spans at Jaeger", LIMIT, some_more).await?;
            jaeger.kill();
            tokio::time::sleep(Duration::from_millis(200)).await;
            jaeger.restart().await?;
        }
        Ok(())
    };
    let (sent, killed) = tokio::join!(sending, killing);
    sent.and(killed)?;
    let delivered = |metrics: &spanferry_tests::stack::metrics::Metrics| {
        metrics.count("spanferry_sent_spans") >= u64::from(TRACES) * 3
            && metrics.count("spanferry_group_lag_records") == 0
    };
    forward.metrics_until("every span acknowledged", LIMIT, delivered).await?;
    jaeger.kill();
    jaeger.restart().await?;
    for trace in 1..=TRACES {
        let spans = jaeger.trace(&hex::encode([trace; 16])).await?;
        ensure!(spans.len() == 3, "trace {trace}: {} of 3 spans", spans.len());
    }
    Ok(())
}
