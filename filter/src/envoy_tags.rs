//! The tags and the span name of Envoy's own tracer (its `HttpTracerUtility` and `TracerImpl`), with its
//! values: all of them texts, `-` for what is absent. So a dashboard made for them goes on working.
//!
//! Two values differ where the proxy does not tell: `peer.address` is the client's as
//! `x-forwarded-for` is trusted, and `upstream_cluster.name` the cluster's name also where it has an
//! `alt_stat_name`.

use crate::attributes::limits::shorten;
use crate::authority;
use crate::encode::{Value, text};
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
    let trace_id = exchange.text(Property::ClientTraceId);
    let client = exchange.text(Property::Client);
    emit_all(
        &[
            ("component", "proxy", DASH),
            ("guid:x-request-id", redaction.header("x-request-id", &id), LEFT_OUT),
            ("http.url", &url(exchange), LEFT_OUT),
            ("http.method", &text(headers.method), LEFT_OUT),
            ("downstream_cluster", &exchange.text(Property::DownstreamCluster), DASH),
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
    let path = exchange.recipe.settings.redaction.url(&exchange.text(Property::OriginalPath));
    let (scheme, host) =
        (exchange.text(Property::ForwardedProto), exchange.text(Property::FinalHost));
    let host = authority::without_user(&host);
    [&*scheme, "://", host, shorten(&path, LONGEST_PATH)].concat()
}

fn grpc(exchange: &Exchange<'_>, call: &Call<'_>, emit: &mut Emit<'_>) {
    let headers = exchange.headers;
    let path = exchange.recipe.settings.redaction.url(&text(headers.path));
    let host = exchange.text(Property::FinalHost);
    let status = call.told_status().map(|status| status.number().to_string());
    emit_all(
        &[
            ("grpc.path", &path, LEFT_OUT),
            ("grpc.authority", authority::without_user(&host), LEFT_OUT),
            ("grpc.content_type", &text(headers.content_type), LEFT_OUT),
            ("grpc.timeout", &exchange.text(Property::GrpcTimeout), LEFT_OUT),
            ("grpc.status_code", &status.unwrap_or_default(), LEFT_OUT),
            ("grpc.message", &exchange.text(Property::GrpcMessage), LEFT_OUT),
        ],
        emit,
    );
}

fn answer(exchange: &Exchange<'_>, summary: &Summary<'_>, emit: &mut Emit<'_>) {
    let number = |property| exchange.properties.number(property).unwrap_or(0);
    let cluster = exchange.text(Property::Cluster);
    emit_all(
        &[
            ("upstream_cluster", &cluster, LEFT_OUT),
            ("upstream_cluster.name", &cluster, LEFT_OUT),
            ("request_size", &number(Property::RequestBytes).to_string(), DASH),
            ("response_size", &number(Property::ResponseBytes).to_string(), DASH),
            ("http.status_code", &summary.status_code.unwrap_or(0).to_string(), DASH),
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
