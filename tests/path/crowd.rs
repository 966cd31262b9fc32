//! Ten thousand requests under way at one time: what the filter holds of them is bounded, and each has its span
//! at its end.

use crate::harness::{Claim, Ground, Part};
use anyhow::{Result, ensure};
use bytes::Bytes;
use serde_json::json;
use spanferry_tests::fakes::{Behaviour, Origin, Sink};
use spanferry_tests::stack::envoy::{Envoy, Setup};
use spanferry_tests::stack::wait::eventually;
use spanferry_tests::stack::{parts, usage};
use std::time::Duration;
use tokio::net::TcpStream;

const NEEDS: &[Part] = &[parts::envoy, parts::filter];
const LIMIT: Duration = Duration::from_secs(60);
const CONNECTIONS: usize = 20;
const STREAMS_EACH: usize = 500;
const STREAMS: u64 = (CONNECTIONS * STREAMS_EACH) as u64;
/// What requests under way may hold, a worker, by default (`max_open_bytes`); Envoy has two workers.
const MAX_OPEN_BYTES: u64 = 2 * (8 << 20);
/// A request's largest header, bytes.
const LARGE: usize = 4 << 10;
/// What a module may take beyond what it holds: its allocator's rest, tables, the batches, a worker.
const SLACK: u64 = 2 * (12 << 20);

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![Claim::new(
        "ten_thousand_open_streams_are_bounded_and_have_a_span_each",
        NEEDS,
        |ground| Box::pin(ten_thousand_open_streams_are_bounded_and_have_a_span_each(ground)),
    )]
}

async fn ten_thousand_open_streams_are_bounded_and_have_a_span_each(ground: &Ground) -> Result<()> {
    let without = growth(&Gateway::start(ground, "crowd-without", false).await?).await?;
    let gateway = Gateway::start(ground, "crowd", true).await?;
    let with = growth(&gateway).await?;
    println!(
        "{STREAMS} streams: {} KiB without the filter, {} KiB with it",
        without >> 10,
        with >> 10
    );
    ensure!(with <= without + MAX_OPEN_BYTES + SLACK, "{without} bytes became {with}");

    let envoy = &gateway.envoy;
    eventually("a span for each stream", LIMIT, async || {
        let made = envoy.filter_stat("spans_made").await?;
        let not_recorded = envoy.filter_stat("requests_not_recorded").await?;
        let open = envoy.filter_stat("open_requests_bytes").await?;
        ensure!(made == STREAMS && open == 0, "{made} made, {not_recorded} not, {open} B open");
        Ok(Some(()))
    })
    .await
}

struct Gateway {
    envoy: Envoy,
    _origin: Origin,
    _sink: Sink,
}

impl Gateway {
    /// One that keeps every request in its own buffer until its body ends.
    async fn start(ground: &Ground, name: &str, has_filter: bool) -> Result<Gateway> {
        let directory = ground.directory(name)?;
        let (origin, sink) = (Origin::start()?, Sink::start()?);
        sink.behave(Behaviour::Count);
        let setup = Setup::new(origin.address(), sink.address());
        let envoy =
            Envoy::start_changed(&directory, &setup, |bootstrap| {
                let filters = bootstrap.http_filters()?;
                filters.insert(1, json!({ "name": "envoy.filters.http.buffer", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer",
                "max_request_bytes": 1024,
            }}));
                if !has_filter {
                    filters.remove(0);
                }
                Ok(())
            })
            .await?;
        Ok(Gateway { envoy, _origin: origin, _sink: sink })
    }
}

/// By how much Envoy's memory grows while all streams are open. They are cut off then.
async fn growth(gateway: &Gateway) -> Result<u64> {
    let envoy = &gateway.envoy;
    let before = usage::resident(envoy.id())?;
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        held.push(open_streams(envoy).await?);
    }
    eventually("all streams to be open", LIMIT, async || {
        let open = envoy.stats().await?.count("http.ingress.downstream_rq_active");
        ensure!(open >= STREAMS, "{open} of {STREAMS}");
        Ok(Some(()))
    })
    .await?;
    // The filter tells its numbers on its tick.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let open = envoy.filter_stat("open_requests_bytes").await?;
    ensure!(open <= MAX_OPEN_BYTES, "{open} bytes of requests under way");
    Ok(usage::resident(envoy.id())?.saturating_sub(before))
}

/// A connection with streams whose bodies never end; it lives as long as what is returned.
async fn open_streams(envoy: &Envoy) -> Result<Vec<h2::SendStream<Bytes>>> {
    let stream = TcpStream::connect(envoy.address()).await?;
    let (mut client, connection) = h2::client::handshake(stream).await?;
    tokio::spawn(connection);
    let large = "x".repeat(LARGE);
    let mut held = Vec::new();
    for n in 0..STREAMS_EACH {
        client = client.ready().await?;
        let request = http::Request::post(format!("http://shop.example/orders/{n}"));
        let request = request.header("x-large", &large).body(())?;
        let (answer, body) = client.send_request(request, false)?;
        drop(answer);
        held.push(body);
    }
    Ok(held)
}
