//! The protobuf messages that an Envoy binary was built with: it holds a descriptor of each of its files. So the options of
//! Envoy's own tracer are read from the very binary that the tests run, not from a page about some version.

use anyhow::{Context, Result};
use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorProto};
use spanferry_tests::stack::parts;

/// The descriptors in Envoy's binary.
pub struct Descriptors(Vec<u8>);

impl Descriptors {
    /// Reads the binary.
    pub fn of_envoy() -> Result<Descriptors> {
        let path = parts::envoy()?;
        Ok(Descriptors(std::fs::read(&path).with_context(|| path.display().to_string())?))
    }

    /// The names of a message's fields, which may be a message within another: `Outer.Inner`.
    pub fn fields(&self, file: &str, message: &str) -> Result<Vec<String>> {
        let descriptor = self.file(file).with_context(|| format!("no descriptor of {file}"))?;
        let (mut among, mut found) = (&descriptor.message_type, None);
        for name in message.split('.') {
            let one: &DescriptorProto = among
                .iter()
                .find(|one| one.name() == name)
                .with_context(|| format!("{file} has no {message}"))?;
            (among, found) = (&one.nested_type, Some(one));
        }
        let fields = found.map(|message| message.field.iter());
        Ok(fields.into_iter().flatten().map(|field| field.name().to_owned()).collect())
    }

    /// A descriptor begins with its file's name (field 1); its end is where no field of a file's descriptor follows.
    fn file(&self, name: &str) -> Option<FileDescriptorProto> {
        let length = u8::try_from(name.len()).ok().filter(|length| *length < 0x80)?;
        let needle = [&[0x0a, length], name.as_bytes(), &[0x12]].concat();
        let mut places = memchr::memmem::find_iter(&self.0, &needle);
        places.find_map(|place| {
            let rest = &self.0[place..];
            FileDescriptorProto::decode(&rest[..walk(rest)]).ok()
        })
    }
}

/// The bytes of the fields at the beginning: numbers 1 to 14, each a number or a counted run of bytes.
fn walk(bytes: &[u8]) -> usize {
    let mut end = 0;
    while let Some(next) = field_end(bytes, end) {
        end = next;
    }
    end
}

fn field_end(bytes: &[u8], at: usize) -> Option<usize> {
    let (tag, at) = varint(bytes, at)?;
    let (value, at) = varint(bytes, at)?;
    let end = match (tag >> 3, tag & 7) {
        (1..=14, 0) => at,
        (1..=14, 2) => at.checked_add(usize::try_from(value).ok()?)?,
        _ => return None,
    };
    (end <= bytes.len()).then_some(end)
}

fn varint(bytes: &[u8], mut at: usize) -> Option<(u64, usize)> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let byte = *bytes.get(at)?;
        at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((value, at));
        }
    }
    None
}
