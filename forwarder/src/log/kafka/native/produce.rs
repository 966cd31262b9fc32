//! A record into librdkafka's queue without a copy of its value, and without a look for its topic by name: rdkafka's own
//! call does both for each record.

use super::carried::Carried;
use crate::log::Record;
use rdkafka::bindings;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::types::{RDKafkaRespErr, RDKafkaTopic};
use rdkafka::util::IntoOpaque;
use std::ffi::{CString, c_void};
use std::ptr;
use std::sync::Arc;

/// A producer and one topic of it.
pub(in crate::log::kafka) struct TopicProducer<C: ProducerContext + 'static> {
    producer: Arc<BaseProducer<C>>,
    topic: *mut RDKafkaTopic,
}

// SAFETY: librdkafka's topic objects may be used by any thread (rdkafka.h, "Threads"); this one lives as long as the producer
// beside it.
unsafe impl<C: ProducerContext> Send for TopicProducer<C> {}
// SAFETY: as above; no call changes the object but under librdkafka's own locks.
unsafe impl<C: ProducerContext> Sync for TopicProducer<C> {}

impl<C, N> TopicProducer<C>
where
    C: ProducerContext<DeliveryOpaque = Carried<N>> + 'static,
    N: Send + Sync,
{
    /// The topic as this producer knows it; the brokers are not asked.
    pub(in crate::log::kafka) fn new(
        producer: Arc<BaseProducer<C>>,
        topic: &str,
    ) -> Result<Self, String> {
        let name = CString::new(topic).map_err(|error| error.to_string())?;
        let client = producer.client().native_ptr();
        // SAFETY: the client lives, the name ends with a zero byte and is copied; no configuration means the default one.
        let topic = unsafe { bindings::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut()) };
        if topic.is_null() {
            return Err("librdkafka does not take the topic".into());
        }
        Ok(Self { producer, topic })
    }

    /// Queues a record, whose value is the one that is carried. When that fails this is dropped, and there is no report.
    pub(in crate::log::kafka) fn send(
        &self,
        partition: u32,
        record: &Record,
        carried: Carried<N>,
    ) -> Result<(), RDKafkaErrorCode> {
        let value = (carried.value().as_ptr(), carried.value().len());
        let opaque = carried.into_ptr();
        let headers = Headers::of(record);
        let key = record.key.as_ref().map_or((ptr::null(), 0), |key| (key.as_ptr(), key.len()));
        // SAFETY: client and topic live; key and headers are copied or taken over by the call; the value stays where it
        // is until what is carried comes back with the delivery report, or below.
        let error = unsafe {
            bindings::rd_kafka_producev(
                self.producer.client().native_ptr(),
                bindings::rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT,
                self.topic,
                bindings::rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION,
                partition as i32,
                bindings::rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE,
                value.0 as *mut c_void,
                value.1,
                bindings::rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY,
                key.0 as *mut c_void,
                key.1,
                bindings::rd_kafka_vtype_t::RD_KAFKA_VTYPE_OPAQUE,
                opaque,
                bindings::rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADERS,
                headers.0,
                bindings::rd_kafka_vtype_t::RD_KAFKA_VTYPE_END,
            )
        };
        if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            // The record has them now.
            std::mem::forget(headers);
            return Ok(());
        }
        // SAFETY: it was not queued, so what is carried is ours again, and nobody else has it.
        drop(unsafe { Carried::<N>::from_ptr(opaque) });
        Err(error.into())
    }
}

impl<C: ProducerContext> Drop for TopicProducer<C> {
    fn drop(&mut self) {
        // SAFETY: ours, used no more, and its producer still lives.
        unsafe { bindings::rd_kafka_topic_destroy(self.topic) };
    }
}

/// A record's headers; null when it has none.
struct Headers(*mut bindings::rd_kafka_headers_t);

impl Headers {
    fn of(record: &Record) -> Self {
        if record.headers.is_empty() {
            return Self(ptr::null_mut());
        }
        // SAFETY: a new list; librdkafka ends the process rather than answer with null.
        let headers = Self(unsafe { bindings::rd_kafka_headers_new(record.headers.len()) });
        for (name, value) in &record.headers {
            // SAFETY: the list lives; name and value are copied, each with its length. It fails only for a list that is
            // read-only.
            unsafe {
                bindings::rd_kafka_header_add(
                    headers.0,
                    name.as_ptr().cast(),
                    name.len() as isize,
                    value.as_ptr().cast(),
                    value.len() as isize,
                );
            }
        }
        headers
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: ours: the record that would have had them was not queued.
            unsafe { bindings::rd_kafka_headers_destroy(self.0) };
        }
    }
}
