//! The Spanferry filter: one span per request through a proxy, the trace context carried on, the spans
//! batched and handed to the bridge. A request never waits for telemetry and never fails because of it.
//!
//! All of it is plain Rust over the trait [`host::Host`]. Only `host::proxy` and `exports` know proxy-wasm; they
//! exist on wasm32 with the feature `plugin`.

pub mod admission;
pub mod answer;
pub mod attempt;
pub mod attributes;
pub mod authority;
pub mod backoff;
pub mod batch;
pub mod config;
pub mod encode;
pub mod envoy_tags;
pub mod glance;
pub mod header_map;
pub mod host;
pub mod ids;
pub mod ledger;
pub mod metrics;
pub mod outbox;
pub mod properties;
pub mod request;
pub mod resource;
pub mod response_flags;
pub mod room;
pub mod root;
pub mod route;
pub mod sampling;
pub mod semconv;
pub mod span;
pub mod trace_context;
pub mod trouble;
pub mod vm;

#[cfg(all(feature = "plugin", target_arch = "wasm32"))]
mod exports;

/// The instrumentation scope's name and `telemetry.sdk.name`.
pub const SCOPE_NAME: &str = "spanferry-filter";
/// The version in the scope and in `telemetry.sdk.version`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `#[test]` natively, `#[wasm_bindgen_test]` on wasm32: one name for both.
#[cfg(test)]
mod testing {
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) use core::prelude::v1::test;
    #[cfg(target_arch = "wasm32")]
    pub(crate) use wasm_bindgen_test::wasm_bindgen_test as test;
}
