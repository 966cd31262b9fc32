//! The calls of a span alone: a module without code of its own, that asks Envoy for what a request with Envoy's tags cannot do
//! without, and does nothing with the answers. No filter that makes such a span can cost less.

use super::floor;
use anyhow::{Context, Result, ensure};
use spanferry_filter::properties::Selection;
use std::collections::BTreeSet;

/// What the filter reads of a request without a body for Envoy's tags.
const SELECTION: Selection = Selection {
    is_rpc: false,
    has_body: false,
    has_semconv: false,
    has_upstream: false,
    has_direction: true,
};

/// The module: the headers are fetched, `traceparent` is added, one list of properties is evaluated, the clock is asked twice.
/// Every answer goes to one place, as no answer is kept.
const TEXT: &str = r#"(module
  (import "env" "proxy_get_header_map_pairs"
    (func $headers (param i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value"
    (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_call_foreign_function"
    (func $foreign (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_current_time_nanoseconds"
    (func $clock (param i32) (result i32)))
  (memory (export "memory") 3)
  (data (i32.const 16) "traceparent")
  (data (i32.const 32) "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
  (data (i32.const 96) "expr_create")
  (data (i32.const 112) "expr_evaluate")
  (data (i32.const 1024) "EXPRESSION")
  (func (export "_initialize"))
  (func (export "malloc") (param i32) (result i32) (i32.const 65536))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $foreign (i32.const 96) (i32.const 11) (i32.const 1024) (i32.const LENGTH)
      (i32.const 0) (i32.const 4)))
    (i32.store (i32.const 8) (i32.load (i32.load (i32.const 0))))
    (i32.const 1))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $headers (i32.const 0) (i32.const 0) (i32.const 4)))
    (drop (call $add (i32.const 0) (i32.const 16) (i32.const 11) (i32.const 32) (i32.const 55)))
    (i32.const 0))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (drop (call $clock (i32.const 512)))
    (i32.const 0))
  (func (export "proxy_on_log") (param i32)
    (drop (call $foreign (i32.const 112) (i32.const 13) (i32.const 8) (i32.const 4)
      (i32.const 0) (i32.const 4)))
    (drop (call $clock (i32.const 512))))
  (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
  (func (export "proxy_on_tick") (param i32))
  (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)))"#;

/// The module's bytes. It exports what the filter does, so that Envoy calls it as often.
pub fn module() -> Result<Vec<u8>> {
    let names = |module: &[u8]| -> Result<BTreeSet<String>> {
        Ok(floor::exports(module)?.into_iter().map(|(name, _)| name).collect())
    };
    let module = assemble(&SELECTION.answered_expression())?;
    let (own, filters) = (names(&module)?, names(&floor::filter()?)?);
    ensure!(own == filters, "the filter exports {filters:?}, the module of calls {own:?}");
    Ok(module)
}

fn assemble(expression: &str) -> Result<Vec<u8>> {
    ensure!(!expression.contains(['"', '\\']), "{expression:?} cannot stand in a string");
    let text = TEXT.replace("EXPRESSION", expression);
    let text = text.replace("LENGTH", &expression.len().to_string());
    wat::parse_str(text).context("the module of calls")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_has_the_expression_and_its_length() {
        let module = assemble("[request.time]").unwrap();
        assert!(module.windows(14).any(|bytes| bytes == b"[request.time]"));
        assert!(floor::exports(&module).unwrap().iter().any(|(name, _)| name == "proxy_on_log"));
        assert!(assemble("[\"a\"]").is_err());
    }
}
