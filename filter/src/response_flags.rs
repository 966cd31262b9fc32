//! Envoy's response flags: bits of the attribute `response.flags`, in the order of its `CoreResponseFlag`.

/// Short name (as `%RESPONSE_FLAGS%` prints it) and the reason in snake case, for bits 0 to 29.
const FLAGS: [(&str, &str); 30] = [
    ("LH", "failed_local_health_check"),
    ("UH", "no_healthy_upstream"),
    ("UT", "upstream_request_timeout"),
    ("LR", "local_reset"),
    ("UR", "upstream_remote_reset"),
    ("UF", "upstream_connection_failure"),
    ("UC", "upstream_connection_termination"),
    ("UO", "upstream_overflow"),
    ("NR", "no_route_found"),
    ("DI", "delay_injected"),
    ("FI", "fault_injected"),
    ("RL", "rate_limited"),
    ("UAEX", "unauthorized_external_service"),
    ("RLSE", "rate_limit_service_error"),
    ("DC", "downstream_connection_termination"),
    ("URX", "upstream_retry_limit_exceeded"),
    ("SI", "stream_idle_timeout"),
    ("IH", "invalid_envoy_request_headers"),
    ("DPE", "downstream_protocol_error"),
    ("UMSDR", "upstream_max_stream_duration_reached"),
    ("RFCF", "response_from_cache_filter"),
    ("NFCF", "no_filter_config_found"),
    ("DT", "duration_timeout"),
    ("UPE", "upstream_protocol_error"),
    ("NC", "no_cluster_found"),
    ("OM", "overload_manager"),
    ("DF", "dns_resolution_failed"),
    ("DO", "drop_overload"),
    ("DR", "downstream_remote_reset"),
    ("UDO", "unconditional_drop_overload"),
];

/// Flags that say that an answer which had begun was cut short on the service's side:
/// LR, UR, UC, SI, UMSDR, DT, UPE.
const ANSWER_CUT_SHORT: u64 = 1 << 3 | 1 << 4 | 1 << 6 | 1 << 16 | 1 << 19 | 1 << 22 | 1 << 23;
/// Flags that say what ended a request before its time, timeouts and resets:
/// UT, LR, UR, UF, UC, DC, SI, DPE, UMSDR, DT, UPE, DR.
const ENDED: u64 = ANSWER_CUT_SHORT | 1 << 2 | 1 << 5 | 1 << 14 | 1 << 18 | 1 << 28;
/// Flags that say that the client went: DC, DR.
const CLIENT_LEFT: u64 = 1 << 14 | 1 << 28;

/// The short names of the flags that are set, joined by commas: `UF,URX`. Bits that are not known here
/// are left out.
pub fn short_names(flags: u64) -> String {
    let mut out = String::new();
    for (short, _) in set(flags) {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(short);
    }
    out
}

/// Why there was no answer: the first flag that is set, for `error.type`.
pub fn reason(flags: u64) -> Option<&'static str> {
    set(flags).next().map(|(_, reason)| *reason)
}

/// Why an answer that had begun did not end well, if so.
pub fn cut_short(flags: u64) -> Option<&'static str> {
    reason(flags & ANSWER_CUT_SHORT)
}

/// The timeouts and resets that ended a request, in snake case.
pub fn ended_by(flags: u64) -> impl Iterator<Item = &'static str> {
    set(flags & ENDED).map(|(_, reason)| *reason)
}

/// Whether the client went before its answer was complete.
pub fn client_left(flags: u64) -> bool {
    flags & CLIENT_LEFT != 0
}

/// The flags that are set, from the lowest bit on; usually none, and then nothing is looked at.
fn set(mut flags: u64) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    std::iter::from_fn(move || {
        let names = FLAGS.get(flags.trailing_zeros() as usize)?;
        flags &= flags - 1;
        Some(names)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn flags_are_named_as_the_access_log_names_them() {
        assert_eq!(short_names(0), "");
        assert_eq!(short_names(1 << 5 | 1 << 15), "UF,URX");
        assert_eq!(short_names(1 << 29), "UDO");
        assert_eq!(short_names(1 << 63), "");
    }

    #[test]
    fn timeouts_and_resets_end_a_request_and_other_flags_do_not() {
        let named: Vec<&str> = ended_by(u64::MAX).collect();
        assert_eq!(
            named,
            [
                "upstream_request_timeout",
                "local_reset",
                "upstream_remote_reset",
                "upstream_connection_failure",
                "upstream_connection_termination",
                "downstream_connection_termination",
                "stream_idle_timeout",
                "downstream_protocol_error",
                "upstream_max_stream_duration_reached",
                "duration_timeout",
                "upstream_protocol_error",
                "downstream_remote_reset",
            ]
        );
        assert_eq!(ended_by(1 << 8 | 1 << 10 | 1 << 15).count(), 0);
        assert!(client_left(1 << 28) && client_left(1 << 14) && !client_left(1 << 6));
    }

    #[test]
    fn a_client_that_leaves_does_not_cut_the_answer_short() {
        assert_eq!(reason(1 << 14), Some("downstream_connection_termination"));
        assert_eq!(cut_short(1 << 14), None);
        assert_eq!(cut_short(1 << 14 | 1 << 4), Some("upstream_remote_reset"));
    }
}
