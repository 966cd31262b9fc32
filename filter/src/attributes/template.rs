//! Path templates: `/users/{id}`, `/orders/{id}/items/*`, `/static/**`. They give paths a name of low
//! cardinality where the route has none.

/// A template. Each segment is itself, `{name}` or `*` for any one segment, and at the end `**` for
/// whatever follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(String);

impl Template {
    /// What a template may be, for a message.
    pub const ALLOWED: &'static str =
        "a path such as /users/{id}, /orders/*/items or /static/** (whole segments only)";

    /// A template of a text that is one.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Whether a text is a template.
    pub fn is_valid(text: &str) -> bool {
        let plain = text.strip_suffix("/**").unwrap_or(text);
        let is_whole = |segment: &str| {
            is_any(segment) || !segment.bytes().any(|byte| b"{}*?#".contains(&byte))
        };
        text.starts_with('/') && plain.split('/').all(is_whole)
    }

    /// The template as it was written: a route of low cardinality.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether a path, without its query, is of this form.
    pub fn matches(&self, path: &str) -> bool {
        let mut segments = path.split('/');
        for expected in self.0.split('/') {
            if expected == "**" {
                return true;
            }
            match segments.next() {
                Some(segment) if is_any(expected) && !segment.is_empty() => {}
                Some(segment) if segment == expected => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }
}

fn is_any(segment: &str) -> bool {
    let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    segment == "*" || name.is_some_and(|name| !name.is_empty() && !name.contains(['{', '}']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn a_path_matches_segment_by_segment() {
        for (template, path, matches) in [
            ("/users/{id}", "/users/7", true),
            ("/users/{id}", "/users/", false),
            ("/users/{id}", "/users/7/", false),
            ("/users/{id}", "/users/7/cart", false),
            ("/users/{id}", "/Users/7", false),
            ("/orders/{id}/items/*", "/orders/1/items/x", true),
            ("/orders/{id}/items/*", "/orders/1/item/x", false),
            ("/static/**", "/static/a/b.js", true),
            ("/static/**", "/static/", true),
            ("/static/**", "/statics", false),
            ("/", "/", true),
            ("/", "/a", false),
            ("/a", "", false),
        ] {
            assert!(Template::is_valid(template), "{template}");
            assert_eq!(Template::new(template.into()).matches(path), matches, "{template} {path}");
        }
    }

    #[test]
    fn what_would_match_by_surprise_is_no_template() {
        for text in ["users/{id}", "", "/a{id}", "/{id", "/{}", "/**/a", "/a*", "/a?b=1", "/a#b"] {
            assert!(!Template::is_valid(text), "{text}");
        }
    }
}
