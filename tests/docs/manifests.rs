//! The examples for Kubernetes are checked as an API server would check them strictly: by the schema of their
//! CustomResourceDefinition, an unknown field being an error. Each must fail open.

use super::{root, yaml};
use serde_json::{Value, json};
use spanferry_tests::stack::parts;
use std::fs;

/// Kinds of Kubernetes itself and of the Gateway API: no part holds their definition here.
const NOT_CHECKED: [&str; 1] = ["GatewayClass"];

/// Every document of the examples that names a kind.
fn manifests() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join("envoy")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "yaml") {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).unwrap();
            let documents =
                text.split("\n---\n").map(yaml).filter(|value| value["kind"].is_string());
            found.extend(documents.map(|value| (name.clone(), value)));
        }
    }
    found
}

/// The schema of a kind in a version, from the definitions that were fetched; closed against unknown fields.
fn schema(definitions: &[Value], manifest: &Value) -> Option<Value> {
    let (group, version) = manifest["apiVersion"].as_str()?.split_once('/')?;
    let definition = definitions.iter().find(|one| {
        one["spec"]["group"] == group && one["spec"]["names"]["kind"] == manifest["kind"]
    })?;
    let versions = definition["spec"]["versions"].as_array()?;
    let found = versions.iter().find(|one| one["name"] == version && one["served"] == true)?;
    let mut schema = found["schema"]["openAPIV3Schema"].clone();
    let properties = schema["properties"].as_object_mut()?;
    for of_every_object in ["apiVersion", "kind", "metadata"] {
        properties.insert(of_every_object.into(), json!({}));
    }
    close(&mut schema);
    Some(schema)
}

/// A structural schema drops what it does not name, and `kubectl` warns: here it is an error.
fn close(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    let is_open = object.contains_key("x-kubernetes-preserve-unknown-fields")
        || object.contains_key("additionalProperties");
    if object.contains_key("properties") && !is_open {
        object.insert("additionalProperties".into(), json!(false));
    }
    // Formats and integer-or-text are Kubernetes' own words; `not` and the like only narrow what is closed already.
    object.remove("format");
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(close);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(inner) {
            close(inner);
        }
    }
}

fn definitions() -> Option<Vec<Value>> {
    let directory = match parts::crds() {
        Ok(directory) => directory,
        Err(error) if std::env::var("CI").is_ok_and(|ci| ci == "true") => panic!("{error}"),
        Err(error) => {
            eprintln!("skipped for want of a part: {error}");
            return None;
        }
    };
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.map(|path| fs::read_to_string(path).unwrap());
    let documents = texts.flat_map(|text| {
        let parts: Vec<Value> =
            text.split("\n---\n").filter(|part| part.contains("kind:")).map(yaml).collect();
        parts
    });
    Some(documents.filter(|document| document["kind"] == "CustomResourceDefinition").collect())
}

#[test]
fn every_manifest_fits_the_definition_of_its_kind() {
    let Some(definitions) = definitions() else { return };
    let manifests = manifests();
    assert!(manifests.len() >= 10, "{} manifests", manifests.len());
    for (name, manifest) in manifests {
        let kind = manifest["kind"].as_str().unwrap();
        if NOT_CHECKED.contains(&kind) {
            continue;
        }
        let schema = schema(&definitions, &manifest)
            .unwrap_or_else(|| panic!("{name}: no definition of {kind}"));
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let faults: Vec<String> = validator
            .iter_errors(&manifest)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{name}: {kind}: {faults:#?}");
    }
}

#[test]
fn a_misspelt_field_does_not_fit() {
    let Some(definitions) = definitions() else { return };
    for (name, mut manifest) in manifests() {
        let field = match manifest["kind"].as_str().unwrap() {
            "TrafficExtension" => &mut manifest["spec"]["wasm"],
            "WasmPlugin" => &mut manifest["spec"],
            "EnvoyExtensionPolicy" => &mut manifest["spec"]["wasm"][0],
            _ => continue,
        };
        field["failStrategie"] = json!("FAIL_OPEN");
        let schema = schema(&definitions, &manifest).unwrap();
        assert!(!jsonschema::draft202012::is_valid(&schema, &manifest), "{name}");
    }
}

#[test]
fn every_manifest_with_the_filter_fails_open() {
    let mut seen = 0;
    for (name, manifest) in manifests() {
        let spec = &manifest["spec"];
        let fails_open = match manifest["kind"].as_str().unwrap() {
            "TrafficExtension" => spec["wasm"]["failStrategy"] == "FAIL_OPEN",
            "WasmPlugin" => spec["failStrategy"] == "FAIL_OPEN",
            "EnvoyExtensionPolicy" => spec["wasm"][0]["failOpen"] == true,
            _ => continue,
        };
        assert!(fails_open, "{name} does not fail open");
        seen += 1;
    }
    assert!(seen >= 9, "{seen} manifests with the filter");
}
