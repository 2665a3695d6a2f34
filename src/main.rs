//! The `civilhub` program; everything it does is in the library.

use std::process::ExitCode;

/// A record is thousands of small allocations on several threads: a third of the time went into the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    civilhub::cli::run()
}
