//! The `rootplex` command: composes a hierarchy, enumerates it, shows it and checks that it survives save and restore; serves one, and
//! asks and operates one that is served.

#![forbid(unsafe_code)]

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod boot;
mod live;
mod output;
mod replay;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod terminal;

use clap::Args;
use clap::CommandFactory;
use clap::Parser;
use clap::Subcommand;
use output::Failure;
use output::Target;
use pcie_topology::Topology;
use recording::Recorder;
use rootplex::session::Session;
use rootplex::tables;
use std::fmt::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

const DEMO: &str = include_str!("../examples/demo.toml");

const EXIT_STATUS: &str = "\
Exit status:
  0  what was asked for was done; by demo and run: the hierarchy was composed, enumerated and verified
  1  a file could not be read or written, a server refused, or the hierarchy was not as before after restore
  2  the command line, the file or a name in it is wrong; each mistake is a line on standard error
  3  no server answers";

const OUT: &str = "Where OUT is - the output goes to standard output, and the report is left out.";

/// Composes a PCI Express and CXL hierarchy, enumerates it as firmware does, shows it, and verifies save and restore; or looks into one
/// that runs.
#[derive(Parser)]
#[command(name = "rootplex", version, after_help = EXIT_STATUS)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Uses the hierarchy that the program brings along.
    #[command(after_help = format!("Examples:\n  rootplex demo\n  rootplex demo --svg demo.svg --quiet\n  rootplex demo --web\n\n{OUT}\n\n{EXIT_STATUS}"))]
    Demo {
        #[command(flatten)]
        options: Options,
    },
    /// Uses the hierarchy that a TOML file describes.
    #[command(after_help = format!("Examples:\n  rootplex run machine.toml\n  rootplex run machine.toml --lspci - | lspci -F /dev/stdin -vvv\n  \
        rootplex run machine.toml --web\n\n{OUT}\n\n{EXIT_STATUS}"))]
    Run {
        /// The description.
        file: PathBuf,
        #[command(flatten)]
        options: Options,
    },
    /// Does again what a recording holds, and compares every answer. Of devices that act on the guest's memory, such as NVMe controllers,
    /// only the configuration space is: their disks are not touched.
    #[command(after_help = format!("Examples:\n  rootplex boot --kernel vmlinux --record machine.recording\n  rootplex replay \
        machine.recording\n\nExit status: 1 where an answer differs.\n\n{EXIT_STATUS}"))]
    Replay {
        /// The recording.
        file: PathBuf,
    },
    /// Writes what tells a guest of a hierarchy: a file for each ACPI table, and a device tree.
    #[command(after_help = format!("Examples:\n  rootplex tables --topology machine.toml --out tables\n\n{EXIT_STATUS}"))]
    Tables {
        /// The description, a TOML file; without it, the hierarchy that the program brings along.
        #[arg(long, value_name = "FILE")]
        topology: Option<PathBuf>,
        /// The folder to write to; it is made where it is missing.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
    },
    #[command(flatten)]
    Live(live::Command),
    /// Boots a Linux kernel on KVM before a hierarchy; the terminal is its console. Ctrl-A x stops it.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[command(after_help = boot::EXIT_STATUS)]
    Boot(boot::Options),
}

#[derive(Args)]
struct Options {
    /// Show the inspection of this port; without the option, of the first with a hot-plug slot.
    #[arg(long, value_name = "NAME")]
    port: Option<String>,
    /// Write every function's configuration space in the hex format that `lspci -F` reads.
    #[arg(long, value_name = "OUT")]
    lspci: Option<Target>,
    /// Write the inspection of the whole hierarchy as JSON.
    #[arg(long, value_name = "OUT")]
    json: Option<Target>,
    /// Write a drawing of the hierarchy as SVG.
    #[arg(long, value_name = "OUT")]
    svg: Option<Target>,
    /// Record what the enumeration reads and writes, for `rootplex replay`.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Print nothing but mistakes and what did not fit.
    #[arg(long, short)]
    quiet: bool,
    /// Go on serving the hierarchy, with a page for a browser on a port of 127.0.0.1; any that is free without PORT.
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "0")]
    web: Option<u16>,
}

impl Options {
    fn targets(&self) -> impl Iterator<Item = &Target> {
        [&self.lspci, &self.json, &self.svg].into_iter().flatten()
    }

    /// Standard output has room for one thing.
    fn is_reported(&self) -> Result<bool, Failure> {
        match self
            .targets()
            .filter(|target| **target == Target::StandardOutput)
            .count()
        {
            0 => Ok(!self.quiet),
            1 => Ok(false),
            _ => Err(Failure::mistake(
                "only one of --lspci, --json and --svg can go to standard output",
            )),
        }
    }
}

fn main() -> ExitCode {
    clap_complete::CompleteEnv::with_factory(CommandLine::command).complete();
    match run(CommandLine::parse().command) {
        Ok(status) => status,
        Err(failure) => failure.report(),
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        Command::Boot(options) => return boot::run(&options),
        Command::Demo { options } => show(compose(DEMO, &options)?, "demo", &options),
        Command::Run { file, options } => show(
            compose(&output::read_text(&file)?, &options)?,
            &file.display().to_string(),
            &options,
        ),
        Command::Replay { file } => replay::run(&file),
        Command::Tables { topology, out } => match topology {
            None => write_tables(DEMO, "demo", &out),
            Some(file) => write_tables(
                &output::read_text(&file)?,
                &file.display().to_string(),
                &out,
            ),
        },
        Command::Live(command) => live::run(command),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Composes a hierarchy, and records that if asked to.
fn compose(
    description: &str,
    options: &Options,
) -> Result<Result<Session, rootplex::session::SessionError>, Failure> {
    let Some(file) = &options.record else {
        return Ok(Session::compose(description));
    };
    let failed = |error| Failure::io(file, error);
    let output = std::fs::File::create(file).map_err(failed)?;
    let mut recorder = Recorder::start(description, output).map_err(failed)?;
    let session = Session::compose_recorded(description, Some(&mut recorder));
    recorder.finish().map_err(failed)?;
    Ok(session)
}

fn write_tables(description: &str, source: &str, out: &Path) -> Result<(), Failure> {
    let topology = Topology::from_toml(description)
        .map_err(|problems| Failure::mistakes(source, &problems))?;
    let mistake = |error| Failure::mistakes(source, &error);
    let mut files = tables::acpi(&topology).map_err(mistake)?;
    files.push(tables::device_tree(&topology).map_err(mistake)?);
    std::fs::create_dir_all(out).map_err(|error| Failure::io(out, error))?;
    for file in files {
        let path = out.join(file.name);
        std::fs::write(&path, file.content).map_err(|error| Failure::io(&path, error))?;
    }
    Ok(())
}

fn show(
    session: Result<Session, rootplex::session::SessionError>,
    source: &str,
    options: &Options,
) -> Result<(), Failure> {
    let is_reported = options.is_reported()?;
    let session = report(session, source, options, is_reported)?;
    match options.web {
        Some(port) => live::serve::serve(
            session.into_hierarchy(),
            source,
            &live::serve::Doors::web(port),
        ),
        None => Ok(()),
    }
}

/// Shows a session as the options say.
fn report(
    session: Result<Session, rootplex::session::SessionError>,
    source: &str,
    options: &Options,
    is_reported: bool,
) -> Result<Session, Failure> {
    let mut session = session.map_err(|error| Failure::mistakes(source, &error))?;
    let port = match &options.port {
        Some(name) => Some(
            session
                .port(name)
                .map_err(|error| Failure::mistake(format!("--port: {error}")))?,
        ),
        None => session.first_hot_plug_port(),
    };

    let tree = session.tree();
    if let Some(target) = &options.lspci {
        target.write(&session.lspci_dump())?;
    }
    if let Some(target) = &options.svg {
        target.write(&session.drawing())?;
    }
    if let Some(target) = &options.json {
        target.write(&format!("{:#}\n", session.inspect("").json()))?;
    }
    let verified = session
        .verify()
        .map_err(|error| Failure::other(format!("{source}: {error}")))?;
    if !is_reported {
        // The report would say so.
        for shortfall in session.shortfalls() {
            eprintln!("rootplex: {source}: {shortfall}");
        }
        return Ok(session);
    }
    let mut report = tree;
    // Writing to a string cannot fail.
    let _ = writeln!(report, "\n{verified}");
    if let Some(port) = port {
        let _ = writeln!(
            report,
            "\n{} = {:#}",
            port.path,
            session.inspect(&port.path)
        );
    }
    Target::StandardOutput.write(&report)?;
    Ok(session)
}
