//! OTLP/gRPC: the bytes of the records go out as they are.

use super::joined::Joined;
use super::{Export, ExportSettings, Outcome, Request, of_success, with_sources};
use crate::forward::destination::Destination;
use crate::otlp::rpc_status::RpcStatus;
use crate::otlp::service::{EXPORT, RawCodec};
use async_trait::async_trait;
use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::body::Body;
use tonic::client::Grpc as Client;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Status};
use tower::Service;

/// A destination that vanished without a word is noticed by this.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What servers say, with a code that blames themselves, of a request whose bytes they cannot read: grpc-go (two versions), Python and
/// gRPC's C core, grpc-js, grpc-java, tonic. They would say so for ever, and whoever comes behind would wait.
const UNREADABLE: [&str; 6] = [
    "grpc: error unmarshalling request",
    "grpc: failed to unmarshal the received message",
    "Exception deserializing request",
    "Error deserializing request",
    "Invalid protobuf byte sequence",
    "failed to decode Protobuf message",
];

/// A client over one connection, which is made when it is needed and made again when it broke.
pub struct Grpc {
    channel: Channel,
    timeout: Duration,
}

impl Grpc {
    /// A client for `destination`.
    pub fn new(
        destination: &Destination,
        settings: &ExportSettings,
    ) -> Result<Self, tonic::transport::Error> {
        let mut endpoint = Endpoint::from_shared(destination.url.to_string())?
            .connect_timeout(settings.request_timeout)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .user_agent(concat!("spanferry/", env!("CARGO_PKG_VERSION")))?;
        if destination.url.scheme() == "https" {
            endpoint = endpoint.tls_config(ClientTlsConfig::new().with_native_roots())?;
        }
        Ok(Self { channel: endpoint.connect_lazy(), timeout: settings.request_timeout })
    }

    async fn call(&self, request: &Request) -> Result<Bytes, Status> {
        let message = Some(message(request)?);
        let mut client = Client::new(WithMessage { channel: self.channel.clone(), message });
        client.ready().await.map_err(|error| Status::unavailable(with_sources(&error)))?;
        let nothing = tonic::Request::new(Vec::new());
        Ok(client.unary(nothing, PathAndQuery::from_static(EXPORT), RawCodec).await?.into_inner())
    }
}

/// The channel for one call, whose message is given here: tonic would copy it whole into one piece of memory, of megabytes,
/// before it sends the first byte.
struct WithMessage {
    channel: Channel,
    message: Option<Joined>,
}

impl Service<http::Request<Body>> for WithMessage {
    type Response = <Channel as Service<http::Request<Body>>>::Response;
    type Error = <Channel as Service<http::Request<Body>>>::Error;
    type Future = <Channel as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let message = self.message.take();
        self.channel.call(request.map(|nothing| message.map_or(nothing, Body::new)))
    }
}

/// The records as one message: its prefix says that it is not compressed, and its length
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>, "Length-Prefixed-Message").
fn message(request: &Request) -> Result<Joined, Status> {
    let length: usize = request.chunks.iter().map(Bytes::len).sum();
    let length = u32::try_from(length)
        .map_err(|_| Status::resource_exhausted("too large for one message of gRPC"))?;
    let mut prefix = vec![0];
    prefix.extend_from_slice(&length.to_be_bytes());
    let chunks = std::iter::once(Bytes::from(prefix)).chain(request.chunks.iter().cloned());
    Ok(Joined::new(chunks.collect()))
}

#[async_trait]
impl Export for Grpc {
    async fn export(&self, request: &Request) -> Outcome {
        match tokio::time::timeout(self.timeout, self.call(request)).await {
            Ok(Ok(body)) => of_success(&body),
            Ok(Err(status)) => of_status(&status),
            Err(_) => Outcome::Retry {
                after: None,
                reason: format!("no answer within {:?}", self.timeout),
                is_overload: true,
            },
        }
    }
}

/// What a status means (OTLP specification, "Failures" of OTLP/gRPC). Only what blames the data is final: everything else may be mended at the destination,
/// and until then the records wait.
fn of_status(status: &Status) -> Outcome {
    let reason = format!("gRPC {:?}: {}", status.code(), status.message());
    let says = |words: &[&str]| words.iter().any(|words| status.message().contains(words));
    // grpc-go's words, and tonic's.
    let too_large = says(&["larger than max", "too large"]);
    match status.code() {
        Code::InvalidArgument => Outcome::Refused { reason },
        Code::Internal if says(&UNREADABLE) => Outcome::Refused { reason },
        Code::Internal | Code::Unknown => Outcome::Failed { reason },
        Code::ResourceExhausted | Code::OutOfRange if too_large => Outcome::TooLarge { reason },
        code => {
            let after = RpcStatus::decode(status.details()).ok().and_then(|s| s.retry_after());
            // A destination that cannot be reached is UNAVAILABLE too, and asks for no pause.
            let is_overload =
                matches!(code, Code::ResourceExhausted | Code::DeadlineExceeded) || after.is_some();
            Outcome::Retry { after, reason, is_overload }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use http_body_util::BodyExt;

    #[test]
    fn a_message_is_its_length_and_the_records_one_behind_the_other() {
        let chunks = vec![Bytes::from(vec![1; 300]), Bytes::new(), Bytes::from_static(&[2])];
        let request = Request { bytes: 301, spans: 2, chunks };
        let sent = message(&request).unwrap().collect().now_or_never().unwrap().unwrap().to_bytes();
        assert_eq!((&sent[..5], sent.len()), (&[0, 0, 0, 1, 45][..], 306));
        assert_eq!((sent[5], sent[304], sent[305]), (1, 1, 2));
    }

    #[test]
    fn only_what_blames_the_data_is_final() {
        let refused =
            |status| !matches!(of_status(&status), Outcome::Retry { .. } | Outcome::Failed { .. });
        assert!(refused(Status::invalid_argument("bad span")));
        let unreadable = "grpc: error unmarshalling request: unexpected EOF";
        assert!(refused(Status::internal(unreadable)));
        assert!(!refused(Status::unavailable(unreadable)), "a proxy's word for a server behind it");
        let status = Status::resource_exhausted("received message larger than max (5 vs. 4)");
        assert!(matches!(of_status(&status), Outcome::TooLarge { .. }));
        for status in [
            Status::resource_exhausted("busy"),
            Status::unavailable("down"),
            Status::unimplemented("no traces here"),
            Status::permission_denied("no"),
            Status::internal("?"),
        ] {
            assert!(!refused(status));
        }
    }

    #[test]
    fn a_server_that_blames_itself_may_have_stumbled_over_the_data() {
        for status in [Status::internal("?"), Status::unknown("panic")] {
            assert!(matches!(of_status(&status), Outcome::Failed { .. }));
        }
    }

    #[test]
    fn the_pause_in_retry_info_is_read() {
        let pause = Duration::from_secs(7);
        let details = RpcStatus::new(14, "later", Some(pause)).encode_to_vec();
        let status = Status::with_details(Code::Unavailable, "later", details.into());
        assert!(
            matches!(of_status(&status), Outcome::Retry { after: Some(after), .. } if after == pause)
        );
    }
}
