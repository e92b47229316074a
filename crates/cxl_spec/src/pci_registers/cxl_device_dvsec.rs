//! The DVSEC for CXL Devices as a capability (CXL 3.1 section 8.1.3).
//!
//! Not emulated: the CXL reset and the write-back themselves; handlers do them.

mod save_restore;

use super::DVSEC_CAPABILITY_VERSION;
use super::spec::cxl_device_dvsec::*;
use crate::halves;
use crate::spec::CXL_HPA_ALIGNMENT;
use chipset_device::pci::ByteEnables;
use inspect::Inspect;
use parking_lot::Mutex;
use pci_core::capabilities::CapabilityRegisters;
use pci_core::capabilities::ConfigSlot;
use pci_core::capabilities::PciExtendedCapability;
use pci_spec::caps::ExtendedCapabilityId;
use reg_table::BlockRegister;
use reg_table::Change;
use reg_table::RegisterFile;
use reg_table::Reset;
use std::sync::Arc;
use thiserror::Error;

/// A range of host physical addresses, as firmware would program it into a range's base.
#[derive(Debug, Copy, Clone)]
pub struct CxlMemoryRange {
    /// First address: a multiple of 256 MiB.
    pub base: u64,
    /// Bytes: a multiple of 256 MiB, and not zero.
    pub size: u64,
}

/// Why memory could not be added to a CXL device.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Error)]
pub enum CxlMemoryConfigError {
    /// Both ranges are in use already.
    #[error("a CXL device has at most 2 memory ranges")]
    TooManyHdmRanges,
}

/// The DVSEC of a CXL device.
///
/// Clones share the registers: a device keeps one, to report status, when it gives the other to its configuration space.
/// The `with_` methods are for composing, before either.
///
/// ```
/// use cxl_spec::CxlDeviceDevsecExtendedCapability;
/// use pci_core::capabilities::PciExtendedCapability;
///
/// let dvsec = CxlDeviceDevsecExtendedCapability::new(None, None);
/// let status = dvsec.clone();
/// status.set_cxl_reset_complete(true);
/// assert_eq!(dvsec.read_u32(0x10), 0x0002_0000);
/// ```
#[derive(Clone, Inspect)]
pub struct CxlDeviceDevsecExtendedCapability {
    #[inspect(flatten)]
    registers: Arc<Mutex<RegisterFile<CxlDeviceDvsecReg>>>,
    #[inspect(skip)]
    composed: Composed,
    /// Target of CXL resets.
    cxl_reset_handler: Option<Arc<dyn CxlResetHandler>>,
    /// Target of write-backs.
    cache_handler: Option<Arc<dyn CxlCacheWriteBackAndInvalidateHandler>>,
}

/// What never changes once a function is composed.
#[derive(Clone, Default)]
struct Composed {
    capability: CxlDeviceDvsecCapability,
    capability2: CxlDeviceDvsecCapability2,
    capability3: CxlDeviceDvsecCapability3,
    ranges: [ComposedRange; 2],
}

#[derive(Clone, Copy, Default)]
struct ComposedRange {
    size_high: u32,
    size_low: CxlDeviceDvsecRangeSizeLow,
    base_high: u32,
    base_low: CxlDeviceDvsecRangeBaseLow,
}

/// The registers of one range: size high, size low, base high, base low.
const RANGES: [[CxlDeviceDvsecReg; 4]; 2] = [
    [
        CxlDeviceDvsecReg::Range1SizeHigh,
        CxlDeviceDvsecReg::Range1SizeLow,
        CxlDeviceDvsecReg::Range1BaseHigh,
        CxlDeviceDvsecReg::Range1BaseLow,
    ],
    [
        CxlDeviceDvsecReg::Range2SizeHigh,
        CxlDeviceDvsecReg::Range2SizeLow,
        CxlDeviceDvsecReg::Range2BaseHigh,
        CxlDeviceDvsecReg::Range2BaseLow,
    ],
];

impl Default for CxlDeviceDevsecExtendedCapability {
    fn default() -> Self {
        Self::new(None, None)
    }
}

impl Composed {
    /// Gives the registers of a function that is being composed their values.
    fn apply(&self, file: &mut RegisterFile<CxlDeviceDvsecReg>) {
        file.init(CxlDeviceDvsecReg::Capability, self.capability.into_bits());
        file.init(CxlDeviceDvsecReg::Capability2, self.capability2.into_bits());
        file.init(CxlDeviceDvsecReg::Capability3, self.capability3.into_bits());
        for ([size_high, size_low, base_high, base_low], range) in RANGES.iter().zip(&self.ranges) {
            file.init(*size_high, range.size_high);
            file.init(*size_low, range.size_low.into_bits());
            file.init(*base_high, range.base_high);
            file.init(*base_low, range.base_low.into_bits());
        }
        self.gate(file);
    }

    /// Takes away the bits of what the device cannot do.
    fn gate(&self, file: &mut RegisterFile<CxlDeviceDvsecReg>) {
        let (can, can2, can3) = (&self.capability, &self.capability2, &self.capability3);
        let control = CxlDeviceDvsecControl::from_bits(CXL_DEVICE_DVSEC_CONTROL_WRITABLE_MASK)
            .with_cache_enable(can.cache_capable())
            .with_mem_enable(can.mem_capable())
            .with_direct_p2p_mem_enable(can3.direct_p2p_mem_capable())
            .with_viral_enable(can.viral_capable());
        file.narrow(CxlDeviceDvsecReg::Control, control.into_bits().into());
        let configurable = can3.volatile_hdm_state_after_hot_reset_configurability();
        let control2 = CxlDeviceDvsecControl2::new()
            .with_disable_caching(can.cache_capable())
            .with_initiate_cache_writeback_and_invalidation(
                can.cache_writeback_and_invalidate_capable(),
            )
            .with_initiate_cxl_reset(can.cxl_reset_capable())
            .with_cxl_reset_mem_clr_enable(can.cxl_reset_mem_clr_capable())
            .with_desired_volatile_hdm_state_after_hot_reset_configurable(configurable)
            .with_modified_completion_enable(can2.modified_completion_capable());
        file.narrow(CxlDeviceDvsecReg::Control2, control2.into_bits().into());
        let status = CxlDeviceDvsecStatus::new().with_viral_status(can.viral_capable());
        file.narrow(CxlDeviceDvsecReg::Status, status.into_bits().into());
        let status2 =
            CxlDeviceDvsecStatus2::new().with_volatile_hdm_preservation_error(configurable);
        file.narrow(CxlDeviceDvsecReg::Status2, status2.into_bits().into());
    }
}

impl CxlDeviceDevsecExtendedCapability {
    /// A device that speaks CXL.io and has CXL reset, within a second and with clearing of the memory.
    ///
    /// Without a reset handler a CXL reset ends at once, with CXL Reset Error. Without a cache handler there is nothing to
    /// write back: the cache is invalid as soon as caching is disabled and the guest asks.
    pub fn new(
        cxl_reset_handler: Option<Arc<dyn CxlResetHandler>>,
        cache_handler: Option<Arc<dyn CxlCacheWriteBackAndInvalidateHandler>>,
    ) -> Self {
        let composed = Composed {
            capability: CxlDeviceDvsecCapability::new()
                .with_io_capable(true)
                .with_cxl_reset_capable(true)
                .with_cxl_reset_timeout(CxlDeviceDvsecResetTimeout::Seconds1.bits())
                .with_cxl_reset_mem_clr_capable(true),
            ..Composed::default()
        };
        let mut registers = RegisterFile::new(CxlDeviceDvsecReg::Header);
        composed.apply(&mut registers);
        Self {
            registers: Arc::new(Mutex::new(registers)),
            composed,
            cxl_reset_handler,
            cache_handler,
        }
    }

    fn composed(mut self, change: impl FnOnce(&mut Composed)) -> Self {
        change(&mut self.composed);
        self.composed.apply(&mut self.registers.lock());
        self
    }

    /// A device with a cache of `cache_size` units.
    pub fn with_cxl_cache(self, unit: CxlDeviceDvsecCacheSizeUnit, cache_size: u8) -> Self {
        let reported = unit != CxlDeviceDvsecCacheSizeUnit::NotReported;
        self.composed(|composed| {
            composed.capability = composed
                .capability
                .with_cache_capable(true)
                .with_cache_writeback_and_invalidate_capable(true);
            composed.capability2 = composed
                .capability2
                .with_cache_size_unit(unit.bits())
                .with_cache_size(if reported { cache_size } else { 0 });
        })
    }

    /// A device with memory: the first call fills range 1, the second range 2.
    ///
    /// `hdm_size` is in bytes; unless it is a multiple of 256 MiB and not zero, there is no memory to add and the device
    /// stays as it is. `range` is where firmware mapped it; ignored unless base and size are multiples of 256 MiB and the
    /// size is not zero.
    ///
    /// # Errors
    ///
    /// - both ranges are in use ([`CxlMemoryConfigError::TooManyHdmRanges`]).
    pub fn with_cxl_memory(
        self,
        hdm_size: u64,
        range: Option<CxlMemoryRange>,
        media_type: CxlDeviceDvsecMediaType,
        memory_class: CxlDeviceDvsecMemoryClass,
        desired_interleave: CxlDeviceDvsecDesiredInterleave,
        memory_active_timeout: CxlDeviceDvsecMemoryActiveTimeout,
    ) -> Result<Self, CxlMemoryConfigError> {
        if hdm_size == 0 || !hdm_size.is_multiple_of(CXL_HPA_ALIGNMENT) {
            return Ok(self);
        }
        let used = self.composed.capability.hdm_count();
        if usize::from(used) >= RANGES.len() {
            return Err(CxlMemoryConfigError::TooManyHdmRanges);
        }
        let [size_low, size_high] = halves(hdm_size);
        let info = CxlDeviceDvsecRangeSizeLow::from_bits(size_low)
            .with_memory_info_valid(true)
            .with_memory_active(true)
            .with_media_type(media_type.bits())
            .with_memory_class(memory_class.bits())
            .with_desired_interleave(desired_interleave.bits())
            .with_memory_active_timeout(memory_active_timeout.bits());
        let base = range
            .filter(|range| {
                range.size != 0
                    && range.base.is_multiple_of(CXL_HPA_ALIGNMENT)
                    && range.size.is_multiple_of(CXL_HPA_ALIGNMENT)
            })
            .map_or(0, |range| range.base);
        let [base_low, base_high] = halves(base);
        Ok(self.composed(|composed| {
            composed.capability = composed
                .capability
                .with_mem_capable(true)
                .with_hdm_count(used + 1);
            if let Some(range) = composed.ranges.get_mut(usize::from(used)) {
                *range = ComposedRange {
                    size_high,
                    size_low: info,
                    base_high,
                    base_low: CxlDeviceDvsecRangeBaseLow::from_bits(base_low),
                };
            }
        }))
    }

    /// A device that handles viral indications, or does not.
    pub fn with_viral_capable(self, viral_capable: bool) -> Self {
        self.composed(|composed| {
            composed.capability = composed.capability.with_viral_capable(viral_capable);
        })
    }

    /// A device that can send modified completions, or cannot.
    pub fn with_modified_completion_capable(self, capable: bool) -> Self {
        self.composed(|composed| {
            composed.capability2 = composed
                .capability2
                .with_modified_completion_capable(capable);
        })
    }

    /// A device with these capabilities in CXL Capability3.
    pub fn with_capability3(self, capability3: CxlDeviceDvsecCapability3) -> Self {
        self.composed(|composed| composed.capability3 = capability3)
    }

    /// CXL Control as of now.
    pub fn control(&self) -> CxlDeviceDvsecControl {
        CxlDeviceDvsecControl::from_bits(self.registers.lock().get16(CxlDeviceDvsecReg::Control))
    }

    /// CXL Control2 as of now.
    pub fn control2(&self) -> CxlDeviceDvsecControl2 {
        CxlDeviceDvsecControl2::from_bits(self.registers.lock().get16(CxlDeviceDvsecReg::Control2))
    }

    /// CXL Status2 as of now.
    pub fn status2(&self) -> CxlDeviceDvsecStatus2 {
        CxlDeviceDvsecStatus2::from_bits(self.registers.lock().get16(CxlDeviceDvsecReg::Status2))
    }

    fn set_status2(&self, bits: CxlDeviceDvsecStatus2, value: bool) {
        self.registers
            .lock()
            .update(CxlDeviceDvsecReg::Status2, with_bits(bits, value));
    }

    /// Says whether the cache is empty and caching disabled.
    pub fn set_cache_invalid(&self, value: bool) {
        self.set_status2(CxlDeviceDvsecStatus2::new().with_cache_invalid(true), value);
    }

    /// Says that the CXL reset ended well.
    pub fn set_cxl_reset_complete(&self, value: bool) {
        self.set_status2(
            CxlDeviceDvsecStatus2::new().with_cxl_reset_complete(true),
            value,
        );
    }

    /// Says that the CXL reset failed.
    pub fn set_cxl_reset_error(&self, value: bool) {
        self.set_status2(
            CxlDeviceDvsecStatus2::new().with_cxl_reset_error(true),
            value,
        );
    }

    /// Says that volatile memory was to be preserved and was not. Ignored unless software can ask for that.
    pub fn set_volatile_hdm_preservation_error(&self) {
        let configurable = &self.composed.capability3;
        if configurable.volatile_hdm_state_after_hot_reset_configurability() {
            self.set_status2(
                CxlDeviceDvsecStatus2::new().with_volatile_hdm_preservation_error(true),
                true,
            );
        }
    }

    /// Says whether power management initialization is complete.
    pub fn set_power_management_initialization_complete(&self, value: bool) {
        self.set_status2(
            CxlDeviceDvsecStatus2::new().with_power_management_initialization_complete(true),
            value,
        );
    }

    /// Says that the device entered the viral state. Ignored unless the device is viral capable.
    pub fn set_viral_status(&self) {
        if self.composed.capability.viral_capable() {
            self.registers
                .lock()
                .update(CxlDeviceDvsecReg::Status, |status| {
                    status | u32::from(CXL_DEVICE_DVSEC_STATUS_RW1C_MASK)
                });
        }
    }

    /// Says whether the memory of a range can be used; `range` counts from 0. Ignored for a range that is not there.
    pub fn set_memory_active(&self, range: usize, value: bool) {
        let there = range < usize::from(self.composed.capability.hdm_count());
        if let (true, Some(&[_, size_low, _, _])) = (there, RANGES.get(range)) {
            self.registers.lock().update(size_low, |bits| {
                CxlDeviceDvsecRangeSizeLow::from_bits(bits)
                    .with_memory_active(value)
                    .into_bits()
            });
        }
    }

    /// A register was written. The registers' lock is free: a handler may report on a clone of this.
    fn written(&self, change: Change<CxlDeviceDvsecReg>) {
        use CxlDeviceDvsecReg::*;
        match change.register {
            Control2 => self.control2_written(change),
            // Enables: whoever routes CXL.cache and CXL.mem looks at them. Bases and the lock take effect by being there.
            Control | Lock | Range1BaseHigh | Range1BaseLow | Range2BaseHigh | Range2BaseLow => {}
            // Write-1-to-clear only.
            Status | Status2 => {}
            // Read-only.
            Header | DvsecHeader1 | DvsecHeader2 | Capability | Capability2 | Capability3
            | Range1SizeHigh | Range1SizeLow | Range2SizeHigh | Range2SizeLow | Reserved => {}
        }
    }

    fn control2_written(&self, change: Change<CxlDeviceDvsecReg>) {
        let control = control2(change.new);
        if !control.disable_caching() {
            // CXL 3.1 section 8.1.3.5: Cache Invalid means nothing once lines may be cached again.
            self.set_cache_invalid(false);
        }
        let started = control2(change.strobes);
        if started.initiate_cache_writeback_and_invalidation() {
            match &self.cache_handler {
                Some(handler) => handler.initiate_cache_write_back_and_invalidate(),
                None => self.set_cache_invalid(control.disable_caching()),
            }
        }
        if started.initiate_cxl_reset() {
            self.set_cxl_reset_complete(false);
            self.set_cxl_reset_error(false);
            match &self.cxl_reset_handler {
                Some(handler) => handler.initiate_cxl_reset(),
                None => self.set_cxl_reset_error(true),
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a change of a register of 16 bits"
)]
fn control2(bits: u32) -> CxlDeviceDvsecControl2 {
    CxlDeviceDvsecControl2::from_bits(bits as u16)
}

fn with_bits(bits: CxlDeviceDvsecStatus2, value: bool) -> impl Fn(u32) -> u32 {
    let bits = u32::from(bits.into_bits());
    move |old| if value { old | bits } else { old & !bits }
}

/// Bits of a dword that Config Lock makes read-only (CXL 3.1 section 8.1.3.6).
fn lockable(offset: u16) -> u32 {
    [
        CxlDeviceDvsecReg::Control,
        CxlDeviceDvsecReg::Range1BaseHigh,
        CxlDeviceDvsecReg::Range1BaseLow,
        CxlDeviceDvsecReg::Range2BaseHigh,
        CxlDeviceDvsecReg::Range2BaseLow,
    ]
    .iter()
    .map(|register| register.register())
    .filter(|register| register.word() == usize::from(offset) / 4)
    .fold(0, |bits, register| {
        bits | (register.mask() << register.shift())
    })
}

impl PciExtendedCapability for CxlDeviceDevsecExtendedCapability {
    fn label(&self) -> &str {
        CXL_DEVICE_DVSEC.name
    }

    fn extended_capability_id(&self) -> u16 {
        ExtendedCapabilityId::DVSEC.0
    }

    fn capability_version(&self) -> u8 {
        DVSEC_CAPABILITY_VERSION
    }

    fn len(&self) -> usize {
        CXL_DEVICE_DVSEC_LENGTH.into()
    }

    fn read_u32(&self, offset: u16) -> u32 {
        self.registers.lock().read(offset)
    }

    fn write_u32(&mut self, offset: u16, val: u32) {
        self.write_bytes(offset, val, ByteEnables::ALL);
    }

    fn write_bytes(&mut self, offset: u16, val: u32, enables: ByteEnables) {
        let registers = self.registers.lock();
        let lock = CxlDeviceDvsecLock::from_bits(registers.get16(CxlDeviceDvsecReg::Lock));
        let closed = if lock.config_lock() {
            lockable(offset)
        } else {
            0
        };
        let written = registers.write(offset, val, enables.mask() & !closed);
        drop(registers);
        for change in written {
            self.written(change);
        }
    }

    fn reset(&mut self) {
        self.reset_by(Reset::Cold);
    }

    fn reset_by(&mut self, kind: Reset) {
        match kind {
            Reset::Cold | Reset::Hot => self.registers.lock().reset(kind),
            // CXL.cache and CXL.mem go on, and with them the lock and the status (CXL 3.1 section 9.5).
            Reset::FunctionLevel => {}
        }
    }

    fn attach(&mut self, slot: &ConfigSlot) -> bool {
        slot.attach(&mut self.registers.lock())
    }

    fn registers(&self) -> Option<CapabilityRegisters> {
        Some((&*self.registers.lock()).into())
    }
}

#[cfg(test)]
mod tests;
