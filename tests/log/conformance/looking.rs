//! What is promised to one who looks at a log from outside its groups.

use super::*;
use spanferry::log::{Scan, Standing, Stretch};
use std::time::{SystemTime, UNIX_EPOCH};

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

/// The values that are seen, by partition, until there are so many that begin so. Calls are given up after `patience`.
async fn seen(
    scan: &mut dyn Scan,
    prefix: &str,
    count: usize,
    patience: impl Fn() -> Duration,
) -> BTreeMap<u32, Vec<String>> {
    let (mut seen, mut wanted) = (BTreeMap::<u32, Vec<String>>::new(), 0);
    let end = Instant::now() + DEADLINE;
    while wanted < count {
        assert!(Instant::now() < end, "only {wanted} of {count} came: {seen:?}");
        let Ok(next) = timeout(patience(), scan.next()).await else { continue };
        for record in next.unwrap().expect("it has no end") {
            wanted += usize::from(value(&record).starts_with(prefix));
            seen.entry(record.partition).or_default().push(value(&record));
        }
    }
    seen
}

/// From the moment that is named, each once and in order, of the partitions asked for; without all that is older.
pub async fn recent_records_are_read_from_a_moment_on(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(3)).await;
    log.partitions().await.unwrap();
    store(&log, (0..2).flat_map(|p| numbered(p, "old", 100)).collect()).await;
    sleep(Duration::from_millis(50)).await;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    store(&log, (0..3).flat_map(|p| numbered(p, "a", 5)).collect()).await;
    let mut scan = log.recent(&[0, 1], since);
    let before = seen(&mut *scan, "a", 10, || DEADLINE).await;
    assert_eq!(before.keys().copied().collect::<Vec<_>>(), [0, 1]);
    for values in before.values() {
        assert!(values.ends_with(&names("a", 5)) && values.len() < 100, "{values:?}");
    }
    for round in ["b", "c"] {
        store(&log, (0..3).flat_map(|p| numbered(p, round, 5)).collect()).await;
        let after = seen(&mut *scan, round, 10, || DEADLINE).await;
        assert_eq!(after, BTreeMap::from([(0, names(round, 5)), (1, names(round, 5))]));
    }
}

/// `next` is cancel safe here too.
pub async fn a_dropped_next_of_recent_records_loses_nothing(fixture: &impl Fixture) {
    const COUNT: usize = 300;
    let log = fixture.fresh(settings(1)).await;
    log.partitions().await.unwrap();
    let mut scan = log.recent(&[0], 0);
    let appender = tokio::spawn({
        let log = log.clone();
        async move {
            for i in 0..COUNT {
                store(&log, vec![text(0, format!("r{i}"))]).await;
            }
        }
    });
    let impatient = || Duration::from_micros(rand::rng().random_range(0..2_000));
    let seen = seen(&mut *scan, "r", COUNT, impatient).await;
    appender.await.unwrap();
    assert_eq!(seen[&0], names("r", COUNT));
}
