//! Serving a hierarchy, and asking and operating one that is served.

mod client;
mod completion;
mod events;
mod inspection;
mod operations;
mod port;
pub(crate) mod serve;
mod tree;

use crate::EXIT_STATUS;
use crate::output::Failure;
use crate::output::Target;
use crate::output::show;
use clap::Args;
use clap::Subcommand;
use clap_complete::engine::ArgValueCandidates;
use client::Client;
use std::path::PathBuf;
use std::process::Stdio;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Composes, enumerates and serves a hierarchy without a guest, until it is stopped by SIGINT or SIGTERM.
    #[command(after_help = format!("Examples:\n  rootplex serve --topology machine.toml\n  rootplex serve --topology machine.toml \
        --socket /run/user/1000/vm.sock --tcp 9108\n  rootplex serve --case interrupt-disabled --web\n\n{EXIT_STATUS}"))]
    Serve(serve::Options),
    /// Shows values with their names and units, or changes one.
    #[command(after_help = format!("Examples:\n  rootplex inspect\n  rootplex inspect pcie0/functions/front-slot --depth 3\n  \
        rootplex inspect pcie0 --depth 8 --watch\n\n{EXIT_STATUS}"))]
    Inspect(inspection::Options),
    /// Shows the hierarchy as a tree, with the state of links and slots, errors, and a mark where a device cannot work.
    #[command(after_help = format!("Examples:\n  rootplex tree\n  rootplex tree | grep '!'\n\n{EXIT_STATUS}"))]
    Tree {
        #[command(flatten)]
        server: ServerOption,
    },
    /// Shows all of a port, or of a device, on one screen: what is wrong with it first.
    #[command(after_help = format!("Examples:\n  rootplex port nvme-port0\n  watch rootplex port nvme-port0\n\n{EXIT_STATUS}"))]
    Port {
        #[command(flatten)]
        port: PortArgument,
    },
    /// Shows what happened: hot-plug, power, links, errors, resets, bus numbers.
    #[command(after_help = format!("Examples:\n  rootplex events\n  rootplex events --follow\n  rootplex events --json | jq .cause\n\n\
        {EXIT_STATUS}"))]
    Events(events::Options),
    /// Has lspci decode the configuration spaces as they are now; arguments are passed on.
    #[command(after_help = format!("Examples:\n  rootplex lspci -vvv\n  rootplex lspci -tv\n\n{EXIT_STATUS}"))]
    Lspci {
        #[command(flatten)]
        server: ServerOption,
        /// Arguments of lspci.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Plugs an endpoint into a slot.
    #[command(after_help = format!("Examples:\n  rootplex plug front-slot\n  rootplex plug front-slot nic.toml\n\nThe file is an endpoint \
        of a topology, without its heading:\n  name = \"nic0\"\n  bar = [{{ kind = \"64\", size = \"64K\" }}]\n\n{EXIT_STATUS}"))]
    Plug {
        #[command(flatten)]
        port: PortArgument,
        /// The endpoint's description; a plain one without it.
        file: Option<PathBuf>,
    },
    /// Asks the guest to let go what is in a slot, waits until it did, and takes it out.
    #[command(after_help = format!("Examples:\n  rootplex unplug nvme-port0\n  rootplex unplug nvme-port0 --surprise\n\n{EXIT_STATUS}"))]
    Unplug {
        #[command(flatten)]
        port: PortArgument,
        /// Take it out without asking.
        #[arg(long)]
        surprise: bool,
        /// Wait so many seconds for the guest.
        #[arg(long, value_name = "SECONDS", default_value_t = 15)]
        timeout: u64,
    },
    /// Presses a slot's attention button.
    #[command(after_help = format!("Examples:\n  rootplex button bay0\n\n{EXIT_STATUS}"))]
    Button {
        #[command(flatten)]
        port: PortArgument,
    },
    /// Opens or closes a slot's retention latch, if it has a sensor for it.
    #[command(after_help = format!("Examples:\n  rootplex latch bay0 open\n  rootplex latch bay0 close\n\n{EXIT_STATUS}"))]
    Latch {
        #[command(flatten)]
        port: PortArgument,
        /// What becomes of it.
        #[arg(value_enum)]
        to: Latch,
    },
    /// Shows whether a slot has power, or lets its power controller find a fault.
    #[command(after_help = format!("Examples:\n  rootplex power bay0\n  rootplex power bay0 --fault\n\n{EXIT_STATUS}"))]
    Power {
        #[command(flatten)]
        port: PortArgument,
        /// Let the power controller find a fault.
        #[arg(long)]
        fault: bool,
    },
    /// Saves the state to a file.
    #[command(after_help = format!("Examples:\n  rootplex save machine.state\n\n{EXIT_STATUS}"))]
    Save {
        #[command(flatten)]
        server: ServerOption,
        /// The file.
        file: PathBuf,
    },
    /// Restores a saved state.
    #[command(after_help = format!("Examples:\n  rootplex restore machine.state\n\n{EXIT_STATUS}"))]
    Restore {
        #[command(flatten)]
        server: ServerOption,
        /// The file.
        file: PathBuf,
    },
    /// Prints what a shell must be told to complete commands, paths and ports by Tab.
    #[command(after_help = format!("Examples:\n  source <(rootplex completions bash)\n  rootplex completions fish | source\n\n\
        {EXIT_STATUS}"))]
    Completions {
        /// bash, elvish, fish, powershell or zsh.
        shell: String,
    },
}

/// What becomes of a latch.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Latch {
    Open,
    Close,
}

/// Which server is asked.
#[derive(Args)]
pub(crate) struct ServerOption {
    /// The server's socket; without the option, the only one that is live in $XDG_RUNTIME_DIR/rootplex.
    #[arg(long, env = "ROOTPLEX_SOCKET", value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl ServerOption {
    fn client(&self) -> Result<Client, Failure> {
        Client::find(self.socket.as_deref())
    }
}

#[derive(Args)]
pub(crate) struct PortArgument {
    /// The port's name.
    #[arg(value_name = "PORT", add = ArgValueCandidates::new(completion::ports))]
    name: String,
    #[command(flatten)]
    server: ServerOption,
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(options) => serve::run(&options),
        Command::Inspect(options) => inspection::run(&options),
        Command::Tree { server } => tree::run(&server.client()?),
        Command::Port { port } => port::run(&port.server.client()?, &port.name),
        Command::Events(options) => events::run(&options),
        Command::Lspci { server, arguments } => lspci(&server.client()?, &arguments),
        Command::Plug { port, file } => {
            operations::plug(&port.server.client()?, &port.name, file.as_deref())
        }
        Command::Unplug {
            port,
            surprise,
            timeout,
        } => operations::unplug(&port.server.client()?, &port.name, surprise, timeout),
        Command::Button { port } => {
            operations::post(&port.server.client()?, &port.name, "button").map(|_| ())
        }
        Command::Latch { port, to } => {
            let what = match to {
                Latch::Open => "latch?open=true",
                Latch::Close => "latch?open=false",
            };
            operations::post(&port.server.client()?, &port.name, what).map(|_| ())
        }
        Command::Power { port, fault } => {
            operations::power(&port.server.client()?, &port.name, fault)
        }
        Command::Save { server, file } => {
            let state = server.client()?.get("/state")?;
            std::fs::write(&file, state).map_err(|error| Failure::io(&file, error))
        }
        Command::Restore { server, file } => {
            let state = std::fs::read(&file).map_err(|error| Failure::io(&file, error))?;
            server.client()?.send("PUT", "/state", state).map(|_| ())
        }
        Command::Completions { shell } => completion::script(&shell),
    }
}

/// Has lspci read the dump from its standard input.
fn lspci(client: &Client, arguments: &[String]) -> Result<(), Failure> {
    let dump = client.get("/lspci")?;
    let mut child = std::process::Command::new("lspci")
        .args(["-F", "/dev/stdin"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::other(format_args!("lspci (of pciutils): {error}")))?;
    let mut stdin = child.stdin.take();
    let (written, output) = std::thread::scope(|scope| {
        let writer = scope.spawn(move || match &mut stdin {
            Some(stdin) => std::io::Write::write_all(stdin, &dump),
            None => Ok(()),
        });
        let output = child.wait_with_output();
        (writer.join(), output)
    });
    let output = output.map_err(|error| Failure::other(format_args!("lspci: {error}")))?;
    if !output.status.success() {
        return Err(Failure::other(format_args!(
            "lspci ended with {}",
            output.status
        )));
    }
    if let Ok(Err(error)) = written {
        return Err(Failure::other(format_args!("lspci: {error}")));
    }
    show(&output.stdout).map(|_| ())
}

/// A JSON answer as what it describes.
fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::other(format_args!("the server's answer: {error}")))
}

fn write(text: &str) -> Result<(), Failure> {
    Target::StandardOutput.write(text)
}
