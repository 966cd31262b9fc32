//! The proxy's wire form of a list of pairs: a header map, or the list that `expr_evaluate` answers.
//! Reads in place and never panics: a truncated or lying buffer ends the list early.

/// The pairs of a serialized list, in order. Layout (proxy-wasm ABI 0.2.1): a count, then for each pair
/// two lengths (all u32 little-endian), then for each pair key, NUL, value, NUL.
pub fn pairs(raw: &[u8]) -> Pairs<'_> {
    let count = pair_count(raw);
    let sizes_end = count.checked_mul(8).and_then(|n| n.checked_add(4)).unwrap_or(usize::MAX);
    Pairs { raw, next: 0, count, data: sizes_end }
}

/// How many pairs a serialized list says that it has.
pub fn pair_count(raw: &[u8]) -> usize {
    read_u32(raw, 0).unwrap_or(0)
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

/// The values of one header, in order. One value takes no allocation.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Lines<'a> {
    first: Option<&'a [u8]>,
    more: Vec<&'a [u8]>,
}

impl<'a> Lines<'a> {
    /// Adds a value.
    pub fn push(&mut self, value: &'a [u8]) {
        match self.first {
            None => self.first = Some(value),
            Some(_) => self.more.push(value),
        }
    }

    /// The value, if there is exactly one.
    pub fn only(&self) -> Option<&'a [u8]> {
        self.first.filter(|_| self.more.is_empty())
    }

    /// How often the header is there.
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    /// Whether the header is absent.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Each value.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        self.first.into_iter().chain(self.more.iter().copied())
    }
}

impl<'a> FromIterator<&'a [u8]> for Lines<'a> {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(values: I) -> Self {
        let mut lines = Self::default();
        values.into_iter().for_each(|value| lines.push(value));
        lines
    }
}

/// The headers of the dialects other than W3C Trace Context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
#[allow(missing_docs, reason = "each is the header of that name")]
pub enum ContextHeader {
    B3,
    B3TraceId,
    B3SpanId,
    B3ParentSpanId,
    B3Sampled,
    B3Flags,
    UberTraceId,
    AmznTraceId,
    DatadogTraceId,
    DatadogParentId,
    DatadogSamplingPriority,
    DatadogTags,
}

impl ContextHeader {
    /// How many there are.
    pub const COUNT: usize = 12;
    const ALL: [(Self, &str); Self::COUNT] = [
        (Self::B3, "b3"),
        (Self::B3TraceId, "x-b3-traceid"),
        (Self::B3SpanId, "x-b3-spanid"),
        (Self::B3ParentSpanId, "x-b3-parentspanid"),
        (Self::B3Sampled, "x-b3-sampled"),
        (Self::B3Flags, "x-b3-flags"),
        (Self::UberTraceId, "uber-trace-id"),
        (Self::AmznTraceId, "x-amzn-trace-id"),
        (Self::DatadogTraceId, "x-datadog-trace-id"),
        (Self::DatadogParentId, "x-datadog-parent-id"),
        (Self::DatadogSamplingPriority, "x-datadog-sampling-priority"),
        (Self::DatadogTags, "x-datadog-tags"),
    ];

    /// The header's name, as the proxy keeps it.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// The header of this name. Most headers end at their first letter.
    fn named(name: &[u8]) -> Option<Self> {
        if !matches!(name.first(), Some(b'b' | b'u' | b'x')) {
            return None;
        }
        Self::ALL.into_iter().find(|(_, known)| known.as_bytes() == name).map(|(header, _)| header)
    }
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
    /// `content-type`
    pub content_type: &'a [u8],
    /// `x-request-id`
    pub request_id: &'a [u8],
    /// `x-client-trace-id`
    pub client_trace_id: &'a [u8],
    /// `x-forwarded-proto`
    pub forwarded_proto: &'a [u8],
    /// `x-envoy-downstream-service-cluster`
    pub downstream_cluster: &'a [u8],
    /// `x-envoy-original-path`: the path before a proxy in front rewrote it.
    pub original_path: &'a [u8],
    /// `grpc-timeout`
    pub grpc_timeout: &'a [u8],
    /// Every `traceparent`: more than one is invalid.
    pub traceparent: Lines<'a>,
    /// Every `tracestate`, in order: they are one list.
    pub tracestate: Lines<'a>,
    /// Every `baggage`, in order: they are one list.
    pub baggage: Lines<'a>,
    /// The other dialects' headers; of one that is there twice, the first.
    pub context: [Option<&'a [u8]>; ContextHeader::COUNT],
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
                b"content-type" => headers.content_type = value,
                b"x-request-id" => headers.request_id = value,
                b"x-client-trace-id" => headers.client_trace_id = value,
                b"x-forwarded-proto" => headers.forwarded_proto = value,
                b"x-envoy-downstream-service-cluster" => headers.downstream_cluster = value,
                b"x-envoy-original-path" => headers.original_path = value,
                b"grpc-timeout" => headers.grpc_timeout = value,
                b"traceparent" => headers.traceparent.push(value),
                b"tracestate" => headers.tracestate.push(value),
                b"baggage" => headers.baggage.push(value),
                b"x-spanferry-source" => headers.from_spanferry = true,
                _ => {
                    if let Some(header) = ContextHeader::named(name) {
                        headers.put(header, value);
                    }
                }
            }
        }
        headers
    }

    /// A header of one of the other dialects; empty when absent.
    pub fn context(&self, header: ContextHeader) -> &'a [u8] {
        self.context[header as usize].unwrap_or_default()
    }

    /// Whether a header of one of the other dialects is there.
    pub fn has(&self, header: ContextHeader) -> bool {
        self.context[header as usize].is_some()
    }

    /// Takes a header of one of the other dialects; the first of its name stays.
    pub fn put(&mut self, header: ContextHeader, value: &'a [u8]) {
        self.context[header as usize].get_or_insert(value);
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
        assert_eq!(headers.traceparent.iter().collect::<Vec<_>>(), [b"one", b"two"]);
        assert_eq!(headers.traceparent.only(), None);
        assert_eq!(headers.tracestate.iter().collect::<Vec<_>>(), [b"a=1", b"b=2"]);
        assert!(headers.from_spanferry);
        assert_eq!(headers.path, b"");
    }

    #[test]
    fn the_headers_of_all_dialects_are_found_by_their_names() {
        let list: Vec<(&[u8], &[u8])> = ContextHeader::ALL
            .iter()
            .flat_map(|(_, name)| {
                [(name.as_bytes(), name.as_bytes()), (name.as_bytes(), &b"2"[..])]
            })
            .chain([(&b"x-b3"[..], &b"no"[..]), (b"baggage", b"a=1"), (b"", b"")])
            .collect();
        let raw = serialize(&list);
        let headers = RequestHeaders::scan(&raw);
        for (header, name) in ContextHeader::ALL {
            assert_eq!(headers.context(header), name.as_bytes());
            assert_eq!(header.name(), name);
        }
        assert_eq!(headers.baggage.only(), Some(&b"a=1"[..]));
        assert!(!RequestHeaders::default().has(ContextHeader::B3));
    }
}
