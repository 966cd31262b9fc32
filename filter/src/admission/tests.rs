use super::*;
use crate::config::Config;
use crate::header_map::serialize;
use crate::testing::test;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn configured(sampling: &str) -> Config {
    let json = format!(r#"{{"cluster":"b","exclude_paths":["/health"],"sampling":{sampling}}}"#);
    Config::parse(json.as_bytes()).unwrap()
}

fn joined(sampling: &str, traceparent: &[&str], tracestate: &[&str]) -> Joined {
    let config = configured(sampling);
    let list: Vec<(&[u8], &[u8])> = [(&b":path"[..], &b"/cart"[..])]
        .into_iter()
        .chain(traceparent.iter().map(|value| (&b"traceparent"[..], value.as_bytes())))
        .chain(tracestate.iter().map(|value| (&b"tracestate"[..], value.as_bytes())))
        .collect();
    let raw = serialize(&list);
    let arrival = Arrival { headers: &RequestHeaders::scan(&raw), raw: &raw, route: None };
    let mut ids = IdSource::seeded([3; 32]);
    join(&arrival, &config.propagation.read, &mut Sampler::new(config.sampling), &mut ids, || 0)
}

fn record(joined: Joined) -> Recording {
    match joined.fate {
        Fate::Record(recording) => recording,
        other => panic!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::new();
    trace_context::hex::push(&mut out, bytes);
    out
}

#[test]
fn a_valid_parent_is_continued_with_a_span_of_our_own() {
    let joined = joined("{}", &[&format!("00-{TRACE}-{PARENT}-01")], &["a=1"]);
    let context = joined.outgoing.context;
    assert_eq!(hex(&context.trace_id), TRACE);
    assert_ne!(hex(&context.span_id), PARENT);
    assert_eq!(context.flags, 0x01);
    assert_eq!(joined.outgoing.state, StateEdit::Leave);
    let recording = record(joined);
    assert_eq!(recording.context, context);
    assert_eq!(recording.parent.unwrap().state, "a=1");
}

#[test]
fn the_random_flag_goes_on() {
    let joined = joined("{}", &[&format!("cc-{TRACE}-{PARENT}-03-more")], &[]);
    assert_eq!(joined.outgoing.context.flags, 0x03);
}

#[test]
fn an_invalid_parent_begins_a_new_trace_without_the_state() {
    let joined = joined("{}", &[&format!("ff-{TRACE}-{PARENT}-01")], &["a=1"]);
    assert_ne!(hex(&joined.outgoing.context.trace_id), TRACE);
    assert_eq!(joined.outgoing.context.flags, 0x01);
    assert_eq!(joined.outgoing.state, StateEdit::Remove);
    assert_eq!(record(joined).parent, None);
}

#[test]
fn an_unsampled_request_goes_on_with_its_callers_span() {
    let joined = joined("{}", &[&format!("00-{TRACE}-{PARENT}-00")], &["a=1"]);
    assert_eq!(joined.fate, Fate::Pass);
    assert_eq!(hex(&joined.outgoing.context.span_id), PARENT);
    assert_eq!((joined.outgoing.context.flags, joined.outgoing.state), (0, StateEdit::Leave));
}

#[test]
fn a_new_trace_that_is_not_sampled_says_so() {
    let joined = joined(r#"{"default":"always_off"}"#, &[], &[]);
    assert_eq!((joined.fate, joined.outgoing.context.flags), (Fate::Pass, 0));
    assert_ne!(joined.outgoing.context.trace_id, [0; 16]);
}

#[test]
fn a_watched_request_goes_on_unsampled_with_a_span_of_our_own() {
    let parent = format!("00-{TRACE}-{PARENT}-00");
    let joined = joined(r#"{"keep":{"errors":true}}"#, &[&parent], &[]);
    assert_eq!(joined.outgoing.context.flags, 0);
    assert_ne!(hex(&joined.outgoing.context.span_id), PARENT);
    let Fate::Watch(recording) = joined.fate else { panic!("{:?}", joined.fate) };
    assert_eq!(recording.context, joined.outgoing.context);
    assert_eq!(hex(&recording.parent.unwrap().span_id), PARENT);
}

#[test]
fn a_decision_against_the_caller_changes_the_flag() {
    let off = r#"{"parent_based":false,"default":"always_off"}"#;
    let joined_off = joined(off, &[&format!("00-{TRACE}-{PARENT}-03")], &[]);
    assert_eq!((joined_off.fate, joined_off.outgoing.context.flags), (Fate::Pass, 0x02));
    let on = r#"{"parent_based":false}"#;
    let joined_on = joined(on, &[&format!("00-{TRACE}-{PARENT}-00")], &[]);
    assert_eq!(joined_on.outgoing.context.flags, 0x01);
    assert!(matches!(joined_on.fate, Fate::Record(_)));
}

const ALL_BY_RATIO: &str = r#"{"parent_based":false,"default":{"ratio":1}}"#;

#[test]
fn a_ratio_says_its_threshold_upstream_and_in_the_span() {
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let with_parent = joined(ALL_BY_RATIO, &[&parent], &["a=1,ot=th:8"]);
    assert_eq!(with_parent.outgoing.state, StateEdit::Set("ot=th:0,a=1".into()));
    assert_eq!(record(with_parent).parent.unwrap().state, "ot=th:0,a=1");
    let root = joined(ALL_BY_RATIO, &[], &["a=1"]);
    assert_eq!(root.outgoing.state, StateEdit::Set("ot=th:0".into()));
    assert_eq!(record(root).root_state, "ot=th:0");
}

#[test]
fn explicit_randomness_stands_in_for_the_trace_ids() {
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let half = r#"{"parent_based":false,"default":{"ratio":0.5}}"#;
    let sampled = |rv| joined(half, &[&parent], &[rv]).outgoing.context.is_sampled();
    assert!(sampled("ot=rv:80000000000000"));
    assert!(!sampled("ot=rv:7fffffffffffff"));
    // The trace id ends in ce929d0e0e4736: above the half.
    assert!(sampled("a=1"));
}

#[test]
fn a_callers_threshold_stays_unless_it_does_not_fit_to_its_flag() {
    let state = |flag: &str, th: &str| {
        let parent = format!("00-{TRACE}-{PARENT}-{flag}");
        joined("{}", &[&parent], &[&format!("ot=th:{th};rv:80000000000000")]).outgoing.state
    };
    let erased = StateEdit::Set("ot=rv:80000000000000".into());
    assert_eq!(state("01", "8"), StateEdit::Leave);
    assert_eq!(state("00", "9"), StateEdit::Leave);
    assert_eq!(state("01", "9"), erased);
    assert_eq!(state("00", "8"), erased);
}

#[test]
fn a_decision_of_unknown_probability_erases_the_threshold() {
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let state = joined(r#"{"parent_based":false}"#, &[&parent], &["ot=th:8,a=1"]).outgoing.state;
    assert_eq!(state, StateEdit::Set("a=1".into()));
}

#[test]
fn our_own_callouts_and_excluded_paths_are_left_alone() {
    let exclude = ["/health".to_owned()];
    let mut headers = RequestHeaders { from_spanferry: true, ..RequestHeaders::default() };
    assert!(is_left_alone(&headers, &exclude));
    headers.from_spanferry = false;
    headers.path = b"/healthz?x";
    assert!(is_left_alone(&headers, &exclude));
    headers.path = b"/api/health";
    assert!(!is_left_alone(&headers, &exclude));
}

#[test]
fn a_name_of_the_rule_goes_with_the_span() {
    let sampling =
        r#"{"default":"always_off","rules":[{"name":"cart","path":"/ca*","sample":"always_on"}]}"#;
    assert_eq!(record(joined(sampling, &[], &[])).rule, Some(0));
}

const OTHER: &str = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01";

fn rejoined(recording: &mut Recording, traceparent: &[&str]) -> (String, String) {
    let traceparent = traceparent.iter().map(|value| value.as_bytes()).collect();
    recording.rejoin(&RequestHeaders { traceparent, ..RequestHeaders::default() });
    let parent = recording.parent.as_ref().map(|parent| hex(&parent.span_id));
    (hex(&recording.context.trace_id), parent.unwrap_or_default())
}

#[test]
fn a_span_joins_the_trace_that_the_proxys_own_tracer_wrote() {
    let mut root = record(joined(ALL_BY_RATIO, &[], &[]));
    let span_id = root.context.span_id;
    assert_eq!(rejoined(&mut root, &[OTHER]), ("a".repeat(32), "b".repeat(16)));
    assert_eq!((root.context.span_id, &*root.root_state), (span_id, ""));
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let mut child = record(joined("{}", &[&parent], &["a=1"]));
    let native = format!("00-{TRACE}-bbbbbbbbbbbbbbbb-01");
    assert_eq!(rejoined(&mut child, &[&native]), (TRACE.to_owned(), "b".repeat(16)));
    assert_eq!(child.parent.unwrap().state, "a=1");
}

#[test]
fn our_own_context_or_none_changes_nothing() {
    let mut child = record(joined("{}", &[&format!("00-{TRACE}-{PARENT}-01")], &[]));
    let own = trace_context::w3c::write_traceparent(&child.context);
    for upstream in [&[&*own][..], &[], &["broken"], &[OTHER, OTHER]] {
        assert_eq!(rejoined(&mut child, upstream), (TRACE.to_owned(), PARENT.to_owned()));
    }
}

#[test]
fn the_request_id_says_whether_envoy_traces_it() {
    for (id, traced) in [
        ("8f14e45f-ceea-467f-9575-6c1f2b6b1c1a", false),
        ("8f14e45f-ceea-967f-9575-6c1f2b6b1c1a", true),
        ("8f14e45f-ceea-a67f-9575-6c1f2b6b1c1a", true),
        ("8f14e45f-ceea-b67f-9575-6c1f2b6b1c1a", true),
        ("", false),
        ("not-a-uuid-99999", false),
    ] {
        assert_eq!(has_other_tracer(id.as_bytes()), traced, "{id}");
    }
}
