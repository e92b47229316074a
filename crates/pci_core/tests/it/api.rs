//! Every public item that others program against, with its signature: this file compiles, or the interface has changed.

use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::mmio::ControlMmioIntercept;
use inspect::Inspect;
use pci_core::PciInterruptPin;
use pci_core::bar_mapping::BarMapping;
use pci_core::bar_mapping::BarMappings;
use pci_core::bus_range::AssignedBusRange;
use pci_core::capabilities::PciCapability;
use pci_core::capabilities::PciExtendedCapability;
use pci_core::capabilities::ReadOnlyCapability;
use pci_core::capabilities::extended::acs::AcsExtendedCapability;
use pci_core::capabilities::msi_cap::MsiCapability;
use pci_core::capabilities::msix::MsixEmulator;
use pci_core::capabilities::pci_express::FlrHandler;
use pci_core::capabilities::pci_express::PCI_EXPRESS_DEVICE_CAPS_FLR_BIT_MASK;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::cfg_space_emu::BarMemoryKind;
use pci_core::cfg_space_emu::CommonHeaderResult;
use pci_core::cfg_space_emu::ConfigSpaceCommonHeaderEmulator;
use pci_core::cfg_space_emu::ConfigSpaceCommonHeaderEmulatorType0;
use pci_core::cfg_space_emu::ConfigSpaceCommonHeaderEmulatorType1;
use pci_core::cfg_space_emu::ConfigSpaceType0Emulator;
use pci_core::cfg_space_emu::ConfigSpaceType1Emulator;
use pci_core::cfg_space_emu::DeviceBars;
use pci_core::cfg_space_emu::HeaderType;
use pci_core::cfg_space_emu::IntxInterrupt;
use pci_core::cfg_space_emu::header_type_consts;
use pci_core::chipset_device_ext::PciChipsetDeviceExt;
use pci_core::msi::MsiConnection;
use pci_core::msi::MsiRoute;
use pci_core::msi::MsiTarget;
use pci_core::msi::SignalMsi;
use pci_core::spec::caps::CapabilityId;
use pci_core::spec::caps::pci_express::DevicePortType;
use pci_core::spec::caps::pci_express::SlotCapabilities;
use pci_core::spec::cfg_space::Command;
use pci_core::spec::hwid::HardwareIds;
use pci_core::test_helpers::TestPciInterruptController;
use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::sync::Arc;
use vmcore::event::Event;
use vmcore::guest_memory::MappableGuestMemory;
use vmcore::interrupt::Interrupt;
use vmcore::irqfd::IrqFd;
use vmcore::line_interrupt::LineInterrupt;
use vmcore::save_restore::NoSavedState;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::SaveRestore;

type Caps = Vec<Box<dyn PciCapability>>;
type ExtendedCaps = Vec<Box<dyn PciExtendedCapability>>;

fn is<T: ?Sized>() {}
fn debug<T: Debug>() {}
fn clone<T: Clone>() {}
fn default<T: Default>() {}
fn looks<T: Inspect>() {}
fn saves<T: SaveRestore + ProtobufSaveRestore>() {}
fn send_sync<T: Send + Sync + ?Sized>() {}

#[test]
fn bus_range_and_bar_mapping() {
    clone::<AssignedBusRange>();
    debug::<AssignedBusRange>();
    default::<AssignedBusRange>();
    let _: fn() -> AssignedBusRange = AssignedBusRange::new;
    let _: fn(&AssignedBusRange, u8, u8) = AssignedBusRange::set_bus_range;
    let _: fn(&AssignedBusRange) -> (u8, u8) = AssignedBusRange::bus_range;
    let _: fn(&AssignedBusRange, u8) -> bool = AssignedBusRange::contains_bus;

    looks::<BarMapping>();
    debug::<BarMapping>();
    looks::<BarMappings>();
    default::<BarMappings>();
    let BarMapping {
        index: 0u8,
        base_address: 0u64,
        len: 0u64,
    } = (BarMapping {
        index: 0,
        base_address: 0,
        len: 0,
    })
    else {
        panic!("as written")
    };
    let _: fn(&[u32; 6], &[u32; 6]) -> BarMappings = BarMappings::parse;
    let _: fn(&BarMappings, u64) -> Option<(u8, u64)> = BarMappings::find;
    let _: fn(&BarMappings, u8) -> Option<u64> = BarMappings::get;
    let _: Vec<&BarMapping> = BarMappings::default().iter().collect();
}

#[test]
fn probing_and_helpers() {
    fn extended<T: ?Sized + PciChipsetDeviceExt>() {
        let _: fn(&mut T) -> [u32; 6] = T::probe_bar_masks;
        let _: fn(&mut T) -> HardwareIds = T::probe_hardware_ids;
    }
    let _ = extended::<dyn PciChipsetDeviceExt>;
    debug::<TestPciInterruptController>();
    clone::<TestPciInterruptController>();
    let _: fn() -> TestPciInterruptController = TestPciInterruptController::new;
    let _: fn(&TestPciInterruptController) -> Option<(u64, u32)> =
        TestPciInterruptController::get_next_interrupt;
    let _: fn(&TestPciInterruptController) -> Arc<dyn SignalMsi> =
        TestPciInterruptController::signal_msi;
}

#[test]
fn msi() {
    send_sync::<dyn SignalMsi>();
    debug::<MsiConnection>();
    debug::<MsiTarget>();
    clone::<MsiTarget>();
    let _: fn(&MsiRoute) -> &Event = MsiRoute::event;
    let _: fn(&MsiRoute, u64, u32) = MsiRoute::enable;
    let _: fn(&MsiRoute, u16, u64, u32) = MsiRoute::enable_with_rid;
    let _: fn(&MsiRoute) = MsiRoute::disable;
    let _: fn(&MsiRoute) -> bool = MsiRoute::consume_pending;
    let _: fn(AssignedBusRange, u8) -> MsiConnection = MsiConnection::new;
    let _: fn(&MsiConnection, Arc<dyn SignalMsi>) = MsiConnection::connect;
    let _: fn(&MsiConnection, Arc<dyn IrqFd>) = MsiConnection::connect_irqfd;
    let _: fn(&MsiConnection) -> &MsiTarget = MsiConnection::target;
    let _: fn() -> MsiTarget = MsiTarget::disconnected;
    let _: fn(&MsiTarget, u8) -> MsiTarget = MsiTarget::with_devfn;
    let _: fn(&MsiTarget, AssignedBusRange, u8) -> MsiTarget = MsiTarget::with_bus_range;
    let _: fn(&MsiTarget, u64, u32) = MsiTarget::signal_msi;
    let _: fn(&MsiTarget, u16, u64, u32) = MsiTarget::signal_msi_with_rid;
    let _: fn(&MsiTarget) -> Option<anyhow::Result<MsiRoute>> = MsiTarget::new_route;
    let _: fn(&MsiTarget) -> u32 = MsiTarget::default_bdf;
    let _: fn(&MsiTarget) -> bool = MsiTarget::supports_direct_msi;
}

#[test]
fn capability_traits() {
    type Legacy = dyn PciCapability;
    send_sync::<Legacy>();
    let _: fn(&Legacy) -> &str = Legacy::label;
    let _: fn(&Legacy) -> CapabilityId = Legacy::capability_id;
    let _: fn(&Legacy) -> usize = Legacy::len;
    let _: fn(&Legacy, u16) -> u32 = Legacy::read_u32;
    let _: fn(&mut Legacy, u16, u32) = Legacy::write_u32;
    let _: fn(&mut Legacy) = Legacy::reset;
    let _: fn(&Legacy) -> Option<&PciExpressCapability> = Legacy::as_pci_express;
    let _: fn(&mut Legacy) -> Option<&mut PciExpressCapability> = Legacy::as_pci_express_mut;
    let _: fn(&Legacy) -> Option<&MsiCapability> = Legacy::as_msi_cap;
    let _: fn(&mut Legacy) -> Option<&mut MsiCapability> = Legacy::as_msi_cap_mut;

    type Extended = dyn PciExtendedCapability;
    send_sync::<Extended>();
    let _: fn(&Extended) -> &str = Extended::label;
    let _: fn(&Extended) -> u16 = Extended::extended_capability_id;
    let _: fn(&Extended) -> u8 = Extended::capability_version;
    let _: fn(&Extended) -> usize = Extended::len;
    let _: fn(&Extended, u16) -> u32 = Extended::read_u32;
    let _: fn(&mut Extended, u16, u32) = Extended::write_u32;
    let _: fn(&mut Extended) = Extended::reset;
    is::<dyn pci_core::capabilities::extended::PciExtendedCapability>();
}

#[test]
fn capabilities() {
    fn read_only<T: SaveRestore<SavedState = NoSavedState> + PciCapability + Debug>(_: T) {}
    read_only(ReadOnlyCapability::new("foo", 0));
    read_only(ReadOnlyCapability::new_with_capability_id(
        String::from("foo"),
        CapabilityId::VENDOR_SPECIFIC,
        0u64,
    ));

    debug::<MsiCapability>();
    clone::<MsiCapability>();
    looks::<MsiCapability>();
    saves::<MsiCapability>();
    let _: fn(u8, bool, bool, &MsiTarget) -> MsiCapability = MsiCapability::new;
    let _: fn(&MsiCapability) -> Option<Interrupt> = MsiCapability::interrupt;

    clone::<MsixEmulator>();
    let (emulator, capability) = MsixEmulator::new(0, 1, &MsiTarget::disconnected());
    let _: (MsixEmulator, Box<dyn PciCapability>) = (emulator, Box::new(capability));
    let _: fn(&MsixEmulator) -> u64 = MsixEmulator::bar_len;
    let _: fn(&MsixEmulator, u64) -> u32 = MsixEmulator::read_u32;
    let _: fn(&mut MsixEmulator, u64, u32) = MsixEmulator::write_u32;
    let _: fn(&MsixEmulator, u16) -> Option<Interrupt> = MsixEmulator::interrupt;
    let _: fn(&MsixEmulator, u16) = MsixEmulator::set_pending_bit;

    send_sync::<dyn FlrHandler>();
    let _: fn(&'static dyn FlrHandler) = <dyn FlrHandler>::initiate_flr;
    const { assert!(PCI_EXPRESS_DEVICE_CAPS_FLR_BIT_MASK == 1u32 << 28) };
    looks::<PciExpressCapability>();
    saves::<PciExpressCapability>();
    type Pcie = PciExpressCapability;
    let _: fn(DevicePortType, Option<Arc<dyn FlrHandler>>) -> Pcie = Pcie::new;
    let _: fn(Pcie, u32) -> Pcie = Pcie::with_hotplug_support;
    let _: fn(&Pcie, bool) = Pcie::set_presence_detect_state;
    let _: fn(&Pcie) = Pcie::set_hotplug_changed_bits;
    let _: fn(&Pcie, bool) = Pcie::set_hotplug_state;
    let _: fn(&Pcie) -> bool = Pcie::hot_plug_interrupt_enabled;
    let _: fn(&Pcie) -> &SlotCapabilities = Pcie::slot_capabilities;

    debug::<AcsExtendedCapability>();
    looks::<AcsExtendedCapability>();
    saves::<AcsExtendedCapability>();
    let _: fn() -> AcsExtendedCapability = AcsExtendedCapability::new;
    let _: fn(u16) -> AcsExtendedCapability = AcsExtendedCapability::with_capabilities;
}

#[test]
fn cfg_space_emu() {
    const COUNT: usize = HeaderType::Type1.bar_count();
    assert_eq!(
        (COUNT, usize::from(HeaderType::Type0)),
        (
            header_type_consts::TYPE1_BAR_COUNT,
            header_type_consts::TYPE0_BAR_COUNT
        )
    );
    assert_eq!(
        CommonHeaderResult::Failed(IoError::InvalidRegister),
        CommonHeaderResult::Failed(IoError::NoResponse)
    );
    assert_ne!(CommonHeaderResult::Handled, CommonHeaderResult::Unhandled);
    debug::<IntxInterrupt>();
    looks::<IntxInterrupt>();
    let _: fn(&IntxInterrupt, bool) = IntxInterrupt::set_level;
    looks::<PciInterruptPin>();
    assert_eq!(PciInterruptPin::IntD as u8, 3);

    debug::<BarMemoryKind>();
    looks::<BarMemoryKind>();
    let _: fn(Box<dyn ControlMmioIntercept>) -> BarMemoryKind = BarMemoryKind::Intercept;
    let _: fn(Box<dyn MappableGuestMemory>) -> BarMemoryKind = BarMemoryKind::SharedMem;
    let _: BarMemoryKind = BarMemoryKind::Dummy;
    debug::<DeviceBars>();
    let _: fn() -> DeviceBars = DeviceBars::new;
    let _: fn(DeviceBars, u64, BarMemoryKind) -> DeviceBars = DeviceBars::bar0;
    let _: fn(DeviceBars, u64, BarMemoryKind) -> DeviceBars = DeviceBars::bar2;
    let _: fn(DeviceBars, u64, BarMemoryKind) -> DeviceBars = DeviceBars::bar4;
}

#[test]
fn common_emulator() {
    is::<ConfigSpaceCommonHeaderEmulatorType0>();
    is::<ConfigSpaceCommonHeaderEmulatorType1>();
    type Common = ConfigSpaceCommonHeaderEmulator<6>;
    looks::<Common>();
    saves::<Common>();
    let _: fn(HardwareIds, Caps, ExtendedCaps, DeviceBars) -> Common = Common::new;
    let _: fn(&Common) -> usize = Common::bar_count;
    let _: fn(&Common) -> HeaderType = Common::header_type;
    let _: fn(&Common, HeaderType) -> bool = Common::validate_header_type;
    let _: fn(Common, bool) -> Common = Common::with_multi_function_bit;
    let _: fn(&Common) -> bool = Common::multi_function_bit;
    let _: fn(&mut Common, PciInterruptPin, LineInterrupt) -> Arc<IntxInterrupt> =
        Common::set_interrupt_pin;
    let _: fn(&mut Common) = Common::reset;
    let _: fn(&Common) -> &HardwareIds = Common::hardware_ids;
    let _: fn(&Common) -> &[Box<dyn PciCapability>] = Common::capabilities;
    let _: fn(&mut Common) -> &mut [Box<dyn PciCapability>] = Common::capabilities_mut;
    let _: fn(&Common) -> Command = Common::command;
    let _: fn(&Common) -> &[u32; 6] = Common::base_addresses;
    let _: fn(&Common) -> u8 = Common::interrupt_line;
    let _: fn(&Common) -> u8 = Common::interrupt_pin;
    let _: fn(&mut Common, u8) = Common::set_interrupt_line;
    let _: fn(&mut Common, &[u32; 6]) = Common::set_base_addresses;
    let _: fn(&mut Common, Command) = Common::set_command;
    let _: fn(&mut Common, Command) = Common::sync_command_register;
    let _: fn(&mut Common, bool) = Common::update_intx_disable;
    let _: fn(&mut Common, bool) = Common::update_mmio_enabled;
    let _: fn(&Common, u64) -> Option<(u8, u64)> = Common::find_bar;
    let _: fn(&Common, u8) -> Option<u64> = Common::bar_address;
    let _: fn(&Common) -> bool = Common::is_pcie_device;
    let _: fn(&Common, u16, &mut u32) -> CommonHeaderResult = Common::read_u32;
    let _: fn(&mut Common, u16, u32) -> CommonHeaderResult = Common::write_u32;
}

#[test]
fn typed_emulators() {
    type Type0 = ConfigSpaceType0Emulator;
    looks::<Type0>();
    saves::<Type0>();
    let _: fn(HardwareIds, Caps, ExtendedCaps, DeviceBars) -> Type0 = Type0::new;
    let _: fn(Type0, bool) -> Type0 = Type0::with_multi_function_bit;
    let _: fn(&mut Type0, PciInterruptPin, LineInterrupt) -> Arc<IntxInterrupt> =
        Type0::set_interrupt_pin;
    let _: fn(&mut Type0) = Type0::reset;
    let _: fn(&Type0, u16, &mut u32) -> IoResult = Type0::read_u32;
    let _: fn(&mut Type0, u16, u32) -> IoResult = Type0::write_u32;
    let _: fn(&Type0, u64) -> Option<(u8, u64)> = Type0::find_bar;
    let _: fn(&Type0, u8) -> Option<u64> = Type0::bar_address;
    let _: fn(&Type0) -> bool = Type0::is_pcie_device;
    let _: fn(&mut Type0, bool) = Type0::set_presence_detect_state;

    type Type1 = ConfigSpaceType1Emulator;
    looks::<Type1>();
    saves::<Type1>();
    let _: fn(HardwareIds, Caps, ExtendedCaps) -> Type1 = Type1::new;
    let _: fn(HardwareIds, Caps, ExtendedCaps, DeviceBars) -> Type1 = Type1::new_with_bars;
    let _: fn(&mut Type1) = Type1::reset;
    let _: fn(Type1, bool) -> Type1 = Type1::with_multi_function_bit;
    let _: fn(&Type1, u16, &mut u32) -> IoResult = Type1::read_u32;
    let _: fn(&mut Type1, u16, u32) -> IoResult = Type1::write_u32;
    let _: fn(&Type1, u64) -> Option<(u8, u64)> = Type1::find_bar;
    let _: fn(&Type1, u8) -> Option<u64> = Type1::bar_address;
    let _: fn(&Type1) -> bool = Type1::is_pcie_device;
    let _: fn(&mut Type1, bool) = Type1::set_presence_detect_state;
    let _: fn(&Type1) -> &[Box<dyn PciCapability>] = Type1::capabilities;
    let _: fn(&mut Type1) -> &mut [Box<dyn PciCapability>] = Type1::capabilities_mut;
    let _: fn(&Type1) -> RangeInclusive<u8> = Type1::assigned_bus_range;
    let _: fn(&Type1) -> AssignedBusRange = Type1::bus_range;
    let _: fn(&Type1) -> Option<RangeInclusive<u32>> = Type1::assigned_memory_range;
    let _: fn(&Type1) -> Option<RangeInclusive<u64>> = Type1::assigned_prefetch_range;
}
