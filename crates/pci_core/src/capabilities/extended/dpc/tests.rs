//! Containment as a script of events and writes.

use super::super::PciExtendedCapability;
use super::super::assert_extended_header_contract;
use super::*;
use chipset_device::pci::ByteEnables;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

const CONTROL: u16 = 4;
const STATUS: u16 = 8;
const FATAL: DpcCause = DpcCause::FatalMessage {
    source: Bdf::from_bits(0x0200),
};
const NON_FATAL: DpcCause = DpcCause::NonFatalMessage {
    source: Bdf::from_bits(0x0300),
};

/// Writes DPC Control alone.
fn set_control(dpc: &mut DpcExtendedCapability, value: u32) {
    dpc.write_bytes(CONTROL, value << 16, ByteEnables::new(0b1100).unwrap());
}

fn counted(mut dpc: DpcExtendedCapability) -> (DpcExtendedCapability, Arc<AtomicU32>) {
    let count = Arc::new(AtomicU32::new(0));
    dpc.set_interrupt(Interrupt::from_fn({
        let count = count.clone();
        move || {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }));
    (dpc, count)
}

#[test]
fn shows_what_the_port_has() {
    let root = DpcExtendedCapability::new_root_port(3);
    assert_extended_header_contract(&root);
    assert_eq!(
        [CONTROL, STATUS, 0xc, 0x10].map(|o| root.read_u32(o)),
        [0x05a3, 0, 0, 0x0007_0707]
    );
    let mut switch = DpcExtendedCapability::new(3);
    for offset in (0..0x34).step_by(4) {
        switch.write_u32(offset, u32::MAX);
    }
    let beyond = (0xc..0x34).step_by(4).map(|o| switch.read_u32(o));
    assert_eq!(beyond.sum::<u32>(), 0, "no root port extensions");
    assert_eq!(switch.read_u32(CONTROL), 0x001f_0083);
}

#[test]
fn causes_trigger_as_enabled() {
    for (enable, causes) in [
        (0, [false, false, false]),
        (1, [true, true, false]),
        (2, [true, true, true]),
        (3, [false, false, false]),
    ] {
        for (cause, triggers) in [DpcCause::UncorrectableError, FATAL, NON_FATAL]
            .into_iter()
            .zip(causes)
        {
            let mut dpc = DpcExtendedCapability::new(0);
            set_control(&mut dpc, enable);
            assert_eq!(dpc.trigger(cause).is_some(), triggers, "{enable} {cause:?}");
            assert_eq!(dpc.contained(), triggers);
        }
    }
}

#[test]
fn the_first_trigger_is_logged_until_it_is_released() {
    let mut dpc = DpcExtendedCapability::new(0);
    set_control(&mut dpc, 0x12);
    let trigger = DpcTrigger {
        reason: DpcTriggerReason::ERR_NONFATAL_RECEIVED,
        reason_extension: DpcTriggerReasonExtension(0),
        send_err_cor: true,
    };
    assert_eq!(dpc.trigger(NON_FATAL), Some(trigger));
    assert_eq!(dpc.trigger(FATAL), None);
    assert_eq!(
        (dpc.read_u32(STATUS), dpc.take_event()),
        (0x0300_0003, None)
    );
    dpc.write_bytes(STATUS, 1, ByteEnables::new(0b0010).unwrap());
    assert!(dpc.contained(), "another byte");
    dpc.write_u32(STATUS, 1);
    assert_eq!(
        (dpc.contained(), dpc.take_event(), dpc.take_event()),
        (false, Some(DpcEvent::Released), None)
    );
    assert!(dpc.trigger(FATAL).is_some());
    assert_eq!(dpc.read_u32(STATUS), 0x0200_0005);
}

#[test]
fn software_triggers_only_what_is_enabled() {
    let mut dpc = DpcExtendedCapability::new(0);
    set_control(&mut dpc, 0x40);
    assert_eq!((dpc.contained(), dpc.take_event()), (false, None));
    set_control(&mut dpc, 0x41);
    let trigger = DpcTrigger {
        reason: DpcTriggerReason::EXTENSION,
        reason_extension: DpcTriggerReasonExtension::SOFTWARE_TRIGGER,
        send_err_cor: false,
    };
    assert_eq!(dpc.take_event(), Some(DpcEvent::Triggered(trigger)));
    assert_eq!(
        [CONTROL, STATUS].map(|o| dpc.read_u32(o)),
        [0x0001_0080, 0x27]
    );
    set_control(&mut dpc, 0x41);
    assert_eq!(dpc.take_event(), None, "already contained");
}

#[test]
fn interrupts_when_triggered_while_enabled() {
    let (mut dpc, count) = counted(DpcExtendedCapability::new(0));
    set_control(&mut dpc, 0x1);
    dpc.trigger(FATAL);
    set_control(&mut dpc, 0x9);
    assert_eq!(
        (dpc.read_u32(STATUS) & 0x8, count.load(Ordering::Relaxed)),
        (0, 0),
        "enabled too late"
    );
    dpc.write_u32(STATUS, 0x1);
    dpc.trigger(FATAL);
    assert_eq!(
        (dpc.read_u32(STATUS) & 0x8, count.load(Ordering::Relaxed)),
        (8, 1)
    );
    set_control(&mut dpc, 0x1);
    set_control(&mut dpc, 0x9);
    assert_eq!(count.load(Ordering::Relaxed), 2, "enabled while pending");
    let saved = dpc.save().unwrap();
    let (mut target, count) = counted(DpcExtendedCapability::new(0));
    target.restore(saved).unwrap();
    assert_eq!((target.contained(), target.take_event()), (true, None));
    target.write_u32(STATUS, 0x9);
    target.trigger(FATAL);
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn containment_survives_a_hot_reset_and_its_enable_does_not() {
    let mut dpc = DpcExtendedCapability::new_root_port(0);
    set_control(&mut dpc, 0x9);
    dpc.trigger(FATAL);
    dpc.reset_by(Reset::Hot);
    assert_eq!(
        [CONTROL, STATUS].map(|o| dpc.read_u32(o)),
        [0x05a0, 0x0200_000d]
    );
    dpc.reset_by(Reset::Cold);
    assert_eq!(dpc.read_u32(STATUS), 0);
}

#[test]
fn a_masked_failure_does_not_hold_the_log() {
    let mut dpc = DpcExtendedCapability::new_root_port(0);
    dpc.write_u32(0x10, 0x1);
    dpc.record_rp_pio(RpPioErrors::new().with_cfg_ur_cpl(true), [1; 4]);
    dpc.record_rp_pio(RpPioErrors::new().with_mem_cto(true), [2; 4]);
    assert_eq!(
        [STATUS, 0xc, 0x20].map(|o| dpc.read_u32(o)),
        [0x1200, 0x4_0001, 2]
    );
}

#[test]
fn failed_requests_of_the_root_complex() {
    let mut dpc = DpcExtendedCapability::new_root_port(0);
    set_control(&mut dpc, 0x11);
    let errors = RpPioErrors::new().with_mem_ur_cpl(true);
    let masked = dpc.record_rp_pio(errors, [1; 4]);
    assert_eq!(masked, RpPioSignal::default());
    assert_eq!([0xc, 0x20].map(|o| dpc.read_u32(o)), [0x1_0000, 0]);
    dpc.write_u32(0xc, u32::MAX);
    dpc.write_u32(0x10, 0);
    let advisory = dpc.record_rp_pio(errors, [2; 4]);
    assert_eq!((advisory.trigger, advisory.send_err_cor), (None, true));
    assert_eq!(
        [STATUS, 0xc, 0x20, 0x2c].map(|o| dpc.read_u32(o)),
        [0x1000, 0x1_0000, 2, 2]
    );
    for offset in [0x14, 0x18] {
        dpc.write_u32(offset, 0x2);
    }
    let severe = dpc.record_rp_pio(RpPioErrors::new().with_cfg_ca_cpl(true), [3; 4]);
    assert_eq!(
        severe.trigger.map(|t| (t.reason, t.reason_extension)),
        Some((
            DpcTriggerReason::EXTENSION,
            DpcTriggerReasonExtension::RP_PIO_ERROR
        ))
    );
    assert!(severe.system_error && !severe.exception && !severe.send_err_cor);
    assert_eq!(
        [STATUS, 0xc, 0x20].map(|o| dpc.read_u32(o)),
        [0x1007, 0x1_0002, 2],
        "the first error keeps the log"
    );
    let mut switch = DpcExtendedCapability::new(0);
    set_control(&mut switch, 0x1);
    assert_eq!(switch.record_rp_pio(errors, [1; 4]), RpPioSignal::default());
    assert_eq!(switch.read_u32(0xc), 0);
    assert!(switch.restore(dpc.save().unwrap()).is_err());
}
