//! What a request's headers must become so that each of them names the trace that it goes on with:
//! the dialects that are written are set, those that are only read are removed, others are left alone.

use super::{Dialect, Propagation, SpanContext, b3, hex, jaeger, w3c};
use crate::header_map::{ContextHeader, RequestHeaders};

/// One change of a request's headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderEdit<'a> {
    /// Set; others of that name go.
    Set(&'static str, &'a str),
    /// Add, since none of that name is there: the proxy then looks for none.
    Add(&'static str, &'a str),
    /// Remove, however often it is there.
    Remove(&'static str),
}

/// What becomes of `tracestate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateEdit {
    /// It goes on as it came, or stays away.
    Leave,
    /// It must not go on.
    Remove,
    /// It becomes this list; an empty one is removed.
    Set(String),
}

/// The context that a request goes on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The ids and flags.
    pub context: SpanContext,
    /// Sampled for debugging: B3 and Jaeger say so.
    pub is_debug: bool,
    /// The vendors' list.
    pub state: StateEdit,
}

const B3_HEADERS: [ContextHeader; 6] = [
    ContextHeader::B3,
    ContextHeader::B3TraceId,
    ContextHeader::B3SpanId,
    ContextHeader::B3ParentSpanId,
    ContextHeader::B3Sampled,
    ContextHeader::B3Flags,
];
const DATADOG_HEADERS: [ContextHeader; 4] = [
    ContextHeader::DatadogTraceId,
    ContextHeader::DatadogParentId,
    ContextHeader::DatadogSamplingPriority,
    ContextHeader::DatadogTags,
];

impl Outgoing {
    /// Gives each change that the headers need to `edit`. What is right already is not touched.
    pub fn apply(
        &self,
        headers: &RequestHeaders<'_>,
        propagation: &Propagation,
        edit: &mut dyn FnMut(HeaderEdit<'_>),
    ) {
        let Propagation { read, write } = propagation;
        let knows = |dialect| read.contains(&dialect) || write.contains(&dialect);
        if write.contains(&Dialect::TraceContext) {
            self.set_trace_context(headers, edit);
        } else if knows(Dialect::TraceContext) {
            remove_trace_context(headers, edit);
        }
        // All that are known in any form of a few, usually none: then nothing is looked at.
        if *read == [Dialect::TraceContext] && *write == [Dialect::TraceContext] {
            return;
        }
        let (single, multi) = (write.contains(&Dialect::B3), write.contains(&Dialect::B3Multi));
        if knows(Dialect::B3) || knows(Dialect::B3Multi) {
            remove(
                headers,
                B3_HEADERS.iter().filter(|header| !self.sets(**header, single, multi)),
                edit,
            );
        }
        if single {
            edit(HeaderEdit::Set(ContextHeader::B3.name(), &b3::write_single(self)));
        }
        if multi {
            self.set_b3_multi(edit);
        }
        if write.contains(&Dialect::Jaeger) {
            edit(HeaderEdit::Set(ContextHeader::UberTraceId.name(), &jaeger::write(self)));
        } else if knows(Dialect::Jaeger) {
            remove(headers, &[ContextHeader::UberTraceId], edit);
        }
        if knows(Dialect::XRay) {
            remove(headers, &[ContextHeader::AmznTraceId], edit);
        }
        if knows(Dialect::Datadog) {
            remove(headers, &DATADOG_HEADERS, edit);
        }
    }

    fn set_trace_context(
        &self,
        headers: &RequestHeaders<'_>,
        edit: &mut dyn FnMut(HeaderEdit<'_>),
    ) {
        let value = w3c::write_traceparent(&self.context);
        if headers.traceparent.only() != Some(value.as_bytes()) {
            if headers.traceparent.len() > 1 {
                edit(HeaderEdit::Remove("traceparent"));
            }
            edit(match headers.traceparent.is_empty() {
                true => HeaderEdit::Add("traceparent", &value),
                false => HeaderEdit::Set("traceparent", &value),
            });
        }
        match &self.state {
            StateEdit::Leave => {}
            StateEdit::Set(list) if !list.is_empty() => {
                if headers.tracestate.len() > 1 {
                    edit(HeaderEdit::Remove("tracestate"));
                }
                edit(HeaderEdit::Set("tracestate", list));
            }
            StateEdit::Remove | StateEdit::Set(_) if headers.tracestate.is_empty() => {}
            StateEdit::Remove | StateEdit::Set(_) => edit(HeaderEdit::Remove("tracestate")),
        }
    }

    /// Whether B3 as it is written has this header.
    fn sets(&self, header: ContextHeader, single: bool, multi: bool) -> bool {
        match header {
            ContextHeader::B3 => single,
            ContextHeader::B3TraceId | ContextHeader::B3SpanId => multi,
            ContextHeader::B3Sampled => multi && !self.is_sampled_for_debug(),
            ContextHeader::B3Flags => multi && self.is_sampled_for_debug(),
            _ => false,
        }
    }

    fn is_sampled_for_debug(&self) -> bool {
        self.is_debug && self.context.is_sampled()
    }

    fn set_b3_multi(&self, edit: &mut dyn FnMut(HeaderEdit<'_>)) {
        let mut id = String::with_capacity(32);
        hex::push(&mut id, &self.context.trace_id);
        edit(HeaderEdit::Set(ContextHeader::B3TraceId.name(), &id));
        id.clear();
        hex::push(&mut id, &self.context.span_id);
        edit(HeaderEdit::Set(ContextHeader::B3SpanId.name(), &id));
        let (header, value) = match (self.is_sampled_for_debug(), self.context.is_sampled()) {
            (true, _) => (ContextHeader::B3Flags, "1"),
            (false, true) => (ContextHeader::B3Sampled, "1"),
            (false, false) => (ContextHeader::B3Sampled, "0"),
        };
        edit(HeaderEdit::Set(header.name(), value));
    }
}

fn remove_trace_context(headers: &RequestHeaders<'_>, edit: &mut dyn FnMut(HeaderEdit<'_>)) {
    if !headers.traceparent.is_empty() {
        edit(HeaderEdit::Remove("traceparent"));
    }
    if !headers.tracestate.is_empty() {
        edit(HeaderEdit::Remove("tracestate"));
    }
}

fn remove<'h>(
    headers: &RequestHeaders<'_>,
    names: impl IntoIterator<Item = &'h ContextHeader>,
    edit: &mut dyn FnMut(HeaderEdit<'_>),
) {
    for header in names.into_iter().filter(|header| headers.has(**header)) {
        edit(HeaderEdit::Remove(header.name()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_headers::{SPAN, SPAN_HEX, TRACE, TRACE_HEX, headers};
    use super::*;
    use crate::testing::test;

    fn outgoing(flags: u8, is_debug: bool) -> Outgoing {
        let context = SpanContext { trace_id: TRACE, span_id: SPAN, flags };
        Outgoing { context, is_debug, state: StateEdit::Leave }
    }

    /// The edits, as `name: value`, `+name: value` or `-name`.
    fn edits(
        outgoing: &Outgoing,
        headers: &RequestHeaders<'_>,
        read: &[Dialect],
        write: &[Dialect],
    ) -> Vec<String> {
        let mut list = Vec::new();
        let propagation = Propagation { read: read.to_vec(), write: write.to_vec() };
        outgoing.apply(headers, &propagation, &mut |edit| {
            list.push(match edit {
                HeaderEdit::Set(name, value) => format!("{name}: {value}"),
                HeaderEdit::Add(name, value) => format!("+{name}: {value}"),
                HeaderEdit::Remove(name) => format!("-{name}"),
            });
        });
        list
    }

    const ALL: [(ContextHeader, &str); 12] = [
        (ContextHeader::B3, "x"),
        (ContextHeader::B3TraceId, "x"),
        (ContextHeader::B3SpanId, "x"),
        (ContextHeader::B3ParentSpanId, "x"),
        (ContextHeader::B3Sampled, "x"),
        (ContextHeader::B3Flags, "x"),
        (ContextHeader::UberTraceId, "x"),
        (ContextHeader::AmznTraceId, "x"),
        (ContextHeader::DatadogTraceId, "x"),
        (ContextHeader::DatadogParentId, "x"),
        (ContextHeader::DatadogSamplingPriority, "x"),
        (ContextHeader::DatadogTags, "x"),
    ];

    #[test]
    fn each_dialect_is_written_in_its_own_way() {
        let (none, traced) = (RequestHeaders::default(), outgoing(1, false));
        let written = |dialect| edits(&traced, &none, &[], &[dialect]);
        assert_eq!(
            written(Dialect::TraceContext),
            [format!("+traceparent: 00-{TRACE_HEX}-{SPAN_HEX}-01")]
        );
        assert_eq!(written(Dialect::B3), [format!("b3: {TRACE_HEX}-{SPAN_HEX}-1")]);
        assert_eq!(
            written(Dialect::Jaeger),
            [format!("uber-trace-id: {TRACE_HEX}:{SPAN_HEX}:0:1")]
        );
        let many = [
            format!("x-b3-traceid: {TRACE_HEX}"),
            format!("x-b3-spanid: {SPAN_HEX}"),
            "x-b3-sampled: 1".into(),
        ];
        assert_eq!(written(Dialect::B3Multi), many);
    }

    #[test]
    fn debugging_goes_on_and_a_denial_too() {
        let none = RequestHeaders::default();
        let last =
            |outgoing: &Outgoing, dialect| edits(outgoing, &none, &[], &[dialect]).pop().unwrap();
        assert!(last(&outgoing(1, true), Dialect::B3).ends_with("-d"));
        assert_eq!(last(&outgoing(1, true), Dialect::B3Multi), "x-b3-flags: 1");
        assert!(last(&outgoing(1, true), Dialect::Jaeger).ends_with(":0:3"));
        assert!(last(&outgoing(0, false), Dialect::B3).ends_with("-0"));
        assert_eq!(last(&outgoing(0, true), Dialect::B3Multi), "x-b3-sampled: 0");
        assert!(last(&outgoing(0, false), Dialect::Jaeger).ends_with(":0:0"));
    }

    #[test]
    fn what_is_read_and_not_written_is_removed() {
        use Dialect::{B3, Datadog, Jaeger, TraceContext, XRay};
        let mut headers = headers(&ALL);
        headers.tracestate.push(b"a=1");
        let list =
            edits(&outgoing(1, false), &headers, &[B3, Jaeger, XRay, Datadog], &[TraceContext]);
        assert!(list[0].starts_with("+traceparent: "), "{list:?}");
        let removed: Vec<_> = ALL.iter().map(|(header, _)| format!("-{}", header.name())).collect();
        assert_eq!(list[1..], removed);
        headers.traceparent.push(b"x");
        let list = edits(&outgoing(1, false), &headers, &[TraceContext], &[Jaeger]);
        assert_eq!(list[..2], ["-traceparent", "-tracestate"]);
        assert_eq!(list.len(), 3, "what is not configured is left alone: {list:?}");
    }

    #[test]
    fn one_form_of_b3_written_removes_the_other() {
        let list = edits(&outgoing(1, false), &headers(&ALL), &[], &[Dialect::B3]);
        assert_eq!(list.iter().filter(|edit| edit.starts_with("-x-b3-")).count(), 5, "{list:?}");
        let list = edits(&outgoing(1, true), &headers(&ALL), &[], &[Dialect::B3Multi]);
        assert_eq!(list[..3], ["-b3", "-x-b3-parentspanid", "-x-b3-sampled"]);
    }

    #[test]
    fn what_is_right_already_is_not_touched() {
        let value = format!("00-{TRACE_HEX}-{SPAN_HEX}-00");
        let mut headers = RequestHeaders::default();
        headers.traceparent.push(value.as_bytes());
        headers.tracestate.push(b"a=1");
        let w3c = [Dialect::TraceContext];
        let mut unchanged = outgoing(0, false);
        assert_eq!(edits(&unchanged, &headers, &w3c, &w3c), [""; 0]);
        unchanged.state = StateEdit::Set(String::new());
        assert_eq!(edits(&unchanged, &headers, &w3c, &w3c), ["-tracestate"]);
        unchanged.state = StateEdit::Set("b=2".into());
        assert_eq!(edits(&unchanged, &headers, &w3c, &w3c), ["tracestate: b=2"]);
    }

    #[test]
    fn a_repeated_traceparent_is_removed_before_it_is_written() {
        let mut headers = RequestHeaders::default();
        headers.traceparent.push(b"one");
        headers.traceparent.push(b"two");
        let w3c = [Dialect::TraceContext];
        let list = edits(&outgoing(1, false), &headers, &w3c, &w3c);
        assert_eq!(list[0], "-traceparent");
        assert!(list[1].starts_with("traceparent: 00-"), "{list:?}");
    }
}
