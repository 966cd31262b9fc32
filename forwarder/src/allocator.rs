//! jemalloc in the place of the C library's memory, librdkafka's too. What one thread takes for a record, another gives back:
//! the C library locks for each, and gives librdkafka's batches back to the system at once. What was measured: `docs/paths.md`.

#[cfg(target_os = "linux")]
mod jemalloc {
    use tikv_jemallocator::Jemalloc;

    #[global_allocator]
    static ALLOCATOR: Jemalloc = Jemalloc;

    /// One arena for two cores, where jemalloc has eight: what is free is kept in each. What the user says in `MALLOC_CONF`
    /// counts.
    // SAFETY: jemalloc's own symbol of this name is weak: a pointer to a text that ends with a zero byte, as this is.
    #[unsafe(export_name = "malloc_conf")]
    static SETTINGS: &[u8; 18] = b"narenas_ratio:0.5\0";
}
