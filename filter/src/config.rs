//! The plugin's configuration: JSON in, checked values out. Every fault names its key, its value and
//! what is allowed, and all faults are told at once. What the keys are is said in one table, `keys`.

mod check;
pub mod keys;
mod protobuf;
#[cfg(not(target_arch = "wasm32"))]
pub mod schema;
pub mod section;
pub mod shape;

use crate::attributes::Settings;
use crate::outbox::Limits;
use crate::sampling;
use crate::span::SpanKind;
use crate::trace_context::Propagation;
use section::Section;
use serde_json::Value;

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

    fn from_word(word: &str) -> Self {
        match word {
            "server" => Self::Server,
            "client" => Self::Client,
            _ => Self::Auto,
        }
    }
}

/// A valid configuration. Defaults and ranges are in [`keys`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Envoy's cluster that leads to the bridge.
    pub cluster: String,
    /// `:authority` of the calls.
    pub authority: String,
    /// `:path` of the calls.
    pub path: String,
    /// `service.name`; otherwise the node tells it.
    pub service_name: Option<String>,
    /// More attributes of the resource.
    pub resource_attributes: Vec<(String, String)>,
    /// SERVER, CLIENT, or by the listener's direction.
    pub span_kind: KindChoice,
    /// ms between flushes.
    pub flush_interval_ms: u32,
    /// Bounds of batches, buffer and calls.
    pub limits: Limits,
    /// What requests under way may hold, bytes.
    pub max_open_bytes: usize,
    /// ms until a call is given up.
    pub call_timeout_ms: u32,
    /// Requests whose path begins so are left alone.
    pub exclude_paths: Vec<String>,
    /// Which dialects of the trace context are read and written.
    pub propagation: Propagation,
    /// Which requests are recorded.
    pub sampling: sampling::Settings,
    /// Whether a route's metadata is asked.
    pub route_overrides: bool,
    /// What spans say.
    pub spans: Settings,
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

impl Config {
    /// Reads the plugin's configuration: JSON, or a protobuf `Struct`, which no JSON is.
    ///
    /// # Errors
    /// When it is no JSON object, or with all faults of its keys.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        if json.trim_ascii().is_empty() {
            return Err(ConfigError::Empty);
        }
        let value = match serde_json::from_slice::<Value>(json) {
            Ok(value) => value,
            Err(error) => {
                protobuf::object(json).ok_or_else(|| ConfigError::NotJson(error.to_string()))?
            }
        };
        let Value::Object(map) = value else {
            return Err(ConfigError::NotAnObject(check::shown(&value)));
        };
        let mut faults = Vec::new();
        check::object(&map, keys::KEYS, "", &mut faults);
        if !faults.is_empty() {
            return Err(ConfigError::Faults(faults));
        }
        let top = Section::new(keys::KEYS, Some(&map));
        let config = Self::from_section(&top);
        keys::attributes::faults(&top, &mut faults);
        faults.extend(config.check_whole());
        if faults.is_empty() { Ok(config) } else { Err(ConfigError::Faults(faults)) }
    }

    fn from_section(top: &Section<'_>) -> Self {
        let cluster = top.text("cluster").unwrap_or_default();
        let last_part = || cluster.rsplit('|').next().unwrap_or_default().to_owned();
        Self {
            authority: top.text("authority").unwrap_or_else(last_part),
            path: top.text("path").unwrap_or_default(),
            service_name: top.text("service_name"),
            resource_attributes: top.named_texts("resource_attributes"),
            span_kind: KindChoice::from_word(&top.text("span_kind").unwrap_or_default()),
            flush_interval_ms: top.whole_u32("flush_interval_ms"),
            limits: Limits {
                batch_spans: top.whole_u32("max_batch_spans"),
                batch_bytes: top.whole_usize("max_batch_bytes"),
                buffered_bytes: top.whole_usize("max_buffered_bytes"),
                calls_in_flight: top.whole_usize("max_calls_in_flight"),
            },
            max_open_bytes: top.whole_usize("max_open_bytes"),
            call_timeout_ms: top.whole_u32("call_timeout_ms"),
            exclude_paths: top.texts("exclude_paths"),
            propagation: keys::propagation::propagation(top),
            sampling: keys::sampling::settings(&top.section("sampling")),
            route_overrides: top.flag("route_overrides"),
            spans: keys::attributes::settings(top),
            cluster,
        }
    }

    /// What concerns more than one key.
    fn check_whole(&self) -> Option<String> {
        let Limits { batch_bytes, buffered_bytes, .. } = self.limits;
        (buffered_bytes < batch_bytes).then(|| {
            format!(
                "`max_buffered_bytes` is {buffered_bytes}; allowed: at least max_batch_bytes, \
                 which is {batch_bytes}"
            )
        })
    }
}

impl Default for Config {
    /// Every key's default, and no cluster.
    fn default() -> Self {
        Self::from_section(&Section::new(keys::KEYS, None))
    }
}

#[cfg(test)]
mod tests;
