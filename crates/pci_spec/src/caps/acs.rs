//! Access Control Services (PCIe 6.2 section 7.7.11): whether requests between functions below one port may pass it
//! directly, or go up to the root complex, where an IOMMU sees them.
//!
//! Not emulated: P2P Egress Control (the vector reads zero) and ACS Enhanced Capability.

use super::ExtendedCapabilityHeader;
use bitfield_struct::bitfield;
use inspect::Inspect;
use open_enum::open_enum;
use reg_table::register_block;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// What a port offers unless told otherwise: everything but P2P Egress Control.
pub const DEFAULT_ACS_CAP_MASK: u16 = 0x005f;

/// Offsets of the dwords of the capability.
#[open_enum]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum AcsExtendedCapabilityHeader {
    /// Extended capability header.
    HEADER = 0x00,
    /// ACS Control and ACS Capability.
    CAPS_CONTROL = 0x04,
    /// Egress Control Vector.
    EGRESS_CONTROL_VECTOR = 0x08,
}

/// The ACS Capability register (PCIe 6.2 section 7.7.11.2): what the function can do.
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct AcsCapabilities {
    /// Checks that the requester's bus number lies below the port.
    pub source_validation: bool,
    /// Blocks requests whose address claims to be translated.
    pub translation_blocking: bool,
    /// Sends peer-to-peer requests up to the root complex.
    pub p2p_request_redirect: bool,
    /// Sends peer-to-peer completions up to the root complex.
    pub p2p_completion_redirect: bool,
    /// Forwards requests that the root complex sent back down.
    pub upstream_forwarding: bool,
    /// Decides for each egress port or function whether peer-to-peer requests may go there.
    pub p2p_egress_control: bool,
    /// Lets peer-to-peer requests pass whose address is translated.
    pub direct_translated_p2p: bool,
    /// ACS Enhanced Capability: control bits 12:7 are there.
    pub enhanced_capability: bool,
    /// Bits of the Egress Control Vector; 0 means 256.
    pub egress_control_vector_size: u8,
}

const _: () = assert!(size_of::<AcsCapabilities>() == 2);

/// The ACS Control register (PCIe 6.2 section 7.7.11.3): what the function does.
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct AcsControl {
    /// Checks that the requester's bus number lies below the port.
    pub source_validation_enable: bool,
    /// Blocks requests whose address claims to be translated.
    pub translation_blocking_enable: bool,
    /// Sends peer-to-peer requests up to the root complex.
    pub p2p_request_redirect_enable: bool,
    /// Sends peer-to-peer completions up to the root complex.
    pub p2p_completion_redirect_enable: bool,
    /// Forwards requests that the root complex sent back down.
    pub upstream_forwarding_enable: bool,
    /// Decides for each egress port or function whether peer-to-peer requests may go there.
    pub p2p_egress_control_enable: bool,
    /// Lets peer-to-peer requests pass whose address is translated.
    pub direct_translated_p2p_enable: bool,
    #[bits(9)]
    _reserved: u16,
}

const _: () = assert!(size_of::<AcsControl>() == 2);

register_block! {
    /// The ACS extended capability. The composer gives the capability bits and narrows the control bits to them.
    pub ACS: AcsReg = "acs" {
        title: "Access Control Services extended capability",
        section: "PCIe 6.2 section 7.7.11",
        bytes: 0x0c,
    }
    0x00 header: u32 as ExtendedCapabilityHeader = 0x0001_000d, "PCIe 6.2 section 7.7.11.1" {
        ro: [capability_id, capability_version, next_offset],
    }
    0x04 capabilities: u16 as AcsCapabilities = DEFAULT_ACS_CAP_MASK as u32, "PCIe 6.2 section 7.7.11.2" {
        hwinit: [
            source_validation, translation_blocking, p2p_request_redirect, p2p_completion_redirect,
            upstream_forwarding, p2p_egress_control, direct_translated_p2p, enhanced_capability,
            egress_control_vector_size,
        ],
    }
    0x06 control: u16 as AcsControl = 0, "PCIe 6.2 section 7.7.11.3" {
        rw: [
            source_validation_enable, translation_blocking_enable, p2p_request_redirect_enable,
            p2p_completion_redirect_enable, upstream_forwarding_enable, p2p_egress_control_enable,
            direct_translated_p2p_enable,
        ],
    }
    0x08 egress_control_vector: u32 as () = 0, "PCIe 6.2 section 7.7.11.4" { ro: [value[31:0]] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::RegisterFile;

    #[test]
    fn control_holds_the_seven_services() {
        let acs = RegisterFile::new(AcsReg::Header);
        assert_eq!(
            [acs.read(0), acs.read(4), acs.read(8)],
            [0x0001_000d, 0x5f, 0]
        );
        for offset in [0, 4, 8] {
            acs.write(offset, u32::MAX, u32::MAX);
        }
        assert_eq!(
            [acs.read(0), acs.read(4), acs.read(8)],
            [0x0001_000d, 0x007f_005f, 0]
        );
    }

    #[test]
    fn capability_and_control_bits_lie_where_linux_expects_them() {
        for (capability, control, bits) in [
            (
                // PCI_ACS_SV
                AcsCapabilities::new().with_source_validation(true),
                AcsControl::new().with_source_validation_enable(true),
                0x0001,
            ),
            (
                // PCI_ACS_TB
                AcsCapabilities::new().with_translation_blocking(true),
                AcsControl::new().with_translation_blocking_enable(true),
                0x0002,
            ),
            (
                // PCI_ACS_RR
                AcsCapabilities::new().with_p2p_request_redirect(true),
                AcsControl::new().with_p2p_request_redirect_enable(true),
                0x0004,
            ),
            (
                // PCI_ACS_CR
                AcsCapabilities::new().with_p2p_completion_redirect(true),
                AcsControl::new().with_p2p_completion_redirect_enable(true),
                0x0008,
            ),
            (
                // PCI_ACS_UF
                AcsCapabilities::new().with_upstream_forwarding(true),
                AcsControl::new().with_upstream_forwarding_enable(true),
                0x0010,
            ),
            (
                // PCI_ACS_EC
                AcsCapabilities::new().with_p2p_egress_control(true),
                AcsControl::new().with_p2p_egress_control_enable(true),
                0x0020,
            ),
            (
                // PCI_ACS_DT
                AcsCapabilities::new().with_direct_translated_p2p(true),
                AcsControl::new().with_direct_translated_p2p_enable(true),
                0x0040,
            ),
        ] {
            assert_eq!(capability.into_bits(), bits, "{capability:?}");
            assert_eq!(control.into_bits(), bits, "{control:?}");
        }
        let default = AcsCapabilities::from_bits(DEFAULT_ACS_CAP_MASK);
        assert!(!default.p2p_egress_control());
        assert!(default.direct_translated_p2p());
    }
}
