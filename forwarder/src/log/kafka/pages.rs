//! Where fetched records are copied to: many in one piece of memory, since each would else cost an allocation for its key,
//! its value and each of its headers.

use bytes::{Bytes, BytesMut};

/// A page; what takes more than a quarter of one has memory of its own. A page goes when the last of its records goes.
const PAGE_BYTES: usize = 64 << 10;

/// The page that is being filled.
#[derive(Debug, Default)]
pub(super) struct Pages(BytesMut);

impl Pages {
    /// A copy of these bytes.
    pub(super) fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if bytes.len() > PAGE_BYTES / 4 {
            return Bytes::copy_from_slice(bytes);
        }
        if self.0.capacity() < bytes.len() {
            self.0 = BytesMut::with_capacity(PAGE_BYTES);
        }
        self.0.extend_from_slice(bytes);
        self.0.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_as_given_and_stay_so() {
        let mut pages = Pages::default();
        let size = |i: usize| [0, 1, 700, PAGE_BYTES / 4, PAGE_BYTES][i % 5];
        let copies: Vec<Bytes> = (0..500).map(|i| pages.copy(&vec![i as u8; size(i)])).collect();
        for (i, copy) in copies.iter().enumerate() {
            assert_eq!(copy, &vec![i as u8; size(i)]);
        }
    }
}
