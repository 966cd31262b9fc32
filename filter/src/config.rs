//! The plugin's configuration: JSON in, checked values out. Every fault names its key, its value and
//! what is allowed, and all faults are told at once.

use crate::outbox::Limits;
use crate::span::SpanKind;
use serde_json::Value;
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

impl KindChoice {
    /// The kind for a listener of this direction: 1 inbound, 2 outbound, 0 or unknown a gateway.
    pub fn resolve(self, direction: Option<u64>) -> SpanKind {
        match self {
            Self::Server => SpanKind::Server,
            Self::Client => SpanKind::Client,
            Self::Auto => SpanKind::from_listener_direction(direction),
        }
    }
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
    pub resource_attributes: Vec<(String, String)>,
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

/// Characters of a text that a message shows.
const LONGEST_SHOWN: usize = 120;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

impl Config {
    /// Reads the plugin's configuration.
    ///
    /// # Errors
    /// When it is no JSON object, or with all faults of its keys.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        if json.trim_ascii().is_empty() {
            return Err(ConfigError::Empty);
        }
        let value: Value = serde_json::from_slice(json)
            .map_err(|error| ConfigError::NotJson(error.to_string()))?;
        let Value::Object(map) = value else {
            return Err(ConfigError::NotAnObject(shown(&value)));
        };
        let mut reader = Reader { config: Self::default(), faults: Vec::new() };
        map.iter().for_each(|(key, value)| reader.take(key, value));
        reader.check_whole(map.contains_key("cluster"));
        match reader.faults {
            faults if faults.is_empty() => Ok(reader.config),
            faults => Err(ConfigError::Faults(faults)),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster: String::new(),
            authority: String::new(),
            path: "/v1/traces".into(),
            service_name: None,
            resource_attributes: Vec::new(),
            span_kind: KindChoice::Auto,
            flush_interval_ms: 200,
            limits: Limits {
                batch_spans: 256,
                batch_bytes: 256 * KIB as usize,
                buffered_bytes: 4 * MIB as usize,
                calls_in_flight: 4,
            },
            call_timeout_ms: 10_000,
            exclude_paths: Vec::new(),
        }
    }
}

/// Takes one key after the other and notes every fault.
struct Reader {
    config: Config,
    faults: Vec<String>,
}

impl Reader {
    fn take(&mut self, key: &str, value: &Value) {
        match key {
            "cluster" => self.config.cluster = self.text(key, value),
            "authority" => self.config.authority = self.text(key, value),
            "path" => self.config.path = self.path(key, value),
            "service_name" => self.config.service_name = Some(self.text(key, value)),
            "resource_attributes" => self.config.resource_attributes = self.texts(key, value),
            "span_kind" => self.config.span_kind = self.span_kind(key, value),
            "flush_interval_ms" => {
                self.config.flush_interval_ms = self.number(key, value, 10..=60_000) as u32;
            }
            "call_timeout_ms" => {
                self.config.call_timeout_ms = self.number(key, value, 100..=120_000) as u32;
            }
            "max_batch_spans" => {
                self.config.limits.batch_spans = self.number(key, value, 1..=65_536) as u32;
            }
            "max_batch_bytes" => {
                self.config.limits.batch_bytes =
                    self.number(key, value, 4 * KIB..=8 * MIB) as usize;
            }
            "max_buffered_bytes" => {
                let bytes = self.number(key, value, 64 * KIB..=256 * MIB);
                self.config.limits.buffered_bytes = bytes as usize;
            }
            "max_calls_in_flight" => {
                self.config.limits.calls_in_flight = self.number(key, value, 1..=64) as usize;
            }
            "exclude_paths" => self.config.exclude_paths = self.paths(key, value),
            _ => {
                let value = shown(value);
                self.faults.push(format!("`{key}` (value {value}) is not a key; allowed: {KEYS}"));
            }
        }
    }

    /// What concerns more than one key.
    fn check_whole(&mut self, has_cluster: bool) {
        let Config { cluster, authority, limits, .. } = &mut self.config;
        if authority.is_empty() {
            *authority = cluster.rsplit('|').next().unwrap_or_default().to_owned();
        }
        if !has_cluster {
            self.faults.push("`cluster` is missing; allowed: the name of an Envoy cluster".into());
        }
        let Limits { batch_bytes, buffered_bytes, .. } = *limits;
        if buffered_bytes < batch_bytes && self.faults.is_empty() {
            self.faults.push(format!(
                "`max_buffered_bytes` is {buffered_bytes}; allowed: at least max_batch_bytes, \
                 which is {batch_bytes}"
            ));
        }
    }

    /// A text that may stand in a header or a name: not empty, no control characters.
    fn text(&mut self, key: &str, value: &Value) -> String {
        match value {
            Value::String(text) if is_plain(text) => text.clone(),
            _ => {
                self.fault(key, value, "a text without control characters, not empty");
                String::new()
            }
        }
    }

    fn path(&mut self, key: &str, value: &Value) -> String {
        match value {
            Value::String(text) if is_plain(text) && text.starts_with('/') => text.clone(),
            _ => {
                self.fault(key, value, "a path that begins with /");
                String::new()
            }
        }
    }

    fn paths(&mut self, key: &str, value: &Value) -> Vec<String> {
        let Value::Array(list) = value else {
            self.fault(key, value, "a list of paths that begin with /");
            return Vec::new();
        };
        let paths = list.iter().enumerate();
        paths.map(|(i, value)| self.path(&format!("{key}[{i}]"), value)).collect()
    }

    fn texts(&mut self, key: &str, value: &Value) -> Vec<(String, String)> {
        let Value::Object(map) = value else {
            self.fault(key, value, "an object of texts");
            return Vec::new();
        };
        let named = |(name, value): (&String, &Value)| {
            (name.clone(), self.text(&format!("{key}.{name}"), value))
        };
        map.iter().map(named).collect()
    }

    fn span_kind(&mut self, key: &str, value: &Value) -> KindChoice {
        match value.as_str() {
            Some("auto") => KindChoice::Auto,
            Some("server") => KindChoice::Server,
            Some("client") => KindChoice::Client,
            _ => {
                self.fault(key, value, "\"auto\", \"server\" or \"client\"");
                KindChoice::Auto
            }
        }
    }

    /// A whole number; 200.0 is one too (Envoy turns a Struct's numbers into such).
    fn number(&mut self, key: &str, value: &Value, range: RangeInclusive<u64>) -> u64 {
        let number = value.as_u64().or_else(|| {
            value
                .as_f64()
                .filter(|f| f.fract() == 0.0 && (0.0..=1e15).contains(f))
                .map(|f| f as u64)
        });
        match number {
            Some(number) if range.contains(&number) => number,
            _ => {
                let allowed = format!("a whole number from {} to {}", range.start(), range.end());
                self.fault(key, value, &allowed);
                0
            }
        }
    }

    fn fault(&mut self, key: &str, value: &Value, allowed: &str) {
        let value = shown(value);
        self.faults.push(format!("`{key}` is {value}; allowed: {allowed}"));
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

/// A value for one line of a log: texts and numbers as they are (texts shortened), else what it is.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.chars().count() > LONGEST_SHOWN => {
            let start: String = text.chars().take(LONGEST_SHOWN).collect();
            format!("{start:?}…")
        }
        Value::String(text) => format!("{text:?}"),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}

#[cfg(test)]
mod tests;
