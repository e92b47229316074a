use super::*;
use crate::component_registers::CxlComponentRegister;
use chipset_device::pci::ByteEnables;
use reg_table::Reset;

const STATUS: u16 = 0x00;
const MASK: u16 = 0x04;
const SEVERITY: u16 = 0x08;
const CORRECTABLE_STATUS: u16 = 0x0c;
const CORRECTABLE_MASK: u16 = 0x10;
const CONTROL: u16 = 0x14;
const HEADER_LOG: u16 = 0x18;

fn unmasked() -> CxlRasCapability {
    let mut ras = CxlRasCapability::new();
    assert!(ras.write_u32(MASK, 0));
    assert!(ras.write_u32(CORRECTABLE_MASK, 0));
    ras
}

fn receiver_overflow() -> CxlRasUncorrectableErrors {
    CxlRasUncorrectableErrors::new().with_receiver_overflow(true)
}

fn internal_error() -> CxlRasUncorrectableErrors {
    CxlRasUncorrectableErrors::new().with_internal_error(true)
}

/// The numbers that Linux's `drivers/cxl/cxl.h` gives: `CXL_RAS_UNCORRECTABLE_STATUS_MASK` is bits 16:14 and 11:0,
/// `CXL_RAS_CORRECTABLE_STATUS_MASK` bits 6:0, `CXL_RAS_CAPABILITY_LENGTH` 0x58.
#[test]
fn the_registers_are_where_linux_expects_them() {
    let mut ras = CxlRasCapability::new();
    assert_eq!(
        (ras.capability_id(), ras.capability_version(), ras.len()),
        (2, 3, 0x58)
    );
    let read = |ras: &CxlRasCapability, offset| ras.read_u32(offset).unwrap();
    assert_eq!(
        [STATUS, MASK, SEVERITY, CORRECTABLE_STATUS, CORRECTABLE_MASK].map(|o| read(&ras, o)),
        [0, 0x1_cfff, 0x1_cfff, 0, 0x7f]
    );
    for offset in [MASK, SEVERITY, CORRECTABLE_MASK, CONTROL] {
        assert!(ras.write_u32(offset, 0));
        assert!(ras.write_u32(offset, u32::MAX));
    }
    assert_eq!(
        [MASK, SEVERITY, CORRECTABLE_MASK, CONTROL].map(|o| read(&ras, o)),
        [0x1_cfff, 0x1_cfff, 0x7f, 0x2000]
    );
    assert!(!ras.write_u32(HEADER_LOG, 1), "the log is read-only");
    assert_eq!(ras.read_u32(0x58), None, "past the end");
    assert!(!ras.write_u32(0x58, 1));
}

#[test]
fn the_first_error_keeps_the_log_until_it_is_cleared() {
    let mut ras = unmasked();
    let (first, second) = ([0x11; 16], [0x22; 16]);
    assert_eq!(
        ras.record_uncorrectable(receiver_overflow(), &first),
        Some(CxlRasSignal::Fatal)
    );
    assert_eq!(
        ras.record_uncorrectable(internal_error(), &second),
        Some(CxlRasSignal::Fatal)
    );
    assert_eq!(ras.read_u32(STATUS), Some(0x4800));
    assert_eq!(ras.read_u32(CONTROL), Some(11), "receiver overflow");
    assert_eq!(ras.read_u32(HEADER_LOG), Some(0x11));
    assert_eq!(ras.read_u32(0x54), Some(0x11));
    assert!(ras.write_u32(STATUS, 1 << 11));
    assert_eq!(ras.read_u32(STATUS), Some(0x4000));
    ras.record_uncorrectable(receiver_overflow(), &second);
    assert_eq!(ras.read_u32(HEADER_LOG), Some(0x22));
    assert_eq!(ras.read_u32(CONTROL), Some(11));
}

#[test]
fn masked_errors_are_recorded_and_not_reported() {
    let mut ras = CxlRasCapability::new();
    let parity = CxlRasUncorrectableErrors::new().with_cache_data_parity(true);
    assert_eq!(ras.record_uncorrectable(parity, &[1; 16]), None);
    assert_eq!(
        ras.record_correctable(CxlRasCorrectableErrors::new().with_crc_threshold(true)),
        None
    );
    assert_eq!(
        [STATUS, CORRECTABLE_STATUS, CONTROL, HEADER_LOG].map(|o| ras.read_u32(o).unwrap()),
        [0x1, 0x4, 0, 0]
    );
    // The first error pointer names this very bit, but what is masked does not hold the log.
    assert!(ras.write_u32(MASK, 0x1));
    ras.record_uncorrectable(receiver_overflow(), &[2; 16]);
    assert_eq!(ras.read_u32(HEADER_LOG), Some(2));
}

#[test]
fn severity_decides_how_it_is_reported() {
    let mut ras = unmasked();
    assert!(ras.write_u32(SEVERITY, 1 << 11));
    assert_eq!(
        ras.record_uncorrectable(internal_error(), &[0; 16]),
        Some(CxlRasSignal::NonFatal)
    );
    assert_eq!(
        ras.record_uncorrectable(receiver_overflow(), &[0; 16]),
        Some(CxlRasSignal::Fatal)
    );
    assert_eq!(
        ras.record_correctable(CxlRasCorrectableErrors::new().with_physical_layer_error(true)),
        Some(CxlRasSignal::Correctable)
    );
}

#[test]
fn reserved_errors_are_not_recorded() {
    let ras = unmasked();
    let reserved = CxlRasUncorrectableErrors::from_bits(0xfffe_3000);
    assert_eq!(ras.record_uncorrectable(reserved, &[1; 16]), None);
    assert_eq!(ras.read_u32(STATUS), Some(0));
}

#[test]
fn all_of_it_survives_a_hot_reset() {
    let mut ras = unmasked();
    ras.record_uncorrectable(receiver_overflow(), &[5; 16]);
    ras.reset_by(Reset::Hot);
    assert_eq!(
        [STATUS, MASK, CONTROL, HEADER_LOG].map(|o| ras.read_u32(o).unwrap()),
        [0x800, 0, 11, 5]
    );
    ras.write_bytes(STATUS, u32::MAX, ByteEnables::new(0b0001).unwrap());
    assert_eq!(
        ras.read_u32(STATUS),
        Some(0x800),
        "its byte was not enabled"
    );
    ras.reset();
    assert_eq!(
        [STATUS, MASK, CONTROL, HEADER_LOG].map(|o| ras.read_u32(o).unwrap()),
        [0, 0x1_cfff, 0, 0]
    );
}
