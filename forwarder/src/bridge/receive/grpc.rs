//! OTLP/gRPC: `TraceService/Export`, by a codec that hands over bytes.

use super::{sender, success};
use crate::bridge::intake::Intake;
use crate::bridge::refusal::Refusal;
use crate::bridge::repeats::Accepted;
use crate::otlp::rpc_status::RpcStatus;
use crate::otlp::service::RawCodec;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use prost::Message;
use std::sync::Arc;
use tonic::codec::{CompressionEncoding, EnabledCompressionEncodings};
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Status};

/// One call.
pub async fn export(
    State(intake): State<Arc<Intake>>,
    request: axum::extract::Request,
) -> Response {
    let mut accepts = EnabledCompressionEncodings::default();
    accepts.enable(CompressionEncoding::Gzip);
    accepts.enable(CompressionEncoding::Zstd);
    let limit = intake.settings.max_request_bytes;
    let longest = intake.settings.read_timeout + intake.settings.ack_timeout;
    let mut grpc = Grpc::new(RawCodec)
        .apply_compression_config(accepts, EnabledCompressionEncodings::default())
        .apply_max_message_size_config(Some(limit), None);
    match tokio::time::timeout(longest, grpc.unary(Export(intake), request)).await {
        Ok(response) => response.map(axum::body::Body::new).into_response(),
        Err(_) => Status::deadline_exceeded("the request did not arrive in time").into_http(),
    }
}

struct Export(Arc<Intake>);

impl UnaryService<Bytes> for Export {
    type Response = Vec<Bytes>;
    type Future = BoxFuture<'static, Result<tonic::Response<Vec<Bytes>>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let intake = self.0.clone();
        Box::pin(async move {
            match accept(&intake, request).await {
                Ok(accepted) => {
                    Ok(tonic::Response::new(vec![success(&accepted).encode_to_vec().into()]))
                }
                Err(refusal) => Err(status(&intake, &refusal)),
            }
        })
    }
}

async fn accept(intake: &Intake, request: Request<Bytes>) -> Result<Accepted, Refusal> {
    let (metadata, _, body) = request.into_parts();
    let prepared =
        sender::of(metadata.as_ref()).and_then(|s| Ok((s, intake.room.take(body.len())?)));
    match prepared {
        Ok((sender, taken)) => intake.accept(body, sender, taken).await,
        Err(refusal) => {
            intake.refused(&refusal);
            Err(refusal)
        }
    }
}

/// A retryable refusal carries `RetryInfo`: without it, senders take RESOURCE_EXHAUSTED as final.
fn status(intake: &Intake, refusal: &Refusal) -> Status {
    let pause = refusal.is_retryable().then_some(intake.settings.retry_after);
    let details = RpcStatus::new(refusal.code() as i32, refusal.to_string(), pause).encode_to_vec();
    Status::with_details(refusal.code(), refusal.to_string(), details.into())
}
