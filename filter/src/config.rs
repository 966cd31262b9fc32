//! The plugin's configuration: JSON in, checked values out. Every fault names its key, its value and
//! what is allowed, and all faults are told at once.

use crate::outbox::Limits;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

/// Which kind of span is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KindChoice {
    /// By the listener's direction.
    #[default]
    Auto,
    /// Always SERVER.
    Server,
    /// Always CLIENT.
    Client,
}

/// A valid configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Envoy's cluster that leads to the bridge.
    pub cluster: String,
    /// `:authority` of the calls. Default: the cluster's name after its last `|`.
    pub authority: String,
    /// `:path` of the calls. Default `/v1/traces`.
    pub path: String,
    /// `service.name`; otherwise the node tells it.
    pub service_name: Option<String>,
    /// More attributes of the resource.
    pub resource_attributes: BTreeMap<String, String>,
    /// SERVER, CLIENT, or by the listener's direction.
    pub span_kind: KindChoice,
    /// ms between flushes, 10 to 60,000. Default 200.
    pub flush_interval_ms: u32,
    /// Bounds of batches, buffer and calls.
    pub limits: Limits,
    /// ms until a call is given up, 100 to 120,000. Default 10,000.
    pub call_timeout_ms: u32,
    /// Requests whose path begins so are left alone.
    pub exclude_paths: Vec<String>,
}

/// Why there is no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nothing was configured.
    #[error("it is empty; at least {{\"cluster\": \"<name>\"}} is needed")]
    Empty,
    /// Not JSON at all.
    #[error("it is not JSON: {0}")]
    NotJson(String),
    /// JSON, but no object.
    #[error("it is {0}; allowed: a JSON object")]
    NotAnObject(String),
    /// One or more keys are wrong.
    #[error("{}", .0.join("; "))]
    Faults(Vec<String>),
}

const KEYS: &str = "cluster, authority, path, service_name, resource_attributes, span_kind, \
    flush_interval_ms, max_batch_spans, max_batch_bytes, max_buffered_bytes, max_calls_in_flight, \
    call_timeout_ms, exclude_paths";

const MIB: u64 = 1024 * 1024;

impl Config {
    /// Reads the plugin's configuration.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        if json.trim_ascii().is_empty() {
            return Err(ConfigError::Empty);
        }
        let value: Value =
            serde_json::from_slice(json).map_err(|error| ConfigError::NotJson(error.to_string()))?;
        let Value::Object(map) = value else {
            return Err(ConfigError::NotAnObject(shown(&value)));
        };
        let mut reader = Reader { map, faults: Vec::new() };
        let config = reader.config();
        reader.finish();
        if reader.faults.is_empty() { Ok(config) } else { Err(ConfigError::Faults(reader.faults)) }
    }
}

/// Takes keys out of the object and notes every fault.
struct Reader {
    map: Map<String, Value>,
    faults: Vec<String>,
}

impl Reader {
    fn config(&mut self) -> Config {
        let cluster = self.cluster();
        let short_name = cluster.rsplit('|').next().unwrap_or_default().to_owned();
        Config {
            authority: self.text("authority").unwrap_or(short_name),
            cluster,
            path: self.path(),
            service_name: self.text("service_name"),
            resource_attributes: self.attributes("resource_attributes"),
            span_kind: self.span_kind(),
            flush_interval_ms: self.number("flush_interval_ms", 10..=60_000, 200) as u32,
            limits: self.limits(),
            call_timeout_ms: self.number("call_timeout_ms", 100..=120_000, 10_000) as u32,
            exclude_paths: self.prefixes("exclude_paths"),
        }
    }

    fn cluster(&mut self) -> String {
        if !self.map.contains_key("cluster") {
            self.faults.push("`cluster` is missing; allowed: the name of an Envoy cluster".into());
        }
        self.text("cluster").unwrap_or_default()
    }

    fn path(&mut self) -> String {
        let path = self.text("path").unwrap_or_else(|| "/v1/traces".into());
        if !path.starts_with('/') {
            self.fault("path", &Value::String(path.clone()), "a path that begins with /");
        }
        path
    }

    fn limits(&mut self) -> Limits {
        let batch_bytes = self.number("max_batch_bytes", 4096..=8 * MIB, 256 * 1024);
        let buffered_bytes = self.number("max_buffered_bytes", 64 * 1024..=256 * MIB, 4 * MIB);
        if buffered_bytes < batch_bytes {
            let allowed = format!("at least max_batch_bytes, which is {batch_bytes}");
            self.fault("max_buffered_bytes", &buffered_bytes, &allowed);
        }
        Limits {
            batch_spans: self.number("max_batch_spans", 1..=65_536, 256) as u32,
            batch_bytes: batch_bytes as usize,
            buffered_bytes: buffered_bytes as usize,
            calls_in_flight: self.number("max_calls_in_flight", 1..=64, 4) as usize,
        }
    }

    fn span_kind(&mut self) -> KindChoice {
        const KEY: &str = "span_kind";
        match self.map.remove(KEY) {
            None => KindChoice::Auto,
            Some(Value::String(text)) if text == "auto" => KindChoice::Auto,
            Some(Value::String(text)) if text == "server" => KindChoice::Server,
            Some(Value::String(text)) if text == "client" => KindChoice::Client,
            Some(other) => {
                self.fault(KEY, &other, "\"auto\", \"server\" or \"client\"");
                KindChoice::Auto
            }
        }
    }

    /// A text that may stand in a header or a name: not empty, no control characters.
    fn text(&mut self, key: &str) -> Option<String> {
        match self.map.remove(key)? {
            Value::String(text) if is_plain(&text) => Some(text),
            other => {
                self.fault(key, &other, "a text without control characters, not empty");
                None
            }
        }
    }

    /// A whole number; 200.0 is one too (Envoy turns a Struct's numbers into such).
    fn number(&mut self, key: &str, range: RangeInclusive<u64>, default: u64) -> u64 {
        let Some(value) = self.map.remove(key) else { return default };
        let number = value.as_u64().or_else(|| {
            value.as_f64().filter(|f| f.fract() == 0.0 && (0.0..=1e15).contains(f)).map(|f| f as u64)
        });
        match number {
            Some(number) if range.contains(&number) => number,
            _ => {
                let allowed = format!("a whole number from {} to {}", range.start(), range.end());
                self.fault(key, &value, &allowed);
                default
            }
        }
    }

    fn attributes(&mut self, key: &str) -> BTreeMap<String, String> {
        let mut attributes = BTreeMap::new();
        match self.map.remove(key) {
            None => {}
            Some(Value::Object(map)) => {
                for (name, value) in map {
                    match value {
                        Value::String(text) if !name.is_empty() => {
                            attributes.insert(name, text);
                        }
                        other => self.fault(&format!("{key}.{name}"), &other, "a named text"),
                    }
                }
            }
            Some(other) => self.fault(key, &other, "an object of texts"),
        }
        attributes
    }

    fn prefixes(&mut self, key: &str) -> Vec<String> {
        let list = match self.map.remove(key) {
            None => return Vec::new(),
            Some(Value::Array(list)) => list,
            Some(other) => {
                self.fault(key, &other, "a list of paths that begin with /");
                return Vec::new();
            }
        };
        let mut prefixes = Vec::with_capacity(list.len());
        for (i, value) in list.into_iter().enumerate() {
            match value {
                Value::String(text) if text.starts_with('/') => prefixes.push(text),
                other => self.fault(&format!("{key}[{i}]"), &other, "a path that begins with /"),
            }
        }
        prefixes
    }

    /// What nobody took is unknown.
    fn finish(&mut self) {
        for (key, value) in std::mem::take(&mut self.map) {
            let value = shown(&value);
            self.faults.push(format!("`{key}` (value {value}) is not a key; allowed: {KEYS}"));
        }
    }

    fn fault(&mut self, key: &str, value: &impl Display, allowed: &str) {
        let value = shown(value);
        self.faults.push(format!("`{key}` is {value}; allowed: {allowed}"));
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

/// A value as JSON, shortened: it goes into one line of a log.
fn shown(value: &impl Display) -> String {
    const LONGEST: usize = 120;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests;
