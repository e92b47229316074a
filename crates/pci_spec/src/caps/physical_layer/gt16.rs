//! Physical Layer 16.0 GT/s (PCIe 6.2 section 7.7.5): equalization of a link at 16.0 GT/s. Every port that can do 16.0 GT/s
//! has it.
//!
//! Not emulated: equalization itself, and parity mismatches of retimers.

use super::LaneEqualizationControl;
use crate::caps::ExtendedCapabilityHeader;
use bitfield_struct::bitfield;
use inspect::Inspect;
use reg_table::register_block;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// 16.0 GT/s Status (PCIe 6.2 section 7.7.5.4).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct Status16Gt {
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
    #[bits(27)]
    _reserved: u32,
}

const _: () = assert!(size_of::<Status16Gt>() == 4);

register_block! {
    /// The Physical Layer 16.0 GT/s extended capability of a link of up to 16 lanes. The composer gives the presets of
    /// the lanes that are there, and how equalization went.
    pub PHYSICAL_LAYER_16GT: PhysicalLayer16GtReg = "physical_layer_16gt" {
        title: "Physical Layer 16.0 GT/s extended capability",
        section: "PCIe 6.2 section 7.7.5",
        bytes: 0x30,
    }
    0x00 header: u32 as ExtendedCapabilityHeader = 0x0001_0026, "PCIe 6.2 section 7.7.5.1" {
        ro: [capability_id, capability_version, next_offset],
    }
    0x04 capabilities: u32 as () = 0, "PCIe 6.2 section 7.7.5.2" {}
    0x08 control: u32 as () = 0, "PCIe 6.2 section 7.7.5.3" {}
    0x0c status: u32 as Status16Gt = 0, "PCIe 6.2 section 7.7.5.4" {
        ros: [
            equalization_complete, equalization_phase_1_successful, equalization_phase_2_successful,
            equalization_phase_3_successful,
        ],
        rw1cs: [link_equalization_request],
    }
    0x10 local_data_parity_mismatch_status: u32 as () = 0, "PCIe 6.2 section 7.7.5.5" { rw1cs: [lanes[15:0]] }
    0x14 first_retimer_data_parity_mismatch_status: u32 as () = 0, "PCIe 6.2 section 7.7.5.6" { rw1cs: [lanes[15:0]] }
    0x18 second_retimer_data_parity_mismatch_status: u32 as () = 0, "PCIe 6.2 section 7.7.5.7" { rw1cs: [lanes[15:0]] }
    0x1c reserved: u32 as () = 0, "PCIe 6.2 section 7.7.5.8" {}
    0x20 lane_0: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.5.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x21 lane_1: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.5.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x22 lane_2: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.5.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x23 lane_3: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.5.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x24 lane_4: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.5.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x25 lane_5: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.5.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x26 lane_6: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.5.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x27 lane_7: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.5.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x28 lane_8: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.5.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x29 lane_9: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.5.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x2a lane_10: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.5.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x2b lane_11: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.5.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x2c lane_12: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.5.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x2d lane_13: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.5.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x2e lane_14: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.5.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x2f lane_15: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.5.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::BlockRegister;

    #[test]
    fn bits_lie_where_linux_and_the_specification_put_them() {
        assert_eq!(PhysicalLayer16GtReg::Header.register().reset & 0xffff, 0x26); // PCI_EXT_CAP_ID_PL_16GT
        assert_eq!(PhysicalLayer16GtReg::Lane0.register().offset, 0x20); // PCI_PL_16GT_LE_CTRL
        let new = LaneEqualizationControl::new;
        assert_eq!(
            new()
                .with_downstream_port_transmitter_preset(15)
                .into_bits(),
            0x0f
        ); // PCI_PL_16GT_LE_CTRL_DSP_TX_PRESET_MASK
        assert_eq!(
            new().with_upstream_port_transmitter_preset(15).into_bits(),
            0xf0
        ); // PCI_PL_16GT_LE_CTRL_USP_TX_PRESET_MASK
        assert_eq!(PhysicalLayer16GtReg::Status.register().offset, 0x0c);
        let status = Status16Gt::new()
            .with_equalization_complete(true)
            .with_link_equalization_request(true);
        assert_eq!(status.into_bits(), 0x11);
    }
}
