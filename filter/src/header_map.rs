//! The proxy's wire form of a list of pairs: a header map, or the list that `expr_evaluate` answers.
//! Reads in place and never panics: a truncated or lying buffer ends the list early.

/// The pairs of a serialized list, in order. Layout (proxy-wasm ABI 0.2.1): a count, then for each pair
/// two lengths (all u32 little-endian), then for each pair key, NUL, value, NUL.
pub fn pairs(raw: &[u8]) -> Pairs<'_> {
    let count = read_u32(raw, 0).unwrap_or(0);
    let sizes_end = count.checked_mul(8).and_then(|n| n.checked_add(4)).unwrap_or(usize::MAX);
    Pairs { raw, next: 0, count, data: sizes_end }
}

/// Iterator over the pairs of a serialized list.
pub struct Pairs<'a> {
    raw: &'a [u8],
    next: usize,
    count: usize,
    data: usize,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.count {
            return None;
        }
        let sizes = 4 + self.next * 8;
        let key_size = read_u32(self.raw, sizes)?;
        let value_size = read_u32(self.raw, sizes + 4)?;
        let key_end = self.data.checked_add(key_size)?;
        let value_start = key_end.checked_add(1)?;
        let value_end = value_start.checked_add(value_size)?;
        let key = self.raw.get(self.data..key_end)?;
        let value = self.raw.get(value_start..value_end)?;
        self.data = value_end.checked_add(1)?;
        self.next += 1;
        Some((key, value))
    }
}

fn read_u32(raw: &[u8], at: usize) -> Option<usize> {
    let bytes = raw.get(at..at.checked_add(4)?)?;
    let bytes: [u8; 4] = bytes.try_into().ok()?;
    Some(u32::from_le_bytes(bytes) as usize)
}

/// The request headers that a span or a trace context needs, borrowed from the proxy's buffer.
/// An absent header is an empty slice.
#[derive(Debug, Default)]
pub struct RequestHeaders<'a> {
    /// `:method`
    pub method: &'a [u8],
    /// `:path`, with the query
    pub path: &'a [u8],
    /// `:scheme`
    pub scheme: &'a [u8],
    /// `:authority`
    pub authority: &'a [u8],
    /// `user-agent`
    pub user_agent: &'a [u8],
    /// `x-request-id`
    pub request_id: &'a [u8],
    /// Every `traceparent`: more than one is invalid.
    pub traceparent: Vec<&'a [u8]>,
    /// Every `tracestate`, in order: they are one list.
    pub tracestate: Vec<&'a [u8]>,
    /// Whether `x-spanferry-source` is there: a callout of our own.
    pub from_spanferry: bool,
}

impl<'a> RequestHeaders<'a> {
    /// One pass over a serialized header map (names are lowercase, as the proxy keeps them).
    pub fn scan(raw: &'a [u8]) -> Self {
        let mut headers = Self::default();
        for (name, value) in pairs(raw) {
            match name {
                b":method" => headers.method = value,
                b":path" => headers.path = value,
                b":scheme" => headers.scheme = value,
                b":authority" => headers.authority = value,
                b"user-agent" => headers.user_agent = value,
                b"x-request-id" => headers.request_id = value,
                b"traceparent" => headers.traceparent.push(value),
                b"tracestate" => headers.tracestate.push(value),
                b"x-spanferry-source" => headers.from_spanferry = true,
                _ => {}
            }
        }
        headers
    }
}

/// A property's path in the proxy's form: its parts, each followed by NUL but the last.
pub fn serialize_path(path: &[&str]) -> Vec<u8> {
    path.join("\0").into_bytes()
}

/// Writes pairs in the proxy's form: the counterpart of [`pairs`].
pub fn serialize(list: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = (list.len() as u32).to_le_bytes().to_vec();
    for (key, value) in list {
        out.extend((key.len() as u32).to_le_bytes());
        out.extend((value.len() as u32).to_le_bytes());
    }
    for (key, value) in list {
        out.extend_from_slice(key);
        out.push(0);
        out.extend_from_slice(value);
        out.push(0);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn pairs_come_back_in_order() {
        let raw = serialize(&[(b"a", b"1"), (b"", b""), (b"long-name", b"v\0v")]);
        let read: Vec<_> = pairs(&raw).collect();
        assert_eq!(
            read,
            [(&b"a"[..], &b"1"[..]), (&b""[..], &b""[..]), (&b"long-name"[..], &b"v\0v"[..])]
        );
    }

    #[test]
    fn a_buffer_cut_anywhere_ends_the_list_without_a_panic() {
        let raw = serialize(&[(b"traceparent", b"00-aa"), (b"x", b"y")]);
        for end in 0..raw.len() - 1 {
            assert!(pairs(&raw[..end]).count() < 2, "cut at {end}");
        }
    }

    #[test]
    fn lengths_beyond_the_buffer_end_the_list() {
        let mut raw = serialize(&[(b"a", b"b")]);
        raw[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(pairs(&raw).count(), 0);
        raw[0..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(pairs(&raw).count(), 0);
    }

    #[test]
    fn a_repeated_traceparent_is_seen_as_two() {
        let raw = serialize(&[
            (b":method", b"GET"),
            (b"traceparent", b"one"),
            (b"tracestate", b"a=1"),
            (b"traceparent", b"two"),
            (b"tracestate", b"b=2"),
            (b"x-spanferry-source", b"00"),
        ]);
        let headers = RequestHeaders::scan(&raw);
        assert_eq!(headers.method, b"GET");
        assert_eq!(headers.traceparent, [b"one", b"two"]);
        assert_eq!(headers.tracestate, [b"a=1", b"b=2"]);
        assert!(headers.from_spanferry);
        assert_eq!(headers.path, b"");
    }
}
