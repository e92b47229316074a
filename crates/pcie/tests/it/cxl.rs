//! CXL: the host bridge's component registers, and those in the BARs of ports anywhere in the hierarchy.

use crate::model::*;
use chipset_device::io::IoError;
use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use cxl_spec::pci_registers::spec::flex_bus_port_dvsec::CxlFlexBusPortDvsecCapability;
use memory_range::MemoryRange;
use pci_core::msi::MsiTarget;
use pcie::CxlPortOptions;
use pcie::PciePortSettings;
use pcie::PortConfig;
use pcie::PortOptions;
use pcie::root::GenericPcieRootComplex;
use pcie::switch::GenericPcieSwitch;
use pcie::switch::GenericPcieSwitchDefinition;
use pcie::switch::SwitchConfig;

const CHBCR: u64 = 0xd000_0000;
const BAR: u64 = 0xc000_0000;
/// Of the directory in component registers: its header.
const DIRECTORY: u64 = 0x1000;

fn cxl_settings() -> PciePortSettings {
    PciePortSettings {
        cxl_flex_bus_port_capability: Some(
            CxlFlexBusPortDvsecCapability::new().with_mem_capable(true),
        ),
        ..PciePortSettings::default()
    }
}

fn cxl_port(name: &str) -> PortConfig {
    PortConfig {
        settings: cxl_settings(),
        options: PortOptions {
            cxl: CxlPortOptions {
                ras: true,
                link: true,
            },
            ..PortOptions::default()
        },
        ..PortConfig::new(name, 0, 0)
    }
}

fn cxl_switch() -> GenericPcieSwitch {
    let mut config = SwitchConfig::new("sw");
    config.ports = vec![cxl_port("dsp")];
    config
        .build(
            &MsiTarget::disconnected(),
            Some(&mut ExternallyManagedMmioIntercepts),
        )
        .unwrap()
}

fn with_host_bridge() -> GenericPcieRootComplex {
    let range = MemoryRange::new(CHBCR..CHBCR + 0x1_1000);
    build(builder().host_bridge_registers(range).port(cxl_port("rp0")))
}

/// The ID of each entry of a directory of component registers, and where its block is.
fn blocks(root: &mut impl Guest, registers: u64) -> Vec<(u32, u64)> {
    let header = root.load_u32(registers + DIRECTORY);
    assert_eq!(header & 0xffff, 1, "the directory's ID");
    (1..=u64::from(header >> 24))
        .map(|i| {
            let entry = root.load_u32(registers + DIRECTORY + 4 * i);
            (
                entry & 0xffff,
                registers + DIRECTORY + u64::from(entry >> 20),
            )
        })
        .collect()
}

#[test]
fn the_host_bridge_has_hdm_decoders() {
    let mut root = with_host_bridge();
    let found = blocks(&mut root, CHBCR);
    let [(5, decoders)] = found[..] else {
        panic!("{found:x?}");
    };
    assert_eq!(root.load_u32(decoders) & 0xf, 2, "encodes four decoders");
    // Decoder 0's base, high and low: a dword each, or both at once.
    root.store_u32(decoders + 0x14, 0x12);
    assert_eq!(root.load_u32(decoders + 0x14), 0x12);
    root.store(decoders + 0x10, &0x34_2000_0000_u64.to_le_bytes())
        .unwrap();
    assert_eq!(
        root.load(decoders + 0x10, 8),
        Ok(0x34_2000_0000_u64.to_le_bytes().to_vec())
    );
    let state = saved(&mut root);
    reset(&mut root);
    assert_eq!(root.load_u32(decoders + 0x14), 0, "reset");
    restore(&mut root, &state).unwrap();
    assert_eq!(root.load_u32(decoders + 0x14), 0x34, "restored");
}

#[test]
fn host_bridge_registers_take_dwords_and_quadwords() {
    let mut root = with_host_bridge();
    for (offset, len, error) in [
        (DIRECTORY, 1, IoError::InvalidAccessSize),
        (DIRECTORY, 2, IoError::InvalidAccessSize),
        (DIRECTORY, 3, IoError::InvalidAccessSize),
        (DIRECTORY, 16, IoError::InvalidAccessSize),
        (DIRECTORY + 2, 4, IoError::UnalignedAccess),
        (DIRECTORY + 4, 8, IoError::UnalignedAccess),
        (0x1_0000, 1, IoError::InvalidAccessSize),
    ] {
        assert_eq!(
            root.load(CHBCR + offset, len),
            Err(error),
            "{len} at {offset:#x}"
        );
        assert_eq!(root.store(CHBCR + offset, &vec![0; len]), Err(error));
    }
    for offset in [0, 0xffc, 0xfffc] {
        assert_eq!(root.load_u32(CHBCR + offset), 0, "no such register");
        root.store_u32(CHBCR + offset, !0);
    }
    root.store_u32(CHBCR + DIRECTORY, 0);
    assert_eq!(root.load_u32(CHBCR + DIRECTORY) & 0xffff, 1, "read-only");
    assert_eq!(root.load_u32(CHBCR + 0x1_0000), 0, "beyond the registers");
    let beyond = root.store(CHBCR + 0x1_0000, &[0; 4]);
    assert_eq!(beyond, Err(IoError::InvalidRegister));
    assert!(root.load(CHBCR + 0x1_1000, 4).is_err(), "beyond the range");
}

#[test]
fn a_root_ports_registers_are_in_its_bar() {
    let mut root = with_host_bridge();
    root.write(0, 0, 0x10, BAR as u32);
    assert!(
        root.load(BAR + DIRECTORY, 4).is_err(),
        "Memory Space Enable is clear"
    );
    root.write(0, 0, 0x04, 2);
    let ids: Vec<_> = blocks(&mut root, BAR)
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(ids, [2, 4], "RAS and link");
    assert_eq!(
        root.load(BAR + DIRECTORY, 2),
        Err(IoError::InvalidAccessSize)
    );
    assert_eq!(root.load_u32(BAR), 0);
}

#[test]
fn a_switch_ports_registers_are_reached_through_the_root_complex() {
    let mut root = plain(2);
    root.add_pcie_device(8, "sw", cxl_switch().into_device())
        .unwrap();
    root.number((0, 8), 1, 3);
    root.number((1, 0), 2, 3);
    root.number((2, 0), 3, 3);
    root.open((0, 8));
    root.open((1, 0));
    root.write(2, 0, 0x14, 0x12);
    root.write(2, 0, 0x10, BAR as u32);
    root.write(2, 0, 0x04, 2);
    let at = (0x12 << 32) | BAR;
    let ids: Vec<_> = blocks(&mut root, at)
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(ids, [2, 4]);
    // The RAS block's Uncorrectable Error Mask, which software may write (CXL 3.1 section 8.2.4.17.2).
    let mask = blocks(&mut root, at)[0].1 + 4;
    let was = root.load_u32(mask);
    root.store_u32(mask, 0);
    assert_ne!(root.load_u32(mask), was);

    let state = saved(&mut root);
    reset(&mut root);
    assert!(root.load(at + DIRECTORY, 4).is_err());
    restore(&mut root, &state).unwrap();
    assert_eq!(root.load_u32(mask), 0);
    assert_eq!(saved(&mut root), state);
}

#[test]
fn cxl_state_goes_to_cxl_ports_only() {
    let mut cxl = with_host_bridge();
    let state = saved(&mut cxl);
    let mut no_bridge = build(builder().port(cxl_port("rp0")));
    let text = |result: Result<(), vmcore::save_restore::RestoreError>| {
        let mut text = String::new();
        let error = result.unwrap_err();
        let mut error: Option<&dyn std::error::Error> = Some(&error);
        while let Some(e) = error {
            text += &format!("{e}; ");
            error = e.source();
        }
        text
    };
    let before = saved(&mut no_bridge);
    assert!(
        text(restore(&mut no_bridge, &state))
            .contains("the saved state is of a CXL root complex; this is none")
    );
    assert_eq!(saved(&mut no_bridge), before);
    let other = saved(&mut no_bridge);
    assert!(
        text(restore(&mut cxl, &other))
            .contains("this is a CXL root complex; the saved state is of none")
    );
    assert!(text(restore(&mut plain(1), &other)).contains(
        "the saved state has extended capability 'cxl_port_dvsec', which this function does not have"
    ));
}

#[test]
fn a_bar_over_ecam_hides_it() {
    let mut root = with_host_bridge();
    root.write(0, 0, 0x10, ECAM as u32);
    root.store(config(0, 0, 0x04), &[2]).unwrap();
    assert_eq!(root.load_u32(ECAM + DIRECTORY) & 0xffff, 1, "the BAR");
    assert_eq!(root.load_u32(ECAM), 0);
    // Bus 1 is beyond the BAR.
    assert_eq!(root.read(1, 0, 0), !0);
    reset(&mut root);
    assert_eq!(root.read(0, 0, 0), 0xc030_1414);
}

#[test]
fn a_switch_without_mmio_registration_goes_without_cxl() {
    let mut root = plain(1);
    let sw = GenericPcieSwitch::new(GenericPcieSwitchDefinition {
        name: "sw".into(),
        downstream_port_count: 1,
        hotplug: false,
        msi_target: MsiTarget::disconnected(),
        dsp_settings: cxl_settings(),
    });
    root.add_pcie_device(0, "sw", sw.into_device()).unwrap();
    root.number((0, 0), 1, 3);
    root.number((1, 0), 2, 3);
    assert_eq!(root.read(2, 0, 0), 0xc032_1414);
    assert_eq!(root.read(2, 0, 0x100), !0);
    assert_eq!(root.read(2, 0, 0x10), 0, "no BAR");
}
