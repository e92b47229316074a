//! The component registers and the numbers of their space, as [`crate::api`] has the rest.

use crate::api::bits;
use crate::api::copy;
use crate::api::default;
use crate::api::equal;
use crate::api::error;
use crate::api::looks;
use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use cxl_spec::CfmwsWindowRestrictions;
use cxl_spec::CxlComponentRegister;
use cxl_spec::CxlComponentRegisterType;
use cxl_spec::CxlComponentRegisters;
use cxl_spec::component_registers::CxlHdmDecoderCapability;
use cxl_spec::component_registers::CxlHdmDecoderCapabilityError;
use cxl_spec::component_registers::CxlHdmDecoderCapabilityOptions;
use cxl_spec::component_registers::CxlHdmDecoderFixedConfig;
use cxl_spec::component_registers::spec::hdm_decoder::*;
use cxl_spec::component_registers::test_helper::TestCxlComponentRegisterBlock;
use cxl_spec::spec::*;
use inspect::Inspect;
use std::ops::BitOr;
use std::ops::BitOrAssign;
use vmcore::save_restore::NoSavedState;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

#[test]
fn window_restrictions() {
    type Restrictions = CfmwsWindowRestrictions;
    copy::<Restrictions>();
    equal::<Restrictions>();
    const BITS: [u16; 7] = [
        Restrictions::NONE.bits(),
        Restrictions::DEVICE_COHERENT.bits(),
        Restrictions::HOST_ONLY_COHERENT.bits(),
        Restrictions::VOLATILE.bits(),
        Restrictions::PERSISTENT.bits(),
        Restrictions::FIXED_DEVICE_CONFIGURATION.bits(),
        Restrictions::BI.bits(),
    ];
    assert_eq!(BITS, [0, 1, 2, 4, 8, 0x10, 0x20]);
    const { assert!(Restrictions::VALID_BITS_MASK == 0x3F) };
    const { assert!(Restrictions::try_from_bits(0x40).is_none()) };
    const { assert!(Restrictions::is_valid_bits(0x3F)) };
    let fields = Restrictions::new()
        .with_device_coherent(true)
        .with_host_only_coherent(true)
        .with_volatile(true)
        .with_persistent(true)
        .with_fixed_device_configuration(true)
        .with_bi(true);
    assert_eq!(Restrictions::try_from_bits(0x3F), Some(fields));
    let mut both = Restrictions::BI | Restrictions::VOLATILE;
    both |= Restrictions::PERSISTENT;
    assert_eq!(both.bits(), 0x2C);
    assert!(both.contains(Restrictions::BI) && !both.contains(Restrictions::DEVICE_COHERENT));
    let _: fn(Restrictions, Restrictions) -> Restrictions = BitOr::bitor;
    let _: fn(&mut Restrictions, Restrictions) = BitOrAssign::bitor_assign;
}

#[test]
fn encodings() {
    let ways = [
        InterleaveWays::WAY_1,
        InterleaveWays::WAY_2,
        InterleaveWays::WAY_4,
        InterleaveWays::WAY_8,
        InterleaveWays::WAY_16,
        InterleaveWays::WAY_3,
        InterleaveWays::WAY_6,
        InterleaveWays::WAY_12,
    ];
    assert_eq!(ways, [0u8, 1, 2, 3, 4, 8, 9, 0xA]);
    let granularity = [
        InterleaveGranularity::BYTES_256,
        InterleaveGranularity::BYTES_512,
        InterleaveGranularity::BYTES_1024,
        InterleaveGranularity::BYTES_2048,
        InterleaveGranularity::BYTES_4096,
        InterleaveGranularity::BYTES_8192,
        InterleaveGranularity::BYTES_16384,
    ];
    assert_eq!(granularity, [0u8, 1, 2, 3, 4, 5, 6]);
    assert_eq!(InterleaveArithmetic::STANDARD_MODULO, 0u8);
    assert_eq!(InterleaveArithmetic::MODULO_XOR, 1u8);
}

#[test]
fn component_register_space() {
    let numbers: [(u64, u64); 20] = [
        (CXL_HPA_ALIGNMENT, 0x1000_0000),
        (CXL_HOST_BRIDGE_COMPONENT_REGISTERS_SIZE_BYTES, 0x1_0000),
        (CXL_COMPONENT_REGISTERS_SIZE_BYTES, 0x1_0000),
        (CXL_COMPONENT_REG_RANGE_CXL_IO_RESERVED_OFFSET, 0),
        (CXL_COMPONENT_REG_RANGE_CXL_IO_RESERVED_SIZE_BYTES, 0x1000),
        (CXL_COMPONENT_REG_RANGE_CACHEMEM_PRIMARY_OFFSET, 0x1000),
        (CXL_COMPONENT_REG_RANGE_CACHEMEM_PRIMARY_SIZE_BYTES, 0x1000),
        (CXL_COMPONENT_REG_RANGE_CACHEMEM_EXTENDED_OFFSET, 0x2000),
        (CXL_COMPONENT_REG_RANGE_CACHEMEM_EXTENDED_SIZE_BYTES, 0xC000),
        (CXL_COMPONENT_REG_RANGE_RAB_MUX_OFFSET, 0xE000),
        (CXL_COMPONENT_REG_RANGE_RAB_MUX_SIZE_BYTES, 0x400),
        (CXL_COMPONENT_REG_RANGE_TRAILING_RESERVED_OFFSET, 0xE400),
        (CXL_COMPONENT_REG_RANGE_TRAILING_RESERVED_SIZE_BYTES, 0x1C00),
        (CXL_CACHEMEM_REGION_SIZE_BYTES, 0x1000),
        (CXL_CACHEMEM_CAPABILITY_ARRAY_HEADER_OFFSET, 0),
        (CXL_CACHEMEM_CAPABILITY_ARRAY_FIRST_ENTRY_OFFSET, 4),
        (CXL_CACHEMEM_CAPABILITY_ARRAY_ENTRY_SIZE_BYTES, 4),
        (CEDT_STRUCTURE_TYPE_CHBS.into(), 0),
        (CEDT_STRUCTURE_TYPE_CFMWS.into(), 1),
        (CXL_CACHEMEM_EXTENDED_FORBIDDEN_CAPABILITY_ID_MIN.into(), 1),
    ];
    for (index, (constant, number)) in numbers.into_iter().enumerate() {
        assert_eq!(constant, number, "number {index}");
    }
    let _: [u8; 2] = [CEDT_STRUCTURE_TYPE_CHBS, CEDT_STRUCTURE_TYPE_CFMWS];
    assert_eq!(CXL_CACHEMEM_EXTENDED_FORBIDDEN_CAPABILITY_ID_MAX, 0xAu16);
    assert_eq!(CXL_CACHEMEM_CAPABILITY_ARRAY_MAX_ENTRIES, 255usize);

    type Header = CxlCacheMemCapabilityHeader;
    assert_eq!(
        [
            Header::CAPABILITY_ID,
            Header::CAPABILITY_VERSION,
            Header::CACHE_MEM_VERSION
        ],
        [1u8; 3]
    );
    let _: fn(usize) -> Option<u32> = Header::encode;
    assert_eq!(Header::encode(1), Some(0x0111_0001));
    assert_eq!(Header::encode(256), None);
    // What the pointer counts is in docs/differences.md.
    let _: fn(u16, u8, u16) -> Option<u32> = CxlCacheMemCapabilityArrayEntry::encode;
    assert_eq!(CxlCacheMemCapabilityArrayEntry::encode(0x20, 16, 8), None);
    assert_eq!(CxlCacheMemCapabilityArrayEntry::encode(0x20, 1, 6), None);

    type Type = CxlComponentRegisterType;
    copy::<Type>();
    equal::<Type>();
    looks::<Type>();
    assert_eq!(Type::CXL_CACHE_MEM_REGISTER, Type::CacheMemRegister);
    assert_eq!(
        Type::CXL_CACHE_MEM_EXTENDED_REGISTER,
        Type::CacheMemExtendedRegister
    );
    assert_eq!(Type::CXL_ARB_MUX_REGISTER, Type::CxlArbMuxRegister);
}

/// A block as other code writes one: only what the trait requires.
#[derive(Default, Inspect)]
struct Block {
    value: u32,
}

impl SaveRestore for Block {
    type SavedState = NoSavedState;
    fn save(&mut self) -> Result<NoSavedState, SaveError> {
        Ok(NoSavedState)
    }
    fn restore(&mut self, NoSavedState: NoSavedState) -> Result<(), RestoreError> {
        Ok(())
    }
}

impl CxlComponentRegister for Block {
    fn label(&self) -> &str {
        "block"
    }
    fn register_type(&self) -> CxlComponentRegisterType {
        CxlComponentRegisterType::CacheMemRegister
    }
    fn capability_id(&self) -> u16 {
        0x30
    }
    fn capability_version(&self) -> u8 {
        2
    }
    fn len(&self) -> u16 {
        8
    }
    fn read_u32(&self, offset: u16) -> Option<u32> {
        (offset == 0).then_some(self.value)
    }
    fn write_u32(&mut self, offset: u16, val: u32) -> bool {
        self.value = val;
        offset == 0
    }
    fn reset(&mut self) {
        self.value = 0;
    }
}

fn read(registers: &CxlComponentRegisters, offset: u16) -> Result<u32, IoError> {
    let mut data = [0; 4];
    let result = registers.read(offset, &mut data).now_or_never();
    result.map(|()| u32::from_le_bytes(data))
}

#[test]
fn component_registers() {
    type Registers = CxlComponentRegisters;
    default::<Registers>();
    looks::<Registers>();
    let _: cxl_spec::component_registers::CxlComponentRegisters = Registers::new();
    let _: fn() -> Registers = Registers::new;
    let _: fn(&Registers) -> usize = Registers::len;
    let _: fn(&mut Registers, Box<dyn CxlComponentRegister>) -> bool = Registers::add_register;
    let _: fn(&Registers, u16) -> Option<u16> = Registers::capability_offset;
    let _: fn(&Registers, u16, &mut [u8]) -> IoResult = Registers::read;
    let _: fn(&mut Registers, u16, &[u8]) -> IoResult = Registers::write;
    let _: fn(&mut Registers) = Registers::reset;

    let mut registers = Registers::default();
    assert_eq!(registers.len(), 0x1_0000);
    assert_eq!(read(&registers, 0x1000), Ok(0x0011_0001));
    assert_eq!(read(&registers, 0x1004), Err(IoError::InvalidRegister));
    assert!(registers.add_register(Box::new(Block::default())));
    assert_eq!(read(&registers, 0x1000), Ok(0x0111_0001));
    assert_eq!(registers.capability_offset(0x30), Some(0x1008));
    assert_eq!(registers.capability_offset(0x31), None);
    registers
        .write(0x1008, &0x1234_5678u32.to_le_bytes())
        .unwrap();
    assert_eq!(read(&registers, 0x1008), Ok(0x1234_5678));
    for (offset, len) in [(0x1000, 2), (0x1002, 4), (0x1004, 8), (0x100C, 4), (0x0, 4)] {
        let result = registers.read(offset, &mut [0; 8][..len]).now_or_never();
        assert_eq!(
            result,
            Err(IoError::InvalidRegister),
            "{len} at {offset:#x}"
        );
    }
    let directory = registers.write(0x1004, &[0; 4]).now_or_never();
    assert_eq!(directory, Err(IoError::InvalidRegister));
    registers.reset();
    assert_eq!(read(&registers, 0x1008), Ok(0));
}

#[test]
fn component_register_placement() {
    type Type = CxlComponentRegisterType;
    let block =
        |register_type, len| Box::new(TestCxlComponentRegisterBlock::new(register_type, len));
    for register_type in [Type::CacheMemRegister, Type::CacheMemExtendedRegister] {
        let mut registers = CxlComponentRegisters::new();
        assert!(registers.add_register(block(register_type, 0xFF8)));
        assert_eq!(
            registers.capability_offset(0x20),
            Some(0x1008),
            "the page is full"
        );
        registers.write(0x1FFC, &[1, 2, 3, 4]).unwrap();
        assert_eq!(read(&registers, 0x1FFC), Ok(0x0403_0201));
    }
    let mut registers = CxlComponentRegisters::new();
    assert!(registers.add_register(block(Type::CacheMemRegister, 8)));
    assert!(
        registers.add_register(block(Type::CacheMemRegister, 8)),
        "there is room for more than one"
    );
    assert_eq!(
        registers.capability_offset(0x20),
        Some(0x1010),
        "behind a directory of two entries"
    );
    let mut registers = CxlComponentRegisters::new();
    for (register_type, len) in [
        (Type::CxlArbMuxRegister, 8),
        (Type::CacheMemRegister, 0),
        (Type::CacheMemRegister, 6),
        (Type::CacheMemRegister, 0xFFC),
    ] {
        assert!(!registers.add_register(block(register_type, len)));
    }
    assert_eq!(read(&registers, 0x1000), Ok(0x0011_0001));
    let test = TestCxlComponentRegisterBlock::new(Type::CacheMemRegister, 8);
    assert_eq!(test.label(), "test-register-block");
    assert_eq!((test.capability_id(), test.capability_version()), (0x20, 1));
}

#[test]
fn hdm_decoder_numbers() {
    let offsets: [u16; 8] = [
        CXL_HDM_DECODER_CAPABILITY_OFFSET,
        CXL_HDM_DECODER_GLOBAL_CONTROL_OFFSET,
        CXL_HDM_DECODER_RESERVED0_OFFSET,
        CXL_HDM_DECODER_RESERVED1_OFFSET,
        CXL_HDM_DECODER_BASE_OFFSET,
        CXL_HDM_DECODER_STRIDE_BYTES,
        CXL_HDM_DECODER_HEADER_LENGTH,
        CXL_HDM_DECODER_BLOCK_LENGTH,
    ];
    assert_eq!(offsets, [0, 4, 8, 0xC, 0x10, 0x20, 0x10, 0x20]);
    assert_eq!(CXL_HDM_DECODER_CAPABILITY_ID, 5u16);
    assert_eq!(CXL_HDM_DECODER_CAPABILITY_VERSION, 3u8);
    assert_eq!(CXL_HDM_DECODER_MAX_DEVICE_DECODER_COUNT, 10usize);
    let masks: [u32; 5] = [
        CXL_HDM_DECODER_GLOBAL_CONTROL_WRITABLE_MASK,
        CXL_HDM_DECODER_BASE_LOW_WRITABLE_MASK,
        CXL_HDM_DECODER_SIZE_LOW_WRITABLE_MASK,
        CXL_HDM_DECODER_DPA_SKIP_LOW_WRITABLE_MASK,
        CXL_HDM_DECODER_CONTROL_WRITABLE_MASK,
    ];
    let low = 0xF000_0000;
    assert_eq!(masks, [3, low, low, low, 0x0FFF_73FF]);
    type Offset = CxlHdmDecoderRegisterOffset;
    let within: [u16; 7] = [
        Offset::BASE_LOW,
        Offset::BASE_HIGH,
        Offset::SIZE_LOW,
        Offset::SIZE_HIGH,
        Offset::CONTROL,
        Offset::DPA_SKIP_LOW,
        Offset::DPA_SKIP_HIGH,
    ];
    assert_eq!(within, [0, 4, 8, 0xC, 0x10, 0x14, 0x18]);

    use CxlHdmDecoderInterleaveGranularity as Granularity;
    use CxlHdmDecoderInterleaveWays as Ways;
    use CxlHdmSupportedCoherencyModes as Modes;
    let granularity = [
        Granularity::Bytes256,
        Granularity::Bytes512,
        Granularity::Bytes1024,
        Granularity::Bytes2048,
        Granularity::Bytes4096,
        Granularity::Bytes8192,
        Granularity::Bytes16384,
    ];
    assert_eq!(bits(Granularity::bits, granularity), [0, 1, 2, 3, 4, 5, 6]);
    let ways = [
        Ways::Way1,
        Ways::Way2,
        Ways::Way4,
        Ways::Way8,
        Ways::Way16,
        Ways::Way3,
        Ways::Way6,
        Ways::Way12,
    ];
    assert_eq!(bits(Ways::bits, ways), [0, 1, 2, 3, 4, 8, 9, 0xA]);
    let modes = [
        Modes::Unknown,
        Modes::DeviceCoherent,
        Modes::HostOnlyCoherent,
        Modes::HostOnlyOrDeviceCoherent,
    ];
    assert_eq!(bits(Modes::bits, modes), [0, 1, 2, 3]);

    const ONE: Option<u8> = encode_decoder_count(1);
    assert_eq!(ONE, Some(0));
    let counts = [1, 2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32];
    for count in 0..=64 {
        let encoding = counts.iter().position(|&c| c == count);
        let encoding = encoding.map(|encoding| u8::try_from(encoding).unwrap());
        assert_eq!(encode_decoder_count(count), encoding, "{count}");
    }
}

#[test]
fn hdm_decoder() {
    type Decoders = CxlHdmDecoderCapability;
    type Error = CxlHdmDecoderCapabilityError;
    looks::<Decoders>();
    error::<Error>();
    copy::<CxlHdmDecoderFixedConfig>();
    copy::<CxlHdmDecoderCapabilityOptions>();
    let _: fn() -> Result<Decoders, Error> = Decoders::new;
    let _: fn(
        &mut Decoders,
        CxlHdmDecoderInterleaveGranularity,
        CxlHdmDecoderInterleaveWays,
    ) -> Result<(), Error> = Decoders::with_decoder_slot;
    let _: fn(&mut Decoders, CxlHdmDecoderFixedConfig) -> Result<(), Error> = Decoders::with_hdm;
    let _: fn(&Decoders, u64, usize) -> Option<(usize, u64)> =
        Decoders::find_enabled_decoder_for_access;
    let _ = CxlHdmDecoderCapabilityOptions {
        target_count_encoding: 0u8,
        a11to8_interleave_capable: true,
        a14to12_interleave_capable: true,
        poison_on_decode_error_capable: false,
        interleave_3_6_12_way_capable: false,
        interleave_16_way_capable: false,
        uio_capable: true,
        uio_capable_decoder_count: 0u8,
        mem_data_nxm_capable: true,
        supported_coherency_modes: CxlHdmSupportedCoherencyModes::DeviceCoherent,
    };
    default::<CxlHdmDecoderCapabilityOptions>();

    let mut decoders = Decoders::new().unwrap();
    assert_eq!(decoders.label(), "cxl-hdm-decoder-capability");
    assert_eq!(
        decoders.register_type(),
        CxlComponentRegisterType::CacheMemRegister
    );
    assert_eq!(
        (decoders.capability_id(), decoders.capability_version()),
        (5, 3)
    );
    let fixed = CxlHdmDecoderFixedConfig {
        hdm_base: 0x1_0000_0000,
        hdm_size: 0x2000_0000,
        interleave_granularity: CxlHdmDecoderInterleaveGranularity::Bytes256,
        interleave_ways: CxlHdmDecoderInterleaveWays::Way1,
    };
    decoders.with_hdm(fixed).unwrap();
    let misaligned = CxlHdmDecoderFixedConfig {
        hdm_base: 0x1000,
        ..fixed
    };
    assert_eq!(decoders.with_hdm(misaligned), Err(Error::InvalidFixedRange));
    decoders
        .with_decoder_slot(
            CxlHdmDecoderInterleaveGranularity::Bytes256,
            CxlHdmDecoderInterleaveWays::Way1,
        )
        .unwrap();
    let _ = Error::TooManyFixedDecoders;
    assert_eq!(decoders.len(), 0x10 + 2 * 0x20);
    assert_eq!(
        decoders.read_u32(0),
        Some(0x0030_2301),
        "the default options, and two decoders"
    );
    assert_eq!(
        decoders.find_enabled_decoder_for_access(0x1_0000_0000, 4),
        None
    );
    assert!(decoders.write_u32(4, 2));
    assert_eq!(
        decoders.find_enabled_decoder_for_access(0x1_1FFF_FFFC, 4),
        Some((0, 0x1FFF_FFFC))
    );
    assert_eq!(
        decoders.find_enabled_decoder_for_access(0x1_1FFF_FFFC, 8),
        None
    );
    assert_eq!(
        decoders.read_u32(0x20),
        Some(0x0000_0700),
        "locked, committed"
    );
    assert!(!decoders.write_u32(0x10, 0));
    assert_eq!(
        (decoders.read_u32(8), decoders.write_u32(8, !0)),
        (Some(0), false)
    );
    assert_eq!(
        decoders.read_u32(0x40),
        Some(0x0000_0100),
        "lock on commit is preset"
    );
}
