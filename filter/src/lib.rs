//! The Spanferry filter: one span per request through a proxy, the trace context carried on, the spans
//! batched and handed to the bridge. A request never waits for telemetry and never fails because of it.
//!
//! Only `root`, `request` and `host` know a proxy; they exist on wasm32 with the feature `plugin`.
//! Everything else takes time, randomness and the proxy's answers as arguments.

pub mod admission;
pub mod answer;
pub mod authority;
pub mod backoff;
pub mod batch;
pub mod config;
pub mod encode;
pub mod header_map;
pub mod ids;
pub mod ledger;
pub mod metrics;
pub mod outbox;
pub mod properties;
pub mod resource;
pub mod response_flags;
pub mod sampling;
pub mod semconv;
pub mod span;
pub mod trace_context;

#[cfg(all(feature = "plugin", target_arch = "wasm32"))]
mod host;
#[cfg(all(feature = "plugin", target_arch = "wasm32"))]
mod request;
#[cfg(all(feature = "plugin", target_arch = "wasm32"))]
mod root;

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

#[cfg(all(feature = "plugin", target_arch = "wasm32"))]
#[allow(missing_docs)]
mod entry {
    use crate::{host, root};

    proxy_wasm::main! {{
        host::install_panic_hook();
        proxy_wasm::set_root_context(|context_id| Box::new(root::Root::new(context_id)));
    }}
}
