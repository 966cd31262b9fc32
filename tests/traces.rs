//! A trace as its destination holds it, and the questions asked of it: is every span there, none twice, one tree?

use std::collections::{HashMap, HashSet};

/// One span as a destination shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// 16 hex digits.
    pub span_id: String,
    /// 16 hex digits; empty for a root.
    pub parent_id: String,
    /// The span's name.
    pub name: String,
    /// `service.name` of its resource.
    pub service: String,
    /// Start and end, nanoseconds since 1970.
    pub time: (u64, u64),
    /// Whether its status is an error.
    pub failed: bool,
}

/// Why a trace is not one tree.
#[derive(Clone, Debug, PartialEq)]
pub enum NotATree {
    /// No span at all.
    Empty,
    /// This span id is there more than once.
    Twice(String),
    /// This many spans have a parent that is not in the trace; it must be one, the root.
    Roots(usize),
    /// The root's parent is not the one that the client named.
    OtherParent {
        /// The client's span id, empty when it named none.
        wanted: String,
        /// The root's parent id.
        found: String,
    },
    /// These span ids hang in a circle.
    Circle(Vec<String>),
}

/// The trace's root, when its spans are one tree under `client` (the client's span id, when it sent one).
pub fn root_of<'a>(spans: &'a [Seen], client: Option<&str>) -> Result<&'a Seen, NotATree> {
    let mut by_id = HashMap::new();
    for span in spans {
        if by_id.insert(span.span_id.as_str(), span).is_some() {
            return Err(NotATree::Twice(span.span_id.clone()));
        }
    }
    let outside = |span: &&Seen| !by_id.contains_key(span.parent_id.as_str());
    let roots: Vec<&Seen> = spans.iter().filter(outside).collect();
    let [root] = roots[..] else {
        return Err(if spans.is_empty() { NotATree::Empty } else { NotATree::Roots(roots.len()) });
    };
    let wanted = client.unwrap_or_default();
    if root.parent_id != wanted {
        return Err(NotATree::OtherParent { wanted: wanted.into(), found: root.parent_id.clone() });
    }
    let reached: HashSet<&str> =
        in_order(spans, root).iter().map(|(_, span)| span.span_id.as_str()).collect();
    let circle = spans.iter().filter(|span| !reached.contains(span.span_id.as_str()));
    let circle: Vec<String> = circle.map(|span| span.span_id.clone()).collect();
    if circle.is_empty() { Ok(root) } else { Err(NotATree::Circle(circle)) }
}

/// The spans below and with `root`, each with its depth, parents before children, children by their start.
pub fn in_order<'a>(spans: &'a [Seen], root: &'a Seen) -> Vec<(usize, &'a Seen)> {
    let mut found = Vec::new();
    let mut waiting = vec![(0, root)];
    while let Some((depth, span)) = waiting.pop() {
        found.push((depth, span));
        let mut children: Vec<&Seen> =
            spans.iter().filter(|child| child.parent_id == span.span_id).collect();
        children.sort_by_key(|child| std::cmp::Reverse(child.time));
        waiting.extend(children.into_iter().map(|child| (depth + 1, child)));
    }
    found
}

/// Spans that are there more often than once, counted by their repeats.
pub fn repeats(spans: &[Seen]) -> usize {
    let distinct: HashSet<&str> = spans.iter().map(|span| span.span_id.as_str()).collect();
    spans.len() - distinct.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(span_id: &str, parent_id: &str) -> Seen {
        Seen { span_id: span_id.into(), parent_id: parent_id.into(), ..Seen::default() }
    }

    #[test]
    fn a_chain_under_the_client_is_a_tree() {
        let spans = [span("c", "b"), span("a", "client"), span("b", "a")];
        assert_eq!(root_of(&spans, Some("client")).unwrap().span_id, "a");
        let order = in_order(&spans, &spans[1]);
        assert_eq!(order.iter().map(|(depth, _)| *depth).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_missing_parent_shows_as_a_second_root() {
        assert_eq!(root_of(&[span("a", ""), span("c", "b")], None), Err(NotATree::Roots(2)));
    }

    #[test]
    fn a_repeat_is_no_tree() {
        let spans = [span("a", ""), span("a", "")];
        assert_eq!(root_of(&spans, None), Err(NotATree::Twice("a".into())));
        assert_eq!(repeats(&spans), 1);
    }

    #[test]
    fn a_root_under_a_stranger_is_not_the_clients_tree() {
        let spans = [span("a", "x")];
        let found = root_of(&spans, Some("client"));
        assert!(matches!(found, Err(NotATree::OtherParent { .. })), "{found:?}");
    }

    #[test]
    fn a_circle_beside_the_root_is_no_tree() {
        let spans = [span("a", ""), span("b", "c"), span("c", "b")];
        assert_eq!(root_of(&spans, None), Err(NotATree::Circle(vec!["b".into(), "c".into()])));
    }
}
