//! Devices that act on the guest's memory, as a replay has them: with their configuration space, and without their registers.
//!
//! What such a device answers depends on memory that no recording holds, and on the time its threads take. Its configuration space does not.

use chipset_device::io::IoResult;
use chipset_device::pci::ByteEnables;
use inspect::InspectMut;
use parking_lot::Mutex;
use pci_bus::Fabric;
use pci_bus::GenericPciBusDevice;
use pci_bus::IntxLines;
use pci_bus::LinkEnd;
use pci_bus::ManagedDevice;
use pci_bus::Stimulus;
use pci_bus::StimulusError;
use pci_bus::Upstream;
use pci_core::spec::messages::Message;
use pcie_topology::DeviceConnections;
use pcie_topology::DeviceError;
use pcie_topology::DeviceFactory;
use pcie_topology::EndpointSpec;
use reg_table::Reset;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SavedStateBlob;

/// What the stand-ins of a replay have in common.
#[derive(Clone, Default)]
pub(crate) struct StandIns {
    names: Arc<Mutex<BTreeSet<String>>>,
    reached: Arc<AtomicBool>,
}

impl StandIns {
    /// A factory whose devices are stand-ins for those of `devices`.
    pub(crate) fn of<'a>(&self, devices: &'a mut dyn DeviceFactory) -> Understudy<'a> {
        Understudy {
            devices,
            all: self.clone(),
        }
    }

    /// Whether there is or was a stand-in of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.lock().contains(name)
    }

    /// Whether a stand-in's memory or ports were accessed since the last call.
    pub(crate) fn take_reached(&self) -> bool {
        self.reached.swap(false, Ordering::Relaxed)
    }
}

/// Makes stand-ins.
pub(crate) struct Understudy<'a> {
    devices: &'a mut dyn DeviceFactory,
    all: StandIns,
}

impl DeviceFactory for Understudy<'_> {
    fn create(
        &mut self,
        spec: &EndpointSpec,
        connections: DeviceConnections<'_>,
    ) -> Result<Box<dyn GenericPciBusDevice>, DeviceError> {
        let mut device = self.devices.create(spec, connections)?;
        let link = device.managed().and_then(|device| device.link());
        self.all.names.lock().insert(spec.name.clone());
        Ok(Box::new(StandIn {
            device,
            link,
            reached: self.all.reached.clone(),
        }))
    }
}

/// A device whose memory and ports do nothing.
struct StandIn {
    device: Box<dyn GenericPciBusDevice>,
    /// What the device's end of its link can do, which is settled with its making.
    link: Option<LinkEnd>,
    reached: Arc<AtomicBool>,
}

impl StandIn {
    /// Notes an access to something that the device claims.
    fn reach(&self, claimed: Option<IoResult>) -> Option<IoResult> {
        claimed.map(|_| {
            self.reached.store(true, Ordering::Relaxed);
            IoResult::Ok
        })
    }

    fn inner(&mut self) -> Option<&mut dyn ManagedDevice> {
        self.device.managed()
    }
}

impl GenericPciBusDevice for StandIn {
    fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> Option<IoResult> {
        self.device.pci_cfg_read(offset, value)
    }

    fn pci_cfg_write(&mut self, offset: u16, value: u32) -> Option<IoResult> {
        self.device.pci_cfg_write(offset, value)
    }

    fn pci_cfg_write_bytes(
        &mut self,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Option<IoResult> {
        self.device.pci_cfg_write_bytes(offset, value, enables)
    }

    fn pci_cfg_read_with_routing(
        &mut self,
        secondary_bus: u8,
        target_bus: u8,
        function: u8,
        offset: u16,
        value: &mut u32,
    ) -> Option<IoResult> {
        self.device
            .pci_cfg_read_with_routing(secondary_bus, target_bus, function, offset, value)
    }

    fn pci_cfg_write_with_routing(
        &mut self,
        secondary_bus: u8,
        target_bus: u8,
        function: u8,
        offset: u16,
        value: u32,
    ) -> Option<IoResult> {
        self.device
            .pci_cfg_write_with_routing(secondary_bus, target_bus, function, offset, value)
    }

    fn pci_cfg_write_bytes_with_routing(
        &mut self,
        secondary_bus: u8,
        target_bus: u8,
        function: u8,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Option<IoResult> {
        self.device.pci_cfg_write_bytes_with_routing(
            secondary_bus,
            target_bus,
            function,
            offset,
            value,
            enables,
        )
    }

    fn managed(&mut self) -> Option<&mut dyn ManagedDevice> {
        self.device.managed()?;
        Some(self)
    }
}

impl InspectMut for StandIn {
    fn inspect_mut(&mut self, req: inspect::Request<'_>) {
        match self.inner() {
            Some(device) => device.inspect_mut(req),
            None => req.ignore(),
        }
    }
}

impl ManagedDevice for StandIn {
    fn reset(&mut self, kind: Reset) {
        if let Some(device) = self.inner() {
            device.reset(kind);
        }
    }

    fn save(&mut self) -> Result<SavedStateBlob, SaveError> {
        match self.inner() {
            Some(device) => device.save(),
            None => Err(SaveError::NotSupported),
        }
    }

    fn check(&mut self, state: &SavedStateBlob) -> Result<(), RestoreError> {
        match self.inner() {
            Some(device) => device.check(state),
            None => Err(RestoreError::SavedStateNotSupported),
        }
    }

    fn restore(&mut self, state: SavedStateBlob) -> Result<(), RestoreError> {
        match self.inner() {
            Some(device) => device.restore(state),
            None => Err(RestoreError::SavedStateNotSupported),
        }
    }

    fn mmio_read(&mut self, address: u64, data: &mut [u8]) -> Option<IoResult> {
        let claimed = self.inner()?.mmio_read(address, data);
        self.reach(claimed)
    }

    /// A read tells whether the device claims the address, and sets nothing going.
    fn mmio_write(&mut self, address: u64, data: &[u8]) -> Option<IoResult> {
        let claimed = self.inner()?.mmio_read(address, &mut data.to_vec());
        self.reach(claimed)
    }

    fn io_read(&mut self, port: u16, data: &mut [u8]) -> Option<IoResult> {
        let claimed = self.inner()?.io_read(port, data);
        self.reach(claimed)
    }

    fn io_write(&mut self, port: u16, data: &[u8]) -> Option<IoResult> {
        let claimed = self.inner()?.io_read(port, &mut data.to_vec());
        self.reach(claimed)
    }

    fn upstream_changed(&mut self, upstream: &Upstream) {
        if let Some(device) = self.inner() {
            device.upstream_changed(upstream);
        }
    }

    fn wire_intx(&mut self, lines: &IntxLines) {
        if let Some(device) = self.inner() {
            device.wire_intx(lines);
        }
    }

    fn link(&self) -> Option<LinkEnd> {
        self.link
    }

    fn link_trained(&mut self, agreed: LinkEnd) {
        if let Some(device) = self.inner() {
            device.link_trained(agreed);
        }
    }

    fn joined(&mut self, fabric: &Fabric, name: &Arc<str>) {
        if let Some(device) = self.inner() {
            device.joined(fabric, name);
        }
    }

    fn stimulate(
        &mut self,
        name: &str,
        function: u8,
        stimulus: Stimulus,
    ) -> Result<(), StimulusError> {
        match self.inner() {
            Some(device) => device.stimulate(name, function, stimulus),
            None => Err(stimulus.refused_by(name)),
        }
    }

    fn take_messages(&mut self, bus: u8) -> Vec<Message> {
        self.inner()
            .map(|device| device.take_messages(bus))
            .unwrap_or_default()
    }

    fn retransmit_pme(&mut self) {
        if let Some(device) = self.inner() {
            device.retransmit_pme();
        }
    }

    fn is_ready(&mut self) -> bool {
        self.inner().is_none_or(|device| device.is_ready())
    }

    fn set_multi_function(&mut self, multi_function: bool) {
        if let Some(device) = self.inner() {
            device.set_multi_function(multi_function);
        }
    }
}
