//! The proxy's attributes of a finished request: which are read, the one expression that reads them all,
//! and their values.

use crate::header_map::pairs;

/// What is read of each finished request, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Property {
    /// When the first byte came in, ns since the epoch.
    StartTime,
    /// From the first byte in to the last byte out, ns.
    Duration,
    /// Status code sent to the client; 0 or absent when none was.
    Status,
    /// Envoy's response flags, a bit mask.
    Flags,
    /// Envoy's reason for the status.
    StatusDetails,
    /// Request body, bytes.
    RequestBytes,
    /// Response body, bytes.
    ResponseBytes,
    /// `HTTP/1.1`, `HTTP/2`, …
    Protocol,
    /// The client's `address:port`.
    Client,
    /// The chosen upstream's `address:port`.
    Upstream,
    /// The upstream cluster's name.
    Cluster,
    /// The route's name.
    Route,
    /// The listener's direction: 0 unspecified, 1 inbound, 2 outbound.
    Direction,
}

/// How many properties are read.
pub const COUNT: usize = 13;

/// The paths, in the order of [`Property`].
pub const PATHS: [[&str; 2]; COUNT] = [
    ["request", "time"],
    ["request", "duration"],
    ["response", "code"],
    ["response", "flags"],
    ["response", "code_details"],
    ["request", "size"],
    ["response", "size"],
    ["request", "protocol"],
    ["source", "address"],
    ["upstream", "address"],
    ["xds", "cluster_name"],
    ["xds", "route_name"],
    ["xds", "listener_direction"],
];

/// A CEL list of all properties, with `''` for an absent one: one absent attribute fails a plain list.
pub fn list_expression() -> String {
    let guarded = PATHS.map(|[object, field]| format!("has({object}.{field})?{object}.{field}:''"));
    format!("[{}]", guarded.join(","))
}

/// The values read, borrowed from the proxy's buffers; an absent one is empty.
#[derive(Debug, Default)]
pub struct Properties<'a> {
    values: [&'a [u8]; COUNT],
}

impl<'a> Properties<'a> {
    /// From the answer to [`list_expression`]: a list of pairs whose keys are the values. `None` when
    /// the list is not as long as it should be.
    pub fn from_list(raw: &'a [u8]) -> Option<Self> {
        let mut values = [&[][..]; COUNT];
        let mut read = 0;
        for (slot, (value, _)) in values.iter_mut().zip(pairs(raw)) {
            *slot = value;
            read += 1;
        }
        (read == COUNT).then_some(Self { values })
    }

    /// From single reads, in the order of [`PATHS`].
    pub fn from_single(read: &'a [Vec<u8>; COUNT]) -> Self {
        Self { values: read.each_ref().map(Vec::as_slice) }
    }

    /// A property's bytes; empty when absent.
    pub fn bytes(&self, property: Property) -> &'a [u8] {
        self.values[property as usize]
    }

    /// A whole number, or a time in ns. `None` when absent or negative.
    pub fn number(&self, property: Property) -> Option<u64> {
        let bytes = self.bytes(property).try_into().ok()?;
        u64::try_from(i64::from_le_bytes(bytes)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header_map::serialize;
    use crate::testing::test;

    #[test]
    fn the_expression_guards_each_property() {
        let text = list_expression();
        assert!(text.starts_with("[has(request.time)?request.time:'',has(request.duration)?"));
        assert!(text.ends_with("has(xds.listener_direction)?xds.listener_direction:'']"));
    }

    #[test]
    fn a_list_answer_is_read_by_position() {
        let status = 503_i64.to_le_bytes();
        let mut list: Vec<(&[u8], &[u8])> = vec![(b"", b""); COUNT];
        list[Property::Status as usize].0 = &status;
        list[Property::Cluster as usize].0 = b"shop";
        let raw = serialize(&list);
        let properties = Properties::from_list(&raw).unwrap();
        assert_eq!(properties.number(Property::Status), Some(503));
        assert_eq!(properties.bytes(Property::Cluster), b"shop");
        assert_eq!(properties.number(Property::Flags), None);
        assert_eq!(properties.bytes(Property::Route), b"");
    }

    #[test]
    fn a_list_of_another_length_is_refused() {
        assert!(Properties::from_list(&serialize(&[(b"a", b"")])).is_none());
        assert!(Properties::from_list(b"").is_none());
    }

    #[test]
    fn numbers_of_another_size_or_sign_are_absent() {
        let mut read: [Vec<u8>; COUNT] = Default::default();
        read[Property::RequestBytes as usize] = (-1_i64).to_le_bytes().to_vec();
        read[Property::ResponseBytes as usize] = vec![1, 2, 3];
        let properties = Properties::from_single(&read);
        assert_eq!(properties.number(Property::RequestBytes), None);
        assert_eq!(properties.number(Property::ResponseBytes), None);
    }
}
