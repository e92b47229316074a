//! CEDT: CXL host bridges and windows (CXL 3.1 section 9.18.1).
//!
//! Written here: `acpi_tables` 0.2.1 leaves out the length's upper half in a host bridge's structure and sets another restriction
//! than the one named.

use super::table as with_header;
use crate::CxlHostBridge;
use crate::CxlWindow;
use crate::Platform;
use crate::cxl;
use acpi_tables::AmlSink;
use acpi_tables::sdt::Sdt;

const REVISION: u8 = 1;
const HOST_BRIDGE: u8 = 0;
const HOST_BRIDGE_LEN: u16 = 32;
const FIXED_WINDOW: u8 = 1;
const FIXED_WINDOW_LEN: u16 = 36;
/// A host bridge of CXL 2.0 or later: what its address leads to is component registers.
const COMPONENT_REGISTERS: u32 = 1;
const MODULO: u8 = 0;

pub(super) fn table(platform: &Platform) -> Sdt {
    let mut body = Vec::new();
    for bridge in &platform.host_bridges {
        if let Some(cxl) = &bridge.cxl {
            host_bridge(&mut body, bridge.uid, cxl);
        }
    }
    for window in &platform.cxl_windows {
        fixed_window(&mut body, window);
    }
    with_header(b"CEDT", REVISION, &body)
}

/// CHBS.
fn host_bridge(body: &mut Vec<u8>, uid: u32, cxl: &CxlHostBridge) {
    body.vec(&[HOST_BRIDGE, 0]);
    body.word(HOST_BRIDGE_LEN);
    body.dword(uid);
    body.dword(COMPONENT_REGISTERS);
    body.dword(0);
    body.qword(cxl.component_registers);
    body.qword(cxl::COMPONENT_REGISTERS_LEN);
}

/// CFMWS.
fn fixed_window(body: &mut Vec<u8>, window: &CxlWindow) {
    // Validation has as many targets as can be encoded, which are 16 at most.
    let targets = u16::try_from(window.targets.len()).unwrap_or(0);
    body.vec(&[FIXED_WINDOW, 0]);
    body.word(FIXED_WINDOW_LEN + 4 * targets);
    body.dword(0);
    body.qword(window.range.base);
    body.qword(window.range.size.0);
    body.byte(cxl::encoded_ways(window.targets.len()).unwrap_or(0));
    body.byte(MODULO);
    body.word(0);
    body.dword((window.granularity / cxl::GRANULARITY_MIN).trailing_zeros());
    body.word(window.restrictions.into_bits());
    body.word(window.qos_group);
    for uid in &window.targets {
        body.dword(*uid);
    }
}
