//! Which BARs answer, and which requests go up, three bridges deep (PCIe 6.2 sections 7.5.1.1.3 and 7.5.1.3).

use crate::machine::Interrupts;
use crate::machine::Machine;
use chipset_device::io::IoError;
use chipset_device::pio::ControlPortIoIntercept;
use chipset_device::pio::PortIoIntercept;
use chipset_device::pio::RegisterPortIoIntercept;
use parking_lot::Mutex;
use pci_core::spec::caps::aer::CorrectableErrors;
use pci_core::spec::errors::DetectedError;
use pcie_topology::DOORBELL_OFFSET;
use pcie_topology::EndpointSpec;
use pcie_topology::INTX_ACKNOWLEDGE;
use pcie_topology::Platform;
use pcie_topology::Topology;
use std::collections::BTreeMap;
use std::sync::Arc;
use testkit::MmioMap;
use vmcore::line_interrupt::LineInterrupt;
use vmcore::line_interrupt::test_helpers::TestLineInterruptTarget;
use vmcore::save_restore::ProtobufSaveRestore;

pub(crate) const CHAIN: &str = r#"
    [[root_complex]]
    name = "rc0"
    ecam = 0xe000_0000
    buses = { start = 0, end = 15 }

    [[root_complex.port]]
    name = "rp0"
    io_window = "32"
    intx = "A"
    bar = [{ kind = "32", size = "8K" }, { kind = "io", size = 16 }]
    rom = "64K"

    [root_complex.port.switch]
    name = "sw0"
    bar = [{ kind = "prefetchable", size = "64K" }]
    rom = "4K"

    [[root_complex.port.switch.port]]
    name = "dsp0"
    device = 3
    slot = 1
    io_window = "32"
    intx = "A"
    bar = [{ kind = "io", size = 32 }, { kind = "32-prefetchable", size = "1M" }]

    [root_complex.port.switch.port.endpoint]
    name = "card"
    bar = [
        { kind = "32", size = "8K" },
        { kind = "32-prefetchable", size = "1M" },
        { kind = "prefetchable", size = "64K" },
        { kind = "io", size = 32 },
    ]
    rom = "64K"
    intx = "B"
    msi = { vectors = 1 }
"#;

pub(crate) const BRIDGES: [&str; 3] = ["rp0", "sw0", "dsp0"];

/// Where each I/O region is mapped, by name.
#[derive(Clone, Default)]
pub(crate) struct PortMap(Arc<Mutex<BTreeMap<String, u16>>>);

impl PortMap {
    pub(crate) fn port(&self, name: &str) -> Option<u16> {
        self.0.lock().get(name).copied()
    }
}

struct PortRegion {
    map: PortMap,
    name: String,
    len: u16,
}

impl RegisterPortIoIntercept for PortMap {
    fn new_io_region(&mut self, name: &str, len: u16) -> Box<dyn ControlPortIoIntercept> {
        Box::new(PortRegion {
            map: self.clone(),
            name: name.to_owned(),
            len,
        })
    }
}

impl ControlPortIoIntercept for PortRegion {
    fn region_name(&self) -> &str {
        &self.name
    }
    fn map(&mut self, addr: u16) {
        self.map.0.lock().insert(self.name.clone(), addr);
    }
    fn unmap(&mut self) {
        self.map.0.lock().remove(&self.name);
    }
    fn addr(&self) -> Option<u16> {
        self.map.port(&self.name)
    }
    fn len(&self) -> u16 {
        self.len
    }
    fn offset_of(&self, addr: u16) -> Option<u16> {
        addr.checked_sub(self.addr()?).filter(|at| *at < self.len)
    }
}

/// The chain of three bridges with its card, and what the monitor sees of it.
pub(crate) struct Chain {
    pub(crate) machine: Machine,
    pub(crate) memory: MmioMap,
    pub(crate) ports: PortMap,
    lines: Arc<TestLineInterruptTarget>,
}

impl Chain {
    pub(crate) fn new() -> Self {
        let mut chain = Self::of(CHAIN);
        chain.number();
        chain
    }

    /// What `topology` describes, as it is after power-on.
    fn of(topology: &str) -> Self {
        let (mut memory, mut ports) = (MmioMap::new(), PortMap::default());
        let (interrupts, lines) = (Interrupts::default(), TestLineInterruptTarget::new_arc());
        let platform = Platform {
            register_pio: Some(&mut ports),
            msi: Some(Arc::new(interrupts.clone())),
            intx: vec![
                [0, 1, 2, 3].map(|n| LineInterrupt::new_with_target("intx", lines.clone(), n)),
            ],
            ..Platform::new(&mut memory)
        };
        let hierarchy = Topology::from_toml(topology)
            .unwrap()
            .compose_on(platform)
            .unwrap();
        Self {
            machine: Machine {
                hierarchy,
                interrupts,
            },
            memory,
            ports,
            lines,
        }
    }

    /// Gives the bridges their bus numbers, and nothing else.
    pub(crate) fn number(&mut self) {
        for (bus, bridge) in (0u8..).zip(BRIDGES) {
            self.set(bridge, 0x18, u32::from_le_bytes([bus, bus + 1, 3, 0]));
        }
    }

    pub(crate) fn set(&mut self, name: &str, offset: u64, value: u32) {
        self.machine
            .set_config(name, 0, offset, &value.to_le_bytes());
    }

    fn set_command(&mut self, name: &str, command: u16) {
        self.machine
            .set_config(name, 0, 0x04, &command.to_le_bytes());
    }

    /// Opens a bridge for 2 MiB of memory, 2 MiB of 64-bit prefetchable memory and 8 KiB of ports, and for requests.
    fn open(&mut self, bridge: &str) {
        self.set(bridge, 0x20, 0x8010_8000);
        self.set(bridge, 0x24, 0x0010_0000);
        self.set(bridge, 0x28, 0x12);
        self.set(bridge, 0x2c, 0x12);
        self.machine.set_config(bridge, 0, 0x1c, &[0x50, 0x60]);
        self.set(bridge, 0x30, 0);
        self.set_command(bridge, 7);
    }

    fn open_all(&mut self) {
        for bridge in BRIDGES {
            self.open(bridge);
        }
    }

    /// Places the card's BARs inside the windows.
    fn place(&mut self) {
        for (offset, value) in [
            (0x10, 0x8000_0000),
            (0x14, 0x8010_0000),
            (0x18, 0x0001_0000),
            (0x1c, 0x12),
            (0x20, 0x5040),
            (0x30, 0x8002_0001),
        ] {
            self.set("card", offset, value);
        }
        self.set_command("card", 7);
    }

    /// Where the monitor has each of the card's BARs mapped, its ROM last.
    fn mapped(&self) -> [Option<u64>; 5] {
        let memory = |bar: &str| {
            let region = self.memory.region(&format!("card.0-{bar}"));
            region.and_then(|region| region.address)
        };
        [
            memory("bar0"),
            memory("bar1"),
            memory("bar2"),
            self.ports.port("card.0-bar4").map(u64::from),
            memory("rom"),
        ]
    }

    fn read(&mut self, address: u64) -> Result<u64, IoError> {
        self.machine.read(0, address, 4)
    }

    fn ring(&mut self, vector: u32) {
        let doorbell = 0x8000_0000 + DOORBELL_OFFSET;
        self.machine.write(0, doorbell, vector.into(), 4).unwrap();
    }

    fn intx(&self) -> [bool; 4] {
        [0, 1, 2, 3].map(|line| self.lines.is_high(line))
    }
}

/// Line 0, that of the root port, and the others.
const PIN_A: [bool; 4] = [true, false, false, false];
const SILENT: [bool; 4] = [false; 4];

#[test]
fn a_root_port_that_sleeps_interrupts_for_what_wants_to_be_woken() {
    let mut chain = ready();
    let at = |chain: &mut Chain, name, id| chain.machine.capability(name, 0, id).unwrap();
    let (pcie, power) = (at(&mut chain, "rp0", 0x10), at(&mut chain, "rp0", 0x01));
    let card = at(&mut chain, "card", 0x01);
    // PME Interrupt Enable in Root Control.
    chain.machine.set_config("rp0", 0, pcie + 0x1c, &[8, 0]);
    chain.machine.set_config("card", 0, card + 4, &[0, 1]);
    chain.machine.set_config("rp0", 0, power + 4, &[3, 0]);
    assert_eq!(chain.mapped(), NOWHERE);
    chain.machine.hierarchy.wake("card", 0).unwrap();
    assert_eq!(chain.intx(), PIN_A);
    chain.set_command("rp0", 0x407);
    assert_eq!(chain.intx(), SILENT, "Interrupt Disable");
    chain.set_command("rp0", 7);
    assert_eq!(chain.intx(), PIN_A);
    // PME Status in Root Status.
    chain.set("rp0", pcie + 0x20, 1 << 16);
    assert_eq!(chain.intx(), SILENT);
}

#[test]
fn a_sleeping_root_port_keeps_the_events_of_its_slot_until_it_is_awake() {
    let mut chain = Chain::of(
        r#"
        [[root_complex]]
        name = "rc0"
        ecam = 0xe000_0000
        port = [{ name = "rp0", slot = 1, intx = "A", endpoint = { name = "card" } }]
        "#,
    );
    let pcie = chain.machine.capability("rp0", 0, 0x10).unwrap();
    let power = chain.machine.capability("rp0", 0, 0x01).unwrap();
    // Presence Detect Changed Enable, Hot-Plug Interrupt Enable.
    chain.machine.set_config("rp0", 0, pcie + 0x18, &[0x28, 0]);
    chain.machine.set_config("rp0", 0, power + 4, &[3, 0]);
    chain.machine.hierarchy.unplug("rp0").unwrap();
    assert_eq!(chain.intx(), SILENT);
    chain.machine.set_config("rp0", 0, power + 4, &[0, 0]);
    assert_eq!(chain.intx(), PIN_A);
}

const MAPPED: [Option<u64>; 5] = [
    Some(0x8000_0000),
    Some(0x8010_0000),
    Some(0x12_0001_0000),
    Some(0x5040),
    Some(0x8002_0000),
];
const NOWHERE: [Option<u64>; 5] = [None; 5];

fn ready() -> Chain {
    let mut chain = Chain::new();
    chain.place();
    chain.open_all();
    assert_eq!(chain.mapped(), MAPPED);
    chain
}

#[test]
fn nothing_answers_below_bridges_as_they_come_up() {
    let mut chain = Chain::new();
    chain.place();
    assert_eq!(chain.mapped(), NOWHERE);
    chain.open("rp0");
    chain.open("dsp0");
    assert_eq!(chain.mapped(), NOWHERE, "sw0 is closed");
    chain.open("sw0");
    assert_eq!(chain.mapped(), MAPPED);
}

#[test]
fn each_window_of_each_bridge_gates_what_lies_in_it() {
    let mut chain = ready();
    for bridge in BRIDGES {
        // Memory window above what it was: the ROM and BAR 0 are outside, BAR 1 is inside.
        chain.set(bridge, 0x20, 0x8010_8010);
        assert_eq!(
            chain.mapped(),
            [None, MAPPED[1], MAPPED[2], MAPPED[3], None],
            "{bridge}"
        );
        assert_eq!(chain.read(0x8000_0000), Err(IoError::InvalidRegister));
        // Prefetchable window at another 4 GiB.
        chain.set(bridge, 0x28, 0x13);
        chain.set(bridge, 0x2c, 0x13);
        assert_eq!(chain.mapped()[2], None, "{bridge}");
        // I/O window one granule on.
        chain.machine.set_config(bridge, 0, 0x1c, &[0x60]);
        assert_eq!(chain.mapped(), [None, MAPPED[1], None, None, None]);
        chain.open(bridge);
        assert_eq!(chain.mapped(), MAPPED, "{bridge}");
        assert_eq!(chain.read(0x8000_0000), Ok(0), "{bridge}");
    }
}

#[test]
fn base_above_limit_closes_a_window() {
    let mut chain = ready();
    chain.set("sw0", 0x20, 0x0000_fff0);
    assert_eq!(
        chain.mapped(),
        [None, None, MAPPED[2], MAPPED[3], None],
        "prefetchable memory and ports have windows of their own"
    );
}

#[test]
fn a_bar_across_the_end_of_a_window_answers_nowhere() {
    let mut chain = ready();
    chain.set("dsp0", 0x20, 0x8000_8000);
    chain.set("card", 0x14, 0x8000_0000);
    assert_eq!(chain.mapped()[1], Some(0x8000_0000));
    // 1 MiB at the second half of the window's only MiB cannot be: BARs are aligned. Two windows that touch are one.
    chain.set("card", 0x14, 0x8010_0000);
    assert_eq!(chain.mapped()[1], None);
    chain.set("dsp0", 0x24, 0x8010_8010);
    chain.set("dsp0", 0x28, 0);
    chain.set("dsp0", 0x2c, 0);
    for bridge in ["rp0", "sw0"] {
        chain.set(bridge, 0x20, 0x8010_8000);
    }
    assert_eq!(
        chain.mapped()[1],
        Some(0x8010_0000),
        "through the prefetchable window of the one, the memory window of the others"
    );
}

#[test]
fn the_enable_bits_of_each_function_gate() {
    let mut chain = ready();
    for function in ["rp0", "sw0", "dsp0", "card"] {
        chain.set_command(function, 6);
        assert_eq!(
            chain.mapped(),
            [MAPPED[0], MAPPED[1], MAPPED[2], None, MAPPED[4]],
            "I/O Space Enable of {function}"
        );
        chain.set_command(function, 5);
        assert_eq!(
            chain.mapped(),
            [None, None, None, MAPPED[3], None],
            "Memory Space Enable of {function}"
        );
        chain.set_command(function, 7);
        assert_eq!(chain.mapped(), MAPPED);
    }
}

#[test]
fn the_expansion_rom_has_an_enable_bit_of_its_own() {
    let mut chain = ready();
    // PCI Firmware Specification 3.3 section 5.1: signature, and "PCIR" where the pointer at 0x18 says.
    assert_eq!(chain.read(0x8002_0000).unwrap() & 0xffff, 0xaa55);
    let at = chain.machine.read(0, 0x8002_0018, 2).unwrap();
    assert_eq!(chain.read(0x8002_0000 + at), Ok(0x5249_4350));
    assert_eq!(chain.read(0x8002_0004 + at), Ok(0xc1e0_1414), "its IDs");
    chain.set("card", 0x30, 0x8002_0000);
    assert_eq!(
        chain.mapped(),
        [MAPPED[0], MAPPED[1], MAPPED[2], MAPPED[3], None]
    );
    chain.set("card", 0x30, u32::MAX);
    assert_eq!(chain.machine.config("card", 0, 0x30), 0xffff_0001, "64 KiB");
}

/// Places the BARs and ROMs of the bridges in the windows of those above, and apart from the card's.
fn place_bridges(chain: &mut Chain) {
    for (bridge, offset, value) in [
        ("rp0", 0x10, 0xd000_0000),
        ("rp0", 0x14, 0x2000),
        ("rp0", 0x38, 0xd001_0001),
        ("sw0", 0x10, 0x0008_0000),
        ("sw0", 0x14, 0x12),
        ("sw0", 0x38, 0x8008_0001),
        ("dsp0", 0x10, 0x5800),
    ] {
        chain.set(bridge, offset, value);
    }
}

#[test]
fn bars_and_roms_of_ports_answer() {
    let mut chain = ready();
    place_bridges(&mut chain);
    chain.machine.write(0, 0xd000_0ff8, u64::MAX, 8).unwrap();
    chain
        .machine
        .write(0, 0x12_0008_0004, 0x1234_5678, 4)
        .unwrap();
    let ports = |chain: &mut Chain, port, bytes: [u8; 2]| {
        let root = &mut chain.machine.hierarchy.complexes[0].root;
        root.io_write(port, &bytes).unwrap();
        let mut data = [0; 4];
        root.io_read(port, &mut data).unwrap();
        assert_eq!(data, [bytes[0], bytes[1], 0, 0], "{port:#x}");
    };
    ports(&mut chain, 0x200c, [1, 2]);
    ports(&mut chain, 0x581c, [3, 4]);
    let found = |chain: &mut Chain| {
        [0xd000_0ff8, 0xd000_0ffc, 0xd000_1000, 0x12_0008_0004].map(|at| chain.read(at).unwrap())
    };
    let written = [0xffff_ffff, 0xffff_ffff, 0, 0x1234_5678];
    assert_eq!(found(&mut chain), written, "zero beyond the first 4 KiB");
    assert_eq!(chain.read(0x8000_0000), Ok(0), "the card's is its own");
    // The ROM of each names it.
    for (rom, ids) in [(0xd001_0000, 0xc030_1414), (0x8008_0000, 0xc031_1414)] {
        assert_eq!(chain.read(rom).unwrap() & 0xffff, 0xaa55);
        let at = chain.machine.read(0, rom + 0x18, 2).unwrap();
        assert_eq!(chain.read(rom + at + 4), Ok(ids));
        chain.machine.write(0, rom, 0, 4).unwrap();
        assert_eq!(chain.read(rom).unwrap() & 0xffff, 0xaa55, "read-only");
    }

    let root = &mut chain.machine.hierarchy.complexes[0].root;
    let saved = ProtobufSaveRestore::save(root).unwrap();
    let mut other = Chain::new();
    let root = &mut other.machine.hierarchy.complexes[0].root;
    ProtobufSaveRestore::restore(root, saved.clone()).unwrap();
    assert_eq!(ProtobufSaveRestore::save(root).unwrap(), saved);
    assert_eq!(found(&mut other), written, "in another process");
}

#[test]
fn scratch_memory_of_another_port_is_refused() {
    let of = |bars: &str| {
        Chain::of(&format!(
            r#"
            [[root_complex]]
            name = "rc0"
            ecam = 0xe000_0000
            port = [{{ name = "rp0", bar = {bars} }}]
            "#
        ))
    };
    let mut chain = of(r#"{ kind = "io", size = 64 }"#);
    chain.set("rp0", 0x10, 0x2000);
    chain.set("rp0", 0x04, 1);
    let root = &mut chain.machine.hierarchy.complexes[0].root;
    root.io_write(0x203f, &[1]).unwrap();
    let saved = ProtobufSaveRestore::save(root).unwrap();
    for (bars, problem) in [
        (
            r#"{ kind = "io", size = 32 }"#,
            "64 bytes of scratch memory of BAR 0 in the saved state; there are 32",
        ),
        (
            r#"{ index = 1, kind = "32" }"#,
            "64 bytes of scratch memory of BAR 0 in the saved state; there are 0",
        ),
        (
            "[]",
            "port 'rp0' has no registers behind BARs of its own; the saved state has",
        ),
    ] {
        let mut other = of(bars);
        let root = &mut other.machine.hierarchy.complexes[0].root;
        let error = ProtobufSaveRestore::restore(root, saved.clone()).unwrap_err();
        assert!(format!("{error:?}").contains(problem), "{error:?}");
    }
}

#[test]
fn ports_reach_the_card() {
    let mut chain = ready();
    let root = &mut chain.machine.hierarchy.complexes[0].root;
    root.io_write(0x5044, &[0x11, 0x22]).unwrap();
    let mut data = [0; 4];
    root.io_read(0x5044, &mut data).unwrap();
    assert_eq!(data, [0x11, 0x22, 0, 0]);
    assert_eq!(chain.read(0x8000_0004), Ok(0x2211), "the scratch memory");
    let root = &mut chain.machine.hierarchy.complexes[0].root;
    assert!(root.io_read(0x5060, &mut data).now_or_never().is_err());
    // ISA Enable of a bridge leaves the first 256 of each 1024 ports (PCIe 6.2 section 7.5.1.3.13).
    chain.set("card", 0x20, 0x5440);
    assert_eq!(chain.mapped()[3], Some(0x5440));
    chain.set("sw0", 0x3c, 0x4 << 16);
    assert_eq!(chain.mapped()[3], Some(0x5440));
    chain.set("card", 0x20, 0x5540);
    assert_eq!(chain.mapped()[3], None);
    chain.set("sw0", 0x3c, 0);
    assert_eq!(chain.mapped()[3], Some(0x5540));
}

#[test]
fn vga_enable_forwards_what_a_vga_controller_has() {
    let mut chain = ready();
    chain.set("card", 0x10, 0xb_8000);
    chain.set("card", 0x20, 0x3c0);
    assert_eq!((chain.mapped()[0], chain.mapped()[3]), (None, None));
    for bridge in BRIDGES {
        chain.set(bridge, 0x3c, 0x18 << 16);
    }
    assert_eq!(
        (chain.mapped()[0], chain.mapped()[3]),
        (Some(0xb_8000), Some(0x3c0))
    );
    chain.set("card", 0x20, 0x3a0);
    assert_eq!(chain.mapped()[3], None, "it has ports 0x3b0 to 0x3bb only");
    chain.set("card", 0x20, 0x7c0);
    assert_eq!(chain.mapped()[3], None, "16 bits are decoded");
    for bridge in BRIDGES {
        chain.set(bridge, 0x3c, 0x08 << 16);
    }
    assert_eq!(chain.mapped()[3], Some(0x7c0), "10 bits are decoded");
}

#[test]
fn bus_master_enable_of_every_bridge_gates_messages() {
    let mut chain = ready();
    let msi = chain.machine.capability("card", 0, 0x05).unwrap();
    chain.set("card", msi + 4, 0xfee0_0000);
    chain.machine.set_config("card", 0, msi + 12, &[0x21, 0]);
    chain.machine.set_config("card", 0, msi + 2, &[1, 0]);
    let sent = [(0x0300, 0xfee0_0000, 0x21)];
    for function in ["rp0", "sw0", "dsp0", "card"] {
        chain.set_command(function, 3);
        chain.ring(0);
        assert_eq!(chain.machine.interrupts.take(), [], "{function}");
        assert_eq!(
            chain.machine.config("card", 0, msi + 0x14),
            1,
            "pending meanwhile"
        );
        chain.set_command(function, 7);
        assert_eq!(chain.machine.interrupts.take(), sent, "{function}");
    }
}

#[test]
fn a_reset_of_any_bus_above_unmaps_and_holds() {
    for bridge in BRIDGES {
        let mut chain = ready();
        chain.set(bridge, 0x3c, 0x40 << 16);
        assert_eq!(chain.mapped(), NOWHERE, "{bridge}");
        assert_eq!(chain.read(0xe030_0000), Ok(u32::MAX.into()), "{bridge}");
        chain.set(bridge, 0x3c, 0);
        assert_eq!(chain.mapped(), NOWHERE, "{bridge}: the card was reset");
        chain.number();
        chain.place();
        chain.open_all();
        assert_eq!(chain.mapped(), MAPPED, "{bridge}");
    }
}

#[test]
fn a_link_that_is_down_lets_nothing_through() {
    let mut chain = ready();
    let pcie = chain.machine.capability("dsp0", 0, 0x10).unwrap();
    chain.machine.set_config("dsp0", 0, pcie + 0x10, &[0x10, 0]);
    assert_eq!(chain.mapped(), NOWHERE);
    chain.machine.set_config("dsp0", 0, pcie + 0x10, &[0, 0]);
    chain.place();
    assert_eq!(chain.mapped(), MAPPED);
}

#[test]
fn a_hot_added_card_is_under_the_windows_of_its_slot() {
    let mut chain = ready();
    let spec: EndpointSpec = Topology::from_toml(CHAIN).unwrap().root_complex[0].port[0]
        .switch
        .as_ref()
        .and_then(|switch| switch.port[0].endpoint.as_deref())
        .unwrap()
        .clone();
    chain.machine.hierarchy.unplug("dsp0").unwrap();
    assert_eq!(chain.mapped(), NOWHERE);
    chain.set("rp0", 0x20, 0x8000_8000);
    let (mut memory, mut ports) = (chain.memory.clone(), chain.ports.clone());
    let platform = Platform {
        register_pio: Some(&mut ports),
        ..Platform::new(&mut memory)
    };
    chain
        .machine
        .hierarchy
        .plug_on(platform, "dsp0", &spec)
        .unwrap();
    chain.place();
    let [bar0, bar1, _, io, _] = chain.mapped();
    assert_eq!((bar0, bar1, io), (MAPPED[0], None, MAPPED[3]));
    chain.open("rp0");
    assert_eq!(chain.mapped(), MAPPED);
    let root = &mut chain.machine.hierarchy.complexes[0].root;
    root.io_write(0x5044, &[1, 2, 3, 4]).unwrap();
    let mut data = [0; 4];
    root.io_read(0x5044, &mut data).unwrap();
    assert_eq!(data, [1, 2, 3, 4]);
    assert_eq!(
        chain.read(0x8000_0004),
        Ok(0x0403_0201),
        "one scratch memory"
    );
}

#[test]
fn a_restored_hierarchy_maps_what_the_saved_one_did() {
    let mut chain = ready();
    chain.set("sw0", 0x20, 0x8010_8010);
    let before = chain.mapped();
    assert_eq!(before, [None, MAPPED[1], MAPPED[2], MAPPED[3], None]);
    let save = |chain: &mut Chain| {
        ProtobufSaveRestore::save(&mut chain.machine.hierarchy.complexes[0].root).unwrap()
    };
    let saved = save(&mut chain);
    let fresh = save(&mut Chain::new());
    let restore = |chain: &mut Chain, state| {
        ProtobufSaveRestore::restore(&mut chain.machine.hierarchy.complexes[0].root, state)
            .unwrap();
    };
    restore(&mut chain, fresh);
    assert_eq!(chain.mapped(), NOWHERE);
    restore(&mut chain, saved.clone());
    assert_eq!(chain.mapped(), before);
    let mut other = Chain::new();
    restore(&mut other, saved.clone());
    assert_eq!(other.mapped(), before, "in another process");
    assert_eq!(save(&mut other), saved);
}

#[test]
fn intx_is_swizzled_on_its_way_up() {
    let mut chain = ready();
    chain.ring(0);
    // INTB of device 0 on bus 3 is INTB of dsp0, device 3 on bus 2: (1 + 3) mod 4 = INTA of sw0, and of rp0.
    assert_eq!(chain.intx(), [true, false, false, false]);
    assert_eq!(
        chain.machine.config("card", 0, 0x3c) >> 8 & 0xff,
        2,
        "Interrupt Pin"
    );
    let status = |chain: &mut Chain| chain.machine.config("card", 0, 0x04) >> 19 & 1;
    assert_eq!(status(&mut chain), 1);
    chain.set_command("card", 0x407);
    assert_eq!(chain.intx(), [false; 4], "Interrupt Disable");
    assert_eq!(status(&mut chain), 1, "pending all the same");
    chain.set_command("card", 0x007);
    assert_eq!(chain.intx(), [true, false, false, false]);
    chain.set_command("dsp0", 0x407);
    assert_eq!(
        chain.intx(),
        [true, false, false, false],
        "Interrupt Disable of a bridge is about its own"
    );
    chain.ring(INTX_ACKNOWLEDGE);
    assert_eq!(chain.intx(), [false; 4]);
    assert_eq!(status(&mut chain), 0);
}

#[test]
fn whatever_takes_the_card_away_lowers_its_interrupt() {
    let raised = || {
        let mut chain = ready();
        chain.ring(0);
        assert_eq!(chain.intx(), [true, false, false, false]);
        chain
    };
    let mut chain = raised();
    chain.set("rp0", 0x3c, 0x40 << 16);
    assert_eq!(chain.intx(), [false; 4], "secondary bus reset");
    let mut chain = raised();
    chain.machine.hierarchy.unplug("dsp0").unwrap();
    assert_eq!(chain.intx(), [false; 4], "removed");
    let mut chain = raised();
    let pcie = chain.machine.capability("dsp0", 0, 0x10).unwrap();
    chain.machine.set_config("dsp0", 0, pcie + 0x10, &[0x10, 0]);
    assert_eq!(chain.intx(), [false; 4], "link down");
    let mut chain = raised();
    let msi = chain.machine.capability("card", 0, 0x05).unwrap();
    chain.machine.set_config("card", 0, msi + 2, &[1, 0]);
    assert_eq!(chain.intx(), [false; 4], "MSI enabled");
}

/// PCIe 6.2 section 6.7.3.4: INTx is high as long as an enabled event is pending.
#[test]
fn a_port_without_msi_tells_of_its_slot_by_intx() {
    let mut chain = ready();
    let pcie = chain.machine.capability("dsp0", 0, 0x10).unwrap();
    // Presence Detect Changed Enable, Hot-Plug Interrupt Enable.
    chain.machine.set_config("dsp0", 0, pcie + 0x18, &[0x28, 0]);
    chain.machine.hierarchy.unplug("dsp0").unwrap();
    // INTA of device 3 is INTD of the switch.
    assert_eq!(chain.intx(), [false, false, false, true]);
    let msi = chain.machine.capability("dsp0", 0, 0x05).unwrap();
    chain.machine.set_config("dsp0", 0, msi + 2, &[1, 0]);
    assert_eq!(chain.intx(), [false; 4], "MSI enabled");
    let interrupts = chain.machine.interrupts.take();
    assert_eq!(interrupts.len(), 1, "the event is still pending");
    chain.machine.set_config("dsp0", 0, msi + 2, &[0, 0]);
    assert_eq!(chain.intx(), [false, false, false, true]);
    chain
        .machine
        .set_config("dsp0", 0, pcie + 0x1a, &[0xff, 0x01]);
    assert_eq!(chain.intx(), [false; 4], "acknowledged");
    chain.machine.set_config("dsp0", 0, msi + 2, &[1, 0]);
    assert_eq!(
        chain.machine.interrupts.take(),
        [],
        "no message was kept for later"
    );
}

/// PCIe 6.2 section 6.2.4.1.2: as for a slot, so for errors.
#[test]
fn a_root_port_without_msi_tells_of_errors_by_intx() {
    let mut chain = ready();
    let aer = chain.machine.extended_capabilities("rp0", 0);
    let (_, aer) = aer.into_iter().find(|(id, _)| *id == 1).unwrap();
    // Correctable Error Reporting Enable, in Device Control and in Root Error Command.
    let pcie = chain.machine.capability("rp0", 0, 0x10).unwrap();
    chain.machine.set_config("rp0", 0, pcie + 8, &[1, 0]);
    chain.set("rp0", aer + 0x2c, 1);
    let error = DetectedError::Correctable(CorrectableErrors::new().with_bad_tlp(true));
    chain
        .machine
        .hierarchy
        .record_error("rp0", 0, error)
        .unwrap();
    assert_eq!(chain.intx(), [true, false, false, false]);
    chain.set("rp0", aer + 0x30, u32::MAX);
    assert_eq!(chain.intx(), [false; 4], "Root Error Status is clear");
}
