//! Extended capabilities that software cannot change: all their state is how they were composed.

use crate::capabilities::block::ExtendedBlock;
use crate::capabilities::block::RegisterBlock;
use crate::spec::caps::ari::AriCapability;
use crate::spec::caps::ari::AriReg;
use crate::spec::caps::device_serial_number::DeviceSerialNumberReg;
use crate::spec::caps::event_collector::EventCollectorReg;
use inspect::Inspect;
use reg_table::BlockRegister;
use reg_table::RegisterFile;
use vmcore::save_restore::NoSavedState;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

/// A read-only extended capability made of a register table.
#[derive(Debug, Inspect)]
pub struct FixedExtendedCapability<R: BlockRegister> {
    #[inspect(flatten)]
    registers: RegisterFile<R>,
}

impl FixedExtendedCapability<DeviceSerialNumberReg> {
    /// A Device Serial Number (PCIe 6.2 section 7.9.3): an EUI-64 that all functions of a device share.
    pub fn device_serial_number(serial: u64) -> Self {
        let mut registers = RegisterFile::new(DeviceSerialNumberReg::Header);
        let [low, high] =
            [serial & 0xffff_ffff, serial >> 32].map(|half| u32::try_from(half).unwrap_or(0));
        registers.init(DeviceSerialNumberReg::SerialNumberLower, low);
        registers.init(DeviceSerialNumberReg::SerialNumberUpper, high);
        Self { registers }
    }
}

impl FixedExtendedCapability<AriReg> {
    /// Alternative Routing-ID Interpretation (PCIe 6.2 section 7.8.8) of a function whose next function is
    /// `next_function`; 0 ends the chain.
    pub fn ari(next_function: u8) -> Self {
        let mut registers = RegisterFile::new(AriReg::Header);
        // There are no function groups to enable.
        registers.narrow(AriReg::Control, 0);
        registers.init(
            AriReg::Capability,
            AriCapability::new()
                .with_next_function_number(next_function)
                .into_bits(),
        );
        Self { registers }
    }
}

impl FixedExtendedCapability<EventCollectorReg> {
    /// Root Complex Event Collector Endpoint Association (PCIe 6.2 section 7.9.10) with the endpoints whose device numbers on the
    /// collector's bus are the bits of `devices`.
    pub fn event_collector(devices: u32) -> Self {
        let mut registers = RegisterFile::new(EventCollectorReg::Header);
        registers.init(EventCollectorReg::AssociationBitmap, devices);
        Self { registers }
    }
}

impl<R: BlockRegister> RegisterBlock for FixedExtendedCapability<R> {
    type Register = R;

    fn file(&self) -> &RegisterFile<R> {
        &self.registers
    }

    fn file_mut(&mut self) -> &mut RegisterFile<R> {
        &mut self.registers
    }
}

impl<R: BlockRegister> ExtendedBlock for FixedExtendedCapability<R> {}

impl<R: BlockRegister> SaveRestore for FixedExtendedCapability<R> {
    type SavedState = NoSavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        Ok(NoSavedState)
    }

    fn restore(&mut self, NoSavedState: Self::SavedState) -> Result<(), RestoreError> {
        Ok(())
    }
}
