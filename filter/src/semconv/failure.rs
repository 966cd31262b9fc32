//! Whether a request failed, and why: by its status, by the proxy's response flags, by gRPC's status.

use super::rpc::Call;
use crate::encode::text;
use crate::properties::Property;
use crate::response_flags;
use crate::span::{Exchange, SpanKind};
use std::borrow::Cow;

/// Envoy's details for an answer that the service gave itself.
pub(super) const VIA_UPSTREAM: &[u8] = b"via_upstream";

/// A span that failed.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// `error.type`: the status code, or the proxy's reason; of low cardinality.
    pub kind: Cow<'a, str>,
    /// The status message: the proxy's details, or empty when the service itself answered.
    pub message: Cow<'a, str>,
}

/// 5xx for a server, 4xx and 5xx for a client, no answer at all, or one that the service broke off. For a
/// gRPC call its status decides.
pub(super) fn of<'a>(
    exchange: &Exchange<'a>,
    status_code: Option<u64>,
    call: Option<&Call<'a>>,
) -> Option<Failure<'a>> {
    let kind = match call.and_then(Call::status) {
        Some(status) => status.is_error_for(exchange.kind).then(|| status.name())?,
        None => http_error(exchange, status_code)?,
    };
    let told = call.map(|call| call.message(exchange)).unwrap_or_default();
    let message = if told.is_empty() { details(exchange) } else { told };
    Some(Failure { kind, message })
}

fn http_error(exchange: &Exchange<'_>, status_code: Option<u64>) -> Option<Cow<'static, str>> {
    let flags = exchange.properties.number(Property::Flags).unwrap_or(0);
    let lowest_error = if exchange.kind == SpanKind::Client { 400 } else { 500 };
    match status_code {
        Some(code) if code >= lowest_error => Some(code.to_string().into()),
        Some(code) if is_tunnel(exchange, code) => None,
        Some(_) => response_flags::cut_short(flags).map(Cow::Borrowed),
        None => Some(response_flags::reason(flags).unwrap_or("_OTHER").into()),
    }
}

/// A WebSocket or a CONNECT that was set up: either side may end it by closing its connection.
fn is_tunnel(exchange: &Exchange<'_>, code: u64) -> bool {
    code == 101 || (exchange.headers.method == b"CONNECT" && (200..300).contains(&code))
}

fn details<'a>(exchange: &Exchange<'a>) -> Cow<'a, str> {
    match exchange.properties.bytes(Property::StatusDetails) {
        VIA_UPSTREAM => "".into(),
        details => text(details),
    }
}
