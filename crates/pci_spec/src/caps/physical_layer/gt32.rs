//! Physical Layer 32.0 GT/s (PCIe 6.2 section 7.7.6): equalization of a link at 32.0 GT/s, and modified training sets. Every
//! port that can do 32.0 GT/s has it.
//!
//! Not emulated: equalization itself, alternate protocols.

use super::LaneEqualizationControl;
use crate::caps::ExtendedCapabilityHeader;
use bitfield_struct::bitfield;
use inspect::Inspect;
use reg_table::register_block;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// 32.0 GT/s Capabilities (PCIe 6.2 section 7.7.6.2).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct Capabilities32Gt {
    /// Equalization at lower speeds can be left out.
    pub equalization_bypass_to_highest_rate_supported: bool,
    /// Equalization can be left out altogether.
    pub no_equalization_needed_supported: bool,
    #[bits(6)]
    _reserved: u32,
    /// Modified TS usage mode 0: PCI Express.
    pub modified_ts_usage_mode_0_supported: bool,
    /// Modified TS usage mode 1: training set messages.
    pub modified_ts_usage_mode_1_supported: bool,
    /// Modified TS usage mode 2: alternate protocols.
    pub modified_ts_usage_mode_2_supported: bool,
    #[bits(21)]
    _reserved2: u32,
}

const _: () = assert!(size_of::<Capabilities32Gt>() == 4);

/// 32.0 GT/s Control (PCIe 6.2 section 7.7.6.3).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct Control32Gt {
    /// Equalizes at every speed.
    pub equalization_bypass_to_highest_rate_disable: bool,
    /// Equalizes even if both sides could do without.
    pub no_equalization_needed_disable: bool,
    #[bits(6)]
    _reserved: u32,
    /// Usage mode to ask for.
    #[bits(3)]
    pub modified_ts_usage_mode_selected: u8,
    #[bits(21)]
    _reserved2: u32,
}

const _: () = assert!(size_of::<Control32Gt>() == 4);

/// 32.0 GT/s Status (PCIe 6.2 section 7.7.6.4).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct Status32Gt {
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
    /// Modified training sets came from the other side.
    pub modified_ts_received: bool,
    /// What the other side asked of equalization.
    #[bits(2)]
    pub received_enhanced_link_behavior_control: u8,
    /// The transmitter precodes.
    pub transmitter_precoding_on: bool,
    /// This side asks the other to precode.
    pub transmitter_precode_request: bool,
    /// The other side can do without equalization.
    pub no_equalization_needed_received: bool,
    #[bits(21)]
    _reserved: u32,
}

const _: () = assert!(size_of::<Status32Gt>() == 4);

register_block! {
    /// The Physical Layer 32.0 GT/s extended capability of a link of up to 16 lanes. The composer gives the presets of
    /// the lanes that are there, how equalization went, and narrows the controls to the capabilities.
    pub PHYSICAL_LAYER_32GT: PhysicalLayer32GtReg = "physical_layer_32gt" {
        title: "Physical Layer 32.0 GT/s extended capability",
        section: "PCIe 6.2 section 7.7.6",
        bytes: 0x30,
    }
    0x00 header: u32 as ExtendedCapabilityHeader = 0x0001_002a, "PCIe 6.2 section 7.7.6.1" {
        ro: [capability_id, capability_version, next_offset],
    }
    0x04 capabilities: u32 as Capabilities32Gt = 0x0000_0100, "PCIe 6.2 section 7.7.6.2" {
        hwinit: [
            equalization_bypass_to_highest_rate_supported, no_equalization_needed_supported,
            modified_ts_usage_mode_0_supported, modified_ts_usage_mode_1_supported, modified_ts_usage_mode_2_supported,
        ],
    }
    0x08 control: u32 as Control32Gt = 0, "PCIe 6.2 section 7.7.6.3" {
        rws: [
            equalization_bypass_to_highest_rate_disable, no_equalization_needed_disable, modified_ts_usage_mode_selected,
        ],
    }
    0x0c status: u32 as Status32Gt = 0, "PCIe 6.2 section 7.7.6.4" {
        ros: [
            equalization_complete, equalization_phase_1_successful, equalization_phase_2_successful,
            equalization_phase_3_successful,
        ],
        rw1cs: [link_equalization_request],
        ro: [
            modified_ts_received, received_enhanced_link_behavior_control, transmitter_precoding_on,
            transmitter_precode_request, no_equalization_needed_received,
        ],
    }
    0x10 received_modified_ts_data_1: u32 as () = 0, "PCIe 6.2 section 7.7.6.5" { ro: [value[31:0]] }
    0x14 received_modified_ts_data_2: u32 as () = 0, "PCIe 6.2 section 7.7.6.6" { ro: [value[31:0]] }
    0x18 transmitted_modified_ts_data_1: u32 as () = 0, "PCIe 6.2 section 7.7.6.7" { ro: [value[31:0]] }
    0x1c transmitted_modified_ts_data_2: u32 as () = 0, "PCIe 6.2 section 7.7.6.8" { ro: [value[31:0]] }
    0x20 lane_0: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.6.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x21 lane_1: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.6.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x22 lane_2: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.6.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x23 lane_3: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.6.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x24 lane_4: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.6.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x25 lane_5: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.6.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x26 lane_6: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.6.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x27 lane_7: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.6.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x28 lane_8: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.6.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x29 lane_9: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.6.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x2a lane_10: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.6.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x2b lane_11: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.6.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x2c lane_12: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.6.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x2d lane_13: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.6.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x2e lane_14: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.6.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
    0x2f lane_15: u8 as LaneEqualizationControl = 0, "PCIe 6.2 section 7.7.6.9" { hwinit: [downstream_port_transmitter_preset, upstream_port_transmitter_preset] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::BlockRegister;

    /// The kernel headers of the day stop at 16.0 GT/s; these are PCIe 6.2's own numbers.
    #[test]
    fn bits_lie_where_the_specification_puts_them() {
        assert_eq!(PhysicalLayer32GtReg::Header.register().reset & 0xffff, 0x2a);
        for (register, offset) in [
            (PhysicalLayer32GtReg::Capabilities, 0x04),
            (PhysicalLayer32GtReg::Control, 0x08),
            (PhysicalLayer32GtReg::Status, 0x0c),
            (PhysicalLayer32GtReg::Lane0, 0x20),
        ] {
            assert_eq!(register.register().offset, offset, "{register:?}");
        }
        assert_eq!(
            Capabilities32Gt::new()
                .with_modified_ts_usage_mode_2_supported(true)
                .into_bits(),
            0x400
        );
        assert_eq!(
            Control32Gt::new()
                .with_modified_ts_usage_mode_selected(7)
                .into_bits(),
            0x700
        );
        assert_eq!(
            Status32Gt::new()
                .with_no_equalization_needed_received(true)
                .into_bits(),
            0x400
        );
    }
}
