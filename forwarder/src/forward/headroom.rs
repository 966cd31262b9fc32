//! How long the oldest record that waits will still be in the log: the warning before a retention overrun.

use std::time::Duration;

/// How often it is told while it lasts.
const TELL_EVERY_MS: i64 = 60_000;

/// See the module.
#[derive(Debug)]
pub struct Headroom {
    /// The share of the retention below which it is low, in percent.
    warning_percent: u8,
    /// When it was told last, ms since 1970; `None` while there is enough.
    told_ms: Option<i64>,
}

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Seconds until the oldest record may go; below 0: it may be gone already.
    pub seconds: i64,
    /// What is to be said in `/readyz`, while it is low.
    pub low: Option<String>,
}

impl Headroom {
    /// Below so much of the retention there is a warning.
    pub fn new(warning_percent: u8) -> Self {
        Self { warning_percent, told_ms: None }
    }

    /// Looks at the oldest record that waits, if one does.
    pub fn look(&mut self, retention: Duration, oldest_ms: Option<i64>, now_ms: i64) -> Room {
        let retention_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        let age_ms = oldest_ms.map_or(0, |oldest| (now_ms - oldest).max(0));
        let left_ms = retention_ms.saturating_sub(age_ms);
        let seconds = left_ms / 1_000;
        let least_ms = retention_ms / 100 * i64::from(self.warning_percent);
        if oldest_ms.is_none() || left_ms >= least_ms {
            if self.told_ms.take().is_some() {
                tracing::info!(seconds, "retention is far again");
            }
            return Room { seconds, low: None };
        }
        if self.told_ms.is_none_or(|told| now_ms - told >= TELL_EVERY_MS) {
            self.told_ms = Some(now_ms);
            tracing::warn!(
                seconds,
                retention_seconds = retention.as_secs(),
                "retention is near: the oldest record that waits will be dropped by the log"
            );
        }
        let low = format!(
            "retention is near: the oldest record that waits goes in {seconds} s; let the destination catch up, \
             or lengthen the topic's retention.ms"
        );
        Room { seconds, low: Some(low) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn it_is_low_when_less_than_the_share_is_left() {
        let mut headroom = Headroom::new(20);
        let mut look = |oldest_s: i64| headroom.look(HOUR, Some(oldest_s * 1_000), 10_000_000);
        assert_eq!(look(10_000 - 2_880), Room { seconds: 720, low: None });
        let room = look(10_000 - 2_881);
        assert!(room.seconds == 719 && room.low.unwrap().contains("719 s"));
        assert_eq!(look(10_000 - 4_000).seconds, -400);
        assert_eq!(look(9_999).low, None);
    }

    #[test]
    fn with_nothing_waiting_it_is_all_of_the_retention() {
        let mut headroom = Headroom::new(100);
        assert_eq!(headroom.look(HOUR, None, 5), Room { seconds: 3_600, low: None });
    }
}
