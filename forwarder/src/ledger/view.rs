//! What a reader knows of the writers of one partition, and what their totals say of records that are missing.
//!
//! Each record carries its writer's running totals. One more than before is the next record; a jump is a loss, and its
//! size; a fall is a repeat. The view is kept with the committed offset, so it outlives the reader.

use super::stamp::Mark;

/// Writers remembered in a partition; the one that was silent for longest is forgotten first. A bridge is one writer, and
/// a new one after each failure.
const MAX_WRITERS: usize = 24;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// The next one of its writer.
    Next,
    /// So many of its writer are missing before it.
    Missing {
        /// Records.
        records: u64,
        /// Spans in them.
        spans: u64,
    },
    /// It was here before.
    Repeat,
}

/// The writers of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// Whether every writer was seen from its first record on; otherwise one that is new to us may be an old one.
    pub is_whole: bool,
    /// The one that wrote last is the last.
    writers: Vec<Seen>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    writer: [u8; 16],
    records: u64,
    spans: u64,
}

impl View {
    /// The view of a reader that begins with the partition's first record.
    pub fn from_the_start() -> Self {
        Self { is_whole: true, writers: Vec::new() }
    }

    /// Takes in what a record says of its writer.
    pub fn see(&mut self, mark: Mark) -> Finding {
        let Mark { writer, records, spans, here } = mark;
        let before = Seen {
            writer,
            records: records.saturating_sub(1),
            spans: spans.saturating_sub(here.into()),
        };
        let is_whole = self.is_whole;
        let seen = match self.latest(&writer) {
            Some(seen) if records <= seen.records => return Finding::Repeat,
            Some(seen) => std::mem::replace(seen, Seen { writer, records, spans }),
            None => {
                self.remember(Seen { writer, records, spans });
                if is_whole { Seen { writer, records: 0, spans: 0 } } else { before }
            }
        };
        match before.records.saturating_sub(seen.records) {
            0 => Finding::Next,
            records => Finding::Missing { records, spans: before.spans.saturating_sub(seen.spans) },
        }
    }

    /// What is known of a writer, which is the last of them from now on.
    fn latest(&mut self, writer: &[u8; 16]) -> Option<&mut Seen> {
        let at = self.writers.iter().rposition(|seen| seen.writer == *writer)?;
        self.writers[at..].rotate_left(1);
        self.writers.last_mut()
    }

    /// A writer knows that so much of it is here. What of it was not seen when all was read is missing; of a writer that
    /// is not known, only one who saw all can say that.
    pub fn told(&mut self, writer: [u8; 16], records: u64, spans: u64) -> Option<Finding> {
        let known = self.writers.iter().position(|seen| seen.writer == writer);
        let seen = match known.map(|at| self.writers.remove(at)) {
            Some(seen) => seen,
            None if self.is_whole => Seen { writer, records: 0, spans: 0 },
            None => return None,
        };
        let last =
            Seen { writer, records: records.max(seen.records), spans: spans.max(seen.spans) };
        self.remember(last);
        let (records, spans) = (last.records - seen.records, last.spans - seen.spans);
        (records > 0).then_some(Finding::Missing { records, spans })
    }

    fn remember(&mut self, seen: Seen) {
        self.writers.push(seen);
        if self.writers.len() > MAX_WRITERS {
            self.writers.remove(0);
            self.is_whole = false;
        }
    }

    /// As text for a commit's metadata: about 50 characters a writer.
    pub fn encode(&self) -> String {
        let writer = |seen: &Seen| {
            format!("{}:{:x}:{:x}", hex::encode(seen.writer), seen.records, seen.spans)
        };
        let writers: Vec<_> = self.writers.iter().map(writer).collect();
        format!("{}{}", if self.is_whole { "w" } else { "p" }, writers.join(","))
    }

    /// Reads what `encode` wrote. Anything else is a view that knows nothing.
    pub fn decode(text: &str) -> Self {
        Self::read(text).unwrap_or_default()
    }

    fn read(text: &str) -> Option<Self> {
        let (is_whole, list) = match text.split_at_checked(1)? {
            ("w", list) => (true, list),
            ("p", list) => (false, list),
            _ => return None,
        };
        let writers = list.split(',').filter(|one| !one.is_empty()).map(Seen::read);
        Some(Self { is_whole, writers: writers.collect::<Option<_>>()? })
    }
}

impl Seen {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let mut writer = [0; 16];
        hex::decode_to_slice(parts.next()?, &mut writer).ok()?;
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        Some(Self { writer, records: number()?, spans: number()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mark(writer: u8, records: u64, spans: u64, here: u32) -> Mark {
        Mark { writer: [writer; 16], records, spans, here }
    }

    #[test]
    fn one_more_than_before_is_the_next() {
        let mut view = View::from_the_start();
        for (writer, records, spans) in [(1, 1, 5), (2, 1, 5), (1, 2, 10), (2, 2, 10)] {
            assert_eq!(view.see(mark(writer, records, spans, 5)), Finding::Next);
        }
    }

    #[test]
    fn a_jump_is_a_loss_of_so_many_records_and_spans() {
        let mut view = View::from_the_start();
        view.see(mark(1, 1, 5, 5));
        assert_eq!(view.see(mark(1, 4, 25, 7)), Finding::Missing { records: 2, spans: 13 });
        assert_eq!(view.see(mark(1, 5, 26, 1)), Finding::Next);
    }

    #[test]
    fn a_fall_is_a_repeat_and_changes_nothing() {
        let mut view = View::from_the_start();
        view.see(mark(1, 1, 5, 5));
        view.see(mark(1, 2, 10, 5));
        assert_eq!(view.see(mark(1, 1, 5, 5)), Finding::Repeat);
        assert_eq!(view.see(mark(1, 3, 15, 5)), Finding::Next);
    }

    #[test]
    fn what_a_writer_knows_to_be_here_and_was_not_seen_is_missing_once() {
        let mut view = View::from_the_start();
        view.see(mark(1, 2, 10, 5));
        assert_eq!(view.told([1; 16], 2, 10), None);
        assert_eq!(view.told([1; 16], 1, 5), None, "it knew less when it was asked");
        assert_eq!(view.told([1; 16], 4, 17), Some(Finding::Missing { records: 2, spans: 7 }));
        assert_eq!(view.told([1; 16], 4, 17), None);
        assert_eq!(view.told([2; 16], 1, 3), Some(Finding::Missing { records: 1, spans: 3 }));
    }

    #[test]
    fn of_a_writer_that_is_not_known_nothing_is_missing_to_one_who_did_not_see_all() {
        assert_eq!(View::default().told([1; 16], 4, 17), None);
    }

    #[test]
    fn a_writer_that_begins_late_is_a_loss_only_to_one_who_saw_all() {
        let late = mark(1, 3, 30, 10);
        assert_eq!(View::from_the_start().see(late), Finding::Missing { records: 2, spans: 20 });
        assert_eq!(View::default().see(late), Finding::Next);
    }

    #[test]
    fn the_writers_remembered_are_bounded_and_a_forgotten_one_is_no_loss() {
        let mut view = View::from_the_start();
        for writer in 0..=MAX_WRITERS as u8 {
            view.see(mark(writer, 1, 1, 1));
        }
        assert_eq!((view.writers.len(), view.is_whole), (MAX_WRITERS, false));
        assert_eq!(view.see(mark(0, 2, 2, 1)), Finding::Next);
    }

    #[test]
    fn a_full_view_fits_beside_an_offset() {
        let mut view = View::from_the_start();
        (0..=MAX_WRITERS as u8).for_each(|writer| {
            view.see(mark(writer, u64::MAX / 2, u64::MAX / 2, 1));
        });
        assert!(view.encode().len() < 2048, "{}", view.encode().len());
    }

    proptest! {
        #[test]
        fn whatever_is_lost_is_found_to_the_span(
            records in proptest::collection::vec((0u8..3, 1u32..50, any::<bool>()), 1..200),
            restart in any::<prop::sample::Index>(),
        ) {
            let (mut totals, mut view) = ([(0u64, 0u64); 3], View::from_the_start());
            let (mut lost, mut pending, mut found) = ((0, 0), [(0, 0); 3], (0, 0));
            for (i, (writer, spans, is_lost)) in records.iter().enumerate() {
                if i == restart.index(records.len()) {
                    view = View::decode(&view.encode());
                }
                let total = &mut totals[*writer as usize];
                *total = (total.0 + 1, total.1 + u64::from(*spans));
                let waiting = &mut pending[*writer as usize];
                if *is_lost {
                    *waiting = (waiting.0 + 1, waiting.1 + u64::from(*spans));
                    continue;
                }
                // A loss shows with the next record of its writer.
                lost = (lost.0 + waiting.0, lost.1 + waiting.1);
                *waiting = (0, 0);
                if let Finding::Missing { records, spans } = view.see(mark(*writer, total.0, total.1, *spans)) {
                    found = (found.0 + records, found.1 + spans);
                }
            }
            prop_assert_eq!(found, lost);
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,60}") {
            let _ = View::decode(&text);
        }
    }
}
