//! What an operator does with letters, and how it is remembered.

use super::*;
use crate::forward::letter_headers::{OFFSET, PARTITION, REASON};
use crate::forward::{Export, Outcome, Request};
use crate::log::double::{Double, Mood};
use crate::log::{Placed, Record};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;

async fn letters(count: usize) -> Arc<Double> {
    let log = Double::new("traces.dlq", 1);
    let letter = |i| {
        let headers = vec![
            (REASON.into(), Bytes::from("bad")),
            (PARTITION.into(), Bytes::from("2")),
            (OFFSET.into(), Bytes::from(format!("{i}"))),
        ];
        let value = Bytes::from(format!("{i}"));
        Placed {
            partition: 0,
            record: Record { headers: headers.into(), value, key: Some("k".into()) },
        }
    };
    log.append((0..count).map(letter).collect()).unwrap().await.unwrap();
    log
}

async fn states(log: &Arc<Double>) -> Vec<State> {
    let desk = Desk::open(log.clone()).await.unwrap().unwrap();
    let mut states = Vec::new();
    desk.each(|done, _| states.push(done.state)).await.unwrap();
    states
}

async fn handle(log: &Arc<Double>, offsets: &[i64], way: &Way) -> Result<Vec<Done>, DlqError> {
    let number = |offset: &i64| Number { partition: 0, offset: *offset };
    let numbers: BTreeSet<Number> = offsets.iter().map(number).collect();
    let mut desk = Desk::open(log.clone()).await.unwrap().unwrap();
    desk.handle((!offsets.is_empty()).then_some(numbers), way).await
}

#[tokio::test]
async fn what_was_done_is_remembered_for_each_letter() {
    let (log, topic) = (letters(4).await, Double::new("traces", 1));
    handle(&log, &[1], &Way::Away).await.unwrap();
    handle(&log, &[2], &Way::Topic(topic.clone())).await.unwrap();
    assert_eq!(states(&log).await, [State::Open, State::Discarded, State::Replayed, State::Open]);
    handle(&log, &[], &Way::Topic(topic.clone())).await.unwrap();
    assert!(!states(&log).await.contains(&State::Open));
    let values: Vec<Bytes> = topic.records().into_iter().map(|p| p.record.value).collect();
    assert_eq!(values, ["2", "0", "3"]);
    assert!(handle(&log, &[], &Way::Away).await.unwrap().is_empty(), "nothing is open");
}

#[tokio::test]
async fn a_letter_that_was_not_written_again_stays_open() {
    let (log, topic) = (letters(1).await, Double::new("traces", 1));
    topic.set(Mood::Full);
    let error = handle(&log, &[0], &Way::Topic(topic)).await.unwrap_err();
    assert!(matches!(error, DlqError::NotWritten { .. }), "{error}");
    assert_eq!(states(&log).await, [State::Open]);
}

#[tokio::test]
async fn a_number_that_names_no_letter_is_told() {
    let error = handle(&letters(2).await, &[1, 7], &Way::Away).await.unwrap_err();
    assert_eq!(error.to_string(), "no such dead letter: 7; `list` shows those that there are");
}

#[tokio::test]
async fn letters_that_cannot_be_remembered_are_refused_and_not_forgotten() {
    let log = letters(4_000).await;
    let odd: Vec<i64> = (0..2_000).map(|i| i * 2 + 1).collect();
    let error = handle(&log, &odd, &Way::Away).await.unwrap_err();
    let DlqError::NoRoom(number) = error else { panic!("{error}") };
    let states = states(&log).await;
    let discarded = states.iter().filter(|state| **state == State::Discarded).count() as i64;
    assert!(discarded > 300 && number.offset == discarded * 2 + 1, "{discarded} {number}");
}

struct Refusing;

#[async_trait]
impl Export for Refusing {
    async fn export(&self, _: &Request) -> Outcome {
        Outcome::Refused { reason: "still bad".into() }
    }
}

#[tokio::test]
async fn a_letter_that_the_destination_refuses_again_stays_open() {
    let log = Double::new("traces.dlq", 1);
    let value = Bytes::from_static(b"\x0a\x00");
    let record = Record { value, ..Record::default() };
    log.append(vec![Placed { partition: 0, record }]).unwrap().await.unwrap();
    let error = handle(&log, &[0], &Way::Destination(Arc::new(Refusing))).await.unwrap_err();
    assert!(error.to_string().contains("still bad"), "{error}");
    assert_eq!(states(&log).await, [State::Open]);
}
