//! L1 PM Substates (PCIe 6.2 section 7.8.3): deeper idle states of a link, with the clock and the common mode voltage off.
//!
//! Not emulated: the states themselves (the link is always at work), Link Activation.

use super::ExtendedCapabilityHeader;
use bitfield_struct::bitfield;
use inspect::Inspect;
use reg_table::register_block;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// L1 PM Substates Capabilities (PCIe 6.2 section 7.8.3.2).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct L1PmSubstatesCapabilities {
    /// PCI-PM L1.2 is supported.
    pub pci_pm_l1_2_supported: bool,
    /// PCI-PM L1.1 is supported.
    pub pci_pm_l1_1_supported: bool,
    /// ASPM L1.2 is supported.
    pub aspm_l1_2_supported: bool,
    /// ASPM L1.1 is supported.
    pub aspm_l1_1_supported: bool,
    /// Any of them is supported.
    pub l1_pm_substates_supported: bool,
    /// Link Activation is supported.
    pub link_activation_supported: bool,
    #[bits(2)]
    _reserved: u32,
    /// Microseconds that the port needs to restore the common mode voltage.
    pub port_common_mode_restore_time: u8,
    /// Unit of the following: 2, 10 or 100 µs.
    #[bits(2)]
    pub port_t_power_on_scale: u8,
    #[bits(1)]
    _reserved2: u32,
    /// Time that the port needs the other side to wait after clock request, in units of the scale.
    #[bits(5)]
    pub port_t_power_on_value: u8,
    #[bits(8)]
    _reserved3: u32,
}

const _: () = assert!(size_of::<L1PmSubstatesCapabilities>() == 4);

/// L1 PM Substates Control 1 (PCIe 6.2 section 7.8.3.3).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct L1PmSubstatesControl1 {
    /// Enables PCI-PM L1.2.
    pub pci_pm_l1_2_enable: bool,
    /// Enables PCI-PM L1.1.
    pub pci_pm_l1_1_enable: bool,
    /// Enables ASPM L1.2.
    pub aspm_l1_2_enable: bool,
    /// Enables ASPM L1.1.
    pub aspm_l1_1_enable: bool,
    #[bits(4)]
    _reserved: u32,
    /// Microseconds that the link takes to restore the common mode voltage; downstream ports only.
    pub common_mode_restore_time: u8,
    /// LTR value from which on L1.2 is entered, in units of the scale.
    #[bits(10)]
    pub ltr_l1_2_threshold_value: u16,
    #[bits(3)]
    _reserved2: u32,
    /// Nanoseconds a unit: 32 to the power of this.
    #[bits(3)]
    pub ltr_l1_2_threshold_scale: u8,
}

const _: () = assert!(size_of::<L1PmSubstatesControl1>() == 4);

/// L1 PM Substates Control 2 (PCIe 6.2 section 7.8.3.4).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct L1PmSubstatesControl2 {
    /// Unit of the following: 2, 10 or 100 µs.
    #[bits(2)]
    pub t_power_on_scale: u8,
    #[bits(1)]
    _reserved: u32,
    /// Time to wait after clock request, in units of the scale.
    #[bits(5)]
    pub t_power_on_value: u8,
    #[bits(24)]
    _reserved2: u32,
}

const _: () = assert!(size_of::<L1PmSubstatesControl2>() == 4);

register_block! {
    /// The L1 PM Substates extended capability, version 1. The composer gives the capability bits and narrows the
    /// enables to them. A function-level reset leaves the controls alone: they are the link's (PCIe 6.2 section 6.6.2).
    pub L1_PM_SUBSTATES: L1PmSubstatesReg = "l1_pm_substates" {
        title: "L1 PM Substates extended capability",
        section: "PCIe 6.2 section 7.8.3",
        bytes: 0x10,
    }
    0x00 header: u32 as ExtendedCapabilityHeader = 0x0001_001e, "PCIe 6.2 section 7.8.3.1" {
        ro: [capability_id, capability_version, next_offset],
    }
    0x04 capabilities: u32 as L1PmSubstatesCapabilities = 0, "PCIe 6.2 section 7.8.3.2" {
        hwinit: [
            pci_pm_l1_2_supported, pci_pm_l1_1_supported, aspm_l1_2_supported, aspm_l1_1_supported,
            l1_pm_substates_supported, link_activation_supported, port_common_mode_restore_time,
            port_t_power_on_scale, port_t_power_on_value,
        ],
    }
    0x08 control_1: u32 as L1PmSubstatesControl1 = 0, "PCIe 6.2 section 7.8.3.3" {
        rw_not_flr: [
            pci_pm_l1_2_enable, pci_pm_l1_1_enable, aspm_l1_2_enable, aspm_l1_1_enable, common_mode_restore_time,
            ltr_l1_2_threshold_value, ltr_l1_2_threshold_scale,
        ],
    }
    0x0c control_2: u32 as L1PmSubstatesControl2 = 0x28, "PCIe 6.2 section 7.8.3.4" {
        rw_not_flr: [t_power_on_scale, t_power_on_value],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::BlockRegister;

    #[test]
    fn bits_lie_where_linux_expects_them() {
        assert_eq!(L1PmSubstatesReg::Header.register().reset & 0xffff, 0x1e); // PCI_EXT_CAP_ID_L1SS
        assert_eq!(L1PmSubstatesReg::Capabilities.register().offset, 0x04); // PCI_L1SS_CAP
        assert_eq!(L1PmSubstatesReg::Control1.register().offset, 0x08); // PCI_L1SS_CTL1
        assert_eq!(L1PmSubstatesReg::Control2.register().offset, 0x0c); // PCI_L1SS_CTL2
        let new = L1PmSubstatesCapabilities::new;
        for (capabilities, bits) in [
            (new().with_pci_pm_l1_2_supported(true), 0x0000_0001), // PCI_L1SS_CAP_PCIPM_L1_2
            (new().with_pci_pm_l1_1_supported(true), 0x0000_0002), // PCI_L1SS_CAP_PCIPM_L1_1
            (new().with_aspm_l1_2_supported(true), 0x0000_0004),   // PCI_L1SS_CAP_ASPM_L1_2
            (new().with_aspm_l1_1_supported(true), 0x0000_0008),   // PCI_L1SS_CAP_ASPM_L1_1
            (new().with_l1_pm_substates_supported(true), 0x0000_0010), // PCI_L1SS_CAP_L1_PM_SS
            (new().with_port_common_mode_restore_time(0xff), 0x0000_ff00), // PCI_L1SS_CAP_CM_RESTORE_TIME
            (new().with_port_t_power_on_scale(3), 0x0003_0000), // PCI_L1SS_CAP_P_PWR_ON_SCALE
            (new().with_port_t_power_on_value(0x1f), 0x00f8_0000), // PCI_L1SS_CAP_P_PWR_ON_VALUE
        ] {
            assert_eq!(capabilities.into_bits(), bits, "{capabilities:?}");
        }
        let new = L1PmSubstatesControl1::new;
        for (control, bits) in [
            (new().with_pci_pm_l1_2_enable(true), 0x0000_0001), // PCI_L1SS_CTL1_PCIPM_L1_2
            (new().with_pci_pm_l1_1_enable(true), 0x0000_0002), // PCI_L1SS_CTL1_PCIPM_L1_1
            (new().with_aspm_l1_2_enable(true), 0x0000_0004),   // PCI_L1SS_CTL1_ASPM_L1_2
            (new().with_aspm_l1_1_enable(true), 0x0000_0008),   // PCI_L1SS_CTL1_ASPM_L1_1
            (new().with_common_mode_restore_time(0xff), 0x0000_ff00), // PCI_L1SS_CTL1_CM_RESTORE_TIME
            (new().with_ltr_l1_2_threshold_value(0x3ff), 0x03ff_0000), // PCI_L1SS_CTL1_LTR_L12_TH_VALUE
            (new().with_ltr_l1_2_threshold_scale(7), 0xe000_0000), // PCI_L1SS_CTL1_LTR_L12_TH_SCALE
        ] {
            assert_eq!(control.into_bits(), bits, "{control:?}");
        }
        let wait = L1PmSubstatesControl2::new().with_t_power_on_value(5);
        assert_eq!(
            wait.into_bits(),
            L1PmSubstatesReg::Control2.register().reset
        );
    }
}
