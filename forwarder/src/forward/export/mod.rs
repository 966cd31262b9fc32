//! One request to the destination, and what its answer means for the spans in it.

mod grpc;
mod http;
mod joined;

use super::destination::{Destination, DestinationError, Protocol};
use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;

/// Joined records: protobuf merges repeated fields, so requests one behind the other are one request.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The records' values, in order.
    pub chunks: Vec<Bytes>,
    /// Bytes of all chunks.
    pub bytes: usize,
    /// Spans in all chunks.
    pub spans: u64,
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The destination has the spans.
    Delivered,
    /// It has all but these; sending again would make repeats (OTLP specification, "Partial Success").
    Partial {
        /// Spans that it did not take.
        rejected_spans: u64,
        /// Why.
        message: String,
    },
    /// It has nothing, and may take it later.
    Retry {
        /// The pause that it asked for.
        after: Option<Duration>,
        /// What was said, or what failed.
        reason: String,
        /// Whether it says that it is given too much.
        is_overload: bool,
    },
    /// It failed over these spans, and took none. By OTLP nobody sends them again; but it may as well be in trouble for all spans.
    Failed {
        /// What was said.
        reason: String,
    },
    /// It will never take a request of this size; smaller ones it may.
    TooLarge {
        /// Why.
        reason: String,
    },
    /// It will never take this request; what is to blame may be one record of it.
    Refused {
        /// Why.
        reason: String,
    },
}

/// A destination that takes requests.
#[async_trait]
pub trait Export: Send + Sync {
    /// Makes one try. Never fails otherwise than by its outcome.
    async fn export(&self, request: &Request) -> Outcome;
}

/// How requests are made.
#[derive(Debug, Clone)]
pub struct ExportSettings {
    /// How long an answer may take.
    pub request_timeout: Duration,
}

/// A client for the destination, which need not be there yet.
pub fn connect(
    destination: &Destination,
    settings: &ExportSettings,
) -> Result<Arc<dyn Export>, DestinationError> {
    // Both clients use the one provider of TLS; whoever comes first installs it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = |detail: String| DestinationError::Client { url: destination.to_string(), detail };
    Ok(match destination.protocol {
        Protocol::Grpc => {
            Arc::new(grpc::Grpc::new(destination, settings).map_err(|e| client(e.to_string()))?)
        }
        Protocol::Http => {
            Arc::new(http::Http::new(destination, settings).map_err(|e| client(e.to_string()))?)
        }
    })
}

/// The meaning of a success's body. One that is no response at all still came with a success.
fn of_success(body: &[u8]) -> Outcome {
    let response = ExportTraceServiceResponse::decode(body).unwrap_or_default();
    match response.partial_success {
        Some(partial) if partial.rejected_spans > 0 => Outcome::Partial {
            rejected_spans: partial.rejected_spans.unsigned_abs(),
            message: partial.error_message,
        },
        _ => Outcome::Delivered,
    }
}

/// An error with what is behind it: "error sending request" alone tells nobody anything.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
