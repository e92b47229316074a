use super::*;
use vmcore::save_restore::SaveRestore;

type State = <CxlFlexBusPortDvsecExtendedCapability as SaveRestore>::SavedState;

fn words(dvsec: &CxlFlexBusPortDvsecExtendedCapability) -> Vec<u32> {
    (0..0x20).step_by(4).map(|o| dvsec.read_u32(o)).collect()
}

fn capable() -> CxlFlexBusPortDvsecExtendedCapability {
    CxlFlexBusPortDvsecExtendedCapability::new()
        .with_optional_capabilities(true, true, true, true, true)
        .with_mem_capable(true)
        .with_capability2(true, true)
}

#[test]
fn the_default_port_is_io_only() {
    let mut dvsec = CxlFlexBusPortDvsecExtendedCapability::new();
    assert_eq!(
        words(&dvsec),
        [0x0001_0023, 0x0203_1e98, 0x0002_0007, 0x2, 0, 0, 0, 0]
    );
    for offset in (0..0x20).step_by(4) {
        dvsec.write_u32(offset, u32::MAX);
    }
    assert_eq!(
        words(&dvsec),
        [0x0001_0023, 0x0203_1e98, 0x0002_0007, 0x0382, 0, 0, 0, 0],
        "only restricted-device training and retimers can be chosen"
    );
}

#[test]
fn enables_follow_the_capabilities() {
    let mut dvsec = capable();
    assert_eq!(dvsec.read_u32(0x08), 0x6067_0007);
    assert_eq!(dvsec.read_u32(0x14), 0x3);
    dvsec.write_u32(0x0c, u32::MAX);
    dvsec.write_u32(0x18, u32::MAX);
    assert_eq!(dvsec.read_u32(0x0c), 0x63e7);
    assert_eq!(dvsec.read_u32(0x18), 1);
    assert_eq!(CXL_FLEX_BUS_PORT_DVSEC_CONTROL_WRITABLE_MASK, 0x63e5);
    assert_eq!(CXL_FLEX_BUS_PORT_DVSEC_STATUS_RW1CS_MASK, 0x1f80);
    assert_eq!(CXL_FLEX_BUS_PORT_DVSEC_CONTROL2_WRITABLE_MASK, 1);
    let not_any_more = dvsec.with_cache_capable(false).with_mem_capable(false);
    assert!(!not_any_more.capability().mem_capable());
    assert_eq!(not_any_more.read_u32(0x0c), 0x2, "composed anew");
}

#[test]
fn status_shows_what_was_negotiated_and_errors_clear_bytewise() {
    let mut dvsec = capable();
    dvsec.set_status(
        CxlFlexBusPortDvsecStatus::from_bits(0xffff),
        u32::MAX,
        CxlFlexBusPortDvsecStatus2::from_bits(u32::MAX),
    );
    assert_eq!(
        [0x0c, 0x10, 0x1c].map(|o| dvsec.read_u32(o)),
        [0xffff_0002, 0x00ff_ffff, 0x7]
    );
    dvsec.write_bytes(0x0c, 0xffff_0000, ByteEnables::new(0b0011).unwrap());
    assert_eq!(dvsec.read_u32(0x0c) >> 16, 0xffff);
    dvsec.write_bytes(0x0c, 0xffff_0000, ByteEnables::new(0b0100).unwrap());
    assert_eq!(dvsec.read_u32(0x0c) >> 16, 0xff7f, "even half failed");
    dvsec.reset_by(Reset::Hot);
    assert_eq!(dvsec.read_u32(0x0c), 0xff7f_0002, "errors are sticky");
    dvsec.reset_by(Reset::FunctionLevel);
    assert_eq!(dvsec.read_u32(0x0c), 0xff7f_0002);
    dvsec.reset();
    assert_eq!(
        dvsec.read_u32(0x0c),
        0xe07f_0002,
        "what was negotiated follows the link"
    );
    assert!(dvsec.status().mem_enabled());
    assert_eq!(dvsec.read_u32(0x08), 0x6067_0007);
}

#[test]
fn saved_state_belongs_to_its_composition() {
    let mut dvsec = capable();
    dvsec.write_u32(0x0c, 0xffff);
    let mut other = capable();
    other.restore(dvsec.save().unwrap()).unwrap();
    assert_eq!(words(&other), words(&dvsec));
    let mut plain = CxlFlexBusPortDvsecExtendedCapability::new();
    let before = words(&plain);
    assert!(plain.restore(dvsec.save().unwrap()).is_err());
    assert_eq!(words(&plain), before);
    let changes: [fn(&mut State); 4] = [
        |state| state.control |= 1,
        |state| state.control = 0,
        |state| state.control2 = 1,
        |state| state.received_modified_ts_data_phase1 = 1 << 24,
    ];
    for change in changes {
        let mut state = plain.save().unwrap();
        change(&mut state);
        assert!(plain.restore(state).is_err());
        assert_eq!(words(&plain), before);
    }
}
