//! What the owner of a device can do with it beyond configuration accesses.

use crate::GenericPciBusDevice;
use chipset_device::io::IoResult;
use inspect::InspectMut;
use reg_table::Reset;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SavedStateBlob;

/// A device whose lifecycle belongs to the port it is attached to: it is reset, saved, restored and inspected together with
/// the hierarchy, and its memory accesses come through it.
///
/// A device that its monitor manages by itself does not implement this; see [`GenericPciBusDevice::managed`].
pub trait ManagedDevice: InspectMut {
    /// Resets the device, and for a switch all below it, as `kind` says.
    fn reset(&mut self, kind: Reset);

    /// Saves the state of the device and of all below it.
    ///
    /// # Errors
    ///
    /// When a part of it cannot be saved.
    fn save(&mut self) -> Result<SavedStateBlob, SaveError>;

    /// Says whether [`Self::restore`] would take `state`, and changes nothing.
    ///
    /// # Errors
    ///
    /// Those of [`Self::restore`].
    fn check(&mut self, state: &SavedStateBlob) -> Result<(), RestoreError>;

    /// Restores the state of the device and of all below it; on error all is as it was.
    ///
    /// # Errors
    ///
    /// When the state does not fit the device.
    fn restore(&mut self, state: SavedStateBlob) -> Result<(), RestoreError>;

    /// Reads from memory that the device, or one below it, claims; `None` when none does.
    fn mmio_read(&mut self, address: u64, data: &mut [u8]) -> Option<IoResult> {
        let _ = (address, data);
        None
    }

    /// Writes to memory that the device, or one below it, claims; `None` when none does.
    fn mmio_write(&mut self, address: u64, data: &[u8]) -> Option<IoResult> {
        let _ = (address, data);
        None
    }

    /// The port of this name, if it is one of the device's or below it.
    fn port(&mut self, name: &str) -> Option<&mut dyn HotPlugPort> {
        let _ = name;
        None
    }
}

/// A port that devices are added to and removed from while the guest runs.
pub trait HotPlugPort {
    /// Attaches a device and tells the guest.
    ///
    /// # Errors
    ///
    /// - the port has no hot-plug slot;
    /// - the slot is occupied.
    fn hotplug_add_device(
        &mut self,
        device_name: &str,
        device: Box<dyn GenericPciBusDevice>,
    ) -> anyhow::Result<()>;

    /// Removes the device and tells the guest.
    ///
    /// # Errors
    ///
    /// - the port has no hot-plug slot;
    /// - the slot is empty.
    fn hotplug_remove_device(&mut self) -> anyhow::Result<()>;
}
