//! What the forwarder holds is bounded, also behind a record that the destination holds for ever.

use super::*;

#[tokio::test(start_paused = true)]
async fn behind_a_record_that_is_not_settled_so_many_are_read_and_no_more() {
    let rig = Rig::start(Settings { max_window_records: 10, ..single() });
    rig.log.assign(0);
    rig.log.tell_records(0, 0, [value("slow")]);
    for offset in 1..30 {
        rig.log.tell_records(0, offset, [value(&format!("{offset:02}"))]);
    }
    rig.until("nine are delivered", |rig| rig.taken().len() == 9).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!((rig.taken().len(), rig.metrics.window_records.get()), (9, 10));

    rig.fake.is_slow.send_replace(false);
    rig.until("all is committed", |rig| rig.log.committed(0) == Some(30)).await;
    assert_eq!(rig.taken().len(), 30, "each once");
}

#[tokio::test(start_paused = true)]
async fn a_revocation_is_answered_while_nothing_is_read() {
    let rig = Rig::start(Settings { max_window_records: 2, ..single() });
    rig.log.assign(0);
    rig.log.tell_records(0, 0, ["a", "slow", "b"].map(value));
    rig.until("the others are delivered", |rig| rig.taken() == ["a", "b"]).await;
    let (done, answer) = oneshot::channel();
    rig.log.tell(Event::Revoked(Revocation { partitions: vec![0], done }));
    let commits = answer.await.unwrap();
    assert_eq!(commits.iter().map(|commit| commit.offset).collect::<Vec<_>>(), [1]);
}
