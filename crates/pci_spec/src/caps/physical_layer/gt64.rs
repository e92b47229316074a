//! Physical Layer 64.0 GT/s (PCIe 6.2 section 7.7.7): equalization of a link at 64.0 GT/s. Every port that can do 64.0 GT/s
//! has it.
//!
//! Not emulated: equalization itself.

use super::LaneEqualizationControl;
use crate::caps::ExtendedCapabilityHeader;
use bitfield_struct::bitfield;
use inspect::Inspect;
use reg_table::register_block;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// 64.0 GT/s Status (PCIe 6.2 section 7.7.7.4).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct Status64Gt {
    /// Equalization is through.
    pub equalization_complete: bool,
    /// Its phase 1 succeeded.
    pub equalization_phase_1_successful: bool,
    /// Its phase 2 succeeded.
    pub equalization_phase_2_successful: bool,
    /// Its phase 3 succeeded.
    pub equalization_phase_3_successful: bool,
    /// The other side asks for equalization.
    pub link_equalization_request: bool,
    /// The transmitter precodes.
    pub transmitter_precoding_on: bool,
    /// This side asks the other to precode.
    pub transmitter_precode_request: bool,
    /// The other side can do without equalization.
    pub no_equalization_needed_received: bool,
    #[bits(24)]
    _reserved: u32,
}

const _: () = assert!(size_of::<Status64Gt>() == 4);

register_block! {
    /// The Physical Layer 64.0 GT/s extended capability of a link of up to 16 lanes. The composer gives the presets of
    /// the lanes that are there, and how equalization went.
    pub PHYSICAL_LAYER_64GT: PhysicalLayer64GtReg = "physical_layer_64gt" {
        title: "Physical Layer 64.0 GT/s extended capability",
        section: "PCIe 6.2 section 7.7.7",
        bytes: 0x30,
    }
    0x00 header: u32 as ExtendedCapabilityHeader = 0x0001_0031, "PCIe 6.2 section 7.7.7.1" {
        ro: [capability_id, capability_version, next_offset],
    }
    0x04 capabilities: u32 as () = 0, "PCIe 6.2 section 7.7.7.2" {}
    0x08 control: u32 as () = 0, "PCIe 6.2 section 7.7.7.3" {}
    0x0c status: u32 as Status64Gt = 0, "PCIe 6.2 section 7.7.7.4" {
        ros: [
            equalization_complete, equalization_phase_1_successful, equalization_phase_2_successful,
            equalization_phase_3_successful,
        ],
        rw1cs: [link_equalization_request],
        ro: [transmitter_precoding_on, transmitter_precode_request, no_equalization_needed_received],
    }
    0x10 reserved_0: u32 as () = 0, "PCIe 6.2 section 7.7.7" {}
    0x14 reserved_1: u32 as () = 0, "PCIe 6.2 section 7.7.7" {}
    0x18 reserved_2: u32 as () = 0, "PCIe 6.2 section 7.7.7" {}
    0x1c reserved_3: u32 as () = 0, "PCIe 6.2 section 7.7.7" {}
    0x20 lane_0: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.7.5" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x21 lane_1: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.7.5" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x22 lane_2: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.7.5" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x23 lane_3: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.7.5" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x24 lane_4: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.7.5" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x25 lane_5: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.7.5" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x26 lane_6: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.7.5" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x27 lane_7: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.7.5" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x28 lane_8: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.7.5" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x29 lane_9: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.7.5" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x2a lane_10: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.7.5" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x2b lane_11: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.7.5" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x2c lane_12: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.7.5" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x2d lane_13: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.7.5" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x2e lane_14: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.7.5" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x2f lane_15: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.7.5" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::BlockRegister;

    /// Kernel headers before 6.16 stop at 16.0 GT/s; later ones have the lanes at PCI_PL_64GT_LE_CTRL, 0x20, as at lower speeds.
    #[test]
    fn bits_lie_where_the_specification_puts_them() {
        assert_eq!(PhysicalLayer64GtReg::Header.register().reset & 0xffff, 0x31);
        assert_eq!(PhysicalLayer64GtReg::Status.register().offset, 0x0c);
        assert_eq!(PhysicalLayer64GtReg::Lane0.register().offset, 0x20);
        assert_eq!(
            Status64Gt::new()
                .with_no_equalization_needed_received(true)
                .into_bits(),
            0x80
        );
    }
}
