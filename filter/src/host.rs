//! What the filter asks of its proxy, as a trait: the filter knows no other proxy than this. Every status
//! that the proxy may answer is a value here; nothing panics. The real one is [`proxy`], on wasm32 only.

#[cfg(test)]
pub mod fake;
#[cfg(all(feature = "plugin", target_arch = "wasm32"))]
pub mod proxy;

use crate::ids::SEED_BYTES;
use crate::metrics::MetricKind;
use crate::outbox::Call;
use std::fmt::Display;
use std::time::Duration;

/// A call to the proxy that did not end well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{call} answered status {status}")]
pub struct HostError {
    /// The call.
    pub call: &'static str,
    /// The proxy's status (proxy-wasm ABI 0.2.1, `proxy_status_t`); never 0.
    pub status: u32,
}

/// The proxy's name of the call to the bridge.
pub const HTTP_CALL: &str = "http_call";
const NOT_FOUND: u32 = 1;
const BAD_ARGUMENT: u32 = 2;

impl HostError {
    /// Whether a call failed because the proxy does not know the cluster.
    pub fn is_missing_cluster(self) -> bool {
        self.call == HTTP_CALL && self.status == BAD_ARGUMENT
    }

    /// Whether the proxy says that what was asked for is not there.
    pub fn is_not_found(self) -> bool {
        self.status == NOT_FOUND
    }
}

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// For whoever looks.
    Info = 2,
    /// Something works less well.
    Warn = 3,
    /// Something is lost, or does not work.
    Error = 4,
    /// The filter is about to trap.
    Critical = 5,
}

/// One of the proxy's metrics.
#[derive(Debug, Clone, Copy)]
pub struct MetricId(pub u32);

/// A compiled expression.
#[derive(Debug, Clone, Copy)]
pub struct Expression([u8; 4]);

/// Where batches go.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// Envoy's cluster.
    pub cluster: &'a str,
    /// `:authority`
    pub authority: &'a str,
    /// `:path`
    pub path: &'a str,
    /// This worker's id, hex.
    pub source: &'a str,
    /// Until the call is given up.
    pub timeout: Duration,
}

/// A proxy. Passed by value, since the real one has no size.
///
/// Each call's error is the status that the proxy answered.
#[allow(clippy::missing_errors_doc)] // Said once, above.
pub trait Host: Copy {
    /// Writes one line to the proxy's log. A failed log has nowhere to be told.
    fn write_log(self, level: LogLevel, line: &str);

    /// The proxy's clock, ns since the epoch.
    fn clock_ns(self) -> Result<u64, HostError>;

    /// Entropy, if the proxy gives any.
    fn entropy(self) -> Option<[u8; SEED_BYTES]>;

    /// The variables that the proxy gives to the VM: `NAME=value` and a NUL each.
    fn environment(self) -> Result<Vec<u8>, HostError>;

    /// Sets the root context's tick, also from within a request. 0 stops it.
    fn set_tick_ms(self, period: u32) -> Result<(), HostError>;

    /// The plugin's configuration, which has this many bytes.
    fn plugin_configuration(self, size: usize) -> Result<Vec<u8>, HostError>;

    /// The current request's headers, serialized.
    fn request_headers(self) -> Result<Vec<u8>, HostError>;

    /// A header of the current request; of one that is there twice, the first.
    fn request_header(self, name: &str) -> Result<Vec<u8>, HostError>;

    /// Sets a request header; others of that name go.
    fn set_request_header(self, name: &str, value: &str) -> Result<(), HostError>;

    /// Adds a request header to those of its name that are there.
    fn add_request_header(self, name: &str, value: &str) -> Result<(), HostError>;

    /// Removes a request header, however often it is there.
    fn remove_request_header(self, name: &str) -> Result<(), HostError>;

    /// The current request's answer's `:status`, while its headers pass.
    fn response_status(self) -> Result<Vec<u8>, HostError>;

    /// A property's bytes.
    fn property(self, path: &[&str]) -> Result<Vec<u8>, HostError>;

    /// Calls one of the functions that the proxy has beyond the ABI.
    fn foreign(self, name: &'static str, argument: &[u8]) -> Result<Vec<u8>, HostError>;

    /// Defines a metric, or finds the one of that name.
    fn define_metric(self, kind: MetricKind, name: &str) -> Result<MetricId, HostError>;

    /// Adds to a metric; a gauge may also shrink.
    fn add_to_metric(self, metric: MetricId, by: i64) -> Result<(), HostError>;

    /// Hands a batch to the proxy to be posted. The answer comes to the root context with this token.
    fn post(self, to: &Destination<'_>, call: Call<'_>) -> Result<u32, HostError>;

    /// A header of the answer to a call, within its callback.
    fn call_response_header(self, name: &str) -> Result<Vec<u8>, HostError>;

    /// Up to `longest` bytes of the answer to a call, within its callback.
    fn call_response_body(self, longest: usize) -> Result<Vec<u8>, HostError>;

    /// Tells the proxy that a root context which had asked for time is done.
    fn done(self) -> Result<(), HostError>;

    /// Writes one line, with the filter's name before it.
    fn log(self, level: LogLevel, line: &dyn Display) {
        self.write_log(level, &format!("spanferry: {line}"));
    }

    /// The proxy's clock, ns since the epoch; 0 when it has none.
    fn now_ns(self) -> u64 {
        self.clock_ns().unwrap_or(0)
    }

    /// The proxy's clock, ms since the epoch; 0 when it has none.
    fn now_ms(self) -> u64 {
        self.now_ns() / 1_000_000
    }

    /// A property as text; empty when absent.
    fn text_property(self, path: &[&str]) -> String {
        String::from_utf8_lossy(&self.property(path).unwrap_or_default()).into_owned()
    }

    /// Compiles a CEL expression, on proxies that can.
    fn compile(self, expression: &str) -> Result<Expression, HostError> {
        let call = "expr_create";
        let token = self.foreign(call, expression.as_bytes())?;
        let token = token.try_into().map_err(|_| HostError { call, status: u32::MAX })?;
        Ok(Expression(token))
    }

    /// Evaluates an expression for the current request.
    fn evaluate(self, expression: Expression) -> Result<Vec<u8>, HostError> {
        self.foreign("expr_evaluate", &expression.0)
    }
}
