use super::*;
use vmcore::save_restore::SaveRestore;

type State = <CxlPortDvsecExtendedCapability as SaveRestore>::SavedState;

fn words(dvsec: &CxlPortDvsecExtendedCapability) -> Vec<u32> {
    (0..0x28).step_by(4).map(|o| dvsec.read_u32(o)).collect()
}

fn all_ones(dvsec: &mut CxlPortDvsecExtendedCapability) {
    for offset in (0..0x28).step_by(4) {
        dvsec.write_u32(offset, u32::MAX);
    }
}

fn capable() -> CxlPortDvsecExtendedCapability {
    CxlPortDvsecExtendedCapability::new()
        .with_uio_to_hdm_enable(true)
        .with_viral_support(true)
}

#[test]
fn what_software_can_write() {
    let mut plain = CxlPortDvsecExtendedCapability::new();
    assert_eq!(
        words(&plain),
        [0x0001_0023, 0x0280_1e98, 3, 0, 0, 0, 0, 0, 0, 0]
    );
    all_ones(&mut plain);
    assert_eq!(
        words(&plain),
        [
            0x0001_0023,
            0x0280_1e98,
            3,
            0xffff_000f,
            0xfff0_fff0,
            0xfff0_fff0,
            u32::MAX,
            u32::MAX,
            0xffff_e001,
            u32::MAX
        ]
    );
    let mut capable = capable();
    all_ones(&mut capable);
    assert_eq!(capable.read_u32(0x0c), 0xffff_401f);
    assert_eq!(capable.read_u32(0x28), u32::MAX, "past the end");
    assert_eq!(CXL_PORT_DVSEC_CONTROL_WRITABLE_MASK, 0x401f);
    assert_eq!(CXL_PORT_DVSEC_STATUS_RW1C_MASK, 0x4000);
    assert_eq!(CXL_PORT_DVSEC_ALT_MEMORY_BASE_LIMIT_WRITABLE_MASK, 0xfff0);
    assert_eq!(
        CXL_PORT_DVSEC_ALT_PREFETCHABLE_MEMORY_BASE_LIMIT_WRITABLE_MASK,
        0xfff0
    );
    assert_eq!(CXL_PORT_DVSEC_CXL_RCRB_BASE_WRITABLE_MASK, 0xffff_e001);
}

#[test]
fn single_bytes_and_the_status_beside_the_header() {
    let mut dvsec = capable();
    dvsec.set_viral_status(true);
    dvsec.set_port_power_management_initialization_complete(true);
    assert_eq!(dvsec.read_u32(0x08), 0x4001_0003);
    // Alternate bus base alone; Linux writes Unmask SBR with two bytes.
    dvsec.write_bytes(0x0c, 0x0012_0000, ByteEnables::new(0b0100).unwrap());
    dvsec.write_bytes(0x0c, 0xffff_0001, ByteEnables::new(0b0011).unwrap());
    assert_eq!(dvsec.read_u32(0x0c), 0x0012_0001);
    assert!(dvsec.control().unmask_sbr());
    dvsec.write_bytes(0x08, u32::MAX, ByteEnables::new(0b0111).unwrap());
    assert_eq!(
        dvsec.read_u32(0x08),
        0x4001_0003,
        "the byte of viral status was not enabled"
    );
    dvsec.write_bytes(0x08, u32::MAX, ByteEnables::new(0b1000).unwrap());
    assert_eq!(dvsec.read_u32(0x08), 0x0001_0003);
}

#[test]
fn viral_status_needs_support() {
    let mut dvsec = CxlPortDvsecExtendedCapability::new();
    dvsec.set_viral_status(true);
    assert_eq!(dvsec.read_u32(0x08), 3);
}

#[test]
fn a_reset_keeps_what_the_port_supports() {
    let mut dvsec = capable();
    all_ones(&mut dvsec);
    dvsec.set_viral_status(true);
    dvsec.reset_by(Reset::Hot);
    assert_eq!(dvsec.read_u32(0x08), 0x4000_0003, "viral status is sticky");
    assert_eq!(dvsec.read_u32(0x20), 0);
    dvsec.reset();
    assert_eq!(words(&dvsec), words(&capable()));
    dvsec.write_u32(0x0c, u32::MAX);
    assert_eq!(dvsec.read_u32(0x0c), 0xffff_401f);
}

#[test]
fn support_travels_with_the_saved_state() {
    let mut dvsec = capable();
    all_ones(&mut dvsec);
    let mut other = CxlPortDvsecExtendedCapability::new();
    other.restore(dvsec.save().unwrap()).unwrap();
    assert_eq!(words(&other), words(&dvsec));
    other.write_u32(0x0c, 0);
    other.write_u32(0x0c, u32::MAX);
    assert_eq!(other.read_u32(0x0c), 0xffff_401f);
    // And away again.
    other
        .restore(CxlPortDvsecExtendedCapability::new().save().unwrap())
        .unwrap();
    other.write_u32(0x0c, u32::MAX);
    assert_eq!(other.read_u32(0x0c), 0xffff_000f);
}

#[test]
fn a_state_that_contradicts_itself_is_refused() {
    let changes: [fn(&mut State); 5] = [
        |state| state.control = 0x10,
        |state| state.status = 0x4000,
        |state| state.control = 0x20,
        |state| state.alt_bus_base = 0x100,
        |state| state.cxl_rcrb_base = 2,
    ];
    for change in changes {
        let mut dvsec = CxlPortDvsecExtendedCapability::new();
        let mut state = dvsec.save().unwrap();
        change(&mut state);
        assert!(dvsec.check(&state).is_err());
        assert!(dvsec.restore(state).is_err());
        assert_eq!(words(&dvsec), words(&CxlPortDvsecExtendedCapability::new()));
    }
}
