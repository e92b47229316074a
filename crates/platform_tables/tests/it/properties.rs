//! Whatever is described, there are tables or an error.

use super::ROOM;
use super::platform;
use pcie_topology::AddressRange;
use pcie_topology::BusNumbers;
use platform_tables::AcpiTables;
use platform_tables::CxlControl;
use platform_tables::CxlHostBridge;
use platform_tables::Port;
use platform_tables::fdt;
use platform_tables::fdt::GicV3;
use proptest::prelude::*;

/// Numbers near what matters.
fn number() -> impl Strategy<Value = u64> {
    let near = prop::sample::select(vec![0, 1 << 16, 1 << 20, 1 << 32, 1 << 52, u64::MAX]);
    prop_oneof![
        any::<u64>(),
        (near, 0..3_u64).prop_map(|(near, more)| near.wrapping_add(more).wrapping_sub(1)),
        (0..64_u32).prop_map(|shift| 1 << shift),
    ]
}

fn range() -> impl Strategy<Value = AddressRange> {
    (number(), number()).prop_map(|(base, size)| AddressRange::new(base, size))
}

proptest! {
    #[test]
    fn fuzz_no_description_panics(
        buses in any::<(u8, u8)>(),
        segment in any::<u16>(),
        ecam in range(),
        apertures in prop::array::uniform4(prop::option::of(range())),
        registers in number(),
        window in range(),
        targets in prop::collection::vec(0..9_u32, 0..18),
        granularity in any::<u32>(),
        port in any::<(u8, u8)>(),
        label in ".{0,4}",
        room in range(),
    ) {
        let mut platform = platform();
        let bridge = &mut platform.host_bridges[1];
        bridge.buses = BusNumbers { start: buses.0, end: buses.1 };
        bridge.segment = segment;
        bridge.ecam = ecam;
        [bridge.io, bridge.mmio32, bridge.mmio64, bridge.prefetchable] = apertures;
        bridge.io_in_memory = Some(registers);
        bridge.cxl = Some(CxlHostBridge { component_registers: registers, control: CxlControl::new() });
        bridge.ports.push(Port { device: port.0, function: port.1, slot: Some(granularity), label, ..Port::default() });
        platform.cxl_windows[0].range = window;
        platform.cxl_windows[0].targets = targets;
        platform.cxl_windows[0].granularity = granularity;
        for room in [ROOM, room] {
            if let Ok(tables) = AcpiTables::new(&platform, room) {
                prop_assert!(tables.tables.len() as u64 <= room.size.0);
                prop_assert!(tables.iter().all(|table| table.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)) == 0));
            }
        }
        let gic = GicV3 { distributor: window, redistributors: ecam, its: room, intx: [0; 4] };
        let _ = fdt::blob(&[room], &gic, &platform.host_bridges);
    }
}
