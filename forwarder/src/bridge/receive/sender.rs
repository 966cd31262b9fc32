//! The headers by which a filter says who it is (DESIGN §3); other senders have none.

use crate::bridge::refusal::Refusal;
use crate::bridge::repeats::Sender;
use bytes::Bytes;
use http::HeaderMap;

const SOURCE: &str = "x-spanferry-source";
const SEQUENCE: &str = "x-spanferry-sequence";
const DROPPED: &str = "x-spanferry-dropped";
/// A source is 32 hex digits; somebody else's may be a little longer.
const MAX_SOURCE: usize = 64;

/// Reads the sender.
pub fn of(headers: &HeaderMap) -> Result<Sender, Refusal> {
    let Some(source) = headers.get(SOURCE) else { return Ok(Sender::default()) };
    if source.is_empty() || source.len() > MAX_SOURCE {
        let value = String::from_utf8_lossy(source.as_bytes()).into_owned();
        return Err(Refusal::Header { name: SOURCE, value, expected: "1 to 64 bytes" });
    }
    Ok(Sender {
        source: Bytes::copy_from_slice(source.as_bytes()),
        sequence: number(headers, SEQUENCE)?,
        dropped: number(headers, DROPPED)?,
    })
}

fn number(headers: &HeaderMap, name: &'static str) -> Result<u64, Refusal> {
    let Some(value) = headers.get(name) else { return Ok(0) };
    let text = String::from_utf8_lossy(value.as_bytes());
    text.parse().map_err(|_| Refusal::Header {
        name,
        value: text.into_owned(),
        expected: "a whole number",
    })
}
