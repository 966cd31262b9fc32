//! The OpenTelemetry semantic conventions for HTTP and RPC (both stable, 1.45), applied to a finished
//! request: the span's name, its attributes, its events, and whether it failed.

pub mod events;
pub mod failure;
pub mod rpc;

use crate::attributes::redaction::{authority_without_user, split_path, without_user};
use crate::authority;
use crate::encode::{Value, text};
use crate::properties::Property;
use crate::response_flags;
use crate::span::{Exchange, SpanKind};
use failure::Failure;
use rpc::Call;
use std::borrow::Cow;

/// The methods that may stand in `http.request.method` and in a name.
const KNOWN_METHODS: [&[u8]; 10] = [
    b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH",
    b"QUERY",
];
/// What Istio calls every route that nobody named.
const UNNAMED_ROUTE: &str = "default";

/// What is found out about a request once, before its span is written.
#[derive(Debug)]
pub struct Summary<'a> {
    /// The status code sent, if one was.
    pub status_code: Option<u64>,
    /// The gRPC call, when it is one.
    pub call: Option<Call<'a>>,
    /// The route or the template of its path, of low cardinality.
    pub route: Option<Cow<'a, str>>,
    /// Why the span's status is an error, if it is.
    pub failure: Option<Failure<'a>>,
}

impl<'a> Summary<'a> {
    /// Looks at a finished request.
    pub fn of(exchange: &Exchange<'a>) -> Self {
        let status_code =
            exchange.properties.number(Property::Status).filter(|code| (100..=999).contains(code));
        let call = Call::of(exchange, status_code);
        let failure = failure::of(exchange, status_code, call.as_ref());
        Self { status_code, call, route: route(exchange), failure }
    }

    /// `{package.Service/Method}` of a gRPC call, else `{method} {route}` or `{method}`; never the path.
    /// An unknown method is `HTTP`, a gRPC call without one `grpc`.
    pub fn name(&self, exchange: &Exchange<'a>) -> Cow<'a, str> {
        if let Some(call) = &self.call {
            return call.name().into();
        }
        let method = known_method(exchange.headers.method).unwrap_or("HTTP");
        match &self.route {
            Some(route) => [method, " ", route].concat().into(),
            None => method.into(),
        }
    }
}

/// Whether and why the span's status is an error.
pub fn failure<'a>(exchange: &Exchange<'a>) -> Option<Failure<'a>> {
    Summary::of(exchange).failure
}

/// Takes an attribute.
pub type Emit<'e> = dyn FnMut(&str, &Value<'_>) + 'e;

/// Gives each attribute of the span to `emit`.
pub fn attributes(exchange: &Exchange<'_>, summary: &Summary<'_>, emit: &mut Emit<'_>) {
    request(exchange, emit);
    url(exchange, emit);
    peers(exchange, emit);
    if let Some(call) = &summary.call {
        rpc::attributes(call, emit);
    }
    answer(exchange, summary, emit);
    proxy(exchange, summary, emit);
}

fn request(exchange: &Exchange<'_>, emit: &mut Emit<'_>) {
    let (headers, redaction) = (exchange.headers, &exchange.recipe.settings.redaction);
    match known_method(headers.method) {
        Some(method) => emit_text("http.request.method", method, emit),
        None => {
            emit_text("http.request.method", "_OTHER", emit);
            emit_text("http.request.method_original", &text(headers.method), emit);
        }
    }
    let agent = text(headers.user_agent);
    emit_text("user_agent.original", redaction.header("user-agent", &agent), emit);
    if !headers.request_id.is_empty() {
        let id = text(headers.request_id);
        let id = redaction.header("x-request-id", &id);
        emit("http.request.header.x-request-id", &Value::TextList(id));
    }
    if let Some(version) = protocol_version(exchange.properties.bytes(Property::Protocol)) {
        emit_text("network.protocol.name", "http", emit);
        emit_text("network.protocol.version", version, emit);
    }
    emit_number("http.request.body.size", exchange, Property::RequestBytes, emit);
}

fn url(exchange: &Exchange<'_>, emit: &mut Emit<'_>) {
    let (headers, redaction) = (exchange.headers, &exchange.recipe.settings.redaction);
    let (whole, scheme) = (text(headers.path), text(headers.scheme));
    let (path, query) = split_path(&whole);
    let (path, query) = (without_user(path), redaction.query(query));
    if exchange.kind == SpanKind::Client && !headers.authority.is_empty() {
        let authority = text(headers.authority);
        let authority = authority_without_user(&authority);
        let mark = if query.is_empty() { "" } else { "?" };
        let parts = [&*scheme, "://", &*authority, &*path, mark, &*query];
        emit_text("url.full", &parts.concat(), emit);
    }
    emit_text("url.path", &path, emit);
    emit_text("url.query", &query, emit);
    emit_text("url.scheme", &scheme, emit);
}

fn peers(exchange: &Exchange<'_>, emit: &mut Emit<'_>) {
    let default_port = authority::default_port(exchange.headers.scheme);
    emit_peer(["server.address", "server.port"], exchange.headers.authority, default_port, emit);
    let properties = exchange.properties;
    match exchange.kind {
        SpanKind::Server => {
            let client = properties.bytes(Property::Client);
            emit_peer(["client.address", "client.port"], client, None, emit);
        }
        SpanKind::Client => {
            let upstream = properties.bytes(Property::Upstream);
            emit_peer(["network.peer.address", "network.peer.port"], upstream, None, emit);
            if let Some(resends) = resends(exchange) {
                emit("http.request.resend_count", &int(resends));
            }
        }
    }
}

fn answer(exchange: &Exchange<'_>, summary: &Summary<'_>, emit: &mut Emit<'_>) {
    if let Some(code) = summary.status_code {
        emit("http.response.status_code", &int(code));
    }
    emit_number("http.response.body.size", exchange, Property::ResponseBytes, emit);
    if let Some(failure) = &summary.failure {
        emit_text("error.type", &failure.kind, emit);
    }
}

fn proxy(exchange: &Exchange<'_>, summary: &Summary<'_>, emit: &mut Emit<'_>) {
    if let Some(route) = &summary.route {
        let key = if exchange.kind == SpanKind::Server { "http.route" } else { "url.template" };
        emit_text(key, route, emit);
    }
    emit_text("envoy.upstream.cluster", &exchange.text(Property::Cluster), emit);
    emit_text("envoy.upstream.address", &exchange.text(Property::Upstream), emit);
    let flags =
        response_flags::short_names(exchange.properties.number(Property::Flags).unwrap_or(0));
    emit_text("envoy.response.flags", &flags, emit);
}

fn known_method(method: &[u8]) -> Option<&'static str> {
    let known = KNOWN_METHODS.iter().find(|known| **known == method)?;
    std::str::from_utf8(known).ok()
}

/// The template that the path matches, else the route's name, if somebody gave it one.
fn route<'a>(exchange: &Exchange<'a>) -> Option<Cow<'a, str>> {
    if !exchange.recipe.settings.templates.is_empty() {
        let path = text(exchange.headers.path);
        if let Some(template) = exchange.recipe.template(split_path(&path).0) {
            return Some(template.into());
        }
    }
    let route = exchange.text(Property::Route);
    (!route.is_empty() && route != UNNAMED_ROUTE).then_some(route)
}

/// How often the request was sent again, if it was.
fn resends(exchange: &Exchange<'_>) -> Option<u64> {
    exchange.properties.number(Property::Attempts).filter(|attempts| *attempts > 1).map(|n| n - 1)
}

/// `1.1` of `HTTP/1.1`, `2` of `HTTP/2` or `HTTP/2.0`.
fn protocol_version(protocol: &[u8]) -> Option<&'static str> {
    match protocol {
        b"HTTP/1.0" => Some("1.0"),
        b"HTTP/1.1" => Some("1.1"),
        b"HTTP/2" | b"HTTP/2.0" => Some("2"),
        b"HTTP/3" | b"HTTP/3.0" => Some("3"),
        _ => None,
    }
}

/// A text that is there.
fn emit_text(key: &str, value: &str, emit: &mut Emit<'_>) {
    if !value.is_empty() {
        emit(key, &value.into());
    }
}

fn emit_number(key: &str, exchange: &Exchange<'_>, property: Property, emit: &mut Emit<'_>) {
    if let Some(number) = exchange.properties.number(property) {
        emit(key, &int(number));
    }
}

/// Host and port of a peer; a user in an authority is no part of the host.
fn emit_peer(
    [address_key, port_key]: [&str; 2],
    peer: &[u8],
    default_port: Option<u16>,
    emit: &mut Emit<'_>,
) {
    let peer = text(peer);
    let (host, port) = authority::split(authority::without_user(&peer));
    if host.is_empty() {
        return;
    }
    emit_text(address_key, host, emit);
    if let Some(port) = port.or(default_port) {
        emit(port_key, &int(u64::from(port)));
    }
}

fn int<'a>(number: u64) -> Value<'a> {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
