//! What happened while a request was served, as events of its span. The proxy tells when the answer began
//! and when all was over; it does not tell when each retry was.

use super::failure::VIA_UPSTREAM;
use super::{int, resends};
use crate::encode::Value;
use crate::properties::Property;
use crate::response_flags;
use crate::span::Exchange;

/// One event.
#[derive(Debug, PartialEq)]
pub struct Event<'a> {
    /// ns since the epoch.
    pub time_ns: u64,
    /// Its name.
    pub name: &'static str,
    /// What is said of it.
    pub attribute: Option<(&'static str, Value<'a>)>,
}

impl Event<'_> {
    fn at(time_ns: u64, name: &'static str) -> Self {
        Self { time_ns, name, attribute: None }
    }
}

/// The events of a request that ended at `end_ns`, in order of time.
pub fn events<'a>(exchange: &Exchange<'a>, end_ns: u64, emit: &mut dyn FnMut(Event<'a>)) {
    let answered = exchange.answered_ns.map(|time| time.min(end_ns));
    if let Some(resends) = resends(exchange) {
        let attribute = Some(("http.request.resend_count", int(resends)));
        emit(Event { attribute, ..Event::at(answered.unwrap_or(end_ns), "upstream.retry") });
    }
    if let Some(time) = answered.filter(|_| is_services(exchange)) {
        emit(Event::at(time, "upstream.first_byte"));
    }
    let flags = exchange.properties.number(Property::Flags).unwrap_or(0);
    response_flags::ended_by(flags).for_each(|reason| emit(Event::at(end_ns, reason)));
}

/// Whether the answer was the service's and not the proxy's own. What breaks an answer off takes the place
/// of Envoy's details for it; an attempt that an upstream filter sees has none yet.
fn is_services(exchange: &Exchange<'_>) -> bool {
    let details = exchange.properties.bytes(Property::StatusDetails);
    let attempts = exchange.properties.number(Property::Attempts).unwrap_or(0);
    let has_upstream = attempts > 0 || !exchange.properties.bytes(Property::Upstream).is_empty();
    details == VIA_UPSTREAM
        || details.starts_with(b"upstream_reset_after_response_started")
        || ((details.is_empty() || details.starts_with(b"downstream_")) && has_upstream)
}
