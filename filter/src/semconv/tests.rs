use super::*;
use crate::header_map::RequestHeaders;
use crate::properties::{COUNT, Properties};
use crate::testing::test;
use crate::trace_context::SpanContext;
use std::collections::BTreeMap;

/// A request as the proxy would show it, to be changed by a test.
struct Seen {
    kind: SpanKind,
    headers: RequestHeaders<'static>,
    read: [Vec<u8>; COUNT],
}

impl Seen {
    fn get(kind: SpanKind) -> Self {
        let headers = RequestHeaders {
            method: b"GET",
            path: b"/cart/7?page=2",
            scheme: b"http",
            authority: b"shop.example:8080",
            user_agent: b"curl/8",
            request_id: b"id-1",
            ..RequestHeaders::default()
        };
        let mut seen = Self { kind, headers, read: Default::default() };
        seen.number(Property::Status, 200);
        seen.number(Property::RequestBytes, 0);
        seen.number(Property::ResponseBytes, 512);
        seen.text(Property::Protocol, "HTTP/1.1");
        seen.text(Property::Client, "10.0.0.9:4711");
        seen.text(Property::Upstream, "10.1.0.2:9000");
        seen.text(Property::Cluster, "cart");
        seen.text(Property::StatusDetails, "via_upstream");
        seen
    }

    fn number(&mut self, property: Property, value: i64) {
        self.read[property as usize] = value.to_le_bytes().to_vec();
    }

    fn text(&mut self, property: Property, value: &str) {
        self.read[property as usize] = value.as_bytes().to_vec();
    }

    fn with<T>(&self, look: impl FnOnce(&Exchange<'_>) -> T) -> T {
        look(&Exchange {
            kind: self.kind,
            context: SpanContext { trace_id: [1; 16], span_id: [2; 8], flags: 1 },
            parent: None,
            headers: &self.headers,
            properties: &Properties::from_single(&self.read),
            now_ns: 5,
        })
    }

    fn attributes(&self) -> BTreeMap<String, String> {
        self.with(|exchange| {
            let mut seen = BTreeMap::new();
            attributes(exchange, &mut |key, value| {
                let shown = match value {
                    Value::Text(text) => text.into_owned(),
                    Value::Int(number) => format!("{number}i"),
                    Value::TextList(text) => format!("[{text}]"),
                };
                assert!(seen.insert(key.to_owned(), shown).is_none(), "{key} twice");
            });
            seen
        })
    }

    /// `error.type` and the status message.
    fn failure(&self) -> Option<(String, String)> {
        self.with(|exchange| failure(exchange).map(|f| (f.kind.into(), f.message.into())))
    }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn a_server_span_has_these_attributes_and_no_others() {
    let expected = map(&[
        ("http.request.method", "GET"),
        ("user_agent.original", "curl/8"),
        ("http.request.header.x-request-id", "[id-1]"),
        ("network.protocol.name", "http"),
        ("network.protocol.version", "1.1"),
        ("http.request.body.size", "0i"),
        ("url.path", "/cart/7"),
        ("url.query", "page=2"),
        ("url.scheme", "http"),
        ("server.address", "shop.example"),
        ("server.port", "8080i"),
        ("client.address", "10.0.0.9"),
        ("client.port", "4711i"),
        ("http.response.status_code", "200i"),
        ("http.response.body.size", "512i"),
        ("envoy.upstream.cluster", "cart"),
        ("envoy.upstream.address", "10.1.0.2:9000"),
    ]);
    assert_eq!(Seen::get(SpanKind::Server).attributes(), expected);
}

#[test]
fn a_client_span_names_its_peer_and_the_whole_url() {
    let seen = Seen::get(SpanKind::Client).attributes();
    assert_eq!(seen["network.peer.address"], "10.1.0.2");
    assert_eq!(seen["network.peer.port"], "9000i");
    assert_eq!(seen["url.full"], "http://shop.example:8080/cart/7?page=2");
    assert!(!seen.contains_key("client.address"));
}

#[test]
fn the_port_is_the_schemes_when_the_authority_has_none() {
    let mut seen = Seen::get(SpanKind::Server);
    seen.headers.authority = b"shop.example";
    seen.headers.scheme = b"https";
    assert_eq!(seen.attributes()["server.port"], "443i");
}

#[test]
fn the_name_is_the_method_and_the_routes_name_but_never_the_path() {
    let mut seen = Seen::get(SpanKind::Server);
    assert_eq!(seen.with(name), "GET");
    seen.text(Property::Route, "default");
    assert_eq!(seen.with(name), "GET");
    seen.text(Property::Route, "/cart/{id}");
    assert_eq!(seen.with(name), "GET /cart/{id}");
    assert_eq!(seen.attributes()["http.route"], "/cart/{id}");
}

#[test]
fn an_unknown_method_is_other_and_kept_beside_it() {
    let mut seen = Seen::get(SpanKind::Server);
    seen.headers.method = b"get";
    let attributes = seen.attributes();
    assert_eq!(attributes["http.request.method"], "_OTHER");
    assert_eq!(attributes["http.request.method_original"], "get");
    assert_eq!(seen.with(name), "HTTP");
}

#[test]
fn a_4xx_fails_a_client_and_not_a_server() {
    for (kind, code, fails) in [
        (SpanKind::Server, 399, false),
        (SpanKind::Server, 404, false),
        (SpanKind::Server, 499, false),
        (SpanKind::Server, 500, true),
        (SpanKind::Server, 503, true),
        (SpanKind::Client, 399, false),
        (SpanKind::Client, 404, true),
        (SpanKind::Client, 503, true),
    ] {
        let mut seen = Seen::get(kind);
        seen.number(Property::Status, code);
        let expected = fails.then(|| (code.to_string(), String::new()));
        assert_eq!(seen.failure(), expected, "{kind:?} {code}");
        assert_eq!(seen.attributes().contains_key("error.type"), fails, "{kind:?} {code}");
    }
}

#[test]
fn a_client_that_left_without_an_answer_is_a_failure_with_its_reason() {
    let mut seen = Seen::get(SpanKind::Server);
    seen.number(Property::Status, 0);
    seen.number(Property::Flags, 1 << 14);
    seen.text(Property::StatusDetails, "downstream_remote_disconnect");
    let attributes = seen.attributes();
    assert!(!attributes.contains_key("http.response.status_code"));
    assert_eq!(attributes["envoy.response.flags"], "DC");
    assert_eq!(attributes["error.type"], "downstream_connection_termination");
    let message = seen.failure().unwrap().1;
    assert_eq!(message, "downstream_remote_disconnect");
}

#[test]
fn a_service_that_breaks_off_its_answer_failed_though_it_said_200() {
    let mut seen = Seen::get(SpanKind::Server);
    seen.number(Property::Flags, 1 << 6);
    assert_eq!(seen.attributes()["error.type"], "upstream_connection_termination");
    assert_eq!(seen.attributes()["http.response.status_code"], "200i");
}

#[test]
fn no_answer_and_no_reason_is_still_a_failure() {
    let mut seen = Seen::get(SpanKind::Server);
    seen.read = Default::default();
    assert_eq!(seen.failure(), Some(("_OTHER".into(), String::new())));
}

#[test]
fn credentials_in_the_query_are_redacted() {
    let mut seen = Seen::get(SpanKind::Client);
    seen.headers.path = b"/o?sig=abc&x=1&Signature=d=e&signature=kept&sig";
    let attributes = seen.attributes();
    let expected = "sig=REDACTED&x=1&Signature=REDACTED&signature=kept&sig";
    assert_eq!(attributes["url.query"], expected);
    assert!(attributes["url.full"].ends_with(expected));
}

#[test]
fn an_empty_request_says_only_what_is_known() {
    let mut seen = Seen::get(SpanKind::Server);
    seen.headers = RequestHeaders::default();
    seen.read = Default::default();
    let expected = map(&[("http.request.method", "_OTHER"), ("error.type", "_OTHER")]);
    assert_eq!(seen.attributes(), expected);
}
