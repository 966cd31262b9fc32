//! Two bridges, two forwarders, some senders: run in slices, crashed, stopped, ended, cut off, and asked at the end.

use super::chance::Chance;
use super::cluster::Cluster;
use super::destination::{Destination, Mood};
use super::process::{Bridge, Forwarder};
use super::sender::Sender;
use super::spool::SpoolDisk;
use std::collections::HashSet;
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

const SENDERS: u64 = 7;
/// The longest pause of a forwarder between two tries: short, so that a storm needs few slices; or as by default.
const SHORT: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(30);
/// Leaps in which a long time goes by, with a try or more after each.
const TRIES: u32 = 500;
/// Slices within which a world without faults must have delivered everything.
const SETTLE: usize = 20_000;

/// What happened, and what came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub bridge_crashes: u64,
    pub forwarder_crashes: u64,
    pub forwarder_ends: u64,
    pub stops: u64,
    pub clock_jumps: u64,
    pub cluster_outages: u64,
    pub destination_outages: u64,
    pub spooled: u64,
    pub accepted: u64,
    pub delivered: u64,
    pub dead_lettered: u64,
    pub repeats: u64,
    pub suppressed: u64,
    pub overtook: u64,
    pub let_go: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.bridge_crashes += other.bridge_crashes;
        self.forwarder_crashes += other.forwarder_crashes;
        self.forwarder_ends += other.forwarder_ends;
        self.stops += other.stops;
        self.clock_jumps += other.clock_jumps;
        self.cluster_outages += other.cluster_outages;
        self.destination_outages += other.destination_outages;
        self.spooled += other.spooled;
        self.accepted += other.accepted;
        self.delivered += other.delivered;
        self.dead_lettered += other.dead_lettered;
        self.repeats += other.repeats;
        self.suppressed += other.suppressed;
        self.overtook += other.overtook;
        self.let_go += other.let_go;
    }
}

/// See the module.
pub struct World {
    chance: Chance,
    cluster: Arc<Cluster>,
    destination: Arc<Destination>,
    backoff_max: Duration,
    /// The bridges' disks, if they have some.
    disks: Vec<Option<SpoolDisk>>,
    bridges: Vec<Bridge>,
    forwarders: Vec<Forwarder>,
    senders: Vec<Sender>,
    /// For so many more steps each process gets no slice.
    stopped: [u64; 4],
    /// For so many more steps the cluster, and the destination, are away.
    away: [u64; 2],
    tally: Tally,
    faults: Vec<String>,
}

impl World {
    /// Runs a world of this seed until so many of its processes were crashed, then lets it settle. The error says what
    /// does not hold. The bridges have a spool when the seed is even.
    pub fn run(seed: u64, crashes: u64) -> Result<Tally, String> {
        Self::of(seed, SHORT).end_after(crashes)
    }

    /// The same with a log that loses what it acknowledged, now and then.
    pub fn run_on_a_log_that_lies(seed: u64, crashes: u64) -> Result<Tally, String> {
        let world = Self::of(seed, SHORT);
        world.cluster.lock().loses_one_in = Some(20);
        world.end_after(crashes)
    }

    /// Nothing is crashed; the destination is away for so long, and then takes everything. Gives what was accepted meanwhile.
    pub fn run_without_destination(seed: u64, time: Duration) -> Result<Tally, String> {
        let mut world = Self::of(seed, LONG);
        world.destination.set(Mood::Away);
        (0..600).for_each(|_| world.step(true, false));
        for _ in 0..TRIES {
            for forwarder in &world.forwarders {
                forwarder.slices.jump(time / TRIES);
                forwarder.slices.pass(Duration::from_millis(150));
            }
        }
        let early = world.destination.taken().len();
        if early > 0 {
            world.faults.push(format!("{early} spans came while it was away"));
        }
        world.settle();
        world.ask();
        if world.faults.is_empty() { Ok(world.tally) } else { Err(world.faults.join("\n")) }
    }

    fn end_after(self, crashes: u64) -> Result<Tally, String> {
        let mut world = self;
        while world.tally.bridge_crashes + world.tally.forwarder_crashes < crashes {
            world.step(true, true);
            world.look();
            if !world.faults.is_empty() {
                break;
            }
        }
        world.settle();
        world.ask();
        if world.faults.is_empty() { Ok(world.tally) } else { Err(world.faults.join("\n")) }
    }

    fn of(seed: u64, backoff_max: Duration) -> Self {
        let chance = Chance::of(seed);
        let destination = Destination::new(chance.clone());
        let cluster = Cluster::new(destination.clone());
        let has_spool = seed.is_multiple_of(2);
        let disks: Vec<_> = (0..2).map(|_| has_spool.then(|| SpoolDisk::new(&chance))).collect();
        Self {
            bridges: disks.iter().map(|d| Bridge::start(&cluster, d.as_ref(), &chance)).collect(),
            disks,
            forwarders: (0..2)
                .map(|_| Forwarder::start(&cluster, &destination, backoff_max, &chance))
                .collect(),
            senders: (1..=SENDERS).map(Sender::new).collect(),
            chance,
            cluster,
            destination,
            backoff_max,
            stopped: [0; 4],
            away: [0; 2],
            tally: Tally::default(),
            faults: Vec::new(),
        }
    }

    /// One slice of one process, and what the senders and the weather do meanwhile.
    fn step(&mut self, makes_more: bool, is_stormy: bool) {
        let process = self.chance.index(4);
        self.stopped.iter_mut().for_each(|steps| *steps = steps.saturating_sub(1));
        if self.stopped[process] == 0 {
            match process {
                0 | 1 => self.bridges[process].run(&self.chance),
                _ => self.forwarders[process - 2].slices.run(&self.chance),
            }
        }
        for sender in &mut self.senders {
            let accepted = sender.step(&self.bridges, &self.chance, makes_more);
            // What is on a bridge's disk shows at the end.
            if let Some(numbers) = accepted
                && self.disks[0].is_none()
                && !self.cluster.holds(numbers.clone())
            {
                self.faults.push(format!("spans {numbers:?} were accepted and are not stored"));
            }
        }
        if is_stormy {
            self.weather();
            self.strike();
        }
    }

    fn slices(&self, process: usize) -> &super::process::Slices {
        match process {
            0 | 1 => &self.bridges[process].slices,
            _ => &self.forwarders[process - 2].slices,
        }
    }

    fn weather(&mut self) {
        let steps = 1 + self.chance.below(30);
        if self.away[0] == 0 && self.chance.one_in(150) {
            self.away[0] = steps;
            self.tally.cluster_outages += 1;
        }
        if self.away[1] == 0 && self.chance.one_in(150) {
            self.away[1] = steps;
            let mood = if self.chance.one_in(3) { Mood::Hanging } else { Mood::Away };
            self.destination.set(mood);
            self.tally.destination_outages += 1;
        }
        self.away.iter_mut().for_each(|steps| *steps = steps.saturating_sub(1));
        self.cluster.lock().is_away = self.away[0] > 0;
        if self.away[1] == 0 {
            self.destination.set(Mood::Moody);
        }
    }

    /// Something happens to a process, now and then.
    fn strike(&mut self) {
        let process = self.chance.index(4);
        match self.chance.below(60) {
            0..8 => self.crash(process),
            8 => {
                self.tally.stops += 1;
                self.stopped[process] = self.chance.below(60);
                // The group does not wait for one that is stopped for long.
                if process >= 2 && self.chance.one_in(2) {
                    self.put_out(process - 2);
                }
            }
            9 => {
                self.tally.clock_jumps += 1;
                let seconds = self.chance.below(3_600);
                self.slices(process).jump(Duration::from_secs(seconds));
            }
            10 if process >= 2 => {
                self.tally.forwarder_ends += 1;
                self.forwarders[process - 2].stop.cancel();
            }
            _ => {}
        }
    }

    fn crash(&mut self, process: usize) {
        self.stopped[process] = self.chance.below(4);
        if process < 2 {
            self.tally.bridge_crashes += 1;
            return self.crash_bridge(process);
        }
        self.tally.forwarder_crashes += 1;
        self.put_out(process - 2);
        self.start_forwarder(process - 2);
    }

    /// The power goes before the runtime: nothing that it does in its last moment reaches the disk.
    fn crash_bridge(&mut self, place: usize) {
        self.account_bridge(place);
        let disk = self.disks[place].as_ref();
        disk.iter().for_each(|disk| disk.platter.go_off());
        // A bridge without a disk stands in its place until the old one is gone, which holds the lock.
        self.bridges[place] = Bridge::start(&self.cluster, None, &self.chance);
        disk.iter().for_each(|disk| disk.platter.turn_on_again());
        self.bridges[place] = Bridge::start(&self.cluster, disk, &self.chance);
    }

    /// What a bridge counted, before it goes.
    fn account_bridge(&mut self, place: usize) {
        self.tally.spooled += self.bridges[place].spooled_records();
        let lost = self.bridges[place].lost_on_disk();
        if lost > 0 {
            self.faults.push(format!("a bridge says that its disk lost {lost}"));
        }
    }

    fn put_out(&self, forwarder: usize) {
        self.cluster.lock().group.leave(self.forwarders[forwarder].member());
        self.cluster.changed.notify_waiters();
    }

    /// A new one in the place of one that is gone.
    fn start_forwarder(&mut self, place: usize) {
        self.account(place);
        self.forwarders[place] =
            Forwarder::start(&self.cluster, &self.destination, self.backoff_max, &self.chance);
    }

    /// What a forwarder counted, before it goes.
    fn account(&mut self, place: usize) {
        let forwarder = &self.forwarders[place];
        self.tally.suppressed += forwarder.suppressed_records();
        let (overtook, let_go) = forwarder.fresh_records();
        self.tally.overtook += overtook;
        self.tally.let_go += let_go;
        let lost = forwarder.lost_spans();
        if lost > 0 {
            self.faults.push(format!("a forwarder says that {lost} spans are lost"));
        }
    }

    /// One that was told to end is followed by a new one; one that ended by itself is a fault. A commit may be one too.
    fn look(&mut self) {
        for place in 0..self.forwarders.len() {
            let was_told = self.forwarders[place].stop.is_cancelled();
            let Some(end) = self.forwarders[place].ended() else { continue };
            if !was_told || !end.starts_with("Ok(Ok") {
                self.faults.push(format!("a forwarder ended: {end}"));
            }
            self.start_forwarder(place);
        }
        self.faults.extend(self.cluster.take_faults());
    }

    /// The faults are over; everything accepted must arrive.
    fn settle(&mut self) {
        self.away = [0; 2];
        self.stopped = [0; 4];
        self.cluster.lock().is_away = false;
        self.destination.set(Mood::Good);
        for _ in 0..SETTLE {
            self.step(false, false);
            self.look();
            let is_sent = self.senders.iter().all(Sender::is_idle)
                && self.bridges.iter().all(Bridge::is_drained);
            if is_sent && self.cluster.is_drained() {
                return;
            }
        }
        self.faults.push(format!("not all of {} records were delivered", self.cluster.records()));
    }

    fn ask(&mut self) {
        (0..self.forwarders.len()).for_each(|place| self.account(place));
        (0..self.bridges.len()).for_each(|place| self.account_bridge(place));
        let taken = self.destination.taken();
        let accepted: HashSet<u64> =
            self.senders.iter().flat_map(|sender| sender.accepted.iter().copied()).collect();
        let missing =
            |number: &&u64| !taken.contains_key(number) && !self.cluster.is_dead_lettered(**number);
        let missing: Vec<&u64> = accepted.iter().filter(missing).collect();
        let invented: Vec<&u64> =
            taken.keys().filter(|number| !accepted.contains(number)).collect();
        let corrupt = self.destination.corrupt();
        for (what, numbers) in
            [("missing", missing), ("invented", invented), ("corrupt", corrupt.iter().collect())]
        {
            if !numbers.is_empty() {
                self.faults.push(format!("{} spans {what}: {numbers:?}", numbers.len()));
            }
        }
        self.tally.accepted = accepted.len() as u64;
        self.tally.delivered = taken.len() as u64;
        let letters = accepted.iter().filter(|number| !taken.contains_key(number));
        self.tally.dead_lettered = letters.count() as u64;
        self.tally.repeats = taken.values().map(|times| times - 1).sum();
    }
}
