//! Advanced Features (PCIe 6.2 section 7.9.21): function-level reset and Transactions Pending for functions of conventional
//! PCI, integrated ones above all; others have them in the PCI Express capability.

use bitfield_struct::bitfield;
use inspect::Inspect;
use reg_table::register_block;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// The AF Capabilities register (PCIe 6.2 section 7.9.21.2).
#[derive(Inspect)]
#[bitfield(u8)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct AfCapabilities {
    /// Transactions Pending works; set together with function-level reset.
    pub transactions_pending: bool,
    /// The function has function-level reset.
    pub function_level_reset: bool,
    #[bits(6)]
    _reserved: u8,
}

const _: () = assert!(size_of::<AfCapabilities>() == 1);

/// The AF Control register (PCIe 6.2 section 7.9.21.3).
#[derive(Inspect)]
#[bitfield(u8)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct AfControl {
    /// Starts a function-level reset.
    pub initiate_flr: bool,
    #[bits(7)]
    _reserved: u8,
}

const _: () = assert!(size_of::<AfControl>() == 1);

/// The AF Status register (PCIe 6.2 section 7.9.21.4).
#[derive(Inspect)]
#[bitfield(u8)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct AfStatus {
    /// Requests of the function wait for their completions.
    pub transactions_pending: bool,
    #[bits(7)]
    _reserved: u8,
}

const _: () = assert!(size_of::<AfStatus>() == 1);

register_block! {
    /// The Advanced Features capability. Its Length register says 6; the two bytes behind it are not its own.
    pub ADVANCED_FEATURES: AdvancedFeaturesReg = "advanced_features" {
        title: "Advanced Features capability",
        section: "PCIe 6.2 section 7.9.21",
        bytes: 0x08,
    }
    0x00 capability_id: u8 as () = 0x13, "PCIe 6.2 section 7.9.21.1" { ro: [value[7:0]] }
    0x01 next_pointer: u8 as () = 0, "PCIe 6.2 section 7.9.21.1" { ro: [value[7:0]] }
    0x02 length: u8 as () = 6, "PCIe 6.2 section 7.9.21.1" { ro: [value[7:0]] }
    0x03 capabilities: u8 as AfCapabilities = 0x3, "PCIe 6.2 section 7.9.21.2" {
        hwinit: [transactions_pending, function_level_reset],
    }
    0x04 control: u8 as AfControl = 0, "PCIe 6.2 section 7.9.21.3" { strobe: [initiate_flr] }
    0x05 status: u8 as AfStatus = 0, "PCIe 6.2 section 7.9.21.4" { live: [transactions_pending] }
    0x06 reserved: u16 as () = 0, "PCIe 6.2 section 7.9.21" {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::BlockRegister;

    #[test]
    fn bits_lie_where_linux_expects_them() {
        assert_eq!(AdvancedFeaturesReg::CapabilityId.register().reset, 0x13); // PCI_CAP_ID_AF
        assert_eq!(AdvancedFeaturesReg::Length.register().offset, 2); // PCI_AF_LENGTH
        assert_eq!(AdvancedFeaturesReg::Capabilities.register().offset, 3); // PCI_AF_CAP
        assert_eq!(AdvancedFeaturesReg::Control.register().offset, 4); // PCI_AF_CTRL
        assert_eq!(AdvancedFeaturesReg::Status.register().offset, 5); // PCI_AF_STATUS
        let pending = AfCapabilities::new().with_transactions_pending(true);
        assert_eq!(pending.into_bits(), 0x01); // PCI_AF_CAP_TP
        let reset = AfCapabilities::new().with_function_level_reset(true);
        assert_eq!(reset.into_bits(), 0x02); // PCI_AF_CAP_FLR
        let control = AfControl::new().with_initiate_flr(true);
        assert_eq!(control.into_bits(), 0x01); // PCI_AF_CTRL_FLR
        let status = AfStatus::new().with_transactions_pending(true);
        assert_eq!(status.into_bits(), 0x01); // PCI_AF_STATUS_TP
    }
}
