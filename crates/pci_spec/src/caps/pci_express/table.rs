//! The registers of the PCI Express capability.
//!
//! Not emulated: Slot Power Limit messages, clock power management, equalization and compliance: their fields hold what
//! software writes and do nothing.

use super::*;
use reg_table::register_block;

register_block! {
    /// The PCI Express capability, version 2. The composer gives the port type, the capabilities registers and, by
    /// narrowing Slot Control, what the slot lacks. Without a composer's change it has a trained x16 link at 32.0 GT/s.
    ///
    /// Fields that PCIe 6.2 section 6.6.2 exempts from a function-level reset are marked so.
    pub PCI_EXPRESS: PciExpressReg = "pci_express" {
        title: "PCI Express capability",
        section: "PCIe 6.2 section 7.5.3",
        bytes: 0x3c,
    }
    0x00 capability_id: u8 as () = 0x10, "PCIe 6.2 section 7.5.3.1" { ro: [value[7:0]] }
    0x01 next_pointer: u8 as () = 0, "PCIe 6.2 section 7.5.3.1" { ro: [value[7:0]] }
    0x02 capabilities: u16 as PciExpressCapabilities = 2, "PCIe 6.2 section 7.5.3.2" {
        hwinit: [
            capability_version, device_port_type, slot_implemented, interrupt_message_number, flit_mode_supported,
        ],
    }
    0x04 device_capabilities: u32 as DeviceCapabilities = 0, "PCIe 6.2 section 7.5.3.3" {
        hwinit: [
            max_payload_size => Doubling(128), phantom_functions, ext_tag_field, endpoint_l0s_latency, endpoint_l1_latency,
            role_based_error, err_cor_subclass_capable, rx_mps_fixed, function_level_reset, mixed_mps_supported,
            tee_io_supported,
        ],
        live: [captured_slot_power_limit, captured_slot_power_scale],
    }
    0x08 device_control: u16 as DeviceControl = 0, "PCIe 6.2 section 7.5.3.4" {
        rw: [
            correctable_error_reporting_enable, non_fatal_error_reporting_enable, fatal_error_reporting_enable,
            unsupported_request_reporting_enable, enable_relaxed_ordering, extended_tag_enable,
            phantom_functions_enable, enable_no_snoop, max_read_request_size => Doubling(128),
        ],
        rws: [aux_power_pm_enable],
        rw_not_flr: [max_payload_size => Doubling(128)],
        strobe: [initiate_function_level_reset],
    }
    0x0a device_status: u16 as DeviceStatus = 0, "PCIe 6.2 section 7.5.3.5" {
        rw1c: [
            correctable_error_detected, non_fatal_error_detected, fatal_error_detected, unsupported_request_detected,
        ],
        live: [aux_power_detected, transactions_pending],
    }
    0x0c link_capabilities: u32 as LinkCapabilities = 0x105, "PCIe 6.2 section 7.5.3.6" {
        hwinit: [
            max_link_speed, max_link_width, aspm_support, l0s_exit_latency, l1_exit_latency, clock_power_management,
            surprise_down_error_reporting, data_link_layer_link_active_reporting,
            link_bandwidth_notification_capability, aspm_optionality_compliance, port_number,
        ],
    }
    0x10 link_control: u16 as LinkControl = 0, "PCIe 6.2 section 7.5.3.7" {
        rw: [
            ptm_propagation_delay_adaptation_interpretation_b, link_disable,
            link_bandwidth_management_interrupt_enable, link_autonomous_bandwidth_interrupt_enable, sris_clocking,
            flit_mode_disable, drs_signaling_control,
        ],
        rw_not_flr: [
            aspm_control, read_completion_boundary, common_clock_configuration, extended_synch,
            enable_clock_power_management, hardware_autonomous_width_disable,
        ],
        strobe: [retrain_link],
    }
    0x12 link_status: u16 as LinkStatus = 0x0105, "PCIe 6.2 section 7.5.3.8" {
        live: [current_link_speed, negotiated_link_width, link_training, data_link_layer_link_active],
        hwinit: [slot_clock_configuration],
        rw1c: [link_bandwidth_management_status, link_autonomous_bandwidth_status],
    }
    0x14 slot_capabilities: u32 as SlotCapabilities = 0, "PCIe 6.2 section 7.5.3.9" {
        hwinit: [
            attention_button_present, power_controller_present, mrl_sensor_present, attention_indicator_present,
            power_indicator_present, hot_plug_surprise, hot_plug_capable, slot_power_limit_value,
            slot_power_limit_scale, electromechanical_interlock_present, no_command_completed_support,
            physical_slot_number,
        ],
    }
    0x18 slot_control: u16 as SlotControl = 0, "PCIe 6.2 section 7.5.3.10" {
        rw: [
            attention_button_pressed_enable, power_fault_detected_enable, mrl_sensor_changed_enable,
            presence_detect_changed_enable, command_completed_interrupt_enable, hot_plug_interrupt_enable,
            attention_indicator_control, power_indicator_control, power_controller_control,
            data_link_layer_state_changed_enable, auto_slot_power_limit_enable, in_band_pd_disable,
        ],
        strobe: [electromechanical_interlock_control],
    }
    0x1a slot_status: u16 as SlotStatus = 0, "PCIe 6.2 section 7.5.3.11" {
        rw1c: [
            attention_button_pressed, power_fault_detected, mrl_sensor_changed, presence_detect_changed,
            command_completed, data_link_layer_state_changed,
        ],
        live: [mrl_sensor_state, presence_detect_state, electromechanical_interlock_status],
    }
    0x1c root_control: u16 as RootControl = 0, "PCIe 6.2 section 7.5.3.12" {
        rw: [
            system_error_on_correctable_error_enable, system_error_on_non_fatal_error_enable,
            system_error_on_fatal_error_enable, pme_interrupt_enable, crs_software_visibility_enable,
            no_nfm_subtree_below_this_root_port,
        ],
    }
    0x1e root_capabilities: u16 as RootCapabilities = 0, "PCIe 6.2 section 7.5.3.13" {
        hwinit: [crs_software_visibility],
    }
    0x20 root_status: u32 as RootStatus = 0, "PCIe 6.2 section 7.5.3.14" {
        ro: [pme_requester_id, pme_pending],
        rw1c: [pme_status],
    }
    0x24 device_capabilities_2: u32 as DeviceCapabilities2 = 0, "PCIe 6.2 section 7.5.3.15" {
        hwinit: [
            completion_timeout_ranges_supported, completion_timeout_disable_supported, ari_forwarding_supported,
            atomic_op_routing_supported, atomic_op_32_bit_completer_supported, atomic_op_64_bit_completer_supported,
            cas_128_bit_completer_supported, no_ro_enabled_pr_pr_passing, ltr_mechanism_supported,
            tph_completer_supported, ten_bit_tag_completer_supported, ten_bit_tag_requester_supported, obff_supported,
            extended_fmt_field_supported, end_end_tlp_prefix_supported, max_end_end_tlp_prefixes,
            emergency_power_reduction_supported, emergency_power_reduction_init_required, dmwr_completer_supported,
            dmwr_lengths_supported, frs_supported,
        ],
    }
    0x28 device_control_2: u16 as DeviceControl2 = 0, "PCIe 6.2 section 7.5.3.16" {
        rw: [
            completion_timeout_value, completion_timeout_disable, ari_forwarding_enable, atomic_op_requester_enable,
            atomic_op_egress_blocking, ido_request_enable, ido_completion_enable, ltr_mechanism_enable,
            emergency_power_reduction_request, ten_bit_tag_requester_enable, obff_enable, end_end_tlp_prefix_blocking,
        ],
    }
    0x2a device_status_2: u16 as DeviceStatus2 = 0, "PCIe 6.2 section 7.5.3.17" {}
    0x2c link_capabilities_2: u32 as LinkCapabilities2 = 0x3e, "PCIe 6.2 section 7.5.3.18" {
        hwinit: [
            supported_link_speeds_vector, crosslink_supported, lower_skp_os_generation_supported_speeds_vector,
            lower_skp_os_reception_supported_speeds_vector, retimer_presence_detect_supported,
            two_retimers_presence_detect_supported, drs_supported,
        ],
    }
    0x30 link_control_2: u16 as LinkControl2 = 0x5, "PCIe 6.2 section 7.5.3.19" {
        rws: [
            target_link_speed, enter_compliance, hardware_autonomous_speed_disable, transmit_margin,
            enter_modified_compliance, compliance_sos, compliance_preset_de_emphasis,
        ],
        hwinit: [selectable_de_emphasis],
    }
    0x32 link_status_2: u16 as LinkStatus2 = 0, "PCIe 6.2 section 7.5.3.20" {
        live: [
            current_de_emphasis_level, retimer_presence_detected, two_retimers_presence_detected, crosslink_resolution,
            flit_mode_status, downstream_component_presence,
        ],
        ros: [
            equalization_8gts_complete, equalization_8gts_phase_1_successful, equalization_8gts_phase_2_successful,
            equalization_8gts_phase_3_successful,
        ],
        rw1cs: [link_equalization_request_8gts],
        rw1c: [drs_message_received],
    }
    0x34 slot_capabilities_2: u32 as SlotCapabilities2 = 0, "PCIe 6.2 section 7.5.3.21" {
        hwinit: [in_band_pd_disable_supported],
    }
    0x38 slot_control_2: u16 as SlotControl2 = 0, "PCIe 6.2 section 7.5.3.22" {}
    0x3a slot_status_2: u16 as SlotStatus2 = 0, "PCIe 6.2 section 7.5.3.23" {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::RegisterFile;
    use reg_table::Reset;

    #[test]
    fn reset_values() {
        let cap = RegisterFile::new(PciExpressReg::CapabilityId);
        let expected: [(u16, u32); 15] = [
            (0x00, 0x0002_0010),
            (0x04, 0),
            (0x08, 0),
            (0x0c, 0x0000_0105),
            (0x10, 0x0105_0000),
            (0x14, 0),
            (0x18, 0),
            (0x1c, 0),
            (0x20, 0),
            (0x24, 0),
            (0x28, 0),
            (0x2c, 0x3e),
            (0x30, 0x5),
            (0x34, 0),
            (0x38, 0),
        ];
        for (offset, value) in expected {
            assert_eq!(cap.read(offset), value, "{offset:#x}");
        }
        assert_eq!(PCI_EXPRESS.bytes, 0x3c);
    }

    /// The reset words above are these settings, not only these numbers.
    #[test]
    fn the_reset_values_mean_a_trained_x16_link_at_32_gts() {
        let cap = RegisterFile::new(PciExpressReg::CapabilityId);
        let link = LinkCapabilities::from_bits(cap.get(PciExpressReg::LinkCapabilities));
        assert_eq!(LinkSpeed(link.max_link_speed()), LinkSpeed::Speed32_0GtS);
        assert_eq!(LinkWidth(link.max_link_width()), LinkWidth::X16);
        let status = LinkStatus::from_bits(cap.get16(PciExpressReg::LinkStatus));
        assert_eq!(
            LinkSpeed(status.current_link_speed().into()),
            LinkSpeed::Speed32_0GtS
        );
        assert_eq!(
            LinkWidth(status.negotiated_link_width().into()),
            LinkWidth::X16
        );
        let link2 = LinkCapabilities2::from_bits(cap.get(PciExpressReg::LinkCapabilities2));
        assert_eq!(
            SupportedLinkSpeedsVector(link2.supported_link_speeds_vector()),
            SupportedLinkSpeedsVector::UpToGen5
        );
        let control2 = LinkControl2::from_bits(cap.get16(PciExpressReg::LinkControl2));
        assert_eq!(
            LinkSpeed(control2.target_link_speed().into()),
            LinkSpeed::Speed32_0GtS
        );
    }

    #[test]
    fn a_root_port_shows_its_type_and_slot() {
        let caps = PciExpressCapabilities::new()
            .with_capability_version(2)
            .with_device_port_type(DevicePortType::RootPort);
        let mut cap = RegisterFile::new(PciExpressReg::CapabilityId);
        cap.init(PciExpressReg::Capabilities, caps.into_bits());
        assert_eq!(cap.read(0), 0x0042_0010);
        cap.init(
            PciExpressReg::Capabilities,
            caps.with_slot_implemented(true).into_bits(),
        );
        assert_eq!(cap.read(0), 0x0142_0010);
        let slot = SlotCapabilities::new()
            .with_hot_plug_surprise(true)
            .with_hot_plug_capable(true)
            .with_no_command_completed_support(true)
            .with_physical_slot_number(3);
        assert_eq!(slot.into_bits(), 1 << 5 | 1 << 6 | 1 << 18 | 3 << 19);
    }

    /// What software can change: read-write bits, write-one-to-clear bits, and actions, a dword at a time.
    #[test]
    fn writable_bits_are_those_of_the_specification() {
        let words: [(u32, u32, u32); 15] = [
            (0, 0, 0),
            (0, 0, 0),
            (0x0000_7fff, 0x000f_0000, 0x0000_8000),
            (0, 0, 0),
            (0x0000_ffdf, 0xc000_0000, 0x0000_0020),
            (0, 0, 0),
            (0x0000_77ff, 0x011f_0000, 0x0000_0800),
            (0x0000_003f, 0, 0),
            (0, 0x0001_0000, 0),
            (0, 0, 0),
            (0x0000_ffff, 0, 0),
            (0, 0, 0),
            (0x0000_ffbf, 0x8020_0000, 0),
            (0, 0, 0),
            (0, 0, 0),
        ];
        for (i, (rw, rw1c, strobe)) in words.into_iter().enumerate() {
            let mask = PCI_EXPRESS.masks[i];
            assert_eq!(
                (mask.rw, mask.rw1c, mask.strobe),
                (rw, rw1c, strobe),
                "dword {i}"
            );
        }
    }

    #[test]
    fn a_function_level_reset_spares_what_section_6_6_2_lists() {
        let cap = RegisterFile::new(PciExpressReg::CapabilityId);
        cap.write(0x08, 0x0000_7fff, u32::MAX);
        cap.write(0x10, 0x0000_ffdf, u32::MAX);
        cap.write(0x30, 0x0000_0021, u32::MAX);
        cap.reset(Reset::FunctionLevel);
        // Max_Payload_Size stays, and the sticky Aux Power PM Enable.
        assert_eq!(cap.get(PciExpressReg::DeviceControl), 0x00e0 | 0x0400);
        // ASPM Control, RCB, Common Clock, Extended Synch, clock power management and autonomous width.
        assert_eq!(cap.get(PciExpressReg::LinkControl), 0x03cb);
        assert_eq!(cap.get(PciExpressReg::LinkControl2), 0x0021);
        cap.reset(Reset::Hot);
        assert_eq!(cap.get(PciExpressReg::DeviceControl), 0x0400);
        assert_eq!(cap.get(PciExpressReg::LinkControl), 0);
        assert_eq!(cap.get(PciExpressReg::LinkControl2), 0x0021);
        cap.reset(Reset::Cold);
        assert_eq!(cap.get(PciExpressReg::DeviceControl), 0);
        assert_eq!(cap.get(PciExpressReg::LinkControl2), 0x0005);
    }

    #[test]
    fn a_reset_leaves_the_card_in_its_slot() {
        let cap = RegisterFile::new(PciExpressReg::CapabilityId);
        let empty_link = LinkStatus::new();
        let card = SlotStatus::new().with_presence_detect_state(1);
        cap.set(PciExpressReg::LinkStatus, empty_link.into_bits());
        cap.set(
            PciExpressReg::SlotStatus,
            card.with_presence_detect_changed(true).into_bits(),
        );
        for kind in [Reset::FunctionLevel, Reset::Hot, Reset::Cold] {
            cap.reset(kind);
            assert_eq!(
                cap.get16(PciExpressReg::SlotStatus),
                card.into_bits(),
                "{kind:?}"
            );
            assert_eq!(
                cap.get16(PciExpressReg::LinkStatus),
                empty_link.into_bits(),
                "{kind:?}"
            );
        }
    }
}
