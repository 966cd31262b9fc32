//! A request's records as the body of an HTTP request: joined piece by piece as it is sent, so that a request in flight
//! takes little memory beside its records.

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec::IntoIter;

/// Smaller records are copied into pieces of this size: each piece is a write to the socket, or a share of one.
const PIECE_BYTES: usize = 64 << 10;

/// The body.
pub struct Joined {
    chunks: IntoIter<Bytes>,
    left: u64,
}

impl Joined {
    /// These chunks, one behind the other.
    pub fn new(chunks: Vec<Bytes>) -> Self {
        let left = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Self { chunks: chunks.into_iter(), left }
    }

    /// The next piece: a large chunk as it is, or small ones copied together.
    fn piece(&mut self) -> Option<Bytes> {
        let mut first = self.chunks.next()?;
        while first.is_empty() {
            first = self.chunks.next()?;
        }
        let size = |chunk: &Bytes| chunk.len();
        if first.len() >= PIECE_BYTES / 2 || self.chunks.as_slice().is_empty() {
            return Some(first);
        }
        let mut piece = BytesMut::with_capacity(PIECE_BYTES.min(self.left as usize));
        piece.extend_from_slice(&first);
        while let Some(next) = self.chunks.as_slice().first().map(size)
            && piece.len() + next <= PIECE_BYTES
            && let Some(chunk) = self.chunks.next()
        {
            piece.extend_from_slice(&chunk);
        }
        Some(piece.freeze())
    }
}

impl Body for Joined {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let joined = self.get_mut();
        let piece = joined.piece();
        joined.left -= piece.as_ref().map_or(joined.left, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use http_body_util::BodyExt;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_the_chunks_in_order_and_as_long_as_it_says(
            sizes in proptest::collection::vec(prop_oneof![0usize..2_000, 0usize..3 * PIECE_BYTES], 0..40)
        ) {
            let chunks: Vec<Bytes> =
                sizes.iter().enumerate().map(|(i, size)| vec![i as u8; *size].into()).collect();
            let body = Joined::new(chunks.clone());
            let said = body.size_hint().exact();
            let sent = body.collect().now_or_never().unwrap().unwrap().to_bytes();
            prop_assert_eq!(said, Some(sent.len() as u64));
            prop_assert_eq!(sent, chunks.concat());
        }

        #[test]
        fn its_pieces_are_few(sizes in proptest::collection::vec(1usize..2_000, 1..500)) {
            let chunks: Vec<Bytes> = sizes.iter().map(|size| vec![7; *size].into()).collect();
            let mut body = Joined::new(chunks.clone());
            let pieces = std::iter::from_fn(|| body.piece()).count();
            prop_assert!(pieces <= 2 + chunks.concat().len() / (PIECE_BYTES - 2_000));
        }
    }
}
