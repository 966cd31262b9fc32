//! B3, Zipkin's dialect: the single header `b3` and the `x-b3-…` headers. Source: openzipkin/b3-propagation,
//! and the B3 requirements of the OpenTelemetry specification: both forms are read, the single one first.

use super::{Found, Outgoing, Parent, hex};
use crate::header_map::{ContextHeader, RequestHeaders};

/// Reads a context in either form.
pub fn extract(headers: &RequestHeaders<'_>) -> Option<Found> {
    single(headers.context(ContextHeader::B3)).or_else(|| multi(headers))
}

/// `{trace}-{span}-{state}-{parent}`, the last two optional; or `{state}` alone, a decision without a
/// trace.
fn single(value: &[u8]) -> Option<Found> {
    let mut fields = value.split(|byte| *byte == b'-');
    let first = fields.next()?;
    let Some(span_id) = fields.next() else {
        let (decision, is_debug) = state(first)?;
        return Some(Found { parent: None, decision: Some(decision), is_debug });
    };
    let (third, fourth) = (fields.next(), fields.next());
    let parent_id = match third.map(state) {
        Some(Some(_)) => fourth,
        // The state may be left out before the parent, whose own form tells it from a state.
        _ if fourth.is_none() => third,
        _ => return None,
    };
    if parent_id.is_some_and(|id| span(id).is_none()) || fields.next().is_some() {
        return None;
    }
    found(first, span_id, third.and_then(state))
}

fn multi(headers: &RequestHeaders<'_>) -> Option<Found> {
    let value = |header| headers.context(header);
    let decided = match (value(ContextHeader::B3Flags), value(ContextHeader::B3Sampled)) {
        (b"1", _) => Some((true, true)),
        (_, b"1" | b"true") => Some((true, false)),
        (_, b"0" | b"false") => Some((false, false)),
        _ => None,
    };
    match (value(ContextHeader::B3TraceId), value(ContextHeader::B3SpanId)) {
        (b"", b"") => {
            let (decision, is_debug) = decided?;
            Some(Found { parent: None, decision: Some(decision), is_debug })
        }
        (trace_id, span_id) => found(trace_id, span_id, decided),
    }
}

fn found(trace_id: &[u8], span_id: &[u8], decided: Option<(bool, bool)>) -> Option<Found> {
    if !matches!(trace_id.len(), 16 | 32) {
        return None;
    }
    let parent = Parent::new(hex::id(trace_id)?, span(span_id)?);
    let is_debug = decided.is_some_and(|(_, is_debug)| is_debug);
    Some(Found { parent: Some(parent), decision: decided.map(|(sampled, _)| sampled), is_debug })
}

fn span(digits: &[u8]) -> Option<[u8; 8]> {
    if digits.len() == 16 { hex::id(digits) } else { None }
}

/// Whether it is sampled, and whether that is for debugging: then it goes on as such.
fn state(value: &[u8]) -> Option<(bool, bool)> {
    match value {
        b"1" => Some((true, false)),
        b"0" => Some((false, false)),
        b"d" => Some((true, true)),
        _ => None,
    }
}

/// The value of the single header.
pub fn write_single(outgoing: &Outgoing) -> String {
    let mut out = String::with_capacity(51);
    hex::push(&mut out, &outgoing.context.trace_id);
    out.push('-');
    hex::push(&mut out, &outgoing.context.span_id);
    out.push_str(match (outgoing.is_debug, outgoing.context.is_sampled()) {
        (true, true) => "-d",
        (false, true) => "-1",
        (_, false) => "-0",
    });
    out
}

#[cfg(test)]
mod tests {
    use super::super::test_headers::{SPAN, SPAN_HEX, TRACE, TRACE_HEX, headers};
    use super::*;
    use crate::testing::test;

    fn read(value: &str) -> Option<Found> {
        extract(&headers(&[(ContextHeader::B3, value)]))
    }

    #[test]
    fn the_examples_of_the_specification_are_read() {
        let found = read("80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90");
        let found = found.unwrap();
        let parent = found.parent.unwrap();
        assert_eq!(parent.trace_id[..4], [0x80, 0xf1, 0x98, 0xee]);
        assert_eq!(parent.span_id, 0xe457_b5a2_e4d8_6bd1_u64.to_be_bytes());
        assert_eq!((found.decision, found.is_debug), (Some(true), false));
        let denied = Found { parent: None, decision: Some(false), is_debug: false };
        assert_eq!(read("0"), Some(denied));
    }

    #[test]
    fn a_short_trace_id_is_padded_on_the_left() {
        let parent = read(&format!("a3ce929d0e0e4736-{SPAN_HEX}")).unwrap().parent.unwrap();
        assert_eq!(parent.trace_id, 0xa3ce_929d_0e0e_4736_u128.to_be_bytes());
    }

    #[test]
    fn each_sampling_state_is_told_apart() {
        for (state, decision, is_debug) in [
            ("", None, false),
            ("-0", Some(false), false),
            ("-1", Some(true), false),
            ("-d", Some(true), true),
            ("-05e3ac9a4f6e3b90", None, false),
        ] {
            let found = read(&format!("{TRACE_HEX}-{SPAN_HEX}{state}")).unwrap();
            assert_eq!((found.decision, found.is_debug), (decision, is_debug), "{state}");
            assert_eq!(found.parent, Some(Parent::new(TRACE, SPAN)));
        }
    }

    #[test]
    fn a_malformed_header_is_not_read() {
        let zeros = "0".repeat(32);
        for value in [
            "",
            "-",
            "2",
            &format!("{TRACE_HEX}-"),
            &format!("{TRACE_HEX}x-{SPAN_HEX}"),
            &format!("{}-{SPAN_HEX}", &TRACE_HEX[1..]),
            &format!("{zeros}-{SPAN_HEX}-1"),
            &format!("{TRACE_HEX}-{}-1", &zeros[..16]),
            &format!("{TRACE_HEX}-{SPAN_HEX}-x"),
            &format!("{TRACE_HEX}-{SPAN_HEX}-1-short"),
            &format!("{TRACE_HEX}-{SPAN_HEX}-1-{SPAN_HEX}-more"),
            &format!("{TRACE_HEX}-{SPAN_HEX}-{SPAN_HEX}-1"),
        ] {
            assert_eq!(read(value), None, "{value}");
        }
    }

    #[test]
    fn many_headers_are_read_when_the_single_one_is_not_there() {
        let ids = [(ContextHeader::B3TraceId, TRACE_HEX), (ContextHeader::B3SpanId, SPAN_HEX)];
        for (more, decision, is_debug) in [
            (None, None, false),
            (Some((ContextHeader::B3Sampled, "1")), Some(true), false),
            (Some((ContextHeader::B3Sampled, "false")), Some(false), false),
            (Some((ContextHeader::B3Sampled, "maybe")), None, false),
            (Some((ContextHeader::B3Flags, "1")), Some(true), true),
            (Some((ContextHeader::B3Flags, "0")), None, false),
        ] {
            let list: Vec<_> = ids.into_iter().chain(more).collect();
            let found = extract(&headers(&list)).unwrap();
            assert_eq!(found.parent, Some(Parent::new(TRACE, SPAN)));
            assert_eq!((found.decision, found.is_debug), (decision, is_debug), "{more:?}");
        }
        let half = extract(&headers(&ids[..1]));
        assert_eq!(half, None);
        let denied = extract(&headers(&[(ContextHeader::B3Sampled, "0")])).unwrap();
        assert_eq!((denied.parent, denied.decision), (None, Some(false)));
    }

    #[test]
    fn the_single_header_wins_over_the_many() {
        let found = extract(&headers(&[
            (ContextHeader::B3, "0"),
            (ContextHeader::B3TraceId, TRACE_HEX),
            (ContextHeader::B3SpanId, SPAN_HEX),
        ]));
        assert_eq!(found.unwrap().parent, None);
    }
}
