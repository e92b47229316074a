//! Resizable BAR (PCIe 6.2 section 7.8.6): software chooses how large up to six BARs are, among the sizes that the function
//! offers.
//!
//! Not emulated: sizes above 128 TiB.

use super::ExtendedCapabilityHeader;
use bitfield_struct::bitfield;
use inspect::Inspect;
use reg_table::register_block;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// BARs that the capability can hold at most.
pub const RESIZABLE_BARS_MAX: usize = 6;

/// The Resizable BAR Capability register (PCIe 6.2 section 7.8.6.2).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct ResizableBarCapability {
    #[bits(4)]
    _reserved: u32,
    /// Sizes that the BAR can have: bit n stands for 1 MiB shifted left by n.
    #[bits(28)]
    #[inspect(hex)]
    pub supported_sizes: u32,
}

const _: () = assert!(size_of::<ResizableBarCapability>() == 4);

/// The Resizable BAR Control register (PCIe 6.2 section 7.8.6.3).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct ResizableBarControl {
    /// Which BAR.
    #[bits(3)]
    pub bar_index: u8,
    #[bits(2)]
    _reserved: u32,
    /// BARs in the capability; in the first control register only.
    #[bits(3)]
    pub number_of_resizable_bars: u8,
    /// The size: 1 MiB shifted left by this.
    #[bits(6)]
    pub bar_size: u8,
    #[bits(2)]
    _reserved2: u32,
    /// Further sizes, from 256 TiB on.
    #[inspect(hex)]
    pub further_supported_sizes: u16,
}

const _: () = assert!(size_of::<ResizableBarControl>() == 4);

register_block! {
    /// The Resizable BAR extended capability. The composer describes the BARs that are there; the registers of the
    /// others are reserved.
    pub RESIZABLE_BAR: ResizableBarReg = "resizable_bar" {
        title: "Resizable BAR extended capability",
        section: "PCIe 6.2 section 7.8.6",
        bytes: 0x34,
    }
    0x00 header: u32 as ExtendedCapabilityHeader = 0x0001_0015, "PCIe 6.2 section 7.8.6.1" {
        ro: [capability_id, capability_version, next_offset],
    }
    0x04 capability_0: u32 as ResizableBarCapability = 0, "PCIe 6.2 section 7.8.6.2" { hwinit: [supported_sizes] }
    0x08 control_0: u32 as ResizableBarControl = 0, "PCIe 6.2 section 7.8.6.3" {
        hwinit: [bar_index, number_of_resizable_bars, further_supported_sizes],
        rw: [bar_size => Doubling(0x10_0000)],
    }
    0x0c capability_1: u32 as ResizableBarCapability = 0, "PCIe 6.2 section 7.8.6.2" { hwinit: [supported_sizes] }
    0x10 control_1: u32 as ResizableBarControl = 0, "PCIe 6.2 section 7.8.6.3" {
        hwinit: [bar_index, number_of_resizable_bars, further_supported_sizes],
        rw: [bar_size => Doubling(0x10_0000)],
    }
    0x14 capability_2: u32 as ResizableBarCapability = 0, "PCIe 6.2 section 7.8.6.2" { hwinit: [supported_sizes] }
    0x18 control_2: u32 as ResizableBarControl = 0, "PCIe 6.2 section 7.8.6.3" {
        hwinit: [bar_index, number_of_resizable_bars, further_supported_sizes],
        rw: [bar_size => Doubling(0x10_0000)],
    }
    0x1c capability_3: u32 as ResizableBarCapability = 0, "PCIe 6.2 section 7.8.6.2" { hwinit: [supported_sizes] }
    0x20 control_3: u32 as ResizableBarControl = 0, "PCIe 6.2 section 7.8.6.3" {
        hwinit: [bar_index, number_of_resizable_bars, further_supported_sizes],
        rw: [bar_size => Doubling(0x10_0000)],
    }
    0x24 capability_4: u32 as ResizableBarCapability = 0, "PCIe 6.2 section 7.8.6.2" { hwinit: [supported_sizes] }
    0x28 control_4: u32 as ResizableBarControl = 0, "PCIe 6.2 section 7.8.6.3" {
        hwinit: [bar_index, number_of_resizable_bars, further_supported_sizes],
        rw: [bar_size => Doubling(0x10_0000)],
    }
    0x2c capability_5: u32 as ResizableBarCapability = 0, "PCIe 6.2 section 7.8.6.2" { hwinit: [supported_sizes] }
    0x30 control_5: u32 as ResizableBarControl = 0, "PCIe 6.2 section 7.8.6.3" {
        hwinit: [bar_index, number_of_resizable_bars, further_supported_sizes],
        rw: [bar_size => Doubling(0x10_0000)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::BlockRegister;

    #[test]
    fn bits_lie_where_linux_expects_them() {
        assert_eq!(ResizableBarReg::Header.register().reset & 0xffff, 0x15); // PCI_EXT_CAP_ID_REBAR
        assert_eq!(ResizableBarReg::Capability0.register().offset, 4); // PCI_REBAR_CAP
        assert_eq!(ResizableBarReg::Control0.register().offset, 8); // PCI_REBAR_CTRL
        assert_eq!(ResizableBarReg::Control5.register().offset, 8 + 5 * 8);
        // PCI_REBAR_CAP_SIZES is 0x00fffff0; later revisions of PCI Express use all bits above.
        let sizes = ResizableBarCapability::new().with_supported_sizes(0xf_ffff);
        assert_eq!(sizes.into_bits(), 0x00ff_fff0);
        let new = ResizableBarControl::new;
        assert_eq!(new().with_bar_index(7).into_bits(), 0x0000_0007); // PCI_REBAR_CTRL_BAR_IDX
        assert_eq!(
            new().with_number_of_resizable_bars(7).into_bits(),
            0x0000_00e0
        ); // PCI_REBAR_CTRL_NBAR_MASK
        // PCI_REBAR_CTRL_BAR_SIZE is 0x1f00; later revisions use one bit more.
        assert_eq!(new().with_bar_size(0x1f).into_bits(), 0x0000_1f00);
    }
}
