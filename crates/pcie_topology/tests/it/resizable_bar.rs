//! Resizable BARs as an operating system resizes them: decoding off, the size, the address, decoding on.

use crate::machine::Machine;
use pcie_topology::Topology;
use vmcore::save_restore::ProtobufSaveRestore;

const TOPOLOGY: &str = r#"
    [[root_complex]]
    name = "rc0"
    ecam = 0xe000_0000
    buses = { start = 0, end = 3 }

    [[root_complex.port]]
    name = "rp0"

    [root_complex.port.endpoint]
    name = "gpu0"
    bar = [
        { kind = "prefetchable", size = "4M", resizable = ["1M", "256M"] },
        { kind = "32", size = "1M", resizable = ["2M"] },
    ]
"#;

const ADDRESS: u64 = 0x40_0000_0000;
const MIB: u64 = 1 << 20;

fn machine() -> Machine {
    let mut machine = Machine::from_toml(TOPOLOGY);
    machine.number_buses();
    // The port's prefetchable window is open for all.
    machine.set_config("rp0", 0, 0x24, &[0x01, 0x00, 0xf1, 0xff]);
    machine.set_config("rp0", 0, 0x28, &0x40u32.to_le_bytes());
    machine.set_config("rp0", 0, 0x2c, &0x40u32.to_le_bytes());
    machine.set_config("rp0", 0, 0x04, &[0x06, 0]);
    machine.place_bar("gpu0", 0, 0, ADDRESS);
    machine
}

fn capability(machine: &mut Machine) -> u64 {
    let found = machine.extended_capabilities("gpu0", 0);
    found.iter().find(|(id, _)| *id == 0x15).unwrap().1
}

/// As pci_resize_resource and what its callers do around it.
fn resize(machine: &mut Machine, size: u8) {
    machine.set_config("gpu0", 0, 0x04, &[0, 0]);
    let at = capability(machine);
    machine.set_config("gpu0", 0, at + 8 + 1, &[size]);
    machine.place_bar("gpu0", 0, 0, ADDRESS);
}

/// The size that a BAR shows to software that writes all ones.
fn sized(machine: &mut Machine) -> u64 {
    let before = [0x10, 0x14].map(|at| machine.config("gpu0", 0, at));
    machine.set_config("gpu0", 0, 0x04, &[0, 0]);
    for at in [0x10, 0x14] {
        machine.set_config("gpu0", 0, at, &[0xff; 4]);
    }
    let low = u64::from(machine.config("gpu0", 0, 0x10) & !0xf);
    let mask = low | u64::from(machine.config("gpu0", 0, 0x14)) << 32;
    for (at, value) in [0x10, 0x14].into_iter().zip(before) {
        machine.set_config("gpu0", 0, at, &value.to_le_bytes());
    }
    machine.set_config("gpu0", 0, 0x04, &[0x06, 0]);
    (!mask).wrapping_add(1)
}

/// Whether the last page of so many bytes answers, and the one after does not.
fn answers(machine: &mut Machine, bytes: u64) -> (bool, bool) {
    let answers = |machine: &mut Machine, at| machine.read(0, at, 4).is_ok();
    (
        answers(machine, ADDRESS + bytes - 4),
        answers(machine, ADDRESS + bytes),
    )
}

#[test]
fn a_bar_takes_the_size_that_software_chose() {
    let mut machine = machine();
    let at = capability(&mut machine);
    // 1 MiB, 4 MiB and 256 MiB; BAR 0 of two, 4 MiB now. BAR 2: 1 and 2 MiB.
    assert_eq!(machine.config("gpu0", 0, at + 4), 0x1050);
    assert_eq!(machine.config("gpu0", 0, at + 8), 0x0240);
    assert_eq!(machine.config("gpu0", 0, at + 0xc), 0x30);
    assert_eq!(machine.config("gpu0", 0, at + 0x10), 0x0002);
    assert_eq!(sized(&mut machine), 4 * MIB);
    assert_eq!(answers(&mut machine, 4 * MIB), (true, false));
    machine.write(0, ADDRESS, 0x1122_3344, 4).unwrap();
    for (size, bytes) in [(8, 256 * MIB), (0, MIB), (2, 4 * MIB)] {
        resize(&mut machine, size);
        assert_eq!(sized(&mut machine), bytes);
        assert_eq!(answers(&mut machine, bytes), (true, false), "{bytes:#x}");
        assert_eq!(machine.read(0, ADDRESS, 4), Ok(0x1122_3344));
    }
    // Not one of its sizes.
    resize(&mut machine, 5);
    assert_eq!(sized(&mut machine), 4 * MIB);
}

#[test]
fn address_bits_below_the_new_size_are_gone() {
    let mut machine = machine();
    machine.place_bar("gpu0", 0, 0, ADDRESS + 4 * MIB);
    machine.set_config("gpu0", 0, 0x04, &[0, 0]);
    let at = capability(&mut machine);
    machine.set_config("gpu0", 0, at + 9, &[8]);
    assert_eq!(machine.config("gpu0", 0, 0x10), 0xc);
    assert_eq!(machine.config("gpu0", 0, 0x14), 0x40);
}

#[test]
fn a_reset_brings_back_the_size_and_a_saved_state_has_it() {
    let mut machine = machine();
    resize(&mut machine, 8);
    let state = ProtobufSaveRestore::save(&mut machine.hierarchy.complexes[0].root).unwrap();
    // Secondary Bus Reset.
    machine.set_config("rp0", 0, 0x3e, &[0x40]);
    machine.set_config("rp0", 0, 0x3e, &[0]);
    assert_eq!(sized(&mut machine), 4 * MIB);

    let mut machine = Machine::from_toml(TOPOLOGY);
    ProtobufSaveRestore::restore(&mut machine.hierarchy.complexes[0].root, state).unwrap();
    assert_eq!(answers(&mut machine, 256 * MIB), (true, false));
    assert_eq!(sized(&mut machine), 256 * MIB);
}

#[test]
fn mistakes_are_named() {
    let problems = |bar: &str| {
        let text = format!(
            r#"root_complex = [{{ name = "rc0", ecam = 0xe000_0000, port = [{{ name = "rp0", endpoint = {{ name = "a", bar = [{bar}] }} }}] }}]"#
        );
        Topology::from_toml(&text)
            .and_then(|topology| topology.validate())
            .unwrap_err()
            .to_string()
    };
    let message = "root_complex[0].port[0].endpoint.bar[0].resizable: an I/O BAR has one size";
    assert!(problems(r#"{ kind = "io", size = "16", resizable = ["1M"] }"#).contains(message));
    let place = "root_complex[0].port[0].endpoint.bar[0].resizable";
    assert_eq!(
        problems(r#"{ size = "4K", resizable = ["1M"] }"#),
        format!(
            "{place}: 0x1000 bytes; a resizable BAR of this kind is a power of two from 0x100000 to 0x80000000"
        )
    );
    assert_eq!(
        problems(r#"{ kind = "64", size = "1M", resizable = ["3M"] }"#),
        format!(
            "{place}: 0x300000 bytes; a resizable BAR of this kind is a power of two from 0x100000 to 0x800000000000"
        )
    );
}
