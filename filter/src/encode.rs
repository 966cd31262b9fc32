//! A lean protobuf writer for what OTLP needs: varints, fixed numbers, bytes and attributes, appended
//! to a buffer. Field numbers are those of opentelemetry-proto 1.x.

use std::borrow::Cow;

/// The longest text that is looked at, in bytes: 4096 characters of any kind. What an attribute keeps of
/// it is said by `attributes::limits`.
pub const MAX_TEXT_BYTES: usize = 4 * 4096;

/// An attribute's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A string.
    Text(&'a str),
    /// A whole number.
    Int(i64),
    /// A list of one string.
    TextList(&'a str),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

/// Bytes from a peer as text that OTLP may carry: cut to [`MAX_TEXT_BYTES`] between characters, then
/// each broken byte replaced by U+FFFD.
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    let bytes = cut(bytes, MAX_TEXT_BYTES);
    // The check alone goes by words where all is ASCII; mending goes byte by byte.
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// A number as decimal digits, written into `room`.
pub fn decimal(mut number: u64, room: &mut [u8; 20]) -> &str {
    let mut begin = room.len();
    for digit in room.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        begin -= 1;
        if number == 0 {
            break;
        }
    }
    std::str::from_utf8(room.get(begin..).unwrap_or_default()).unwrap_or_default()
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

/// Appends a varint. Most are one byte.
#[inline]
pub fn varint(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 { out.push(value as u8) } else { long_varint(out, value) }
}

#[inline(never)]
fn long_varint(out: &mut Vec<u8>, mut value: u64) {
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

/// Appends a `KeyValue` as a field below 16. Most are short: then every length in it is one byte, and it is
/// written at half the price.
pub fn attribute(out: &mut Vec<u8>, field: u32, key: &str, value: &Value<'_>) {
    match value {
        Value::Text(text) if key.len() + text.len() < SHORT => {
            let length = text.len() as u8;
            begin_short(out, field, key, length + 2);
            out.push(0x0a);
            out.push(length);
            out.extend_from_slice(text.as_bytes());
        }
        Value::Int(number) if key.len() < SHORT - 10 => {
            begin_short(out, field, key, any_value_len(value) as u8);
            out.push(0x18);
            varint(out, *number as u64);
        }
        value => any_attribute(out, field, key, value),
    }
}

/// Key and value of fewer bytes than this have lengths of one byte, as has all that is around them.
const SHORT: usize = 0x80 - 6;

/// The `KeyValue` up to its value, which has so many bytes.
fn begin_short(out: &mut Vec<u8>, field: u32, key: &str, any_len: u8) {
    let key_len = key.len() as u8;
    out.push((field << 3 | LENGTH_DELIMITED) as u8);
    out.push(key_len + any_len + 4);
    out.push(0x0a);
    out.push(key_len);
    out.extend_from_slice(key.as_bytes());
    out.push(0x12);
    out.push(any_len);
}

fn any_attribute(out: &mut Vec<u8>, field: u32, key: &str, value: &Value<'_>) {
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
        for length in [0, 1, SHORT - 2, SHORT - 1, SHORT, 0x80, 0x4000] {
            let (text, mut short, mut any) = ("t".repeat(length), Vec::new(), Vec::new());
            attribute(&mut short, 9, "k", &Value::from(text.as_str()));
            any_attribute(&mut any, 9, "k", &Value::from(text.as_str()));
            assert!(short == any, "{length}");
            let (key, mut short, mut any) = ("k".repeat(length), Vec::new(), Vec::new());
            for number in [0, 127, 128, i64::MAX, -1] {
                attribute(&mut short, 9, &key, &Value::Int(number));
                any_attribute(&mut any, 9, &key, &Value::Int(number));
            }
            assert!(short == any, "{length}");
        }
        out.clear();
        attribute(&mut out, 9, "k", &Value::Int(200));
        assert_eq!(out, [0x4a, 8, 0x0a, 1, b'k', 0x12, 3, 0x18, 0xc8, 0x01]);
        out.clear();
        attribute(&mut out, 9, "k", &Value::TextList("v"));
        assert_eq!(out, [0x4a, 12, 0x0a, 1, b'k', 0x12, 7, 0x2a, 5, 0x0a, 3, 0x0a, 1, b'v']);
    }

    #[test]
    fn a_number_has_its_digits_and_no_more() {
        for number in [0, 7, 10, 200, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string());
        }
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
