//! Blocks: records of one topic, of all its partitions, in the order of their append, as bytes with a checksum;
//! and the small descriptor that stands for a block in the index.
//!
//! One block is one large value of the database: such a value is written once and never moved.

use crate::log::{Headers, Record, StoredRecord};
use bytes::{Buf, Bytes};
use prost::encoding::{decode_varint, encode_varint};
use xxhash_rust::xxh3::xxh3_64;

/// A block is closed before it outgrows this: with the page's own 16 bytes it fills 16 pages of 4 KiB.
pub(super) const BLOCK_BYTES: usize = (64 << 10) - 16;

const CHECKSUM_BYTES: usize = 8;
const PAGE: u64 = 4096;

/// What a block holds, without its records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Descriptor {
    /// When its newest record was appended, ms since 1970.
    pub newest_ms: i64,
    /// Bytes that it takes on disk, about.
    pub disk_bytes: u64,
    /// What its records weigh together, as the topic's owner weighs them.
    pub weight: u64,
    /// Each partition in it: number, first offset, one past its last offset.
    pub ranges: Vec<(u32, i64, i64)>,
}

/// A block that is being filled.
#[derive(Debug, Default)]
pub(super) struct BlockBuilder {
    bytes: Vec<u8>,
    descriptor: Descriptor,
}

impl BlockBuilder {
    /// Whether a record of this size (`Record::size`) would outgrow the block; an empty one takes any.
    pub fn is_full_for(&self, record: &Record) -> bool {
        let framing = 48 + 20 * record.headers.len();
        let grown = self.bytes.len() + record.size() + framing + CHECKSUM_BYTES;
        !self.bytes.is_empty() && grown > BLOCK_BYTES
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds a record behind the others. Offsets of a partition must follow each other.
    pub fn push(&mut self, partition: u32, offset: i64, timestamp_ms: i64, record: &Record) {
        let out = &mut self.bytes;
        encode_varint(u64::from(partition), out);
        encode_varint(offset as u64, out);
        encode_varint(timestamp_ms as u64, out);
        encode_varint(record.key.as_ref().map_or(0, |key| key.len() as u64 + 1), out);
        out.extend_from_slice(record.key.as_deref().unwrap_or_default());
        encode_varint(record.headers.len() as u64, out);
        for (name, value) in &record.headers {
            push_bytes(name.as_bytes(), out);
            push_bytes(value, out);
        }
        push_bytes(&record.value, out);
        self.describe(partition, offset, timestamp_ms);
    }

    /// Adds to what the block's records weigh.
    pub fn weigh(&mut self, weight: u64) {
        self.descriptor.weight += weight;
    }

    fn describe(&mut self, partition: u32, offset: i64, timestamp_ms: i64) {
        let descriptor = &mut self.descriptor;
        descriptor.newest_ms = descriptor.newest_ms.max(timestamp_ms);
        match descriptor.ranges.iter_mut().find(|range| range.0 == partition) {
            Some(range) => range.2 = offset + 1,
            None => descriptor.ranges.push((partition, offset, offset + 1)),
        }
    }

    /// The block's bytes and its descriptor.
    pub fn finish(mut self) -> (Vec<u8>, Descriptor) {
        let checksum = xxh3_64(&self.bytes);
        self.bytes.extend_from_slice(&checksum.to_le_bytes());
        self.descriptor.disk_bytes = disk_bytes(self.bytes.len());
        (self.bytes, self.descriptor)
    }
}

/// A large value has pages of its own, their number rounded up to a power of two; small ones share a page.
fn disk_bytes(len: usize) -> u64 {
    let len = len as u64 + 16;
    if len <= PAGE { len } else { len.div_ceil(PAGE).next_power_of_two() * PAGE }
}

fn push_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// The records of a block, sharing its bytes; `None` when the bytes are not those that were written.
pub(super) fn decode(block: Bytes) -> Option<Vec<StoredRecord>> {
    let end = block.len().checked_sub(CHECKSUM_BYTES)?;
    let checksum = u64::from_le_bytes(block.get(end..)?.try_into().ok()?);
    let mut bytes = block.slice(..end);
    if xxh3_64(&bytes) != checksum {
        return None;
    }
    let mut records = Vec::new();
    while bytes.has_remaining() {
        records.push(decode_record(&mut bytes)?);
    }
    Some(records)
}

fn decode_record(bytes: &mut Bytes) -> Option<StoredRecord> {
    let partition = u32::try_from(varint(bytes)?).ok()?;
    let offset = varint(bytes)? as i64;
    let timestamp_ms = varint(bytes)? as i64;
    let key = match varint(bytes)? {
        0 => None,
        len => Some(take(bytes, len - 1)?),
    };
    let count = varint(bytes)?;
    let mut headers = Headers::with_capacity(usize::try_from(count).ok()?.min(64));
    for _ in 0..count {
        let name = String::from_utf8(take_bytes(bytes)?.into()).ok()?;
        headers.push((name.into(), take_bytes(bytes)?));
    }
    let value = take_bytes(bytes)?;
    let record = Record { key, headers, value };
    Some(StoredRecord { partition, offset, timestamp_ms, record })
}

fn varint(bytes: &mut impl Buf) -> Option<u64> {
    decode_varint(bytes).ok()
}

fn take_bytes(bytes: &mut Bytes) -> Option<Bytes> {
    let len = varint(bytes)?;
    take(bytes, len)
}

fn take(bytes: &mut Bytes, len: u64) -> Option<Bytes> {
    let len = usize::try_from(len).ok().filter(|len| *len <= bytes.len())?;
    Some(bytes.split_to(len))
}

impl Descriptor {
    /// How many records it has.
    pub fn records(&self) -> u64 {
        self.ranges.iter().map(|(_, first, end)| (end - first).max(0) as u64).sum()
    }

    /// How many of its records are not below their partition's offset in `floors`.
    pub fn records_from(&self, floors: &[i64]) -> u64 {
        let of_range = |(partition, first, end): &(u32, i64, i64)| {
            let floor = floors.get(*partition as usize).map_or(*first, |floor| *floor.max(first));
            (end - floor).max(0) as u64
        };
        self.ranges.iter().map(of_range).sum()
    }

    /// For the index.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24 + 12 * self.ranges.len());
        encode_varint(self.newest_ms as u64, &mut out);
        encode_varint(self.disk_bytes, &mut out);
        encode_varint(self.weight, &mut out);
        for (partition, first, end) in &self.ranges {
            encode_varint(u64::from(*partition), &mut out);
            encode_varint(*first as u64, &mut out);
            encode_varint((end - first) as u64, &mut out);
        }
        out
    }

    /// Of the index; `None` when it makes no sense.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let newest_ms = varint(&mut bytes)? as i64;
        let disk_bytes = varint(&mut bytes)?;
        let weight = varint(&mut bytes)?;
        let mut ranges = Vec::new();
        while !bytes.is_empty() {
            let partition = u32::try_from(varint(&mut bytes)?).ok()?;
            let first = varint(&mut bytes)? as i64;
            ranges.push((partition, first, first.checked_add(varint(&mut bytes)? as i64)?));
        }
        Some(Self { newest_ms, disk_bytes, weight, ranges })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn records() -> impl Strategy<Value = Vec<(u32, Record)>> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
        let headers = prop::collection::vec((".{0,8}", bytes()), 0..3);
        let record =
            (prop::option::of(bytes()), headers, bytes()).prop_map(|(key, headers, value)| {
                let own = |(name, value): (String, _)| (name.into(), value);
                Record { key, headers: headers.into_iter().map(own).collect(), value }
            });
        prop::collection::vec((0u32..4, record), 1..20)
    }

    proptest! {
        #[test]
        fn a_block_gives_back_what_was_put_in(records in records()) {
            let mut block = BlockBuilder::default();
            let mut next = [0i64; 4];
            for (partition, record) in &records {
                let offset = &mut next[*partition as usize];
                block.push(*partition, *offset, 1_700_000_000_000, record);
                block.weigh(3);
                *offset += 1;
            }
            let (bytes, descriptor) = block.finish();
            prop_assert_eq!(descriptor.records(), records.len() as u64);
            prop_assert_eq!(descriptor.weight, 3 * records.len() as u64);
            prop_assert_eq!(Descriptor::decode(&descriptor.encode()), Some(descriptor));
            let read: Vec<_> =
                decode(bytes.into()).unwrap().into_iter().map(|r| (r.partition, r.record)).collect();
            prop_assert_eq!(read, records);
        }

        #[test]
        fn a_changed_byte_or_a_cut_is_noticed(records in records(), at: prop::sample::Index) {
            let mut block = BlockBuilder::default();
            for (offset, (partition, record)) in records.iter().enumerate() {
                block.push(*partition, offset as i64, 0, record);
            }
            let (mut bytes, _) = block.finish();
            let at = at.index(bytes.len());
            prop_assert!(decode(Bytes::copy_from_slice(&bytes[..at])).is_none());
            bytes[at] ^= 0x10;
            prop_assert!(decode(bytes.into()).is_none());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let mut sealed = bytes.clone();
            sealed.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
            let _ = decode(bytes.clone().into());
            let _ = decode(sealed.into());
            let _ = Descriptor::decode(&bytes);
        }
    }

    #[test]
    fn a_full_block_fills_its_pages_exactly() {
        let record = Record { value: Bytes::from(vec![1; 1_000]), ..Record::default() };
        let mut block = BlockBuilder::default();
        let mut offset = 0;
        while !block.is_full_for(&record) {
            block.push(0, offset, 0, &record);
            offset += 1;
        }
        let (bytes, descriptor) = block.finish();
        assert!(bytes.len() <= BLOCK_BYTES && bytes.len() > BLOCK_BYTES - 2_000);
        assert_eq!(descriptor.disk_bytes, 64 << 10);
    }
}
