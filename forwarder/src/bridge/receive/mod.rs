//! OTLP's two transports: each makes a batch of what comes, or says what is wrong with it.

mod body;
mod grpc;
mod http;
mod sender;

use super::intake::Intake;
use super::repeats::Accepted;
use crate::otlp::service::EXPORT;
use axum::Router;
use axum::routing::any;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use std::sync::Arc;

/// Both transports; a sender that took the wrong port of the two is served all the same.
pub fn router(intake: Arc<Intake>) -> Router {
    Router::new()
        .route("/v1/traces", any(http::export))
        .route(EXPORT, any(grpc::export))
        .fallback(http::not_found)
        .with_state(intake)
}

/// What an accepted batch is answered with.
fn success(accepted: &Accepted) -> ExportTraceServiceResponse {
    let partial = |rejected: u64| ExportTracePartialSuccess {
        rejected_spans: rejected as i64,
        error_message: format!(
            "{rejected} spans have no trace_id of 16 bytes that are not all zero"
        ),
    };
    let rejected = Some(accepted.rejected_spans).filter(|rejected| *rejected > 0);
    ExportTraceServiceResponse { partial_success: rejected.map(partial) }
}
