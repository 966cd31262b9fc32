//! Traps on purpose, for the tests of what the proxy does then. In no build but theirs.

use crate::header_map::pairs;
use crate::host::Host;
use crate::host::proxy::Proxy;

/// What a request's header `x-trap` asks for: `now`, or `memory`, which asks for more than there can be.
pub fn if_asked() {
    let headers = Proxy.request_headers().unwrap_or_default();
    let asked = pairs(&headers).find(|(name, _)| *name == b"x-trap");
    match asked.map(|(_, value)| value) {
        Some(b"now") => core::arch::wasm32::unreachable(),
        Some(b"memory") => hoard(),
        _ => {}
    }
}

/// Takes memory that nobody gives back, until the module has none: then the allocator aborts.
fn hoard() {
    loop {
        std::mem::forget(std::hint::black_box(Vec::<u8>::with_capacity(16 << 20)));
    }
}
