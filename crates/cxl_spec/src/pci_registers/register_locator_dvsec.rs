//! The Register Locator DVSEC as a capability (CXL 3.1 section 8.1.9).

use super::DVSEC_CAPABILITY_VERSION;
use super::spec::header_1;
use super::spec::register_locator_dvsec::*;
use crate::halves;
use chipset_device::pci::ByteEnables;
use inspect::Inspect;
use pci_core::capabilities::CapabilityRegisters;
use pci_core::capabilities::ConfigSlot;
use pci_core::capabilities::PciExtendedCapability;
use pci_spec::caps::ExtendedCapabilityId;
use reg_table::RegisterFile;
use thiserror::Error;

/// Alignment of register blocks in their BAR, in bytes.
const ALIGNMENT: u64 = 0x1_0000;

/// The length of a DVSEC has 12 bits.
const MAX_ENTRIES: usize = 510;

/// Why a register block could not be located.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Error)]
pub enum RegisterLocatorConfigError {
    /// The offset is no multiple of 64 KiB.
    #[error("the offset of a register block in its BAR is no multiple of 64 KiB")]
    RegisterBlockOffsetUnaligned,
    /// The DVSEC is full.
    #[error("the register locator has {MAX_ENTRIES} entries at most")]
    TooManyRegisterBlocks,
}

/// The Register Locator DVSEC of a CXL device or port. All of it is read-only.
///
/// ```
/// use cxl_spec::{CxlRegisterLocatorDvsecExtendedCapability, RegisterLocatorConfigError};
/// use cxl_spec::pci_registers::spec::register_locator_dvsec::{
///     CxlRegisterLocatorRegisterBir, CxlRegisterLocatorRegisterBlockIdentifier,
/// };
/// use pci_core::capabilities::PciExtendedCapability;
///
/// let at = |offset| {
///     CxlRegisterLocatorDvsecExtendedCapability::new().with_register_block(
///         CxlRegisterLocatorRegisterBir::BAR_10H,
///         CxlRegisterLocatorRegisterBlockIdentifier::COMPONENT_REGISTERS,
///         offset,
///     )
/// };
/// assert_eq!(at(0x1_0000)?.read_u32(0xc), 0x0001_0100);
/// assert_eq!(at(0x1000).err(), Some(RegisterLocatorConfigError::RegisterBlockOffsetUnaligned));
/// # Ok::<(), RegisterLocatorConfigError>(())
/// ```
#[derive(Inspect)]
pub struct CxlRegisterLocatorDvsecExtendedCapability {
    #[inspect(flatten)]
    headers: RegisterFile<CxlRegisterLocatorDvsecReg>,
    #[inspect(iter_by_index)]
    entries: Vec<RegisterFile<CxlRegisterLocatorEntryReg>>,
}

impl Default for CxlRegisterLocatorDvsecExtendedCapability {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for CxlRegisterLocatorDvsecExtendedCapability {
    fn clone(&self) -> Self {
        Self::of(self.entries.iter().map(entry))
    }
}

fn entry(registers: &RegisterFile<CxlRegisterLocatorEntryReg>) -> [u32; 2] {
    [
        registers.get(CxlRegisterLocatorEntryReg::OffsetLow),
        registers.get(CxlRegisterLocatorEntryReg::OffsetHigh),
    ]
}

impl CxlRegisterLocatorDvsecExtendedCapability {
    /// Without entries.
    pub fn new() -> Self {
        Self::of([])
    }

    /// With entries of these low and high dwords.
    fn of(entries: impl IntoIterator<Item = [u32; 2]>) -> Self {
        let entries: Vec<_> = entries
            .into_iter()
            .map(|[low, high]| {
                let mut file = RegisterFile::new(CxlRegisterLocatorEntryReg::OffsetLow);
                file.init(CxlRegisterLocatorEntryReg::OffsetLow, low);
                file.init(CxlRegisterLocatorEntryReg::OffsetHigh, high);
                file
            })
            .collect();
        let mut this = Self {
            headers: RegisterFile::new(CxlRegisterLocatorDvsecReg::Header),
            entries,
        };
        let length = u16::try_from(this.len()).unwrap_or(u16::MAX);
        this.headers.init(
            CxlRegisterLocatorDvsecReg::DvsecHeader1,
            header_1(CXL_REGISTER_LOCATOR_DVSEC_REVISION, length),
        );
        this
    }

    /// With one more entry: a block `register_block_offset` bytes into a BAR.
    ///
    /// # Errors
    ///
    /// - the offset is no multiple of 64 KiB ([`RegisterLocatorConfigError::RegisterBlockOffsetUnaligned`]);
    /// - there are 510 entries already ([`RegisterLocatorConfigError::TooManyRegisterBlocks`]).
    pub fn with_register_block(
        self,
        bir: CxlRegisterLocatorRegisterBir,
        identifier: CxlRegisterLocatorRegisterBlockIdentifier,
        register_block_offset: u64,
    ) -> Result<Self, RegisterLocatorConfigError> {
        if !register_block_offset.is_multiple_of(ALIGNMENT) {
            return Err(RegisterLocatorConfigError::RegisterBlockOffsetUnaligned);
        }
        if self.entries.len() >= MAX_ENTRIES {
            return Err(RegisterLocatorConfigError::TooManyRegisterBlocks);
        }
        let [low, high] = halves(register_block_offset);
        let low = CxlRegisterLocatorDvsecRegisterOffsetLow::from_bits(low)
            .with_register_bir(bir.bits())
            .with_register_block_identifier(identifier.bits());
        let entries = self.entries.iter().map(entry);
        Ok(Self::of(entries.chain([[low.into_bits(), high]])))
    }
}

impl PciExtendedCapability for CxlRegisterLocatorDvsecExtendedCapability {
    fn label(&self) -> &str {
        CXL_REGISTER_LOCATOR_DVSEC.name
    }

    fn extended_capability_id(&self) -> u16 {
        ExtendedCapabilityId::DVSEC.0
    }

    fn capability_version(&self) -> u8 {
        DVSEC_CAPABILITY_VERSION
    }

    fn len(&self) -> usize {
        usize::from(CXL_REGISTER_LOCATOR_DVSEC.bytes)
            + self.entries.len() * usize::from(CXL_REGISTER_LOCATOR_ENTRY.bytes)
    }

    fn read_u32(&self, offset: u16) -> u32 {
        let stride = CXL_REGISTER_LOCATOR_ENTRY.bytes;
        let Some(within) = offset.checked_sub(CXL_REGISTER_LOCATOR_DVSEC.bytes) else {
            return self.headers.read(offset);
        };
        self.entries
            .get(usize::from(within / stride))
            .map_or(u32::MAX, |entry| entry.read(within % stride))
    }

    fn write_u32(&mut self, _offset: u16, _val: u32) {}

    fn write_bytes(&mut self, _offset: u16, _val: u32, _enables: ByteEnables) {}

    fn reset(&mut self) {}

    /// Those before the entries.
    fn registers(&self) -> Option<CapabilityRegisters> {
        Some((&self.headers).into())
    }

    fn attach(&mut self, slot: &ConfigSlot) -> bool {
        let stride = CXL_REGISTER_LOCATOR_ENTRY.bytes;
        let offsets = (CXL_REGISTER_LOCATOR_DVSEC.bytes..).step_by(stride.into());
        slot.attach(&mut self.headers)
            && self
                .entries
                .iter_mut()
                .zip(offsets)
                .all(|(entry, offset)| slot.attach_at(offset, entry))
    }
}

mod save_restore {
    use super::*;
    use vmcore::save_restore::RestoreError;
    use vmcore::save_restore::SaveError;
    use vmcore::save_restore::SaveRestore;

    mod state {
        use mesh_protobuf::Protobuf;
        use vmcore::save_restore::SavedStateRoot;

        #[derive(Protobuf, SavedStateRoot)]
        #[mesh(package = "cxl.pci_registers.register_locator_dvsec")]
        pub struct SavedState {
            #[mesh(1)]
            pub register_blocks: Vec<u64>,
            #[mesh(2)]
            pub reset_baseline_register_blocks: Vec<u64>,
        }
    }

    impl CxlRegisterLocatorDvsecExtendedCapability {
        fn blocks(&self) -> Vec<u64> {
            self.entries
                .iter()
                .map(entry)
                .map(|[low, high]| (u64::from(high) << 32) | u64::from(low))
                .collect()
        }
    }

    impl SaveRestore for CxlRegisterLocatorDvsecExtendedCapability {
        type SavedState = state::SavedState;

        fn save(&mut self) -> Result<Self::SavedState, SaveError> {
            Ok(state::SavedState {
                register_blocks: self.blocks(),
                reset_baseline_register_blocks: self.blocks(),
            })
        }

        /// Nothing can have changed, so there is nothing to do but to see that it did not.
        fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
            SaveRestore::check(self, &state)
        }

        fn check(&mut self, state: &Self::SavedState) -> Result<(), RestoreError> {
            let here = self.blocks();
            for saved in [
                &state.register_blocks,
                &state.reset_baseline_register_blocks,
            ] {
                if saved.len() != here.len() {
                    return Err(RestoreError::InvalidSavedState(anyhow::anyhow!(
                        "the register locator has {} entries in the saved state; it was composed with {}",
                        saved.len(),
                        here.len()
                    )));
                }
                let mut pairs = saved.iter().zip(&here).enumerate();
                if let Some((index, (saved, here))) = pairs.find(|(_, (saved, here))| saved != here)
                {
                    return Err(RestoreError::InvalidSavedState(anyhow::anyhow!(
                        "entry {index} of the register locator is {saved:#x} in the saved state; it was composed as {here:#x}"
                    )));
                }
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
