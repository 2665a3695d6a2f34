//! Limits of the process.

use super::{Category::Process, Check, Finding};
use crate::error::Code;

/// The process may open too few files.
pub const FEW_FILES: Code = Code::new(8291);

/// Fewer are a fault: the embedded bus, the store and one lane per partner need some hundreds.
const LEAST: u64 = 1024;
/// Fewer are a warning.
const GOOD: u64 = 4096;

pub(super) fn check() -> Check {
    Check::local(Process, "the limits of the process", || {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        judge(&limits)
    })
}

fn judge(limits: &str) -> Finding {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    let message = |files: u64| format!("a process may open {files} files");
    let hint = "raise it: `ulimit -n 65536`, `LimitNOFILE=` of the service, or the runtime of the containers";
    match soft.map(str::parse::<u64>) {
        Some(Ok(files)) if files < LEAST => {
            Finding::fail(Process, FEW_FILES, format!("{}, less than {LEAST}", message(files)), hint)
        }
        Some(Ok(files)) if files < GOOD => Finding::warn(Process, FEW_FILES, message(files), hint),
        Some(Ok(files)) => Finding::ok(Process, message(files)),
        _ => Finding::ok(Process, "the number of open files is not limited"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Status, judge};

    #[test]
    fn few_files_are_found() {
        let status =
            |soft: &str| judge(&format!("Max open files            {soft}                 4096                 files\n")).status;
        assert_eq!(
            [status("256"), status("1024"), status("65536"), status("unlimited")],
            [Status::Fail, Status::Warn, Status::Ok, Status::Ok]
        );
    }
}
