//! A configuration that the proxy hands over as a protobuf `Struct` (google/protobuf/struct.proto), as Envoy
//! does with a Struct in its own file, made into JSON. Never panics; depth is bounded.

use serde_json::{Map, Number, Value};

/// How deep objects and lists may lie in each other.
const DEEPEST: usize = 32;

/// The object that these bytes are, if they are one.
pub fn object(bytes: &[u8]) -> Option<Value> {
    structure(bytes, DEEPEST)
}

fn structure(bytes: &[u8], depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let mut map = Map::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (Field::Bytes(1, entry), after) = field(rest)? else { return None };
        let (mut key, mut held) = (String::new(), Value::Null);
        let mut entry_rest = entry;
        while !entry_rest.is_empty() {
            let (part, after) = field(entry_rest)?;
            match part {
                Field::Bytes(1, name) => key = text(name)?,
                Field::Bytes(2, bytes) => held = value(bytes, depth)?,
                _ => return None,
            }
            entry_rest = after;
        }
        map.insert(key, held);
        rest = after;
    }
    Some(Value::Object(map))
}

fn list(bytes: &[u8], depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let mut values = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (Field::Bytes(1, bytes), after) = field(rest)? else { return None };
        values.push(value(bytes, depth)?);
        rest = after;
    }
    Some(Value::Array(values))
}

fn value(bytes: &[u8], depth: usize) -> Option<Value> {
    if bytes.is_empty() {
        return Some(Value::Null);
    }
    match field(bytes)? {
        (Field::Varint(1, _), []) => Some(Value::Null),
        (Field::Double(2, number), []) => Number::from_f64(number).map(Value::Number),
        (Field::Bytes(3, bytes), []) => text(bytes).map(Value::String),
        (Field::Varint(4, flag), []) => Some(Value::Bool(flag != 0)),
        (Field::Bytes(5, bytes), []) => structure(bytes, depth),
        (Field::Bytes(6, bytes), []) => list(bytes, depth),
        _ => None,
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

/// One field: its number, and what it holds.
enum Field<'a> {
    Varint(u64, u64),
    Double(u64, f64),
    Bytes(u64, &'a [u8]),
}

fn field(bytes: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let (tag, rest) = varint(bytes)?;
    let number = tag >> 3;
    match tag & 7 {
        0 => varint(rest).map(|(value, rest)| (Field::Varint(number, value), rest)),
        1 => {
            let (double, rest) = rest.split_first_chunk()?;
            Some((Field::Double(number, f64::from_le_bytes(*double)), rest))
        }
        2 => {
            let (length, rest) = varint(rest)?;
            let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            Some((Field::Bytes(number, bytes), rest))
        }
        _ => None,
    }
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (i, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(7 * i as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(i + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{bytes_field, fixed64_field, varint_field};
    use crate::testing::test;
    use serde_json::json;

    fn written(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        match value {
            Value::Null => varint_field(&mut out, 1, 0),
            Value::Bool(flag) => varint_field(&mut out, 4, u64::from(*flag)),
            Value::Number(number) => {
                fixed64_field(&mut out, 2, number.as_f64().unwrap().to_bits());
            }
            Value::String(text) => bytes_field(&mut out, 3, text.as_bytes()),
            Value::Object(map) => bytes_field(&mut out, 5, &written_map(map)),
            Value::Array(values) => {
                let mut list = Vec::new();
                values.iter().for_each(|value| bytes_field(&mut list, 1, &written(value)));
                bytes_field(&mut out, 6, &list);
            }
        }
        out
    }

    fn written_map(map: &Map<String, Value>) -> Vec<u8> {
        let mut out = Vec::new();
        for (key, value) in map {
            let mut entry = Vec::new();
            bytes_field(&mut entry, 1, key.as_bytes());
            bytes_field(&mut entry, 2, &written(value));
            bytes_field(&mut out, 1, &entry);
        }
        out
    }

    #[test]
    fn a_struct_is_the_object_that_it_holds() {
        let all =
            json!({"a": null, "b": true, "c": 1.5, "d": "é", "e": {"f": [1.0, "x", []]}, "": {}});
        let bytes = written_map(all.as_object().unwrap());
        assert_eq!(object(&bytes), Some(all));
        assert_eq!(object(b""), Some(json!({})));
    }

    #[test]
    fn bytes_cut_anywhere_do_no_harm() {
        let bytes = written_map(json!({"cluster": "b", "n": {"m": [2.0]}}).as_object().unwrap());
        for end in 1..bytes.len() {
            assert_ne!(object(&bytes[..end]), object(&bytes), "cut at {end}");
        }
        assert_eq!(object(&[0xff; 20]), None);
        assert_eq!(object(b"\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), None);
    }

    #[test]
    fn what_lies_too_deep_is_none() {
        let mut deep = json!({});
        for _ in 0..DEEPEST {
            deep = json!({ "a": deep });
        }
        assert_eq!(object(&written_map(deep.as_object().unwrap())), None);
    }
}
