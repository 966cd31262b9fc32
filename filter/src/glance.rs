//! A first glance at a request: where its caller did not sample it, one header tells that there is nothing
//! to do, at a fraction of the price of all headers. Only where nothing else could matter, and only while it
//! pays: after a request that was left out, since such requests come in runs.

use crate::config::Config;
use crate::trace_context::{Dialect, SAMPLED, w3c};

/// Whether to look at one header first.
#[derive(Debug)]
pub struct Glance {
    /// Nothing but the caller's flag matters.
    is_allowed: bool,
    /// The request before was left out.
    is_promising: bool,
}

impl Glance {
    /// By what is configured.
    pub fn new(config: &Config) -> Self {
        const W3C: [Dialect; 1] = [Dialect::TraceContext];
        let propagation = &config.propagation;
        let is_plain = propagation.read == W3C && propagation.write == W3C;
        let sampling = &config.sampling;
        let is_callers_word = sampling.parent_based && !sampling.keep.is_on();
        let is_allowed = is_plain && is_callers_word && !config.route_overrides;
        Self { is_allowed, is_promising: false }
    }

    /// Whether the request's `traceparent` is to be read alone, before all headers.
    pub fn is_worth_it(&self) -> bool {
        self.is_allowed && self.is_promising
    }

    /// Remembers what became of a request.
    pub fn learn(&mut self, is_left_out: bool) {
        self.is_promising = is_left_out;
    }
}

/// Whether a request with this `traceparent` goes on as it came. A second one is not seen here: both then
/// go on, and their receiver takes them for none.
pub fn is_left_out(traceparent: &[u8]) -> bool {
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
        let mut glance = Glance::new(&config);
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
    fn it_stops_where_requests_are_recorded_again() {
        let mut glance = Glance { is_allowed: true, is_promising: true };
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
