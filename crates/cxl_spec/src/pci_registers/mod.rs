//! CXL's Designated Vendor-Specific Extended Capabilities (CXL 3.1 section 8.1): [`spec`] has the registers, the types here
//! are the capabilities made of them.

mod cxl_device_dvsec;
mod cxl_port_dvsec;
mod flex_bus_port_dvsec;
mod register_locator_dvsec;
pub mod spec;

pub use cxl_device_dvsec::CxlDeviceDevsecExtendedCapability;
pub use cxl_device_dvsec::CxlMemoryConfigError;
pub use cxl_device_dvsec::CxlMemoryRange;
pub use cxl_port_dvsec::CxlPortDvsecExtendedCapability;
pub use flex_bus_port_dvsec::CxlFlexBusPortDvsecExtendedCapability;
pub use register_locator_dvsec::CxlRegisterLocatorDvsecExtendedCapability;
pub use register_locator_dvsec::RegisterLocatorConfigError;

/// Version of the DVSEC extended capability (PCIe 6.2 section 7.9.6.1).
const DVSEC_CAPABILITY_VERSION: u8 = 1;
