//! Free loopback ports below the range that the kernel hands to clients, so that a port stays free while its
//! owner is away and comes back.

use anyhow::{Result, bail};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 17_000;
const LAST: u16 = 31_999;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that nobody listens on now, and that this process has not handed out before.
pub fn free() -> Result<u16> {
    let _ = NEXT.compare_exchange(0, random_start(), Ordering::AcqRel, Ordering::Acquire);
    for _ in FIRST..=LAST {
        let next = |port: u16| Some(if port >= LAST { FIRST } else { port + 1 });
        let port = NEXT.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).unwrap_or(FIRST);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port in {FIRST}..={LAST}")
}

/// Test processes that run at one time begin at different places.
fn random_start() -> u16 {
    rand::random_range(FIRST..=LAST)
}
