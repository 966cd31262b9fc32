use super::test_headers::{SPAN, TRACE, headers};
use super::*;
use crate::header_map::ContextHeader;
use crate::testing::test;

const VALID: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const W3C: &[Dialect] = &[Dialect::TraceContext];

fn w3c<'a>(parents: &[&'a [u8]], states: &[&'a [u8]]) -> RequestHeaders<'a> {
    RequestHeaders {
        traceparent: parents.iter().copied().collect(),
        tracestate: states.iter().copied().collect(),
        ..RequestHeaders::default()
    }
}

fn nobody(stale_state: bool) -> Extracted {
    Extracted { stale_state, ..Extracted::default() }
}

#[test]
fn a_valid_parent_is_continued_with_its_state() {
    let found = extract(&w3c(&[VALID], &[b"a=1", b"b=2"]), W3C);
    let parent = found.parent.unwrap();
    assert_eq!((parent.trace_id, parent.span_id), (TRACE, SPAN));
    assert!(parent.is_sampled());
    assert_eq!(parent.state, "a=1,b=2");
    assert!(!found.stale_state);
    assert_eq!(found.decision, Some(true));
}

#[test]
fn two_parents_are_none_and_the_state_is_stale() {
    assert_eq!(extract(&w3c(&[VALID, VALID], &[b"a=1"]), W3C), nobody(true));
}

#[test]
fn an_invalid_parent_makes_the_state_stale() {
    assert_eq!(extract(&w3c(&[b"00-xyz"], &[b"a=1"]), W3C), nobody(true));
}

#[test]
fn a_state_without_a_parent_is_stale() {
    assert_eq!(extract(&w3c(&[], &[b"a=1"]), W3C), nobody(true));
    assert_eq!(extract(&w3c(&[], &[]), W3C), nobody(false));
}

#[test]
fn a_malformed_state_is_dropped_and_the_parent_kept() {
    let found = extract(&w3c(&[VALID], &[b"no equals sign"]), W3C);
    assert!(found.stale_state);
    assert_eq!(found.parent.unwrap().state, "");
}

const B3_FIRST: &[Dialect] = &[Dialect::B3, Dialect::TraceContext];
const B3_LAST: &[Dialect] = &[Dialect::TraceContext, Dialect::B3];
const B3_VALUE: &str = "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-0";

#[test]
fn the_first_valid_dialect_wins() {
    let mut both = headers(&[(ContextHeader::B3, B3_VALUE)]);
    both.traceparent.push(VALID);
    both.tracestate.push(b"a=1");
    assert_eq!(extract(&both, B3_LAST).parent.unwrap().trace_id, TRACE);
    let found = extract(&both, B3_FIRST);
    let parent = found.parent.unwrap();
    assert_eq!(parent.trace_id[0], 0x80);
    assert_eq!((found.decision, parent.flags), (Some(false), 0));
    assert!(found.stale_state, "the list belongs to the other trace");
    assert_eq!(parent.state, "");
}

#[test]
fn an_invalid_dialect_gives_way_to_the_next() {
    let mut both = headers(&[(ContextHeader::B3, B3_VALUE)]);
    both.traceparent.push(b"00-broken");
    assert_eq!(extract(&both, B3_LAST).parent.unwrap().trace_id[0], 0x80);
}

#[test]
fn what_is_not_configured_is_not_read() {
    let b3 = headers(&[(ContextHeader::B3, B3_VALUE)]);
    assert_eq!(extract(&b3, W3C), nobody(false));
    assert_eq!(extract(&w3c(&[VALID], &[]), &[]), nobody(false));
}

#[test]
fn a_caller_that_sampled_sets_the_flag_in_every_dialect() {
    for (list, dialect) in [
        (&[(ContextHeader::B3, "a3ce929d0e0e4736-00f067aa0ba902b7-1")][..], Dialect::B3Multi),
        (&[(ContextHeader::UberTraceId, "a3ce929d0e0e4736:f067aa0ba902b7:0:1")], Dialect::Jaeger),
        (
            &[(
                ContextHeader::AmznTraceId,
                "Root=1-00000000-00000000a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1",
            )],
            Dialect::XRay,
        ),
        (
            &[
                (ContextHeader::DatadogTraceId, "11803532876627986230"),
                (ContextHeader::DatadogParentId, "67667974448284343"),
                (ContextHeader::DatadogSamplingPriority, "2"),
            ],
            Dialect::Datadog,
        ),
    ] {
        let found = extract(&headers(list), &[dialect]);
        let parent = found.parent.unwrap();
        assert_eq!(parent.trace_id, 0xa3ce_929d_0e0e_4736_u128.to_be_bytes(), "{dialect:?}");
        assert_eq!(parent.span_id, SPAN, "{dialect:?}");
        assert!(parent.is_sampled(), "{dialect:?}");
    }
}
