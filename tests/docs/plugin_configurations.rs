//! Every configuration of the filter that an example or a page shows: taken by the filter's own parser,
//! and by a JSON Schema validator with the schema that users get.

use super::{blocks, pages, root, text, yaml};
use serde_json::Value;
use spanferry_filter::config::Config;
use std::fs;

/// The plugin's configuration in what a control plane takes: Envoy's `configuration` beside `vm_config`
/// (JSON text or a Struct), Istio's `pluginConfig`, Envoy Gateway's `config` beside `code`.
fn of_manifest(manifest: &Value, found: &mut Vec<Value>) {
    match manifest {
        Value::Array(list) => list.iter().for_each(|value| of_manifest(value, found)),
        Value::Object(map) => {
            if let (Some(configuration), true) =
                (map.get("configuration"), map.contains_key("vm_config"))
            {
                found.push(of_any(configuration));
            }
            if let (Some(config), true) = (map.get("config"), map.contains_key("code")) {
                found.push(config.clone());
            }
            found.extend(map.get("pluginConfig").cloned());
            map.values().for_each(|value| of_manifest(value, found));
        }
        _ => {}
    }
}

/// JSON text in a StringValue, or a Struct as it is.
fn of_any(any: &Value) -> Value {
    match &any["value"] {
        Value::String(json) => serde_json::from_str(json).unwrap(),
        value => value.clone(),
    }
}

fn of_examples() -> Vec<(String, Value)> {
    let files = fs::read_dir(root().join("envoy")).unwrap().map(|entry| entry.unwrap().path());
    let mut all = Vec::new();
    for path in files.filter(|path| path.extension().is_some_and(|e| e == "yaml")) {
        let documents = fs::read_to_string(&path).unwrap();
        let mut found = Vec::new();
        for document in documents.split("\n---\n") {
            of_manifest(&yaml(document), &mut found);
        }
        all.extend(found.into_iter().map(|value| (path.display().to_string(), value)));
    }
    all
}

/// The pages show a configuration as a block of JSON that names a cluster.
fn of_pages() -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for (name, page) in pages() {
        let values = blocks(&page, "json").into_iter().map(|block| {
            serde_json::from_str::<Value>(&block)
                .unwrap_or_else(|error| panic!("{name}: {error}: {block}"))
        });
        let ours = values.filter(|value| value.get("cluster").is_some());
        all.extend(ours.map(|value| (name.clone(), value)));
    }
    all
}

#[test]
fn every_configuration_shown_is_taken_by_parser_and_schema() {
    let schema: Value = serde_json::from_str(&text("envoy/spanferry-filter.schema.json")).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let (examples, pages) = (of_examples(), of_pages());
    assert!(examples.len() >= 3 && !pages.is_empty(), "{examples:?} {pages:?}");
    for (place, configuration) in examples.into_iter().chain(pages) {
        let parsed = Config::parse(configuration.to_string().as_bytes());
        assert!(parsed.is_ok(), "{place}: {}: {configuration}", parsed.unwrap_err());
        let told = validator.validate(&configuration).map_err(|error| error.to_string());
        assert_eq!(told, Ok(()), "{place}: {configuration}");
    }
}
