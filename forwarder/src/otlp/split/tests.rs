use super::super::count::count_spans;
use super::super::field;
use super::super::wire::put_header;
use super::*;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use proptest::prelude::*;
use prost::Message;

fn span(trace: u8, number: u64) -> Span {
    let trace_id = if trace == 0 { vec![0; 16] } else { vec![trace; 16] };
    Span {
        trace_id,
        span_id: number.to_be_bytes().to_vec(),
        name: format!("span {number}"),
        ..Span::default()
    }
}

/// Resources, each of scopes, each of the trace numbers of its spans.
fn request(shape: &[Vec<Vec<u8>>]) -> ExportTraceServiceRequest {
    let mut number = 0;
    let mut scope = |name: usize, traces: &Vec<u8>| ScopeSpans {
        scope: Some(InstrumentationScope { name: format!("scope {name}"), ..Default::default() }),
        spans: traces
            .iter()
            .map(|trace| {
                number += 1;
                span(*trace, number)
            })
            .collect(),
        schema_url: "scope-schema".into(),
    };
    let resource_spans = shape
        .iter()
        .enumerate()
        .map(|(i, scopes)| ResourceSpans {
            resource: Some(Resource {
                dropped_attributes_count: i as u32 + 1,
                ..Default::default()
            }),
            scope_spans: scopes.iter().enumerate().map(|(i, s)| scope(i, s)).collect(),
            schema_url: "resource-schema".into(),
        })
        .collect();
    ExportTraceServiceRequest { resource_spans }
}

fn split_message(message: &ExportTraceServiceRequest) -> Split {
    split(&message.encode_to_vec().into(), usize::MAX).unwrap()
}

/// Every span with the resource and the scope that it stands under.
fn flat(message: &ExportTraceServiceRequest) -> Vec<(u32, String, String, Span)> {
    let mut all = Vec::new();
    for resource in &message.resource_spans {
        for scope in &resource.scope_spans {
            for span in &scope.spans {
                let number = resource.resource.as_ref().unwrap().dropped_attributes_count;
                let name = scope.scope.as_ref().unwrap().name.clone();
                all.push((
                    number,
                    name,
                    resource.schema_url.clone() + &scope.schema_url,
                    span.clone(),
                ));
            }
        }
    }
    all
}

#[test]
fn a_request_of_one_trace_is_passed_on_as_it_is() {
    let bytes: Bytes = request(&[vec![vec![1, 1], vec![1]]]).encode_to_vec().into();
    let split = split(&bytes, usize::MAX).unwrap();
    assert_eq!(split.traces.len(), 1);
    assert_eq!((split.traces[0].spans, &split.traces[0].value), (3, &bytes));
}

#[test]
fn each_trace_gets_its_own_spans_under_their_resource_and_scope() {
    let message = request(&[vec![vec![1, 2], vec![2]], vec![vec![1, 3]]]);
    let split = split_message(&message);
    let ids: Vec<u8> = split.traces.iter().map(|part| part.trace_id[0]).collect();
    assert_eq!(ids, [1, 2, 3]);
    for part in &split.traces {
        let got = flat(&ExportTraceServiceRequest::decode(part.value.clone()).unwrap());
        let wanted: Vec<_> = flat(&message)
            .into_iter()
            .filter(|(.., span)| span.trace_id == part.trace_id)
            .collect();
        assert_eq!(got, wanted);
        assert_eq!(u64::from(part.spans), count_spans(&part.value).unwrap());
    }
}

#[test]
fn spans_without_a_trace_id_are_rejected_and_the_rest_is_kept() {
    let mut message = request(&[vec![vec![1, 0, 1]]]);
    message.resource_spans[0].scope_spans[0]
        .spans
        .push(Span { trace_id: vec![7; 5], ..Span::default() });
    let split = split_message(&message);
    assert_eq!((split.rejected_spans, split.traces.len(), split.traces[0].spans), (2, 1, 2));
}

#[test]
fn fields_that_nobody_knows_stay() {
    let unknown = [0xfa, 0x3f, 3, b'x', b'y', b'z']; // field 1023
    let one = Span { trace_id: vec![1; 16], ..Span::default() }.encode_to_vec();
    let two = Span { trace_id: vec![2; 16], ..Span::default() }.encode_to_vec();
    let mut scope = Vec::new();
    for span in [one, two] {
        let span = [span, unknown.to_vec()].concat();
        put_header(&mut scope, field::SPANS, span.len());
        scope.extend(span);
    }
    scope.extend(unknown);
    let mut resource = unknown.to_vec();
    put_header(&mut resource, field::SCOPE_SPANS, scope.len());
    resource.extend(scope);
    let mut bytes = Vec::new();
    put_header(&mut bytes, field::RESOURCE_SPANS, resource.len());
    bytes.extend(resource);
    bytes.extend(unknown);
    let split = split(&bytes.into(), usize::MAX).unwrap();
    assert_eq!(split.traces.len(), 2);
    for part in split.traces {
        let found = part.value.windows(unknown.len()).filter(|w| *w == unknown).count();
        assert_eq!(found, 4, "in span, scope, resource and request");
    }
}

#[test]
fn a_trace_above_the_limit_is_divided_by_its_spans() {
    let message = request(&[vec![vec![1; 40], vec![1; 40]]]);
    let limit = 600;
    let split = split(&message.encode_to_vec().into(), limit).unwrap();
    assert!(split.traces.len() > 5, "{} parts", split.traces.len());
    assert!(split.traces.iter().all(|part| part.value.len() <= limit));
    let decode =
        |part: &TracePart| flat(&ExportTraceServiceRequest::decode(part.value.clone()).unwrap());
    let got: Vec<_> = split.traces.iter().flat_map(decode).collect();
    assert_eq!(got, flat(&message));
}

#[test]
fn a_span_above_the_limit_is_alone_in_its_part() {
    let mut message = request(&[vec![vec![1, 1, 1]]]);
    message.resource_spans[0].scope_spans[0].spans[1].name = "x".repeat(1000);
    let split = split(&message.encode_to_vec().into(), 600).unwrap();
    let sizes: Vec<_> =
        split.traces.iter().map(|part| (part.spans, part.value.len() > 600)).collect();
    assert_eq!(sizes, [(1, false), (1, true), (1, false)]);
}

#[test]
fn every_truncation_is_an_error_or_a_shorter_request() {
    let bytes: Bytes = request(&[vec![vec![1, 2], vec![3]]]).encode_to_vec().into();
    assert!((1..bytes.len()).all(|end| split(&bytes.slice(..end), usize::MAX).is_err()));
}

#[test]
fn traces_of_a_group_share_a_part_and_keep_their_order() {
    let message = request(&[vec![vec![1, 2, 3, 1], vec![4]], vec![vec![2, 5]]]);
    let bytes = message.encode_to_vec().into();
    let split = split_by(&bytes, usize::MAX, 2, |trace| u32::from(trace[0] % 2)).unwrap();
    let ids: Vec<u8> = split.traces.iter().map(|part| part.trace_id[0]).collect();
    assert_eq!(ids, [1, 2], "the first of each group");
    for part in &split.traces {
        let wanted: Vec<_> = flat(&message)
            .into_iter()
            .filter(|(.., span)| span.trace_id[0] % 2 == part.trace_id[0] % 2)
            .collect();
        assert_eq!(flat(&ExportTraceServiceRequest::decode(part.value.clone()).unwrap()), wanted);
        assert_eq!((part.spans as usize, part.among), (wanted.len(), 2));
    }
}

#[test]
fn parts_of_a_group_stand_one_behind_the_other_in_the_list_and_in_memory() {
    let message = request(&[vec![vec![1, 2, 3, 1], vec![4]], vec![vec![2, 5]]]);
    let bytes = message.encode_to_vec().into();
    let ordered = split_ordered(&bytes, usize::MAX, |trace| u32::from(trace[0] % 2)).unwrap();
    let ids: Vec<u8> = ordered.traces.iter().map(|part| part.trace_id[0]).collect();
    assert_eq!(ids, [2, 4, 1, 3, 5], "in a group in the order in which they first appear");
    let mut beside = ordered.traces.windows(2);
    assert!(beside.all(|two| two[0].value.as_ptr_range().end == two[1].value.as_ptr()));
    let mut parts = ordered.traces;
    parts.sort_by_key(|part| part.trace_id);
    assert_eq!(parts, split(&bytes, usize::MAX).unwrap().traces, "each as it is without groups");
}

#[test]
fn a_group_above_the_limit_is_divided_by_its_spans() {
    let message = request(&[vec![(1..=40).collect()]]);
    let split = split_by(&message.encode_to_vec().into(), 600, 1, |_| 0).unwrap();
    assert!(split.traces.len() > 2 && split.traces.iter().all(|part| part.value.len() <= 600));
    assert_eq!(split.traces.iter().map(|part| part.spans).sum::<u32>(), 40);
}

proptest! {
    #[test]
    fn nothing_is_lost_and_nothing_invented(
        shape in proptest::collection::vec(proptest::collection::vec(proptest::collection::vec(0u8..6, 0..8), 0..4), 0..4)
    ) {
        let message = request(&shape);
        let split = split_message(&message);
        let mut got: Vec<_> = split.traces.iter()
            .flat_map(|part| flat(&ExportTraceServiceRequest::decode(part.value.clone()).unwrap()))
            .collect();
        got.sort_by(|a, b| a.3.span_id.cmp(&b.3.span_id));
        let all = flat(&message);
        let wanted: Vec<_> = all.iter().filter(|(.., span)| span.trace_id[0] != 0).cloned().collect();
        prop_assert_eq!(split.rejected_spans as usize, all.len() - wanted.len());
        prop_assert_eq!(got, wanted);
    }

    #[test]
    fn parts_joined_are_one_request(shape in proptest::collection::vec(proptest::collection::vec(proptest::collection::vec(1u8..6, 0..8), 0..4), 0..4)) {
        let message = request(&shape);
        let joined: Vec<u8> = split_message(&message).traces.iter().flat_map(|p| p.value.to_vec()).collect();
        prop_assert_eq!(count_spans(&joined).unwrap() as usize, flat(&message).len());
        prop_assert!(ExportTraceServiceRequest::decode(&joined[..]).is_ok());
    }

    #[test]
    fn groups_change_nothing_but_the_order(
        shape in proptest::collection::vec(proptest::collection::vec(proptest::collection::vec(0u8..9, 0..8), 0..4), 0..4),
        groups in 1u8..5,
        limit in 100usize..600,
    ) {
        let bytes: Bytes = request(&shape).encode_to_vec().into();
        let group = |trace: &TraceId| u32::from(trace[0] % groups);
        let mut ordered = split_ordered(&bytes, limit, group).unwrap();
        prop_assert!(ordered.traces.is_sorted_by_key(|part| group(&part.trace_id)));
        let mut plain = split(&bytes, limit).unwrap();
        for split in [&mut ordered, &mut plain] {
            split.traces.sort_by_key(|part| part.trace_id);
        }
        prop_assert_eq!(ordered, plain);
    }

    #[test]
    fn any_bytes_are_split_or_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = split(&bytes.into(), 64);
    }
}
