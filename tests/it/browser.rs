//! The console in a real browser. The cases are in `tests/browser/suite.py`; `make browser` runs them with more.

use crate::support::program::{Done, PROGRAM};

#[test]
fn the_console_works_in_a_browser() {
    let mut command = std::process::Command::new("scripts/browser.sh");
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("CIVILHUB_BIN", PROGRAM).env_remove("CIVILHUB_MILLION");
    let done: Done = command.output().unwrap().into();
    assert_eq!(done.code, Some(0), "{}\n{}", done.stdout, done.stderr);
    assert!(done.stdout.contains("ok nothing from elsewhere"), "{}", done.stdout);
}
