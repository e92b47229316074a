//! Every public item that others program against, with its signature: this file compiles, or the interface has changed.

use chipset_device::ChipsetDevice;
use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::pio::ExternallyManagedPortIoIntercepts;
use chipset_device::pio::PortIoIntercept;
use chipset_device::pio::RegisterPortIoIntercept;
use chipset_device::poll_device::PollDevice;
use inspect::InspectMut;
use mesh_protobuf::DescribedProtobuf;
use pci_bus::GenericPciBus;
use pci_bus::GenericPciBusDevice;
use pci_bus::PciSlotOccupiedError;
use pci_bus::standard_x86_io_ports as ports;
use std::sync::Arc;
use vmcore::device_state::ChangeDeviceState;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::SaveRestore;
use vmcore::save_restore::saved_state_roots;

/// A device as other code writes one: the two required methods, dwords.
#[derive(Debug, Default)]
struct Device {
    register: u32,
    gone: bool,
}

impl GenericPciBusDevice for Device {
    fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> Option<IoResult> {
        if self.gone {
            return None;
        }
        if offset == 0xFC {
            return Some(IoResult::Err(IoError::InvalidRegister));
        }
        *value = self.register;
        Some(IoResult::Ok)
    }

    fn pci_cfg_write(&mut self, _offset: u16, value: u32) -> Option<IoResult> {
        self.register = value;
        Some(IoResult::Ok)
    }
}

#[test]
fn device() {
    const { assert!(ports::ADDR_START == 0xCF8 && ports::ADDR_END == 0xCFB) };
    const { assert!(ports::DATA_START == 0xCFC && ports::DATA_END == 0xCFF) };
    let _: [u16; 4] = [
        ports::ADDR_START,
        ports::ADDR_END,
        ports::DATA_START,
        ports::DATA_END,
    ];

    let mut device: Box<dyn GenericPciBusDevice> = Box::new(Device::default());
    let mut routed = |target, function| {
        let mut value = 0;
        device
            .pci_cfg_write_with_routing(1, target, function, 0x10, 0x1234)
            .unwrap()
            .unwrap();
        device
            .pci_cfg_read_with_routing(1, target, function, 0x10, &mut value)
            .unwrap()
            .unwrap();
        value
    };
    assert_eq!([routed(1, 1), routed(2, 0), routed(1, 0)], [!0, !0, 0x1234]);
    let mut gone = Device {
        gone: true,
        ..Device::default()
    };
    assert!(gone.pci_cfg_read_with_routing(1, 1, 0, 0, &mut 0).is_none());
}

fn bus() -> GenericPciBus {
    GenericPciBus::new(
        &mut ExternallyManagedPortIoIntercepts,
        ports::ADDR_START,
        ports::DATA_START,
    )
}

fn read(bus: &mut GenericPciBus, port: u16, len: usize) -> Result<u32, IoError> {
    let mut data = [0; 4];
    let result = bus.io_read(port, &mut data[..len]).now_or_never();
    result.map(|()| u32::from_le_bytes(data))
}

fn select(bus: &mut GenericPciBus, address: u32) {
    bus.io_write(0xCF8, &address.to_le_bytes()).unwrap();
}

#[test]
fn legacy_bus() {
    fn is<T: ChipsetDevice + PortIoIntercept + PollDevice + ChangeDeviceState + InspectMut>() {}
    fn saves<T: SaveRestore + ProtobufSaveRestore>() {}
    is::<GenericPciBus>();
    saves::<GenericPciBus>();
    let _: fn(&mut dyn RegisterPortIoIntercept, u16, u16) -> GenericPciBus = GenericPciBus::new;

    let mut bus = bus();
    bus.add_pci_device(0, 3, 1, "first", Device::default())
        .unwrap();
    bus.add_pci_device(0, 3, 2, String::from("second"), Device::default())
        .unwrap();
    let refused: Result<(), PciSlotOccupiedError<Device>> =
        bus.add_pci_device(0, 3, 1, "third", Device::default());
    let PciSlotOccupiedError {
        existing_device_name,
        device,
    } = refused.unwrap_err();
    let _: (Arc<str>, Device) = (existing_device_name.clone(), device);
    assert_eq!(&*existing_device_name, "first");

    select(&mut bus, 0xFFFF_FFFF);
    assert_eq!(read(&mut bus, 0xCF8, 4), Ok(0x80FF_FFFC));
    assert_eq!(read(&mut bus, 0xCFA, 2), Ok(0x80FF));
    assert_eq!(read(&mut bus, 0xCF9, 2), Err(IoError::UnalignedAccess));
    assert_eq!(read(&mut bus, 0xCF8, 3), Err(IoError::InvalidAccessSize));
    assert_eq!(read(&mut bus, 0xCF4, 4), Err(IoError::InvalidRegister));
    bus.io_write(0xCFA, &[0x10]).unwrap();
    assert_eq!(
        read(&mut bus, 0xCF8, 4),
        Ok(0x80FF_FF10),
        "a short write replaces the low bytes"
    );
    assert_eq!(read(&mut bus, 0xCFC, 4), Ok(!0), "no device there");
    select(&mut bus, 0x0000_1910);
    assert_eq!(read(&mut bus, 0xCFC, 4), Ok(!0), "disabled");
    select(&mut bus, 0x8000_1910);
    bus.io_write(0xCFC, &0x1122_3344u32.to_le_bytes()).unwrap();
    bus.io_write(0xCFE, &[0x55]).unwrap();
    assert_eq!(read(&mut bus, 0xCFC, 4), Ok(0x1155_3344));
    assert_eq!(read(&mut bus, 0xCFE, 2), Ok(0x1155));
    select(&mut bus, 0x8000_19FC);
    assert_eq!(read(&mut bus, 0xCFC, 4), Ok(0), "an error reads zero");

    let node = inspect::inspect("pci_devices", &mut bus).results();
    assert_eq!(node.to_string(), r#"{00:03.1: "first", 00:03.2: "second"}"#);
}

#[test]
fn saved_state() {
    type State = <GenericPciBus as SaveRestore>::SavedState;
    let message = <State as DescribedProtobuf>::DESCRIPTION;
    assert_eq!(message.full_name(), "pci.bus.SavedState");
    let fields: Vec<_> = message.fields.iter().map(|f| (f.number, f.name)).collect();
    assert_eq!(fields, [(1, "pio_addr_reg")]);
    assert!(saved_state_roots().any(|root| root.full_name() == "pci.bus.SavedState"));

    let mut bus = bus();
    select(&mut bus, 0x8000_1910);
    let saved = SaveRestore::save(&mut bus).unwrap();
    assert_eq!(saved.pio_addr_reg, 0x8000_1910);
    select(&mut bus, 0);
    SaveRestore::restore(&mut bus, saved).unwrap();
    assert_eq!(read(&mut bus, 0xCF8, 4), Ok(0x8000_1910));
    for pio_addr_reg in [0x8100_0000, 0x8000_0001] {
        let state = State { pio_addr_reg };
        SaveRestore::check(&mut bus, &state).unwrap_err();
        SaveRestore::restore(&mut bus, state).unwrap_err();
        assert_eq!(read(&mut bus, 0xCF8, 4), Ok(0x8000_1910), "as it was");
    }
}
