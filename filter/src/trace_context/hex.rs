//! Ids as hex digits, read strictly or leniently as the dialects want it, and written in lower case.

/// Bytes of exactly `2 * N` lower-case digits.
pub fn lower<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    read_lower(digits, &mut out).then_some(out)
}

/// Not generic, as the filter's size is bounded. What is no digit is seen at the end: a branch for each would cost more.
fn read_lower(digits: &[u8], out: &mut [u8]) -> bool {
    let (pairs, rest) = digits.as_chunks::<2>();
    let mut any = 0;
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        let (high, low) = (nibble(*high), nibble(*low));
        any |= high | low;
        *byte = high << 4 | low;
    }
    any < 0x10 && pairs.len() == out.len() && rest.is_empty()
}

/// The value of a lower-case digit; what is none has a bit above the lowest four.
fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => 0x10,
    }
}

/// Bytes of 1 to `2 * N` digits of either case; shorter ones are padded with zeros on the left.
pub fn padded<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    read_padded(digits, &mut out)?;
    Some(out)
}

fn read_padded(digits: &[u8], out: &mut [u8]) -> Option<()> {
    if digits.is_empty() || digits.len() > out.len() * 2 {
        return None;
    }
    for (i, digit) in digits.iter().rev().enumerate() {
        let nibble = (*digit as char).to_digit(16)? as u8;
        let at = out.len() - 1 - i / 2;
        let byte = out.get_mut(at)?;
        *byte |= if i % 2 == 0 { nibble } else { nibble << 4 };
    }
    Some(())
}

/// An id of any of the dialects: not all zero.
pub fn id<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    padded(digits).filter(|id| *id != [0; N])
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Writes bytes as lower-case hex over what is there, two digits a byte, as far as both reach.
pub fn write(out: &mut [u8], bytes: &[u8]) {
    for (digits, byte) in out.as_chunks_mut().0.iter_mut().zip(bytes) {
        *digits = pair(*byte);
    }
}

/// Appends bytes as lower-case hex.
pub fn push(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let [high, low] = pair(*byte);
        out.push(high.into());
        out.push(low.into());
    }
}

fn pair(byte: u8) -> [u8; 2] {
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0x0f)]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn short_digits_are_padded_on_the_left() {
        assert_eq!(padded::<2>(b"abc"), Some([0x0a, 0xbc]));
        assert_eq!(padded::<2>(b"F"), Some([0, 0x0f]));
        assert_eq!(padded::<2>(b""), None);
        assert_eq!(padded::<2>(b"00abc"), None);
        assert_eq!(padded::<2>(b"g"), None);
    }

    #[test]
    fn the_strict_form_wants_all_digits_in_lower_case() {
        assert_eq!(lower::<2>(b"0abc"), Some([0x0a, 0xbc]));
        for digits in [&b"abc"[..], b"0ABC", b"0abcd", b"+abc", b""] {
            assert_eq!(lower::<2>(digits), None, "{digits:?}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut out = String::new();
        push(&mut out, &[0x00, 0x9f, 0xe1]);
        assert_eq!(out, "009fe1");
        assert_eq!(lower::<3>(out.as_bytes()), Some([0x00, 0x9f, 0xe1]));
        assert_eq!(id::<3>(b"000000"), None);
    }
}
