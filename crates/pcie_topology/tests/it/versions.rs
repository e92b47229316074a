//! Saved states of earlier versions still load.
//!
//! Each folder of `tests/golden/states` holds what one version saved: the description, the states of its root complexes, and the
//! functions a guest found then. A folder is never changed once it has landed; a new version of the saved state gets a new folder, written
//! by running the test with `WRITE_SAVED_STATE` naming it.

use crate::machine::Machine;
use std::path::Path;
use std::path::PathBuf;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::SavedStateBlob;

fn folder(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/states")
        .join(version)
}

fn compose(folder: &Path) -> Machine {
    Machine::from_toml(&std::fs::read_to_string(folder.join("topology.toml")).unwrap())
}

fn resizable_bar(machine: &mut Machine) -> u64 {
    let found = machine.extended_capabilities("gpu0", 0);
    found.iter().find(|(id, _)| *id == 0x15).unwrap().1
}

/// What a guest and its operator did before the state was saved.
fn work(machine: &mut Machine) {
    machine.number_buses();
    machine.place_bar("nic0", 2, 0, 0x40_0000_0000);
    machine.write(0, 0x40_0000_0010, 0x1122_3344, 4).unwrap();
    machine.set_config("gpu0", 0, 0x3c, &[11]);
    for function in [0, 1] {
        let power = machine.capability("nic0", function.into(), 0x01).unwrap();
        machine.set_config("nic0", function.into(), power + 4, &[0x03, 0x01]);
        machine.hierarchy.wake("nic0", function).unwrap();
    }
    let resizable = resizable_bar(machine);
    // 16 GiB.
    machine.set_config("gpu0", 0, resizable + 9, &[14]);
    machine.set_config("nvme-port0", 0, 0x58, &0x1028u16.to_le_bytes());
    machine.hierarchy.unplug("nvme-port0").unwrap();
}

#[test]
fn states_of_earlier_versions_load() {
    if let Ok(version) = std::env::var("WRITE_SAVED_STATE") {
        let folder = folder(&version);
        let mut machine = compose(&folder);
        work(&mut machine);
        std::fs::write(folder.join("listing.txt"), machine.listing()).unwrap();
        for complex in &mut machine.hierarchy.complexes {
            let state = ProtobufSaveRestore::save(&mut complex.root).unwrap();
            let file = folder.join(format!("{}.state", complex.name));
            std::fs::write(file, mesh_protobuf::encode(state)).unwrap();
        }
    }
    let mut versions = 0;
    for entry in std::fs::read_dir(folder(".")).unwrap() {
        let folder = entry.unwrap().path();
        let mut machine = compose(&folder);
        // The device that was unplugged when the state was saved.
        machine.hierarchy.unplug("nvme-port0").unwrap();
        for complex in &mut machine.hierarchy.complexes {
            let bytes = std::fs::read(folder.join(format!("{}.state", complex.name))).unwrap();
            let state: SavedStateBlob = mesh_protobuf::decode(&bytes).unwrap();
            ProtobufSaveRestore::restore(&mut complex.root, state).unwrap();
        }
        let expected = std::fs::read_to_string(folder.join("listing.txt")).unwrap();
        assert_eq!(machine.listing(), expected, "{}", folder.display());
        // The guest of version 1 kept the windows closed, and nothing asked it for them.
        machine.open_windows();
        assert_eq!(machine.read(0, 0x40_0000_0010, 4), Ok(0x1122_3344));
        assert_eq!(machine.config("gpu0", 0, 0x3c) & 0xff, 11);
        // From version 2 on, a BAR has another size than it began with, one power management event shows in Root Status, and one waits.
        let version: u32 = folder
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        if version >= 2 {
            let resizable = resizable_bar(&mut machine);
            assert_eq!(machine.config("gpu0", 0, resizable + 8) >> 8, 14);
            machine.set_config("gpu0", 0, 0x18, &[0xff; 4]);
            machine.set_config("gpu0", 0, 0x1c, &[0xff; 4]);
            let mask = [0x18, 0x1c].map(|at| machine.config("gpu0", 0, at));
            assert_eq!(mask, [0xc, 0xffff_fffc]);
        }
        let nic0 = u32::from(machine.function("nic0", 0).bdf.unwrap().bits());
        let pcie = machine.capability("nic-port", 0, 0x10).unwrap();
        let shown = if version < 2 { 0 } else { 0x3_0000 | nic0 };
        assert_eq!(machine.config("nic-port", 0, pcie + 0x20), shown);
        machine.set_config("nic-port", 0, pcie + 0x20, &[0, 0, 1, 0]);
        let next = if version < 2 {
            0
        } else {
            0x1_0000 | (nic0 + 1)
        };
        assert_eq!(machine.config("nic-port", 0, pcie + 0x20), next);
        // Slot Control as written; Slot Status: presence and link state changed, nothing present.
        assert_eq!(machine.config("nvme-port0", 0, 0x58), 0x0108_1028);
        versions += 1;
    }
    assert!(versions >= 1);
}
