//! What can be learnt of a device by configuration accesses alone.

use crate::spec::hwid::HardwareIds;
use chipset_device::ChipsetDevice;
use chipset_device::pci::PciConfigSpace;

const BAR0: u16 = 0x10;

/// Probing of a device before a guest runs, by the accesses firmware would make.
pub trait PciChipsetDeviceExt: ChipsetDevice + PciConfigSpace {
    /// Sizes the six BAR slots: what each reads after writing all-ones, with the values put back after. A read error
    /// counts as 0.
    ///
    /// # Panics
    ///
    /// When an access is deferred or a write fails: a device that cannot be probed cannot be placed.
    fn probe_bar_masks(&mut self) -> [u32; 6] {
        let mut masks = [0; 6];
        for (mask, offset) in masks.iter_mut().zip((BAR0..).step_by(4)) {
            let mut before = 0;
            let _ = self.pci_cfg_read(offset, &mut before).now_or_never();
            self.pci_cfg_write(offset, u32::MAX).unwrap();
            if self.pci_cfg_read(offset, mask).now_or_never().is_err() {
                *mask = 0;
            }
            self.pci_cfg_write(offset, before).unwrap();
        }
        masks
    }

    /// Reads the identifiers from the header (PCIe 6.2 section 7.5.1).
    ///
    /// # Panics
    ///
    /// When an access is deferred.
    fn probe_hardware_ids(&mut self) -> HardwareIds {
        let mut read = |offset| {
            let mut value = 0;
            let _ = self.pci_cfg_read(offset, &mut value).now_or_never();
            value.to_le_bytes()
        };
        let ([v0, v1, d0, d1], [revision_id, prog_if, sub_class, base_class]) =
            (read(0x00), read(0x08));
        let [sv0, sv1, ss0, ss1] = read(0x2c);
        HardwareIds {
            vendor_id: u16::from_le_bytes([v0, v1]),
            device_id: u16::from_le_bytes([d0, d1]),
            revision_id,
            prog_if: prog_if.into(),
            sub_class: sub_class.into(),
            base_class: base_class.into(),
            type0_sub_vendor_id: u16::from_le_bytes([sv0, sv1]),
            type0_sub_system_id: u16::from_le_bytes([ss0, ss1]),
        }
    }
}

impl<T: ?Sized + ChipsetDevice + PciConfigSpace> PciChipsetDeviceExt for T {}
