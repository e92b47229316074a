//! The Flex Bus Port DVSEC as a capability (CXL 3.1 section 8.2.1.3).

use super::DVSEC_CAPABILITY_VERSION;
use super::spec::flex_bus_port_dvsec::*;
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

/// The Flex Bus Port DVSEC of a CXL device or port.
///
/// Clones share the registers: a port keeps one, to say what was negotiated, when it gives the other to its configuration
/// space. The `with_` methods are for composing, before either.
#[derive(Clone, Inspect)]
pub struct CxlFlexBusPortDvsecExtendedCapability {
    #[inspect(flatten)]
    registers: Arc<Mutex<RegisterFile<CxlFlexBusPortDvsecReg>>>,
    #[inspect(skip)]
    capability: CxlFlexBusPortDvsecCapability,
    #[inspect(skip)]
    capability2: CxlFlexBusPortDvsecCapability2,
}

impl Default for CxlFlexBusPortDvsecExtendedCapability {
    fn default() -> Self {
        Self::new()
    }
}

/// Gives the registers of a port that is being composed their values, and takes away the enables of what it cannot do.
fn apply(
    file: &mut RegisterFile<CxlFlexBusPortDvsecReg>,
    can: CxlFlexBusPortDvsecCapability,
    can2: CxlFlexBusPortDvsecCapability2,
) {
    file.init(CxlFlexBusPortDvsecReg::Capability, can.into_bits());
    file.init(CxlFlexBusPortDvsecReg::Capability2, can2.into_bits());
    let initial = CxlFlexBusPortDvsecControl::new().with_io_enable(can.io_capable());
    file.init(CxlFlexBusPortDvsecReg::Control, initial.into_bits());
    let writable =
        CxlFlexBusPortDvsecControl::from_bits(CXL_FLEX_BUS_PORT_DVSEC_CONTROL_WRITABLE_MASK)
            .with_cache_enable(can.cache_capable())
            .with_mem_enable(can.mem_capable())
            .with_cxl_68b_flit_and_vh_enable(can.cxl_68b_flit_and_vh_capable())
            .with_cxl_multi_logical_device_enable(can.cxl_multi_logical_device_capable())
            .with_cxl_latency_optimized_256b_flit_enable(
                can.cxl_latency_optimized_256b_flit_capable(),
            )
            .with_cxl_pbr_flit_enable(can.cxl_pbr_flit_capable());
    file.narrow(CxlFlexBusPortDvsecReg::Control, writable.into_bits().into());
    let writable2 =
        CxlFlexBusPortDvsecControl2::new().with_nop_hint_enable(can2.nop_hint_capable());
    file.narrow(CxlFlexBusPortDvsecReg::Control2, writable2.into_bits());
}

impl CxlFlexBusPortDvsecExtendedCapability {
    /// A port that is capable of CXL.io only.
    pub fn new() -> Self {
        Self::with_capability(CxlFlexBusPortDvsecCapability::new().with_io_capable(true))
    }

    /// A port with these capabilities.
    pub fn with_capability(capability: CxlFlexBusPortDvsecCapability) -> Self {
        Self {
            registers: Arc::new(Mutex::new(RegisterFile::new(
                CxlFlexBusPortDvsecReg::Header,
            ))),
            capability,
            capability2: CxlFlexBusPortDvsecCapability2::new(),
        }
        .recomposed()
    }

    fn recomposed(self) -> Self {
        let mut registers = self.registers.lock();
        apply(&mut registers, self.capability, self.capability2);
        drop(registers);
        self
    }

    /// A port with these capabilities and, as before, CXL.io and CXL.mem.
    pub fn with_optional_capabilities(
        mut self,
        cache_capable: bool,
        cxl_68b_flit_and_vh_capable: bool,
        cxl_multi_logical_device_capable: bool,
        cxl_latency_optimized_256b_flit_capable: bool,
        cxl_pbr_flit_capable: bool,
    ) -> Self {
        self.capability = self
            .capability
            .with_cache_capable(cache_capable)
            .with_cxl_68b_flit_and_vh_capable(cxl_68b_flit_and_vh_capable)
            .with_cxl_multi_logical_device_capable(cxl_multi_logical_device_capable)
            .with_cxl_latency_optimized_256b_flit_capable(cxl_latency_optimized_256b_flit_capable)
            .with_cxl_pbr_flit_capable(cxl_pbr_flit_capable);
        self.recomposed()
    }

    /// A port that speaks CXL.mem, or does not.
    pub fn with_mem_capable(mut self, mem_capable: bool) -> Self {
        self.capability.set_mem_capable(mem_capable);
        self.recomposed()
    }

    /// A port that speaks CXL.cache, or does not.
    pub fn with_cache_capable(mut self, cache_capable: bool) -> Self {
        self.capability.set_cache_capable(cache_capable);
        self.recomposed()
    }

    /// A port with these capabilities in Capability2.
    pub fn with_capability2(mut self, nop_hint_capable: bool, streamlined_port: bool) -> Self {
        self.capability2 = CxlFlexBusPortDvsecCapability2::new()
            .with_nop_hint_capable(nop_hint_capable)
            .with_streamlined_port(streamlined_port);
        self.recomposed()
    }

    /// Says what the link negotiated, what it received in phase 1 (24 bits; those above are ignored), and which errors it
    /// had. No reset of the function changes the former; errors stay until software clears them or power is cycled.
    pub fn set_status(
        &mut self,
        status: CxlFlexBusPortDvsecStatus,
        received_modified_ts_data_phase1: u32,
        status2: CxlFlexBusPortDvsecStatus2,
    ) {
        let received = CxlFlexBusPortDvsecReceivedModifiedTsDataPhase1::new()
            .with_received_flex_bus_data_phase1(received_modified_ts_data_phase1 & 0xff_ffff);
        let status2 = CxlFlexBusPortDvsecStatus2::new()
            .with_nop_hint_info(status2.nop_hint_info())
            .with_streamlined_port(status2.streamlined_port());
        let registers = self.registers.lock();
        registers.set(CxlFlexBusPortDvsecReg::Status, status.into_bits());
        registers.set(
            CxlFlexBusPortDvsecReg::ReceivedModifiedTsDataPhase1,
            received.into_bits(),
        );
        registers.set(CxlFlexBusPortDvsecReg::Status2, status2.into_bits());
    }

    /// What the port is capable of.
    pub fn capability(&self) -> CxlFlexBusPortDvsecCapability {
        self.capability
    }

    /// The control register as of now.
    pub fn control(&self) -> CxlFlexBusPortDvsecControl {
        let registers = self.registers.lock();
        CxlFlexBusPortDvsecControl::from_bits(registers.get16(CxlFlexBusPortDvsecReg::Control))
    }

    /// The status register as of now.
    pub fn status(&self) -> CxlFlexBusPortDvsecStatus {
        let registers = self.registers.lock();
        CxlFlexBusPortDvsecStatus::from_bits(registers.get16(CxlFlexBusPortDvsecReg::Status))
    }
}

impl PciExtendedCapability for CxlFlexBusPortDvsecExtendedCapability {
    fn label(&self) -> &str {
        CXL_FLEX_BUS_PORT_DVSEC.name
    }

    fn extended_capability_id(&self) -> u16 {
        ExtendedCapabilityId::DVSEC.0
    }

    fn capability_version(&self) -> u8 {
        DVSEC_CAPABILITY_VERSION
    }

    fn len(&self) -> usize {
        CXL_FLEX_BUS_PORT_DVSEC_LENGTH.into()
    }

    fn read_u32(&self, offset: u16) -> u32 {
        self.registers.lock().read(offset)
    }

    fn write_u32(&mut self, offset: u16, val: u32) {
        self.write_bytes(offset, val, ByteEnables::ALL);
    }

    fn write_bytes(&mut self, offset: u16, val: u32, enables: ByteEnables) {
        self.registers.lock().write(offset, val, enables.mask());
    }

    fn reset(&mut self) {
        self.reset_by(Reset::Cold);
    }

    fn reset_by(&mut self, kind: Reset) {
        self.registers.lock().reset(kind);
    }

    fn attach(&mut self, slot: &ConfigSlot) -> bool {
        slot.attach(&mut self.registers.lock())
    }

    fn registers(&self) -> Option<CapabilityRegisters> {
        Some((&*self.registers.lock()).into())
    }
}

mod save_restore {
    use super::*;
    use crate::saved_words::SavedWords;
    use crate::saved_words::composed_differently;
    use vmcore::save_restore::RestoreError;
    use vmcore::save_restore::SaveError;
    use vmcore::save_restore::SaveRestore;

    mod state {
        use mesh_protobuf::Protobuf;
        use vmcore::save_restore::SavedStateRoot;

        #[derive(Protobuf, SavedStateRoot)]
        #[mesh(package = "cxl.pci_registers.flex_bus_port_dvsec")]
        pub struct SavedState {
            #[mesh(1)]
            pub capability: u32,
            #[mesh(2)]
            pub control: u32,
            #[mesh(3)]
            pub status: u32,
            #[mesh(4)]
            pub received_modified_ts_data_phase1: u32,
            #[mesh(5)]
            pub capability2: u32,
            #[mesh(6)]
            pub control2: u32,
            #[mesh(7)]
            pub status2: u32,
            #[mesh(8)]
            pub reset_baseline_capability: u32,
            #[mesh(9)]
            pub reset_baseline_capability2: u32,
        }
    }

    impl CxlFlexBusPortDvsecExtendedCapability {
        fn checked(
            &self,
            file: &RegisterFile<CxlFlexBusPortDvsecReg>,
            state: &state::SavedState,
        ) -> Result<Vec<u32>, RestoreError> {
            for (found, expected) in [
                (
                    state.reset_baseline_capability,
                    self.capability.into_bits().into(),
                ),
                (
                    state.reset_baseline_capability2,
                    self.capability2.into_bits(),
                ),
            ] {
                if found != expected {
                    return Err(composed_differently(
                        "a capability of the Flex Bus Port DVSEC",
                        found,
                        expected,
                    ));
                }
            }
            use CxlFlexBusPortDvsecReg::*;
            SavedWords::over(file).with(&[
                (Capability, state.capability),
                (Control, state.control),
                (Status, state.status),
                (
                    ReceivedModifiedTsDataPhase1,
                    state.received_modified_ts_data_phase1,
                ),
                (Capability2, state.capability2),
                (Control2, state.control2),
                (Status2, state.status2),
            ])
        }
    }

    impl SaveRestore for CxlFlexBusPortDvsecExtendedCapability {
        type SavedState = state::SavedState;

        fn save(&mut self) -> Result<Self::SavedState, SaveError> {
            let registers = self.registers.lock();
            let get = |register| registers.get(register);
            Ok(state::SavedState {
                capability: get(CxlFlexBusPortDvsecReg::Capability),
                control: get(CxlFlexBusPortDvsecReg::Control),
                status: get(CxlFlexBusPortDvsecReg::Status),
                received_modified_ts_data_phase1: get(
                    CxlFlexBusPortDvsecReg::ReceivedModifiedTsDataPhase1,
                ),
                capability2: get(CxlFlexBusPortDvsecReg::Capability2),
                control2: get(CxlFlexBusPortDvsecReg::Control2),
                status2: get(CxlFlexBusPortDvsecReg::Status2),
                reset_baseline_capability: self.capability.into_bits().into(),
                reset_baseline_capability2: self.capability2.into_bits(),
            })
        }

        fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
            let registers = self.registers.lock();
            registers.restore(&self.checked(&registers, &state)?);
            Ok(())
        }

        fn check(&mut self, state: &Self::SavedState) -> Result<(), RestoreError> {
            self.checked(&self.registers.lock(), state).map(drop)
        }
    }
}

#[cfg(test)]
mod tests;
