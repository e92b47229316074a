//! BARs and expansion ROMs of ports, sized and placed by enumeration, and answering there.

use chipset_device::io::IoResult;
use chipset_device::mmio::MmioIntercept;
use chipset_device::pio::PortIoIntercept;
use pci_enumerate::Apertures;
use pci_enumerate::Bar;
use pci_enumerate::BarKind;
use pci_enumerate::Hierarchy;
use pci_enumerate::HostBridge;
use pcie::root::GenericPcieRootComplex;
use pcie_topology::Topology;
use testkit::MmioMap;
use testkit::ecam;

const TOPOLOGY: &str = r#"
    [[root_complex]]
    name = "rc0"
    ecam = 0xe000_0000

    [[root_complex.port]]
    name = "rp0"
    io_window = "16"
    bar = [{ kind = "32", size = "8M" }, { kind = "io", size = 128 }]
    rom = "64K"
    [root_complex.port.switch]
    name = "sw0"
    bar = { kind = "prefetchable", size = "2M" }
    rom = "4K"
    [[root_complex.port.switch.port]]
    name = "dsp0"
    io_window = "16"
    bar = [{ kind = "io", size = 16 }, { kind = "32-prefetchable", size = "4K" }]
    rom = "32K"
    endpoint = { name = "card", bar = [{ kind = "io", size = 32 }, { size = "16K" }] }

    [[root_complex.port]]
    name = "rp1"
    bar = { msix = { vectors = 1 } }
    rom = "16M"
"#;

fn machine() -> (GenericPcieRootComplex, Hierarchy) {
    let topology = Topology::from_toml(TOPOLOGY).unwrap();
    let mut hierarchy = topology.compose(&mut MmioMap::new(), None).unwrap();
    let mut root = hierarchy.complexes.remove(0).root;
    let host_bridge = HostBridge::new(Apertures {
        buses: 0..=255,
        mmio32: 0xc000_0000..0xd000_0000,
        mmio64: Some(0x40_0000_0000..0x41_0000_0000),
        io: Some(0x1000..0x8000),
    });
    let found = pci_enumerate::enumerate(&mut ecam(&mut root), &host_bridge).unwrap();
    (root, found)
}

#[test]
fn every_bar_and_rom_of_a_port_is_placed_and_answers() {
    let (mut root, found) = machine();
    assert_eq!(found.shortfalls, []);
    let memory = |prefetchable| BarKind::Memory32 { prefetchable };
    let wide = |prefetchable| BarKind::Memory64 { prefetchable };
    let asked: Vec<_> = found
        .iter()
        .map(|function| {
            let bars = function
                .bars
                .iter()
                .map(|bar| (bar.index, bar.kind, bar.size));
            (
                function.bdf.to_string(),
                bars.collect::<Vec<_>>(),
                function.rom.map(|rom| rom.size),
            )
        })
        .collect();
    let function =
        |bdf: &str, bars: &[(u8, BarKind, u64)], rom| (bdf.to_string(), bars.to_vec(), rom);
    assert_eq!(
        asked,
        [
            function(
                "00:00.0",
                &[(0, memory(false), 8 << 20), (1, BarKind::Io, 128)],
                Some(64 << 10)
            ),
            function("01:00.0", &[(0, wide(true), 2 << 20)], Some(4 << 10)),
            function(
                "02:00.0",
                &[(0, BarKind::Io, 16), (1, memory(true), 4 << 10)],
                Some(32 << 10)
            ),
            function(
                "03:00.0",
                &[(0, BarKind::Io, 32), (1, memory(false), 16 << 10)],
                None
            ),
            function("00:01.0", &[(0, wide(false), 4 << 10)], Some(16 << 20)),
        ]
    );

    let mut placed: Vec<(bool, u64, u64)> = Vec::new();
    for function in found.iter() {
        for &Bar {
            kind,
            size,
            address,
            ..
        } in &function.bars
        {
            placed.push((kind == BarKind::Io, address.unwrap(), size));
        }
        placed.extend(
            function
                .rom
                .map(|rom| (false, rom.address.unwrap(), rom.size)),
        );
        // Firmware leaves ROMs disabled.
        if let Some(rom) = &function.rom {
            let offset = if function.bridge.is_some() {
                0x38
            } else {
                0x30
            };
            let enabled = u32::try_from(rom.address.unwrap()).unwrap() | 1;
            let bdf = function.bdf;
            let register =
                0xe000_0000 + (u64::from(bdf.bus()) << 20) + (u64::from(bdf.devfn()) << 12);
            root.mmio_write(register + offset, &enabled.to_le_bytes())
                .unwrap();
        }
    }
    placed.sort_unstable();
    assert_eq!(placed.len(), 12);
    for pair in placed.windows(2) {
        let [(_, first, len), (_, second, _)] = [pair[0], pair[1]];
        assert!(pair[0].0 != pair[1].0 || first + len <= second, "{pair:x?}");
    }
    for (is_io, first, len) in placed {
        for at in [first, first + len - 4] {
            let mut data = [0; 4];
            let result = match is_io {
                true => root.io_read(u16::try_from(at).unwrap(), &mut data),
                false => root.mmio_read(at, &mut data),
            };
            assert!(matches!(result, IoResult::Ok), "{at:#x}");
        }
    }
}
