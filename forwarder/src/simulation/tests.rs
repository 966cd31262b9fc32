//! Worlds of many seeds. SPANFERRY_SIM_CRASHES sets how many crashes of bridges and of forwarders there are at least, each;
//! SPANFERRY_SEED the first seed.

use super::world::{Tally, World};
use std::time::{Duration, Instant};

/// Crashes of one world, bridges and forwarders together.
const CRASHES_A_WORLD: u64 = 60;

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a whole number"))
}

#[test]
fn crashes_anywhere_lose_nothing_that_was_accepted_and_invent_nothing() {
    let crashes = variable("SPANFERRY_SIM_CRASHES", 300);
    let first = variable("SPANFERRY_SEED", u64::from(rand::random::<u32>()));
    let (start, mut tally, mut seed) = (Instant::now(), Tally::default(), first);
    while tally.bridge_crashes.min(tally.forwarder_crashes) < crashes {
        tally += World::run(seed, CRASHES_A_WORLD)
            .unwrap_or_else(|faults| panic!("SPANFERRY_SEED={seed}: {faults}"));
        seed += 1;
    }
    println!("seeds {first} to {}, {:?}: {tally:#?}", seed - 1, start.elapsed());
    // A proof in which nothing happened would be none.
    assert!(tally.spooled > 0 && tally.overtook > 0);
    assert!(
        tally.accepted > 0 && tally.repeats > 0 && tally.suppressed > 0 && tally.dead_lettered > 0
    );
    // What is delivered twice is what was in flight at a crash, and what an SDK sends again: a part, not the rule.
    assert!(tally.repeats < tally.delivered, "{tally:?}");
}

#[test]
fn a_log_that_loses_what_it_acknowledged_is_found_out_by_the_ledger_and_by_the_count() {
    let run = |seed| World::run_on_a_log_that_lies(seed, CRASHES_A_WORLD);
    let found: String = (0..3).filter_map(|seed| run(seed).err()).collect();
    assert!(found.contains("spans are lost"), "the forwarder says it: {found}");
    assert!(found.contains("spans missing"), "the count says it: {found}");
}

/// The OpenTelemetry Collector gives up after 5 minutes by default, Fluentd after 72 hours.
#[test]
fn a_destination_that_is_away_for_longer_than_every_peers_retry_limit_costs_no_span() {
    let tally = World::run_without_destination(7, Duration::from_secs(80 * 3600)).unwrap();
    assert!(tally.accepted > 100, "{tally:?}");
    assert_eq!(tally.delivered + tally.dead_lettered, tally.accepted);
}
