//! Where spans are delivered, and by which of OTLP's two transports.

use std::fmt;
use thiserror::Error;
use url::Url;

/// The path of OTLP/HTTP when a URL has none (OTLP specification, "OTLP/HTTP Request").
const HTTP_PATH: &str = "/v1/traces";
/// The port that OTLP/HTTP has by default.
const HTTP_PORT: u16 = 4318;

/// OTLP's transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with protobuf.
    Http,
}

/// A destination, understood but not connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Scheme, host and port; for HTTP also the path.
    pub url: Url,
    /// The transport.
    pub protocol: Protocol,
}

/// Why a destination was not understood.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DestinationError {
    /// Not a URL.
    #[error(
        "{url:?}: {detail}; expected http://HOST:4317 (OTLP/gRPC) or http://HOST:4318 (OTLP/HTTP)"
    )]
    NotUrl {
        /// As given.
        url: String,
        /// What is wrong.
        detail: String,
    },
    /// A scheme that we do not speak.
    #[error("{url:?}: scheme {scheme:?} is not http, https, grpc or grpcs")]
    Scheme {
        /// As given.
        url: String,
        /// Its scheme.
        scheme: String,
    },
    /// A client that could not be made.
    #[error("{url}: {detail}")]
    Client {
        /// The destination.
        url: String,
        /// What the client's library said.
        detail: String,
    },
}

impl Destination {
    /// Reads `text`. `protocol` is `grpc`, `http`, or `auto`: by scheme `grpc(s)://`, by port 4318, or by a path.
    pub fn parse(text: &str, protocol: &str) -> Result<Self, DestinationError> {
        let not_url = |detail: String| DestinationError::NotUrl { url: text.into(), detail };
        // A URL's scheme cannot be changed later from one that the standard does not know.
        let is_grpc = text.starts_with("grpc://") || text.starts_with("grpcs://");
        let plain = if is_grpc { text.replacen("grpc", "http", 1) } else { text.to_owned() };
        let mut url = Url::parse(&plain).map_err(|error| not_url(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            let scheme = url.scheme().to_owned();
            return Err(DestinationError::Scheme { url: text.into(), scheme });
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(not_url("no host".into()));
        }
        let has_path = url.path() != "/";
        let is_http = !is_grpc && (url.port() == Some(HTTP_PORT) || has_path);
        let protocol = match protocol {
            "grpc" => Protocol::Grpc,
            "http" => Protocol::Http,
            _ if is_http => Protocol::Http,
            _ => Protocol::Grpc,
        };
        if protocol == Protocol::Http && !has_path {
            url.set_path(HTTP_PATH);
        }
        Ok(Self { url, protocol })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Grpc => "OTLP/gRPC",
            Protocol::Http => "OTLP/HTTP",
        };
        // A password in a URL is nobody's business in a log.
        let mut url = self.url.clone();
        if url.password().is_some() {
            let _ = url.set_password(Some("***"));
        }
        write!(f, "{url} ({protocol})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transport_follows_scheme_port_and_path() {
        for (text, protocol, shown) in [
            ("http://jaeger:4317", "auto", "http://jaeger:4317/ (OTLP/gRPC)"),
            ("grpc://jaeger:9", "auto", "http://jaeger:9/ (OTLP/gRPC)"),
            ("grpcs://jaeger:9", "auto", "https://jaeger:9/ (OTLP/gRPC)"),
            ("http://jaeger:4318", "auto", "http://jaeger:4318/v1/traces (OTLP/HTTP)"),
            ("https://c.example/otlp/traces", "auto", "https://c.example/otlp/traces (OTLP/HTTP)"),
            ("http://jaeger:4317", "http", "http://jaeger:4317/v1/traces (OTLP/HTTP)"),
            ("http://jaeger:4318", "grpc", "http://jaeger:4318/ (OTLP/gRPC)"),
        ] {
            assert_eq!(Destination::parse(text, protocol).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn a_bad_destination_is_named() {
        for text in ["jaeger:4317", "ftp://jaeger", "http://", ""] {
            let error = Destination::parse(text, "auto").unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let shown = Destination::parse("http://me:secret@c:4318", "auto").unwrap().to_string();
        assert!(!shown.contains("secret"), "{shown}");
    }
}
