use super::*;
use crate::attributes::Recipe;
use crate::attributes::template::Template;
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
    recipe: Recipe,
    answered_ns: Option<u64>,
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
        let (read, recipe) = Default::default();
        let mut seen = Self { kind, headers, read, recipe, answered_ns: Some(3) };
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
            custom: &[],
            recipe: &self.recipe,
            is_attempt: false,
            answered_ns: self.answered_ns,
            now_ns: 5,
        })
    }

    fn attributes(&self) -> BTreeMap<String, String> {
        self.with(|exchange| {
            let mut seen = BTreeMap::new();
            attributes(exchange, &Summary::of(exchange), &mut |key, value| {
                let shown = match value {
                    Value::Text(text) => (*text).to_owned(),
                    Value::Int(number) => format!("{number}i"),
                    Value::TextList(text) => format!("[{text}]"),
                };
                assert!(seen.insert(key.to_owned(), shown).is_none(), "{key} twice");
            });
            seen
        })
    }

    fn name(&self) -> String {
        self.with(|exchange| Summary::of(exchange).name(exchange).into_owned())
    }

    /// Names and times of the events of a request that ended at 9.
    fn events(&self) -> Vec<(&'static str, u64)> {
        self.with(|exchange| {
            let mut seen = Vec::new();
            events::events(exchange, 9, &mut |event| seen.push((event.name, event.time_ns)));
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
    assert_eq!(seen.name(), "GET");
    seen.text(Property::Route, "default");
    assert_eq!(seen.name(), "GET");
    seen.text(Property::Route, "/cart/{id}");
    assert_eq!(seen.name(), "GET /cart/{id}");
    assert_eq!(seen.attributes()["http.route"], "/cart/{id}");
}

#[test]
fn an_unknown_method_is_other_and_kept_beside_it() {
    let mut seen = Seen::get(SpanKind::Server);
    seen.headers.method = b"get";
    let attributes = seen.attributes();
    assert_eq!(attributes["http.request.method"], "_OTHER");
    assert_eq!(attributes["http.request.method_original"], "get");
    assert_eq!(seen.name(), "HTTP");
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

#[test]
fn a_template_that_the_path_matches_is_the_route() {
    let mut seen = Seen::get(SpanKind::Server);
    seen.text(Property::Route, "named");
    seen.recipe.settings.templates = vec![Template::new("/cart/{id}".into())];
    assert_eq!(seen.name(), "GET /cart/{id}");
    assert_eq!(seen.attributes()["http.route"], "/cart/{id}");
    seen.headers.path = b"/other";
    assert_eq!(seen.name(), "GET named");
    seen.kind = SpanKind::Client;
    assert_eq!(seen.attributes()["url.template"], "named");
}

#[test]
fn a_user_in_the_authority_never_leaves() {
    let mut seen = Seen::get(SpanKind::Client);
    seen.headers.authority = b"me:secret@shop.example:8080";
    let attributes = seen.attributes();
    assert_eq!(attributes["server.address"], "shop.example");
    assert!(attributes["url.full"].starts_with("http://REDACTED:REDACTED@shop.example:8080/"));
    assert!(!attributes.values().any(|value| value.contains("secret")), "{attributes:?}");
}

#[test]
fn a_hidden_header_is_hidden_where_it_is_built_in() {
    let mut seen = Seen::get(SpanKind::Server);
    seen.recipe.settings.redaction.headers = vec!["user-agent".into(), "x-request-id".into()];
    let attributes = seen.attributes();
    assert_eq!(attributes["user_agent.original"], "REDACTED");
    assert_eq!(attributes["http.request.header.x-request-id"], "[REDACTED]");
}

/// A gRPC call with this `grpc-status`.
fn call(kind: SpanKind, status: &str) -> Seen {
    let mut seen = Seen::get(kind);
    seen.headers.method = b"POST";
    seen.headers.path = b"/shop.v1.Cart/AddItem";
    seen.headers.content_type = b"application/grpc";
    seen.text(Property::GrpcStatus, status);
    seen
}

#[test]
fn a_grpc_call_is_named_and_judged_by_grpc() {
    let mut seen = call(SpanKind::Server, "14");
    seen.text(Property::GrpcMessage, "no%20stock");
    assert_eq!(seen.name(), "shop.v1.Cart/AddItem");
    let attributes = seen.attributes();
    assert_eq!(attributes["rpc.system.name"], "grpc");
    assert_eq!(attributes["rpc.method"], "shop.v1.Cart/AddItem");
    assert_eq!(attributes["rpc.status_code"], "UNAVAILABLE");
    assert_eq!(attributes["error.type"], "UNAVAILABLE");
    assert_eq!(attributes["http.response.status_code"], "200i");
    assert_eq!(seen.failure(), Some(("UNAVAILABLE".into(), "no stock".into())));
}

#[test]
fn what_is_not_found_fails_a_grpc_client_and_not_a_server() {
    assert_eq!(call(SpanKind::Server, "5").failure(), None);
    assert_eq!(call(SpanKind::Client, "5").failure().unwrap().0, "NOT_FOUND");
    assert_eq!(call(SpanKind::Client, "0").failure(), None);
}

#[test]
fn a_grpc_call_without_a_status_is_what_a_client_makes_of_it() {
    let mut seen = call(SpanKind::Server, "");
    assert_eq!(seen.failure().unwrap().0, "UNKNOWN");
    seen.number(Property::Status, 503);
    seen.text(Property::StatusDetails, "no_healthy_upstream");
    assert_eq!(seen.failure(), Some(("UNAVAILABLE".into(), "no_healthy_upstream".into())));
    seen.number(Property::Status, 0);
    seen.number(Property::Flags, 1 << 14);
    assert_eq!(seen.attributes()["rpc.status_code"], "CANCELLED");
    assert_eq!(seen.failure(), None);
    seen.number(Property::Flags, 1 << 5);
    assert_eq!(seen.failure().unwrap().0, "upstream_connection_failure");
    assert!(!seen.attributes().contains_key("rpc.status_code"));
}

#[test]
fn a_grpc_path_of_another_form_is_no_name() {
    let mut seen = call(SpanKind::Server, "12");
    seen.headers.path = b"/users/7/cart?x";
    assert_eq!(seen.name(), "grpc");
    assert_eq!(seen.attributes()["rpc.method"], "_OTHER");
}

#[test]
fn a_tunnel_may_be_ended_by_either_side() {
    let mut seen = Seen::get(SpanKind::Server);
    seen.number(Property::Status, 101);
    seen.number(Property::Flags, 1 << 6);
    assert_eq!(seen.failure(), None);
    seen.number(Property::Status, 200);
    seen.headers.method = b"CONNECT";
    assert_eq!(seen.failure(), None);
    seen.number(Property::Status, 503);
    assert_eq!(seen.failure().unwrap().0, "503");
}

#[test]
fn the_answers_begin_is_an_event_when_the_service_gave_it() {
    let mut seen = Seen::get(SpanKind::Server);
    assert_eq!(seen.events(), [("upstream.first_byte", 3)]);
    seen.answered_ns = Some(12);
    assert_eq!(seen.events(), [("upstream.first_byte", 9)]);
    seen.text(Property::StatusDetails, "upstream_reset_after_response_started{protocol_error}");
    assert_eq!(seen.events(), [("upstream.first_byte", 9)]);
    seen.text(Property::StatusDetails, "downstream_remote_disconnect");
    assert_eq!(seen.events(), [("upstream.first_byte", 9)]);
    seen.text(Property::StatusDetails, "");
    assert_eq!(seen.events(), [("upstream.first_byte", 9)]);
    seen.text(Property::StatusDetails, "direct_response");
    assert_eq!(seen.events(), []);
    seen.answered_ns = None;
    assert_eq!(seen.events(), []);
}

#[test]
fn retries_timeouts_and_resets_are_events() {
    let mut seen = Seen::get(SpanKind::Client);
    seen.number(Property::Attempts, 3);
    assert_eq!(seen.events(), [("upstream.retry", 3), ("upstream.first_byte", 3)]);
    assert_eq!(seen.attributes()["http.request.resend_count"], "2i");
    seen.answered_ns = None;
    seen.number(Property::Attempts, 1);
    seen.number(Property::Flags, 1 << 2 | 1 << 15);
    assert_eq!(seen.events(), [("upstream_request_timeout", 9)]);
    assert!(!seen.attributes().contains_key("http.request.resend_count"));
}
