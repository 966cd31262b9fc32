//! What a key of the configuration may hold. The table in `keys` is written in these words; `check`,
//! `section` and `schema` each read it, so a key is said once.

use serde_json::Value;

/// One key of an object.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it may hold.
    pub shape: Shape,
    /// Whether it must be there.
    pub is_required: bool,
    /// What stands when it is absent, as JSON. Empty: nothing does.
    pub default: &'static str,
    /// What it is for, in a sentence or two. Not in the wasm file: nobody reads it there.
    #[cfg(not(target_arch = "wasm32"))]
    pub doc: &'static str,
}

impl Key {
    /// An optional key without a default.
    pub const fn new(name: &'static str, shape: Shape) -> Self {
        Self {
            name,
            shape,
            is_required: false,
            default: "",
            #[cfg(not(target_arch = "wasm32"))]
            doc: "",
        }
    }

    /// It must be there.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// What stands when it is absent, as JSON.
    #[must_use]
    pub const fn default(mut self, json: &'static str) -> Self {
        self.default = json;
        self
    }

    /// What it is for.
    #[must_use]
    #[cfg(not(target_arch = "wasm32"))]
    pub const fn doc(mut self, doc: &'static str) -> Self {
        self.doc = doc;
        self
    }

    /// What it is for; left out here.
    #[must_use]
    #[cfg(target_arch = "wasm32")]
    pub const fn doc(self, _: &'static str) -> Self {
        self
    }
}

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// A text that may stand in a header or a name: not empty, no control characters.
    Text,
    /// A text that begins with `/`.
    Path,
    /// A path with `*` for any run of characters: begins with `/` or `*`.
    PathGlob,
    /// A header's name: a token of RFC 9110, section 5.6.2.
    HeaderName,
    /// A whole number in this range, both ends in it. 200.0 is one too: what passes
    /// through a Struct becomes such.
    Whole(u64, u64),
    /// A number from 0 to 1. Its text is one too: Envoy turns the fractions of a YAML file into such.
    Ratio,
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of these words, each at most once.
    Words(&'static [&'static str]),
    /// A list, each of this shape.
    List(&'static Shape),
    /// An object of any names, each with this shape.
    Map(&'static Shape),
    /// An object of these keys and no others.
    Object(&'static [Key]),
    /// The first shape or the second. At most one of the two is an object.
    Either(&'static Shape, &'static Shape),
}

impl Shape {
    /// The keys of the object that this shape is, or is a list of, or may be.
    pub fn keys(&self) -> &'static [Key] {
        match self {
            Self::Object(keys) => keys,
            Self::List(shape) | Self::Map(shape) => shape.keys(),
            Self::Either(one, other) if one.keys().is_empty() => other.keys(),
            Self::Either(one, _) => one.keys(),
            _ => &[],
        }
    }

    /// What is allowed, for a message.
    pub fn allowed(&self) -> String {
        match self {
            Self::Text => "a text without control characters, not empty".into(),
            Self::Path => "a path that begins with /".into(),
            Self::PathGlob => "a path that begins with / or *".into(),
            Self::HeaderName => "a header's name".into(),
            Self::Whole(from, to) => format!("a whole number from {from} to {to}"),
            Self::Ratio => "a number from 0 to 1".into(),
            Self::Flag => "true or false".into(),
            Self::Word(words) => quoted(words),
            Self::Words(words) => format!("a list, each at most once: {}", quoted(words)),
            Self::List(shape) => format!("a list, each {}", shape.allowed()),
            Self::Map(shape) => format!("an object, each {}", shape.allowed()),
            Self::Object(keys) => format!("an object of {}", names(keys)),
            Self::Either(one, other) => format!("{}, or {}", one.allowed(), other.allowed()),
        }
    }
}

/// The names of keys, for a message.
pub fn names(keys: &[Key]) -> String {
    keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")
}

/// `"a", "b" or "c"`.
fn quoted(words: &[&str]) -> String {
    let mut out = String::new();
    for (i, word) in words.iter().enumerate() {
        out.push_str(match i {
            0 => "",
            _ if i + 1 == words.len() => " or ",
            _ => ", ",
        });
        out.push('"');
        out.push_str(word);
        out.push('"');
    }
    out
}

/// The largest whole number that may stand as a float: below it, each is exact.
const LARGEST_WHOLE_FLOAT: f64 = 1e15;

/// A whole number, also when it is written as a float.
pub fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        value
            .as_f64()
            .filter(|f| f.fract() == 0.0 && (0.0..=LARGEST_WHOLE_FLOAT).contains(f))
            .map(|f| f as u64)
    })
}

/// A number from 0 to 1, also when it is written as a text.
pub fn ratio(value: &Value) -> Option<f64> {
    let number = match value {
        Value::String(text) => decimal(text),
        value => value.as_f64(),
    };
    number.filter(|number| (0.0..=1.0).contains(number))
}

/// The digits of a fraction that count: as many as a whole number of 64 bits is sure to hold.
const DIGITS: usize = 18;

/// `0`, `1`, `0.25`: what the schema's pattern takes. By hand, since the standard library's parser of
/// floats would be a tenth of the wasm file.
pub fn decimal(text: &str) -> Option<f64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_decimal = matches!(whole, "0" | "1")
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let append =
        |(number, unit): (u64, u64), digit: u8| (number * 10 + u64::from(digit - b'0'), unit * 10);
    let (number, unit) =
        fraction.bytes().take(DIGITS).filter(u8::is_ascii_digit).fold((0, 1), append);
    let whole = if whole == "1" { 1.0 } else { 0.0 };
    is_decimal.then_some(whole + number as f64 / unit as f64)
}
