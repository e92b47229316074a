//! Every public item that others program against, with its signature and numbers: this file compiles and passes, or the
//! interface has changed.

#![allow(
    clippy::type_complexity,
    reason = "signatures are written out as others write them"
)]

use cxl_spec::CxlComponentRegisters;
use cxl_spec::CxlDeviceDevsecExtendedCapability;
use cxl_spec::CxlFlexBusPortDvsecExtendedCapability;
use cxl_spec::CxlMemoryConfigError;
use cxl_spec::CxlMemoryRange;
use cxl_spec::CxlPortDvsecExtendedCapability;
use cxl_spec::CxlRegisterLocatorDvsecExtendedCapability;
use cxl_spec::RegisterLocatorConfigError;
use cxl_spec::component_registers::CxlHdmDecoderCapability;
use cxl_spec::component_registers::test_helper::TestCxlComponentRegisterBlock;
use cxl_spec::pci_registers::spec::CXL_DVSEC_VENDOR_ID;
use cxl_spec::pci_registers::spec::cxl_device_dvsec;
use cxl_spec::pci_registers::spec::cxl_device_dvsec::*;
use cxl_spec::pci_registers::spec::cxl_port_dvsec;
use cxl_spec::pci_registers::spec::cxl_port_dvsec::*;
use cxl_spec::pci_registers::spec::flex_bus_port_dvsec;
use cxl_spec::pci_registers::spec::flex_bus_port_dvsec::*;
use cxl_spec::pci_registers::spec::register_locator_dvsec;
use cxl_spec::pci_registers::spec::register_locator_dvsec::*;
use inspect::Inspect;
use mesh_protobuf::DescribedProtobuf;
use pci_core::capabilities::PciExtendedCapability;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::SaveRestore;
use vmcore::save_restore::saved_state_roots;

pub(crate) fn copy<T: Copy + Debug>() {}
pub(crate) fn equal<T: PartialEq + Eq>() {}
pub(crate) fn looks<T: Inspect>() {}
pub(crate) fn default<T: Default>() {}
pub(crate) fn error<T: std::error::Error + Copy + PartialEq + Eq>() {}
fn capability<T: PciExtendedCapability + Clone + SaveRestore + ProtobufSaveRestore>() {}

/// Full name and `number: name` of each field of the saved state of `T`.
fn described<T: SaveRestore<SavedState: DescribedProtobuf>>() -> (String, Vec<String>) {
    let message = <T::SavedState as DescribedProtobuf>::DESCRIPTION;
    assert!(
        saved_state_roots().any(|root| root.full_name() == message.full_name()),
        "{} is a root",
        message.full_name()
    );
    let fields = message.fields.iter();
    let fields =
        fields.map(|field| format!("{} {} {}", field.number, field.name, field.field_type));
    (message.full_name(), fields.collect())
}

/// `names`, all of type u32 and numbered from 1.
fn u32_fields<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let names = names.into_iter().enumerate();
    names
        .map(|(index, name)| format!("{} {name} u32", index + 1))
        .collect()
}

/// The encodings of an enum of the DVSECs or the HDM decoders.
pub(crate) fn bits<T: Copy + Debug + PartialEq + Eq, const N: usize>(
    of: fn(T) -> u8,
    values: [T; N],
) -> [u8; N] {
    values.map(of)
}

#[test]
fn dvsec_encodings() {
    use CxlDeviceDvsecDesiredInterleave as Interleave;
    use CxlDeviceDvsecMemoryActiveTimeout as Active;
    use CxlDeviceDvsecMemoryClass as Class;
    use CxlDeviceDvsecResetTimeout as Reset;
    const _: u8 = CxlDeviceDvsecMediaType::Cdat.bits();
    let media = [
        CxlDeviceDvsecMediaType::VolatileMemory,
        CxlDeviceDvsecMediaType::NonVolatileMemory,
        CxlDeviceDvsecMediaType::Cdat,
    ];
    assert_eq!(bits(CxlDeviceDvsecMediaType::bits, media), [0, 1, 2]);
    let class = [Class::Memory, Class::Storage, Class::Cdat];
    assert_eq!(bits(Class::bits, class), [0, 1, 2]);
    let interleave = [
        Interleave::NoInterleave,
        Interleave::Granularity256Bytes,
        Interleave::Interleave4Kb,
        Interleave::Bytes512,
        Interleave::Bytes1024,
        Interleave::Bytes2048,
        Interleave::Bytes8192,
        Interleave::Bytes16384,
    ];
    assert_eq!(bits(Interleave::bits, interleave), [0, 1, 2, 3, 4, 5, 6, 7]);
    let active = [
        Active::Seconds1,
        Active::Seconds4,
        Active::Seconds16,
        Active::Seconds64,
        Active::Seconds256,
    ];
    assert_eq!(bits(Active::bits, active), [0, 1, 2, 3, 4]);
    let reset = [
        Reset::Milliseconds10,
        Reset::Milliseconds100,
        Reset::Seconds1,
        Reset::Seconds10,
        Reset::Seconds100,
    ];
    assert_eq!(bits(Reset::bits, reset), [0, 1, 2, 3, 4]);
    let unit = [
        CxlDeviceDvsecCacheSizeUnit::NotReported,
        CxlDeviceDvsecCacheSizeUnit::Kib64,
        CxlDeviceDvsecCacheSizeUnit::Mib1,
    ];
    assert_eq!(bits(CxlDeviceDvsecCacheSizeUnit::bits, unit), [0, 1, 2]);

    type Bir = CxlRegisterLocatorRegisterBir;
    let bir = [
        Bir::BAR_10H,
        Bir::BAR_14H,
        Bir::BAR_18H,
        Bir::BAR_1CH,
        Bir::BAR_20H,
        Bir::BAR_24H,
    ];
    assert_eq!(bits(Bir::bits, bir), [0, 1, 2, 3, 4, 5]);
    type Block = CxlRegisterLocatorRegisterBlockIdentifier;
    let block = [
        Block::EMPTY,
        Block::COMPONENT_REGISTERS,
        Block::BAR_VIRTUALIZATION_ACL_REGISTERS,
        Block::CXL_DEVICE_REGISTERS,
        Block::CPMU_REGISTERS,
        Block::CHMU_REGISTERS,
        Block::DESIGNATED_VENDOR_SPECIFIC,
    ];
    assert_eq!(bits(Block::bits, block), [0, 1, 2, 3, 4, 5, 0xFF]);
}

#[test]
fn dvsec_numbers() {
    assert_eq!(CXL_DVSEC_VENDOR_ID, 0x1e98u16);

    type Device = CxlDeviceDvsecRegisterOffset;
    let offsets: [u16; 12] = [
        Device::DVSEC_CONTROL_STATUS,
        Device::DVSEC_CONTROL2_STATUS2,
        Device::DVSEC_LOCK_CAPABILITY2,
        Device::DVSEC_RANGE1_SIZE_HIGH,
        Device::DVSEC_RANGE1_SIZE_LOW,
        Device::DVSEC_RANGE1_BASE_HIGH,
        Device::DVSEC_RANGE1_BASE_LOW,
        Device::DVSEC_RANGE2_SIZE_HIGH,
        Device::DVSEC_RANGE2_SIZE_LOW,
        Device::DVSEC_RANGE2_BASE_HIGH,
        Device::DVSEC_RANGE2_BASE_LOW,
        Device::DVSEC_CAPABILITY3,
    ];
    assert!(offsets.into_iter().eq((0x0C..0x3C).step_by(4)));
    let device: (u8, u16, u16) = (
        CXL_DEVICE_DVSEC_REVISION,
        CXL_DEVICE_DVSEC_LENGTH,
        CXL_DEVICE_DVSEC_ID,
    );
    assert_eq!(device, (3, 0x3C, 0));
    assert_eq!(CXL_DEVICE_DVSEC_CONTROL_WRITABLE_MASK, 0x5FFDu16);
    assert_eq!(CXL_DEVICE_DVSEC_CONTROL2_WRITABLE_MASK, 0x003Fu16);
    assert_eq!(
        CXL_DEVICE_DVSEC_RANGE_BASE_LOW_WRITABLE_MASK,
        0xF000_0000u32
    );
    assert_eq!(CXL_DEVICE_DVSEC_STATUS_RW1C_MASK, 0x4000u16);
    assert_eq!(CXL_DEVICE_DVSEC_STATUS2_RW1C_MASK, 0x0008u16);
    assert_eq!(
        CXL_DEVICE_DVSEC_STATUS2_VOLATILE_HDM_PRESERVATION_ERROR_RW1C_MASK,
        0x0008u16
    );

    type Port = CxlPortDvsecRegisterOffset;
    let offsets: [u16; 8] = [
        Port::DVSEC_HEADER2_PORT_EXTENSION_STATUS,
        Port::DVSEC_PORT_CONTROL_EXTENSIONS_ALT_BUS_BASE_LIMIT,
        Port::DVSEC_ALT_MEMORY_BASE_LIMIT,
        Port::DVSEC_ALT_PREFETCHABLE_MEMORY_BASE_LIMIT,
        Port::DVSEC_ALT_PREFETCHABLE_MEMORY_BASE_HIGH,
        Port::DVSEC_ALT_PREFETCHABLE_MEMORY_LIMIT_HIGH,
        Port::DVSEC_CXL_RCRB_BASE,
        Port::DVSEC_CXL_RCRB_BASE_HIGH,
    ];
    assert!(offsets.into_iter().eq((0x08..0x28).step_by(4)));
    let port: (u8, u16, u16) = (
        CXL_PORT_DVSEC_REVISION,
        CXL_PORT_DVSEC_LENGTH,
        CXL_PORT_DVSEC_ID,
    );
    assert_eq!(port, (0, 0x28, 3));
    assert_eq!(CXL_PORT_DVSEC_CONTROL_WRITABLE_MASK, 0x401Fu16);
    assert_eq!(CXL_PORT_DVSEC_STATUS_RW1C_MASK, 0x4000u16);
    assert_eq!(
        CXL_PORT_DVSEC_ALT_MEMORY_BASE_LIMIT_WRITABLE_MASK,
        0xFFF0u16
    );
    assert_eq!(
        CXL_PORT_DVSEC_ALT_PREFETCHABLE_MEMORY_BASE_LIMIT_WRITABLE_MASK,
        0xFFF0u16
    );
    assert_eq!(CXL_PORT_DVSEC_CXL_RCRB_BASE_WRITABLE_MASK, 0xFFFF_E001u32);

    type FlexBus = CxlFlexBusPortDvsecRegisterOffset;
    let offsets: [u16; 6] = [
        FlexBus::DVSEC_HEADER2_CAPABILITY,
        FlexBus::DVSEC_CONTROL_STATUS,
        FlexBus::DVSEC_RECEIVED_MODIFIED_TS_DATA_PHASE1,
        FlexBus::DVSEC_CAPABILITY2,
        FlexBus::DVSEC_CONTROL2,
        FlexBus::DVSEC_STATUS2,
    ];
    assert!(offsets.into_iter().eq((0x08..0x20).step_by(4)));
    let flex_bus: (u8, u16, u16) = (
        CXL_FLEX_BUS_PORT_DVSEC_REVISION,
        CXL_FLEX_BUS_PORT_DVSEC_LENGTH,
        CXL_FLEX_BUS_PORT_DVSEC_ID,
    );
    assert_eq!(flex_bus, (3, 0x20, 7));
    assert_eq!(CXL_FLEX_BUS_PORT_DVSEC_CONTROL_WRITABLE_MASK, 0x63E5u16);
    assert_eq!(CXL_FLEX_BUS_PORT_DVSEC_STATUS_RW1CS_MASK, 0x1F80u16);
    assert_eq!(CXL_FLEX_BUS_PORT_DVSEC_CONTROL2_WRITABLE_MASK, 1u32);

    type Locator = CxlRegisterLocatorDvsecRegisterOffset;
    let locator: [u16; 4] = [
        Locator::DVSEC_HEADER2,
        Locator::FIRST_REGISTER_BLOCK_OFFSET_LOW,
        Locator::REGISTER_BLOCK_STRIDE,
        Locator::BASE_LENGTH,
    ];
    assert_eq!(locator, [0x08, 0x0C, 8, 0x0C]);
    assert_eq!(CXL_REGISTER_LOCATOR_DVSEC_REVISION, 0u8);
    assert_eq!(CXL_REGISTER_LOCATOR_DVSEC_ID, 8u16);
}

#[derive(Default, Inspect)]
struct Handler {
    resets: AtomicU32,
    write_backs: AtomicU32,
}

impl CxlResetHandler for Handler {
    fn initiate_cxl_reset(&self) {
        self.resets.fetch_add(1, Relaxed);
    }
}

impl CxlCacheWriteBackAndInvalidateHandler for Handler {
    fn initiate_cache_write_back_and_invalidate(&self) {
        self.write_backs.fetch_add(1, Relaxed);
    }
}

/// What all CXL DVSECs have: DVSEC, version 1, CXL's vendor ID.
fn check_headers(dvsec: &dyn PciExtendedCapability, label: &str, len: usize, header1: u32) {
    assert_eq!(dvsec.label(), label);
    assert_eq!(dvsec.extended_capability_id(), 0x0023);
    assert_eq!(dvsec.capability_version(), 1);
    assert_eq!(dvsec.len(), len);
    assert_eq!(dvsec.read_u32(0), 0x0001_0023);
    assert_eq!(dvsec.read_u32(4), header1);
    let beyond = u16::try_from(len).unwrap();
    assert_eq!(dvsec.read_u32(beyond), !0, "no register of this block");
}

#[test]
fn device_dvsec() {
    type Dvsec = CxlDeviceDevsecExtendedCapability;
    capability::<Dvsec>();
    default::<Dvsec>();
    looks::<Dvsec>();
    let _: cxl_device_dvsec::CxlDeviceDevsecExtendedCapability = Dvsec::default();
    let _: fn(
        Option<Arc<dyn CxlResetHandler>>,
        Option<Arc<dyn CxlCacheWriteBackAndInvalidateHandler>>,
    ) -> Dvsec = Dvsec::new;
    let _: fn(Dvsec, CxlDeviceDvsecCacheSizeUnit, u8) -> Dvsec = Dvsec::with_cxl_cache;
    let _: fn(
        Dvsec,
        u64,
        Option<CxlMemoryRange>,
        CxlDeviceDvsecMediaType,
        CxlDeviceDvsecMemoryClass,
        CxlDeviceDvsecDesiredInterleave,
        CxlDeviceDvsecMemoryActiveTimeout,
    ) -> Result<Dvsec, CxlMemoryConfigError> = Dvsec::with_cxl_memory;
    copy::<CxlMemoryRange>();
    error::<CxlMemoryConfigError>();

    let mut dvsec = Dvsec::default();
    check_headers(&dvsec, "cxl_device_dvsec", 0x3C, 0x03C3_1E98);
    assert_eq!(dvsec.read_u32(0x08), 0x0A82_0000);
    assert_eq!(dvsec.read_u32(0x0C), 0x0000_0002);
    dvsec.write_u32(0x0C, !0);
    assert_eq!(
        dvsec.read_u32(0x0C),
        0x0FFA,
        "no cache, memory, P2P or viral enable without the capability"
    );
    dvsec.write_u32(0x14, 1);
    dvsec.write_u32(0x14, 0);
    assert_eq!(dvsec.read_u32(0x14) & 1, 1, "set until reset");
    dvsec.write_u32(0x0C, 0);
    assert_eq!(dvsec.read_u32(0x0C), 0x0FFA, "locked");
    dvsec.reset();
    assert_eq!(dvsec.read_u32(0x0C), 0x0000_0002);
    assert_eq!(dvsec.read_u32(0x14), 0);
}

#[test]
fn device_dvsec_with_cache_and_memory() {
    let handler = Arc::new(Handler::default());
    let add = |dvsec: CxlDeviceDevsecExtendedCapability, range| {
        dvsec.with_cxl_memory(
            0x1_2000_0000,
            range,
            CxlDeviceDvsecMediaType::NonVolatileMemory,
            CxlDeviceDvsecMemoryClass::Storage,
            CxlDeviceDvsecDesiredInterleave::Interleave4Kb,
            CxlDeviceDvsecMemoryActiveTimeout::Seconds16,
        )
    };
    let range = CxlMemoryRange {
        base: 0x2_3000_0000,
        size: 0x1000_0000,
    };
    let misaligned = CxlMemoryRange {
        base: 0x1000,
        size: 0x1000_0000,
    };
    let dvsec =
        CxlDeviceDevsecExtendedCapability::new(Some(handler.clone()), Some(handler.clone()))
            .with_cxl_cache(CxlDeviceDvsecCacheSizeUnit::Kib64, 5);
    let dvsec = add(dvsec, Some(range)).unwrap();
    let mut dvsec = add(dvsec, Some(misaligned)).unwrap();
    // cache, io, mem, two ranges, write-back, reset in a second with memory clear
    assert_eq!(dvsec.read_u32(0x08), 0x0AE7_0000);
    assert_eq!(dvsec.read_u32(0x14), 0x0501_0000);
    let size_low = 0x2000_0000 | 2 << 13 | 2 << 8 | 1 << 5 | 1 << 2 | 3;
    let ranges: Vec<u32> = (0x18..0x38)
        .step_by(4)
        .map(|at| dvsec.read_u32(at))
        .collect();
    assert_eq!(
        ranges,
        [1, size_low, 2, 0x3000_0000, 1, size_low, 0, 0],
        "a base that is not aligned stays 0"
    );
    dvsec.write_u32(0x10, 0b110);
    assert_eq!(handler.resets.load(Relaxed), 1);
    assert_eq!(handler.write_backs.load(Relaxed), 1);
    assert_eq!(dvsec.read_u32(0x10) & 0xFFFF, 0, "both clear themselves");
    dvsec.write_u32(0x34, !0);
    assert_eq!(dvsec.read_u32(0x34), 0xF000_0000);
    assert!(matches!(
        add(dvsec, None),
        Err(CxlMemoryConfigError::TooManyHdmRanges)
    ));
}

#[test]
fn port_dvsec() {
    type Dvsec = CxlPortDvsecExtendedCapability;
    capability::<Dvsec>();
    default::<Dvsec>();
    looks::<Dvsec>();
    let _: cxl_port_dvsec::CxlPortDvsecExtendedCapability = Dvsec::new();
    let _: fn() -> Dvsec = Dvsec::new;
    let _: fn(Dvsec, bool) -> Dvsec = Dvsec::with_uio_to_hdm_enable;
    let _: fn(Dvsec, bool) -> Dvsec = Dvsec::with_viral_support;
    let _: fn(&mut Dvsec, bool) = Dvsec::set_port_power_management_initialization_complete;
    let _: fn(&mut Dvsec, bool) = Dvsec::set_viral_status;

    let mut dvsec = Dvsec::default();
    check_headers(&dvsec, "cxl_port_dvsec", 0x28, 0x0280_1E98);
    dvsec.set_viral_status(true);
    dvsec.set_port_power_management_initialization_complete(true);
    assert_eq!(dvsec.read_u32(0x08), 0x0001_0003, "no viral support");
    for (offset, plain) in [
        (0x0C, 0xFFFF_000F),
        (0x10, 0xFFF0_FFF0),
        (0x14, 0xFFF0_FFF0),
        (0x18, !0),
        (0x1C, !0),
        (0x20, 0xFFFF_E001),
        (0x24, !0),
    ] {
        dvsec.write_u32(offset, !0);
        assert_eq!(dvsec.read_u32(offset), plain, "{offset:#x}");
        dvsec.reset();
        assert_eq!(dvsec.read_u32(offset), 0, "{offset:#x}");
    }

    let mut dvsec = Dvsec::new()
        .with_uio_to_hdm_enable(true)
        .with_viral_support(true);
    dvsec.set_viral_status(true);
    dvsec.write_u32(0x0C, !0);
    assert_eq!(dvsec.read_u32(0x0C), 0xFFFF_401F);
    assert_eq!(dvsec.read_u32(0x08), 0x4000_0003);
    dvsec.write_u32(0x08, 0x4000_0000);
    assert_eq!(dvsec.read_u32(0x08), 0x0000_0003);
    let mut other = Dvsec::new();
    let saved = SaveRestore::save(&mut dvsec).unwrap();
    SaveRestore::restore(&mut other, saved).unwrap();
    assert_eq!(other.read_u32(0x0C), 0xFFFF_401F);
    other.reset();
    other.write_u32(0x0C, !0);
    assert_eq!(
        other.read_u32(0x0C),
        0xFFFF_401F,
        "what is supported came with the state, and stays"
    );
}

#[test]
fn flex_bus_port_dvsec() {
    type Dvsec = CxlFlexBusPortDvsecExtendedCapability;
    capability::<Dvsec>();
    default::<Dvsec>();
    looks::<Dvsec>();
    let _: flex_bus_port_dvsec::CxlFlexBusPortDvsecExtendedCapability = Dvsec::new();
    let _: fn() -> Dvsec = Dvsec::new;
    let _: fn(Dvsec, bool, bool, bool, bool, bool) -> Dvsec = Dvsec::with_optional_capabilities;
    let _: fn(Dvsec, bool) -> Dvsec = Dvsec::with_mem_capable;
    let _: fn(Dvsec, bool) -> Dvsec = Dvsec::with_cache_capable;
    let _: fn(Dvsec, bool, bool) -> Dvsec = Dvsec::with_capability2;
    let _: fn(&mut Dvsec, CxlFlexBusPortDvsecStatus, u32, CxlFlexBusPortDvsecStatus2) =
        Dvsec::set_status;

    let mut dvsec = Dvsec::default();
    check_headers(&dvsec, "flex_bus_port_dvsec", 0x20, 0x0203_1E98);
    assert_eq!(dvsec.read_u32(0x08), 0x0002_0007);
    assert_eq!(dvsec.read_u32(0x0C), 0x0000_0002);
    dvsec.write_u32(0x0C, !0);
    assert_eq!(dvsec.read_u32(0x0C), 0x0000_0382);
    dvsec.write_u32(0x18, !0);
    assert_eq!(dvsec.read_u32(0x18), 0);

    let mut dvsec = Dvsec::new()
        .with_optional_capabilities(true, true, true, true, true)
        .with_mem_capable(true)
        .with_cache_capable(true)
        .with_capability2(true, true);
    assert_eq!(dvsec.read_u32(0x08), 0x6067_0007);
    assert_eq!(dvsec.read_u32(0x14), 3);
    dvsec.write_u32(0x0C, !0);
    assert_eq!(dvsec.read_u32(0x0C), 0x0000_63E7);
    dvsec.write_u32(0x18, !0);
    assert_eq!(dvsec.read_u32(0x18), 1);
    dvsec.set_status(
        CxlFlexBusPortDvsecStatus::from_bits(!0),
        !0,
        CxlFlexBusPortDvsecStatus2::new().with_nop_hint_info(3),
    );
    assert_eq!(dvsec.read_u32(0x10), 0x00FF_FFFF);
    assert_eq!(dvsec.read_u32(0x1C), 3);
    dvsec.write_u32(0x0C, 0xFFFF_0000);
    assert_eq!(dvsec.read_u32(0x0C) >> 16, 0xE07F, "12:7 are cleared");
    dvsec.reset();
    assert_eq!(dvsec.read_u32(0x08), 0x6067_0007);
}

#[test]
fn register_locator_dvsec() {
    type Dvsec = CxlRegisterLocatorDvsecExtendedCapability;
    capability::<Dvsec>();
    default::<Dvsec>();
    looks::<Dvsec>();
    let _: register_locator_dvsec::CxlRegisterLocatorDvsecExtendedCapability = Dvsec::new();
    let _: fn(
        Dvsec,
        CxlRegisterLocatorRegisterBir,
        CxlRegisterLocatorRegisterBlockIdentifier,
        u64,
    ) -> Result<Dvsec, RegisterLocatorConfigError> = Dvsec::with_register_block;
    error::<RegisterLocatorConfigError>();

    type Bir = CxlRegisterLocatorRegisterBir;
    type Block = CxlRegisterLocatorRegisterBlockIdentifier;
    let mut dvsec = Dvsec::new()
        .with_register_block(Bir::BAR_10H, Block::COMPONENT_REGISTERS, 0)
        .and_then(|d| {
            d.with_register_block(Bir::BAR_18H, Block::CXL_DEVICE_REGISTERS, 0x2_0003_0000)
        })
        .and_then(|d| {
            d.with_register_block(Bir::BAR_24H, Block::DESIGNATED_VENDOR_SPECIFIC, 0x1_0000)
        })
        .unwrap();
    check_headers(&dvsec, "register_locator_dvsec", 0x24, 0x0240_1E98);
    dvsec.write_u32(0x0C, !0);
    let words: Vec<u32> = (0x08..0x24)
        .step_by(4)
        .map(|at| dvsec.read_u32(at))
        .collect();
    assert_eq!(words, [8, 0x0000_0100, 0, 0x0003_0302, 2, 0x0001_FF05, 0]);
    assert!(matches!(
        dvsec.with_register_block(Bir::BAR_10H, Block::EMPTY, 0x8000),
        Err(RegisterLocatorConfigError::RegisterBlockOffsetUnaligned)
    ));
}

#[test]
fn saved_states() {
    let device = "control status control2 status2 lock capability capability2 capability3 \
        range1_size_high range1_size_low range1_base_high range1_base_low \
        range2_size_high range2_size_low range2_base_high range2_base_low \
        reset_baseline_capability reset_baseline_capability2 reset_baseline_capability3 \
        reset_baseline_range1_size_high reset_baseline_range1_size_low \
        reset_baseline_range1_base_high reset_baseline_range1_base_low \
        reset_baseline_range2_size_high reset_baseline_range2_size_low \
        reset_baseline_range2_base_high reset_baseline_range2_base_low";
    assert_eq!(
        described::<CxlDeviceDevsecExtendedCapability>(),
        (
            "cxl.pci_registers.cxl_device_dvsec.SavedState".to_owned(),
            u32_fields(device.split_whitespace())
        )
    );

    let port = "status control alt_bus_base alt_bus_limit alt_mem_base alt_mem_limit \
        alt_prefetch_mem_base alt_prefetch_mem_limit alt_prefetch_mem_base_high \
        alt_prefetch_mem_limit_high cxl_rcrb_base cxl_rcrb_base_high";
    let mut port = u32_fields(port.split_whitespace());
    port.push("13 supports_uio_to_hdm_enable bool".to_owned());
    port.push("14 supports_viral bool".to_owned());
    assert_eq!(
        described::<CxlPortDvsecExtendedCapability>(),
        (
            "cxl.pci_registers.cxl_port_dvsec.SavedState".to_owned(),
            port
        )
    );

    let flex_bus = "capability control status received_modified_ts_data_phase1 capability2 \
        control2 status2 reset_baseline_capability reset_baseline_capability2";
    assert_eq!(
        described::<CxlFlexBusPortDvsecExtendedCapability>(),
        (
            "cxl.pci_registers.flex_bus_port_dvsec.SavedState".to_owned(),
            u32_fields(flex_bus.split_whitespace())
        )
    );

    let strings = |fields: &[&str]| -> Vec<String> { fields.iter().map(|&f| f.into()).collect() };
    assert_eq!(
        described::<CxlRegisterLocatorDvsecExtendedCapability>(),
        (
            "cxl.pci_registers.register_locator_dvsec.SavedState".to_owned(),
            strings(&[
                "1 register_blocks Vec<u64>",
                "2 reset_baseline_register_blocks Vec<u64>"
            ])
        )
    );
    assert_eq!(
        described::<CxlComponentRegisters>(),
        (
            "cxl.component_registers.SavedState".to_owned(),
            strings(&["1 registers Vec<(String, google.protobuf.Any)>"])
        )
    );
    assert_eq!(
        described::<TestCxlComponentRegisterBlock>(),
        (
            "cxl.component_registers.test_helper.SavedState".to_owned(),
            strings(&["1 bytes Vec<u8>"])
        )
    );
    assert_eq!(
        described::<CxlHdmDecoderCapability>(),
        (
            "cxl.component_registers.hdm_cap.SavedState".to_owned(),
            strings(&[
                "1 global_control u32",
                "2 decoders Vec<cxl.component_registers.hdm_cap.SavedDecoderState>"
            ])
        )
    );
    let decoder = saved_state_roots()
        .find(|root| root.full_name() == "cxl.component_registers.hdm_cap.SavedDecoderState");
    let fields = decoder.unwrap().fields.iter();
    let fields: Vec<_> = fields.map(|f| (f.number, f.name)).collect();
    let expected = [
        (1, "base_low"),
        (2, "base_high"),
        (3, "size_low"),
        (4, "size_high"),
        (5, "control"),
        (6, "dpa_skip_low"),
        (7, "dpa_skip_high"),
    ];
    assert_eq!(fields, expected);
}
