//! One set of names for flags, environment and the YAML file. A flag wins over the environment, that over the file.
//! The file's keys are turned into flags and read by the same parser, so a value is checked in one place only.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why the configuration file was not accepted.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("--config {path}: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a YAML mapping.
    #[error("--config {path}: {detail}", path = path.display())]
    NotYaml {
        /// The file.
        path: PathBuf,
        /// What the parser said, with the line.
        detail: String,
    },
    /// No role knows this key.
    #[error("--config {path}: unknown key {key:?}; keys are the long flags without dashes in front (see --help)", path = path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// A value that cannot be a flag's.
    #[error("--config {path}: {key}: expected a string, a number, true or false, or a list of these", path = path.display())]
    NotAValue {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
}

/// `args` with what the file named by `--config` (or its variable) adds to them.
pub fn with_file(command: &Command, args: Vec<OsString>) -> Result<Vec<OsString>, ConfigError> {
    let lenient =
        command.clone().ignore_errors(true).disable_help_flag(true).disable_version_flag(true);
    let Ok(matches) = lenient.try_get_matches_from(&args) else { return Ok(args) };
    let Some((role, given)) = matches.subcommand() else { return Ok(args) };
    let Some(path) = given.try_get_one::<PathBuf>("config").ok().flatten() else { return Ok(args) };
    let Some(role) = command.find_subcommand(role) else { return Ok(args) };
    let mut merged = args;
    for (key, value) in read(path)? {
        if find(role, &key).or_else(|| find(command, &key)).is_some() {
            merged.extend(flags(path, &key, &value, given)?);
        } else if !command.get_subcommands().any(|other| find(other, &key).is_some()) {
            return Err(ConfigError::UnknownKey { path: path.clone(), key });
        }
    }
    Ok(merged)
}

fn find<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| arg.get_long() == Some(key) && key != "config")
}

fn read(path: &Path) -> Result<BTreeMap<String, Value>, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.into(), source })?;
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(BTreeMap::new());
    }
    serde_saphyr::from_str(&text)
        .map_err(|error| ConfigError::NotYaml { path: path.into(), detail: error.to_string() })
}

/// The flags that a key stands for; none if a flag or the environment gave it already.
fn flags(
    path: &Path,
    key: &str,
    value: &Value,
    given: &ArgMatches,
) -> Result<Vec<OsString>, ConfigError> {
    let id = key.replace('-', "_");
    let source = given.try_contains_id(&id).ok().and_then(|_| given.value_source(&id));
    if matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable)) {
        return Ok(Vec::new());
    }
    let values = match value {
        Value::Array(values) => values.as_slice(),
        one => std::slice::from_ref(one),
    };
    let flag = |value: &Value| match value {
        Value::String(text) => Ok(format!("--{key}={text}").into()),
        Value::Number(number) => Ok(format!("--{key}={number}").into()),
        Value::Bool(flag) => Ok(format!("--{key}={flag}").into()),
        _ => Err(ConfigError::NotAValue { path: path.into(), key: key.into() }),
    };
    values.iter().map(flag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Role};
    use clap::{CommandFactory, Parser};
    use std::io::Write;

    fn parse(yaml: &str, flags: &[&str]) -> Result<Args, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(yaml.as_bytes()).unwrap();
        let mut args: Vec<OsString> = vec!["spanferry".into(), "bridge".into(), "--config".into()];
        args.push(file.path().into());
        args.extend(flags.iter().map(OsString::from));
        let merged = with_file(&Args::command(), args).map_err(|e| e.to_string())?;
        Args::try_parse_from(merged).map_err(|e| e.to_string())
    }

    fn partitions(args: Args) -> u32 {
        match args.role {
            Role::Bridge(bridge) => bridge.log.topic_partitions,
            _ => 0,
        }
    }

    #[test]
    fn a_key_of_the_file_is_a_flag() {
        let args = parse("log: kafka://a:1/t\ntopic-partitions: 17\n", &[]).unwrap();
        assert_eq!(partitions(args), 17);
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let args =
            parse("log: kafka://a:1/t\ntopic-partitions: 17\n", &["--topic-partitions", "3"])
                .unwrap();
        assert_eq!(partitions(args), 3);
    }

    #[test]
    fn a_list_is_the_flag_repeated() {
        let yaml = "log: kafka://a:1/t\nkafka-property:\n  - linger.ms=7\n  - acks=all\n";
        let Role::Bridge(bridge) = parse(yaml, &[]).unwrap().role else { unreachable!() };
        assert_eq!(bridge.log.kafka_property.len(), 2);
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        let error = parse("log: kafka://a:1/t\ntopic-partition: 17\n", &[]).unwrap_err();
        assert!(error.contains("unknown key \"topic-partition\""), "{error}");
    }

    #[test]
    fn a_key_of_another_role_is_left_to_it() {
        assert!(parse("log: kafka://a:1/t\nto: http://jaeger:4317\n", &[]).is_ok());
    }

    #[test]
    fn a_bad_value_is_named_as_the_flag_would_be() {
        let error = parse("log: kafka://a:1/t\ntopic-partitions: many\n", &[]).unwrap_err();
        assert!(error.contains("many") && error.contains("--topic-partitions"), "{error}");
    }

    #[test]
    fn a_value_that_is_a_mapping_is_refused() {
        let error = parse("log:\n  kafka: a\n", &[]).unwrap_err();
        assert!(error.contains("log: expected a string"), "{error}");
    }

    #[test]
    fn what_is_not_yaml_is_told_with_the_file() {
        let error = parse("log: [", &[]).unwrap_err();
        assert!(error.contains("--config"), "{error}");
    }
}
