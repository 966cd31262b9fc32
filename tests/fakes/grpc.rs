//! The sink's gRPC side: `TraceService/Export` with messages as raw bytes, so that nothing is lost in decoding.

use bytes::Bytes;
use futures_util::future::BoxFuture;
pub use spanferry::otlp::service::EXPORT;
use spanferry::otlp::service::RawCodec;
use tonic::codec::CompressionEncoding;
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};

const LARGEST_REQUEST_BYTES: usize = 64 << 20;

/// Gets a message's bytes and gives the response's.
pub type Answer = Box<dyn FnOnce(Bytes) -> BoxFuture<'static, Result<Bytes, Status>> + Send>;

/// Answers one unary call.
pub async fn unary(request: axum::extract::Request, answer: Answer) -> axum::response::Response {
    let mut grpc = Grpc::new(RawCodec)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(LARGEST_REQUEST_BYTES);
    grpc.unary(Once(Some(answer)), request).await.map(axum::body::Body::new)
}

struct Once(Option<Answer>);

impl UnaryService<Bytes> for Once {
    type Response = Vec<Bytes>;
    type Future = BoxFuture<'static, Result<Response<Vec<Bytes>>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let Some(answer) = self.0.take() else {
            return Box::pin(async { Err(Status::internal("called twice")) });
        };
        let answer = answer(request.into_inner());
        Box::pin(async move { answer.await.map(|body| Response::new(vec![body])) })
    }
}
