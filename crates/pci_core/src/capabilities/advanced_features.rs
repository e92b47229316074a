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
use reg_table::Reset;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use vmcore::save_restore::NoSavedState;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

/// The Advanced Features capability: function-level reset for a function without a PCI Express capability.
///
/// What the guest asks for is an [effect](crate::cfg_space_emu::Effects::function_reset) of its write.
#[derive(Inspect)]
pub struct AdvancedFeaturesCapability {
    #[inspect(flatten)]
    registers: RegisterFile<AdvancedFeaturesReg>,
    /// Target of function-level resets.
    flr_handler: Option<Arc<dyn FlrHandler>>,
    /// The guest asked for a function-level reset, and the owner does not know yet.
    #[inspect(skip)]
    flr_requested: AtomicBool,
}

impl Default for AdvancedFeaturesCapability {
    /// A capability whose function-level resets are effects of configuration writes, and nothing else.
    fn default() -> Self {
        Self {
            registers: RegisterFile::new(AdvancedFeaturesReg::CapabilityId),
            flr_handler: None,
            flr_requested: AtomicBool::new(false),
        }
    }
}

impl AdvancedFeaturesCapability {
    /// A capability that asks `flr_handler` for function-level resets besides.
    pub fn new(flr_handler: Arc<dyn FlrHandler>) -> Self {
        Self {
            flr_handler: Some(flr_handler),
            ..Self::default()
        }
    }

    /// Whether the guest asked for a function-level reset since the last call.
    pub fn take_function_level_reset(&self) -> bool {
        self.flr_requested.swap(false, Ordering::Relaxed)
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
            self.flr_requested.store(true, Ordering::Relaxed);
            if let Some(handler) = &self.flr_handler {
                handler.initiate_flr();
            }
        }
    }

    fn reset_registers(&mut self, kind: Reset) {
        self.take_function_level_reset();
        self.registers.reset(kind);
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
        assert!(af.take_function_level_reset() && !af.take_function_level_reset());
    }

    #[test]
    fn a_reset_forgets_what_was_asked_for() {
        let mut af = AdvancedFeaturesCapability::default();
        af.write_u32(4, 1);
        af.reset_by(Reset::Hot);
        assert!(!af.take_function_level_reset());
    }
}
