//! What is compared: each case is one Envoy, and differs from the others in its tracing only.

use crate::Arguments;
use crate::{calls, floor};
use anyhow::Result;
use serde_json::{Value, json};
use spanferry_tests::measure::request::NOT_SAMPLED;
use spanferry_tests::stack::bootstrap::Bootstrap;
use spanferry_tests::stack::envoy::{Envoy, Setup};
use spanferry_tests::stack::native::{self, Exporter};
use std::net::SocketAddr;
use std::path::Path;

/// One of the cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// No tracing at all: what everything else is compared with.
    Bare,
    /// A filter with our filter's exports that does nothing.
    Floor,
    /// The same with requests that their caller left out: Envoy reads and passes on a header more.
    FloorOfCaller,
    /// A filter that asks Envoy for what a span needs, and makes none.
    Calls,
    /// Envoy's own tracer over gRPC.
    NativeGrpc,
    /// Envoy's own tracer over HTTP.
    NativeHttp,
    /// Ours with the tags that Envoy's own tracer gives.
    SameTags,
    /// Ours as it is when nothing but the cluster is configured.
    Default,
    /// Ours where the request's caller left it out, as in all proxies behind the first.
    LeftOutByCaller,
    /// Ours where its own sampling leaves the request out.
    LeftOutHere,
}

/// Every case, in the order of the table.
pub const ALL: [Case; 10] = [
    Case::Bare,
    Case::Floor,
    Case::FloorOfCaller,
    Case::Calls,
    Case::NativeGrpc,
    Case::NativeHttp,
    Case::SameTags,
    Case::Default,
    Case::LeftOutByCaller,
    Case::LeftOutHere,
];

impl Case {
    /// Its place in the table, from 0.
    pub fn index(self) -> usize {
        self as usize
    }

    /// Its name for a reader.
    pub fn name(self) -> &'static str {
        match self {
            Case::Bare => "no tracing",
            Case::Floor => "an empty filter (the floor)",
            Case::FloorOfCaller => "an empty filter, left out by the caller",
            Case::Calls => "a span's calls alone",
            Case::NativeGrpc => "Envoy's tracer over gRPC",
            Case::NativeHttp => "Envoy's tracer over HTTP",
            Case::SameTags => "Spanferry, Envoy's tags",
            Case::Default => "Spanferry, as it comes",
            Case::LeftOutByCaller => "Spanferry, left out by the caller",
            Case::LeftOutHere => "Spanferry, left out by itself",
        }
    }

    /// Whether each request makes a span that must arrive.
    pub fn makes_spans(self) -> bool {
        use Case::{Default, NativeGrpc, NativeHttp, SameTags};
        matches!(self, NativeGrpc | NativeHttp | SameTags | Default)
    }

    /// What its requests carry beside what all carry.
    pub fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Case::FloorOfCaller | Case::LeftOutByCaller => &[NOT_SAMPLED],
            _ => &[],
        }
    }

    /// Starts its Envoy between `upstream` and `collector`.
    pub async fn start(
        self,
        arguments: &Arguments,
        directory: &Path,
        upstream: SocketAddr,
        collector: SocketAddr,
    ) -> Result<Envoy> {
        let mut setup = Setup::new(upstream, collector);
        setup.concurrency = arguments.workers;
        if let Some(plugin) = self.plugin() {
            setup.plugin = plugin.to_string();
        }
        let directory = directory.join(format!("case-{}", self.index()));
        std::fs::create_dir_all(&directory)?;
        let change = |bootstrap: &mut Bootstrap| self.change(bootstrap, &directory);
        Envoy::start_changed(&directory, &setup, change).await
    }

    fn plugin(self) -> Option<Value> {
        let with = |key: &str, value: Value| {
            let mut plugin = json!({ "cluster": "spanferry_bridge", "service_name": "gateway" });
            plugin[key] = value;
            Some(plugin)
        };
        match self {
            Case::SameTags => with("attributes", json!("envoy")),
            Case::LeftOutHere => with("sampling", json!({ "default": "always_off" })),
            _ => None,
        }
    }

    fn change(self, bootstrap: &mut Bootstrap, directory: &Path) -> Result<()> {
        let all = || json!({});
        match self {
            Case::Bare => {
                bootstrap.http_filters()?.remove(0);
            }
            Case::Floor | Case::FloorOfCaller => {
                run_instead(bootstrap, directory, &floor::module()?)?;
            }
            Case::Calls => run_instead(bootstrap, directory, &calls::module()?)?,
            Case::NativeGrpc => native::trace(bootstrap, Exporter::Grpc, all(), all())?,
            Case::NativeHttp => native::trace(bootstrap, Exporter::Http, all(), all())?,
            Case::SameTags | Case::Default | Case::LeftOutByCaller | Case::LeftOutHere => {}
        }
        Ok(())
    }
}

/// Puts a module in the filter's place.
fn run_instead(bootstrap: &mut Bootstrap, directory: &Path, module: &[u8]) -> Result<()> {
    let file = directory.join("module.wasm");
    std::fs::write(&file, module)?;
    bootstrap.plugin()?["vm_config"]["code"]["local"]["filename"] =
        file.display().to_string().into();
    Ok(())
}
