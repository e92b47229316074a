//! What a function says it is: vendor and device identifiers and the class code (PCIe 6.2 sections 7.5.1.1.1,
//! 7.5.1.1.2, 7.5.1.1.5 and 7.5.1.1.6; the class codes are those of the PCI Code and ID Assignment Specification).

use core::fmt;
use inspect::Inspect;
use open_enum::open_enum;

/// The identity of a function, as its configuration header shows it.
#[derive(Debug, Copy, Clone, Inspect)]
pub struct HardwareIds {
    /// Vendor ID, assigned by the PCI-SIG. 0xFFFF means that there is no function.
    #[inspect(hex)]
    pub vendor_id: u16,
    /// Device ID, assigned by the vendor.
    #[inspect(hex)]
    pub device_id: u16,
    /// Revision ID, assigned by the vendor.
    #[inspect(hex)]
    pub revision_id: u8,
    /// Programming interface: class code bits 7:0.
    pub prog_if: ProgrammingInterface,
    /// Sub-class: class code bits 15:8.
    pub sub_class: Subclass,
    /// Base class: class code bits 23:16.
    pub base_class: ClassCode,
    /// Subsystem vendor ID. Only a Type 0 header has a register for it.
    #[inspect(hex)]
    pub type0_sub_vendor_id: u16,
    /// Subsystem ID. Only a Type 0 header has a register for it.
    #[inspect(hex)]
    pub type0_sub_system_id: u16,
}

/// Base class: what kind of function it is.
#[open_enum]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash, Inspect)]
#[inspect(display)]
#[repr(u8)]
pub enum ClassCode {
    /// Built before class codes were defined.
    UNCLASSIFIED = 0x00,
    /// Mass storage controller.
    MASS_STORAGE_CONTROLLER = 0x01,
    /// Network controller.
    NETWORK_CONTROLLER = 0x02,
    /// Display controller.
    DISPLAY_CONTROLLER = 0x03,
    /// Multimedia device.
    MULTIMEDIA_CONTROLLER = 0x04,
    /// Memory controller.
    MEMORY_CONTROLLER = 0x05,
    /// Bridge: root ports and switch ports are PCI-to-PCI bridges.
    BRIDGE = 0x06,
    /// Simple communication controller.
    SIMPLE_COMMUNICATION_CONTROLLER = 0x07,
    /// Base system peripheral.
    BASE_SYSTEM_PERIPHERAL = 0x08,
    /// Input device.
    INPUT_DEVICE_CONTROLLER = 0x09,
    /// Docking station.
    DOCKING_STATION = 0x0a,
    /// Processor.
    PROCESSOR = 0x0b,
    /// Serial bus controller.
    SERIAL_BUS_CONTROLLER = 0x0c,
    /// Wireless controller.
    WIRELESS_CONTROLLER = 0x0d,
    /// Intelligent I/O controller.
    INTELLIGENT_CONTROLLER = 0x0e,
    /// Satellite communication controller.
    SATELLITE_COMMUNICATION_CONTROLLER = 0x0f,
    /// Encryption or decryption controller.
    ENCRYPTION_CONTROLLER = 0x10,
    /// Data acquisition or signal processing controller.
    SIGNAL_PROCESSING_CONTROLLER = 0x11,
    /// Processing accelerator.
    PROCESSING_ACCELERATOR = 0x12,
    /// Non-essential instrumentation.
    NONESSENTIAL_INSTRUMENTATION = 0x13,
    /// Co-processor.
    CO_PROCESSOR = 0x40,
    /// Fits no defined class.
    UNASSIGNED = 0xff,
}

impl ClassCode {
    /// Whether the specification reserves this value.
    pub const fn is_reserved(&self) -> bool {
        matches!(self.0, 0x14..=0x3f | 0x41..=0xfe)
    }
}

impl fmt::Display for ClassCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_reserved() {
            write!(f, "RESERVED({:#04x})", self.0)
        } else {
            // Debug prints the name, and every value that is not reserved has one.
            fmt::Debug::fmt(self, f)
        }
    }
}

/// Sub-class: its meaning depends on the base class, so one value may have several names.
#[open_enum(allow_alias)]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash, Inspect)]
#[inspect(transparent(hex))]
#[repr(u8)]
pub enum Subclass {
    /// No further distinction.
    NONE = 0x00,
    /// Non-volatile memory subsystem.
    MASS_STORAGE_CONTROLLER_NON_VOLATILE_MEMORY = 0x08,
    /// Ethernet controller.
    NETWORK_CONTROLLER_ETHERNET = 0x00,
    /// Host bridge.
    BRIDGE_HOST = 0x00,
    /// ISA bridge.
    BRIDGE_ISA = 0x01,
    /// PCI-to-PCI bridge.
    BRIDGE_PCI_TO_PCI = 0x04,
    /// Another bridge.
    BRIDGE_OTHER = 0x80,
    /// Another system peripheral.
    BASE_SYSTEM_PERIPHERAL_OTHER = 0x80,
}

/// Programming interface: its meaning depends on base class and sub-class, so one value may have several names.
#[open_enum(allow_alias)]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash, Inspect)]
#[inspect(transparent(hex))]
#[repr(u8)]
pub enum ProgrammingInterface {
    /// No further distinction.
    NONE = 0x00,
    /// NVM Express I/O controller.
    MASS_STORAGE_CONTROLLER_NON_VOLATILE_MEMORY_NVME = 0x02,
    /// Microsoft Azure Network Adapter's GDMA.
    NETWORK_CONTROLLER_ETHERNET_GDMA = 0x00,
}

macro_rules! byte_conversions {
    ($($ty:ident),+) => {
        $(
            impl From<u8> for $ty {
                fn from(value: u8) -> Self {
                    Self(value)
                }
            }

            impl From<$ty> for u8 {
                fn from(value: $ty) -> Self {
                    value.0
                }
            }
        )+
    };
}

byte_conversions!(ClassCode, Subclass, ProgrammingInterface);

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::format;
    use std::string::ToString;

    #[test]
    fn a_class_code_prints_its_name_or_that_it_is_reserved() {
        assert_eq!(ClassCode::BRIDGE.to_string(), "BRIDGE");
        assert_eq!(ClassCode(0xff).to_string(), "UNASSIGNED");
        assert_eq!(ClassCode(0x14).to_string(), "RESERVED(0x14)");
        assert_eq!(ClassCode(0xfe).to_string(), "RESERVED(0xfe)");
        assert_eq!(format!("{:?}", ClassCode::CO_PROCESSOR), "CO_PROCESSOR");
    }

    #[test]
    fn every_class_code_that_is_not_reserved_has_a_name() {
        for value in 0..=u8::MAX {
            let class = ClassCode::from(value);
            assert_eq!(u8::from(class), value);
            let debug = format!("{class:?}");
            assert_eq!(
                debug.starts_with("ClassCode("),
                class.is_reserved(),
                "{value:#04x} prints {debug}"
            );
        }
    }

    #[test]
    fn one_value_may_have_several_names() {
        assert_eq!(
            Subclass::BRIDGE_OTHER,
            Subclass::BASE_SYSTEM_PERIPHERAL_OTHER
        );
        assert_eq!(u8::from(Subclass::BRIDGE_PCI_TO_PCI), 4);
        assert_eq!(
            ProgrammingInterface::from(2),
            ProgrammingInterface::MASS_STORAGE_CONTROLLER_NON_VOLATILE_MEMORY_NVME
        );
    }

    #[test]
    fn inspection_shows_ids_in_hex_and_the_class_by_name() {
        let ids = HardwareIds {
            vendor_id: 0x1414,
            device_id: 0xc030,
            revision_id: 0x1f,
            prog_if: ProgrammingInterface::NONE,
            sub_class: Subclass::BRIDGE_OTHER,
            base_class: ClassCode::BRIDGE,
            type0_sub_vendor_id: 0,
            type0_sub_system_id: 0,
        };
        assert_eq!(
            inspect::inspect("", &ids).results().to_string(),
            "{base_class: \"BRIDGE\", device_id: 0xc030, prog_if: 0x0, revision_id: 0x1f, sub_class: 0x80, \
             type0_sub_system_id: 0x0, type0_sub_vendor_id: 0x0, vendor_id: 0x1414}"
        );
    }
}
