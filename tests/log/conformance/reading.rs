//! What a group's reader is promised.

use super::*;

/// A group that never committed is given all partitions without a committed offset, and everything held.
pub async fn a_new_group_starts_at_the_oldest_record(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(4)).await;
    store(&log, (0..4).flat_map(|p| numbered(p, "r", 3)).collect()).await;
    let mut member = Member::join(&log, "late").await;
    member.read(12).await;
    assert_eq!(member.assigned.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(member.assigned.values().all(|a| a.committed.is_none() && a.metadata.is_empty()));
    for partition in 0..4 {
        assert_eq!(member.values(partition), names("r", 3));
    }
    member.leave().await;
}

/// A group goes on at its committed offset, in this process and after the log was opened anew.
pub async fn a_group_resumes_at_its_committed_offset(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(1)).await;
    store(&log, numbered(0, "r", 10)).await;
    let mut member = Member::join(&log, "a").await;
    let fourth = member.read(10).await[4].offset;
    member.commit(0, fourth, "").await;
    member.leave().await;
    let mut member = Member::join(&log, "a").await;
    assert_eq!(value(&member.read(6).await[0]), "r4");
    assert_eq!(member.assigned[&0].committed, Some(fourth));
    let seventh = member.records[3].offset;
    member.commit(0, seventh, "").await;
    member.leave().await;
    let log = fixture.reopen(log, settings(1)).await;
    let mut member = Member::join(&log, "a").await;
    assert_eq!(value(&member.read(3).await[0]), "r7");
    member.leave().await;
}

/// What was read and not committed comes again.
pub async fn uncommitted_records_are_read_again(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(1)).await;
    store(&log, numbered(0, "r", 5)).await;
    for _ in 0..2 {
        let mut member = Member::join(&log, "a").await;
        member.read(5).await;
        assert_eq!(member.values(0), names("r", 5));
        member.leave().await;
    }
}

/// The string of a commit stands in the next assignment, as long as a broker allows by default.
pub async fn metadata_comes_back_with_the_committed_offset(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(2)).await;
    store(&log, vec![text(0, "a"), text(1, "b")]).await;
    let long = "m".repeat(4_000);
    let mut member = Member::join(&log, "a").await;
    member.read(2).await;
    let end = member.records.iter().find(|r| r.partition == 1).unwrap().offset + 1;
    member.commit(1, end, "first").await;
    member.commit(1, end, &long).await;
    member.leave().await;
    let mut member = Member::join(&log, "a").await;
    member.until("two assignments", |m| m.assigned.len() == 2).await;
    assert_eq!(member.assigned[&1].metadata, long);
    assert_eq!(member.assigned[&0].metadata, "");
    member.leave().await;
}

/// A commit for a partition that this reader has not got changes nothing and fails nothing.
pub async fn a_commit_of_a_foreign_partition_is_skipped(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(1)).await;
    store(&log, numbered(0, "r", 2)).await;
    let mut member = Member::join(&log, "a").await;
    let second = member.read(2).await[1].offset;
    let own = Commit { partition: 0, offset: second, metadata: String::new() };
    let foreign = Commit { partition: 77, ..own.clone() };
    member.reader.commit(vec![foreign, own]).await.unwrap();
    member.leave().await;
    let mut member = Member::join(&log, "a").await;
    assert_eq!(value(&member.read(1).await[0]), "r1");
    member.leave().await;
}

/// One group's reading and committing is nothing to another.
pub async fn two_groups_read_independently(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(1)).await;
    store(&log, numbered(0, "r", 6)).await;
    let mut a = Member::join(&log, "a").await;
    let mut b = Member::join(&log, "b").await;
    let end = a.read(6).await[5].offset + 1;
    a.commit(0, end, "a's").await;
    b.read(6).await;
    assert_eq!(a.values(0), b.values(0));
    assert!(b.assigned[&0].committed.is_none());
    a.leave().await;
    b.leave().await;
    let mut b = Member::join(&log, "b").await;
    b.read(6).await;
    b.leave().await;
}

/// A reader at the end waits, and gets what comes without being asked again.
pub async fn a_waiting_reader_wakes_for_a_new_record(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(1)).await;
    let mut member = Member::join(&log, "a").await;
    member.until("assigned", |m| !m.assigned.is_empty()).await;
    for round in 0..3 {
        let next = timeout(DEADLINE, member.reader.next());
        let later = async {
            sleep(Duration::from_millis(50)).await;
            store(&log, vec![text(0, format!("r{round}"))]).await;
        };
        let (event, ()) = tokio::join!(next, later);
        member.take(event.expect("woken in time").unwrap());
    }
    member.until("records", |m| m.records.len() == 3).await;
    assert_eq!(member.values(0), names("r", 3));
    member.leave().await;
}

/// `next` is cancel safe: calls given up at any moment lose no event and no record.
pub async fn a_dropped_next_loses_nothing(fixture: &impl Fixture) {
    const COUNT: usize = 500;
    let log = fixture.fresh(LogSettings { fetch_ahead_bytes: 1_000, ..settings(1) }).await;
    let appender = tokio::spawn({
        let log = log.clone();
        async move {
            for i in 0..COUNT {
                store(&log, vec![text(0, format!("r{i}"))]).await;
            }
        }
    });
    let mut member = Member::join(&log, "a").await;
    let end = Instant::now() + DEADLINE;
    while member.records.len() < COUNT {
        assert!(Instant::now() < end, "only {} of {COUNT} came", member.records.len());
        let wait = rand::rng().random_range(0..2_000);
        member.poll(Duration::from_micros(wait)).await;
    }
    appender.await.unwrap();
    member.read(COUNT).await;
    assert_eq!(member.values(0), names("r", COUNT));
    member.leave().await;
}

/// Lag counts from the committed offset to the log's end, whether or not records were read.
pub async fn lag_counts_what_is_not_committed(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(2)).await;
    store(&log, numbered(0, "r", 10)).await;
    let mut member = Member::join(&log, "a").await;
    let fourth = member.read(10).await[4].offset;
    member.until("a lag of 10", |m| m.waiting() == 10).await;
    member.commit(0, fourth, "").await;
    member.until("a lag of 6", |m| m.waiting() == 6).await;
    store(&log, numbered(1, "r", 2)).await;
    member.until("a lag of 8", |m| m.waiting() == 8).await;
    let mut partitions: Vec<_> = member.reader.lag().iter().map(|l| l.partition).collect();
    partitions.sort_unstable();
    assert_eq!(partitions, [0, 1]);
    member.leave().await;
}

/// A record larger than what is fetched ahead is read all the same.
pub async fn a_small_fetch_bound_still_reads_everything(fixture: &impl Fixture) {
    let log = fixture.fresh(LogSettings { fetch_ahead_bytes: 10_000, ..settings(2) }).await;
    for i in 0..10 {
        let large = format!("{i:>50000}");
        store(&log, vec![text(0, large), text(1, format!("{i}"))]).await;
    }
    let mut member = Member::join(&log, "a").await;
    member.read(20).await;
    let trimmed: Vec<_> = member.values(0).iter().map(|v| v.trim().to_string()).collect();
    assert_eq!(trimmed, names("", 10));
    assert_eq!(member.values(1), names("", 10));
    member.leave().await;
}
