//! Latency Tolerance Reporting (PCIe 6.2 section 7.8.2): the latency that the platform may add at most, told to endpoints
//! by software.
//!
//! Not emulated: LTR messages.

use super::ExtendedCapabilityHeader;
use bitfield_struct::bitfield;
use inspect::Inspect;
use reg_table::register_block;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// Max Snoop Latency and Max No-Snoop Latency (PCIe 6.2 section 7.8.2.2 and section 7.8.2.3).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct MaxLatency {
    /// Latency in units of the scale.
    #[bits(10)]
    pub latency_value: u16,
    /// Nanoseconds a unit: 32 to the power of this; 6 and 7 are not permitted.
    #[bits(3)]
    pub latency_scale: u16,
    #[bits(3)]
    _reserved: u16,
}

const _: () = assert!(size_of::<MaxLatency>() == 2);

register_block! {
    /// The LTR extended capability.
    pub LTR: LtrReg = "ltr" {
        title: "Latency Tolerance Reporting extended capability",
        section: "PCIe 6.2 section 7.8.2",
        bytes: 0x08,
    }
    0x00 header: u32 as ExtendedCapabilityHeader = 0x0001_0018, "PCIe 6.2 section 7.8.2.1" {
        ro: [capability_id, capability_version, next_offset],
    }
    0x04 max_snoop_latency: u16 as MaxLatency = 0, "PCIe 6.2 section 7.8.2.2" { rw: [latency_value, latency_scale] }
    0x06 max_no_snoop_latency: u16 as MaxLatency = 0, "PCIe 6.2 section 7.8.2.3" { rw: [latency_value, latency_scale] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::BlockRegister;

    #[test]
    fn bits_lie_where_linux_expects_them() {
        assert_eq!(LtrReg::Header.register().reset & 0xffff, 0x18); // PCI_EXT_CAP_ID_LTR
        assert_eq!(LtrReg::MaxSnoopLatency.register().offset, 4); // PCI_LTR_MAX_SNOOP_LAT
        assert_eq!(LtrReg::MaxNoSnoopLatency.register().offset, 6); // PCI_LTR_MAX_NOSNOOP_LAT
        assert_eq!(LTR.bytes, 8); // PCI_EXT_CAP_LTR_SIZEOF
        assert_eq!(
            MaxLatency::new().with_latency_value(0x3ff).into_bits(),
            0x03ff
        ); // PCI_LTR_VALUE_MASK
        assert_eq!(MaxLatency::new().with_latency_scale(7).into_bits(), 0x1c00); // PCI_LTR_SCALE_MASK
    }
}
