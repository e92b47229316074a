//! `rootplex boot`: a Linux guest before a hierarchy.

use crate::live::serve::Doors;
use crate::output::Failure;
use crate::terminal::Keyboard;
use crate::terminal::Order;
use crate::terminal::RawMode;
use clap::Args;
use inspect::Node;
use inspect::Value;
use inspect_service::Operation;
use inspect_service::OperationError;
use inspect_service::Outcome;
use inspect_service::Server;
use inspect_service::Source;
use inspect_service::lspci::ConfigSpace;
use inspect_service::metrics::Family;
use parking_lot::Mutex;
use pcie_topology::Topology;
use recording::Operation as Recordable;
use recording::Recorded;
use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;
use vmcore::event::Event;
use vmm::BootSource;
use vmm::Com;
use vmm::Machine;
use vmm::MachineConfig;
use vmm::MachineError;
use vmm::MachineHandle;
use vmm_sys_util::signal::register_signal_handler;

pub(crate) const EXIT_STATUS: &str = "\
Exit status:
  0  the guest turned the machine off, or the machine was saved
  1  a file could not be read, the guest crashed, or KVM gave up
  2  the command line or the description is wrong; each mistake is a line on standard error
  3  the guest asked to start anew, with --no-reboot
  4  KVM is missing, or does not run guests here
  5  the machine was stopped, by Ctrl-A x or a signal

With --save, Ctrl-A s and SIGUSR1 save the machine and end the program.";

const REBOOT: u8 = 3;
const NO_KVM: u8 = 4;
const STOPPED: u8 = 5;

#[derive(Args)]
pub(crate) struct Options {
    /// The description, a TOML file; without it, the hierarchy that the program brings along.
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
    /// A Linux kernel, vmlinux or bzImage.
    #[arg(long, value_name = "FILE", required_unless_present = "restore")]
    kernel: Option<PathBuf>,
    /// The initial file system.
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// The kernel's command line.
    #[arg(long, value_name = "TEXT", default_value = "console=ttyS0")]
    cmdline: String,
    /// Processors.
    #[arg(long, value_name = "N", default_value_t = 1)]
    cpus: u32,
    /// Memory.
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    memory: u64,
    /// Let CPUID not say that there is a hypervisor: Linux creates no CXL regions otherwise.
    #[arg(long)]
    no_hypervisor_bit: bool,
    /// End when the guest resets the machine, instead of starting it anew.
    #[arg(long)]
    no_reboot: bool,
    /// Where the machine is saved to, when that is asked for.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Let a saved machine go on.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["topology", "kernel", "initrd", "cmdline", "cpus", "memory", "no_hypervisor_bit"]
    )]
    restore: Option<PathBuf>,
    /// Record what the guest and the operator do to the hierarchy, for `rootplex replay`.
    #[arg(long, value_name = "FILE", conflicts_with = "restore")]
    record: Option<PathBuf>,
    /// Connect the guest's second serial port, ttyS1, to a Unix socket that somebody listens at.
    #[arg(long, value_name = "PATH")]
    serial2: Option<PathBuf>,
    #[command(flatten)]
    doors: Doors,
    /// Leave out the line at the end that counts the guest's exits.
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let mut machine = match (&options.restore, &options.kernel) {
        (Some(file), _) => Machine::restore(file).map_err(failure)?,
        (None, Some(kernel)) => new_machine(options, kernel)?,
        (None, None) => return Err(Failure::mistake("--kernel or --restore")),
    };
    let handle = machine.handle();
    take_orders(handle.stop_event()).map_err(failure_of_host)?;
    if let Some(file) = &options.record {
        let output = File::create(file).map_err(|error| Failure::io(file, error))?;
        machine.record(output).map_err(failure)?;
    }
    let _servers = serve(options, &handle)?;
    if let Some(path) = &options.serial2 {
        connect_second_port(&mut machine, path).map_err(|error| Failure::io(path, error))?;
    }
    machine.connect_serial(
        Com::Com1,
        Box::new(io::stdout()),
        Some(Box::new(Keyboard::new(obey))),
    );
    let outcome = {
        let _raw = RawMode::enter().map_err(failure_of_host)?;
        run_machine(&mut machine, options)
    };
    let recorded = handle.finish_recording();
    if !options.quiet {
        eprintln!("rootplex: {}", handle.exits());
        if let (Some(file), Ok(Some(summary))) = (&options.record, &recorded) {
            eprintln!("rootplex: {summary} in {}", file.display());
        }
    }
    // What the guest did is the greater news.
    outcome.and_then(|status| recorded.map(|_| status).map_err(failure))
}

fn connect_second_port(machine: &mut Machine, path: &Path) -> io::Result<()> {
    let socket = UnixStream::connect(path)?;
    let sink = Box::new(socket.try_clone()?);
    machine.connect_serial(Com::Com2, sink, Some(Box::new(socket)));
    Ok(())
}

/// Serves the machine's hierarchy while it runs, where that is asked for. Standard output is the guest's.
fn serve(options: &Options, handle: &MachineHandle) -> Result<Vec<Server>, Failure> {
    if !options.doors.is_any() {
        return Ok(Vec::new());
    }
    let source = Arc::new(Booted {
        hierarchy: handle.hierarchy(),
        handle: handle.clone(),
    });
    let (servers, lines) = options.doors.open(&source, "the machine")?;
    if !options.quiet {
        eprint!("{lines}");
    }
    Ok(servers)
}

/// The hierarchy of a machine, whose devices come from the machine and whose state is the machine's.
struct Booted {
    hierarchy: Arc<Mutex<Recorded>>,
    handle: MachineHandle,
}

impl Source for Booted {
    fn inspect(&self, path: &str, depth: usize) -> Node {
        self.hierarchy.inspect(path, depth)
    }

    fn update(&self, path: &str, value: &str) -> Result<Value, inspect::Error> {
        self.hierarchy.update(path, value)
    }

    fn topology(&self) -> inspect_service::Topology {
        self.hierarchy.topology()
    }

    fn config_spaces(&self) -> Vec<ConfigSpace> {
        self.hierarchy.config_spaces()
    }

    fn metrics(&self) -> Vec<Family> {
        self.hierarchy.metrics()
    }

    fn events(&self, from: u64, max: usize) -> Vec<inspect_service::Event> {
        self.hierarchy.events(from, max)
    }

    fn wait_for_event(&self, from: u64, timeout: Duration) -> Option<u64> {
        self.hierarchy.wait_for_event(from, timeout)
    }

    fn operate(&self, operation: Operation) -> Result<Outcome, OperationError> {
        let operation = match operation {
            Operation::Plug { port, endpoint } => Recordable::Plug { port, endpoint },
            Operation::Unplug {
                port,
                surprise: true,
            } => Recordable::Unplug { port },
            Operation::Unplug {
                port,
                surprise: false,
            } => {
                return match self.handle.unplug_released(&port)? {
                    true => Ok(Outcome::Done),
                    false => Err(OperationError::Held(format!(
                        "port '{port}': the guest has not let the device go"
                    ))),
                };
            }
            Operation::RequestRemoval { port } => Recordable::RequestRemoval { port },
            Operation::PressButton { port } => Recordable::AttentionButton { port },
            Operation::SetLatch { port, open } => Recordable::Mrl { port, open },
            Operation::PowerFault { port } => Recordable::PowerFault { port },
            // Without its guest, a hierarchy's state is of no use: the machine is saved as a whole.
            Operation::Save | Operation::Restore { .. } => {
                return Err(OperationError::NotSupported);
            }
        };
        self.handle
            .operate(&operation)
            .map_err(|recording::OperationError::Refused(error)| error)?;
        Ok(Outcome::Done)
    }
}

fn new_machine(options: &Options, kernel: &Path) -> Result<Machine, Failure> {
    let (source, description) = match &options.topology {
        None => ("demo".to_string(), crate::DEMO.to_string()),
        Some(file) => (file.display().to_string(), crate::output::read_text(file)?),
    };
    let topology = Topology::from_toml(&description)
        .map_err(|problems| Failure::mistakes(&source, &problems))?;
    let config = MachineConfig {
        topology,
        boot: BootSource {
            kernel: kernel.to_path_buf(),
            initrd: options.initrd.clone(),
            cmdline: options.cmdline.clone(),
        },
        cpus: options.cpus,
        memory_mib: options.memory,
        hypervisor_bit: !options.no_hypervisor_bit,
    };
    Machine::new(config).map_err(failure)
}

/// Runs the guest, again and again if it asks for that.
#[expect(
    clippy::disallowed_methods,
    reason = "how long a guest ran is what whoever started it wants to know"
)]
fn run_machine(machine: &mut Machine, options: &Options) -> Result<ExitCode, Failure> {
    let begin = Instant::now();
    let say = |what: &str| {
        if !options.quiet {
            eprintln!(
                "rootplex: {what} after {:.1} s",
                begin.elapsed().as_secs_f64()
            );
        }
    };
    loop {
        match machine.run().map_err(failure)? {
            vmm::Outcome::PoweredOff => {
                say("the guest turned the machine off");
                return Ok(ExitCode::SUCCESS);
            }
            vmm::Outcome::Stopped => match &options.save {
                Some(file) if SAVE.load(Ordering::Relaxed) => {
                    machine.handle().save(file).map_err(failure)?;
                    say(&format!("saved to {}", file.display()));
                    return Ok(ExitCode::SUCCESS);
                }
                _ => {
                    say("stopped");
                    return Ok(ExitCode::from(STOPPED));
                }
            },
            vmm::Outcome::Reset if options.no_reboot => {
                say("the guest asked to start anew");
                return Ok(ExitCode::from(REBOOT));
            }
            vmm::Outcome::Reset => {
                say("the guest starts anew");
                machine.reset().map_err(failure)?;
            }
        }
    }
}

fn failure(error: MachineError) -> Failure {
    match error {
        MachineError::NoKvm(_) => Failure::with_status(NO_KVM, error),
        MachineError::Topology(_)
        | MachineError::Cpus(_)
        | MachineError::Memory(_)
        | MachineError::Ports { .. } => Failure::mistake(error),
        _ => Failure::other(error),
    }
}

fn failure_of_host(error: io::Error) -> Failure {
    Failure::other(format_args!("the terminal: {error}"))
}

/// What stops the machine, and whether it is to be saved then. A signal handler knows nothing else.
static STOP: OnceLock<Event> = OnceLock::new();
static SAVE: AtomicBool = AtomicBool::new(false);

/// Does nothing that a signal handler may not.
fn obey(order: Order) {
    SAVE.store(order == Order::Save, Ordering::Relaxed);
    if let Some(event) = STOP.get() {
        event.signal();
    }
}

extern "C" fn obey_signal(signal: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    obey(match signal {
        libc::SIGUSR1 => Order::Save,
        _ => Order::Stop,
    });
}

/// Lets the signals that end a program stop the machine, so that the terminal is put back.
fn take_orders(stop: &Event) -> io::Result<()> {
    let _ = STOP.set(stop.clone());
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1] {
        register_signal_handler(signal, obey_signal).map_err(io::Error::from)?;
    }
    Ok(())
}
