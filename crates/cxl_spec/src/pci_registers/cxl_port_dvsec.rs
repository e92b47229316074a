//! The CXL Extensions DVSEC for Ports as a capability (CXL 3.1 section 8.1.5).

use super::DVSEC_CAPABILITY_VERSION;
use super::spec::cxl_port_dvsec::*;
use chipset_device::pci::ByteEnables;
use inspect::Inspect;
use parking_lot::Mutex;
use pci_core::capabilities::CapabilityRegisters;
use pci_core::capabilities::ConfigSlot;
use pci_core::capabilities::PciExtendedCapability;
use pci_spec::caps::ExtendedCapabilityId;
use reg_table::RegisterFile;
use reg_table::Reset;
use std::sync::Arc;

/// The DVSEC of a CXL root port or switch port.
///
/// Clones share the registers: a port keeps one, to look at them, when it gives the other to its configuration space.
#[derive(Clone, Inspect)]
pub struct CxlPortDvsecExtendedCapability {
    #[inspect(flatten)]
    state: Arc<Mutex<State>>,
}

#[derive(Inspect)]
struct State {
    #[inspect(flatten)]
    registers: RegisterFile<CxlPortDvsecReg>,
    #[inspect(flatten)]
    support: Support,
}

#[derive(Copy, Clone, Default, Inspect)]
struct Support {
    supports_uio_to_hdm_enable: bool,
    supports_viral: bool,
}

impl Support {
    fn control(self) -> CxlPortDvsecControl {
        CxlPortDvsecControl::from_bits(CXL_PORT_DVSEC_CONTROL_WRITABLE_MASK)
            .with_uio_to_hdm_enable(self.supports_uio_to_hdm_enable)
            .with_viral_enable(self.supports_viral)
    }

    fn status(self) -> CxlPortDvsecStatus {
        CxlPortDvsecStatus::new().with_viral_status(self.supports_viral)
    }
}

impl State {
    /// Takes away the bits of what the port does not support.
    fn set_support(&mut self, support: Support) {
        self.support = support;
        let (control, status) = (support.control(), support.status());
        self.registers
            .narrow(CxlPortDvsecReg::Control, control.into_bits().into());
        self.registers
            .narrow(CxlPortDvsecReg::Status, status.into_bits().into());
    }
}

impl Default for CxlPortDvsecExtendedCapability {
    fn default() -> Self {
        Self::new()
    }
}

impl CxlPortDvsecExtendedCapability {
    /// A port without unordered I/O to memory and without viral handling.
    pub fn new() -> Self {
        let mut state = State {
            registers: RegisterFile::new(CxlPortDvsecReg::Header),
            support: Support::default(),
        };
        state.set_support(Support::default());
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn with_support(self, change: impl FnOnce(&mut Support)) -> Self {
        let mut state = self.state.lock();
        let mut support = state.support;
        change(&mut support);
        state.set_support(support);
        drop(state);
        self
    }

    /// A port that supports unordered I/O to memory, or does not.
    pub fn with_uio_to_hdm_enable(self, supported: bool) -> Self {
        self.with_support(|support| support.supports_uio_to_hdm_enable = supported)
    }

    /// A port that handles viral indications, or does not.
    pub fn with_viral_support(self, supported: bool) -> Self {
        self.with_support(|support| support.supports_viral = supported)
    }

    /// Says whether power management initialization of the link is complete. No reset changes that.
    pub fn set_port_power_management_initialization_complete(&mut self, complete: bool) {
        self.update_status(|status| {
            status.with_port_power_management_initialization_complete(complete)
        });
    }

    /// Says whether the port is in the viral state. Ignored without viral support.
    pub fn set_viral_status(&mut self, viral: bool) {
        if self.state.lock().support.supports_viral {
            self.update_status(|status| status.with_viral_status(viral));
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a register of 16 bits")]
    fn update_status(&self, change: impl Fn(CxlPortDvsecStatus) -> CxlPortDvsecStatus) {
        let state = self.state.lock();
        state.registers.update(CxlPortDvsecReg::Status, |bits| {
            change(CxlPortDvsecStatus::from_bits(bits as u16))
                .into_bits()
                .into()
        });
    }

    /// Port Control Extensions as of now.
    pub fn control(&self) -> CxlPortDvsecControl {
        CxlPortDvsecControl::from_bits(self.state.lock().registers.get16(CxlPortDvsecReg::Control))
    }

    /// Port Extension Status as of now.
    pub fn status(&self) -> CxlPortDvsecStatus {
        CxlPortDvsecStatus::from_bits(self.state.lock().registers.get16(CxlPortDvsecReg::Status))
    }
}

impl PciExtendedCapability for CxlPortDvsecExtendedCapability {
    fn label(&self) -> &str {
        CXL_PORT_DVSEC.name
    }

    fn extended_capability_id(&self) -> u16 {
        ExtendedCapabilityId::DVSEC.0
    }

    fn capability_version(&self) -> u8 {
        DVSEC_CAPABILITY_VERSION
    }

    fn len(&self) -> usize {
        CXL_PORT_DVSEC_LENGTH.into()
    }

    fn read_u32(&self, offset: u16) -> u32 {
        self.state.lock().registers.read(offset)
    }

    fn write_u32(&mut self, offset: u16, val: u32) {
        self.write_bytes(offset, val, ByteEnables::ALL);
    }

    fn write_bytes(&mut self, offset: u16, val: u32, enables: ByteEnables) {
        let state = self.state.lock();
        state.registers.write(offset, val, enables.mask());
    }

    fn reset(&mut self) {
        self.reset_by(Reset::Cold);
    }

    fn reset_by(&mut self, kind: Reset) {
        self.state.lock().registers.reset(kind);
    }

    fn attach(&mut self, slot: &ConfigSlot) -> bool {
        slot.attach(&mut self.state.lock().registers)
    }

    fn registers(&self) -> Option<CapabilityRegisters> {
        Some((&self.state.lock().registers).into())
    }
}

mod save_restore {
    use super::*;
    use crate::saved_words::SavedWords;
    use vmcore::save_restore::RestoreError;
    use vmcore::save_restore::SaveError;
    use vmcore::save_restore::SaveRestore;

    mod state {
        use mesh_protobuf::Protobuf;
        use vmcore::save_restore::SavedStateRoot;

        #[derive(Protobuf, SavedStateRoot)]
        #[mesh(package = "cxl.pci_registers.cxl_port_dvsec")]
        pub struct SavedState {
            #[mesh(1)]
            pub status: u32,
            #[mesh(2)]
            pub control: u32,
            #[mesh(3)]
            pub alt_bus_base: u32,
            #[mesh(4)]
            pub alt_bus_limit: u32,
            #[mesh(5)]
            pub alt_mem_base: u32,
            #[mesh(6)]
            pub alt_mem_limit: u32,
            #[mesh(7)]
            pub alt_prefetch_mem_base: u32,
            #[mesh(8)]
            pub alt_prefetch_mem_limit: u32,
            #[mesh(9)]
            pub alt_prefetch_mem_base_high: u32,
            #[mesh(10)]
            pub alt_prefetch_mem_limit_high: u32,
            #[mesh(11)]
            pub cxl_rcrb_base: u32,
            #[mesh(12)]
            pub cxl_rcrb_base_high: u32,
            #[mesh(13)]
            pub supports_uio_to_hdm_enable: bool,
            #[mesh(14)]
            pub supports_viral: bool,
        }
    }

    impl state::SavedState {
        fn registers(&self) -> [(CxlPortDvsecReg, u32); 12] {
            use CxlPortDvsecReg::*;
            [
                (Status, self.status),
                (Control, self.control),
                (AltBusBase, self.alt_bus_base),
                (AltBusLimit, self.alt_bus_limit),
                (AltMemBase, self.alt_mem_base),
                (AltMemLimit, self.alt_mem_limit),
                (AltPrefetchMemBase, self.alt_prefetch_mem_base),
                (AltPrefetchMemLimit, self.alt_prefetch_mem_limit),
                (AltPrefetchMemBaseHigh, self.alt_prefetch_mem_base_high),
                (AltPrefetchMemLimitHigh, self.alt_prefetch_mem_limit_high),
                (CxlRcrbBase, self.cxl_rcrb_base),
                (CxlRcrbBaseHigh, self.cxl_rcrb_base_high),
            ]
        }

        fn support(&self) -> Support {
            Support {
                supports_uio_to_hdm_enable: self.supports_uio_to_hdm_enable,
                supports_viral: self.supports_viral,
            }
        }

        /// The support that is in force now does not matter: it comes with the state.
        fn checked(&self, file: &RegisterFile<CxlPortDvsecReg>) -> Result<Vec<u32>, RestoreError> {
            let support = self.support();
            let control = CXL_PORT_DVSEC_CONTROL_WRITABLE_MASK & !support.control().into_bits();
            let status = CXL_PORT_DVSEC_STATUS_RW1C_MASK & !support.status().into_bits();
            if self.control & u32::from(control) != 0 || self.status & u32::from(status) != 0 {
                return Err(RestoreError::InvalidSavedState(anyhow::anyhow!(
                    "the CXL port DVSEC has control {:#x} and status {:#x} in the saved state, with bits for what it does not support",
                    self.control,
                    self.status
                )));
            }
            SavedWords::over(file).with_any(&self.registers())
        }
    }

    impl SaveRestore for CxlPortDvsecExtendedCapability {
        type SavedState = state::SavedState;

        fn save(&mut self) -> Result<Self::SavedState, SaveError> {
            let state = self.state.lock();
            let get = |register| state.registers.get(register);
            Ok(state::SavedState {
                status: get(CxlPortDvsecReg::Status),
                control: get(CxlPortDvsecReg::Control),
                alt_bus_base: get(CxlPortDvsecReg::AltBusBase),
                alt_bus_limit: get(CxlPortDvsecReg::AltBusLimit),
                alt_mem_base: get(CxlPortDvsecReg::AltMemBase),
                alt_mem_limit: get(CxlPortDvsecReg::AltMemLimit),
                alt_prefetch_mem_base: get(CxlPortDvsecReg::AltPrefetchMemBase),
                alt_prefetch_mem_limit: get(CxlPortDvsecReg::AltPrefetchMemLimit),
                alt_prefetch_mem_base_high: get(CxlPortDvsecReg::AltPrefetchMemBaseHigh),
                alt_prefetch_mem_limit_high: get(CxlPortDvsecReg::AltPrefetchMemLimitHigh),
                cxl_rcrb_base: get(CxlPortDvsecReg::CxlRcrbBase),
                cxl_rcrb_base_high: get(CxlPortDvsecReg::CxlRcrbBaseHigh),
                supports_uio_to_hdm_enable: state.support.supports_uio_to_hdm_enable,
                supports_viral: state.support.supports_viral,
            })
        }

        /// What the port supports is taken from the saved state.
        fn restore(&mut self, saved: Self::SavedState) -> Result<(), RestoreError> {
            let mut state = self.state.lock();
            state.registers.restore(&saved.checked(&state.registers)?);
            state.set_support(saved.support());
            Ok(())
        }

        fn check(&mut self, saved: &Self::SavedState) -> Result<(), RestoreError> {
            saved.checked(&self.state.lock().registers).map(drop)
        }
    }
}

#[cfg(test)]
mod tests;
