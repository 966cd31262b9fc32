//! Jaeger's `uber-trace-id`: `{trace}:{span}:{parent}:{flags}`. Source: the propagation format in the
//! documentation of Jaeger's client libraries, and the OpenTelemetry specification's list of propagators.

use super::{Found, Outgoing, Parent, hex};
use crate::header_map::{ContextHeader, RequestHeaders};

const SAMPLED: u8 = 0x01;
const DEBUG: u8 = 0x02;
/// A header of 32 + 16 + 16 + 2 digits and three colons, each URL-encoded, is not longer.
const LONGEST: usize = 75;

/// Reads the header. Ids shorter than they should be are padded on the left; the parent's id, which is
/// deprecated, is not looked at; some clients URL-encode the colons.
pub fn extract(headers: &RequestHeaders<'_>) -> Option<Found> {
    let value = headers.context(ContextHeader::UberTraceId);
    if value.is_empty() || value.len() > LONGEST {
        return None;
    }
    let mut fields = Fields { rest: Some(value) };
    let (trace_id, span_id) = (hex::id(fields.next()?)?, hex::id(fields.next()?)?);
    let _parent_id = fields.next()?;
    let [flags] = hex::padded::<1>(fields.next()?)?;
    let is_debug = flags & DEBUG != 0;
    let decision = Some(is_debug || flags & SAMPLED != 0);
    let parent = Some(Parent::new(trace_id, span_id));
    fields.next().is_none().then_some(Found { parent, decision, is_debug })
}

/// The fields between colons, which may be written `%3A`.
struct Fields<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        let Some(end) = rest.iter().position(|byte| matches!(byte, b':' | b'%')) else {
            return Some(rest);
        };
        let (field, tail) = rest.split_at_checked(end)?;
        self.rest = match tail {
            [b':', tail @ ..] | [b'%', b'3', b'A' | b'a', tail @ ..] => Some(tail),
            // Any other escape is none of ours: as one field it is no number.
            _ => return Some(rest),
        };
        Some(field)
    }
}

/// The value of the header.
pub fn write(outgoing: &Outgoing) -> String {
    let mut out = String::with_capacity(53);
    hex::push(&mut out, &outgoing.context.trace_id);
    out.push(':');
    hex::push(&mut out, &outgoing.context.span_id);
    out.push_str(match (outgoing.is_debug, outgoing.context.is_sampled()) {
        (true, true) => ":0:3",
        (false, true) => ":0:1",
        (_, false) => ":0:0",
    });
    out
}

#[cfg(test)]
mod tests {
    use super::super::test_headers::{SPAN, SPAN_HEX, TRACE, TRACE_HEX, headers};
    use super::*;
    use crate::testing::test;

    fn read(value: &str) -> Option<Found> {
        extract(&headers(&[(ContextHeader::UberTraceId, value)]))
    }

    #[test]
    fn plain_and_url_encoded_headers_are_read() {
        for colon in [":", "%3A", "%3a"] {
            let value = [TRACE_HEX, SPAN_HEX, "0", "1"].join(colon);
            let found = read(&value).unwrap();
            assert_eq!(found.parent, Some(Parent::new(TRACE, SPAN)), "{value}");
            assert_eq!((found.decision, found.is_debug), (Some(true), false));
        }
    }

    #[test]
    fn short_ids_are_padded_on_the_left() {
        let parent = read("deadbeef:abc:0:1").unwrap().parent.unwrap();
        assert_eq!(parent.trace_id, 0xdead_beef_u128.to_be_bytes());
        assert_eq!(parent.span_id, 0xabc_u64.to_be_bytes());
    }

    #[test]
    fn flags_say_sampled_and_debug() {
        for (flags, decision, is_debug) in [
            ("0", false, false),
            ("01", true, false),
            ("3", true, true),
            ("2", true, true),
            ("08", false, false),
        ] {
            let found = read(&format!("1:2:0:{flags}")).unwrap();
            assert_eq!((found.decision, found.is_debug), (Some(decision), is_debug), "{flags}");
        }
    }

    #[test]
    fn a_malformed_header_is_not_read() {
        let long = format!("{TRACE_HEX}0:{SPAN_HEX}:0:1");
        for value in [
            "",
            ":",
            "1:2:0",
            "0:2:0:1",
            "1:0:0:1",
            "1:2:0:1:5",
            "1:2:0:x",
            "1:2:0:100",
            "1%3B2:0:1",
            "x:2:0:1",
            &long,
        ] {
            assert_eq!(read(value), None, "{value}");
        }
    }
}
