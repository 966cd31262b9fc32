//! The table as a JSON Schema (draft 2020-12) and as a page for users. Neither is in the wasm file.

use super::keys::KEYS;
use super::shape::{Key, Shape};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// No control characters (Unicode's Cc), at least one character.
const PLAIN: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";
const PATH: &str = r"^/[^\u0000-\u001f\u007f-\u009f]*$";
const PATH_GLOB: &str = r"^[/*][^\u0000-\u001f\u007f-\u009f]*$";
/// 0 to 1.
const DECIMAL: &str = r"^(0(\.[0-9]+)?|1(\.0+)?)$";
const HEADER_NAME: &str = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";

/// The schema of the whole configuration. What concerns more than one key is not in it.
pub fn schema() -> Value {
    let mut schema = object(KEYS);
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "Configuration of the Spanferry filter".into();
    schema
}

fn object(keys: &[Key]) -> Value {
    let properties: Map<String, Value> =
        keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<_> = keys.iter().filter(|key| key.is_required).map(|key| key.name).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn property(key: &Key) -> Value {
    let mut schema = of_shape(&key.shape);
    schema["description"] = key.doc.into();
    if let Ok(default) = serde_json::from_str::<Value>(key.default) {
        schema["default"] = default;
    }
    schema
}

fn of_shape(shape: &Shape) -> Value {
    let text = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    match shape {
        Shape::Text => text(PLAIN),
        Shape::Path => text(PATH),
        Shape::PathGlob => text(PATH_GLOB),
        Shape::HeaderName => text(HEADER_NAME),
        Shape::Whole(from, to) => json!({ "type": "integer", "minimum": from, "maximum": to }),
        Shape::Ratio => json!({
            "type": ["number", "string"], "minimum": 0, "maximum": 1, "pattern": DECIMAL,
        }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Word(words) => json!({ "enum": words }),
        Shape::Words(words) => {
            json!({ "type": "array", "items": { "enum": words }, "uniqueItems": true })
        }
        Shape::List(shape) => json!({ "type": "array", "items": of_shape(shape) }),
        Shape::Map(shape) => json!({ "type": "object", "additionalProperties": of_shape(shape) }),
        Shape::Object(keys) => object(keys),
        Shape::Either(one, other) => json!({ "anyOf": [of_shape(one), of_shape(other)] }),
    }
}

/// A Markdown table of every key, in the table's order: `sampling.rules[].path` is its full name.
pub fn markdown() -> String {
    let mut out = String::from("| key | allowed | default | what it does |\n|---|---|---|---|\n");
    rows(&mut out, KEYS, "");
    out
}

fn rows(out: &mut String, keys: &[Key], path: &str) {
    for key in keys {
        let name = format!("{path}{}", key.name);
        let default = match (key.is_required, key.default) {
            (true, _) => "required".to_owned(),
            (false, "") => "–".to_owned(),
            (false, json) => format!("`{json}`"),
        };
        let allowed = key.shape.allowed().replace('|', "\\|");
        let doc = key.doc.replace('|', "\\|");
        // A write to a string does not fail.
        let _ = writeln!(out, "| `{name}` | {allowed} | {default} | {doc} |");
        let mark = if is_list(&key.shape) { "[]." } else { "." };
        rows(out, key.shape.keys(), &format!("{name}{mark}"));
    }
}

fn is_list(shape: &Shape) -> bool {
    match shape {
        Shape::List(_) => true,
        Shape::Either(one, other) => is_list(one) || is_list(other),
        _ => false,
    }
}
