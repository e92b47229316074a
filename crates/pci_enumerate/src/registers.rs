//! The registers enumeration reads and writes, by the specification's names.

// Type 0 and Type 1 common header, PCIe 6.2 section 7.5.1.1.
pub(crate) const VENDOR_ID: u16 = 0x00;
pub(crate) const COMMAND: u16 = 0x04;
pub(crate) const COMMAND_IO_SPACE: u16 = 1 << 0;
pub(crate) const COMMAND_MEMORY_SPACE: u16 = 1 << 1;
pub(crate) const COMMAND_BUS_MASTER: u16 = 1 << 2;
pub(crate) const STATUS: u16 = 0x06;
pub(crate) const STATUS_CAPABILITIES_LIST: u16 = 1 << 4;
pub(crate) const REVISION_ID_CLASS_CODE: u16 = 0x08;
pub(crate) const HEADER_TYPE: u16 = 0x0e;
pub(crate) const HEADER_TYPE_MULTI_FUNCTION: u8 = 1 << 7;
pub(crate) const BASE_ADDRESS_0: u16 = 0x10;
pub(crate) const CAPABILITIES_POINTER: u16 = 0x34;

// Type 0 header, PCIe 6.2 section 7.5.1.2.
pub(crate) const TYPE0_SUBSYSTEM: u16 = 0x2c;
pub(crate) const TYPE0_EXPANSION_ROM: u16 = 0x30;

// Type 1 header, PCIe 6.2 section 7.5.1.3.
pub(crate) const TYPE1_PRIMARY_SECONDARY_BUS: u16 = 0x18;
pub(crate) const TYPE1_SECONDARY_BUS: u16 = 0x19;
pub(crate) const TYPE1_SUBORDINATE_BUS: u16 = 0x1a;
pub(crate) const TYPE1_IO_BASE: u16 = 0x1c;
pub(crate) const TYPE1_IO_LIMIT: u16 = 0x1d;
pub(crate) const TYPE1_MEMORY_BASE: u16 = 0x20;
pub(crate) const TYPE1_MEMORY_LIMIT: u16 = 0x22;
pub(crate) const TYPE1_PREFETCHABLE_BASE: u16 = 0x24;
pub(crate) const TYPE1_PREFETCHABLE_LIMIT: u16 = 0x26;
pub(crate) const TYPE1_PREFETCHABLE_BASE_UPPER: u16 = 0x28;
pub(crate) const TYPE1_PREFETCHABLE_LIMIT_UPPER: u16 = 0x2c;
pub(crate) const TYPE1_IO_BASE_LIMIT_UPPER: u16 = 0x30;
pub(crate) const TYPE1_EXPANSION_ROM: u16 = 0x38;

// Capabilities and extended capabilities, PCIe 6.2 sections 7.5.3 and 7.6.
pub(crate) const CAPABILITY_ID_PCI_EXPRESS: u8 = 0x10;
pub(crate) const CAPABILITY_ID_SUBSYSTEM: u8 = 0x0d;
pub(crate) const EXTENDED_CAPABILITY_ID_SERIAL_NUMBER: u16 = 0x0003;
pub(crate) const EXTENDED_CAPABILITY_ID_ARI: u16 = 0x000e;
pub(crate) const EXTENDED_CAPABILITIES: u16 = 0x100;

// Subsystem ID and Subsystem Vendor ID capability, PCIe 6.2 section 7.9.23; offset from the capability.
pub(crate) const SUBSYSTEM_VENDOR_ID: u16 = 0x04;

// PCI Express capability, PCIe 6.2 section 7.5.3; offsets from the capability.
pub(crate) const EXPRESS_CAPABILITIES: u16 = 0x02;
pub(crate) const EXPRESS_CAPABILITIES_VERSION: u16 = 0xf;
pub(crate) const EXPRESS_CAPABILITIES_SLOT_IMPLEMENTED: u16 = 1 << 8;
pub(crate) const EXPRESS_SLOT_CAPABILITIES: u16 = 0x14;
pub(crate) const EXPRESS_SLOT_CAPABILITIES_HOT_PLUG: u32 = 1 << 6;
pub(crate) const EXPRESS_ROOT_CONTROL: u16 = 0x1c;
pub(crate) const EXPRESS_ROOT_CONTROL_RRS_VISIBILITY: u16 = 1 << 4;
pub(crate) const EXPRESS_ROOT_CAPABILITIES: u16 = 0x1e;
pub(crate) const EXPRESS_ROOT_CAPABILITIES_RRS_VISIBILITY: u16 = 1 << 0;
pub(crate) const EXPRESS_DEVICE_CAPABILITIES_2: u16 = 0x24;
pub(crate) const EXPRESS_DEVICE_CAPABILITIES_2_ARI: u32 = 1 << 5;
pub(crate) const EXPRESS_DEVICE_CONTROL_2: u16 = 0x28;
pub(crate) const EXPRESS_DEVICE_CONTROL_2_ARI: u16 = 1 << 5;

// ARI extended capability, PCIe 6.2 section 7.8.8; offset from the capability.
pub(crate) const ARI_CAPABILITY: u16 = 0x04;
// Device Serial Number extended capability, PCIe 6.2 section 7.9.3; offset from the capability.
pub(crate) const SERIAL_NUMBER_LOWER: u16 = 0x04;
pub(crate) const SERIAL_NUMBER_UPPER: u16 = 0x08;
