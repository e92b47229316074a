//! What can be learnt of a device by configuration accesses alone.

use crate::function::endpoint_ids;
use chipset_device::ChipsetDevice;
use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::pci::PciConfigSpace;
use pci_core::cfg_space_emu::BarKind;
use pci_core::cfg_space_emu::BarMemoryKind;
use pci_core::cfg_space_emu::ConfigSpaceType0Emulator;
use pci_core::cfg_space_emu::DeviceBars;
use pci_core::chipset_device_ext::PciChipsetDeviceExt;

struct Device(ConfigSpaceType0Emulator);

impl ChipsetDevice for Device {}

impl PciConfigSpace for Device {
    fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> IoResult {
        self.0.read_u32(offset, value)
    }
    fn pci_cfg_write(&mut self, offset: u16, value: u32) -> IoResult {
        self.0.write_u32(offset, value)
    }
}

fn device() -> Device {
    let bars = DeviceBars::new().bar0(0x1_0000, BarMemoryKind::Dummy).with(
        3,
        BarKind::Memory32,
        0x1000,
        BarMemoryKind::Dummy,
    );
    Device(ConfigSpaceType0Emulator::new(
        endpoint_ids(),
        vec![],
        vec![],
        bars,
    ))
}

#[test]
fn bars_are_sized_and_put_back() {
    let mut device = device();
    device.pci_cfg_write(0x10, 0x8000_0000).unwrap();
    device.pci_cfg_write(0x14, 0x7).unwrap();
    assert_eq!(
        device.probe_bar_masks(),
        [0xffff_0004, 0xffff_ffff, 0, 0xffff_f000, 0, 0]
    );
    let mut value = 0;
    device.pci_cfg_read(0x10, &mut value).unwrap();
    assert_eq!(value, 0x8000_0004);
    device.pci_cfg_read(0x14, &mut value).unwrap();
    assert_eq!(value, 7);
}

#[test]
fn identifiers_are_read_from_the_header() {
    let dynamic: &mut dyn Probed = &mut device();
    let (probed, composed) = (dynamic.probe_hardware_ids(), endpoint_ids());
    assert_eq!(format!("{probed:?}"), format!("{composed:?}"));
    assert_eq!(probed.type0_sub_system_id, 0x5555);
}

/// The extension reaches trait objects as well.
trait Probed: ChipsetDevice + PciConfigSpace {}
impl Probed for Device {}

/// Takes writes and has nothing to read.
struct Mute;

impl ChipsetDevice for Mute {}

impl PciConfigSpace for Mute {
    fn pci_cfg_read(&mut self, _: u16, value: &mut u32) -> IoResult {
        *value = 0x1234;
        IoResult::Err(IoError::InvalidRegister)
    }
    fn pci_cfg_write(&mut self, _: u16, _: u32) -> IoResult {
        IoResult::Ok
    }
}

#[test]
fn what_cannot_be_read_counts_as_no_bar() {
    assert_eq!(Mute.probe_bar_masks(), [0; 6]);
}
