//! Durations and sizes as people write them: `500ms`, `5s`, `7d`; `64KiB`, `16MiB`, `1000000`.

use std::time::Duration;

/// A duration; a bare number is refused, since its unit could be anything.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; examples: 500ms, 5s, 2h, 7d"))
}

/// A number of bytes, at least 1.
pub fn size(text: &str) -> Result<usize, String> {
    let size: bytesize::ByteSize =
        text.parse().map_err(|error| format!("{error}; examples: 1000000, 64KiB, 16MiB"))?;
    usize::try_from(size.as_u64())
        .ok()
        .filter(|size| *size > 0)
        .ok_or("expected at least 1 byte".into())
}

/// `NAME=VALUE`.
pub fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("expected NAME=VALUE, such as linger.ms=5".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_as_written() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!((size("16MiB"), size("1000000")), (Ok(16 << 20), Ok(1_000_000)));
        assert_eq!(property("a.b=c=d"), Ok(("a.b".into(), "c=d".into())));
    }

    #[test]
    fn what_has_no_unit_or_no_sense_is_refused() {
        assert!(duration("5").is_err());
        assert!(size("0").is_err());
        assert!(size("many").is_err());
        assert!(property("=x").is_err());
    }
}
