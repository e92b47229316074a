//! Accesses of any size to the address register and the data window of a PCI bus, ports CF8 and CFC.

use crate::steps;
use arbitrary::Arbitrary;
use arbitrary::Unstructured;
use chipset_device::io::IoResult;
use chipset_device::pci::ByteEnables;
use chipset_device::pio::ExternallyManagedPortIoIntercepts;
use chipset_device::pio::PortIoIntercept;
use pci_bus::GenericPciBus;
use pci_bus::GenericPciBusDevice;
use pci_bus::standard_x86_io_ports;
use std::collections::BTreeMap;
use vmcore::save_restore::SaveRestore;

const ACCESSES_MAX: usize = 64;
/// Bits of CONFIG_ADDRESS that are not reserved.
const ADDRESS_BITS: u32 = 0x80ff_fffc;

#[derive(Arbitrary, Debug)]
struct Access {
    port: u8,
    len: u8,
    /// What to write; a read without it.
    data: Option<u32>,
    /// Bits that make the write an address of the device, where it is one to the address register.
    near: bool,
}

/// A device of memory: 64 dwords, of which each takes what is written to it.
#[derive(Default)]
struct Memory(BTreeMap<u16, u32>);

impl GenericPciBusDevice for Memory {
    fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> Option<IoResult> {
        *value = self.0.get(&offset).copied().unwrap_or_default();
        Some(IoResult::Ok)
    }

    fn pci_cfg_write(&mut self, offset: u16, value: u32) -> Option<IoResult> {
        self.0.insert(offset, value);
        Some(IoResult::Ok)
    }

    fn pci_cfg_write_bytes(
        &mut self,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Option<IoResult> {
        let old = self.0.entry(offset).or_default();
        *old = (*old & !enables.mask()) | (value & enables.mask());
        Some(IoResult::Ok)
    }
}

/// Reads and writes ports, and compares each read with the address as last written and with the device's bytes.
///
/// # Panics
///
/// - a read gives something else than the model;
/// - an access that is none is answered, or one is not;
/// - the address is not saved and restored.
pub fn run(data: &[u8]) {
    let mut bus = GenericPciBus::new(
        &mut ExternallyManagedPortIoIntercepts,
        standard_x86_io_ports::ADDR_START,
        standard_x86_io_ports::DATA_START,
    );
    bus.add_pci_device(0, 3, 1, "memory", Memory::default())
        .unwrap_or_else(|_| panic!("the slot is free"));
    let mut model = Model::default();
    let mut input = Unstructured::new(data);
    for access in steps::<Access>(&mut input).take(ACCESSES_MAX) {
        perform(&mut bus, &mut model, &access);
    }
    let saved = mesh_protobuf::encode(bus.save().unwrap());
    bus.restore(mesh_protobuf::decode(&saved).unwrap()).unwrap();
    assert_eq!(mesh_protobuf::encode(bus.save().unwrap()), saved);
    let mut address = [0; 4];
    assert!(matches!(
        bus.io_read(standard_x86_io_ports::ADDR_START, &mut address),
        IoResult::Ok
    ));
    assert_eq!(u32::from_le_bytes(address), model.address, "restored");
}

fn perform(bus: &mut GenericPciBus, model: &mut Model, access: &Access) {
    let port = standard_x86_io_ports::ADDR_START + u16::from(access.port % 10);
    let len = usize::from(access.len) % 6;
    let fits = model.fits(port, len);
    match access.data {
        None => {
            let mut bytes = [0xa5; 6];
            let result = bus.io_read(port, &mut bytes[..len]);
            assert_eq!(
                matches!(result, IoResult::Ok),
                fits,
                "{access:?}: {result:?}"
            );
            if fits {
                assert_eq!(bytes[..len], model.read(port, len), "{access:?}");
            }
        }
        Some(value) => {
            let value = match access.near {
                true => 0x8000_1900 | (value & 0xff),
                false => value,
            };
            let bytes = [value.to_le_bytes(), value.to_le_bytes()].concat();
            let result = bus.io_write(port, &bytes[..len]);
            let taken = model.write(port, &bytes[..len]);
            assert_eq!(
                matches!(result, IoResult::Ok),
                taken,
                "{access:?}: {result:?}"
            );
        }
    }
}

/// The address register, and the device's dwords as bytes.
#[derive(Default)]
struct Model {
    address: u32,
    memory: BTreeMap<u32, u8>,
}

impl Model {
    /// Whether a read is one: 1, 2 or 4 bytes, naturally aligned, within one of the two dwords.
    fn fits(&self, port: u16, len: usize) -> bool {
        let offset = usize::from(port - standard_x86_io_ports::ADDR_START);
        matches!(len, 1 | 2 | 4) && offset < 8 && offset.is_multiple_of(len)
    }

    /// The device's byte at the bottom of the window, if it is the device that is addressed.
    fn window(&self) -> Option<u32> {
        (self.address & 0xffff_ff00 == 0x8000_1900).then_some(self.address & 0xfc)
    }

    fn read(&self, port: u16, len: usize) -> Vec<u8> {
        let offset = u32::from(port - standard_x86_io_ports::ADDR_START);
        let byte = |at: u32| match (at < 4, self.window()) {
            (true, _) => self.address.to_le_bytes()[at as usize],
            (false, Some(window)) => {
                let at = window + (at & 3);
                self.memory.get(&at).copied().unwrap_or_default()
            }
            (false, None) => 0xff,
        };
        (offset..).take(len).map(byte).collect()
    }

    /// Whether it is a write, which need not be aligned: one to the address replaces its low bytes, one to the window those of its bytes
    /// that lie inside.
    fn write(&mut self, port: u16, data: &[u8]) -> bool {
        let offset = port - standard_x86_io_ports::ADDR_START;
        if offset >= 8 || !matches!(data.len(), 1 | 2 | 4) {
            return false;
        }
        if offset < 4 {
            let mut address = self.address.to_le_bytes();
            address[..data.len()].copy_from_slice(data);
            self.address = u32::from_le_bytes(address) & ADDRESS_BITS;
        } else if let Some(window) = self.window() {
            for (lane, byte) in (u32::from(offset & 3)..4).zip(data) {
                self.memory.insert(window + lane, *byte);
            }
        }
        true
    }
}
