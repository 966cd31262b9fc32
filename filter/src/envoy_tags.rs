//! The tags and the span name of Envoy's own tracer (its `HttpTracerUtility` and `TracerImpl`), with its
//! values: all of them texts, `-` for what is absent. So a dashboard made for them goes on working.
//!
//! Some values differ where the proxy does not tell: `peer.address` is the client's as
//! `x-forwarded-for` is trusted, and `upstream_cluster.name` the cluster's name also where it has an
//! `alt_stat_name`. What is said of the request's headers is what they were when it came: where a route
//! rewrites the host, Envoy's tracer names the new one.

use crate::attributes::limits::shorten;
use crate::authority;
use crate::encode::{Value, decimal, text};
use crate::properties::Property;
use crate::resource::Node;
use crate::response_flags;
use crate::semconv::rpc::Call;
use crate::semconv::{Emit, Summary};
use crate::span::{Exchange, SpanKind};
use std::borrow::Cow;

/// How much of a path is kept, in characters (Envoy's `max_path_tag_length`).
const LONGEST_PATH: u32 = 256;
/// A gRPC status that Envoy counts as an error beside those of the conventions: RESOURCE_EXHAUSTED.
const RESOURCE_EXHAUSTED: u64 = 8;

/// The span's name: `ingress`, or `egress HOST`.
pub fn name<'a>(exchange: &Exchange<'a>) -> Cow<'a, str> {
    match exchange.kind {
        SpanKind::Server => "ingress".into(),
        SpanKind::Client => {
            let host = text(exchange.headers.authority);
            ["egress ", authority::without_user(&host)].concat().into()
        }
    }
}

/// The tags that are the same for every span of a proxy. Those of Istio are left out where it is none.
pub fn of_node(node: &Node) -> Vec<(&'static str, String)> {
    let istio = [
        ("istio.canonical_service", &node.canonical_name),
        ("istio.canonical_revision", &node.canonical_revision),
        ("istio.mesh_id", &node.mesh_id),
        ("istio.namespace", &node.namespace),
        ("istio.cluster_id", &node.cluster_id),
    ];
    let envoys = [("node_id", &node.id), ("zone", &node.zone)];
    let known = istio.into_iter().filter(|(_, value)| !value.is_empty());
    envoys.into_iter().chain(known).map(|(key, value)| (key, value.clone())).collect()
}

/// What becomes of a tag whose value is empty.
const LEFT_OUT: &str = "";
const DASH: &str = "-";

/// Gives each tag of a request to `emit`.
pub fn tags(exchange: &Exchange<'_>, summary: &Summary<'_>, emit: &mut Emit<'_>) {
    for (key, value) in &exchange.recipe.node_tags {
        emit(key, &value.as_str().into());
    }
    request(exchange, emit);
    if let Some(call) = &summary.call {
        grpc(exchange, call, emit);
    }
    answer(exchange, summary, emit);
}

/// Key, value, and what stands for an empty value.
fn emit_all(tags: &[(&str, &str, &str)], emit: &mut Emit<'_>) {
    for (key, value, when_empty) in tags {
        let value = if value.is_empty() { when_empty } else { value };
        if !value.is_empty() {
            emit(key, &Value::from(*value));
        }
    }
}

fn request(exchange: &Exchange<'_>, emit: &mut Emit<'_>) {
    let (headers, redaction) = (exchange.headers, &exchange.recipe.settings.redaction);
    let (agent, id) = (text(headers.user_agent), text(headers.request_id));
    let trace_id = text(headers.client_trace_id);
    let client = exchange.text(Property::Client);
    emit_all(
        &[
            ("component", "proxy", DASH),
            ("guid:x-request-id", redaction.header("x-request-id", &id), LEFT_OUT),
            ("http.url", &url(exchange), LEFT_OUT),
            ("http.method", &text(headers.method), LEFT_OUT),
            ("downstream_cluster", &text(headers.downstream_cluster), DASH),
            ("user_agent", redaction.header("user-agent", &agent), DASH),
            ("http.protocol", &exchange.text(Property::Protocol), DASH),
            ("peer.address", authority::split(&client).0, LEFT_OUT),
            ("guid:x-client-trace-id", redaction.header("x-client-trace-id", &trace_id), LEFT_OUT),
        ],
        emit,
    );
}

/// The URL as the client sent it.
fn url(exchange: &Exchange<'_>) -> String {
    let headers = exchange.headers;
    let path = if headers.original_path.is_empty() { headers.path } else { headers.original_path };
    let path = exchange.recipe.settings.redaction.url(&text(path));
    let (scheme, host) = (text(headers.forwarded_proto), text(headers.authority));
    let host = authority::without_user(&host);
    [&*scheme, "://", host, shorten(&path, LONGEST_PATH)].concat()
}

fn grpc(exchange: &Exchange<'_>, call: &Call<'_>, emit: &mut Emit<'_>) {
    let headers = exchange.headers;
    let path = exchange.recipe.settings.redaction.url(&text(headers.path));
    let host = text(headers.authority);
    let status = call.told_status().map(|status| status.number().to_string());
    emit_all(
        &[
            ("grpc.path", &path, LEFT_OUT),
            ("grpc.authority", authority::without_user(&host), LEFT_OUT),
            ("grpc.content_type", &text(headers.content_type), LEFT_OUT),
            ("grpc.timeout", &text(headers.grpc_timeout), LEFT_OUT),
            ("grpc.status_code", &status.unwrap_or_default(), LEFT_OUT),
            ("grpc.message", &exchange.text(Property::GrpcMessage), LEFT_OUT),
        ],
        emit,
    );
}

fn answer(exchange: &Exchange<'_>, summary: &Summary<'_>, emit: &mut Emit<'_>) {
    let number = |property| exchange.properties.number(property).unwrap_or(0);
    let cluster = exchange.text(Property::Cluster);
    let upstream = if exchange.is_attempt { exchange.text(Property::Upstream) } else { "".into() };
    let [received, sent, code] = &mut [[0; 20]; 3];
    emit_all(
        &[
            ("upstream_cluster", &cluster, LEFT_OUT),
            ("upstream_cluster.name", &cluster, LEFT_OUT),
            ("upstream_address", &upstream, LEFT_OUT),
            ("request_size", decimal(number(Property::RequestBytes), received), DASH),
            ("response_size", decimal(number(Property::ResponseBytes), sent), DASH),
            ("http.status_code", decimal(summary.status_code.unwrap_or(0), code), DASH),
            ("response_flags", &response_flags::short_names(number(Property::Flags)), DASH),
            ("error", if is_error(summary) { "true" } else { "" }, LEFT_OUT),
        ],
        emit,
    );
}

/// No answer, 5xx, or a gRPC status that is a server's fault. A status that the service did not tell is none to Envoy.
fn is_error(summary: &Summary<'_>) -> bool {
    let status = summary.call.as_ref().and_then(Call::told_status);
    summary.status_code.is_none_or(|code| code >= 500)
        || status.is_some_and(|status| {
            status.number() == RESOURCE_EXHAUSTED || status.is_error_for(SpanKind::Server)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::Recipe;
    use crate::header_map::RequestHeaders;
    use crate::properties::{COUNT, Properties};
    use crate::testing::test;
    use crate::trace_context::SpanContext;
    use std::collections::BTreeMap;

    /// Name and tags of a request with these headers and properties.
    fn told(
        kind: SpanKind,
        headers: &RequestHeaders<'_>,
        read: &[(Property, &[u8])],
    ) -> (String, BTreeMap<String, String>) {
        let mut values: [Vec<u8>; COUNT] = Default::default();
        read.iter().for_each(|(property, value)| values[*property as usize] = value.to_vec());
        let exchange = Exchange {
            kind,
            context: SpanContext { trace_id: [1; 16], span_id: [2; 8], flags: 1 },
            parent: None,
            headers,
            properties: &Properties::from_single(&values),
            custom: &[],
            recipe: &Recipe::default(),
            is_attempt: kind == SpanKind::Client,
            answered_ns: None,
            now_ns: 5,
        };
        let mut seen = BTreeMap::new();
        tags(&exchange, &Summary::of(&exchange), &mut |key, value| {
            let Value::Text(text) = value else { panic!("{key} is no text") };
            assert!(seen.insert(key.to_owned(), text.to_string()).is_none(), "{key} twice");
        });
        (name(&exchange).into_owned(), seen)
    }

    #[test]
    fn a_node_outside_of_istio_has_no_tags_of_istio() {
        let mut node = Node { id: "n".into(), canonical_name: "cart".into(), ..Node::default() };
        let keys = |node: &Node| of_node(node).iter().map(|(key, _)| *key).collect::<Vec<_>>();
        assert_eq!(keys(&node), ["node_id", "zone", "istio.canonical_service"]);
        node.canonical_name.clear();
        assert_eq!(keys(&node), ["node_id", "zone"]);
    }

    #[test]
    fn a_request_without_an_answer_is_an_error_with_status_0() {
        let headers = RequestHeaders { method: b"GET", ..RequestHeaders::default() };
        let (name, tags) = told(SpanKind::Server, &headers, &[]);
        assert_eq!((name.as_str(), tags["http.status_code"].as_str()), ("ingress", "0"));
        assert_eq!((tags["error"].as_str(), tags["user_agent"].as_str()), ("true", "-"));
        assert_eq!(tags["response_flags"], "-");
        assert!(!tags.contains_key("upstream_cluster"));
    }

    #[test]
    fn only_an_attempt_names_the_upstreams_address() {
        let upstream: (Property, &[u8]) = (Property::Upstream, b"10.0.0.1:80");
        let of = |kind| told(kind, &RequestHeaders::default(), &[upstream]).1;
        assert_eq!(of(SpanKind::Client)["upstream_address"], "10.0.0.1:80");
        assert!(!of(SpanKind::Server).contains_key("upstream_address"));
    }

    #[test]
    fn an_exhausted_resource_is_an_error_for_envoy_and_a_user_never_leaves() {
        let headers = RequestHeaders {
            method: b"POST",
            authority: b"me:pw@shop",
            content_type: b"application/grpc",
            ..RequestHeaders::default()
        };
        let read: [(Property, &[u8]); 2] =
            [(Property::Status, &200_i64.to_le_bytes()), (Property::GrpcStatus, b"8")];
        let (name, tags) = told(SpanKind::Client, &headers, &read);
        assert_eq!((name.as_str(), tags["error"].as_str()), ("egress shop", "true"));
        assert_eq!(
            (tags["grpc.status_code"].as_str(), tags["grpc.authority"].as_str()),
            ("8", "shop")
        );
        assert!(!tags.values().any(|value| value.contains("pw")), "{tags:?}");
    }
}
