//! The proxy's attributes of a finished request: which are read, the one expression that reads them all,
//! and their values.

pub mod cel;

use crate::header_map::pairs;
use cel::Path;

/// What may be read of a finished request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Property {
    /// When the first byte came in, ns since the epoch.
    StartTime,
    /// From the first byte in to the last byte out, ns.
    Duration,
    /// Status code sent to the client; 0 or absent when none was.
    Status,
    /// Envoy's response flags, a bit mask.
    Flags,
    /// Envoy's reason for the status.
    StatusDetails,
    /// Request body, bytes.
    RequestBytes,
    /// Response body, bytes.
    ResponseBytes,
    /// `HTTP/1.1`, `HTTP/2`, …
    Protocol,
    /// The client's `address:port`.
    Client,
    /// The chosen upstream's `address:port`.
    Upstream,
    /// The upstream cluster's name.
    Cluster,
    /// The route's name.
    Route,
    /// The listener's direction: 0 unspecified, 1 inbound, 2 outbound.
    Direction,
    /// How often the request went upstream; 0 when it did not.
    Attempts,
    /// gRPC: `grpc-status` of the trailers, else of the headers.
    GrpcStatus,
    /// gRPC: `grpc-message` of the trailers, else of the headers.
    GrpcMessage,
    /// Envoy's tags: `:authority` as the request left.
    FinalHost,
    /// Envoy's tags: `:path` before it was rewritten, else as the request left.
    OriginalPath,
    /// Envoy's tags: `x-forwarded-proto`.
    ForwardedProto,
    /// Envoy's tags: `x-envoy-downstream-service-cluster`.
    DownstreamCluster,
    /// Envoy's tags: `x-client-trace-id`.
    ClientTraceId,
    /// Envoy's tags: `grpc-timeout`.
    GrpcTimeout,
}

/// How many properties there are.
pub const COUNT: usize = 22;
/// How many are read of every request: the first ones.
const ALWAYS: usize = 14;
/// Of these only, every request has a value: they need no guard. Envoy calls `on_log` only when the
/// duration is known.
const CERTAIN: [Property; 6] = [
    Property::StartTime,
    Property::Duration,
    Property::Flags,
    Property::ResponseBytes,
    Property::Client,
    Property::Attempts,
];

/// Where each property is found, in the order of [`Property`]; the first path that is there wins.
const PATHS: [(Property, &[Path<'static>]); COUNT] = [
    (Property::StartTime, &[&["request", "time"]]),
    (Property::Duration, &[&["request", "duration"]]),
    (Property::Status, &[&["response", "code"]]),
    (Property::Flags, &[&["response", "flags"]]),
    (Property::StatusDetails, &[&["response", "code_details"]]),
    (Property::RequestBytes, &[&["request", "size"]]),
    (Property::ResponseBytes, &[&["response", "size"]]),
    (Property::Protocol, &[&["request", "protocol"]]),
    (Property::Client, &[&["source", "address"]]),
    (Property::Upstream, &[&["upstream", "address"]]),
    (Property::Cluster, &[&["xds", "cluster_name"]]),
    (Property::Route, &[&["xds", "route_name"]]),
    (Property::Direction, &[&["xds", "listener_direction"]]),
    (Property::Attempts, &[&["upstream", "request_attempt_count"]]),
    (
        Property::GrpcStatus,
        &[&["response", "trailers", "grpc-status"], &["response", "headers", "grpc-status"]],
    ),
    (
        Property::GrpcMessage,
        &[&["response", "trailers", "grpc-message"], &["response", "headers", "grpc-message"]],
    ),
    (Property::FinalHost, &[&["request", "host"]]),
    (
        Property::OriginalPath,
        &[&["request", "headers", "x-envoy-original-path"], &["request", "path"]],
    ),
    (Property::ForwardedProto, &[&["request", "headers", "x-forwarded-proto"]]),
    (Property::DownstreamCluster, &[&["request", "headers", "x-envoy-downstream-service-cluster"]]),
    (Property::ClientTraceId, &[&["request", "headers", "x-client-trace-id"]]),
    (Property::GrpcTimeout, &[&["request", "headers", "grpc-timeout"]]),
];

/// Which properties are read of a request: only what its span will say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// Of a gRPC call.
    pub is_rpc: bool,
    /// Of a request whose span will have Envoy's own tags.
    pub has_envoy_tags: bool,
}

impl Selection {
    /// The properties in their order, each with its paths.
    pub fn paths(self) -> impl Iterator<Item = &'static (Property, &'static [Path<'static>])> {
        PATHS.iter().filter(move |(property, _)| match property {
            Property::GrpcStatus | Property::GrpcMessage => self.is_rpc,
            Property::GrpcTimeout => self.is_rpc && self.has_envoy_tags,
            property => (*property as usize) < ALWAYS || self.has_envoy_tags,
        })
    }

    /// A CEL list of them all, that holds for every request.
    pub fn expression(self) -> String {
        self.list(|property, _| CERTAIN.contains(&property))
    }

    /// A CEL list of them all, without the guards that a request needs which was answered by a service: a
    /// third cheaper, since each guard is a lookup of its own. It fails for any other request.
    pub fn answered_expression(self) -> String {
        self.list(|_, path| path.len() == 2)
    }

    fn list(self, is_certain: impl Fn(Property, Path<'_>) -> bool) -> String {
        let mut list = cel::List::default();
        for (property, paths) in self.paths() {
            match paths {
                [path] if is_certain(*property, path) => list.certain(path),
                paths => list.first_of(paths),
            }
        }
        list.close()
    }
}

/// The values read, borrowed from the proxy's buffers; an absent one is empty.
#[derive(Debug, Default)]
pub struct Properties<'a> {
    values: [&'a [u8]; COUNT],
}

impl<'a> Properties<'a> {
    /// From the answer to [`Selection::expression`]: a list of pairs whose keys are the values. `None`
    /// when the list is not as long as it should be.
    pub fn from_list(raw: &'a [u8], selection: Selection) -> Option<Self> {
        let mut found = Self::default();
        let mut read = pairs(raw);
        for (property, _) in selection.paths() {
            found.values[*property as usize] = read.next()?.0;
        }
        read.next().is_none().then_some(found)
    }

    /// From single reads, in the order of [`Property`].
    pub fn from_single(read: &'a [Vec<u8>; COUNT]) -> Self {
        Self { values: read.each_ref().map(Vec::as_slice) }
    }

    /// Puts another value in a property's place.
    pub fn set(&mut self, property: Property, value: &'a [u8]) {
        self.values[property as usize] = value;
    }

    /// Whether the proxy told when the request began and how long it took.
    pub fn are_timed(&self) -> bool {
        [Property::StartTime, Property::Duration].iter().all(|time| self.number(*time).is_some())
    }

    /// A property's bytes; empty when absent.
    pub fn bytes(&self, property: Property) -> &'a [u8] {
        self.values[property as usize]
    }

    /// A whole number, or a time in ns. `None` when absent or negative.
    pub fn number(&self, property: Property) -> Option<u64> {
        let bytes = self.bytes(property).try_into().ok()?;
        u64::try_from(i64::from_le_bytes(bytes)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header_map::serialize;
    use crate::testing::test;

    fn selection(is_rpc: bool, has_envoy_tags: bool) -> Selection {
        Selection { is_rpc, has_envoy_tags }
    }

    #[test]
    fn the_expression_guards_what_may_be_absent() {
        let text = selection(false, false).expression();
        assert!(text.starts_with("[request.time,request.duration,has(response.code)?"), "{text}");
        assert!(text.ends_with(
            "has(xds.listener_direction)?xds.listener_direction:'',upstream.request_attempt_count]"
        ));
    }

    #[test]
    fn the_expression_for_an_answered_request_guards_headers_only() {
        let text = selection(true, true).answered_expression();
        assert!(text.starts_with("[request.time,request.duration,response.code,"), "{text}");
        assert!(text.contains("upstream.address,xds.cluster_name,xds.route_name,"), "{text}");
        assert!(text.contains("'grpc-status' in response.trailers?"), "{text}");
        assert!(!text.contains("has(response.code)"), "{text}");
    }

    #[test]
    fn each_property_stands_at_its_own_place() {
        for (place, (property, paths)) in PATHS.iter().enumerate() {
            assert_eq!(*property as usize, place);
            assert!(!paths.is_empty());
        }
    }

    #[test]
    fn only_what_a_span_says_is_read() {
        let count = |rpc, envoy| selection(rpc, envoy).paths().count();
        assert_eq!(count(false, false), ALWAYS);
        assert_eq!(count(true, false), ALWAYS + 2);
        assert_eq!(count(false, true), ALWAYS + 5);
        assert_eq!(count(true, true), COUNT);
    }

    #[test]
    fn a_list_answer_is_read_by_position() {
        let status = 503_i64.to_le_bytes();
        let mut list: Vec<(&[u8], &[u8])> = vec![(b"", b""); ALWAYS + 5];
        list[Property::Status as usize].0 = &status;
        list[Property::Cluster as usize].0 = b"shop";
        list[ALWAYS].0 = b"shop.example";
        let raw = serialize(&list);
        let properties = Properties::from_list(&raw, selection(false, true)).unwrap();
        assert_eq!(properties.number(Property::Status), Some(503));
        assert_eq!(properties.bytes(Property::Cluster), b"shop");
        assert_eq!(properties.bytes(Property::FinalHost), b"shop.example");
        assert_eq!(properties.number(Property::Flags), None);
        assert_eq!(properties.bytes(Property::GrpcStatus), b"");
    }

    #[test]
    fn a_list_of_another_length_is_refused() {
        let selection = selection(false, false);
        let longer: Vec<(&[u8], &[u8])> = vec![(b"", b""); ALWAYS + 1];
        assert!(Properties::from_list(&serialize(&longer), selection).is_none());
        assert!(Properties::from_list(&serialize(&longer[2..]), selection).is_none());
        assert!(Properties::from_list(b"", selection).is_none());
    }

    #[test]
    fn numbers_of_another_size_or_sign_are_absent() {
        let mut read: [Vec<u8>; COUNT] = Default::default();
        read[Property::RequestBytes as usize] = (-1_i64).to_le_bytes().to_vec();
        read[Property::ResponseBytes as usize] = vec![1, 2, 3];
        let properties = Properties::from_single(&read);
        assert_eq!(properties.number(Property::RequestBytes), None);
        assert_eq!(properties.number(Property::ResponseBytes), None);
    }
}
