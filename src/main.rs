//! The `strongroom` binary.

use std::process::ExitCode;

/// Requests are short and allocate a lot of small things.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    strongroom::cli::main()
}
