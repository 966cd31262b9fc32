//! What spans say: `attributes`, `custom_attributes`, `redaction`, `limits`, `span_names`.

use crate::attributes::custom::{Custom, MAX_CUSTOM, Source};
use crate::attributes::limits::Limits;
use crate::attributes::redaction::{QueryPolicy, Redaction};
use crate::attributes::template::Template;
use crate::attributes::{Settings, Vocabulary};
use crate::config::section::Section;
use crate::config::shape::{Key, Shape};
use crate::properties::cel;

/// The values of `attributes`.
pub const VOCABULARIES: &[&str] = &["semconv", "envoy", "both"];

/// `custom_attributes[]`
pub const CUSTOM: &[Key] = &[
    Key::new("key", Shape::Text)
        .required()
        .doc("The attribute's key. A built-in attribute of this key gives way."),
    Key::new("literal", Shape::Text).doc("Source: this text."),
    Key::new("request_header", Shape::HeaderName)
        .doc("Source: a header of the request as it left."),
    Key::new("response_header", Shape::HeaderName).doc("Source: a header of the response."),
    Key::new("environment", Shape::Text)
        .doc("Source: a variable of the VM (`vm_config.environment_variables`), read once."),
    Key::new("property", Shape::List(&Shape::Text))
        .doc("Source: any of Envoy's attributes, as a path: `[\"connection\", \"tls_version\"]`."),
    Key::new("metadata", Shape::Object(METADATA)).doc("Source: a value in metadata."),
    Key::new("baggage", Shape::Text).doc("Source: a member of the request's `baggage`."),
    Key::new("default", Shape::Text)
        .doc("What stands when the source has no value. Without it, the attribute is left out."),
    Key::new("max_length", Shape::Whole(1, 4096)).doc("Characters that are kept."),
];

const METADATA: &[Key] = &[
    Key::new("kind", Shape::Word(&["route", "cluster", "host", "request"]))
        .required()
        .doc("Whose metadata."),
    Key::new("path", Shape::List(&Shape::Text))
        .required()
        .doc("The filter's name, then the keys down to a text, a number or a flag."),
];

/// `redaction`
pub const REDACTION: &[Key] = &[
    Key::new("query", Shape::Word(&["keep", "drop", "filter"]))
        .default("\"filter\"")
        .doc("Queries as they came, none, or with the values of secret keys hidden."),
    Key::new("query_keys", Shape::List(&Shape::Text))
        .default("[]")
        .doc("Secret keys of queries beside those that the conventions name; case matters."),
    Key::new("headers", Shape::List(&Shape::HeaderName))
        .default("[]")
        .doc("Headers whose values are hidden beside `authorization`, `proxy-authorization`, `cookie` and `set-cookie`."),
];

/// `limits`
pub const LIMITS: &[Key] = &[
    Key::new("attributes", Shape::Whole(0, 1024)).default("128").doc("Attributes of a span."),
    Key::new("attribute_length", Shape::Whole(0, 4096))
        .default("4096")
        .doc("Characters of a text."),
    Key::new("events", Shape::Whole(0, 1024)).default("128").doc("Events of a span."),
    Key::new("event_attributes", Shape::Whole(0, 1024))
        .default("128")
        .doc("Attributes of an event."),
];

/// `span_names`
pub const SPAN_NAMES: &[Key] = &[Key::new("templates", Shape::List(&Shape::Path))
    .default("[]")
    .doc("Names for paths, whole segments only: `/users/{id}`, `/orders/*/items`, `/static/**`. The first that matches is the route, before the route's own name.")];

/// What the keys become.
pub fn settings(top: &Section<'_>) -> Settings {
    let (redaction, limits) = (top.section("redaction"), top.section("limits"));
    let templates = top.section("span_names").texts("templates");
    let headers = redaction.texts("headers").into_iter();
    Settings {
        vocabulary: match top.text("attributes").as_deref() {
            Some("envoy") => Vocabulary::Envoy,
            Some("both") => Vocabulary::Both,
            _ => Vocabulary::Semconv,
        },
        custom: top.sections("custom_attributes").iter().filter_map(custom).collect(),
        redaction: Redaction {
            query: match redaction.text("query").as_deref() {
                Some("keep") => QueryPolicy::Keep,
                Some("drop") => QueryPolicy::Drop,
                _ => QueryPolicy::Filter,
            },
            query_keys: redaction.texts("query_keys"),
            headers: headers.map(|name| name.to_ascii_lowercase()).collect(),
        },
        limits: Limits {
            attributes: limits.whole_u32("attributes"),
            attribute_length: limits.whole_u32("attribute_length"),
            events: limits.whole_u32("events"),
            event_attributes: limits.whole_u32("event_attributes"),
        },
        templates: templates.into_iter().map(Template::new).collect(),
    }
}

/// The faults that the shapes cannot tell.
pub fn faults(top: &Section<'_>, faults: &mut Vec<String>) {
    let all = top.sections("custom_attributes");
    let mut keys = Vec::new();
    for (i, one) in all.iter().enumerate() {
        let key = one.text("key");
        let allowed = match sources(one)[..] {
            _ if i >= MAX_CUSTOM => Some("at most 64 entries"),
            _ if keys.contains(&key) => Some("each key once"),
            ["property"] if !one.texts("property").first().is_some_and(|f| cel::may_begin(f)) => {
                Some("a property such as [\"request\", \"id\"]")
            }
            ["metadata"] if one.section("metadata").texts("path").is_empty() => {
                Some("a metadata.path of the filter's name and its keys")
            }
            [_] => None,
            _ => Some(ONE_SOURCE),
        };
        if let Some(allowed) = allowed {
            let key = key.as_deref().unwrap_or_default();
            faults.push(format!("`custom_attributes[{i}]` (key {key:?}); allowed: {allowed}"));
        }
        keys.push(key);
    }
    for (i, text) in top.section("span_names").texts("templates").iter().enumerate() {
        if !Template::is_valid(text) {
            let allowed = Template::ALLOWED;
            faults.push(format!("`span_names.templates[{i}]` is {text:?}; allowed: {allowed}"));
        }
    }
}

const ONE_SOURCE: &str = "exactly one of literal, request_header, response_header, environment, \
                          property, metadata, baggage";

/// The keys of an entry that name its source.
fn sources(one: &Section<'_>) -> Vec<&'static str> {
    let rest = ["key", "default", "max_length"];
    let names = CUSTOM.iter().map(|key| key.name).filter(|name| !rest.contains(name));
    names.filter(|name| one.given(name).is_some()).collect()
}

fn custom(one: &Section<'_>) -> Option<Custom> {
    let name = *sources(one).first()?;
    let text = one.text(name).unwrap_or_default();
    let source = match name {
        "literal" => Source::Literal(text),
        "request_header" => Source::header("request", &text),
        "response_header" => Source::header("response", &text),
        "environment" => Source::Environment(text),
        "property" => Source::Property(one.texts(name)),
        "metadata" => {
            let metadata = one.section(name);
            Source::metadata(&metadata.text("kind")?, metadata.texts("path"))
        }
        _ => Source::Baggage(text),
    };
    let longest = one.whole("max_length").and_then(|number| u32::try_from(number).ok());
    Some(Custom {
        key: one.text("key")?,
        source,
        default: one.text("default"),
        longest: longest.unwrap_or(u32::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::testing::test;

    fn parse(json: &str) -> Result<Settings, String> {
        let json = format!(r#"{{"cluster":"b",{json}}}"#);
        Config::parse(json.as_bytes()).map(|config| config.spans).map_err(|error| error.to_string())
    }

    #[test]
    fn by_default_spans_speak_the_conventions_and_hide_secrets() {
        assert_eq!(parse(r#""attributes":"semconv""#), Ok(Settings::default()));
    }

    #[test]
    fn every_source_is_taken() {
        let settings = parse(
            r#""custom_attributes":[
                {"key":"a","literal":"eu","max_length":9},
                {"key":"b","request_header":"X-Tenant","default":"none"},
                {"key":"c","response_header":"x-cache"},
                {"key":"d","environment":"POD"},
                {"key":"e","property":["connection","tls_version"]},
                {"key":"f","metadata":{"kind":"host","path":["envoy.lb","canary"]}},
                {"key":"g","baggage":"tenant"}]"#,
        )
        .unwrap();
        let sources: Vec<_> = settings.custom.iter().map(|one| one.source.clone()).collect();
        let path = |steps: &[&str]| {
            Source::Property(steps.iter().map(|step| (*step).to_owned()).collect())
        };
        assert_eq!(
            sources,
            [
                Source::Literal("eu".into()),
                path(&["request", "headers", "x-tenant"]),
                path(&["response", "headers", "x-cache"]),
                Source::Environment("POD".into()),
                path(&["connection", "tls_version"]),
                path(&["xds", "upstream_host_metadata", "filter_metadata", "envoy.lb", "canary"]),
                Source::Baggage("tenant".into()),
            ]
        );
        assert_eq!(settings.custom[0].longest, 9);
        assert_eq!(settings.custom[1].default.as_deref(), Some("none"));
    }

    #[test]
    fn redaction_limits_and_names_are_taken() {
        let settings = parse(
            r#""attributes":"both","redaction":{"query":"drop","query_keys":["token"],
            "headers":["X-Key"]},"limits":{"attributes":3,"attribute_length":10,"events":1,
            "event_attributes":0},"span_names":{"templates":["/users/{id}"]}"#,
        )
        .unwrap();
        assert_eq!(settings.vocabulary, Vocabulary::Both);
        assert_eq!(settings.redaction.query, QueryPolicy::Drop);
        assert_eq!(settings.redaction.query_keys, ["token"]);
        assert_eq!(settings.redaction.headers, ["x-key"]);
        let limits = Limits { attributes: 3, attribute_length: 10, events: 1, event_attributes: 0 };
        assert_eq!(settings.limits, limits);
        assert!(settings.templates[0].matches("/users/7"));
    }

    #[test]
    fn what_no_shape_can_tell_is_a_fault_with_its_place() {
        for (json, parts) in [
            (r#""custom_attributes":[{"key":"a"}]"#, ["`custom_attributes[0]`", "exactly one of"]),
            (
                r#""custom_attributes":[{"key":"a","literal":"x","baggage":"y"}]"#,
                ["`custom_attributes[0]`", "exactly one of literal, request_header"],
            ),
            (
                r#""custom_attributes":[{"key":"a","literal":"x"},{"key":"a","literal":"y"}]"#,
                ["`custom_attributes[1]`", "each key once"],
            ),
            (
                r#""custom_attributes":[{"key":"a","property":["no-name"]}]"#,
                ["`custom_attributes[0]`", "a property such as"],
            ),
            (
                r#""custom_attributes":[{"key":"a","metadata":{"kind":"route","path":[]}}]"#,
                ["`custom_attributes[0]`", "a metadata.path of"],
            ),
            (
                r#""span_names":{"templates":["/ok","/a{id}"]}"#,
                ["`span_names.templates[1]`", "whole segments only"],
            ),
            (r#""limits":{"attributes":5000}"#, ["`limits.attributes`", "from 0 to 1024"]),
            (r#""attributes":"zipkin""#, ["`attributes`", "\"semconv\", \"envoy\" or \"both\""]),
        ] {
            let message = parse(json).unwrap_err();
            for part in parts {
                assert!(message.contains(part), "{json}: {message} lacks {part}");
            }
        }
    }
}
