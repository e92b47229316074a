//! Scenarios in which an unmodified Linux guest judges the stack. `cargo xtask guest` builds and runs this program.
//!
//! It is the host's side of a scenario and, as the first process of the guest, the other side too.

#![forbid(unsafe_code)]

mod agent;
mod channel;
mod guest;
mod host;
mod report;
mod scenario;
mod scenarios;

use anyhow::Context;
use anyhow::Result;
use clap::Parser;
use host::GuestImage;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs guest scenarios where KVM works.
#[derive(Debug, Parser)]
enum Arguments {
    /// Lists the scenarios, one a line, as JSON.
    List,
    /// Boots a guest, and succeeds if it comes up.
    Probe(Image),
    /// Runs one scenario.
    Run {
        /// Its name.
        scenario: String,
        #[command(flatten)]
        image: Image,
    },
}

#[derive(Debug, clap::Args)]
struct Image {
    /// The guest's kernel.
    #[arg(long)]
    kernel: PathBuf,
    /// The guest's file system, with this program as its first process.
    #[arg(long)]
    initrd: PathBuf,
}

impl From<Image> for GuestImage {
    fn from(image: Image) -> Self {
        Self {
            kernel: image.kernel,
            initrd: image.initrd,
        }
    }
}

fn main() -> ExitCode {
    let result = if std::process::id() == 1 {
        agent::run_as_init()
    } else {
        run(Arguments::parse())
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    match arguments {
        Arguments::List => {
            for scenario in scenarios::ALL {
                println!("{}", scenario.listed());
            }
            Ok(())
        }
        Arguments::Probe(image) => scenarios::probe(&image.into()),
        Arguments::Run { scenario, image } => scenarios::ALL
            .iter()
            .find(|known| known.name == scenario)
            .with_context(|| format!("'{scenario}' is not a scenario"))?
            .run(&image.into()),
    }
}
