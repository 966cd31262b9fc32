//! One rule: which requests it is for, and what is done with them.

use super::choice::Choice;
use super::glob::Glob;
use crate::header_map::{RequestHeaders, pairs};

/// A rule. What it does not name, it does not look at; all that it names must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Stands in `spanferry.sampled_by` of the spans that it let through.
    pub name: Option<String>,
    /// `:method`
    pub method: Option<String>,
    /// `:authority`, in lower case, without the port.
    pub host: Option<Glob>,
    /// `:path`, without the query.
    pub path: Option<Glob>,
    /// A header's name in lower case, and what one of its values is of; `*` for any.
    pub header: Option<(String, Glob)>,
    /// What is done.
    pub choice: Choice,
    /// Requests a second that this rule lets through, for this worker.
    pub max_per_second: Option<u32>,
}

impl Rule {
    /// Whether the rule is for this request; `raw` are all its headers.
    pub fn matches(&self, headers: &RequestHeaders<'_>, raw: &[u8]) -> bool {
        let is_of = |glob: &Option<Glob>, text: &dyn Fn() -> Vec<u8>| {
            glob.as_ref().is_none_or(|glob| glob.matches(&text()))
        };
        self.method.as_ref().is_none_or(|method| method.as_bytes() == headers.method)
            && self.path.as_ref().is_none_or(|path| path.matches(before(headers.path, b'?')))
            && is_of(&self.host, &|| host(headers.authority).to_ascii_lowercase())
            && self.header.as_ref().is_none_or(|(name, value)| {
                let mut all = pairs(raw).filter(|(key, _)| *key == name.as_bytes());
                all.any(|(_, text)| value.matches(text))
            })
    }
}

fn before(text: &[u8], end: u8) -> &[u8] {
    text.split(|byte| *byte == end).next().unwrap_or(text)
}

/// An authority without its port; an IPv6 address keeps its brackets.
fn host(authority: &[u8]) -> &[u8] {
    match authority.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !authority.ends_with(b"]") => authority.get(..colon).unwrap_or(authority),
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header_map::serialize;
    use crate::testing::test;

    fn any() -> Rule {
        Rule {
            name: None,
            method: None,
            host: None,
            path: None,
            header: None,
            choice: Choice::AlwaysOff,
            max_per_second: None,
        }
    }

    fn is_for(rule: &Rule, list: &[(&[u8], &[u8])]) -> bool {
        let raw = serialize(list);
        rule.matches(&RequestHeaders::scan(&raw), &raw)
    }

    const REQUEST: &[(&[u8], &[u8])] = &[
        (b":method", b"GET"),
        (b":path", b"/api/users?id=/admin"),
        (b":authority", b"Shop.Example.com:8443"),
        (b"x-tenant", b"gold"),
        (b"x-tenant", b"test-7"),
    ];

    #[test]
    fn a_rule_without_conditions_is_for_every_request() {
        assert!(is_for(&any(), REQUEST));
        assert!(is_for(&any(), &[]));
    }

    #[test]
    fn each_condition_must_match() {
        let glob = |text: &str| Some(Glob::new(text));
        let header = |name: &str, value: &str| Some((name.to_owned(), Glob::new(value)));
        for (rule, matches) in [
            (Rule { method: Some("GET".into()), ..any() }, true),
            (Rule { method: Some("get".into()), ..any() }, false),
            (Rule { path: glob("/api/*"), ..any() }, true),
            (Rule { path: glob("/api/users"), ..any() }, true),
            (Rule { path: glob("*/admin"), ..any() }, false),
            (Rule { host: glob("*.example.com"), ..any() }, true),
            (Rule { host: glob("example.com"), ..any() }, false),
            (Rule { header: header("x-tenant", "test-*"), ..any() }, true),
            (Rule { header: header("x-tenant", "*"), ..any() }, true),
            (Rule { header: header("x-tenant", "silver"), ..any() }, false),
            (Rule { header: header("x-other", "*"), ..any() }, false),
            (Rule { method: Some("GET".into()), path: glob("/other"), ..any() }, false),
        ] {
            assert_eq!(is_for(&rule, REQUEST), matches, "{rule:?}");
        }
    }

    #[test]
    fn an_ipv6_host_keeps_its_brackets() {
        assert_eq!(host(b"[::1]:80"), b"[::1]");
        assert_eq!(host(b"[::1]"), b"[::1]");
        assert_eq!(host(b"shop"), b"shop");
        assert_eq!(host(b""), b"");
    }
}
