//! The OTLP wire format, and nothing else: walk, count, split by trace, JSON to protobuf. No span is decoded or
//! changed (opentelemetry-proto `trace/v1/trace.proto`, `collector/trace/v1/trace_service.proto`).

pub mod count;
pub mod json;
pub mod plain;
pub mod rpc_status;
pub mod service;
mod skim;
pub mod split;
pub mod wire;

/// Field numbers on the way from a request down to a span's trace id.
mod field {
    pub const RESOURCE_SPANS: u32 = 1;
    pub const SCOPE_SPANS: u32 = 2;
    pub const SPANS: u32 = 2;
    pub const TRACE_ID: u32 = 1;
}
