//! Figures of the process itself, from `/proc`; other systems than Linux show none.

use std::{fs, sync::LazyLock};

use super::{
    label::{Label, Value},
    meter::set,
    metric::Metric,
};
use crate::clock;

/// When the process began to count.
static START: LazyLock<i64> = LazyLock::new(clock::millis);

/// Notes memory, descriptors and build; cheap enough for every scrape.
pub(super) fn look() {
    set(Metric::StartTime, Vec::new(), *START as f64 / 1000.0);
    set(Metric::BuildInfo, vec![Value::word(Label::Version, env!("CARGO_PKG_VERSION"))], 1.0);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(kilobytes) = number_after(&status, "VmRSS:") {
        set(Metric::ResidentMemory, Vec::new(), kilobytes as f64 * 1024.0);
    }
    if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
        set(Metric::OpenDescriptors, Vec::new(), descriptors.count() as f64);
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    if let Some(most) = number_after(&limits, "Max open files") {
        set(Metric::MostDescriptors, Vec::new(), most as f64);
    }
}

/// The first number of the line that starts with `name`.
fn number_after(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::number_after;

    #[test]
    fn numbers_of_proc() {
        assert_eq!(number_after("Name:\tx\nVmRSS:\t   12345 kB\n", "VmRSS:"), Some(12345));
        assert_eq!(
            number_after("Max open files            1024                 4096                 files\n", "Max open files"),
            Some(1024)
        );
        assert_eq!(number_after("Max open files            unlimited\n", "Max open files"), None);
        assert_eq!(number_after("", "VmRSS:"), None);
    }
}
