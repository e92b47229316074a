//! Accesses to ECAM: sizes, alignment, lanes, and what a plain port shows through it (PCIe 6.2 section 7.2.2).

use crate::model::*;
use chipset_device::io::IoError;
use pcie::PciePortSettings;
use pcie::root::GenericPcieRootComplex;
use pcie::root::GenericPcieRootPortDefinition;

fn definition(name: &str, hotplug: bool, acs: u16) -> GenericPcieRootPortDefinition {
    GenericPcieRootPortDefinition {
        name: name.into(),
        hotplug,
        settings: PciePortSettings {
            acs_capabilities_supported: acs,
            ..PciePortSettings::default()
        },
    }
}

fn complex(ports: Vec<GenericPcieRootPortDefinition>) -> GenericPcieRootComplex {
    GenericPcieRootComplex::new(
        &mut Regions::default(),
        0,
        15,
        None,
        ecam(0, 15),
        ports,
        &pci_core::msi::MsiTarget::disconnected(),
    )
}

#[test]
fn a_root_port_with_default_settings() {
    let mut root = complex(vec![definition("rp0", false, 0)]);
    for (offset, value) in [
        (0x00, 0xc030_1414),
        (0x04, 0x0010_0000),
        (0x08, 0x0604_0000),
        (0x0c, 0x0001_0000),
        (0x18, 0),
        (0x24, 0x0001_0001),
        (0x34, 0x40),
        (0x40, 0x0042_7c10),
        (0x44, 0),
        (0x4c, 0x0000_0105),
        (0x50, 0x0105_0000),
        (0x6c, 0x3e),
        (0x70, 5),
        (0x7c, 0x0080_0005),
        (0x100, 0xffff_ffff),
    ] {
        assert_eq!(root.read(0, 0, offset), value, "at {offset:#x}");
    }
    let mut root = complex(vec![definition("rp0", false, 0x5f)]);
    assert_eq!(root.read(0, 0, 0x100), 0x0001_000d);
}

#[test]
fn ports_are_devices_and_slots_are_numbered_by_them() {
    let mut root = complex(
        (0..32)
            .map(|_| definition("", true, 0))
            .enumerate()
            .map(|(i, d)| GenericPcieRootPortDefinition {
                name: format!("rp{i}").into(),
                ..d
            })
            .collect(),
    );
    let ports = root.downstream_ports();
    for (i, port) in (0u8..).zip(&ports) {
        assert_eq!(
            (port.port_number, &*port.name),
            (i << 3, &*format!("rp{i}"))
        );
        let slot = root.read(0, i << 3, 0x54) >> 19;
        assert_eq!(slot, u32::from(i << 3) + 1);
        assert_eq!(root.read(0, i << 3, 0x0c), 0x0001_0000, "one function");
    }
    assert_eq!(ports.len(), 32);
    assert_eq!(root.read(0, 1, 0), !0);
    assert_eq!(root.ecam_size(), 16 << 20);
}

#[test]
fn every_size_and_alignment_is_read() {
    let mut root = plain(1);
    let dwords = [0x1414u16.to_le_bytes(), 0xc030u16.to_le_bytes()].concat();
    let row = [dwords, 0x0010_0000u32.to_le_bytes().to_vec()].concat();
    for len in [1usize, 2, 4, 8] {
        for offset in 0..8 {
            let read = root.load(ECAM + offset as u64, len);
            if offset % len == 0 {
                assert_eq!(
                    read,
                    Ok(row[offset..offset + len].to_vec()),
                    "{len} at {offset}"
                );
            } else {
                assert_eq!(read, Err(IoError::UnalignedAccess), "{len} at {offset}");
            }
        }
    }
    for len in [0, 3, 5, 6, 7, 9, 16] {
        assert_eq!(root.load(ECAM, len), Err(IoError::InvalidAccessSize));
        assert_eq!(
            root.store(ECAM, &vec![0; len]),
            Err(IoError::InvalidAccessSize)
        );
    }
    for (offset, len) in [(1, 2), (3, 2), (2, 4), (4, 8)] {
        let written = root.store(ECAM + offset, &vec![0; len]);
        assert_eq!(written, Err(IoError::UnalignedAccess));
    }
}

#[test]
fn every_size_is_written_to_its_lanes() {
    let mut root = plain(1);
    let address = config(0, 0, 0x18);
    root.store(address + 1, &[0x03]).unwrap();
    assert_eq!(root.read(0, 0, 0x18), 0x0000_0300);
    root.store(address + 2, &[0x05, 0xff]).unwrap();
    assert_eq!(root.read(0, 0, 0x18), 0x0005_0300);
    root.store(address, &[0x01, 0x04]).unwrap();
    assert_eq!(root.read(0, 0, 0x18), 0x0005_0401);
    // Two dwords: the prefetchable window's upper halves.
    root.store(config(0, 0, 0x28), &[1, 2, 3, 4, 5, 6, 7, 8])
        .unwrap();
    assert_eq!(root.read(0, 0, 0x28), 0x0403_0201);
    assert_eq!(root.read(0, 0, 0x2c), 0x0807_0605);
    assert_eq!(
        root.load(config(0, 0, 0x28), 8),
        Ok(vec![1, 2, 3, 4, 5, 6, 7, 8])
    );
}

#[test]
fn a_write_of_slot_control_leaves_slot_status_alone() {
    let mut root = complex(vec![definition("rp0", true, 0)]);
    root.hotplug_add_device("rp0", "ep", Scratch::boxed(1))
        .unwrap();
    let status = |root: &mut GenericPcieRootComplex| root.read(0, 0, 0x58) >> 16;
    assert_eq!(status(&mut root), 0x148);
    root.store(config(0, 0, 0x58), &[0x28, 0x10]).unwrap();
    assert_eq!(status(&mut root), 0x148, "two bytes of Slot Control");
    root.store(config(0, 0, 0x59), &[0x00]).unwrap();
    assert_eq!(
        root.read(0, 0, 0x58),
        0x0148_0028,
        "one byte of Slot Control"
    );
    root.store(config(0, 0, 0x5a), &[0x08]).unwrap();
    assert_eq!(
        status(&mut root),
        0x140,
        "the one event whose bit was written"
    );
    root.store(config(0, 0, 0x5b), &[0x01]).unwrap();
    assert_eq!(status(&mut root), 0x040);
}

#[test]
fn nobody_reads_all_ones_and_drops_writes() {
    let mut root = plain(1);
    for (bus, devfn) in [(0, 1), (0, 8), (0, 0xff), (1, 0), (15, 0xff)] {
        assert_eq!(root.read(bus, devfn, 0), !0, "{bus} {devfn:#x}");
        root.write(bus, devfn, 0x18, 0);
        for len in [1, 2, 8] {
            assert_eq!(
                root.load(config(bus, devfn, 0x40), len),
                Ok(vec![0xff; len])
            );
        }
    }
    for address in [0, ECAM - 4, ECAM + (16 << 20), u64::MAX - 3] {
        assert_eq!(
            root.load(address, 4),
            Err(IoError::InvalidRegister),
            "outside of everything"
        );
        assert_eq!(root.store(address, &[0; 4]), Err(IoError::InvalidRegister));
    }
}

#[test]
fn the_last_dword_of_ecam_is_in_it() {
    let mut root = plain(1);
    assert_eq!(root.load(ECAM + (16 << 20) - 8, 8), Ok(vec![0xff; 8]));
    assert_eq!(root.load(config(0, 0, 0xffc), 4), Ok(vec![0xff; 4]));
    assert_eq!(root.load(config(0, 0, 0xff8), 8), Ok(vec![0xff; 8]));
}

#[test]
fn a_devices_error_comes_out_as_it_is() {
    let mut root = plain(1);
    let endpoint = pcie_endpoint_without_registers();
    root.add_pcie_device(0, "ep", endpoint).unwrap();
    root.number((0, 0), 1, 1);
    for len in [1, 4, 8] {
        let address = config(1, 0, 0x40);
        assert_eq!(root.load(address, len), Err(IoError::InvalidRegister));
        assert_eq!(
            root.store(address, &vec![0; len]),
            Err(IoError::InvalidRegister)
        );
    }
    assert_eq!(
        root.load(config(1, 0, 0), 8),
        Err(IoError::InvalidRegister),
        "its second half"
    );
    assert_eq!(root.read(1, 0, 0), 0x5678_1234);
}

/// Has its identity at 0 and an error everywhere else.
fn pcie_endpoint_without_registers() -> Box<dyn pci_bus::GenericPciBusDevice> {
    use chipset_device::io::IoResult;
    struct Identity;
    impl pci_bus::GenericPciBusDevice for Identity {
        fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> Option<IoResult> {
            if offset != 0 {
                return Some(IoResult::Err(IoError::InvalidRegister));
            }
            *value = 0x5678_1234;
            Some(IoResult::Ok)
        }
        fn pci_cfg_write(&mut self, _: u16, _: u32) -> Option<IoResult> {
            Some(IoResult::Err(IoError::InvalidRegister))
        }
    }
    Box::new(Identity)
}
