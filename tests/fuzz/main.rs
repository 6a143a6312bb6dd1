//! One program for every target, so that it is built once: `FUZZ_TARGET` names the one to run. Started by tests/fuzz/run.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<fuzz::Target> = LazyLock::new(|| {
    #[expect(clippy::disallowed_methods, reason = "the fuzzer owns the arguments")]
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    fuzz::target(&name)
});

fuzz_target!(|bytes: &[u8]| TARGET(bytes));
