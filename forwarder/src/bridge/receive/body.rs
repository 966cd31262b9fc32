//! Bodies, read and decompressed within bounds: bytes that are not there yet, or too many, end it early.

use crate::bridge::intake::Intake;
use crate::bridge::refusal::Refusal;
use crate::bridge::room::Taken;
use crate::bridge::settings::Settings;
use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use std::io::Read;

/// Room that is taken before a body of unknown length is read.
const FIRST_ROOM: usize = 64 << 10;

/// The decompressed body, and the room that it takes.
pub async fn read(
    intake: &Intake,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<(Bytes, Taken), Refusal> {
    let limit = intake.settings.max_request_bytes;
    let encoding = Encoding::of(headers)?;
    let said = body.size_hint().exact().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if said.is_some_and(|length| length > limit) {
        return Err(Refusal::TooLarge { limit });
    }
    let mut taken = intake.room.take(said.unwrap_or(FIRST_ROOM).min(limit))?;
    let reading = collect(body, limit, &mut taken);
    let timeout = intake.settings.read_timeout;
    let raw = tokio::time::timeout(timeout, reading).await.map_err(|_| {
        Refusal::Incomplete(format!("not whole after {} ms", timeout.as_millis()))
    })??;
    let body = decompress(encoding, raw, limit)?;
    taken.grow_to(body.len())?;
    Ok((body, taken))
}

async fn collect(body: &mut Body, limit: usize, taken: &mut Taken) -> Result<Bytes, Refusal> {
    let said = body.size_hint().exact().map_or(0, |length| length as usize);
    let mut whole = BytesMut::with_capacity(said.min(limit));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::Incomplete(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > limit {
            return Err(Refusal::TooLarge { limit });
        }
        taken.grow_to(whole.len() + data.len())?;
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// Reads on and keeps nothing, so that a sender which is still writing hears its refusal and not a reset connection: one
/// request's bytes and time at most. One that asked first (`Expect`) has not begun, and one that was too slow had its time.
pub async fn forget(settings: &Settings, headers: &HeaderMap, mut body: Body, refusal: &Refusal) {
    if headers.contains_key(header::EXPECT) || matches!(refusal, Refusal::Incomplete(_)) {
        return;
    }
    let rest = async {
        let mut room = settings.max_request_bytes;
        while let Some(Ok(frame)) = body.frame().await {
            let size = frame.data_ref().map_or(0, Bytes::len);
            let Some(left) = room.checked_sub(size) else { return };
            room = left;
        }
    };
    // Whether it came to its end changes nothing in the answer.
    let _ = tokio::time::timeout(settings.read_timeout, rest).await;
}

/// The compressions of OTLP that we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// None.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Self::Identity) };
        match value.as_bytes().to_ascii_lowercase().as_slice() {
            b"" | b"identity" => Ok(Self::Identity),
            b"gzip" | b"x-gzip" => Ok(Self::Gzip),
            b"zstd" => Ok(Self::Zstd),
            other => Err(Refusal::ContentEncoding(String::from_utf8_lossy(other).into_owned())),
        }
    }
}

/// Decompresses at most `limit` bytes: a small body that grows without end is refused.
fn decompress(encoding: Encoding, raw: Bytes, limit: usize) -> Result<Bytes, Refusal> {
    match encoding {
        Encoding::Identity => Ok(raw),
        Encoding::Gzip => {
            inflate("gzip", flate2::read::MultiGzDecoder::new(&raw[..]), raw.len(), limit)
        }
        Encoding::Zstd => {
            let failed = |error: std::io::Error| Refusal::Compression {
                encoding: "zstd",
                detail: error.to_string(),
            };
            let decoder = zstd::stream::read::Decoder::new(&raw[..]).map_err(failed)?;
            inflate("zstd", decoder, raw.len(), limit)
        }
    }
}

fn inflate(
    encoding: &'static str,
    from: impl Read,
    size: usize,
    limit: usize,
) -> Result<Bytes, Refusal> {
    let mut whole = Vec::with_capacity(size.saturating_mul(4).min(limit));
    let read = from.take(limit as u64 + 1).read_to_end(&mut whole);
    read.map_err(|error| Refusal::Compression { encoding, detail: error.to_string() })?;
    if whole.len() > limit { Err(Refusal::TooLarge { limit }) } else { Ok(whole.into()) }
}
