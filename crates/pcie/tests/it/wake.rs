//! A function that signals power management events from D3cold remembers, through the reset of its link, whom to wake (PCIe 6.2 sections
//! 5.3.3.3.1 and 7.5.2.2).

use crate::model::*;
use crate::slots::plain_port;
use chipset_device::io::IoResult;
use inspect::InspectMut;
use pci_bus::GenericPciBusDevice;
use pci_bus::ManagedDevice;
use pci_bus::Stimulus;
use pci_bus::StimulusError;
use pci_core::capabilities::power_management::PowerManagementCapability;
use pci_core::cfg_space_emu::ConfigSpaceType0Emulator;
use pci_core::cfg_space_emu::DeviceBars;
use pci_core::spec::Bdf;
use pci_core::spec::caps::power_management::PowerManagementCapabilities;
use pci_core::spec::hwid::ClassCode;
use pci_core::spec::hwid::HardwareIds;
use pci_core::spec::hwid::Subclass;
use pci_core::spec::messages::Message;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SavedStateBlob;

const PORT: (u8, u8) = (0, 0);
const LINK_CONTROL: u16 = 0x50;
const LINK_DISABLE: u16 = 1 << 4;
const ROOT_STATUS: u16 = 0x60;
const PME: u32 = 1 << 16;
/// Power Management Control/Status of the device, its PME_En, and its PME_Status.
const POWER: u16 = 0x44;
const ENABLE: u32 = 1 << 8;
const STATUS: u32 = 1 << 15;

struct Waker(ConfigSpaceType0Emulator);

impl Waker {
    fn new(pme_support: u8) -> Self {
        let ids = HardwareIds {
            vendor_id: 0x1234,
            device_id: 0xd000,
            revision_id: 0,
            prog_if: 0.into(),
            sub_class: Subclass::NONE,
            base_class: ClassCode::UNCLASSIFIED,
            type0_sub_vendor_id: 0,
            type0_sub_system_id: 0,
        };
        let has = PowerManagementCapabilities::new().with_pme_support(pme_support);
        let power = PowerManagementCapability::new(has, true);
        let bars = DeviceBars::new();
        Self(ConfigSpaceType0Emulator::new(
            ids,
            vec![Box::new(power)],
            vec![],
            bars,
        ))
    }
}

impl GenericPciBusDevice for Waker {
    fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> Option<IoResult> {
        Some(self.0.read_u32(offset, value))
    }
    fn pci_cfg_write(&mut self, offset: u16, value: u32) -> Option<IoResult> {
        Some(self.0.write_u32(offset, value))
    }
    fn managed(&mut self) -> Option<&mut dyn ManagedDevice> {
        Some(self)
    }
}

impl InspectMut for Waker {
    fn inspect_mut(&mut self, req: inspect::Request<'_>) {
        req.ignore();
    }
}

impl ManagedDevice for Waker {
    fn reset(&mut self, kind: reg_table::Reset) {
        self.0.reset_by(kind);
    }
    fn save(&mut self) -> Result<SavedStateBlob, SaveError> {
        ProtobufSaveRestore::save(&mut self.0)
    }
    fn check(&mut self, state: &SavedStateBlob) -> Result<(), RestoreError> {
        ProtobufSaveRestore::check(&mut self.0, state)
    }
    fn restore(&mut self, state: SavedStateBlob) -> Result<(), RestoreError> {
        ProtobufSaveRestore::restore(&mut self.0, state)
    }
    fn stimulate(&mut self, name: &str, _: u8, stimulus: Stimulus) -> Result<(), StimulusError> {
        self.0.stimulate(name, stimulus)
    }
    fn take_messages(&mut self, bus: u8) -> Vec<Message> {
        self.0.take_messages(Bdf::from_devfn(bus, 0)).collect()
    }
    fn retransmit_pme(&mut self) {
        self.0.retransmit_pme();
    }
}

/// What the root port and the function show after an event that came while the link was down.
fn woken_while_the_link_was_down(pme_support: u8) -> (u32, u32) {
    let mut root = build(builder().port(plain_port()));
    root.add_pcie_device(0, "ep", Box::new(Waker::new(pme_support)))
        .unwrap();
    root.number(PORT, 1, 1);
    root.write(1, 0, POWER, ENABLE | 3);
    root.store(config(0, 0, LINK_CONTROL), &LINK_DISABLE.to_le_bytes())
        .unwrap();
    root.wake("ep", 0).unwrap();
    assert_eq!(root.read(0, 0, ROOT_STATUS), 0, "the link is down");
    root.store(config(0, 0, LINK_CONTROL), &[0, 0]).unwrap();
    (root.read(0, 0, ROOT_STATUS), root.read(1, 0, POWER) & !0xff)
}

#[test]
fn a_function_that_signals_from_d3cold_sends_when_the_link_is_up() {
    assert_eq!(
        woken_while_the_link_was_down(0b1_1001),
        (PME | 0x100, STATUS | ENABLE)
    );
}

#[test]
fn the_reset_of_its_link_disarms_one_that_does_not() {
    assert_eq!(woken_while_the_link_was_down(0b0_1001), (0, STATUS));
}

#[test]
fn a_bus_that_a_switch_holds_in_reset_sends_when_it_is_released() {
    let mut sw = switch("sw", 1);
    sw.add_pcie_device(0, "ep", Box::new(Waker::new(0b1_1001)))
        .unwrap();
    let mut root = build(builder().port(plain_port()));
    root.add_pcie_device(0, "sw", sw.into_device()).unwrap();
    for (bridge, secondary) in [(PORT, 1), ((1, 0), 2), ((2, 0), 3)] {
        root.number(bridge, secondary, 3);
    }
    root.write(3, 0, POWER, ENABLE | 3);
    let secondary_bus_reset = 1_u16 << 6;
    root.store(config(1, 0, 0x3e), &secondary_bus_reset.to_le_bytes())
        .unwrap();
    root.wake("ep", 0).unwrap();
    assert_eq!(root.read(0, 0, ROOT_STATUS), 0, "the bus is held in reset");
    root.store(config(1, 0, 0x3e), &[0, 0]).unwrap();
    // The reset took the bus numbers of the port below with it, and a function knows its own by what is written to it (section 2.2.6.2).
    assert_eq!(root.read(0, 0, ROOT_STATUS), PME);
}
