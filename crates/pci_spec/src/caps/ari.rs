//! Alternative Routing-ID Interpretation (PCIe 6.2 section 7.8.8): a device with up to 256 functions, numbered in the
//! bits that otherwise hold the device number.
//!
//! Not emulated: function groups, unless the composer offers them; then the register holds what software writes.

use super::ExtendedCapabilityHeader;
use bitfield_struct::bitfield;
use inspect::Inspect;
use reg_table::register_block;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// The ARI Capability register (PCIe 6.2 section 7.8.8.2).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct AriCapability {
    /// Function groups arbitrate in the multi-function virtual channel; function 0 only.
    pub mfvc_function_groups: bool,
    /// ACS egress control works on function groups; function 0 only.
    pub acs_function_groups: bool,
    #[bits(6)]
    _reserved: u16,
    /// Number of the next higher function of the device; 0 ends the list.
    pub next_function_number: u8,
}

const _: () = assert!(size_of::<AriCapability>() == 2);

/// The ARI Control register (PCIe 6.2 section 7.8.8.3).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct AriControl {
    /// Arbitrates by function group.
    pub mfvc_function_groups_enable: bool,
    /// Applies ACS egress control by function group.
    pub acs_function_groups_enable: bool,
    #[bits(2)]
    _reserved: u16,
    /// Group of this function.
    #[bits(3)]
    pub function_group: u16,
    #[bits(9)]
    _reserved2: u16,
}

const _: () = assert!(size_of::<AriControl>() == 2);

register_block! {
    /// The ARI extended capability. The composer gives the next function's number, and narrows the control bits to
    /// the function groups it offers.
    pub ARI: AriReg = "ari" {
        title: "Alternative Routing-ID Interpretation extended capability",
        section: "PCIe 6.2 section 7.8.8",
        bytes: 0x08,
    }
    0x00 header: u32 as ExtendedCapabilityHeader = 0x0001_000e, "PCIe 6.2 section 7.8.8.1" {
        ro: [capability_id, capability_version, next_offset],
    }
    0x04 capability: u16 as AriCapability = 0, "PCIe 6.2 section 7.8.8.2" {
        hwinit: [mfvc_function_groups, acs_function_groups, next_function_number],
    }
    0x06 control: u16 as AriControl = 0, "PCIe 6.2 section 7.8.8.3" {
        rw: [mfvc_function_groups_enable, acs_function_groups_enable, function_group],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::RegisterFile;

    #[test]
    fn shows_the_next_function_and_stores_the_group() {
        let mut ari = RegisterFile::new(AriReg::Header);
        ari.init(
            AriReg::Capability,
            AriCapability::new()
                .with_next_function_number(9)
                .into_bits(),
        );
        ari.write(4, u32::MAX, u32::MAX);
        assert_eq!([ari.read(0), ari.read(4)], [0x0001_000e, 0x0073_0900]);
    }

    #[test]
    fn bits_lie_where_linux_expects_them() {
        for (capability, bits) in [
            (AriCapability::new().with_mfvc_function_groups(true), 0x0001), // PCI_ARI_CAP_MFVC
            (AriCapability::new().with_acs_function_groups(true), 0x0002),  // PCI_ARI_CAP_ACS
            (AriCapability::new().with_next_function_number(0xff), 0xff00), // PCI_ARI_CAP_NFN
        ] {
            assert_eq!(capability.into_bits(), bits, "{capability:?}");
        }
        for (control, bits) in [
            (
                AriControl::new().with_mfvc_function_groups_enable(true),
                0x0001,
            ), // PCI_ARI_CTRL_MFVC
            (
                AriControl::new().with_acs_function_groups_enable(true),
                0x0002,
            ), // PCI_ARI_CTRL_ACS
            (AriControl::new().with_function_group(7), 0x0070), // PCI_ARI_CTRL_FG
        ] {
            assert_eq!(control.into_bits(), bits, "{control:?}");
        }
    }
}
