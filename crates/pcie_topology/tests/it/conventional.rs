//! A function of conventional PCI on the root bus: Advanced Features in place of PCI Express, and no extended configuration space.

use crate::machine::Machine;
use chipset_device::io::IoError;
use pci_bus::StimulusError;
use vmcore::save_restore::ProtobufSaveRestore;

const MACHINE: &str = r#"
    [[root_complex]]
    name = "rc0"
    ecam = 0xe000_0000

    [[root_complex.endpoint]]
    name = "old"
    conventional = true
    bar = [{ kind = "64", size = "16K" }]
    rom = "64K"
    intx = "A"
    msi = { vectors = 1 }
    msix = { vectors = 2 }

    [[root_complex.endpoint]]
    name = "new"
    bar = [{ kind = "64", size = "16K" }]
    rom = "64K"
    intx = "A"
    msi = { vectors = 1 }
    msix = { vectors = 2 }
"#;

const BAR: u64 = 0xc000_0000;
const ADVANCED_FEATURES: u32 = 0x13;
const PCI_EXPRESS: u32 = 0x10;

#[test]
fn advanced_features_is_where_pci_express_would_be() {
    let mut machine = Machine::from_toml(MACHINE);
    assert_eq!(machine.capability("old", 0, PCI_EXPRESS), None);
    assert_eq!(machine.capability("new", 0, ADVANCED_FEATURES), None);
    let af = machine.capability("old", 0, ADVANCED_FEATURES).unwrap();
    assert_eq!(af, 0x40);
    // What Linux's pci_af_flr reads (PCI_AF_CAP_TP, PCI_AF_CAP_FLR): 6 bytes, both capabilities; nothing pending.
    assert_eq!(machine.config("old", 0, af) >> 16, 0x0306);
    assert_eq!(machine.config("old", 0, af + 4), 0);
    for id in [0x01, 0x05, 0x11] {
        assert!(
            machine.capability("old", 0, id).is_some(),
            "capability {id:#x}"
        );
    }
}

#[test]
fn there_is_no_extended_configuration_space() {
    let mut machine = Machine::from_toml(MACHINE);
    for offset in (0x100..0x1000).step_by(4) {
        assert_eq!(machine.config("old", 0, offset), u32::MAX, "{offset:#x}");
    }
    for (offset, len) in [(0x100, 1), (0x102, 2), (0xff8, 8)] {
        let ones = u64::MAX >> (64 - 8 * len);
        assert_eq!(machine.read(0, 0xe000_0000 + offset, len), Ok(ones));
        machine.write(0, 0xe000_0000 + offset, 0, len).unwrap();
        assert_eq!(machine.read(0, 0xe000_0000 + offset, len), Ok(ones));
    }
    assert_eq!(machine.config("old", 0, 0xfc), 0, "the last register");
    assert_ne!(machine.config("new", 0, 0x100), u32::MAX);
}

/// What a guest did to a function.
fn work(machine: &mut Machine, name: &str, bar: u64) {
    machine.place_bar(name, 0, 0, bar);
    machine.write(0, bar, 0x1234_5678, 4).unwrap();
    // An entry of the MSI-X table.
    machine.write(0, bar + 0x1000, 0xfee0_0000, 4).unwrap();
    machine.set_config(name, 0, 0x3c, &[11]);
    let rom = u32::try_from(bar).unwrap() + 0x4_0001;
    machine.set_config(name, 0, 0x30, &rom.to_le_bytes());
    let msi = machine.capability(name, 0, 0x05).unwrap();
    machine.set_config(name, 0, msi + 4, &0xfee0_0000_u32.to_le_bytes());
    machine.set_config(name, 0, msi + 2, &[1, 0]);
    let msix = machine.capability(name, 0, 0x11).unwrap();
    machine.set_config(name, 0, msix + 2, &[0, 0x80]);
    let power = machine.capability(name, 0, 0x01).unwrap();
    machine.set_config(name, 0, power + 4, &[0x03]);
    machine.set_config(name, 0, power + 4, &[0x00]);
}

/// The header and what software writes in the capabilities that both functions have.
fn registers(machine: &mut Machine, name: &str) -> Vec<u32> {
    let mut read: Vec<_> = (0..0x40)
        .step_by(4)
        .map(|at| machine.config(name, 0, at))
        .collect();
    for id in [0x01, 0x05, 0x11] {
        let at = machine.capability(name, 0, id).unwrap();
        read.push(machine.config(name, 0, at) >> 16);
        read.push(machine.config(name, 0, at + 4));
    }
    // Power Management Capabilities differ: without messages there is no PME.
    read.remove(16);
    read
}

#[test]
fn its_reset_is_that_of_device_control() {
    let mut machine = Machine::from_toml(MACHINE);
    let fresh = registers(&mut machine, "old");
    assert_eq!(registers(&mut machine, "new"), fresh, "twins");
    for (name, bar) in [("old", BAR), ("new", BAR + 0x10_0000)] {
        work(&mut machine, name, bar);
        assert_eq!(machine.read(0, bar, 4), Ok(0x1234_5678));
    }
    let before = registers(&mut machine, "old");
    assert_ne!(before, fresh);

    // What is reserved in AF Control starts nothing, and neither does the byte beside it.
    let af = machine.capability("old", 0, ADVANCED_FEATURES).unwrap();
    machine.set_config("old", 0, af + 4, &[0xfe]);
    machine.set_config("old", 0, af + 5, &[0xff]);
    assert_eq!(registers(&mut machine, "old"), before);

    machine.set_config("old", 0, af + 4, &[1]);
    let express = machine.capability("new", 0, PCI_EXPRESS).unwrap();
    machine.set_config("new", 0, express + 8, &[0, 0x80]);
    for (name, bar) in [("old", BAR), ("new", BAR + 0x10_0000)] {
        assert_eq!(registers(&mut machine, name), fresh, "{name}");
        assert_eq!(
            machine.read(0, bar, 4),
            Err(IoError::InvalidRegister),
            "{name}"
        );
        machine.place_bar(name, 0, 0, bar);
        assert_eq!(machine.read(0, bar, 4), Ok(0), "scratch memory of {name}");
        assert_eq!(machine.read(0, bar + 0x1000, 4), Ok(0), "MSI-X of {name}");
    }
    let resets = machine.hierarchy.events().since(0);
    let shown = format!("{resets:?}");
    assert_eq!(
        shown.matches("asked for by the guest").count(),
        2,
        "{shown}"
    );
}

#[test]
fn it_signals_no_power_management_events() {
    let mut machine = Machine::from_toml(MACHINE);
    let error = machine.hierarchy.wake("old", 0).unwrap_err();
    assert!(matches!(error, StimulusError::NoWake { .. }), "{error:?}");
}

#[test]
fn it_is_saved_and_restored() {
    let mut machine = Machine::from_toml(MACHINE);
    work(&mut machine, "old", BAR);
    let before = registers(&mut machine, "old");
    let state = ProtobufSaveRestore::save(&mut machine.hierarchy.complexes[0].root).unwrap();
    let mut other = Machine::from_toml(MACHINE);
    let root = &mut other.hierarchy.complexes[0].root;
    ProtobufSaveRestore::restore(root, state.clone()).unwrap();
    assert_eq!(ProtobufSaveRestore::save(root).unwrap(), state);
    assert_eq!(registers(&mut other, "old"), before);
    assert_eq!(other.read(0, BAR, 4), Ok(0x1234_5678));
    // Not that of a PCI Express function in its place.
    let express = MACHINE.replace("conventional = true", "");
    let mut express = Machine::from_toml(&express);
    let root = &mut express.hierarchy.complexes[0].root;
    let unchanged = ProtobufSaveRestore::save(root).unwrap();
    assert!(ProtobufSaveRestore::restore(root, state).is_err());
    assert_eq!(ProtobufSaveRestore::save(root).unwrap(), unchanged);
}
