//! A proxy for tests, scripted: what it has, which status each call answers, and what it was asked to do.

use super::{Destination, HTTP_CALL, Host, HostError, LogLevel, MetricId};
use crate::header_map::serialize;
use crate::ids::SEED_BYTES;
use crate::metrics::MetricKind;
use crate::outbox::Call;
use crate::properties::Property;
use std::cell::{Cell, RefCell};

/// Every status of proxy-wasm ABI 0.2.1, those that Envoy has beyond it, and some that nobody has.
pub const STATUSES: [u32; 17] =
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 99, 1 << 31, u32::MAX];

/// Every call, by the name that its error has.
pub const CALLS: [&str; 19] = [
    "get_current_time",
    "random_get",
    "environ_get",
    "set_tick_period",
    "get_configuration",
    "get_request_headers",
    "get_request_header",
    "set_request_header",
    "add_request_header",
    "remove_request_header",
    "get_response_status",
    "get_property",
    "expr_create",
    "expr_evaluate",
    "define_metric",
    "increment_metric",
    HTTP_CALL,
    "get_call_response_header",
    "get_call_response_body",
];

/// The proxy. A reference to it is a [`Host`].
pub struct Fake {
    /// This call answers this status.
    pub failing: Cell<Option<(&'static str, u32)>>,
    /// ms since the epoch.
    pub now_ms: Cell<u64>,
    /// The plugin's configuration.
    pub configuration: RefCell<String>,
    /// The current request's headers.
    pub headers: RefCell<Vec<(Vec<u8>, Vec<u8>)>>,
    /// The status that the current request was answered with, and its flags.
    pub answered: Cell<(i64, i64)>,
    /// The answer to a call, within its callback: `:status`, and a body.
    pub answer: RefCell<(String, Vec<u8>)>,
    /// Calls to the bridge: token, spans, body.
    pub posted: RefCell<Vec<(u32, u32, Vec<u8>)>>,
    /// Lines of the log.
    pub log: RefCell<Vec<(LogLevel, String)>>,
    /// The metrics' names and values, by id.
    pub metrics: RefCell<Vec<(String, i64)>>,
    /// How often a root said that it is done.
    pub done: Cell<u32>,
    /// Calls of any kind so far.
    pub calls: Cell<u64>,
}

impl Fake {
    /// One that has everything, with a configuration and the headers of a request.
    pub fn ready() -> Self {
        let fake = Self {
            failing: Cell::new(None),
            now_ms: Cell::new(1_700_000_000_000),
            configuration: RefCell::new(r#"{"cluster": "bridge"}"#.into()),
            headers: RefCell::default(),
            answered: Cell::new((200, 0)),
            answer: RefCell::new(("200".into(), Vec::new())),
            posted: RefCell::default(),
            log: RefCell::default(),
            metrics: RefCell::default(),
            done: Cell::new(0),
            calls: Cell::new(0),
        };
        fake.set_headers(&[(":method", "GET"), (":path", "/orders"), (":authority", "shop")]);
        fake
    }

    /// The next requests' headers.
    pub fn set_headers(&self, headers: &[(&str, &str)]) {
        let owned =
            |(name, value): &(&str, &str)| (name.as_bytes().into(), value.as_bytes().into());
        *self.headers.borrow_mut() = headers.iter().map(owned).collect();
    }

    /// The current request's header of this name, as the proxy has it now.
    pub fn header(&self, name: &str) -> Option<String> {
        let headers = self.headers.borrow();
        let found = headers.iter().find(|(key, _)| key == name.as_bytes());
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    /// The value of `spanferry_NAME`.
    pub fn metric(&self, name: &str) -> i64 {
        let metrics = self.metrics.borrow();
        let name = format!("spanferry_{name}");
        metrics.iter().find(|(own, _)| *own == name).map_or(0, |(_, value)| *value)
    }

    /// Lines of the log that hold this text.
    pub fn lines_with(&self, text: &str) -> usize {
        self.log.borrow().iter().filter(|(_, line)| line.contains(text)).count()
    }

    fn ask(&self, call: &'static str) -> Result<(), HostError> {
        self.calls.set(self.calls.get() + 1);
        match self.failing.get() {
            Some((failing, status)) if failing == call && status != 0 => {
                Err(HostError { call, status })
            }
            _ => Ok(()),
        }
    }
}

impl Host for &Fake {
    fn write_log(self, level: LogLevel, line: &str) {
        self.log.borrow_mut().push((level, line.to_owned()));
    }

    fn clock_ns(self) -> Result<u64, HostError> {
        self.ask("get_current_time").map(|()| self.now_ms.get() * 1_000_000)
    }

    fn entropy(self) -> Option<[u8; SEED_BYTES]> {
        self.ask("random_get").ok().map(|()| [7; SEED_BYTES])
    }

    fn environment(self) -> Result<Vec<u8>, HostError> {
        self.ask("environ_get").map(|()| b"POD=cart-7\0".to_vec())
    }

    fn set_tick_ms(self, _: u32) -> Result<(), HostError> {
        self.ask("set_tick_period")
    }

    fn plugin_configuration(self, _: usize) -> Result<Vec<u8>, HostError> {
        self.ask("get_configuration").map(|()| self.configuration.borrow().clone().into_bytes())
    }

    fn request_headers(self) -> Result<Vec<u8>, HostError> {
        self.ask("get_request_headers")?;
        let headers = self.headers.borrow();
        let pairs: Vec<_> = headers.iter().map(|(key, value)| (&key[..], &value[..])).collect();
        Ok(serialize(&pairs))
    }

    fn request_header(self, name: &str) -> Result<Vec<u8>, HostError> {
        const NOT_FOUND: HostError = HostError { call: "get_request_header", status: 1 };
        self.ask("get_request_header")?;
        let headers = self.headers.borrow();
        let found = headers.iter().find(|(key, _)| key == name.as_bytes());
        found.map(|(_, value)| value.clone()).ok_or(NOT_FOUND)
    }

    fn set_request_header(self, name: &str, value: &str) -> Result<(), HostError> {
        self.ask("set_request_header")?;
        let mut headers = self.headers.borrow_mut();
        headers.retain(|(key, _)| key != name.as_bytes());
        headers.push((name.into(), value.into()));
        Ok(())
    }

    fn add_request_header(self, name: &str, value: &str) -> Result<(), HostError> {
        self.ask("add_request_header")?;
        self.headers.borrow_mut().push((name.into(), value.into()));
        Ok(())
    }

    fn remove_request_header(self, name: &str) -> Result<(), HostError> {
        self.ask("remove_request_header")?;
        self.headers.borrow_mut().retain(|(key, _)| key != name.as_bytes());
        Ok(())
    }

    fn response_status(self) -> Result<Vec<u8>, HostError> {
        self.ask("get_response_status").map(|()| b"200".to_vec())
    }

    fn property(self, _: &[&str]) -> Result<Vec<u8>, HostError> {
        self.ask("get_property").map(|()| 200_i64.to_le_bytes().to_vec())
    }

    /// The token of an expression is how many members its list has.
    fn foreign(self, name: &'static str, argument: &[u8]) -> Result<Vec<u8>, HostError> {
        self.ask(name)?;
        if name == "expr_create" {
            let commas = argument.iter().filter(|byte| **byte == b',').count();
            return Ok((commas as u32 + 1).to_le_bytes().to_vec());
        }
        let (status, flags) = self.answered.get();
        let (status, flags, once) = [status, flags, 1].map(i64::to_le_bytes).into();
        let mut list: Vec<(&[u8], &[u8])> = vec![(b"", b""); argument[0].into()];
        for (property, value) in
            [(Property::Status, &status), (Property::Flags, &flags), (Property::Attempts, &once)]
        {
            if let Some(member) = list.get_mut(property as usize) {
                member.0 = value;
            }
        }
        Ok(serialize(&list))
    }

    fn define_metric(self, _: MetricKind, name: &str) -> Result<MetricId, HostError> {
        self.ask("define_metric")?;
        let mut metrics = self.metrics.borrow_mut();
        let known = metrics.iter().position(|(own, _)| own == name);
        let id = known.unwrap_or_else(|| {
            metrics.push((name.to_owned(), 0));
            metrics.len() - 1
        });
        Ok(MetricId(id as u32))
    }

    fn add_to_metric(self, metric: MetricId, by: i64) -> Result<(), HostError> {
        self.ask("increment_metric")?;
        self.metrics.borrow_mut()[metric.0 as usize].1 += by;
        Ok(())
    }

    fn post(self, _: &Destination<'_>, call: Call<'_>) -> Result<u32, HostError> {
        self.ask(HTTP_CALL)?;
        let mut posted = self.posted.borrow_mut();
        let token = posted.len() as u32 + 1;
        posted.push((token, call.spans, call.body.to_vec()));
        Ok(token)
    }

    fn call_response_header(self, name: &str) -> Result<Vec<u8>, HostError> {
        self.ask("get_call_response_header")?;
        match name {
            ":status" => Ok(self.answer.borrow().0.clone().into_bytes()),
            _ => Err(HostError { call: "get_call_response_header", status: 1 }),
        }
    }

    fn call_response_body(self, longest: usize) -> Result<Vec<u8>, HostError> {
        self.ask("get_call_response_body")?;
        let answer = self.answer.borrow();
        Ok(answer.1[..longest.min(answer.1.len())].to_vec())
    }

    fn done(self) -> Result<(), HostError> {
        self.ask("done")?;
        self.done.set(self.done.get() + 1);
        Ok(())
    }
}
