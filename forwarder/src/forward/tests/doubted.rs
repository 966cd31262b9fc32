//! A destination that says 500 of some spans, or of all: its fault or theirs.

use super::*;
use crate::ledger::Kept;

/// Others that come a while apart, so that some are taken between any two tries of what fails.
async fn tell_others(rig: &Rig, partition: u32, count: i64) {
    for offset in 0..count {
        rig.log.tell_records(partition, offset, [value("other")]);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_the_destination_fails_over_while_it_takes_others_is_dead_lettered() {
    let rig = Rig::start(Settings::default());
    rig.log.assign(0);
    rig.log.assign(1);
    rig.log.tell_records(0, 0, ["a", "b", "cursed", "c", "d"].map(value));
    tell_others(&rig, 1, 100).await;
    rig.until("all is committed", |rig| rig.log.committed(0) == Some(5)).await;
    let taken = rig.taken();
    assert_eq!((&taken[..4], taken.len()), (&["a", "b", "c", "d"].map(String::from)[..], 104));
    assert_eq!(rig.metrics.dead_lettered_spans(), 1);
    let (_, letters) = rig.end().await;
    let letter = &letters.records()[0].record;
    let reason =
        String::from_utf8(letter.header("spanferry.dlq.reason").unwrap().to_vec()).unwrap();
    assert!(reason.contains("took others") && reason.ends_with("index out of range"), "{reason}");
    assert_eq!(letter.value, value("cursed"));
}

#[tokio::test(start_paused = true)]
async fn those_that_came_with_it_do_not_wait_for_the_verdict() {
    let rig = Rig::start(Settings::default());
    rig.log.assign(0);
    rig.log.tell_records(0, 0, ["a", "b", "cursed", "c", "d"].map(value));
    rig.until("the others are delivered", |rig| rig.taken() == ["a", "b", "c", "d"]).await;
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
    assert_eq!(rig.metrics.dead_lettered_spans(), 0, "nothing else passed: it may be an outage");
    assert_eq!(rig.taken().len(), 4, "each once");
}

#[tokio::test(start_paused = true)]
async fn an_outage_in_which_the_destination_says_500_costs_no_record() {
    let rig = Rig::start(Settings::default());
    rig.fake.is_away.send_replace(true);
    rig.log.assign(0);
    rig.log.tell_records(0, 0, numbered("blame", 50));
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
    assert_eq!((rig.log.committed(0), rig.metrics.dead_lettered_spans()), (None, 0));
    rig.fake.is_away.send_replace(false);
    rig.until("all is committed", |rig| rig.log.committed(0) == Some(50)).await;
    assert_eq!((rig.taken().len(), rig.metrics.dead_lettered_spans()), (50, 0), "each once");
}

#[tokio::test(start_paused = true)]
async fn of_a_record_of_several_traces_only_the_one_that_it_fails_over_is_left_out() {
    let rig = Rig::start(Settings::default());
    rig.log.assign(0);
    rig.log.assign(1);
    rig.log.tell_records(0, 0, [too_large::record_of(&[(1, "a"), (2, "cursed"), (3, "c")])]);
    tell_others(&rig, 1, 200).await;
    rig.until("all is committed", |rig| rig.log.committed(0) == Some(1)).await;
    assert_eq!(rig.taken()[..2], ["a", "c"].map(String::from));
    let totals = Kept::decode(1, &rig.log.metadata(0)).account.totals;
    assert_eq!((totals.delivered, totals.dead_lettered, totals.unaccounted()), (2, 1, 0));
}
