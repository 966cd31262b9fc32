//! W3C Trace Context: `traceparent` and `tracestate`, read strictly and written as version 00.

use super::{SpanContext, SpanId, TraceId};

/// Length of a version 00 `traceparent`, in bytes.
pub const TRACEPARENT_LEN: usize = 55;
/// The flags that levels 1 and 2 define: sampled and random. Others are reserved and go on as 0.
const KNOWN_FLAGS: u8 = 0x03;
/// Members that a `tracestate` may have at most.
const MAX_STATE_MEMBERS: usize = 32;

/// Reads a `traceparent`: trace id, parent's span id, and the defined flags. `None` when it is invalid:
/// wrong form, version ff, upper case, or an id of zeros. A version above 00 is read by its first four
/// fields, as section 3.2.4 of the specification says.
pub fn parse_traceparent(value: &[u8]) -> Option<(TraceId, SpanId, u8)> {
    let head = value.get(..TRACEPARENT_LEN)?;
    let tail = value.get(TRACEPARENT_LEN..)?;
    if head[2] != b'-' || head[35] != b'-' || head[52] != b'-' {
        return None;
    }
    let [version] = hex::<1>(&head[0..2])?;
    let tail_is_valid =
        if version == 0 { tail.is_empty() } else { matches!(tail, [] | [b'-', ..]) };
    if version == 0xff || !tail_is_valid {
        return None;
    }
    let trace_id = hex::<16>(&head[3..35])?;
    let span_id = hex::<8>(&head[36..52])?;
    let [flags] = hex::<1>(&head[53..55])?;
    if trace_id == [0; 16] || span_id == [0; 8] {
        return None;
    }
    Some((trace_id, span_id, flags & KNOWN_FLAGS))
}

/// Writes a version 00 `traceparent`.
pub fn write_traceparent(context: &SpanContext) -> String {
    let mut out = String::with_capacity(TRACEPARENT_LEN);
    out.push_str("00-");
    push_hex(&mut out, &context.trace_id);
    out.push('-');
    push_hex(&mut out, &context.span_id);
    out.push('-');
    push_hex(&mut out, &[context.flags & KNOWN_FLAGS]);
    out
}

/// Appends bytes as lowercase hex.
pub fn push_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)] as char);
        out.push(DIGITS[usize::from(byte & 0x0f)] as char);
    }
}

fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    if digits.len() != N * 2 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(out)
}

/// Upper case is invalid in a `traceparent`.
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Joins the `tracestate` lines of a request into one list, or `None` when the list is malformed.
/// No line at all is an empty list.
pub fn join_tracestate(lines: &[&[u8]]) -> Option<String> {
    let mut joined = String::new();
    for line in lines {
        let line = std::str::from_utf8(line).ok()?;
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(line);
    }
    tracestate_is_valid(&joined).then_some(joined)
}

fn tracestate_is_valid(list: &str) -> bool {
    let mut keys: Vec<&str> = Vec::new();
    for member in list.split(',').map(|member| member.trim_matches([' ', '\t'])) {
        if member.is_empty() {
            continue;
        }
        let Some((key, value)) = member.split_once('=') else { return false };
        let fits = keys.len() < MAX_STATE_MEMBERS && !keys.contains(&key);
        if !fits || !state_key_is_valid(key) || !state_value_is_valid(value) {
            return false;
        }
        keys.push(key);
    }
    true
}

/// `key` or `tenant@system`, by the grammar of section 3.3.1.3.1.
fn state_key_is_valid(key: &str) -> bool {
    let legal = |byte: u8| {
        byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || matches!(byte, b'_' | b'-' | b'*' | b'/')
    };
    let starts = |part: &str, digit: bool| {
        part.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || (digit && b.is_ascii_digit()))
    };
    match key.split_once('@') {
        None => key.len() <= 256 && starts(key, true) && key.bytes().all(legal),
        Some((tenant, system)) => {
            (tenant.len() <= 241 && starts(tenant, true) && tenant.bytes().all(legal))
                && (system.len() <= 14 && starts(system, false) && system.bytes().all(legal))
        }
    }
}

fn state_value_is_valid(value: &str) -> bool {
    let printable = |byte: u8| (0x20..=0x7e).contains(&byte) && byte != b',' && byte != b'=';
    !value.is_empty() && value.len() <= 256 && value.bytes().all(printable)
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
        assert_eq!(write_traceparent(&context), format!("00-{TRACE}-{SPAN}-01"));
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

    #[test]
    fn a_valid_state_is_passed_untouched() {
        for list in ["a=1", "a=1, b=2 ,c=3", "fw529a3039@dt=FfffffeiSAzAQDA;4", "a=1,,b=2", ""] {
            assert_eq!(join_tracestate(&[list.as_bytes()]).as_deref(), Some(list));
        }
    }

    #[test]
    fn a_malformed_state_is_none() {
        let many = (0..33).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join(",");
        let long_value = format!("a={}", "v".repeat(257));
        for list in
            ["a", "=1", "A=1", "a=1,a=2", "a=b=c", "a=", "a@9=1", "a@b@c=1", &many, &long_value]
        {
            assert_eq!(join_tracestate(&[list.as_bytes()]), None, "{list}");
        }
        assert_eq!(join_tracestate(&[&[0xff, 0xfe]]), None);
    }
}
