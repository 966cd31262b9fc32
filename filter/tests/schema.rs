//! The table of keys against what is made from it: the JSON Schema's file, the page for users, and a
//! validator that we did not write, which must say yes and no where our parser does. Natively only.
//! `SPANFERRY_WRITE=1 cargo test -p spanferry-filter --test schema` writes both files anew.
#![cfg(not(target_arch = "wasm32"))]
// Helpers of tests, which clippy takes for production code.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::{Value, json};
use spanferry_filter::config::{Config, schema};
use std::fs;
use std::path::{Path, PathBuf};

const REFRESH: &str = "run SPANFERRY_WRITE=1 cargo test -p spanferry-filter --test schema";

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn writes() -> bool {
    std::env::var_os("SPANFERRY_WRITE").is_some()
}

#[test]
fn the_schemas_file_is_fresh() {
    let path = at("envoy/spanferry-filter.schema.json");
    let made = schema::schema();
    if writes() {
        fs::write(&path, format!("{made:#}\n")).unwrap();
    }
    let kept: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert!(kept == made, "{} is stale: {REFRESH}", path.display());
}

#[test]
fn the_pages_table_is_fresh() {
    const BEGIN: &str = "<!-- keys: made from the table -->\n";
    const END: &str = "<!-- end of keys -->";
    let path = at("docs/filter-configuration.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let made = format!("{before}{BEGIN}{}{END}{after}", schema::markdown());
    if writes() {
        fs::write(&path, &made).unwrap();
    }
    assert!(fs::read_to_string(&path).unwrap() == made, "{} is stale: {REFRESH}", path.display());
}

/// Parser and schema must agree on this configuration.
fn agree(validator: &jsonschema::Validator, configuration: &Value) -> bool {
    let parsed = Config::parse(configuration.to_string().as_bytes());
    let schema: Vec<_> =
        validator.iter_errors(configuration).map(|error| error.to_string()).collect();
    assert_eq!(parsed.is_ok(), schema.is_empty(), "{configuration}: {parsed:?}, {schema:?}");
    parsed.is_ok()
}

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&schema::schema()).unwrap()
}

/// A good value and some bad ones for each place of a configuration, as (path of keys, good, bad).
fn places() -> Vec<(&'static str, Value, Vec<Value>)> {
    vec![
        ("cluster", json!("outbound|4318||bridge"), vec![json!(""), json!(7), json!("a\u{85}b")]),
        ("authority", json!("bridge"), vec![json!("a\nb"), json!(null)]),
        ("path", json!("/v1/traces"), vec![json!("v1"), json!(""), json!("/a\tb"), json!(true)]),
        ("service_name", json!("é"), vec![json!([]), json!("\u{7f}")]),
        ("resource_attributes", json!({"": "x"}), vec![json!({"a": 1}), json!(["a"]), json!("a")]),
        ("span_kind", json!("auto"), vec![json!("AUTO"), json!(0), json!(["auto"])]),
        ("flush_interval_ms", json!(10), vec![json!(9), json!(60_001), json!("10")]),
        ("max_batch_spans", json!(200.0), vec![json!(0), json!(1.5), json!(-1), json!(1e30)]),
        ("max_batch_bytes", json!(4_194_304), vec![json!(4095), json!(8_388_609)]),
        ("max_buffered_bytes", json!(268_435_456), vec![json!(65_535), json!(268_435_457)]),
        ("max_open_bytes", json!(65_536), vec![json!(65_535), json!("8 MiB")]),
        ("max_calls_in_flight", json!(64), vec![json!(65), json!(0.0)]),
        ("call_timeout_ms", json!(100), vec![json!(99.9), json!({})]),
        ("attributes", json!("both"), vec![json!("otel"), json!(["envoy"])]),
        (
            "custom_attributes",
            json!([{ "key": "a", "metadata": { "kind": "host", "path": ["f", "k"] } }]),
            vec![
                json!([{ "literal": "no key" }]),
                json!([{ "key": "a", "request_header": "not a token" }]),
                json!([{ "key": "a", "metadata": { "kind": "vm", "path": ["f"] } }]),
                json!([{ "key": "a", "literal": "x", "max_length": 0 }]),
                json!({ "key": "a" }),
            ],
        ),
        (
            "redaction",
            json!({ "query": "drop", "query_keys": ["t"], "headers": ["X-Key"] }),
            vec![json!({ "query": "hash" }), json!({ "headers": ["a b"] }), json!("drop")],
        ),
        (
            "limits",
            json!({ "attributes": 0, "attribute_length": 4096, "events": 1024 }),
            vec![json!({ "attribute_length": 4097 }), json!({ "links": 1 }), json!(128)],
        ),
        (
            "span_names",
            json!({ "templates": ["/users/{id}", "/static/**"] }),
            vec![json!({ "templates": ["users"] }), json!({ "templates": "/a" })],
        ),
        ("exclude_paths", json!(["/a", "/"]), vec![json!("/a"), json!(["a"]), json!([["/a"]])]),
        (
            "propagators",
            json!(["xray", "tracecontext"]),
            vec![json!(["b3", "b3"]), json!(["w3c"]), json!([1]), json!("b3")],
        ),
        ("inject", json!([]), vec![json!(["datadog"]), json!({})]),
        ("route_overrides", json!(true), vec![json!("true"), json!(1)]),
        ("sampling", json!({"keep": {}, "rules": []}), vec![json!(0.5), json!({"ratio": 1})]),
        ("nonsense", json!(null), vec![json!(1)]),
    ]
}

#[test]
fn parser_and_schema_agree_on_every_key() {
    let validator = validator();
    let places = places();
    for (key, good, bad) in &places {
        let with = |value: &Value| {
            let mut configuration = json!({ "cluster": "b" });
            configuration[*key] = value.clone();
            configuration
        };
        assert_eq!(agree(&validator, &with(good)), *key != "nonsense", "{key}: {good}");
        for value in bad {
            assert!(!agree(&validator, &with(value)), "{key}: {value}");
        }
    }
    let tried = |key: &String| places.iter().any(|(name, ..)| name == key);
    let schema = schema::schema();
    let missing: Vec<_> =
        schema["properties"].as_object().unwrap().keys().filter(|key| !tried(key)).collect();
    assert!(missing.is_empty(), "no example for {missing:?}");
}

#[test]
fn parser_and_schema_agree_within_sampling() {
    let validator = validator();
    let with = |key: &str, value: &Value| json!({ "cluster": "b", "sampling": { key: value } });
    let rule = |key: &str, value: Value| json!([{ "sample": "always_on", key: value }]);
    for (key, good, bad) in [
        ("parent_based", json!(false), json!(0)),
        ("default", json!({"ratio": 0.0}), json!({"ratio": 1.1})),
        ("default", json!("always_off"), json!("off")),
        ("default", json!({"ratio": 1}), json!({})),
        ("default", json!({"ratio": "0.25"}), json!({"ratio": "1.25"})),
        ("default", json!({"ratio": "1.00"}), json!({"ratio": "1.01"})),
        ("default", json!({"ratio": "0"}), json!({"ratio": "+0"})),
        ("default", json!({"ratio": 1e-9}), json!({"ratio": "1e-9"})),
        ("default", json!("always_on"), json!({"ratio": 1, "more": 1})),
        ("max_per_second", json!(0), json!(1_000_001)),
        ("keep", json!({"errors": true, "slower_than_ms": 1.0}), json!({"slower_than_ms": 1.5})),
        ("rules", rule("path", json!("*/x")), rule("path", json!("x"))),
        ("rules", rule("header", json!({"name": "x-a"})), rule("header", json!({"value": "x"}))),
        ("rules", rule("host", json!("*")), rule("host", json!("a\nb"))),
        ("rules", rule("sample", json!({"ratio": 0.1})), rule("sample", json!(0.1))),
        ("rules", rule("method", json!("GET")), json!([{ "method": "GET" }])),
        ("rules", rule("name", json!("é")), rule("name", json!(""))),
        ("rules", rule("max_per_second", json!(5)), rule("max_per_second", json!(-5))),
    ] {
        assert!(agree(&validator, &with(key, &good)), "{key}: {good}");
        assert!(!agree(&validator, &with(key, &bad)), "{key}: {bad}");
    }
}

#[test]
fn parser_and_schema_agree_on_what_is_no_configuration() {
    let validator = validator();
    for value in [json!({}), json!([]), json!("cluster"), json!(1), json!(null), json!({"a": {}})] {
        assert!(!agree(&validator, &value));
    }
}

#[test]
fn the_schema_itself_is_valid() {
    assert!(jsonschema::meta::is_valid(&schema::schema()));
}
