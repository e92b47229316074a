//! The PCI Express capability as the specification has it: what a function lacks cannot be turned on.
//!
//! Callers of [`PciExpressCapability::new`] know registers that hold what software writes, whether or not there is anything to
//! control.

use super::LinkSpeed;
use super::PciExpressCapability;
use super::link::has_link;
use crate::spec::caps::pci_express::DeviceCapabilities;
use crate::spec::caps::pci_express::DeviceCapabilities2;
use crate::spec::caps::pci_express::DeviceControl;
use crate::spec::caps::pci_express::DeviceControl2;
use crate::spec::caps::pci_express::DevicePortType;
use crate::spec::caps::pci_express::LinkControl;
use crate::spec::caps::pci_express::LinkStatus2;
use crate::spec::caps::pci_express::PciExpressCapabilities;
use crate::spec::caps::pci_express::PciExpressReg;
use crate::spec::caps::pci_express::RootCapabilities;
use crate::spec::caps::pci_express::RootControl;
use crate::spec::caps::pci_express::SlotStatus;

/// Equalization at 8.0 GT/s is through, as the physical layer capabilities say of higher speeds.
const EQUALIZED: LinkStatus2 = LinkStatus2::new()
    .with_equalization_8gts_complete(true)
    .with_equalization_8gts_phase_1_successful(true)
    .with_equalization_8gts_phase_2_successful(true)
    .with_equalization_8gts_phase_3_successful(true);

/// All bits of a field that is there, and none of one that is not.
const fn if_there(there: bool, field: u16) -> u16 {
    if there { field } else { 0 }
}

impl PciExpressCapability {
    /// The registers as PCIe 6.2 has them; the last step of composing, as it goes by what the others said.
    ///
    /// - Control bits of what the function does not have read zero (sections 7.5.3.4, 7.5.3.7, 7.5.3.12 and 7.5.3.16). It sends no
    ///   request with an attribute, so Enable Relaxed Ordering, Enable No Snoop and ID-Based Ordering are among them.
    /// - The registers of a slot read zero where there is none, but for Presence Detect State of a downstream port (section 7.5.3.11).
    /// - Role-Based Error Reporting is set (section 7.5.3.3), as with [`Self::with_role_based_error_reporting`].
    /// - A link that can do 8.0 GT/s went through equalization there (section 7.5.3.20).
    /// - ASPM Optionality Compliance is set (section 7.5.3.6), and above 8.0 GT/s 10-Bit Tag Completer Supported (section 2.2.6.2).
    pub fn with_standard_registers(mut self) -> Self {
        self = self.with_role_based_error_reporting();
        self.standard = true;
        let typ = self.device_port_type();
        if has_link(typ) {
            let link = self
                .link_capabilities()
                .with_aspm_optionality_compliance(true);
            self.registers
                .init(PciExpressReg::LinkCapabilities, link.into_bits());
            let fast = LinkSpeed(link.max_link_speed()) >= LinkSpeed::Speed16_0GtS;
            let can = self.capabilities_2();
            let tags = can.ten_bit_tag_completer_supported() || fast;
            self.registers.init(
                PciExpressReg::DeviceCapabilities2,
                can.with_ten_bit_tag_completer_supported(tags).into_bits(),
            );
            if LinkSpeed(link.max_link_speed()) >= LinkSpeed::Speed8_0GtS {
                self.registers
                    .init(PciExpressReg::LinkStatus2, EQUALIZED.into_bits());
            }
            let control = self.standard_link_control();
            self.leave(PciExpressReg::LinkControl, control.into_bits());
        }
        let control = self.standard_device_control();
        self.leave(PciExpressReg::DeviceControl, control.into_bits());
        let control = self.standard_device_control_2();
        self.leave(PciExpressReg::DeviceControl2, control.into_bits());
        let control = self.standard_root_control();
        self.leave(PciExpressReg::RootControl, control.into_bits());
        if !self.slot_implemented() {
            self.leave(PciExpressReg::SlotControl, 0);
            let seen = SlotStatus::new().with_presence_detect_state(typ.is_downstream().into());
            self.registers
                .init(PciExpressReg::SlotStatus, seen.into_bits());
        }
        self
    }

    /// Puts a saved value back: into a function with these registers, only what its software could have written; elsewhere the whole of it.
    pub(super) fn restore_control(&self, register: PciExpressReg, value: u16) {
        match self.standard {
            true => self.registers.set_writable(register, value),
            false => self.registers.set(register, value),
        }
    }

    /// Puts saved status back; what these registers always say, they say of older states, too.
    pub(super) fn restore_status(&self, register: PciExpressReg, value: u16) {
        let fixed = match register {
            PciExpressReg::SlotStatus if self.standard && !self.slot_implemented() => {
                SlotStatus::new().with_presence_detect_state(1).into_bits()
            }
            PciExpressReg::LinkStatus2 if self.standard => EQUALIZED.into_bits(),
            _ => 0,
        };
        let now = self.registers.get16(register);
        self.registers
            .set(register, (value & !fixed) | (now & fixed));
    }

    fn leave(&mut self, register: PciExpressReg, writable: u16) {
        self.registers.narrow(register, writable.into());
    }

    fn capabilities_2(&self) -> DeviceCapabilities2 {
        DeviceCapabilities2::from_bits(self.registers.get(PciExpressReg::DeviceCapabilities2))
    }

    fn flit_mode_supported(&self) -> bool {
        PciExpressCapabilities::from_bits(self.registers.get16(PciExpressReg::Capabilities))
            .flit_mode_supported()
    }

    fn standard_device_control(&self) -> DeviceControl {
        let can =
            DeviceCapabilities::from_bits(self.registers.get(PciExpressReg::DeviceCapabilities));
        DeviceControl::from_bits(u16::MAX)
            .with_enable_relaxed_ordering(false)
            .with_extended_tag_enable(can.ext_tag_field())
            .with_phantom_functions_enable(can.phantom_functions() != 0)
            .with_aux_power_pm_enable(false)
            .with_enable_no_snoop(false)
            .with_initiate_function_level_reset(can.function_level_reset())
    }

    fn standard_device_control_2(&self) -> DeviceControl2 {
        let can = self.capabilities_2();
        let ranges = can.completion_timeout_ranges_supported() != 0;
        DeviceControl2::new()
            .with_completion_timeout_value(if_there(ranges, 0xf))
            .with_completion_timeout_disable(can.completion_timeout_disable_supported())
            .with_ari_forwarding_enable(can.ari_forwarding_supported())
            .with_atomic_op_egress_blocking(can.atomic_op_routing_supported())
            .with_ltr_mechanism_enable(can.ltr_mechanism_supported())
            .with_emergency_power_reduction_request(can.emergency_power_reduction_supported() != 0)
            .with_ten_bit_tag_requester_enable(can.ten_bit_tag_requester_supported())
            .with_obff_enable(if_there(can.obff_supported() != 0, 0b11))
            .with_end_end_tlp_prefix_blocking(can.end_end_tlp_prefix_supported())
    }

    fn standard_link_control(&self) -> LinkControl {
        let can = self.link_capabilities();
        let typ = self.device_port_type();
        let downstream = typ.is_downstream();
        // A root port says in it what it can, and a switch has none (PCIe 6.2 section 7.5.3.7).
        let boundary = matches!(
            typ,
            DevicePortType::Endpoint | DevicePortType::LegacyEndpoint
        );
        let notifies = can.link_bandwidth_notification_capability();
        LinkControl::new()
            .with_aspm_control(0b11)
            .with_read_completion_boundary(boundary.into())
            .with_link_disable(downstream)
            .with_retrain_link(downstream)
            .with_common_clock_configuration(true)
            .with_extended_synch(true)
            .with_enable_clock_power_management(can.clock_power_management())
            .with_hardware_autonomous_width_disable(true)
            .with_link_bandwidth_management_interrupt_enable(notifies)
            .with_link_autonomous_bandwidth_interrupt_enable(notifies)
            .with_flit_mode_disable(downstream && self.flit_mode_supported())
    }

    fn standard_root_control(&self) -> RootControl {
        let none = RootControl::new();
        if !self.ends_messages() {
            return none;
        }
        let can =
            RootCapabilities::from_bits(self.registers.get16(PciExpressReg::RootCapabilities));
        none.with_system_error_on_correctable_error_enable(true)
            .with_system_error_on_non_fatal_error_enable(true)
            .with_system_error_on_fatal_error_enable(true)
            .with_pme_interrupt_enable(true)
            .with_crs_software_visibility_enable(can.crs_software_visibility())
            .with_no_nfm_subtree_below_this_root_port(self.flit_mode_supported())
    }
}

#[cfg(test)]
mod tests {
    use super::super::LinkConfig;
    use super::super::SlotConfig;
    use super::*;
    use crate::capabilities::PciCapability;
    use crate::spec::caps::pci_express::LinkWidth;
    use vmcore::save_restore::SaveRestore;

    fn with_link(typ: DevicePortType, speed: LinkSpeed) -> PciExpressCapability {
        PciExpressCapability::new(typ, None)
            .with_link(LinkConfig::new(speed, LinkWidth::X4))
            .unwrap()
    }

    /// What the control registers hold after all-ones: Device, Link, Slot, Root and Device Control 2.
    fn controls(mut pcie: PciExpressCapability) -> [u32; 5] {
        [0x08, 0x10, 0x18, 0x1c, 0x28].map(|offset| {
            pcie.write_u32(offset, 0xffff);
            pcie.read_u32(offset) & 0xffff
        })
    }

    #[test]
    fn controls_of_what_is_not_there_read_zero() {
        let slow = LinkSpeed::Speed2_5GtS;
        for (typ, expected) in [
            (DevicePortType::Endpoint, [0x70ef, 0x02cb, 0, 0, 0]),
            (DevicePortType::RootPort, [0x70ef, 0x0ed3, 0, 0x0f, 0]),
            (
                DevicePortType::UpstreamSwitchPort,
                [0x70ef, 0x02c3, 0, 0, 0],
            ),
            (
                DevicePortType::DownstreamSwitchPort,
                [0x70ef, 0x0ed3, 0, 0, 0],
            ),
        ] {
            assert_eq!(
                controls(with_link(typ, slow).with_standard_registers()),
                expected,
                "{typ:?}"
            );
        }
        for (typ, root) in [
            (DevicePortType::RootComplexIntegratedEndpoint, 0),
            (DevicePortType::RootComplexEventCollector, 0x0f),
        ] {
            let pcie = PciExpressCapability::new(typ, None).with_standard_registers();
            assert_eq!(controls(pcie), [0x70ef, 0, 0, root, 0], "{typ:?}");
        }
    }

    #[test]
    fn controls_of_what_is_there_can_be_written() {
        let pcie = with_link(DevicePortType::RootPort, LinkSpeed::Speed64_0GtS)
            .with_slot(SlotConfig::full(3))
            .unwrap()
            .with_ari_forwarding()
            .with_ltr()
            .with_crs_software_visibility();
        // Link Disable and Power Controller Control are set, and nothing is the worse for it.
        let all = controls(pcie.with_standard_registers());
        assert_eq!(all, [0x70ef, 0x2ed3, 0x77ff, 0x3f, 0x0420]);
    }

    #[test]
    fn presence_is_hardwired_where_there_is_no_slot() {
        let slow = LinkSpeed::Speed2_5GtS;
        for (typ, slot) in [
            (DevicePortType::RootPort, 0x40),
            (DevicePortType::DownstreamSwitchPort, 0x40),
            (DevicePortType::Endpoint, 0),
        ] {
            let mut pcie = with_link(typ, slow).with_standard_registers();
            assert_eq!(pcie.read_u32(0x18), slot << 16, "{typ:?}");
            pcie.write_u32(0x18, u32::MAX);
            pcie.reset();
            assert_eq!(pcie.read_u32(0x18), slot << 16, "{typ:?} after a reset");
        }
    }

    #[test]
    fn what_this_version_of_the_specification_requires_is_said() {
        for (speed, tags) in [
            (LinkSpeed::Speed8_0GtS, 0),
            (LinkSpeed::Speed16_0GtS, 1 << 16),
        ] {
            let pcie = with_link(DevicePortType::Endpoint, speed).with_standard_registers();
            assert_eq!(
                (pcie.read_u32(0x04), pcie.read_u32(0x24)),
                (0x8000, tags),
                "{speed:?}"
            );
            assert_eq!(pcie.read_u32(0x0c) & (1 << 22), 1 << 22, "{speed:?}");
            assert_eq!(pcie.read_u32(0x30) >> 16, 0x1e, "{speed:?}");
        }
        let integrated = DevicePortType::RootComplexIntegratedEndpoint;
        let pcie = PciExpressCapability::new(integrated, None).with_standard_registers();
        assert_eq!((pcie.read_u32(0x0c), pcie.read_u32(0x24)), (0, 0));
    }

    #[test]
    fn a_state_of_other_registers_turns_nothing_on_that_is_not_there() {
        for typ in [DevicePortType::RootPort, DevicePortType::Endpoint] {
            let port = || with_link(typ, LinkSpeed::Speed8_0GtS);
            let expected = controls(port().with_standard_registers());
            let mut other = port();
            for offset in [0x08, 0x10, 0x18, 0x1c, 0x28] {
                other.write_u32(offset, 0xffff);
            }
            let mut pcie = port().with_standard_registers();
            let fixed = [pcie.read_u32(0x18) >> 16, pcie.read_u32(0x30) >> 16];
            pcie.restore(other.save().unwrap()).unwrap();
            let restored = [0x08, 0x10, 0x18, 0x1c, 0x28].map(|at| pcie.read_u32(at) & 0xffff);
            assert_eq!(restored, expected, "{typ:?}");
            let status = [pcie.read_u32(0x18) >> 16, pcie.read_u32(0x30) >> 16];
            assert_eq!(status, fixed, "{typ:?}");
        }
    }
}
