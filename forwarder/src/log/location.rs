//! Where a log is: `kafka://HOST:PORT[,HOST:PORT…]/TOPIC` or `dir:PATH[#TOPIC]`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use thiserror::Error;

/// The topic when a location names none.
pub const DEFAULT_TOPIC: &str = "traces";

/// A log's place and topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogLocation {
    /// A topic of a Kafka cluster.
    Kafka {
        /// Bootstrap brokers, `host:port` with commas between.
        brokers: String,
        /// The topic.
        topic: String,
    },
    /// A topic of an embedded log in a directory.
    Directory {
        /// The directory; made when it is missing.
        path: PathBuf,
        /// The topic.
        topic: String,
    },
}

impl LogLocation {
    /// The topic.
    pub fn topic(&self) -> &str {
        match self {
            Self::Kafka { topic, .. } | Self::Directory { topic, .. } => topic,
        }
    }
}

/// Why a location was not understood.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LocationError {
    /// The part before the colon is not known.
    #[error("{0:?}: expected kafka://HOST:PORT/TOPIC or dir:PATH")]
    Scheme(String),
    /// No broker.
    #[error("{0:?}: no broker named; expected kafka://HOST:PORT/TOPIC")]
    NoBroker(String),
    /// A broker without a port.
    #[error("{location:?}: broker {broker:?} is not HOST:PORT")]
    Broker {
        /// All of it.
        location: String,
        /// The broker.
        broker: String,
    },
    /// Not a topic's name (letters, digits, `.`, `_`, `-`; up to 249).
    #[error(
        "{location:?}: {topic:?} is not a topic name (letters, digits, '.', '_', '-'; at most 249)"
    )]
    Topic {
        /// All of it.
        location: String,
        /// The name.
        topic: String,
    },
    /// A directory without a path.
    #[error("{0:?}: no path named; expected dir:PATH")]
    NoPath(String),
}

impl FromStr for LogLocation {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(rest) = text.strip_prefix("kafka://") {
            let (brokers, topic) = rest.split_once('/').unwrap_or((rest, ""));
            let topic = if topic.is_empty() { DEFAULT_TOPIC } else { topic };
            check_brokers(text, brokers)?;
            check_topic(text, topic)?;
            return Ok(Self::Kafka { brokers: brokers.into(), topic: topic.into() });
        }
        let Some(rest) = text.strip_prefix("dir:") else {
            return Err(LocationError::Scheme(text.into()));
        };
        let (path, topic) = rest.rsplit_once('#').unwrap_or((rest, DEFAULT_TOPIC));
        if path.is_empty() {
            return Err(LocationError::NoPath(text.into()));
        }
        check_topic(text, topic)?;
        Ok(Self::Directory { path: path.into(), topic: topic.into() })
    }
}

fn check_brokers(location: &str, brokers: &str) -> Result<(), LocationError> {
    if brokers.is_empty() {
        return Err(LocationError::NoBroker(location.into()));
    }
    let bad = brokers.split(',').find(|broker| {
        let port = broker.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        port.is_none_or(|(_, port)| port.parse::<u16>().is_err())
    });
    match bad {
        Some(broker) => {
            Err(LocationError::Broker { location: location.into(), broker: broker.into() })
        }
        None => Ok(()),
    }
}

fn check_topic(location: &str, topic: &str) -> Result<(), LocationError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let good = (1..=249).contains(&topic.len())
        && topic.chars().all(allowed)
        && !matches!(topic, "." | "..");
    if good {
        Ok(())
    } else {
        Err(LocationError::Topic { location: location.into(), topic: topic.into() })
    }
}

impl fmt::Display for LogLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kafka { brokers, topic } => write!(f, "kafka://{brokers}/{topic}"),
            Self::Directory { path, topic } => write!(f, "dir:{}#{topic}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_read_and_written_alike() {
        for text in ["kafka://a:9092,b:9093/traces", "dir:/var/lib/spanferry#traces"] {
            assert_eq!(text.parse::<LogLocation>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_topic_is_traces_when_none_is_named() {
        assert_eq!("kafka://a:9092".parse::<LogLocation>().unwrap().topic(), "traces");
        assert_eq!("dir:/tmp/x".parse::<LogLocation>().unwrap().topic(), "traces");
    }

    #[test]
    fn a_bad_location_names_its_fault() {
        for (text, part) in [
            ("http://a:1/t", "expected kafka://"),
            ("kafka:///t", "no broker"),
            ("kafka://a/t", "\"a\" is not HOST:PORT"),
            ("kafka://a:99999/t", "not HOST:PORT"),
            ("kafka://a:1/t/u", "\"t/u\" is not a topic name"),
            ("dir:", "no path"),
        ] {
            let error = text.parse::<LogLocation>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
