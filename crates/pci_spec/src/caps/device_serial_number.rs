//! Device Serial Number (PCIe 6.2 section 7.9.3): a number that no other device has, by which software knows a card again
//! after it was unplugged.

use super::ExtendedCapabilityHeader;
use reg_table::register_block;

register_block! {
    /// The Device Serial Number extended capability. The composer gives the number, an EUI-64; it is the same in every
    /// function of a device.
    pub DEVICE_SERIAL_NUMBER: DeviceSerialNumberReg = "device_serial_number" {
        title: "Device Serial Number extended capability",
        section: "PCIe 6.2 section 7.9.3",
        bytes: 0x0c,
    }
    0x00 header: u32 as ExtendedCapabilityHeader = 0x0001_0003, "PCIe 6.2 section 7.9.3.1" {
        ro: [capability_id, capability_version, next_offset],
    }
    0x04 serial_number_lower: u32 as () = 0, "PCIe 6.2 section 7.9.3.2" { hwinit: [value[31:0]] }
    0x08 serial_number_upper: u32 as () = 0, "PCIe 6.2 section 7.9.3.2" { hwinit: [value[31:0]] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::RegisterFile;
    use reg_table::Reset;

    #[test]
    fn the_number_survives_writes_and_resets() {
        let mut dsn = RegisterFile::new(DeviceSerialNumberReg::Header);
        dsn.init(DeviceSerialNumberReg::SerialNumberLower, 0x89ab_cdefu32);
        dsn.init(DeviceSerialNumberReg::SerialNumberUpper, 0x0123_4567u32);
        for offset in [0, 4, 8] {
            dsn.write(offset, 0, u32::MAX);
        }
        dsn.reset(Reset::Cold);
        assert_eq!(
            [dsn.read(0), dsn.read(4), dsn.read(8)],
            [0x0001_0003, 0x89ab_cdef, 0x0123_4567]
        );
    }
}
