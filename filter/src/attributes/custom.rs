//! Custom attributes: where each takes its value from, how that is read, and how it may leave.

use super::limits::shorten;
use super::redaction::{REDACTED, Redaction, without_user};
use crate::encode::text;
use crate::header_map::RequestHeaders;
use crate::trace_context::baggage;
use std::borrow::Cow;

/// The most custom attributes that there may be.
pub const MAX_CUSTOM: usize = 64;

/// A custom attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Custom {
    /// The attribute's key. A built-in attribute of this key gives way.
    pub key: String,
    /// Where its value comes from.
    pub source: Source,
    /// What stands when the source has no value; else the attribute is left out.
    pub default: Option<String>,
    /// Characters that are kept.
    pub longest: u32,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The text itself.
    Literal(String),
    /// A variable that the proxy gives to the VM (`vm_config.environment_variables`).
    Environment(String),
    /// One of the proxy's attributes, read of each request: `["connection", "tls_version"]`.
    Property(Vec<String>),
    /// A member of the request's `baggage`.
    Baggage(String),
}

impl Source {
    /// A header of the request or the response. Names are in lower case, as the proxy keeps them; several
    /// of one name are joined by commas.
    pub fn header(whose: &str, name: &str) -> Self {
        Self::below(&[whose, "headers"], vec![name.to_ascii_lowercase()])
    }

    /// A value in the metadata of a route, a cluster, a host or the request itself.
    pub fn metadata(kind: &str, keys: Vec<String>) -> Self {
        let path: &[&str] = match kind {
            "route" => &["xds", "route_metadata", "filter_metadata"],
            "cluster" => &["xds", "cluster_metadata", "filter_metadata"],
            "host" => &["xds", "upstream_host_metadata", "filter_metadata"],
            _ => &["metadata", "filter_metadata"],
        };
        Self::below(path, keys)
    }

    fn below(first: &[&str], mut then: Vec<String>) -> Self {
        for step in first.iter().rev() {
            then.insert(0, (*step).to_owned());
        }
        Self::Property(then)
    }
}

impl Custom {
    /// Looks a variable up in the environment, `NAME=value` and a NUL each.
    pub(super) fn settle(&mut self, environment: &[u8]) {
        let Source::Environment(name) = &self.source else { return };
        let variable = environment
            .split(|byte| *byte == 0)
            .find_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
        self.source = Source::Literal(text(variable.unwrap_or_default()).into_owned());
    }

    /// The path to be read of each request, if it is in the proxy's attributes.
    pub fn path(&self) -> Option<Vec<&str>> {
        match &self.source {
            Source::Property(path) => Some(path.iter().map(String::as_str).collect()),
            _ => None,
        }
    }

    /// Whether it is read of each request.
    pub fn is_read(&self) -> bool {
        matches!(self.source, Source::Property(_))
    }

    /// Gives the value, out of what was read (empty when absent) or of the headers, to `emit`, if there
    /// is one.
    pub fn value(
        &self,
        read: &[u8],
        headers: &RequestHeaders<'_>,
        redaction: &Redaction,
        emit: &mut dyn FnMut(&str),
    ) {
        let read = text(read);
        let value = match &self.source {
            Source::Literal(text) => text.into(),
            Source::Environment(_) => "".into(),
            Source::Baggage(name) => baggage::member(headers, name).unwrap_or_default(),
            Source::Property(path) => treated(path, &read, redaction),
        };
        let value = if value.is_empty() { self.default.as_deref() } else { Some(&*value) };
        if let Some(value) = value {
            emit(shorten(value, self.longest));
        }
    }
}

/// A value as it may leave. A header is hidden when its name is, whichever way one asks for it; what is a
/// URL loses its secrets.
fn treated<'v>(path: &[String], value: &'v str, redaction: &Redaction) -> Cow<'v, str> {
    const URLS: [&str; 6] =
        [":path", "referer", "location", "content-location", "x-envoy-original-path", "path"];
    let step = |at: usize| path.get(at).map_or("", String::as_str);
    let is_header = step(1) == "headers" || step(1) == "trailers";
    let name = if is_header { step(2) } else { step(1) };
    match step(0) {
        _ if value.is_empty() => value.into(),
        "request" | "response" if is_header && redaction.hides_header(name) => REDACTED.into(),
        "request" | "response" if URLS.contains(&name) => redaction.url(value).into(),
        "request" if name == "query" => redaction.query(value),
        _ => without_user(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    fn one(source: Source) -> Custom {
        Custom { key: "k".into(), source, default: None, longest: u32::MAX }
    }

    fn value(custom: Custom, read: &[u8]) -> Option<String> {
        value_with(custom, read, &RequestHeaders::default())
    }

    fn value_with(mut custom: Custom, read: &[u8], headers: &RequestHeaders<'_>) -> Option<String> {
        custom.settle(b"XPOD=no\0POD=cart-7\0");
        let redaction = Redaction { headers: vec!["x-secret".into()], ..Redaction::default() };
        let mut seen = None;
        custom.value(read, headers, &redaction, &mut |value| seen = Some(value.to_owned()));
        seen
    }

    #[test]
    fn constants_are_known_without_a_request() {
        assert_eq!(value(one(Source::Literal("eu".into())), b"").as_deref(), Some("eu"));
        assert_eq!(value(one(Source::Environment("POD".into())), b"").as_deref(), Some("cart-7"));
        assert_eq!(value(one(Source::Environment("NOPE".into())), b""), None);
        assert!(!one(Source::Literal("eu".into())).is_read());
    }

    #[test]
    fn the_default_stands_when_nothing_was_read() {
        let source = Source::header("request", "X-Tenant");
        let tenant = Custom { default: Some("none".into()), ..one(source) };
        assert_eq!(value(tenant.clone(), b"").as_deref(), Some("none"));
        assert_eq!(value(tenant.clone(), b"acme").as_deref(), Some("acme"));
        assert_eq!(tenant.path().unwrap(), ["request", "headers", "x-tenant"]);
    }

    #[test]
    fn a_value_is_cut_at_its_own_length() {
        let short = Custom { longest: 2, ..one(Source::Literal("añb".into())) };
        assert_eq!(value(short, b"").as_deref(), Some("añ"));
    }

    #[test]
    fn a_member_of_the_baggage_is_taken_alone() {
        let member = one(Source::Baggage("user".into()));
        let baggage = std::iter::once(&b"a=1,user=u%201"[..]).collect();
        let headers = RequestHeaders { baggage, ..RequestHeaders::default() };
        assert_eq!(value_with(member.clone(), b"", &headers).as_deref(), Some("u 1"));
        assert_eq!(value(member, b""), None);
    }

    #[test]
    fn a_secret_header_is_hidden_by_whatever_way_it_is_asked_for() {
        let property = |path: &[&str]| {
            one(Source::Property(path.iter().map(|step| (*step).to_owned()).collect()))
        };
        for custom in [
            one(Source::header("request", "X-Secret")),
            one(Source::header("response", "Set-Cookie")),
            property(&["request", "headers", "authorization"]),
        ] {
            assert_eq!(value(custom.clone(), b"s3cret").as_deref(), Some(REDACTED));
            assert_eq!(value(custom, b""), None);
        }
        let path = value(property(&["request", "path"]), b"/a?sig=x");
        assert_eq!(path.as_deref(), Some("/a?sig=REDACTED"));
        let query = value(property(&["request", "query"]), b"sig=x");
        assert_eq!(query.as_deref(), Some("sig=REDACTED"));
        let url = value(one(Source::header("request", "referer")), b"http://u:p@h/?sig=x");
        assert_eq!(url.as_deref(), Some("http://REDACTED:REDACTED@h/?sig=REDACTED"));
    }

    #[test]
    fn metadata_is_read_by_its_owner() {
        for (kind, start) in [("route", "xds"), ("host", "xds"), ("request", "metadata")] {
            let custom = one(Source::metadata(kind, vec!["com.acme".into(), "team".into()]));
            let path = custom.path().unwrap();
            assert_eq!((path[0], path[path.len() - 1]), (start, "team"), "{kind}");
        }
    }
}
