//! How fast the log is here: `cargo test --release -p spanferry --lib speed -- --ignored --nocapture`.

use super::EmbeddedLog;
use crate::log::{Commit, Event, Log, LogSettings, Placed, Record};
use bytes::Bytes;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const SECONDS: u64 = 8;
const TASKS: u32 = 64;

fn number(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn batch(task: u32, records: usize, bytes: usize) -> Vec<Placed> {
    let value: Bytes = (0..bytes).map(|i| (i as u32 * 31 + task) as u8).collect();
    let record = Record {
        key: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
        headers: [("spanferry".into(), Bytes::from_static(&[7; 50]))].into(),
        value,
    };
    (0..records)
        .map(|i| Placed { partition: (task + i as u32) % 8, record: record.clone() })
        .collect()
}

async fn append_for(log: &Arc<EmbeddedLog>, records: usize, bytes: usize) -> (u64, f64) {
    let stop = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (log, stop, count) = (log.clone(), stop.clone(), count.clone());
            tokio::spawn(async move {
                let batch = batch(task, records, bytes);
                while !stop.load(Relaxed) {
                    match log.append(batch.clone()) {
                        Ok(done) => {
                            done.await.unwrap();
                            count.fetch_add(records as u64, Relaxed);
                        }
                        Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(SECONDS)).await;
    stop.store(true, Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    (count.load(Relaxed), begin.elapsed().as_secs_f64())
}

async fn drain(log: Arc<EmbeddedLog>, stop: Arc<AtomicBool>) -> u64 {
    let mut reader = log.reader("speed").await.unwrap();
    let mut read = 0;
    loop {
        match tokio::time::timeout(Duration::from_millis(300), reader.next()).await {
            Ok(Ok(Event::Records(records))) => {
                read += records.len() as u64;
                let mut ends = std::collections::BTreeMap::new();
                for r in records {
                    ends.insert(r.partition, r.offset + 1);
                }
                let commits = ends.into_iter().map(|(partition, offset)| Commit {
                    partition,
                    offset,
                    metadata: String::new(),
                });
                reader.commit(commits.collect()).await.unwrap();
            }
            Ok(_) => {}
            Err(_) if stop.load(Relaxed) => return read,
            Err(_) => {}
        }
    }
}

fn probe(dir: &Path, chunk: usize) -> f64 {
    let mut file = fs::File::create(dir.join("probe")).unwrap();
    let bytes = vec![0x5a; chunk];
    let begin = Instant::now();
    let mut written = 0;
    while begin.elapsed() < Duration::from_secs(3) {
        file.write_all(&bytes).unwrap();
        file.sync_data().unwrap();
        written += chunk;
    }
    fs::remove_file(dir.join("probe")).unwrap();
    written as f64 / 1e6 / begin.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn how_fast_it_is() {
    let dir = tempfile::tempdir_in(std::env::var("SPEED_DIR").unwrap_or("/tmp".into())).unwrap();
    for chunk in [4 << 10, 64 << 10, 1 << 20, 8 << 20] {
        eprintln!(
            "disk alone, append + fdatasync of {chunk}: {:.0} MB/s",
            probe(dir.path(), chunk)
        );
    }
    for (records, bytes, read) in [
        (10, 1_000, false),
        (10, 1_000, true),
        (100, 1_000, false),
        (100, 1_000, true),
        (1, 1_000, false),
        (100, 300, true),
    ] {
        let path = dir.path().join(format!("log{records}-{bytes}-{read}"));
        let log = EmbeddedLog::open(&path, "traces", &LogSettings::default()).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let reader = read.then(|| tokio::spawn(drain(log.clone(), stop.clone())));
        let (io, cpu) = (number("/proc/self/io", "write_bytes:"), cpu());
        let (count, seconds) = append_for(&log, records, bytes).await;
        let (io, cpu) = (number("/proc/self/io", "write_bytes:") - io, self::cpu() - cpu);
        stop.store(true, Relaxed);
        let behind = Instant::now();
        let read = match reader {
            Some(reader) => reader.await.unwrap(),
            None => 0,
        };
        let payload = count as f64 * (bytes + 32 + 59) as f64;
        eprintln!(
            "batches of {records} x {bytes}: {:.0} records/s, {:.0} MB/s, write amplification {:.2}, {:.2} CPU-s per million, read {read} (+{:.1}s); stored {} file {} RSS peak {} MB",
            count as f64 / seconds,
            payload / 1e6 / seconds,
            io as f64 / payload,
            cpu * 1e6 / count as f64,
            behind.elapsed().as_secs_f64(),
            log.counters().stored_bytes >> 20,
            fs::metadata(path.join("log.redb")).unwrap().len() >> 20,
            number("/proc/self/status", "VmHWM:") >> 10
        );
        let copy = dir.path().join("copy");
        fs::create_dir(&copy).unwrap();
        fs::copy(path.join("log.redb"), copy.join("log.redb")).unwrap();
        let begin = Instant::now();
        drop(EmbeddedLog::open(&copy, "traces", &LogSettings::default()).unwrap());
        eprintln!(
            "  opened as after kill -9 in {:.2} s, RSS peak {} MB",
            begin.elapsed().as_secs_f64(),
            number("/proc/self/status", "VmHWM:") >> 10
        );
        drop(log);
        fs::remove_dir_all(&copy).unwrap();
        fs::remove_dir_all(&path).unwrap();
    }
}

fn cpu() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<_> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().filter_map(|i| fields.get(*i)?.parse::<f64>().ok()).sum();
    ticks / 100.0
}
