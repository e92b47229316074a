//! Runs a body, named by the variable `FUZZ_BODY`, under libFuzzer. `cargo xtask fuzz` builds it with coverage and starts it.
#![no_main]

use std::sync::OnceLock;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static BODY: OnceLock<fuzz_bodies::Body> = OnceLock::new();
    let body = BODY.get_or_init(|| {
        let name = std::env::var("FUZZ_BODY").unwrap_or_default();
        fuzz_bodies::body(&name).unwrap_or_else(|| panic!("FUZZ_BODY names no body: '{name}'"))
    });
    (body.run)(data);
});
