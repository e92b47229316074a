//! The blocks of this crate as subjects of the common plan ([`reg_table::plan`]).

use crate::component_registers::spec::hdm_decoder::*;
use crate::component_registers::spec::link::CXL_LINK;
use crate::component_registers::spec::ras::CXL_RAS;
use crate::component_registers::spec::snoop_filter::CXL_SNOOP_FILTER;
use crate::component_registers::*;
use crate::pci_registers::spec::cxl_device_dvsec::*;
use crate::pci_registers::spec::cxl_port_dvsec::CxlPortDvsecExtendedCapability;
use crate::pci_registers::spec::flex_bus_port_dvsec::CxlFlexBusPortDvsecExtendedCapability;
use crate::pci_registers::spec::register_locator_dvsec::*;
use crate::spec::CXL_HPA_ALIGNMENT;
use chipset_device::pci::ByteEnables;
use pci_core::capabilities::PciExtendedCapability;
use pci_core::capabilities::plan_subject::CapabilitySubject;
use reg_table::Block;
use reg_table::BlockRegister;
use reg_table::RegisterFile;
use reg_table::Reset;
use reg_table::WordMask;
use reg_table::plan::Consequence;
use reg_table::plan::Subject;
use reg_table::plan_subjects;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::SavedStateBlob;

/// One table of a component register block, `base` bytes into it.
struct ComponentSubject<T> {
    block: T,
    base: u16,
    table: &'static Block,
    masks: fn(&T) -> Vec<WordMask>,
    latch: fn(&T, u16, u32),
    consequences: &'static [Consequence],
}

impl<R: BlockRegister> ComponentSubject<CxlTableCapability<R>> {
    fn whole(block: CxlTableCapability<R>, table: &'static Block) -> Self {
        Self {
            block,
            base: 0,
            table,
            masks: CxlTableCapability::masks,
            latch: |block, offset, bits| block.hardware_side().set_bits(offset, bits),
            consequences: &[],
        }
    }
}

impl<T: CxlComponentRegister> Subject for ComponentSubject<T> {
    fn block(&self) -> &'static Block {
        self.table
    }

    fn masks(&self) -> Vec<WordMask> {
        (self.masks)(&self.block)
    }

    fn read(&self, offset: u16) -> u32 {
        self.block.read_u32(self.base + offset).unwrap_or(u32::MAX)
    }

    fn write(&mut self, offset: u16, value: u32, lanes: u32) {
        let bits = (0..4u8)
            .filter(|n| lanes & (0xff << (8 * n)) != 0)
            .fold(0, |bits, n| bits | (1 << n));
        let enables = ByteEnables::new(bits).unwrap_or(ByteEnables::NONE);
        // A refusal shows as nothing having changed.
        self.block.write_bytes(self.base + offset, value, enables);
    }

    fn latch(&mut self, offset: u16, bits: u32) {
        (self.latch)(&self.block, offset, bits);
    }

    fn reset(&mut self, kind: Reset) {
        self.block.reset_by(kind);
    }

    fn save(&mut self) -> Vec<u8> {
        ProtobufSaveRestore::save(&mut self.block)
            .map(mesh_protobuf::encode)
            .unwrap_or_default()
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        let blob: SavedStateBlob =
            mesh_protobuf::decode(saved).map_err(|error| error.to_string())?;
        ProtobufSaveRestore::restore(&mut self.block, blob).map_err(|error| format!("{error:?}"))
    }

    fn consequences(&self) -> &'static [Consequence] {
        self.consequences
    }
}

/// Offset of the first entry of the register locator.
const FIRST: u16 = CxlRegisterLocatorDvsecRegisterOffset::FIRST_REGISTER_BLOCK_OFFSET_LOW;

/// An entry of the register locator: read-only, and nothing to save that could differ.
struct LocatorEntrySubject {
    locator: CxlRegisterLocatorDvsecExtendedCapability,
}

impl Subject for LocatorEntrySubject {
    fn block(&self) -> &'static Block {
        &CXL_REGISTER_LOCATOR_ENTRY
    }

    fn masks(&self) -> Vec<WordMask> {
        RegisterFile::new(CxlRegisterLocatorEntryReg::OffsetLow).masks()
    }

    fn read(&self, offset: u16) -> u32 {
        self.locator.read_u32(FIRST + offset)
    }

    /// Whatever the lanes: nothing can be written.
    fn write(&mut self, offset: u16, value: u32, _lanes: u32) {
        self.locator.write_u32(FIRST + offset, value);
    }

    /// An entry has no RW1C bit.
    fn latch(&mut self, _offset: u16, _bits: u32) {}

    fn reset(&mut self, kind: Reset) {
        self.locator.reset_by(kind);
    }

    fn save(&mut self) -> Vec<u8> {
        ProtobufSaveRestore::save(&mut self.locator)
            .map(mesh_protobuf::encode)
            .unwrap_or_default()
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        let blob: SavedStateBlob =
            mesh_protobuf::decode(saved).map_err(|error| error.to_string())?;
        ProtobufSaveRestore::restore(&mut self.locator, blob).map_err(|error| format!("{error:?}"))
    }
}

const fn consequence(of: &'static str, on: &'static str, bits: u32) -> Consequence {
    Consequence { of, on, bits }
}

/// Config Lock closes the control register and the bases. Control2 starts what Status2 reports; both outlive a
/// function-level reset, as the lock does.
const DEVICE_DVSEC: &[Consequence] = &[
    consequence("lock", "control", 0xffff),
    consequence("lock", "range1_base_high", u32::MAX),
    consequence("lock", "range1_base_low", u32::MAX),
    consequence("lock", "range2_base_high", u32::MAX),
    consequence("lock", "range2_base_low", u32::MAX),
    consequence("control2", "status2", 0x7),
    consequence("reset", "lock", 0x1),
    consequence("reset", "status2", 0x7),
];

fn device(dvsec: CxlDeviceDevsecExtendedCapability) -> CapabilitySubject {
    CapabilitySubject::extended(dvsec).with_consequences(DEVICE_DVSEC)
}

fn capable_device() -> CxlDeviceDevsecExtendedCapability {
    let dvsec = CxlDeviceDevsecExtendedCapability::default()
        .with_cxl_cache(CxlDeviceDvsecCacheSizeUnit::Kib64, 16)
        .with_viral_capable(true)
        .with_modified_completion_capable(true)
        .with_capability3(CxlDeviceDvsecCapability3::from_bits(0x1f));
    // Both ranges are free, so this does not fail.
    dvsec
        .clone()
        .with_cxl_memory(
            4 * CXL_HPA_ALIGNMENT,
            None,
            CxlDeviceDvsecMediaType::VolatileMemory,
            CxlDeviceDvsecMemoryClass::Memory,
            CxlDeviceDvsecDesiredInterleave::NoInterleave,
            CxlDeviceDvsecMemoryActiveTimeout::Seconds1,
        )
        .unwrap_or(dvsec)
}

fn capable_flex_bus() -> CxlFlexBusPortDvsecExtendedCapability {
    CxlFlexBusPortDvsecExtendedCapability::new()
        .with_optional_capabilities(true, true, true, true, true)
        .with_mem_capable(true)
        .with_capability2(true, true)
}

/// While a decoder is committed, its registers cannot be written; committing sets one of two bits.
const DECODER: &[Consequence] = &[
    consequence("control", "base_low", u32::MAX),
    consequence("control", "base_high", u32::MAX),
    consequence("control", "size_low", u32::MAX),
    consequence("control", "size_high", u32::MAX),
    consequence("control", "control", u32::MAX),
    consequence("control", "dpa_skip_or_target_list_low", u32::MAX),
    consequence("control", "dpa_skip_or_target_list_high", u32::MAX),
];

const HOST_BRIDGE: CxlHdmDecoderCapabilityOptions = CxlHdmDecoderCapabilityOptions {
    target_count_encoding: 4,
    a11to8_interleave_capable: true,
    a14to12_interleave_capable: false,
    poison_on_decode_error_capable: true,
    interleave_3_6_12_way_capable: true,
    interleave_16_way_capable: false,
    uio_capable: false,
    uio_capable_decoder_count: 0,
    mem_data_nxm_capable: false,
    supported_coherency_modes: CxlHdmSupportedCoherencyModes::Unknown,
};

#[expect(
    clippy::expect_used,
    reason = "2 decoders with these constant options are valid; only tests come here"
)]
fn hdm(options: CxlHdmDecoderCapabilityOptions) -> CxlHdmDecoderCapability {
    CxlHdmDecoderCapability::with_options(options, 2).expect("2 decoders can be encoded")
}

/// HDM decoders have no RW1C bit.
fn no_events(_: &CxlHdmDecoderCapability, _offset: u16, _bits: u32) {}

fn hdm_header(
    options: CxlHdmDecoderCapabilityOptions,
) -> ComponentSubject<CxlHdmDecoderCapability> {
    ComponentSubject {
        block: hdm(options),
        base: 0,
        table: &CXL_HDM_DECODER_HEADER,
        masks: CxlHdmDecoderCapability::header_masks,
        latch: no_events,
        consequences: &[],
    }
}

fn hdm_decoder(block: CxlHdmDecoderCapability) -> ComponentSubject<CxlHdmDecoderCapability> {
    ComponentSubject {
        block,
        base: CXL_HDM_DECODER_BASE_OFFSET,
        table: &CXL_HDM_DECODER,
        masks: |hdm| hdm.decoder_masks(0),
        latch: no_events,
        consequences: DECODER,
    }
}

#[expect(
    clippy::expect_used,
    reason = "the default options have this interleaving; only tests come here"
)]
fn lockable_slot() -> CxlHdmDecoderCapability {
    let mut hdm = CxlHdmDecoderCapability::new().expect("the default options are valid");
    hdm.with_decoder_slot(
        CxlHdmDecoderInterleaveGranularity::Bytes4096,
        CxlHdmDecoderInterleaveWays::Way2,
    )
    .expect("the first decoder");
    hdm
}

#[expect(
    clippy::expect_used,
    reason = "the offset is aligned; only tests come here"
)]
fn locator() -> CxlRegisterLocatorDvsecExtendedCapability {
    CxlRegisterLocatorDvsecExtendedCapability::new()
        .with_register_block(
            CxlRegisterLocatorRegisterBir::BAR_10H,
            CxlRegisterLocatorRegisterBlockIdentifier::EMPTY,
            0,
        )
        .expect("0 is a multiple of 64 KiB")
}

plan_subjects! {
    "cxl device dvsec" => device(CxlDeviceDevsecExtendedCapability::default()),
    "cxl device dvsec, every capability" => device(capable_device()),
    "cxl port dvsec" => CapabilitySubject::extended(CxlPortDvsecExtendedCapability::new()),
    "cxl port dvsec, every capability" => CapabilitySubject::extended(
        CxlPortDvsecExtendedCapability::new().with_uio_to_hdm_enable(true).with_viral_support(true)
    ),
    "flex bus port dvsec" => CapabilitySubject::extended(CxlFlexBusPortDvsecExtendedCapability::new()),
    "flex bus port dvsec, every capability" => CapabilitySubject::extended(capable_flex_bus()),
    "register locator dvsec" => CapabilitySubject::extended(CxlRegisterLocatorDvsecExtendedCapability::new()),
    "register locator entry" => LocatorEntrySubject { locator: locator() },
    "hdm decoders of a device" => hdm_header(CxlHdmDecoderCapabilityOptions::default()),
    "hdm decoders of a host bridge" => hdm_header(HOST_BRIDGE),
    "hdm decoder of a device" => hdm_decoder(hdm(CxlHdmDecoderCapabilityOptions::default())),
    "hdm decoder of a device, to be locked" => hdm_decoder(lockable_slot()),
    "hdm decoder of a host bridge" => hdm_decoder(hdm(HOST_BRIDGE)),
    "cxl ras" => ComponentSubject::whole(CxlRasCapability::new(), &CXL_RAS),
    "cxl link" => ComponentSubject::whole(CxlLinkCapability::new(), &CXL_LINK),
    "cxl snoop filter" => ComponentSubject::whole(CxlSnoopFilterCapability::new(3, 16), &CXL_SNOOP_FILTER),
}

#[cfg(test)]
mod tests {
    use reg_table::plan;

    #[test]
    fn every_block_passes_the_plan() {
        let findings: Vec<_> = plan::SUBJECTS
            .iter()
            .filter(|entry| (entry.make)().block().module.starts_with("cxl_spec"))
            .flat_map(plan::run)
            .collect();
        assert_eq!(findings, Vec::<String>::new());
    }

    #[test]
    fn every_block_has_a_subject() {
        let here: Vec<_> = reg_table::BLOCKS
            .iter()
            .filter(|block| block.module.starts_with("cxl_spec"))
            .map(|block| block.name)
            .collect();
        assert_eq!(here.len(), 10, "{here:?}");
        let missing = plan::blocks_without_subject();
        assert!(
            here.iter().all(|name| !missing.contains(name)),
            "{missing:?}"
        );
    }
}
