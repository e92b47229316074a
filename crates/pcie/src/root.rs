//! Root complexes.
//!
//! # Routing
//!
//! An ECAM access (PCIe 6.2 section 7.2.2) names bus, device, function and register. The first bus of the root complex is its own:
//! there, root ports and integrated endpoints answer. Any other bus is looked up in a table that follows what the guest writes
//! into the root ports' bus numbers. Where the guest's numbers make no sense, this holds:
//!
//! - a bus that several ports claim goes to the port with the lowest device and function number;
//! - a port whose secondary number is above its subordinate number claims nothing, and neither does one with both zero;
//! - the root complex's first bus, and buses beyond its last, are never a port's;
//! - on a port's secondary bus only functions 0 to 7 are reached (device 0), unless the guest enabled ARI forwarding;
//! - nothing is below a port whose link is down, or whose secondary bus is held in reset;
//! - what nobody answers reads all-ones and drops writes; where no function and no port claims it, it is counted.

mod builder;
mod host_bridge;
mod inspection;
mod save_restore;

pub use builder::RootComplexBuilder;

use crate::ComposeError;
use crate::ECAM_BUS_SHIFT;
use crate::ECAM_FUNCTION_SHIFT;
use crate::PciePortSettings;
use crate::port::check_memory_access;
use crate::port_set::PortSet;
use chipset_device::ChipsetDevice;
use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::io::deferred::MergeQueue;
use chipset_device::mmio::ControlMmioIntercept;
use chipset_device::mmio::MmioIntercept;
use chipset_device::mmio::RegisterMmioIntercept;
use chipset_device::pci::ByteEnables;
use chipset_device::pio::PortIoIntercept;
use chipset_device::poll_device::PollDevice;
use host_bridge::HostBridge;
use memory_range::MemoryRange;
use pci_bus::Fabric;
use pci_bus::GenericPciBusDevice;
use pci_bus::HotPlugPort;
use pci_bus::Stimulus;
use pci_bus::StimulusError;
use pci_bus::events::EventKind;
use pci_bus::events::FabricEvents;
use pci_core::bus_range::AssignedBusRange;
use pci_core::msi::MsiTarget;
use pci_core::spec::Bdf;
use pci_core::spec::errors::DetectedError;
use reg_table::Reset;
use std::sync::Arc;
use std::task::Context;
use vmcore::device_state::ChangeDeviceState;

/// Devices on a bus.
const DEVICES_PER_BUS: usize = 32;

/// A downstream port, as whoever attaches devices sees it.
pub struct DownstreamPortInfo {
    /// Device number in bits 7:3, function number in bits 2:0.
    pub port_number: u8,
    /// Its name.
    pub name: Arc<str>,
    /// The bus numbers the guest gives it.
    pub bus_range: AssignedBusRange,
}

/// A root port of [`GenericPcieRootComplex::new`].
pub struct GenericPcieRootPortDefinition {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it has a hot-plug slot.
    pub hotplug: bool,
    /// Its settings.
    pub settings: PciePortSettings,
}

/// A switch below a root port or another switch, as a list of them describes a hierarchy.
pub struct GenericSwitchDefinition {
    /// Its name.
    pub name: Arc<str>,
    /// How many downstream ports it has.
    pub num_downstream_ports: u8,
    /// The port it is attached to.
    pub parent_port: Arc<str>,
    /// Whether its downstream ports have hot-plug slots.
    pub hotplug: bool,
    /// Settings of its downstream ports.
    pub dsp_settings: PciePortSettings,
}

impl GenericSwitchDefinition {
    /// A switch `name` with `num_downstream_ports` ports below port `parent_port`.
    pub fn new(
        name: impl Into<Arc<str>>,
        num_downstream_ports: u8,
        parent_port: impl Into<Arc<str>>,
        hotplug: bool,
        dsp_settings: PciePortSettings,
    ) -> Self {
        Self {
            name: name.into(),
            num_downstream_ports,
            parent_port: parent_port.into(),
            hotplug,
            dsp_settings,
        }
    }
}

/// A root complex: ECAM, root ports, integrated endpoints, and in CXL mode the host bridge's component registers.
///
/// Its monitor registers it for the MMIO it asks for, and forwards accesses to [`MmioIntercept`].
pub struct GenericPcieRootComplex {
    segment: u16,
    start_bus: u8,
    end_bus: u8,
    ecam_range: MemoryRange,
    /// Bytes of ECAM that nothing lies over, from its start; 0 when a BAR does, and the slow path decides.
    ecam_clear_len: u64,
    /// The registration; dropped with the root complex.
    _ecam: Box<dyn ControlMmioIntercept>,
    host_bridge: Option<HostBridge>,
    functions: PortSet,
    /// Sub-dword writes to devices that only take dwords and defer.
    merges: MergeQueue<(Bdf, u16)>,
    fabric: Fabric,
    name: Arc<str>,
}

impl GenericPcieRootComplex {
    /// Composes a root complex of buses `start_bus` to `end_bus`, with port i at device i, function 0. A port with a hot-plug
    /// slot gets the number of its device and function, plus one. `chbcr_range` turns CXL mode on. Bus Master Enable does not gate the
    /// ports' own interrupts. See [`Self::builder`] for everything else.
    ///
    /// # Panics
    ///
    /// Where [`RootComplexBuilder::build`] gives an error, with its text: when `ecam_range` is not 1 MiB for each bus, or
    /// there are more than 32 ports.
    #[expect(
        clippy::panic,
        reason = "documented; callers with values that are not constants use the builder"
    )]
    pub fn new(
        register_mmio: &mut dyn RegisterMmioIntercept,
        start_bus: u8,
        end_bus: u8,
        chbcr_range: Option<MemoryRange>,
        ecam_range: MemoryRange,
        ports: Vec<GenericPcieRootPortDefinition>,
        msi_target: &MsiTarget,
    ) -> Self {
        let mut builder = Self::builder(start_bus, end_bus, ecam_range).without_bus_master_gate();
        if let Some(range) = chbcr_range {
            builder = builder.host_bridge_registers(range);
        }
        let composed = match ports.len() {
            0..=DEVICES_PER_BUS => builder.ports(ports).build(register_mmio, msi_target),
            count => Err(ComposeError::TooManyPorts {
                count,
                max: DEVICES_PER_BUS,
            }),
        };
        match composed {
            Ok(root) => root,
            Err(error) => panic!("{error}"),
        }
    }

    /// Begins the composition of a root complex of buses `start_bus` to `end_bus`, whose configuration space is reached at
    /// `ecam_range`.
    pub fn builder(start_bus: u8, end_bus: u8, ecam_range: MemoryRange) -> RootComplexBuilder {
        RootComplexBuilder::new(start_bus, end_bus, ecam_range)
    }

    /// The segment it belongs to.
    pub fn segment(&self) -> u16 {
        self.segment
    }

    /// The first and the last of its buses.
    pub fn bus_range(&self) -> (u8, u8) {
        (self.start_bus, self.end_bus)
    }

    /// Bytes of its ECAM range: 1 MiB for each bus.
    pub fn ecam_size(&self) -> u64 {
        self.ecam_range.len()
    }

    /// Where its ECAM is.
    pub fn ecam_range(&self) -> MemoryRange {
        self.ecam_range
    }

    /// Its root ports, in order of device and function number.
    pub fn downstream_ports(&self) -> Vec<DownstreamPortInfo> {
        self.functions.port_infos()
    }

    /// Attaches a device to the root port at `port` (device in bits 7:3, function in bits 2:0) before the guest runs.
    ///
    /// # Errors
    ///
    /// - the port is occupied: the error is the existing device's name;
    /// - there is no such port: the error says so.
    pub fn add_pcie_device(
        &mut self,
        port: u8,
        name: impl AsRef<str>,
        dev: Box<dyn GenericPciBusDevice>,
    ) -> Result<(), Arc<str>> {
        let Some(found) = self.functions.port_at(port) else {
            return Err(format!("Port {port:#04x} not found").into());
        };
        if let Some((existing, _)) = found.attached() {
            return Err(existing.clone());
        }
        let port_name = found.name.clone();
        found
            .add_pcie_device(&port_name, name.as_ref(), dev)
            .map_err(|error| error.to_string().into())
    }

    /// Attaches a device to a port anywhere in the hierarchy while the guest runs.
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

    /// Removes the device at a port anywhere in the hierarchy while the guest runs.
    ///
    /// # Errors
    ///
    /// - no port has this name;
    /// - the port is not hot-plug capable, or is empty.
    pub fn hotplug_remove_device(&mut self, port_name: &str) -> anyhow::Result<()> {
        self.port_named(port_name)?.hotplug_remove_device()
    }

    /// A port anywhere in the hierarchy, as an operator works it.
    ///
    /// # Errors
    ///
    /// - no port has this name.
    pub fn port_named(&mut self, name: &str) -> anyhow::Result<&mut dyn HotPlugPort> {
        self.functions
            .operate(&self.fabric, self.start_bus, name)
            .ok_or_else(|| anyhow::anyhow!("no port is named '{name}'"))
    }

    /// What happened in the hierarchy: devices, slots, links, resets, errors.
    pub fn events(&self) -> &FabricEvents {
        self.fabric.events()
    }

    /// Lets a function anywhere in the hierarchy detect an error: it is recorded in the function, and reported, masked or contained as the
    /// guest set that up (PCIe 6.2 section 6.2). `name` is that of a port, of a device as it was attached, in which `function` counts,
    /// or of an integrated endpoint.
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
        self.stimulate(name, function, Stimulus::Error(error))
    }

    /// Lets a function anywhere in the hierarchy signal a power management event, most often to be woken (PCIe 6.2 section 5.3.3). If
    /// software enabled that, the function's root port, or the event collector of an integrated endpoint, shows it in Root Status.
    /// Names as in [`Self::record_error`].
    ///
    /// # Errors
    ///
    /// [`StimulusError`]: nothing has this name, it has no such function, or the function signals no such events in its power state.
    pub fn wake(&mut self, name: &str, function: u8) -> Result<(), StimulusError> {
        self.stimulate(name, function, Stimulus::Wake)
    }

    fn stimulate(
        &mut self,
        name: &str,
        function: u8,
        stimulus: Stimulus,
    ) -> Result<(), StimulusError> {
        let (fabric, bus) = (&self.fabric, self.start_bus);
        let found = self
            .functions
            .stimulate(fabric, bus, name, function, stimulus);
        self.route_messages();
        found.unwrap_or_else(|| {
            Err(StimulusError::UnknownName {
                name: name.to_owned(),
            })
        })
    }

    /// Routes the messages that wait, if any do.
    #[inline]
    fn route_messages(&mut self) {
        if self.fabric.take_announcement() {
            self.functions.route_messages(self.start_bus);
        }
    }

    fn refresh_routes(&mut self) {
        self.functions.refresh(self.start_bus..=self.end_bus);
        self.refresh_overlay();
    }

    /// A BAR over ECAM wins, as the addresses are looked up in that order; then ECAM loses its short cut.
    fn refresh_overlay(&mut self) {
        let ecam = self.ecam_range;
        let covered = self.functions.ports().any(|(_, port)| {
            port.cfg_space.bar_mappings().iter().any(|bar| {
                bar.base_address < ecam.end()
                    && bar.base_address.saturating_add(bar.len) > ecam.start()
            })
        });
        self.ecam_clear_len = if covered { 0 } else { ecam.len() };
    }

    /// Reads from ECAM. Nearly all accesses are whole dwords: these take the short way.
    #[inline(always)]
    fn ecam_read(&mut self, offset: u64, data: &mut [u8]) -> IoResult {
        match <&mut [u8; 4]>::try_from(&mut *data) {
            Ok(dword) if offset & 3 == 0 => {
                let mut value = u32::MAX;
                let (bus, devfn, register) = self.decode(offset);
                let result = self.functions.read(bus, devfn, register, &mut value);
                *dword = value.to_le_bytes();
                match result {
                    Some(IoResult::Ok) => IoResult::Ok,
                    None => {
                        self.unanswered(bus, register, dword);
                        IoResult::Ok
                    }
                    // Passing the result on as a whole would read it back as it was just written, byte by byte, and wait.
                    Some(other) => not_done(other),
                }
            }
            _ => self.ecam_read_split(offset, data),
        }
    }

    /// What a read of a register on a bus returns that nobody answered: all-ones, unless it is the Vendor ID of a device that is not
    /// ready yet, and the guest asked to see that (PCIe 6.2 section 2.3.2).
    #[cold]
    #[inline(never)]
    fn unanswered(&mut self, bus: u8, register: u16, dword: &mut [u8; 4]) {
        if let Some(visible) = self.functions.request_retry(bus)
            && visible
            && register == 0
        {
            *dword = NOT_READY.to_le_bytes();
        }
    }

    /// Reads a part of a dword, or two dwords.
    // Out of the way of whole dwords, but not cold: a scan of Vendor IDs consists of it.
    #[inline(never)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the part is cut out on purpose"
    )]
    fn ecam_read_split(&mut self, offset: u64, data: &mut [u8]) -> IoResult {
        let (len, lane) = match lane_of_access(offset, data.len()) {
            Ok(lane) => (data.len(), lane),
            Err(error) => return IoResult::Err(error),
        };
        if len > 4 {
            return self.ecam_read_two(offset, data);
        }
        let mut dword = [0; 4];
        match self.ecam_read(offset & !3, &mut dword) {
            IoResult::Ok => {}
            IoResult::Defer(token) => return IoResult::Defer(token.narrow(lane, len)),
            error @ IoResult::Err(_) => return error,
        }
        let part = u32::from_le_bytes(dword) >> (8 * lane);
        if let [byte] = data {
            *byte = part as u8;
        } else if let Ok(word) = <&mut [u8; 2]>::try_from(data) {
            // In one store: who loads both bytes at once would wait for two.
            *word = (part as u16).to_le_bytes();
        }
        IoResult::Ok
    }

    /// Reads two dwords.
    #[cold]
    fn ecam_read_two(&mut self, offset: u64, data: &mut [u8]) -> IoResult {
        for (offset, dword) in (offset..).step_by(4).zip(data.chunks_exact_mut(4)) {
            match self.ecam_read(offset, dword) {
                IoResult::Ok => {}
                // One request is one dword (PCIe 6.2 section 2.2.7); two deferred halves cannot be put together.
                IoResult::Defer(_) => return IoResult::Err(IoError::InvalidAccessSize),
                error @ IoResult::Err(_) => return error,
            }
        }
        IoResult::Ok
    }

    fn ecam_write(&mut self, offset: u64, data: &[u8]) -> IoResult {
        let (len, lane) = match lane_of_access(offset, data.len()) {
            Ok(lane) => (data.len(), lane),
            Err(error) => return IoResult::Err(error),
        };
        let (bus, devfn, register) = self.decode(offset);
        let bdf = Bdf::from_devfn(bus, devfn);
        let (dword, rest) = data.split_at(len.min(4));
        let value = dword
            .iter()
            .rev()
            .fold(0, |value, byte| (value << 8) | u32::from(*byte))
            << (8 * lane);
        let enables = u8::try_from(lane)
            .ok()
            .zip(u8::try_from(dword.len()).ok())
            .and_then(|(lane, len)| ByteEnables::for_access(lane, len))
            .unwrap_or(ByteEnables::NONE);
        let result = self.write_dword(bdf, register, value, enables);
        let result = self.merges.intercept((bdf, register), result);
        if rest.is_empty() {
            return result;
        }
        // See `ecam_read_two`.
        match result {
            IoResult::Ok => match self.ecam_write(offset + 4, rest) {
                IoResult::Defer(_) => IoResult::Err(IoError::InvalidAccessSize),
                result => result,
            },
            IoResult::Defer(_) => IoResult::Err(IoError::InvalidAccessSize),
            IoResult::Err(error) => IoResult::Err(error),
        }
    }

    /// Bus, device and function number, and register of an offset into ECAM.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "each field of the offset is cut out on purpose"
    )]
    fn decode(&self, offset: u64) -> (u8, u8, u16) {
        (
            self.start_bus
                .wrapping_add((offset >> ECAM_BUS_SHIFT) as u8),
            (offset >> ECAM_FUNCTION_SHIFT) as u8,
            (offset & 0xffc) as u16,
        )
    }

    fn write_dword(
        &mut self,
        bdf: Bdf,
        register: u16,
        value: u32,
        enables: ByteEnables,
    ) -> IoResult {
        let (result, effects) =
            self.functions
                .write(bdf.bus(), bdf.devfn(), register, value, enables);
        if effects.bus_numbers {
            self.refresh_routes();
        } else if effects.bars || effects.command {
            self.refresh_overlay();
        }
        self.route_messages();
        result.unwrap_or(IoResult::Ok)
    }

    /// The offset into ECAM of an address.
    #[inline]
    fn ecam_offset(&self, address: u64) -> Option<u64> {
        address
            .checked_sub(self.ecam_range.start())
            .filter(|offset| *offset < self.ecam_range.len())
    }

    /// Reads what is not plainly ECAM: the host bridge's registers, BARs, and ECAM where a BAR lies over it.
    #[cold]
    fn mmio_read_elsewhere(&mut self, addr: u64, data: &mut [u8]) -> IoResult {
        if let Some(bridge) = &mut self.host_bridge
            && let Some(offset) = bridge.offset(addr)
        {
            return bridge.read(offset, data);
        }
        if let Some(result) = self.functions.mmio_read(addr, data) {
            return result;
        }
        match self.ecam_offset(addr) {
            Some(offset) => self.ecam_read(offset, data),
            None => IoResult::Err(IoError::InvalidRegister),
        }
    }

    fn reset_by(&mut self, kind: Reset) {
        let name = self.name.clone();
        let events = self.fabric.events();
        events.push(&name, None, EventKind::Reset(kind), "root complex");
        self.merges.clear();
        self.functions.reset(kind);
        if let Some(bridge) = &mut self.host_bridge {
            bridge.reset(kind);
        }
        self.refresh_routes();
    }
}

/// A Vendor ID that no vendor has, and all-ones beyond it: the device is not ready yet (PCIe 6.2 section 2.3.2).
const NOT_READY: u32 = 0xffff_0001;

/// A result other than `Ok`.
#[cold]
#[inline(never)]
fn not_done(result: IoResult) -> IoResult {
    result
}

/// The byte of its dword that an ECAM access begins with: 1, 2, 4 or 8 bytes, naturally aligned.
fn lane_of_access(offset: u64, len: usize) -> Result<usize, IoError> {
    check_memory_access(offset, len)?;
    Ok((offset & 3) as usize)
}

impl ChipsetDevice for GenericPcieRootComplex {
    fn supports_pio(&mut self) -> Option<&mut dyn PortIoIntercept> {
        Some(self)
    }

    fn supports_mmio(&mut self) -> Option<&mut dyn MmioIntercept> {
        Some(self)
    }

    fn supports_poll_device(&mut self) -> Option<&mut dyn PollDevice> {
        Some(self)
    }
}

impl MmioIntercept for GenericPcieRootComplex {
    fn mmio_read(&mut self, addr: u64, data: &mut [u8]) -> IoResult {
        let offset = addr.wrapping_sub(self.ecam_range.start());
        if offset < self.ecam_clear_len {
            self.ecam_read(offset, data)
        } else {
            self.mmio_read_elsewhere(addr, data)
        }
    }

    fn mmio_write(&mut self, addr: u64, data: &[u8]) -> IoResult {
        let offset = addr.wrapping_sub(self.ecam_range.start());
        if offset < self.ecam_clear_len {
            return self.ecam_write(offset, data);
        }
        if let Some(bridge) = &mut self.host_bridge
            && let Some(offset) = bridge.offset(addr)
        {
            return bridge.write(offset, data);
        }
        if let Some(result) = self.functions.mmio_write(addr, data) {
            self.route_messages();
            return result;
        }
        match self.ecam_offset(addr) {
            Some(offset) => self.ecam_write(offset, data),
            None => IoResult::Err(IoError::InvalidRegister),
        }
    }
}

/// Ports of I/O BARs below. The monitor forwards accesses to the ports that were registered for them.
impl PortIoIntercept for GenericPcieRootComplex {
    fn io_read(&mut self, port: u16, data: &mut [u8]) -> IoResult {
        self.functions
            .io_read(port, data)
            .unwrap_or(IoResult::Err(IoError::InvalidRegister))
    }

    fn io_write(&mut self, port: u16, data: &[u8]) -> IoResult {
        let result = self.functions.io_write(port, data);
        self.route_messages();
        result.unwrap_or(IoResult::Err(IoError::InvalidRegister))
    }
}

impl PollDevice for GenericPcieRootComplex {
    fn poll_device(&mut self, cx: &mut Context<'_>) {
        let mut merges = std::mem::take(&mut self.merges);
        merges.poll(cx, |(bdf, register), dword| {
            self.write_dword(*bdf, *register, dword, ByteEnables::ALL)
        });
        self.merges = merges;
        // A device may detect an error, or signal a power management event, on a thread of its own.
        self.route_messages();
    }
}

impl ChangeDeviceState for GenericPcieRootComplex {
    fn start(&mut self) {}

    async fn stop(&mut self) {}

    async fn reset(&mut self) {
        self.reset_by(Reset::Cold);
    }
}
