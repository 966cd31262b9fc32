//! What the disk can do in this run: blocks written one after the other, each followed by fdatasync, as `fio` has it with
//! `--rw=write --fdatasync=1`.

use anyhow::Result;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// What one size of block gave.
#[derive(Clone, Copy, Debug, Default)]
pub struct Probe {
    /// Bytes of a block.
    pub block: usize,
    /// Blocks a second, each synced.
    pub syncs_a_second: f64,
}

impl Probe {
    /// Bytes a second.
    pub fn bytes_a_second(&self) -> f64 {
        self.block as f64 * self.syncs_a_second
    }
}

/// Writes blocks of this size into a new file in `directory` for so long, and removes it.
pub fn probe(directory: &Path, block: usize, time: Duration) -> Result<Probe> {
    let path = directory.join("probe");
    let mut file = File::create(&path)?;
    // No run of zeroes: a disk may leave those out.
    let bytes: Vec<u8> = (0..block).map(|at| (at * 31 % 251) as u8).collect();
    let (begin, mut blocks) = (Instant::now(), 0_u32);
    while begin.elapsed() < time {
        file.write_all(&bytes)?;
        file.sync_data()?;
        blocks += 1;
    }
    let syncs_a_second = f64::from(blocks) / begin.elapsed().as_secs_f64();
    std::fs::remove_file(&path)?;
    Ok(Probe { block, syncs_a_second })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_leaves_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let found = probe(directory.path(), 4096, Duration::from_millis(20)).unwrap();
        assert!(found.syncs_a_second > 0.0);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
