use super::*;
use expect_test::Expect;
use expect_test::expect;
use std::fmt::Write;
use vmcore::save_restore::SaveRestore;

const MIB_256: u64 = 0x1000_0000;

type State = <CxlHdmDecoderCapability as SaveRestore>::SavedState;

fn device(decoders: usize) -> CxlHdmDecoderCapability {
    CxlHdmDecoderCapability::with_options(CxlHdmDecoderCapabilityOptions::default(), decoders)
        .unwrap()
}

fn host_bridge(targets: u8) -> CxlHdmDecoderCapability {
    let options = CxlHdmDecoderCapabilityOptions {
        target_count_encoding: targets,
        interleave_3_6_12_way_capable: true,
        interleave_16_way_capable: true,
        ..Default::default()
    };
    CxlHdmDecoderCapability::with_options(options, 4).unwrap()
}

fn at(decoder: u16, register: u16) -> u16 {
    CXL_HDM_DECODER_BASE_OFFSET + CXL_HDM_DECODER_STRIDE_BYTES * decoder + register
}

fn read(hdm: &CxlHdmDecoderCapability, decoder: u16, register: u16) -> u32 {
    hdm.read_u32(at(decoder, register)).unwrap()
}

const CONTROL: u16 = CxlHdmDecoderRegisterOffset::CONTROL;
const COMMIT: u32 = 0x200;
const LOCK: u32 = 0x100;

/// Programs a decoder in units of 256 MiB, as Linux does: range, control, then commit.
fn program(hdm: &mut CxlHdmDecoderCapability, decoder: u16, base: u64, size: u64, control: u32) {
    let [base, size] = [base, size].map(|units| halves(units * MIB_256));
    for (register, value) in [(0, base[0]), (4, base[1]), (8, size[0]), (0xc, size[1])] {
        assert!(hdm.write_u32(at(decoder, register), value));
    }
    assert!(hdm.write_u32(at(decoder, CONTROL), control));
    assert!(hdm.write_u32(at(decoder, CONTROL), control | COMMIT));
}

/// The decoders one a line, in units of 256 MiB.
fn check(hdm: &CxlHdmDecoderCapability, expected: &Expect) {
    let mut found = String::new();
    for (n, decoder) in hdm.decoders.iter().enumerate() {
        let (range, control) = (Range::of(decoder), control(decoder));
        let flags = [
            ("lock", control.lock_on_commit()),
            ("commit", control.commit()),
            ("committed", control.committed()),
            ("error", control.error_not_committed()),
        ];
        let flags: Vec<_> = flags
            .iter()
            .filter(|(_, set)| *set)
            .map(|(n, _)| *n)
            .collect();
        writeln!(
            found,
            "{n}: {}+{} {}",
            range.base / MIB_256,
            range.size / MIB_256,
            flags.join(" ")
        )
        .unwrap();
    }
    expected.assert_eq(&found);
}

#[test]
fn the_header_of_a_device() {
    let mut hdm = CxlHdmDecoderCapability::new().unwrap();
    assert_eq!(
        (hdm.label(), hdm.capability_id(), hdm.capability_version()),
        ("cxl-hdm-decoder-capability", 5, 3)
    );
    assert_eq!(
        [0, 4, 8, 0xc].map(|o| hdm.read_u32(o).unwrap()),
        [0x0030_2300, 0, 0, 0]
    );
    assert!(!hdm.write_u32(0, u32::MAX), "read-only");
    assert!(
        !hdm.write_u32(8, u32::MAX) && !hdm.write_u32(0xc, u32::MAX),
        "reserved"
    );
    assert!(hdm.write_u32(4, u32::MAX));
    assert_eq!(
        [0, 4, 8, 0xc].map(|o| hdm.read_u32(o).unwrap()),
        [0x0030_2300, 0x2, 0, 0],
        "no poison on decode error, so no enable for it"
    );
    assert_eq!(hdm.len(), 0x30);
    assert_eq!(hdm.read_u32(0x30), None);
    assert!(!hdm.write_u32(0x30, 0));
}

#[test]
fn every_count_that_can_be_encoded_can_be_had() {
    for (encoded, &count) in (0u32..).zip(&CXL_HDM_DECODER_COUNTS) {
        let hdm = device(count);
        assert_eq!(hdm.read_u32(0).unwrap() & 0xf, encoded, "{count}");
        assert_eq!(usize::from(hdm.len()), 0x10 + 0x20 * count);
        assert_eq!(encode_decoder_count(count).map(u32::from), Some(encoded));
    }
    for count in [0, 3, 5, 7, 11, 18, 33, usize::MAX] {
        let error = CxlHdmDecoderCapability::with_options(Default::default(), count);
        assert_eq!(
            error.err().unwrap().to_string(),
            format!(
                "{count} HDM decoders cannot be encoded; [1, 2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32] can"
            )
        );
    }
}

#[test]
fn options_that_no_register_can_say_are_refused() {
    let with = |change: fn(&mut CxlHdmDecoderCapabilityOptions)| {
        let mut options = CxlHdmDecoderCapabilityOptions::default();
        change(&mut options);
        CxlHdmDecoderCapability::with_options(options, 1).err()
    };
    assert_eq!(
        with(|o| o.target_count_encoding = 3),
        Some(CxlHdmDecoderCapabilityError::TargetCount { count: 3 })
    );
    assert_eq!(
        with(|o| o.uio_capable_decoder_count = 16),
        Some(CxlHdmDecoderCapabilityError::UioDecoderCount { count: 16 })
    );
}

#[test]
fn decoders_added_one_at_a_time_round_up_to_a_count() {
    let mut hdm = CxlHdmDecoderCapability::new().unwrap();
    let mut lengths = Vec::new();
    for _ in 0..32 {
        hdm.with_decoder_slot(
            CxlHdmDecoderInterleaveGranularity::Bytes512,
            CxlHdmDecoderInterleaveWays::Way2,
        )
        .unwrap();
        lengths.push((hdm.len() - 0x10) / 0x20);
    }
    assert_eq!(lengths[..5], [1, 2, 4, 4, 6]);
    assert_eq!(lengths[31], 32);
    assert_eq!(
        hdm.with_decoder_slot(
            CxlHdmDecoderInterleaveGranularity::Bytes256,
            CxlHdmDecoderInterleaveWays::Way1,
        ),
        Err(CxlHdmDecoderCapabilityError::TooManyFixedDecoders)
    );
    let mut three = CxlHdmDecoderCapability::new().unwrap();
    for _ in 0..3 {
        three
            .with_decoder_slot(
                CxlHdmDecoderInterleaveGranularity::Bytes512,
                CxlHdmDecoderInterleaveWays::Way2,
            )
            .unwrap();
    }
    let controls: Vec<_> = (0..4).map(|n| read(&three, n, CONTROL)).collect();
    assert_eq!(controls, [0x111, 0x111, 0x111, 0]);
    for decoder in 0..4 {
        program(&mut three, decoder, u64::from(decoder), 1, 0);
    }
    assert_eq!(
        read(&three, 3, CONTROL),
        0x600,
        "the one that rounds up works like the others"
    );
}

#[test]
fn reserved_bits_read_zero() {
    let mut hdm = device(1);
    for register in (0..0x1c).step_by(4).filter(|&o| o != CONTROL) {
        assert!(hdm.write_u32(at(0, register), u32::MAX));
    }
    assert!(!hdm.write_u32(at(0, 0x1c), u32::MAX));
    assert!(hdm.write_u32(at(0, CONTROL), !COMMIT));
    let words: Vec<_> = (0..0x20).step_by(4).map(|o| read(&hdm, 0, o)).collect();
    assert_eq!(
        words,
        [
            0xf000_0000,
            u32::MAX,
            0xf000_0000,
            u32::MAX,
            0x0fff_71ff,
            0xf000_0000,
            u32::MAX,
            0
        ]
    );
    let mut bridge = host_bridge(8);
    assert!(bridge.write_u32(at(0, 0x14), 0x0302_0100));
    assert_eq!(
        read(&bridge, 0, 0x14),
        0x0302_0100,
        "port numbers rather than addresses"
    );
    for (mask, expected) in [
        (CXL_HDM_DECODER_GLOBAL_CONTROL_WRITABLE_MASK, 0x3),
        (CXL_HDM_DECODER_BASE_LOW_WRITABLE_MASK, 0xf000_0000),
        (CXL_HDM_DECODER_SIZE_LOW_WRITABLE_MASK, 0xf000_0000),
        (CXL_HDM_DECODER_DPA_SKIP_LOW_WRITABLE_MASK, 0xf000_0000),
        (CXL_HDM_DECODER_CONTROL_WRITABLE_MASK, 0x0fff_73ff),
    ] {
        assert_eq!(mask, expected);
    }
}

#[test]
fn committing_goes_in_order_and_upwards() {
    let mut hdm = device(4);
    program(&mut hdm, 1, 8, 4, 0);
    check(
        &hdm,
        &expect![[r#"
            0: 0+0 
            1: 8+4 commit error
            2: 0+0 
            3: 0+0 
        "#]],
    );
    // As Linux does after an error.
    assert!(hdm.write_u32(at(1, CONTROL), 0));
    assert_eq!(read(&hdm, 1, CONTROL), 0);
    program(&mut hdm, 0, 4, 4, 0);
    program(&mut hdm, 1, 7, 1, 0);
    check(
        &hdm,
        &expect![[r#"
            0: 4+4 commit committed
            1: 7+1 commit error
            2: 0+0 
            3: 0+0 
        "#]],
    );
    program(&mut hdm, 1, 8, 1, 0);
    program(&mut hdm, 2, 2, 1, 0);
    check(
        &hdm,
        &expect![[r#"
            0: 4+4 commit committed
            1: 8+1 commit committed
            2: 2+1 commit error
            3: 0+0 
        "#]],
    );
}

#[test]
fn a_decoder_of_size_zero_commits_and_maps_nothing() {
    let mut hdm = device(2);
    program(&mut hdm, 0, 0, 0, 0);
    program(&mut hdm, 1, 0, 1, 0);
    assert!(hdm.write_u32(4, 2));
    assert_eq!(hdm.find_enabled_decoder_for_access(0, 8), Some((1, 0)));
}

#[test]
fn a_range_that_wraps_is_not_committed() {
    let mut hdm = device(1);
    let last = u64::MAX / MIB_256;
    program(&mut hdm, 0, last, 2, 0);
    assert_eq!(read(&hdm, 0, CONTROL), 0xa00);
    program(&mut hdm, 0, last, 1, 0);
    assert_eq!(read(&hdm, 0, CONTROL), 0x600, "up to the very end is fine");
    assert!(hdm.write_u32(4, 2));
    assert_eq!(
        hdm.find_enabled_decoder_for_access(u64::MAX, 1),
        Some((0, MIB_256 - 1))
    );
    assert_eq!(hdm.find_enabled_decoder_for_access(u64::MAX, 2), None);
}

#[test]
fn interleaving_must_be_among_the_capabilities() {
    let committed = |mut hdm: CxlHdmDecoderCapability, size, control| {
        program(&mut hdm, 0, 0, size, control);
        read(&hdm, 0, CONTROL) & 0x400 != 0
    };
    // Control is ways << 4 | granularity.
    for (control, expected) in [
        (0x00, true),
        (0x30, true),  // 8 ways, 256 bytes: bits 10:8
        (0x34, true),  // 8 ways, 4 KiB: bits 14:12
        (0x35, false), // 8 ways, 8 KiB: bit 15
        (0x40, false), // 16 ways
        (0x50, false), // reserved
        (0x80, false), // 3 ways
        (0x07, false), // reserved granularity
    ] {
        assert_eq!(committed(device(1), 16, control), expected, "{control:#x}");
    }
    let options = CxlHdmDecoderCapabilityOptions {
        a14to12_interleave_capable: false,
        interleave_3_6_12_way_capable: true,
        ..Default::default()
    };
    let low_bits = || CxlHdmDecoderCapability::with_options(options, 1).unwrap();
    for (control, size, expected) in [
        (0x13, 2, true),  // 2 ways, 2 KiB: bit 11
        (0x14, 2, false), // 2 ways, 4 KiB: bit 12
        (0x06, 2, true),  // 1 way: no bits at all
        (0x86, 3, true),  // 3 ways: no bits either
        (0x86, 4, false), // 3 ways: not in thirds
        (0x96, 6, false), // 6 ways, 16 KiB: bit 14
        (0x93, 6, true),  // 6 ways, 2 KiB: bit 11
    ] {
        assert_eq!(
            committed(low_bits(), size, control),
            expected,
            "{control:#x} {size}"
        );
    }
    for (targets, control, expected) in [(4, 0x20, true), (2, 0x20, false), (8, 0x40, false)] {
        assert_eq!(
            committed(host_bridge(targets), 16, control),
            expected,
            "{targets} targets, {control:#x}"
        );
    }
}

#[test]
fn a_locked_decoder_stays_until_a_conventional_reset() {
    let mut hdm = device(1);
    program(&mut hdm, 0, 1, 2, LOCK);
    assert_eq!(read(&hdm, 0, CONTROL), 0x700);
    let before: Vec<_> = (0..0x20).step_by(4).map(|o| read(&hdm, 0, o)).collect();
    for register in (0..0x20).step_by(4) {
        assert!(!hdm.accepts_write(at(0, register)));
        assert!(!hdm.write_u32(at(0, register), 0));
    }
    let after: Vec<_> = (0..0x20).step_by(4).map(|o| read(&hdm, 0, o)).collect();
    assert_eq!(after, before);
    hdm.reset_by(Reset::Hot);
    let words: Vec<_> = (0..0x20).step_by(4).map(|o| read(&hdm, 0, o)).collect();
    assert_eq!(words, [0; 8]);
    assert!(hdm.write_u32(at(0, 0), u32::MAX));
}

#[test]
fn an_unlocked_decoder_keeps_its_range_while_committed_and_can_be_taken_back() {
    let mut hdm = device(2);
    program(&mut hdm, 0, 1, 2, 0);
    assert!(!hdm.write_u32(at(0, 0), 0xf000_0000));
    assert!(hdm.write_u32(at(0, CONTROL), COMMIT | LOCK | 0x10));
    assert_eq!(
        read(&hdm, 0, CONTROL),
        0x600,
        "still committed: nothing else is taken"
    );
    hdm.write_bytes(at(0, CONTROL), 0, ByteEnables::new(0b0001).unwrap());
    assert_eq!(
        read(&hdm, 0, CONTROL),
        0x600,
        "a write beside the commit bit does not take it back"
    );
    program(&mut hdm, 1, 3, 1, 0);
    assert!(hdm.write_u32(at(0, CONTROL), 0x10));
    assert_eq!(read(&hdm, 0, CONTROL), 0x10);
    // It must fit below the one that is still committed.
    program(&mut hdm, 0, 1, 3, 0);
    assert_eq!(read(&hdm, 0, CONTROL), 0xa00);
    program(&mut hdm, 0, 1, 2, 0);
    assert_eq!(read(&hdm, 0, CONTROL), 0x600);
}

#[test]
fn fixed_decoders_are_checked_when_composed() {
    let fixed = |base, size| CxlHdmDecoderFixedConfig {
        hdm_base: base,
        hdm_size: size,
        interleave_granularity: CxlHdmDecoderInterleaveGranularity::Bytes256,
        interleave_ways: CxlHdmDecoderInterleaveWays::Way1,
    };
    let mut hdm = CxlHdmDecoderCapability::new().unwrap();
    for (base, size) in [
        (0, 0),
        (1, MIB_256),
        (0, MIB_256 + 1),
        (MIB_256 / 2, MIB_256),
        (u64::MAX - MIB_256 + 1, MIB_256),
        (u64::MAX - MIB_256 + 1, 2 * MIB_256),
    ] {
        assert_eq!(
            hdm.with_hdm(fixed(base, size)),
            Err(CxlHdmDecoderCapabilityError::InvalidFixedRange),
            "{base:#x} {size:#x}"
        );
    }
    hdm.with_hdm(fixed(0x1_2000_0000, 2 * MIB_256)).unwrap();
    assert_eq!(
        hdm.with_hdm(fixed(0x1_3000_0000, MIB_256)),
        Err(CxlHdmDecoderCapabilityError::FixedRangeNotAscending {
            base: 0x1_3000_0000,
            end: 0x1_4000_0000
        })
    );
    hdm.with_hdm(fixed(0x1_4000_0000, MIB_256)).unwrap();
    hdm.with_hdm(fixed(0x1_8000_0000, MIB_256)).unwrap();
    let mut three_ways = fixed(0x2_0000_0000, 3 * MIB_256);
    three_ways.interleave_ways = CxlHdmDecoderInterleaveWays::Way3;
    assert_eq!(
        hdm.with_hdm(three_ways),
        Err(CxlHdmDecoderCapabilityError::UnsupportedInterleave {
            ways: 8,
            granularity: 0
        })
    );
    let as_composed = expect![[r#"
        0: 18+2 lock commit committed
        1: 20+1 lock commit committed
        2: 24+1 lock commit committed
        3: 0+0 
    "#]];
    check(&hdm, &as_composed);
    assert!(!hdm.write_u32(at(0, 0), 0));
    program(&mut hdm, 3, 32, 1, 0);
    hdm.reset();
    check(&hdm, &as_composed);
}

#[test]
fn accesses_find_their_decoder() {
    let mut hdm = device(2);
    program(&mut hdm, 0, 1, 1, 0);
    program(&mut hdm, 1, 2, 2, 0);
    assert_eq!(hdm.find_enabled_decoder_for_access(MIB_256, 4), None, "off");
    assert!(hdm.write_u32(4, 2));
    for (addr, len, expected) in [
        (MIB_256, 4, Some((0, 0))),
        (MIB_256 - 1, 1, None),
        (2 * MIB_256 - 4, 4, Some((0, MIB_256 - 4))),
        (2 * MIB_256 - 4, 8, None),
        (3 * MIB_256, 8, Some((1, MIB_256))),
        (4 * MIB_256, 1, None),
        (u64::MAX, usize::MAX, None),
    ] {
        assert_eq!(
            hdm.find_enabled_decoder_for_access(addr, len),
            expected,
            "{addr:#x} {len}"
        );
    }
    assert!(hdm.write_u32(at(1, CONTROL), 0));
    assert_eq!(hdm.find_enabled_decoder_for_access(3 * MIB_256, 8), None);
}

#[test]
fn saved_state_comes_back() {
    let mut hdm = device(2);
    program(&mut hdm, 0, 1, 1, LOCK);
    assert!(hdm.write_u32(4, 2));
    assert!(hdm.write_u32(at(1, 0x14), u32::MAX));
    assert!(hdm.write_u32(at(1, 0x18), 7));
    let state = hdm.save().unwrap();
    assert_eq!((state.global_control, state.decoders.len()), (2, 2));
    assert_eq!(state.decoders[0].control, 0x700);
    let mut other = device(2);
    other.restore(state).unwrap();
    for offset in (0..0x50).step_by(4) {
        assert_eq!(other.read_u32(offset), hdm.read_u32(offset), "{offset:#x}");
    }
    assert!(!other.write_u32(at(0, 0), 0), "still locked");
}

#[test]
fn states_that_cannot_be_are_refused_and_change_nothing() {
    let compose = || {
        let mut hdm = CxlHdmDecoderCapability::new().unwrap();
        hdm.with_hdm(CxlHdmDecoderFixedConfig {
            hdm_base: 0,
            hdm_size: MIB_256,
            interleave_granularity: CxlHdmDecoderInterleaveGranularity::Bytes256,
            interleave_ways: CxlHdmDecoderInterleaveWays::Way1,
        })
        .unwrap();
        hdm.with_decoder_slot(
            CxlHdmDecoderInterleaveGranularity::Bytes256,
            CxlHdmDecoderInterleaveWays::Way1,
        )
        .unwrap();
        hdm
    };
    let changes: [fn(&mut State); 8] = [
        |state| state.decoders.truncate(1),
        |state| state.global_control = 4,
        |state| state.decoders[0].base_low = 0x1000_0000,
        |state| state.decoders[0].control = 0,
        |state| state.decoders[1].size_low = 1,
        |state| state.decoders[1].control = 0x400,
        |state| state.decoders[1].control = 0xe00,
        |state| {
            state.decoders[1].control = 0x600;
            state.decoders[1].base_high = u32::MAX;
            state.decoders[1].size_high = u32::MAX;
        },
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut state = compose().save().unwrap();
        // What comes before the mistake must not be taken either.
        state.global_control = 2;
        change(&mut state);
        let mut hdm = compose();
        assert!(SaveRestore::check(&mut hdm, &state).is_err(), "{n}");
        assert!(hdm.restore(state).is_err(), "{n}");
        for offset in (0..0x50).step_by(4) {
            assert_eq!(hdm.read_u32(offset), compose().read_u32(offset), "{n}");
        }
    }
}
