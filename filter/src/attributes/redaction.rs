//! What must not leave in a span: credentials in queries, in URLs and in headers.

use crate::trace_context::baggage::percent_decoded;
use std::borrow::Cow;

/// What stands in a secret's place (OpenTelemetry semantic conventions, `url.full`).
pub const REDACTED: &str = "REDACTED";

/// Query keys whose values are credentials, by the conventions (`url.query`); case matters.
const SECRET_QUERY_KEYS: [&str; 7] = [
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "AWSAccessKeyId",
    "Signature",
    "sig",
    "X-Goog-Signature",
];
/// Headers that hold credentials, in lower case.
const SECRET_HEADERS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];

/// What is done with a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueryPolicy {
    /// It is exported as it came; only URLs within it lose their user's name and password.
    Keep,
    /// It is not exported.
    Drop,
    /// The values of secret keys are hidden.
    #[default]
    Filter,
}

/// What is hidden.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Redaction {
    /// What is done with a query.
    pub query: QueryPolicy,
    /// Secret keys beside those of the conventions; case matters.
    pub query_keys: Vec<String>,
    /// Headers, in lower case, whose values are hidden, beside those that hold credentials by their kind.
    pub headers: Vec<String>,
}

impl Redaction {
    /// Whether a header's value is hidden. The name is in lower case.
    pub fn hides_header(&self, name: &str) -> bool {
        SECRET_HEADERS.contains(&name) || self.headers.iter().any(|hidden| hidden == name)
    }

    /// The value of a header that holds no credentials by its kind, or what stands in its place.
    pub fn header<'a>(&self, name: &str, value: &'a str) -> &'a str {
        let is_hidden = !value.is_empty() && self.headers.iter().any(|hidden| hidden == name);
        if is_hidden { REDACTED } else { value }
    }

    /// A query as it may leave; empty when it is dropped.
    pub fn query<'a>(&self, query: &'a str) -> Cow<'a, str> {
        match self.query {
            QueryPolicy::Filter if query.split('&').any(|part| self.secret_at(part).is_some()) => {
                without_user(&self.filtered(query)).into_owned().into()
            }
            QueryPolicy::Keep | QueryPolicy::Filter => without_user(query),
            QueryPolicy::Drop => "".into(),
        }
    }

    /// A URL or a path as it may leave: query redacted, no user, no fragment.
    pub fn url(&self, url: &str) -> String {
        let (path, query) = split_path(url);
        let (path, query) = (without_user(path), self.query(query));
        let mark = if query.is_empty() { "" } else { "?" };
        [&*path, mark, &*query].concat()
    }

    fn filtered(&self, query: &str) -> String {
        let mut out = String::with_capacity(query.len());
        for (i, part) in query.split('&').enumerate() {
            if i > 0 {
                out.push('&');
            }
            match self.secret_at(part).and_then(|value_at| part.get(..value_at)) {
                Some(key) => {
                    out.push_str(key);
                    out.push_str(REDACTED);
                }
                None => out.push_str(part),
            }
        }
        out
    }

    /// Where, between two `&`, a secret's value begins. Some servers take `;` for `&`: whatever follows
    /// a secret key is then hidden up to the next `&`.
    fn secret_at(&self, part: &str) -> Option<usize> {
        let mut start = 0;
        for pair in part.split(';') {
            if let Some((key, _)) = pair.split_once('=')
                && self.is_secret(&percent_decoded(key))
            {
                return Some(start + key.len() + 1);
            }
            start += pair.len() + 1;
        }
        None
    }

    fn is_secret(&self, key: &str) -> bool {
        SECRET_QUERY_KEYS.contains(&key) || self.query_keys.iter().any(|secret| secret == key)
    }
}

/// Path and query, without a fragment: no request should have one, and a token may be in it.
pub fn split_path(path: &str) -> (&str, &str) {
    let (path, _fragment) = path.split_once('#').unwrap_or((path, ""));
    path.split_once('?').unwrap_or((path, ""))
}

/// A text in which `scheme://user:password@host` has become `scheme://REDACTED:REDACTED@host`.
pub fn without_user(text: &str) -> Cow<'_, str> {
    if !text.contains('@') || !text.contains(':') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(':') {
        out.push_str(before);
        out.push(':');
        rest = after;
        if let Some(after) = rest.strip_prefix("//") {
            let end = after.bytes().position(|byte| b"/?#& ".contains(&byte));
            let end = end.unwrap_or(after.len());
            let authority = after.get(..end).unwrap_or_default();
            out.push_str("//");
            out.push_str(&authority_without_user(authority));
            rest = after.get(end..).unwrap_or_default();
        }
    }
    out.push_str(rest);
    out.into()
}

/// An authority whose user and password are hidden.
pub fn authority_without_user(authority: &str) -> Cow<'_, str> {
    match authority.rsplit_once('@') {
        Some((_, host)) => [REDACTED, ":", REDACTED, "@", host].concat().into(),
        None => authority.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    fn keys(list: &[&str]) -> Redaction {
        let query_keys = list.iter().map(|key| (*key).to_owned()).collect();
        Redaction { query_keys, ..Redaction::default() }
    }

    #[test]
    fn values_of_secret_keys_are_hidden_and_others_stay() {
        for (query, expected) in [
            ("a=1&b=2", "a=1&b=2"),
            (
                "sig=abc&x=1&Signature=d=e&signature=kept&sig",
                "sig=REDACTED&x=1&Signature=REDACTED&signature=kept&sig",
            ),
            ("token=t&page=2", "token=REDACTED&page=2"),
            ("%73ig=abc", "%73ig=REDACTED"),
            ("a=1;sig=x;y&b=2", "a=1;sig=REDACTED&b=2"),
            ("X-Amz-Security-Token=x", "X-Amz-Security-Token=REDACTED"),
            ("", ""),
            ("=", "="),
            ("&&sig=&", "&&sig=REDACTED&"),
        ] {
            assert_eq!(keys(&["token"]).query(query), expected, "{query}");
        }
    }

    #[test]
    fn a_query_is_kept_or_dropped_as_told() {
        let mut redaction = keys(&[]);
        redaction.query = QueryPolicy::Keep;
        assert_eq!(
            redaction.query("sig=a&u=http://me:pw@h/"),
            "sig=a&u=http://REDACTED:REDACTED@h/"
        );
        redaction.query = QueryPolicy::Drop;
        assert_eq!(redaction.url("/a?b=1#c"), "/a");
    }

    #[test]
    fn a_user_in_a_url_never_leaves() {
        for (text, expected) in [
            ("http://a:b@h/c", "http://REDACTED:REDACTED@h/c"),
            ("/p?u=ftp://a@b@h&v=x://y/@z", "/p?u=ftp://REDACTED:REDACTED@h&v=x://y/@z"),
            ("/mail/me@example", "/mail/me@example"),
            ("://@", "://REDACTED:REDACTED@"),
        ] {
            assert_eq!(without_user(text), expected);
        }
    }

    #[test]
    fn a_fragment_is_cut_off() {
        assert_eq!(split_path("/a?b#c"), ("/a", "b"));
        assert_eq!(split_path("/a#b?c"), ("/a", ""));
        assert_eq!(split_path(""), ("", ""));
    }

    #[test]
    fn headers_with_credentials_are_hidden_unasked() {
        let redaction = Redaction { headers: vec!["user-agent".into()], ..Redaction::default() };
        assert!(redaction.hides_header("cookie"));
        assert_eq!(redaction.header("user-agent", "curl"), REDACTED);
        assert_eq!(redaction.header("user-agent", ""), "");
        assert_eq!(redaction.header("x-id", "1"), "1");
    }
}
