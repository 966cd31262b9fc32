//! Datadog's headers: the low 64 bits of the trace id and the span id in decimal, the high 64 bits as
//! `_dd.p.tid` in the tags. For reading only. Source: Datadog's documentation of trace context
//! propagation.

use super::{Found, Parent, hex};
use crate::header_map::{ContextHeader, RequestHeaders};

/// Reads the headers. A malformed `_dd.p.tid` is passed over, as Datadog's own tracers do.
pub fn extract(headers: &RequestHeaders<'_>) -> Option<Found> {
    let low = decimal(headers.context(ContextHeader::DatadogTraceId))?;
    let span_id = decimal(headers.context(ContextHeader::DatadogParentId))?;
    let high = high_bits(headers.context(ContextHeader::DatadogTags)).unwrap_or_default();
    let mut trace_id = [0; 16];
    trace_id[..8].copy_from_slice(&high);
    trace_id[8..].copy_from_slice(&low.to_be_bytes());
    let decision = priority(headers.context(ContextHeader::DatadogSamplingPriority));
    let parent = Parent::new(trace_id, span_id.to_be_bytes());
    Some(Found { parent: Some(parent), decision, is_debug: false })
}

/// A 64-bit number that is not 0.
fn decimal(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|number| *number != 0)
}

fn high_bits(tags: &[u8]) -> Option<[u8; 8]> {
    let mut tags = tags.split(|byte| *byte == b',');
    hex::lower(tags.find_map(|tag| tag.trim_ascii().strip_prefix(b"_dd.p.tid="))?)
}

/// 1 and 2 keep, 0 and -1 drop: by the sampler and by the user. Any other is no decision.
fn priority(value: &[u8]) -> Option<bool> {
    match value {
        b"1" | b"2" => Some(true),
        b"0" | b"-1" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_headers::headers;
    use super::*;
    use crate::testing::test;

    fn read(list: &[(ContextHeader, &str)]) -> Option<Found> {
        extract(&headers(list))
    }

    #[test]
    fn decimal_ids_and_the_high_bits_make_a_context() {
        let found = read(&[
            (ContextHeader::DatadogTraceId, "11803532876627986230"),
            (ContextHeader::DatadogParentId, "67667974448284343"),
            (ContextHeader::DatadogSamplingPriority, "1"),
            (ContextHeader::DatadogTags, "_dd.p.dm=-1,_dd.p.tid=4bf92f3577b34da6"),
        ]);
        let found = found.unwrap();
        let parent = found.parent.unwrap();
        assert_eq!(parent.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes());
        assert_eq!(parent.span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
        assert_eq!(found.decision, Some(true));
    }

    #[test]
    fn without_good_high_bits_they_are_zero() {
        for tags in ["", "_dd.p.dm=-1", "_dd.p.tid=4bf92f35", "_dd.p.tid=4BF92F3577B34DA6"] {
            let found = read(&[
                (ContextHeader::DatadogTraceId, "18446744073709551615"),
                (ContextHeader::DatadogParentId, "1"),
                (ContextHeader::DatadogTags, tags),
            ]);
            let parent = found.unwrap().parent.unwrap();
            assert_eq!(parent.trace_id, u128::from(u64::MAX).to_be_bytes(), "{tags}");
        }
    }

    #[test]
    fn each_priority_is_a_decision() {
        for (value, decision) in [
            ("2", Some(true)),
            ("1", Some(true)),
            ("0", Some(false)),
            ("-1", Some(false)),
            ("", None),
            ("9", None),
        ] {
            let found = read(&[
                (ContextHeader::DatadogTraceId, "1"),
                (ContextHeader::DatadogParentId, "2"),
                (ContextHeader::DatadogSamplingPriority, value),
            ]);
            assert_eq!(found.unwrap().decision, decision, "{value}");
        }
    }

    #[test]
    fn a_malformed_id_is_not_read() {
        for (trace, span) in [
            ("", "1"),
            ("1", ""),
            ("0", "1"),
            ("1", "0"),
            ("+1", "1"),
            ("18446744073709551616", "1"),
            ("a", "1"),
        ] {
            let found = read(&[
                (ContextHeader::DatadogTraceId, trace),
                (ContextHeader::DatadogParentId, span),
            ]);
            assert_eq!(found, None, "{trace} {span}");
        }
    }
}
