//! What the proxy calls: the exports of proxy-wasm ABI 0.2.1 that this filter has a use for. Those that it
//! lacks (bodies, trailers, TCP, gRPC, queues, and a context's deletion, which follows its end)
//! cost a request nothing, since the proxy then does not call. Whatever happens in here, the answer is always
//! to continue.
//!
//! `no_mangle` is unsafe where two functions may have one name; these names are the ABI's, and nobody else's.

use crate::host::proxy::Proxy;
use crate::host::{Host, LogLevel};
use crate::vm::Vm;
use std::cell::RefCell;

#[cfg(feature = "trap-on-purpose")]
mod trap;

thread_local! {
    /// The module has one thread.
    static VM: RefCell<Vm<Proxy>> = RefCell::new(Vm::new(Proxy));
}

/// `proxy_action_t` CONTINUE.
const CONTINUE: u32 = 0;

/// The proxy makes no callback within a call of ours; one that came anyway would be passed over.
fn with_vm<T>(otherwise: T, run: impl FnOnce(&mut Vm<Proxy>) -> T) -> T {
    VM.with(|vm| vm.try_borrow_mut().map_or(otherwise, |mut vm| run(&mut vm)))
}

/// The version of the ABI that this module is written for; never called.
#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

/// Before all else: a panic becomes one critical line; the proxy then sees the trap.
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    std::panic::set_hook(Box::new(|panic| Proxy.log(LogLevel::Critical, &panic)));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, root: u32) {
    with_vm((), |vm| vm.on_context_create(context, root));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, size: usize) -> u32 {
    with_vm((), |vm| vm.on_configure(root, size));
    true.into()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    with_vm((), |vm| vm.on_tick(root));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(
    root: u32,
    token: u32,
    _headers: usize,
    body_size: usize,
    _trailers: usize,
) {
    with_vm((), |vm| vm.on_http_call_response(root, token, body_size));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: u32, _headers: usize, ends: u32) -> u32 {
    #[cfg(feature = "trap-on-purpose")]
    trap::if_asked();
    with_vm((), |vm| vm.on_request_headers(context, ends == 0));
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(context: u32, _headers: usize, _ends: u32) -> u32 {
    with_vm((), |vm| vm.on_response_headers(context));
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_log(context: u32) {
    with_vm((), |vm| vm.on_log(context));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(context: u32) -> u32 {
    with_vm(true, |vm| vm.on_done(context)).into()
}
