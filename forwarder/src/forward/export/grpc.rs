//! OTLP/gRPC: the bytes of the records go out as they are.

use super::{Export, ExportSettings, Outcome, Request, of_success, with_sources};
use crate::forward::destination::Destination;
use crate::otlp::rpc_status::RpcStatus;
use crate::otlp::service::{EXPORT, RawCodec};
use async_trait::async_trait;
use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message;
use std::time::Duration;
use tonic::client::Grpc as Client;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Status};

/// A destination that vanished without a word is noticed by this.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

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

    async fn call(&self, chunks: Vec<Bytes>) -> Result<Bytes, Status> {
        let mut client = Client::new(self.channel.clone());
        client.ready().await.map_err(|error| Status::unavailable(with_sources(&error)))?;
        let request = tonic::Request::new(chunks);
        Ok(client.unary(request, PathAndQuery::from_static(EXPORT), RawCodec).await?.into_inner())
    }
}

#[async_trait]
impl Export for Grpc {
    async fn export(&self, request: &Request) -> Outcome {
        match tokio::time::timeout(self.timeout, self.call(request.chunks.clone())).await {
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

/// What a status means. Only what blames the data is final: everything else may be mended at the destination,
/// and until then the records wait.
fn of_status(status: &Status) -> Outcome {
    let reason = format!("gRPC {:?}: {}", status.code(), status.message());
    // grpc-go's words, and tonic's.
    let too_large =
        ["larger than max", "too large"].iter().any(|words| status.message().contains(words));
    match status.code() {
        Code::InvalidArgument => Outcome::Refused { reason },
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

    #[test]
    fn only_what_blames_the_data_is_final() {
        let refused = |status| !matches!(of_status(&status), Outcome::Retry { .. });
        assert!(refused(Status::invalid_argument("bad span")));
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
    fn the_pause_in_retry_info_is_read() {
        let pause = Duration::from_secs(7);
        let details = RpcStatus::new(14, "later", Some(pause)).encode_to_vec();
        let status = Status::with_details(Code::Unavailable, "later", details.into());
        assert!(
            matches!(of_status(&status), Outcome::Retry { after: Some(after), .. } if after == pause)
        );
    }
}
