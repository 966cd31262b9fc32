//! The table: every key of the plugin's configuration, said once. The parser, the messages, the JSON
//! Schema and the documentation are all made from it. A section with keys of its own has its own file
//! under `keys/`, with what it becomes.

pub mod attributes;
pub mod propagation;
pub mod sampling;

use super::shape::{Key, Shape};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The keys at the top.
pub const KEYS: &[Key] = &[
    Key::new("cluster", Shape::Text)
        .required()
        .doc("Envoy's cluster that leads to the bridge."),
    Key::new("authority", Shape::Text)
        .doc("`:authority` of the calls to the bridge. Without it: the cluster's name after its last `|`."),
    Key::new("path", Shape::Path)
        .default("\"/v1/traces\"")
        .doc("`:path` of the calls to the bridge."),
    Key::new("service_name", Shape::Text)
        .doc("`service.name` of the spans. Without it, the node tells it."),
    Key::new("resource_attributes", Shape::Map(&Shape::Text))
        .default("{}")
        .doc("More attributes of the resource."),
    Key::new("span_kind", Shape::Word(&["auto", "server", "client"]))
        .default("\"auto\"")
        .doc("SERVER or CLIENT spans; `auto` goes by the listener's direction: outbound is CLIENT, all else SERVER."),
    Key::new("flush_interval_ms", Shape::Whole(10, 60_000))
        .default("200")
        .doc("Time between flushes, ms."),
    Key::new("max_batch_spans", Shape::Whole(1, 65_536))
        .default("256")
        .doc("Spans that make a batch full."),
    Key::new("max_batch_bytes", Shape::Whole(4 * KIB, 8 * MIB))
        .default("262144")
        .doc("Bytes that make a batch full."),
    Key::new("max_buffered_bytes", Shape::Whole(64 * KIB, 256 * MIB))
        .default("4194304")
        .doc("Bytes that a worker holds at most; beyond, the oldest batch is dropped and counted. At least `max_batch_bytes`."),
    Key::new("max_open_bytes", Shape::Whole(64 * KIB, 256 * MIB))
        .default("8388608")
        .doc("Bytes that requests under way hold at most, a worker. Headers get the first half and are read again at the end beyond it; beyond the whole, requests are counted and have no span."),
    Key::new("max_calls_in_flight", Shape::Whole(1, 64))
        .default("4")
        .doc("Calls to the bridge at a time, per worker."),
    Key::new("call_timeout_ms", Shape::Whole(100, 120_000))
        .default("10000")
        .doc("Time until a call is given up, ms."),
    Key::new("exclude_paths", Shape::List(&Shape::Path))
        .default("[]")
        .doc("Requests whose path begins so are left alone: no span, no header touched."),
    propagation::PROPAGATORS,
    propagation::INJECT,
    Key::new("sampling", Shape::Object(sampling::KEYS))
        .doc("Which requests are recorded."),
    Key::new("route_overrides", Shape::Flag)
        .default("false")
        .doc("Read the metadata `spanferry` of a request's route: `disabled` (true: no span, no header touched) and `sample` (as a rule's, or a number from 0 to 1). One host call a request."),
    Key::new("attributes", Shape::Word(attributes::VOCABULARIES))
        .default("\"semconv\"")
        .doc("Attributes and names of the OpenTelemetry semantic conventions, those of Envoy's own tracer, or both (then with the conventions' names)."),
    Key::new("custom_attributes", Shape::List(&Shape::Object(attributes::CUSTOM)))
        .default("[]")
        .doc("More attributes, each from exactly one source; at most 64."),
    Key::new("redaction", Shape::Object(attributes::REDACTION))
        .doc("What does not leave. User and password in URLs never do."),
    Key::new("limits", Shape::Object(attributes::LIMITS))
        .doc("How much a span says; what is left out is counted in it."),
    Key::new("span_names", Shape::Object(attributes::SPAN_NAMES))
        .doc("Where the names of spans come from."),
];
