use super::*;
use pci_core::cfg_space_emu::ConfigSpaceType0Emulator;
use pci_core::cfg_space_emu::DeviceBars;
use pci_spec::hwid::ClassCode;
use pci_spec::hwid::HardwareIds;
use pci_spec::hwid::ProgrammingInterface;
use pci_spec::hwid::Subclass;
use vmcore::save_restore::SaveRestore;

fn three() -> CxlRegisterLocatorDvsecExtendedCapability {
    let blocks = [
        (
            CxlRegisterLocatorRegisterBir::BAR_10H,
            CxlRegisterLocatorRegisterBlockIdentifier::COMPONENT_REGISTERS,
            0,
        ),
        (
            CxlRegisterLocatorRegisterBir::BAR_18H,
            CxlRegisterLocatorRegisterBlockIdentifier::CXL_DEVICE_REGISTERS,
            0x12_3456_0000,
        ),
        (
            CxlRegisterLocatorRegisterBir::BAR_24H,
            CxlRegisterLocatorRegisterBlockIdentifier::DESIGNATED_VENDOR_SPECIFIC,
            0x1_0000,
        ),
    ];
    blocks.into_iter().fold(
        CxlRegisterLocatorDvsecExtendedCapability::new(),
        |locator, (bir, identifier, offset)| {
            locator
                .with_register_block(bir, identifier, offset)
                .unwrap()
        },
    )
}

fn words(locator: &CxlRegisterLocatorDvsecExtendedCapability) -> Vec<u32> {
    let offsets = (0u16..).step_by(4).take(locator.len() / 4);
    offsets.map(|o| locator.read_u32(o)).collect()
}

const THREE: [u32; 9] = [
    0x0001_0023,
    0x0240_1e98,
    8,
    0x0000_0100,
    0,
    0x3456_0302,
    0x12,
    0x0001_ff05,
    0,
];

#[test]
fn entries_say_which_block_is_where() {
    let mut locator = three();
    assert_eq!(words(&locator), THREE);
    assert_eq!(locator.read_u32(0x24), u32::MAX, "past the end");
    for offset in (0..0x24).step_by(4) {
        locator.write_u32(offset, 0);
    }
    locator.reset();
    assert_eq!(words(&locator), THREE, "all of it is read-only");
    assert_eq!(words(&locator.clone()), THREE);
    assert_eq!(
        words(&CxlRegisterLocatorDvsecExtendedCapability::new()),
        [0x0001_0023, 0x00c0_1e98, 8]
    );
}

#[test]
fn a_misplaced_block_and_one_too_many_are_refused() {
    let add = |locator: CxlRegisterLocatorDvsecExtendedCapability, offset| {
        locator.with_register_block(
            CxlRegisterLocatorRegisterBir::BAR_10H,
            CxlRegisterLocatorRegisterBlockIdentifier::CPMU_REGISTERS,
            offset,
        )
    };
    assert_eq!(
        add(three(), 0x8000).err(),
        Some(RegisterLocatorConfigError::RegisterBlockOffsetUnaligned)
    );
    let full = (0..510).try_fold(CxlRegisterLocatorDvsecExtendedCapability::new(), |l, n| {
        add(l, n << 16)
    });
    let full = full.unwrap();
    assert_eq!(full.read_u32(4) >> 20, 0xffc, "the length still fits");
    assert_eq!(
        add(full, 0).err(),
        Some(RegisterLocatorConfigError::TooManyRegisterBlocks)
    );
}

#[test]
fn a_saved_state_with_other_entries_is_refused() {
    let mut locator = three();
    let state = locator.save().unwrap();
    assert_eq!(state.register_blocks[1], 0x12_3456_0302);
    locator.restore(state).unwrap();
    let mut none = CxlRegisterLocatorDvsecExtendedCapability::new();
    assert!(none.restore(locator.save().unwrap()).is_err());
    assert_eq!(none.len(), 0xc, "nothing behind it moves");
}

#[test]
fn the_chain_in_configuration_space_shows_headers_and_entries() {
    let ids = HardwareIds {
        vendor_id: 0x1414,
        device_id: 0xc102,
        revision_id: 0,
        prog_if: ProgrammingInterface(0x10),
        sub_class: Subclass(2),
        base_class: ClassCode::MEMORY_CONTROLLER,
        type0_sub_vendor_id: 0,
        type0_sub_system_id: 0,
    };
    let device = crate::CxlDeviceDevsecExtendedCapability::default();
    let express = pci_core::capabilities::pci_express::PciExpressCapability::new(
        pci_spec::caps::pci_express::DevicePortType::Endpoint,
        None,
    );
    let mut function = ConfigSpaceType0Emulator::new(
        ids,
        vec![Box::new(express)],
        vec![Box::new(device.clone()), Box::new(three())],
        DeviceBars::new(),
    );
    let read = |function: &ConfigSpaceType0Emulator, offset| {
        let mut value = 0;
        function.read_u32(offset, &mut value).unwrap();
        value
    };
    assert_eq!(read(&function, 0x100), 0x13c1_0023, "the locator is next");
    assert_eq!(read(&function, 0x104), 0x03c3_1e98);
    let entries: Vec<_> = (0x13c..0x160)
        .step_by(4)
        .map(|o| read(&function, o))
        .collect();
    assert_eq!(entries, THREE);
    // The clone that stayed behind sees the guest's write, and the guest what it reports.
    function.write_u32(0x110, 0x8).unwrap();
    assert!(device.control2().cxl_reset_mem_clr_enable());
    device.set_cxl_reset_complete(true);
    assert_eq!(read(&function, 0x110), 0x0002_0008);
}
