use super::*;
use crate::testing::test;

fn error(json: &str) -> String {
    Config::parse(json.as_bytes()).unwrap_err().to_string()
}

#[test]
fn a_cluster_is_enough() {
    let config = Config::parse(br#"{"cluster":"spanferry_bridge"}"#).unwrap();
    assert_eq!(config.authority, "spanferry_bridge");
    assert_eq!(config.path, "/v1/traces");
    assert_eq!((config.flush_interval_ms, config.call_timeout_ms), (200, 10_000));
    assert_eq!(
        config.limits,
        Limits {
            batch_spans: 256,
            batch_bytes: 262_144,
            buffered_bytes: 4_194_304,
            calls_in_flight: 4
        }
    );
    assert_eq!(config.span_kind, KindChoice::Auto);
}

#[test]
fn every_key_is_taken() {
    let config = Config::parse(
        br#"{"cluster":"outbound|4318||bridge.obs.svc.cluster.local","path":"/otlp",
            "service_name":"s","resource_attributes":{"a":"b"},"span_kind":"client",
            "flush_interval_ms":50,"max_batch_spans":2,"max_batch_bytes":5000.0,
            "max_buffered_bytes":70000,"max_calls_in_flight":1,"call_timeout_ms":500,
            "exclude_paths":["/health"]}"#,
    )
    .unwrap();
    assert_eq!(config.authority, "bridge.obs.svc.cluster.local");
    assert_eq!(config.path, "/otlp");
    assert_eq!(config.service_name.as_deref(), Some("s"));
    assert_eq!(config.resource_attributes, [("a".to_owned(), "b".to_owned())]);
    assert_eq!(config.span_kind, KindChoice::Client);
    assert_eq!(config.flush_interval_ms, 50);
    assert_eq!(
        config.limits,
        Limits { batch_spans: 2, batch_bytes: 5000, buffered_bytes: 70_000, calls_in_flight: 1 }
    );
    assert_eq!((config.call_timeout_ms, config.exclude_paths), (500, vec!["/health".to_owned()]));
}

#[test]
fn each_fault_names_key_value_and_what_is_allowed() {
    for (json, parts) in [
        (r#"{"clutser":"b"}"#, ["`clutser`", "\"b\"", "`cluster` is missing"]),
        (r#"{"cluster":7}"#, ["`cluster`", "is 7", "a text"]),
        (r#"{"cluster":""}"#, ["`cluster`", "\"\"", "not empty"]),
        (
            r#"{"cluster":"b","flush_interval_ms":"fast"}"#,
            ["`flush_interval_ms`", "\"fast\"", "a whole number from 10 to 60000"],
        ),
        (
            r#"{"cluster":"b","flush_interval_ms":0}"#,
            ["`flush_interval_ms`", "is 0", "from 10 to 60000"],
        ),
        (
            r#"{"cluster":"b","max_batch_spans":2.5}"#,
            ["`max_batch_spans`", "2.5", "a whole number"],
        ),
        (
            r#"{"cluster":"b","max_batch_bytes":1000000,"max_buffered_bytes":70000}"#,
            ["`max_buffered_bytes`", "70000", "at least max_batch_bytes"],
        ),
        (r#"{"cluster":"b","max_calls_in_flight":-1}"#, ["`max_calls_in_flight`", "-1", "from 1"]),
        (r#"{"cluster":"b","call_timeout_ms":null}"#, ["`call_timeout_ms`", "null", "from 100"]),
        (r#"{"cluster":"b","span_kind":"SERVER"}"#, ["`span_kind`", "SERVER", "\"server\""]),
        (
            r#"{"cluster":"b","resource_attributes":{"team":1}}"#,
            ["`resource_attributes.team`", "is 1", "a text"],
        ),
        (
            r#"{"cluster":"b","exclude_paths":["/ok","health"]}"#,
            ["`exclude_paths[1]`", "\"health\"", "begins with /"],
        ),
        (r#"{"cluster":"b","exclude_paths":"/x"}"#, ["`exclude_paths`", "\"/x\"", "a list"]),
        (r#"{"cluster":"b","path":"v1"}"#, ["`path`", "\"v1\"", "begins with /"]),
        (r#"{"cluster":"b","authority":"a\nb"}"#, ["`authority`", "a\\nb", "control characters"]),
    ] {
        let message = error(json);
        for part in parts {
            assert!(message.contains(part), "{json}: {message} lacks {part}");
        }
        assert!(!message.contains('\n'), "{message}");
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let message = error(r#"{"flush_interval_ms":1,"nonsense":true}"#);
    for part in ["`cluster` is missing", "`flush_interval_ms` is 1", "`nonsense`"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn what_is_no_object_is_refused_as_a_whole() {
    assert_eq!(Config::parse(b""), Err(ConfigError::Empty));
    assert_eq!(Config::parse(b" \n"), Err(ConfigError::Empty));
    assert!(error("[1]").contains("a list; allowed: a JSON object"));
    assert!(error(r#"{"cluster":"#).contains("not JSON"));
    assert!(Config::parse(&[0xff, 0x00]).is_err());
}

#[test]
fn a_long_value_is_shortened_in_the_message() {
    let message = error(&format!(r#"{{"cluster":"b","span_kind":"{}"}}"#, "é".repeat(10_000)));
    assert!(message.len() < 1000, "{}", message.len());
}

#[test]
fn a_chosen_kind_wins_over_the_listeners_direction() {
    assert_eq!(KindChoice::Auto.resolve(Some(2)), SpanKind::Client);
    assert_eq!(KindChoice::Auto.resolve(None), SpanKind::Server);
    assert_eq!(KindChoice::Server.resolve(Some(2)), SpanKind::Server);
    assert_eq!(KindChoice::Client.resolve(Some(1)), SpanKind::Client);
}

/// Every key of the table, with those of its sections.
fn all(keys: &'static [shape::Key]) -> Vec<&'static shape::Key> {
    keys.iter().flat_map(|key| std::iter::once(key).chain(all(key.shape.keys()))).collect()
}

#[test]
fn every_default_is_an_allowed_value() {
    for key in all(keys::KEYS).iter().filter(|key| !key.default.is_empty()) {
        let value: Value = serde_json::from_str(key.default).unwrap();
        let map = serde_json::Map::from_iter([(key.name.to_owned(), value)]);
        let mut faults = Vec::new();
        check::object(&map, std::slice::from_ref(*key), "", &mut faults);
        assert_eq!(faults, [""; 0], "{}", key.name);
        assert!(!key.is_required, "{} is required and needs no default", key.name);
    }
}

#[test]
#[cfg(not(target_arch = "wasm32"))]
fn every_key_is_explained_in_sentences() {
    for key in all(keys::KEYS) {
        assert!(key.doc.ends_with('.'), "{}: {}", key.name, key.doc);
    }
}

#[test]
fn a_key_with_control_characters_is_told_in_one_line() {
    let message = error(r#"{"cluster":"b","a\nb":1}"#);
    assert!(message.contains(r"`a\nb` (value 1) is not a key"), "{message}");
}

#[test]
fn a_fraction_written_as_text_is_the_fraction() {
    for (text, number) in [
        ("0", Some(0.0)),
        ("0.1", Some(0.1)),
        ("0.25", Some(0.25)),
        ("1.000", Some(1.0)),
        ("0.333333333333333333333333", Some(0.333_333_333_333_333_3)),
        ("0.", None),
        (".5", None),
        ("+0", None),
        ("1e-3", None),
        ("", None),
    ] {
        assert_eq!(shape::decimal(text), number, "{text}");
    }
    for text in ["1.5", "1.000000001", "2"] {
        assert_eq!(shape::ratio(&text.into()), None, "{text}");
    }
}

#[test]
fn a_number_is_shown_as_it_was_written() {
    for (json, shown) in [
        ("5", "5"),
        ("-7", "-7"),
        ("18446744073709551615", "18446744073709551615"),
        ("1.5", "1.5"),
        ("-0.25", "-0.25"),
        ("200.0", "200"),
    ] {
        let value: Value = serde_json::from_str(json).unwrap();
        assert_eq!(super::check::shown(&value), shown);
    }
}
