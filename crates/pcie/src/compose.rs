//! What root complexes and switches are composed from, and what can be wrong with it.

use crate::DOWNSTREAM_SWITCH_PORT_DEVICE_ID;
use crate::PciePortSettings;
use crate::PortBarDefinition;
use crate::PortBars;
use crate::PortError;
use crate::PortOptions;
use crate::ROOT_PORT_DEVICE_ID;
use crate::UPSTREAM_SWITCH_PORT_DEVICE_ID;
use crate::VENDOR_ID;
use crate::port::PcieDownstreamPort;
use crate::port::PortDefinition;
use crate::port_set::Function;
use crate::port_set::Occupant;
use chipset_device::mmio::RegisterMmioIntercept;
use memory_range::MemoryRange;
use pci_core::capabilities::pci_express::LinkConfig;
use pci_core::capabilities::pci_express::SlotConfig;
use pci_core::msi::MsiTarget;
use pci_core::spec::caps::pci_express::DevicePortType;
use pci_core::spec::hwid::ClassCode;
use pci_core::spec::hwid::HardwareIds;
use pci_core::spec::hwid::ProgrammingInterface;
use pci_core::spec::hwid::Subclass;
use std::sync::Arc;

/// A downstream port of a root complex or switch, and its place on the bus.
///
/// ```
/// use pcie::PortConfig;
///
/// let port = PortConfig::new("rp0", 3, 0).with_slot(7);
/// assert_eq!((port.device, port.slot_number), (3, Some(7)));
/// ```
#[derive(Debug)]
pub struct PortConfig {
    /// Its name, unique in the root complex or switch.
    pub name: Arc<str>,
    /// Device number, 0 to 31.
    pub device: u8,
    /// Function number, 0 to 7.
    pub function: u8,
    /// Physical slot number of a hot-plug slot whose devices come and go by surprise, 0 to 8191. `None` for a port without one, or
    /// with the slot of [`PortOptions::slot`].
    pub slot_number: Option<u32>,
    /// Settings.
    pub settings: PciePortSettings,
    /// The port's BAR. A CXL port without one gets one for its component registers.
    pub bar: Option<PortBarDefinition>,
    /// BARs and an expansion ROM that the port has beside, and what answers behind them.
    pub bars: PortBars,
    /// Further settings.
    pub options: PortOptions,
}

impl PortConfig {
    /// A plain port.
    pub fn new(name: impl Into<Arc<str>>, device: u8, function: u8) -> Self {
        Self {
            name: name.into(),
            device,
            function,
            slot_number: None,
            settings: PciePortSettings::default(),
            bar: None,
            bars: PortBars::default(),
            options: PortOptions::default(),
        }
    }

    /// With a hot-plug slot of this number.
    pub fn with_slot(self, slot_number: u32) -> Self {
        Self {
            slot_number: Some(slot_number),
            ..self
        }
    }

    /// With a slot of all that `slot` names, in place of any other.
    pub fn with_slot_config(mut self, slot: SlotConfig) -> Self {
        self.slot_number = None;
        self.options.slot = Some(slot);
        self
    }

    /// With BARs and an expansion ROM of its own.
    pub fn with_bars(self, bars: PortBars) -> Self {
        Self { bars, ..self }
    }

    /// With a link that can do what `link` says.
    pub fn with_link(mut self, link: LinkConfig) -> Self {
        self.options.link = Some(link);
        self
    }
}

/// A root complex or switch that cannot be composed.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// Two ports have one name.
    #[error("port '{name}' is there twice")]
    DuplicateName {
        /// The name.
        name: Arc<str>,
    },
    /// Two functions are in one place.
    #[error("'{name}' is at {device:02x}.{function}, where '{existing}' is")]
    Occupied {
        /// The second.
        name: Arc<str>,
        /// Device number.
        device: u8,
        /// Function number.
        function: u8,
        /// The first.
        existing: Arc<str>,
    },
    /// No such place.
    #[error(
        "'{name}' is at device {device}, function {function}; devices are 0 to 31, functions 0 to 7"
    )]
    Place {
        /// The function.
        name: Arc<str>,
        /// Device number.
        device: u8,
        /// Function number.
        function: u8,
    },
    /// A device without function 0 is never found.
    #[error("'{name}' is function {function} of device {device:02x}, which has no function 0")]
    NoFunctionZero {
        /// The function.
        name: Arc<str>,
        /// Device number.
        device: u8,
        /// Function number.
        function: u8,
    },
    /// A slot number that does not fit its 13 bits.
    #[error("port '{name}': slot number {slot}; slot numbers are 0 to 8191")]
    SlotNumber {
        /// The port.
        name: Arc<str>,
        /// The slot number.
        slot: u32,
    },
    /// More ports than places.
    #[error("too many ports: {count}; there is room for {max}")]
    TooManyPorts {
        /// Ports asked for.
        count: usize,
        /// Most ports.
        max: usize,
    },
    /// A port cannot be composed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// First bus above last.
    #[error("buses {start:#04x} to {end:#04x}: the first is above the last")]
    BusRange {
        /// First bus.
        start: u8,
        /// Last bus.
        end: u8,
    },
    /// The ECAM range does not fit the buses.
    #[error(
        "ECAM range {range} has {actual:#x} bytes; buses {start:#04x} to {end:#04x} take {expected:#x}"
    )]
    EcamSize {
        /// The range.
        range: MemoryRange,
        /// Its length.
        actual: u64,
        /// First bus.
        start: u8,
        /// Last bus.
        end: u8,
        /// Bytes the buses take: 1 MiB each.
        expected: u64,
    },
    /// The host bridge's component registers do not fit.
    #[error(
        "host bridge component registers at {range}: {actual:#x} bytes, {expected:#x} at least"
    )]
    ChbcrSize {
        /// The range.
        range: MemoryRange,
        /// Its length.
        actual: u64,
        /// Bytes of the registers.
        expected: u64,
    },
    /// Two address ranges of the root complex overlap.
    #[error("ECAM at {ecam} and host bridge component registers at {chbcr} overlap")]
    Overlap {
        /// The ECAM range.
        ecam: MemoryRange,
        /// The component registers' range.
        chbcr: MemoryRange,
    },
}

/// Checks the places of functions on a bus: each in range, none twice, function 0 of each device there.
pub(crate) fn check_places(places: &[(Arc<str>, u8, u8)]) -> Result<(), ComposeError> {
    for (i, (name, device, function)) in places.iter().enumerate() {
        let (name, device, function) = (name.clone(), *device, *function);
        if device > 31 || function > 7 {
            return Err(ComposeError::Place {
                name,
                device,
                function,
            });
        }
        for (existing, other_device, other_function) in places.iter().take(i) {
            if *existing == name {
                return Err(ComposeError::DuplicateName { name });
            }
            if (*other_device, *other_function) == (device, function) {
                return Err(ComposeError::Occupied {
                    name,
                    device,
                    function,
                    existing: existing.clone(),
                });
            }
        }
    }
    match places
        .iter()
        .find(|(_, device, _)| !places.iter().any(|(_, d, f)| (d, f) == (device, &0)))
    {
        Some((name, device, function)) => Err(ComposeError::NoFunctionZero {
            name: name.clone(),
            device: *device,
            function: *function,
        }),
        None => Ok(()),
    }
}

/// Composes the ports of a bus, whose places were checked.
pub(crate) fn compose_ports(
    port_type: DevicePortType,
    device_id: u16,
    configs: Vec<PortConfig>,
    is_multi_function: impl Fn(u8) -> bool,
    msi_target: impl Fn(u8) -> MsiTarget,
    gates_messages: bool,
    mut register_mmio: Option<&mut dyn RegisterMmioIntercept>,
) -> Result<Vec<Function>, ComposeError> {
    let mut functions = Vec::with_capacity(configs.len());
    for config in configs {
        if let Some(slot) = config.slot_number.filter(|slot| *slot >= 1 << 13) {
            return Err(ComposeError::SlotNumber {
                name: config.name,
                slot,
            });
        }
        let devfn = (config.device << 3) | config.function;
        let definition = PortDefinition {
            name: config.name.to_string(),
            hardware_ids: bridge_ids(device_id),
            port_type,
            multi_function: is_multi_function(config.device),
            hotplug_slot_number: config.slot_number,
            settings: config.settings,
            bar: config.bar,
            bars: config.bars,
            options: config.options,
            gates_messages,
        };
        let register_mmio: Option<&mut dyn RegisterMmioIntercept> = match &mut register_mmio {
            Some(register_mmio) => Some(*register_mmio),
            None => None,
        };
        let port = PcieDownstreamPort::compose(definition, &msi_target(devfn), register_mmio)?;
        functions.push(Function {
            devfn,
            occupant: Occupant::Port(port),
        });
    }
    Ok(functions)
}

/// The identifiers of the ports that this crate composes: what their configuration space says, and an expansion ROM is to name.
pub fn port_hardware_ids(port_type: DevicePortType) -> HardwareIds {
    bridge_ids(match port_type {
        DevicePortType::UpstreamSwitchPort => UPSTREAM_SWITCH_PORT_DEVICE_ID,
        DevicePortType::DownstreamSwitchPort => DOWNSTREAM_SWITCH_PORT_DEVICE_ID,
        _ => ROOT_PORT_DEVICE_ID,
    })
}

/// The identifiers of a port.
pub(crate) fn bridge_ids(device_id: u16) -> HardwareIds {
    HardwareIds {
        vendor_id: VENDOR_ID,
        device_id,
        revision_id: 0,
        prog_if: ProgrammingInterface::NONE,
        sub_class: Subclass::BRIDGE_PCI_TO_PCI,
        base_class: ClassCode::BRIDGE,
        type0_sub_vendor_id: 0,
        type0_sub_system_id: 0,
    }
}
