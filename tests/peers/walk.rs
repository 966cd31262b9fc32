//! The trace ids in an `ExportTraceServiceRequest`, by their places, without decoding it. Written apart from the product's
//! own walker, so that neither can hide the other's mistake.

use anyhow::{Context, Result, bail, ensure};
use std::ops::Range;

const RESOURCE_SPANS: u64 = 1;
const SCOPE_SPANS: u64 = 2;
const SPANS: u64 = 2;
const TRACE_ID: u64 = 1;
/// Bytes of a trace id.
pub const ID_BYTES: usize = 16;

/// Calls `each` with the place of every span's trace id. Fails on what is no such request.
pub fn trace_ids(body: &[u8], mut each: impl FnMut(Range<usize>)) -> Result<()> {
    within(body, 0..body.len(), RESOURCE_SPANS, &mut |resource| {
        within(body, resource, SCOPE_SPANS, &mut |scope| {
            within(body, scope, SPANS, &mut |span| {
                let mut ids = 0;
                within(body, span, TRACE_ID, &mut |id| {
                    ensure!(id.len() == ID_BYTES, "a trace id of {} bytes", id.len());
                    ids += 1;
                    each(id);
                    Ok(())
                })?;
                ensure!(ids == 1, "a span with {ids} trace ids");
                Ok(())
            })
        })
    })
}

/// Calls `each` with the place of every length-delimited field of this number in the message at `range`.
fn within(
    body: &[u8],
    range: Range<usize>,
    number: u64,
    each: &mut dyn FnMut(Range<usize>) -> Result<()>,
) -> Result<()> {
    let message = body.get(..range.end).context("a message beyond the end")?;
    let mut at = range.start;
    while at < range.end {
        let tag = varint(message, &mut at)?;
        let length = match tag & 7 {
            0 => {
                varint(message, &mut at)?;
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(message, &mut at)?)?,
            5 => 4,
            kind => bail!("wire type {kind} at byte {at}"),
        };
        let end = at.checked_add(length).filter(|end| *end <= range.end);
        let end = end.with_context(|| format!("the field at byte {at} runs past the end"))?;
        if tag == number << 3 | 2 {
            each(at..end)?;
        }
        at = end;
    }
    Ok(())
}

fn varint(bytes: &[u8], at: &mut usize) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at).context("a varint runs past the end")?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    bail!("a varint of more than ten bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    use prost::Message;

    fn span(id: u8) -> Span {
        let name = "a name".into();
        Span { trace_id: vec![id; ID_BYTES], name, start_time_unix_nano: 7, ..Span::default() }
    }

    #[test]
    fn every_id_is_found_at_its_place() {
        let scope_spans = vec![ScopeSpans { spans: vec![span(1), span(2)], ..Default::default() }];
        let resource_spans = vec![ResourceSpans { scope_spans, ..Default::default() }; 2];
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let mut found = Vec::new();
        trace_ids(&body, |place| found.push(body[place].to_vec())).unwrap();
        assert_eq!(found, [[1; ID_BYTES], [2; ID_BYTES], [1; ID_BYTES], [2; ID_BYTES]]);
    }

    #[test]
    fn what_is_no_request_is_an_error() {
        assert!(trace_ids(b"\x0a\x7f", |_| {}).is_err());
        let scope_spans = vec![ScopeSpans { spans: vec![Span::default()], ..Default::default() }];
        let resource_spans = vec![ResourceSpans { scope_spans, ..Default::default() }];
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        assert!(trace_ids(&body, |_| {}).unwrap_err().to_string().contains("0 trace ids"));
    }
}
