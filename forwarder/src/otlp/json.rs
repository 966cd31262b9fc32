//! OTLP/JSON to OTLP protobuf (OTLP specification, "JSON Protobuf Encoding": ids in hex, 64-bit numbers as strings).

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use thiserror::Error;

/// Why a JSON body is not an OTLP request.
#[derive(Debug, Error)]
#[error("not OTLP/JSON: {0}")]
pub struct JsonError(#[from] serde_json::Error);

/// The protobuf of the request in `json`. Unknown keys are passed over, as the specification asks.
pub fn to_protobuf(json: &[u8]) -> Result<Bytes, JsonError> {
    let request: ExportTraceServiceRequest = serde_json::from_slice(json)?;
    Ok(request.encode_to_vec().into())
}
