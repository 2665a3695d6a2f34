//! Time, CPU time and peak memory of this process, as the operating system counts them (Linux).

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// Clock ticks a second of /proc/self/stat; 100 on every Linux that Rust supports.
const TICKS: f64 = 100.0;

/// User and system time of all threads of this process, to the nanosecond; those that have ended count, too.
pub fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// What one measured part took.
#[derive(Debug, Clone, Serialize)]
pub struct Measure {
    pub records: u64,
    pub seconds: f64,
    /// Records a second.
    pub rate: f64,
    /// CPU seconds of this process for a million records; the broker's are not in it.
    pub cpu_seconds_per_million: f64,
    /// Highest resident memory of this process so far, MiB.
    pub peak_mib: u64,
}

/// A running measurement.
pub struct Meter {
    started: Instant,
    cpu: f64,
}

impl Meter {
    pub fn start() -> Self {
        Self { started: Instant::now(), cpu: cpu_seconds() }
    }

    pub fn stop(&self, records: u64) -> Measure {
        let (seconds, cpu) = (self.started.elapsed().max(Duration::from_micros(1)).as_secs_f64(), cpu_seconds() - self.cpu);
        #[allow(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^53")]
        let count = records as f64;
        Measure { records, seconds, rate: count / seconds, cpu_seconds_per_million: cpu / count * 1e6, peak_mib: peak_mib() }
    }
}

/// User and system time of this process in seconds; 0 where /proc is missing.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The command name may hold spaces: count fields after its closing bracket. utime and stime are fields 14 and 15.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / TICKS
}

/// Memory that is resident now, KiB, and open descriptors.
pub(super) fn memory_and_descriptors() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or_default();
    (resident, std::fs::read_dir("/proc/self/fd").map_or(0, |descriptors| descriptors.count() as u64))
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or_default() / 1024
}
