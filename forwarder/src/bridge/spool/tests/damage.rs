//! What the spool does with a disk whose file is damaged, or whose records somebody took out: the rest is served, and what
//! is gone is counted.

use super::of_trace;
use super::stage::Stage;
use crate::log::double::Mood;
use redb::{Database, TableDefinition};
use std::fs;

/// Changes what the database holds behind the spool's back.
fn tamper(stage: &Stage, work: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::open(stage.file()).unwrap();
    let write = database.begin_write().unwrap();
    work(&write);
    write.commit().unwrap();
}

const BLOCKS: TableDefinition<u64, &[u8]> = TableDefinition::new("blocks.spool");
const INDEX: TableDefinition<u64, &[u8]> = TableDefinition::new("index.spool");

/// A spool, stopped, with ten batches of two spans; each in a block of its own.
async fn ten_batches() -> Stage {
    let mut stage = Stage::new();
    stage.log.set(Mood::Away);
    stage.start().await;
    for number in 0..10 {
        stage.running().send(number, &[1, 2]).await.unwrap();
    }
    stage.stop().await;
    stage
}

#[tokio::test]
async fn a_damaged_part_is_set_aside_with_its_count_and_the_rest_is_served() {
    for (damaged, left) in [(3, [0, 1, 2, 4, 5, 6, 7, 8, 9]), (9, [0, 1, 2, 3, 4, 5, 6, 7, 8])] {
        let mut stage = ten_batches().await;
        tamper(&stage, |write| {
            write.open_table(BLOCKS).unwrap().insert(damaged, &[1, 2, 3][..]).unwrap();
        });
        stage.log.set(Mood::Good);
        stage.start().await;
        stage.drained().await;
        assert_eq!(of_trace(&stage.written(), 1), left);
        let metrics = &stage.running().metrics.spool;
        assert_eq!((metrics.set_aside_records.get(), metrics.set_aside_spans.get()), (1, 2));
        assert!(metrics.set_aside_bytes.get() > 0 && metrics.lost_spans.get() == 0);
        assert!(stage.settings.path.join(format!("set-aside/spool-{damaged}.block")).exists());
        stage.running().send(10, &[1]).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_taken_out_of_the_spool_is_reported_as_lost_by_number() {
    let mut stage = ten_batches().await;
    tamper(&stage, |write| {
        for block in [4, 5] {
            write.open_table(BLOCKS).unwrap().remove(block).unwrap();
            write.open_table(INDEX).unwrap().remove(block).unwrap();
        }
    });
    stage.log.set(Mood::Good);
    stage.start().await;
    stage.drained().await;
    assert_eq!(of_trace(&stage.written(), 1), [0, 1, 2, 3, 6, 7, 8, 9]);
    let metrics = &stage.running().metrics.spool;
    assert_eq!((metrics.lost_records.get(), metrics.lost_spans.get()), (2, 4));
}

#[tokio::test]
async fn a_file_that_is_damaged_as_a_whole_is_set_aside_and_a_new_one_begins() {
    let stage = ten_batches().await;
    let bytes = fs::metadata(stage.file()).unwrap().len();
    let file = fs::File::options().write(true).open(stage.file()).unwrap();
    file.set_len(bytes / 2).unwrap();
    let (_spool, metrics) = stage.open().unwrap();
    assert_eq!(
        (metrics.spool.set_aside_bytes.get(), metrics.spool.waiting_spans.get()),
        (bytes / 2, 0)
    );
    let kept = fs::read_dir(stage.settings.path.join("set-aside")).unwrap();
    assert_eq!(kept.count(), 1);
}

#[tokio::test]
async fn what_the_pump_found_damaged_is_set_aside_at_the_next_start_and_only_then() {
    let stage = ten_batches().await;
    let (spool, _) = stage.open().unwrap();
    spool.disk.mark_damaged("its pages make no sense");
    drop(spool);
    let (spool, metrics) = stage.open().unwrap();
    assert!(metrics.spool.set_aside_bytes.get() > 0 && metrics.spool.waiting_spans.get() == 0);
    let counted = (metrics.spool.set_aside_records.get(), metrics.spool.set_aside_spans.get());
    assert_eq!(counted, (10, 20), "it was known what waited");
    drop(spool);
    let (_spool, metrics) = stage.open().unwrap();
    assert_eq!(metrics.spool.set_aside_bytes.get(), 0);
}
