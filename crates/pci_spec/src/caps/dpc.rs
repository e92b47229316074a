//! Downstream Port Containment (PCIe 6.2 section 7.9.14): after an uncorrectable error, the port takes its link down before
//! bad data spreads.
//!
//! Not emulated: TLP prefixes in the RP PIO log, SIG_SFW triggering.

use super::ExtendedCapabilityHeader;
use bitfield_struct::bitfield;
use inspect::Inspect;
use open_enum::open_enum;
use reg_table::register_block;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// DPC Capability (PCIe 6.2 section 7.9.14.2).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct DpcCapability {
    /// Which vector of MSI or MSI-X is used.
    #[bits(5)]
    pub interrupt_message_number: u8,
    /// The registers from 0Ch on are there; root ports only.
    pub rp_extensions_for_dpc: bool,
    /// Poisoned packets can be kept from leaving.
    pub poisoned_tlp_egress_blocking_supported: bool,
    /// Software can trigger.
    pub software_triggering_supported: bool,
    /// Dwords of the RP PIO log, low bits.
    #[bits(4)]
    pub rp_pio_log_size: u8,
    /// ERR_COR can be sent when the link comes up again.
    pub dl_active_err_cor_signaling_supported: bool,
    #[bits(3)]
    _reserved: u16,
}

const _: () = assert!(size_of::<DpcCapability>() == 2);

/// What triggers containment (PCIe 6.2 section 7.9.14.3).
#[open_enum]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash, Inspect)]
#[inspect(debug)]
#[repr(u16)]
pub enum DpcTriggerEnable {
    /// Nothing.
    DISABLED = 0,
    /// An unmasked uncorrectable error of the port, or ERR_FATAL from below.
    FATAL = 1,
    /// An unmasked uncorrectable error of the port, or ERR_NONFATAL or ERR_FATAL from below.
    NON_FATAL = 2,
}

bit_conversions!(DpcTriggerEnable, u16);

/// DPC Control (PCIe 6.2 section 7.9.14.3).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct DpcControl {
    /// What triggers containment.
    #[bits(2)]
    pub trigger_enable: DpcTriggerEnable,
    /// Requests to below complete with Unsupported Request instead of Completer Abort.
    pub completion_control: bool,
    /// Interrupts when triggered.
    pub interrupt_enable: bool,
    /// Sends ERR_COR when triggered.
    pub err_cor_enable: bool,
    /// Keeps poisoned packets from leaving.
    pub poisoned_tlp_egress_blocking_enable: bool,
    /// Triggers.
    pub software_trigger: bool,
    /// Sends ERR_COR when the link comes up.
    pub dl_active_err_cor_enable: bool,
    #[bits(8)]
    _reserved: u16,
}

const _: () = assert!(size_of::<DpcControl>() == 2);

/// Why containment was triggered (PCIe 6.2 section 7.9.14.4).
#[open_enum]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash, Inspect)]
#[inspect(debug)]
#[repr(u16)]
pub enum DpcTriggerReason {
    /// The port itself detected an unmasked uncorrectable error.
    UNMASKED_UNCORRECTABLE_ERROR = 0,
    /// ERR_NONFATAL came from below.
    ERR_NONFATAL_RECEIVED = 1,
    /// ERR_FATAL came from below.
    ERR_FATAL_RECEIVED = 2,
    /// See [`DpcTriggerReasonExtension`].
    EXTENSION = 3,
}

bit_conversions!(DpcTriggerReason, u16);

/// The further reason of [`DpcTriggerReason::EXTENSION`].
#[open_enum]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash, Inspect)]
#[inspect(debug)]
#[repr(u16)]
pub enum DpcTriggerReasonExtension {
    /// A request of the root complex failed.
    RP_PIO_ERROR = 0,
    /// Software triggered.
    SOFTWARE_TRIGGER = 1,
}

bit_conversions!(DpcTriggerReasonExtension, u16);

/// DPC Status (PCIe 6.2 section 7.9.14.4).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct DpcStatus {
    /// The link is held down; clearing this releases it.
    pub trigger_status: bool,
    /// Why.
    #[bits(2)]
    pub trigger_reason: DpcTriggerReason,
    /// Triggered while the interrupt was enabled.
    pub interrupt_status: bool,
    /// The root port is not done with stopping traffic: software may not release it yet.
    pub rp_busy: bool,
    /// Why, further.
    #[bits(2)]
    pub trigger_reason_extension: DpcTriggerReasonExtension,
    #[bits(1)]
    _reserved: u16,
    /// The RP PIO error whose header is in the log.
    #[bits(5)]
    pub rp_pio_first_error_pointer: u8,
    #[bits(3)]
    _reserved2: u16,
}

const _: () = assert!(size_of::<DpcStatus>() == 2);

/// Failed requests of the root complex, a bit each: status, mask, severity, SysError and exception (PCIe 6.2 section
/// 7.9.14.6 to section 7.9.14.10).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct RpPioErrors {
    /// A configuration request ended in Unsupported Request.
    pub cfg_ur_cpl: bool,
    /// A configuration request ended in Completer Abort.
    pub cfg_ca_cpl: bool,
    /// A configuration request timed out.
    pub cfg_cto: bool,
    #[bits(5)]
    _reserved1: u32,
    /// An I/O request ended in Unsupported Request.
    pub io_ur_cpl: bool,
    /// An I/O request ended in Completer Abort.
    pub io_ca_cpl: bool,
    /// An I/O request timed out.
    pub io_cto: bool,
    #[bits(5)]
    _reserved2: u32,
    /// A memory request ended in Unsupported Request.
    pub mem_ur_cpl: bool,
    /// A memory request ended in Completer Abort.
    pub mem_ca_cpl: bool,
    /// A memory request timed out.
    pub mem_cto: bool,
    #[bits(13)]
    _reserved3: u32,
}

const _: () = assert!(size_of::<RpPioErrors>() == 4);

register_block! {
    /// The DPC extended capability with the root port extensions and a log of 5 dwords; without them, all from 0Ch on is
    /// reserved.
    pub DPC: DpcReg = "dpc" {
        title: "Downstream Port Containment extended capability",
        section: "PCIe 6.2 section 7.9.14",
        bytes: 0x34,
    }
    0x00 header: u32 as ExtendedCapabilityHeader = 0x0001_001d, "PCIe 6.2 section 7.9.14.1" {
        ro: [capability_id, capability_version, next_offset],
    }
    0x04 capability: u16 as DpcCapability = 0, "PCIe 6.2 section 7.9.14.2" {
        hwinit: [
            interrupt_message_number, rp_extensions_for_dpc, poisoned_tlp_egress_blocking_supported,
            software_triggering_supported, rp_pio_log_size, dl_active_err_cor_signaling_supported,
        ],
    }
    0x06 control: u16 as DpcControl = 0, "PCIe 6.2 section 7.9.14.3" {
        rw: [
            trigger_enable, completion_control, interrupt_enable, err_cor_enable, poisoned_tlp_egress_blocking_enable,
            dl_active_err_cor_enable,
        ],
        strobe: [software_trigger],
    }
    0x08 status: u16 as DpcStatus = 0, "PCIe 6.2 section 7.9.14.4" {
        rw1cs: [trigger_status, interrupt_status],
        ros: [trigger_reason, trigger_reason_extension, rp_pio_first_error_pointer],
        ro: [rp_busy],
    }
    0x0a error_source_id: u16 as () = 0, "PCIe 6.2 section 7.9.14.5" { ros: [value[15:0]] }
    0x0c rp_pio_status: u32 as RpPioErrors = 0, "PCIe 6.2 section 7.9.14.6" {
        rw1cs: [cfg_ur_cpl, cfg_ca_cpl, cfg_cto, io_ur_cpl, io_ca_cpl, io_cto, mem_ur_cpl, mem_ca_cpl, mem_cto],
    }
    0x10 rp_pio_mask: u32 as RpPioErrors = 0x0007_0707, "PCIe 6.2 section 7.9.14.7" {
        rws: [cfg_ur_cpl, cfg_ca_cpl, cfg_cto, io_ur_cpl, io_ca_cpl, io_cto, mem_ur_cpl, mem_ca_cpl, mem_cto],
    }
    0x14 rp_pio_severity: u32 as RpPioErrors = 0, "PCIe 6.2 section 7.9.14.8" {
        rws: [cfg_ur_cpl, cfg_ca_cpl, cfg_cto, io_ur_cpl, io_ca_cpl, io_cto, mem_ur_cpl, mem_ca_cpl, mem_cto],
    }
    0x18 rp_pio_sys_error: u32 as RpPioErrors = 0, "PCIe 6.2 section 7.9.14.9" {
        rws: [cfg_ur_cpl, cfg_ca_cpl, cfg_cto, io_ur_cpl, io_ca_cpl, io_cto, mem_ur_cpl, mem_ca_cpl, mem_cto],
    }
    0x1c rp_pio_exception: u32 as RpPioErrors = 0, "PCIe 6.2 section 7.9.14.10" {
        rws: [cfg_ur_cpl, cfg_ca_cpl, cfg_cto, io_ur_cpl, io_ca_cpl, io_cto, mem_ur_cpl, mem_ca_cpl, mem_cto],
    }
    0x20 rp_pio_header_log_0: u32 as () = 0, "PCIe 6.2 section 7.9.14.11" { ros: [value[31:0]] }
    0x24 rp_pio_header_log_1: u32 as () = 0, "PCIe 6.2 section 7.9.14.11" { ros: [value[31:0]] }
    0x28 rp_pio_header_log_2: u32 as () = 0, "PCIe 6.2 section 7.9.14.11" { ros: [value[31:0]] }
    0x2c rp_pio_header_log_3: u32 as () = 0, "PCIe 6.2 section 7.9.14.11" { ros: [value[31:0]] }
    0x30 rp_pio_impspec_log: u32 as () = 0, "PCIe 6.2 section 7.9.14.12" { ros: [value[31:0]] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::BlockRegister;

    #[test]
    fn registers_lie_where_linux_expects_them() {
        assert_eq!(DpcReg::Header.register().reset & 0xffff, 0x1d); // PCI_EXT_CAP_ID_DPC
        for (register, offset) in [
            (DpcReg::Capability, 0x04),      // PCI_EXP_DPC_CAP
            (DpcReg::Control, 0x06),         // PCI_EXP_DPC_CTL
            (DpcReg::Status, 0x08),          // PCI_EXP_DPC_STATUS
            (DpcReg::ErrorSourceId, 0x0a),   // PCI_EXP_DPC_SOURCE_ID
            (DpcReg::RpPioStatus, 0x0c),     // PCI_EXP_DPC_RP_PIO_STATUS
            (DpcReg::RpPioMask, 0x10),       // PCI_EXP_DPC_RP_PIO_MASK
            (DpcReg::RpPioSeverity, 0x14),   // PCI_EXP_DPC_RP_PIO_SEVERITY
            (DpcReg::RpPioSysError, 0x18),   // PCI_EXP_DPC_RP_PIO_SYSERROR
            (DpcReg::RpPioException, 0x1c),  // PCI_EXP_DPC_RP_PIO_EXCEPTION
            (DpcReg::RpPioHeaderLog0, 0x20), // PCI_EXP_DPC_RP_PIO_HEADER_LOG
            (DpcReg::RpPioImpspecLog, 0x30), // PCI_EXP_DPC_RP_PIO_IMPSPEC_LOG
        ] {
            assert_eq!(register.register().offset, offset, "{register:?}");
        }
    }

    #[test]
    fn bits_lie_where_linux_expects_them() {
        let new = DpcCapability::new;
        for (capability, bits) in [
            (new().with_interrupt_message_number(31), 0x001f), // PCI_EXP_DPC_IRQ
            (new().with_rp_extensions_for_dpc(true), 0x0020),  // PCI_EXP_DPC_CAP_RP_EXT
            (
                new().with_poisoned_tlp_egress_blocking_supported(true),
                0x0040,
            ), // PCI_EXP_DPC_CAP_POISONED_TLP
            (new().with_software_triggering_supported(true), 0x0080), // PCI_EXP_DPC_CAP_SW_TRIGGER
            (new().with_rp_pio_log_size(15), 0x0f00),          // PCI_EXP_DPC_RP_PIO_LOG_SIZE
            (
                new().with_dl_active_err_cor_signaling_supported(true),
                0x1000,
            ), // PCI_EXP_DPC_CAP_DL_ACTIVE
        ] {
            assert_eq!(capability.into_bits(), bits, "{capability:?}");
        }
        let new = DpcControl::new;
        for (control, bits) in [
            (new().with_trigger_enable(DpcTriggerEnable::FATAL), 0x0001), // PCI_EXP_DPC_CTL_EN_FATAL
            (
                new().with_trigger_enable(DpcTriggerEnable::NON_FATAL),
                0x0002,
            ), // PCI_EXP_DPC_CTL_EN_NONFATAL
            (new().with_interrupt_enable(true), 0x0008),                  // PCI_EXP_DPC_CTL_INT_EN
        ] {
            assert_eq!(control.into_bits(), bits, "{control:?}");
        }
        let new = DpcStatus::new;
        for (status, bits) in [
            (new().with_trigger_status(true), 0x0001), // PCI_EXP_DPC_STATUS_TRIGGER
            (
                new().with_trigger_reason(DpcTriggerReason::EXTENSION),
                0x0006,
            ), // PCI_EXP_DPC_STATUS_TRIGGER_RSN
            (new().with_interrupt_status(true), 0x0008), // PCI_EXP_DPC_STATUS_INTERRUPT
            (new().with_rp_busy(true), 0x0010),        // PCI_EXP_DPC_RP_BUSY
            (
                new().with_trigger_reason_extension(DpcTriggerReasonExtension(3)),
                0x0060,
            ), // PCI_EXP_DPC_STATUS_TRIGGER_RSN_EXT
            (new().with_rp_pio_first_error_pointer(31), 0x1f00), // PCI_EXP_DPC_RP_PIO_FEP
        ] {
            assert_eq!(status.into_bits(), bits, "{status:?}");
        }
    }
}
