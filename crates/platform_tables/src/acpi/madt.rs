//! MADT: interrupt controllers (ACPI 6.5 section 5.2.12).
//!
//! Written here: `acpi_tables` has no x2APIC structure, and gives the table a revision that is older than it.

use super::table as with_header;
use crate::Platform;
use acpi_tables::AmlSink;
use acpi_tables::sdt::Sdt;

const REVISION: u8 = 5;
const LOCAL_APIC: u8 = 0;
const IO_APIC: u8 = 1;
const LOCAL_X2APIC: u8 = 9;
const ENABLED: u32 = 1;
/// A local APIC's ID has 8 bits, and 255 is all of them.
pub(super) const APIC_ID_END: u32 = 0xff;

pub(super) fn table(platform: &Platform) -> Sdt {
    let mut body = Vec::new();
    body.dword(platform.local_apic);
    // No flag: there is no 8259.
    body.dword(0);
    for (uid, cpu) in (0_u32..).zip(&platform.cpus) {
        match (u8::try_from(uid), u8::try_from(cpu.apic_id)) {
            (Ok(uid), Ok(apic_id)) if cpu.apic_id < APIC_ID_END => {
                body.vec(&[LOCAL_APIC, 8, uid, apic_id]);
                body.dword(ENABLED);
            }
            _ => {
                body.vec(&[LOCAL_X2APIC, 16, 0, 0]);
                body.dword(cpu.apic_id);
                body.dword(ENABLED);
                body.dword(uid);
            }
        }
    }
    body.vec(&[IO_APIC, 12, platform.io_apic.id, 0]);
    body.dword(platform.io_apic.address);
    body.dword(platform.io_apic.gsi_base);
    with_header(b"APIC", REVISION, &body)
}
