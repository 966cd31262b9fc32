//! What the bridge's answer to a batch means.

/// The verdict on a batch that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The bridge is answerable for the spans, but for those it rejected.
    Accepted {
        /// `partial_success.rejected_spans` of the answer: dropped and counted.
        rejected: u64,
    },
    /// To be sent again.
    Retry {
        /// How long the bridge asks to wait, ms.
        after_ms: Option<u64>,
    },
    /// Never to be sent again: the bridge found the data bad.
    Refused,
}

/// Judges an answer. `status` is `:status`, or `None` when there was no answer at all. Only a 200 is an
/// acknowledgement; of all others a 4xx is final, save 408 and 429.
pub fn judge(status: Option<u16>, retry_after: Option<&str>, body: &[u8]) -> Outcome {
    match status {
        Some(200) => Outcome::Accepted { rejected: rejected_spans(body).unwrap_or(0) },
        Some(code @ 400..=499) if code != 408 && code != 429 => Outcome::Refused,
        _ => Outcome::Retry { after_ms: retry_after.and_then(parse_retry_after) },
    }
}

/// `Retry-After` in seconds (RFC 9110, 10.2.3), as ms. The form with a date is not honoured.
fn parse_retry_after(value: &str) -> Option<u64> {
    value.trim().parse::<u64>().ok().map(|seconds| seconds.saturating_mul(1000))
}

/// `ExportTraceServiceResponse.partial_success (1) .rejected_spans (1)`.
fn rejected_spans(body: &[u8]) -> Option<u64> {
    let Field::Bytes(partial) = find(body, 1)? else { return None };
    match find(partial, 1)? {
        Field::Number(count) => Some(count),
        Field::Bytes(_) => None,
    }
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The first field of that number, if the message can be read so far.
fn find(mut message: &[u8], wanted: u64) -> Option<Field<'_>> {
    while !message.is_empty() {
        let key = take_varint(&mut message)?;
        let field = match key & 7 {
            0 => Field::Number(take_varint(&mut message)?),
            1 => Field::Bytes(take(&mut message, 8)?),
            2 => {
                let length = usize::try_from(take_varint(&mut message)?).ok()?;
                Field::Bytes(take(&mut message, length)?)
            }
            5 => Field::Bytes(take(&mut message, 4)?),
            _ => return None,
        };
        if key >> 3 == wanted {
            return Some(field);
        }
    }
    None
}

fn take<'a>(message: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some(taken)
}

fn take_varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(message, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn only_a_200_is_accepted() {
        assert_eq!(judge(Some(200), None, b""), Outcome::Accepted { rejected: 0 });
        for status in [None, Some(100), Some(202), Some(204), Some(302), Some(408), Some(429)] {
            assert_eq!(judge(status, None, b""), Outcome::Retry { after_ms: None }, "{status:?}");
        }
        for status in [500, 502, 503, 504, 599] {
            assert_eq!(judge(Some(status), None, b""), Outcome::Retry { after_ms: None });
        }
        for status in [400, 401, 403, 404, 413, 415, 422] {
            assert_eq!(judge(Some(status), Some("1"), b""), Outcome::Refused, "{status}");
        }
    }

    #[test]
    fn retry_after_is_read_in_seconds() {
        let after = |value| judge(Some(503), Some(value), b"");
        assert_eq!(after("3"), Outcome::Retry { after_ms: Some(3000) });
        assert_eq!(after(" 0 "), Outcome::Retry { after_ms: Some(0) });
        assert_eq!(after("18446744073709551615"), Outcome::Retry { after_ms: Some(u64::MAX) });
        for value in ["", "-1", "1.5", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(after(value), Outcome::Retry { after_ms: None }, "{value}");
        }
    }

    #[test]
    fn rejected_spans_are_counted() {
        let body = [0x0a, 7, 0x12, 2, b'n', b'o', 0x08, 0xac, 0x02];
        assert_eq!(judge(Some(200), None, &body), Outcome::Accepted { rejected: 300 });
    }

    #[test]
    fn a_garbled_answer_body_rejects_nothing() {
        for body in [
            &b"\x0a\xff"[..],
            b"{}",
            b"\x0a\x02\x08",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(judge(Some(200), None, body), Outcome::Accepted { rejected: 0 });
        }
    }
}
