//! Root Complex Event Collector Endpoint Association (PCIe 6.2 section 7.9.10): whose errors and power management events an event
//! collector collects.
//!
//! Not emulated: endpoints on other buses than the collector's own.

use super::ExtendedCapabilityHeader;
use bitfield_struct::bitfield;
use inspect::Inspect;
use reg_table::register_block;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// RCEC Associated Bus Numbers (PCIe 6.2 section 7.9.10.3): buses beside the collector's own. A first number above the last stands
/// for none.
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct AssociatedBusNumbers {
    #[bits(8)]
    _reserved: u32,
    /// The first bus.
    pub next_bus: u8,
    /// The last bus.
    pub last_bus: u8,
    #[bits(8)]
    _reserved2: u32,
}

const _: () = assert!(size_of::<AssociatedBusNumbers>() == 4);

register_block! {
    /// The Root Complex Event Collector Endpoint Association extended capability. The composer says which device numbers of the
    /// collector's bus are associated.
    pub EVENT_COLLECTOR: EventCollectorReg = "event_collector_association" {
        title: "Root Complex Event Collector Endpoint Association extended capability",
        section: "PCIe 6.2 section 7.9.10",
        bytes: 0x0c,
    }
    0x00 header: u32 as ExtendedCapabilityHeader = 0x0002_0007, "PCIe 6.2 section 7.9.10.1" {
        ro: [capability_id, capability_version, next_offset],
    }
    0x04 association_bitmap: u32 as () = 0, "PCIe 6.2 section 7.9.10.2" { hwinit: [devices[31:0]] }
    0x08 associated_bus_numbers: u32 as AssociatedBusNumbers = 0x0000_ff00, "PCIe 6.2 section 7.9.10.3" {
        hwinit: [next_bus, last_bus],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::BlockRegister;

    #[test]
    fn registers_lie_where_linux_puts_them() {
        assert_eq!(EventCollectorReg::Header.register().reset & 0xffff, 0x07); // PCI_EXT_CAP_ID_RCEC
        assert_eq!(EventCollectorReg::AssociationBitmap.register().offset, 4); // PCI_RCEC_RCIEP_BITMAP
        assert_eq!(
            EventCollectorReg::AssociatedBusNumbers.register().offset,
            8 // PCI_RCEC_BUSN
        );
        let buses = AssociatedBusNumbers::new()
            .with_next_bus(0x12)
            .with_last_bus(0x34);
        assert_eq!(buses.into_bits(), 0x0034_1200); // PCI_RCEC_BUSN_NEXT, PCI_RCEC_BUSN_LAST
    }
}
