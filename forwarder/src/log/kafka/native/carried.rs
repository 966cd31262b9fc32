//! The values of one append on their way through librdkafka, which reads them where they stand: one piece of memory for all
//! their places, kept until the last of them came back. A piece for each would be taken by one thread and given back by
//! another, hundreds of thousands a second.

use bytes::Bytes;
use rdkafka::util::IntoOpaque;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

/// One of an append's values, as librdkafka carries it until its delivery report.
pub(in crate::log::kafka) struct Carried<N> {
    places: Arc<[Place<N>]>,
    index: usize,
}

struct Place<N> {
    value: Bytes,
    note: N,
    index: usize,
    /// How many places there are.
    of: usize,
}

/// The values of an append in their order, each with the note that comes back with it.
pub(in crate::log::kafka) fn carry<N: Clone>(
    values: Vec<Bytes>,
    note: &N,
) -> impl Iterator<Item = Carried<N>> {
    let of = values.len();
    let place = |(index, value)| Place { value, note: note.clone(), index, of };
    let places: Arc<[_]> = values.into_iter().enumerate().map(place).collect();
    (0..of).map(move |index| Carried { places: places.clone(), index })
}

impl<N> Carried<N> {
    /// The value: it stands there, unchanged, until this is dropped.
    pub(in crate::log::kafka) fn value(&self) -> &[u8] {
        &self.places[self.index].value
    }

    /// What goes with it.
    pub(in crate::log::kafka) fn note(&self) -> &N {
        &self.places[self.index].note
    }

    /// Which of its append it is, from 0.
    pub(in crate::log::kafka) fn index(&self) -> usize {
        self.index
    }
}

impl<N: Send + Sync> IntoOpaque for Carried<N> {
    /// Its place, whose count of owners keeps all of them.
    fn into_ptr(self) -> *mut c_void {
        let first = Arc::into_raw(self.places).cast::<Place<N>>();
        first.wrapping_add(self.index).cast_mut().cast()
    }

    unsafe fn from_ptr(place: *mut c_void) -> Self {
        let place = place.cast_const().cast::<Place<N>>();
        // SAFETY: the caller's promise: it is `into_ptr`'s, and was not given back before. So the place is alive, its index is
        // below `of`, and so many of them make up the whole that `Arc::into_raw` let go of.
        unsafe {
            let Place { index, of, .. } = *place;
            let places = ptr::slice_from_raw_parts(place.sub(index), of);
            Self { places: Arc::from_raw(places), index }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_back_as_it_went_in_whatever_the_order() {
        let values = vec![Bytes::from("a"), Bytes::from("bc"), Bytes::new()];
        let note = Arc::new(7);
        let mut sent: Vec<_> = carry(values, &note).map(Carried::into_ptr).collect();
        sent.rotate_left(1);
        // SAFETY: each is `into_ptr`'s, and taken once.
        let back = sent.into_iter().map(|place| unsafe { Carried::<Arc<i32>>::from_ptr(place) });
        let back: Vec<_> = back.collect();
        let seen: Vec<_> =
            back.iter().map(|one| (one.index(), one.value(), **one.note())).collect();
        assert_eq!(seen, [(1, &b"bc"[..], 7), (2, b"", 7), (0, b"a", 7)]);
        drop(back);
        assert_eq!(Arc::strong_count(&note), 1, "nothing is left of them");
    }

    #[test]
    fn all_values_stay_while_one_is_under_way() {
        let value = Bytes::from(vec![1; 100]);
        let mut all = carry(vec![value.clone(), Bytes::new()], &());
        let (first, second) = (all.next(), all.next().map(Carried::into_ptr).unwrap());
        drop((all, first));
        assert!(!value.is_unique());
        // SAFETY: it is `into_ptr`'s, and taken once.
        drop(unsafe { Carried::<()>::from_ptr(second) });
        assert!(value.is_unique());
    }
}
