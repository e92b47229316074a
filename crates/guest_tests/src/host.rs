//! The host's side: the machine that runs the guest, and what an operator does to its hierarchy.

use anyhow::Context;
use anyhow::Result;
use parking_lot::Mutex;
use pcie_topology::EndpointSpec;
use pcie_topology::Hierarchy;
use pcie_topology::NamedFunction;
use pcie_topology::PlugError;
use recording::Recording;
use serde_json::Value;
use std::io;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use vmm::BootSource;
use vmm::Com;
use vmm::ExitCounts;
use vmm::Machine;
use vmm::MachineConfig;
use vmm::MachineError;
use vmm::MachineHandle;
use vmm::Outcome;

/// A console is cheap to keep and dear to fill: a line costs the guest milliseconds. A panic starts the guest anew, which its host
/// notices at once. Nobody has numbered the buses before Linux does, which reserves one for an empty slot unless it is told to reserve more.
pub(crate) const CMDLINE: &str = "console=ttyS0 quiet panic=-1 pci=hpbussize=8";

const MEMORY_MIB: u64 = 512;

/// How much of the console is kept.
const CONSOLE_BYTES_MAX: usize = 64 << 10;

/// The files that a guest starts from.
#[derive(Debug, Clone)]
pub(crate) struct GuestImage {
    /// The kernel.
    pub(crate) kernel: PathBuf,
    /// The file system with the agent.
    pub(crate) initrd: PathBuf,
}

impl GuestImage {
    /// From the paths of its files.
    pub(crate) fn new(kernel: &str, initrd: &str) -> Self {
        Self {
            kernel: kernel.into(),
            initrd: initrd.into(),
        }
    }

    /// A machine with this guest.
    pub(crate) fn config(&self, topology: pcie_topology::Topology, cpus: u32) -> MachineConfig {
        MachineConfig {
            topology,
            boot: BootSource {
                kernel: self.kernel.clone(),
                initrd: Some(self.initrd.clone()),
                cmdline: CMDLINE.to_string(),
            },
            cpus,
            memory_mib: MEMORY_MIB,
            hypervisor_bit: true,
        }
    }
}

/// A machine with its serial ports connected.
pub(crate) struct Connected {
    machine: Machine,
    /// The host's side of it.
    pub(crate) host: Host,
    /// The other end of the guest's channel.
    pub(crate) channel: UnixStream,
}

impl Connected {
    /// Connects the console and the channel, and records what is done to the hierarchy unless the machine was restored.
    ///
    /// # Errors
    ///
    /// - the host has no room for a socket.
    pub(crate) fn new(mut machine: Machine) -> Result<Self> {
        let console = Console::default();
        machine.connect_serial(Com::Com1, Box::new(console.clone()), None);
        let (channel, far) = UnixStream::pair()?;
        machine.connect_serial(Com::Com2, Box::new(far.try_clone()?), Some(Box::new(far)));
        let recording = Recorded::default();
        match machine.record(recording.clone()) {
            Ok(()) | Err(MachineError::NotNew) => {}
            Err(error) => return Err(error.into()),
        }
        let host = Host {
            handle: machine.handle(),
            console,
            recording,
        };
        Ok(Self {
            machine,
            host,
            channel,
        })
    }

    /// Runs the machine until it is turned off or stopped, and gives it back. When it cannot go on, the channel is closed.
    ///
    /// # Errors
    ///
    /// - the machine cannot go on.
    pub(crate) fn run(mut machine: Machine) -> Result<Machine> {
        loop {
            match machine.run()? {
                Outcome::Reset => machine.reset()?,
                Outcome::PoweredOff | Outcome::Stopped => return Ok(machine),
            }
        }
    }

    /// The machine, to be run, and its two ends.
    pub(crate) fn split(self) -> (Machine, Host, UnixStream) {
        (self.machine, self.host, self.channel)
    }
}

/// What an operator has in hand while the guest runs.
#[derive(Clone)]
pub(crate) struct Host {
    handle: MachineHandle,
    console: Console,
    recording: Recorded,
}

impl Host {
    /// Does something with the hierarchy.
    ///
    /// # Errors
    ///
    /// - it is refused.
    pub(crate) fn operate(
        &self,
        operation: impl FnOnce(&mut Hierarchy) -> Result<(), PlugError>,
    ) -> Result<()> {
        Ok(self.handle.with_hierarchy(operation)?)
    }

    /// Composes an endpoint and plugs it into a port.
    ///
    /// # Errors
    ///
    /// - it is refused.
    pub(crate) fn plug(&self, port: &str, endpoint: &EndpointSpec) -> Result<()> {
        Ok(self.handle.plug(port, endpoint)?)
    }

    /// Does with the hierarchy, or asks of it, what is no port's affair.
    pub(crate) fn with_hierarchy<R>(&self, work: impl FnOnce(&mut Hierarchy) -> R) -> R {
        self.handle.with_hierarchy(work)
    }

    /// Where the guest reaches a function, as its sysfs writes it.
    ///
    /// # Errors
    ///
    /// - there is none of this name, or the guest has not numbered its bus.
    pub(crate) fn address(&self, name: &str) -> Result<String> {
        let functions = self.functions();
        let function = functions
            .iter()
            .find(|function| function.name == name)
            .with_context(|| format!("no function is named '{name}'"))?;
        let bdf = function
            .bdf
            .with_context(|| format!("the guest gave no bus number to {}", function.path))?;
        Ok(format!("{:04x}:{bdf}", function.segment))
    }

    /// All functions, by their names.
    pub(crate) fn functions(&self) -> Vec<NamedFunction> {
        self.handle
            .with_hierarchy(|hierarchy| hierarchy.functions())
    }

    /// A part of the inspection tree.
    ///
    /// # Errors
    ///
    /// - the inspection is not JSON.
    pub(crate) fn inspect(&self, path: &str) -> Result<Value> {
        let node = self
            .handle
            .with_hierarchy(|hierarchy| inspect::inspect(path, hierarchy).results());
        serde_json::from_str(&node.json().to_string()).context("inspection is not JSON")
    }

    /// What inspection shows of a port.
    ///
    /// # Errors
    ///
    /// - there is none of this name.
    pub(crate) fn inspect_port(&self, name: &str) -> Result<Value> {
        let path = self
            .functions()
            .into_iter()
            .find(|function| function.name == name)
            .with_context(|| format!("no function is named '{name}'"))?
            .path;
        self.inspect(&path)
    }

    /// The end of what the guest's kernel printed.
    pub(crate) fn console(&self) -> String {
        String::from_utf8_lossy(&self.console.0.lock()).into_owned()
    }

    /// Ends the machine's run.
    pub(crate) fn stop(&self) {
        self.handle.stop();
    }

    /// How often the guest left for the monitor.
    pub(crate) fn exits(&self) -> ExitCounts {
        self.handle.exits()
    }

    /// Ends the recording, and gives it. What [`Self::operate`] did is not in it.
    ///
    /// # Errors
    ///
    /// - there is none.
    pub(crate) fn end_recording(&self) -> Result<Recording> {
        let finished = self.handle.finish_recording()?;
        finished.context("the machine was not recorded from its beginning")?;
        Ok(Recording::parse(&self.recording.0.lock())?)
    }
}

/// Keeps what is written.
#[derive(Debug, Clone, Default)]
struct Recorded(Arc<Mutex<Vec<u8>>>);

impl Write for Recorded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps the end of what is written.
#[derive(Debug, Clone, Default)]
struct Console(Arc<Mutex<Vec<u8>>>);

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.0.lock();
        kept.extend_from_slice(bytes);
        let excess = kept.len().saturating_sub(CONSOLE_BYTES_MAX);
        kept.drain(..excess);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
