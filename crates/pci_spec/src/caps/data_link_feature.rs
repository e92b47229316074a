//! Data Link Feature (PCIe 6.2 section 7.7.4): what the two ends of a link tell each other of their data link layers. Every
//! port that can do 16.0 GT/s has it.
//!
//! Not emulated: the exchange. The other side is shown as the composer says it is.

use super::ExtendedCapabilityHeader;
use bitfield_struct::bitfield;
use inspect::Inspect;
use reg_table::register_block;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// Data Link Feature Capabilities (PCIe 6.2 section 7.7.4.2).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct DataLinkFeatureCapabilities {
    /// This side supports scaled flow control.
    pub local_scaled_flow_control_supported: bool,
    /// Further features of this side.
    #[bits(22)]
    pub local_further_features_supported: u32,
    #[bits(8)]
    _reserved: u32,
    /// Features are exchanged when the link comes up.
    pub data_link_feature_exchange_enable: bool,
}

const _: () = assert!(size_of::<DataLinkFeatureCapabilities>() == 4);

/// Data Link Feature Status (PCIe 6.2 section 7.7.4.3).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct DataLinkFeatureStatus {
    /// The other side supports scaled flow control.
    pub remote_scaled_flow_control_supported: bool,
    /// Further features of the other side.
    #[bits(22)]
    pub remote_further_features_supported: u32,
    #[bits(8)]
    _reserved: u32,
    /// The other side told its features.
    pub remote_data_link_feature_supported_valid: bool,
}

const _: () = assert!(size_of::<DataLinkFeatureStatus>() == 4);

register_block! {
    /// The Data Link Feature extended capability.
    pub DATA_LINK_FEATURE: DataLinkFeatureReg = "data_link_feature" {
        title: "Data Link Feature extended capability",
        section: "PCIe 6.2 section 7.7.4",
        bytes: 0x0c,
    }
    0x00 header: u32 as ExtendedCapabilityHeader = 0x0001_0025, "PCIe 6.2 section 7.7.4.1" {
        ro: [capability_id, capability_version, next_offset],
    }
    0x04 capabilities: u32 as DataLinkFeatureCapabilities = 0x8000_0001, "PCIe 6.2 section 7.7.4.2" {
        hwinit: [
            local_scaled_flow_control_supported, local_further_features_supported, data_link_feature_exchange_enable,
        ],
    }
    0x08 status: u32 as DataLinkFeatureStatus = 0, "PCIe 6.2 section 7.7.4.3" {
        live: [
            remote_scaled_flow_control_supported, remote_further_features_supported,
            remote_data_link_feature_supported_valid,
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::BlockRegister;

    #[test]
    fn bits_lie_where_linux_and_the_specification_put_them() {
        assert_eq!(DataLinkFeatureReg::Header.register().reset & 0xffff, 0x25); // PCI_EXT_CAP_ID_DLF
        assert_eq!(DataLinkFeatureReg::Capabilities.register().offset, 0x04); // PCI_DLF_CAP
        let exchange =
            DataLinkFeatureCapabilities::new().with_data_link_feature_exchange_enable(true);
        assert_eq!(exchange.into_bits(), 0x8000_0000); // PCI_DLF_EXCHANGE_ENABLE
        assert_eq!(DataLinkFeatureReg::Status.register().offset, 0x08);
        let status = DataLinkFeatureStatus::new()
            .with_remote_scaled_flow_control_supported(true)
            .with_remote_data_link_feature_supported_valid(true);
        assert_eq!(status.into_bits(), 0x8000_0001);
    }
}
