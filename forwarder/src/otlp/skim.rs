//! Whether a message can be walked to its end, without its fields: most fields of a span are told by two bytes.

use super::wire::{Field, WireError, read_field};
use std::ops::Range;

/// The wire types (<https://protobuf.dev/programming-guides/encoding/#structure>), in a tag of one byte.
const OF_ONE_BYTE: u8 = 0x87;
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const DELIMITED: u8 = 2;

/// As a walk by `fields` to the end of the message at `range` of `bytes`: the same error, or none.
pub fn skim(bytes: &[u8], range: Range<usize>) -> Result<(), WireError> {
    // No field has this number.
    skim_for(0, bytes, range, |_| Ok(()))
}

/// The same, and shows each field of this number, below 16; an error of `show` ends it.
pub fn skim_for(
    number: u8,
    bytes: &[u8],
    range: Range<usize>,
    mut show: impl FnMut(Field) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let bytes = bytes.get(..range.end).unwrap_or(bytes);
    let mut at = range.start;
    while at < bytes.len() {
        at = match short(&bytes[at..], number) {
            Some(length) if length <= bytes.len() - at => at + length,
            _ => {
                let field = read_field(bytes, at, 0)?;
                let end = field.raw.end;
                if field.number == u32::from(number) {
                    show(field)?;
                }
                end
            }
        };
    }
    Ok(())
}

/// The length of a field whose tag and length are a byte each, if its number is another one.
fn short(field: &[u8], number: u8) -> Option<usize> {
    let [tag, second, ..] = *field else { return None };
    match tag & OF_ONE_BYTE {
        _ if tag < 8 || tag >> 3 == number => None,
        DELIMITED if second < 0x80 => Some(2 + usize::from(second)),
        VARINT if second < 0x80 => Some(2),
        FIXED64 => Some(9),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::fields;
    use super::*;
    use proptest::prelude::*;

    /// A field of any kind; some are cut off, or no field.
    fn field() -> impl Strategy<Value = Vec<u8>> {
        let tag = (0u8..20, 0u8..8).prop_map(|(number, kind)| number << 3 | kind);
        let tag = prop_oneof![9 => tag, 1 => any::<u8>()];
        let value = prop_oneof![
            (0u8..12).prop_map(|length| [vec![length], vec![7; length.into()]].concat()),
            proptest::collection::vec(any::<u8>(), 0..12),
        ];
        (tag, value).prop_map(|(tag, value)| [vec![tag], value].concat())
    }

    proptest! {
        #[test]
        fn it_says_what_a_walk_by_fields_says(
            message in proptest::collection::vec(field(), 0..6).prop_map(|fields| fields.concat()),
            start in 0usize..4,
            end in 0usize..80,
        ) {
            let walked = fields(&message, start..end).find_map(Result::err).map_or(Ok(()), Err);
            prop_assert_eq!(skim(&message, start..end), walked);
        }

        #[test]
        fn it_shows_the_fields_that_a_walk_finds(
            message in proptest::collection::vec(field(), 0..6).prop_map(|fields| fields.concat()),
            number in 1u8..16,
        ) {
            let walked = fields(&message, 0..message.len()).map_while(Result::ok);
            let walked: Vec<_> = walked.filter(|field| field.number == u32::from(number)).collect();
            let mut shown = Vec::new();
            let _ = skim_for(number, &message, 0..message.len(), |field| {
                shown.push(field);
                Ok(())
            });
            prop_assert_eq!(shown, walked);
        }
    }

    #[test]
    fn a_message_of_short_fields_is_walked_to_its_end() {
        let message = [0x0a, 2, 1, 2, 0x30, 3, 0x39, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(skim(&message, 0..message.len()), Ok(()));
        let cut = WireError::Truncated { at: 6, end: message.len() - 1 };
        assert_eq!(skim(&message, 0..message.len() - 1), Err(cut));
    }
}
