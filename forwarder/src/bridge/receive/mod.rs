//! OTLP's two transports: each makes a batch of what comes, or says what is wrong with it.

mod body;
mod grpc;
mod http;
mod sender;

use super::intake::Intake;
use axum::Router;
use axum::routing::any;
use std::sync::Arc;

/// Both transports; a sender that took the wrong port of the two is served all the same.
pub fn router(intake: Arc<Intake>) -> Router {
    Router::new()
        .route("/v1/traces", any(http::export))
        .route(grpc::EXPORT, any(grpc::export))
        .fallback(http::not_found)
        .with_state(intake)
}
