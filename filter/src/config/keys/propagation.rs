//! `propagators` and `inject`: which dialects of the trace context are read and written.

use crate::config::section::Section;
use crate::config::shape::{Key, Shape};
use crate::trace_context::{Dialect, Propagation};

/// What is read.
pub const PROPAGATORS: Key = Key::new(
    "propagators",
    Shape::Words(&["tracecontext", "b3", "b3multi", "jaeger", "xray", "datadog"]),
)
.default("[\"tracecontext\"]")
.doc("The dialects of the trace context that are read, in this order: the first valid one wins. `b3` and `b3multi` both read either form. Headers of a dialect that is named here and not in `inject` are removed, so that none names another trace; those of a dialect that is named nowhere are left alone. An empty list trusts no caller: every request begins a trace.");

/// What is written.
pub const INJECT: Key =
    Key::new("inject", Shape::Words(&["tracecontext", "b3", "b3multi", "jaeger"]))
        .default("[\"tracecontext\"]")
        .doc("The dialects of the trace context that requests go on with.");

/// Both keys.
pub fn propagation(top: &Section<'_>) -> Propagation {
    let dialects = |name| top.texts(name).iter().filter_map(|word| dialect(word)).collect();
    Propagation { read: dialects(PROPAGATORS.name), write: dialects(INJECT.name) }
}

fn dialect(word: &str) -> Option<Dialect> {
    Some(match word {
        "tracecontext" => Dialect::TraceContext,
        "b3" => Dialect::B3,
        "b3multi" => Dialect::B3Multi,
        "jaeger" => Dialect::Jaeger,
        "xray" => Dialect::XRay,
        "datadog" => Dialect::Datadog,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::testing::test;

    #[test]
    fn w3c_trace_context_is_read_and_written_by_default() {
        let propagation = Config::default().propagation;
        assert_eq!(propagation.read, [Dialect::TraceContext]);
        assert_eq!(propagation.write, [Dialect::TraceContext]);
    }

    #[test]
    fn dialects_are_read_in_the_order_given() {
        let json = br#"{"cluster":"b","propagators":["datadog","b3","tracecontext"],"inject":["b3multi","jaeger"]}"#;
        let propagation = Config::parse(json).unwrap().propagation;
        assert_eq!(propagation.read, [Dialect::Datadog, Dialect::B3, Dialect::TraceContext]);
        assert_eq!(propagation.write, [Dialect::B3Multi, Dialect::Jaeger]);
    }

    #[test]
    fn every_word_of_the_table_is_a_dialect() {
        for key in [PROPAGATORS, INJECT] {
            let Shape::Words(words) = key.shape else { panic!("{key:?}") };
            assert!(words.iter().all(|word| dialect(word).is_some()), "{words:?}");
        }
    }

    #[test]
    fn a_dialect_that_cannot_be_written_or_comes_twice_is_refused() {
        for (json, fault) in [
            (r#"{"cluster":"b","inject":["xray"]}"#, "`inject[0]` is \"xray\"; allowed: a list"),
            (r#"{"cluster":"b","propagators":["b3","b3"]}"#, "`propagators[1]` is \"b3\""),
            (r#"{"cluster":"b","propagators":"b3"}"#, "`propagators` is \"b3\""),
        ] {
            let error = Config::parse(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(fault), "{json}: {error}");
        }
    }
}
