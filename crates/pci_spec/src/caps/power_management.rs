//! PCI Power Management Interface (PCIe 6.2 section 7.5.2): the power state of a function, and how it asks to be woken.
//!
//! Not emulated: the Data register (it reads zero), Aux power.

use bitfield_struct::bitfield;
use inspect::Inspect;
use open_enum::open_enum;
use reg_table::register_block;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// The power state of a function (PCIe 6.2 section 5.3.1).
#[open_enum]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash, Inspect)]
#[inspect(debug)]
#[repr(u16)]
pub enum PowerState {
    /// Fully on.
    D0 = 0,
    /// Light sleep, optional.
    D1 = 1,
    /// Deeper sleep, optional.
    D2 = 2,
    /// Off but for configuration space.
    D3Hot = 3,
}

bit_conversions!(PowerState, u16);

/// Power Management Capabilities (PCIe 6.2 section 7.5.2.1).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct PowerManagementCapabilities {
    /// Version of the interface: 3 in PCI Express.
    #[bits(3)]
    pub version: u8,
    /// Clear on PCI Express.
    pub pme_clock: bool,
    /// The function answers at once after it returned to D0.
    pub immediate_readiness_on_return_to_d0: bool,
    /// The function needs more than the standard initialization after a reset.
    pub device_specific_initialization: bool,
    /// 3.3 V auxiliary current that the function needs, encoded.
    #[bits(3)]
    pub aux_current: u8,
    /// There is a D1.
    pub d1_support: bool,
    /// There is a D2.
    pub d2_support: bool,
    /// States in which the function can send PME messages: bit 0 is D0, bit 3 D3hot, bit 4 D3cold.
    #[bits(5)]
    pub pme_support: u8,
}

const _: () = assert!(size_of::<PowerManagementCapabilities>() == 2);

/// Power Management Control/Status (PCIe 6.2 section 7.5.2.2).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct PowerManagementControlStatus {
    /// The state, and the command to change it.
    #[bits(2)]
    pub power_state: PowerState,
    #[bits(1)]
    _reserved: u16,
    /// Going from D3hot to D0 does not reset the function.
    pub no_soft_reset: bool,
    #[bits(4)]
    _reserved2: u16,
    /// Lets the function send PME messages.
    pub pme_enable: bool,
    /// What the Data register reports.
    #[bits(4)]
    pub data_select: u16,
    /// Unit of the Data register.
    #[bits(2)]
    pub data_scale: u16,
    /// The function has, or had, cause for a PME message.
    pub pme_status: bool,
}

const _: () = assert!(size_of::<PowerManagementControlStatus>() == 2);

register_block! {
    /// The Power Management capability. The composer gives the capability bits and takes away the PME bits of a
    /// function that never sends the message.
    pub POWER_MANAGEMENT: PowerManagementReg = "power_management" {
        title: "Power Management capability",
        section: "PCIe 6.2 section 7.5.2",
        bytes: 0x08,
    }
    0x00 capability_id: u8 as () = 0x01, "PCIe 6.2 section 7.5.2.1" { ro: [value[7:0]] }
    0x01 next_pointer: u8 as () = 0, "PCIe 6.2 section 7.5.2.1" { ro: [value[7:0]] }
    0x02 capabilities: u16 as PowerManagementCapabilities = 0x3, "PCIe 6.2 section 7.5.2.1" {
        hwinit: [
            version, pme_clock, immediate_readiness_on_return_to_d0, device_specific_initialization, aux_current,
            d1_support, d2_support, pme_support,
        ],
    }
    0x04 control_status: u16 as PowerManagementControlStatus = 0, "PCIe 6.2 section 7.5.2.2" {
        rw: [power_state],
        hwinit: [no_soft_reset],
        rws: [pme_enable],
        ro: [data_select, data_scale],
        rw1cs: [pme_status],
    }
    0x06 bridge_extensions: u8 as () = 0, "PCIe 6.2 section 7.5.2.3" {}
    0x07 data: u8 as () = 0, "PCIe 6.2 section 7.5.2.3" { ro: [value[7:0]] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::BlockRegister;
    use reg_table::RegisterFile;

    #[test]
    fn bits_lie_where_linux_expects_them() {
        assert_eq!(PowerManagementReg::Capabilities.register().offset, 2); // PCI_PM_PMC
        assert_eq!(PowerManagementReg::ControlStatus.register().offset, 4); // PCI_PM_CTRL
        assert_eq!(PowerManagementReg::Data.register().offset, 7); // PCI_PM_DATA_REGISTER
        assert_eq!(POWER_MANAGEMENT.bytes, 8); // PCI_PM_SIZEOF
        let new = PowerManagementCapabilities::new;
        for (capabilities, bits) in [
            (new().with_version(7), 0x0007),      // PCI_PM_CAP_VER_MASK
            (new().with_pme_clock(true), 0x0008), // PCI_PM_CAP_PME_CLOCK
            (new().with_device_specific_initialization(true), 0x20), // PCI_PM_CAP_DSI
            (new().with_aux_current(7), 0x01c0),  // PCI_PM_CAP_AUX_POWER
            (new().with_d1_support(true), 0x0200), // PCI_PM_CAP_D1
            (new().with_d2_support(true), 0x0400), // PCI_PM_CAP_D2
            (new().with_pme_support(0x1f), 0xf800), // PCI_PM_CAP_PME_MASK
        ] {
            assert_eq!(capabilities.into_bits(), bits, "{capabilities:?}");
        }
        let new = PowerManagementControlStatus::new;
        for (control, bits) in [
            (new().with_power_state(PowerState::D3Hot), 0x0003), // PCI_PM_CTRL_STATE_MASK
            (new().with_no_soft_reset(true), 0x0008),            // PCI_PM_CTRL_NO_SOFT_RESET
            (new().with_pme_enable(true), 0x0100),               // PCI_PM_CTRL_PME_ENABLE
            (new().with_data_select(15), 0x1e00),                // PCI_PM_CTRL_DATA_SEL_MASK
            (new().with_data_scale(3), 0x6000),                  // PCI_PM_CTRL_DATA_SCALE_MASK
            (new().with_pme_status(true), 0x8000),               // PCI_PM_CTRL_PME_STATUS
        ] {
            assert_eq!(control.into_bits(), bits, "{control:?}");
        }
    }

    #[test]
    fn software_changes_the_state_and_pme_enable() {
        let pm = RegisterFile::new(PowerManagementReg::CapabilityId);
        for offset in [0, 4] {
            pm.write(offset, u32::MAX, u32::MAX);
        }
        assert_eq!([pm.read(0), pm.read(4)], [0x0003_0001, 0x0000_0103]);
    }
}
