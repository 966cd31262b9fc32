//! The sink's gRPC side: `TraceService/Export` with messages as raw bytes, so that nothing is lost in decoding.

use bytes::{Buf, BufMut, Bytes};
use futures_util::future::BoxFuture;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};

/// Path of the one method that an OTLP trace receiver has.
pub const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const LARGEST_REQUEST_BYTES: usize = 64 << 20;

/// Gets a message's bytes and gives the response's.
pub type Answer = Box<dyn FnOnce(Bytes) -> BoxFuture<'static, Result<Bytes, Status>> + Send>;

/// Answers one unary call.
pub async fn unary(request: axum::extract::Request, answer: Answer) -> axum::response::Response {
    let mut grpc = Grpc::new(Raw)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(LARGEST_REQUEST_BYTES);
    grpc.unary(Once(Some(answer)), request).await.map(axum::body::Body::new)
}

struct Once(Option<Answer>);

impl UnaryService<Bytes> for Once {
    type Response = Bytes;
    type Future = BoxFuture<'static, Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let Some(answer) = self.0.take() else {
            return Box::pin(async { Err(Status::internal("called twice")) });
        };
        let answer = answer(request.into_inner());
        Box::pin(async move { answer.await.map(Response::new) })
    }
}

#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
