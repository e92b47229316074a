//! A composed hierarchy: its root complexes, the names of its functions, and plugging.

mod plug;

pub use plug::PlugError;

use crate::EndpointSpec;
use crate::RootComplexSpec;
use crate::traffic::ComplexTraffic;
use crate::traffic::Counters;
use crate::traffic::PortTraffic;
use crate::validate::PortTraits;
use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::mmio::MmioIntercept;
use inspect::InspectMut;
use pci_bus::StimulusError;
use pci_core::bus_range::AssignedBusRange;
use pci_core::msi::MsiConnection;
use pci_core::msi::MsiTarget;
use pci_core::spec::Bdf;
use pci_core::spec::errors::DetectedError;
use pcie::events::FabricEvents;
use pcie::root::GenericPcieRootComplex;
use std::sync::Arc;
use vmcore::irqfd::IrqFd;

/// What a [`Topology`](crate::Topology) was composed to.
///
/// Its inspection has a child for each root complex, by name; [`NamedFunction::path`] leads there.
pub struct Hierarchy {
    /// The root complexes, in the order of the description.
    pub complexes: Vec<Complex>,
    pub(crate) nodes: Vec<Node>,
    /// One for each root complex.
    pub(crate) msi: Vec<MsiConnection>,
    pub(crate) events: FabricEvents,
}

/// A composed root complex.
pub struct Complex {
    /// Its name.
    pub name: String,
    /// Its PCI segment group.
    pub segment: u16,
    /// What it was composed from: buses, ECAM, apertures. What was plugged since is not in it.
    pub spec: RootComplexSpec,
    /// The root complex. Devices that are plugged past [`Hierarchy::plug`] have no names.
    pub root: GenericPcieRootComplex,
    pub(crate) counters: Counters,
}

impl Complex {
    /// Reads memory that the root complex claims: ECAM, host bridge registers, BARs. `InvalidRegister` where it claims none.
    #[inline]
    pub fn mmio_read(&mut self, address: u64, data: &mut [u8]) -> IoResult {
        let answer = self.root.mmio_read(address, data);
        if is_claimed(&answer) {
            self.counters.read(address);
        }
        answer
    }

    /// Writes memory that the root complex claims. Errors as [`Self::mmio_read`].
    #[inline]
    pub fn mmio_write(&mut self, address: u64, data: &[u8]) -> IoResult {
        let answer = self.root.mmio_write(address, data);
        if is_claimed(&answer) {
            self.counters.write(address);
            self.counters.written(address);
        }
        answer
    }
}

fn is_claimed(answer: &IoResult) -> bool {
    !matches!(answer, IoResult::Err(IoError::InvalidRegister))
}

/// What a function is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum FunctionKind {
    /// A root port.
    RootPort,
    /// A switch's upstream port.
    UpstreamPort,
    /// A switch's downstream port.
    DownstreamPort,
    /// An endpoint behind a port.
    Endpoint,
    /// An endpoint integrated in a root complex.
    Integrated,
    /// A root complex event collector.
    EventCollector,
}

/// A function, its name, and where it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFunction {
    /// Its PCI segment group.
    pub segment: u16,
    /// Where the guest reaches it; `None` while the guest has given no number to its bus. Two functions have one number while the
    /// guest's bus numbers make no sense.
    pub bdf: Option<Bdf>,
    /// The name of the port, the switch (of its upstream port), or the endpoint. All functions of an endpoint have one name.
    pub name: String,
    /// What it is.
    pub kind: FunctionKind,
    /// The name of what is above: of an endpoint or switch the port, of a downstream port the switch, on a root bus nothing.
    pub parent: Option<String>,
    /// Where inspection of the [`Hierarchy`] shows it: `rc0/functions/rp1/device/functions/0`.
    pub path: String,
}

/// A port, an upstream port, or an endpoint with all its functions.
pub(crate) struct Node {
    /// Index of its root complex.
    pub(crate) complex: usize,
    pub(crate) name: String,
    pub(crate) kind: FunctionKind,
    pub(crate) parent: Option<String>,
    pub(crate) bus: Bus,
    /// Device and function number of its first function.
    pub(crate) devfn: u8,
    pub(crate) path: String,
    pub(crate) extent: Extent,
}

/// What a node has below or beside it.
pub(crate) enum Extent {
    /// A port that devices are attached to.
    Port {
        /// The buses below.
        below: AssignedBusRange,
        traits: PortTraits,
        hot_plug: bool,
    },
    /// An upstream port.
    Upstream,
    /// An endpoint of so many functions, each with its own inspection.
    Endpoint { functions: u16 },
    /// A device from elsewhere.
    Device,
}

impl Extent {
    /// That of an endpoint.
    pub(crate) fn of(endpoint: &EndpointSpec) -> Self {
        if endpoint.is_test() {
            Self::Endpoint {
                functions: endpoint.functions,
            }
        } else {
            Self::Device
        }
    }
}

/// The bus that a function is on.
#[derive(Clone)]
pub(crate) enum Bus {
    /// A root bus.
    Root(u8),
    /// The secondary bus of a port.
    Below(AssignedBusRange),
}

impl Bus {
    fn number(&self) -> Option<u8> {
        match self {
            Self::Root(number) => Some(*number),
            Self::Below(range) => Some(range.bus_range())
                .filter(|range| *range != (0, 0))
                .map(|(secondary, _)| secondary),
        }
    }
}

impl Node {
    /// Whether it is at or below an inspection path.
    fn is_below(&self, path: &str) -> bool {
        self.path
            .strip_prefix(path)
            .is_some_and(|rest| rest.starts_with('/'))
    }

    /// Name and buses of a port.
    pub(crate) fn port_buses(&self) -> Option<(&str, &AssignedBusRange)> {
        match &self.extent {
            Extent::Port { below, .. } => Some((&self.name, below)),
            Extent::Upstream | Extent::Endpoint { .. } | Extent::Device => None,
        }
    }

    fn is_port(&self) -> bool {
        matches!(self.extent, Extent::Port { .. })
    }

    fn functions(&self, segment: u16) -> impl Iterator<Item = NamedFunction> {
        let (count, numbered) = match self.extent {
            Extent::Endpoint { functions } => (functions, true),
            Extent::Port { .. } | Extent::Upstream | Extent::Device => (1, false),
        };
        let bus = self.bus.number();
        (0..=u8::MAX)
            .take(count.into())
            .map(move |number| NamedFunction {
                segment,
                bdf: bus.map(|bus| Bdf::from_devfn(bus, self.devfn.wrapping_add(number))),
                name: self.name.clone(),
                kind: self.kind,
                parent: self.parent.clone(),
                path: if numbered {
                    format!("{}/functions/{number}", self.path)
                } else {
                    self.path.clone()
                },
            })
    }
}

impl Hierarchy {
    /// All functions, each after what it is below, by the bus numbers of now.
    pub fn functions(&self) -> Vec<NamedFunction> {
        let segment = |node: &Node| {
            self.complexes
                .get(node.complex)
                .map_or(0, |complex| complex.segment)
        };
        self.nodes
            .iter()
            .flat_map(|node| node.functions(segment(node)))
            .collect()
    }

    /// The names of the ports that devices can be attached to, each after what it is below.
    pub fn port_names(&self) -> Vec<String> {
        self.nodes
            .iter()
            .filter(|node| node.is_port())
            .map(|node| node.name.clone())
            .collect()
    }

    /// Takes routes for interrupts from `irqfd` from now on: a device can then signal an event where it would send a message.
    pub fn connect_irqfd(&self, irqfd: Arc<dyn IrqFd>) {
        for connection in &self.msi {
            connection.connect_irqfd(irqfd.clone());
        }
    }

    /// What happened in the hierarchy: devices, slots, links, resets, errors. One log of all root complexes.
    pub fn events(&self) -> &FabricEvents {
        &self.events
    }

    /// How much went through each port, by what [`Complex`] and this hierarchy were asked to read and write, and what devices sent.
    pub fn port_traffic(&mut self) -> Vec<PortTraffic> {
        let complexes = self.complexes.iter_mut();
        complexes
            .flat_map(|complex| complex.counters.of_ports())
            .collect()
    }

    /// How much went through each root complex.
    pub fn complex_traffic(&mut self) -> Vec<ComplexTraffic> {
        let complexes = self.complexes.iter_mut();
        complexes
            .map(|complex| complex.counters.of_complex(&complex.name))
            .collect()
    }

    /// Where the messages of functions of a root complex go.
    pub(crate) fn msi_target_of(&self, complex: usize) -> MsiTarget {
        let connection = self.msi.get(complex);
        connection.map_or_else(MsiTarget::disconnected, |msi| msi.target().clone())
    }

    /// Lets a function detect an error: it is recorded there, and reported, masked or contained as the guest set that up (PCIe 6.2
    /// section 6.2). `name` is that of a port, a switch (its upstream port), an endpoint, in which `function` counts, or an event
    /// collector.
    ///
    /// # Errors
    ///
    /// [`StimulusError`]: nothing has this name, it has no such function, or the function has no Advanced Error Reporting.
    pub fn record_error(
        &mut self,
        name: &str,
        function: u8,
        error: DetectedError,
    ) -> Result<(), StimulusError> {
        self.root_of(name)?.record_error(name, function, error)
    }

    /// Lets a function signal a power management event: it wants to be woken, or noticed (PCIe 6.2 section 5.3.3). If the guest enabled
    /// that, the function's root port, or the event collector of an integrated endpoint, shows it in Root Status and interrupts. Names
    /// as in [`Self::record_error`].
    ///
    /// # Errors
    ///
    /// [`StimulusError`]: nothing has this name, it has no such function, or the function signals no such events in its power state.
    pub fn wake(&mut self, name: &str, function: u8) -> Result<(), StimulusError> {
        self.root_of(name)?.wake(name, function)
    }

    /// The root complex that has a function of this name.
    fn root_of(&mut self, name: &str) -> Result<&mut GenericPcieRootComplex, StimulusError> {
        let node = self.nodes.iter().find(|node| node.name == name);
        node.and_then(|node| self.complexes.get_mut(node.complex))
            .map(|complex| &mut complex.root)
            .ok_or_else(|| StimulusError::UnknownName {
                name: name.to_owned(),
            })
    }

    /// The root complex of this name.
    pub fn complex(&mut self, name: &str) -> Option<&mut Complex> {
        self.complexes
            .iter_mut()
            .find(|complex| complex.name == name)
    }
}

/// The guest's accesses, for whoever does not dispatch them by address ranges.
impl Hierarchy {
    /// Reads memory that one of the root complexes claims: ECAM, host bridge registers, BARs. `InvalidRegister` where none does.
    pub fn mmio_read(&mut self, address: u64, data: &mut [u8]) -> IoResult {
        self.first_answer(|complex| complex.mmio_read(address, data))
    }

    /// Writes memory that one of the root complexes claims. Errors as [`Self::mmio_read`].
    pub fn mmio_write(&mut self, address: u64, data: &[u8]) -> IoResult {
        self.first_answer(|complex| complex.mmio_write(address, data))
    }

    fn first_answer(&mut self, mut access: impl FnMut(&mut Complex) -> IoResult) -> IoResult {
        for complex in &mut self.complexes {
            match access(complex) {
                IoResult::Err(IoError::InvalidRegister) => {}
                answer => return answer,
            }
        }
        IoResult::Err(IoError::InvalidRegister)
    }
}

/// A hierarchy by itself, where others keep something beside it.
impl AsMut<Hierarchy> for Hierarchy {
    fn as_mut(&mut self) -> &mut Hierarchy {
        self
    }
}

impl InspectMut for Hierarchy {
    fn inspect_mut(&mut self, req: inspect::Request<'_>) {
        let mut resp = req.respond();
        for complex in &mut self.complexes {
            resp.field_mut(&complex.name, &mut complex.root);
        }
    }
}
