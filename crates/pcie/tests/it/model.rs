//! The two sides of a fabric: the monitor with its MMIO and interrupts, and devices to attach.

use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::mmio::ControlMmioIntercept;
use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use chipset_device::mmio::MmioIntercept;
use chipset_device::mmio::RegisterMmioIntercept;
use inspect::InspectMut;
use memory_range::MemoryRange;
use parking_lot::Mutex;
use pci_bus::GenericPciBusDevice;
use pci_bus::ManagedDevice;
use pci_core::bus_range::AssignedBusRange;
use pci_core::msi::MsiConnection;
use pci_core::msi::MsiTarget;
use pci_core::msi::SignalMsi;
use pcie::PortConfig;
use pcie::root::GenericPcieRootComplex;
use pcie::root::RootComplexBuilder;
use pcie::switch::GenericPcieSwitch;
use pcie::switch::SwitchConfig;
use std::sync::Arc;
use std::task::Context;
use std::task::Waker;
use vmcore::device_state::ChangeDeviceState;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;
use vmcore::save_restore::SavedStateBlob;

/// Where the tests' ECAM begins.
pub(crate) const ECAM: u64 = 0xe000_0000;

/// An ECAM range for buses `start` to `end`.
pub(crate) fn ecam(start: u8, end: u8) -> MemoryRange {
    MemoryRange::new(ECAM..ECAM + (u64::from(end - start) + 1) * 0x10_0000)
}

/// A builder of buses 0 to 15.
pub(crate) fn builder() -> RootComplexBuilder {
    GenericPcieRootComplex::builder(0, 15, ecam(0, 15))
}

/// Builds a root complex whose MMIO and interrupts go nowhere.
pub(crate) fn build(builder: RootComplexBuilder) -> GenericPcieRootComplex {
    builder
        .build(
            &mut ExternallyManagedMmioIntercepts,
            &MsiTarget::disconnected(),
        )
        .unwrap()
}

/// A root complex of buses 0 to 15 with plain ports rp0 and up.
pub(crate) fn plain(ports: u8) -> GenericPcieRootComplex {
    build((0..ports).fold(builder(), |builder, i| {
        builder.port(PortConfig::new(format!("rp{i}"), i, 0))
    }))
}

/// A switch with downstream ports "{name}-0" and up at devices 0 and up, all with slots.
pub(crate) fn switch(name: &str, ports: u8) -> GenericPcieSwitch {
    switch_with(name, ports, &MsiTarget::disconnected())
}

pub(crate) fn switch_with(name: &str, ports: u8, target: &MsiTarget) -> GenericPcieSwitch {
    let mut config = SwitchConfig::new(name);
    config.ports = (0..ports)
        .map(|i| PortConfig::new(format!("{name}-{i}"), i, 0).with_slot(u32::from(i) + 1))
        .collect();
    config.build(target, None).unwrap()
}

/// A guest's accesses.
pub(crate) trait Guest {
    fn load(&mut self, address: u64, len: usize) -> Result<Vec<u8>, IoError>;
    fn store(&mut self, address: u64, data: &[u8]) -> Result<(), IoError>;

    /// Reads a dword of configuration space.
    fn read(&mut self, bus: u8, devfn: u8, offset: u16) -> u32 {
        let data = self.load(config(bus, devfn, offset), 4).unwrap();
        u32::from_le_bytes(data.try_into().unwrap())
    }

    /// Writes a dword of configuration space.
    fn write(&mut self, bus: u8, devfn: u8, offset: u16, value: u32) {
        self.store(config(bus, devfn, offset), &value.to_le_bytes())
            .unwrap();
    }

    /// Gives a bridge its bus numbers.
    fn number(&mut self, (bus, devfn): (u8, u8), secondary: u8, subordinate: u8) {
        let value = u32::from_le_bytes([bus, secondary, subordinate, 0]);
        self.write(bus, devfn, 0x18, value);
    }

    /// Opens a bridge for all of memory and I/O, and for requests from below.
    fn open(&mut self, (bus, devfn): (u8, u8)) {
        for (offset, value) in [
            (0x1c, 0xf000),
            (0x24, 0xfff0_0000),
            (0x28, 0),
            (0x2c, u32::MAX),
            (0x30, 0xffff_0000),
            (0x04, 7),
        ] {
            self.write(bus, devfn, offset, value);
        }
    }

    fn load_u32(&mut self, address: u64) -> u32 {
        u32::from_le_bytes(self.load(address, 4).unwrap().try_into().unwrap())
    }

    fn store_u32(&mut self, address: u64, value: u32) {
        self.store(address, &value.to_le_bytes()).unwrap();
    }
}

/// The address of a configuration register, in an ECAM whose first bus is 0.
pub(crate) fn config(bus: u8, devfn: u8, offset: u16) -> u64 {
    ECAM + (u64::from(bus) << 20) + (u64::from(devfn) << 12) + u64::from(offset)
}

impl Guest for GenericPcieRootComplex {
    fn load(&mut self, address: u64, len: usize) -> Result<Vec<u8>, IoError> {
        let mut data = vec![0xa5; len];
        self.mmio_read(address, &mut data).now_or_never()?;
        Ok(data)
    }

    fn store(&mut self, address: u64, data: &[u8]) -> Result<(), IoError> {
        self.mmio_write(address, data).now_or_never()
    }
}

/// Resets the root complex and all below.
pub(crate) fn reset(root: &mut GenericPcieRootComplex) {
    let mut reset = std::pin::pin!(root.reset());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(reset.as_mut().poll(&mut cx).is_ready());
}

/// Bytes of the saved state.
pub(crate) fn saved(root: &mut GenericPcieRootComplex) -> Vec<u8> {
    mesh_protobuf::encode(root.save().unwrap())
}

/// Restores what [`saved`] gave.
pub(crate) fn restore(root: &mut GenericPcieRootComplex, bytes: &[u8]) -> Result<(), RestoreError> {
    root.restore(mesh_protobuf::decode(bytes).unwrap())
}

/// Asks whether [`restore`] would take a state.
pub(crate) fn check(root: &mut GenericPcieRootComplex, bytes: &[u8]) -> Result<(), RestoreError> {
    root.check(&mesh_protobuf::decode(bytes).unwrap())
}

/// Messages sent, with the requester's ID.
#[derive(Default)]
pub(crate) struct Messages(Mutex<Vec<(Option<u32>, u64, u32)>>);

impl Messages {
    /// A sink, and the connection to it of a function on the root bus.
    pub(crate) fn connected() -> (Arc<Self>, MsiConnection) {
        let messages = Arc::new(Self::default());
        let connection = MsiConnection::new(AssignedBusRange::new(), 0);
        connection.connect(messages.clone());
        (messages, connection)
    }

    /// What came since the last time.
    pub(crate) fn take(&self) -> Vec<(Option<u32>, u64, u32)> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl SignalMsi for Messages {
    fn signal_msi(&self, devid: Option<u32>, address: u64, data: u32) {
        self.0.lock().push((devid, address, data));
    }
}

/// The names of the regions that exist, and where they are mapped.
#[derive(Clone, Default)]
pub(crate) struct Regions(Arc<Mutex<Vec<Option<RegionEntry>>>>);

type RegionEntry = (String, u64, Option<u64>);

struct Region(Regions, usize);

impl Regions {
    pub(crate) fn live(&self) -> Vec<RegionEntry> {
        self.0.lock().iter().flatten().cloned().collect()
    }
}

impl RegisterMmioIntercept for Regions {
    fn new_io_region(&mut self, region_name: &str, len: u64) -> Box<dyn ControlMmioIntercept> {
        let mut regions = self.0.lock();
        regions.push(Some((region_name.to_owned(), len, None)));
        Box::new(Region(self.clone(), regions.len() - 1))
    }
}

impl Region {
    fn place(&self, address: Option<u64>) {
        self.0.0.lock()[self.1].as_mut().unwrap().2 = address;
    }
}

impl ControlMmioIntercept for Region {
    fn region_name(&self) -> &str {
        "region"
    }
    fn map(&mut self, addr: u64) {
        self.place(Some(addr));
    }
    fn unmap(&mut self) {
        self.place(None);
    }
    fn addr(&self) -> Option<u64> {
        self.0.0.lock()[self.1].as_ref().unwrap().2
    }
    fn len(&self) -> u64 {
        self.0.0.lock()[self.1].as_ref().unwrap().1
    }
    fn offset_of(&self, _addr: u64) -> Option<u64> {
        None
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        self.0.0.lock()[self.1] = None;
    }
}

/// An endpoint with an identity and one register at 0x40, whose lifecycle is its port's. It answers each of its functions
/// with the function's number in the revision.
pub(crate) struct Scratch {
    id: u32,
    value: u32,
    /// How often it is asked whether it is ready before it is.
    pub(crate) unready: u32,
    /// Refuses to be restored, although it says that it would take any state.
    pub(crate) refuses: bool,
    /// What it saw last: secondary bus, target bus, function.
    pub(crate) seen: Arc<Mutex<Option<(u8, u8, u8)>>>,
}

impl Scratch {
    pub(crate) fn new(id: u32) -> Self {
        Self {
            id,
            value: 0,
            unready: 0,
            refuses: false,
            seen: Arc::default(),
        }
    }

    pub(crate) fn boxed(id: u32) -> Box<dyn GenericPciBusDevice> {
        Box::new(Self::new(id))
    }
}

mod state {
    use mesh_protobuf::Protobuf;
    use vmcore::save_restore::SavedStateRoot;

    #[derive(Protobuf, SavedStateRoot)]
    #[mesh(package = "pcie.test")]
    pub(crate) struct Scratch {
        #[mesh(1)]
        pub value: u32,
    }
}

impl GenericPciBusDevice for Scratch {
    fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> Option<IoResult> {
        *value = match offset {
            0 => self.id,
            0x40 => self.value,
            _ => 0,
        };
        Some(IoResult::Ok)
    }

    fn pci_cfg_write(&mut self, offset: u16, value: u32) -> Option<IoResult> {
        if offset == 0x40 {
            self.value = value;
        }
        Some(IoResult::Ok)
    }

    fn pci_cfg_read_with_routing(
        &mut self,
        secondary_bus: u8,
        target_bus: u8,
        function: u8,
        offset: u16,
        value: &mut u32,
    ) -> Option<IoResult> {
        *self.seen.lock() = Some((secondary_bus, target_bus, function));
        if secondary_bus != target_bus {
            return None;
        }
        let result = self.pci_cfg_read(offset, value);
        if offset == 8 {
            *value = function.into();
        }
        result
    }

    fn managed(&mut self) -> Option<&mut dyn ManagedDevice> {
        Some(self)
    }
}

impl InspectMut for Scratch {
    fn inspect_mut(&mut self, req: inspect::Request<'_>) {
        req.respond().hex("value", self.value);
    }
}

impl ManagedDevice for Scratch {
    fn reset(&mut self, _kind: reg_table::Reset) {
        self.value = 0;
    }

    fn is_ready(&mut self) -> bool {
        let ready = self.unready == 0;
        self.unready = self.unready.saturating_sub(1);
        ready
    }

    fn save(&mut self) -> Result<SavedStateBlob, SaveError> {
        Ok(SavedStateBlob::new(state::Scratch { value: self.value }))
    }

    fn check(&mut self, state: &SavedStateBlob) -> Result<(), RestoreError> {
        state.parse::<state::Scratch>()?;
        Ok(())
    }

    fn restore(&mut self, state: SavedStateBlob) -> Result<(), RestoreError> {
        if self.refuses {
            return Err(RestoreError::SavedStateNotSupported);
        }
        self.value = state.parse::<state::Scratch>()?.value;
        Ok(())
    }
}
