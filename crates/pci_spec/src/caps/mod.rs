//! Capabilities: the linked lists of register blocks behind the configuration header (PCIe 6.2 section 7.5.1.1.11 and
//! section 7.6).

pub mod acs;
pub mod advanced_features;
pub mod aer;
pub mod ari;
pub mod data_link_feature;
pub mod device_serial_number;
pub mod dpc;
pub mod dvsec;
pub mod event_collector;
pub mod l1_pm_substates;
pub mod lane_margining;
pub mod ltr;
pub mod msi;
pub mod msix;
pub mod pci_express;
pub mod physical_layer;
pub mod power_management;
pub mod ptm;
pub mod resizable_bar;
pub mod secondary_pci_express;
pub mod slot_numbering;
pub mod subsystem_id;
pub mod virtual_channel;

use bitfield_struct::bitfield;
use inspect::Inspect;
use open_enum::open_enum;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// First byte of the PCI Express extended configuration space.
pub const EXT_CAP_START: u16 = 0x100;

/// First byte after it.
pub const EXT_CAP_END: u16 = 0x1000;

/// First byte after the configuration header, where capabilities may start.
pub const COMMON_HEADER_END: u16 = 0x40;

/// What a capability is: the first byte of it.
#[open_enum]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash, Inspect)]
#[inspect(debug)]
#[repr(u8)]
pub enum CapabilityId {
    /// PCI Power Management Interface.
    POWER_MANAGEMENT = 0x01,
    /// Accelerated Graphics Port.
    AGP = 0x02,
    /// Vital Product Data.
    VITAL_PRODUCT_DATA = 0x03,
    /// Slot Identification.
    SLOT_IDENTIFICATION = 0x04,
    /// Message Signaled Interrupts.
    MSI = 0x05,
    /// CompactPCI Hot Swap.
    COMPACT_PCI_HOT_SWAP = 0x06,
    /// PCI-X.
    PCI_X = 0x07,
    /// HyperTransport.
    HYPER_TRANSPORT = 0x08,
    /// Vendor-specific.
    VENDOR_SPECIFIC = 0x09,
    /// Debug Port.
    DEBUG_PORT = 0x0a,
    /// CompactPCI Central Resource Control.
    COMPACT_PCI_CENTRAL_RESOURCE_CONTROL = 0x0b,
    /// Standard Hot-Plug Controller of conventional PCI.
    STANDARD_HOT_PLUG_CONTROLLER = 0x0c,
    /// Subsystem ID and Subsystem Vendor ID of a bridge.
    BRIDGE_SUBSYSTEM_ID = 0x0d,
    /// AGP target bridge.
    AGP_TARGET_BRIDGE = 0x0e,
    /// Secure Device.
    SECURE_DEVICE = 0x0f,
    /// PCI Express.
    PCI_EXPRESS = 0x10,
    /// MSI-X.
    MSIX = 0x11,
    /// SATA Data/Index Configuration.
    SATA = 0x12,
    /// Advanced Features of conventional PCI.
    ADVANCED_FEATURES = 0x13,
    /// Enhanced Allocation.
    ENHANCED_ALLOCATION = 0x14,
}

/// What an extended capability is: bits 15:0 of its header.
#[open_enum]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash, Inspect)]
#[inspect(debug)]
#[repr(u16)]
pub enum ExtendedCapabilityId {
    /// Advanced Error Reporting.
    AER = 0x01,
    /// Virtual Channel.
    VIRTUAL_CHANNEL = 0x02,
    /// Device Serial Number.
    DEVICE_SERIAL_NUMBER = 0x03,
    /// Power Budgeting.
    POWER_BUDGETING = 0x04,
    /// Root Complex Link Declaration.
    ROOT_COMPLEX_LINK_DECLARATION = 0x05,
    /// Root Complex Internal Link Control.
    ROOT_COMPLEX_INTERNAL_LINK_CONTROL = 0x06,
    /// Root Complex Event Collector Endpoint Association.
    ROOT_COMPLEX_EVENT_COLLECTOR = 0x07,
    /// Multi-Function Virtual Channel.
    MULTI_FUNCTION_VIRTUAL_CHANNEL = 0x08,
    /// Virtual Channel, in a function that also has the multi-function one.
    VIRTUAL_CHANNEL_WITH_MFVC = 0x09,
    /// Root Complex Register Block header.
    RCRB = 0x0a,
    /// Vendor-specific.
    VENDOR_SPECIFIC = 0x0b,
    /// Configuration Access Correlation; obsolete.
    CONFIGURATION_ACCESS_CORRELATION = 0x0c,
    /// Access Control Services.
    ACS = 0x0d,
    /// Alternative Routing-ID Interpretation.
    ARI = 0x0e,
    /// Address Translation Services.
    ATS = 0x0f,
    /// Single Root I/O Virtualization.
    SRIOV = 0x10,
    /// Multi-Root I/O Virtualization.
    MRIOV = 0x11,
    /// Multicast.
    MULTICAST = 0x12,
    /// Page Request Interface.
    PRI = 0x13,
    /// Reserved for AMD.
    AMD = 0x14,
    /// Resizable BAR.
    REBAR = 0x15,
    /// Dynamic Power Allocation.
    DYNAMIC_POWER_ALLOCATION = 0x16,
    /// TPH Requester.
    TPH_REQUESTER = 0x17,
    /// Latency Tolerance Reporting.
    LTR = 0x18,
    /// Secondary PCI Express.
    SECONDARY_PCI_EXPRESS = 0x19,
    /// Protocol Multiplexing.
    PROTOCOL_MULTIPLEXING = 0x1a,
    /// Process Address Space ID.
    PASID = 0x1b,
    /// Downstream Port Containment.
    DPC = 0x1d,
    /// L1 PM Substates.
    L1_PM_SUBSTATES = 0x1e,
    /// Precision Time Measurement.
    PTM = 0x1f,
    /// Designated Vendor-Specific.
    DVSEC = 0x23,
    /// Data Link Feature.
    DATA_LINK_FEATURE = 0x25,
    /// Physical Layer 16.0 GT/s.
    PHYSICAL_LAYER_16_0_GTS = 0x26,
    /// Lane Margining at the Receiver.
    LANE_MARGINING = 0x27,
    /// Physical Layer 32.0 GT/s.
    PHYSICAL_LAYER_32_0_GTS = 0x2a,
    /// Data Object Exchange.
    DOE = 0x2e,
    /// Physical Layer 64.0 GT/s.
    PHYSICAL_LAYER_64_0_GTS = 0x31,
}

/// The first dword of every extended capability (PCIe 6.2 section 7.6.3).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct ExtendedCapabilityHeader {
    /// [`ExtendedCapabilityId`] as a number.
    pub capability_id: u16,
    /// Version of the block's layout.
    #[bits(4)]
    pub capability_version: u8,
    /// Offset of the next extended capability in configuration space; 0 ends the list.
    #[bits(12)]
    pub next_offset: u16,
}

const _: () = assert!(size_of::<ExtendedCapabilityHeader>() == 4);

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::format;

    #[test]
    fn ids_print_their_names() {
        assert_eq!(format!("{:?}", CapabilityId(0x10)), "PCI_EXPRESS");
        assert_eq!(format!("{:?}", CapabilityId(0x42)), "CapabilityId(66)");
        assert_eq!(format!("{:?}", ExtendedCapabilityId(0x23)), "DVSEC");
        assert_eq!(
            format!("{:?}", ExtendedCapabilityId(0x1c)),
            "ExtendedCapabilityId(28)"
        );
    }

    #[test]
    fn an_extended_header_is_laid_out_as_linux_expects_it() {
        // PCI_EXT_CAP_ID 0x0000ffff, PCI_EXT_CAP_VER (>> 16) & 0xf, PCI_EXT_CAP_NEXT (>> 20) & 0xffc.
        let header = ExtendedCapabilityHeader::from_bits(0x1481_000d);
        assert_eq!(
            ExtendedCapabilityId(header.capability_id()),
            ExtendedCapabilityId::ACS
        );
        assert_eq!(header.capability_version(), 1);
        assert_eq!(header.next_offset(), 0x148);
    }
}
