//! What rdkafka gives no way to, or no way that is free of panics: foreign header names and commit metadata need not
//! be UTF-8; and a record's value need not be copied. The only unsafe lines of the project's Kafka side.

pub(super) mod carried;
pub(super) mod produce;

use super::pages::Pages;
use crate::log::Headers;
use rdkafka::TopicPartitionList;
use rdkafka::bindings;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaRespErr;
use std::ffi::CStr;
use std::{ptr, slice};

/// A message's headers in order; bytes of a name that are not UTF-8 are replaced.
pub(super) fn headers(message: &BorrowedMessage<'_>, pages: &mut Pages) -> Headers {
    let mut headers = ptr::null_mut();
    // SAFETY: the message is alive as long as the borrow; on success librdkafka sets `headers` to what the message owns.
    let error = unsafe { bindings::rd_kafka_message_headers(message.ptr(), &mut headers) };
    if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || headers.is_null() {
        return Headers::new();
    }
    // SAFETY: `headers` belongs to the message, which is alive.
    let count = unsafe { bindings::rd_kafka_header_cnt(headers) };
    let mut found = Headers::with_capacity(count);
    for index in 0..count {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: as above; the three places are set when the answer is no error.
        let error = unsafe {
            bindings::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size)
        };
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
            break;
        }
        // SAFETY: librdkafka ends every name with a zero byte, and keeps it as long as the message.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned().into();
        // SAFETY: librdkafka keeps `size` bytes at `value` as long as the message.
        found.push((name, pages.copy(unsafe { bytes(value.cast(), size) })));
    }
    found
}

/// A partition's committed offset and the string beside it, as `Consumer::committed_offsets` filled the list in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Committed {
    pub(super) partition: i32,
    pub(super) offset: Option<i64>,
    pub(super) metadata: String,
}

/// All of a list's committed offsets; the first partition's error if one has one.
pub(super) fn committed(list: &TopicPartitionList) -> Result<Vec<Committed>, RDKafkaErrorCode> {
    // SAFETY: the list owns its native list, which is never null; `elems` holds `cnt` elements.
    let elements = unsafe {
        let native = &*list.ptr();
        if native.cnt <= 0 { &[] } else { slice::from_raw_parts(native.elems, native.cnt as usize) }
    };
    let element = |native: &bindings::rd_kafka_topic_partition_t| {
        if native.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(RDKafkaErrorCode::from(native.err));
        }
        // SAFETY: librdkafka keeps `metadata_size` bytes at `metadata` as long as the list.
        let metadata = unsafe { bytes(native.metadata.cast(), native.metadata_size) };
        Ok(Committed {
            partition: native.partition,
            offset: (native.offset >= 0).then_some(native.offset),
            metadata: String::from_utf8_lossy(metadata).into_owned(),
        })
    };
    elements.iter().map(element).collect()
}

/// # Safety
/// `start` is null, or `size` bytes stand there for as long as the result is used.
unsafe fn bytes<'a>(start: *const u8, size: usize) -> &'a [u8] {
    if start.is_null() || size == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(start, size) }
}
