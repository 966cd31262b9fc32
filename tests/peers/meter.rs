//! What processes use between two points in time: CPU time together, and the sum of their peaks of memory.

use anyhow::Result;
use spanferry_tests::stack::usage;
use std::time::Duration;

/// A measurement that has begun.
pub struct Meter {
    processes: Vec<u32>,
    cpu: Duration,
}

/// What was used meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// CPU time, user and system, of all threads.
    pub cpu: Duration,
    /// Resident memory at its most, MB (10⁶ bytes).
    pub peak_mb: f64,
}

impl Meter {
    /// Begins, for these processes together.
    pub fn start(processes: &[u32]) -> Result<Meter> {
        processes.iter().try_for_each(|process| usage::forget_peak(*process))?;
        Ok(Meter { processes: processes.to_vec(), cpu: cpu(processes)? })
    }

    /// Of all that these processes have used since they are.
    pub fn from_birth(processes: &[u32]) -> Meter {
        Meter { processes: processes.to_vec(), cpu: Duration::ZERO }
    }

    /// From the beginning to now.
    pub fn read(&self) -> Result<Used> {
        let cpu = cpu(&self.processes)?.saturating_sub(self.cpu);
        let mut bytes = 0;
        for process in &self.processes {
            bytes += usage::peak(*process)?;
        }
        Ok(Used { cpu, peak_mb: bytes as f64 / 1e6 })
    }
}

impl Used {
    /// CPU time a span, µs.
    pub fn cpu_us(&self, spans: u64) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / spans.max(1) as f64
    }
}

fn cpu(processes: &[u32]) -> Result<Duration> {
    processes.iter().map(|process| usage::cpu(*process)).sum()
}
