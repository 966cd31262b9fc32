//! The `tracestate` list: validated, bounded, and OpenTelemetry's own member `ot` read and rewritten.
//! Sources: W3C Trace Context, section 3.3; OpenTelemetry's "TraceState handling" and "Probability
//! Sampling".

use crate::header_map::Lines;

/// Members that a list may have at most.
const MOST_MEMBERS: usize = 32;
/// Bytes of a list that every participant passes on at least; a longer one is shortened to so many.
const LONGEST: usize = 512;
/// When a list is too long, members longer than this go first (section 3.3.1.5).
const LONG_MEMBER: usize = 128;
/// Bytes of a member's value at most, so also of `ot`'s.
const LONGEST_VALUE: usize = 256;
/// Hex digits of 56 bits.
const DIGITS: usize = 14;

/// What OpenTelemetry's member says of sampling.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Probability {
    /// `th`: of 2^56 traces, so many are rejected. `None`: unknown.
    pub threshold: Option<u64>,
    /// `rv`: the randomness that stands in for that of the trace id, 56 bits.
    pub randomness: Option<u64>,
}

/// Joins the lines of a request into one list, or `None` when the list is malformed. No line at all is an
/// empty list. A list that is too long is shortened.
pub fn join(lines: &Lines<'_>) -> Option<String> {
    let mut joined = String::new();
    for line in lines.iter() {
        let line = std::str::from_utf8(line).ok()?;
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(line);
    }
    is_valid(&joined).then(|| if joined.len() > LONGEST { shortened(&joined) } else { joined })
}

/// The members that are not empty, without the white space around them.
fn members(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(|member| member.trim_matches([' ', '\t']))
        .filter(|member| !member.is_empty())
}

fn is_valid(list: &str) -> bool {
    let mut keys = [""; MOST_MEMBERS];
    for (used, member) in members(list).enumerate() {
        let Some((key, value)) = member.split_once('=') else { return false };
        let Some((before, free)) = keys.split_at_mut_checked(used) else { return false };
        let Some(slot) = free.first_mut() else { return false };
        if before.contains(&key) || !key_is_valid(key) || !value_is_valid(value) {
            return false;
        }
        *slot = key;
    }
    true
}

/// `key` or `tenant@system`, by the grammar of section 3.3.1.3.1.
fn key_is_valid(key: &str) -> bool {
    let legal = |byte: u8| {
        byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || matches!(byte, b'_' | b'-' | b'*' | b'/')
    };
    let starts = |part: &str, digit: bool| {
        part.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || (digit && b.is_ascii_digit()))
    };
    match key.split_once('@') {
        None => key.len() <= 256 && starts(key, true) && key.bytes().all(legal),
        Some((tenant, system)) => {
            (tenant.len() <= 241 && starts(tenant, true) && tenant.bytes().all(legal))
                && (system.len() <= 14 && starts(system, false) && system.bytes().all(legal))
        }
    }
}

fn value_is_valid(value: &str) -> bool {
    let printable = |byte: u8| (0x20..=0x7e).contains(&byte) && byte != b',' && byte != b'=';
    !value.is_empty() && value.len() <= LONGEST_VALUE && value.bytes().all(printable)
}

/// The list within its bounds: whole members only, the long ones out first, then those at the end.
fn shortened(list: &str) -> String {
    let size = |kept: &[&str]| kept.iter().map(|member| member.len() + 1).sum::<usize>();
    let mut kept: Vec<&str> = members(list).collect();
    while size(&kept) > LONGEST + 1 {
        match kept.iter().rposition(|member| member.len() > LONG_MEMBER) {
            Some(long) => drop(kept.remove(long)),
            None => drop(kept.pop()),
        }
    }
    kept.truncate(MOST_MEMBERS);
    kept.join(",")
}

/// What OpenTelemetry's member of a valid list says.
pub fn probability(list: &str) -> Probability {
    let Some(value) = members(list).find_map(|member| member.strip_prefix("ot=")) else {
        return Probability::default();
    };
    let mut found = Probability::default();
    for part in value.split(';') {
        if let Some(digits) = part.strip_prefix("th:") {
            found.threshold = threshold(digits);
        } else if let Some(digits) = part.strip_prefix("rv:") {
            found.randomness = hex(digits).filter(|_| digits.len() == DIGITS);
        }
    }
    found
}

/// 1 to 14 lower-case digits, with zeros to be added on the right.
fn threshold(digits: &str) -> Option<u64> {
    let missing = DIGITS.checked_sub(digits.len())?;
    Some(hex(digits)? << (4 * missing))
}

fn hex(digits: &str) -> Option<u64> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if !digits.bytes().all(is_hex) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

/// The list with this threshold in OpenTelemetry's member, or with none; what else stands there is kept.
/// A member that changes moves to the front, as the specification wants it.
pub fn with_threshold(list: &str, threshold: Option<u64>) -> String {
    let mut value =
        threshold.map(|threshold| format!("th:{}", digits(threshold))).unwrap_or_default();
    let own = members(list).find_map(|member| member.strip_prefix("ot="));
    let kept =
        own.into_iter().flat_map(|value| value.split(';')).filter(|part| !part.starts_with("th:"));
    for part in kept.filter(|part| !part.is_empty()) {
        if value.len() + part.len() < LONGEST_VALUE {
            value.push_str(if value.is_empty() { "" } else { ";" });
            value.push_str(part);
        }
    }
    let others = members(list).filter(|member| !member.starts_with("ot="));
    let mut out = if value.is_empty() { String::new() } else { format!("ot={value}") };
    for member in others.take(if value.is_empty() { MOST_MEMBERS } else { MOST_MEMBERS - 1 }) {
        out.push_str(if out.is_empty() { "" } else { "," });
        out.push_str(member);
    }
    if out.len() > LONGEST { shortened(&out) } else { out }
}

/// Without the zeros on the right; 0 is `0`.
fn digits(threshold: u64) -> String {
    let all = format!("{threshold:014x}");
    let kept = all.trim_end_matches('0');
    if kept.is_empty() { "0".into() } else { kept.into() }
}

#[cfg(test)]
mod tests;
