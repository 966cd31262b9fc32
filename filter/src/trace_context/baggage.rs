//! W3C Baggage: passed on untouched; a member's value may be looked up. Source: W3C Baggage, section 3.

use crate::header_map::RequestHeaders;
use std::borrow::Cow;

/// The value of the first member with this key in the request's `baggage`, percent-decoded, without its
/// properties. `None` when no well-formed member has the key.
pub fn member<'a>(headers: &RequestHeaders<'a>, key: &str) -> Option<Cow<'a, str>> {
    let mut members = headers.baggage.iter().flat_map(|line| line.split(|byte| *byte == b','));
    members.find_map(|member| value_of(member, key))
}

fn value_of<'a>(member: &'a [u8], key: &str) -> Option<Cow<'a, str>> {
    let member = std::str::from_utf8(member).ok()?;
    let (pair, _properties) = member.split_once(';').unwrap_or((member, ""));
    let (name, value) = pair.split_once('=')?;
    (name.trim_matches([' ', '\t']) == key)
        .then(|| percent_decoded(value.trim_matches([' ', '\t'])))
}

/// Percent-decoded; an escape that is none stays as it is, and broken UTF-8 becomes U+FFFD.
pub fn percent_decoded(value: &str) -> Cow<'_, str> {
    if !value.contains('%') {
        return Cow::Borrowed(value);
    }
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = tail.get(..2).filter(|_| *first == b'%').and_then(super::hex::padded::<1>);
        match (escaped, tail.get(2..)) {
            (Some([byte]), Some(after)) => {
                out.push(byte);
                rest = after;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    fn look_up(lines: &[&str], key: &str) -> Option<String> {
        look_up_bytes(&lines.iter().map(|line| line.as_bytes()).collect::<Vec<_>>(), key)
    }

    fn look_up_bytes(lines: &[&[u8]], key: &str) -> Option<String> {
        let baggage = lines.iter().copied().collect();
        let headers = RequestHeaders { baggage, ..RequestHeaders::default() };
        member(&headers, key).map(Cow::into_owned)
    }

    #[test]
    fn a_member_is_found_in_any_line_without_its_properties() {
        let lines = ["userId=alice , serverNode=DF%2028;ttl=4", "isProduction = false"];
        assert_eq!(look_up(&lines, "userId").as_deref(), Some("alice"));
        assert_eq!(look_up(&lines, "serverNode").as_deref(), Some("DF 28"));
        assert_eq!(look_up(&lines, "isProduction").as_deref(), Some("false"));
        assert_eq!(look_up(&lines, "userid"), None);
    }

    #[test]
    fn the_first_of_two_members_counts() {
        assert_eq!(look_up(&["a=1,a=2"], "a").as_deref(), Some("1"));
    }

    #[test]
    fn broken_members_are_passed_over_and_broken_escapes_kept() {
        assert_eq!(look_up(&["", ",,", "novalue", "=x", "a"], "a"), None);
        assert_eq!(look_up(&["a=%4"], "a").as_deref(), Some("%4"));
        assert_eq!(look_up(&["a=%zz%41"], "a").as_deref(), Some("%zzA"));
        assert_eq!(look_up(&["a=%ff"], "a").as_deref(), Some("\u{fffd}"));
        assert_eq!(look_up_bytes(&[b"\xff=1,a=2"], "a").as_deref(), Some("2"));
    }
}
