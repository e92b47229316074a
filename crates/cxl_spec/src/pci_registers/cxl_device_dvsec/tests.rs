use super::*;
use parking_lot::RwLock;
use reg_table::RestoreMismatch;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveRestore;

const MIB_256: u64 = 0x1000_0000;

fn words(dvsec: &CxlDeviceDevsecExtendedCapability) -> Vec<u32> {
    (0..0x3c).step_by(4).map(|o| dvsec.read_u32(o)).collect()
}

fn memory(
    dvsec: CxlDeviceDevsecExtendedCapability,
    size: u64,
    range: Option<CxlMemoryRange>,
) -> Result<CxlDeviceDevsecExtendedCapability, CxlMemoryConfigError> {
    dvsec.with_cxl_memory(
        size,
        range,
        CxlDeviceDvsecMediaType::Cdat,
        CxlDeviceDvsecMemoryClass::Cdat,
        CxlDeviceDvsecDesiredInterleave::Interleave4Kb,
        CxlDeviceDvsecMemoryActiveTimeout::Seconds4,
    )
}

fn enables(bits: u8) -> ByteEnables {
    ByteEnables::new(bits).unwrap()
}

#[test]
fn the_default_device() {
    let dvsec = CxlDeviceDevsecExtendedCapability::default();
    let mut expected = vec![0x0001_0023, 0x03c3_1e98, 0x0a82_0000, 0x0000_0002];
    expected.resize(15, 0);
    assert_eq!(words(&dvsec), expected);
    assert_eq!(dvsec.read_u32(0x3c), u32::MAX, "past the end");
    assert_eq!((dvsec.label(), dvsec.len()), ("cxl_device_dvsec", 0x3c));
    assert_eq!(dvsec.extended_capability_id(), 0x23);
}

#[test]
fn masks_follow_the_bit_fields() {
    assert_eq!(CXL_DEVICE_DVSEC_CONTROL_WRITABLE_MASK, 0x5ffd);
    assert_eq!(CXL_DEVICE_DVSEC_CONTROL2_WRITABLE_MASK, 0x003f);
    assert_eq!(CXL_DEVICE_DVSEC_RANGE_BASE_LOW_WRITABLE_MASK, 0xf000_0000);
    assert_eq!(CXL_DEVICE_DVSEC_STATUS_RW1C_MASK, 0x4000);
    assert_eq!(CXL_DEVICE_DVSEC_STATUS2_RW1C_MASK, 0x0008);
    for (offset, register) in [
        (
            CxlDeviceDvsecRegisterOffset::DVSEC_CONTROL_STATUS,
            CxlDeviceDvsecReg::Control,
        ),
        (
            CxlDeviceDvsecRegisterOffset::DVSEC_LOCK_CAPABILITY2,
            CxlDeviceDvsecReg::Lock,
        ),
        (
            CxlDeviceDvsecRegisterOffset::DVSEC_RANGE2_BASE_LOW,
            CxlDeviceDvsecReg::Range2BaseLow,
        ),
        (
            CxlDeviceDvsecRegisterOffset::DVSEC_CAPABILITY3,
            CxlDeviceDvsecReg::Capability3,
        ),
    ] {
        assert_eq!(offset, register.register().offset);
    }
}

#[test]
fn enables_exist_where_the_device_is_capable() {
    let mut plain = CxlDeviceDevsecExtendedCapability::default();
    plain.write_u32(0x0c, u32::MAX);
    assert_eq!(
        plain.read_u32(0x0c),
        0x0ffa,
        "no cache, mem, direct p2p or viral enable; io enable stays"
    );
    let mut capable = memory(
        CxlDeviceDevsecExtendedCapability::default()
            .with_cxl_cache(CxlDeviceDvsecCacheSizeUnit::Mib1, 2)
            .with_viral_capable(true)
            .with_capability3(CxlDeviceDvsecCapability3::new().with_direct_p2p_mem_capable(true)),
        MIB_256,
        None,
    )
    .unwrap();
    capable.write_u32(0x0c, u32::MAX);
    assert_eq!(capable.read_u32(0x0c), 0x5fff);
    assert!(capable.control().mem_enable());
    // cache, io, mem, one range, write-back, reset, 1 s, memory clear, viral.
    assert_eq!(capable.read_u32(0x08) >> 16, 0x4ad7);
    assert_eq!(capable.read_u32(0x14) >> 16, 0x0202, "2 MiB of cache");
    capable.write_u32(0x10, 0x39);
    assert_eq!(
        capable.read_u32(0x10),
        0x09,
        "no configurable hot reset, no modified completions"
    );
}

#[test]
fn an_unreported_cache_size_is_zero() {
    let dvsec = CxlDeviceDevsecExtendedCapability::default()
        .with_cxl_cache(CxlDeviceDvsecCacheSizeUnit::NotReported, 9);
    assert_eq!(dvsec.read_u32(0x14), 0);
}

#[test]
fn memory_fills_the_ranges_and_takes_the_base_from_the_base() {
    let base = 0x12_b000_0000;
    let range = CxlMemoryRange {
        base,
        size: MIB_256,
    };
    let dvsec = memory(
        CxlDeviceDevsecExtendedCapability::default(),
        0x2_5000_0000,
        Some(range),
    )
    .unwrap();
    // Size bits 31:28 are 5; timeout 1, interleave 2, class 2, media 2, active and valid.
    assert_eq!(&words(&dvsec)[6..10], [0x2, 0x5000_224b, 0x12, 0xb000_0000]);
    let misaligned = CxlMemoryRange {
        base: base + 1,
        size: MIB_256,
    };
    let both = memory(dvsec, MIB_256, Some(misaligned)).unwrap();
    assert_eq!(&words(&both)[10..14], [0, 0x1000_224b, 0, 0]);
    assert_eq!(both.composed.capability.hdm_count(), 2);
    assert_eq!(
        memory(both, MIB_256, None).err(),
        Some(CxlMemoryConfigError::TooManyHdmRanges)
    );
    for size in [0, MIB_256 / 2] {
        let same = memory(CxlDeviceDevsecExtendedCapability::default(), size, None).unwrap();
        assert_eq!(
            words(&same),
            words(&CxlDeviceDevsecExtendedCapability::default())
        );
    }
}

#[test]
fn the_lock_closes_what_it_should_until_a_conventional_reset() {
    let mut dvsec = memory(
        CxlDeviceDevsecExtendedCapability::default().with_viral_capable(true),
        MIB_256,
        None,
    )
    .unwrap();
    dvsec.write_u32(0x14, 0);
    assert_eq!(dvsec.read_u32(0x14), 0, "writing zero does not lock");
    dvsec.write_u32(0x0c, 0x4);
    dvsec.write_u32(0x20, 0x1234_5678);
    dvsec.write_u32(0x24, u32::MAX);
    dvsec.write_u32(0x14, 0xffff_ffff);
    dvsec.set_viral_status();
    for offset in [0x0c, 0x20, 0x24, 0x30, 0x34, 0x14] {
        dvsec.write_u32(offset, 0);
    }
    assert_eq!(
        [0x0c, 0x20, 0x24, 0x30, 0x34, 0x14].map(|o| dvsec.read_u32(o)),
        [0x4000_0006, 0x1234_5678, 0xf000_0000, 0, 0, 1]
    );
    dvsec.write_u32(0x10, 0x8);
    assert!(
        dvsec.control2().cxl_reset_mem_clr_enable(),
        "Control2 is not lockable"
    );
    dvsec.write_u32(0x0c, 0x4000_0000);
    assert_eq!(
        dvsec.read_u32(0x0c),
        0x6,
        "viral status can be cleared while locked"
    );
    dvsec.reset_by(Reset::FunctionLevel);
    assert_eq!(dvsec.read_u32(0x14), 1);
    assert!(
        dvsec.control().mem_enable(),
        "a function-level reset leaves CXL.mem alone"
    );
    dvsec.reset_by(Reset::Hot);
    assert_eq!(
        [0x0c, 0x20, 0x24, 0x14].map(|o| dvsec.read_u32(o)),
        [0x2, 0, 0, 0]
    );
}

#[test]
fn a_write_of_some_bytes_leaves_the_others() {
    let mut dvsec = CxlDeviceDevsecExtendedCapability::default().with_viral_capable(true);
    dvsec.set_viral_status();
    dvsec.write_bytes(0x0c, u32::MAX, enables(0b0011));
    assert_eq!(dvsec.read_u32(0x0c), 0x4000_4ffa);
    dvsec.write_bytes(0x0c, 0x4000_0000, enables(0b1000));
    assert_eq!(dvsec.read_u32(0x0c), 0x0000_4ffa);
}

/// Answers each request at once, on a clone of the capability.
#[derive(Default, Inspect)]
struct Answers {
    #[inspect(skip)]
    dvsec: RwLock<Option<CxlDeviceDevsecExtendedCapability>>,
    resets: AtomicU32,
    write_backs: AtomicU32,
}

impl CxlResetHandler for Answers {
    fn initiate_cxl_reset(&self) {
        self.resets.fetch_add(1, Ordering::Relaxed);
        self.dvsec
            .read()
            .as_ref()
            .unwrap()
            .set_cxl_reset_complete(true);
    }
}

impl CxlCacheWriteBackAndInvalidateHandler for Answers {
    fn initiate_cache_write_back_and_invalidate(&self) {
        self.write_backs.fetch_add(1, Ordering::Relaxed);
        self.dvsec.read().as_ref().unwrap().set_cache_invalid(true);
    }
}

#[test]
fn requests_reach_the_handlers_and_read_as_zero() {
    let answers = Arc::new(Answers::default());
    let mut dvsec =
        CxlDeviceDevsecExtendedCapability::new(Some(answers.clone()), Some(answers.clone()))
            .with_cxl_cache(CxlDeviceDvsecCacheSizeUnit::Kib64, 1);
    *answers.dvsec.write() = Some(dvsec.clone());
    dvsec.set_cxl_reset_error(true);
    dvsec.write_u32(0x10, 0x4);
    assert_eq!(
        dvsec.read_u32(0x10),
        0x0002_0000,
        "complete; the error of the reset before is gone"
    );
    dvsec.write_u32(0x10, 0x3);
    assert_eq!(
        dvsec.read_u32(0x10),
        0x0003_0001,
        "cache invalid, caching disabled"
    );
    dvsec.write_bytes(0x10, 0xff, enables(0b1110));
    dvsec.write_u32(0x10, 0x0);
    assert_eq!(
        dvsec.read_u32(0x10),
        0x0002_0000,
        "caching again: no longer invalid"
    );
    let count = |n: &AtomicU32| n.load(Ordering::Relaxed);
    assert_eq!(
        (count(&answers.resets), count(&answers.write_backs)),
        (1, 1)
    );
    dvsec.reset_by(Reset::Hot);
    assert_eq!(dvsec.read_u32(0x10), 0);
}

#[test]
fn without_handlers_a_reset_fails_and_an_empty_cache_is_invalid() {
    let mut dvsec = CxlDeviceDevsecExtendedCapability::default()
        .with_cxl_cache(CxlDeviceDvsecCacheSizeUnit::Kib64, 1);
    dvsec.write_u32(0x10, 0x4);
    assert_eq!(dvsec.read_u32(0x10), 0x0004_0000);
    dvsec.write_u32(0x10, 0x2);
    assert_eq!(
        dvsec.read_u32(0x10),
        0x0004_0000,
        "caching goes on, so not invalid"
    );
    dvsec.write_u32(0x10, 0x3);
    assert_eq!(dvsec.read_u32(0x10), 0x0005_0001);
}

#[test]
fn a_device_without_a_cache_takes_no_write_back() {
    let answers = Arc::new(Answers::default());
    let mut dvsec = CxlDeviceDevsecExtendedCapability::new(None, Some(answers.clone()));
    dvsec.write_u32(0x10, 0x3);
    assert_eq!(dvsec.read_u32(0x10), 0);
    assert_eq!(answers.write_backs.load(Ordering::Relaxed), 0);
}

#[test]
fn sticky_status_survives_all_but_power() {
    let mut dvsec = CxlDeviceDevsecExtendedCapability::default()
        .with_viral_capable(true)
        .with_capability3(
            CxlDeviceDvsecCapability3::new()
                .with_volatile_hdm_state_after_hot_reset_configurability(true),
        );
    dvsec.set_viral_status();
    dvsec.set_volatile_hdm_preservation_error();
    dvsec.set_power_management_initialization_complete(true);
    for kind in [Reset::Hot, Reset::FunctionLevel] {
        dvsec.reset_by(kind);
        assert_eq!(dvsec.read_u32(0x0c), 0x4000_0002, "{kind:?}");
        assert_eq!(dvsec.read_u32(0x10), 0x8008_0000, "{kind:?}");
    }
    dvsec.write_u32(0x10, 0x0008_0000);
    assert_eq!(dvsec.read_u32(0x10), 0x8000_0000);
    dvsec.reset();
    assert_eq!(dvsec.read_u32(0x0c), 0x2);
    assert_eq!(
        dvsec.read_u32(0x10),
        0x8000_0000,
        "power management state follows the link"
    );
}

#[test]
fn status_of_absent_features_cannot_be_raised() {
    let dvsec = CxlDeviceDevsecExtendedCapability::default();
    dvsec.set_viral_status();
    dvsec.set_volatile_hdm_preservation_error();
    dvsec.set_memory_active(0, true);
    assert_eq!(
        words(&dvsec),
        words(&CxlDeviceDevsecExtendedCapability::default())
    );
}

#[test]
fn memory_becomes_active_when_the_device_says_so() {
    let dvsec = memory(CxlDeviceDevsecExtendedCapability::default(), MIB_256, None).unwrap();
    dvsec.set_memory_active(0, false);
    assert_eq!(dvsec.read_u32(0x1c), 0x1000_2249);
    dvsec.set_memory_active(0, true);
    assert_eq!(dvsec.read_u32(0x1c), 0x1000_224b);
}

#[test]
fn saved_state_comes_back_and_a_foreign_one_changes_nothing() {
    let compose = || memory(CxlDeviceDevsecExtendedCapability::default(), MIB_256, None).unwrap();
    let mut dvsec = compose();
    dvsec.write_u32(0x0c, 0xfffd);
    dvsec.write_u32(0x20, 0x77);
    dvsec.write_u32(0x14, 1);
    dvsec.set_cxl_reset_complete(true);
    let before = words(&dvsec);
    let mut other = compose();
    other.restore(dvsec.save().unwrap()).unwrap();
    assert_eq!(words(&other), before);
    other.write_u32(0x20, 0);
    assert_eq!(other.read_u32(0x20), 0x77, "the lock came along");

    let refused =
        |change: fn(&mut <CxlDeviceDevsecExtendedCapability as SaveRestore>::SavedState)| {
            let mut state = compose().save().unwrap();
            change(&mut state);
            let mut target = compose();
            let error = target.restore(state).unwrap_err();
            assert_eq!(words(&target), words(&compose()));
            error
        };
    let error = refused(|state| state.capability = 0x0a82);
    let RestoreError::InvalidSavedState(error) = error else {
        panic!("{error:?}");
    };
    assert!(matches!(
        error.downcast_ref(),
        Some(RestoreMismatch::Fixed { offset: 8, .. })
    ));
    for error in [
        refused(|state| state.reset_baseline_capability = 0),
        refused(|state| state.control |= 1),
        refused(|state| state.control = 0x1_0002),
        refused(|state| state.range1_base_low = 1),
        refused(|state| state.status2 = 0x0010),
        refused(|state| state.lock = 2),
    ] {
        assert!(
            matches!(error, RestoreError::InvalidSavedState(_)),
            "{error:?}"
        );
    }
}
