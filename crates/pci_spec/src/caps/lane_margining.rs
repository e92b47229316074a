//! Lane Margining at the Receiver (PCIe 6.2 section 7.7.10): software measures how good the electrical signal is. Every port
//! that can do 16.0 GT/s has it.
//!
//! Not emulated: margining. Margining Ready stays clear, so software may not start, and no lane answers.

use super::ExtendedCapabilityHeader;
use bitfield_struct::bitfield;
use inspect::Inspect;
use reg_table::register_block;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// Margining Port Capabilities (PCIe 6.2 section 7.7.10.2).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct MarginingPortCapabilities {
    /// Margining needs a driver of the device.
    pub margining_uses_driver_software: bool,
    #[bits(15)]
    _reserved: u16,
}

const _: () = assert!(size_of::<MarginingPortCapabilities>() == 2);

/// Margining Port Status (PCIe 6.2 section 7.7.10.3).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct MarginingPortStatus {
    /// Margining commands are answered.
    pub margining_ready: bool,
    /// The device's driver is ready for margining.
    pub margining_software_ready: bool,
    #[bits(14)]
    _reserved: u16,
}

const _: () = assert!(size_of::<MarginingPortStatus>() == 2);

/// Margining Lane Control (PCIe 6.2 section 7.7.10.4).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct MarginingLaneControl {
    /// Which receiver between the two ends; 0: all.
    #[bits(3)]
    pub receiver_number: u8,
    /// The command; 7: none.
    #[bits(3)]
    pub margin_type: u8,
    /// 0: lane margining at the receiver.
    #[bits(1)]
    pub usage_model: u8,
    #[bits(1)]
    _reserved: u16,
    /// The command's argument; 9Ch with no command.
    pub margin_payload: u8,
}

const _: () = assert!(size_of::<MarginingLaneControl>() == 2);

/// Margining Lane Status (PCIe 6.2 section 7.7.10.5).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct MarginingLaneStatus {
    /// The receiver that answers.
    #[bits(3)]
    pub receiver_number_status: u8,
    /// The command that it answers.
    #[bits(3)]
    pub margin_type_status: u8,
    /// Usage model of the answer.
    #[bits(1)]
    pub usage_model_status: u8,
    #[bits(1)]
    _reserved: u16,
    /// The answer.
    pub margin_payload_status: u8,
}

const _: () = assert!(size_of::<MarginingLaneStatus>() == 2);

register_block! {
    /// The Lane Margining at the Receiver extended capability of a link of up to 16 lanes.
    pub LANE_MARGINING: LaneMarginingReg = "lane_margining" {
        title: "Lane Margining at the Receiver extended capability",
        section: "PCIe 6.2 section 7.7.10",
        bytes: 0x48,
    }
    0x00 header: u32 as ExtendedCapabilityHeader = 0x0001_0027, "PCIe 6.2 section 7.7.10.1" {
        ro: [capability_id, capability_version, next_offset],
    }
    0x04 port_capabilities: u16 as MarginingPortCapabilities = 0, "PCIe 6.2 section 7.7.10.2" {
        hwinit: [margining_uses_driver_software],
    }
    0x06 port_status: u16 as MarginingPortStatus = 0, "PCIe 6.2 section 7.7.10.3" {
        ro: [margining_ready, margining_software_ready],
    }
    0x08 lane_0_control: u16 as MarginingLaneControl = 0x9c38, "PCIe 6.2 section 7.7.10.4" { rw_not_flr: [receiver_number, margin_type, usage_model, margin_payload] }
    0x0a lane_0_status: u16 as MarginingLaneStatus = 0, "PCIe 6.2 section 7.7.10.5" { ro: [receiver_number_status, margin_type_status, usage_model_status, margin_payload_status] }
    0x0c lane_1_control: u16 as MarginingLaneControl = 0x9c38, "PCIe 6.2 section 7.7.10.4" { rw_not_flr: [receiver_number, margin_type, usage_model, margin_payload] }
    0x0e lane_1_status: u16 as MarginingLaneStatus = 0, "PCIe 6.2 section 7.7.10.5" { ro: [receiver_number_status, margin_type_status, usage_model_status, margin_payload_status] }
    0x10 lane_2_control: u16 as MarginingLaneControl = 0x9c38, "PCIe 6.2 section 7.7.10.4" { rw_not_flr: [receiver_number, margin_type, usage_model, margin_payload] }
    0x12 lane_2_status: u16 as MarginingLaneStatus = 0, "PCIe 6.2 section 7.7.10.5" { ro: [receiver_number_status, margin_type_status, usage_model_status, margin_payload_status] }
    0x14 lane_3_control: u16 as MarginingLaneControl = 0x9c38, "PCIe 6.2 section 7.7.10.4" { rw_not_flr: [receiver_number, margin_type, usage_model, margin_payload] }
    0x16 lane_3_status: u16 as MarginingLaneStatus = 0, "PCIe 6.2 section 7.7.10.5" { ro: [receiver_number_status, margin_type_status, usage_model_status, margin_payload_status] }
    0x18 lane_4_control: u16 as MarginingLaneControl = 0x9c38, "PCIe 6.2 section 7.7.10.4" { rw_not_flr: [receiver_number, margin_type, usage_model, margin_payload] }
    0x1a lane_4_status: u16 as MarginingLaneStatus = 0, "PCIe 6.2 section 7.7.10.5" { ro: [receiver_number_status, margin_type_status, usage_model_status, margin_payload_status] }
    0x1c lane_5_control: u16 as MarginingLaneControl = 0x9c38, "PCIe 6.2 section 7.7.10.4" { rw_not_flr: [receiver_number, margin_type, usage_model, margin_payload] }
    0x1e lane_5_status: u16 as MarginingLaneStatus = 0, "PCIe 6.2 section 7.7.10.5" { ro: [receiver_number_status, margin_type_status, usage_model_status, margin_payload_status] }
    0x20 lane_6_control: u16 as MarginingLaneControl = 0x9c38, "PCIe 6.2 section 7.7.10.4" { rw_not_flr: [receiver_number, margin_type, usage_model, margin_payload] }
    0x22 lane_6_status: u16 as MarginingLaneStatus = 0, "PCIe 6.2 section 7.7.10.5" { ro: [receiver_number_status, margin_type_status, usage_model_status, margin_payload_status] }
    0x24 lane_7_control: u16 as MarginingLaneControl = 0x9c38, "PCIe 6.2 section 7.7.10.4" { rw_not_flr: [receiver_number, margin_type, usage_model, margin_payload] }
    0x26 lane_7_status: u16 as MarginingLaneStatus = 0, "PCIe 6.2 section 7.7.10.5" { ro: [receiver_number_status, margin_type_status, usage_model_status, margin_payload_status] }
    0x28 lane_8_control: u16 as MarginingLaneControl = 0x9c38, "PCIe 6.2 section 7.7.10.4" { rw_not_flr: [receiver_number, margin_type, usage_model, margin_payload] }
    0x2a lane_8_status: u16 as MarginingLaneStatus = 0, "PCIe 6.2 section 7.7.10.5" { ro: [receiver_number_status, margin_type_status, usage_model_status, margin_payload_status] }
    0x2c lane_9_control: u16 as MarginingLaneControl = 0x9c38, "PCIe 6.2 section 7.7.10.4" { rw_not_flr: [receiver_number, margin_type, usage_model, margin_payload] }
    0x2e lane_9_status: u16 as MarginingLaneStatus = 0, "PCIe 6.2 section 7.7.10.5" { ro: [receiver_number_status, margin_type_status, usage_model_status, margin_payload_status] }
    0x30 lane_10_control: u16 as MarginingLaneControl = 0x9c38, "PCIe 6.2 section 7.7.10.4" { rw_not_flr: [receiver_number, margin_type, usage_model, margin_payload] }
    0x32 lane_10_status: u16 as MarginingLaneStatus = 0, "PCIe 6.2 section 7.7.10.5" { ro: [receiver_number_status, margin_type_status, usage_model_status, margin_payload_status] }
    0x34 lane_11_control: u16 as MarginingLaneControl = 0x9c38, "PCIe 6.2 section 7.7.10.4" { rw_not_flr: [receiver_number, margin_type, usage_model, margin_payload] }
    0x36 lane_11_status: u16 as MarginingLaneStatus = 0, "PCIe 6.2 section 7.7.10.5" { ro: [receiver_number_status, margin_type_status, usage_model_status, margin_payload_status] }
    0x38 lane_12_control: u16 as MarginingLaneControl = 0x9c38, "PCIe 6.2 section 7.7.10.4" { rw_not_flr: [receiver_number, margin_type, usage_model, margin_payload] }
    0x3a lane_12_status: u16 as MarginingLaneStatus = 0, "PCIe 6.2 section 7.7.10.5" { ro: [receiver_number_status, margin_type_status, usage_model_status, margin_payload_status] }
    0x3c lane_13_control: u16 as MarginingLaneControl = 0x9c38, "PCIe 6.2 section 7.7.10.4" { rw_not_flr: [receiver_number, margin_type, usage_model, margin_payload] }
    0x3e lane_13_status: u16 as MarginingLaneStatus = 0, "PCIe 6.2 section 7.7.10.5" { ro: [receiver_number_status, margin_type_status, usage_model_status, margin_payload_status] }
    0x40 lane_14_control: u16 as MarginingLaneControl = 0x9c38, "PCIe 6.2 section 7.7.10.4" { rw_not_flr: [receiver_number, margin_type, usage_model, margin_payload] }
    0x42 lane_14_status: u16 as MarginingLaneStatus = 0, "PCIe 6.2 section 7.7.10.5" { ro: [receiver_number_status, margin_type_status, usage_model_status, margin_payload_status] }
    0x44 lane_15_control: u16 as MarginingLaneControl = 0x9c38, "PCIe 6.2 section 7.7.10.4" { rw_not_flr: [receiver_number, margin_type, usage_model, margin_payload] }
    0x46 lane_15_status: u16 as MarginingLaneStatus = 0, "PCIe 6.2 section 7.7.10.5" { ro: [receiver_number_status, margin_type_status, usage_model_status, margin_payload_status] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::BlockRegister;

    /// The kernel headers of the day do not name these registers; these are PCIe 6.2's own numbers.
    #[test]
    fn bits_lie_where_the_specification_puts_them() {
        assert_eq!(LaneMarginingReg::Header.register().reset & 0xffff, 0x27);
        assert_eq!(LaneMarginingReg::PortStatus.register().offset, 0x06);
        assert_eq!(LaneMarginingReg::Lane0Control.register().offset, 0x08);
        assert_eq!(LaneMarginingReg::Lane15Status.register().offset, 0x46);
        let none = MarginingLaneControl::new()
            .with_margin_type(7)
            .with_margin_payload(0x9c);
        assert_eq!(none.into_bits(), 0x9c38);
        assert_eq!(LaneMarginingReg::Lane0Control.register().reset, 0x9c38);
        assert_eq!(
            MarginingLaneStatus::new()
                .with_margin_type_status(7)
                .into_bits(),
            0x0038
        );
    }
}
