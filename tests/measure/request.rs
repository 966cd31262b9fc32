//! The request by which a filter's cost is told, in time and in instructions: what a browser sends through a gateway.

/// Its path, with a query.
pub const PATH: &str = "/orders/4711?page=2";

/// Its headers.
pub const HEADERS: [(&str, &str); 6] = [
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-GB,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br"),
    ("cookie", "session=8f14e45fceea167a5a36dedd4bea2543"),
    ("x-tenant", "blue"),
];

/// What Envoy adds to it, in front of its own headers.
pub const OF_ENVOY: [(&str, &str); 7] = [
    (":authority", "shop.example"),
    (":path", PATH),
    (":method", "GET"),
    (":scheme", "http"),
    ("x-forwarded-proto", "http"),
    ("x-request-id", "7f3b6f0e-5f0e-4b6e-8d5f-0b8a1c2d3e4f"),
    ("x-envoy-expected-rq-timeout-ms", "15000"),
];

/// What it has beside them where its caller left it out.
pub const NOT_SAMPLED: (&str, &str) =
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
