//! Properties of what the filter reads from strangers and writes for others: contexts in every dialect, the vendors'
//! list, sampling. Natively only. `PROPTEST_CASES=100000 cargo test --release -p spanferry-filter --test contexts` asks more.
#![cfg(not(target_arch = "wasm32"))]
// Helpers of tests, which clippy takes for production code.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use spanferry_filter::admission::{Arrival, Fate, join};
use spanferry_filter::header_map::{Lines, RequestHeaders, pairs};
use spanferry_filter::ids::IdSource;
use spanferry_filter::route::Route;
use spanferry_filter::sampling::choice::Choice;
use spanferry_filter::sampling::glob::Glob;
use spanferry_filter::sampling::{Keep, Rule, Sampler, Settings};
use spanferry_filter::trace_context::{
    Dialect, HeaderEdit, Propagation, baggage, extract, tracestate, w3c,
};

type Headers = Vec<(Vec<u8>, Vec<u8>)>;

const READ: [Dialect; 6] = [
    Dialect::TraceContext,
    Dialect::B3,
    Dialect::B3Multi,
    Dialect::Jaeger,
    Dialect::XRay,
    Dialect::Datadog,
];
const WRITE: [Dialect; 4] = [Dialect::TraceContext, Dialect::B3, Dialect::B3Multi, Dialect::Jaeger];

/// The proxy's wire form of a header map, written apart from the filter's reader.
fn serialized(headers: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let number = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
    let mut out = number(headers.len()).to_vec();
    for (name, value) in headers {
        out.extend(number(name.len()));
        out.extend(number(value.len()));
    }
    for (name, value) in headers {
        out.extend_from_slice(name);
        out.push(0);
        out.extend_from_slice(value);
        out.push(0);
    }
    out
}

/// Names that the filter knows, and values that are right, nearly right, or anything.
fn header() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let name = prop_oneof![
        12 => select(vec![
            "traceparent", "tracestate", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled",
            "x-b3-flags", "x-b3-parentspanid", "uber-trace-id", "x-amzn-trace-id",
            "x-datadog-trace-id", "x-datadog-parent-id", "x-datadog-sampling-priority",
            "x-datadog-tags", "baggage", "x-request-id", ":path", ":method", ":authority",
        ]).prop_map(|name| name.as_bytes().to_vec()),
        1 => any::<Vec<u8>>(),
    ];
    (name, value())
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        "0[01f]-[0-9a-fA]{31,32}-[0-9a-f]{16}-0[0-3](-x)?",
        "cc-[0-9a-f]{32}-[0-9a-f]{16}-0[01](-[a-z]*)?",
        "[0-9a-f]{16}([0-9a-f]{16})?-[0-9a-f]{16}(-[01d])?(-[0-9a-f]{16})?",
        "[0-9a-f]{1,33}(:|%3A)[0-9a-f]{1,17}(:|%3a)[0-9a-f]{0,2}(:|%3A)[0-9]{1,2}",
        "Root=1-[0-9a-f]{8}-[0-9a-f]{23,24};Parent=[0-9a-f]{16};Sampled=[01?]",
        "[0-9]{1,20}",
        "(_dd.p.dm=-1,)?_dd.p.tid=[0-9a-f]{15,16}",
        "ot=(th:[0-9a-f]{1,14})?;?(rv:[0-9a-f]{13,14})?(,[a-c]=[a-z]{1,9}){0,3}",
        "([a-z]{1,3}=[a-z0-9]{1,60} ?, ?){0,40}",
        "[01d]|true|false|-1|2",
        "[a-z]{1,3}=[a-z%0-9]{0,9}(;p=1)?(, ?[a-z]=%4[0-9a-g]){0,3}",
    ];
    prop_oneof![9 => text.prop_map(String::into_bytes), 1 => any::<Vec<u8>>()]
}

fn headers() -> impl Strategy<Value = Headers> {
    prop::collection::vec(header(), 0..12)
}

fn propagation() -> impl Strategy<Value = Propagation> {
    let read = subsequence(READ.to_vec(), 0..=READ.len()).prop_shuffle();
    let write = subsequence(WRITE.to_vec(), 0..=WRITE.len());
    (read, write).prop_map(|(read, write)| Propagation { read, write })
}

fn choice() -> impl Strategy<Value = Choice> {
    prop_oneof![
        Just(Choice::AlwaysOn),
        Just(Choice::AlwaysOff),
        (0.0..=1.0).prop_map(Choice::ratio)
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let rule = (choice(), "[/*a-c]{0,4}", proptest::option::of(0..3_u32)).prop_map(
        |(choice, path, max_per_second)| Rule {
            name: None,
            method: None,
            host: None,
            path: Some(Glob::new(path)),
            header: Some(("baggage".into(), Glob::new("*"))),
            choice,
            max_per_second,
        },
    );
    let rules = prop::collection::vec(rule, 0..3);
    let rate = proptest::option::of(0..3_u32);
    (any::<bool>(), choice(), rules, rate, any::<bool>()).prop_map(
        |(parent_based, default, rules, max_per_second, errors)| Settings {
            parent_based,
            default,
            rules,
            max_per_second,
            keep: Keep { errors, slower_than_ms: None },
        },
    )
}

/// The header map after an edit, as the proxy has it.
fn edited(headers: &mut Headers, edit: HeaderEdit<'_>) {
    if let HeaderEdit::Set(name, _) | HeaderEdit::Remove(name) = edit {
        headers.retain(|(key, _)| key != name.as_bytes());
    }
    if let HeaderEdit::Set(name, value) | HeaderEdit::Add(name, value) = edit {
        headers.push((name.into(), value.into()));
    }
}

proptest! {
    #[test]
    fn bytes_of_any_kind_are_read_without_a_panic(raw in any::<Vec<u8>>(), list in headers()) {
        let mut cut = serialized(&list);
        cut.truncate(raw.len() * 3);
        for raw in [&raw, &cut] {
            let headers = RequestHeaders::scan(raw);
            extract(&headers, &READ);
            baggage::member(&headers, "a");
            Route::read(raw);
            prop_assert!(pairs(raw).count() <= raw.len());
        }
    }

    /// Whatever came: the request goes on with one context, and no header that the filter writes or
    /// manages names another.
    #[test]
    fn every_header_that_goes_on_names_the_same_span(
        list in headers(), propagation in propagation(), settings in settings(), seed in any::<[u8; 32]>(),
    ) {
        let raw = serialized(&list);
        let scanned = RequestHeaders::scan(&raw);
        let arrival = Arrival { headers: &scanned, raw: &raw, route: None };
        let mut ids = IdSource::seeded(seed);
        let (mut sampler, is_watching) = (Sampler::new(settings.clone()), settings.keep.errors);
        let found = extract(&scanned, &propagation.read);
        let joined = join(&arrival, &propagation.read, &mut sampler, &mut ids, || 5);
        let context = joined.outgoing.context;
        prop_assert!(context.trace_id != [0; 16] && context.span_id != [0; 8]);
        let told = match joined.fate {
            Fate::Record(_) => true,
            Fate::Watch(_) => { prop_assert!(is_watching); false }
            Fate::Pass => { prop_assert!(!is_watching); false }
        };
        prop_assert_eq!(context.is_sampled(), told);
        if let Some(parent) = &found.parent {
            prop_assert_eq!(context.trace_id, parent.trace_id);
        }

        let mut sent = list.clone();
        joined.outgoing.apply(&scanned, &propagation, &mut |edit| edited(&mut sent, edit));
        let raw = serialized(&sent);
        let scanned = RequestHeaders::scan(&raw);
        for dialect in READ {
            let is_b3 = matches!(dialect, Dialect::B3 | Dialect::B3Multi);
            let knows = |list: &[Dialect]| list.contains(&dialect)
                || (is_b3 && (list.contains(&Dialect::B3) || list.contains(&Dialect::B3Multi)));
            if !knows(&propagation.read) && !knows(&propagation.write) {
                continue;
            }
            let next = extract(&scanned, &[dialect]);
            prop_assert_eq!(next.parent.is_some(), knows(&propagation.write), "{:?}", dialect);
            if let Some(next_parent) = next.parent {
                prop_assert_eq!(next_parent.trace_id, context.trace_id);
                prop_assert_eq!(next_parent.span_id, context.span_id);
                prop_assert_eq!(next.decision, Some(told));
                prop_assert_eq!(next.is_debug, is_debug_told(dialect, joined.outgoing.is_debug));
                prop_assert!(!next.stale_state || dialect != Dialect::TraceContext);
            }
        }
    }

    #[test]
    fn a_traceparent_that_is_written_is_read_back(
        trace_id in any::<[u8; 16]>(), span_id in any::<[u8; 8]>(), flags in 0..4_u8,
    ) {
        let context = spanferry_filter::trace_context::SpanContext { trace_id, span_id, flags };
        let read = w3c::parse_traceparent(w3c::write_traceparent(&context).as_bytes());
        let is_valid = trace_id != [0; 16] && span_id != [0; 8];
        prop_assert_eq!(read, is_valid.then_some((trace_id, span_id, flags)));
    }

    #[test]
    fn a_list_stays_valid_and_within_its_bounds(
        lines in prop::collection::vec(value(), 0..4), threshold in proptest::option::of(0..1_u64 << 56),
    ) {
        let lines: Lines<'_> = lines.iter().map(Vec::as_slice).collect();
        let Some(list) = tracestate::join(&lines) else { return Ok(()) };
        prop_assert!(list.len() <= 512);
        let before = tracestate::probability(&list);
        let after = tracestate::with_threshold(&list, threshold);
        let again = tracestate::join(&std::iter::once(after.as_bytes()).collect());
        prop_assert_eq!(again.as_deref(), Some(&*after));
        let told = tracestate::probability(&after);
        prop_assert_eq!(told.threshold, threshold);
        prop_assert_eq!(told.randomness, before.randomness);
        prop_assert_eq!(tracestate::with_threshold(&after, threshold), after);
    }

    #[test]
    fn a_larger_ratio_takes_what_a_smaller_one_takes(
        one in 0.0..=1.0, other in 0.0..=1.0, randomness in 0..1_u64 << 56,
    ) {
        let (small, large) = if one < other { (one, other) } else { (other, one) };
        prop_assert!(!Choice::ratio(small).takes(randomness) || Choice::ratio(large).takes(randomness));
    }

    #[test]
    fn a_pattern_matches_as_its_definition_says(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
        fn matches(pattern: &[u8], text: &[u8]) -> bool {
            match (pattern, text) {
                ([], text) => text.is_empty(),
                ([b'*', rest @ ..], text) => {
                    matches(rest, text) || (!text.is_empty() && matches(pattern, &text[1..]))
                }
                ([wanted, rest @ ..], [byte, text @ ..]) => wanted == byte && matches(rest, text),
                _ => false,
            }
        }
        let wanted = matches(pattern.as_bytes(), text.as_bytes());
        prop_assert_eq!(Glob::new(pattern).matches(text.as_bytes()), wanted);
    }
}

/// W3C Trace Context has no word for debugging.
fn is_debug_told(dialect: Dialect, is_debug: bool) -> bool {
    is_debug && dialect != Dialect::TraceContext
}
