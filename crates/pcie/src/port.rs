//! A downstream port: a root port, or a switch's downstream port, with what is attached to it.

mod bar;
mod definition;
mod errors;
mod goals;
mod hot_plug;
pub(crate) mod modern;
mod own_bars;
mod power;
mod reach;
mod save_restore;
mod settings;
mod station;
mod upstream;

pub(crate) use bar::check_register_access;
pub(crate) use definition::PortDefinition;
pub(crate) use own_bars::OwnRegisters;
pub use own_bars::PortBars;
pub use own_bars::PortRegisters;
pub(crate) use own_bars::check as check_own_bars;
pub(crate) use save_restore::ConfigState;
pub(crate) use save_restore::CxlState;
pub(crate) use save_restore::PortState;
pub(crate) use save_restore::PortStateRef;
pub(crate) use save_restore::saved_port;
pub(crate) use save_restore::state::LinkedDeviceState;
pub use settings::CxlPortOptions;
pub use settings::PciePortSettings;
pub use settings::PortBarDefinition;
pub use settings::PortBarHolder;
pub use settings::PortBarSubregionDefinition;
pub use settings::PortBarSubregionKind;
pub use settings::PortError;
pub use settings::PortOptions;
pub(crate) use upstream::PortIntx;

use crate::claims::ClaimsChanged;
use bar::PortBar;
use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::mmio::ControlMmioIntercept;
use chipset_device::mmio::RegisterMmioIntercept;
use chipset_device::pci::ByteEnables;
use cxl_spec::CxlComponentRegisters;
use cxl_spec::CxlFlexBusPortDvsecExtendedCapability;
use cxl_spec::CxlPortDvsecExtendedCapability;
use cxl_spec::CxlRegisterLocatorDvsecExtendedCapability;
use cxl_spec::pci_registers::spec::flex_bus_port_dvsec::CxlFlexBusPortDvsecCapability;
use cxl_spec::pci_registers::spec::register_locator_dvsec::CxlRegisterLocatorRegisterBir;
use cxl_spec::pci_registers::spec::register_locator_dvsec::CxlRegisterLocatorRegisterBlockIdentifier;
use goals::Goals;
use inspect::Inspect;
use inspect::InspectMut;
use pci_bus::GenericPciBusDevice;
use pci_bus::Upstream;
use pci_core::bus_range::AssignedBusRange;
use pci_core::capabilities::PciCapability;
use pci_core::capabilities::extended::PciExtendedCapability;
use pci_core::capabilities::extended::acs::AcsExtendedCapability;
use pci_core::capabilities::extended::fixed::FixedExtendedCapability;
use pci_core::capabilities::msi_cap::MsiCapability;
use pci_core::capabilities::msix::MsixEmulator;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::cfg_space_emu::BarMemoryKind;
use pci_core::cfg_space_emu::ConfigSpaceType1Emulator;
use pci_core::msi::MsiTarget;
use pci_core::spec::caps::pci_express::DevicePortType;
use pci_core::spec::hwid::HardwareIds;
use station::Station;
use std::sync::Arc;
use vmcore::interrupt::Interrupt;

/// Functions that are reached on a link: those of device 0, the only one, or with ARI forwarding all (PCIe 6.2 section 7.3.1).
const FUNCTIONS_OF_A_DEVICE: u16 = 8;
const FUNCTIONS_WITH_ARI: u16 = 256;

/// A device, and its name.
pub(crate) type Attached = (Arc<str>, Box<dyn GenericPciBusDevice>);

fn name_of(attached: &Option<Attached>) -> Option<String> {
    attached.as_ref().map(|(name, _)| name.to_string())
}

/// A root port or a switch's downstream port.
#[derive(Inspect)]
pub(crate) struct PcieDownstreamPort {
    /// Its name.
    pub(crate) name: String,
    /// Its configuration space.
    pub(crate) cfg_space: ConfigSpaceType1Emulator,
    /// The device that answers behind it.
    #[inspect(with = "name_of")]
    pub(crate) link: Option<Attached>,
    /// The device behind it that cannot answer: the link is down, or the bus is held in reset.
    #[inspect(with = "name_of")]
    cut_off: Option<Attached>,
    /// Nothing but the device itself keeps it from answering: it is not ready yet.
    unready: bool,
    /// Functions of the device that requests get to.
    #[inspect(skip)]
    functions_reached: u16,
    /// What the guest is to do with the device, and who waits for it.
    #[inspect(skip)]
    goals: Goals,
    bar: Option<PortBar>,
    #[inspect(skip)]
    own: OwnRegisters,
    cxl_component_registers: Option<CxlComponentRegisters>,
    /// What comes through to the device, as it was told last.
    below: Upstream,
    /// Tells the bus that what the port claims changed.
    #[inspect(skip)]
    pub(crate) claims_changed: ClaimsChanged,
    #[inspect(skip)]
    intx: PortIntx,
    /// It has Downstream Port Containment.
    #[inspect(skip)]
    has_containment: bool,
    #[inspect(with = "|station| &station.counters")]
    station: Station,
}

impl PcieDownstreamPort {
    /// Composes a port. `hotplug_slot_number` gives it a hot-plug slot. The BAR is left out, with a warning, when it is not BAR0
    /// or there is no `register_mmio`; and CXL, when there is no place for its registers: no BAR, no part for them, or not at a
    /// multiple of 64 KiB. Parts of the BAR for MSI-X stay empty.
    ///
    /// # Panics
    ///
    /// - a slot is asked for and `port_type` is not that of a downstream port, or the slot number is above 8191;
    /// - the BAR is larger than 2^63 bytes.
    #[expect(
        clippy::too_many_arguments,
        reason = "callers know it so; `PortDefinition` is the better way"
    )]
    #[expect(
        clippy::panic,
        reason = "documented; the builders of root complex and switch give errors"
    )]
    pub(crate) fn new(
        name: impl Into<String>,
        hardware_ids: HardwareIds,
        port_type: DevicePortType,
        multi_function: bool,
        hotplug_slot_number: Option<u32>,
        msi_target: &MsiTarget,
        settings: PciePortSettings,
        register_mmio: Option<&mut dyn RegisterMmioIntercept>,
        bar: Option<PortBarDefinition>,
    ) -> Self {
        let definition = PortDefinition {
            name: name.into(),
            hardware_ids,
            port_type,
            multi_function,
            hotplug_slot_number,
            settings,
            bar,
            bars: PortBars::default(),
            options: PortOptions::default(),
            gates_messages: false,
        };
        let definition = definition.without_the_impossible(register_mmio.is_some());
        match Self::assemble(definition, msi_target, register_mmio) {
            Ok(port) => port,
            Err(error) => panic!("{error}"),
        }
    }

    /// Composes a port.
    ///
    /// # Errors
    ///
    /// [`PortError`] names the port and what cannot be.
    pub(crate) fn compose(
        definition: PortDefinition,
        msi_target: &MsiTarget,
        register_mmio: Option<&mut dyn RegisterMmioIntercept>,
    ) -> Result<Self, PortError> {
        let definition = definition.checked(register_mmio.is_some())?;
        Self::assemble(definition, msi_target, register_mmio)
    }

    fn assemble(
        definition: PortDefinition,
        msi_target: &MsiTarget,
        register_mmio: Option<&mut dyn RegisterMmioIntercept>,
    ) -> Result<Self, PortError> {
        let is_cxl = definition.is_cxl();
        let PortDefinition {
            name,
            hardware_ids,
            port_type,
            multi_function,
            hotplug_slot_number,
            settings,
            bar,
            bars: own,
            options,
            gates_messages,
        } = definition;
        let msi = MsiCapability::new(0, true, false, msi_target);
        let (msix, msix_capability) = match bar
            .as_ref()
            .map(|bar| bar::msix(&name, bar, msi_target))
            .transpose()?
        {
            Some(Some((msix, capability))) => (Some(msix), Some(capability)),
            Some(None) | None => (None, None),
        };
        let mut pcie = pci_express(&name, port_type, hotplug_slot_number, &options)?;
        let events = event_interrupt(&msi, msix.as_ref());
        pcie.set_hot_plug_interrupt(events.clone());
        pcie.set_link_interrupt(events.clone());
        pcie.set_pme_interrupt(events.clone());

        let mut capabilities: Vec<Box<dyn PciCapability>> = vec![Box::new(pcie), Box::new(msi)];
        capabilities.extend(msix_capability);
        capabilities.extend(modern::legacy(&options));
        let component_offset = bar
            .as_ref()
            .filter(|_| is_cxl)
            .and_then(bar::component_registers_offset);
        let mut extended = extended_capabilities(&port_type, &settings, &options, component_offset);
        extended.extend(modern::extended(port_type, &options, Some(events)));
        let (mut bars, own) = own.into_parts();
        if let Some(bar) = &bar {
            let Some(register_mmio) = register_mmio else {
                return Err(PortError::NoMmioRegistration { port: name });
            };
            let region: Box<dyn ControlMmioIntercept> = register_mmio.new_io_region(
                &format!("{name}-bar{}", bar.index),
                bar.size_bytes
                    .checked_next_power_of_two()
                    .unwrap_or(bar.size_bytes)
                    .max(crate::PAGE_SIZE),
            );
            bars = bars.bar0(bar.size_bytes, BarMemoryKind::Intercept(region));
        }
        let mut cfg_space =
            ConfigSpaceType1Emulator::try_new(hardware_ids, capabilities, extended, bars)
                .map_err(|source| PortError::ConfigSpace {
                    port: name.clone(),
                    source,
                })?
                .with_multi_function_bit(multi_function);
        if let Some(addressing) = options.io_window {
            cfg_space = cfg_space.with_io_window(addressing);
        }
        if gates_messages {
            cfg_space = cfg_space.with_bus_master_gate();
        }
        let intx = PortIntx::new(&mut cfg_space, options.interrupt_pin);
        let is_root = port_type == DevicePortType::RootPort;
        let mut port = Self {
            station: Station::new(&name, msi_target, is_root),
            has_containment: options.dpc,
            name,
            cfg_space,
            link: None,
            cut_off: None,
            unready: false,
            functions_reached: FUNCTIONS_OF_A_DEVICE,
            goals: Goals::default(),
            cxl_component_registers: is_cxl.then(|| component_registers(&options.cxl)),
            bar: bar.map(|definition| PortBar::new(definition, msix)),
            own,
            below: Upstream::closed(),
            claims_changed: ClaimsChanged::default(),
            intx,
        };
        port.begin_messages();
        Ok(port)
    }

    /// A handle on the bus numbers the guest gave to the port.
    pub(crate) fn bus_range(&self) -> AssignedBusRange {
        self.cfg_space.bus_range()
    }

    fn pci_express(&self) -> Option<&PciExpressCapability> {
        self.cfg_space.pci_express()
    }

    /// Reads a dword of a function on a bus below the port. What nobody answers leaves `value` as it is.
    #[cfg(test)]
    pub(crate) fn forward_cfg_read_with_routing(
        &mut self,
        bus: &u8,
        function: &u8,
        cfg_offset: u16,
        value: &mut u32,
    ) -> IoResult {
        match self.secondary_toward(*bus) {
            Some(secondary) => self
                .forward_read(secondary, *bus, *function, cfg_offset, value)
                .unwrap_or(IoResult::Ok),
            None => IoResult::Ok,
        }
    }

    /// Writes a dword of a function on a bus below the port. What nobody answers is dropped.
    #[cfg(test)]
    pub(crate) fn forward_cfg_write_with_routing(
        &mut self,
        bus: &u8,
        function: &u8,
        cfg_offset: u16,
        value: u32,
    ) -> IoResult {
        match self.secondary_toward(*bus) {
            Some(secondary) => self
                .forward_write(
                    secondary,
                    *bus,
                    *function,
                    cfg_offset,
                    value,
                    ByteEnables::ALL,
                )
                .unwrap_or(IoResult::Ok),
            None => IoResult::Ok,
        }
    }

    /// The port's secondary bus, if `bus` is below the port. Nothing is while the bus numbers are unassigned.
    #[cfg(test)]
    fn secondary_toward(&self, bus: u8) -> Option<u8> {
        let range = self.cfg_space.assigned_bus_range();
        (range != (0..=0) && range.contains(&bus)).then(|| *range.start())
    }

    /// Reads a dword of a function on `bus`, which lies below the port. `None`, with `value` as it was, when nobody answers.
    #[inline]
    pub(crate) fn forward_read(
        &mut self,
        secondary: u8,
        bus: u8,
        function: u8,
        offset: u16,
        value: &mut u32,
    ) -> Option<IoResult> {
        match &mut self.link {
            Some((_, device))
                if u16::from(function) < self.functions_reached || bus != secondary =>
            {
                device.pci_cfg_read_with_routing(secondary, bus, function, offset, value)
            }
            Some(_) => self.unanswered(),
            None => self.forward_read_once_ready(secondary, bus, function, offset, value),
        }
    }

    /// Reads a function of a device that did not answer so far.
    // Out of the way, as below.
    #[cold]
    #[inline(never)]
    fn forward_read_once_ready(
        &mut self,
        secondary: u8,
        bus: u8,
        function: u8,
        offset: u16,
        value: &mut u32,
    ) -> Option<IoResult> {
        let (_, device) = self.ready_device()?;
        device.pci_cfg_read_with_routing(secondary, bus, function, offset, value)
    }

    /// Writes the enabled bytes of a dword of a function on `bus`, which lies below the port. `None` when nobody takes it.
    pub(crate) fn forward_write(
        &mut self,
        secondary: u8,
        bus: u8,
        function: u8,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Option<IoResult> {
        let passes = u16::from(function) < self.functions_reached || bus != secondary;
        if self.unready {
            self.ready_device();
        }
        let Some((_, device)) = self.link.as_mut().filter(|_| passes) else {
            return self.unanswered();
        };
        device.pci_cfg_write_bytes_with_routing(secondary, bus, function, offset, value, enables)
    }

    /// Reads memory that a BAR of the port, its expansion ROM or a device below claims.
    pub(crate) fn mmio_read(&mut self, address: u64, data: &mut [u8]) -> Option<IoResult> {
        if let Some((bar, offset)) = self.find_bar(address) {
            if self.is_own(bar) {
                return Some(self.own.read(bar, offset, data));
            }
            return Some(match check_memory_access(offset, data.len()) {
                Ok(()) => self.bar_mmio_read(bar, offset, data),
                Err(error) => IoResult::Err(error),
            });
        }
        self.link.as_mut()?.1.managed()?.mmio_read(address, data)
    }

    /// Writes memory that a BAR of the port, its expansion ROM or a device below claims.
    pub(crate) fn mmio_write(&mut self, address: u64, data: &[u8]) -> Option<IoResult> {
        if let Some((bar, offset)) = self.find_bar(address) {
            if self.is_own(bar) {
                return Some(self.own.write(bar, offset, data));
            }
            return Some(match check_memory_access(offset, data.len()) {
                Ok(()) => self.bar_mmio_write(bar, offset, data),
                Err(error) => IoResult::Err(error),
            });
        }
        self.link.as_mut()?.1.managed()?.mmio_write(address, data)
    }
}

/// A processor's accesses have 1, 2, 4 or 8 bytes, and are split before they get here where they are not naturally aligned.
pub(crate) fn check_memory_access(offset: u64, len: usize) -> Result<(), IoError> {
    if !matches!(len, 1 | 2 | 4 | 8) {
        Err(IoError::InvalidAccessSize)
    } else if offset & (len as u64 - 1) != 0 {
        Err(IoError::UnalignedAccess)
    } else {
        Ok(())
    }
}

impl InspectMut for PcieDownstreamPort {
    fn inspect_mut(&mut self, req: inspect::Request<'_>) {
        let is_update = req.is_update();
        let mut resp = req.respond();
        resp.merge(&*self);
        if let Some(registers) = self.own.shown() {
            resp.field("registers", registers);
        }
        if let Some(device) = self.managed() {
            resp.child("device", |req| device.inspect_mut(req));
        }
        // The attention button may have been pressed.
        if is_update {
            self.follow_messages();
            self.follow();
        }
    }
}

/// The PCI Express capability of a port.
pub(crate) fn pci_express(
    port: &str,
    port_type: DevicePortType,
    slot_number: Option<u32>,
    options: &PortOptions,
) -> Result<PciExpressCapability, PortError> {
    let port = || port.to_owned();
    let mut pcie = PciExpressCapability::new(port_type, None);
    match (slot_number, &options.slot) {
        (Some(number), Some(slot)) => {
            return Err(PortError::TwoSlots {
                port: port(),
                slot: slot.number,
                number,
            });
        }
        (Some(number), None) => pcie = pcie.with_hotplug_support(number),
        (None, Some(slot)) => {
            pcie = pcie
                .with_slot(slot.clone())
                .map_err(|source| PortError::Slot {
                    port: port(),
                    source,
                })?;
        }
        (None, None) => {}
    }
    // A link above 5.0 GT/s says whether it is active (PCIe 6.2 section 7.5.3.6), and one that was not described is above.
    let link = options
        .link
        .or(options.physical_layer.then_some(modern::DEFAULT_LINK));
    if let Some(link) = link {
        pcie = pcie.with_link(link).map_err(|source| PortError::Link {
            port: port(),
            source,
        })?;
    }
    if options.ari_forwarding {
        pcie = pcie.with_ari_forwarding();
    }
    if options.error_reporting {
        pcie = pcie.with_role_based_error_reporting();
    }
    if options.ltr {
        pcie = pcie.with_ltr();
    }
    if options.read_requests_of_512 {
        pcie = pcie.with_read_requests_of_512();
    }
    if options.retry_visibility && port_type == DevicePortType::RootPort {
        pcie = pcie.with_crs_software_visibility();
    }
    Ok(pcie)
}

/// The messages of the port's own events: MSI-X while the guest has it enabled, else MSI. With neither, none becomes due; see
/// [`PcieDownstreamPort::follow_messages`].
fn event_interrupt(msi: &MsiCapability, msix: Option<&MsixEmulator>) -> Interrupt {
    let msi_vector = msi.interrupt().unwrap_or_default();
    let Some((emulator, vector)) = msix.and_then(|msix| Some((msix.clone(), msix.interrupt(0)?)))
    else {
        return msi_vector;
    };
    Interrupt::from_fn(move || {
        if emulator.enabled() {
            vector.deliver();
        } else {
            msi_vector.deliver();
        }
    })
}

/// The port's extended capabilities, in order.
fn extended_capabilities(
    port_type: &DevicePortType,
    settings: &PciePortSettings,
    options: &PortOptions,
    component_offset: Option<u64>,
) -> Vec<Box<dyn PciExtendedCapability>> {
    let mut extended: Vec<Box<dyn PciExtendedCapability>> = Vec::new();
    let acs = filter_acs_capabilities_for_bridge(port_type, settings.acs_capabilities_supported);
    if acs != 0 {
        extended.push(Box::new(AcsExtendedCapability::with_capabilities(acs)));
    }
    if let (Some(cxl), Some(offset)) = (settings.cxl_flex_bus_port_capability, component_offset) {
        extended.push(Box::new(CxlPortDvsecExtendedCapability::new()));
        extended.push(Box::new(flex_bus(cxl)));
        extended.extend(build_cxl_register_locator_extended_capability(
            CxlRegisterLocatorRegisterBir::BAR_10H,
            offset,
        ));
    }
    if let Some(serial) = options.serial_number {
        extended.push(Box::new(FixedExtendedCapability::device_serial_number(
            serial,
        )));
    }
    extended
}

fn flex_bus(cxl: CxlFlexBusPortDvsecCapability) -> CxlFlexBusPortDvsecExtendedCapability {
    CxlFlexBusPortDvsecExtendedCapability::new()
        .with_optional_capabilities(
            cxl.cache_capable(),
            cxl.cxl_68b_flit_and_vh_capable(),
            cxl.cxl_multi_logical_device_capable(),
            cxl.cxl_latency_optimized_256b_flit_capable(),
            cxl.cxl_pbr_flit_capable(),
        )
        .with_mem_capable(cxl.mem_capable())
}

/// A register locator with the component registers at `offset` of BAR `bir`; `None` unless the offset is 64-KiB aligned.
pub(crate) fn build_cxl_register_locator_extended_capability(
    bir: CxlRegisterLocatorRegisterBir,
    offset: u64,
) -> Option<Box<dyn PciExtendedCapability>> {
    CxlRegisterLocatorDvsecExtendedCapability::new()
        .with_register_block(
            bir,
            CxlRegisterLocatorRegisterBlockIdentifier::COMPONENT_REGISTERS,
            offset,
        )
        .ok()
        .map(|locator| Box::new(locator) as _)
}

/// The component registers a CXL port starts with.
fn component_registers(options: &CxlPortOptions) -> CxlComponentRegisters {
    let mut registers = CxlComponentRegisters::new();
    if options.ras {
        registers.add_register(Box::new(
            cxl_spec::component_registers::CxlRasCapability::new(),
        ));
    }
    if options.link {
        registers.add_register(Box::new(
            cxl_spec::component_registers::CxlLinkCapability::new(),
        ));
    }
    registers
}

/// The ACS services that a port of this type can have, of those `requested` (PCIe 6.2 section 6.12.1).
pub(crate) fn filter_acs_capabilities_for_bridge(
    port_type: &DevicePortType,
    requested: u16,
) -> u16 {
    /// The defined services but egress control, whose vector is not emulated.
    const EMULATED: u16 = 0x00df;
    let of_type = match *port_type {
        DevicePortType::RootPort | DevicePortType::DownstreamSwitchPort => 0x00ff,
        _ => 0,
    };
    requested & EMULATED & of_type
}

/// Names that the tests find through `super::*`, as the code around a port uses them.
#[cfg(test)]
use {
    cxl_spec::spec::CXL_COMPONENT_REGISTERS_SIZE_BYTES, pci_core::msi::MsiConnection,
    pci_core::spec::caps::ExtendedCapabilityId, pci_core::spec::hwid::ClassCode,
    pci_core::spec::hwid::ProgrammingInterface, pci_core::spec::hwid::Subclass, reg_table::Reset,
    vmcore::save_restore::RestoreError, vmcore::save_restore::SaveError,
    vmcore::save_restore::SaveRestore,
};

#[cfg(test)]
mod tests;
