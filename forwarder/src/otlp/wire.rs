//! Protobuf's wire format, one field at a time, over borrowed bytes. Reads past no end, allocates nothing.
//! (<https://protobuf.dev/programming-guides/encoding/>)

use std::ops::Range;
use thiserror::Error;

/// Groups may nest this deep; nobody writes them any more.
const MAX_GROUP_DEPTH: usize = 16;

/// Where bytes stop being protobuf.
#[derive(Debug, Clone, Copy, Error, PartialEq, Eq)]
pub enum WireError {
    /// The bytes end inside a field.
    #[error("truncated: the field at byte {at} runs past the end ({end})")]
    Truncated {
        /// Where the field starts.
        at: usize,
        /// Where the message that holds it ends.
        end: usize,
    },
    /// A varint of more than ten bytes, a field number of zero, or a wire type that does not exist.
    #[error("not protobuf: no field can start at byte {at}")]
    NotAField {
        /// Where.
        at: usize,
    },
    /// Fields, but none that an OTLP request has: most likely something else altogether.
    #[error("not OTLP: {bytes} bytes of protobuf without resource_spans")]
    NoResourceSpans {
        /// The length of it all.
        bytes: usize,
    },
    /// A known field with a wire type that it cannot have.
    #[error("not OTLP: {name} at byte {at} is not length-delimited")]
    NotAMessage {
        /// The field's name in OTLP.
        name: &'static str,
        /// Where.
        at: usize,
    },
}

/// One field of a message: places in the bytes that were walked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its number; at least 1.
    pub number: u32,
    /// Tag, length and value.
    pub raw: Range<usize>,
    /// The value of a length-delimited field; `None` for the other wire types.
    pub value: Option<Range<usize>>,
}

impl Field {
    /// The value's place, or the error that `name` must be length-delimited.
    pub fn message(&self, name: &'static str) -> Result<Range<usize>, WireError> {
        self.value.clone().ok_or(WireError::NotAMessage { name, at: self.raw.start })
    }
}

/// Walks the fields of the message at `range` of `bytes`; ends after the first error.
pub fn fields(bytes: &[u8], range: Range<usize>) -> Fields<'_> {
    let end = range.end.min(bytes.len());
    Fields { bytes: bytes.get(..end).unwrap_or_default(), at: range.start.min(end) }
}

/// See [`fields`].
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Iterator for Fields<'_> {
    type Item = Result<Field, WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let field = read_field(self.bytes, self.at, 0);
        self.at = field.as_ref().map_or(self.bytes.len(), |field| field.raw.end);
        Some(field)
    }
}

#[inline]
pub(super) fn read_field(bytes: &[u8], start: usize, depth: usize) -> Result<Field, WireError> {
    let (tag, at) = read_varint(bytes, start, start)?;
    let number = u32::try_from(tag >> 3).ok().filter(|n| (1..1 << 29).contains(n));
    let number = number.ok_or(WireError::NotAField { at: start })?;
    let truncated = WireError::Truncated { at: start, end: bytes.len() };
    let mut value = None;
    let end = match tag & 7 {
        0 => read_varint(bytes, at, start)?.1,
        1 => at + 8,
        5 => at + 4,
        2 => {
            let (length, at) = read_varint(bytes, at, start)?;
            let end = usize::try_from(length).ok().and_then(|length| at.checked_add(length));
            let end = end.ok_or(truncated)?;
            value = Some(at..end);
            end
        }
        3 => skip_group(bytes, at, start, number, depth)?,
        _ => return Err(WireError::NotAField { at: start }),
    };
    if end > bytes.len() {
        return Err(truncated);
    }
    Ok(Field { number, raw: start..end, value })
}

fn skip_group(
    bytes: &[u8],
    mut at: usize,
    start: usize,
    number: u32,
    depth: usize,
) -> Result<usize, WireError> {
    if depth >= MAX_GROUP_DEPTH {
        return Err(WireError::NotAField { at: start });
    }
    let end_tag = u64::from(number) << 3 | 4;
    loop {
        let (tag, after) = read_varint(bytes, at, start)?;
        if tag == end_tag {
            return Ok(after);
        }
        at = read_field(bytes, at, depth + 1)?.raw.end;
    }
}

/// The varint at `at` and the place behind it; `start` is the field's start, for the error.
#[inline]
fn read_varint(bytes: &[u8], at: usize, start: usize) -> Result<(u64, usize), WireError> {
    match bytes.get(at) {
        // Nearly all tags and lengths.
        Some(byte) if *byte < 0x80 => Ok((u64::from(*byte), at + 1)),
        _ => read_long_varint(bytes, at, start),
    }
}

fn read_long_varint(bytes: &[u8], at: usize, start: usize) -> Result<(u64, usize), WireError> {
    let mut value = 0u64;
    for i in 0..10 {
        let byte =
            *bytes.get(at + i).ok_or(WireError::Truncated { at: start, end: bytes.len() })?;
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Ok((value, at + i + 1));
        }
    }
    Err(WireError::NotAField { at: start })
}

/// How many bytes `value` takes as a varint.
pub fn varint_len(value: usize) -> usize {
    (64 - (value as u64 | 1).leading_zeros() as usize).div_ceil(7)
}

/// Writes the tag and the length of a length-delimited field with a number below 16.
pub fn put_header(out: &mut Vec<u8>, number: u32, length: usize) {
    out.push((number << 3 | 2) as u8);
    let mut rest = length as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn walk(bytes: &[u8]) -> Result<Vec<Field>, WireError> {
        fields(bytes, 0..bytes.len()).collect()
    }

    #[test]
    fn every_wire_type_is_stepped_over() {
        let bytes = [
            0x08, 0x96, 0x01, // 1: varint 150
            0x11, 1, 2, 3, 4, 5, 6, 7, 8, // 2: fixed64
            0x1a, 2, 9, 9, // 3: bytes
            0x23, 0x08, 0x01, 0x24, // 4: group
            0x2d, 1, 2, 3, 4, // 5: fixed32
        ];
        let found = walk(&bytes).unwrap();
        assert_eq!(found.iter().map(|f| f.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert_eq!(found[2].value, Some(14..16));
        assert_eq!(found[4].raw.end, bytes.len());
    }

    #[test]
    fn bytes_that_end_inside_a_field_are_truncated() {
        for bytes in [&[0x0a, 5, 1][..], &[0x0a], &[0x11, 1], &[0x08, 0x80], &[0x23, 0x08, 1]] {
            assert!(matches!(walk(bytes), Err(WireError::Truncated { .. })), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_field_is_told_with_its_place() {
        assert_eq!(walk(&[0x08, 1, 0x07]), Err(WireError::NotAField { at: 2 }));
        assert_eq!(walk(&[0x00, 1]), Err(WireError::NotAField { at: 0 }));
        assert_eq!(walk(&[0xff; 12]), Err(WireError::NotAField { at: 0 }));
    }

    #[test]
    fn groups_nested_without_end_are_refused() {
        assert!(walk(&[0x0b; 4096]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = walk(&bytes);
        }

        #[test]
        fn a_header_is_as_long_as_said(length in 0usize..1 << 40) {
            let mut out = Vec::new();
            put_header(&mut out, 2, length);
            prop_assert_eq!(out.len(), 1 + varint_len(length));
        }
    }
}
