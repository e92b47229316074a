//! Switches.
//!
//! A switch is an upstream port and downstream ports on a bus between them. Type 0 accesses that reach it are for the upstream
//! port; the bus between is the upstream port's secondary bus, and what lies beyond goes by a table, with the rules of
//! [`root`](crate::root#routing).

mod builder;
mod device;
mod save_restore;
mod upstream_port;

pub use builder::SwitchConfig;
pub use upstream_port::UpstreamSwitchPort;

use crate::DOWNSTREAM_SWITCH_PORT_DEVICE_ID;
use crate::PciePortSettings;
use crate::PortConfig;
use crate::compose::bridge_ids;
use crate::port::PcieDownstreamPort;
use crate::port_set::PortSet;
use crate::root::DownstreamPortInfo;
use chipset_device::ChipsetDevice;
use chipset_device::io::IoResult;
use chipset_device::pci::ByteEnables;
use chipset_device::pci::PciConfigSpace;
use device::SwitchDevice;
use inspect::Inspect;
use inspect::InspectMut;
use pci_bus::Fabric;
use pci_bus::GenericPciBusDevice;
use pci_bus::HotPlugPort;
use pci_bus::IntxLines;
use pci_bus::Upstream;
use pci_bus::events::EventKind;
use pci_core::cfg_space_emu::ConfigSpaceType1Emulator;
use pci_core::msi::MsiTarget;
use pci_core::spec::caps::pci_express::DevicePortType;
use pci_core::spec::caps::power_management::PowerState;
use reg_table::Reset;
use std::sync::Arc;
use vmcore::device_state::ChangeDeviceState;

/// A switch's downstream port by itself.
#[derive(Inspect)]
pub struct DownstreamSwitchPort {
    #[inspect(flatten)]
    port: PcieDownstreamPort,
}

impl DownstreamSwitchPort {
    /// A port, with a hot-plug slot if it gets a number. CXL needs MMIO registration, which [`SwitchConfig::build`] takes.
    pub fn new(
        name: impl Into<Arc<str>>,
        multi_function: Option<bool>,
        hotplug_slot_number: Option<u32>,
        msi_target: &MsiTarget,
        settings: PciePortSettings,
    ) -> Self {
        let port = PcieDownstreamPort::new(
            name.into().to_string(),
            bridge_ids(DOWNSTREAM_SWITCH_PORT_DEVICE_ID),
            DevicePortType::DownstreamSwitchPort,
            multi_function.unwrap_or(false),
            hotplug_slot_number,
            msi_target,
            settings,
            None,
            None,
        );
        Self { port }
    }

    /// Its configuration space.
    pub fn cfg_space(&self) -> &ConfigSpaceType1Emulator {
        &self.port.cfg_space
    }

    /// Its configuration space.
    pub fn cfg_space_mut(&mut self) -> &mut ConfigSpaceType1Emulator {
        &mut self.port.cfg_space
    }
}

/// A switch of [`GenericPcieSwitch::new`].
pub struct GenericPcieSwitchDefinition {
    /// Its name.
    pub name: Arc<str>,
    /// How many downstream ports it has.
    pub downstream_port_count: u8,
    /// Whether they have hot-plug slots.
    pub hotplug: bool,
    /// Where its interrupts go: the target of the function it is, on the bus it is attached to.
    pub msi_target: MsiTarget,
    /// Settings of the downstream ports.
    pub dsp_settings: PciePortSettings,
}

/// A switch: an upstream port, downstream ports, and what is attached to these.
#[derive(InspectMut)]
pub struct GenericPcieSwitch {
    name: Arc<str>,
    upstream_port: UpstreamSwitchPort,
    #[inspect(mut)]
    downstream_ports: PortSet,
    /// What comes through to the downstream ports, as they were told last.
    below: Upstream,
    #[inspect(skip)]
    fabric: Fabric,
}

impl GenericPcieSwitch {
    /// A switch whose downstream port i, "{name}-downstream-{i}", is function i modulo 8 of device i / 8, with slot number i + 1
    /// if it has a slot. CXL needs MMIO registration, which [`SwitchConfig::build`] takes; here it is left out with a warning.
    pub fn new(definition: GenericPcieSwitchDefinition) -> Self {
        let GenericPcieSwitchDefinition {
            name,
            downstream_port_count,
            hotplug,
            msi_target,
            mut dsp_settings,
        } = definition;
        if dsp_settings
            .cxl_flex_bus_port_capability
            .take()
            .is_some_and(|cxl| cxl.cache_capable() || cxl.mem_capable())
        {
            tracelimit::warn_ratelimited!(switch = %name, "no MMIO registration; the downstream ports go without CXL");
        }
        let ports = (0..downstream_port_count).map(|i| PortConfig {
            slot_number: hotplug.then(|| u32::from(i) + 1),
            settings: dsp_settings.clone(),
            ..PortConfig::new(format!("{name}-downstream-{i}"), i >> 3, i & 7)
        });
        let config = SwitchConfig {
            ports: ports.collect(),
            ..SwitchConfig::new(name)
        };
        config.build_unchecked(&msi_target)
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its upstream port.
    pub fn upstream_port(&self) -> &UpstreamSwitchPort {
        &self.upstream_port
    }

    /// Its downstream ports, in order of device and function number.
    pub fn downstream_ports(&self) -> Vec<DownstreamPortInfo> {
        self.downstream_ports.port_infos()
    }

    /// Attaches a device to the downstream port `name` at `port` (device in bits 7:3, function in bits 2:0) before the guest
    /// runs.
    ///
    /// # Errors
    ///
    /// - there is no such port;
    /// - the port is occupied.
    pub fn add_pcie_device(
        &mut self,
        port: u8,
        name: &str,
        dev: Box<dyn GenericPciBusDevice>,
    ) -> anyhow::Result<()> {
        let found = self.downstream_ports.port_at(port);
        let found = found
            .ok_or_else(|| anyhow::anyhow!("switch '{}' has no port {port:#04x}", self.name))?;
        let port_name = found.name.clone();
        found.add_pcie_device(&port_name, name, dev)
    }

    /// Attaches a device to a port of the switch, or below it, while the guest runs.
    ///
    /// # Errors
    ///
    /// - no port has this name;
    /// - the port is not hot-plug capable, or is occupied.
    pub fn hotplug_add_device(
        &mut self,
        port_name: &str,
        device_name: &str,
        device: Box<dyn GenericPciBusDevice>,
    ) -> anyhow::Result<()> {
        self.port_named(port_name)?
            .hotplug_add_device(device_name, device)
    }

    /// Removes the device at a port of the switch, or below it, while the guest runs.
    ///
    /// # Errors
    ///
    /// - no port has this name;
    /// - the port is not hot-plug capable, or is empty.
    pub fn hotplug_remove_device(&mut self, port_name: &str) -> anyhow::Result<()> {
        self.port_named(port_name)?.hotplug_remove_device()
    }

    /// A port of the switch, or below it, as an operator works it.
    ///
    /// # Errors
    ///
    /// - no port has this name.
    pub fn port_named(&mut self, name: &str) -> anyhow::Result<&mut dyn HotPlugPort> {
        let switch = self.name.clone();
        self.downstream_ports.find_port(name).ok_or_else(|| {
            anyhow::anyhow!("no port of switch '{switch}', or below it, is named '{name}'")
        })
    }

    /// The switch as a device that a port owns: reset, saved and inspected with the hierarchy.
    pub fn into_device(self) -> Box<dyn GenericPciBusDevice> {
        Box::new(SwitchDevice(self))
    }

    /// The functions between the ports are on the upstream port's secondary bus. Nothing lies below while its numbers are
    /// unassigned, and nothing answers while that bus is held in reset, or the upstream port is below D0 (PCIe 6.2 section 5.3.1.4).
    fn refresh_routes(&mut self) {
        let upstream = &self.upstream_port.cfg_space;
        let range = upstream.assigned_bus_range();
        let awake = upstream.power_state() == PowerState::D0;
        if range == (0..=0) || upstream.secondary_bus_reset() || !awake {
            self.downstream_ports.claim_nothing();
        } else {
            self.downstream_ports.refresh(range);
        }
    }

    #[inline(always)]
    fn read_routed(
        &mut self,
        secondary: u8,
        target: u8,
        function: u8,
        offset: u16,
        value: &mut u32,
    ) -> Option<IoResult> {
        if target != secondary {
            return self.downstream_ports.read(target, function, offset, value);
        }
        self.read_upstream(function, offset, value)
    }

    /// Reads what a Type 0 access reaches: the upstream port, function 0.
    // Kept apart so that the way through needs neither a stack frame nor saved registers.
    #[inline(never)]
    fn read_upstream(&mut self, function: u8, offset: u16, value: &mut u32) -> Option<IoResult> {
        (function == 0).then(|| self.upstream_port.cfg_space.read_u32(offset, value))
    }

    fn write_routed(
        &mut self,
        secondary: u8,
        target: u8,
        function: u8,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Option<IoResult> {
        if target == secondary {
            return (function == 0).then(|| self.write_upstream(offset, value, enables));
        }
        let (result, effects) = self
            .downstream_ports
            .write(target, function, offset, value, enables);
        if effects.bus_numbers {
            self.refresh_routes();
        }
        result
    }

    fn write_upstream(&mut self, offset: u16, value: u32, enables: ByteEnables) -> IoResult {
        let was_held = self.upstream_port.cfg_space.secondary_bus_reset();
        let written = self
            .upstream_port
            .cfg_space
            .write_bytes(offset, value, enables);
        let effects = match written {
            Ok(effects) => effects,
            Err(error) => return IoResult::Err(error),
        };
        match (was_held, self.upstream_port.cfg_space.secondary_bus_reset()) {
            (false, true) => {
                let kind = EventKind::Reset(Reset::Hot);
                let events = self.fabric.events();
                events.push(&self.name, None, kind, "secondary bus reset");
                self.downstream_ports.reset(Reset::Hot);
            }
            (true, false) => {
                self.downstream_ports.retransmit_pme();
                self.fabric.announce_message();
            }
            _ => {}
        }
        if effects.bus_numbers || effects.bridge_control || effects.power_state {
            self.refresh_routes();
        }
        if effects.power_state {
            let state = self.upstream_port.cfg_space.power_state();
            let kind = EventKind::PowerState(state);
            self.fabric.events().push(&self.name, None, kind, "");
        }
        if effects.pme {
            self.fabric.announce_message();
        }
        if effects.command || effects.windows || effects.bridge_control || effects.power_state {
            self.hand_down();
        }
        IoResult::Ok
    }

    /// The bridges above let `upstream` through from now on.
    fn set_upstream(&mut self, upstream: &Upstream) {
        self.upstream_port.cfg_space.set_upstream(upstream);
        self.hand_down();
    }

    /// Tells the downstream ports what comes through the upstream port to them, if that changed.
    fn hand_down(&mut self) {
        let below = self.upstream_port.cfg_space.downstream();
        if below != self.below {
            self.downstream_ports.set_upstream(&below);
            self.below = below;
        }
    }

    /// INTx of the switch, and of all below it, ends at `lines`.
    fn wire_intx(&mut self, lines: &IntxLines) {
        self.upstream_port.intx.wire(&self.name, lines);
        self.downstream_ports
            .wire_intx(|device| lines.of_device(device));
    }

    fn reset_by(&mut self, kind: Reset) {
        self.upstream_port.cfg_space.reset_by(kind);
        self.upstream_port.own.reset(kind);
        self.downstream_ports.reset(kind);
        self.refresh_routes();
        self.hand_down();
    }
}

impl ChipsetDevice for GenericPcieSwitch {
    fn supports_pci(&mut self) -> Option<&mut dyn PciConfigSpace> {
        Some(self)
    }
}

impl PciConfigSpace for GenericPcieSwitch {
    fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> IoResult {
        self.upstream_port.cfg_space.read_u32(offset, value)
    }

    fn pci_cfg_write(&mut self, offset: u16, value: u32) -> IoResult {
        self.write_upstream(offset, value, ByteEnables::ALL)
    }

    fn pci_cfg_write_bytes(&mut self, offset: u16, value: u32, enables: ByteEnables) -> IoResult {
        self.write_upstream(offset, value, enables)
    }

    fn pci_cfg_read_with_routing(
        &mut self,
        secondary_bus: u8,
        target_bus: u8,
        function: u8,
        offset: u16,
        value: &mut u32,
    ) -> IoResult {
        *value = u32::MAX;
        self.read_routed(secondary_bus, target_bus, function, offset, value)
            .unwrap_or(IoResult::Ok)
    }

    fn pci_cfg_write_with_routing(
        &mut self,
        secondary_bus: u8,
        target_bus: u8,
        function: u8,
        offset: u16,
        value: u32,
    ) -> IoResult {
        self.write_routed(
            secondary_bus,
            target_bus,
            function,
            offset,
            value,
            ByteEnables::ALL,
        )
        .unwrap_or(IoResult::Ok)
    }

    fn pci_cfg_write_bytes_with_routing(
        &mut self,
        secondary_bus: u8,
        target_bus: u8,
        function: u8,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> IoResult {
        self.write_routed(secondary_bus, target_bus, function, offset, value, enables)
            .unwrap_or(IoResult::Ok)
    }
}

impl ChangeDeviceState for GenericPcieSwitch {
    fn start(&mut self) {}

    async fn stop(&mut self) {}

    async fn reset(&mut self) {
        self.reset_by(Reset::Cold);
    }
}
