//! Composing a root complex.

use super::GenericPcieRootComplex;
use super::GenericPcieRootPortDefinition;
use super::HostBridge;
use crate::ComposeError;
use crate::ECAM_BUS_SHIFT;
use crate::PortConfig;
use crate::ROOT_PORT_DEVICE_ID;
use crate::compose::check_places;
use crate::compose::compose_ports;
use crate::event_collector::EventCollector;
use crate::port_set::Function;
use crate::port_set::Occupant;
use crate::port_set::PortSet;
use chipset_device::io::deferred::MergeQueue;
use chipset_device::mmio::RegisterMmioIntercept;
use cxl_spec::CxlComponentRegisters;
use cxl_spec::component_registers::CxlHdmDecoderCapability;
use cxl_spec::component_registers::CxlHdmDecoderCapabilityOptions;
use cxl_spec::spec::CXL_HOST_BRIDGE_COMPONENT_REGISTERS_SIZE_BYTES;
use memory_range::MemoryRange;
use pci_bus::Fabric;
use pci_bus::GenericPciBusDevice;
use pci_bus::IntxLines;
use pci_bus::events::FabricEvents;
use pci_core::bus_range::AssignedBusRange;
use pci_core::msi::MsiTarget;
use pci_core::spec::caps::pci_express::DevicePortType;
use std::sync::Arc;
use vmcore::line_interrupt::LineInterrupt;

/// HDM decoders of a CXL host bridge.
const HOST_BRIDGE_HDM_DECODERS: usize = 4;

/// What a root complex is composed from; [`GenericPcieRootComplex::builder`] begins one.
///
/// ```
/// use chipset_device::mmio::ExternallyManagedMmioIntercepts;
/// use memory_range::MemoryRange;
/// use pci_core::msi::MsiTarget;
/// use pcie::{PortConfig, root::GenericPcieRootComplex};
///
/// let ecam = MemoryRange::new(0xe000_0000..0xe100_0000);
/// let root = GenericPcieRootComplex::builder(0, 15, ecam)
///     .port(PortConfig::new("rp0", 1, 0))
///     .port(PortConfig::new("rp1", 1, 1).with_slot(5))
///     .build(&mut ExternallyManagedMmioIntercepts, &MsiTarget::disconnected())?;
/// assert_eq!(root.downstream_ports()[1].port_number, 0x09);
///
/// // A mistake is an error that names it.
/// let error = GenericPcieRootComplex::builder(0, 15, ecam)
///     .port(PortConfig::new("rp0", 1, 1))
///     .build(&mut ExternallyManagedMmioIntercepts, &MsiTarget::disconnected());
/// assert_eq!(error.err().unwrap().to_string(), "'rp0' is function 1 of device 01, which has no function 0");
/// # Ok::<(), pcie::ComposeError>(())
/// ```
pub struct RootComplexBuilder {
    segment: u16,
    start_bus: u8,
    end_bus: u8,
    ecam_range: MemoryRange,
    host_bridge_range: Option<MemoryRange>,
    ports: Vec<PortConfig>,
    integrated: Vec<Integrated>,
    intx: Option<[LineInterrupt; 4]>,
    gates_messages: bool,
    collector: Option<Collector>,
    name: Option<Arc<str>>,
    events: Option<FabricEvents>,
}

struct Collector {
    name: Arc<str>,
    device: u8,
    function: u8,
}

struct Integrated {
    name: Arc<str>,
    device: u8,
    function: u8,
    endpoint: Box<dyn GenericPciBusDevice>,
}

impl RootComplexBuilder {
    pub(super) fn new(start_bus: u8, end_bus: u8, ecam_range: MemoryRange) -> Self {
        Self {
            segment: 0,
            start_bus,
            end_bus,
            ecam_range,
            host_bridge_range: None,
            ports: Vec::new(),
            integrated: Vec::new(),
            intx: None,
            gates_messages: true,
            collector: None,
            name: None,
            events: None,
        }
    }

    /// Wires INTx to `lines`: pin p (INTA is 0) of device d on the root bus to line (p + d) mod 4, as a bridge connects its secondary
    /// bus, and the pin of a function behind bridges to that which their connections lead to (PCIe 6.2 section 2.2.8.1). Without, INTx
    /// ends nowhere.
    pub fn intx(self, lines: [LineInterrupt; 4]) -> Self {
        Self {
            intx: Some(lines),
            ..self
        }
    }

    /// Lets ports send messages whatever Bus Master Enable says, as callers of [`GenericPcieRootComplex::new`] expect.
    pub(super) fn without_bus_master_gate(self) -> Self {
        Self {
            gates_messages: false,
            ..self
        }
    }

    /// The segment it belongs to; 0 unless said.
    pub fn segment(self, segment: u16) -> Self {
        Self { segment, ..self }
    }

    /// Turns CXL mode on, with the host bridge's component registers (CXL 3.1 section 8.2.3) at `range`, 64 KiB.
    pub fn host_bridge_registers(self, range: MemoryRange) -> Self {
        Self {
            host_bridge_range: Some(range),
            ..self
        }
    }

    /// Adds a root port.
    pub fn port(mut self, port: PortConfig) -> Self {
        self.ports.push(port);
        self
    }

    /// Adds a root port to each device from 0 on, as [`GenericPcieRootComplex::new`] describes.
    pub(super) fn ports(self, ports: Vec<GenericPcieRootPortDefinition>) -> Self {
        (0u8..).zip(ports).fold(self, |builder, (device, port)| {
            let slot_number = port.hotplug.then(|| (u32::from(device) << 3) + 1);
            builder.port(PortConfig {
                slot_number,
                settings: port.settings,
                ..PortConfig::new(port.name, device, 0)
            })
        })
    }

    /// Adds a root-complex-integrated endpoint: one function on the root bus itself.
    pub fn integrated_endpoint(
        mut self,
        name: impl Into<Arc<str>>,
        device: u8,
        function: u8,
        endpoint: Box<dyn GenericPciBusDevice>,
    ) -> Self {
        self.integrated.push(Integrated {
            name: name.into(),
            device,
            function,
            endpoint,
        });
        self
    }

    /// Adds an event collector: a function on the root bus that takes the error messages of the integrated endpoints there, as root ports
    /// take those of what is below them (PCIe 6.2 section 1.3.4). A root complex has one at most; a second takes its place.
    pub fn event_collector(self, name: impl Into<Arc<str>>, device: u8, function: u8) -> Self {
        Self {
            collector: Some(Collector {
                name: name.into(),
                device,
                function,
            }),
            ..self
        }
    }

    /// Logs what happens to `events`, which may be the log of several root complexes. Unless said, it has a log of its own.
    pub fn events(self, events: FabricEvents) -> Self {
        Self {
            events: Some(events),
            ..self
        }
    }

    /// The name of the root complex in events; unless said, "root-complex".
    pub fn name(self, name: impl Into<Arc<str>>) -> Self {
        Self {
            name: Some(name.into()),
            ..self
        }
    }

    /// Composes the root complex: registers and maps its MMIO, and gives each port an MSI target of its own.
    ///
    /// # Errors
    ///
    /// [`ComposeError`] names what cannot be: bus range, ECAM or component register ranges, the place or name of a
    /// function, or a port's settings. Nothing stays registered then.
    pub fn build(
        self,
        register_mmio: &mut dyn RegisterMmioIntercept,
        msi_target: &MsiTarget,
    ) -> Result<GenericPcieRootComplex, ComposeError> {
        self.check()?;
        let root_bus = AssignedBusRange::new();
        root_bus.set_bus_range(self.start_bus, self.end_bus);
        let places = self.places();
        let mut functions = compose_ports(
            DevicePortType::RootPort,
            ROOT_PORT_DEVICE_ID,
            self.ports,
            |device| places.iter().any(|(_, d, f)| *d == device && *f != 0),
            |devfn| msi_target.with_bus_range(root_bus.clone(), devfn),
            self.gates_messages,
            Some(&mut *register_mmio),
        )?;
        functions.extend(self.integrated.into_iter().map(|integrated| Function {
            devfn: (integrated.device << 3) | integrated.function,
            occupant: Occupant::Integrated {
                name: integrated.name,
                device: integrated.endpoint,
            },
        }));
        if let Some(Collector {
            name,
            device,
            function,
        }) = self.collector
        {
            let devfn = (device << 3) | function;
            let endpoints = functions
                .iter()
                .filter(|f| matches!(f.occupant, Occupant::Integrated { .. }))
                .fold(0, |devices, f| devices | (1u32 << (f.devfn >> 3)));
            let target = msi_target.with_bus_range(root_bus.clone(), devfn);
            let is_multi = places.iter().any(|(_, d, f)| *d == device && *f != 0);
            let collector = EventCollector::new(&name, devfn, endpoints, is_multi, &target)?;
            functions.push(Function {
                devfn,
                occupant: Occupant::Integrated {
                    name,
                    device: Box::new(collector),
                },
            });
        }
        let root_ports = functions
            .iter()
            .filter(|f| matches!(f.occupant, Occupant::Port(_)))
            .count();
        let mut ecam = register_mmio.new_io_region("ecam", self.ecam_range.len());
        ecam.map(self.ecam_range.start());
        let host_bridge = self.host_bridge_range.map(|range| {
            let mut region = register_mmio.new_io_region("chbcr", range.len());
            region.map(range.start());
            HostBridge::new(range, region, host_bridge_registers(root_ports))
        });
        let mut root = GenericPcieRootComplex {
            segment: self.segment,
            start_bus: self.start_bus,
            end_bus: self.end_bus,
            ecam_range: self.ecam_range,
            ecam_clear_len: self.ecam_range.len(),
            _ecam: ecam,
            host_bridge,
            functions: PortSet::new(functions),
            merges: MergeQueue::new(),
            fabric: Fabric::new(self.events.unwrap_or_default()),
            name: self.name.unwrap_or_else(|| "root-complex".into()),
        };
        root.functions.join(&root.fabric);
        root.refresh_routes();
        if let Some(lines) = self.intx {
            let lines = IntxLines::new(lines);
            root.functions.wire_intx(|device| lines.of_device(device));
        }
        Ok(root)
    }

    fn places(&self) -> Vec<(Arc<str>, u8, u8)> {
        let ports = self
            .ports
            .iter()
            .map(|p| (p.name.clone(), p.device, p.function));
        ports
            .chain(
                self.integrated
                    .iter()
                    .map(|i| (i.name.clone(), i.device, i.function)),
            )
            .chain(
                self.collector
                    .iter()
                    .map(|c| (c.name.clone(), c.device, c.function)),
            )
            .collect()
    }

    fn check(&self) -> Result<(), ComposeError> {
        let (start, end, range) = (self.start_bus, self.end_bus, self.ecam_range);
        if start > end {
            return Err(ComposeError::BusRange { start, end });
        }
        let expected = (u64::from(end - start) + 1) << ECAM_BUS_SHIFT;
        if range.len() != expected {
            return Err(ComposeError::EcamSize {
                range,
                actual: range.len(),
                start,
                end,
                expected,
            });
        }
        if let Some(chbcr) = self.host_bridge_range {
            let expected = CXL_HOST_BRIDGE_COMPONENT_REGISTERS_SIZE_BYTES;
            if chbcr.len() < expected {
                return Err(ComposeError::ChbcrSize {
                    range: chbcr,
                    actual: chbcr.len(),
                    expected,
                });
            }
            if chbcr.overlaps(&range) {
                return Err(ComposeError::Overlap { ecam: range, chbcr });
            }
        }
        check_places(&self.places())
    }
}

/// What a host bridge has: HDM decoders whose targets are its root ports, up to eight (CXL 3.1 section 8.2.4.20).
#[expect(
    clippy::expect_used,
    reason = "four decoders and 1, 2, 4 or 8 targets can always be encoded"
)]
fn host_bridge_registers(root_ports: usize) -> CxlComponentRegisters {
    let targets = match root_ports {
        0..=1 => 1,
        2..=3 => 2,
        4..=7 => 4,
        _ => 8,
    };
    let options = CxlHdmDecoderCapabilityOptions {
        target_count_encoding: targets,
        ..CxlHdmDecoderCapabilityOptions::default()
    };
    let decoders = CxlHdmDecoderCapability::with_options(options, HOST_BRIDGE_HDM_DECODERS)
        .expect("a host bridge's decoders");
    let mut registers = CxlComponentRegisters::new();
    registers.add_register(Box::new(decoders));
    registers
}
