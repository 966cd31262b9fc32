//! What the tests of context and sampling share: one Envoy with the filter before a mirror, its bridge a sink.

use crate::harness::Ground;
use crate::rig::LIMIT;
use ::http::Request;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::Full;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use spanferry_tests::fakes::mirror::Headers;
use spanferry_tests::fakes::{Mirror, Sink, WireSpan};
use spanferry_tests::stack::bootstrap::Bootstrap;
use spanferry_tests::stack::envoy::{Envoy, Setup};
use spanferry_tests::stack::http;
use spanferry_tests::stack::wait::eventually;

/// Envoy between a client and a mirror.
pub struct Gateway {
    /// With the filter in it.
    pub envoy: Envoy,
    /// In the bridge's place.
    pub sink: Sink,
    _mirror: Mirror,
}

/// A trace context's ids in hex, and whether it is sampled.
#[derive(Debug, PartialEq)]
pub struct Ids {
    /// 32 digits.
    pub trace: String,
    /// 16 digits.
    pub span: String,
    /// The flag.
    pub sampled: bool,
}

impl Gateway {
    /// Starts one whose filter has these keys beside `cluster` and `service_name`.
    pub async fn start(ground: &Ground, name: &str, keys: serde_json::Value) -> Result<Gateway> {
        Gateway::start_changed(ground, name, keys, |_| Ok(())).await
    }

    /// The same, with Envoy's configuration changed.
    pub async fn start_changed(
        ground: &Ground,
        name: &str,
        mut keys: serde_json::Value,
        change: impl FnOnce(&mut Bootstrap) -> Result<()>,
    ) -> Result<Gateway> {
        let directory = ground.directory(name)?;
        let (sink, mirror) = (Sink::start()?, Mirror::start().await?);
        keys["cluster"] = "spanferry_bridge".into();
        keys["service_name"] = "gateway".into();
        let setup =
            Setup { plugin: keys.to_string(), ..Setup::new(mirror.address(), sink.address()) };
        let envoy = Envoy::start_changed(&directory, &setup, change).await?;
        Ok(Gateway { envoy, sink, _mirror: mirror })
    }

    /// Sends a request; the headers as the mirror saw them.
    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Headers> {
        let mut request = Request::get(format!("http://{}{path}", self.envoy.address()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (_, body) = http::exchange(request.body(Full::<Bytes>::default())?).await?;
        Mirror::headers_in(&body)
    }

    /// The only span of the filter in this trace, once it is there.
    pub async fn span(&self, trace: &str) -> Result<WireSpan> {
        let what = format!("the filter's span of trace {trace}");
        let mut spans = eventually(&what, LIMIT, async || {
            let spans = self.spans_of("gateway");
            let own: Vec<_> = spans.into_iter().filter(|span| span.trace_id == trace).collect();
            Ok((!own.is_empty()).then_some(own))
        })
        .await?;
        ensure!(spans.len() == 1, "{} spans of trace {trace}", spans.len());
        spans.pop().context("one span it was")
    }

    /// Waits until the filter has handed over so many spans, and says which.
    pub async fn spans(&self, count: usize) -> Result<Vec<WireSpan>> {
        eventually(&format!("{count} spans"), LIMIT, async || {
            let made = self.envoy.filter_stat("spans_made").await?;
            let spans = self.spans_of("gateway");
            ensure!(spans.len() == count && made == count as u64, "{} spans", spans.len());
            Ok(Some(spans))
        })
        .await
    }

    /// The spans of a service that are there now.
    pub fn spans_of(&self, service: &str) -> Vec<WireSpan> {
        self.sink.spans().into_iter().filter(|span| span.service == service).collect()
    }
}

/// The ids of a `traceparent`.
pub fn ids(headers: &Headers) -> Result<Ids> {
    let value = headers.get("traceparent").context("no traceparent reached the service")?;
    let [version, trace, span, flags] = value.split('-').collect::<Vec<_>>()[..] else {
        anyhow::bail!("traceparent: {value}")
    };
    ensure!(version == "00" && trace.len() == 32 && span.len() == 16, "traceparent: {value}");
    Ok(Ids { trace: trace.into(), span: span.into(), sampled: flags == "01" })
}

/// The text of a span's attribute.
pub fn attribute(span: &WireSpan, key: &str) -> Option<String> {
    let found = span.span.attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}
