//! Where the fields lie, and how they are inspected.

extern crate std;

use super::*;
use std::string::ToString;

/// Each field filled with ones lies where the constant of `<linux/pci_regs.h>` beside it says.
macro_rules! positions {
    ($name:ident, $ty:ident { $($field:ident($ones:expr) = $mask:literal),+ $(,)? }) => {
        #[test]
        fn $name() {
            $(assert_eq!($ty::new().$field($ones).into_bits(), $mask, stringify!($field));)+
        }
    };
}

positions!(pci_express_capabilities, PciExpressCapabilities {
    with_capability_version(0xf) = 0x000f, // PCI_EXP_FLAGS_VERS
    with_device_port_type(DevicePortType(0xf)) = 0x00f0, // PCI_EXP_FLAGS_TYPE
    with_slot_implemented(true) = 0x0100, // PCI_EXP_FLAGS_SLOT
    with_interrupt_message_number(0x1f) = 0x3e00, // PCI_EXP_FLAGS_IRQ
});

positions!(device_capabilities, DeviceCapabilities {
    with_max_payload_size(0x7) = 0x0000_0007, // PCI_EXP_DEVCAP_PAYLOAD
    with_phantom_functions(0x3) = 0x0000_0018, // PCI_EXP_DEVCAP_PHANTOM
    with_ext_tag_field(true) = 0x0000_0020, // PCI_EXP_DEVCAP_EXT_TAG
    with_endpoint_l0s_latency(0x7) = 0x0000_01c0, // PCI_EXP_DEVCAP_L0S
    with_endpoint_l1_latency(0x7) = 0x0000_0e00, // PCI_EXP_DEVCAP_L1
    with_role_based_error(true) = 0x0000_8000, // PCI_EXP_DEVCAP_RBER
    with_captured_slot_power_limit(0xff) = 0x03fc_0000, // PCI_EXP_DEVCAP_PWR_VAL
    with_captured_slot_power_scale(0x3) = 0x0c00_0000, // PCI_EXP_DEVCAP_PWR_SCL
    with_function_level_reset(true) = 0x1000_0000, // PCI_EXP_DEVCAP_FLR
});

positions!(device_control, DeviceControl {
    with_correctable_error_reporting_enable(true) = 0x0001, // PCI_EXP_DEVCTL_CERE
    with_non_fatal_error_reporting_enable(true) = 0x0002, // PCI_EXP_DEVCTL_NFERE
    with_fatal_error_reporting_enable(true) = 0x0004, // PCI_EXP_DEVCTL_FERE
    with_unsupported_request_reporting_enable(true) = 0x0008, // PCI_EXP_DEVCTL_URRE
    with_enable_relaxed_ordering(true) = 0x0010, // PCI_EXP_DEVCTL_RELAX_EN
    with_max_payload_size(0x7) = 0x00e0, // PCI_EXP_DEVCTL_PAYLOAD
    with_extended_tag_enable(true) = 0x0100, // PCI_EXP_DEVCTL_EXT_TAG
    with_phantom_functions_enable(true) = 0x0200, // PCI_EXP_DEVCTL_PHANTOM
    with_aux_power_pm_enable(true) = 0x0400, // PCI_EXP_DEVCTL_AUX_PME
    with_enable_no_snoop(true) = 0x0800, // PCI_EXP_DEVCTL_NOSNOOP_EN
    with_max_read_request_size(0x7) = 0x7000, // PCI_EXP_DEVCTL_READRQ
    with_initiate_function_level_reset(true) = 0x8000, // PCI_EXP_DEVCTL_BCR_FLR
});

positions!(device_status, DeviceStatus {
    with_correctable_error_detected(true) = 0x0001, // PCI_EXP_DEVSTA_CED
    with_non_fatal_error_detected(true) = 0x0002, // PCI_EXP_DEVSTA_NFED
    with_fatal_error_detected(true) = 0x0004, // PCI_EXP_DEVSTA_FED
    with_unsupported_request_detected(true) = 0x0008, // PCI_EXP_DEVSTA_URD
    with_aux_power_detected(true) = 0x0010, // PCI_EXP_DEVSTA_AUXPD
    with_transactions_pending(true) = 0x0020, // PCI_EXP_DEVSTA_TRPND
});

positions!(link_capabilities, LinkCapabilities {
    with_max_link_speed(0xf) = 0x0000_000f, // PCI_EXP_LNKCAP_SLS
    with_max_link_width(0x3f) = 0x0000_03f0, // PCI_EXP_LNKCAP_MLW
    with_aspm_support(0x3) = 0x0000_0c00, // PCI_EXP_LNKCAP_ASPMS
    with_l0s_exit_latency(0x7) = 0x0000_7000, // PCI_EXP_LNKCAP_L0SEL
    with_l1_exit_latency(0x7) = 0x0003_8000, // PCI_EXP_LNKCAP_L1EL
    with_clock_power_management(true) = 0x0004_0000, // PCI_EXP_LNKCAP_CLKPM
    with_surprise_down_error_reporting(true) = 0x0008_0000, // PCI_EXP_LNKCAP_SDERC
    with_data_link_layer_link_active_reporting(true) = 0x0010_0000, // PCI_EXP_LNKCAP_DLLLARC
    with_link_bandwidth_notification_capability(true) = 0x0020_0000, // PCI_EXP_LNKCAP_LBNC
    with_port_number(0xff) = 0xff00_0000, // PCI_EXP_LNKCAP_PN
});

positions!(link_control, LinkControl {
    with_aspm_control(0x3) = 0x0003, // PCI_EXP_LNKCTL_ASPMC
    with_read_completion_boundary(0x1) = 0x0008, // PCI_EXP_LNKCTL_RCB
    with_link_disable(true) = 0x0010, // PCI_EXP_LNKCTL_LD
    with_retrain_link(true) = 0x0020, // PCI_EXP_LNKCTL_RL
    with_common_clock_configuration(true) = 0x0040, // PCI_EXP_LNKCTL_CCC
    with_extended_synch(true) = 0x0080, // PCI_EXP_LNKCTL_ES
    with_enable_clock_power_management(true) = 0x0100, // PCI_EXP_LNKCTL_CLKREQ_EN
    with_hardware_autonomous_width_disable(true) = 0x0200, // PCI_EXP_LNKCTL_HAWD
    with_link_bandwidth_management_interrupt_enable(true) = 0x0400, // PCI_EXP_LNKCTL_LBMIE
    with_link_autonomous_bandwidth_interrupt_enable(true) = 0x0800, // PCI_EXP_LNKCTL_LABIE
});

positions!(link_status, LinkStatus {
    with_current_link_speed(0xf) = 0x000f, // PCI_EXP_LNKSTA_CLS
    with_negotiated_link_width(0x3f) = 0x03f0, // PCI_EXP_LNKSTA_NLW
    with_link_training(true) = 0x0800, // PCI_EXP_LNKSTA_LT
    with_slot_clock_configuration(true) = 0x1000, // PCI_EXP_LNKSTA_SLC
    with_data_link_layer_link_active(true) = 0x2000, // PCI_EXP_LNKSTA_DLLLA
    with_link_bandwidth_management_status(true) = 0x4000, // PCI_EXP_LNKSTA_LBMS
    with_link_autonomous_bandwidth_status(true) = 0x8000, // PCI_EXP_LNKSTA_LABS
});

positions!(slot_capabilities, SlotCapabilities {
    with_attention_button_present(true) = 0x0000_0001, // PCI_EXP_SLTCAP_ABP
    with_power_controller_present(true) = 0x0000_0002, // PCI_EXP_SLTCAP_PCP
    with_mrl_sensor_present(true) = 0x0000_0004, // PCI_EXP_SLTCAP_MRLSP
    with_attention_indicator_present(true) = 0x0000_0008, // PCI_EXP_SLTCAP_AIP
    with_power_indicator_present(true) = 0x0000_0010, // PCI_EXP_SLTCAP_PIP
    with_hot_plug_surprise(true) = 0x0000_0020, // PCI_EXP_SLTCAP_HPS
    with_hot_plug_capable(true) = 0x0000_0040, // PCI_EXP_SLTCAP_HPC
    with_slot_power_limit_value(0xff) = 0x0000_7f80, // PCI_EXP_SLTCAP_SPLV
    with_slot_power_limit_scale(0x3) = 0x0001_8000, // PCI_EXP_SLTCAP_SPLS
    with_electromechanical_interlock_present(true) = 0x0002_0000, // PCI_EXP_SLTCAP_EIP
    with_no_command_completed_support(true) = 0x0004_0000, // PCI_EXP_SLTCAP_NCCS
    with_physical_slot_number(0x1fff) = 0xfff8_0000, // PCI_EXP_SLTCAP_PSN
});

positions!(slot_control, SlotControl {
    with_attention_button_pressed_enable(true) = 0x0001, // PCI_EXP_SLTCTL_ABPE
    with_power_fault_detected_enable(true) = 0x0002, // PCI_EXP_SLTCTL_PFDE
    with_mrl_sensor_changed_enable(true) = 0x0004, // PCI_EXP_SLTCTL_MRLSCE
    with_presence_detect_changed_enable(true) = 0x0008, // PCI_EXP_SLTCTL_PDCE
    with_command_completed_interrupt_enable(true) = 0x0010, // PCI_EXP_SLTCTL_CCIE
    with_hot_plug_interrupt_enable(true) = 0x0020, // PCI_EXP_SLTCTL_HPIE
    with_attention_indicator_control(0x3) = 0x00c0, // PCI_EXP_SLTCTL_AIC
    with_power_indicator_control(0x3) = 0x0300, // PCI_EXP_SLTCTL_PIC
    with_power_controller_control(true) = 0x0400, // PCI_EXP_SLTCTL_PCC
    with_electromechanical_interlock_control(true) = 0x0800, // PCI_EXP_SLTCTL_EIC
    with_data_link_layer_state_changed_enable(true) = 0x1000, // PCI_EXP_SLTCTL_DLLSCE
    with_auto_slot_power_limit_enable(true) = 0x2000, // PCI_EXP_SLTCTL_ASPL_DISABLE
    with_in_band_pd_disable(true) = 0x4000, // PCI_EXP_SLTCTL_IBPD_DISABLE
});

positions!(slot_status, SlotStatus {
    with_attention_button_pressed(true) = 0x0001, // PCI_EXP_SLTSTA_ABP
    with_power_fault_detected(true) = 0x0002, // PCI_EXP_SLTSTA_PFD
    with_mrl_sensor_changed(true) = 0x0004, // PCI_EXP_SLTSTA_MRLSC
    with_presence_detect_changed(true) = 0x0008, // PCI_EXP_SLTSTA_PDC
    with_command_completed(true) = 0x0010, // PCI_EXP_SLTSTA_CC
    with_mrl_sensor_state(0x1) = 0x0020, // PCI_EXP_SLTSTA_MRLSS
    with_presence_detect_state(0x1) = 0x0040, // PCI_EXP_SLTSTA_PDS
    with_electromechanical_interlock_status(0x1) = 0x0080, // PCI_EXP_SLTSTA_EIS
    with_data_link_layer_state_changed(true) = 0x0100, // PCI_EXP_SLTSTA_DLLSC
});

positions!(root_control, RootControl {
    with_system_error_on_correctable_error_enable(true) = 0x0001, // PCI_EXP_RTCTL_SECEE
    with_system_error_on_non_fatal_error_enable(true) = 0x0002, // PCI_EXP_RTCTL_SENFEE
    with_system_error_on_fatal_error_enable(true) = 0x0004, // PCI_EXP_RTCTL_SEFEE
    with_pme_interrupt_enable(true) = 0x0008, // PCI_EXP_RTCTL_PMEIE
    with_crs_software_visibility_enable(true) = 0x0010, // PCI_EXP_RTCTL_CRSSVE
});

positions!(root_capabilities, RootCapabilities {
    with_crs_software_visibility(true) = 0x0001, // PCI_EXP_RTCAP_CRSVIS
});

positions!(root_status, RootStatus {
    with_pme_status(true) = 0x0001_0000, // PCI_EXP_RTSTA_PME
    with_pme_pending(true) = 0x0002_0000, // PCI_EXP_RTSTA_PENDING
});

positions!(device_capabilities_2, DeviceCapabilities2 {
    with_completion_timeout_disable_supported(true) = 0x0000_0010, // PCI_EXP_DEVCAP2_COMP_TMOUT_DIS
    with_ari_forwarding_supported(true) = 0x0000_0020, // PCI_EXP_DEVCAP2_ARI
    with_atomic_op_routing_supported(true) = 0x0000_0040, // PCI_EXP_DEVCAP2_ATOMIC_ROUTE
    with_atomic_op_32_bit_completer_supported(true) = 0x0000_0080, // PCI_EXP_DEVCAP2_ATOMIC_COMP32
    with_atomic_op_64_bit_completer_supported(true) = 0x0000_0100, // PCI_EXP_DEVCAP2_ATOMIC_COMP64
    with_cas_128_bit_completer_supported(true) = 0x0000_0200, // PCI_EXP_DEVCAP2_ATOMIC_COMP128
    with_ltr_mechanism_supported(true) = 0x0000_0800, // PCI_EXP_DEVCAP2_LTR
    with_obff_supported(0x3) = 0x000c_0000, // PCI_EXP_DEVCAP2_OBFF_MASK
    with_end_end_tlp_prefix_supported(true) = 0x0020_0000, // PCI_EXP_DEVCAP2_EE_PREFIX
});

positions!(device_control_2, DeviceControl2 {
    with_completion_timeout_value(0xf) = 0x000f, // PCI_EXP_DEVCTL2_COMP_TIMEOUT
    with_completion_timeout_disable(true) = 0x0010, // PCI_EXP_DEVCTL2_COMP_TMOUT_DIS
    with_ari_forwarding_enable(true) = 0x0020, // PCI_EXP_DEVCTL2_ARI
    with_atomic_op_requester_enable(true) = 0x0040, // PCI_EXP_DEVCTL2_ATOMIC_REQ
    with_atomic_op_egress_blocking(true) = 0x0080, // PCI_EXP_DEVCTL2_ATOMIC_EGRESS_BLOCK
    with_ido_request_enable(true) = 0x0100, // PCI_EXP_DEVCTL2_IDO_REQ_EN
    with_ido_completion_enable(true) = 0x0200, // PCI_EXP_DEVCTL2_IDO_CMP_EN
    with_ltr_mechanism_enable(true) = 0x0400, // PCI_EXP_DEVCTL2_LTR_EN
    with_obff_enable(0x3) = 0x6000, // PCI_EXP_DEVCTL2_OBFF_WAKE_EN
});

positions!(link_capabilities_2, LinkCapabilities2 {
    with_supported_link_speeds_vector(0x3f) = 0x0000_007e, // PCI_EXP_LNKCAP2_SLS_2_5GB to _64_0GB
    with_crosslink_supported(true) = 0x0000_0100, // PCI_EXP_LNKCAP2_CROSSLINK
});

positions!(link_control_2, LinkControl2 {
    with_target_link_speed(0xf) = 0x000f, // PCI_EXP_LNKCTL2_TLS
    with_enter_compliance(true) = 0x0010, // PCI_EXP_LNKCTL2_ENTER_COMP
    with_hardware_autonomous_speed_disable(true) = 0x0020, // PCI_EXP_LNKCTL2_HASD
    with_transmit_margin(0x7) = 0x0380, // PCI_EXP_LNKCTL2_TX_MARGIN
});

positions!(slot_capabilities_2, SlotCapabilities2 {
    with_in_band_pd_disable_supported(true) = 0x0000_0001, // PCI_EXP_SLTCAP2_IBPD
});

#[test]
fn inspection_names_the_fields_and_their_encodings() {
    let show = |object: &dyn Inspect| inspect::inspect("", object).results().to_string();
    let caps = PciExpressCapabilities::from_bits(0x0142);
    assert_eq!(
        show(&caps),
        "{capability_version: 2, device_port_type: \"RootPort\", flit_mode_supported: false, \
         interrupt_message_number: 0, slot_implemented: true}"
    );
    let shown = show(&LinkStatus::from_bits(0x0105));
    assert!(
        shown.contains("current_link_speed: \"Speed32_0GtS\""),
        "{shown}"
    );
    assert!(shown.contains("negotiated_link_width: \"X16\""), "{shown}");
    let shown = show(&LinkCapabilities2::from_bits(0x3e));
    assert!(
        shown.contains("supported_link_speeds_vector: \"UpToGen5\""),
        "{shown}"
    );
    assert_eq!(show(&DeviceStatus2::from_bits(0xffff)), "{}");
}
