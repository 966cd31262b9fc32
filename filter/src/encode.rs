//! A lean protobuf writer for what OTLP needs: varints, fixed numbers, bytes and attributes, appended
//! to a buffer. Field numbers are those of opentelemetry-proto 1.x.

use std::borrow::Cow;

/// The longest text that is looked at, in bytes: 4096 characters of any kind. What an attribute keeps of
/// it is said by `attributes::limits`.
pub const MAX_TEXT_BYTES: usize = 4 * 4096;

/// An attribute's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// A whole number.
    Int(i64),
    /// A list of one string.
    TextList(Cow<'a, str>),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl<'a> From<Cow<'a, str>> for Value<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self::Text(text)
    }
}

/// Bytes from a peer as text that OTLP may carry: cut to [`MAX_TEXT_BYTES`] between characters, then
/// each broken byte replaced by U+FFFD.
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(cut(bytes, MAX_TEXT_BYTES))
}

fn cut(bytes: &[u8], longest: usize) -> &[u8] {
    let mut end = bytes.len().min(longest);
    // Step back over the bytes that continue a character: three at most.
    for _ in 0..3 {
        if bytes.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
            end -= 1;
        }
    }
    bytes.get(..end).unwrap_or(bytes)
}

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH_DELIMITED: u32 = 2;
const FIXED32: u32 = 5;

/// Appends a varint.
pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes a varint takes.
pub fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

fn tag(out: &mut Vec<u8>, field: u32, wire_type: u32) {
    varint(out, u64::from(field << 3 | wire_type));
}

/// Appends a length-delimited field: bytes, a string or a message.
pub fn bytes_field(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    length_prefix(out, field, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends the tag and the length of a length-delimited field whose bytes follow.
pub fn length_prefix(out: &mut Vec<u8>, field: u32, length: usize) {
    tag(out, field, LENGTH_DELIMITED);
    varint(out, length as u64);
}

/// How many bytes a length-delimited field takes, for fields below 16.
pub fn field_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

/// Appends a varint field.
pub fn varint_field(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, VARINT);
    varint(out, value);
}

/// Appends a fixed64 field.
pub fn fixed64_field(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a fixed32 field.
pub fn fixed32_field(out: &mut Vec<u8>, field: u32, value: u32) {
    tag(out, field, FIXED32);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a `KeyValue` as a field below 16.
pub fn attribute(out: &mut Vec<u8>, field: u32, key: &str, value: &Value<'_>) {
    let any_len = any_value_len(value);
    length_prefix(out, field, key_value_len(key, any_len));
    bytes_field(out, 1, key.as_bytes());
    length_prefix(out, 2, any_len);
    match value {
        Value::Text(text) => bytes_field(out, 1, text.as_bytes()),
        Value::Int(number) => varint_field(out, 3, *number as u64),
        Value::TextList(text) => {
            let element = field_len(text.len());
            length_prefix(out, 5, field_len(element));
            length_prefix(out, 1, element);
            bytes_field(out, 1, text.as_bytes());
        }
    }
}

/// How many bytes [`attribute`] takes.
pub fn attribute_len(key: &str, value: &Value<'_>) -> usize {
    field_len(key_value_len(key, any_value_len(value)))
}

fn key_value_len(key: &str, any_len: usize) -> usize {
    field_len(key.len()) + field_len(any_len)
}

fn any_value_len(value: &Value<'_>) -> usize {
    match value {
        Value::Text(text) => field_len(text.len()),
        Value::Int(number) => 1 + varint_len(*number as u64),
        Value::TextList(text) => field_len(field_len(field_len(text.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn a_varint_is_as_long_as_foretold() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
        }
        let mut out = Vec::new();
        varint(&mut out, 300);
        assert_eq!(out, [0xac, 0x02]);
    }

    #[test]
    fn attributes_are_the_bytes_of_the_protobuf_specification() {
        let mut out = Vec::new();
        attribute(&mut out, 9, "k", &Value::from("v"));
        assert_eq!(out, [0x4a, 8, 0x0a, 1, b'k', 0x12, 3, 0x0a, 1, b'v']);
        assert_eq!(attribute_len("k", &Value::from("v")), out.len());
        out.clear();
        attribute(&mut out, 9, "k", &Value::Int(200));
        assert_eq!(out, [0x4a, 8, 0x0a, 1, b'k', 0x12, 3, 0x18, 0xc8, 0x01]);
        out.clear();
        attribute(&mut out, 9, "k", &Value::TextList("v".into()));
        assert_eq!(out, [0x4a, 12, 0x0a, 1, b'k', 0x12, 7, 0x2a, 5, 0x0a, 3, 0x0a, 1, b'v']);
    }

    #[test]
    fn broken_text_is_mended_and_long_text_is_cut_between_characters() {
        assert_eq!(text(b"ok"), "ok");
        assert_eq!(text(&[b'a', 0xff, b'b']), "a\u{fffd}b");
        let long = "é".repeat(MAX_TEXT_BYTES);
        assert_eq!(text(long.as_bytes()).len(), MAX_TEXT_BYTES);
        let odd = format!("x{long}");
        let kept = text(odd.as_bytes());
        assert_eq!(kept.len(), MAX_TEXT_BYTES - 1);
        assert!(odd.starts_with(&*kept));
    }
}
