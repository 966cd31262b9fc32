//! Readers of one group: how they share, and how long they stay members.

use super::*;

/// Reads events until the condition holds, and answers each revocation with what was read.
async fn pump(member: &mut Member, what: &str, condition: impl Fn(&Member) -> bool) -> Vec<u32> {
    let end = Instant::now() + DEADLINE;
    let mut revoked = Vec::new();
    while !condition(member) {
        assert!(Instant::now() < end, "not in time: {what}");
        match timeout(Duration::from_millis(100), member.reader.next()).await {
            Ok(Ok(Event::Revoked(revocation))) => {
                let commits = revocation.partitions.iter().filter_map(|&partition| {
                    let of_it = member.records.iter().filter(|r| r.partition == partition);
                    let last = of_it.map(|r| r.offset).max()?;
                    let metadata = format!("handed over by {partition}");
                    Some(Commit { partition, offset: last + 1, metadata })
                });
                let commits = commits.collect();
                for partition in &revocation.partitions {
                    member.assigned.remove(partition);
                }
                revoked.extend(&revocation.partitions);
                let _ = revocation.done.send(commits);
            }
            Ok(Ok(Event::Assigned(all))) => {
                member.assigned.extend(all.into_iter().map(|a| (a.partition, a)));
            }
            Ok(Ok(Event::Records(records))) => member.records.extend(records),
            Ok(Ok(Event::Lost(partitions))) => panic!("{partitions:?} lost"),
            Ok(Err(error)) => panic!("{error}"),
            Err(_) => {}
        }
    }
    revoked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_readers_share_and_what_a_revocation_answers_is_where_the_other_begins() {
    let Some(Cluster(kafka)) = Cluster::shared().await else { return };
    let log = fresh(kafka, &settings(4)).await;
    store(&log, many(4, 0..40)).await;
    let mut first = Member::join(&log, "shared").await;
    pump(&mut first, "all records", |m| m.records.len() == 40).await;
    assert_eq!(first.assigned.len(), 4);
    let mut second = Member::join(&log, "shared").await;
    // Both must be served while the group settles.
    let settled = async {
        let revoked = pump(&mut first, "half of it", |m| m.assigned.len() == 2).await;
        (first, revoked)
    };
    let taken = async {
        pump(&mut second, "the other half", |m| m.assigned.len() == 2).await;
        second
    };
    let ((mut first, revoked), mut second) = tokio::join!(settled, taken);
    assert_eq!(revoked.len(), 2, "cooperative: only what moves is revoked");
    for (partition, assignment) in &second.assigned {
        assert!(revoked.contains(partition));
        assert_eq!(assignment.committed, Some(10));
        assert_eq!(assignment.metadata, format!("handed over by {partition}"));
        assert_eq!(assignment.log_start, Some(0));
    }
    store(&log, many(4, 40..80)).await;
    pump(&mut second, "its new records", |m| m.records.len() == 20).await;
    pump(&mut first, "its new records", |m| m.records.len() == 60).await;
    // The first one goes: what it had not committed comes to the second one, and nothing else.
    let kept: Vec<u32> = first.assigned.keys().copied().collect();
    first.commit(kept[0], 15, "half").await;
    first.leave().await;
    pump(&mut second, "all partitions", |m| m.assigned.len() == 4).await;
    assert_eq!(second.assigned[&kept[0]].committed, Some(15));
    assert_eq!(second.assigned[&kept[0]].metadata, "half");
    assert_eq!(second.assigned[&kept[1]].committed, None);
    pump(&mut second, "what was not committed", |m| m.records.len() >= 20 + 5 + 20).await;
    second.poll(Duration::from_millis(300)).await;
    assert_eq!(second.records.len(), 20 + 5 + 20);
    second.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_that_nobody_answers_does_not_hold_the_group_up() {
    let Some(Cluster(kafka)) = Cluster::shared().await else { return };
    let quick = [("session.timeout.ms", "6000"), ("max.poll.interval.ms", "6000")];
    let log = fresh(kafka, &with(&quick, settings(2))).await;
    store(&log, many(2, 0..10)).await;
    let mut silent = Member::join(&log, "a").await;
    silent.until("assigned", |m| m.assigned.len() == 2).await;
    let mut other = Member::join(&log, "a").await;
    pump(&mut other, "its share", |m| m.assigned.len() == 1).await;
    other.leave().await;
    silent.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn membership_and_lag_are_kept_while_next_is_not_called() {
    const COUNT: usize = 400;
    let Some(Cluster(kafka)) = Cluster::shared().await else { return };
    let quick = [("session.timeout.ms", "6000"), ("max.poll.interval.ms", "6000")];
    let settings = LogSettings { fetch_ahead_bytes: 20_000, ..settings(2) };
    let log = fresh(kafka, &with(&quick, settings)).await;
    let record = |i: usize| text(i as u32 % 2, format!("{i:>500}"));
    store(&log, (0..COUNT / 2).map(record).collect()).await;
    let mut member = Member::join(&log, "a").await;
    member.until("the first records", |m| !m.records.is_empty()).await;
    let behind = |reader: &dyn Reader| -> i64 {
        reader.lag().iter().map(|lag| lag.end - lag.committed).sum()
    };
    // Longer than max.poll.interval.ms and the session; the fetched records fill their bound.
    sleep(Duration::from_secs(8)).await;
    store(&log, (COUNT / 2..COUNT).map(record).collect()).await;
    let end = Instant::now() + DEADLINE;
    while behind(&*member.reader) < COUNT as i64 {
        assert!(Instant::now() < end, "lag stands at {}", behind(&*member.reader));
        sleep(Duration::from_millis(100)).await;
    }
    let end = Instant::now() + DEADLINE;
    while member.records.len() < COUNT {
        assert!(Instant::now() < end, "only {} came", member.records.len());
        match timeout(DEADLINE, member.reader.next()).await.unwrap().unwrap() {
            Event::Records(records) => member.records.extend(records),
            other => panic!("the membership was touched: {other:?}"),
        }
    }
    for partition in 0..2 {
        let values: Vec<usize> =
            member.values(partition).iter().map(|v| v.trim().parse().unwrap()).collect();
        let expected: Vec<usize> = (0..COUNT).filter(|i| *i as u32 % 2 == partition).collect();
        assert_eq!(values, expected, "each once, in order");
    }
    member.leave().await;
}
