//! What a span says beyond the conventions, and what it must not say: the vocabulary, custom attributes,
//! redaction, path templates and limits. [`Settings`] is what the configuration says; a worker makes a
//! [`Recipe`] of it once, with its node and its environment.

pub mod custom;
pub mod limits;
pub mod redaction;
pub mod template;

use custom::{Custom, Source};
use limits::Limits;
use redaction::Redaction;
use template::Template;

/// Which names the attributes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Vocabulary {
    /// The OpenTelemetry semantic conventions.
    #[default]
    Semconv,
    /// The tags and the span names of Envoy's own tracer.
    Envoy,
    /// The conventions' attributes and names, and Envoy's tags beside them.
    Both,
}

impl Vocabulary {
    /// Whether the conventions' attributes are given.
    pub fn has_semconv(self) -> bool {
        self != Self::Envoy
    }

    /// Whether Envoy's tags are given.
    pub fn has_envoy_tags(self) -> bool {
        self != Self::Semconv
    }
}

/// What the configuration says of attributes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// `attributes`
    pub vocabulary: Vocabulary,
    /// `custom_attributes`, no key twice.
    pub custom: Vec<Custom>,
    /// `redaction`
    pub redaction: Redaction,
    /// `limits`
    pub limits: Limits,
    /// `span_names.templates`, the first that matches wins.
    pub templates: Vec<Template>,
}

/// What every span of a worker is made by.
#[derive(Debug, Default)]
pub struct Recipe {
    /// The settings; custom attributes from the environment have become constants.
    pub settings: Settings,
    /// Envoy's tags that are the same for every span.
    pub node_tags: Vec<(&'static str, String)>,
}

impl Recipe {
    /// What a worker makes of its settings. `environment` gives the proxy's variables, `NAME=value` and a
    /// NUL each; it is asked only when a custom attribute wants one.
    pub fn new(
        mut settings: Settings,
        node_tags: Vec<(&'static str, String)>,
        environment: impl FnOnce() -> Vec<u8>,
    ) -> Self {
        if settings.custom.iter().any(|one| matches!(one.source, Source::Environment(_))) {
            let environment = environment();
            settings.custom.iter_mut().for_each(|one| one.settle(&environment));
        }
        Self { settings, node_tags }
    }

    /// The template that a path, without its query, matches.
    pub fn template(&self, path: &str) -> Option<&str> {
        self.settings.templates.iter().find(|one| one.matches(path)).map(Template::text)
    }
}
