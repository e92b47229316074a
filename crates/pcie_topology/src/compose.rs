//! Composing what a description asks for.

mod port;

pub(crate) use port::link_config;

use crate::BarKind;
use crate::DeviceConnections;
use crate::DeviceFactory;
use crate::EndpointSpec;
use crate::NoDevices;
use crate::PortSpec;
use crate::Problems;
use crate::RootComplexSpec;
use crate::Seat;
use crate::SwitchSpec;
use crate::TestEndpoint;
use crate::Topology;
use crate::hierarchy::Bus;
use crate::hierarchy::Complex;
use crate::hierarchy::Extent;
use crate::hierarchy::FunctionKind;
use crate::hierarchy::Hierarchy;
use crate::hierarchy::Node;
use crate::layout;
use crate::layout::Place;
use crate::traffic::Counters;
use crate::validate::PortTraits;
use chipset_device::mmio::RegisterMmioIntercept;
use chipset_device::pio::ExternallyManagedPortIoIntercepts;
use chipset_device::pio::RegisterPortIoIntercept;
use memory_range::MemoryRange;
use pci_bus::GenericPciBusDevice;
use pci_core::bus_range::AssignedBusRange;
use pci_core::cfg_space_emu;
use pci_core::cfg_space_emu::BarMemoryKind;
use pci_core::msi::MsiConnection;
use pci_core::msi::MsiTarget;
use pci_core::msi::SignalMsi;
use pci_core::spec::caps::pci_express::DevicePortType;
use pcie::PortOptions;
use pcie::events::FabricEvents;
use pcie::root::DownstreamPortInfo;
use pcie::root::GenericPcieRootComplex;
use pcie::switch::SwitchConfig;
use port::own_bars;
use port::port_config;
use port::port_options;
use port::serial_number;
use std::sync::Arc;
use vmcore::line_interrupt::LineInterrupt;

/// What a monitor lends to a hierarchy.
///
/// ```
/// use chipset_device::mmio::ExternallyManagedMmioIntercepts;
/// use pcie_topology::{Platform, Topology};
/// use vmcore::line_interrupt::{LineInterrupt, test_helpers::TestLineInterruptTarget};
///
/// let topology = Topology::from_toml(r#"
///     root_complex = [{ name = "rc0", ecam = 0xe000_0000, port = [{ name = "rp0", slot = 1, intx = "A" }] }]
/// "#)?;
/// let controller = TestLineInterruptTarget::new_arc();
/// let mut mmio = ExternallyManagedMmioIntercepts;
/// let mut platform = Platform::new(&mut mmio);
/// let line = |n| LineInterrupt::new_with_target("intx", controller.clone(), n);
/// platform.intx = vec![[16, 17, 18, 19].map(line)];
/// topology.compose_on(platform)?;
/// # Ok::<(), pcie_topology::Problems>(())
/// ```
pub struct Platform<'a> {
    /// Where ECAM, host bridge registers, memory BARs and expansion ROMs are registered.
    pub register_mmio: &'a mut dyn RegisterMmioIntercept,
    /// Where I/O BARs are registered. Without, the monitor forwards accesses to their ports by itself.
    pub register_pio: Option<&'a mut dyn RegisterPortIoIntercept>,
    /// Where messages go. Without, they are dropped.
    pub msi: Option<Arc<dyn SignalMsi>>,
    /// The INTx lines of each root complex, in the order of the description: pin p (INTA is 0) of device d on the root bus drives line
    /// (p + d) mod 4. INTx of those that have no element here ends nowhere.
    pub intx: Vec<[LineInterrupt; 4]>,
    /// Who makes endpoints of kinds other than `"test"`. Without, there are none.
    pub devices: Option<&'a mut dyn DeviceFactory>,
}

impl<'a> Platform<'a> {
    /// Memory only: nothing takes interrupts, and I/O ports are the monitor's own affair.
    pub fn new(register_mmio: &'a mut dyn RegisterMmioIntercept) -> Self {
        Self {
            register_mmio,
            register_pio: None,
            msi: None,
            intx: Vec::new(),
            devices: None,
        }
    }
}

/// Where BARs are registered.
pub(crate) struct Registration<'a> {
    pub(crate) mmio: &'a mut dyn RegisterMmioIntercept,
    pub(crate) pio: &'a mut dyn RegisterPortIoIntercept,
}

impl Registration<'_> {
    /// What stands behind a BAR of `len` bytes: a region of its address space.
    pub(crate) fn bar(&mut self, name: &str, kind: BarKind, len: u64) -> BarMemoryKind {
        match (kind, u16::try_from(len)) {
            (BarKind::Io, Ok(ports)) => BarMemoryKind::PortIo(self.pio.new_io_region(name, ports)),
            _ => BarMemoryKind::Intercept(self.mmio.new_io_region(name, len)),
        }
    }
}

impl From<BarKind> for cfg_space_emu::BarKind {
    fn from(kind: BarKind) -> Self {
        match kind {
            BarKind::Memory32 => Self::Memory32,
            BarKind::Memory64 => Self::Memory64,
            BarKind::Prefetchable => Self::Memory64Prefetchable,
            BarKind::Memory32Prefetchable => Self::Memory32Prefetchable,
            BarKind::Io => Self::Io,
        }
    }
}

impl Topology {
    /// Validates the description and composes what it asks for.
    ///
    /// ECAM, host bridge registers and BARs are registered with `register_mmio`; accesses to them are for the root complex that
    /// they are of. Interrupts go to `msi`, with the requester ID that the guest's bus numbers make; without it they are dropped.
    ///
    /// # Errors
    ///
    /// As [`Topology::validate`].
    pub fn compose(
        &self,
        register_mmio: &mut dyn RegisterMmioIntercept,
        msi: Option<Arc<dyn SignalMsi>>,
    ) -> Result<Hierarchy, Problems> {
        self.compose_on(Platform {
            msi,
            ..Platform::new(register_mmio)
        })
    }

    /// As [`Self::compose`], with endpoints of kinds other than `"test"` from `devices`.
    ///
    /// # Errors
    ///
    /// As [`Self::compose`], and when `devices` can't make an endpoint.
    pub fn compose_with(
        &self,
        register_mmio: &mut dyn RegisterMmioIntercept,
        msi: Option<Arc<dyn SignalMsi>>,
        devices: &mut dyn DeviceFactory,
    ) -> Result<Hierarchy, Problems> {
        self.compose_on(Platform {
            msi,
            devices: Some(devices),
            ..Platform::new(register_mmio)
        })
    }

    /// As [`Self::compose`], with all that a platform may have.
    ///
    /// # Errors
    ///
    /// As [`Self::compose_with`].
    pub fn compose_on(&self, platform: Platform<'_>) -> Result<Hierarchy, Problems> {
        let Platform {
            register_mmio,
            register_pio,
            msi,
            intx,
            devices,
        } = platform;
        let mut unregistered = ExternallyManagedPortIoIntercepts;
        let register_pio = register_pio.unwrap_or(&mut unregistered);
        let mut no_devices = NoDevices;
        let devices = devices.unwrap_or(&mut no_devices);
        let mut intx = intx.into_iter();
        self.validate()?;
        let mut connections = Vec::with_capacity(self.root_complex.len());
        let mut nodes = Vec::new();
        let events = FabricEvents::default();
        let mut complexes = Vec::with_capacity(self.root_complex.len());
        for (index, spec) in self.root_complex.iter().enumerate() {
            let mut counters = Counters::new(spec.ecam, spec.buses);
            let connection = MsiConnection::new(AssignedBusRange::new(), 0);
            if let Some(msi) = &msi {
                connection.connect(counters.count_messages(msi.clone()));
            }
            let composer = Composer {
                register: Registration {
                    mmio: &mut *register_mmio,
                    pio: &mut *register_pio,
                },
                devices: &mut *devices,
                msi_target: connection.target(),
                nodes: &mut nodes,
                complex: index,
                events: &events,
                place: format!("root_complex[{index}]"),
            };
            let root = composer.root_complex(spec, intx.next())?;
            let ports = nodes.iter().filter(|node: &&Node| node.complex == index);
            for (port, below) in ports.filter_map(Node::port_buses) {
                counters.add_port(port, below.clone());
            }
            connections.push(connection);
            complexes.push(Complex {
                name: spec.name.clone(),
                segment: spec.segment,
                spec: spec.clone(),
                root,
                counters,
            });
        }
        Ok(Hierarchy {
            complexes,
            nodes,
            msi: connections,
            events,
        })
    }
}

/// What is behind a port: its name, and itself.
type Attachment<'a> = (&'a str, Box<dyn GenericPciBusDevice>);

/// Composes one root complex and all below it.
struct Composer<'a> {
    register: Registration<'a>,
    devices: &'a mut dyn DeviceFactory,
    msi_target: &'a MsiTarget,
    nodes: &'a mut Vec<Node>,
    complex: usize,
    /// The log of the whole hierarchy.
    events: &'a FabricEvents,
    /// The root complex's place in the description, for what validation let pass and composition did not.
    place: String,
}

impl Composer<'_> {
    fn root_complex(
        mut self,
        spec: &RootComplexSpec,
        intx: Option<[LineInterrupt; 4]>,
    ) -> Result<GenericPcieRootComplex, Problems> {
        let mut builder = GenericPcieRootComplex::builder(
            spec.buses.start,
            spec.buses.end,
            self.memory(spec.ecam_range())?,
        )
        .segment(spec.segment)
        .name(&*spec.name)
        .events(self.events.clone());
        if let Some(lines) = intx {
            builder = builder.intx(lines);
        }
        if let Some(range) = spec.chbcr_range() {
            builder = builder.host_bridge_registers(self.memory(range)?);
        }
        let places: Vec<_> = layout::root_bus_places(spec)
            .into_iter()
            .flatten()
            .collect();
        for (port, place) in spec.port.iter().zip(&places) {
            builder = builder.port(port_config(
                port,
                DevicePortType::RootPort,
                *place,
                place.devfn(),
                &mut self.register,
            ));
        }
        let path = format!("{}/functions", spec.name);
        let mut integrated = Vec::new();
        let root_bus = AssignedBusRange::new();
        root_bus.set_bus_range(spec.buses.start, spec.buses.end);
        for (endpoint, place) in spec
            .endpoint
            .iter()
            .zip(places.iter().skip(spec.port.len()))
        {
            let multi_function = places
                .iter()
                .any(|other| other.device == place.device && other.function != 0);
            let target = self
                .msi_target
                .with_bus_range(root_bus.clone(), place.devfn());
            let device = self.endpoint(endpoint, Seat::RootBus { multi_function }, &target)?;
            builder =
                builder.integrated_endpoint(&*endpoint.name, place.device, place.function, device);
            integrated.push(Node {
                complex: self.complex,
                name: endpoint.name.clone(),
                kind: FunctionKind::Integrated,
                parent: None,
                bus: Bus::Root(spec.buses.start),
                devfn: place.devfn(),
                path: format!("{path}/{}/device", endpoint.name),
                extent: Extent::of(endpoint),
            });
        }
        if let (Some(collector), Some(place)) = (&spec.event_collector, places.last()) {
            builder = builder.event_collector(&*collector.name, place.device, place.function);
            integrated.push(Node {
                complex: self.complex,
                name: collector.name.clone(),
                kind: FunctionKind::EventCollector,
                parent: None,
                bus: Bus::Root(spec.buses.start),
                devfn: place.devfn(),
                path: format!("{path}/{}/device", collector.name),
                extent: Extent::Device,
            });
        }
        let built = builder.build(&mut *self.register.mmio, self.msi_target);
        let mut root = built.map_err(|error| self.problem(error))?;
        let infos = root.downstream_ports();
        for (port, place) in spec.port.iter().zip(&places) {
            let info = self.info(&infos, *place)?;
            self.port_node(
                port,
                info,
                FunctionKind::RootPort,
                None,
                Bus::Root(spec.buses.start),
                &path,
            );
            if let Some((name, device)) =
                self.behind(port, info, &format!("{path}/{}/device", port.name))?
            {
                root.add_pcie_device(info.port_number, name, device)
                    .map_err(|error| self.problem(error))?;
            }
        }
        self.nodes.extend(integrated);
        Ok(root)
    }

    /// Composes what is behind a port, if there is something.
    fn behind<'s>(
        &mut self,
        port: &'s PortSpec,
        info: &DownstreamPortInfo,
        path: &str,
    ) -> Result<Option<Attachment<'s>>, Problems> {
        let target = self.msi_target.with_bus_range(info.bus_range.clone(), 0);
        let mut node = Node {
            complex: self.complex,
            name: String::new(),
            kind: FunctionKind::Endpoint,
            parent: Some(port.name.clone()),
            bus: Bus::Below(info.bus_range.clone()),
            devfn: 0,
            path: path.to_owned(),
            extent: Extent::Upstream,
        };
        if let Some(switch) = &port.switch {
            node.name.clone_from(&switch.name);
            node.kind = FunctionKind::UpstreamPort;
            node.path = format!("{path}/upstream_port");
            self.nodes.push(node);
            return Ok(Some((
                &switch.name,
                self.switch(port, switch, &target, path)?,
            )));
        }
        let Some(endpoint) = &port.endpoint else {
            return Ok(None);
        };
        node.name.clone_from(&endpoint.name);
        node.extent = Extent::of(endpoint);
        self.nodes.push(node);
        let device = self.endpoint(endpoint, Seat::BehindPort, &target)?;
        Ok(Some((&endpoint.name, device)))
    }

    fn switch(
        &mut self,
        above: &PortSpec,
        spec: &SwitchSpec,
        target: &MsiTarget,
        path: &str,
    ) -> Result<Box<dyn GenericPciBusDevice>, Problems> {
        let places: Vec<_> = layout::port_places(&spec.port)
            .into_iter()
            .flatten()
            .collect();
        let mut config = SwitchConfig::new(&*spec.name);
        config.upstream = PortOptions {
            serial_number: Some(serial_number(spec.serial_number, &spec.name)),
            link: spec.link.map(link_config),
            io_window: above.io_window.map(Into::into),
            ..port_options(&spec.capabilities)
        };
        let upstream = own_bars(
            &spec.name,
            DevicePortType::UpstreamSwitchPort,
            &spec.bar,
            None,
            spec.rom,
            &mut self.register,
        );
        config.upstream_bars = upstream;
        config.ports = spec
            .port
            .iter()
            .zip(&places)
            .map(|(port, place)| {
                port_config(
                    port,
                    DevicePortType::DownstreamSwitchPort,
                    *place,
                    // The upstream port has number 0.
                    place.devfn().wrapping_add(1),
                    &mut self.register,
                )
            })
            .collect();
        let built = config.build(target, Some(&mut *self.register.mmio));
        let mut switch = built.map_err(|error| self.problem(error))?;
        let internal = Bus::Below(switch.upstream_port().cfg_space().bus_range());
        let infos = switch.downstream_ports();
        let path = format!("{path}/downstream_ports");
        for (port, place) in spec.port.iter().zip(&places) {
            let info = self.info(&infos, *place)?;
            self.port_node(
                port,
                info,
                FunctionKind::DownstreamPort,
                Some(&spec.name),
                internal.clone(),
                &path,
            );
            if let Some((name, device)) =
                self.behind(port, info, &format!("{path}/{}/device", port.name))?
            {
                switch
                    .add_pcie_device(info.port_number, name, device)
                    .map_err(|error| self.problem(error))?;
            }
        }
        Ok(switch.into_device())
    }

    fn endpoint(
        &mut self,
        spec: &EndpointSpec,
        seat: Seat,
        target: &MsiTarget,
    ) -> Result<Box<dyn GenericPciBusDevice>, Problems> {
        let composed = compose_device(spec, seat, target, &mut self.register, self.devices);
        composed.map_err(|error| self.problem(format_args!("endpoint '{}': {error}", spec.name)))
    }

    fn port_node(
        &mut self,
        port: &PortSpec,
        info: &DownstreamPortInfo,
        kind: FunctionKind,
        parent: Option<&str>,
        bus: Bus,
        path: &str,
    ) {
        self.nodes.push(Node {
            complex: self.complex,
            name: port.name.clone(),
            kind,
            parent: parent.map(str::to_owned),
            bus,
            devfn: info.port_number,
            path: format!("{path}/{}", port.name),
            extent: Extent::Port {
                below: info.bus_range.clone(),
                traits: PortTraits::of(port),
                hot_plug: port.slot.is_some(),
            },
        });
    }

    fn info<'i>(
        &self,
        infos: &'i [DownstreamPortInfo],
        place: Place,
    ) -> Result<&'i DownstreamPortInfo, Problems> {
        let found = infos.iter().find(|info| info.port_number == place.devfn());
        found.ok_or_else(|| {
            self.problem(format_args!(
                "there is no port at {:02x}.{}",
                place.device, place.function
            ))
        })
    }

    fn memory(&self, range: crate::AddressRange) -> Result<MemoryRange, Problems> {
        MemoryRange::try_new(range.base..range.end()).map_err(|error| self.problem(error))
    }

    fn problem(&self, message: impl std::fmt::Display) -> Problems {
        Problems::one(&*self.place, message)
    }
}

/// Composes an endpoint whose description was validated; the error is in words.
pub(crate) fn compose_device(
    spec: &EndpointSpec,
    seat: Seat,
    msi_target: &MsiTarget,
    register: &mut Registration<'_>,
    devices: &mut dyn DeviceFactory,
) -> Result<Box<dyn GenericPciBusDevice>, String> {
    if spec.is_test() {
        return match TestEndpoint::compose(spec, seat, msi_target, register) {
            Ok(device) => Ok(Box::new(device)),
            Err(error) => Err(error.to_string()),
        };
    }
    let connections = DeviceConnections {
        seat,
        msi_target,
        register_mmio: &mut *register.mmio,
        register_pio: &mut *register.pio,
    };
    let created = devices.create(spec, connections);
    created.map_err(|error| error.to_string())
}
