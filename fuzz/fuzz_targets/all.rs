//! All targets in one program, so that there is one to build. `STRONGROOM_FUZZ_TARGET` names the one of a run.

#![no_main]

use std::sync::LazyLock;

#[path = "../targets/mod.rs"]
mod targets;

static TARGET: LazyLock<String> = LazyLock::new(|| std::env::var("STRONGROOM_FUZZ_TARGET").unwrap_or_default());

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::run(&TARGET, data));
