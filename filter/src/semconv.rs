//! The OpenTelemetry semantic conventions for HTTP (stable), applied to a finished request:
//! the span's name, its attributes, and whether it failed.

use crate::authority;
use crate::encode::{Value, text};
use crate::properties::Property;
use crate::response_flags;
use crate::span::{Exchange, SpanKind};
use std::borrow::Cow;

/// The methods that may stand in `http.request.method` and in a name.
const KNOWN_METHODS: [&[u8]; 10] = [
    b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH",
    b"QUERY",
];
/// Query keys whose values are credentials; the conventions ask for them to be redacted.
const SECRET_QUERY_KEYS: [&str; 4] = ["AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature"];
/// Envoy's details for an answer that the service gave itself.
const VIA_UPSTREAM: &str = "via_upstream";
/// What Istio calls every route that nobody named.
const UNNAMED_ROUTE: &str = "default";

/// A span that failed.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// `error.type`: the status code, or the proxy's reason; of low cardinality.
    pub kind: Cow<'a, str>,
    /// The status message: the proxy's details, or empty when the service itself answered.
    pub message: Cow<'a, str>,
}

/// `{method} {route}` or `{method}`; never the path. An unknown method is `HTTP`.
pub fn name(exchange: &Exchange<'_>) -> String {
    let method = known_method(exchange.headers.method).unwrap_or("HTTP");
    match route(exchange) {
        Some(route) => format!("{method} {route}"),
        None => method.to_owned(),
    }
}

/// The status code sent, if one was.
fn status_code(exchange: &Exchange<'_>) -> Option<u64> {
    exchange.properties.number(Property::Status).filter(|code| (100..=999).contains(code))
}

/// Whether and why the span's status is an error: 5xx for a server, 4xx and 5xx for a client, no answer
/// at all, or one that the service broke off.
pub fn failure<'a>(exchange: &Exchange<'a>) -> Option<Failure<'a>> {
    let flags = exchange.properties.number(Property::Flags).unwrap_or(0);
    let lowest_error = if exchange.kind == SpanKind::Client { 400 } else { 500 };
    let kind = match status_code(exchange) {
        Some(code) if code >= lowest_error => Cow::Owned(code.to_string()),
        Some(_) => Cow::Borrowed(response_flags::cut_short(flags)?),
        None => Cow::Borrowed(response_flags::reason(flags).unwrap_or("_OTHER")),
    };
    let details = text(exchange.properties.bytes(Property::StatusDetails));
    let message = if details == VIA_UPSTREAM { Cow::Borrowed("") } else { details };
    Some(Failure { kind, message })
}

/// Gives each attribute of the span to `emit`.
pub fn attributes<'a>(exchange: &Exchange<'a>, emit: &mut impl FnMut(&str, Value<'a>)) {
    request(exchange, emit);
    url(exchange, emit);
    peers(exchange, emit);
    answer(exchange, emit);
    proxy(exchange, emit);
}

fn request<'a>(exchange: &Exchange<'a>, emit: &mut impl FnMut(&str, Value<'a>)) {
    let headers = exchange.headers;
    match known_method(headers.method) {
        Some(method) => emit("http.request.method", method.into()),
        None => {
            emit("http.request.method", "_OTHER".into());
            emit_text("http.request.method_original", headers.method, emit);
        }
    }
    emit_text("user_agent.original", headers.user_agent, emit);
    if !headers.request_id.is_empty() {
        emit("http.request.header.x-request-id", Value::TextList(text(headers.request_id)));
    }
    if let Some(version) = protocol_version(exchange.properties.bytes(Property::Protocol)) {
        emit("network.protocol.name", "http".into());
        emit("network.protocol.version", version.into());
    }
    if let Some(bytes) = exchange.properties.number(Property::RequestBytes) {
        emit("http.request.body.size", int(bytes));
    }
}

fn url<'a>(exchange: &Exchange<'a>, emit: &mut impl FnMut(&str, Value<'a>)) {
    let headers = exchange.headers;
    let (path, query) = split_path(text(headers.path));
    let query = redact(query);
    if exchange.kind == SpanKind::Client && !headers.authority.is_empty() {
        let (scheme, authority) = (text(headers.scheme), text(headers.authority));
        let mark = if query.is_empty() { "" } else { "?" };
        emit("url.full", Value::Text(format!("{scheme}://{authority}{path}{mark}{query}").into()));
    }
    for (key, value) in [("url.path", path), ("url.query", query)] {
        if !value.is_empty() {
            emit(key, value.into());
        }
    }
    emit_text("url.scheme", headers.scheme, emit);
}

fn peers<'a>(exchange: &Exchange<'a>, emit: &mut impl FnMut(&str, Value<'a>)) {
    let scheme = text(exchange.headers.scheme);
    let default_port = authority::default_port(&scheme);
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
        }
    }
}

fn answer<'a>(exchange: &Exchange<'a>, emit: &mut impl FnMut(&str, Value<'a>)) {
    if let Some(code) = status_code(exchange) {
        emit("http.response.status_code", int(code));
    }
    if let Some(bytes) = exchange.properties.number(Property::ResponseBytes) {
        emit("http.response.body.size", int(bytes));
    }
    if let Some(failure) = failure(exchange) {
        emit("error.type", failure.kind.into());
    }
}

fn proxy<'a>(exchange: &Exchange<'a>, emit: &mut impl FnMut(&str, Value<'a>)) {
    let properties = exchange.properties;
    if let (Some(route), SpanKind::Server) = (route(exchange), exchange.kind) {
        emit("http.route", route.into());
    }
    emit_text("envoy.upstream.cluster", properties.bytes(Property::Cluster), emit);
    emit_text("envoy.upstream.address", properties.bytes(Property::Upstream), emit);
    let flags = response_flags::short_names(properties.number(Property::Flags).unwrap_or(0));
    if !flags.is_empty() {
        emit("envoy.response.flags", Value::Text(flags.into()));
    }
}

fn known_method(method: &[u8]) -> Option<&'static str> {
    let known = KNOWN_METHODS.iter().find(|known| **known == method)?;
    std::str::from_utf8(known).ok()
}

/// The route's name, if somebody gave it one.
fn route<'a>(exchange: &Exchange<'a>) -> Option<Cow<'a, str>> {
    let route = text(exchange.properties.bytes(Property::Route));
    (!route.is_empty() && route != UNNAMED_ROUTE).then_some(route)
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

/// Path and query; a fragment, which no request should have, stays with the query.
fn split_path(path: Cow<'_, str>) -> (Cow<'_, str>, Cow<'_, str>) {
    match path {
        Cow::Borrowed(path) => match path.split_once('?') {
            Some((path, query)) => (path.into(), query.into()),
            None => (path.into(), "".into()),
        },
        Cow::Owned(path) => match path.split_once('?') {
            Some((path, query)) => (path.to_owned().into(), query.to_owned().into()),
            None => (path.into(), "".into()),
        },
    }
}

/// The query with the values of well-known credentials replaced by `REDACTED`.
fn redact(query: Cow<'_, str>) -> Cow<'_, str> {
    let is_secret =
        |pair: &str| pair.split_once('=').is_some_and(|(key, _)| SECRET_QUERY_KEYS.contains(&key));
    if !query.split('&').any(is_secret) {
        return query;
    }
    let kept = query.split('&').map(|pair| match pair.split_once('=') {
        Some((key, _)) if is_secret(pair) => format!("{key}=REDACTED"),
        _ => pair.to_owned(),
    });
    Cow::Owned(kept.collect::<Vec<_>>().join("&"))
}

fn emit_text<'a>(key: &str, bytes: &'a [u8], emit: &mut impl FnMut(&str, Value<'a>)) {
    if !bytes.is_empty() {
        emit(key, text(bytes).into());
    }
}

fn emit_peer<'a>(
    [address_key, port_key]: [&str; 2],
    peer: &'a [u8],
    default_port: Option<u16>,
    emit: &mut impl FnMut(&str, Value<'a>),
) {
    let peer = text(peer);
    let (host, port) = authority::split(&peer);
    if host.is_empty() {
        return;
    }
    emit(address_key, Value::Text(host.to_owned().into()));
    if let Some(port) = port.or(default_port) {
        emit(port_key, int(u64::from(port)));
    }
}

fn int<'a>(number: u64) -> Value<'a> {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
