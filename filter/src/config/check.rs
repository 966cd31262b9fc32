//! Walks a configuration along the table and notes every fault: the key's path, its value, and what is
//! allowed.

use super::shape::{Key, Shape, names, ratio, whole};
use serde_json::{Map, Value};

/// Characters of a text that a message shows.
const LONGEST_SHOWN: usize = 120;

/// All faults of an object against its keys; `path` is where it stands, empty at the top.
pub fn object(map: &Map<String, Value>, keys: &[Key], path: &str, faults: &mut Vec<String>) {
    for (name, value) in map {
        let at = below(path, name);
        match keys.iter().find(|key| key.name == name) {
            Some(key) => check(value, &key.shape, &at, faults),
            None => {
                let (value, names) = (shown(value), names(keys));
                faults.push(format!("`{at}` (value {value}) is not a key; allowed: {names}"));
            }
        }
    }
    for key in keys.iter().filter(|key| key.is_required && !map.contains_key(key.name)) {
        let (at, allowed) = (below(path, key.name), key.shape.allowed());
        faults.push(format!("`{at}` is missing; allowed: {allowed}"));
    }
}

fn check(value: &Value, shape: &Shape, path: &str, faults: &mut Vec<String>) {
    match (shape, value) {
        (Shape::List(shape), Value::Array(list)) => {
            for (i, value) in list.iter().enumerate() {
                check(value, shape, &format!("{path}[{i}]"), faults);
            }
        }
        (Shape::Words(words), Value::Array(list)) => {
            for (i, value) in list.iter().enumerate() {
                let at = format!("{path}[{i}]");
                let is_repeat = list.iter().take(i).any(|earlier| earlier == value);
                match value.as_str() {
                    Some(word) if words.contains(&word) && !is_repeat => {}
                    _ => faults.push(fault(&at, value, shape)),
                }
            }
        }
        (Shape::Map(shape), Value::Object(map)) => {
            map.iter().for_each(|(name, value)| check(value, shape, &below(path, name), faults));
        }
        (Shape::Object(keys), Value::Object(map)) => object(map, keys, path, faults),
        (Shape::Either(one, other), _) => match (is_object(one), value.is_object()) {
            (true, true) => check(value, one, path, faults),
            (false, true) if is_object(other) => check(value, other, path, faults),
            _ if is_allowed(value, one) || is_allowed(value, other) => {}
            _ => faults.push(fault(path, value, shape)),
        },
        _ if is_allowed(value, shape) => {}
        _ => faults.push(fault(path, value, shape)),
    }
}

fn is_object(shape: &Shape) -> bool {
    matches!(shape, Shape::Object(_) | Shape::Map(_))
}

/// Whether a value without parts has this shape; for one with parts, whether it has no fault.
fn is_allowed(value: &Value, shape: &Shape) -> bool {
    let text = value.as_str().filter(|text| is_plain(text));
    match shape {
        Shape::Text => text.is_some(),
        Shape::Path => text.is_some_and(|text| text.starts_with('/')),
        Shape::PathGlob => text.is_some_and(|text| text.starts_with(['/', '*'])),
        Shape::HeaderName => text.is_some_and(|text| text.bytes().all(is_token)),
        Shape::Whole(from, to) => {
            whole(value).is_some_and(|number| (*from..=*to).contains(&number))
        }
        Shape::Ratio => ratio(value).is_some(),
        Shape::Flag => value.is_boolean(),
        Shape::Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
        _ if value.is_array() || value.is_object() => {
            let mut faults = Vec::new();
            let has_parts =
                matches!((shape, value), (Shape::List(_) | Shape::Words(_), Value::Array(_)))
                    || (is_object(shape) && value.is_object());
            if has_parts {
                check(value, shape, "", &mut faults);
            }
            has_parts && faults.is_empty()
        }
        _ => false,
    }
}

fn fault(path: &str, value: &Value, shape: &Shape) -> String {
    format!("`{path}` is {}; allowed: {}", shown(value), shape.allowed())
}

/// `path.name`; a name that nobody chose well is escaped and shortened.
fn below(path: &str, name: &str) -> String {
    let name: String = name.chars().take(LONGEST_SHOWN).flat_map(printable).collect();
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

fn printable(c: char) -> impl Iterator<Item = char> {
    let (plain, escaped) =
        if c.is_control() { (None, Some(c.escape_default())) } else { (Some(c), None) };
    plain.into_iter().chain(escaped.into_iter().flatten())
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A value for one line of a log: texts and numbers as they are (texts shortened), else what it is.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => shown_number(number),
        Value::String(text) if text.chars().count() > LONGEST_SHOWN => {
            let start: String = text.chars().take(LONGEST_SHOWN).collect();
            format!("{start:?}…")
        }
        Value::String(text) => format!("{text:?}"),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}

/// A whole number as it is, another with six decimals at most. (serde_json's own way would bring the tables
/// of a shortest-decimal algorithm into the filter: 12 KB.)
fn shown_number(number: &serde_json::Number) -> String {
    if let Some(whole) = number.as_i64() {
        return whole.to_string();
    }
    if let Some(whole) = number.as_u64() {
        return whole.to_string();
    }
    let value = number.as_f64().unwrap_or(f64::NAN);
    let millionths = (value.abs().fract() * 1e6) as u32;
    let text = format!("{}.{millionths:06}", value.abs() as u64);
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{}", text.trim_end_matches('0').trim_end_matches('.'))
}
