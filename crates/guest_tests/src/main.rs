//! Scenarios in which an unmodified Linux guest judges the stack. `cargo xtask guest` builds and runs this program.
//!
//! It is the host's side of a scenario and, as the first process of the guest, the other side too.

#![forbid(unsafe_code)]

mod agent;
mod channel;
mod guest;
mod host;
mod program;
mod report;
mod scenario;
mod scenarios;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use host::GuestImage;
use scenario::Scenario;
use std::process::ExitCode;

const USAGE: &str = "\
Usage:
  guest_tests list                            lists the scenarios, one a line, as JSON
  guest_tests probe KERNEL INITRD             boots a guest, and succeeds if it comes up
  guest_tests run SCENARIO KERNEL INITRD      runs a scenario
  guest_tests restored SCENARIO               goes on with the machine that a scenario saved
A scenario of the program finds it as ./rootplex. The INITRD has this program as its first process.";

fn main() -> ExitCode {
    let result = if std::process::id() == 1 {
        agent::run_as_init()
    } else {
        run(&std::env::args().skip(1).collect::<Vec<_>>())
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *words.as_slice() {
        ["list"] => {
            for scenario in scenarios::ALL {
                println!("{}", scenario.listed());
            }
            for scenario in scenarios::OF_PROGRAM {
                println!("{}", scenario.listed());
            }
            Ok(())
        }
        ["probe", kernel, initrd] => scenarios::probe(&GuestImage::new(kernel, initrd)),
        ["run", name, kernel, initrd] => {
            let image = GuestImage::new(kernel, initrd);
            let of_program = scenarios::OF_PROGRAM;
            match of_program.iter().find(|known| known.name == name) {
                Some(scenario) => scenario.run(&image),
                None => scenario(name)?.run(&image),
            }
        }
        ["restored", name] => scenario(name)?.run_restored(),
        _ => bail!("{USAGE}"),
    }
}

fn scenario(name: &str) -> Result<&'static Scenario> {
    scenarios::ALL
        .iter()
        .find(|known| known.name == name)
        .with_context(|| format!("'{name}' is not a scenario"))
}
