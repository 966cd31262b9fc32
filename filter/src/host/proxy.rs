//! The real proxy: the only file with calls to it. The imports are raw, each status becomes an error that
//! names its call, and what the proxy answers with is taken over without a copy.

use super::{Destination, HTTP_CALL, Host, HostError, LogLevel, MetricId};
use crate::header_map::{serialize, serialize_path};
use crate::ids::SEED_BYTES;
use crate::metrics::MetricKind;
use crate::outbox::Call;
use std::alloc::Layout;
use std::ptr::null_mut;

const OK: u32 = 0;

const REQUEST_HEADERS: u32 = 0;
const RESPONSE_HEADERS: u32 = 2;
const CALL_RESPONSE_HEADERS: u32 = 6;
const CALL_RESPONSE_BODY: u32 = 4;
const PLUGIN_CONFIGURATION: u32 = 7;

/// The proxy that this module runs in.
#[derive(Debug, Clone, Copy)]
pub struct Proxy;

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
        pub fn proxy_add_header_map_value(
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
        pub fn proxy_http_call(
            cluster: *const u8,
            cluster_size: usize,
            headers: *const u8,
            headers_size: usize,
            body: *const u8,
            body_size: usize,
            trailers: *const u8,
            trailers_size: usize,
            timeout_ms: u32,
            token: *mut u32,
        ) -> u32;
        pub fn proxy_done() -> u32;
    }

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub fn random_get(bytes: *mut u8, size: usize) -> u16;
        pub fn environ_sizes_get(count: *mut usize, size: *mut usize) -> u16;
        pub fn environ_get(entries: *mut usize, bytes: *mut u8) -> u16;
    }
}

/// Memory for what the proxy answers with. Null, which the proxy answers with a status, when there is none:
/// so a filter without memory does not trap here.
#[unsafe(export_name = "malloc")]
extern "C" fn allocate(size: usize) -> *mut u8 {
    match Layout::array::<u8>(size) {
        // SAFETY: the layout's size is not zero.
        Ok(layout) if size > 0 => unsafe { std::alloc::alloc(layout) },
        _ => null_mut(),
    }
}

fn check(call: &'static str, status: u32) -> Result<(), HostError> {
    if status == OK { Ok(()) } else { Err(HostError { call, status }) }
}

/// Runs a call that answers with bytes which the proxy allocated through [`allocate`].
fn read(
    call: &'static str,
    run: impl FnOnce(*mut *mut u8, *mut usize) -> u32,
) -> Result<Vec<u8>, HostError> {
    let (mut data, mut size) = (null_mut(), 0_usize);
    check(call, run(&mut data, &mut size))?;
    if data.is_null() || size == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: `allocate` made this block with the layout of `size` bytes, which is that of a vector with
    // this capacity; the proxy has written all of it and hands it over to us.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

fn buffer(call: &'static str, kind: u32, longest: usize) -> Result<Vec<u8>, HostError> {
    // SAFETY: `read` gives two live out-pointers.
    read(call, |data, size| unsafe { raw::proxy_get_buffer_bytes(kind, 0, longest, data, size) })
}

fn header(call: &'static str, kind: u32, name: &str) -> Result<Vec<u8>, HostError> {
    // SAFETY: `name` is alive, and `read` gives two live out-pointers.
    read(call, |data, size| unsafe {
        raw::proxy_get_header_map_value(kind, name.as_ptr(), name.len(), data, size)
    })
}

impl Host for Proxy {
    fn write_log(self, level: LogLevel, line: &str) {
        // SAFETY: pointer and length are of a live string.
        let _ = unsafe { raw::proxy_log(level as u32, line.as_ptr(), line.len()) };
    }

    fn clock_ns(self) -> Result<u64, HostError> {
        let mut time = 0;
        // SAFETY: `time` outlives the call.
        let status = unsafe { raw::proxy_get_current_time_nanoseconds(&mut time) };
        check("get_current_time", status).map(|()| time)
    }

    fn entropy(self) -> Option<[u8; SEED_BYTES]> {
        let mut seed = [0; SEED_BYTES];
        // SAFETY: the proxy writes `seed.len()` bytes into `seed`.
        let errno = unsafe { raw::random_get(seed.as_mut_ptr(), seed.len()) };
        (errno == 0 && seed != [0; SEED_BYTES]).then_some(seed)
    }

    fn environment(self) -> Result<Vec<u8>, HostError> {
        let (mut count, mut size) = (0_usize, 0_usize);
        // SAFETY: both outlive the call.
        let errno = unsafe { raw::environ_sizes_get(&mut count, &mut size) };
        check("environ_sizes_get", errno.into())?;
        let (mut entries, mut bytes) = (vec![0_usize; count], vec![0_u8; size]);
        // SAFETY: the buffers have the sizes that the proxy has just named.
        let errno = unsafe { raw::environ_get(entries.as_mut_ptr(), bytes.as_mut_ptr()) };
        check("environ_get", errno.into()).map(|()| bytes)
    }

    fn set_tick_ms(self, period: u32) -> Result<(), HostError> {
        // SAFETY: plain numbers.
        check("set_tick_period", unsafe { raw::proxy_set_tick_period_milliseconds(period) })
    }

    fn plugin_configuration(self, size: usize) -> Result<Vec<u8>, HostError> {
        if size == 0 {
            return Ok(Vec::new());
        }
        buffer("get_configuration", PLUGIN_CONFIGURATION, size)
    }

    fn request_headers(self) -> Result<Vec<u8>, HostError> {
        // SAFETY: `read` gives two live out-pointers.
        read("get_request_headers", |data, size| unsafe {
            raw::proxy_get_header_map_pairs(REQUEST_HEADERS, data, size)
        })
    }

    fn request_header(self, name: &str) -> Result<Vec<u8>, HostError> {
        header("get_request_header", REQUEST_HEADERS, name)
    }

    fn set_request_header(self, name: &str, value: &str) -> Result<(), HostError> {
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

    fn add_request_header(self, name: &str, value: &str) -> Result<(), HostError> {
        // SAFETY: pointers and lengths are of live strings.
        check("add_request_header", unsafe {
            raw::proxy_add_header_map_value(
                REQUEST_HEADERS,
                name.as_ptr(),
                name.len(),
                value.as_ptr(),
                value.len(),
            )
        })
    }

    fn remove_request_header(self, name: &str) -> Result<(), HostError> {
        // SAFETY: pointer and length are of a live string.
        check("remove_request_header", unsafe {
            raw::proxy_remove_header_map_value(REQUEST_HEADERS, name.as_ptr(), name.len())
        })
    }

    fn response_status(self) -> Result<Vec<u8>, HostError> {
        header("get_response_status", RESPONSE_HEADERS, ":status")
    }

    fn property(self, path: &[&str]) -> Result<Vec<u8>, HostError> {
        let path = serialize_path(path);
        // SAFETY: `path` is alive, and `read` gives two live out-pointers.
        read("get_property", |data, size| unsafe {
            raw::proxy_get_property(path.as_ptr(), path.len(), data, size)
        })
    }

    fn foreign(self, name: &'static str, argument: &[u8]) -> Result<Vec<u8>, HostError> {
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

    fn define_metric(self, kind: MetricKind, name: &str) -> Result<MetricId, HostError> {
        let kind = match kind {
            MetricKind::Counter => 0,
            MetricKind::Gauge => 1,
        };
        let mut id = 0;
        // SAFETY: `name` and `id` outlive the call.
        let status = unsafe { raw::proxy_define_metric(kind, name.as_ptr(), name.len(), &mut id) };
        check("define_metric", status).map(|()| MetricId(id))
    }

    fn add_to_metric(self, metric: MetricId, by: i64) -> Result<(), HostError> {
        // SAFETY: plain numbers.
        check("increment_metric", unsafe { raw::proxy_increment_metric(metric.0, by) })
    }

    fn post(self, to: &Destination<'_>, call: Call<'_>) -> Result<u32, HostError> {
        let (sequence, spans) = (call.sequence.to_string(), call.spans.to_string());
        let dropped = call.dropped.to_string();
        let headers = serialize(&[
            (b":method", b"POST"),
            (b":path", to.path.as_bytes()),
            (b":authority", to.authority.as_bytes()),
            (b"content-type", b"application/x-protobuf"),
            (b"x-spanferry-source", to.source.as_bytes()),
            (b"x-spanferry-sequence", sequence.as_bytes()),
            (b"x-spanferry-spans", spans.as_bytes()),
            (b"x-spanferry-dropped", dropped.as_bytes()),
        ]);
        let trailers = serialize(&[]);
        let timeout_ms = u32::try_from(to.timeout.as_millis()).unwrap_or(u32::MAX);
        let mut token = 0;
        // SAFETY: pointers and lengths are of buffers that outlive the call, as does `token`.
        let status = unsafe {
            raw::proxy_http_call(
                to.cluster.as_ptr(),
                to.cluster.len(),
                headers.as_ptr(),
                headers.len(),
                call.body.as_ptr(),
                call.body.len(),
                trailers.as_ptr(),
                trailers.len(),
                timeout_ms,
                &mut token,
            )
        };
        check(HTTP_CALL, status).map(|()| token)
    }

    fn call_response_header(self, name: &str) -> Result<Vec<u8>, HostError> {
        header("get_call_response_header", CALL_RESPONSE_HEADERS, name)
    }

    fn call_response_body(self, longest: usize) -> Result<Vec<u8>, HostError> {
        buffer("get_call_response_body", CALL_RESPONSE_BODY, longest)
    }

    fn done(self) -> Result<(), HostError> {
        // SAFETY: no arguments.
        check("done", unsafe { raw::proxy_done() })
    }
}
