//! The C library's memory, which librdkafka takes and gives back in pieces of a megabyte for each batch that it reads.

/// So much that is free stays with the process, in each of its arenas; untouched pages of it are no memory.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_BYTES: libc::c_int = 16 << 20;

/// Sees to it that what is freed stays at hand. glibc else gives it back to the system at once and takes it anew, page by page:
/// a sixth of a forwarder's time. A bridge gains nothing by it. Only at the start, before there are threads.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep() {
    // What the user says to glibc counts.
    if std::env::var_os("MALLOC_TOP_PAD_").is_none() {
        // SAFETY: it sets a number of the allocator, which takes its own lock. A refusal leaves the default.
        unsafe { libc::mallopt(libc::M_TOP_PAD, KEPT_BYTES) };
    }
}

/// Other C libraries have no such setting.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep() {}
