//! One span of each request, whichever way it goes, with the right name, status, attributes and events:
//! on real Envoy, in front of a service that behaves in every way.

mod attributes;
mod grpc;
mod http;
mod http3;
mod scene;
mod streams;

use crate::harness::Claim;

/// The claims of this folder.
pub fn tests() -> Vec<Claim> {
    let claims =
        [http::tests(), http3::tests(), grpc::tests(), streams::tests(), attributes::tests()];
    claims.into_iter().flatten().collect()
}
