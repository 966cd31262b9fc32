//! What a route says of its requests' tracing, in its metadata `spanferry`.

use crate::config::shape::decimal;
use crate::header_map::pairs;
use crate::sampling::choice::Choice;

/// The property that holds a route's metadata `spanferry`.
pub const PATH: [&str; 4] = ["xds", "route_metadata", "filter_metadata", "spanferry"];

/// What a route says. What it does not say, or says wrongly, is as it is elsewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Route {
    /// No span is made and no header touched.
    pub is_disabled: bool,
    /// What is sampled, before any rule.
    pub sample: Option<Choice>,
}

impl Route {
    /// From the property's bytes: a serialized list of pairs. A flag is one byte, a number eight; but Envoy
    /// turns the fractions of a YAML file into texts.
    pub fn read(raw: &[u8]) -> Self {
        let mut route = Self::default();
        for (key, value) in pairs(raw) {
            match key {
                b"disabled" => route.is_disabled = value == [1],
                b"sample" => route.sample = sample(value),
                _ => {}
            }
        }
        route
    }
}

fn sample(value: &[u8]) -> Option<Choice> {
    match value {
        b"always_on" => Some(Choice::AlwaysOn),
        b"always_off" => Some(Choice::AlwaysOff),
        _ => {
            let text = std::str::from_utf8(value).ok();
            let number = || value.try_into().ok().map(f64::from_le_bytes);
            let share = text.and_then(decimal).or_else(number)?;
            (0.0..=1.0).contains(&share).then(|| Choice::ratio(share))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header_map::serialize;
    use crate::testing::test;

    #[test]
    fn a_route_may_turn_tracing_off_or_sample_in_its_own_way() {
        let route = |key: &[u8], value: &[u8]| Route::read(&serialize(&[(key, value)]));
        assert!(route(b"disabled", &[1]).is_disabled);
        assert!(!route(b"disabled", &[0]).is_disabled);
        assert_eq!(route(b"sample", b"always_on").sample, Some(Choice::AlwaysOn));
        assert_eq!(route(b"sample", b"always_off").sample, Some(Choice::AlwaysOff));
        assert_eq!(route(b"sample", b"0.5").sample, Some(Choice::Ratio(1 << 55)));
        assert_eq!(route(b"sample", &0.5_f64.to_le_bytes()).sample, Some(Choice::Ratio(1 << 55)));
    }

    #[test]
    fn what_is_not_understood_changes_nothing() {
        for (key, value) in [
            (&b"disabled"[..], &b"true"[..]),
            (b"sample", b"sometimes"),
            (b"sample", b"1.5"),
            (b"sample", &2_f64.to_le_bytes()),
            (b"sample", &f64::NAN.to_le_bytes()),
            (b"other", &[1]),
        ] {
            assert_eq!(Route::read(&serialize(&[(key, value)])), Route::default(), "{value:?}");
        }
        assert_eq!(Route::read(b"garbage"), Route::default());
    }
}
