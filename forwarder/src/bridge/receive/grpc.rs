//! OTLP/gRPC: `TraceService/Export`, by a codec that hands over bytes.

use super::sender;
use crate::bridge::intake::Intake;
use crate::bridge::refusal::Refusal;
use crate::bridge::repeats::Accepted;
use crate::otlp::rpc_status::RpcStatus;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::{Buf, BufMut, Bytes};
use futures_util::future::BoxFuture;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;
use std::sync::Arc;
use tonic::codec::{
    Codec, CompressionEncoding, DecodeBuf, Decoder, EnabledCompressionEncodings, EncodeBuf, Encoder,
};
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Status};

/// The method's path.
pub const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

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
    type Response = Bytes;
    type Future = BoxFuture<'static, Result<tonic::Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let intake = self.0.clone();
        Box::pin(async move {
            match accept(&intake, request).await {
                Ok(accepted) => Ok(tonic::Response::new(response(&accepted))),
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

fn response(accepted: &Accepted) -> Bytes {
    let partial_success = (accepted.rejected_spans > 0).then(|| ExportTracePartialSuccess {
        rejected_spans: accepted.rejected_spans as i64,
        error_message: "spans without a trace_id of 16 bytes that are not all zero".into(),
    });
    ExportTraceServiceResponse { partial_success }.encode_to_vec().into()
}

/// A retryable refusal carries `RetryInfo`: without it, senders take RESOURCE_EXHAUSTED as final.
fn status(intake: &Intake, refusal: &Refusal) -> Status {
    let pause = refusal.is_retryable().then_some(intake.settings.retry_after);
    let details = RpcStatus::new(refusal.code() as i32, refusal.to_string(), pause).encode_to_vec();
    Status::with_details(refusal.code(), refusal.to_string(), details.into())
}

/// Bytes in, bytes out: nothing is decoded.
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(message);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, body: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(body.copy_to_bytes(body.remaining())))
    }
}
