//! SRAT: which processors and memory are near each other (ACPI 6.5 section 5.2.16).
//!
//! CXL windows are not in it: what they will hold is not there yet, and an operating system gives each a node of its own. Nor are CXL host
//! bridges as generic ports: what a guest would do with one is look up latency and bandwidth (HMAT), and emulated memory has none to
//! tell; their node is told by `_PXM`.
//!
//! Written here: `acpi_tables` has no structures for the processors of a PC.

use super::madt::APIC_ID_END;
use super::table as with_header;
use crate::Platform;
use acpi_tables::AmlSink;
use acpi_tables::sdt::Sdt;

const REVISION: u8 = 3;
const LOCAL_APIC: u8 = 0;
const MEMORY: u8 = 1;
const LOCAL_X2APIC: u8 = 2;
const ENABLED: u32 = 1;

pub(super) fn table(platform: &Platform) -> Sdt {
    let mut body = Vec::new();
    // Reserved: 1 for what was before.
    body.dword(1);
    body.qword(0);
    for cpu in &platform.cpus {
        let [low, high @ ..] = cpu.node.unwrap_or(0).to_le_bytes();
        match u8::try_from(cpu.apic_id) {
            Ok(apic_id) if cpu.apic_id < APIC_ID_END => {
                body.vec(&[LOCAL_APIC, 16, low, apic_id]);
                body.dword(ENABLED);
                // The local SAPIC that there is not.
                body.byte(0);
                body.vec(&high);
                body.dword(0);
            }
            _ => {
                body.vec(&[LOCAL_X2APIC, 24, 0, 0]);
                body.dword(cpu.node.unwrap_or(0));
                body.dword(cpu.apic_id);
                body.dword(ENABLED);
                body.qword(0);
            }
        }
    }
    for memory in &platform.memory {
        body.vec(&[MEMORY, 40]);
        body.dword(memory.node.unwrap_or(0));
        body.word(0);
        body.qword(memory.range.base);
        body.qword(memory.range.size.0);
        body.dword(0);
        body.dword(ENABLED);
        body.qword(0);
    }
    with_header(b"SRAT", REVISION, &body)
}
