use super::*;
use crate::host::fake::{CALLS, Fake, STATUSES};
use crate::testing::test;

const ROOT: u32 = 1;

/// A configuration that has everything read that can be.
const EVERY_READ: &str = r#"{"cluster": "bridge", "attributes": "both", "custom_attributes": [
    {"key": "pod", "environment": "POD"}, {"key": "id", "request_header": "x-id"},
    {"key": "tls", "property": ["connection", "tls_version"]}]}"#;

/// A VM with one root, configured.
fn started(fake: &Fake) -> Vm<&Fake> {
    let mut vm = Vm::new(fake);
    vm.on_context_create(ROOT, 0);
    vm.on_configure(ROOT, 1);
    vm
}

/// A request from its begin to its end.
fn request(vm: &mut Vm<&Fake>, context: u32) {
    open(vm, context);
    close(vm, context);
}

fn open(vm: &mut Vm<&Fake>, context: u32) {
    vm.on_context_create(context, ROOT);
    vm.on_request_headers(context, false);
}

fn close(vm: &mut Vm<&Fake>, context: u32) {
    vm.on_response_headers(context);
    vm.on_log(context);
    assert!(vm.on_done(context));
}

fn pass(fake: &Fake, ms: u64) {
    fake.now_ms.set(fake.now_ms.get() + ms);
}

/// A minute passes, ticks come, and the calls that they make are answered.
fn settle(vm: &mut Vm<&Fake>, fake: &Fake) {
    pass(fake, 60_000);
    let answered = fake.posted.borrow().len();
    vm.on_tick(ROOT);
    vm.on_tick(ROOT);
    let tokens: Vec<u32> = fake.posted.borrow()[answered..].iter().map(|call| call.0).collect();
    for token in tokens {
        vm.on_http_call_response(ROOT, token, fake.answer.borrow().1.len());
    }
}

fn balances(vm: &mut Vm<&Fake>) -> bool {
    let worker = vm.roots[0].worker().unwrap();
    worker.outbox.ledger().balances(worker.outbox.held_spans())
}

#[test]
fn a_request_makes_a_span_that_is_sent_and_accepted() {
    let fake = Fake::ready();
    let mut vm = started(&fake);
    request(&mut vm, 10);
    assert!(fake.header("traceparent").unwrap().starts_with("00-"));
    settle(&mut vm, &fake);
    assert_eq!((fake.metric("spans_made"), fake.metric("spans_accepted")), (1, 1));
    assert_eq!((fake.metric("batches_sent"), fake.metric("batches_accepted")), (1, 1));
    assert_eq!((fake.metric("buffered_spans"), fake.metric("open_requests_bytes")), (0, 0));
    assert!(vm.requests.is_empty());
}

#[test]
fn a_sampled_request_costs_five_calls_and_one_more_when_it_fails() {
    let fake = Fake::ready();
    let mut vm = started(&fake);
    let mut cost = |status, flags| {
        fake.answered.set((status, flags));
        fake.set_headers(&[(":method", "GET"), (":path", "/")]);
        let before = fake.calls.get();
        request(&mut vm, 10);
        fake.calls.get() - before
    };
    assert_eq!(cost(200, 0), 5, "its headers, its context, the clock twice, its properties");
    assert_eq!(cost(404, 0), 5);
    assert_eq!(cost(503, 0), 6);
    assert_eq!(cost(200, 1 << 6), 6);
}

/// Every status for every call, while requests come, end, and are sent: nothing panics, every span that
/// is made is held, accepted or counted as dropped, and after the fault all goes on.
#[test]
fn no_status_of_any_call_harms_a_request_or_loses_a_span_uncounted() {
    for call in CALLS {
        for status in STATUSES {
            let fake = Fake::ready();
            *fake.configuration.borrow_mut() = EVERY_READ.into();
            fake.failing.set(Some((call, status)));
            let mut vm = started(&fake);
            (10..20).for_each(|context| request(&mut vm, context));
            settle(&mut vm, &fake);
            fake.failing.set(None);
            if vm.roots[0].worker().is_none() {
                assert_eq!(call, "get_configuration");
                assert!(fake.lines_with("configuration refused") == 1);
                continue;
            }
            assert!(balances(&mut vm), "{call} {status}");
            (20..30).for_each(|context| request(&mut vm, context));
            (0..10).for_each(|_| settle(&mut vm, &fake));
            let ledger = *vm.roots[0].worker().unwrap().outbox.ledger();
            let unseen = if call == "get_request_headers" && status != 0 { 10 } else { 0 };
            assert_eq!(ledger.made + unseen, 20, "{call} {status}");
            assert_eq!(ledger.accepted, ledger.made, "{call} {status}");
            assert!(vm.requests.is_empty() && vm.on_done(ROOT), "{call} {status}");
        }
    }
}

/// The same fault once a VM runs: a call that always worked may stop to.
#[test]
fn no_status_that_begins_at_run_time_does_either() {
    for call in CALLS {
        for status in STATUSES {
            let fake = Fake::ready();
            let mut vm = started(&fake);
            fake.failing.set(Some((call, status)));
            (10..20).for_each(|context| request(&mut vm, context));
            (0..3).for_each(|_| settle(&mut vm, &fake));
            vm.on_configure(ROOT, 1);
            fake.failing.set(None);
            vm.on_configure(ROOT, 1);
            request(&mut vm, 20);
            settle(&mut vm, &fake);
            assert!(balances(&mut vm), "{call} {status}");
            let ledger = *vm.roots[0].worker().unwrap().outbox.ledger();
            assert_eq!((ledger.made, ledger.accepted), (1, 1), "{call} {status}");
        }
    }
}

#[test]
fn callbacks_in_any_order_and_for_anybody_do_nothing_bad() {
    let fake = Fake::ready();
    let mut vm = started(&fake);
    for context in [0, ROOT, 7, u32::MAX] {
        for parent in [0, ROOT, 7] {
            vm.on_http_call_response(context, 12, 5);
            vm.on_tick(context);
            vm.on_log(context);
            vm.on_request_headers(context, false);
            vm.on_done(context);
            vm.on_configure(context, 1);
            vm.on_context_create(context, parent);
            vm.on_request_headers(context, false);
            vm.on_request_headers(context, false);
            vm.on_log(context);
            vm.on_log(context);
        }
    }
    let mut vm = started(&fake);
    request(&mut vm, 10);
    assert_eq!(vm.roots[0].worker().unwrap().outbox.held_spans(), 1);
}

#[test]
fn a_request_answered_before_the_filter_has_a_span_without_a_written_context() {
    let fake = Fake::ready();
    let mut vm = started(&fake);
    vm.on_context_create(10, ROOT);
    close(&mut vm, 10);
    assert_eq!(fake.header("traceparent"), None);
    assert_eq!(vm.roots[0].worker().unwrap().outbox.held_spans(), 1);
}

#[test]
fn a_request_that_is_done_but_never_logged_has_a_span_too() {
    let fake = Fake::ready();
    let mut vm = started(&fake);
    open(&mut vm, 10);
    assert!(vm.on_done(10));
    assert_eq!(vm.roots[0].worker().unwrap().outbox.held_spans(), 1);
    assert_eq!(vm.roots[0].worker().unwrap().room.used(), 0);
}

#[test]
fn requests_that_begin_before_the_one_before_has_its_headers_are_kept_apart() {
    let fake = Fake::ready();
    let mut vm = started(&fake);
    for context in [10, 11, 12] {
        vm.on_context_create(context, ROOT);
    }
    vm.on_request_headers(11, false);
    vm.on_request_headers(10, false);
    assert!(fake.header("traceparent").is_some());
    for context in [10, 11, 12] {
        close(&mut vm, context);
    }
    settle(&mut vm, &fake);
    assert_eq!(fake.metric("spans_made"), 3, "the last never had headers here");
    assert!(vm.requests.is_empty() && vm.newest.is_none());
}

#[test]
fn a_request_that_its_caller_left_out_costs_no_property_and_nothing_at_its_end() {
    let fake = Fake::ready();
    let mut vm = started(&fake);
    let unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    fake.set_headers(&[(":method", "GET"), ("traceparent", unsampled)]);
    let before = fake.calls.get();
    request(&mut vm, 10);
    assert_eq!(fake.calls.get() - before, 1, "only the headers are read");
    assert_eq!(fake.header("traceparent").as_deref(), Some(unsampled));
}

#[test]
fn without_a_valid_configuration_a_request_costs_no_call_at_all() {
    let fake = Fake::ready();
    *fake.configuration.borrow_mut() = "{".into();
    let mut vm = started(&fake);
    assert_eq!(fake.metric("config_errors"), 1);
    let before = fake.calls.get();
    request(&mut vm, 10);
    vm.on_tick(ROOT);
    assert_eq!(fake.calls.get(), before);
    assert!(vm.on_done(ROOT));
}

/// 10,000 requests of 60 KB headers at one time: their memory is bounded, and those that have no span
/// are counted.
#[test]
fn ten_thousand_open_requests_with_large_headers_are_bounded() {
    let fake = Fake::ready();
    let mut vm = started(&fake);
    let large = "x".repeat(60_000);
    fake.set_headers(&[(":method", "GET"), (":path", "/"), ("x-large", &large)]);
    (10..10_010).for_each(|context| open(&mut vm, context));
    let held: usize = vm.roots[0].worker().unwrap().room.used();
    assert!(held <= 8 << 20, "{held}");
    (10..10_010).for_each(|context| close(&mut vm, context));
    let worker = vm.roots[0].worker().unwrap();
    assert_eq!((worker.room.used(), worker.outbox.ledger().made), (0, 10_000));
    assert_eq!(worker.outbox.ledger().not_recorded, 0);
}

#[test]
fn requests_beyond_the_room_have_no_span_and_are_counted() {
    let fake = Fake::ready();
    let mut vm = started(&fake);
    (10..100_010).for_each(|context| open(&mut vm, context));
    (10..100_010).for_each(|context| close(&mut vm, context));
    settle(&mut vm, &fake);
    let ledger = *vm.roots[0].worker().unwrap().outbox.ledger();
    assert_eq!(ledger.made + ledger.not_recorded, 100_000);
    assert!(ledger.not_recorded > 0 && ledger.made > 10_000, "{ledger:?}");
    assert_eq!(fake.metric("requests_not_recorded"), ledger.not_recorded as i64);
    assert_eq!(fake.lines_with("max_open_bytes is reached"), 1);
}

#[test]
fn a_bridge_that_refuses_everything_does_not_flood_the_log() {
    let fake = Fake::ready();
    let mut vm = started(&fake);
    *fake.answer.borrow_mut() = ("403".into(), b"no such tenant".to_vec());
    for context in 10..1010 {
        request(&mut vm, context);
        let posted = fake.posted.borrow().len() as u32;
        vm.on_tick(ROOT);
        vm.on_http_call_response(ROOT, posted + 1, 14);
        pass(&fake, 200);
    }
    assert_eq!(fake.metric("spans_dropped_refused"), 1000);
    // 200 s: the begin, and three minutes.
    assert_eq!(fake.lines_with("the bridge refuses spans"), 4, "{:?}", fake.log.borrow());
    assert_eq!(fake.lines_with("403 no such tenant"), 4);
    *fake.answer.borrow_mut() = ("200".into(), Vec::new());
    request(&mut vm, 2000);
    vm.on_tick(ROOT);
    vm.on_http_call_response(ROOT, 1001, 0);
    pass(&fake, 10_000);
    vm.on_tick(ROOT);
    assert_eq!(fake.lines_with("dropped: over after 200 s, 1000 in all"), 1);
}

#[test]
fn a_root_that_ends_sends_all_it_holds_and_then_says_so() {
    let fake = Fake::ready();
    let mut vm = started(&fake);
    request(&mut vm, 10);
    assert!(!vm.on_done(ROOT));
    let token = fake.posted.borrow()[0].0;
    assert_eq!(fake.done.get(), 0);
    vm.on_http_call_response(ROOT, token, 0);
    assert_eq!((fake.done.get(), fake.metric("spans_accepted")), (1, 1));
    assert!(vm.roots.is_empty());
}

#[test]
fn a_request_still_under_way_when_its_root_ends_is_sent_too() {
    let fake = Fake::ready();
    let mut vm = started(&fake);
    open(&mut vm, 10);
    request(&mut vm, 11);
    assert!(!vm.on_done(ROOT));
    close(&mut vm, 10);
    settle(&mut vm, &fake);
    assert_eq!(fake.metric("spans_made"), 2);
}

#[test]
fn a_root_that_cannot_send_gives_up_in_time_and_counts() {
    let fake = Fake::ready();
    let mut vm = started(&fake);
    request(&mut vm, 10);
    fake.failing.set(Some(("http_call", 2)));
    assert!(!vm.on_done(ROOT));
    vm.on_tick(ROOT);
    assert_eq!(fake.done.get(), 0);
    pass(&fake, 10_000);
    vm.on_tick(ROOT);
    assert_eq!((fake.done.get(), fake.metric("spans_dropped_at_end")), (1, 1));
    assert_eq!(fake.metric("buffered_spans"), 0);
}

#[test]
fn two_configurations_in_one_vm_keep_apart() {
    let fake = Fake::ready();
    let mut vm = started(&fake);
    vm.on_context_create(2, 0);
    vm.on_configure(2, 1);
    vm.on_context_create(11, 2);
    vm.on_request_headers(11, false);
    assert!(vm.on_done(ROOT));
    vm.on_log(11);
    assert_eq!(vm.roots[0].worker().unwrap().outbox.held_spans(), 1);
    assert_eq!(vm.roots[0].id, 2);
}

#[test]
fn a_request_that_its_caller_left_out_costs_one_header_and_no_property() {
    let fake = Fake::ready();
    let mut vm = started(&fake);
    let unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    fake.set_headers(&[(":path", "/"), ("traceparent", unsampled)]);
    request(&mut vm, 10);
    let before = fake.calls.get();
    request(&mut vm, 11);
    assert_eq!(fake.calls.get() - before, 1);
    assert_eq!(fake.header("traceparent").as_deref(), Some(unsampled));
    fake.set_headers(&[(":path", "/")]);
    request(&mut vm, 12);
    settle(&mut vm, &fake);
    assert_eq!((fake.metric("spans_sampled_out"), fake.metric("spans_made")), (2, 1));
}

#[test]
fn a_request_that_the_default_leaves_out_costs_one_header_and_its_new_context() {
    let fake = Fake::ready();
    *fake.configuration.borrow_mut() =
        r#"{"cluster":"b","sampling":{"default":"always_off"}}"#.into();
    let mut vm = started(&fake);
    request(&mut vm, 10);
    let first = fake.header("traceparent").unwrap();
    let mut calls_with = |headers: &[(&str, &str)]| {
        fake.set_headers(headers);
        let before = fake.calls.get();
        request(&mut vm, 11);
        fake.calls.get() - before
    };
    assert_eq!(calls_with(&[(":path", "/")]), 3, "two read, one written");
    let stale = [(":path", "/"), ("tracestate", "stale=1")];
    assert_eq!(calls_with(&stale), 4, "and one removed");
    let second = fake.header("traceparent").unwrap();
    assert!(second.ends_with("-00") && second.len() == first.len() && second != first);
    assert_eq!(fake.header("tracestate"), None);
    fake.set_headers(&[(":path", "/"), ("traceparent", &second.replace("-00", "-01"))]);
    request(&mut vm, 12);
    settle(&mut vm, &fake);
    assert_eq!((fake.metric("spans_sampled_out"), fake.metric("spans_made")), (3, 1));
}

#[test]
fn a_share_of_new_traces_is_the_same_by_one_header_as_by_all() {
    let contexts = |keys: &str| {
        let fake = Fake::ready();
        *fake.configuration.borrow_mut() =
            format!(r#"{{"cluster":"b","sampling":{{"default":{{"ratio":0.1}}}}{keys}}}"#);
        let mut vm = started(&fake);
        let of = |context| {
            fake.set_headers(&[(":path", "/")]);
            request(&mut vm, context);
            fake.header("traceparent").unwrap()
        };
        let contexts: Vec<String> = (10..510).map(of).collect();
        (contexts, fake.calls.get())
    };
    let (glanced, few) = contexts("");
    let (looked, many) = contexts(r#","exclude_paths":["/health"]"#);
    assert_eq!(glanced, looked);
    let sampled = glanced.iter().filter(|context| context.ends_with("-01")).count();
    assert!((25..75).contains(&sampled), "{sampled}");
    assert_ne!(few, many, "both went the same way");
}

#[test]
fn a_watched_request_that_went_well_makes_no_span() {
    let fake = Fake::ready();
    *fake.configuration.borrow_mut() =
        r#"{"cluster":"b","sampling":{"default":"always_off","keep":{"errors":true}}}"#.into();
    let mut vm = started(&fake);
    request(&mut vm, 10);
    assert!(fake.header("traceparent").unwrap().ends_with("-00"));
    settle(&mut vm, &fake);
    assert_eq!((fake.metric("spans_sampled_out"), fake.metric("spans_made")), (1, 0));
    assert_eq!(fake.metric("open_requests_bytes"), 0);
}
