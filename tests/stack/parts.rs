//! Where the real parts are on this machine, and the command that brings one that is missing.

use anyhow::{Result, bail};
use std::env;
use std::path::{Path, PathBuf};

/// The checkout's root.
pub fn root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// `$SPANFERRY_CACHE`, else `.cache` in the checkout.
pub fn cache() -> PathBuf {
    match env::var_os("SPANFERRY_CACHE") {
        Some(cache) => root().join(cache),
        None => root().join(".cache"),
    }
}

/// Envoy's binary: `$ENVOY_BIN`, else the cache's.
pub fn envoy() -> Result<PathBuf> {
    find("Envoy", "ENVOY_BIN", cache().join("envoy/1.40.0/envoy"), "tests/parts/envoy/fetch")
}

/// Jaeger's binary: `$JAEGER_BIN`, else the cache's.
pub fn jaeger() -> Result<PathBuf> {
    find("Jaeger", "JAEGER_BIN", cache().join("jaeger/1.76.0/jaeger"), "tests/parts/jaeger/fetch")
}

/// Kafka's jars: `$KAFKA_LIBS`, else the cache's.
pub fn kafka_libs() -> Result<PathBuf> {
    find("Kafka", "KAFKA_LIBS", cache().join("kafka/4.1.0/libs"), "tests/parts/kafka/fetch")
}

/// The filter's wasm file: `$SPANFERRY_FILTER_WASM`, else where the build puts it.
pub fn filter() -> Result<PathBuf> {
    let built = target().join("filter/spanferry_filter.wasm");
    find("the filter", "SPANFERRY_FILTER_WASM", built, "tests/parts/build-filter")
}

/// The filter that traps on purpose: `$SPANFERRY_TRAPPING_FILTER_WASM`, else where the build puts it.
pub fn trapping_filter() -> Result<PathBuf> {
    let built = target().join("filter/spanferry_filter_trapping.wasm");
    let how = "tests/parts/build-filter --trapping";
    find("the filter that traps", "SPANFERRY_TRAPPING_FILTER_WASM", built, how)
}

/// The directory of the CustomResourceDefinitions: `$SPANFERRY_CRDS`, else the cache's.
pub fn crds() -> Result<PathBuf> {
    let usual = cache().join("crds/istio-1.32.0,envoy-gateway-1.9.1");
    find("the definitions for Kubernetes", "SPANFERRY_CRDS", usual, "tests/parts/crds/fetch")
}

/// The binary `bench-filter`, beside this executable.
pub fn bench_filter() -> Result<PathBuf> {
    let build = "cargo build -p spanferry-tests --bins";
    find("the filter's benchmark", "SPANFERRY_BENCH_FILTER", beside_us("bench-filter")?, build)
}

/// The binary `bench`, beside this executable.
pub fn bench() -> Result<PathBuf> {
    let build = "cargo build -p spanferry-tests --bins";
    find("the benchmark beside the peers", "SPANFERRY_BENCH", beside_us("bench")?, build)
}

/// The binary `spanferry`: `$SPANFERRY_BIN`, else the one beside this executable.
pub fn spanferry() -> Result<PathBuf> {
    find("spanferry", "SPANFERRY_BIN", beside_us("spanferry")?, "cargo build -p spanferry")
}

/// The binary `sample`, beside this executable.
pub fn sample() -> Result<PathBuf> {
    let build = "cargo build -p spanferry-tests --bins";
    find("the sample service", "SPANFERRY_SAMPLE", beside_us("sample")?, build)
}

fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// `target/debug/NAME` for an executable in `target/debug` or `target/debug/deps`.
fn beside_us(name: &str) -> Result<PathBuf> {
    let own = env::current_exe()?;
    let directory = own.parent().unwrap_or(Path::new("."));
    let directory =
        if directory.ends_with("deps") { directory.join("..") } else { directory.into() };
    Ok(directory.join(name))
}

fn find(what: &str, variable: &str, usual: PathBuf, command: &str) -> Result<PathBuf> {
    let (path, origin) = match env::var_os(variable) {
        Some(path) => (PathBuf::from(path), format!("{variable} points there")),
        None => (usual, format!("or point {variable} at one")),
    };
    if path.exists() {
        return Ok(path);
    }
    bail!("{what} is not at {}; to get it: {command} ({origin})", path.display());
}
