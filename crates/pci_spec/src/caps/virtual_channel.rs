//! Virtual Channel (PCIe 6.2 section 7.9.1) of a port that has but the default channel, VC0: all traffic classes share it.
//!
//! Not emulated: other channels, and arbitration, which one channel does not need.

use super::ExtendedCapabilityHeader;
use bitfield_struct::bitfield;
use inspect::Inspect;
use reg_table::register_block;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// Port VC Capability 1 (PCIe 6.2 section 7.9.1.2).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct PortVcCapability1 {
    /// Channels beside VC0.
    #[bits(3)]
    pub extended_vc_count: u8,
    #[bits(1)]
    _reserved: u32,
    /// Those of them that belong to the low-priority group.
    #[bits(3)]
    pub low_priority_extended_vc_count: u8,
    #[bits(1)]
    _reserved2: u32,
    /// Clock of time-based arbitration.
    #[bits(2)]
    pub reference_clock: u8,
    /// Bits of an entry of the port arbitration table, encoded.
    #[bits(2)]
    pub port_arbitration_table_entry_size: u8,
    #[bits(20)]
    _reserved3: u32,
}

const _: () = assert!(size_of::<PortVcCapability1>() == 4);

/// VC Resource Control (PCIe 6.2 section 7.9.1.8).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct VcResourceControl {
    /// Traffic classes that use the channel, a bit each. TC0 always uses VC0.
    pub tc_vc_map: u8,
    #[bits(8)]
    _reserved: u32,
    /// Loads the port arbitration table.
    pub load_port_arbitration_table: bool,
    /// Selects the arbitration.
    #[bits(3)]
    pub port_arbitration_select: u8,
    #[bits(4)]
    _reserved2: u32,
    /// Number of the channel.
    #[bits(3)]
    pub vc_id: u8,
    #[bits(4)]
    _reserved3: u32,
    /// The channel is in use; VC0 always is.
    pub vc_enable: bool,
}

const _: () = assert!(size_of::<VcResourceControl>() == 4);

/// VC Resource Status (PCIe 6.2 section 7.9.1.9).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct VcResourceStatus {
    /// Port Arbitration Table Status.
    pub port_arbitration_table_status: bool,
    /// The channel's flow control is not up yet.
    pub vc_negotiation_pending: bool,
    #[bits(14)]
    _reserved: u16,
}

const _: () = assert!(size_of::<VcResourceStatus>() == 2);

register_block! {
    /// The Virtual Channel extended capability with VC0 only.
    pub VIRTUAL_CHANNEL: VirtualChannelReg = "virtual_channel" {
        title: "Virtual Channel extended capability (VC0)",
        section: "PCIe 6.2 section 7.9.1",
        bytes: 0x1c,
    }
    0x00 header: u32 as ExtendedCapabilityHeader = 0x0001_0002, "PCIe 6.2 section 7.9.1.1" {
        ro: [capability_id, capability_version, next_offset],
    }
    0x04 port_vc_capability_1: u32 as PortVcCapability1 = 0, "PCIe 6.2 section 7.9.1.2" {
        ro: [
            extended_vc_count, low_priority_extended_vc_count, reference_clock, port_arbitration_table_entry_size,
        ],
    }
    0x08 port_vc_capability_2: u32 as () = 0, "PCIe 6.2 section 7.9.1.3" {
        ro: [vc_arbitration_capability[7:0], vc_arbitration_table_offset[31:24]],
    }
    0x0c port_vc_control: u16 as () = 0, "PCIe 6.2 section 7.9.1.4" {
        ro: [load_vc_arbitration_table[0:0], vc_arbitration_select[3:1]],
    }
    0x0e port_vc_status: u16 as () = 0, "PCIe 6.2 section 7.9.1.5" { ro: [vc_arbitration_table_status[0:0]] }
    0x10 vc0_resource_capability: u32 as () = 0, "PCIe 6.2 section 7.9.1.7" {
        ro: [
            port_arbitration_capability[7:0], reject_snoop_transactions[15:15], maximum_time_slots[22:16],
            port_arbitration_table_offset[31:24],
        ],
    }
    0x14 vc0_resource_control: u32 as VcResourceControl = 0x8000_00ff, "PCIe 6.2 section 7.9.1.8" {
        ro: [tc0[0:0], load_port_arbitration_table, port_arbitration_select, vc_id, vc_enable],
        rw_not_flr: [tc_vc_map[7:1]],
    }
    0x18 reserved: u16 as () = 0, "PCIe 6.2 section 7.9.1" {}
    0x1a vc0_resource_status: u16 as VcResourceStatus = 0, "PCIe 6.2 section 7.9.1.9" {
        ro: [port_arbitration_table_status, vc_negotiation_pending],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::BlockRegister;
    use reg_table::RegisterFile;

    #[test]
    fn bits_lie_where_linux_expects_them() {
        use VirtualChannelReg::*;
        for (register, offset) in [
            (PortVcCapability1, 0x04),     // PCI_VC_PORT_CAP1
            (PortVcCapability2, 0x08),     // PCI_VC_PORT_CAP2
            (PortVcControl, 0x0c),         // PCI_VC_PORT_CTRL
            (PortVcStatus, 0x0e),          // PCI_VC_PORT_STATUS
            (Vc0ResourceCapability, 0x10), // PCI_VC_RES_CAP
            (Vc0ResourceControl, 0x14),    // PCI_VC_RES_CTRL
            (Vc0ResourceStatus, 0x1a),     // PCI_VC_RES_STATUS
        ] {
            assert_eq!(register.register().offset, offset, "{register:?}");
        }
        let new = super::PortVcCapability1::new;
        assert_eq!(new().with_extended_vc_count(7).into_bits(), 0x007); // PCI_VC_CAP1_EVCC
        assert_eq!(
            new().with_low_priority_extended_vc_count(7).into_bits(),
            0x070
        ); // PCI_VC_CAP1_LPEVCC
        assert_eq!(
            new().with_port_arbitration_table_entry_size(3).into_bits(),
            0xc00
        ); // PCI_VC_CAP1_ARB_SIZE
        let new = VcResourceControl::new;
        for (control, bits) in [
            (new().with_load_port_arbitration_table(true), 0x0001_0000), // PCI_VC_RES_CTRL_LOAD_TABLE
            (new().with_port_arbitration_select(7), 0x000e_0000), // PCI_VC_RES_CTRL_ARB_SELECT
            (new().with_vc_id(7), 0x0700_0000),                   // PCI_VC_RES_CTRL_ID
            (new().with_vc_enable(true), 0x8000_0000),            // PCI_VC_RES_CTRL_ENABLE
        ] {
            assert_eq!(control.into_bits(), bits, "{control:?}");
        }
        let pending = VcResourceStatus::new().with_vc_negotiation_pending(true);
        assert_eq!(pending.into_bits(), 0x0002); // PCI_VC_RES_STATUS_NEGO
    }

    #[test]
    fn tc0_stays_on_vc0() {
        let vc = RegisterFile::new(VirtualChannelReg::Header);
        vc.write(0x14, 0, u32::MAX);
        assert_eq!(vc.read(0x14), 0x8000_0001);
    }
}
