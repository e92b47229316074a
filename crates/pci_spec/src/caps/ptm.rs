//! Precision Time Measurement (PCIe 6.2 section 7.9.15): one clock for the whole hierarchy.
//!
//! Not emulated: the dialogs that carry the time.

use super::ExtendedCapabilityHeader;
use bitfield_struct::bitfield;
use inspect::Inspect;
use reg_table::register_block;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// The PTM Capability register (PCIe 6.2 section 7.9.15.2).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct PtmCapability {
    /// Asks for the time.
    pub requester_capable: bool,
    /// Answers requests.
    pub responder_capable: bool,
    /// Can be the source of the time.
    pub root_capable: bool,
    /// Enhanced PTM.
    pub eptm_capable: bool,
    #[bits(4)]
    _reserved: u32,
    /// Period of the local clock in nanoseconds; 0: there is none; 255: longer than 254.
    pub local_clock_granularity: u8,
    #[bits(16)]
    _reserved2: u32,
}

const _: () = assert!(size_of::<PtmCapability>() == 4);

/// The PTM Control register (PCIe 6.2 section 7.9.15.3).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct PtmControl {
    /// Takes part.
    pub ptm_enable: bool,
    /// Is the source of the time.
    pub root_select: bool,
    #[bits(6)]
    _reserved: u32,
    /// Granularity of the time that a requester gets, in nanoseconds, for its driver.
    pub effective_granularity: u8,
    #[bits(16)]
    _reserved2: u32,
}

const _: () = assert!(size_of::<PtmControl>() == 4);

register_block! {
    /// The PTM extended capability. The composer gives the roles and narrows the control bits to them.
    pub PTM: PtmReg = "ptm" {
        title: "Precision Time Measurement extended capability",
        section: "PCIe 6.2 section 7.9.15",
        bytes: 0x0c,
    }
    0x00 header: u32 as ExtendedCapabilityHeader = 0x0001_001f, "PCIe 6.2 section 7.9.15.1" {
        ro: [capability_id, capability_version, next_offset],
    }
    0x04 capability: u32 as PtmCapability = 0, "PCIe 6.2 section 7.9.15.2" {
        hwinit: [requester_capable, responder_capable, root_capable, eptm_capable, local_clock_granularity],
    }
    0x08 control: u32 as PtmControl = 0, "PCIe 6.2 section 7.9.15.3" {
        rw: [ptm_enable, root_select, effective_granularity],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::BlockRegister;

    #[test]
    fn bits_lie_where_linux_expects_them() {
        assert_eq!(PtmReg::Header.register().reset & 0xffff, 0x1f); // PCI_EXT_CAP_ID_PTM
        assert_eq!(PtmReg::Capability.register().offset, 0x04); // PCI_PTM_CAP
        assert_eq!(PtmReg::Control.register().offset, 0x08); // PCI_PTM_CTRL
        let new = PtmCapability::new;
        assert_eq!(new().with_requester_capable(true).into_bits(), 0x0001); // PCI_PTM_CAP_REQ
        assert_eq!(new().with_root_capable(true).into_bits(), 0x0004); // PCI_PTM_CAP_ROOT
        assert_eq!(new().with_local_clock_granularity(0xff).into_bits(), 0xff00); // PCI_PTM_GRANULARITY_MASK
        let new = PtmControl::new;
        assert_eq!(new().with_ptm_enable(true).into_bits(), 0x0001); // PCI_PTM_CTRL_ENABLE
        assert_eq!(new().with_root_select(true).into_bits(), 0x0002); // PCI_PTM_CTRL_ROOT
    }
}
