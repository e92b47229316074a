//! The link of a port or an endpoint: what it can, and what two ends agree on (PCIe 6.2 sections 7.5.3.6 and 7.5.3.18).

use crate::spec::caps::pci_express::DevicePortType;
use crate::spec::caps::pci_express::LinkCapabilities;
use crate::spec::caps::pci_express::LinkCapabilities2;
use crate::spec::caps::pci_express::LinkSpeed;
use crate::spec::caps::pci_express::LinkWidth;
use inspect::Inspect;

/// The speed and width of a link: what one end can, or what both agreed on.
///
/// Any value may be given for the other end: a speed or width of 0 is an end whose link does not train, and a width that no
/// port has counts as the next lower one.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Inspect)]
pub struct LinkRate {
    /// Speed.
    pub speed: LinkSpeed,
    /// Width.
    pub width: LinkWidth,
}

impl LinkRate {
    /// The most there is: what trains at whatever the port can.
    pub const MAX: Self = Self {
        speed: LinkSpeed::Speed64_0GtS,
        width: LinkWidth::X16,
    };

    /// What this port and `other` train to under a target speed (PCIe 6.2 section 4.2.5): the lower speed and the fewer lanes.
    /// `None` if they do not train.
    pub(super) fn negotiate(self, other: Self, target: LinkSpeed) -> Option<Self> {
        // The encoding 0 is reserved as a target; a link starts at 2.5 GT/s whatever is asked for.
        let target = target.max(LinkSpeed::Speed2_5GtS);
        let speed = self.speed.min(other.speed).min(target);
        let lanes = self.width.min(other.width);
        let width = WIDTHS.into_iter().rev().find(|width| *width <= lanes)?;
        (speed >= LinkSpeed::Speed2_5GtS).then_some(Self { speed, width })
    }
}

/// The widths a port may have, in ascending order.
const WIDTHS: [LinkWidth; 5] = [
    LinkWidth::X1,
    LinkWidth::X2,
    LinkWidth::X4,
    LinkWidth::X8,
    LinkWidth::X16,
];

/// What the link of a function can do.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// Highest speed. All lower ones are supported too, as PCIe 6.2 section 8.2.1 wants.
    pub max_speed: LinkSpeed,
    /// Most lanes.
    pub max_width: LinkWidth,
    /// Number of the port, unique in its component.
    pub port_number: u8,
    /// Link Status tells whether the data link layer is active. A hot-plug capable port does so whatever is said here;
    /// only downstream ports do.
    pub active_reporting: bool,
    /// Changes of bandwidth are recorded and can interrupt; downstream ports only.
    pub bandwidth_notification: bool,
    /// A link that goes down unasked is an error (PCIe 6.2 section 3.2.1); downstream ports only.
    pub surprise_down_reporting: bool,
}

impl LinkConfig {
    /// A link of this speed and width, number 0. A downstream port reports link state and bandwidth, as PCIe 6.2 section
    /// 7.5.3.6 wants of one with several speeds, and takes no notice of a surprise down.
    pub const fn new(max_speed: LinkSpeed, max_width: LinkWidth) -> Self {
        Self {
            max_speed,
            max_width,
            port_number: 0,
            active_reporting: true,
            bandwidth_notification: true,
            surprise_down_reporting: false,
        }
    }

    pub(super) fn check(&self, port_type: DevicePortType) -> Result<(), LinkError> {
        if !has_link(port_type) {
            return Err(LinkError::NoLink { port_type });
        }
        if !(LinkSpeed::Speed2_5GtS..=LinkSpeed::Speed64_0GtS).contains(&self.max_speed) {
            return Err(LinkError::Speed {
                speed: self.max_speed.0,
            });
        }
        if !WIDTHS.contains(&self.max_width) {
            return Err(LinkError::Width {
                lanes: self.max_width.0,
            });
        }
        Ok(())
    }

    pub(super) fn capabilities(&self, downstream: bool) -> LinkCapabilities {
        LinkCapabilities::new()
            .with_max_link_speed(self.max_speed.0)
            .with_max_link_width(self.max_width.0)
            .with_port_number(self.port_number.into())
            .with_data_link_layer_link_active_reporting(downstream && self.active_reporting)
            .with_link_bandwidth_notification_capability(downstream && self.bandwidth_notification)
            .with_surprise_down_error_reporting(downstream && self.surprise_down_reporting)
    }

    pub(super) fn capabilities_2(&self) -> LinkCapabilities2 {
        LinkCapabilities2::new().with_supported_link_speeds_vector((1 << self.max_speed.0) - 1)
    }
}

/// Integrated endpoints and event collectors have no link: its registers are reserved (PCIe 6.2 section 7.5.3).
pub(super) fn has_link(port_type: DevicePortType) -> bool {
    !matches!(
        port_type,
        DevicePortType::RootComplexIntegratedEndpoint | DevicePortType::RootComplexEventCollector
    )
}

/// Why a function cannot have such a link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The function is part of the root complex.
    #[error("a link is not valid for device port type {port_type:?}")]
    NoLink {
        /// What it is.
        port_type: DevicePortType,
    },
    /// No such speed.
    #[error("the link speed is encoding {speed}; it is 1 (2.5 GT/s) to 6 (64.0 GT/s)")]
    Speed {
        /// The encoding given.
        speed: u32,
    },
    /// No such width.
    #[error("the link width is x{lanes}; it is x1, x2, x4, x8 or x16")]
    Width {
        /// The lanes given.
        lanes: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(speed: u32, width: u32) -> LinkRate {
        LinkRate {
            speed: LinkSpeed(speed),
            width: LinkWidth(width),
        }
    }

    #[test]
    fn a_link_trains_to_what_both_ends_can() {
        let port = rate(5, 16);
        for (other, target, agreed) in [
            (LinkRate::MAX, 5, Some(rate(5, 16))),
            (rate(3, 4), 5, Some(rate(3, 4))),
            (rate(6, 1), 2, Some(rate(2, 1))),
            (rate(4, 12), 5, Some(rate(4, 8))),
            // A reserved target.
            (LinkRate::MAX, 0, Some(rate(1, 16))),
            // Nothing there that trains.
            (rate(0, 16), 5, None),
            (rate(5, 0), 5, None),
        ] {
            assert_eq!(
                port.negotiate(other, LinkSpeed(target)),
                agreed,
                "{other:?}"
            );
        }
    }

    #[test]
    fn every_speed_up_to_the_highest_is_supported() {
        let config = LinkConfig::new(LinkSpeed::Speed64_0GtS, LinkWidth::X4);
        assert_eq!(config.capabilities_2().into_bits(), 0x7e);
        assert_eq!(config.capabilities(false).into_bits(), 0x46);
        assert_eq!(config.capabilities(true).into_bits(), 0x0030_0046);
    }
}
