//! How many spans an `ExportTraceServiceRequest` holds, and whether it is one, without decoding it.

use super::field;
use super::skim::skim;
use super::wire::{WireError, fields};

/// The spans in `request`. An error if it is not walkable as an OTLP request down to its spans' own fields.
pub fn count_spans(request: &[u8]) -> Result<u64, WireError> {
    let (mut spans, mut is_otlp) = (0, request.is_empty());
    for resource in fields(request, 0..request.len()) {
        let resource = resource?;
        if resource.number != field::RESOURCE_SPANS {
            continue;
        }
        is_otlp = true;
        for scope in fields(request, resource.message("resource_spans")?) {
            let scope = scope?;
            if scope.number == field::SCOPE_SPANS {
                spans += count_in_scope(request, scope.message("scope_spans")?)?;
            }
        }
    }
    if is_otlp { Ok(spans) } else { Err(WireError::NoResourceSpans { bytes: request.len() }) }
}

fn count_in_scope(request: &[u8], scope: std::ops::Range<usize>) -> Result<u64, WireError> {
    let mut spans = 0;
    for span in fields(request, scope) {
        let span = span?;
        if span.number == field::SPANS {
            spans += 1;
            skim(request, span.message("span")?)?;
        }
    }
    Ok(spans)
}
