//! Saved state of functions: everything comes back, and what is refused changes nothing.

use crate::foreign::Foreign;
use crate::function::Config;
use crate::function::endpoint_ids;
use crate::function::port_ids;
use mesh_protobuf::Protobuf;
use pci_core::bus_range::AssignedBusRange;
use pci_core::capabilities::PciCapability;
use pci_core::capabilities::extended::acs::AcsExtendedCapability;
use pci_core::capabilities::msi_cap::MsiCapability;
use pci_core::capabilities::msix::MsixEmulator;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::cfg_space_emu::BarMemoryKind;
use pci_core::cfg_space_emu::ConfigSpaceType0Emulator;
use pci_core::cfg_space_emu::ConfigSpaceType1Emulator;
use pci_core::cfg_space_emu::DeviceBars;
use pci_core::msi::MsiConnection;
use pci_core::msi::MsiTarget;
use pci_core::spec::caps::pci_express::DevicePortType;
use pci_core::test_helpers::TestPciInterruptController;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SavedStateBlob;
use vmcore::save_restore::SavedStateRoot;

/// The message of both header types, as the interface gives it.
#[derive(Protobuf, SavedStateRoot)]
#[mesh(package = "pci.cfg_space_emu")]
struct SavedState {
    #[mesh(1)]
    command: u16,
    #[mesh(2)]
    base_addresses: [u32; 6],
    #[mesh(3)]
    interrupt_line: u8,
    #[mesh(4)]
    latency_timer: u8,
    #[mesh(5)]
    capabilities: Vec<(String, SavedStateBlob)>,
    #[mesh(6)]
    subordinate_bus_number: u8,
    #[mesh(7)]
    secondary_bus_number: u8,
    #[mesh(8)]
    primary_bus_number: u8,
    #[mesh(9)]
    memory_base: u16,
    #[mesh(10)]
    memory_limit: u16,
    #[mesh(11)]
    prefetch_base: u16,
    #[mesh(12)]
    prefetch_limit: u16,
    #[mesh(13)]
    prefetch_base_upper: u32,
    #[mesh(14)]
    prefetch_limit_upper: u32,
    #[mesh(15)]
    bridge_control: u16,
    #[mesh(16)]
    extended_capabilities: Vec<(String, SavedStateBlob)>,
}

/// The PCI Express capability's message.
mod pci_express_state {
    use super::*;

    #[derive(Protobuf, SavedStateRoot, PartialEq, Debug)]
    #[mesh(package = "pci.capabilities.pci_express")]
    pub(super) struct SavedState {
        #[mesh(1)]
        pub(super) device_control: u16,
        #[mesh(2)]
        pub(super) device_status: u16,
        #[mesh(3)]
        pub(super) link_control: u16,
        #[mesh(4)]
        pub(super) link_status: u16,
        #[mesh(5)]
        pub(super) slot_control: u16,
        #[mesh(6)]
        pub(super) slot_status: u16,
        #[mesh(7)]
        pub(super) root_control: u16,
        #[mesh(8)]
        pub(super) root_status: u32,
        #[mesh(9)]
        pub(super) device_control_2: u16,
        #[mesh(10)]
        pub(super) device_status_2: u16,
        #[mesh(11)]
        pub(super) link_control_2: u16,
        #[mesh(12)]
        pub(super) link_status_2: u16,
        #[mesh(13)]
        pub(super) slot_control_2: u16,
        #[mesh(14)]
        pub(super) slot_status_2: u16,
    }
}

fn state() -> SavedState {
    SavedState {
        command: 0x0406,
        base_addresses: [0xfee0_0004, 1, 0, 0, 0, 0],
        interrupt_line: 0x11,
        latency_timer: 0x22,
        capabilities: vec![],
        subordinate_bus_number: 9,
        secondary_bus_number: 8,
        primary_bus_number: 7,
        memory_base: 0xe01f,
        memory_limit: 0xe02f,
        prefetch_base: 0x1000,
        prefetch_limit: 0x2ffe,
        prefetch_base_upper: 3,
        prefetch_limit_upper: 4,
        bridge_control: 0xffff,
        extended_capabilities: vec![],
    }
}

fn bytes(function: &mut impl ProtobufSaveRestore) -> Vec<u8> {
    mesh_protobuf::encode(function.save().unwrap())
}

fn port(capabilities: Vec<Box<dyn PciCapability>>) -> ConfigSpaceType1Emulator {
    ConfigSpaceType1Emulator::new_with_bars(
        port_ids(),
        capabilities,
        vec![
            Box::new(AcsExtendedCapability::new()),
            Box::new(AcsExtendedCapability::with_capabilities(1)),
        ],
        DeviceBars::new().bar0(0x1000, BarMemoryKind::Dummy),
    )
}

fn endpoint() -> ConfigSpaceType0Emulator {
    ConfigSpaceType0Emulator::new(endpoint_ids(), vec![], vec![], DeviceBars::new())
}

fn message(error: &RestoreError) -> String {
    format!("{error:?}")
}

#[test]
fn a_bridge_takes_the_interfaces_message_and_masks_what_it_must() {
    let mut bridge = port(vec![]);
    bridge.restore(SavedStateBlob::new(state())).unwrap();
    bridge.shows(&[
        (0x04, 0x0000_0406),
        (0x10, 0xfee0_0004),
        (0x14, 1),
        (0x18, 0x0009_0807),
        (0x20, 0xe020_e010),
        (0x24, 0x2ff1_1001),
        (0x28, 3),
        (0x2c, 4),
        (0x3c, 0x005f_0011),
    ]);
    assert_eq!(bridge.bar_address(0), Some(0x1_fee0_0000));
    assert_eq!(bridge.assigned_bus_range(), 8..=9);
    assert_eq!(
        bridge.assigned_memory_range(),
        Some(0xe010_0000..=0xe02f_ffff)
    );
    let saved: SavedState = bridge.save().unwrap().parse().unwrap();
    assert_eq!((saved.memory_base, saved.prefetch_limit), (0xe010, 0x2ff0));
    assert_eq!((saved.command, saved.bridge_control), (0x0406, 0x5f));
}

#[test]
fn an_endpoint_takes_its_part_of_the_message() {
    let mut function = endpoint();
    function.restore(SavedStateBlob::new(state())).unwrap();
    function.shows(&[
        (0x04, 0x406),
        (0x0c, 0x2200),
        (0x10, 0),
        (0x3c, 0x0022_0011),
    ]);
}

#[test]
fn command_bits_that_cannot_be_set_are_refused() {
    let mut function = endpoint();
    function.write(0x3c, 0x55);
    let before = bytes(&mut function);
    for command in [0x0080, 0x0800, 0x8000] {
        let refused = SavedState { command, ..state() };
        let error = function.restore(SavedStateBlob::new(refused)).unwrap_err();
        assert!(
            matches!(error, RestoreError::InvalidSavedState(_)),
            "{error:?}"
        );
        assert!(
            message(&error).contains(&format!("bits {command:#06x} cannot be set")),
            "{error:?}"
        );
        assert_eq!(bytes(&mut function), before);
    }
}

#[test]
fn labels_that_this_function_does_not_have_are_refused() {
    let mut msi = MsiCapability::new(0, true, false, &MsiTarget::disconnected());
    let blob = ProtobufSaveRestore::save(&mut msi).unwrap();
    let mut bridge = port(vec![Box::new(msi)]);
    let before = bytes(&mut bridge);
    let twice = vec![
        ("msi".to_string(), blob.clone()),
        ("msi".to_string(), blob.clone()),
    ];
    for (capabilities, extended_capabilities, text) in [
        (
            vec![("msi-y".to_string(), blob.clone())],
            vec![],
            "capability 'msi-y'",
        ),
        (twice, vec![], "or not so often"),
        (
            vec![],
            vec![("msi".to_string(), blob.clone())],
            "extended capability 'msi'",
        ),
    ] {
        let refused = SavedState {
            capabilities,
            extended_capabilities,
            ..state()
        };
        let error = bridge.restore(SavedStateBlob::new(refused)).unwrap_err();
        assert!(matches!(error, RestoreError::InvalidSavedState(_)));
        assert!(message(&error).contains(text), "{error:?}");
        assert_eq!(bytes(&mut bridge), before);
    }
}

#[test]
fn another_capabilitys_blob_is_refused_by_name() {
    let mut acs = AcsExtendedCapability::new();
    let blob = ProtobufSaveRestore::save(&mut acs).unwrap();
    let msi = MsiCapability::new(0, true, false, &MsiTarget::disconnected());
    let mut bridge = port(vec![Box::new(msi)]);
    let before = bytes(&mut bridge);
    let refused = SavedState {
        capabilities: vec![("msi".to_string(), blob)],
        ..state()
    };
    let error = bridge.restore(SavedStateBlob::new(refused)).unwrap_err();
    assert_eq!(error.to_string(), "failed to restore 'msi'");
    assert_eq!(bytes(&mut bridge), before);
}

#[test]
fn capabilities_of_one_label_are_restored_in_order() {
    let compose = || {
        port(vec![
            Box::new(Foreign::new("same")),
            Box::new(Foreign::new("same")),
            Box::new(PciExpressCapability::new(DevicePortType::RootPort, None)),
        ])
    };
    let mut source = compose();
    source.write(0x44, 0x0001_1111);
    source.write(0x4c, 0x0002_2222);
    source.write(0x104, 0x0055_0000);
    source.write(0x110, 0x0001_0000);
    let mut target = compose();
    target.restore(source.save().unwrap()).unwrap();
    target.shows(&[
        (0x44, 0xfffe_1111),
        (0x4c, 0xfffd_2222),
        (0x104, 0x0055_005f),
        (0x110, 0x0001_0001),
    ]);
    assert_eq!(bytes(&mut target), bytes(&mut source));
}

#[test]
fn what_the_state_lacks_stays_as_it_is() {
    let mut bridge = port(vec![Box::new(Foreign::new("a"))]);
    bridge.write(0x44, 0x1234);
    bridge.restore(SavedStateBlob::new(state())).unwrap();
    bridge.shows(&[(0x44, 0xffff_1234)]);
}

#[test]
fn a_refusal_halfway_rolls_everything_back() {
    let compose = |refused| {
        let mut foreign = Foreign::new("foreign");
        foreign.refused = refused;
        port(vec![
            Box::new(MsiCapability::new(
                2,
                true,
                true,
                &MsiTarget::disconnected(),
            )),
            Box::new(PciExpressCapability::new(DevicePortType::RootPort, None)),
            Box::new(foreign),
        ])
    };
    let mut source = compose(None);
    for offset in (0..0x200).step_by(4) {
        source.write(offset, 0xa5a5_a5a5 & !0x0880);
    }
    let word = source.read(0x98);
    assert_eq!(word & 0xff, 0x25, "the foreign capability's register");
    let saved = source.save().unwrap();

    let mut target = compose(Some(word));
    target.write(0x10, 0x7000_0000);
    target.write(0x18, 0x0004_0302);
    target.write(0x44, 0xfee0_0000);
    target.write(0x04, 2);
    target.write(0x74, 0x1f);
    target.write(0x104, 0x0001_0000);
    let range = target.bus_range();
    let (before, words) = (bytes(&mut target), all_words(&target));
    let error = target.restore(saved.clone()).unwrap_err();
    assert_eq!(error.to_string(), "failed to restore 'foreign'");
    assert_eq!(bytes(&mut target), before);
    assert_eq!(all_words(&target), words);
    assert_eq!(range.bus_range(), (3, 4));
    assert_eq!(target.bar_address(0), Some(0x7000_0000));

    let mut willing = compose(None);
    willing.restore(saved).unwrap();
    assert_eq!(bytes(&mut willing), bytes(&mut source));
    assert_eq!(all_words(&willing), all_words(&source));
}

fn all_words(function: &impl Config) -> Vec<u32> {
    (0..0x1000)
        .step_by(4)
        .map(|offset| function.read(offset))
        .collect()
}

#[test]
fn any_values_of_the_pci_express_registers_survive() {
    use pci_express_state::SavedState;
    let odd = || SavedState {
        device_control: 0x1111,
        device_status: 0x2222,
        link_control: 0x3333,
        link_status: 0x4444,
        slot_control: 0x5555,
        slot_status: 0x6666,
        root_control: 0x7777,
        root_status: 0x8888_9999,
        device_control_2: 0xaaaa,
        device_status_2: 0xbbbb,
        link_control_2: 0xcccc,
        link_status_2: 0xdddd,
        slot_control_2: 0xeeee,
        slot_status_2: 0xffff,
    };
    for typ in [DevicePortType::Endpoint, DevicePortType::RootPort] {
        let mut pcie = PciExpressCapability::new(typ, None);
        ProtobufSaveRestore::restore(&mut pcie, SavedStateBlob::new(odd())).unwrap();
        let saved: SavedState = ProtobufSaveRestore::save(&mut pcie)
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(saved, odd());
        pcie.reset();
        // Transactions Pending is live: what was restored stays until the function says otherwise.
        assert_eq!(pcie.read_u32(0x08), 0x0020_0000);
        assert_eq!(pcie.read_u32(0x20), 0);
        assert_eq!(pcie.read_u32(0x38), 0);
    }
}

#[test]
fn an_interrupt_pending_in_msi_x_is_sent_after_a_restore() {
    let controller = TestPciInterruptController::new();
    let connection = MsiConnection::new(AssignedBusRange::new(), 0);
    connection.connect(controller.signal_msi());
    let compose = || {
        let (emulator, capability) = MsixEmulator::new(0, 2, connection.target());
        let function = ConfigSpaceType0Emulator::new(
            endpoint_ids(),
            vec![Box::new(capability)],
            vec![],
            DeviceBars::new().bar0(emulator.bar_len(), BarMemoryKind::Dummy),
        );
        (emulator, function)
    };
    let (mut emulator, mut source) = compose();
    emulator.write_u32(0x10, 0xfee0_1000);
    emulator.write_u32(0x18, 0x42);
    source.write(0x40, 0x8000_0000);
    emulator.interrupt(1).unwrap().deliver();
    assert_eq!(controller.get_next_interrupt(), None, "masked");
    let (mut emulator, mut target) = compose();
    target.restore(source.save().unwrap()).unwrap();
    target.shows(&[(0x40, 0x8001_0011)]);
    assert_eq!(emulator.read_u32(0x20), 0x2);
    emulator.write_u32(0x1c, 0);
    assert_eq!(controller.get_next_interrupt(), Some((0xfee0_1000, 0x42)));
    emulator.interrupt(1).unwrap().deliver();
    assert_eq!(controller.get_next_interrupt(), Some((0xfee0_1000, 0x42)));
}

#[test]
fn messages_have_the_names_and_roots_of_the_index() {
    let names: Vec<_> = vmcore::save_restore::saved_state_roots()
        .map(|root| format!("{root:?}"))
        .collect();
    for package in [
        "pci.cfg_space_emu",
        "pci.caps.msi",
        "pci.caps.msix",
        "pci.capabilities.pci_express",
        "pci.capabilities.extended.acs",
        "pci.capabilities.extended.aer",
        "pci.capabilities.registers",
        "save_restore",
    ] {
        assert!(
            names.iter().any(|name| name.contains(package)),
            "{package} in {names:?}"
        );
    }
}
