//! The capabilities that a port's highest link speed requires (PCIe 6.2 section 7.7.3 to section 7.7.7 and section 7.7.10).
//!
//! Not emulated: what happens on the wire. Equalization is through and succeeded; no lane has errors.

use super::PciExtendedCapability;
use super::table::TableExtendedCapability;
use crate::spec::caps::data_link_feature::DataLinkFeatureReg;
use crate::spec::caps::data_link_feature::DataLinkFeatureStatus;
use crate::spec::caps::lane_margining::LaneMarginingReg;
use crate::spec::caps::pci_express::DevicePortType;
use crate::spec::caps::pci_express::LinkSpeed;
use crate::spec::caps::pci_express::LinkWidth;
use crate::spec::caps::physical_layer::LaneEqualizationControl;
use crate::spec::caps::physical_layer::gt16::PhysicalLayer16GtReg;
use crate::spec::caps::physical_layer::gt16::Status16Gt;
use crate::spec::caps::physical_layer::gt32::PhysicalLayer32GtReg;
use crate::spec::caps::physical_layer::gt32::Status32Gt;
use crate::spec::caps::physical_layer::gt64::PhysicalLayer64GtReg;
use crate::spec::caps::physical_layer::gt64::Status64Gt;
use crate::spec::caps::secondary_pci_express::LaneEqualizationControl8Gt;
use crate::spec::caps::secondary_pci_express::LinkControl3;
use crate::spec::caps::secondary_pci_express::SecondaryPciExpressReg;
use reg_table::BlockRegister;
use reg_table::RegisterFile;

/// Transmitter preset P4: neither preshoot nor de-emphasis (PCIe 6.2 section 8.3.3.3.1), as suits a link without losses.
const PRESET_P4: u8 = 4;

/// Transmitter preset Q0, the same at 64.0 GT/s.
const PRESET_Q0: u8 = 0;

/// The extended capabilities that a port or endpoint of type `typ` needs whose link has at most `max_link_speed` and
/// `max_link_width`; none below 8.0 GT/s. Lanes above 16 have no registers.
///
/// ```
/// use pci_core::capabilities::extended::link_speed::link_speed_capabilities;
/// use pci_core::spec::caps::pci_express::{DevicePortType, LinkSpeed, LinkWidth};
///
/// let labels = link_speed_capabilities(DevicePortType::RootPort, LinkSpeed::Speed16_0GtS, LinkWidth::X4)
///     .iter()
///     .map(|capability| capability.label().to_string())
///     .collect::<Vec<_>>();
/// assert_eq!(labels, ["secondary_pci_express", "data_link_feature", "physical_layer_16gt", "lane_margining"]);
/// ```
pub fn link_speed_capabilities(
    typ: DevicePortType,
    max_link_speed: LinkSpeed,
    max_link_width: LinkWidth,
) -> Vec<Box<dyn PciExtendedCapability>> {
    let mut capabilities: Vec<Box<dyn PciExtendedCapability>> = Vec::new();
    if max_link_speed >= LinkSpeed::Speed8_0GtS {
        let secondary = TableExtendedCapability::secondary_pci_express(typ, max_link_width);
        capabilities.push(Box::new(secondary));
    }
    if max_link_speed >= LinkSpeed::Speed16_0GtS {
        capabilities.push(Box::new(TableExtendedCapability::data_link_feature()));
        let layer = TableExtendedCapability::physical_layer_16gt(typ, max_link_width);
        capabilities.push(Box::new(layer));
        let margining = TableExtendedCapability::lane_margining(max_link_width);
        capabilities.push(Box::new(margining));
    }
    if max_link_speed >= LinkSpeed::Speed32_0GtS {
        let layer = TableExtendedCapability::physical_layer_32gt(typ, max_link_width);
        capabilities.push(Box::new(layer));
    }
    if max_link_speed >= LinkSpeed::Speed64_0GtS {
        let layer = TableExtendedCapability::physical_layer_64gt(typ, max_link_width);
        capabilities.push(Box::new(layer));
    }
    capabilities
}

/// The registers from `first` on, one for each lane that there is.
fn lanes<R: BlockRegister>(first: R, width: LinkWidth) -> impl Iterator<Item = R> {
    let width = usize::try_from(width.0).unwrap_or(0).min(16);
    R::ALL.iter().copied().skip(first.index()).take(width)
}

/// The presets of a lane. Those of the downstream port are that port's own business (PCIe 6.2 section 7.7.5.9).
fn presets(typ: DevicePortType, preset: u8) -> LaneEqualizationControl {
    let control = LaneEqualizationControl::new().with_upstream_port_transmitter_preset(preset);
    if typ.is_downstream() {
        control.with_downstream_port_transmitter_preset(preset)
    } else {
        control
    }
}

impl TableExtendedCapability<SecondaryPciExpressReg> {
    /// Secondary PCI Express (PCIe 6.2 section 7.7.3).
    pub fn secondary_pci_express(typ: DevicePortType, max_link_width: LinkWidth) -> Self {
        let mut registers = RegisterFile::new(SecondaryPciExpressReg::Header);
        let writable = LinkControl3::new()
            .with_perform_equalization(typ.is_downstream())
            .with_link_equalization_request_interrupt_enable(typ.is_downstream());
        registers.narrow(SecondaryPciExpressReg::LinkControl3, writable.into_bits());
        let presets = presets(typ, PRESET_P4);
        let control = LaneEqualizationControl8Gt::new()
            .with_downstream_port_transmitter_preset(presets.downstream_port_transmitter_preset())
            .with_upstream_port_transmitter_preset(presets.upstream_port_transmitter_preset());
        for lane in lanes(SecondaryPciExpressReg::Lane0, max_link_width) {
            registers.init(lane, control.into_bits());
        }
        registers.narrow(
            SecondaryPciExpressReg::LaneErrorStatus,
            lane_bits(max_link_width),
        );
        Self::new(registers)
    }
}

/// A bit for each lane that there is.
fn lane_bits(width: LinkWidth) -> u32 {
    (1u32 << width.0.min(16)) - 1
}

impl TableExtendedCapability<DataLinkFeatureReg> {
    /// Data Link Feature (PCIe 6.2 section 7.7.4) of a port whose other side has scaled flow control as well.
    pub fn data_link_feature() -> Self {
        let mut registers = RegisterFile::new(DataLinkFeatureReg::Header);
        let remote = DataLinkFeatureStatus::new()
            .with_remote_scaled_flow_control_supported(true)
            .with_remote_data_link_feature_supported_valid(true);
        registers.init(DataLinkFeatureReg::Status, remote.into_bits());
        Self::new(registers)
    }
}

impl TableExtendedCapability<PhysicalLayer16GtReg> {
    /// Physical Layer 16.0 GT/s (PCIe 6.2 section 7.7.5).
    pub fn physical_layer_16gt(typ: DevicePortType, max_link_width: LinkWidth) -> Self {
        use PhysicalLayer16GtReg::*;
        let mut registers = RegisterFile::new(Header);
        let status = Status16Gt::new()
            .with_equalization_complete(true)
            .with_equalization_phase_1_successful(true)
            .with_equalization_phase_2_successful(true)
            .with_equalization_phase_3_successful(true);
        registers.init(Status, status.into_bits());
        for parity in [
            LocalDataParityMismatchStatus,
            FirstRetimerDataParityMismatchStatus,
            SecondRetimerDataParityMismatchStatus,
        ] {
            registers.narrow(parity, lane_bits(max_link_width));
        }
        for lane in lanes(Lane0, max_link_width) {
            registers.init(lane, presets(typ, PRESET_P4).into_bits());
        }
        Self::new(registers)
    }
}

impl TableExtendedCapability<PhysicalLayer32GtReg> {
    /// Physical Layer 32.0 GT/s (PCIe 6.2 section 7.7.6), which equalizes at every speed and speaks PCI Express only.
    pub fn physical_layer_32gt(typ: DevicePortType, max_link_width: LinkWidth) -> Self {
        use PhysicalLayer32GtReg::*;
        let mut registers = RegisterFile::new(Header);
        // There is nothing to leave out and no usage mode to choose.
        registers.narrow(Control, 0);
        let status = Status32Gt::new()
            .with_equalization_complete(true)
            .with_equalization_phase_1_successful(true)
            .with_equalization_phase_2_successful(true)
            .with_equalization_phase_3_successful(true);
        registers.init(Status, status.into_bits());
        for lane in lanes(Lane0, max_link_width) {
            registers.init(lane, presets(typ, PRESET_P4).into_bits());
        }
        Self::new(registers)
    }
}

impl TableExtendedCapability<PhysicalLayer64GtReg> {
    /// Physical Layer 64.0 GT/s (PCIe 6.2 section 7.7.7).
    pub fn physical_layer_64gt(typ: DevicePortType, max_link_width: LinkWidth) -> Self {
        use PhysicalLayer64GtReg::*;
        let mut registers = RegisterFile::new(Header);
        let status = Status64Gt::new()
            .with_equalization_complete(true)
            .with_equalization_phase_1_successful(true)
            .with_equalization_phase_2_successful(true)
            .with_equalization_phase_3_successful(true);
        registers.init(Status, status.into_bits());
        for lane in lanes(Lane0, max_link_width) {
            registers.init(lane, presets(typ, PRESET_Q0).into_bits());
        }
        Self::new(registers)
    }
}

impl TableExtendedCapability<LaneMarginingReg> {
    /// Lane Margining at the Receiver (PCIe 6.2 section 7.7.10), never ready.
    pub fn lane_margining(max_link_width: LinkWidth) -> Self {
        let mut registers = RegisterFile::new(LaneMarginingReg::Header);
        // A control and a status register a lane; those of lanes that are not there are reserved.
        let present = usize::try_from(max_link_width.0).unwrap_or(0).min(16) * 2;
        let first = LaneMarginingReg::Lane0Control.index();
        for &register in LaneMarginingReg::ALL.iter().skip(first + present) {
            registers.init(register, 0u32);
            registers.narrow(register, 0);
        }
        Self::new(registers)
    }
}

#[cfg(test)]
mod tests {
    use super::super::assert_extended_header_contract;
    use super::*;

    #[test]
    fn each_speed_adds_its_capabilities() {
        for (speed, ids) in [
            (LinkSpeed::Speed2_5GtS, &[][..]),
            (LinkSpeed::Speed5_0GtS, &[]),
            (LinkSpeed::Speed8_0GtS, &[0x19]),
            (LinkSpeed::Speed16_0GtS, &[0x19, 0x25, 0x26, 0x27]),
            (LinkSpeed::Speed32_0GtS, &[0x19, 0x25, 0x26, 0x27, 0x2a]),
            (
                LinkSpeed::Speed64_0GtS,
                &[0x19, 0x25, 0x26, 0x27, 0x2a, 0x31],
            ),
        ] {
            let capabilities =
                link_speed_capabilities(DevicePortType::Endpoint, speed, LinkWidth::X16);
            let found: Vec<_> = capabilities
                .iter()
                .inspect(|capability| assert_extended_header_contract(capability.as_ref()))
                .map(|capability| capability.extended_capability_id())
                .collect();
            assert_eq!(found, ids, "{speed:?}");
        }
    }

    #[test]
    fn lanes_that_are_not_there_have_no_registers() {
        let x2 = LinkWidth::X2;
        let mut secondary =
            TableExtendedCapability::secondary_pci_express(DevicePortType::RootPort, x2);
        assert_eq!(
            [0x8, 0xc, 0x10].map(|o| secondary.read_u32(o)),
            [0, 0x0404_0404, 0]
        );
        secondary.write_u32(4, u32::MAX);
        assert_eq!(secondary.read_u32(4), 0x3);
        let mut margining = TableExtendedCapability::lane_margining(x2);
        for offset in (0..0x48).step_by(4) {
            margining.write_u32(offset, 0);
        }
        let mut fresh = TableExtendedCapability::lane_margining(x2);
        fresh.write_u32(0x10, u32::MAX);
        assert_eq!(
            [4, 8, 0xc, 0x10, 0x44].map(|o| (fresh.read_u32(o), margining.read_u32(o))),
            [(0, 0), (0x9c38, 0), (0x9c38, 0), (0, 0), (0, 0)]
        );
    }

    #[test]
    fn an_upstream_port_knows_its_own_presets_only() {
        let mut secondary =
            TableExtendedCapability::secondary_pci_express(DevicePortType::Endpoint, LinkWidth::X1);
        secondary.write_u32(4, u32::MAX);
        assert_eq!([4, 0xc].map(|o| secondary.read_u32(o)), [0, 0x0400]);
        let layer =
            TableExtendedCapability::physical_layer_16gt(DevicePortType::Endpoint, LinkWidth::X1);
        assert_eq!([0xc, 0x20, 0x24].map(|o| layer.read_u32(o)), [0xf, 0x40, 0]);
        let layer =
            TableExtendedCapability::physical_layer_32gt(DevicePortType::RootPort, LinkWidth::X16);
        assert_eq!(
            [0x4, 0xc, 0x20, 0x2c].map(|o| layer.read_u32(o)),
            [0x100, 0xf, 0x4444_4444, 0x4444_4444]
        );
    }

    #[test]
    fn every_width_is_a_value() {
        for width in [0, 1, 12, 16, 32, u32::MAX] {
            let capabilities = link_speed_capabilities(
                DevicePortType::RootPort,
                LinkSpeed::Speed64_0GtS,
                LinkWidth(width),
            );
            assert_eq!(capabilities.len(), 6);
        }
    }
}
