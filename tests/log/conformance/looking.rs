//! What is promised to one who looks at a log from outside its groups.

use super::*;
use spanferry::log::{Standing, Stretch};

async fn scanned(log: &Arc<dyn Log>, stretches: Vec<Stretch>) -> Vec<(u32, i64, String)> {
    let mut scan = timeout(DEADLINE, log.scan(stretches)).await.expect("in time").unwrap();
    let mut found = Vec::new();
    while let Some(records) = timeout(DEADLINE, scan.next()).await.expect("in time").unwrap() {
        found.extend(records.iter().map(|r| (r.partition, r.offset, value(r))));
    }
    found.sort();
    found
}

async fn standing(log: &Arc<dyn Log>, group: &str) -> Vec<Standing> {
    let mut all = timeout(DEADLINE, log.standing(group)).await.expect("in time").unwrap();
    all.sort_by_key(|standing| standing.partition);
    all
}

/// Records of the stretches asked for, and no others; an empty stretch is none.
pub async fn a_scan_gives_its_stretches_and_nothing_else(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(3)).await;
    log.partitions().await.unwrap();
    store(&log, (0..10).map(|i| text(i % 2, format!("{i}"))).collect()).await;
    let stretch = |partition, offsets| Stretch { partition, offsets };
    let found = scanned(&log, vec![stretch(0, 1..3), stretch(1, 4..5), stretch(2, 0..0)]).await;
    assert_eq!(found, [(0, 1, "2".into()), (0, 2, "4".into()), (1, 4, "9".into())]);
    assert!(scanned(&log, Vec::new()).await.is_empty());
}

/// A member's commits are seen without joining, and it reads on as if nobody had looked.
pub async fn a_group_is_looked_at_without_disturbing_it(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(1)).await;
    log.partitions().await.unwrap();
    store(&log, (0..4).map(|i| text(0, format!("{i}"))).collect()).await;
    let group = format!("{}-looked", log.topic());
    let before = standing(&log, &group).await;
    assert_eq!((before[0].committed, before[0].start, before[0].end), (None, 0, 4));

    let mut member = Member::join(&log, "looked").await;
    member.read(4).await;
    member.commit(0, 3, "beside").await;
    let seen = standing(&log, &group).await;
    assert_eq!((seen[0].committed, seen[0].metadata.as_str()), (Some(3), "beside"));
    store(&log, vec![text(0, "4")]).await;
    member.read(5).await;
}

/// Offsets of a group without readers are stored from outside, and replaced by the next.
pub async fn offsets_are_stored_for_a_group_without_readers(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(2)).await;
    log.partitions().await.unwrap();
    store(&log, (0..4).map(|i| text(0, format!("{i}"))).collect()).await;
    let group = format!("{}-outside", log.topic());
    for (offset, metadata) in [(1, "one"), (2, "two")] {
        let commit = Commit { partition: 0, offset, metadata: metadata.into() };
        timeout(DEADLINE, log.store(&group, vec![commit])).await.expect("in time").unwrap();
        let seen = standing(&log, &group).await;
        assert_eq!((seen[0].committed, seen[0].metadata.as_str()), (Some(offset), metadata));
        assert_eq!(seen[1].committed, None);
    }
}
