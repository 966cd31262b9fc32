//! Ids as hex digits, read strictly or leniently as the dialects want it, and written in lower case.

/// Bytes of exactly `2 * N` lower-case digits.
pub fn lower<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.len() != N * 2 || digits.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    padded(digits)
}

/// Bytes of 1 to `2 * N` digits of either case; shorter ones are padded with zeros on the left.
pub fn padded<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.is_empty() || digits.len() > N * 2 {
        return None;
    }
    let mut out = [0; N];
    for (i, digit) in digits.iter().rev().enumerate() {
        let nibble = (*digit as char).to_digit(16)? as u8;
        let byte = out.get_mut(N - 1 - i / 2)?;
        *byte |= if i % 2 == 0 { nibble } else { nibble << 4 };
    }
    Some(out)
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
