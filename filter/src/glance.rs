//! A first glance at a request: where its caller did not sample it, or where it has none and the default
//! leaves its new trace out, one header tells that there is nothing to record, at a fraction of the price of
//! all headers. Only where nothing else could matter, and only while it pays: after a request that was left
//! out, since such requests come in runs.

use crate::admission::Fate;
use crate::config::Config;
use crate::host::HostError;
use crate::ids::IdSource;
use crate::sampling::choice::{Choice, randomness};
use crate::trace_context::{Dialect, SAMPLED, SpanContext, w3c};

/// What one header told of a request that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// By its caller: it goes on as it came.
    ByCaller,
    /// By the default, since it has no caller: it goes on with this context, which says so.
    Here(SpanContext),
}

/// Whether to look at one header first.
#[derive(Debug)]
pub struct Glance {
    /// Nothing but the caller's flag matters.
    is_allowed: bool,
    /// Decides alone on a request without a caller, whatever it is.
    of_new: Option<Choice>,
    /// The request before was left out, or one more like it is likely to be.
    is_promising: bool,
}

impl Glance {
    /// By what is configured. Without entropy the ids need each request's id, which a glance does not see.
    pub fn new(config: &Config, has_entropy: bool) -> Self {
        const W3C: [Dialect; 1] = [Dialect::TraceContext];
        let propagation = &config.propagation;
        let is_plain = propagation.read == W3C && propagation.write == W3C;
        let sampling = &config.sampling;
        let is_callers_word = sampling.parent_based && !sampling.keep.is_on();
        let is_allowed = is_plain && is_callers_word && !config.route_overrides;
        let is_default_alone = sampling.rules.is_empty() && config.exclude_paths.is_empty();
        let is_decided = is_allowed && is_default_alone && has_entropy;
        let of_new = is_decided.then_some(sampling.default);
        Self { is_allowed, of_new, is_promising: false }
    }

    /// Whether the request's `traceparent` is to be read alone, before all headers.
    pub fn is_worth_it(&self) -> bool {
        self.is_allowed && self.is_promising
    }

    /// What the request's `traceparent`, as the proxy gave it, tells; `None` when all headers must.
    pub fn sees(
        &self,
        traceparent: &Result<Vec<u8>, HostError>,
        ids: &mut IdSource,
    ) -> Option<LeftOut> {
        match traceparent {
            Ok(value) if is_left_out(value) => Some(LeftOut::ByCaller),
            Err(error) if error.is_not_found() => self.left_out_anew(ids).map(LeftOut::Here),
            _ => None,
        }
    }

    /// The context of a new trace that is left out. The ids of one that is taken are not drawn yet: who looks again draws the
    /// same, or the share would be that of two draws.
    fn left_out_anew(&self, ids: &mut IdSource) -> Option<SpanContext> {
        let choice = self.of_new?;
        let mut drawn = ids.clone();
        let trace_id = drawn.trace_id();
        if choice.takes(randomness(&trace_id)) {
            return None;
        }
        let span_id = drawn.span_id();
        *ids = drawn;
        Some(SpanContext { trace_id, span_id, flags: 0 })
    }

    /// Remembers what became of a request. One that began its trace says little of the next where most are left out.
    pub fn learn(&mut self, fate: &Fate) {
        self.is_promising = match fate {
            Fate::Pass => true,
            Fate::Record(recording) | Fate::Watch(recording) => {
                recording.parent.is_none() && self.of_new.is_some_and(Choice::leaves_most_out)
            }
        };
    }
}

/// Whether a request with this `traceparent` goes on as it came. A second one is not seen here: both then
/// go on, and their receiver takes them for none.
fn is_left_out(traceparent: &[u8]) -> bool {
    let is_current = traceparent.starts_with(b"00-") && traceparent.ends_with(b"-00");
    let flags = w3c::parse_traceparent(traceparent).map(|(_, _, flags)| flags);
    is_current && flags.is_some_and(|flags| flags & SAMPLED == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::Recording;
    use crate::testing::test;
    use crate::trace_context::Parent;

    const NOT_FOUND: HostError = HostError { call: "get_request_header", status: 1 };
    const OFF: &str = r#","sampling":{"default":"always_off"}"#;
    const TENTH: &str = r#","sampling":{"default":{"ratio":0.1}}"#;

    fn glance(keys: &str, has_entropy: bool) -> Glance {
        let config = Config::parse(format!(r#"{{"cluster":"b"{keys}}}"#).as_bytes()).unwrap();
        Glance::new(&config, has_entropy)
    }

    fn pays(keys: &str) -> bool {
        let mut glance = glance(keys, true);
        assert!(!glance.is_worth_it(), "not before a request was left out");
        glance.learn(&Fate::Pass);
        glance.is_worth_it()
    }

    #[test]
    fn one_header_is_enough_where_nothing_else_matters() {
        assert!(pays(""));
        assert!(pays(r#","sampling":{"default":"always_off","max_per_second":5}"#));
        for keys in [
            r#","sampling":{"parent_based":false}"#,
            r#","sampling":{"keep":{"errors":true}}"#,
            r#","propagators":["tracecontext","b3"]"#,
            r#","inject":["tracecontext","b3"]"#,
            r#","route_overrides":true"#,
        ] {
            assert!(!pays(keys), "{keys}");
        }
    }

    #[test]
    fn a_request_without_a_caller_is_left_out_only_where_the_default_alone_decides() {
        const BROKEN: HostError = HostError { status: 10, ..NOT_FOUND };
        let is_left_out = |keys: &str, has_entropy, error| {
            let mut ids = IdSource::seeded([7; 32]);
            let seen = glance(keys, has_entropy).sees(&Err(error), &mut ids);
            matches!(seen, Some(LeftOut::Here(context)) if context.flags == 0)
        };
        assert!(is_left_out(OFF, true, NOT_FOUND));
        assert!(!is_left_out(OFF, true, BROKEN));
        assert!(!is_left_out(OFF, false, NOT_FOUND));
        for keys in [
            "",
            r#","sampling":{"default":{"ratio":1}}"#,
            r#","sampling":{"default":"always_off","rules":[{"path":"/a*","sample":"always_on"}]}"#,
            r#","sampling":{"default":"always_off"},"exclude_paths":["/health"]"#,
            r#","sampling":{"default":"always_off","keep":{"errors":true}}"#,
            r#","sampling":{"default":"always_off"},"inject":["b3"]"#,
        ] {
            assert!(!is_left_out(keys, true, NOT_FOUND), "{keys}");
        }
    }

    #[test]
    fn a_share_is_left_out_by_the_ids_that_go_on_and_one_that_is_taken_has_the_ids_next() {
        let (glance, mut ids) = (glance(TENTH, true), IdSource::seeded([7; 32]));
        let taken = Choice::ratio(0.1);
        let mut left_out = 0;
        for _ in 0..1000 {
            let mut next = ids.clone();
            let drawn = next.trace_id();
            match glance.sees(&Err(NOT_FOUND), &mut ids) {
                Some(LeftOut::Here(context)) => {
                    assert!(context.trace_id == drawn && !taken.takes(randomness(&drawn)));
                    left_out += 1;
                }
                _ => {
                    assert!(taken.takes(randomness(&drawn)));
                    assert_eq!(ids.trace_id(), drawn);
                }
            }
        }
        assert!((850..950).contains(&left_out), "{left_out}");
    }

    #[test]
    fn it_stops_where_requests_are_recorded_again_unless_most_new_ones_are_left_out() {
        let goes_on = |keys, parent| {
            let mut glance = glance(keys, true);
            glance.learn(&Fate::Pass);
            let context = SpanContext { trace_id: [1; 16], span_id: [2; 8], flags: SAMPLED };
            let (root_state, rule, has_other_tracer) = (String::new(), None, false);
            let recording = Recording { context, parent, root_state, rule, has_other_tracer };
            glance.learn(&Fate::Record(recording));
            glance.is_worth_it()
        };
        let caller = || Some(Parent::new([1; 16], [1; 8]));
        assert!(!goes_on("", None) && !goes_on("", caller()));
        assert!(goes_on(TENTH, None) && !goes_on(TENTH, caller()));
        assert!(!goes_on(r#","sampling":{"default":{"ratio":0.9}}"#, None));
    }

    #[test]
    fn only_a_valid_unsampled_caller_leaves_a_request_out() {
        let with =
            |end: &str| format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{end}");
        assert!(is_left_out(with("00").as_bytes()));
        for end in ["01", "03", "00-x", "0"] {
            assert!(!is_left_out(with(end).as_bytes()), "{end}");
        }
        assert!(!is_left_out(b""));
        assert!(!is_left_out(with("00").replace("00-4b", "cc-4b").as_bytes()));
        assert!(!is_left_out(b"00-00000000000000000000000000000000-00f067aa0ba902b7-00"));
    }
}
