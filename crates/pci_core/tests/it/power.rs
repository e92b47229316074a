//! Power states (PCIe 6.2 section 5.3.1): what a function does below D0, and how it comes back.

use crate::function::Config;
use crate::function::endpoint_ids;
use chipset_device::pci::ByteEnables;
use pci_core::bus_range::AssignedBusRange;
use pci_core::capabilities::msi_cap::MsiCapability;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::capabilities::power_management::PowerManagementCapability;
use pci_core::cfg_space_emu::BarMemoryKind;
use pci_core::cfg_space_emu::ConfigSpaceType0Emulator;
use pci_core::cfg_space_emu::DeviceBars;
use pci_core::cfg_space_emu::Effects;
use pci_core::msi::MsiConnection;
use pci_core::spec::caps::pci_express::DevicePortType;
use pci_core::spec::caps::power_management::PowerManagementCapabilities;
use pci_core::spec::caps::power_management::PowerState;
use pci_core::test_helpers::TestPciInterruptController;
use reg_table::Reset;
use vmcore::interrupt::Interrupt;
use vmcore::save_restore::SaveRestore;

const COMMAND: u16 = 0x04;
const STATUS_CONTROL: u16 = 0x44;
const MSI: u16 = 0x48;
const MEMORY_AND_MASTER: u32 = 0x6;
const D0: u32 = 0;
const D3HOT: u32 = 3;
const BAR: u64 = 0xfe00_0000;

/// A function that its driver has set up: a BAR, bus mastering, and one MSI vector.
struct Function {
    config: ConfigSpaceType0Emulator,
    vector: Interrupt,
    messages: TestPciInterruptController,
}

impl Function {
    fn new(no_soft_reset: bool) -> Self {
        let messages = TestPciInterruptController::new();
        let connection = MsiConnection::new(AssignedBusRange::new(), 0);
        connection.connect(messages.signal_msi());
        let msi = MsiCapability::new(0, true, true, connection.target());
        let vector = msi.interrupt().unwrap();
        let none = PowerManagementCapabilities::new();
        let pcie = PciExpressCapability::new(DevicePortType::Endpoint, None);
        let mut config = ConfigSpaceType0Emulator::new(
            endpoint_ids(),
            vec![
                Box::new(PowerManagementCapability::new(none, no_soft_reset)),
                Box::new(msi),
                Box::new(pcie.with_function_level_reset()),
            ],
            vec![],
            DeviceBars::new().bar0(0x1000, BarMemoryKind::Dummy),
        )
        .with_bus_master_gate();
        config.write(0x10, 0xfe00_0000);
        config.write(COMMAND, MEMORY_AND_MASTER);
        config.write(MSI + 4, 0xfee0_0000);
        config.write(MSI + 0xc, 0x31);
        config.write(MSI, 0x0001_0000);
        Self {
            config,
            vector,
            messages,
        }
    }

    fn enter(&mut self, state: u32) -> Effects {
        self.config
            .write_bytes(STATUS_CONTROL, state, ByteEnables::ALL)
            .unwrap()
    }
}

#[test]
fn below_d0_a_function_answers_configuration_requests_only() {
    let mut function = Function::new(true);
    assert_eq!(function.config.find_bar(BAR), Some((0, 0)));
    let effects = function.enter(D3HOT);
    assert!(effects.power_state && !effects.function_reset);
    assert_eq!(function.config.power_state(), PowerState::D3Hot);
    assert_eq!(function.config.find_bar(BAR), None);
    assert!(!function.config.bus_master().is_enabled());
    function.vector.deliver();
    assert_eq!(function.messages.get_next_interrupt(), None);
    // Software sets things up again before it lets the function go on: nothing answers yet.
    function.config.write(COMMAND, 0);
    function.config.write(COMMAND, MEMORY_AND_MASTER);
    assert_eq!(function.config.find_bar(BAR), None);

    let effects = function.enter(D0);
    assert!(effects.power_state && !effects.function_reset);
    assert_eq!(function.config.find_bar(BAR), Some((0, 0)));
    let message = function.messages.get_next_interrupt();
    assert_eq!(message, Some((0xfee0_0000, 0x31)), "it was not lost");
}

#[test]
fn a_write_of_the_state_it_is_in_changes_nothing() {
    let mut function = Function::new(false);
    assert_eq!(function.enter(D0), Effects::default());
    let _ = function.enter(D3HOT);
    assert_eq!(function.enter(D3HOT), Effects::default());
}

#[test]
fn without_no_soft_reset_the_way_to_d0_is_a_reset() {
    let mut function = Function::new(false);
    assert!(!function.enter(D3HOT).function_reset);
    assert!(function.enter(D0).function_reset);
    function.config.reset_by(Reset::FunctionLevel);
    assert_eq!(function.config.read(COMMAND) & 0xffff, 0);
    assert_eq!(function.config.read(0x10), 0x4, "a 64-bit BAR at 0");
}

#[test]
fn a_function_level_reset_is_asked_for_once() {
    let mut function = Function::new(true);
    let control = 0x60 + 0x8;
    let ask = |function: &mut Function, value| {
        let enables = ByteEnables::for_access(0, 2).unwrap();
        let effects = function.config.write_bytes(control, value, enables);
        effects.unwrap().function_reset
    };
    assert_eq!(function.config.read(0x60) & 0xff, 0x10, "PCI Express");
    assert_ne!(function.config.read(0x64) & (1 << 28), 0, "it can");
    assert!(ask(&mut function, 1 << 15));
    assert!(!ask(&mut function, 0));
}

#[test]
fn a_restored_function_is_in_the_state_that_it_was_saved_in() {
    let mut function = Function::new(true);
    let _ = function.enter(D3HOT);
    let saved = function.config.save().unwrap();
    let mut other = Function::new(true);
    other.config.restore(saved).unwrap();
    assert_eq!(other.config.find_bar(BAR), None);
    other.vector.deliver();
    assert_eq!(other.messages.get_next_interrupt(), None);
    let _ = other.enter(D0);
    assert_eq!(other.config.find_bar(BAR), Some((0, 0)));
    assert!(other.messages.get_next_interrupt().is_some());
}
