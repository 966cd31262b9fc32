//! The only file with calls to the proxy. Every status becomes a value: nothing here panics, and what
//! the proxy does not have is `None` or an error that names the call.
//!
//! The imports are raw where the SDK would panic on a status, or would copy each header into two
//! strings. Only `dispatch_http_call` goes through the SDK, since only it registers the call's token
//! with the dispatcher; it answers the two statuses that Envoy gives there (bad argument for a missing
//! cluster, internal failure for a call that could not start) as errors.

use crate::header_map::serialize_path;
use crate::ids::SEED_BYTES;
use crate::metrics::MetricKind;
use crate::outbox::Call;
use crate::properties::{COUNT, PATHS};
use proxy_wasm::types::{LogLevel, Status};
use std::fmt::Display;
use std::ptr::null_mut;
use std::time::Duration;

/// A call to the proxy that did not end well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{call} answered status {status}")]
pub struct HostError {
    /// The call.
    pub call: &'static str,
    /// The proxy's status (proxy-wasm ABI 0.2.1).
    pub status: u32,
}

impl HostError {
    /// Whether a call failed because the proxy does not know the cluster.
    pub fn is_missing_cluster(self) -> bool {
        self.call == HTTP_CALL && self.status == Status::BadArgument as u32
    }
}

/// One of the proxy's metrics.
#[derive(Debug, Clone, Copy)]
pub struct MetricId(u32);

/// A compiled expression.
#[derive(Debug, Clone, Copy)]
pub struct Expression([u8; 4]);

const HTTP_CALL: &str = "dispatch_http_call";
const OK: u32 = Status::Ok as u32;

const REQUEST_HEADERS: u32 = 0;
const CALL_RESPONSE_HEADERS: u32 = 6;
const CALL_RESPONSE_BODY: u32 = 4;
const PLUGIN_CONFIGURATION: u32 = 7;

mod raw {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub fn proxy_log(level: u32, text: *const u8, size: usize) -> u32;
        pub fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
        pub fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
        pub fn proxy_get_buffer_bytes(
            kind: u32,
            start: usize,
            longest: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub fn proxy_get_header_map_pairs(kind: u32, data: *mut *mut u8, size: *mut usize) -> u32;
        pub fn proxy_get_header_map_value(
            kind: u32,
            key: *const u8,
            key_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub fn proxy_replace_header_map_value(
            kind: u32,
            key: *const u8,
            key_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub fn proxy_remove_header_map_value(kind: u32, key: *const u8, key_size: usize) -> u32;
        pub fn proxy_get_property(
            path: *const u8,
            path_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub fn proxy_define_metric(kind: u32, name: *const u8, size: usize, id: *mut u32) -> u32;
        pub fn proxy_increment_metric(id: u32, by: i64) -> u32;
        pub fn proxy_call_foreign_function(
            name: *const u8,
            name_size: usize,
            argument: *const u8,
            argument_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub fn proxy_done() -> u32;
    }

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub fn random_get(bytes: *mut u8, size: usize) -> u16;
    }
}

fn check(call: &'static str, status: u32) -> Result<(), HostError> {
    if status == OK { Ok(()) } else { Err(HostError { call, status }) }
}

/// Runs a call that answers with bytes which the proxy allocated through our `malloc`.
fn read(
    call: &'static str,
    run: impl FnOnce(*mut *mut u8, *mut usize) -> u32,
) -> Result<Vec<u8>, HostError> {
    let (mut data, mut size) = (null_mut(), 0_usize);
    check(call, run(&mut data, &mut size))?;
    if data.is_null() || size == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the SDK's exported `malloc` made this block as a boxed slice of `size` bytes, and the
    // proxy hands it over to us.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

/// Writes one line to the proxy's log.
pub fn log(level: LogLevel, line: &dyn Display) {
    let line = format!("spanferry: {line}");
    // SAFETY: pointer and length are of a live string. A failed log has nowhere to be told.
    let _ = unsafe { raw::proxy_log(level as u32, line.as_ptr(), line.len()) };
}

/// A panic becomes one critical line; the proxy then sees the trap.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| log(LogLevel::Critical, &panic)));
}

/// The host's clock, ns since the epoch; 0 when it has none.
pub fn now_ns() -> u64 {
    let mut time = 0;
    // SAFETY: `time` outlives the call.
    match unsafe { raw::proxy_get_current_time_nanoseconds(&mut time) } {
        OK => time,
        _ => 0,
    }
}

/// Entropy, if the host gives any.
pub fn entropy() -> Option<[u8; SEED_BYTES]> {
    let mut seed = [0; SEED_BYTES];
    // SAFETY: the host writes `seed.len()` bytes into `seed`.
    let errno = unsafe { raw::random_get(seed.as_mut_ptr(), seed.len()) };
    (errno == 0 && seed != [0; SEED_BYTES]).then_some(seed)
}

/// Sets the root context's tick, also from within a request. 0 stops it.
pub fn set_tick_ms(period: u32) -> Result<(), HostError> {
    // SAFETY: plain numbers.
    check("set_tick_period", unsafe { raw::proxy_set_tick_period_milliseconds(period) })
}

/// The plugin's configuration; empty when there is none.
pub fn plugin_configuration(size: usize) -> Result<Vec<u8>, HostError> {
    if size == 0 {
        return Ok(Vec::new());
    }
    buffer(PLUGIN_CONFIGURATION, size)
}

/// Up to `longest` bytes of the answer to a call, within its callback.
pub fn call_response_body(longest: usize) -> Vec<u8> {
    buffer(CALL_RESPONSE_BODY, longest).unwrap_or_default()
}

fn buffer(kind: u32, longest: usize) -> Result<Vec<u8>, HostError> {
    // SAFETY: `read` gives two live out-pointers.
    read("get_buffer", |data, size| unsafe {
        raw::proxy_get_buffer_bytes(kind, 0, longest, data, size)
    })
}

/// The request's headers, serialized.
pub fn request_headers() -> Result<Vec<u8>, HostError> {
    // SAFETY: `read` gives two live out-pointers.
    read("get_request_headers", |data, size| unsafe {
        raw::proxy_get_header_map_pairs(REQUEST_HEADERS, data, size)
    })
}

/// A header of the answer to a call, within its callback.
pub fn call_response_header(name: &str) -> Option<Vec<u8>> {
    // SAFETY: `name` is alive, and `read` gives two live out-pointers.
    let value = read("get_call_response_header", |data, size| unsafe {
        raw::proxy_get_header_map_value(
            CALL_RESPONSE_HEADERS,
            name.as_ptr(),
            name.len(),
            data,
            size,
        )
    });
    value.ok().filter(|value| !value.is_empty())
}

/// Sets a request header; others of that name go.
pub fn set_request_header(name: &str, value: &str) -> Result<(), HostError> {
    // SAFETY: pointers and lengths are of live strings.
    check("set_request_header", unsafe {
        raw::proxy_replace_header_map_value(
            REQUEST_HEADERS,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    })
}

/// Removes a request header, however often it is there.
pub fn remove_request_header(name: &str) -> Result<(), HostError> {
    // SAFETY: pointer and length are of a live string.
    check("remove_request_header", unsafe {
        raw::proxy_remove_header_map_value(REQUEST_HEADERS, name.as_ptr(), name.len())
    })
}

/// A property's bytes; `None` when absent.
pub fn property(path: &[&str]) -> Option<Vec<u8>> {
    let path = serialize_path(path);
    // SAFETY: `path` is alive, and `read` gives two live out-pointers.
    read("get_property", |data, size| unsafe {
        raw::proxy_get_property(path.as_ptr(), path.len(), data, size)
    })
    .ok()
}

/// A property as text; empty when absent.
pub fn text_property(path: &[&str]) -> String {
    String::from_utf8_lossy(&property(path).unwrap_or_default()).into_owned()
}

/// Each property of a finished request, one call each.
pub fn single_properties() -> [Vec<u8>; COUNT] {
    PATHS.map(|path| property(&path).unwrap_or_default())
}

/// Compiles a CEL expression, on hosts that can.
pub fn compile(expression: &str) -> Result<Expression, HostError> {
    let token = foreign("expr_create", expression.as_bytes())?;
    let token =
        token.try_into().map_err(|_| HostError { call: "expr_create", status: u32::MAX })?;
    Ok(Expression(token))
}

/// Evaluates an expression for the current request.
pub fn evaluate(expression: Expression) -> Result<Vec<u8>, HostError> {
    foreign("expr_evaluate", &expression.0)
}

fn foreign(name: &'static str, argument: &[u8]) -> Result<Vec<u8>, HostError> {
    // SAFETY: name and argument are alive, and `read` gives two live out-pointers.
    read(name, |data, size| unsafe {
        raw::proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            argument.as_ptr(),
            argument.len(),
            data,
            size,
        )
    })
}

/// Defines a metric, or finds the one of that name.
pub fn define_metric(kind: MetricKind, name: &str) -> Result<MetricId, HostError> {
    let kind = match kind {
        MetricKind::Counter => 0,
        MetricKind::Gauge => 1,
    };
    let mut id = 0;
    // SAFETY: `name` and `id` outlive the call.
    let status = unsafe { raw::proxy_define_metric(kind, name.as_ptr(), name.len(), &mut id) };
    check("define_metric", status).map(|()| MetricId(id))
}

/// Adds to a metric; a gauge may also shrink.
pub fn add_to_metric(metric: MetricId, by: i64) -> Result<(), HostError> {
    // SAFETY: plain numbers.
    check("increment_metric", unsafe { raw::proxy_increment_metric(metric.0, by) })
}

/// Where batches go.
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

/// Hands a batch to the proxy to be posted. The answer comes to the root context with this token.
pub fn post(to: &Destination<'_>, call: Call<'_>) -> Result<u32, HostError> {
    let (sequence, spans) = (call.sequence.to_string(), call.spans.to_string());
    let dropped = call.dropped.to_string();
    let headers = vec![
        (":method", "POST"),
        (":path", to.path),
        (":authority", to.authority),
        ("content-type", "application/x-protobuf"),
        ("x-spanferry-source", to.source),
        ("x-spanferry-sequence", &sequence),
        ("x-spanferry-spans", &spans),
        ("x-spanferry-dropped", &dropped),
    ];
    proxy_wasm::hostcalls::dispatch_http_call(
        to.cluster,
        headers,
        Some(call.body),
        Vec::new(),
        to.timeout,
    )
    .map_err(|status| HostError { call: HTTP_CALL, status: status as u32 })
}

/// Tells the proxy that a root context which had asked for time is done.
pub fn done() -> Result<(), HostError> {
    // SAFETY: no arguments.
    check("done", unsafe { raw::proxy_done() })
}
