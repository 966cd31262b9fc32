//! gRPC calls: how one is told, its method, its status. Attributes by the conventions for gRPC (stable
//! since 1.45, where `rpc.status_code` replaced `rpc.response.status_code`).

use super::Emit;
use crate::encode::Value;
use crate::properties::Property;
use crate::response_flags;
use crate::span::{Exchange, SpanKind};
use crate::trace_context::baggage::percent_decoded;
use std::borrow::Cow;

/// The names of gRPC's status codes, 0 to 16.
const STATUS_NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
const CANCELLED: u64 = 1;
const UNKNOWN: u64 = 2;
/// The statuses that are a server's fault: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL,
/// UNAVAILABLE, DATA_LOSS.
const SERVER_ERRORS: [u64; 6] = [UNKNOWN, 4, 12, 13, 14, 15];

/// Whether a request with this `content-type` is a gRPC call. gRPC-Web is not: its status may be in a body.
pub fn is_grpc(content_type: &[u8]) -> bool {
    matches!(content_type.strip_prefix(b"application/grpc"), Some([] | [b'+' | b';', ..]))
}

/// A status code of gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(u64);

impl Status {
    /// `DEADLINE_EXCEEDED`, or the number of a code that gRPC does not have.
    pub fn name<'a>(self) -> Cow<'a, str> {
        let known = usize::try_from(self.0).ok().and_then(|code| STATUS_NAMES.get(code));
        known.map_or_else(|| self.0.to_string().into(), |name| Cow::Borrowed(*name))
    }

    /// Whether a span of this kind failed: every status but OK for a client, a server's fault for a
    /// server. A code that gRPC does not have counts as UNKNOWN.
    pub fn is_error_for(self, kind: SpanKind) -> bool {
        let is_unknown = self.0 >= STATUS_NAMES.len() as u64;
        match kind {
            SpanKind::Client => self.0 != 0,
            SpanKind::Server => is_unknown || SERVER_ERRORS.contains(&self.0),
        }
    }

    /// The number as `grpc-status` writes it.
    pub fn number(self) -> u64 {
        self.0
    }

    /// What a gRPC client makes of an answer without `grpc-status` (gRPC, "HTTP to gRPC Status Code
    /// Mapping").
    fn of_http(code: u64) -> Self {
        Self(match code {
            400 => 13,
            401 => 16,
            403 => 7,
            404 => 12,
            429 | 502..=504 => 14,
            _ => UNKNOWN,
        })
    }
}

/// A gRPC call.
#[derive(Debug)]
pub struct Call<'a> {
    /// `package.Service/Method`; `None` when the path is of another form.
    method: Option<&'a str>,
    status: Option<Status>,
    /// Whether the service told it.
    is_told: bool,
}

impl<'a> Call<'a> {
    /// The call that a request is, if it is one.
    pub(super) fn of(exchange: &Exchange<'a>, status_code: Option<u64>) -> Option<Self> {
        if !is_grpc(exchange.headers.content_type) {
            return None;
        }
        let method = method(exchange.headers.path);
        let is_told = !exchange.properties.bytes(Property::GrpcStatus).is_empty();
        Some(Self { method, status: status(exchange, status_code), is_told })
    }

    /// The span's name.
    pub fn name(&self) -> &'a str {
        self.method.unwrap_or("grpc")
    }

    /// The status, the service's own or what a client makes of its absence.
    pub fn status(&self) -> Option<Status> {
        self.status
    }

    /// The status that the service told.
    pub fn told_status(&self) -> Option<Status> {
        self.status.filter(|_| self.is_told)
    }

    /// `grpc-message`, decoded.
    pub(super) fn message(&self, exchange: &Exchange<'a>) -> Cow<'a, str> {
        match exchange.text(Property::GrpcMessage) {
            Cow::Borrowed(message) => percent_decoded(message),
            Cow::Owned(message) => percent_decoded(&message).into_owned().into(),
        }
    }
}

/// Gives the attributes of a call to `emit`.
pub(super) fn attributes(call: &Call<'_>, emit: &mut Emit<'_>) {
    emit("rpc.system.name", &"grpc".into());
    emit("rpc.method", &call.method.unwrap_or("_OTHER").into());
    if let Some(status) = call.status {
        emit("rpc.status_code", &Value::from(&*status.name()));
    }
}

/// A client that left cancels its call; whatever else has no `grpc-status` is judged by its HTTP status.
fn status(exchange: &Exchange<'_>, status_code: Option<u64>) -> Option<Status> {
    let told = exchange.properties.bytes(Property::GrpcStatus);
    if !told.is_empty() {
        let number = std::str::from_utf8(told).ok().and_then(|text| text.trim().parse().ok());
        return Some(Status(number.unwrap_or(UNKNOWN)));
    }
    let flags = exchange.properties.number(Property::Flags).unwrap_or(0);
    if response_flags::client_left(flags) {
        return Some(Status(CANCELLED));
    }
    status_code.map(Status::of_http)
}

/// `/package.Service/Method` and nothing else: names of other characters would be without bound.
fn method(path: &[u8]) -> Option<&str> {
    let path = std::str::from_utf8(path).ok()?.strip_prefix('/')?;
    let (service, method) = path.split_once('/')?;
    let is_name = |text: &str, more: &[u8]| {
        (1..=256).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    (is_name(service, b"_.") && is_name(method, b"_")).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn grpc_is_told_by_its_content_type() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(is_grpc(content_type.as_bytes()), expected, "{content_type}");
        }
    }

    #[test]
    fn only_a_method_of_the_usual_form_becomes_a_name() {
        assert_eq!(method(b"/shop.v1.Cart/AddItem"), Some("shop.v1.Cart/AddItem"));
        for path in ["/Cart", "Cart/Add", "/a/b/c", "/a/b?c", "//b", "/a/", "/a b/c", "/é/c", ""] {
            assert_eq!(method(path.as_bytes()), None, "{path}");
        }
        assert_eq!(method(&[b'/', 0xff, b'/', b'a']), None);
    }

    #[test]
    fn six_statuses_fail_a_server_and_all_but_ok_a_client() {
        let failed = |kind| -> Vec<u64> {
            (0..=17).filter(|code| Status(*code).is_error_for(kind)).collect()
        };
        assert_eq!(failed(SpanKind::Server), [2, 4, 12, 13, 14, 15, 17]);
        assert_eq!(failed(SpanKind::Client), (1..=17).collect::<Vec<u64>>());
        assert_eq!(Status(14).name(), "UNAVAILABLE");
        assert_eq!(Status(99).name(), "99");
    }

    #[test]
    fn an_answer_that_is_no_grpc_is_judged_by_its_http_status() {
        for (code, status) in [
            (200, "UNKNOWN"),
            (404, "UNIMPLEMENTED"),
            (401, "UNAUTHENTICATED"),
            (503, "UNAVAILABLE"),
        ] {
            assert_eq!(Status::of_http(code).name(), status);
        }
    }
}
