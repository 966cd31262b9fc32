//! A trouble as a log should tell it: once when it begins, once a minute while it lasts, once when it is
//! over, with counts. Time comes in as an argument, ms since the epoch; it may be set back.

/// Between two lines about the same trouble, ms.
pub const EVERY_MS: u64 = 60_000;
/// How long all must be well before a trouble is over, ms: one that comes and goes is one trouble.
pub const QUIET_MS: u64 = 10_000;

/// One kind of trouble, present or not.
#[derive(Debug, Default)]
pub struct Trouble {
    present: Option<Present>,
}

#[derive(Debug)]
struct Present {
    since_ms: u64,
    told_ms: u64,
    times: u64,
    times_told: u64,
    well_since_ms: Option<u64>,
}

/// What is worth a line now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It has just begun.
    Begins,
    /// It is still there.
    Lasts {
        /// For so long, s.
        seconds: u64,
        /// So often since the last line.
        since_told: u64,
        /// So often in all.
        times: u64,
    },
    /// It is over.
    Ends {
        /// From its beginning until all was well, s.
        seconds: u64,
        /// So often in all.
        times: u64,
    },
}

impl Trouble {
    /// It happened so many times just now.
    pub fn strikes(&mut self, now_ms: u64, times: u64) -> Option<Told> {
        match &mut self.present {
            None => {
                self.present = Some(Present {
                    since_ms: now_ms,
                    told_ms: now_ms,
                    times,
                    times_told: times,
                    well_since_ms: None,
                });
                Some(Told::Begins)
            }
            Some(present) => {
                present.times = present.times.saturating_add(times);
                present.well_since_ms = None;
                present.line(now_ms)
            }
        }
    }

    /// All is well just now.
    pub fn is_well(&mut self, now_ms: u64) {
        if let Some(present) = &mut self.present {
            present.well_since_ms.get_or_insert(now_ms);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now_ms: u64) -> Option<Told> {
        let present = self.present.as_mut()?;
        let Some(well_since_ms) = present.well_since_ms else { return present.line(now_ms) };
        if well_since_ms > now_ms {
            present.well_since_ms = Some(now_ms);
        }
        if now_ms.saturating_sub(well_since_ms) < QUIET_MS {
            return None;
        }
        let seconds = well_since_ms.saturating_sub(present.since_ms) / 1000;
        let times = present.times;
        self.present = None;
        Some(Told::Ends { seconds, times })
    }
}

impl Present {
    /// A line when the last one is a minute old.
    fn line(&mut self, now_ms: u64) -> Option<Told> {
        self.told_ms = self.told_ms.min(now_ms);
        if now_ms - self.told_ms < EVERY_MS {
            return None;
        }
        let since_told = self.times - self.times_told;
        (self.told_ms, self.times_told) = (now_ms, self.times);
        let seconds = now_ms.saturating_sub(self.since_ms) / 1000;
        Some(Told::Lasts { seconds, since_told, times: self.times })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    /// What is told while it strikes every `step` ms from `from` until `until`, with a tick after each.
    fn told(trouble: &mut Trouble, from: u64, until: u64, step: usize) -> Vec<Told> {
        let times = (from..until).step_by(step);
        times.flat_map(|now| [trouble.strikes(now, 1), trouble.tick(now)]).flatten().collect()
    }

    #[test]
    fn a_lasting_trouble_is_told_at_its_begin_each_minute_and_at_its_end() {
        let mut trouble = Trouble::default();
        let lines = told(&mut trouble, 1_000, 150_000, 100);
        let lasts = |seconds, times| Told::Lasts { seconds, since_told: 600, times };
        assert_eq!(lines, [Told::Begins, lasts(60, 601), lasts(120, 1201)]);
        trouble.is_well(151_000);
        assert_eq!(trouble.tick(151_000 + QUIET_MS - 1), None);
        let end = Told::Ends { seconds: 150, times: 1490 };
        assert_eq!(trouble.tick(151_000 + QUIET_MS), Some(end));
        assert_eq!(trouble.tick(400_000), None);
    }

    #[test]
    fn a_trouble_that_comes_and_goes_is_one() {
        let mut trouble = Trouble::default();
        let mut lines = 0;
        for second in 0..120_u64 {
            lines += usize::from(trouble.strikes(second * 1000, 1).is_some());
            trouble.is_well(second * 1000 + 500);
            lines += usize::from(trouble.tick(second * 1000 + 700).is_some());
        }
        assert_eq!(lines, 2, "its begin, and one a minute later");
    }

    #[test]
    fn a_silent_trouble_is_told_each_minute_too() {
        let mut trouble = Trouble::default();
        trouble.strikes(0, 5);
        assert_eq!(trouble.tick(EVERY_MS - 1), None);
        let line = Told::Lasts { seconds: 60, since_told: 0, times: 5 };
        assert_eq!(trouble.tick(EVERY_MS), Some(line));
    }

    #[test]
    fn a_clock_set_back_delays_a_line_by_a_minute_at_most() {
        let mut trouble = Trouble::default();
        trouble.strikes(10_000_000, 1);
        assert_eq!(trouble.strikes(5_000, 1), None);
        assert!(matches!(trouble.strikes(5_000 + EVERY_MS, 1), Some(Told::Lasts { .. })));
        trouble.is_well(10_000_000);
        assert_eq!(trouble.tick(70_000), None);
        assert!(matches!(trouble.tick(70_000 + QUIET_MS), Some(Told::Ends { .. })));
    }

    #[test]
    fn no_trouble_is_no_line() {
        let mut trouble = Trouble::default();
        trouble.is_well(1);
        assert_eq!(trouble.tick(1_000_000), None);
    }
}
