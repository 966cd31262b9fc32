//! Spans such as services make: 200 B to 4 KB, with attributes of the semantic conventions, and text that compresses as text does.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// When the spans began, ns since 1970: a fixed time, so that a corpus is the same on every day.
const EPOCH_NS: u64 = 1_764_000_000_000_000_000;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const ERROR: i32 = 2;
/// One span in so many has a long text: a query, or an exception with its stack.
const LONG_IN: u32 = 12;

const WORDS: [&str; 24] = [
    "order",
    "customer",
    "select",
    "from",
    "where",
    "inner",
    "join",
    "address",
    "payment",
    "status",
    "pending",
    "created_at",
    "index",
    "checkout",
    "session",
    "inventory",
    "at",
    "java.lang.Thread",
    "handler",
    "service",
    "repository",
    "transaction",
    "retry",
    "limit",
];
const ROUTES: [&str; 6] = [
    "/orders/{id}",
    "/orders",
    "/customers/{id}/addresses",
    "/cart/{id}/items",
    "/payments",
    "/search",
];
const AGENTS: [&str; 3] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    "okhttp/4.12.0",
];
const SERVICES: [&str; 5] = ["gateway", "orders", "payments", "inventory", "search"];

/// Makes spans, one trace after the other.
pub struct Maker {
    chance: StdRng,
    attributes: Option<usize>,
    clock_ns: u64,
}

impl Maker {
    /// With exactly so many attributes a span, or as many as its kind has.
    pub fn new(chance: StdRng, attributes: Option<usize>) -> Maker {
        Maker { chance, attributes, clock_ns: EPOCH_NS }
    }

    /// The resource of a request.
    pub fn resource(&mut self) -> Resource {
        let service = self.one_of(&SERVICES);
        let pod = format!("{service}-{}", self.hex(5));
        let attributes = vec![
            text("service.name", service),
            text("service.version", "2.14.3"),
            text("service.instance.id", &pod),
            text("k8s.pod.name", &pod),
            text("k8s.namespace.name", "shop"),
            text("host.name", "node-17"),
            text("telemetry.sdk.language", "java"),
            text("telemetry.sdk.version", "1.52.0"),
        ];
        Resource { attributes, ..Resource::default() }
    }

    /// The scope of a request.
    pub fn scope(&mut self) -> InstrumentationScope {
        let name = "io.opentelemetry.http".into();
        InstrumentationScope { name, version: "1.52.0".into(), ..InstrumentationScope::default() }
    }

    /// A trace of so many spans: a server's span and what it called.
    pub fn trace(&mut self, spans: usize) -> Vec<Span> {
        let trace_id = self.bytes(16);
        let mut all = Vec::with_capacity(spans);
        let mut parent = Vec::new();
        for place in 0..spans {
            let mut span = if place == 0 { self.server() } else { self.inner() };
            span.trace_id.clone_from(&trace_id);
            span.span_id = self.bytes(8);
            span.parent_span_id.clone_from(&parent);
            if place == 0 || self.chance.random_ratio(1, 4) {
                parent.clone_from(&span.span_id);
            }
            all.push(span);
        }
        all
    }

    /// A request at a service, as our filter and the SDKs describe one.
    fn server(&mut self) -> Span {
        let (route, agent) = (self.one_of(&ROUTES), self.one_of(&AGENTS));
        let status =
            *[200, 200, 200, 201, 204, 304, 404, 503].choose(&mut self.chance).unwrap_or(&200);
        let path = format!("/orders/{}?page={}", self.hex(6), self.chance.random_range(1..9));
        let attributes = vec![
            text("http.request.method", "GET"),
            text("url.scheme", "https"),
            text("url.path", &path),
            text("http.route", route),
            number("http.response.status_code", status),
            text("server.address", "shop.example.com"),
            number("server.port", 443),
            text(
                "client.address",
                &format!("10.2.{}.{}", status % 7, self.chance.random_range(1..255)),
            ),
            text("user_agent.original", agent),
            text("network.protocol.version", "1.1"),
            text("network.peer.address", "10.1.0.4"),
            number("http.request.body.size", self.chance.random_range(0..4_000)),
            number("http.response.body.size", self.chance.random_range(100..90_000)),
            text("http.request.header.x-request-id", &self.hex(16)),
        ];
        let failed = status >= 500;
        self.span(&format!("GET {route}"), SERVER, attributes, failed)
    }

    /// What a service does within a request: a call, a query, or work of its own.
    fn inner(&mut self) -> Span {
        let own = match self.chance.random_range(0..3) {
            0 => vec![text("app.cache.key", &self.hex(6)), text("app.cache.result", "miss")],
            1 => vec![
                text("db.system.name", "postgresql"),
                text("db.namespace", "shop"),
                text("db.operation.name", "SELECT"),
                text("db.collection.name", "orders"),
                text("server.address", "db-1.internal"),
                number("server.port", 5432),
            ],
            _ => vec![
                text("http.request.method", "POST"),
                text("url.full", &format!("http://payments.internal/v2/charges/{}", self.hex(8))),
                number("http.response.status_code", 200),
                text("server.address", "payments.internal"),
                number("server.port", 8080),
            ],
        };
        let function = format!("com.example.shop.{}.find", self.one_of(&WORDS));
        let always = vec![
            number("thread.id", self.chance.random_range(20..220)),
            text(
                "thread.name",
                &format!("http-nio-8080-exec-{}", self.chance.random_range(1..200)),
            ),
            text("code.function.name", &function),
        ];
        let name = format!("{} {}", self.one_of(&WORDS), self.one_of(&WORDS));
        self.span(&name, CLIENT, [own, always].concat(), false)
    }

    fn span(&mut self, name: &str, kind: i32, attributes: Vec<KeyValue>, failed: bool) -> Span {
        self.clock_ns += self.chance.random_range(1_000..2_000_000);
        let start_time_unix_nano = self.clock_ns;
        let end_time_unix_nano =
            start_time_unix_nano + self.chance.random_range(50_000..80_000_000);
        let mut span = Span {
            name: name.into(),
            kind,
            flags: 0x101,
            start_time_unix_nano,
            end_time_unix_nano,
            attributes,
            status: failed.then(|| Status { code: ERROR, ..Status::default() }),
            ..Span::default()
        };
        match self.attributes {
            Some(count) => self.fill(&mut span.attributes, count),
            None if self.chance.random_ratio(1, LONG_IN) => self.lengthen(&mut span, failed),
            None => {}
        }
        span
    }

    fn fill(&mut self, attributes: &mut Vec<KeyValue>, count: usize) {
        attributes.truncate(count);
        while attributes.len() < count {
            let key = format!("app.{}.{}", self.one_of(&WORDS), attributes.len());
            let value = format!("{} {}", self.one_of(&WORDS), self.hex(4));
            attributes.push(text(&key, &value));
        }
    }

    fn lengthen(&mut self, span: &mut Span, failed: bool) {
        let words = self.chance.random_range(40..400);
        let long: Vec<&str> = (0..words).map(|_| self.one_of(&WORDS)).collect();
        let long = long.join(" ");
        if failed {
            let attributes = vec![
                text("exception.type", "java.util.concurrent.TimeoutException"),
                text("exception.stacktrace", &long),
            ];
            let time_unix_nano = span.end_time_unix_nano;
            let name = "exception".into();
            span.events.push(Event { time_unix_nano, name, attributes, ..Event::default() });
        } else {
            span.attributes.push(text("db.query.text", &long));
        }
    }

    fn one_of(&mut self, choices: &[&'static str]) -> &'static str {
        choices.choose(&mut self.chance).copied().unwrap_or_default()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.chance.random()).collect()
    }

    fn hex(&mut self, count: usize) -> String {
        hex::encode(self.bytes(count))
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
