//! What the README and the examples say, where it cannot be run in a test: each command is parsed by the real parser, each
//! configuration is read by the code that will read it.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a helper of a test fails its test")]

mod filter_page;
mod manifests;
mod plugin_configurations;

use clap::Parser;
use prometheus_client::registry::Registry;
use serde_json::Value;
use spanferry::args::{Args, Role};
use spanferry_filter::config::Config;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// The pages for users.
fn pages() -> Vec<(String, String)> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let markdown = docs.filter(|path| path.extension().is_some_and(|e| e == "md"));
    let all = markdown.chain([root().join("README.md")]);
    all.map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap())).collect()
}

/// The code blocks of a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    page.split(&fence)
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .map(str::to_owned)
        .collect()
}

/// The command lines of all pages, without what follows a `#`.
fn commands() -> Vec<(String, String)> {
    let mut commands = Vec::new();
    for (name, page) in pages() {
        for block in blocks(&page, "sh") {
            let block = block.replace("\\\n", " ");
            let lines = block
                .lines()
                .map(|line| line.split(" #").next().unwrap_or_default().trim().to_owned());
            commands.extend(lines.filter(|line| !line.is_empty()).map(|line| (name.clone(), line)));
        }
    }
    commands
}

fn parse(command: &[&str]) -> Args {
    Args::try_parse_from(command).unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

#[test]
fn every_spanferry_command_is_one_that_it_takes() {
    let all = commands();
    let ours: Vec<_> = all.iter().filter(|(_, line)| line.starts_with("spanferry ")).collect();
    assert!(ours.len() >= 5, "{ours:?}");
    for (_, line) in ours {
        parse(&line.split_whitespace().collect::<Vec<_>>());
    }
}

#[test]
fn every_make_target_is_there() {
    let makefile = text("Makefile");
    for (page, line) in commands() {
        if let Some(target) = line.strip_prefix("make ") {
            let rule = format!("\n{}:", target.split_whitespace().next().unwrap());
            assert!(makefile.contains(&rule), "{page}: make {target}");
        }
    }
}

#[test]
fn every_file_that_a_page_links_or_a_command_names_is_there() {
    for (page, body) in pages() {
        let links = body.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let from = Path::new(&page).parent().unwrap().join(link);
            assert!(from.exists(), "{page}: {link}");
        }
    }
    for (page, line) in commands() {
        for word in line
            .split_whitespace()
            .filter(|word| word.starts_with("envoy/") || word.starts_with("deploy/"))
        {
            assert!(root().join(word).exists(), "{page}: {word}");
        }
    }
}

#[test]
fn every_metric_that_a_page_names_is_registered() {
    let mut registry = Registry::default();
    let _bridge = spanferry::bridge::Metrics::register(&mut registry);
    let forwarder = spanferry::forward::Metrics::register(&mut registry);
    forwarder.set_lag(0, 0);
    forwarder.set_headroom("traces", 0);
    forwarder.ledger.show(0, &spanferry::ledger::Totals::default());
    let mut exposed = String::new();
    prometheus_client::encoding::text::encode(&mut exposed, &registry).unwrap();
    for (_, name) in spanferry_filter::metrics::METRICS {
        exposed.push_str(&format!("# TYPE {name} \n"));
    }
    for (page, body) in pages() {
        for name in body
            .split('`')
            .map(|word| word.trim_start_matches("wasmcustom."))
            .filter(|word| word.starts_with("spanferry_") || word.starts_with("traces_"))
            .filter(|word| !word.ends_with(['*', '…']))
        {
            if name.ends_with(".wasm") || name == "spanferry_bridge" {
                continue;
            }
            let family = name.trim_end_matches("_total");
            assert!(exposed.contains(&format!("# TYPE {family} ")), "{page}: {name}");
        }
    }
}

#[test]
fn the_configuration_file_of_the_page_is_taken() {
    for (_, page) in pages() {
        for block in blocks(&page, "yaml") {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            std::io::Write::write_all(&mut file, block.as_bytes()).unwrap();
            for role in ["bridge", "forward", "all-in-one"] {
                let args = ["spanferry", role, "--config"].map(Into::into).into_iter();
                let args = args.chain([file.path().into()]).collect();
                let command = <Args as clap::CommandFactory>::command();
                let merged = spanferry::config::with_file(&command, args).unwrap();
                Args::try_parse_from(merged).unwrap();
            }
        }
    }
}

#[test]
fn compose_starts_roles_with_variables_that_they_know() {
    let compose = yaml(&text("docker-compose.yml"));
    let services = compose["services"].as_object().unwrap();
    for name in ["kafka", "jaeger", "bridge", "forwarder", "envoy", "sample"] {
        assert!(services[name]["healthcheck"]["test"].is_array(), "{name} has a health check");
    }
    let all = <Args as clap::CommandFactory>::command();
    for (service, role) in [("bridge", "bridge"), ("forwarder", "forward")] {
        let service = &services[service];
        assert_eq!(service["command"][0], role);
        let command = all.find_subcommand(role).unwrap();
        for variable in service["environment"].as_object().unwrap().keys() {
            let known = command
                .get_arguments()
                .any(|arg| arg.get_env().is_some_and(|env| env == variable.as_str()));
            assert!(known, "{role}: {variable}");
        }
    }
    let health = services["bridge"]["healthcheck"]["test"].as_array().unwrap();
    let words: Vec<_> = health[1..].iter().map(|word| word.as_str().unwrap()).collect();
    assert!(matches!(parse(&words).role, Role::Health(_)));
    for volume in ["kafka", "jaeger", "spool"] {
        assert!(compose["volumes"].as_object().unwrap().contains_key(volume), "{volume}");
    }
}

#[test]
fn the_examples_for_istio_fail_open_and_configure_the_filter() {
    let extension = yaml(&text("envoy/istio-trafficextension.yaml"));
    let plugin = yaml(&text("envoy/istio-wasmplugin.yaml"));
    assert_eq!(extension["kind"], "TrafficExtension");
    assert_eq!(plugin["kind"], "WasmPlugin");
    for spec in [&extension["spec"]["wasm"], &plugin["spec"]] {
        assert_eq!(spec["failStrategy"], "FAIL_OPEN");
        Config::parse(spec["pluginConfig"].to_string().as_bytes()).unwrap();
    }
}

#[test]
fn envoys_example_fails_open_and_configures_the_filter() {
    let example = text("envoy/envoy.yaml");
    let filter =
        &yaml(&example)["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
    let wasm = &filter["typed_config"]["http_filters"][0]["typed_config"]["config"];
    assert_eq!(wasm["failure_policy"], "FAIL_OPEN");
    Config::parse(wasm["configuration"]["value"].as_str().unwrap().as_bytes()).unwrap();
}
