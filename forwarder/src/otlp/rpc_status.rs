//! `google.rpc.Status` with `RetryInfo`: the error body of OTLP over both transports (OTLP specification, "Failures").

use prost::Message;
use std::time::Duration;

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub struct RpcStatus {
    /// A gRPC status code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// For people.
    #[prost(string, tag = "2")]
    pub message: String,
    /// Anything else.
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub struct Any {
    /// Names the message's type.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The message.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl RpcStatus {
    /// A status with a message and, for a retryable one, the pause that is asked for.
    pub fn new(code: i32, message: impl Into<String>, retry_after: Option<Duration>) -> Self {
        let info = |pause: Duration| {
            let delay =
                Delay { seconds: pause.as_secs() as i64, nanos: pause.subsec_nanos() as i32 };
            let value = RetryInfo { retry_delay: Some(delay) }.encode_to_vec();
            Any { type_url: RETRY_INFO.into(), value }
        };
        Self { code, message: message.into(), details: retry_after.map(info).into_iter().collect() }
    }

    /// The pause that `RetryInfo` asks for.
    pub fn retry_after(&self) -> Option<Duration> {
        let info = self.details.iter().find(|any| any.type_url == RETRY_INFO)?;
        let delay = RetryInfo::decode(&info.value[..]).ok()?.retry_delay.unwrap_or_default();
        let seconds = u64::try_from(delay.seconds).ok()?;
        Some(Duration::new(seconds, u32::try_from(delay.nanos).ok()?.min(999_999_999)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_is_read_as_it_was_written() {
        let pause = Duration::from_millis(1_500);
        let bytes = RpcStatus::new(14, "later", Some(pause)).encode_to_vec();
        assert_eq!(RpcStatus::decode(&bytes[..]).unwrap().retry_after(), Some(pause));
        assert_eq!(RpcStatus::new(3, "never", None).retry_after(), None);
    }
}
