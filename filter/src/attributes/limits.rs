//! How much a span may say (OpenTelemetry specification, "Span Limits"): what goes beyond is left out and
//! counted in the span, a text that is too long is cut.

use super::Recipe;
use crate::encode::{self, Value};

/// The limits of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Attributes of a span, 0 to 1024. Default 128.
    pub attributes: u32,
    /// Characters of a text, 0 to 4096. Default 4096.
    pub attribute_length: u32,
    /// Events of a span, 0 to 1024. Default 128.
    pub events: u32,
    /// Attributes of an event, 0 to 1024. Default 128.
    pub event_attributes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { attributes: 128, attribute_length: 4096, events: 128, event_attributes: 128 }
    }
}

/// The first `longest` characters.
pub fn shorten(text: &str, longest: u32) -> &str {
    let longest = longest as usize;
    if text.len() <= longest {
        return text;
    }
    let end = text.char_indices().nth(longest).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text)
}

/// Writes a span's attributes within its limits. A custom attribute stands in for any other of its key.
pub struct Attributes<'r> {
    recipe: &'r Recipe,
    room: u32,
    dropped: u32,
    /// Which custom attributes have a value: a bit each.
    own: u64,
}

impl<'r> Attributes<'r> {
    /// Nothing written yet.
    pub fn new(recipe: &'r Recipe) -> Self {
        Self { recipe, room: recipe.settings.limits.attributes, dropped: 0, own: 0 }
    }

    /// Writes the custom attribute at this place of the recipe.
    pub fn write_custom(&mut self, out: &mut Vec<u8>, field: u32, place: usize, value: &Value<'_>) {
        if let Some(custom) = self.recipe.settings.custom.get(place) {
            self.own |= 1_u64.checked_shl(place as u32).unwrap_or(0);
            self.put(out, field, &custom.key, value);
        }
    }

    /// Writes an attribute, unless a custom one has its key.
    pub fn write(&mut self, out: &mut Vec<u8>, field: u32, key: &str, value: &Value<'_>) {
        let is_replaced = self.own != 0
            && self.recipe.settings.custom.iter().enumerate().any(|(place, custom)| {
                self.own & 1_u64.checked_shl(place as u32).unwrap_or(0) != 0 && custom.key == key
            });
        if !is_replaced {
            self.put(out, field, key, value);
        }
    }

    fn put(&mut self, out: &mut Vec<u8>, field: u32, key: &str, value: &Value<'_>) {
        if self.room == 0 {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.room -= 1;
        let longest = self.recipe.settings.limits.attribute_length;
        let value = match value {
            Value::Text(text) => Value::Text(shorten(text, longest)),
            Value::TextList(text) => Value::TextList(shorten(text, longest)),
            Value::Int(number) => Value::Int(*number),
        };
        encode::attribute(out, field, key, &value);
    }

    /// How many were left out.
    pub fn dropped(&self) -> u32 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::Settings;
    use crate::testing::test;

    #[test]
    fn a_text_is_cut_by_characters() {
        assert_eq!(shorten("añb", 3), "añb");
        assert_eq!(shorten("añb", 2), "añ");
        assert_eq!(shorten("añb", 0), "");
        assert_eq!(shorten("ééé", 3), "ééé");
    }

    #[test]
    fn attributes_beyond_the_limit_are_counted() {
        let limits = Limits { attributes: 2, ..Limits::default() };
        let settings = Settings { limits, ..Settings::default() };
        let recipe = Recipe { settings, ..Recipe::default() };
        let mut attributes = Attributes::new(&recipe);
        let (mut out, mut two) = (Vec::new(), Vec::new());
        for key in ["a", "b", "c", "d"] {
            attributes.write(&mut out, 9, key, &Value::Int(1));
        }
        for key in ["a", "b"] {
            encode::attribute(&mut two, 9, key, &Value::Int(1));
        }
        assert_eq!((out, attributes.dropped()), (two, 2));
    }
}
