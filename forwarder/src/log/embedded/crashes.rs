//! The power goes, thousands of times, in the middle of whatever the log does, its recovery included: what was
//! acknowledged is there, whole and in order, and nothing is there that was not appended.
//! SPANFERRY_SIM_CRASHES sets how often at least, SPANFERRY_SEED the first seed.

use super::EmbeddedLog;
use super::platter::Platter;
use crate::log::{Commit, Event, Log, LogSettings, Placed, Reader, Record, TopicSettings};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::time::timeout;

const PARTITIONS: usize = 3;
const DEADLINE: Duration = Duration::from_secs(30);
/// Crashes of one disk.
const CRASHES_A_DISK: u64 = 50;

/// One disk over many lives of the log on it.
struct Disk {
    lock: TempDir,
    platter: Platter,
    chance: StdRng,
    /// All that was ever appended, by its number: partition, value and append.
    appended: HashMap<u64, (usize, Bytes, u64)>,
    appends: Vec<Append>,
    /// What must be there: acknowledged, or seen after a crash.
    kept: [BTreeMap<i64, u64>; PARTITIONS],
    /// Acknowledged commits; and the furthest that was tried.
    committed: [i64; PARTITIONS],
    tried: [i64; PARTITIONS],
}

/// The numbers of its records, and where each partition ended as far as was known.
struct Append {
    numbers: Range<u64>,
    ends: [i64; PARTITIONS],
}

impl Disk {
    fn of(seed: u64) -> Self {
        Self {
            lock: TempDir::new().unwrap(),
            platter: Platter::of(seed),
            chance: StdRng::seed_from_u64(seed),
            appended: HashMap::new(),
            appends: Vec::new(),
            kept: Default::default(),
            committed: [0; PARTITIONS],
            tried: [0; PARTITIONS],
        }
    }

    fn open(&self) -> Option<Arc<EmbeddedLog>> {
        let topic = TopicSettings { partitions: PARTITIONS as u32, ..TopicSettings::default() };
        let settings = LogSettings { topic, ..LogSettings::default() };
        let surroundings = self.platter.surroundings();
        match EmbeddedLog::open_in(self.lock.path(), "t", &settings, |_| 1, surroundings) {
            Ok(log) => Some(log),
            Err(error) => {
                let is_sound = !self.platter.is_off() && !self.platter.fails();
                assert!(!is_sound, "a disk without a fault cannot be opened: {error}");
                None
            }
        }
    }

    /// A log on the disk. (A file is made under another name, so a crash leaves none that is half made.)
    fn make(self) -> Self {
        drop(self.open());
        self
    }

    /// From power on to power off.
    async fn live(&mut self) {
        let fails_one_in = self.chance.random_bool(0.2).then_some(60);
        let goes_off_early = self.chance.random_bool(0.3);
        if goes_off_early {
            self.platter.go_off_within(40, fails_one_in);
        }
        if let Some(log) = self.open() {
            if !goes_off_early {
                self.check(&log).await;
                self.platter.go_off_within(150, fails_one_in);
            }
            while !self.platter.is_off() {
                self.append(&log).await;
                if self.chance.random_bool(0.2) {
                    self.commit(&log).await;
                }
            }
        }
        self.platter.turn_on_again();
    }

    /// Some appends at a time, which become one transaction or several.
    async fn append(&mut self, log: &EmbeddedLog) {
        let mut answers = Vec::new();
        for _ in 0..self.chance.random_range(1..5) {
            let records = self.records();
            if let Ok(answer) = log.append(records.clone()) {
                answers.push((records, answer));
            }
        }
        for (records, answer) in answers {
            let Ok(offsets) = timeout(DEADLINE, answer).await.unwrap() else { continue };
            for (Placed { partition, record }, offset) in records.into_iter().zip(offsets) {
                let number = number(&record.value);
                let before = self.kept[partition as usize].insert(offset, number);
                assert_eq!(before, None, "offset {offset} was given out twice");
            }
        }
    }

    fn records(&mut self) -> Vec<Placed> {
        let append = self.appends.len() as u64;
        let count = self.chance.random_range(1..5);
        let first = self.appended.len() as u64;
        let ends = std::array::from_fn(|partition| self.end(partition));
        self.appends.push(Append { numbers: first..first + count, ends });
        let mut record = || {
            let number = self.appended.len() as u64;
            let mut value = number.to_be_bytes().to_vec();
            value.resize(8 + self.chance.random_range(0..3_000), number as u8);
            let partition = self.chance.random_range(0..PARTITIONS);
            let value = Bytes::from(value);
            self.appended.insert(number, (partition, value.clone(), append));
            let record = Record { value, ..Record::default() };
            Placed { partition: partition as u32, record }
        };
        (0..count).map(|_| record()).collect()
    }

    /// One past the last record of a partition that is known to be there.
    fn end(&self, partition: usize) -> i64 {
        self.kept[partition].last_key_value().map_or(0, |(last, _)| last + 1)
    }

    /// Commits somewhere up to the end of what is known to be there.
    async fn commit(&mut self, log: &EmbeddedLog) {
        let partition = self.chance.random_range(0..PARTITIONS);
        let end = self.end(partition);
        let from = self.tried[partition];
        if end < from {
            return;
        }
        let Ok(mut reader) = log.reader("g").await else { return };
        let offset = self.chance.random_range(from..=end);
        self.tried[partition] = offset;
        let commit = Commit { partition: partition as u32, offset, metadata: "m".into() };
        if timeout(DEADLINE, reader.commit(vec![commit])).await.unwrap().is_ok() {
            self.committed[partition] = offset;
        }
    }

    /// What is on the disk after a crash.
    async fn check(&mut self, log: &EmbeddedLog) {
        let mut reader = log.reader("g").await.unwrap();
        let Event::Assigned(assigned) = reader.next().await.unwrap() else { panic!() };
        for (partition, assignment) in assigned.iter().enumerate() {
            let committed = assignment.committed.unwrap_or(0);
            let possible = self.committed[partition]..=self.tried[partition];
            assert!(possible.contains(&committed), "{committed} is committed, not {possible:?}");
            (self.committed[partition], self.tried[partition]) = (committed, committed);
        }
        let found = read_all(&mut *reader).await;
        let mut of_append: HashMap<u64, HashSet<u64>> = HashMap::new();
        for (partition, found) in found.into_iter().enumerate() {
            self.compare(partition, found, &mut of_append);
        }
        for (append, found) in of_append {
            let append = &self.appends[append as usize];
            for number in append.numbers.clone().filter(|number| !found.contains(number)) {
                assert!(self.is_hidden(append, number), "of one append all or nothing");
            }
        }
        assert_eq!(log.counters().damaged_records, 0);
    }

    /// Whether a record whose append failed may be there all the same, below the offset that was committed after it:
    /// nothing is read from there.
    fn is_hidden(&self, append: &Append, number: u64) -> bool {
        let partition = self.appended[&number].0;
        let mut below = append.ends[partition]..self.committed[partition];
        below.any(|offset| !self.kept[partition].contains_key(&offset))
    }

    fn compare(
        &mut self,
        partition: usize,
        found: Vec<(i64, Bytes)>,
        of_append: &mut HashMap<u64, HashSet<u64>>,
    ) {
        let from = self.committed[partition];
        assert!(found.windows(2).all(|two| two[0].0 < two[1].0), "out of order");
        for (offset, value) in &found {
            let number = number(value);
            let appended = self.appended.get(&number).map(|(of, value, _)| (*of, value));
            assert_eq!(appended, Some((partition, value)), "never appended: offset {offset}");
            let kept = self.kept[partition].insert(*offset, number);
            assert_eq!(kept.unwrap_or(number), number, "another record at offset {offset}");
            if kept.is_none() {
                of_append.entry(self.appended[&number].2).or_default().insert(number);
            }
        }
        let found: Vec<i64> = found.into_iter().map(|(offset, _)| offset).collect();
        let wanted: Vec<i64> =
            self.kept[partition].range(from..).map(|(offset, _)| *offset).collect();
        assert_eq!(found, wanted, "what was acknowledged is there, from the committed offset on");
    }
}

fn number(value: &Bytes) -> u64 {
    u64::from_be_bytes(value[..8].try_into().unwrap())
}

/// Everything from the committed offsets to the ends.
async fn read_all(reader: &mut dyn Reader) -> [Vec<(i64, Bytes)>; PARTITIONS] {
    let mut found: [Vec<(i64, Bytes)>; PARTITIONS] = Default::default();
    let ends: Vec<_> = reader.lag().into_iter().map(|lag| (lag.committed, lag.end)).collect();
    let is_read = |found: &[Vec<(i64, Bytes)>]| {
        let all = ends.iter().zip(found);
        all.into_iter().all(|((from, end), found)| {
            from >= end || found.last().is_some_and(|(last, _)| last + 1 >= *end)
        })
    };
    while !is_read(&found) {
        let event = timeout(DEADLINE, reader.next()).await.expect("more records").unwrap();
        let Event::Records(records) = event else { panic!() };
        for stored in records {
            found[stored.partition as usize].push((stored.offset, stored.record.value));
        }
    }
    found
}

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a whole number"))
}

#[test]
fn what_was_acknowledged_outlives_the_power_and_nothing_is_invented() {
    let crashes = variable("SPANFERRY_SIM_CRASHES", 150);
    let first = variable("SPANFERRY_SEED", u64::from(rand::random::<u32>()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (start, mut done, mut seed, mut records, mut failures) = (Instant::now(), 0, first, 0, 0);
    while done < crashes {
        println!("SPANFERRY_SEED={seed}");
        let mut disk = Disk::of(seed).make();
        for _ in 0..CRASHES_A_DISK {
            runtime.block_on(disk.live());
            done += 1;
        }
        runtime.block_on(async {
            let log = disk.open().expect("a disk without a fault");
            disk.check(&log).await;
        });
        records += disk.kept.iter().map(BTreeMap::len).sum::<usize>();
        failures += disk.platter.failures();
        seed += 1;
    }
    let took = start.elapsed();
    println!("{done} crashes, {failures} failed accesses beside, {records} records kept, {took:?}");
    assert!(records > 0 && failures > 0, "nothing happened");
}
