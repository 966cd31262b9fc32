//! An object that passed `check`, read by its keys: what was given, else the table's default.

use super::shape::{Key, whole};
use serde_json::{Map, Value};

/// An object of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Section<'a> {
    keys: &'static [Key],
    given: Option<&'a Map<String, Value>>,
}

impl<'a> Section<'a> {
    /// An object of these keys; `None` when it is absent, so that each key has its default.
    pub fn new(keys: &'static [Key], given: Option<&'a Map<String, Value>>) -> Self {
        Self { keys, given }
    }

    /// What was written for a key.
    pub fn given(&self, name: &str) -> Option<&'a Value> {
        debug_assert!(self.key(name).is_some(), "`{name}` is not in the table");
        self.given?.get(name)
    }

    /// What stands for a key: as written, or its default, or null.
    pub fn value(&self, name: &str) -> Value {
        match (self.given(name), self.key(name)) {
            (Some(value), _) => value.clone(),
            (None, Some(key)) => serde_json::from_slice(key.default.as_bytes()).unwrap_or_default(),
            (None, None) => Value::Null,
        }
    }

    /// A text or a word.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.value(name) {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// A list of texts or words.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let Value::Array(list) = self.value(name) else { return Vec::new() };
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// A map of texts.
    pub fn named_texts(&self, name: &str) -> Vec<(String, String)> {
        let Value::Object(map) = self.value(name) else { return Vec::new() };
        map.iter()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect()
    }

    /// A whole number.
    pub fn whole(&self, name: &str) -> Option<u64> {
        whole(&self.value(name))
    }

    /// A whole number that has a default; its range fits into 32 bits.
    pub fn whole_u32(&self, name: &str) -> u32 {
        self.whole(name).and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
    }

    /// A number of bytes or of things that has a default; its range fits into 32 bits.
    pub fn whole_usize(&self, name: &str) -> usize {
        self.whole_u32(name) as usize
    }

    /// A flag; false when it has no default.
    pub fn flag(&self, name: &str) -> bool {
        self.value(name).as_bool().unwrap_or(false)
    }

    /// An object; an absent one has its keys' defaults.
    pub fn section(&self, name: &str) -> Section<'a> {
        let given = self.given(name).and_then(Value::as_object);
        Section::new(self.key(name).map_or(&[], |key| key.shape.keys()), given)
    }

    /// A list of objects.
    pub fn sections(&self, name: &str) -> Vec<Section<'a>> {
        let keys = self.key(name).map_or(&[][..], |key| key.shape.keys());
        let list = self.given(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        list.iter().filter_map(Value::as_object).map(|map| Section::new(keys, Some(map))).collect()
    }

    fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}
