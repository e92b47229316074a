//! Advanced Error Reporting (PCIe 6.2 section 7.8.4): which errors a function detected, the packet that caused the first one,
//! and, in root ports and root complex event collectors, who reported errors to them.
//!
//! Not emulated: errors of Integrity and Data Encryption, logs of flit mode (version 3 of the capability).

use super::ExtendedCapabilityHeader;
use bitfield_struct::bitfield;
use inspect::Inspect;
use open_enum::open_enum;
use reg_table::register_block;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// An uncorrectable error, as the number of its bit; First Error Pointer holds such numbers.
#[open_enum]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash, Inspect)]
#[inspect(debug)]
#[repr(u8)]
pub enum UncorrectableErrorBit {
    /// Data Link Protocol Error.
    DATA_LINK_PROTOCOL = 4,
    /// Surprise Down Error.
    SURPRISE_DOWN = 5,
    /// Poisoned TLP Received.
    POISONED_TLP_RECEIVED = 12,
    /// Flow Control Protocol Error.
    FLOW_CONTROL_PROTOCOL = 13,
    /// Completion Timeout.
    COMPLETION_TIMEOUT = 14,
    /// Completer Abort.
    COMPLETER_ABORT = 15,
    /// Unexpected Completion.
    UNEXPECTED_COMPLETION = 16,
    /// Receiver Overflow.
    RECEIVER_OVERFLOW = 17,
    /// Malformed TLP.
    MALFORMED_TLP = 18,
    /// ECRC Error.
    ECRC_ERROR = 19,
    /// Unsupported Request Error.
    UNSUPPORTED_REQUEST = 20,
    /// ACS Violation.
    ACS_VIOLATION = 21,
    /// Uncorrectable Internal Error.
    UNCORRECTABLE_INTERNAL = 22,
    /// MC Blocked TLP.
    MC_BLOCKED_TLP = 23,
    /// AtomicOp Egress Blocked.
    ATOMIC_OP_EGRESS_BLOCKED = 24,
    /// TLP Prefix Blocked Error.
    TLP_PREFIX_BLOCKED = 25,
    /// Poisoned TLP Egress Blocked.
    POISONED_TLP_EGRESS_BLOCKED = 26,
    /// DMWr Request Egress Blocked.
    DMWR_REQUEST_EGRESS_BLOCKED = 27,
}

bit_conversions!(UncorrectableErrorBit, u8);

/// Uncorrectable errors, a bit each: status, mask and severity (PCIe 6.2 section 7.8.4.2 to section 7.8.4.4).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct UncorrectableErrors {
    #[bits(4)]
    _reserved1: u32,
    /// Data Link Protocol Error.
    pub data_link_protocol: bool,
    /// Surprise Down Error.
    pub surprise_down: bool,
    #[bits(6)]
    _reserved2: u32,
    /// Poisoned TLP Received.
    pub poisoned_tlp_received: bool,
    /// Flow Control Protocol Error.
    pub flow_control_protocol: bool,
    /// Completion Timeout.
    pub completion_timeout: bool,
    /// Completer Abort.
    pub completer_abort: bool,
    /// Unexpected Completion.
    pub unexpected_completion: bool,
    /// Receiver Overflow.
    pub receiver_overflow: bool,
    /// Malformed TLP.
    pub malformed_tlp: bool,
    /// ECRC Error.
    pub ecrc_error: bool,
    /// Unsupported Request Error.
    pub unsupported_request: bool,
    /// ACS Violation.
    pub acs_violation: bool,
    /// Uncorrectable Internal Error.
    pub uncorrectable_internal: bool,
    /// MC Blocked TLP.
    pub mc_blocked_tlp: bool,
    /// AtomicOp Egress Blocked.
    pub atomic_op_egress_blocked: bool,
    /// TLP Prefix Blocked Error.
    pub tlp_prefix_blocked: bool,
    /// Poisoned TLP Egress Blocked.
    pub poisoned_tlp_egress_blocked: bool,
    /// DMWr Request Egress Blocked.
    pub dmwr_request_egress_blocked: bool,
    #[bits(4)]
    _reserved3: u32,
}

const _: () = assert!(size_of::<UncorrectableErrors>() == 4);

/// Correctable errors, a bit each: status and mask (PCIe 6.2 section 7.8.4.5 and section 7.8.4.6).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct CorrectableErrors {
    /// Receiver Error.
    pub receiver_error: bool,
    #[bits(5)]
    _reserved1: u32,
    /// Bad TLP.
    pub bad_tlp: bool,
    /// Bad DLLP.
    pub bad_dllp: bool,
    /// REPLAY_NUM Rollover.
    pub replay_num_rollover: bool,
    #[bits(3)]
    _reserved2: u32,
    /// Replay Timer Timeout.
    pub replay_timer_timeout: bool,
    /// Advisory Non-Fatal Error.
    pub advisory_non_fatal: bool,
    /// Corrected Internal Error.
    pub corrected_internal: bool,
    /// Header Log Overflow.
    pub header_log_overflow: bool,
    #[bits(16)]
    _reserved3: u32,
}

const _: () = assert!(size_of::<CorrectableErrors>() == 4);

/// Advanced Error Capabilities and Control (PCIe 6.2 section 7.8.4.7).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct AdvancedErrorControl {
    /// The error whose header is in the log; valid while its status bit is set.
    #[bits(5)]
    pub first_error_pointer: UncorrectableErrorBit,
    /// The function can generate ECRC.
    pub ecrc_generation_capable: bool,
    /// It does.
    pub ecrc_generation_enable: bool,
    /// The function can check ECRC.
    pub ecrc_check_capable: bool,
    /// It does.
    pub ecrc_check_enable: bool,
    /// The function can keep the headers of several errors.
    pub multiple_header_recording_capable: bool,
    /// It does.
    pub multiple_header_recording_enable: bool,
    /// The TLP Prefix Log belongs to the header in the log.
    pub tlp_prefix_log_present: bool,
    /// The header of a request whose completion timed out is logged.
    pub completion_timeout_log_capable: bool,
    #[bits(19)]
    _reserved: u32,
}

const _: () = assert!(size_of::<AdvancedErrorControl>() == 4);

/// Root Error Command (PCIe 6.2 section 7.8.4.9).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct RootErrorCommand {
    /// Interrupts for correctable errors.
    pub correctable_error_reporting_enable: bool,
    /// Interrupts for non-fatal errors.
    pub non_fatal_error_reporting_enable: bool,
    /// Interrupts for fatal errors.
    pub fatal_error_reporting_enable: bool,
    #[bits(29)]
    _reserved: u32,
}

const _: () = assert!(size_of::<RootErrorCommand>() == 4);

/// Root Error Status (PCIe 6.2 section 7.8.4.10).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct RootErrorStatus {
    /// ERR_COR came.
    pub err_cor_received: bool,
    /// ERR_COR came while the bit above was set.
    pub multiple_err_cor_received: bool,
    /// ERR_NONFATAL or ERR_FATAL came.
    pub err_fatal_nonfatal_received: bool,
    /// ERR_NONFATAL or ERR_FATAL came while the bit above was set.
    pub multiple_err_fatal_nonfatal_received: bool,
    /// The first of these was ERR_FATAL.
    pub first_uncorrectable_fatal: bool,
    /// ERR_NONFATAL came.
    pub non_fatal_error_messages_received: bool,
    /// ERR_FATAL came.
    pub fatal_error_messages_received: bool,
    /// Kind of the ERR_COR whose source is latched.
    #[bits(2)]
    pub err_cor_subclass: u8,
    #[bits(18)]
    _reserved: u32,
    /// Which vector of MSI or MSI-X is used.
    #[bits(5)]
    pub interrupt_message_number: u8,
}

const _: () = assert!(size_of::<RootErrorStatus>() == 4);

/// Error Source Identification (PCIe 6.2 section 7.8.4.11).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct ErrorSource {
    /// Requester ID of the first ERR_COR.
    #[inspect(hex)]
    pub err_cor_source: u16,
    /// Requester ID of the first ERR_NONFATAL or ERR_FATAL.
    #[inspect(hex)]
    pub err_fatal_nonfatal_source: u16,
}

const _: () = assert!(size_of::<ErrorSource>() == 4);

register_block! {
    /// The AER extended capability, version 2. The composer narrows the errors to those the function can detect and
    /// the controls to its capabilities; the registers from 2Ch to 37h are reserved in a function that is neither a
    /// root port nor a root complex event collector.
    pub AER: AerReg = "aer" {
        title: "Advanced Error Reporting extended capability",
        section: "PCIe 6.2 section 7.8.4",
        bytes: 0x48,
    }
    0x00 header: u32 as ExtendedCapabilityHeader = 0x0002_0001, "PCIe 6.2 section 7.8.4.1" {
        ro: [capability_id, capability_version, next_offset],
    }
    0x04 uncorrectable_status: u32 as UncorrectableErrors = 0, "PCIe 6.2 section 7.8.4.2" {
        rw1cs: [
            data_link_protocol,
            surprise_down,
            poisoned_tlp_received,
            flow_control_protocol,
            completion_timeout,
            completer_abort,
            unexpected_completion,
            receiver_overflow,
            malformed_tlp,
            ecrc_error,
            unsupported_request,
            acs_violation,
            uncorrectable_internal,
            mc_blocked_tlp,
            atomic_op_egress_blocked,
            tlp_prefix_blocked,
            poisoned_tlp_egress_blocked,
            dmwr_request_egress_blocked,
        ],
    }
    0x08 uncorrectable_mask: u32 as UncorrectableErrors = 0x0440_0000, "PCIe 6.2 section 7.8.4.3" {
        rws: [
            data_link_protocol,
            surprise_down,
            poisoned_tlp_received,
            flow_control_protocol,
            completion_timeout,
            completer_abort,
            unexpected_completion,
            receiver_overflow,
            malformed_tlp,
            ecrc_error,
            unsupported_request,
            acs_violation,
            uncorrectable_internal,
            mc_blocked_tlp,
            atomic_op_egress_blocked,
            tlp_prefix_blocked,
            poisoned_tlp_egress_blocked,
            dmwr_request_egress_blocked,
        ],
    }
    0x0c uncorrectable_severity: u32 as UncorrectableErrors = 0x0046_2030, "PCIe 6.2 section 7.8.4.4" {
        rws: [
            data_link_protocol,
            surprise_down,
            poisoned_tlp_received,
            flow_control_protocol,
            completion_timeout,
            completer_abort,
            unexpected_completion,
            receiver_overflow,
            malformed_tlp,
            ecrc_error,
            unsupported_request,
            acs_violation,
            uncorrectable_internal,
            mc_blocked_tlp,
            atomic_op_egress_blocked,
            tlp_prefix_blocked,
            poisoned_tlp_egress_blocked,
            dmwr_request_egress_blocked,
        ],
    }
    0x10 correctable_status: u32 as CorrectableErrors = 0, "PCIe 6.2 section 7.8.4.5" {
        rw1cs: [
            receiver_error,
            bad_tlp,
            bad_dllp,
            replay_num_rollover,
            replay_timer_timeout,
            advisory_non_fatal,
            corrected_internal,
            header_log_overflow,
        ],
    }
    0x14 correctable_mask: u32 as CorrectableErrors = 0x0000_e000, "PCIe 6.2 section 7.8.4.6" {
        rws: [
            receiver_error,
            bad_tlp,
            bad_dllp,
            replay_num_rollover,
            replay_timer_timeout,
            advisory_non_fatal,
            corrected_internal,
            header_log_overflow,
        ],
    }
    0x18 control: u32 as AdvancedErrorControl = 0, "PCIe 6.2 section 7.8.4.7" {
        ros: [first_error_pointer, tlp_prefix_log_present],
        hwinit: [
            ecrc_generation_capable, ecrc_check_capable, multiple_header_recording_capable,
            completion_timeout_log_capable,
        ],
        rws: [ecrc_generation_enable, ecrc_check_enable, multiple_header_recording_enable],
    }
    0x1c header_log_0: u32 as () = 0, "PCIe 6.2 section 7.8.4.8" { ros: [value[31:0]] }
    0x20 header_log_1: u32 as () = 0, "PCIe 6.2 section 7.8.4.8" { ros: [value[31:0]] }
    0x24 header_log_2: u32 as () = 0, "PCIe 6.2 section 7.8.4.8" { ros: [value[31:0]] }
    0x28 header_log_3: u32 as () = 0, "PCIe 6.2 section 7.8.4.8" { ros: [value[31:0]] }
    0x2c root_error_command: u32 as RootErrorCommand = 0, "PCIe 6.2 section 7.8.4.9" {
        rw: [
            correctable_error_reporting_enable, non_fatal_error_reporting_enable, fatal_error_reporting_enable,
        ],
    }
    0x30 root_error_status: u32 as RootErrorStatus = 0, "PCIe 6.2 section 7.8.4.10" {
        rw1cs: [
            err_cor_received, multiple_err_cor_received, err_fatal_nonfatal_received,
            multiple_err_fatal_nonfatal_received, first_uncorrectable_fatal, non_fatal_error_messages_received,
            fatal_error_messages_received,
        ],
        ros: [err_cor_subclass],
        hwinit: [interrupt_message_number],
    }
    0x34 error_source: u32 as ErrorSource = 0, "PCIe 6.2 section 7.8.4.11" {
        ros: [err_cor_source, err_fatal_nonfatal_source],
    }
    0x38 tlp_prefix_log_0: u32 as () = 0, "PCIe 6.2 section 7.8.4.12" { ros: [value[31:0]] }
    0x3c tlp_prefix_log_1: u32 as () = 0, "PCIe 6.2 section 7.8.4.12" { ros: [value[31:0]] }
    0x40 tlp_prefix_log_2: u32 as () = 0, "PCIe 6.2 section 7.8.4.12" { ros: [value[31:0]] }
    0x44 tlp_prefix_log_3: u32 as () = 0, "PCIe 6.2 section 7.8.4.12" { ros: [value[31:0]] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::BlockRegister;

    #[test]
    fn registers_lie_where_linux_expects_them() {
        assert_eq!(AerReg::Header.register().reset & 0xffff, 0x01); // PCI_EXT_CAP_ID_ERR
        for (register, offset) in [
            (AerReg::UncorrectableStatus, 0x04),   // PCI_ERR_UNCOR_STATUS
            (AerReg::UncorrectableMask, 0x08),     // PCI_ERR_UNCOR_MASK
            (AerReg::UncorrectableSeverity, 0x0c), // PCI_ERR_UNCOR_SEVER
            (AerReg::CorrectableStatus, 0x10),     // PCI_ERR_COR_STATUS
            (AerReg::CorrectableMask, 0x14),       // PCI_ERR_COR_MASK
            (AerReg::Control, 0x18),               // PCI_ERR_CAP
            (AerReg::HeaderLog0, 0x1c),            // PCI_ERR_HEADER_LOG
            (AerReg::RootErrorCommand, 0x2c),      // PCI_ERR_ROOT_COMMAND
            (AerReg::RootErrorStatus, 0x30),       // PCI_ERR_ROOT_STATUS
            (AerReg::ErrorSource, 0x34),           // PCI_ERR_ROOT_ERR_SRC
        ] {
            assert_eq!(register.register().offset, offset, "{register:?}");
        }
    }

    #[test]
    fn errors_lie_where_linux_expects_them() {
        let new = UncorrectableErrors::new;
        for (errors, bits) in [
            (new().with_data_link_protocol(true), 0x00000010), // PCI_ERR_UNC_DLP
            (new().with_surprise_down(true), 0x00000020),      // PCI_ERR_UNC_SURPDN
            (new().with_poisoned_tlp_received(true), 0x00001000), // PCI_ERR_UNC_POISON_TLP
            (new().with_flow_control_protocol(true), 0x00002000), // PCI_ERR_UNC_FCP
            (new().with_completion_timeout(true), 0x00004000), // PCI_ERR_UNC_COMP_TIME
            (new().with_completer_abort(true), 0x00008000),    // PCI_ERR_UNC_COMP_ABORT
            (new().with_unexpected_completion(true), 0x00010000), // PCI_ERR_UNC_UNX_COMP
            (new().with_receiver_overflow(true), 0x00020000),  // PCI_ERR_UNC_RX_OVER
            (new().with_malformed_tlp(true), 0x00040000),      // PCI_ERR_UNC_MALF_TLP
            (new().with_ecrc_error(true), 0x00080000),         // PCI_ERR_UNC_ECRC
            (new().with_unsupported_request(true), 0x00100000), // PCI_ERR_UNC_UNSUP
            (new().with_acs_violation(true), 0x00200000),      // PCI_ERR_UNC_ACSV
            (new().with_uncorrectable_internal(true), 0x00400000), // PCI_ERR_UNC_INTN
            (new().with_mc_blocked_tlp(true), 0x00800000),     // PCI_ERR_UNC_MCBTLP
            (new().with_atomic_op_egress_blocked(true), 0x01000000), // PCI_ERR_UNC_ATOMEG
            (new().with_tlp_prefix_blocked(true), 0x02000000), // PCI_ERR_UNC_TLPPRE
        ] {
            assert_eq!(errors.into_bits(), bits, "{errors:?}");
        }
        let new = CorrectableErrors::new;
        for (errors, bits) in [
            (new().with_receiver_error(true), 0x00000001), // PCI_ERR_COR_RCVR
            (new().with_bad_tlp(true), 0x00000040),        // PCI_ERR_COR_BAD_TLP
            (new().with_bad_dllp(true), 0x00000080),       // PCI_ERR_COR_BAD_DLLP
            (new().with_replay_num_rollover(true), 0x00000100), // PCI_ERR_COR_REP_ROLL
            (new().with_replay_timer_timeout(true), 0x00001000), // PCI_ERR_COR_REP_TIMER
            (new().with_advisory_non_fatal(true), 0x00002000), // PCI_ERR_COR_ADV_NFAT
            (new().with_corrected_internal(true), 0x00004000), // PCI_ERR_COR_INTERNAL
            (new().with_header_log_overflow(true), 0x00008000), // PCI_ERR_COR_LOG_OVER
        ] {
            assert_eq!(errors.into_bits(), bits, "{errors:?}");
        }
        assert_eq!(
            UncorrectableErrors::new()
                .with_unsupported_request(true)
                .into_bits(),
            1 << UncorrectableErrorBit::UNSUPPORTED_REQUEST.0
        );
    }

    #[test]
    fn control_and_root_bits_lie_where_linux_expects_them() {
        let new = AdvancedErrorControl::new;
        for (control, bits) in [
            (
                new().with_first_error_pointer(UncorrectableErrorBit(31)),
                0x01f,
            ), // PCI_ERR_CAP_FEP
            (new().with_ecrc_generation_capable(true), 0x020), // PCI_ERR_CAP_ECRC_GENC
            (new().with_ecrc_generation_enable(true), 0x040),  // PCI_ERR_CAP_ECRC_GENE
            (new().with_ecrc_check_capable(true), 0x080),      // PCI_ERR_CAP_ECRC_CHKC
            (new().with_ecrc_check_enable(true), 0x100),       // PCI_ERR_CAP_ECRC_CHKE
        ] {
            assert_eq!(control.into_bits(), bits, "{control:?}");
        }
        let new = RootErrorCommand::new;
        for (command, bits) in [
            (new().with_correctable_error_reporting_enable(true), 0x1), // PCI_ERR_ROOT_CMD_COR_EN
            (new().with_non_fatal_error_reporting_enable(true), 0x2), // PCI_ERR_ROOT_CMD_NONFATAL_EN
            (new().with_fatal_error_reporting_enable(true), 0x4),     // PCI_ERR_ROOT_CMD_FATAL_EN
        ] {
            assert_eq!(command.into_bits(), bits, "{command:?}");
        }
        let new = RootErrorStatus::new;
        for (status, bits) in [
            (new().with_err_cor_received(true), 0x01), // PCI_ERR_ROOT_COR_RCV
            (new().with_multiple_err_cor_received(true), 0x02), // PCI_ERR_ROOT_MULTI_COR_RCV
            (new().with_err_fatal_nonfatal_received(true), 0x04), // PCI_ERR_ROOT_UNCOR_RCV
            (new().with_multiple_err_fatal_nonfatal_received(true), 0x08), // PCI_ERR_ROOT_MULTI_UNCOR_RCV
            (new().with_first_uncorrectable_fatal(true), 0x10), // PCI_ERR_ROOT_FIRST_FATAL
            (new().with_non_fatal_error_messages_received(true), 0x20), // PCI_ERR_ROOT_NONFATAL_RCV
            (new().with_fatal_error_messages_received(true), 0x40), // PCI_ERR_ROOT_FATAL_RCV
            (new().with_interrupt_message_number(31), 0xf800_0000), // PCI_ERR_ROOT_AER_IRQ
        ] {
            assert_eq!(status.into_bits(), bits, "{status:?}");
        }
    }
}
