use super::*;
use crate::component_registers::CxlHdmDecoderCapability;
use crate::component_registers::CxlLinkCapability;
use crate::component_registers::CxlRasCapability;
use crate::component_registers::CxlSnoopFilterCapability;
use crate::component_registers::test_helper::TestCxlComponentRegisterBlock;
use crate::spec::CxlComponentRegisterType;
use crate::spec::CxlComponentRegisterType::*;
use expect_test::Expect;
use expect_test::expect;
use std::fmt::Write;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;
use vmcore::save_restore::SavedStateBlob;

type State = <CxlComponentRegisters as SaveRestore>::SavedState;

fn block(register_type: CxlComponentRegisterType, len: usize) -> Box<dyn CxlComponentRegister> {
    Box::new(TestCxlComponentRegisterBlock::new(register_type, len))
}

fn read(registers: &CxlComponentRegisters, offset: u16) -> Option<u32> {
    let mut data = [0xee; 4];
    match registers.read(offset, &mut data) {
        IoResult::Ok => Some(u32::from_le_bytes(data)),
        IoResult::Err(IoError::InvalidRegister) => {
            assert_eq!(data, [0xee; 4], "a failed read leaves the data alone");
            None
        }
        other => panic!("{other:?}"),
    }
}

fn write(registers: &mut CxlComponentRegisters, offset: u16, data: &[u8]) -> bool {
    match registers.write(offset, data) {
        IoResult::Ok => true,
        IoResult::Err(IoError::InvalidRegister) => false,
        other => panic!("{other:?}"),
    }
}

/// What software finds that walks the directories of all ranges as Linux walks the primary one.
fn check(registers: &CxlComponentRegisters, expected: &Expect) {
    let mut found = String::new();
    for range in (0x1000..0xe000).step_by(0x1000) {
        let Some(header) = read(registers, range) else {
            continue;
        };
        writeln!(found, "{range:#06x} header {header:#010x}").unwrap();
        for n in 1..=(header >> 24) as u16 {
            let entry = read(registers, range + 4 * n).unwrap();
            let (id, version) = (entry & 0xffff, (entry >> 16) & 0xf);
            let at = range + (entry >> 20) as u16;
            let first = read(registers, at).unwrap();
            writeln!(
                found,
                "  id {id:#x} version {version} at {at:#06x}: {first:#010x}"
            )
            .unwrap();
        }
    }
    expected.assert_eq(&found);
}

#[test]
fn an_empty_space_has_an_empty_directory() {
    let mut registers = CxlComponentRegisters::default();
    assert_eq!(registers.len(), 0x1_0000);
    assert_eq!(read(&registers, 0x1000), Some(0x0011_0001));
    for offset in [0, 0xffc, 0x1004, 0x2000, 0xe000, 0xfffc] {
        assert_eq!(read(&registers, offset), None, "{offset:#x}");
    }
    assert!(!write(&mut registers, 0x1000, &[0; 4]), "read-only");
    assert_eq!(registers.capability_offset(5), None);
}

#[test]
fn a_block_alone_starts_behind_its_directory_entry() {
    for register_type in [CacheMemRegister, CacheMemExtendedRegister] {
        let mut registers = CxlComponentRegisters::new();
        assert!(registers.add_register(block(register_type, 0xff8)));
        assert_eq!(registers.capability_offset(0x20), Some(0x1008));
        assert_eq!(read(&registers, 0x1000), Some(0x0111_0001));
        assert_eq!(read(&registers, 0x1004), Some(0x0081_0020));
        assert_eq!(read(&registers, 0x1ffc), Some(0));
        assert_eq!(read(&registers, 0x2000), None);
    }
}

#[test]
fn the_directory_of_a_port() {
    let mut registers = CxlComponentRegisters::new();
    for block in [
        Box::new(CxlRasCapability::new()) as Box<dyn CxlComponentRegister>,
        Box::new(CxlLinkCapability::new()),
        Box::new(CxlHdmDecoderCapability::new().unwrap()),
        Box::new(CxlSnoopFilterCapability::new(1, 2)),
    ] {
        registers.try_add_register(block).unwrap();
    }
    check(
        &registers,
        &expect![[r#"
            0x1000 header 0x04110001
              id 0x2 version 3 at 0x1018: 0x00000000
              id 0x4 version 2 at 0x1070: 0x00000033
              id 0x5 version 3 at 0x10a8: 0x00302300
              id 0x8 version 1 at 0x10d8: 0x00000001
        "#]],
    );
    assert_eq!(registers.find(4).unwrap().label(), "cxl_link");
    assert!(registers.find(6).is_none());
    assert!(registers.get::<CxlHdmDecoderCapability>().is_some());
    assert!(
        registers
            .get_mut::<TestCxlComponentRegisterBlock>()
            .is_none()
    );
}

#[test]
fn extended_blocks_get_ranges_and_a_capability_that_names_them() {
    let mut registers = CxlComponentRegisters::new();
    let mut add = |register_type, len| registers.try_add_register(block(register_type, len));
    assert_eq!(add(CacheMemExtendedRegister, 0x800), Ok(0x1008));
    assert_eq!(
        add(CacheMemRegister, 0x10),
        Ok(0x1010),
        "the other one moved"
    );
    assert_eq!(add(CacheMemExtendedRegister, 0x800), Ok(0x3008));
    assert_eq!(add(CacheMemExtendedRegister, 0xc), Ok(0x3810));
    check(
        &registers,
        &expect![[r#"
            0x1000 header 0x02110001
              id 0x20 version 1 at 0x1010: 0x00000000
              id 0xa version 1 at 0x1020: 0x0000000c
            0x2000 header 0x01110001
              id 0x20 version 1 at 0x2008: 0x00000000
            0x3000 header 0x02110001
              id 0x20 version 1 at 0x3010: 0x00000000
              id 0x20 version 1 at 0x3810: 0x00000000
        "#]],
    );
    assert_eq!(
        registers.capability_offset(0x20),
        Some(0x2008),
        "the first that was added"
    );
}

#[test]
fn blocks_that_do_not_fit_change_nothing() {
    let mut registers = CxlComponentRegisters::new();
    assert!(registers.add_register(block(CacheMemRegister, 0xff8)));
    assert_eq!(
        registers.try_add_register(block(CacheMemRegister, 4)),
        Err(ComponentRegisterError::NoRoom {
            label: "test-register-block".into(),
            len: 4,
            range: "primary range"
        })
    );
    assert!(
        !registers.add_register(block(CacheMemExtendedRegister, 4)),
        "the primary directory would need an entry more"
    );
    assert_eq!(read(&registers, 0x1000), Some(0x0111_0001));
    assert_eq!(registers.capability_offset(0x20), Some(0x1008));

    let mut registers = CxlComponentRegisters::new();
    for _ in 0..12 {
        assert!(registers.add_register(block(CacheMemExtendedRegister, 0xff8)));
    }
    let error = registers.try_add_register(block(CacheMemExtendedRegister, 0x10));
    assert_eq!(
        error.unwrap_err().to_string(),
        "block 'test-register-block': 0x10 bytes do not fit in the extended ranges beside its directory and the other blocks"
    );
    assert_eq!(read(&registers, 0xd000), Some(0x0111_0001));
    assert_eq!(read(&registers, 0xdffc), Some(0));
    assert_eq!(read(&registers, 0x1008), Some(0x3ffc), "all twelve ranges");
}

#[test]
fn as_many_blocks_as_a_directory_counts() {
    let mut registers = CxlComponentRegisters::new();
    for _ in 0..255 {
        assert!(registers.add_register(block(CacheMemRegister, 8)));
    }
    assert_eq!(read(&registers, 0x1000), Some(0xff11_0001));
    assert!(!registers.add_register(block(CacheMemRegister, 8)));
}

/// A block that says of itself what a test wants.
#[derive(Inspect)]
struct Odd {
    register_type: CxlComponentRegisterType,
    id: u16,
    version: u8,
    len: u16,
}

impl CxlComponentRegister for Odd {
    fn label(&self) -> &str {
        "odd"
    }
    fn register_type(&self) -> CxlComponentRegisterType {
        self.register_type
    }
    fn capability_id(&self) -> u16 {
        self.id
    }
    fn capability_version(&self) -> u8 {
        self.version
    }
    fn len(&self) -> u16 {
        self.len
    }
    fn read_u32(&self, offset: u16) -> Option<u32> {
        (offset != 4).then_some(offset.into())
    }
    fn write_u32(&mut self, _offset: u16, _val: u32) -> bool {
        false
    }
    fn reset(&mut self) {}
}

impl SaveRestore for Odd {
    type SavedState = vmcore::save_restore::NoSavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        Ok(vmcore::save_restore::NoSavedState)
    }

    fn restore(&mut self, _: Self::SavedState) -> Result<(), RestoreError> {
        Ok(())
    }
}

#[test]
fn misdescribed_blocks_are_named_and_refused() {
    let odd = |register_type, id, version, len| Odd {
        register_type,
        id,
        version,
        len,
    };
    for (odd, expected) in [
        (
            odd(CxlArbMuxRegister, 0x20, 1, 8),
            "block 'odd': arbiter/multiplexer registers are not supported",
        ),
        (
            odd(CacheMemRegister, 0x20, 1, 0),
            "block 'odd' has 0 bytes; a block has a multiple of 4 and not zero",
        ),
        (
            odd(CacheMemRegister, 0x20, 1, 6),
            "block 'odd' has 6 bytes; a block has a multiple of 4 and not zero",
        ),
        (
            odd(CacheMemRegister, 0xa, 1, 8),
            "block 'odd': capability ID 0xa is not for blocks",
        ),
        (
            odd(CacheMemRegister, 1, 1, 8),
            "block 'odd': capability ID 0x1 is not for blocks",
        ),
        (
            odd(CacheMemExtendedRegister, 5, 1, 8),
            "block 'odd': capability ID 0x5 must be in the primary range; IDs 0x1 to 0xa cannot be extended",
        ),
        (
            odd(CacheMemRegister, 0x20, 16, 8),
            "block 'odd': version 16 is above 15",
        ),
    ] {
        let mut registers = CxlComponentRegisters::new();
        let error = registers.try_add_register(Box::new(odd)).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(read(&registers, 0x1000), Some(0x0011_0001));
    }
    let mut registers = CxlComponentRegisters::new();
    let above = odd(CacheMemExtendedRegister, 0xb, 15, 8);
    assert!(registers.add_register(Box::new(above)));
}

#[test]
fn only_aligned_dwords_and_qwords_are_taken() {
    let mut registers = CxlComponentRegisters::new();
    registers.add_register(block(CacheMemRegister, 0x10));
    for (offset, len) in [
        (0x1008, 0),
        (0x1008, 1),
        (0x1008, 2),
        (0x100a, 4),
        (0x1009, 4),
        (0x100c, 8),
        (0x1008, 12),
        (0x1008, 16),
        (0xfffe, 4),
    ] {
        let mut data = vec![0xee; len];
        assert!(
            matches!(
                registers.read(offset, &mut data),
                IoResult::Err(IoError::InvalidRegister)
            ),
            "{offset:#x} {len}"
        );
        assert!(data.iter().all(|&byte| byte == 0xee));
        assert!(!write(&mut registers, offset, &data));
    }
    assert!(write(&mut registers, 0x1008, &[1, 2, 3, 4, 5, 6, 7, 8]));
    assert!(write(&mut registers, 0x1010, &[9, 10, 11, 12]));
    let mut data = [0; 8];
    registers.read(0x1008, &mut data).unwrap();
    assert_eq!(data, [1, 2, 3, 4, 5, 6, 7, 8]);
    registers.read(0x1010, &mut data).unwrap();
    assert_eq!(data, [9, 10, 11, 12, 0, 0, 0, 0]);
    let mut last = [0; 8];
    assert!(matches!(
        registers.read(0xfff8, &mut last),
        IoResult::Err(IoError::InvalidRegister)
    ));
}

#[test]
fn a_qword_is_refused_as_a_whole() {
    let mut registers = CxlComponentRegisters::new();
    registers.add_register(Box::new(CxlHdmDecoderCapability::new().unwrap()));
    registers.add_register(block(CacheMemRegister, 0xc));
    // Directory (two entries), padding, decoders at 0x1010, memory at 0x1040.
    assert_eq!(registers.capability_offset(0x20), Some(0x1040));
    assert!(write(&mut registers, 0x1048, &[7; 4]));
    assert!(
        !write(&mut registers, 0x1048, &[1; 8]),
        "the second dword is not there"
    );
    assert_eq!(read(&registers, 0x1048), Some(0x0707_0707));
    assert!(
        !write(&mut registers, 0x1010, &[0xff; 8]),
        "the first dword is read-only"
    );
    assert_eq!(read(&registers, 0x1014), Some(0));
    assert!(write(&mut registers, 0x1014, &[2, 0, 0, 0]));
    assert_eq!(read(&registers, 0x1014), Some(2));
    let mut data = [0xee; 8];
    let half = registers.read(0x1048, &mut data);
    assert!(matches!(half, IoResult::Err(IoError::InvalidRegister)));
    assert_eq!(data, [0xee; 8]);
}

#[test]
fn a_dword_that_a_block_does_not_have_is_invalid() {
    let mut registers = CxlComponentRegisters::new();
    registers.add_register(Box::new(Odd {
        register_type: CacheMemRegister,
        id: 0x20,
        version: 1,
        len: 0xc,
    }));
    assert_eq!(read(&registers, 0x1010), Some(8));
    assert_eq!(read(&registers, 0x100c), None);
    assert!(!write(&mut registers, 0x1010, &[0; 4]), "it takes no write");
}

#[test]
fn resets_reach_the_blocks_but_for_function_level_ones() {
    let mut registers = CxlComponentRegisters::new();
    registers.add_register(block(CacheMemRegister, 8));
    registers.add_register(Box::new(CxlRasCapability::new()));
    let ras = registers.capability_offset(2).unwrap();
    let memory = registers.capability_offset(0x20).unwrap();
    let set = |registers: &mut CxlComponentRegisters| {
        assert!(write(registers, memory, &[1; 4]));
        assert!(write(registers, ras + 4, &[0; 4]));
    };
    set(&mut registers);
    registers.reset_by(Reset::FunctionLevel);
    assert_eq!(read(&registers, memory), Some(0x0101_0101));
    registers.reset_by(Reset::Hot);
    assert_eq!(read(&registers, memory), Some(0));
    assert_eq!(read(&registers, ras + 4), Some(0), "masks are sticky");
    set(&mut registers);
    registers.reset();
    assert_eq!(read(&registers, ras + 4), Some(0x0001_cfff));
}

#[test]
fn blocks_are_saved_by_label_and_restored_all_or_none() {
    let compose = |second: usize| {
        let mut registers = CxlComponentRegisters::new();
        registers.add_register(block(CacheMemRegister, 8));
        registers.add_register(Box::new(CxlRasCapability::new()));
        registers.add_register(block(CacheMemRegister, second));
        registers
    };
    let mut registers = compose(8);
    let offsets: Vec<_> = (0..3).map(|n| registers.block_offset(n).unwrap()).collect();
    assert!(write(&mut registers, offsets[0], &[1; 4]));
    assert!(write(&mut registers, offsets[1] + 8, &[0; 4]));
    assert!(write(&mut registers, offsets[2], &[3; 4]));
    let saved = registers.save().unwrap();
    let states = saved.registers.states().unwrap();
    let labels: Vec<_> = states.iter().map(|(l, _)| l.as_str()).collect();
    assert_eq!(
        labels,
        ["test-register-block", "cxl_ras", "test-register-block"]
    );
    let mut other = compose(8);
    other.restore(saved).unwrap();
    let values: Vec<_> = offsets.iter().map(|&o| read(&other, o).unwrap()).collect();
    assert_eq!(
        values,
        [0x0101_0101, 0, 0x0303_0303],
        "of equal labels, the first is the first"
    );
    assert_eq!(read(&other, offsets[1] + 8), Some(0));

    // The last block is what does not suit; the first must not have changed by then.
    let mut longer = compose(16);
    let error = longer.restore(other.save().unwrap()).unwrap_err();
    assert!(
        matches!(&error, RestoreError::ChildError(name, _) if name == "test-register-block"),
        "{error:?}"
    );
    assert_eq!(read(&longer, offsets[0]), Some(0));

    type Change = fn(&mut Vec<(String, SavedStateBlob)>);
    let changes: [Change; 3] = [
        |states| {
            states[1].0 = "unknown".into();
        },
        |states| {
            states.pop();
        },
        |states| {
            let again = states[0].clone();
            states.push(again);
        },
    ];
    for change in changes {
        let mut states = other.save().unwrap().registers.states().unwrap();
        change(&mut states);
        let state = State {
            registers: states.into(),
        };
        let mut target = compose(8);
        assert!(matches!(
            SaveRestore::check(&mut target, &state),
            Err(RestoreError::InvalidSavedState(_))
        ));
        assert!(target.restore(state).is_err());
        assert_eq!(read(&target, offsets[0]), Some(0));
    }
}

#[test]
fn inspection_shows_the_space_and_its_blocks() {
    let mut registers = CxlComponentRegisters::new();
    registers.add_register(Box::new(CxlSnoopFilterCapability::new(1, 2)));
    registers.add_register(block(CacheMemExtendedRegister, 4));
    let node = inspect::InspectionBuilder::new("")
        .depth(Some(2))
        .inspect(&registers)
        .results();
    expect![[r#"
        {
            0x1010-cxl_snoop_filter: {
                snoop_filter_effective_size: 0x2,
                snoop_filter_group_id: 0x1,
            },
            0x2008-test-register-block: {
                bytes: <00000000>,
                register_type: "cache_mem_extended_register",
            },
            aperture_len: 0x10000,
            cachemem_primary_page_count: 1,
            mapped_register_count: 2,
        }"#]]
    .assert_eq(&format!("{node:#}"));
}
