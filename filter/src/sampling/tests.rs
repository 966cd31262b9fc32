use super::*;
use crate::header_map::serialize;
use crate::sampling::glob::Glob;
use crate::testing::test;

fn settings(default: Choice) -> Settings {
    Settings {
        parent_based: true,
        default,
        rules: Vec::new(),
        max_per_second: None,
        keep: Keep::default(),
    }
}

fn rule(path: &str, choice: Choice) -> Rule {
    Rule {
        name: Some(path.into()),
        method: None,
        host: None,
        path: Some(Glob::new(path)),
        header: None,
        choice,
        max_per_second: None,
    }
}

struct Request {
    path: &'static str,
    decision: Option<bool>,
    randomness: u64,
    route: Option<Choice>,
}

const REQUEST: Request = Request { path: "/", decision: None, randomness: 1, route: None };

fn decide(sampler: &mut Sampler, request: &Request, now_ns: u64) -> Verdict {
    let raw = serialize(&[(b":path", request.path.as_bytes())]);
    let headers = RequestHeaders::scan(&raw);
    let &Request { decision, route, randomness, .. } = request;
    sampler
        .decide(&Subject { headers: &headers, raw: &raw, decision, route, randomness }, || now_ns)
}

#[test]
fn the_caller_decides_and_else_the_default() {
    for default in [Choice::AlwaysOn, Choice::AlwaysOff] {
        let mut sampler = Sampler::new(settings(default));
        for decision in [Some(true), Some(false), None] {
            let verdict = decide(&mut sampler, &Request { decision, ..REQUEST }, 0);
            assert_eq!(verdict.is_sampled, decision.unwrap_or(default == Choice::AlwaysOn));
            let kept = verdict.threshold == Threshold::Keep;
            assert_eq!(kept, decision.is_some());
        }
    }
}

#[test]
fn without_parent_based_the_callers_decision_does_not_count() {
    let mut sampler = Sampler::new(Settings { parent_based: false, ..settings(Choice::AlwaysOff) });
    let verdict = decide(&mut sampler, &Request { decision: Some(true), ..REQUEST }, 0);
    assert_eq!((verdict.is_sampled, verdict.threshold), (false, Threshold::Erase));
}

#[test]
fn a_ratio_says_its_threshold_when_it_lets_a_trace_through() {
    let mut sampler = Sampler::new(settings(Choice::ratio(0.5)));
    let half = 1 << 55;
    let taken = decide(&mut sampler, &Request { randomness: half, ..REQUEST }, 0);
    assert_eq!((taken.is_sampled, taken.threshold), (true, Threshold::Set(half)));
    let left = decide(&mut sampler, &Request { randomness: half - 1, ..REQUEST }, 0);
    assert_eq!((left.is_sampled, left.threshold), (false, Threshold::Erase));
}

#[test]
fn the_first_rule_that_matches_decides() {
    let rules = vec![rule("/a/*", Choice::AlwaysOff), rule("/*", Choice::AlwaysOn)];
    let mut sampler = Sampler::new(Settings { rules, ..settings(Choice::AlwaysOff) });
    let of = |sampler: &mut Sampler, path| {
        let verdict = decide(sampler, &Request { path, ..REQUEST }, 0);
        (verdict.is_sampled, verdict.rule)
    };
    assert_eq!(of(&mut sampler, "/a/b"), (false, Some(0)));
    assert_eq!(of(&mut sampler, "/b"), (true, Some(1)));
    assert_eq!(of(&mut sampler, "*"), (false, None));
    assert_eq!(sampler.rule_name(1), Some("/*"));
}

#[test]
fn what_the_route_says_stands_before_every_rule() {
    let rules = vec![rule("/*", Choice::AlwaysOff)];
    let mut sampler = Sampler::new(Settings { rules, ..settings(Choice::AlwaysOff) });
    let route = Some(Choice::AlwaysOn);
    let verdict = decide(&mut sampler, &Request { route, ..REQUEST }, 0);
    assert_eq!((verdict.is_sampled, verdict.rule), (true, None));
    let verdict = decide(&mut sampler, &Request { route, decision: Some(false), ..REQUEST }, 0);
    assert!(!verdict.is_sampled, "the caller still stands before the route");
}

#[test]
fn a_rate_bounds_what_is_decided_here_and_not_what_the_caller_sampled() {
    let mut sampler =
        Sampler::new(Settings { max_per_second: Some(2), ..settings(Choice::AlwaysOn) });
    let verdicts = [(); 3].map(|()| decide(&mut sampler, &REQUEST, 7));
    assert_eq!(verdicts.map(|verdict| verdict.is_sampled), [true, true, false]);
    assert_eq!(verdicts.map(|verdict| verdict.is_rate_limited), [false, false, true]);
    let of_caller = decide(&mut sampler, &Request { decision: Some(true), ..REQUEST }, 7);
    assert!(of_caller.is_sampled);
    assert!(decide(&mut sampler, &REQUEST, 7 + 1_000_000_000).is_sampled);
}

#[test]
fn a_request_that_one_rate_stops_does_not_use_up_the_other() {
    let slow = Rule { max_per_second: Some(1), ..rule("/a", Choice::AlwaysOn) };
    let mut sampler = Sampler::new(Settings {
        rules: vec![slow],
        max_per_second: Some(3),
        ..settings(Choice::AlwaysOn)
    });
    let sampled =
        [(); 5].map(|()| decide(&mut sampler, &Request { path: "/a", ..REQUEST }, 0).is_sampled);
    assert_eq!(sampled, [true, false, false, false, false]);
    let rest = [(); 3].map(|()| decide(&mut sampler, &REQUEST, 0).is_sampled);
    assert_eq!(rest, [true, true, false]);
}

#[test]
fn a_rate_makes_the_probability_unknown() {
    let mut sampler =
        Sampler::new(Settings { max_per_second: Some(9), ..settings(Choice::ratio(1.0)) });
    let verdict = decide(&mut sampler, &REQUEST, 0);
    assert_eq!((verdict.is_sampled, verdict.threshold), (true, Threshold::Erase));
}

#[test]
fn the_clock_is_not_asked_without_a_rate() {
    let mut sampler = Sampler::new(settings(Choice::AlwaysOn));
    let headers = RequestHeaders::default();
    let subject =
        Subject { headers: &headers, raw: &[], decision: None, route: None, randomness: 0 };
    let mut asked = false;
    sampler.decide(&subject, || {
        asked = true;
        0
    });
    assert!(!asked);
}
