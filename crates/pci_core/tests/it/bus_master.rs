//! Bus Master Enable (PCIe 6.2 section 7.5.1.1.3): what a function may send, and what becomes of what it may not.

use crate::function::Config;
use crate::function::endpoint_ids;
use pci_core::bus_range::AssignedBusRange;
use pci_core::capabilities::PciCapability;
use pci_core::capabilities::msi_cap::MsiCapability;
use pci_core::capabilities::msix::MsixEmulator;
use pci_core::cfg_space_emu::ConfigSpaceType0Emulator;
use pci_core::cfg_space_emu::DeviceBars;
use pci_core::msi::MsiConnection;
use pci_core::test_helpers::TestPciInterruptController;
use vmcore::interrupt::Interrupt;
use vmcore::save_restore::SaveRestore;

const COMMAND: u16 = 0x04;
const BUS_MASTER: u32 = 0x4;
const CAPABILITY: u16 = 0x40;

fn connection() -> (MsiConnection, TestPciInterruptController) {
    let controller = TestPciInterruptController::new();
    let connection = MsiConnection::new(AssignedBusRange::new(), 0);
    connection.connect(controller.signal_msi());
    (connection, controller)
}

fn function(capability: impl PciCapability + 'static) -> ConfigSpaceType0Emulator {
    ConfigSpaceType0Emulator::new(
        endpoint_ids(),
        vec![Box::new(capability)],
        vec![],
        DeviceBars::new(),
    )
}

/// A function with one MSI vector that its driver has set up for message (0xfee0_0000, 0x31).
fn with_msi(
    per_vector_masking: bool,
) -> (
    ConfigSpaceType0Emulator,
    Interrupt,
    TestPciInterruptController,
) {
    let (connection, controller) = connection();
    let msi = MsiCapability::new(0, true, per_vector_masking, connection.target());
    let vector = msi.interrupt().unwrap();
    let mut config = function(msi).with_bus_master_gate();
    config.write(CAPABILITY + 4, 0xfee0_0000);
    config.write(CAPABILITY + 0xc, 0x31);
    config.write(CAPABILITY, 0x0001_0000);
    (config, vector, controller)
}

#[test]
fn the_handle_follows_the_bit() {
    let (mut config, ..) = with_msi(false);
    let bus_master = config.bus_master();
    assert!(!bus_master.is_enabled(), "clear after power-on");
    config.write(COMMAND, BUS_MASTER);
    assert!(bus_master.is_enabled());
    let saved = config.save().unwrap();
    config.reset();
    assert!(!bus_master.is_enabled());
    config.restore(saved).unwrap();
    assert!(bus_master.is_enabled());
}

#[test]
fn msi_without_masking_loses_what_it_may_not_send() {
    let (mut config, vector, controller) = with_msi(false);
    vector.deliver();
    assert_eq!(controller.get_next_interrupt(), None);
    config.write(COMMAND, BUS_MASTER);
    assert_eq!(
        controller.get_next_interrupt(),
        None,
        "no register could have told of it"
    );
    vector.deliver();
    assert_eq!(controller.get_next_interrupt(), Some((0xfee0_0000, 0x31)));
}

#[test]
fn msi_with_masking_keeps_it_pending() {
    let (mut config, vector, controller) = with_msi(true);
    vector.deliver();
    assert_eq!(controller.get_next_interrupt(), None);
    assert_eq!(config.read(CAPABILITY + 0x14), 1, "Pending Bits");
    config.write(COMMAND, BUS_MASTER);
    assert_eq!(controller.get_next_interrupt(), Some((0xfee0_0000, 0x31)));
    assert_eq!(config.read(CAPABILITY + 0x14), 0);
}

#[test]
fn msix_keeps_it_in_the_pending_bit_array() {
    let (connection, controller) = connection();
    let (mut msix, capability) = MsixEmulator::new(0, 2, connection.target());
    let mut config = function(capability).with_bus_master_gate();
    for (offset, value) in [(0x10, 0xfee0_0000), (0x18, 0x41), (0x1c, 0)] {
        msix.write_u32(offset, value);
    }
    config.write(CAPABILITY, 0x8000_0000);
    msix.interrupt(1).unwrap().deliver();
    assert_eq!(controller.get_next_interrupt(), None);
    assert_eq!(msix.read_u32(0x20), 0b10);
    config.write(COMMAND, BUS_MASTER);
    assert_eq!(controller.get_next_interrupt(), Some((0xfee0_0000, 0x41)));
    assert_eq!(msix.read_u32(0x20), 0);
}

#[test]
fn a_restored_function_sends_nothing_that_it_may_not() {
    let (mut saved_from, vector, _) = with_msi(true);
    vector.deliver();
    let saved = saved_from.save().unwrap();
    let (mut config, _, controller) = with_msi(true);
    config.write(COMMAND, BUS_MASTER);
    config.restore(saved).unwrap();
    assert_eq!(
        controller.get_next_interrupt(),
        None,
        "the state has Bus Master Enable clear"
    );
    config.write(COMMAND, BUS_MASTER);
    assert_eq!(controller.get_next_interrupt(), Some((0xfee0_0000, 0x31)));
}

#[test]
fn a_function_composed_without_the_gate_sends_regardless() {
    let (connection, controller) = connection();
    let msi = MsiCapability::new(0, false, false, connection.target());
    let vector = msi.interrupt().unwrap();
    let mut config = function(msi);
    config.write(CAPABILITY + 4, 0xfee0_0000);
    config.write(CAPABILITY, 0x0001_0000);
    vector.deliver();
    assert_eq!(controller.get_next_interrupt(), Some((0xfee0_0000, 0)));
}
