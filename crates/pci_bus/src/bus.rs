//! A bus behind an address and a data port.

mod save_restore;

use crate::address::AddressRegister;
use crate::address::Slot;
use crate::device::GenericPciBusDevice;
use crate::device::NO_DEVICE;
use chipset_device::ChipsetDevice;
use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::io::deferred::MergeQueue;
use chipset_device::pci::ByteEnables;
use chipset_device::pio::ControlPortIoIntercept;
use chipset_device::pio::PortIoIntercept;
use chipset_device::pio::RegisterPortIoIntercept;
use chipset_device::poll_device::PollDevice;
use inspect::Inspect;
use inspect::InspectMut;
use inspect::Request;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::task::Context;
use thiserror::Error;
use vmcore::device_state::ChangeDeviceState;

/// The length of either port region in bytes.
const REGION_LEN: u16 = 4;

/// A PCI bus that the guest reaches through an address register and a data window in its port space.
///
/// The guest writes the address of a dword to the address register; the data window then is that dword. Accesses to the data
/// window keep their byte lanes down to the device. Only functions that were added are found: the bus routes nothing to buses
/// below a bridge by itself.
pub struct GenericPciBus {
    pio_addr: Port,
    pio_data: Port,
    pci_devices: BTreeMap<Slot, Device>,
    /// Sub-dword writes to devices that defer and have no byte lanes.
    merges: MergeQueue<Target>,
    address: AddressRegister,
}

struct Device {
    name: Arc<str>,
    device: Box<dyn GenericPciBusDevice>,
}

/// A dword of a function.
#[derive(Copy, Clone)]
struct Target {
    slot: Slot,
    offset: u16,
}

/// A region of ports, where it was mapped.
struct Port {
    region: Box<dyn ControlPortIoIntercept>,
    base: u16,
}

impl Port {
    fn new(register: &mut dyn RegisterPortIoIntercept, name: &str, base: u16) -> Self {
        let mut region = register.new_io_region(name, REGION_LEN);
        region.map(base);
        Self { region, base }
    }

    /// How far into the region `port` is. The region never moves, so this does not ask the monitor.
    fn offset_of(&self, port: u16) -> Option<u8> {
        let offset = port.checked_sub(self.base)?;
        u8::try_from(offset).ok().filter(|_| offset < REGION_LEN)
    }
}

/// There is a device in the slot already. The refused device comes back.
#[derive(Error)]
#[error("the slot is occupied by '{existing_device_name}'")]
pub struct PciSlotOccupiedError<D> {
    /// The name of the device in the slot.
    pub existing_device_name: Arc<str>,
    /// The device that was to be added.
    pub device: D,
}

// By hand, so that a device need not be `Debug` to be added with `unwrap`.
impl<D> fmt::Debug for PciSlotOccupiedError<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PciSlotOccupiedError")
            .field("existing_device_name", &self.existing_device_name)
            .finish_non_exhaustive()
    }
}

/// Which of the two regions an access is to, and how far into it.
enum Region {
    Address(u8),
    Data(u8),
}

impl GenericPciBus {
    /// An empty bus with its address register at port `pio_addr` and its data window at port `pio_data`, four ports each (see
    /// [`standard_x86_io_ports`](crate::standard_x86_io_ports)). The regions are named "addr" and "data".
    pub fn new(
        register_pio: &mut dyn RegisterPortIoIntercept,
        pio_addr: u16,
        pio_data: u16,
    ) -> GenericPciBus {
        GenericPciBus {
            pio_addr: Port::new(register_pio, "addr", pio_addr),
            pio_data: Port::new(register_pio, "data", pio_data),
            pci_devices: BTreeMap::new(),
            merges: MergeQueue::new(),
            address: AddressRegister::new(),
        }
    }

    /// Adds `dev` as function `function` (0 to 7) of device `device` (0 to 31) on bus `bus`. A function with larger numbers
    /// is one that no guest can address.
    ///
    /// # Errors
    ///
    /// [`PciSlotOccupiedError`] with the device when there is a function at this address already.
    pub fn add_pci_device<D: GenericPciBusDevice>(
        &mut self,
        bus: u8,
        device: u8,
        function: u8,
        name: impl AsRef<str>,
        dev: D,
    ) -> Result<(), PciSlotOccupiedError<D>> {
        let slot = Slot {
            bus,
            device,
            function,
        };
        if let Some(existing) = self.pci_devices.get(&slot) {
            return Err(PciSlotOccupiedError {
                existing_device_name: existing.name.clone(),
                device: dev,
            });
        }
        let device = Device {
            name: name.as_ref().into(),
            device: Box::new(dev),
        };
        self.pci_devices.insert(slot, device);
        Ok(())
    }

    fn try_read(&mut self, port: u16, data: &mut [u8]) -> Result<IoResult, IoError> {
        check_len(data)?;
        match self.region(port)? {
            Region::Address(offset) => {
                check_aligned(offset, data)?;
                Lanes { offset }.extract(self.address.into_bits(), data);
                Ok(IoResult::Ok)
            }
            Region::Data(offset) => {
                check_aligned(offset, data)?;
                Ok(self.read_data(Lanes { offset }, data))
            }
        }
    }

    fn try_write(&mut self, port: u16, data: &[u8]) -> Result<IoResult, IoError> {
        check_len(data)?;
        match self.region(port)? {
            Region::Address(_) => {
                self.write_address(data);
                Ok(IoResult::Ok)
            }
            Region::Data(offset) => Ok(self.write_data(Lanes { offset }, data)),
        }
    }

    fn region(&self, port: u16) -> Result<Region, IoError> {
        let address = self.pio_addr.offset_of(port).map(Region::Address);
        let data = || self.pio_data.offset_of(port).map(Region::Data);
        address.or_else(data).ok_or(IoError::InvalidRegister)
    }

    /// What the data window shows; `None` when it is disabled.
    fn target(&self) -> Option<Target> {
        self.address.enabled().then(|| Target {
            slot: self.address.slot(),
            offset: self.address.register().into(),
        })
    }

    fn read_data(&mut self, lanes: Lanes, data: &mut [u8]) -> IoResult {
        let mut value = NO_DEVICE;
        if let Some(Target { slot, offset }) = self.target()
            && let Some(Device { name, device }) = self.pci_devices.get_mut(&slot)
        {
            match device.pci_cfg_read(offset, &mut value) {
                Some(IoResult::Ok) => {}
                Some(IoResult::Err(error)) => {
                    tracelimit::warn_ratelimited!(
                        device = &**name,
                        offset,
                        %error,
                        "config read failed"
                    );
                    value = 0;
                }
                Some(IoResult::Defer(token)) => {
                    let token = token.zeros_on_error();
                    return IoResult::Defer(token.narrow(lanes.offset.into(), data.len()));
                }
                None => value = NO_DEVICE,
            }
        }
        lanes.extract(value, data);
        IoResult::Ok
    }

    fn write_data(&mut self, lanes: Lanes, data: &[u8]) -> IoResult {
        let Some(target) = self.target() else {
            return IoResult::Ok;
        };
        let Some(Device { device, .. }) = self.pci_devices.get_mut(&target.slot) else {
            return IoResult::Ok;
        };
        let (value, enables) = lanes.insert(data);
        match device.pci_cfg_write_bytes(target.offset, value, enables) {
            Some(result) => self.merges.intercept(target, result),
            None => IoResult::Ok,
        }
    }

    /// A write shorter than the register replaces its low bytes, whatever the port.
    fn write_address(&mut self, data: &[u8]) {
        let mut bytes = self.address.into_bits().to_le_bytes();
        for (to, from) in bytes.iter_mut().zip(data) {
            *to = *from;
        }
        self.address = AddressRegister::from_write(u32::from_le_bytes(bytes));
    }
}

/// Where the bytes of an access lie in a dword: from byte `offset` (0 to 3) on.
#[derive(Copy, Clone)]
struct Lanes {
    offset: u8,
}

impl Lanes {
    /// Copies the bytes of the dword from `offset` on.
    fn extract(self, dword: u32, data: &mut [u8]) {
        let bytes = dword.to_le_bytes().into_iter().skip(self.offset.into());
        for (to, from) in data.iter_mut().zip(bytes) {
            *to = from;
        }
    }

    /// The dword with `data` in its lanes, and which these are. Bytes beyond the dword belong to other ports, and are dropped.
    fn insert(self, data: &[u8]) -> (u32, ByteEnables) {
        let mut bytes = [0; 4];
        let mut bits = 0;
        let lanes = bytes.iter_mut().enumerate().skip(self.offset.into());
        for ((lane, to), from) in lanes.zip(data) {
            *to = *from;
            bits |= 1 << lane;
        }
        let enables = ByteEnables::new(bits).unwrap_or(ByteEnables::NONE);
        (u32::from_le_bytes(bytes), enables)
    }
}

fn check_len(data: &[u8]) -> Result<(), IoError> {
    match data.len() {
        1 | 2 | 4 => Ok(()),
        _ => Err(IoError::InvalidAccessSize),
    }
}

fn check_aligned(offset: u8, data: &[u8]) -> Result<(), IoError> {
    if usize::from(offset).is_multiple_of(data.len()) {
        Ok(())
    } else {
        Err(IoError::UnalignedAccess)
    }
}

impl ChipsetDevice for GenericPciBus {
    fn supports_pio(&mut self) -> Option<&mut dyn PortIoIntercept> {
        Some(self)
    }

    fn supports_poll_device(&mut self) -> Option<&mut dyn PollDevice> {
        Some(self)
    }
}

impl PortIoIntercept for GenericPciBus {
    fn io_read(&mut self, port: u16, data: &mut [u8]) -> IoResult {
        self.try_read(port, data).unwrap_or_else(IoResult::Err)
    }

    fn io_write(&mut self, port: u16, data: &[u8]) -> IoResult {
        self.try_write(port, data).unwrap_or_else(IoResult::Err)
    }
}

impl PollDevice for GenericPciBus {
    fn poll_device(&mut self, cx: &mut Context<'_>) {
        let devices = &mut self.pci_devices;
        self.merges.poll(cx, |target, dword| {
            devices
                .get_mut(&target.slot)
                .and_then(|slot| slot.device.pci_cfg_write(target.offset, dword))
                // The device left: the write goes where writes to an empty slot go.
                .unwrap_or(IoResult::Ok)
        });
    }
}

impl ChangeDeviceState for GenericPciBus {
    fn start(&mut self) {}

    async fn stop(&mut self) {}

    async fn reset(&mut self) {
        self.address = AddressRegister::new();
        self.merges.clear();
    }
}

/// Shows the two port regions, the devices, the sub-dword writes under way and the address register.
impl Inspect for GenericPciBus {
    fn inspect(&self, req: Request<'_>) {
        let devices = self.pci_devices.iter();
        let deferred = self.merges.addresses().enumerate();
        req.respond()
            .field("pio_addr", &*self.pio_addr.region)
            .field("pio_data", &*self.pio_data.region)
            .fields(
                "pci_devices",
                devices.map(|(slot, device)| (slot, &device.name)),
            )
            .fields("deferred_actions", deferred)
            .field("state", self.address);
    }
}

impl InspectMut for GenericPciBus {
    fn inspect_mut(&mut self, req: Request<'_>) {
        self.inspect(req);
    }
}

impl Inspect for Target {
    fn inspect(&self, req: Request<'_>) {
        req.respond()
            .display("slot", &self.slot)
            .hex("offset", self.offset);
    }
}

#[cfg(test)]
mod tests;
