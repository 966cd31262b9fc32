//! What a request costs in the filter's own code, in instructions, and what it asks of Envoy: the same on every machine, so a
//! slip shows without a timed test. Each bound is what is counted and a twentieth more; the file is the one that is shipped.

mod answers;
mod envoy;

use answers::Attributes;
use anyhow::{Result, ensure};
use envoy::Envoy;
use serde_json::{Value, json};
use spanferry_tests::measure::request::{HEADERS, NOT_SAMPLED, OF_ENVOY};
use spanferry_tests::stack::parts;
use std::collections::BTreeMap;

/// What wasm-opt leaves is no larger (tests/parts/build-filter).
const SHIPPED_BYTES: usize = 200_000;
const WARM_UP: usize = 50;
const REQUESTS: usize = 200;
/// As many as come in a flush interval, about.
const REQUESTS_A_TICK: usize = 50;

const SAMPLED: (&str, &str) =
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");

/// Of a request, on average.
struct Cost {
    instructions: u64,
    calls: Vec<(&'static str, u64)>,
    sent: usize,
}

/// `None` where the filter is not built as it is shipped, which in CI is a fault.
fn filter() -> Result<Option<Vec<u8>>> {
    let read = parts::filter().and_then(|path| {
        let filter = std::fs::read(path)?;
        ensure!(
            filter.len() <= SHIPPED_BYTES,
            "the filter is as it was linked: wasm-opt is missing"
        );
        Ok(filter)
    });
    match read {
        Ok(filter) => Ok(Some(filter)),
        Err(missing) if std::env::var_os("CI").is_none() => {
            eprintln!("skipped: {missing}");
            Ok(None)
        }
        Err(missing) => Err(missing),
    }
}

/// What Envoy says of a request that a service answered.
fn attributes() -> Attributes {
    BTreeMap::from([
        ("request.time", json!(1_795_000_000_000_000_000_i64)),
        ("response.code", json!(200)),
        ("response.flags", json!(0)),
        ("response.size", json!(512)),
        ("request.protocol", json!("HTTP/1.1")),
        ("source.address", json!("10.1.2.3:51234")),
        ("xds.cluster_name", json!("orders")),
        ("upstream.request_attempt_count", json!(1)),
        ("upstream.address", json!("10.9.8.7:8080")),
        ("xds.route_name", json!("orders")),
        ("xds.listener_direction", json!(1)),
    ])
}

fn cost(filter: &[u8], plugin: &Value, more: &[(&'static str, &'static str)]) -> Result<Cost> {
    let mut configuration = json!({ "cluster": "bridge", "service_name": "gateway" });
    for (key, value) in plugin.as_object().into_iter().flatten() {
        configuration[key] = value.clone();
    }
    let (headers, attributes) = ([&OF_ENVOY[..], &HEADERS, more].concat(), attributes());
    let mut envoy = Envoy::start(filter, &configuration)?;
    for _ in 0..WARM_UP {
        envoy.request(&headers, &attributes)?;
    }
    envoy.tick()?;
    envoy.answers().forget();
    let mut instructions = 0;
    for number in 1..=REQUESTS {
        instructions += envoy.request(&headers, &attributes)?;
        if number % REQUESTS_A_TICK == 0 {
            instructions += envoy.tick()?;
        }
    }
    let calls = envoy.answers().calls.iter().map(|(name, count)| (*name, count / REQUESTS as u64));
    Ok(Cost {
        instructions: instructions / REQUESTS as u64,
        calls: calls.filter(|(_, count)| *count > 0).collect(),
        sent: envoy.answers().sent,
    })
}

/// A case, its configuration, its further headers, the most instructions, and the calls of each request.
type Claim<'a> =
    (&'a str, Value, &'a [(&'static str, &'static str)], u64, &'a [(&'static str, u64)]);

#[test]
fn a_request_takes_so_many_instructions_and_calls_and_no_more() -> Result<()> {
    let Some(filter) = filter()? else { return Ok(()) };
    let span: &[(&str, u64)] =
        &[("all headers", 1), ("clock", 2), ("evaluate", 1), ("write a header", 1)];
    let new: &[(&str, u64)] = &[("a header", 2), ("write a header", 1)];
    let envoy = json!({ "attributes": "envoy" });
    let off = json!({ "sampling": { "default": "always_off" } });
    let few = json!({ "sampling": { "default": { "ratio": 0.0001 } } });
    let claims: [Claim; 6] = [
        ("Envoy's tags", envoy.clone(), &[], 84_300, span),
        ("Envoy's tags, sampled by the caller", envoy, &[SAMPLED], 90_600, span),
        ("as it comes", json!({}), &[], 84_400, span),
        ("left out by the caller", json!({}), &[NOT_SAMPLED], 6_800, &[("a header", 1)]),
        ("left out by itself", off, &[], 5_260, new),
        ("left out by a share", few, &[], 5_260, new),
    ];
    let mut above = Vec::new();
    for (case, plugin, headers, most, calls) in claims {
        let cost = cost(&filter, &plugin, headers)?;
        println!("{case}: {} instructions, {:?}", cost.instructions, cost.calls);
        ensure!(cost.calls == calls, "{case}: {:?}", cost.calls);
        let sent = if calls == span { REQUESTS } else { 0 };
        ensure!(cost.sent == sent, "{case}: {} spans sent of {sent}", cost.sent);
        if cost.instructions > most {
            above.push(format!("{case}: {} instructions, {most} allowed", cost.instructions));
        }
    }
    ensure!(above.is_empty(), "{above:#?}");
    Ok(())
}
