//! Errors as they are logged, signalled, and taken from below.

use super::super::PciExtendedCapability;
use super::super::assert_extended_header_contract;
use super::*;
use crate::spec::Bdf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use vmcore::interrupt::Interrupt;
use vmcore::save_restore::SaveRestore;

const STATUS: u16 = 0x04;
const MASK: u16 = 0x08;
const SEVERITY: u16 = 0x0c;
const COR_STATUS: u16 = 0x10;
const COR_MASK: u16 = 0x14;
const CONTROL: u16 = 0x18;
const ROOT_COMMAND: u16 = 0x2c;
const ROOT_STATUS: u16 = 0x30;
const SOURCE: u16 = 0x34;

const UR: UncorrectableErrorBit = UncorrectableErrorBit::UNSUPPORTED_REQUEST;
const CA: UncorrectableErrorBit = UncorrectableErrorBit::COMPLETER_ABORT;
const MALFORMED: UncorrectableErrorBit = UncorrectableErrorBit::MALFORMED_TLP;
const UR_BIT: u32 = 1 << 20;
const CA_BIT: u32 = 1 << 15;
const MALFORMED_BIT: u32 = 1 << 18;

const NOTHING: ErrorSignal = ErrorSignal {
    correctable: false,
    non_fatal: false,
    fatal: false,
};
const COR: ErrorSignal = ErrorSignal {
    correctable: true,
    ..NOTHING
};
const NONFATAL: ErrorSignal = ErrorSignal {
    non_fatal: true,
    ..NOTHING
};
const FATAL: ErrorSignal = ErrorSignal {
    fatal: true,
    ..NOTHING
};

fn record(aer: &mut AerExtendedCapability, bit: UncorrectableErrorBit, n: u32) -> ErrorSignal {
    aer.record_uncorrectable(UncorrectableError::new(bit), Some([n, 0, 0, n]))
}

/// Status, First Error Pointer, and the ends of the header log.
fn log(aer: &AerExtendedCapability) -> (u32, u32, [u32; 2]) {
    (
        aer.read_u32(STATUS),
        aer.read_u32(CONTROL) & 0x1f,
        [0x1c, 0x28].map(|offset| aer.read_u32(offset)),
    )
}

#[test]
fn defaults_are_those_of_the_specification() {
    let aer = AerExtendedCapability::new();
    assert_extended_header_contract(&aer);
    assert_eq!(
        [STATUS, MASK, SEVERITY, COR_STATUS, COR_MASK, CONTROL].map(|o| aer.read_u32(o)),
        [0, 0x0440_0000, 0x0046_2030, 0, 0xe000, 0]
    );
    let root = AerExtendedCapability::new_root(9);
    assert_eq!(root.read_u32(ROOT_STATUS), 9 << 27);
}

#[test]
fn only_the_errors_that_the_function_has() {
    let mut aer = AerExtendedCapability::new()
        .with_uncorrectable_errors(UncorrectableErrors::new().with_unsupported_request(true))
        .with_correctable_errors(CorrectableErrors::new().with_bad_tlp(true));
    for offset in [MASK, SEVERITY, COR_MASK] {
        assert_eq!(aer.read_u32(offset), 0);
        aer.write_u32(offset, u32::MAX);
    }
    assert_eq!(
        [MASK, SEVERITY, COR_MASK].map(|o| aer.read_u32(o)),
        [UR_BIT, UR_BIT, 0x40]
    );
    assert_eq!(record(&mut aer, MALFORMED, 1), NOTHING);
    assert_eq!(record(&mut aer, UncorrectableErrorBit(255), 1), NOTHING);
    let signal = aer.record_correctable(CorrectableErrors::new().with_bad_dllp(true));
    assert_eq!((signal, log(&aer)), (NOTHING, (0, 0, [0, 0])));
}

#[test]
fn correctable_errors_signal_unless_masked() {
    let mut aer = AerExtendedCapability::new();
    let bad = CorrectableErrors::new()
        .with_bad_tlp(true)
        .with_bad_dllp(true);
    assert_eq!(aer.record_correctable(bad), COR);
    assert_eq!(aer.read_u32(COR_STATUS), 0xc0);
    aer.write_u32(COR_STATUS, 0x40);
    assert_eq!(aer.read_u32(COR_STATUS), 0x80);
    aer.write_u32(COR_MASK, 0x40);
    let bad_tlp = CorrectableErrors::new().with_bad_tlp(true);
    assert_eq!(aer.record_correctable(bad_tlp), NOTHING);
    assert_eq!(
        aer.read_u32(COR_STATUS),
        0xc0,
        "masked errors have a status"
    );
    assert_eq!(
        aer.record_correctable(bad),
        COR,
        "one of the two is not masked"
    );
}

#[test]
fn severity_decides_the_message_and_the_first_error_holds_the_log() {
    let mut aer = AerExtendedCapability::new();
    assert_eq!(record(&mut aer, UR, 1), NONFATAL);
    assert_eq!(record(&mut aer, MALFORMED, 2), FATAL);
    assert_eq!(log(&aer), (UR_BIT | MALFORMED_BIT, 20, [1, 1]));
    assert_eq!(
        aer.read_u32(COR_STATUS),
        0x8000,
        "the second header is lost"
    );
    aer.write_u32(STATUS, MALFORMED_BIT);
    assert_eq!(log(&aer), (UR_BIT, 20, [1, 1]), "the first stays");
    aer.write_u32(STATUS, UR_BIT);
    assert_eq!(log(&aer), (0, 0, [0, 0]));
    aer.write_u32(SEVERITY, UR_BIT);
    assert_eq!(record(&mut aer, UR, 3), FATAL);
    assert_eq!(record(&mut aer, MALFORMED, 4), NONFATAL);
    assert_eq!(log(&aer), (UR_BIT | MALFORMED_BIT, 20, [3, 3]));
}

#[test]
fn an_overflow_is_reported_if_it_is_not_masked() {
    let mut aer = AerExtendedCapability::new();
    aer.write_u32(COR_MASK, 0);
    record(&mut aer, UR, 1);
    let both = ErrorSignal { fatal: true, ..COR };
    assert_eq!(record(&mut aer, MALFORMED, 2), both);
    aer.write_u32(COR_STATUS, u32::MAX);
    let down = UncorrectableError::new(UncorrectableErrorBit::SURPRISE_DOWN);
    assert_eq!(aer.record_uncorrectable(down, None), FATAL);
    assert_eq!(aer.read_u32(COR_STATUS), 0, "it has no header to lose");
}

#[test]
fn a_masked_error_sets_its_status_and_nothing_else() {
    let mut aer = AerExtendedCapability::new();
    aer.write_u32(MASK, UR_BIT);
    assert_eq!(record(&mut aer, UR, 1), NOTHING);
    assert_eq!(log(&aer), (UR_BIT, 0, [0, 0]));
    assert_eq!(record(&mut aer, CA, 2), NONFATAL);
    assert_eq!(log(&aer), (UR_BIT | CA_BIT, 15, [2, 2]));
    aer.write_u32(STATUS, CA_BIT);
    assert_eq!(log(&aer), (UR_BIT, 0, [0, 0]), "UR was never in the log");
}

#[test]
fn an_advisory_error_is_correctable_unless_it_is_fatal() {
    let mut aer = AerExtendedCapability::new();
    let advisory = UncorrectableError::advisory(UR);
    assert_eq!(aer.record_uncorrectable(advisory, Some([1; 4])), NOTHING);
    assert_eq!(aer.read_u32(COR_STATUS), 0x2000);
    assert_eq!(log(&aer), (0, 0, [0, 0]), "Advisory Non-Fatal is masked");
    aer.write_u32(COR_MASK, 0);
    assert_eq!(aer.record_uncorrectable(advisory, Some([2; 4])), COR);
    assert_eq!(log(&aer), (UR_BIT, 20, [2, 2]));
    aer.write_u32(STATUS, UR_BIT);
    aer.write_u32(MASK, UR_BIT);
    assert_eq!(aer.record_uncorrectable(advisory, Some([3; 4])), NOTHING);
    assert_eq!(log(&aer), (UR_BIT, 0, [0, 0]));
    aer.write_u32(MASK, 0);
    aer.write_u32(SEVERITY, UR_BIT);
    aer.write_u32(COR_STATUS, u32::MAX);
    assert_eq!(aer.record_uncorrectable(advisory, Some([4; 4])), FATAL);
    assert_eq!(aer.read_u32(COR_STATUS), 0);
}

#[test]
fn several_headers_come_one_after_the_other() {
    let mut aer = AerExtendedCapability::new().with_multiple_header_recording();
    assert_eq!(aer.read_u32(CONTROL), 0x200);
    aer.write_u32(CONTROL, u32::MAX);
    assert_eq!(aer.read_u32(CONTROL), 0x600, "no ECRC");
    for (n, bit) in (1..).zip([UR, CA, UR, MALFORMED]) {
        record(&mut aer, bit, n);
    }
    assert_eq!(aer.read_u32(COR_STATUS), 0);
    record(&mut aer, CA, 5);
    assert_eq!(aer.read_u32(COR_STATUS), 0x8000, "room for four");
    let all = UR_BIT | CA_BIT | MALFORMED_BIT;
    assert_eq!(log(&aer), (all, 20, [1, 1]));
    aer.write_u32(STATUS, UR_BIT);
    assert_eq!(log(&aer), (all, 15, [2, 2]), "another UR is waiting");
    aer.write_u32(STATUS, CA_BIT);
    assert_eq!(log(&aer), (UR_BIT | MALFORMED_BIT, 20, [3, 3]));
    aer.write_u32(STATUS, MALFORMED_BIT);
    aer.write_u32(STATUS, UR_BIT);
    assert_eq!(log(&aer), (0, 0, [0, 0]), "the waiting one was cleared");
}

#[test]
fn turning_multiple_header_recording_off_forgets_what_waits() {
    let mut aer = AerExtendedCapability::new().with_multiple_header_recording();
    aer.write_u32(CONTROL, 0x400);
    record(&mut aer, UR, 1);
    record(&mut aer, CA, 2);
    aer.write_u32(CONTROL, 0);
    assert_eq!(log(&aer), (UR_BIT | CA_BIT, 20, [1, 1]));
    aer.write_u32(STATUS, UR_BIT);
    assert_eq!(log(&aer), (CA_BIT, 0, [0, 0]));
}

#[test]
fn ecrc_enables_follow_the_capabilities() {
    let mut aer = AerExtendedCapability::new().with_ecrc();
    aer.write_u32(CONTROL, u32::MAX);
    assert_eq!(aer.read_u32(CONTROL), 0x1e0);
    let mut both = AerExtendedCapability::new()
        .with_ecrc()
        .with_multiple_header_recording();
    both.write_u32(CONTROL, u32::MAX);
    assert_eq!(both.read_u32(CONTROL), 0x7e0);
}

#[test]
fn logs_survive_all_but_a_cold_reset() {
    let mut aer = AerExtendedCapability::new_root(0).with_multiple_header_recording();
    aer.write_u32(CONTROL, 0x400);
    aer.write_u32(ROOT_COMMAND, 7);
    record(&mut aer, UR, 1);
    record(&mut aer, CA, 2);
    aer.receive_error_message(ErrorMessage::Fatal, Bdf::from_bits(0x100));
    for kind in [Reset::FunctionLevel, Reset::Hot] {
        aer.reset_by(kind);
        assert_eq!(log(&aer), (UR_BIT | CA_BIT, 20, [1, 1]), "{kind:?}");
        assert_eq!(
            [ROOT_COMMAND, ROOT_STATUS, SOURCE].map(|o| aer.read_u32(o)),
            [0, 0x54, 0x0100_0000]
        );
    }
    aer.write_u32(STATUS, UR_BIT);
    assert_eq!(log(&aer), (CA_BIT, 15, [2, 2]));
    aer.reset_by(Reset::Cold);
    assert_eq!(log(&aer), (0, 0, [0, 0]));
    assert_eq!([ROOT_STATUS, SOURCE].map(|o| aer.read_u32(o)), [0, 0]);
}

fn root_with_counter() -> (AerExtendedCapability, Arc<AtomicU32>) {
    let count = Arc::new(AtomicU32::new(0));
    let mut aer = AerExtendedCapability::new_root(0);
    aer.set_error_interrupt(Interrupt::from_fn({
        let count = count.clone();
        move || {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }));
    (aer, count)
}

#[test]
fn the_first_source_of_each_kind_is_kept() {
    let (mut aer, count) = root_with_counter();
    let mut expect = |message, source, status, sources| {
        assert!(!aer.receive_error_message(message, Bdf::from_bits(source)));
        assert_eq!(
            [ROOT_STATUS, SOURCE].map(|o| aer.read_u32(o)),
            [status, sources]
        );
    };
    expect(ErrorMessage::Correctable, 0x0100, 0x01, 0x0000_0100);
    expect(ErrorMessage::Correctable, 0x0200, 0x03, 0x0000_0100);
    expect(ErrorMessage::NonFatal, 0x0300, 0x27, 0x0300_0100);
    expect(ErrorMessage::Fatal, 0x0400, 0x6f, 0x0300_0100);
    aer.write_u32(ROOT_STATUS, 0x7f);
    assert_eq!(aer.read_u32(ROOT_STATUS), 0);
    aer.receive_error_message(ErrorMessage::Fatal, Bdf::from_bits(0x0500));
    assert_eq!(
        [ROOT_STATUS, SOURCE].map(|o| aer.read_u32(o)),
        [0x54, 0x0500_0100]
    );
    assert_eq!(count.load(Ordering::Relaxed), 0, "no enable was set");
}

#[test]
fn an_enabled_kind_interrupts_once_until_it_is_cleared() {
    for (message, enable, others) in [
        (ErrorMessage::Correctable, 1, 6),
        (ErrorMessage::NonFatal, 2, 5),
        (ErrorMessage::Fatal, 4, 3),
    ] {
        let (mut aer, count) = root_with_counter();
        let source = Bdf::from_bits(0x100);
        aer.write_u32(ROOT_COMMAND, others);
        assert!(!aer.receive_error_message(message, source), "{message:?}");
        aer.write_u32(ROOT_COMMAND, enable);
        assert_eq!(count.load(Ordering::Relaxed), 1, "enabled while pending");
        assert!(!aer.receive_error_message(message, source), "still pending");
        aer.write_u32(ROOT_STATUS, 0x7f);
        assert!(aer.receive_error_message(message, source));
        assert_eq!(count.load(Ordering::Relaxed), 2);
        let saved = aer.save().unwrap();
        let (mut target, count) = root_with_counter();
        target.restore(saved).unwrap();
        target.write_u32(ROOT_COMMAND, enable);
        assert_eq!(count.load(Ordering::Relaxed), 0, "it went out before");
    }
}

#[test]
fn an_endpoint_takes_no_messages_and_has_no_root_registers() {
    let mut aer = AerExtendedCapability::new();
    for offset in [ROOT_COMMAND, ROOT_STATUS, SOURCE] {
        aer.write_u32(offset, u32::MAX);
    }
    assert!(!aer.receive_error_message(ErrorMessage::Fatal, Bdf::from_bits(1)));
    assert_eq!(
        [ROOT_COMMAND, ROOT_STATUS, SOURCE].map(|o| aer.read_u32(o)),
        [0; 3]
    );
}

#[test]
fn what_is_recorded_is_saved() {
    let compose = || AerExtendedCapability::new().with_multiple_header_recording();
    let mut source = compose();
    source.write_u32(CONTROL, 0x400);
    record(&mut source, UR, 1);
    record(&mut source, CA, 2);
    let mut target = compose();
    target.restore(source.save().unwrap()).unwrap();
    assert_eq!(log(&target), (UR_BIT | CA_BIT, 20, [1, 1]));
    target.write_u32(STATUS, UR_BIT);
    assert_eq!(log(&target), (CA_BIT, 15, [2, 2]));

    let mut too_many = source.save().unwrap();
    too_many.recorded = (0..4)
        .flat_map(|_| source.save().unwrap().recorded)
        .collect();
    let mut unknown = source.save().unwrap();
    unknown.recorded[0].bit = 3;
    let mut root = AerExtendedCapability::new_root(0);
    let from_root = root.save().unwrap();
    for refused in [too_many, unknown, from_root] {
        let before = log(&target);
        assert!(target.restore(refused).is_err());
        assert_eq!(log(&target), before);
    }
}
