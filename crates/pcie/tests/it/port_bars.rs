//! BARs and expansion ROMs of ports of their own, anywhere in the hierarchy: sized, placed, routed, gated, reset and saved.

use crate::model::*;
use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use chipset_device::mmio::RegisterMmioIntercept;
use chipset_device::pio::PortIoIntercept;
use cxl_spec::pci_registers::spec::flex_bus_port_dvsec::CxlFlexBusPortDvsecCapability;
use inspect::Inspect;
use inspect::InspectionBuilder;
use pci_core::cfg_space_emu::BarKind;
use pci_core::cfg_space_emu::BarMemoryKind;
use pci_core::cfg_space_emu::DeviceBars;
use pci_core::cfg_space_emu::EXPANSION_ROM;
use pci_core::msi::MsiTarget;
use pci_core::spec::cfg_space::IoAddressing;
use pcie::PciePortSettings;
use pcie::PortBarDefinition;
use pcie::PortBarSubregionDefinition;
use pcie::PortBarSubregionKind;
use pcie::PortBars;
use pcie::PortConfig;
use pcie::PortOptions;
use pcie::PortRegisters;
use pcie::root::GenericPcieRootComplex;
use pcie::switch::SwitchConfig;
use reg_table::Reset;
use std::collections::BTreeMap;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

/// Bytes that keep what is written to them; before, they read 0xb0 and the number of their BAR. The ROM keeps nothing.
#[derive(Default)]
struct Bytes(BTreeMap<(u8, u64), u8>);

mod state {
    use mesh_protobuf::Protobuf;
    use vmcore::save_restore::SavedStateRoot;

    #[derive(Protobuf, SavedStateRoot)]
    #[mesh(package = "pcie.test")]
    pub(super) struct Bytes {
        /// BAR, offset, value.
        #[mesh(1)]
        pub bytes: Vec<(u8, u64, u8)>,
    }
}

impl SaveRestore for Bytes {
    type SavedState = state::Bytes;

    fn save(&mut self) -> Result<state::Bytes, SaveError> {
        let bytes = self.0.iter().map(|(&(bar, at), &value)| (bar, at, value));
        Ok(state::Bytes {
            bytes: bytes.collect(),
        })
    }

    fn restore(&mut self, state: state::Bytes) -> Result<(), RestoreError> {
        let bytes = state.bytes.into_iter();
        self.0 = bytes.map(|(bar, at, value)| ((bar, at), value)).collect();
        Ok(())
    }
}

impl Inspect for Bytes {
    fn inspect(&self, req: inspect::Request<'_>) {
        req.respond().field("written", self.0.len());
    }
}

impl PortRegisters for Bytes {
    fn read(&mut self, bar: u8, offset: u64, data: &mut [u8]) -> IoResult {
        for (byte, at) in data.iter_mut().zip(offset..) {
            *byte = *self.0.get(&(bar, at)).unwrap_or(&(0xb0 | bar));
        }
        IoResult::Ok
    }

    fn write(&mut self, bar: u8, offset: u64, data: &[u8]) -> IoResult {
        if bar != EXPANSION_ROM {
            let bytes = data.iter().zip(offset..);
            self.0.extend(bytes.map(|(byte, at)| ((bar, at), *byte)));
        }
        IoResult::Ok
    }

    fn reset(&mut self, _kind: Reset) {
        self.0.clear();
    }

    fn state(&mut self) -> Option<&mut dyn ProtobufSaveRestore> {
        Some(self)
    }
}

fn bars(bars: DeviceBars) -> PortBars {
    PortBars::new(bars).with_registers(Box::new(Bytes::default()))
}

/// A root port, and below it a switch with a downstream port: rp0 at 00:00.0, sw at 01:00.0, dsp at 02:00.0.
fn hierarchy(memory: &mut Regions) -> GenericPcieRootComplex {
    let io_window = Some(IoAddressing::Bits16);
    let mut region = |name: &str, len| BarMemoryKind::Intercept(memory.new_io_region(name, len));
    let rp0 = DeviceBars::new()
        .with(0, BarKind::Memory32, 0x2000, region("rp0-bar0", 0x2000))
        .with(1, BarKind::Io, 32, BarMemoryKind::Dummy)
        .rom(0x1_0000, region("rp0-rom", 0x1_0000));
    let mut rp0 = PortConfig::new("rp0", 0, 0).with_bars(bars(rp0));
    rp0.options.io_window = io_window;
    let mut switch = SwitchConfig::new("sw");
    switch.upstream.io_window = io_window;
    let up = region("sw-bar0", 0x10_0000);
    switch.upstream_bars = bars(
        DeviceBars::new()
            .with(0, BarKind::Memory64Prefetchable, 0x10_0000, up)
            .rom(0x1000, region("sw-rom", 0x1000)),
    );
    let dsp = DeviceBars::new()
        .with(0, BarKind::Io, 16, BarMemoryKind::Dummy)
        .with(
            1,
            BarKind::Memory32Prefetchable,
            0x1000,
            region("dsp-bar1", 0x1000),
        );
    // It has no I/O window, and an I/O BAR all the same.
    switch.ports = vec![PortConfig::new("dsp", 0, 0).with_bars(bars(dsp))];
    let mut root = builder()
        .port(rp0)
        .build(memory, &MsiTarget::disconnected())
        .unwrap();
    let switch = switch
        .build(&MsiTarget::disconnected(), Some(memory))
        .unwrap();
    root.add_pcie_device(0, "sw", switch.into_device()).unwrap();
    root
}

/// Each port's bus, in order.
const PORTS: [u8; 3] = [0, 1, 2];
const RP0_BAR: u64 = 0xd000_0000;
const RP0_PORTS: u16 = 0x2000;
const RP0_ROM: u64 = 0xd010_0000;
const SW_BAR: u64 = 0x12_0000_0000;
const SW_ROM: u64 = 0x8000_1000;
const DSP_PORTS: u16 = 0x5010;
const DSP_BAR: u64 = 0x8010_0000;

/// Numbers the buses, places all BARs and opens the bridges for those below.
fn place(root: &mut GenericPcieRootComplex) {
    for bus in PORTS {
        root.number((bus, 0), bus + 1, 3);
    }
    for (bus, offset, value) in [
        (0, 0x10, 0xd000_0000),
        (0, 0x14, 0x2000),
        (0, 0x38, 0xd010_0001),
        (0, 0x1c, 0x6050),
        (0, 0x20, 0x8010_8000),
        (0, 0x24, 0x0010_0000),
        (0, 0x28, 0x12),
        (0, 0x2c, 0x12),
        (1, 0x10, 0),
        (1, 0x14, 0x12),
        (1, 0x38, 0x8000_1001),
        (1, 0x1c, 0x5050),
        (1, 0x20, 0x8010_8010),
        (2, 0x10, 0x5010),
        (2, 0x14, 0x8010_0000),
    ] {
        root.write(bus, 0, offset, value);
    }
    for bus in PORTS {
        root.write(bus, 0, 0x04, 3);
    }
}

fn placed() -> (GenericPcieRootComplex, Regions) {
    let mut memory = Regions::default();
    let mut root = hierarchy(&mut memory);
    place(&mut root);
    (root, memory)
}

fn in_byte(root: &mut GenericPcieRootComplex, port: u16) -> Option<u8> {
    let mut data = [0x5a];
    match root.io_read(port, &mut data) {
        IoResult::Ok => Some(data[0]),
        result => {
            assert_eq!(result.now_or_never(), Err(IoError::InvalidRegister));
            None
        }
    }
}

fn byte(root: &mut GenericPcieRootComplex, address: u64) -> Option<u8> {
    match root.load(address, 1) {
        Ok(data) => Some(data[0]),
        Err(error) => {
            assert_eq!(error, IoError::InvalidRegister);
            None
        }
    }
}

/// What answers at the first address of each BAR and ROM.
fn answers(root: &mut GenericPcieRootComplex) -> [Option<u8>; 7] {
    let ports = [RP0_PORTS, DSP_PORTS].map(|port| in_byte(root, port));
    let memory = [RP0_BAR, RP0_ROM, SW_BAR, SW_ROM, DSP_BAR].map(|at| byte(root, at));
    [
        memory[0], ports[0], memory[1], memory[2], memory[3], ports[1], memory[4],
    ]
}

const ALL: [Option<u8>; 7] = [
    Some(0xb0),
    Some(0xb1),
    Some(0xb6),
    Some(0xb0),
    Some(0xb6),
    Some(0xb0),
    Some(0xb1),
];

#[test]
fn each_is_sized_as_software_sizes_bars() {
    let mut root = hierarchy(&mut Regions::default());
    for bus in PORTS {
        root.number((bus, 0), bus + 1, 3);
    }
    let mut sized = |bus, offset| {
        root.write(bus, 0, offset, u32::MAX);
        root.read(bus, 0, offset)
    };
    let mut of_port = |bus| [0x10, 0x14, 0x38].map(|offset| sized(bus, offset));
    assert_eq!(of_port(0), [0xffff_e000, 0xffff_ffe1, 0xffff_0001]);
    assert_eq!(of_port(1), [0xfff0_000c, u32::MAX, 0xffff_f001]);
    assert_eq!(of_port(2), [0xffff_fff1, 0xffff_f008, 0]);
}

#[test]
fn accesses_come_to_what_stands_behind() {
    let (mut root, memory) = placed();
    assert_eq!(answers(&mut root), ALL);
    let regions = memory.live();
    let at = |name: &str| {
        let region = regions.iter().find(|(found, ..)| found == name);
        region.unwrap().2
    };
    assert_eq!(at("rp0-bar0"), Some(RP0_BAR));
    assert_eq!(at("rp0-rom"), Some(RP0_ROM));
    assert_eq!(at("sw-bar0"), Some(SW_BAR));
    assert_eq!(at("sw-rom"), Some(SW_ROM));
    assert_eq!(at("dsp-bar1"), Some(DSP_BAR));

    for (address, value) in [(RP0_BAR, 1), (SW_BAR + 0xf_fffc, 2), (DSP_BAR + 0xffc, 3)] {
        root.store_u32(address, value);
        assert_eq!(root.load_u32(address), value);
    }
    for (port, value) in [(RP0_PORTS + 31, 4), (DSP_PORTS + 15, 5)] {
        root.io_write(port, &[value]).unwrap();
        assert_eq!(in_byte(&mut root, port), Some(value));
    }
    root.store_u32(RP0_ROM, 6);
    assert_eq!(root.load_u32(RP0_ROM), 0xb6b6_b6b6, "a ROM");
    assert_eq!(byte(&mut root, RP0_BAR + 0x2000), None);
    assert_eq!(byte(&mut root, RP0_ROM + 0x1_0000), None);
    assert_eq!(in_byte(&mut root, RP0_PORTS + 32), None);
    assert_eq!(in_byte(&mut root, DSP_PORTS + 16), None);
    assert_eq!(
        root.load(RP0_BAR + 2, 4),
        Err(IoError::UnalignedAccess),
        "a processor's accesses come naturally aligned"
    );
    assert_eq!(root.load(SW_BAR, 3), Err(IoError::InvalidAccessSize));
    let mut data = [0; 2];
    assert_eq!(
        root.io_read(RP0_PORTS + 1, &mut data).now_or_never(),
        Err(IoError::UnalignedAccess)
    );
    for port in [RP0_PORTS, DSP_PORTS] {
        let (read, written) = (
            root.io_read(port, &mut [0; 8]),
            root.io_write(port, &[0; 8]),
        );
        for result in [read, written] {
            let result = result.now_or_never();
            assert_eq!(result, Err(IoError::InvalidAccessSize), "one dword at most");
        }
    }
}

#[test]
fn enable_bits_and_the_bridges_above_gate_them() {
    let (mut root, _) = placed();
    let without = |gone: &[usize]| {
        let mut rest = ALL;
        for index in gone {
            rest[*index] = None;
        }
        rest
    };
    let mut changed = |bus, offset, changed: u32, back: u32| {
        root.write(bus, 0, offset, changed);
        let found = answers(&mut root);
        root.write(bus, 0, offset, back);
        assert_eq!(answers(&mut root), ALL, "and back");
        found
    };
    // I/O Space Enable, then Memory Space Enable. A port's own are those of its windows too.
    assert_eq!(changed(2, 0x04, 2, 3), without(&[5]));
    assert_eq!(changed(2, 0x04, 1, 3), without(&[6]));
    assert_eq!(changed(1, 0x04, 2, 3), without(&[5]));
    assert_eq!(changed(1, 0x04, 1, 3), without(&[3, 4, 6]));
    assert_eq!(changed(0, 0x04, 2, 3), without(&[1, 5]));
    assert_eq!(changed(0, 0x04, 1, 3), without(&[0, 2, 3, 4, 6]));
    // Expansion ROM Enable.
    assert_eq!(changed(0, 0x38, 0xd010_0000, 0xd010_0001), without(&[2]));
    assert_eq!(changed(1, 0x38, 0x8000_1000, 0x8000_1001), without(&[4]));
    // Windows: the upstream port's own BARs lie in those of the root port, and not in its own.
    assert_eq!(changed(1, 0x20, 0x0000_fff0, 0x8010_8010), without(&[6]));
    assert_eq!(changed(0, 0x20, 0x8000_8000, 0x8010_8000), without(&[6]));
    assert_eq!(changed(0, 0x20, 0x8010_8010, 0x8010_8000), without(&[4]));
    assert_eq!(changed(0, 0x24, 0x0000_fff0, 0x0010_0000), without(&[3]));
    assert_eq!(changed(0, 0x1c, 0x00f0, 0x6050), without(&[5]));
    // A BAR elsewhere.
    assert_eq!(changed(0, 0x10, 0xd002_0000, 0xd000_0000), without(&[0]));
    assert_eq!(changed(2, 0x10, 0x5020, 0x5010), without(&[5]));
}

#[test]
fn a_bar_over_ecam_wins() {
    let (mut root, _) = placed();
    root.write(0, 0, 0x38, 0xe0f0_0001);
    assert_eq!(byte(&mut root, 0xe0f0_0000), Some(0xb6));
    assert_eq!(byte(&mut root, 0xe0ef_0000), Some(0xff), "ECAM, and nobody");
}

#[test]
fn a_reset_empties_the_registers() {
    let (mut root, memory) = placed();
    for address in [RP0_BAR, SW_BAR, DSP_BAR] {
        root.store_u32(address, 0x1234_5678);
    }
    // Secondary Bus Reset of the root port reaches the switch, and not the port itself.
    root.write(0, 0, 0x3c, 0x0040_0000);
    root.write(0, 0, 0x3c, 0);
    assert_eq!(root.load_u32(RP0_BAR), 0x1234_5678);
    assert_eq!(byte(&mut root, SW_BAR), None);
    place(&mut root);
    assert_eq!(root.load_u32(SW_BAR), 0xb0b0_b0b0);
    assert_eq!(root.load_u32(DSP_BAR), 0xb1b1_b1b1);

    reset(&mut root);
    assert!(
        memory
            .live()
            .iter()
            .all(|(name, _, at)| name == "ecam" || at.is_none())
    );
    place(&mut root);
    assert_eq!(root.load_u32(RP0_BAR), 0xb0b0_b0b0);
}

#[test]
fn they_are_saved_and_restored_with_the_port() {
    let (mut root, _) = placed();
    for (value, address) in (1..).zip([RP0_BAR, SW_BAR, DSP_BAR]) {
        root.store_u32(address, value);
    }
    let bytes = saved(&mut root);
    let mut other = hierarchy(&mut Regions::default());
    let empty = saved(&mut other);
    restore(&mut other, &bytes).unwrap();
    assert_eq!(saved(&mut other), bytes);
    for (value, address) in (1..).zip([RP0_BAR, SW_BAR, DSP_BAR]) {
        assert_eq!(other.load_u32(address), value);
    }
    restore(&mut other, &empty).unwrap();
    assert_eq!(saved(&mut other), empty);
}

/// The same ports without registers that have a state.
fn stateless(rp0_registers: bool) -> GenericPcieRootComplex {
    let dummy = || DeviceBars::new().with(0, BarKind::Memory32, 0x1000, BarMemoryKind::Dummy);
    let of = |has| match has {
        true => bars(dummy()),
        false => PortBars::new(dummy()),
    };
    let mut switch = SwitchConfig::new("sw");
    switch.upstream_bars = of(false);
    let mut root = build(builder().port(PortConfig::new("rp0", 0, 0).with_bars(of(rp0_registers))));
    let switch = switch.build(&MsiTarget::disconnected(), None).unwrap();
    root.add_pcie_device(0, "sw", switch.into_device()).unwrap();
    root
}

#[test]
fn a_state_of_registers_that_are_not_there_is_refused() {
    let mut with = stateless(true);
    with.write(0, 0, 0x10, RP0_BAR as u32);
    with.write(0, 0, 0x04, 2);
    with.store_u32(RP0_BAR, 7);
    let bytes = saved(&mut with);
    let mut without = stateless(false);
    let before = saved(&mut without);
    let error = restore(&mut without, &bytes).unwrap_err();
    assert!(
        format!("{error:#?}").contains("port 'rp0' has no registers behind BARs of its own"),
        "{error:?}"
    );
    assert_eq!(saved(&mut without), before, "refused means unchanged");

    // A state from before there were registers leaves them as they are after power-on.
    restore(&mut with, &before).unwrap();
    with.write(0, 0, 0x10, RP0_BAR as u32);
    with.write(0, 0, 0x04, 2);
    assert_eq!(with.load_u32(RP0_BAR), 0xb0b0_b0b0);
}

#[test]
fn nothing_behind_reads_zero() {
    let mut root = stateless(false);
    root.write(0, 0, 0x10, RP0_BAR as u32);
    root.write(0, 0, 0x04, 2);
    root.store_u32(RP0_BAR, 7);
    assert_eq!(root.load_u32(RP0_BAR), 0);
}

#[test]
fn inspection_shows_the_registers() {
    let (mut root, _) = placed();
    root.store_u32(RP0_BAR, 7);
    let text = InspectionBuilder::new("")
        .depth(None)
        .inspect(inspect::adhoc_mut(|req| {
            inspect::InspectMut::inspect_mut(&mut root, req);
        }));
    let text = text.results().to_string();
    assert!(text.contains("written: 4"), "{text}");
}

fn definition(kinds: &[PortBarSubregionKind]) -> PortBarDefinition {
    let parts = (0..)
        .zip(kinds)
        .map(|(i, &kind)| PortBarSubregionDefinition {
            kind,
            offset: i * 0x1000,
            size_bytes: match kind {
                PortBarSubregionKind::CxlComponentRegisters => 0x1_0000,
                PortBarSubregionKind::MsiXTable => 0x40,
                PortBarSubregionKind::MsiXPba => 8,
            },
        });
    PortBarDefinition {
        index: 0,
        size_bytes: 0x1_0000,
        subregions: parts.collect(),
    }
}

#[test]
fn bars_that_cannot_be_are_refused_by_name() {
    let text = |port: PortConfig| {
        let built = builder().port(port).build(
            &mut ExternallyManagedMmioIntercepts,
            &MsiTarget::disconnected(),
        );
        built.err().unwrap().to_string()
    };
    let one = |index, kind| DeviceBars::new().with(index, kind, 0x10, BarMemoryKind::Dummy);
    let port = |bars| PortConfig::new("rp0", 0, 0).with_bars(PortBars::new(bars));
    assert_eq!(
        text(port(one(2, BarKind::Memory32))),
        "port 'rp0': BAR2 asked for; a port has BAR0 and BAR1"
    );
    assert_eq!(
        text(port(one(1, BarKind::Memory64))),
        "port 'rp0': BAR1 is 64 bits wide and takes the slot after it; the header has 2 slots"
    );
    assert_eq!(
        text(port(one(0, BarKind::Memory64).with(
            1,
            BarKind::Io,
            4,
            BarMemoryKind::Dummy
        ))),
        "port 'rp0': BAR1 is the upper half of the 64-bit BAR before it"
    );
    assert_eq!(
        text(port(
            DeviceBars::new().rom((16 << 20) + 1, BarMemoryKind::Dummy)
        )),
        "port 'rp0': an expansion ROM of 0x1000001 bytes; it has at most 16 MiB"
    );
    let cxl = PciePortSettings {
        cxl_flex_bus_port_capability: Some(
            CxlFlexBusPortDvsecCapability::new().with_mem_capable(true),
        ),
        ..PciePortSettings::default()
    };
    assert_eq!(
        text(PortConfig {
            settings: cxl.clone(),
            ..port(one(1, BarKind::Io))
        }),
        "port 'rp0': BAR1 asked for; the BAR of the CXL component registers takes BAR0 and BAR1"
    );
    use PortBarSubregionKind::*;
    assert_eq!(
        text(PortConfig {
            bar: Some(definition(&[MsiXTable, MsiXPba])),
            ..port(one(0, BarKind::Memory32))
        }),
        "port 'rp0': BAR0 asked for; the BAR of MSI-X takes BAR0 and BAR1"
    );
    assert_eq!(
        text(PortConfig {
            bar: Some(definition(&[])),
            ..port(one(0, BarKind::Memory32))
        }),
        "port 'rp0': BAR0 asked for; the port's 64-bit BAR takes BAR0 and BAR1"
    );
    let mut switch = SwitchConfig::new("sw");
    switch.upstream_bars = PortBars::new(one(3, BarKind::Io));
    let error = switch.build(&MsiTarget::disconnected(), None).err();
    assert_eq!(
        error.unwrap().to_string(),
        "port 'sw': BAR3 asked for; a port has BAR0 and BAR1"
    );

    // A ROM has a register of its own.
    let rom = DeviceBars::new().rom(0x1000, BarMemoryKind::Dummy);
    let mut root = build(builder().port(PortConfig {
        settings: cxl,
        options: PortOptions::standard(),
        ..port(rom)
    }));
    root.write(0, 0, 0x38, u32::MAX);
    assert_eq!(root.read(0, 0, 0x38), 0xffff_f001);
}
