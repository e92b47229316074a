//! The machine as a whole.

use crate::MachineError;
use crate::boot::BootSource;
use crate::bus;
use crate::bus::Bus;
use crate::bus::IO_WINDOW_MIN;
use crate::control::Control;
use crate::cpu::Cpu;
use crate::cpu::Leave;
use crate::cpu_state;
use crate::cpuid::Identity;
use crate::doorbell::Doorbells;
use crate::error::Host as _;
use crate::error::Kvm as _;
use crate::exits::ExitCounts;
use crate::firmware;
use crate::irq::Interrupts;
use crate::irq::Routes;
use crate::irqchip::IrqChipState;
use crate::memory;
use crate::memory::GuestRam;
use crate::memory::MemoryLayout;
use crate::power::PowerRequest;
use crate::probe;
use crate::serial::Com;
use crate::serial::Feeder;
use crate::serial::SerialPort;
use crate::serial::Sink;
use crate::serial::Source;
use crate::snapshot;
use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use event_manager::EventManager;
use event_manager::EventOps;
use event_manager::Events;
use event_manager::MutEventSubscriber;
use event_manager::SubscriberOps;
use kvm_bindings::CpuId;
use kvm_bindings::KVM_MAX_CPUID_ENTRIES;
use kvm_ioctls::Cap;
use kvm_ioctls::Kvm;
use kvm_ioctls::VmFd;
use nvme::MemoryStorage;
use nvme::NvmeFactory;
use nvme::VmMemory;
use parking_lot::Mutex;
use pcie_topology::EndpointSpec;
use pcie_topology::Hierarchy;
use pcie_topology::NoDevices;
use pcie_topology::Platform;
use pcie_topology::PlugError;
use pcie_topology::Topology;
use pcie_topology::Windows;
use recording::MessageLog;
use recording::Operation;
use recording::OperationError;
use recording::Recorded;
use recording::Recorder;
use recording::Summary;
use std::collections::BTreeMap;
use std::io;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::thread::JoinHandle;
use vm_superio::serial::SerialState;
use vmcore::event::Event;
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::signal::Killable;
use vmm_sys_util::signal::SIGRTMIN;
use vmm_sys_util::signal::register_signal_handler;

/// How many processors a machine can have: APIC IDs of eight bits, of which one is everybody.
pub const CPUS_MAX: u32 = 254;
/// Three pages for KVM's own use on Intel processors, and one for its page table: below the flash of a PC, where nothing else is.
const KVM_TSS: usize = 0xfffb_d000;
const KVM_IDENTITY_MAP: u64 = 0xfffb_c000;

/// What a machine is made from.
#[derive(Clone, Debug)]
pub struct MachineConfig {
    /// The hierarchy.
    pub topology: Topology,
    /// What to start.
    pub boot: BootSource,
    /// Processors, 1 to [`CPUS_MAX`].
    pub cpus: u32,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// Whether CPUID says that there is a hypervisor. Linux creates no CXL regions where it does; where it does not, there is no clock
    /// of KVM's, and the kernel is told the frequency of the time stamp counter by its command line.
    pub hypervisor_bit: bool,
}

impl MachineConfig {
    /// Finds what is wrong by itself, whatever the host can do.
    fn check(&self) -> Result<MemoryLayout, MachineError> {
        if !(1..=CPUS_MAX).contains(&self.cpus) {
            return Err(MachineError::Cpus(self.cpus));
        }
        self.topology.validate()?;
        let windows = Windows::new(&self.topology);
        if let Some(window) = windows.io().first()
            && window.range.start < IO_WINDOW_MIN
        {
            return Err(MachineError::Ports {
                window: window.name.clone(),
                start: window.range.start,
            });
        }
        let mut in_the_way = windows.memory().to_vec();
        in_the_way.extend(bus::fixed_cxl_windows(&self.topology));
        Ok(MemoryLayout::new(self.memory_mib, &in_the_way)?)
    }
}

/// How [`Machine::run`] ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The guest turned the machine off.
    PoweredOff,
    /// The guest asks to start anew: [`Machine::reset`], then run again.
    Reset,
    /// [`MachineHandle::stop`].
    Stopped,
}

/// What ends a run.
enum Request {
    Power(PowerRequest),
    Stop,
    Stuck { cpu: usize, reason: String },
}

/// What threads and handles share.
pub(crate) struct Shared {
    pub(crate) cpus: Vec<Mutex<Cpu>>,
    pub(crate) vm: Arc<VmFd>,
    pub(crate) bus: Bus,
    pub(crate) control: Control,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// The first request counts, until the run ends.
    request: Mutex<Option<Request>>,
    requested: Event,
    stop: Event,
    config: MachineConfig,
    devices: Mutex<NvmeFactory>,
    /// What was plugged since the hierarchy was composed, by port.
    pub(crate) plugged: Mutex<BTreeMap<String, EndpointSpec>>,
    // The processors must not outlive it.
    pub(crate) ram: GuestRam,
}

impl Shared {
    fn post(&self, request: Request) {
        self.request.lock().get_or_insert(request);
        self.requested.signal();
    }

    /// Ends the system calls of the processors' threads.
    fn signal_cpus(&self) {
        for thread in self.threads.lock().iter() {
            // A thread that has ended already needs no signal.
            let _ = thread.kill(SIGRTMIN());
        }
    }

    /// The disks that are nowhere but in this process.
    pub(crate) fn memory_disks(&self) -> BTreeMap<String, Arc<MemoryStorage>> {
        self.devices.lock().memory_disks()
    }

    /// Makes an endpoint and plugs it in.
    pub(crate) fn plug(
        &self,
        hierarchy: &mut Hierarchy,
        port: &str,
        endpoint: &EndpointSpec,
    ) -> Result<(), PlugError> {
        // The monitor finds BARs by their windows, and so takes no registrations.
        let mut unregistered = ExternallyManagedMmioIntercepts;
        let devices = &mut *self.devices.lock();
        hierarchy.plug_with(&mut unregistered, devices, port, endpoint)
    }

    /// Does something while no processor runs.
    pub(crate) fn paused<R>(&self, operation: impl FnOnce() -> R) -> R {
        self.control.paused(|| self.signal_cpus(), operation)
    }
}

/// Who is waited for in the event loop.
enum Subscriber {
    Feeder(Feeder),
    /// That something was requested, or that somebody wants the machine to stop.
    Shared(Arc<Shared>),
}

impl MutEventSubscriber for Subscriber {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        match self {
            Self::Feeder(feeder) => feeder.init(ops),
            Self::Shared(shared) => {
                for event in [&shared.requested, &shared.stop] {
                    let _ = ops.add(Events::new(event, EventSet::IN));
                }
            }
        }
    }

    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        match self {
            Self::Feeder(feeder) => feeder.process(events, ops),
            Self::Shared(shared) => {
                let _ = shared.requested.try_wait();
                if shared.stop.try_wait() {
                    shared.post(Request::Stop);
                }
            }
        }
    }
}

/// A machine: processors, memory, serial ports, and a hierarchy.
pub struct Machine {
    shared: Arc<Shared>,
    memory: MemoryLayout,
    events: EventManager<Subscriber>,
    irqchip: IrqChipState,
    /// On the way of the devices' messages to the processors.
    messages: Arc<MessageLog>,
    /// Whether nothing was done to the hierarchy yet.
    new: bool,
}

impl Machine {
    /// Makes a machine that is about to execute its kernel's first instruction.
    ///
    /// # Errors
    ///
    /// [`MachineError`]: KVM does not run guests here; the description, the memory or the number of processors cannot be; the kernel
    /// cannot be loaded; the host has no room.
    pub fn new(config: MachineConfig) -> Result<Self, MachineError> {
        config.check()?;
        config.boot.check()?;
        let machine = Self::without_kernel(config)?;
        machine.load()?;
        Ok(machine)
    }

    /// Makes a machine with nothing in memory.
    pub(crate) fn without_kernel(config: MachineConfig) -> Result<Self, MachineError> {
        let memory = config.check()?;
        // A signal only has to end a system call; one without a handler would end the process.
        register_signal_handler(SIGRTMIN(), no_op).during("sigaction")?;
        let kvm = probe::open_kvm()?;
        let vm = Arc::new(kvm.create_vm().during("KVM_CREATE_VM")?);
        vm.set_tss_address(KVM_TSS).during("KVM_SET_TSS_ADDR")?;
        vm.set_identity_map_address(KVM_IDENTITY_MAP)
            .during("KVM_SET_IDENTITY_MAP_ADDR")?;
        let ram = memory.allocate()?;
        memory::give_to(&vm, &ram).during("KVM_SET_USER_MEMORY_REGION")?;
        vm.create_irq_chip().during("KVM_CREATE_IRQCHIP")?;
        let interrupts = Interrupts::new(vm.clone()).during("KVM_SET_GSI_ROUTING")?;
        let irqchip = IrqChipState::take(&vm)?;
        let mut devices = NvmeFactory::new(Arc::new(VmMemory(ram.clone())))
            .with_doorbell_events(Arc::new(Doorbells(vm.clone())));
        let messages = MessageLog::new(Some(interrupts.clone()));
        let hierarchy = config.topology.compose_on(Platform {
            msi: Some(messages.clone()),
            intx: interrupts
                .intx(config.topology.root_complex.len())
                .map_err(io::Error::other)
                .to("INTx lines")?,
            devices: Some(&mut devices),
            ..Platform::new(&mut ExternallyManagedMmioIntercepts)
        })?;
        hierarchy.connect_irqfd(Arc::new(Routes(interrupts.clone())));
        let serial = Com::ALL
            .into_iter()
            .map(|com| serial_port(com, &interrupts))
            .collect::<Result<_, _>>()?;
        let shared = Shared {
            cpus: make_cpus(&kvm, &vm, &config)?,
            bus: Bus::with_serial(&config.topology, hierarchy, serial),
            vm,
            control: Control::default(),
            threads: Mutex::default(),
            request: Mutex::default(),
            requested: Event::try_new().to("an event")?,
            stop: Event::try_new().to("an event")?,
            config,
            devices: Mutex::new(devices),
            plugged: Mutex::default(),
            ram,
        };
        let mut events = EventManager::new().map_err(io::Error::other).to("epoll")?;
        let shared = Arc::new(shared);
        events.add_subscriber(Subscriber::Shared(shared.clone()));
        Ok(Self {
            shared,
            memory,
            events,
            irqchip,
            messages,
            new: true,
        })
    }

    /// Makes the machine that was saved in a file; it goes on where it was. Its serial ports are to be connected again.
    ///
    /// # Errors
    ///
    /// - the file cannot be read, or is no saved machine;
    /// - [`MachineError`] of [`Self::new`];
    /// - KVM here does not take the state of processors and interrupt controllers there.
    pub fn restore(path: &Path) -> Result<Self, MachineError> {
        let mut machine = snapshot::restore(path)?;
        machine.new = false;
        Ok(machine)
    }

    /// Records what the guest and the operator do to the hierarchy from now on, for [`recording::replay_with`]:
    /// [`MachineHandle::finish_recording`] ends it. What goes by [`MachineHandle::with_hierarchy`] is not recorded.
    ///
    /// # Errors
    ///
    /// - the machine has run already, or was restored: a recording begins with a hierarchy to which nothing was done;
    /// - the recording cannot be written.
    pub fn record(&mut self, output: impl Write + Send + 'static) -> Result<(), MachineError> {
        if !self.new {
            return Err(MachineError::NotNew);
        }
        let description = self.shared.config.topology.to_toml()?;
        let recorder = Recorder::start(&description, output).to("the recording")?;
        let mut hierarchy = self.shared.bus.hierarchy.lock();
        hierarchy.record(recorder.with_messages(self.messages.clone()));
        Ok(())
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// What can be done with the machine from other threads.
    pub fn handle(&self) -> MachineHandle {
        MachineHandle(self.shared.clone())
    }

    /// Connects a serial port: output goes to `sink`, input comes from `source`, which must be something that can be waited for, such as
    /// a terminal, a pipe or a socket.
    pub fn connect_serial(&mut self, com: Com, sink: Sink, source: Option<Box<dyn Source>>) {
        let ports = &self.shared.bus.serial;
        let Some(port) = ports.iter().find(|port| port.com() == com) else {
            return;
        };
        port.connect(sink);
        if let Some(source) = source {
            let feeder = Feeder::new(port.clone(), source);
            self.events.add_subscriber(Subscriber::Feeder(feeder));
        }
    }

    /// Runs the machine until the guest turns it off or resets it, or somebody stops it. No processor runs afterwards.
    ///
    /// # Errors
    ///
    /// - a processor cannot go on: the guest ended in a triple fault, or KVM gave up;
    /// - the host has no threads left.
    pub fn run(&mut self) -> Result<Outcome, MachineError> {
        self.new = false;
        self.shared.control.begin();
        let started = self.start_cpus();
        let request = started.and_then(|()| self.wait());
        self.shared.control.end(|| self.shared.signal_cpus());
        for thread in self.shared.threads.lock().drain(..) {
            // A panic in it has been posted as a request.
            let _ = thread.join();
        }
        match request? {
            Request::Power(PowerRequest::Off) => Ok(Outcome::PoweredOff),
            Request::Power(PowerRequest::Reset) => Ok(Outcome::Reset),
            Request::Stop => Ok(Outcome::Stopped),
            Request::Stuck { cpu, reason } => Err(MachineError::Stuck { cpu, reason }),
        }
    }

    /// Resets the machine between two runs: its kernel starts anew, before a hierarchy with the devices that are there now.
    ///
    /// # Errors
    ///
    /// - the kernel cannot be loaded again;
    /// - KVM refuses the state of a processor or an interrupt controller.
    pub fn reset(&mut self) -> Result<(), MachineError> {
        for cpu in &self.shared.cpus {
            cpu.lock().reset()?;
        }
        self.irqchip.put(&self.shared.vm)?;
        for serial in &self.shared.bus.serial {
            serial
                .set_state(&SerialState::default())
                .to("a serial port")?;
        }
        let mut hierarchy = self.shared.bus.hierarchy.lock();
        // A reset is never refused.
        let _ = hierarchy.perform(&Operation::Reset, &mut NoDevices);
        drop(hierarchy);
        self.load()
    }

    /// Puts the kernel into memory, and the first processor at its entry.
    fn load(&self) -> Result<(), MachineError> {
        let Some(first) = self.shared.cpus.first() else {
            return Ok(());
        };
        let first = first.lock();
        let mut boot = self.shared.config.boot.clone();
        if !self.shared.config.hypervisor_bit
            && let Some(khz) = first.tsc_khz()
        {
            boot.cmdline = format!("{} tsc_early_khz={khz} tsc=reliable", boot.cmdline);
        }
        let config = &self.shared.config;
        let tables = firmware::tables(&config.topology, config.cpus, self.memory.end())?;
        let entry = boot.load(&self.shared.ram, &self.memory, &tables)?;
        first.enter(entry)
    }

    fn start_cpus(&self) -> Result<(), MachineError> {
        for index in 0..self.shared.cpus.len() {
            let shared = self.shared.clone();
            shared.control.arrive();
            let spawned = thread::Builder::new()
                .name(format!("cpu{index}"))
                .spawn(move || run_cpu(&shared, index));
            match spawned {
                Ok(thread) => self.shared.threads.lock().push(thread),
                Err(error) => {
                    self.shared.control.depart();
                    return Err(error).to("a thread");
                }
            }
        }
        Ok(())
    }

    /// Waits for a request, and does what else there is to do.
    fn wait(&mut self) -> Result<Request, MachineError> {
        loop {
            if let Some(request) = self.shared.request.lock().take() {
                return Ok(request);
            }
            self.events.run().map_err(io::Error::other).to("epoll")?;
        }
    }
}

/// A processor's thread.
fn run_cpu(shared: &Shared, index: usize) {
    /// However the thread ends, nobody waits for it any more.
    struct Presence<'a>(&'a Shared, usize);
    impl Drop for Presence<'_> {
        fn drop(&mut self) {
            if thread::panicking() {
                self.0.post(Request::Stuck {
                    cpu: self.1,
                    reason: "its thread panicked".into(),
                });
            }
            self.0.control.depart();
        }
    }
    let _presence = Presence(shared, index);
    let Some(cpu) = shared.cpus.get(index) else {
        return;
    };
    while shared.control.proceed() {
        let leave = cpu.lock().run(&shared.bus, shared.control.interrupted());
        let request = match leave {
            Leave::Told => continue,
            Leave::Power(request) => Request::Power(request),
            Leave::Stuck(reason) => Request::Stuck { cpu: index, reason },
        };
        shared.post(request);
        shared.control.await_end();
    }
}

extern "C" fn no_op(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

fn serial_port(com: Com, interrupts: &Interrupts) -> Result<Arc<SerialPort>, MachineError> {
    let interrupt = interrupts.edge(com.interrupt()).during("KVM_IRQFD")?;
    let port = SerialPort::new(com, interrupt).to("a serial port")?;
    Ok(Arc::new(port))
}

fn make_cpus(
    kvm: &Kvm,
    vm: &VmFd,
    config: &MachineConfig,
) -> Result<Vec<Mutex<Cpu>>, MachineError> {
    let supported: CpuId = kvm
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .during("KVM_GET_SUPPORTED_CPUID")?;
    let msrs = cpu_state::msr_numbers(kvm)?;
    let count = u8::try_from(config.cpus).unwrap_or(u8::MAX);
    (0..count)
        .map(|index| {
            let identity = Identity {
                index,
                count,
                hypervisor: config.hypervisor_bit,
                tsc_deadline: kvm.check_extension(Cap::TscDeadlineTimer),
            };
            Cpu::new(vm, &supported, identity, &msrs).map(Mutex::new)
        })
        .collect()
}

/// What can be done with a machine from any thread while it runs.
#[derive(Clone)]
pub struct MachineHandle(Arc<Shared>);

impl MachineHandle {
    /// Does something with the hierarchy, such as looking into it. The guest's accesses to it wait meanwhile, and what is done is not
    /// in a recording: see [`Self::operate`].
    pub fn with_hierarchy<R>(&self, operation: impl FnOnce(&mut Hierarchy) -> R) -> R {
        operation(self.0.bus.hierarchy.lock().as_mut())
    }

    /// The hierarchy, for a service that looks into it. Whoever holds the lock keeps the guest's accesses waiting.
    pub fn hierarchy(&self) -> Arc<Mutex<Recorded>> {
        self.0.bus.hierarchy.clone()
    }

    /// Does what an operator does, and records it where that was asked for. What is plugged may be of any kind that the machine knows.
    ///
    /// # Errors
    ///
    /// As [`Operation::perform`].
    pub fn operate(&self, operation: &Operation) -> Result<(), OperationError> {
        let mut hierarchy = self.0.bus.hierarchy.lock();
        hierarchy.perform(operation, &mut *self.0.devices.lock())?;
        if let Operation::Plug { port, endpoint } = operation {
            let mut plugged = self.0.plugged.lock();
            plugged.insert(port.clone(), (**endpoint).clone());
        }
        Ok(())
    }

    /// Plugs an endpoint into a slot, by its description, and tells the guest. A machine with it can be saved, unlike one with a device
    /// that was plugged past this.
    ///
    /// # Errors
    ///
    /// As [`Hierarchy::plug_with`].
    pub fn plug(&self, port: &str, endpoint: &EndpointSpec) -> Result<(), PlugError> {
        let plug = Operation::Plug {
            port: port.to_owned(),
            endpoint: Box::new(endpoint.clone()),
        };
        self.operate(&plug)
            .map_err(|OperationError::Refused(error)| error)
    }

    /// Takes out what is in a slot, if the guest let it go. Gives whether it did.
    ///
    /// # Errors
    ///
    /// As [`Hierarchy::unplug`].
    pub fn unplug_released(&self, port: &str) -> Result<bool, PlugError> {
        let mut hierarchy = self.0.bus.hierarchy.lock();
        if !hierarchy.as_mut().removal_permitted(port)? {
            return Ok(false);
        }
        let unplug = Operation::Unplug {
            port: port.to_owned(),
        };
        hierarchy
            .perform(&unplug, &mut NoDevices)
            .map_err(|OperationError::Refused(error)| error)?;
        Ok(true)
    }

    /// Ends the recording, and says what is in it; nothing without one.
    ///
    /// # Errors
    ///
    /// - a part of it could not be written: it is of use up to there.
    pub fn finish_recording(&self) -> Result<Option<Summary>, MachineError> {
        self.0.bus.hierarchy.lock().finish().to("the recording")
    }

    /// Saves the machine to a file, for [`Machine::restore`]. The guest stands still meanwhile and goes on afterwards; what it does
    /// then is not in the file, so one of both should not.
    ///
    /// # Errors
    ///
    /// - a device cannot be saved, or nobody described it: see [`Self::plug`];
    /// - the file cannot be written;
    /// - KVM gave up.
    pub fn save(&self, path: &Path) -> Result<(), MachineError> {
        let shared = &self.0;
        shared.paused(|| snapshot::save(shared, &shared.config, path))?;
        // Saving is never refused by the hierarchy once it was done.
        let _ = self.operate(&Operation::Save);
        Ok(())
    }

    /// Ends the run, whatever the guest is doing.
    pub fn stop(&self) {
        self.0.stop.signal();
    }

    /// The event that stops the machine when it is signalled. Signalling is a single system call, and so allowed in a signal handler.
    pub fn stop_event(&self) -> &Event {
        &self.0.stop
    }

    /// How often the guest left for the monitor so far.
    pub fn exits(&self) -> ExitCounts {
        self.0.bus.exits.counts()
    }
}
