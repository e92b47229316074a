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

/// What a guest and its operator did before the state was saved.
fn work(machine: &mut Machine) {
    machine.number_buses();
    machine.place_bar("nic0", 2, 0, 0x40_0000_0000);
    machine.write(0, 0x40_0000_0010, 0x1122_3344, 4).unwrap();
    machine.set_config("gpu0", 0, 0x3c, &[11]);
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
        // Slot Control as written; Slot Status: presence and link state changed, nothing present.
        assert_eq!(machine.config("nvme-port0", 0, 0x58), 0x0108_1028);
        versions += 1;
    }
    assert!(versions >= 1);
}
