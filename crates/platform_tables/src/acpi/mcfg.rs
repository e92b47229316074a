//! MCFG: where ECAM is (PCI Firmware 3.3 section 4.1.2).

use super::OEM_ID;
use super::OEM_REVISION;
use super::OEM_TABLE_ID;
use crate::HostBridge;
use acpi_tables::mcfg::MCFG;

pub(super) fn table(bridges: &[HostBridge]) -> MCFG {
    let mut mcfg = MCFG::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    for bridge in bridges {
        // The address is that of bus 0, whatever the first bus is; validation has it not below 0.
        let bus_0 = bridge
            .ecam
            .base
            .saturating_sub(u64::from(bridge.buses.start) << 20);
        mcfg.add_ecam(bus_0, bridge.segment, bridge.buses.start, bridge.buses.end);
    }
    mcfg
}
