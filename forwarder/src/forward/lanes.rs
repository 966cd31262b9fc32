//! Two lanes to the destination: one in the order of the log, and one for fresh records that overtake. While both have
//! something, the fresh lane has its share of the spans, and requests in flight that the other one leaves to it.

use super::deliver::Item;
use super::settings::Settings;
use std::collections::VecDeque;
use std::time::Duration;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Records as the group's reader gives them.
    InOrder,
    /// Records from the log's end.
    Fresh,
}

/// Records of one request.
pub struct Batch {
    /// The lane that they came by.
    pub lane: Lane,
    /// The records; at least one.
    pub items: Vec<Item>,
    /// What they are held with, in bytes.
    pub bytes: usize,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    /// Bytes in the queue and in flight.
    held_bytes: usize,
    in_flight: usize,
}

/// See the module.
pub struct Lanes {
    in_order: Queue,
    fresh: Queue,
    requests: usize,
    request_bytes: usize,
    /// Of the spans, from 0 to below 1.
    fresh_share: f64,
    /// Whether fresh records are read at all.
    is_shared: bool,
    /// Spans that the fresh lane has to its credit, or below 0 owes to the other.
    credit: f64,
}

impl Lanes {
    /// Empty ones.
    pub fn new(settings: &Settings) -> Self {
        Self {
            in_order: Queue::default(),
            fresh: Queue::default(),
            requests: settings.requests_in_flight,
            request_bytes: settings.max_request_bytes,
            fresh_share: f64::from(settings.fresh_share) / 100.0,
            is_shared: false,
            credit: 0.0,
        }
    }

    /// From now on fresh records are read, or no more.
    pub fn share(&mut self, is_shared: bool) {
        self.is_shared = is_shared;
    }

    /// Puts a record behind the others of its lane.
    pub fn push(&mut self, item: Item) {
        let queue = self.of_mut(item.lane);
        queue.held_bytes += item.stored.record.memory();
        queue.items.push_back(item);
    }

    /// The records of the next request, of at most so many spans, when one may go.
    pub fn next_batch(&mut self, most_spans: u64) -> Option<Batch> {
        let lane = self.next_lane()?;
        let most_bytes = self.request_bytes;
        let items = self.of_mut(lane).take(most_bytes, most_spans);
        self.of_mut(lane).in_flight += 1;
        let spans = items.iter().map(Item::spans).sum::<u64>() as f64;
        self.credit = match lane {
            // One request is all that it can owe: the other lane may have had nothing to send.
            Lane::Fresh => (self.credit - spans).max(-spans),
            Lane::InOrder => {
                let more = spans * self.fresh_share / (1.0 - self.fresh_share);
                // What was not used is not saved up.
                (self.credit + more).min(more)
            }
        };
        let bytes = items.iter().map(|item| item.stored.record.memory()).sum();
        Some(Batch { lane, items, bytes })
    }

    fn next_lane(&self) -> Option<Lane> {
        let Self { in_order, fresh, .. } = self;
        if in_order.in_flight + fresh.in_flight >= self.requests {
            return None;
        }
        if !fresh.items.is_empty() && (self.credit >= 0.0 || in_order.items.is_empty()) {
            return Some(Lane::Fresh);
        }
        let is_free = in_order.in_flight + self.left_to_fresh() < self.requests;
        (is_free && !in_order.items.is_empty()).then_some(Lane::InOrder)
    }

    /// Requests that the lane in order leaves to the other, of two or more: its share of them. Before there are fresh
    /// records it is one, lest the first of them wait until a request ends.
    fn left_to_fresh(&self) -> usize {
        let share = (self.requests as f64 * self.fresh_share).ceil() as usize;
        let most = if self.is_shared { share } else { share.min(1) };
        most.min(self.requests.saturating_sub(1))
    }

    /// A request is done.
    pub fn done(&mut self, lane: Lane, bytes: usize) {
        let queue = self.of_mut(lane);
        queue.in_flight = queue.in_flight.saturating_sub(1);
        queue.held_bytes = queue.held_bytes.saturating_sub(bytes);
    }

    /// Bytes that wait in a lane or are in flight by it.
    pub fn held_bytes(&self, lane: Lane) -> usize {
        self.of(lane).held_bytes
    }

    /// How long the first fresh record waits for its request.
    pub fn fresh_waits(&self) -> Duration {
        self.fresh.items.front().map_or(Duration::ZERO, |item| item.since.elapsed())
    }

    /// Takes all fresh records out that wait for their request.
    pub fn take_fresh(&mut self) -> Vec<Item> {
        let items: Vec<Item> = self.fresh.items.drain(..).collect();
        let bytes: usize = items.iter().map(|item| item.stored.record.memory()).sum();
        self.fresh.held_bytes = self.fresh.held_bytes.saturating_sub(bytes);
        items
    }

    /// Drops what waits of these partitions.
    pub fn forget(&mut self, partitions: &[u32]) {
        for queue in [&mut self.in_order, &mut self.fresh] {
            let mut dropped = 0;
            queue.items.retain(|item| {
                let stays = !partitions.contains(&item.origin.partition);
                dropped += if stays { 0 } else { item.stored.record.memory() };
                stays
            });
            queue.held_bytes = queue.held_bytes.saturating_sub(dropped);
        }
    }

    fn of(&self, lane: Lane) -> &Queue {
        match lane {
            Lane::InOrder => &self.in_order,
            Lane::Fresh => &self.fresh,
        }
    }

    fn of_mut(&mut self, lane: Lane) -> &mut Queue {
        match lane {
            Lane::InOrder => &mut self.in_order,
            Lane::Fresh => &mut self.fresh,
        }
    }
}

impl Queue {
    /// As many records from the front as fit into one request; at least one.
    fn take(&mut self, most_bytes: usize, most_spans: u64) -> Vec<Item> {
        let (mut bytes, mut spans) = (0, 0);
        let fits = |item: &&Item| {
            bytes += item.bytes();
            spans += item.spans();
            bytes <= most_bytes && spans <= most_spans
        };
        let count = self.items.iter().take_while(fits).count().max(1).min(self.items.len());
        self.items.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::deliver::Origin;
    use crate::forward::format::{Format, Payload};
    use crate::log::{Record, StoredRecord};
    use tokio::time::Instant;

    const SPANS: u64 = 100;

    fn item(lane: Lane, offset: i64) -> Item {
        let record = Record { value: vec![0; 10].into(), ..Record::default() };
        let payload =
            Payload { format: Format::Protobuf, value: record.value.clone(), spans: SPANS };
        Item {
            origin: Origin { partition: 0, epoch: 1, offset },
            stored: StoredRecord { partition: 0, offset, timestamp_ms: 1, record },
            payload: Ok(payload),
            lane,
            since: Instant::now(),
        }
    }

    /// With so many records in each, and one record a request.
    fn lanes(requests: usize, fresh_share: u8, in_order: i64, fresh: i64) -> Lanes {
        let settings =
            Settings { requests_in_flight: requests, fresh_share, ..Settings::default() };
        let mut lanes = Lanes::new(&settings);
        lanes.share(true);
        (0..in_order).for_each(|offset| lanes.push(item(Lane::InOrder, offset)));
        (0..fresh).for_each(|offset| lanes.push(item(Lane::Fresh, 1_000 + offset)));
        lanes
    }

    /// The lanes of the next requests, each done before the one after it.
    fn sent(lanes: &mut Lanes, requests: usize) -> Vec<Lane> {
        let mut send = || {
            let batch = lanes.next_batch(SPANS)?;
            lanes.done(batch.lane, batch.bytes);
            Some(batch.lane)
        };
        (0..requests).map_while(|_| send()).collect()
    }

    #[test]
    fn the_fresh_lane_has_its_share_while_both_have_something() {
        for (share, wanted) in [(25, 25), (50, 50), (10, 10), (90, 90)] {
            let mut lanes = lanes(1, share, 1_000, 1_000);
            let sent = sent(&mut lanes, 100);
            let fresh = sent.iter().filter(|lane| **lane == Lane::Fresh).count();
            assert!((wanted - 1..=wanted + 1).contains(&fresh), "{share} %: {fresh} of 100");
        }
    }

    #[test]
    fn either_lane_has_the_whole_way_when_the_other_is_empty() {
        let mut alone = lanes(1, 25, 0, 40);
        assert_eq!(sent(&mut alone, 20), [Lane::Fresh; 20]);
        (0..3).for_each(|offset| alone.push(item(Lane::InOrder, offset)));
        assert_eq!(sent(&mut alone, 4).last(), Some(&Lane::Fresh), "it owes one request");
        assert_eq!(sent(&mut lanes(1, 25, 20, 0), 20), [Lane::InOrder; 20]);
    }

    #[test]
    fn a_fresh_record_finds_a_request_free_while_the_others_are_in_flight() {
        let mut lanes = lanes(8, 25, 100, 0);
        let in_flight = std::iter::from_fn(|| lanes.next_batch(SPANS)).count();
        assert_eq!(in_flight, 6);
        lanes.push(item(Lane::Fresh, 1_000));
        assert_eq!(lanes.next_batch(SPANS).map(|batch| batch.lane), Some(Lane::Fresh));
        lanes.share(false);
        assert_eq!(std::iter::from_fn(|| lanes.next_batch(SPANS)).count(), 1, "eight in all");
    }

    #[test]
    fn the_first_fresh_record_finds_a_request_free_too() {
        let mut lanes = lanes(8, 25, 100, 0);
        lanes.share(false);
        assert_eq!(std::iter::from_fn(|| lanes.next_batch(SPANS)).count(), 7);
        lanes.push(item(Lane::Fresh, 1_000));
        assert_eq!(std::iter::from_fn(|| lanes.next_batch(SPANS)).count(), 1);
    }

    #[test]
    fn what_goes_out_or_is_forgotten_is_held_no_more() {
        let mut lanes = lanes(8, 25, 4, 4);
        let size = item(Lane::Fresh, 0).stored.record.memory();
        assert_eq!(lanes.held_bytes(Lane::Fresh), 4 * size);
        let batch = lanes.next_batch(SPANS).unwrap();
        assert_eq!(lanes.take_fresh().len(), 3);
        assert_eq!(lanes.held_bytes(Lane::Fresh), size);
        lanes.done(batch.lane, batch.bytes);
        lanes.forget(&[0]);
        assert_eq!([Lane::Fresh, Lane::InOrder].map(|lane| lanes.held_bytes(lane)), [0, 0]);
    }
}
