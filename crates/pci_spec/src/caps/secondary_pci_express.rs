//! Secondary PCI Express (PCIe 6.2 section 7.7.3): equalization of a link at 8.0 GT/s, lane by lane. Every port that can do
//! 8.0 GT/s has it.
//!
//! Not emulated: equalization itself, and lane errors.

use super::ExtendedCapabilityHeader;
use bitfield_struct::bitfield;
use inspect::Inspect;
use reg_table::register_block;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// Link Control 3 (PCIe 6.2 section 7.7.3.2).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct LinkControl3 {
    /// The next retraining equalizes; downstream ports only.
    pub perform_equalization: bool,
    /// Interrupts when the other side asks for equalization; downstream ports only.
    pub link_equalization_request_interrupt_enable: bool,
    #[bits(7)]
    _reserved: u32,
    /// Speeds at which SKP ordered sets are sent at the lower rate, as in the supported link speeds vector.
    #[bits(7)]
    pub enable_lower_skp_os_generation_vector: u8,
    #[bits(16)]
    _reserved2: u32,
}

const _: () = assert!(size_of::<LinkControl3>() == 4);

/// Lane Equalization Control of one lane (PCIe 6.2 section 7.7.3.4).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct LaneEqualizationControl8Gt {
    /// Transmitter preset of the downstream port.
    #[bits(4)]
    pub downstream_port_transmitter_preset: u8,
    /// Receiver preset hint of the downstream port.
    #[bits(3)]
    pub downstream_port_receiver_preset_hint: u8,
    #[bits(1)]
    _reserved: u16,
    /// Transmitter preset of the upstream port.
    #[bits(4)]
    pub upstream_port_transmitter_preset: u8,
    /// Receiver preset hint of the upstream port.
    #[bits(3)]
    pub upstream_port_receiver_preset_hint: u8,
    #[bits(1)]
    _reserved2: u16,
}

const _: () = assert!(size_of::<LaneEqualizationControl8Gt>() == 2);

register_block! {
    /// The Secondary PCI Express extended capability of a link of up to 16 lanes. The composer gives the presets of the
    /// lanes that are there, and takes away what the side of the link does not have.
    pub SECONDARY_PCI_EXPRESS: SecondaryPciExpressReg = "secondary_pci_express" {
        title: "Secondary PCI Express extended capability",
        section: "PCIe 6.2 section 7.7.3",
        bytes: 0x2c,
    }
    0x00 header: u32 as ExtendedCapabilityHeader = 0x0001_0019, "PCIe 6.2 section 7.7.3.1" {
        ro: [capability_id, capability_version, next_offset],
    }
    0x04 link_control_3: u32 as LinkControl3 = 0, "PCIe 6.2 section 7.7.3.2" {
        rw_not_flr: [
            perform_equalization, link_equalization_request_interrupt_enable, enable_lower_skp_os_generation_vector,
        ],
    }
    0x08 lane_error_status: u32 as () = 0, "PCIe 6.2 section 7.7.3.3" { rw1cs: [lanes[15:0]] }
    0x0c lane_0: u16 as LaneEqualizationControl8Gt = 0, "PCIe 6.2 section 7.7.3.4" { hwinit: [downstream_port_transmitter_preset, downstream_port_receiver_preset_hint, upstream_port_transmitter_preset, upstream_port_receiver_preset_hint] }
    0x0e lane_1: u16 as LaneEqualizationControl8Gt = 0, "PCIe 6.2 section 7.7.3.4" { hwinit: [downstream_port_transmitter_preset, downstream_port_receiver_preset_hint, upstream_port_transmitter_preset, upstream_port_receiver_preset_hint] }
    0x10 lane_2: u16 as LaneEqualizationControl8Gt = 0, "PCIe 6.2 section 7.7.3.4" { hwinit: [downstream_port_transmitter_preset, downstream_port_receiver_preset_hint, upstream_port_transmitter_preset, upstream_port_receiver_preset_hint] }
    0x12 lane_3: u16 as LaneEqualizationControl8Gt = 0, "PCIe 6.2 section 7.7.3.4" { hwinit: [downstream_port_transmitter_preset, downstream_port_receiver_preset_hint, upstream_port_transmitter_preset, upstream_port_receiver_preset_hint] }
    0x14 lane_4: u16 as LaneEqualizationControl8Gt = 0, "PCIe 6.2 section 7.7.3.4" { hwinit: [downstream_port_transmitter_preset, downstream_port_receiver_preset_hint, upstream_port_transmitter_preset, upstream_port_receiver_preset_hint] }
    0x16 lane_5: u16 as LaneEqualizationControl8Gt = 0, "PCIe 6.2 section 7.7.3.4" { hwinit: [downstream_port_transmitter_preset, downstream_port_receiver_preset_hint, upstream_port_transmitter_preset, upstream_port_receiver_preset_hint] }
    0x18 lane_6: u16 as LaneEqualizationControl8Gt = 0, "PCIe 6.2 section 7.7.3.4" { hwinit: [downstream_port_transmitter_preset, downstream_port_receiver_preset_hint, upstream_port_transmitter_preset, upstream_port_receiver_preset_hint] }
    0x1a lane_7: u16 as LaneEqualizationControl8Gt = 0, "PCIe 6.2 section 7.7.3.4" { hwinit: [downstream_port_transmitter_preset, downstream_port_receiver_preset_hint, upstream_port_transmitter_preset, upstream_port_receiver_preset_hint] }
    0x1c lane_8: u16 as LaneEqualizationControl8Gt = 0, "PCIe 6.2 section 7.7.3.4" { hwinit: [downstream_port_transmitter_preset, downstream_port_receiver_preset_hint, upstream_port_transmitter_preset, upstream_port_receiver_preset_hint] }
    0x1e lane_9: u16 as LaneEqualizationControl8Gt = 0, "PCIe 6.2 section 7.7.3.4" { hwinit: [downstream_port_transmitter_preset, downstream_port_receiver_preset_hint, upstream_port_transmitter_preset, upstream_port_receiver_preset_hint] }
    0x20 lane_10: u16 as LaneEqualizationControl8Gt = 0, "PCIe 6.2 section 7.7.3.4" { hwinit: [downstream_port_transmitter_preset, downstream_port_receiver_preset_hint, upstream_port_transmitter_preset, upstream_port_receiver_preset_hint] }
    0x22 lane_11: u16 as LaneEqualizationControl8Gt = 0, "PCIe 6.2 section 7.7.3.4" { hwinit: [downstream_port_transmitter_preset, downstream_port_receiver_preset_hint, upstream_port_transmitter_preset, upstream_port_receiver_preset_hint] }
    0x24 lane_12: u16 as LaneEqualizationControl8Gt = 0, "PCIe 6.2 section 7.7.3.4" { hwinit: [downstream_port_transmitter_preset, downstream_port_receiver_preset_hint, upstream_port_transmitter_preset, upstream_port_receiver_preset_hint] }
    0x26 lane_13: u16 as LaneEqualizationControl8Gt = 0, "PCIe 6.2 section 7.7.3.4" { hwinit: [downstream_port_transmitter_preset, downstream_port_receiver_preset_hint, upstream_port_transmitter_preset, upstream_port_receiver_preset_hint] }
    0x28 lane_14: u16 as LaneEqualizationControl8Gt = 0, "PCIe 6.2 section 7.7.3.4" { hwinit: [downstream_port_transmitter_preset, downstream_port_receiver_preset_hint, upstream_port_transmitter_preset, upstream_port_receiver_preset_hint] }
    0x2a lane_15: u16 as LaneEqualizationControl8Gt = 0, "PCIe 6.2 section 7.7.3.4" { hwinit: [downstream_port_transmitter_preset, downstream_port_receiver_preset_hint, upstream_port_transmitter_preset, upstream_port_receiver_preset_hint] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::BlockRegister;

    #[test]
    fn registers_lie_where_linux_and_the_specification_put_them() {
        assert_eq!(
            SecondaryPciExpressReg::Header.register().reset & 0xffff,
            0x19
        ); // PCI_EXT_CAP_ID_SECPCI
        assert_eq!(SecondaryPciExpressReg::LinkControl3.register().offset, 0x04);
        assert_eq!(
            SecondaryPciExpressReg::LaneErrorStatus.register().offset,
            0x08
        );
        assert_eq!(SecondaryPciExpressReg::Lane0.register().offset, 0x0c);
        assert_eq!(SecondaryPciExpressReg::Lane15.register().offset, 0x2a);
        let new = LinkControl3::new;
        assert_eq!(new().with_perform_equalization(true).into_bits(), 0x0001);
        assert_eq!(
            new()
                .with_enable_lower_skp_os_generation_vector(0x7f)
                .into_bits(),
            0xfe00
        );
        let new = LaneEqualizationControl8Gt::new;
        assert_eq!(
            new()
                .with_downstream_port_transmitter_preset(15)
                .into_bits(),
            0x000f
        );
        assert_eq!(
            new()
                .with_downstream_port_receiver_preset_hint(7)
                .into_bits(),
            0x0070
        );
        assert_eq!(
            new().with_upstream_port_transmitter_preset(15).into_bits(),
            0x0f00
        );
        assert_eq!(
            new().with_upstream_port_receiver_preset_hint(7).into_bits(),
            0x7000
        );
    }
}
