//! `cargo xtask`: the one door to every check.
fn main() {}
