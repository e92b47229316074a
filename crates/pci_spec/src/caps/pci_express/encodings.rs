//! The encodings of the capability's fields.

use inspect::Inspect;
use open_enum::open_enum;

/// Device/Port Type (PCIe 6.2 section 7.5.3.2, table 7-19): what kind of function it is.
#[open_enum]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash, Inspect)]
#[inspect(debug)]
#[repr(u16)]
pub enum DevicePortType {
    /// PCI Express Endpoint.
    Endpoint = 0x0,
    /// Legacy PCI Express Endpoint.
    LegacyEndpoint = 0x1,
    /// Root Port of a root complex.
    RootPort = 0x4,
    /// Upstream Port of a switch.
    UpstreamSwitchPort = 0x5,
    /// Downstream Port of a switch.
    DownstreamSwitchPort = 0x6,
    /// PCI Express to PCI/PCI-X Bridge.
    PcieToPciBridge = 0x7,
    /// PCI/PCI-X to PCI Express Bridge.
    PciToPcieBridge = 0x8,
    /// Root Complex Integrated Endpoint.
    RootComplexIntegratedEndpoint = 0x9,
    /// Root Complex Event Collector.
    RootComplexEventCollector = 0xa,
}

bit_conversions!(DevicePortType, u16);

impl DevicePortType {
    /// Whether the function is the upper end of a link: a root port or a switch's downstream port.
    pub const fn is_downstream(self) -> bool {
        matches!(self, Self::RootPort | Self::DownstreamSwitchPort)
    }
}

/// Link speed (PCIe 6.2 section 7.5.3.6): a position in the supported link speeds vector, counted from 1.
#[open_enum]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash, Inspect)]
#[inspect(debug)]
#[repr(u32)]
pub enum LinkSpeed {
    /// 2.5 GT/s.
    Speed2_5GtS = 1,
    /// 5.0 GT/s.
    Speed5_0GtS = 2,
    /// 8.0 GT/s.
    Speed8_0GtS = 3,
    /// 16.0 GT/s.
    Speed16_0GtS = 4,
    /// 32.0 GT/s.
    Speed32_0GtS = 5,
    /// 64.0 GT/s.
    Speed64_0GtS = 6,
}

bit_conversions!(LinkSpeed, u32);

/// Supported Link Speeds Vector (PCIe 6.2 section 7.5.3.18): bit 0 is 2.5 GT/s. A device supports every speed below
/// its highest.
#[open_enum]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash, Inspect)]
#[inspect(debug)]
#[repr(u32)]
pub enum SupportedLinkSpeedsVector {
    /// 2.5 GT/s.
    UpToGen1 = 0x01,
    /// Up to 5.0 GT/s.
    UpToGen2 = 0x03,
    /// Up to 8.0 GT/s.
    UpToGen3 = 0x07,
    /// Up to 16.0 GT/s.
    UpToGen4 = 0x0f,
    /// Up to 32.0 GT/s.
    UpToGen5 = 0x1f,
    /// Up to 64.0 GT/s.
    UpToGen6 = 0x3f,
}

bit_conversions!(SupportedLinkSpeedsVector, u32);

/// Link width (PCIe 6.2 section 7.5.3.6), in lanes.
#[open_enum]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash, Inspect)]
#[inspect(debug)]
#[repr(u32)]
pub enum LinkWidth {
    /// One lane.
    X1 = 1,
    /// Two lanes.
    X2 = 2,
    /// Four lanes.
    X4 = 4,
    /// Eight lanes.
    X8 = 8,
    /// Sixteen lanes.
    X16 = 16,
}

bit_conversions!(LinkWidth, u32);

/// What a slot's attention or power indicator shows (PCIe 6.2 section 7.5.3.10).
#[open_enum]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash, Inspect)]
#[inspect(debug)]
#[repr(u16)]
pub enum SlotIndicator {
    /// Lit.
    On = 1,
    /// Blinking at 1 to 2 Hz.
    Blink = 2,
    /// Dark.
    Off = 3,
}

bit_conversions!(SlotIndicator, u16);

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::format;

    #[test]
    fn every_bit_pattern_is_a_value() {
        for bits in 0..16u16 {
            assert_eq!(DevicePortType::from_bits(bits).into_bits(), bits);
        }
        for bits in 0..64u32 {
            assert_eq!(LinkSpeed::from_bits(bits).into_bits(), bits);
            assert_eq!(LinkWidth::from_bits(bits).into_bits(), bits);
            assert_eq!(SupportedLinkSpeedsVector::from_bits(bits).into_bits(), bits);
        }
    }

    #[test]
    fn named_values_print_their_names_and_others_their_number() {
        assert_eq!(format!("{:?}", DevicePortType(4)), "RootPort");
        assert_eq!(format!("{:?}", DevicePortType(2)), "DevicePortType(2)");
        assert_eq!(format!("{:?}", LinkSpeed::Speed32_0GtS), "Speed32_0GtS");
        assert_eq!(format!("{:?}", LinkWidth(16)), "X16");
        assert_eq!(format!("{:?}", LinkWidth(12)), "LinkWidth(12)");
        assert_eq!(format!("{:?}", SupportedLinkSpeedsVector(0x1f)), "UpToGen5");
    }

    #[test]
    fn root_ports_and_downstream_ports_are_the_upper_ends_of_links() {
        let downstream: std::vec::Vec<_> = (0..16)
            .filter(|&bits| DevicePortType(bits).is_downstream())
            .collect();
        assert_eq!(downstream, [0x4, 0x6]);
    }

    #[test]
    fn port_types_are_those_linux_knows() {
        for (port_type, value) in [
            (DevicePortType::Endpoint, 0x0),             // PCI_EXP_TYPE_ENDPOINT
            (DevicePortType::LegacyEndpoint, 0x1),       // PCI_EXP_TYPE_LEG_END
            (DevicePortType::RootPort, 0x4),             // PCI_EXP_TYPE_ROOT_PORT
            (DevicePortType::UpstreamSwitchPort, 0x5),   // PCI_EXP_TYPE_UPSTREAM
            (DevicePortType::DownstreamSwitchPort, 0x6), // PCI_EXP_TYPE_DOWNSTREAM
            (DevicePortType::PcieToPciBridge, 0x7),      // PCI_EXP_TYPE_PCI_BRIDGE
            (DevicePortType::PciToPcieBridge, 0x8),      // PCI_EXP_TYPE_PCIE_BRIDGE
            (DevicePortType::RootComplexIntegratedEndpoint, 0x9), // PCI_EXP_TYPE_RC_END
            (DevicePortType::RootComplexEventCollector, 0xa), // PCI_EXP_TYPE_RC_EC
        ] {
            assert_eq!(port_type.0, value);
        }
    }
}
