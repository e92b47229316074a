//! The PCI Express capability (PCIe 6.2 section 7.5.3): what a function is on the fabric, its link, its slot and, in a
//! root port, what the root complex does with messages from below.
//!
//! [`PciExpressCapabilityHeader`] has the offsets of the dwords, [`PCI_EXPRESS`] the registers, and the types here
//! their bits. Fields of several bits have the register's storage type; reserved bits are kept.

mod encodings;
mod table;
#[cfg(test)]
mod tests;

pub use encodings::DevicePortType;
pub use encodings::LinkSpeed;
pub use encodings::LinkWidth;
pub use encodings::SlotIndicator;
pub use encodings::SupportedLinkSpeedsVector;
pub use table::PCI_EXPRESS;
pub use table::PciExpressReg;

use bitfield_struct::bitfield;
use inspect::Inspect;
use open_enum::open_enum;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// Offsets of the dwords of the capability.
#[open_enum]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum PciExpressCapabilityHeader {
    /// PCI Express Capabilities, next pointer and capability ID.
    PCIE_CAPS = 0x00,
    /// Device Capabilities.
    DEVICE_CAPS = 0x04,
    /// Device Status and Device Control.
    DEVICE_CTL_STS = 0x08,
    /// Link Capabilities.
    LINK_CAPS = 0x0c,
    /// Link Status and Link Control.
    LINK_CTL_STS = 0x10,
    /// Slot Capabilities.
    SLOT_CAPS = 0x14,
    /// Slot Status and Slot Control.
    SLOT_CTL_STS = 0x18,
    /// Root Capabilities and Root Control.
    ROOT_CTL_CAPS = 0x1c,
    /// Root Status.
    ROOT_STS = 0x20,
    /// Device Capabilities 2.
    DEVICE_CAPS_2 = 0x24,
    /// Device Status 2 and Device Control 2.
    DEVICE_CTL_STS_2 = 0x28,
    /// Link Capabilities 2.
    LINK_CAPS_2 = 0x2c,
    /// Link Status 2 and Link Control 2.
    LINK_CTL_STS_2 = 0x30,
    /// Slot Capabilities 2.
    SLOT_CAPS_2 = 0x34,
    /// Slot Status 2 and Slot Control 2.
    SLOT_CTL_STS_2 = 0x38,
}

/// The PCI Express Capabilities register (PCIe 6.2 section 7.5.3.2).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct PciExpressCapabilities {
    /// Version of the block's layout: 2.
    #[bits(4)]
    pub capability_version: u16,
    /// What kind of function it is.
    #[bits(4)]
    pub device_port_type: DevicePortType,
    /// The port leads to a slot; downstream ports only.
    pub slot_implemented: bool,
    /// MSI or MSI-X vector that reports events of this block.
    #[bits(5)]
    pub interrupt_message_number: u16,
    #[bits(1)]
    _reserved: u16,
    /// Flit Mode is supported.
    pub flit_mode_supported: bool,
}

const _: () = assert!(size_of::<PciExpressCapabilities>() == 2);

/// The Device Capabilities register (PCIe 6.2 section 7.5.3.3).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct DeviceCapabilities {
    /// Largest payload supported: 128 bytes shifted left by this.
    #[bits(3)]
    pub max_payload_size: u32,
    /// High function number bits that may be used as tag bits.
    #[bits(2)]
    pub phantom_functions: u32,
    /// 8-bit tags are supported.
    pub ext_tag_field: bool,
    /// L0s exit latency that an endpoint accepts, encoded.
    #[bits(3)]
    pub endpoint_l0s_latency: u32,
    /// L1 exit latency that an endpoint accepts, encoded.
    #[bits(3)]
    pub endpoint_l1_latency: u32,
    #[bits(3)]
    _reserved: u32,
    /// Role-based error reporting; set since PCIe 1.1.
    pub role_based_error: bool,
    /// ERR_COR messages carry a subclass.
    pub err_cor_subclass_capable: bool,
    /// Max_Payload_Size of received packets does not follow Device Control.
    pub rx_mps_fixed: bool,
    /// Power limit from the last Set_Slot_Power_Limit message, in units of the scale.
    #[bits(8)]
    pub captured_slot_power_limit: u32,
    /// Scale of the power limit: 1 W, 0.1 W, 0.01 W or 0.001 W.
    #[bits(2)]
    pub captured_slot_power_scale: u32,
    /// Function Level Reset is supported; endpoints only.
    pub function_level_reset: bool,
    /// Max_Payload_Size may differ between functions.
    pub mixed_mps_supported: bool,
    /// TEE-IO is supported.
    pub tee_io_supported: bool,
    #[bits(1)]
    _reserved2: u32,
}

const _: () = assert!(size_of::<DeviceCapabilities>() == 4);

/// The Device Control register (PCIe 6.2 section 7.5.3.4).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct DeviceControl {
    /// Sends ERR_COR.
    pub correctable_error_reporting_enable: bool,
    /// Sends ERR_NONFATAL.
    pub non_fatal_error_reporting_enable: bool,
    /// Sends ERR_FATAL.
    pub fatal_error_reporting_enable: bool,
    /// Sends an error message for an Unsupported Request.
    pub unsupported_request_reporting_enable: bool,
    /// Allows Relaxed Ordering in requests.
    pub enable_relaxed_ordering: bool,
    /// Largest payload in use: 128 bytes shifted left by this.
    #[bits(3)]
    pub max_payload_size: u16,
    /// Allows 8-bit tags.
    pub extended_tag_enable: bool,
    /// Allows phantom functions.
    pub phantom_functions_enable: bool,
    /// Allows drawing auxiliary power.
    pub aux_power_pm_enable: bool,
    /// Allows No Snoop in requests.
    pub enable_no_snoop: bool,
    /// Largest read request: 128 bytes shifted left by this.
    #[bits(3)]
    pub max_read_request_size: u16,
    /// Writing one resets the function; reads zero.
    pub initiate_function_level_reset: bool,
}

const _: () = assert!(size_of::<DeviceControl>() == 2);

/// The Device Status register (PCIe 6.2 section 7.5.3.5).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct DeviceStatus {
    /// A correctable error was detected.
    pub correctable_error_detected: bool,
    /// A non-fatal error was detected.
    pub non_fatal_error_detected: bool,
    /// A fatal error was detected.
    pub fatal_error_detected: bool,
    /// An Unsupported Request was received.
    pub unsupported_request_detected: bool,
    /// Auxiliary power is there.
    pub aux_power_detected: bool,
    /// Requests of the function have not completed yet.
    pub transactions_pending: bool,
    #[bits(10)]
    _reserved: u16,
}

const _: () = assert!(size_of::<DeviceStatus>() == 2);

/// The Link Capabilities register (PCIe 6.2 section 7.5.3.6).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct LinkCapabilities {
    /// [`LinkSpeed`] as a number.
    #[inspect(with = "|x| LinkSpeed(*x)")]
    #[bits(4)]
    pub max_link_speed: u32,
    /// [`LinkWidth`] as a number.
    #[inspect(with = "|x| LinkWidth(*x)")]
    #[bits(6)]
    pub max_link_width: u32,
    /// Bit 0: L0s; bit 1: L1.
    #[bits(2)]
    pub aspm_support: u32,
    /// Encoded.
    #[bits(3)]
    pub l0s_exit_latency: u32,
    /// Encoded.
    #[bits(3)]
    pub l1_exit_latency: u32,
    /// The reference clock may be stopped.
    pub clock_power_management: bool,
    /// Surprise Down is detected and reported.
    pub surprise_down_error_reporting: bool,
    /// Link Status tells whether the data link layer is active; hot-plug needs it.
    pub data_link_layer_link_active_reporting: bool,
    /// Changes of bandwidth are reported.
    pub link_bandwidth_notification_capability: bool,
    /// Set in every component since PCIe 3.0.
    pub aspm_optionality_compliance: bool,
    #[bits(1)]
    _reserved: u32,
    /// Number of the port, unique in its component.
    #[bits(8)]
    pub port_number: u32,
}

const _: () = assert!(size_of::<LinkCapabilities>() == 4);

/// The Link Control register (PCIe 6.2 section 7.5.3.7).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct LinkControl {
    /// Active-state power management enabled: bit 0 L0s, bit 1 L1.
    #[bits(2)]
    pub aspm_control: u16,
    /// Interpretation B of the PTM propagation delay field.
    pub ptm_propagation_delay_adaptation_interpretation_b: bool,
    /// 0: 64 bytes; 1: 128 bytes.
    #[bits(1)]
    pub read_completion_boundary: u16,
    /// Disables the link; downstream ports only.
    pub link_disable: bool,
    /// Writing one retrains the link; reads zero.
    pub retrain_link: bool,
    /// Both ends have one reference clock.
    pub common_clock_configuration: bool,
    /// Sends longer ordered sets, for external tools.
    pub extended_synch: bool,
    /// Allows stopping the reference clock.
    pub enable_clock_power_management: bool,
    /// Keeps hardware from changing the width but for reliability.
    pub hardware_autonomous_width_disable: bool,
    /// Interrupts on Link Bandwidth Management Status.
    pub link_bandwidth_management_interrupt_enable: bool,
    /// Interrupts on Link Autonomous Bandwidth Status.
    pub link_autonomous_bandwidth_interrupt_enable: bool,
    /// Separate reference clocks with independent spread spectrum.
    #[bits(1)]
    pub sris_clocking: u16,
    /// Keeps the link out of Flit Mode.
    pub flit_mode_disable: bool,
    /// What a DRS message from below does.
    #[bits(2)]
    pub drs_signaling_control: u16,
}

const _: () = assert!(size_of::<LinkControl>() == 2);

/// The Link Status register (PCIe 6.2 section 7.5.3.8).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct LinkStatus {
    /// [`LinkSpeed`] as a number; undefined while the link is down.
    #[inspect(with = "|x| LinkSpeed(u32::from(*x))")]
    #[bits(4)]
    pub current_link_speed: u16,
    /// [`LinkWidth`] as a number; undefined while the link is down.
    #[inspect(with = "|x| LinkWidth(u32::from(*x))")]
    #[bits(6)]
    pub negotiated_link_width: u16,
    #[bits(1)]
    _reserved: u16,
    /// Training is under way; downstream ports only.
    pub link_training: bool,
    /// The component uses the connector's reference clock.
    pub slot_clock_configuration: bool,
    /// The data link layer is in DL_Active.
    pub data_link_layer_link_active: bool,
    /// A retraining asked for by software has ended, or hardware changed speed or width for reliability.
    pub link_bandwidth_management_status: bool,
    /// Hardware changed speed or width for other reasons.
    pub link_autonomous_bandwidth_status: bool,
}

const _: () = assert!(size_of::<LinkStatus>() == 2);

/// The Slot Capabilities register (PCIe 6.2 section 7.5.3.9).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct SlotCapabilities {
    /// There is an attention button.
    pub attention_button_present: bool,
    /// There is a power controller.
    pub power_controller_present: bool,
    /// There is a sensor for the manually operated retention latch.
    pub mrl_sensor_present: bool,
    /// There is an attention indicator.
    pub attention_indicator_present: bool,
    /// There is a power indicator.
    pub power_indicator_present: bool,
    /// A card may be removed without notice.
    pub hot_plug_surprise: bool,
    /// The slot supports hot-plug.
    pub hot_plug_capable: bool,
    /// Power available to the card, in units of the scale.
    #[bits(8)]
    pub slot_power_limit_value: u32,
    /// Scale of the power limit: 1 W, 0.1 W, 0.01 W or 0.001 W.
    #[bits(2)]
    pub slot_power_limit_scale: u32,
    /// There is an electromechanical interlock.
    pub electromechanical_interlock_present: bool,
    /// Commands take effect at once; Command Completed is never set.
    pub no_command_completed_support: bool,
    /// Number of the slot, unique in the chassis; 0 for a soldered device.
    #[bits(13)]
    pub physical_slot_number: u32,
}

const _: () = assert!(size_of::<SlotCapabilities>() == 4);

/// The Slot Control register (PCIe 6.2 section 7.5.3.10).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct SlotControl {
    /// Notifies of Attention Button Pressed.
    pub attention_button_pressed_enable: bool,
    /// Notifies of Power Fault Detected.
    pub power_fault_detected_enable: bool,
    /// Notifies of MRL Sensor Changed.
    pub mrl_sensor_changed_enable: bool,
    /// Notifies of Presence Detect Changed.
    pub presence_detect_changed_enable: bool,
    /// Notifies of Command Completed.
    pub command_completed_interrupt_enable: bool,
    /// Lets the enabled events interrupt.
    pub hot_plug_interrupt_enable: bool,
    /// 1: on; 2: blink; 3: off.
    #[bits(2)]
    pub attention_indicator_control: u16,
    /// 1: on; 2: blink; 3: off.
    #[bits(2)]
    pub power_indicator_control: u16,
    /// Set: the slot has no power.
    pub power_controller_control: bool,
    /// Writing one toggles the interlock; reads zero.
    pub electromechanical_interlock_control: bool,
    /// Notifies of Data Link Layer State Changed.
    pub data_link_layer_state_changed_enable: bool,
    /// Keeps Set_Slot_Power_Limit from being sent when the link comes up.
    pub auto_slot_power_limit_enable: bool,
    /// Leaves in-band presence detection out of Presence Detect State.
    pub in_band_pd_disable: bool,
    #[bits(1)]
    _reserved: u16,
}

const _: () = assert!(size_of::<SlotControl>() == 2);

/// The Slot Status register (PCIe 6.2 section 7.5.3.11).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct SlotStatus {
    /// The attention button was pressed.
    pub attention_button_pressed: bool,
    /// The power controller found a fault.
    pub power_fault_detected: bool,
    /// MRL Sensor State changed.
    pub mrl_sensor_changed: bool,
    /// Presence Detect State changed.
    pub presence_detect_changed: bool,
    /// The slot is ready for the next command.
    pub command_completed: bool,
    /// 0: closed; 1: open.
    #[bits(1)]
    pub mrl_sensor_state: u16,
    /// 0: empty; 1: a card is there.
    #[bits(1)]
    pub presence_detect_state: u16,
    /// 0: disengaged; 1: engaged.
    #[bits(1)]
    pub electromechanical_interlock_status: u16,
    /// Data Link Layer Link Active changed.
    pub data_link_layer_state_changed: bool,
    #[bits(7)]
    _reserved: u16,
}

const _: () = assert!(size_of::<SlotStatus>() == 2);

/// The Root Control register (PCIe 6.2 section 7.5.3.12).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct RootControl {
    /// A correctable error below raises a system error.
    pub system_error_on_correctable_error_enable: bool,
    /// A non-fatal error below raises a system error.
    pub system_error_on_non_fatal_error_enable: bool,
    /// A fatal error below raises a system error.
    pub system_error_on_fatal_error_enable: bool,
    /// Interrupts on PME Status.
    pub pme_interrupt_enable: bool,
    /// Returns Request Retry Status to software that reads a Vendor ID.
    pub crs_software_visibility_enable: bool,
    /// Everything below uses Flit Mode.
    pub no_nfm_subtree_below_this_root_port: bool,
    #[bits(10)]
    _reserved: u16,
}

const _: () = assert!(size_of::<RootControl>() == 2);

/// The Root Capabilities register (PCIe 6.2 section 7.5.3.13).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct RootCapabilities {
    /// Request Retry Status can be made visible to software.
    pub crs_software_visibility: bool,
    #[bits(15)]
    _reserved: u16,
}

const _: () = assert!(size_of::<RootCapabilities>() == 2);

/// The Root Status register (PCIe 6.2 section 7.5.3.14).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct RootStatus {
    /// Bus, device and function that sent the last PME.
    #[bits(16)]
    #[inspect(hex)]
    pub pme_requester_id: u32,
    /// A PME from that requester waits for software.
    pub pme_status: bool,
    /// Another PME waits behind it.
    pub pme_pending: bool,
    #[bits(14)]
    _reserved: u32,
}

const _: () = assert!(size_of::<RootStatus>() == 4);

/// The Device Capabilities 2 register (PCIe 6.2 section 7.5.3.15).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct DeviceCapabilities2 {
    /// Ranges A to D, a bit each.
    #[bits(4)]
    pub completion_timeout_ranges_supported: u32,
    /// The completion timeout can be disabled.
    pub completion_timeout_disable_supported: bool,
    /// The port forwards to all 256 functions of an ARI device.
    pub ari_forwarding_supported: bool,
    /// AtomicOps are routed.
    pub atomic_op_routing_supported: bool,
    /// 32-bit AtomicOps are completed.
    pub atomic_op_32_bit_completer_supported: bool,
    /// 64-bit AtomicOps are completed.
    pub atomic_op_64_bit_completer_supported: bool,
    /// 128-bit compare-and-swap is completed.
    pub cas_128_bit_completer_supported: bool,
    /// Posted requests never pass each other, relaxed ordering or not.
    pub no_ro_enabled_pr_pr_passing: bool,
    /// Latency Tolerance Reporting is supported.
    pub ltr_mechanism_supported: bool,
    /// TLP Processing Hints understood.
    #[bits(2)]
    pub tph_completer_supported: u32,
    #[bits(2)]
    _reserved: u32,
    /// 10-bit tags are completed.
    pub ten_bit_tag_completer_supported: bool,
    /// 10-bit tags can be sent.
    pub ten_bit_tag_requester_supported: bool,
    /// Optimized Buffer Flush/Fill: bit 0 by message, bit 1 by WAKE#.
    #[bits(2)]
    pub obff_supported: u32,
    /// The Fmt field has 3 bits.
    pub extended_fmt_field_supported: bool,
    /// End-End TLP prefixes are supported.
    pub end_end_tlp_prefix_supported: bool,
    /// How many; 0 means 4.
    #[bits(2)]
    pub max_end_end_tlp_prefixes: u32,
    /// Emergency Power Reduction, encoded.
    #[bits(2)]
    pub emergency_power_reduction_supported: u32,
    /// Leaving the reduced state needs the function to be initialised again.
    pub emergency_power_reduction_init_required: bool,
    #[bits(1)]
    _reserved2: u32,
    /// Deferrable Memory Writes are completed.
    pub dmwr_completer_supported: bool,
    /// Their largest length, encoded.
    #[bits(2)]
    pub dmwr_lengths_supported: u32,
    /// Function Readiness Status messages are supported.
    pub frs_supported: bool,
}

const _: () = assert!(size_of::<DeviceCapabilities2>() == 4);

/// The Device Control 2 register (PCIe 6.2 section 7.5.3.16).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct DeviceControl2 {
    /// Encoded; 0 is 50 us to 50 ms.
    #[bits(4)]
    pub completion_timeout_value: u16,
    /// Requests wait for ever.
    pub completion_timeout_disable: bool,
    /// Does not require device number 0 below the port.
    pub ari_forwarding_enable: bool,
    /// Allows sending AtomicOps.
    pub atomic_op_requester_enable: bool,
    /// Blocks AtomicOps that would leave here.
    pub atomic_op_egress_blocking: bool,
    /// Allows ID-based ordering in requests.
    pub ido_request_enable: bool,
    /// Allows ID-based ordering in completions.
    pub ido_completion_enable: bool,
    /// Latency Tolerance Reporting.
    pub ltr_mechanism_enable: bool,
    /// Asks for the reduced power state.
    pub emergency_power_reduction_request: bool,
    /// Allows sending 10-bit tags.
    pub ten_bit_tag_requester_enable: bool,
    /// Optimized Buffer Flush/Fill, encoded.
    #[bits(2)]
    pub obff_enable: u16,
    /// Blocks packets with End-End TLP prefixes that would leave here.
    pub end_end_tlp_prefix_blocking: bool,
}

const _: () = assert!(size_of::<DeviceControl2>() == 2);

/// The Device Status 2 register (PCIe 6.2 section 7.5.3.17): no bit is defined.
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct DeviceStatus2 {
    #[bits(16)]
    _reserved: u16,
}

const _: () = assert!(size_of::<DeviceStatus2>() == 2);

/// The Link Capabilities 2 register (PCIe 6.2 section 7.5.3.18).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct LinkCapabilities2 {
    #[bits(1)]
    _reserved: u32,
    /// [`SupportedLinkSpeedsVector`] as a number.
    #[inspect(with = "|x| SupportedLinkSpeedsVector(*x)")]
    #[bits(7)]
    pub supported_link_speeds_vector: u32,
    /// Crosslinks are supported.
    pub crosslink_supported: bool,
    /// Speeds, a bit each.
    #[bits(7)]
    pub lower_skp_os_generation_supported_speeds_vector: u32,
    /// Speeds, a bit each.
    #[bits(7)]
    pub lower_skp_os_reception_supported_speeds_vector: u32,
    /// A retimer is detected.
    pub retimer_presence_detect_supported: bool,
    /// Two retimers are detected.
    pub two_retimers_presence_detect_supported: bool,
    #[bits(6)]
    _reserved2: u32,
    /// Device Readiness Status messages are supported.
    pub drs_supported: bool,
}

const _: () = assert!(size_of::<LinkCapabilities2>() == 4);

/// The Link Control 2 register (PCIe 6.2 section 7.5.3.19).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct LinkControl2 {
    /// [`LinkSpeed`] as a number: the upper limit for downstream ports.
    #[inspect(with = "|x| LinkSpeed(u32::from(*x))")]
    #[bits(4)]
    pub target_link_speed: u16,
    /// Forces the link into compliance mode.
    pub enter_compliance: bool,
    /// Keeps hardware from changing the speed but for reliability.
    pub hardware_autonomous_speed_disable: bool,
    /// At 5.0 GT/s; 0: -6 dB; 1: -3.5 dB.
    #[bits(1)]
    pub selectable_de_emphasis: u16,
    /// Voltage level at the transmitter pins, for tests.
    #[bits(3)]
    pub transmit_margin: u16,
    /// Sends the modified compliance pattern.
    pub enter_modified_compliance: bool,
    /// Sends SKP ordered sets in compliance mode.
    pub compliance_sos: bool,
    /// Transmitter preset or de-emphasis in compliance mode.
    #[bits(4)]
    pub compliance_preset_de_emphasis: u16,
}

const _: () = assert!(size_of::<LinkControl2>() == 2);

/// The Link Status 2 register (PCIe 6.2 section 7.5.3.20).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct LinkStatus2 {
    /// At 5.0 GT/s; 0: -6 dB; 1: -3.5 dB.
    #[bits(1)]
    pub current_de_emphasis_level: u16,
    /// Equalization at 8.0 GT/s has ended.
    pub equalization_8gts_complete: bool,
    /// Its phase 1 succeeded.
    pub equalization_8gts_phase_1_successful: bool,
    /// Its phase 2 succeeded.
    pub equalization_8gts_phase_2_successful: bool,
    /// Its phase 3 succeeded.
    pub equalization_8gts_phase_3_successful: bool,
    /// Hardware asks for equalization at 8.0 GT/s.
    pub link_equalization_request_8gts: bool,
    /// A retimer is there.
    pub retimer_presence_detected: bool,
    /// Two retimers are there.
    pub two_retimers_presence_detected: bool,
    /// 1: upstream port; 2: downstream port.
    #[bits(2)]
    pub crosslink_resolution: u16,
    /// The link is in Flit Mode.
    pub flit_mode_status: bool,
    #[bits(1)]
    _reserved: u16,
    /// What is known of the component below, encoded.
    #[bits(3)]
    pub downstream_component_presence: u16,
    /// A Device Readiness Status message came from below.
    pub drs_message_received: bool,
}

const _: () = assert!(size_of::<LinkStatus2>() == 2);

/// The Slot Capabilities 2 register (PCIe 6.2 section 7.5.3.21).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct SlotCapabilities2 {
    /// In-band presence detection can be left out.
    pub in_band_pd_disable_supported: bool,
    #[bits(31)]
    _reserved: u32,
}

const _: () = assert!(size_of::<SlotCapabilities2>() == 4);

/// The Slot Control 2 register (PCIe 6.2 section 7.5.3.22): no bit is defined.
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct SlotControl2 {
    #[bits(16)]
    _reserved: u16,
}

const _: () = assert!(size_of::<SlotControl2>() == 2);

/// The Slot Status 2 register (PCIe 6.2 section 7.5.3.23): no bit is defined.
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct SlotStatus2 {
    #[bits(16)]
    _reserved: u16,
}

const _: () = assert!(size_of::<SlotStatus2>() == 2);
