//! W3C Trace Context: `traceparent`, read strictly and written as version 00.

pub use super::hex::push as push_hex;
use super::{SpanContext, SpanId, TraceId, hex};

/// Length of a version 00 `traceparent`, in bytes.
pub const TRACEPARENT_LEN: usize = 55;
/// The flags that levels 1 and 2 define: sampled and random. Others are reserved and go on as 0.
const KNOWN_FLAGS: u8 = 0x03;

/// Reads a `traceparent`: trace id, parent's span id, and the defined flags. `None` when it is invalid:
/// wrong form, version ff, upper case, or an id of zeros. A version above 00 is read by its first four
/// fields, as section 3.2.4 of the specification says.
pub fn parse_traceparent(value: &[u8]) -> Option<(TraceId, SpanId, u8)> {
    let head = value.get(..TRACEPARENT_LEN)?;
    let tail = value.get(TRACEPARENT_LEN..)?;
    if head[2] != b'-' || head[35] != b'-' || head[52] != b'-' {
        return None;
    }
    let [version] = hex::lower::<1>(&head[0..2])?;
    let tail_is_valid =
        if version == 0 { tail.is_empty() } else { matches!(tail, [] | [b'-', ..]) };
    if version == 0xff || !tail_is_valid {
        return None;
    }
    let trace_id = hex::lower::<16>(&head[3..35])?;
    let span_id = hex::lower::<8>(&head[36..52])?;
    let [flags] = hex::lower::<1>(&head[53..55])?;
    if trace_id == [0; 16] || span_id == [0; 8] {
        return None;
    }
    Some((trace_id, span_id, flags & KNOWN_FLAGS))
}

/// A version 00 `traceparent` as it is written.
#[derive(Debug, Clone, Copy)]
pub struct Traceparent([u8; TRACEPARENT_LEN]);

impl std::ops::Deref for Traceparent {
    type Target = str;

    /// The header's value.
    fn deref(&self) -> &str {
        // Digits and dashes: it is always text.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Writes a version 00 `traceparent`.
pub fn write_traceparent(context: &SpanContext) -> Traceparent {
    let mut out = *b"00-00000000000000000000000000000000-0000000000000000-00";
    hex::write(&mut out[3..35], &context.trace_id);
    hex::write(&mut out[36..52], &context.span_id);
    hex::write(&mut out[53..55], &[context.flags & KNOWN_FLAGS]);
    Traceparent(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn parse(value: &str) -> Option<(TraceId, SpanId, u8)> {
        parse_traceparent(value.as_bytes())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (trace_id, span_id, flags) = parse(&format!("00-{TRACE}-{SPAN}-01")).unwrap();
        let context = SpanContext { trace_id, span_id, flags };
        assert_eq!(*write_traceparent(&context), *format!("00-{TRACE}-{SPAN}-01"));
    }

    #[test]
    fn the_defined_flags_are_kept_and_the_reserved_ones_are_not() {
        assert_eq!(parse(&format!("00-{TRACE}-{SPAN}-00")).unwrap().2, 0x00);
        assert_eq!(parse(&format!("00-{TRACE}-{SPAN}-03")).unwrap().2, 0x03);
        assert_eq!(parse(&format!("00-{TRACE}-{SPAN}-ff")).unwrap().2, 0x03);
    }

    #[test]
    fn a_later_version_is_read_by_its_first_fields() {
        assert!(parse(&format!("cc-{TRACE}-{SPAN}-01")).is_some());
        assert!(parse(&format!("cc-{TRACE}-{SPAN}-01-what-comes-then")).is_some());
        assert!(parse(&format!("cc-{TRACE}-{SPAN}-01-")).is_some());
        assert!(parse(&format!("cc-{TRACE}-{SPAN}-01.what")).is_none());
    }

    #[test]
    fn each_malformed_value_is_invalid() {
        let upper = TRACE.to_uppercase();
        let zeros_16 = "0".repeat(32);
        let zeros_8 = "0".repeat(16);
        for value in [
            String::new(),
            "00".into(),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01-extra"),
            format!("00-{upper}-{SPAN}-01"),
            format!("00-{zeros_16}-{SPAN}-01"),
            format!("00-{TRACE}-{zeros_8}-01"),
            format!("00_{TRACE}_{SPAN}_01"),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!("00-{TRACE}-{SPAN}-é"),
            format!(" 00-{TRACE}-{SPAN}-01"),
        ] {
            assert_eq!(parse(&value), None, "{value}");
        }
    }
}
