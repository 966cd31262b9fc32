//! Properties of the configuration: no text harms, and the parser says yes and no where a JSON Schema validator does.
//! Natively only. `PROPTEST_CASES=100000 cargo test --release -p spanferry-filter --test configurations` asks more.
#![cfg(not(target_arch = "wasm32"))]

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use spanferry_filter::config::{Config, schema};
use std::sync::LazyLock;

static VALIDATOR: LazyLock<Option<jsonschema::Validator>> =
    LazyLock::new(|| jsonschema::draft202012::new(&schema::schema()).ok());

/// Every name that stands anywhere in the schema, so that keys are put where they do and do not belong.
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    fn collect(schema: &Value, names: &mut Vec<String>) {
        if let Some(properties) = schema["properties"].as_object() {
            names.extend(properties.keys().cloned());
        }
        match schema {
            Value::Object(map) => map.values().for_each(|value| collect(value, names)),
            Value::Array(list) => list.iter().for_each(|value| collect(value, names)),
            _ => {}
        }
    }
    let mut names = Vec::new();
    collect(&schema::schema(), &mut names);
    names
});

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u16>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0.0..2.0).prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        select(vec![
            "always_on",
            "always_off",
            "tracecontext",
            "b3",
            "auto",
            "server",
            "semconv",
            "both",
            "/a",
            "/a*",
            "*",
            "x-tenant",
            "GET",
            "0.5",
            "1.0",
            "a\nb",
            "",
            "é",
        ])
        .prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            object_of(inner),
        ]
    })
}

fn object_of(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let name = prop_oneof![9 => select(NAMES.clone()), 1 => ".{0,6}"];
    prop::collection::vec((name, inner), 0..4)
        .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>()))
}

/// Faults that no schema can tell: they concern more than one key.
fn concerns_many_keys(message: &str) -> bool {
    message.contains("at least max_batch_bytes")
}

proptest! {
    #[test]
    fn no_text_harms(text in any::<Vec<u8>>(), json in ".{0,200}") {
        let _ = Config::parse(&text);
        let _ = Config::parse(json.as_bytes());
    }

    #[test]
    fn parser_and_schema_agree_on_any_object(mut configuration in object_of(value()), whole in any::<bool>()) {
        if whole {
            configuration["cluster"] = "bridge".into();
        }
        let parsed = Config::parse(configuration.to_string().as_bytes());
        let message = parsed.as_ref().err().map(ToString::to_string).unwrap_or_default();
        prop_assert!(!message.contains('\n'), "{}", message);
        let Some(validator) = &*VALIDATOR else { return Err(TestCaseError::fail("no validator")) };
        // As the parser reads it: a float that JSON cannot write is null, and a text may be read anew.
        let read: Value = serde_json::from_str(&configuration.to_string()).unwrap_or_default();
        prop_assert_eq!(
            parsed.is_ok() || concerns_many_keys(&message),
            validator.is_valid(&read),
            "{}: {}", configuration, message
        );
    }
}
