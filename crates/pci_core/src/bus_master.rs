//! Whether a function may issue requests (PCIe 6.2 section 7.5.1.1.3, Bus Master Enable).

use inspect::Inspect;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// Says whether a function may issue memory and I/O requests as of now: its own Bus Master Enable is set, and so is that of every
/// bridge above it.
///
/// The emulators of both header types give it out, and all clones follow the same function. A device asks it before each DMA access
/// and before it sends a message by a [`MsiTarget`](crate::msi::MsiTarget) of its own; the MSI and MSI-X capabilities ask
/// by themselves in a function composed with
/// [`with_bus_master_gate`](crate::cfg_space_emu::ConfigSpaceType0Emulator::with_bus_master_gate). A device that finds it clear does not
/// touch memory, and tries again when its driver next asks something of it; nothing tells the device of the change.
///
/// Holding one proves nothing about the moment after asking: a request may be under way while the guest clears the bit, as on
/// a bus.
#[derive(Clone, Debug, Inspect)]
#[inspect(transparent)]
pub struct BusMaster(Arc<AtomicBool>);

impl BusMaster {
    /// That of a function that no register gates.
    pub fn always() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    /// That of a function after reset.
    pub(crate) fn disabled() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    /// Whether the function may issue requests.
    #[inline]
    pub fn is_enabled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Sets it, and says whether that changed it.
    pub(crate) fn set(&self, enabled: bool) -> bool {
        self.0.swap(enabled, Ordering::AcqRel) != enabled
    }
}
