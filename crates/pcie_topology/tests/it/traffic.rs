//! How much went through each port.

use crate::machine::Machine;
use pcie_topology::DOORBELL_OFFSET;
use pcie_topology::traffic::Traffic;

/// Two segments that have the same bus numbers.
const MACHINE: &str = r#"
    [[root_complex]]
    name = "rc0"
    segment = 0
    ecam = 0xe000_0000
    buses = { start = 0, end = 15 }
    mmio32 = { base = 0xc000_0000, size = "16M" }

    [[root_complex.port]]
    name = "p0"

    [root_complex.port.endpoint]
    name = "e0"
    bar = [{ kind = "32", size = "4K" }]
    msi = { vectors = 1 }

    [[root_complex]]
    name = "rc1"
    segment = 1
    ecam = 0xe100_0000
    buses = { start = 0, end = 15 }
    mmio32 = { base = 0xc100_0000, size = "16M" }

    [[root_complex.port]]
    name = "p1"

    [root_complex.port.switch]
    name = "s1"

    [[root_complex.port.switch.port]]
    name = "d1"

    [root_complex.port.switch.port.endpoint]
    name = "e1"
"#;
const RC0: u64 = 0xe000_0000;
const RC1: u64 = 0xe100_0000;
const BUS: u64 = 1 << 20;
const BUS_NUMBERS: u64 = 0x18;
const BAR0: u64 = 0xc000_0000;

impl Machine {
    fn guest_read(&mut self, address: u64) -> u32 {
        let mut data = [0; 4];
        self.hierarchy.mmio_read(address, &mut data).unwrap();
        u32::from_le_bytes(data)
    }

    fn guest_write(&mut self, address: u64, value: u32) {
        let bytes = value.to_le_bytes();
        self.hierarchy.mmio_write(address, &bytes).unwrap();
    }

    /// Gives a bridge on bus 0 secondary and subordinate bus numbers.
    fn number(&mut self, bridge: u64, secondary: u32, subordinate: u32) {
        self.guest_write(bridge + BUS_NUMBERS, subordinate << 16 | secondary << 8);
    }

    fn traffic(&mut self, port: &str) -> (u64, u64, u64) {
        let ports = self.hierarchy.port_traffic();
        let found = ports.into_iter().find(|of| of.port == port).unwrap();
        let Traffic {
            config_reads,
            config_writes,
            msis,
        } = found.traffic;
        (config_reads, config_writes, msis)
    }
}

#[test]
fn accesses_are_put_down_to_the_ports_that_forwarded_them() {
    let mut machine = Machine::from_toml(MACHINE);
    machine.number(RC0, 1, 1);
    for _ in 0..5 {
        assert_eq!(machine.guest_read(RC0 + BUS) & 0xffff, 0x1414);
    }
    machine.guest_write(RC0 + BUS + 0x3c, 7);
    assert_eq!(machine.traffic("p0"), (5, 1, 0));
    // The other numbers get theirs, and what was counted before stays.
    machine.number(RC0, 3, 3);
    for _ in 0..2 {
        machine.guest_read(RC0 + 3 * BUS);
    }
    // Where it was, there is nobody any more.
    assert_eq!(machine.guest_read(RC0 + BUS), u32::MAX);
    assert_eq!(machine.traffic("p0"), (7, 1, 0));
    assert_eq!(machine.traffic("p1"), (0, 0, 0));
    let complexes = machine.hierarchy.complex_traffic();
    assert_eq!(complexes[0].complex, "rc0");
    // Three writes: two of bus numbers, on the root bus, and one below. Eight reads: seven below, and one that nobody answered.
    assert_eq!(
        complexes[0].traffic,
        Traffic {
            config_reads: 8,
            config_writes: 3,
            msis: 0
        }
    );
    assert_eq!(complexes[1].traffic, Traffic::default());
}

#[test]
fn an_access_counts_for_each_port_on_its_way() {
    let mut machine = Machine::from_toml(MACHINE);
    machine.number(RC1, 1, 3);
    machine.number(RC1 + BUS, 2, 3);
    machine.number(RC1 + 2 * BUS, 3, 3);
    for _ in 0..4 {
        assert_eq!(machine.guest_read(RC1 + 3 * BUS) & 0xffff, 0x1414);
    }
    // Behind p1 are the bus numbers of the upstream and the downstream port, which are two writes.
    assert_eq!(machine.traffic("p1"), (4, 2, 0));
    assert_eq!(machine.traffic("d1"), (4, 0, 0));
}

#[test]
fn messages_and_memory_accesses_are_counted() {
    let mut machine = Machine::from_toml(MACHINE);
    // The segments have the same numbers, and are told apart.
    machine.number(RC0, 1, 1);
    machine.number(RC1, 1, 1);
    let msi = machine.capability("e0", 0, 0x05).unwrap();
    machine.set_config("e0", 0, msi + 4, &0xfee0_0000_u32.to_le_bytes());
    machine.set_config("e0", 0, msi + 2, &[1, 0]);
    machine.set_config("e0", 0, 0x10, &u32::try_from(BAR0).unwrap().to_le_bytes());
    machine.set_config("e0", 0, 0x04, &[6, 0]);
    // The port's window, and memory and bus master enable.
    machine.set_config("p0", 0, 0x20, &0xc000_c000_u32.to_le_bytes());
    machine.set_config("p0", 0, 0x04, &[6, 0]);
    for _ in 0..3 {
        machine.guest_write(BAR0 + DOORBELL_OFFSET, 0);
    }
    machine.guest_read(BAR0);
    assert_eq!(machine.interrupts.take().len(), 3);
    assert_eq!(machine.traffic("p0"), (0, 0, 3));
    assert_eq!(machine.traffic("p1"), (0, 0, 0));
    let complexes = machine.hierarchy.complex_traffic();
    assert_eq!(
        (complexes[0].memory_reads, complexes[0].memory_writes),
        (1, 3)
    );
    assert_eq!(
        (complexes[0].traffic.msis, complexes[1].traffic.msis),
        (3, 0)
    );
    // Asking counts nothing, and what was counted is counted once.
    assert_eq!(machine.hierarchy.complex_traffic(), complexes);
}
