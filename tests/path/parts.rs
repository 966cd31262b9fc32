//! The parts themselves do what the other tests rely on.

use crate::harness::{Claim, Ground};
use ::http::StatusCode;
use anyhow::{Result, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use spanferry_tests::samples::driver::{Driver, Plan};
use spanferry_tests::stack::jaeger::{Jaeger, Storage};
use spanferry_tests::stack::sample::Sample;
use spanferry_tests::stack::{http, parts};
use std::time::Duration;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![
        Claim::new(
            "jaeger_on_disk_keeps_its_spans_over_a_kill",
            &[parts::jaeger, parts::sample],
            |ground| Box::pin(jaeger_on_disk_keeps_its_spans_over_a_kill(ground)),
        ),
        Claim::new("jaeger_in_memory_shows_a_repeat", &[parts::jaeger], |ground| {
            Box::pin(jaeger_in_memory_shows_a_repeat(ground))
        }),
    ]
}

async fn jaeger_in_memory_shows_a_repeat(ground: &Ground) -> Result<()> {
    let directory = ground.directory("jaeger-repeat")?;
    let jaeger = Jaeger::start(&directory, Storage::Memory).await?;
    let span = Span {
        trace_id: vec![7; 16],
        span_id: vec![9; 8],
        name: "twice".into(),
        start_time_unix_nano: 1,
        end_time_unix_nano: 2,
        ..Default::default()
    };
    let scope = ScopeSpans { spans: vec![span], ..Default::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..Default::default() };
    let body = ExportTraceServiceRequest { resource_spans: vec![resource] }.encode_to_vec();

    for _ in 0..2 {
        let kind = "application/x-protobuf";
        let (status, _) = http::post(&jaeger.http_url(), kind, body.clone().into()).await?;
        ensure!(status == StatusCode::OK, "{status}");
    }

    let spans = jaeger.trace(&"07".repeat(16)).await?;
    ensure!(spans.len() == 2 && spans[0].span_id == "09".repeat(8), "{spans:?}");
    ensure!(spans[0].name == "twice" && spans[0].time == (1, 2), "{spans:?}");
    ensure!(jaeger.received_spans().await? == 2, "Jaeger's own count");
    Ok(())
}

async fn jaeger_on_disk_keeps_its_spans_over_a_kill(ground: &Ground) -> Result<()> {
    let directory = ground.directory("jaeger-keeps")?;
    let mut jaeger = Jaeger::start(&directory, Storage::Disk).await?;
    let otlp =
        jaeger.http_url().trim_start_matches("http://").trim_end_matches("/v1/traces").parse()?;
    let sample = Sample::start(&directory, otlp).await?;
    let answers = Driver::new(sample.address()).send_all(Plan::of(20)).await;
    sample.flushed(Duration::from_secs(30)).await?;

    jaeger.kill();
    jaeger.restart().await?;

    for answer in answers {
        let spans = jaeger.trace(&answer.trace_id).await?;
        ensure!(spans.len() == 4, "{answer:?}: {spans:?}");
    }
    Ok(())
}
