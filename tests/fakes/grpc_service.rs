//! A gRPC service that answers as its method says: `Ok`, `NotFound` and `Unavailable` (that one with
//! headers alone), and `Broken`, which ends without a status.

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use http_body_util::StreamBody;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The service's full name.
pub const SERVICE: &str = "odd.v1.Answers";

/// The service. Dropping it ends it.
pub struct GrpcService {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl GrpcService {
    /// Starts one on a free loopback port, in the current runtime.
    pub async fn start() -> Result<GrpcService> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let router = Router::new().route(&format!("/{SERVICE}/{{method}}"), post(answer));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(GrpcService { address, task })
    }

    /// Where it listens, HTTP/2 without TLS.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for GrpcService {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(Path(method): Path<String>) -> Response {
    let (headers, trailers) = match method.as_str() {
        "Ok" => (None, Some(("0", ""))),
        "NotFound" => (None, Some(("5", "no%20such%20thing"))),
        "Unavailable" => (Some(("14", "no%20stock")), None),
        _ => (None, None),
    };
    let message = Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; 5])));
    let mut frames = vec![message];
    if headers.is_some() {
        frames.clear();
    }
    frames.extend(trailers.map(|told| Ok(Frame::trailers(status(told)))));
    let mut response =
        Response::new(Body::new(StreamBody::new(futures_util::stream::iter(frames))));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
    response.headers_mut().extend(headers.map(status).unwrap_or_default());
    response
}

fn status((code, message): (&'static str, &'static str)) -> HeaderMap {
    let pairs = [("grpc-status", code), ("grpc-message", message)];
    let told = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    told.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect()
}
