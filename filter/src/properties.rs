//! The proxy's attributes of a finished request: which are read, the one expression that reads them all,
//! and their values.

pub mod cel;

use crate::header_map::pairs;
use cel::Path;

/// What may be read of a finished request. Each costs Envoy about a microsecond: what the headers, the clock
/// or an earlier request tell as well is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Property {
    /// When the first byte came in, ns since the epoch.
    StartTime,
    /// Status code sent to the client; 0 or absent when none was.
    Status,
    /// Envoy's response flags, a bit mask.
    Flags,
    /// Response body, bytes.
    ResponseBytes,
    /// `HTTP/1.1`, `HTTP/2`, …
    Protocol,
    /// The client's `address:port`.
    Client,
    /// The upstream cluster's name.
    Cluster,
    /// How often the request went upstream; 0 when it did not.
    Attempts,
    /// The conventions: the chosen upstream's `address:port`.
    Upstream,
    /// The conventions: the route's name.
    Route,
    /// The listener's direction: 0 unspecified, 1 inbound, 2 outbound; read where the span's kind goes by it.
    /// One plugin may serve listeners of several directions, so that it is not known beforehand.
    Direction,
    /// Request body, bytes; not read of a request without one.
    RequestBytes,
    /// gRPC: `grpc-status` of the trailers, else of the headers.
    GrpcStatus,
    /// gRPC: `grpc-message` of the trailers, else of the headers.
    GrpcMessage,
    /// From the first byte in to the last byte out, ns; read where the clock does not tell.
    Duration,
    /// Envoy's reason for the status; read of what went wrong.
    StatusDetails,
}

/// How many properties there are.
pub const COUNT: usize = 16;
/// Of these only, every request has a value: they need no guard.
const CERTAIN: [Property; 5] = [
    Property::StartTime,
    Property::Flags,
    Property::ResponseBytes,
    Property::Client,
    Property::Attempts,
];

/// Where each property of the list is found, in the order of [`Property`]; the first path that is there wins.
const PATHS: [(Property, &[Path<'static>]); 14] = [
    (Property::StartTime, &[&["request", "time"]]),
    (Property::Status, &[&["response", "code"]]),
    (Property::Flags, &[&["response", "flags"]]),
    (Property::ResponseBytes, &[&["response", "size"]]),
    (Property::Protocol, &[&["request", "protocol"]]),
    (Property::Client, &[&["source", "address"]]),
    (Property::Cluster, &[&["xds", "cluster_name"]]),
    (Property::Attempts, &[&["upstream", "request_attempt_count"]]),
    (Property::Upstream, &[&["upstream", "address"]]),
    (Property::Route, &[&["xds", "route_name"]]),
    (Property::Direction, &[&["xds", "listener_direction"]]),
    (Property::RequestBytes, &[&["request", "size"]]),
    (
        Property::GrpcStatus,
        &[&["response", "trailers", "grpc-status"], &["response", "headers", "grpc-status"]],
    ),
    (
        Property::GrpcMessage,
        &[&["response", "trailers", "grpc-message"], &["response", "headers", "grpc-message"]],
    ),
];
/// Where [`Property::Duration`] is found.
pub const DURATION: [&str; 2] = ["request", "duration"];
/// Where [`Property::StatusDetails`] is found.
pub const STATUS_DETAILS: [&str; 2] = ["response", "code_details"];

/// Which properties are read of a request: only what its span will say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// Of a gRPC call.
    pub is_rpc: bool,
    /// Of a request that had a body, or may have had one.
    pub has_body: bool,
    /// Of a request whose span will have the conventions' attributes.
    pub has_semconv: bool,
    /// Of a request whose span will name the upstream's address: Envoy's tags do of an attempt.
    pub has_upstream: bool,
    /// Of a request whose span's kind goes by its listener.
    pub has_direction: bool,
}

impl Selection {
    /// The properties in their order, each with its paths.
    pub fn paths(self) -> impl Iterator<Item = &'static (Property, &'static [Path<'static>])> {
        PATHS.iter().filter(move |(property, _)| match property {
            Property::Upstream => self.has_upstream,
            Property::Route => self.has_semconv,
            Property::Direction => self.has_direction,
            Property::RequestBytes => self.has_body,
            Property::GrpcStatus | Property::GrpcMessage => self.is_rpc,
            _ => true,
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

    /// Whether the proxy's details say more than status, flags and attempts do: where something went wrong,
    /// and where the proxy itself refused. `status` is what the client saw, if anything.
    pub fn need_details(&self, status: Option<u64>) -> bool {
        let went_upstream = self.number(Property::Attempts).is_some_and(|attempts| attempts > 0);
        let lowest = if went_upstream { 500 } else { 400 };
        let is_plain = status.is_some_and(|code| (100..lowest).contains(&code));
        !is_plain || self.number(Property::Flags) != Some(0)
    }

    /// Whether the end is told late: Envoy logs a request over HTTP/3 when its client has acknowledged it.
    pub fn end_late(&self) -> bool {
        self.bytes(Property::Protocol).starts_with(b"HTTP/3")
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

    fn selection(is_rpc: bool, has_semconv: bool) -> Selection {
        let has_upstream = has_semconv;
        Selection { is_rpc, has_body: is_rpc, has_semconv, has_upstream, has_direction: is_rpc }
    }

    #[test]
    fn the_expression_guards_what_may_be_absent() {
        let text = selection(false, false).expression();
        assert!(text.starts_with("[request.time,has(response.code)?"), "{text}");
        assert!(
            text.ends_with(
                "has(xds.cluster_name)?xds.cluster_name:'',upstream.request_attempt_count]"
            ),
            "{text}"
        );
    }

    #[test]
    fn the_expression_for_an_answered_request_guards_headers_only() {
        let text = selection(true, true).answered_expression();
        assert!(text.starts_with("[request.time,response.code,response.flags,"), "{text}");
        assert!(
            text.contains("upstream.address,xds.route_name,xds.listener_direction,request.size,"),
            "{text}"
        );
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
        let count = |rpc, semconv| selection(rpc, semconv).paths().count();
        assert_eq!(count(false, false), 8);
        assert_eq!(count(false, true), 10);
        assert_eq!(count(true, false), 12);
        assert_eq!(count(true, true), PATHS.len());
    }

    #[test]
    fn a_list_answer_is_read_by_position() {
        let status = 503_i64.to_le_bytes();
        let mut list: Vec<(&[u8], &[u8])> = vec![(b"", b""); 10];
        list[Property::Status as usize].0 = &status;
        list[Property::Cluster as usize].0 = b"shop";
        list[9].0 = b"orders";
        let raw = serialize(&list);
        let properties = Properties::from_list(&raw, selection(false, true)).unwrap();
        assert_eq!(properties.number(Property::Status), Some(503));
        assert_eq!(properties.bytes(Property::Cluster), b"shop");
        assert_eq!(properties.bytes(Property::Route), b"orders");
        assert_eq!(properties.number(Property::Flags), None);
        assert_eq!(properties.bytes(Property::GrpcStatus), b"");
    }

    #[test]
    fn a_list_of_another_length_is_refused() {
        let selection = selection(false, false);
        let longer: Vec<(&[u8], &[u8])> = vec![(b"", b""); 9];
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

    /// Whether details are read of a request with these flags and attempts.
    fn needs(status: Option<u64>, flags: i64, attempts: i64) -> bool {
        let (flags, attempts) = (flags.to_le_bytes(), attempts.to_le_bytes());
        let mut properties = Properties::default();
        properties.set(Property::Flags, &flags);
        properties.set(Property::Attempts, &attempts);
        properties.need_details(status)
    }

    #[test]
    fn details_are_read_of_what_went_wrong_only() {
        assert!(!needs(Some(200), 0, 1) && !needs(Some(404), 0, 1) && !needs(Some(301), 0, 0));
        assert!(
            needs(Some(503), 0, 1),
            "a filter may have put its own answer in the service's place"
        );
        assert!(needs(Some(403), 0, 0), "the proxy refused it");
        assert!(needs(Some(200), 1 << 6, 1) && needs(None, 0, 1) && needs(Some(0), 0, 0));
        assert!(Properties::default().need_details(Some(200)), "nothing is known");
    }
}
