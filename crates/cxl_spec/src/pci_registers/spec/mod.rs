//! The registers of CXL's DVSECs.

pub mod cxl_device_dvsec;
pub mod cxl_port_dvsec;
pub mod flex_bus_port_dvsec;
pub mod register_locator_dvsec;

use pci_spec::caps::ExtendedCapabilityHeader;
use pci_spec::caps::ExtendedCapabilityId;
use pci_spec::caps::dvsec::DvsecHeader1;

/// Vendor ID that CXL's DVSECs carry.
pub const CXL_DVSEC_VENDOR_ID: u16 = 0x1e98;

/// The first dword of every DVSEC, before it is chained.
const EXTENDED_HEADER: u32 = ExtendedCapabilityHeader::new()
    .with_capability_id(ExtendedCapabilityId::DVSEC.0)
    .with_capability_version(1)
    .into_bits();

/// The second dword of a CXL DVSEC.
pub(super) const fn header_1(revision: u8, length: u16) -> u32 {
    DvsecHeader1::new()
        .with_dvsec_vendor_id(CXL_DVSEC_VENDOR_ID)
        .with_dvsec_revision(revision)
        .with_dvsec_length(length)
        .into_bits()
}
