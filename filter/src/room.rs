//! Room for requests under way: what they hold until their end is bounded in bytes, however many are open
//! and however large their headers are.

/// What may be held of a request until its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Who the span is, and the headers.
    All,
    /// Who the span is; the headers are read again at the end, as they are then.
    Identity,
    /// Nothing: no span is made.
    Nothing,
}

/// The bytes held by requests under way, and their bound. Headers get the first half of it; the second
/// is for the identities only.
#[derive(Debug)]
pub struct Room {
    limit: usize,
    used: usize,
}

impl Room {
    /// Empty, for this many bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, used: 0 }
    }

    /// What may be held of a request with an identity and headers of these sizes; it then counts as held.
    pub fn take(&mut self, identity: usize, headers: usize) -> Keep {
        let with_headers = self.used.saturating_add(identity).saturating_add(headers);
        let without = self.used.saturating_add(identity);
        if with_headers <= self.limit / 2 {
            self.used = with_headers;
            Keep::All
        } else if without <= self.limit {
            self.used = without;
            Keep::Identity
        } else {
            Keep::Nothing
        }
    }

    /// A request is over that held so many bytes.
    pub fn give_back(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes);
    }

    /// Bytes held.
    pub fn used(&self) -> usize {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn headers_go_first_and_identities_last() {
        let mut room = Room::new(1000);
        assert_eq!(room.take(100, 300), Keep::All);
        assert_eq!(room.take(100, 300), Keep::Identity);
        assert_eq!(room.take(100, 0), Keep::Identity);
        assert_eq!(room.take(401, 0), Keep::Nothing);
        assert_eq!(room.take(400, 9), Keep::Identity);
        assert_eq!(room.take(1, 0), Keep::Nothing);
        assert_eq!(room.used(), 1000);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let mut room = Room::new(1000);
        for _ in 0..1000 {
            assert_eq!(room.take(100, 400), Keep::All);
            room.give_back(500);
        }
        assert_eq!(room.used(), 0);
    }

    #[test]
    fn no_size_is_too_large_to_be_refused() {
        let mut room = Room::new(1000);
        assert_eq!(room.take(10, usize::MAX), Keep::Identity);
        assert_eq!(room.take(usize::MAX, usize::MAX), Keep::Nothing);
    }
}
