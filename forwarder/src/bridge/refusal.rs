//! Why a batch was not accepted: what it is in HTTP, in gRPC, in the metrics, and whether to come again.

use crate::log::{AppendError, LogError};
use crate::otlp::json::JsonError;
use crate::otlp::wire::WireError;
use http::StatusCode;
use thiserror::Error;
use tonic::Code;

/// A batch that was not accepted. Nothing of it was acknowledged.
#[derive(Debug, Clone, Error)]
pub enum Refusal {
    /// The body is not an OTLP request.
    #[error("the body is not an OTLP ExportTraceServiceRequest: {0}")]
    NotOtlp(#[from] WireError),
    /// The body is not OTLP/JSON.
    #[error("{0}")]
    NotJson(String),
    /// Not one span has a trace id.
    #[error("none of the {0} spans has a trace_id of 16 bytes that are not all zero")]
    NoTraceId(u64),
    /// The body cannot be decompressed.
    #[error("content-encoding {encoding}: {detail}")]
    Compression {
        /// As named by the sender.
        encoding: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// A kind of body that we do not read.
    #[error("content-type {0:?} is not application/x-protobuf or application/json")]
    ContentType(String),
    /// A compression that we do not read.
    #[error("content-encoding {0:?} is not gzip, zstd or identity")]
    ContentEncoding(String),
    /// A header of ours with a value that makes no sense.
    #[error("{name}: {value:?} is not {expected}")]
    Header {
        /// The header.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Larger than allowed.
    #[error("the request is larger than {limit} bytes after decompression (--max-request-bytes)")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A span for which there is no place at all.
    #[error("a span is too large for a record and for a dead letter: {0}")]
    SpanTooLarge(String),
    /// The body did not come.
    #[error("the body did not arrive: {0}")]
    Incomplete(String),
    /// No room now.
    #[error(
        "busy: {bytes} more bytes are above the {limit} in flight (--max-bytes-in-flight): retry later"
    )]
    Busy {
        /// The request's bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The log is out of reach.
    #[error("the log does not take records now ({0}): retry later")]
    LogAway(String),
    /// The log has not acknowledged in time; it may still.
    #[error("the log has not acknowledged within {0} ms: retry later")]
    NotAcknowledged(u128),
    /// The log is away, and the spool has no room.
    #[error("the log is away, and the spool is full ({0}): retry later")]
    SpoolFull(String),
    /// The log is away, and the spool's disk fails.
    #[error("the log is away, and the spool takes nothing ({0}): retry later")]
    SpoolFailed(String),
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::TooLarge { .. } => Self::SpanTooLarge(error.to_string()),
            _ => Self::LogAway(error.to_string()),
        }
    }
}

impl From<LogError> for Refusal {
    fn from(error: LogError) -> Self {
        Self::LogAway(error.to_string())
    }
}

impl From<JsonError> for Refusal {
    fn from(error: JsonError) -> Self {
        Self::NotJson(error.to_string())
    }
}

impl Refusal {
    /// What the spool said to a batch.
    pub fn of_the_spool(error: AppendError) -> Self {
        match error {
            AppendError::Full { .. } => Self::SpoolFull(error.to_string()),
            AppendError::TooLarge { .. } => Self::SpanTooLarge(error.to_string()),
            _ => Self::SpoolFailed(error.to_string()),
        }
    }

    /// Every word for the metrics.
    pub const WORDS: [&str; 10] = [
        "bad_data",
        "bad_compression",
        "unsupported",
        "too_large",
        "incomplete",
        "busy",
        "log_away",
        "not_acknowledged",
        "spool_full",
        "spool_failed",
    ];

    /// Whether the same batch may be accepted later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Busy { .. }) || self.is_for_want_of_a_log()
    }

    fn is_for_want_of_a_log(&self) -> bool {
        matches!(
            self,
            Self::LogAway(_) | Self::NotAcknowledged(_) | Self::SpoolFull(_) | Self::SpoolFailed(_)
        )
    }

    /// The HTTP status (OTLP specification, "OTLP/HTTP Response").
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Busy { .. } => StatusCode::TOO_MANY_REQUESTS,
            _ if self.is_for_want_of_a_log() => StatusCode::SERVICE_UNAVAILABLE,
            Self::ContentType(_) | Self::ContentEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } | Self::SpanTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Incomplete(_) => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The gRPC code (OTLP specification, "OTLP/gRPC Response").
    pub fn code(&self) -> Code {
        match self {
            Self::Busy { .. } => Code::ResourceExhausted,
            _ if self.is_for_want_of_a_log() => Code::Unavailable,
            Self::Incomplete(_) => Code::DeadlineExceeded,
            _ => Code::InvalidArgument,
        }
    }

    /// One word for the metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NotOtlp(_) | Self::NotJson(_) | Self::NoTraceId(_) | Self::Header { .. } => {
                "bad_data"
            }
            Self::Compression { .. } => "bad_compression",
            Self::ContentType(_) | Self::ContentEncoding(_) => "unsupported",
            Self::TooLarge { .. } | Self::SpanTooLarge(_) => "too_large",
            Self::Incomplete(_) => "incomplete",
            Self::Busy { .. } => "busy",
            Self::LogAway(_) => "log_away",
            Self::NotAcknowledged(_) => "not_acknowledged",
            Self::SpoolFull(_) => "spool_full",
            Self::SpoolFailed(_) => "spool_failed",
        }
    }
}
