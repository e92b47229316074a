//! Advanced Features (PCIe 6.2 section 7.9.21).
//!
//! Not emulated: Transactions Pending. It reads clear: a function-level reset finds nothing under way.

use super::block::LegacyBlock;
use super::block::RegisterBlock;
use super::pci_express::FlrHandler;
use crate::spec::caps::advanced_features::AdvancedFeaturesReg;
use inspect::Inspect;
use reg_table::Change;
use reg_table::RegisterFile;
use std::sync::Arc;
use vmcore::save_restore::NoSavedState;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

/// The Advanced Features capability: function-level reset for a function without a PCI Express capability.
#[derive(Inspect)]
pub struct AdvancedFeaturesCapability {
    #[inspect(flatten)]
    registers: RegisterFile<AdvancedFeaturesReg>,
    /// Target of function-level resets.
    flr_handler: Arc<dyn FlrHandler>,
}

impl AdvancedFeaturesCapability {
    /// A capability that asks `flr_handler` for function-level resets.
    pub fn new(flr_handler: Arc<dyn FlrHandler>) -> Self {
        Self {
            registers: RegisterFile::new(AdvancedFeaturesReg::CapabilityId),
            flr_handler,
        }
    }
}

impl RegisterBlock for AdvancedFeaturesCapability {
    type Register = AdvancedFeaturesReg;

    const LABEL: &'static str = "advanced-features";

    fn file(&self) -> &RegisterFile<AdvancedFeaturesReg> {
        &self.registers
    }

    fn file_mut(&mut self) -> &mut RegisterFile<AdvancedFeaturesReg> {
        &mut self.registers
    }

    fn written(&mut self, change: Change<AdvancedFeaturesReg>) {
        // The one strobe is Initiate FLR; everything else is read-only.
        if change.strobes != 0 {
            self.flr_handler.initiate_flr();
        }
    }
}

impl LegacyBlock for AdvancedFeaturesCapability {}

impl SaveRestore for AdvancedFeaturesCapability {
    type SavedState = NoSavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        Ok(NoSavedState)
    }

    fn restore(&mut self, NoSavedState: Self::SavedState) -> Result<(), RestoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::PciCapability;
    use chipset_device::pci::ByteEnables;
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering;

    #[derive(Inspect, Default)]
    struct Counter(#[inspect(skip)] AtomicU32);

    impl FlrHandler for Counter {
        fn initiate_flr(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn asks_for_a_reset_when_the_bit_is_written_with_one() {
        let counter = Arc::new(Counter::default());
        let mut af = AdvancedFeaturesCapability::new(counter.clone());
        assert_eq!([af.read_u32(0), af.read_u32(4)], [0x0306_0013, 0]);
        af.write_u32(0, u32::MAX);
        af.write_u32(4, 0xffff_fffe);
        af.write_bytes(4, u32::MAX, ByteEnables::new(0b1110).unwrap());
        assert_eq!(counter.0.load(Ordering::Relaxed), 0);
        af.write_bytes(4, 1, ByteEnables::new(0b0001).unwrap());
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        assert_eq!(af.read_u32(4), 0);
    }
}
