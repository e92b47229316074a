//! `cargo xtask WORD`: the one door to every check, for a person, for CI and for `.ci/run` alike.
//!
//! [`commands::COMMANDS`] is the list of words; the help text and the list in `docs/testing.md` are made from it.

#![forbid(unsafe_code)]

mod bench;
mod ci;
mod commands;
mod docs;
mod fuzz;
mod generated;
mod guest;
mod judge;
mod layers;
mod lint;
mod lspci;
mod markdown;
mod page;
mod process;
mod promtool;
mod registers;
mod schema;
mod tables;
mod tally;
mod test;
mod tidy;
mod topology_keys;
mod workspace;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let word = arguments.next().unwrap_or_else(|| "help".to_string());
    match commands::run(&word, arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is::<commands::Reported>() {
                eprintln!("xtask {word}: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
