//! A first glance at a request: where its caller did not sample it, or where it has none and the default is
//! to leave it out, one header tells that there is nothing to record, at a fraction of the price of all
//! headers. Only where nothing else could matter, and only while it pays: after a request that was left
//! out, since such requests come in runs.

use crate::config::Config;
use crate::host::HostError;
use crate::sampling::choice::Choice;
use crate::trace_context::{Dialect, SAMPLED, w3c};

/// What one header told of a request that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// By its caller: it goes on as it came.
    ByCaller,
    /// By the default, since it has no caller: it goes on with a context that says so.
    Here,
}

/// Whether to look at one header first.
#[derive(Debug)]
pub struct Glance {
    /// Nothing but the caller's flag matters.
    is_allowed: bool,
    /// A request without a caller is left out, whatever it is.
    leaves_new_out: bool,
    /// The request before was left out.
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
        let leaves_new_out =
            is_allowed && is_default_alone && has_entropy && sampling.default == Choice::AlwaysOff;
        Self { is_allowed, leaves_new_out, is_promising: false }
    }

    /// Whether the request's `traceparent` is to be read alone, before all headers.
    pub fn is_worth_it(&self) -> bool {
        self.is_allowed && self.is_promising
    }

    /// What the request's `traceparent`, as the proxy gave it, tells; `None` when all headers must.
    pub fn sees(&self, traceparent: &Result<Vec<u8>, HostError>) -> Option<LeftOut> {
        match traceparent {
            Ok(value) if is_left_out(value) => Some(LeftOut::ByCaller),
            Err(error) if error.is_not_found() && self.leaves_new_out => Some(LeftOut::Here),
            _ => None,
        }
    }

    /// Remembers what became of a request.
    pub fn learn(&mut self, is_left_out: bool) {
        self.is_promising = is_left_out;
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
    use crate::testing::test;

    fn pays(keys: &str) -> bool {
        let config = Config::parse(format!(r#"{{"cluster":"b"{keys}}}"#).as_bytes()).unwrap();
        let mut glance = Glance::new(&config, true);
        assert!(!glance.is_worth_it(), "not before a request was left out");
        glance.learn(true);
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
        const NOT_FOUND: HostError = HostError { call: "get_request_header", status: 1 };
        const BROKEN: HostError = HostError { status: 10, ..NOT_FOUND };
        let sees = |keys: &str, has_entropy: bool, error: HostError| {
            let config = Config::parse(format!(r#"{{"cluster":"b"{keys}}}"#).as_bytes()).unwrap();
            Glance::new(&config, has_entropy).sees(&Err(error))
        };
        const OFF: &str = r#","sampling":{"default":"always_off"}"#;
        assert_eq!(sees(OFF, true, NOT_FOUND), Some(LeftOut::Here));
        assert_eq!(sees(OFF, true, BROKEN), None);
        assert_eq!(sees(OFF, false, NOT_FOUND), None);
        for keys in [
            "",
            r#","sampling":{"default":{"ratio":0.1}}"#,
            r#","sampling":{"default":"always_off","rules":[{"path":"/a*","sample":"always_on"}]}"#,
            r#","sampling":{"default":"always_off"},"exclude_paths":["/health"]"#,
            r#","sampling":{"default":"always_off","keep":{"errors":true}}"#,
            r#","sampling":{"default":"always_off"},"inject":["b3"]"#,
        ] {
            assert_eq!(sees(keys, true, NOT_FOUND), None, "{keys}");
        }
    }

    #[test]
    fn it_stops_where_requests_are_recorded_again() {
        let mut glance = Glance { is_allowed: true, leaves_new_out: true, is_promising: true };
        glance.learn(false);
        assert!(!glance.is_worth_it());
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
