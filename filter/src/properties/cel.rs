//! CEL for reading a value that may be absent. A list expression fails as a whole when one member fails,
//! so every step of a path is guarded, and an absent value is `''`.

/// A path in an attribute: `["request", "headers", "x-id"]` is `request.headers['x-id']`.
pub type Path<'a> = &'a [&'a str];

/// The metadata of a host that has none is null, not absent: looking into it would fail.
const MAYBE_NULL: [&str; 2] = ["xds", "upstream_host_metadata"];
/// The maps that a request and a response always have, be they empty.
const ALWAYS_THERE: [&str; 2] = ["headers", "trailers"];

/// A list expression that grows member by member.
#[derive(Debug, Default)]
pub struct List(String);

impl List {
    /// A value without a guard, for an attribute that every request has.
    pub fn certain(&mut self, path: Path<'_>) {
        self.begin();
        push_value(&mut self.0, path);
    }

    /// The value of the first of these paths that is there, as the proxy serializes it, or `''`.
    pub fn first_of(&mut self, paths: &[Path<'_>]) {
        self.begin();
        for path in paths {
            push_guard(&mut self.0, path);
            self.0.push('?');
            push_value(&mut self.0, path);
            self.0.push(':');
        }
        self.0.push_str("''");
    }

    /// Any expression.
    pub fn member(&mut self, expression: &str) {
        self.begin();
        self.0.push_str(expression);
    }

    /// The whole list.
    pub fn close(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('[');
        }
        self.0.push(']');
        self.0
    }

    fn begin(&mut self) {
        self.0.push(if self.0.is_empty() { '[' } else { ',' });
    }
}

/// A value as text whatever its type; `''` when it is absent, a list, a map or null.
pub fn printed(path: Path<'_>) -> String {
    const FORM: &str = "?(type($)==string||type($)==bytes?$:\
                        type($)==list||type($)==map||type($)==null_type?'':string($)):''";
    let (mut out, mut value) = (String::new(), String::new());
    push_value(&mut value, path);
    push_guard(&mut out, path);
    for (i, part) in FORM.split('$').enumerate() {
        out.push_str(if i > 0 { &value } else { "" });
        out.push_str(part);
    }
    out
}

/// True when every step of the path is there.
fn push_guard(out: &mut String, path: Path<'_>) {
    out.push_str(if path.len() < 2 { "true" } else { "" });
    let start = out.len();
    for (end, step) in path.iter().enumerate().skip(1) {
        if ALWAYS_THERE.contains(step) && end + 1 < path.len() {
            continue;
        }
        out.push_str(if out.len() > start { "&&" } else { "" });
        let parents = path.get(..end).unwrap_or_default();
        if parents == MAYBE_NULL {
            push_value(out, parents);
            out.push_str("!=null&&");
        }
        if is_identifier(step) {
            out.push_str("has(");
            push_value(out, path.get(..=end).unwrap_or_default());
            out.push(')');
        } else {
            push_quoted(out, step);
            out.push_str(" in ");
            push_value(out, parents);
        }
    }
}

fn push_value(out: &mut String, path: Path<'_>) {
    for (i, step) in path.iter().enumerate() {
        if i == 0 || is_identifier(step) {
            out.push_str(if i == 0 { "" } else { "." });
            out.push_str(step);
        } else {
            out.push('[');
            push_quoted(out, step);
            out.push(']');
        }
    }
}

/// Whether a step may follow a point. `in` and `true` may not, and a few more are reserved.
fn is_identifier(step: &str) -> bool {
    const RESERVED: [&str; 21] = [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "namespace",
        "null",
        "package",
        "return",
        "true",
        "var",
        "void",
        "while",
    ];
    let mut bytes = step.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !RESERVED.contains(&step)
}

fn push_quoted(out: &mut String, step: &str) {
    out.push('\'');
    for c in step.chars() {
        out.push_str(if c == '\\' || c == '\'' { "\\" } else { "" });
        out.push(c);
    }
    out.push('\'');
}

/// Whether this may begin a path: the name of an attribute.
pub fn may_begin(step: &str) -> bool {
    is_identifier(step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    fn first_of(paths: &[Path<'_>]) -> String {
        let mut list = List::default();
        list.first_of(paths);
        list.close()
    }

    #[test]
    fn each_step_is_guarded() {
        assert_eq!(first_of(&[&["request", "time"]]), "[has(request.time)?request.time:'']");
        assert_eq!(
            first_of(&[&["response", "headers", "x-a"]]),
            "['x-a' in response.headers?response.headers['x-a']:'']"
        );
        assert_eq!(first_of(&[&["a", "b", "c-d"]]), "[has(a.b)&&'c-d' in a.b?a.b['c-d']:'']");
    }

    #[test]
    fn the_first_path_that_is_there_wins() {
        assert_eq!(first_of(&[&["a", "b"], &["a", "c"]]), "[has(a.b)?a.b:has(a.c)?a.c:'']");
    }

    #[test]
    fn members_are_parted_by_commas() {
        let mut list = List::default();
        list.certain(&["a", "b"]);
        list.member("1");
        assert_eq!(list.close(), "[a.b,1]");
        assert_eq!(List::default().close(), "[]");
    }

    #[test]
    fn what_is_no_identifier_is_quoted() {
        let mut out = String::new();
        push_value(&mut out, &["a", "in", "b-c", "d'e\\f", "g"]);
        assert_eq!(out, r"a['in']['b-c']['d\'e\\f'].g");
    }

    #[test]
    fn a_value_of_any_type_is_printed() {
        assert_eq!(
            printed(&["a", "b"]),
            "has(a.b)?(type(a.b)==string||type(a.b)==bytes?a.b:\
             type(a.b)==list||type(a.b)==map||type(a.b)==null_type?'':string(a.b)):''"
        );
        assert!(printed(&["plugin_name"]).starts_with("true?(type(plugin_name)==string"));
    }

    #[test]
    fn a_hosts_metadata_may_be_null() {
        let text = printed(&["xds", "upstream_host_metadata", "filter_metadata"]);
        assert!(text.starts_with(
            "has(xds.upstream_host_metadata)&&xds.upstream_host_metadata!=null&&has("
        ));
    }
}
