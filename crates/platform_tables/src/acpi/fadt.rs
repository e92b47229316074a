//! FADT: the fixed hardware there is, which is next to none (ACPI 6.5 section 5.2.9).

use super::OEM_ID;
use super::OEM_REVISION;
use super::OEM_TABLE_ID;
use crate::Platform;
use crate::Register;
use acpi_tables::fadt::FADT;
use acpi_tables::fadt::FADTBuilder;
use acpi_tables::fadt::Flags;
use acpi_tables::gas::AccessSize;
use acpi_tables::gas::AddressSpace;
use acpi_tables::gas::GAS;

/// IAPC_BOOT_ARCH: no VGA. A guest that looks for it anyway reads and writes what is not there.
const VGA_NOT_PRESENT: u16 = 1 << 2;
/// IAPC_BOOT_ARCH: no CMOS clock. A guest that polls it waits for an update that never ends.
const CMOS_RTC_NOT_PRESENT: u16 = 1 << 5;

pub(super) fn table(platform: &Platform, dsdt: u64) -> FADT {
    // WBINVD works; the buttons' flags say that none has fixed hardware.
    let mut fadt = FADTBuilder::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION)
        .dsdt_64(dsdt)
        .flag(Flags::HwReducedAcpi)
        .flag(Flags::Wbinvd)
        .flag(Flags::PwrButton)
        .flag(Flags::SlpButton);
    fadt.iapc_boot_arch = (VGA_NOT_PRESENT | CMOS_RTC_NOT_PRESENT).into();
    if let Some(power) = platform.power {
        fadt.sleep_control_reg = address(power.sleep_control);
        fadt.sleep_status_reg = address(power.sleep_status);
    }
    if let Some((register, value)) = platform.reset {
        fadt = fadt.flag(Flags::ResetRegSup);
        fadt.reset_reg = address(register);
        fadt.reset_value = value;
    }
    fadt.finalize()
}

fn address(register: Register) -> GAS {
    let (space, address) = match register {
        Register::Memory(address) => (AddressSpace::SystemMemory, address),
        Register::Io(port) => (AddressSpace::SystemIo, port.into()),
    };
    GAS::new(space, 8, 0, AccessSize::ByteAccess, address)
}
