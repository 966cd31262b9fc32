//! The C library's memory, which librdkafka takes and gives back in pieces of a megabyte for each batch that it reads or writes.
//! glibc else gives it back to the system at once and takes it anew, page by page. What was measured: `docs/paths.md`.
//!
//! Only at the start, before there are threads. What the user says to glibc counts.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use libc::c_int;
    use std::env;

    /// So much that is free stays with the process, in each of its arenas; untouched pages of it are no memory.
    const KEPT_BYTES: c_int = 16 << 20;
    /// Larger pieces are pages of their own, given back when they are freed: larger than any of librdkafka's.
    const PIECE_BYTES: c_int = 4 << 20;

    /// A number of the allocator: its own, and its names in the environment.
    struct Setting {
        parameter: c_int,
        variable: &'static str,
        tunable: &'static str,
    }

    const TOP_PAD: Setting =
        Setting { parameter: libc::M_TOP_PAD, variable: "MALLOC_TOP_PAD_", tunable: "top_pad" };
    const TRIM: Setting = Setting {
        parameter: libc::M_TRIM_THRESHOLD,
        variable: "MALLOC_TRIM_THRESHOLD_",
        tunable: "trim_threshold",
    };
    const PIECE: Setting = Setting {
        parameter: libc::M_MMAP_THRESHOLD,
        variable: "MALLOC_MMAP_THRESHOLD_",
        tunable: "mmap_threshold",
    };
    const ARENAS: Setting = Setting {
        parameter: libc::M_ARENA_MAX,
        variable: "MALLOC_ARENA_MAX",
        tunable: "arena_max",
    };

    impl Setting {
        fn set(&self, value: c_int) {
            let tunable = format!("glibc.malloc.{}=", self.tunable);
            let is_users = env::var_os(self.variable).is_some()
                || env::var("GLIBC_TUNABLES").is_ok_and(|all| all.contains(&tunable));
            if !is_users {
                // SAFETY: it sets a number of the allocator, which takes its own lock. A refusal leaves the default.
                unsafe { libc::mallopt(self.parameter, value) };
            }
        }
    }

    /// For a role that reads: a sixth of a forwarder's time.
    pub fn keep_for_reading() {
        TOP_PAD.set(KEPT_BYTES);
    }

    /// For a role that writes: what one thread takes another gives back, so few arenas serve all, and what is kept is not kept
    /// in each. A tenth of a bridge's time where traces have five spans, in the same memory.
    pub fn keep_for_writing(cores: usize) {
        TRIM.set(KEPT_BYTES);
        PIECE.set(PIECE_BYTES);
        ARENAS.set(c_int::try_from(cores / 2).unwrap_or(c_int::MAX).max(1));
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub use glibc::{keep_for_reading, keep_for_writing};

/// Other C libraries have no such setting.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_for_reading() {}

/// Other C libraries have no such setting.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_for_writing(_cores: usize) {}
