//! The examples for Envoy do what they say: real Envoy takes each of them, a pair of sidecars makes one tree, and an
//! upstream filter makes a span of every attempt.

use crate::harness::{Claim, Ground, Part};
use anyhow::{Context, Result, ensure};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use spanferry_tests::fakes::{Origin, Sink, WireSpan};
use spanferry_tests::stack::bootstrap::Bootstrap;
use spanferry_tests::stack::envoy::Envoy;
use spanferry_tests::stack::load::{Load, Until};
use spanferry_tests::stack::parts;
use spanferry_tests::stack::wait::eventually;
use std::process::Command;
use std::time::Duration;

const NEEDS: &[Part] = &[parts::envoy, parts::filter];
const LIMIT: Duration = Duration::from_secs(30);

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![
        Claim::new("envoy_takes_every_example", NEEDS, |ground| {
            Box::pin(envoy_takes_every_example(ground))
        }),
        Claim::new("a_pair_of_sidecars_makes_one_tree", NEEDS, |ground| {
            Box::pin(a_pair_of_sidecars_makes_one_tree(ground))
        }),
        Claim::new("an_upstream_filter_makes_a_span_of_every_attempt", NEEDS, |ground| {
            Box::pin(an_upstream_filter_makes_a_span_of_every_attempt(ground))
        }),
    ]
}

async fn envoy_takes_every_example(ground: &Ground) -> Result<()> {
    let directory = ground.directory("examples")?;
    let mut taken = 0;
    for entry in std::fs::read_dir(parts::root().join("envoy"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".yaml") || is_for_kubernetes(&name)? {
            continue;
        }
        let configuration = directory.join(&name);
        std::fs::write(&configuration, Bootstrap::example(&name)?.text())?;
        let mut command = Command::new(parts::envoy()?);
        command.args(["--mode", "validate", "--log-level", "warning", "--config-path"]);
        let output = command.arg(&configuration).output()?;
        ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        taken += 1;
    }
    ensure!(taken >= 4, "{taken} examples");
    Ok(())
}

fn is_for_kubernetes(name: &str) -> Result<bool> {
    let text = std::fs::read_to_string(parts::root().join("envoy").join(name))?;
    Ok(text.lines().any(|line| line.starts_with("apiVersion:")))
}

async fn a_pair_of_sidecars_makes_one_tree(ground: &Ground) -> Result<()> {
    let directory = ground.directory("sidecars")?;
    let (application, collector) = (Origin::start()?, Sink::start()?);
    let bridge = ("spanferry_bridge", collector.address());
    let hosts = [("application", application.address()), bridge];
    let inbound = Envoy::start_example(&directory, "sidecar-inbound.yaml", &hosts).await?;
    let hosts = [("callee", inbound.address()), bridge];
    let outbound = Envoy::start_example(&directory, "sidecar-outbound.yaml", &hosts).await?;

    Load::new(outbound.address(), Until::Requests(20)).run().await?.all_ok()?;

    let spans = all_of(&collector, 40).await?;
    let of = |kind| spans.iter().filter(move |span| span.span.kind() == kind);
    ensure!(
        of(SpanKind::Client).count() == 20 && of(SpanKind::Server).count() == 20,
        "not a span each"
    );
    for server in of(SpanKind::Server) {
        let mut clients = of(SpanKind::Client).filter(|client| client.span_id == server.parent_id);
        let client = clients.next().with_context(|| format!("no parent of {server:?}"))?;
        ensure!(client.trace_id == server.trace_id && client.parent_id.is_empty(), "{client:?}");
        ensure!((&*client.service, &*server.service) == ("caller", "callee"), "{client:?}");
    }
    Ok(())
}

async fn an_upstream_filter_makes_a_span_of_every_attempt(ground: &Ground) -> Result<()> {
    let directory = ground.directory("upstream-filter")?;
    let (service, collector) = (Origin::start()?, Sink::start()?);
    let hosts = [("sample", service.address()), ("spanferry_bridge", collector.address())];
    let envoy = Envoy::start_example(&directory, "upstream-filter.yaml", &hosts).await?;

    service.fail_next(2);
    Load::new(envoy.address(), Until::Requests(1)).run().await?.all_ok()?;

    let spans = all_of(&collector, 4).await?;
    let (servers, clients): (Vec<_>, Vec<_>) =
        spans.iter().partition(|span| span.span.kind() == SpanKind::Server);
    ensure!(servers.len() == 1 && clients.len() == 3, "{} CLIENT spans", clients.len());
    ensure!(clients.iter().all(|client| client.trace_id == servers[0].trace_id), "two traces");
    let server = &servers[0].span_id;
    ensure!(clients.iter().all(|client| client.parent_id == *server), "attempts are no siblings");
    let mut statuses: Vec<_> = clients.iter().filter_map(|client| status(client)).collect();
    statuses.sort_unstable();
    ensure!(statuses == [200, 503, 503], "{statuses:?}");
    let failed = clients.iter().filter(|client| has_failed(client)).count();
    ensure!(failed == 2 && !has_failed(servers[0]), "{failed} attempts failed");
    Ok(())
}

/// Exactly so many spans.
async fn all_of(collector: &Sink, count: usize) -> Result<Vec<WireSpan>> {
    eventually("the spans", LIMIT, async || {
        let spans = collector.spans();
        ensure!(spans.len() >= count, "{} of {count}", spans.len());
        Ok(Some(()))
    })
    .await?;
    let spans = collector.spans();
    ensure!(spans.len() == count, "{} spans, not {count}", spans.len());
    Ok(spans)
}

fn has_failed(span: &WireSpan) -> bool {
    span.span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error)
}

fn status(span: &WireSpan) -> Option<i64> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let key = "http.response.status_code";
    let attribute = span.span.attributes.iter().find(|attribute| attribute.key == key)?;
    match attribute.value.as_ref()?.value {
        Some(Value::IntValue(status)) => Some(status),
        _ => None,
    }
}
