//! What stands in the place of Envoy's calls: each is answered with one request's values, and counted.

use anyhow::{Context, Result};
use serde_json::Value;
use spanferry_filter::header_map::serialize;
use std::collections::BTreeMap;
use wasmi::{Caller, Engine, Linker, Memory};

const NOT_FOUND: u32 = 1;
const CALL_RESPONSE_HEADERS: u32 = 6;
/// 2026-11-25, ns since the epoch; the clock goes on by a microsecond with each look.
const NOW_NS: u64 = 1_795_000_000_000_000_000;

/// What a request was, as Envoy's attributes say it: a text or a number.
pub type Attributes = BTreeMap<&'static str, Value>;

/// What the filter is told, and what it asked for.
#[derive(Default)]
pub struct Answers {
    configuration: String,
    headers: Vec<(&'static str, &'static str)>,
    attributes: Attributes,
    expressions: Vec<String>,
    clock_ns: u64,
    /// Calls to the bridge that are not answered yet.
    under_way: Vec<u32>,
    next_token: u32,
    /// Calls of the filter by name, since they were last forgotten.
    pub calls: BTreeMap<&'static str, u64>,
    /// Spans in the batches that were sent.
    pub sent: usize,
}

type Asking<'a> = Caller<'a, Answers>;

/// Every call that the filter imports.
pub fn linker(engine: &Engine) -> Result<Linker<Answers>> {
    let mut linker = Linker::new(engine);
    let env = "env";
    linker.func_wrap(env, "proxy_log", |_: u32, _: u32, _: u32| 0_u32)?;
    linker.func_wrap(env, "proxy_done", || 0_u32)?;
    linker.func_wrap(env, "proxy_set_tick_period_milliseconds", |_: u32| 0_u32)?;
    linker.func_wrap(env, "proxy_increment_metric", |_: u32, _: i64| 0_u32)?;
    linker.func_wrap(
        env,
        "proxy_define_metric",
        |mut asking: Asking, _: u32, _: u32, _: u32, id| put(&mut asking, id, &1_u32.to_le_bytes()),
    )?;
    linker.func_wrap(env, "proxy_get_current_time_nanoseconds", |mut asking: Asking, time| {
        let answers = asking.data_mut().asked("clock");
        answers.clock_ns += 1_000;
        let now = answers.clock_ns.to_le_bytes();
        put(&mut asking, time, &now)
    })?;
    linker.func_wrap(
        env,
        "proxy_get_buffer_bytes",
        |mut asking: Asking, _: u32, _: u32, _: u32, data, size| {
            let configuration = asking.data().configuration.clone();
            give(&mut asking, configuration.as_bytes(), data, size)
        },
    )?;
    header_calls(&mut linker)?;
    property_calls(&mut linker)?;
    linker.func_wrap(env, "proxy_http_call", http_call)?;
    let wasi = "wasi_snapshot_preview1";
    linker.func_wrap(wasi, "random_get", |mut asking: Asking, bytes: u32, size: u32| {
        put(&mut asking, bytes, &vec![7; size as usize])
    })?;
    linker.func_wrap(wasi, "environ_sizes_get", |mut asking: Asking, count, size| {
        put(&mut asking, count, &[0; 4]) | put(&mut asking, size, &[0; 4])
    })?;
    linker.func_wrap(wasi, "environ_get", |_: u32, _: u32| 0_u32)?;
    Ok(linker)
}

fn header_calls(linker: &mut Linker<Answers>) -> Result<()> {
    let env = "env";
    linker.func_wrap(
        env,
        "proxy_get_header_map_pairs",
        |mut asking: Asking, _: u32, data, size| {
            let answers = asking.data_mut().asked("all headers");
            let pairs = answers.headers.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes()));
            let pairs = serialize(&pairs.collect::<Vec<_>>());
            give(&mut asking, &pairs, data, size)
        },
    )?;
    linker.func_wrap(
        env,
        "proxy_get_header_map_value",
        |mut asking: Asking, kind: u32, key, key_size, data, size| {
            let key = text(&asking, key, key_size);
            match asking.data_mut().asked("a header").header(kind, &key) {
                Some(value) => give(&mut asking, value.as_bytes(), data, size),
                None => NOT_FOUND,
            }
        },
    )?;
    for name in ["proxy_replace_header_map_value", "proxy_add_header_map_value"] {
        let write = |mut asking: Asking, _: u32, _: u32, _: u32, _: u32, _: u32| {
            asking.data_mut().asked("write a header");
            0_u32
        };
        linker.func_wrap(env, name, write)?;
    }
    linker.func_wrap(
        env,
        "proxy_remove_header_map_value",
        |mut asking: Asking, _: u32, _: u32, _: u32| {
            asking.data_mut().asked("remove a header");
            0_u32
        },
    )?;
    Ok(())
}

fn property_calls(linker: &mut Linker<Answers>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_property",
        |mut asking: Asking, _: u32, _: u32, _: u32, _: u32| {
            asking.data_mut().asked("a property");
            NOT_FOUND
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_call_foreign_function",
        |mut asking: Asking, name, name_size, argument, argument_size, data, size| {
            let name = text(&asking, name, name_size);
            let argument = bytes(&asking, argument, argument_size).to_vec();
            let answer = match name.as_str() {
                "expr_create" => asking.data_mut().compile(&argument),
                _ => asking.data_mut().asked("evaluate").evaluate(&argument),
            };
            match answer {
                Some(answer) => give(&mut asking, &answer, data, size),
                None => NOT_FOUND,
            }
        },
    )?;
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "they are the ABI's")]
fn http_call(
    mut asking: Asking<'_>,
    _: u32,
    _: u32,
    headers: u32,
    headers_size: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    token: u32,
) -> u32 {
    const SPANS: &str = "x-spanferry-spans\0";
    let headers = text(&asking, headers, headers_size);
    let spans = headers.split(SPANS).nth(1).and_then(|rest| rest.split('\0').next());
    let answers = asking.data_mut().asked("send");
    answers.sent += spans.and_then(|spans| spans.parse::<usize>().ok()).unwrap_or(0);
    answers.next_token += 1;
    let given = answers.next_token;
    answers.under_way.push(given);
    put(&mut asking, token, &given.to_le_bytes())
}

impl Answers {
    /// For a filter with this configuration.
    pub fn new(configuration: String) -> Self {
        Self { configuration, clock_ns: NOW_NS, ..Self::default() }
    }

    /// From now on it answers for this request.
    pub fn is_about(&mut self, headers: &[(&'static str, &'static str)], attributes: &Attributes) {
        self.headers = headers.to_vec();
        self.attributes = attributes.clone();
    }

    /// The calls that were sent and wait for their answers.
    pub fn take_under_way(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.under_way)
    }

    /// A header of the request, or of the bridge's answer, which is a 200.
    fn header(&self, kind: u32, key: &str) -> Option<&'static str> {
        if kind == CALL_RESPONSE_HEADERS {
            return (key == ":status").then_some("200");
        }
        self.headers.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    /// Counts from now on.
    pub fn forget(&mut self) {
        self.calls.clear();
        self.sent = 0;
    }

    fn asked(&mut self, call: &'static str) -> &mut Self {
        *self.calls.entry(call).or_default() += 1;
        self
    }

    fn compile(&mut self, expression: &[u8]) -> Option<Vec<u8>> {
        self.expressions.push(String::from_utf8_lossy(expression).into_owned());
        Some((self.expressions.len() as u32).to_le_bytes().to_vec())
    }

    /// A list's members by the attribute that each names; of a guarded one the first.
    fn evaluate(&self, token: &[u8]) -> Option<Vec<u8>> {
        let token = u32::from_le_bytes(token.try_into().ok()?) as usize;
        let list = self.expressions.get(token.checked_sub(1)?)?;
        let members = list.strip_prefix('[')?.strip_suffix(']')?.split(',');
        let value = |member: &str| {
            let named = |name: &&&str| member.contains(**name);
            let name = self.attributes.keys().filter(named).max_by_key(|name| name.len());
            match name.map(|name| &self.attributes[name]) {
                Some(Value::Number(number)) => number.as_i64().unwrap_or(0).to_le_bytes().to_vec(),
                Some(Value::String(text)) => text.clone().into_bytes(),
                _ => Vec::new(),
            }
        };
        let values: Vec<Vec<u8>> = members.map(value).collect();
        Some(serialize(&values.iter().map(|value| (&value[..], &b""[..])).collect::<Vec<_>>()))
    }
}

/// Hands bytes over in memory that the filter gives, as Envoy does.
fn give(asking: &mut Asking<'_>, answer: &[u8], data: u32, size: u32) -> u32 {
    let handed_over = (|| {
        let malloc = asking.get_export("malloc").and_then(wasmi::Extern::into_func);
        let malloc = malloc.context("no malloc")?.typed::<u32, u32>(&*asking)?;
        let at = malloc.call(&mut *asking, answer.len() as u32)?;
        anyhow::Ok(at)
    })();
    let Ok(at) = handed_over else { return NOT_FOUND };
    put(asking, at, answer)
        | put(asking, data, &at.to_le_bytes())
        | put(asking, size, &(answer.len() as u32).to_le_bytes())
}

fn put(asking: &mut Asking<'_>, at: u32, bytes: &[u8]) -> u32 {
    let Some(memory) = memory(asking) else { return NOT_FOUND };
    u32::from(memory.write(asking, at as usize, bytes).is_err())
}

fn bytes<'a>(asking: &'a Asking<'_>, at: u32, size: u32) -> &'a [u8] {
    let all = memory(asking).map(|memory| memory.data(asking)).unwrap_or_default();
    all.get(at as usize..(at + size) as usize).unwrap_or_default()
}

fn text(asking: &Asking<'_>, at: u32, size: u32) -> String {
    String::from_utf8_lossy(bytes(asking, at, size)).into_owned()
}

fn memory(asking: &Asking<'_>) -> Option<Memory> {
    asking.get_export("memory").and_then(wasmi::Extern::into_memory)
}
