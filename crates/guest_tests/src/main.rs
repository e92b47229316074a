//! Scenarios in which an unmodified Linux guest judges the stack.

#![forbid(unsafe_code)]

mod agent;
mod channel;
mod guest;

fn main() {
    let _ = agent::run_as_init();
    let _ = guest::Guest::new(std::os::unix::net::UnixStream::pair().unwrap().0);
}
