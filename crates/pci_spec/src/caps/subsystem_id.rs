//! Subsystem ID and Subsystem Vendor ID (PCIe 6.2 section 7.9.23): who built the board of a bridge. A type 0 header has
//! registers for it; a type 1 header has not.

use reg_table::register_block;

register_block! {
    /// The Subsystem ID capability. The composer gives both numbers.
    pub SUBSYSTEM_ID: SubsystemIdReg = "subsystem_id" {
        title: "Subsystem ID and Subsystem Vendor ID capability",
        section: "PCIe 6.2 section 7.9.23",
        bytes: 0x08,
    }
    0x00 capability_id: u8 as () = 0x0d, "PCIe 6.2 section 7.9.23" { ro: [value[7:0]] }
    0x01 next_pointer: u8 as () = 0, "PCIe 6.2 section 7.9.23" { ro: [value[7:0]] }
    0x02 reserved: u16 as () = 0, "PCIe 6.2 section 7.9.23" {}
    0x04 subsystem_vendor_id: u16 as () = 0, "PCIe 6.2 section 7.9.23" { hwinit: [value[15:0]] }
    0x06 subsystem_id: u16 as () = 0, "PCIe 6.2 section 7.9.23" { hwinit: [value[15:0]] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::BlockRegister;

    #[test]
    fn registers_lie_where_linux_expects_them() {
        assert_eq!(SubsystemIdReg::CapabilityId.register().reset, 0x0d); // PCI_CAP_ID_SSVID
        assert_eq!(SubsystemIdReg::SubsystemVendorId.register().offset, 4); // PCI_SSVID_VENDOR_ID
        assert_eq!(SubsystemIdReg::SubsystemId.register().offset, 6); // PCI_SSVID_DEVICE_ID
    }
}
