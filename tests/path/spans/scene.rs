//! Envoy with the filter between a client and services that behave in every way, and a sink for the spans.

use crate::harness::{Ground, Part};
use ::http::Request;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;
use spanferry_tests::fakes::{GrpcService, Oddities, Sink};
use spanferry_tests::stack::bootstrap::Bootstrap;
use spanferry_tests::stack::process::Process;
use spanferry_tests::stack::wait::eventually;
use spanferry_tests::stack::{http, parts, ports};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Envoy and the filter; the rest is in this process.
pub const PARTS: &[Part] = &[parts::envoy, parts::filter];

/// Generous: two cores, shared.
const LIMIT: Duration = Duration::from_secs(60);

/// All of it. Dropped top down.
pub struct Scene {
    envoy: Process,
    address: SocketAddr,
    sink: Sink,
    _odd: Oddities,
    _grpc: GrpcService,
}

impl Scene {
    /// Starts it; `direction` is INBOUND or OUTBOUND, `more` are keys of the plugin's configuration.
    pub async fn start(
        ground: &Ground,
        name: &str,
        direction: &str,
        more: serde_json::Value,
    ) -> Result<Scene> {
        Scene::start_changed(ground, name, direction, more, |_| Ok(())).await
    }

    /// The same, with Envoy's configuration changed.
    pub async fn start_changed(
        ground: &Ground,
        name: &str,
        direction: &str,
        more: serde_json::Value,
        change: impl FnOnce(&mut Bootstrap) -> Result<()>,
    ) -> Result<Scene> {
        let directory = ground.directory(&format!("spans-{name}"))?;
        let (odd, grpc, sink) =
            (Oddities::start().await?, GrpcService::start().await?, Sink::start()?);
        let (listener, admin, refused) = (ports::free()?, ports::free()?, ports::free()?);
        let mut plugin = json!({ "cluster": "spanferry_bridge", "flush_interval_ms": 50 });
        for (key, value) in more.as_object().into_iter().flatten() {
            plugin[key] = value.clone();
        }
        let mut text = include_str!("envoy.yaml").to_owned();
        for (place, value) in [
            ("<direction>", direction.to_owned()),
            ("<plugin>", plugin.to_string().replace('\'', "''")),
            ("<filter>", parts::filter()?.display().to_string()),
            ("<listener>", listener.to_string()),
            ("<admin>", admin.to_string()),
            ("<refused>", refused.to_string()),
            ("<odd>", odd.address().port().to_string()),
            ("<grpc>", grpc.address().port().to_string()),
            ("<bridge>", sink.address().port().to_string()),
        ] {
            text = text.replace(place, &value);
        }
        let mut bootstrap = Bootstrap::parse(&text)?;
        change(&mut bootstrap)?;
        let configuration = directory.join("envoy.yaml");
        std::fs::write(&configuration, bootstrap.text())?;
        let mut command = Command::new(parts::envoy()?);
        command.arg("--config-path").arg(&configuration).current_dir(&directory);
        command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "info"]);
        let mut envoy = Process::start("envoy", &mut command, &directory)?;
        let ready = format!("http://127.0.0.1:{admin}/ready");
        let up = eventually("Envoy to be ready", LIMIT, async || {
            ensure!(envoy.is_running(), "it ended");
            Ok((http::get(&ready).await?.0 == 200).then_some(()))
        });
        up.await.with_context(|| envoy.tail())?;
        let address = SocketAddr::from(([127, 0, 0, 1], listener));
        Ok(Scene { envoy, address, sink, _odd: odd, _grpc: grpc })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A request over HTTP/2 on a connection of its own, its answer read to the end; its status.
    pub async fn http2(&self, request: Request<Full<Bytes>>) -> Result<u16> {
        let client: Client<HttpConnector, Full<Bytes>> =
            Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        let exchange = async {
            let answer = client.request(request).await?;
            let status = answer.status().as_u16();
            answer.into_body().collect().await?;
            anyhow::Ok(status)
        };
        tokio::time::timeout(LIMIT, exchange).await?
    }

    /// A GET on a connection of its own; the status of its answer, `None` when there was none.
    pub async fn get(&self, path: &str, headers: &str) -> Result<Option<u16>> {
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: shop.example\r\nuser-agent: test\r\nconnection: close\r\n\
             {headers}\r\n"
        );
        self.raw(head.as_bytes()).await
    }

    /// Bytes on a connection of their own, until it ends; the last status that came.
    pub async fn raw(&self, bytes: &[u8]) -> Result<Option<u16>> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(bytes).await?;
        let mut answer = Vec::new();
        // A reset is an answer that was broken off.
        let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await?;
        let text = String::from_utf8_lossy(&answer);
        let codes = text.split("HTTP/1.1 ").skip(1).filter_map(|rest| rest.get(..3)?.parse().ok());
        Ok(codes.last())
    }

    /// The span whose attribute has this value, when it is there and alone.
    pub async fn span_with(&self, key: &str, value: &str) -> Result<Told> {
        let what = format!("a span whose {key} is {value}");
        let found = eventually(&what, LIMIT, async || {
            let all = self.sink.spans();
            let told = all.iter().map(|span| Told::new(span.span.clone()));
            let mut found: Vec<Told> = told.filter(|told| told.get(key) == value).collect();
            ensure!(found.len() < 2, "{} such spans", found.len());
            Ok(found.pop())
        });
        found.await.with_context(|| self.envoy.tail())
    }

    /// The span of a request for this path.
    pub async fn span(&self, path: &str) -> Result<Told> {
        self.span_with("url.path", path).await
    }

    /// Fails unless exactly so many spans have come, a moment after the last.
    pub async fn has_spans(&self, count: usize) -> Result<()> {
        eventually(
            "all spans",
            LIMIT,
            async || Ok((self.sink.span_count() >= count).then_some(())),
        )
        .await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        ensure!(self.sink.span_count() == count, "{} spans of {count}", self.sink.span_count());
        Ok(())
    }
}

/// A span as a reader sees it.
#[derive(Debug)]
pub struct Told {
    /// As it came.
    pub span: Span,
    /// Its attributes, printed.
    pub attributes: BTreeMap<String, String>,
}

impl Told {
    fn new(span: Span) -> Told {
        let print = |value: Option<Value>| match value {
            Some(Value::StringValue(text)) => text,
            Some(Value::IntValue(number)) => number.to_string(),
            other => format!("{other:?}"),
        };
        let attributes = span.attributes.iter().map(|attribute| {
            let value = attribute.value.clone().and_then(|any| any.value);
            (attribute.key.clone(), print(value))
        });
        Told { attributes: attributes.collect(), span }
    }

    /// An attribute, empty when it is absent.
    pub fn get(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    /// The names of its events.
    pub fn events(&self) -> Vec<&str> {
        self.span.events.iter().map(|event| event.name.as_str()).collect()
    }

    /// Whether its status is an error.
    pub fn failed(&self) -> bool {
        self.span.status.as_ref().is_some_and(|status| status.code == 2)
    }

    /// Name, `http.response.status_code`, `error.type` (empty when it did not fail) and events.
    pub fn outline(&self) -> (&str, &str, &str, Vec<&str>) {
        let code = self.get("http.response.status_code");
        (&self.span.name, code, self.get("error.type"), self.events())
    }

    /// Fails unless it is as outlined; its status is an error if and only if it has an `error.type`.
    pub fn is(&self, name: &str, code: &str, error: &str, events: &[&str]) -> Result<()> {
        ensure!(self.outline() == (name, code, error, events.to_vec()), "{:#?}", self.span);
        ensure!(self.failed() != error.is_empty(), "{:#?}", self.span);
        let end = self.span.end_time_unix_nano;
        for event in &self.span.events {
            let within = self.span.start_time_unix_nano..=end;
            ensure!(within.contains(&event.time_unix_nano), "{event:?} is not within the span");
        }
        Ok(())
    }
}
