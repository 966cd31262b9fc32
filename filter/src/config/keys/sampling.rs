//! `sampling`: its keys, and the settings that they become.

use crate::config::section::Section;
use crate::config::shape::{Key, Shape, ratio};
use crate::sampling::choice::Choice;
use crate::sampling::glob::Glob;
use crate::sampling::{Keep, Rule, Settings};

const RATIO: &[Key] = &[Key::new("ratio", Shape::Ratio)
    .required()
    .doc("The share of traces, 0 to 1. By the randomness of the trace id, so that all services which choose so agree.")];
const CHOICE: Shape =
    Shape::Either(&Shape::Word(&["always_on", "always_off"]), &Shape::Object(RATIO));
const RATE: Shape = Shape::Whole(0, 1_000_000);

const HEADER: &[Key] = &[
    Key::new("name", Shape::HeaderName).required().doc("The header's name."),
    Key::new("value", Shape::Text)
        .default("\"*\"")
        .doc("What one of its values must be; `*` stands for any run of characters."),
];

const RULE: &[Key] = &[
    Key::new("name", Shape::Text).doc(
        "Stands in the attribute `spanferry.sampled_by` of the spans that the rule let through.",
    ),
    Key::new("method", Shape::Text).doc("The request's method, in upper case."),
    Key::new("host", Shape::Text).doc(
        "The request's host without its port, in lower case; `*` stands for any run of characters.",
    ),
    Key::new("path", Shape::PathGlob)
        .doc("The request's path without its query; `*` stands for any run of characters."),
    Key::new("header", Shape::Object(HEADER)).doc("A header that must be there."),
    Key::new("sample", CHOICE).required().doc("What is done with requests that match."),
    Key::new("max_per_second", RATE)
        .doc("Requests a second that the rule lets through, per worker thread."),
];

const KEEP: &[Key] = &[
    Key::new("errors", Shape::Flag)
        .default("false")
        .doc("Keep requests whose span is an error; they have `spanferry.sampled_by` = `error`."),
    Key::new("slower_than_ms", Shape::Whole(0, 86_400_000))
        .doc("Keep requests that took longer, ms; they have `spanferry.sampled_by` = `slow`."),
];

/// The keys of the section.
pub const KEYS: &[Key] = &[
    Key::new("parent_based", Shape::Flag)
        .default("true")
        .doc("The decision of a request's caller stands. All else here decides only where the caller did not."),
    Key::new("default", CHOICE)
        .default("\"always_on\"")
        .doc("What is done where no rule matches."),
    Key::new("rules", Shape::List(&Shape::Object(RULE)))
        .default("[]")
        .doc("Rules in order: the first that matches decides. All that a rule names must match."),
    Key::new("max_per_second", RATE)
        .doc("Requests a second that are sampled by a decision made here, per worker thread."),
    Key::new("keep", Shape::Object(KEEP))
        .doc("What is exported although it was not sampled. The sampled flag sent upstream stays off."),
];

/// The section as settings.
pub fn settings(section: &Section<'_>) -> Settings {
    let keep = section.section("keep");
    Settings {
        parent_based: section.flag("parent_based"),
        default: choice(section, "default"),
        rules: section.sections("rules").iter().map(rule).collect(),
        max_per_second: rate(section),
        keep: Keep { errors: keep.flag("errors"), slower_than_ms: keep.whole("slower_than_ms") },
    }
}

fn rule(section: &Section<'_>) -> Rule {
    let glob = |name| section.text(name).map(Glob::new);
    let header = section.given("header").map(|_| section.section("header")).map(|header| {
        let name = header.text("name").unwrap_or_default().to_ascii_lowercase();
        (name, Glob::new(header.text("value").unwrap_or_default()))
    });
    Rule {
        name: section.text("name"),
        method: section.text("method"),
        host: glob("host"),
        path: glob("path"),
        header,
        choice: choice(section, "sample"),
        max_per_second: rate(section),
    }
}

fn choice(section: &Section<'_>, name: &str) -> Choice {
    match section.value(name) {
        serde_json::Value::String(word) if word == "always_off" => Choice::AlwaysOff,
        serde_json::Value::Object(map) => {
            Choice::ratio(map.get("ratio").and_then(ratio).unwrap_or(1.0))
        }
        _ => Choice::AlwaysOn,
    }
}

fn rate(section: &Section<'_>) -> Option<u32> {
    section.whole("max_per_second").and_then(|rate| u32::try_from(rate).ok())
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::sampling::Keep;
    use crate::sampling::choice::Choice;
    use crate::testing::test;

    fn parse(sampling: &str) -> Result<Config, String> {
        let json = format!(r#"{{"cluster":"b","sampling":{sampling}}}"#);
        Config::parse(json.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_configured_is_the_callers_decision_and_else_always() {
        let sampling = parse("{}").unwrap().sampling;
        assert!(sampling.parent_based && sampling.rules.is_empty());
        assert_eq!((sampling.default, sampling.max_per_second), (Choice::AlwaysOn, None));
        assert_eq!(sampling.keep, Keep::default());
        assert_eq!(Config::default().sampling, sampling);
    }

    #[test]
    fn every_key_is_taken() {
        let sampling = parse(
            r#"{"parent_based":false,"default":{"ratio":0.5},"max_per_second":100.0,
                "keep":{"errors":true,"slower_than_ms":250},
                "rules":[{"name":"r","method":"GET","host":"*.example.com","path":"/api/*",
                          "header":{"name":"X-Tenant","value":"gold"},"sample":"always_off",
                          "max_per_second":3},
                         {"header":{"name":"x"},"sample":{"ratio":"1.0"}}]}"#,
        );
        let sampling = sampling.unwrap().sampling;
        assert!(!sampling.parent_based);
        assert_eq!(sampling.default, Choice::Ratio(1 << 55));
        assert_eq!(sampling.max_per_second, Some(100));
        assert_eq!(sampling.keep, Keep { errors: true, slower_than_ms: Some(250) });
        let [first, second] = &sampling.rules[..] else { panic!("{sampling:?}") };
        assert_eq!((first.name.as_deref(), first.method.as_deref()), (Some("r"), Some("GET")));
        assert!(first.host.as_ref().unwrap().matches(b"a.example.com"));
        assert!(first.path.as_ref().unwrap().matches(b"/api/x"));
        assert_eq!(first.header.as_ref().unwrap().0, "x-tenant");
        assert_eq!((first.choice, first.max_per_second), (Choice::AlwaysOff, Some(3)));
        assert!(second.header.as_ref().unwrap().1.matches(b"any"));
        assert_eq!(second.choice, Choice::Ratio(0));
    }

    #[test]
    fn faults_name_their_path() {
        for (sampling, fault) in [
            (
                r#"{"rules":[{"sample":"always_on"},{"path":"x","sample":"always_on"}]}"#,
                "`sampling.rules[1].path` is \"x\"; allowed: a path that begins with / or *",
            ),
            (r#"{"rules":[{}]}"#, "`sampling.rules[0].sample` is missing"),
            (
                r#"{"rules":[{"sample":{"ratio":2}}]}"#,
                "`sampling.rules[0].sample.ratio` is 2; allowed: a number from 0 to 1",
            ),
            (
                r#"{"default":"sometimes"}"#,
                "`sampling.default` is \"sometimes\"; allowed: \"always_on\" or \"always_off\", or an object of ratio",
            ),
            (
                r#"{"rules":[{"header":{"name":"a b"},"sample":"always_on"}]}"#,
                "`sampling.rules[0].header.name`",
            ),
            (
                r#"{"keep":{"error":true}}"#,
                "`sampling.keep.error` (value true) is not a key; allowed: errors, slower_than_ms",
            ),
            (r#"{"rules":{}}"#, "`sampling.rules` is an object; allowed: a list"),
            ("[]", "`sampling` is a list"),
        ] {
            let error = parse(sampling).unwrap_err();
            assert!(error.contains(fault), "{sampling}: {error}");
        }
    }
}
