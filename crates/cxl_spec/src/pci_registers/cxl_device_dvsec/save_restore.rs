//! Saving and restoring the DVSEC for CXL Devices.

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
    #[mesh(package = "cxl.pci_registers.cxl_device_dvsec")]
    pub struct SavedState {
        #[mesh(1)]
        pub control: u32,
        #[mesh(2)]
        pub status: u32,
        #[mesh(3)]
        pub control2: u32,
        #[mesh(4)]
        pub status2: u32,
        #[mesh(5)]
        pub lock: u32,
        #[mesh(6)]
        pub capability: u32,
        #[mesh(7)]
        pub capability2: u32,
        #[mesh(8)]
        pub capability3: u32,
        #[mesh(9)]
        pub range1_size_high: u32,
        #[mesh(10)]
        pub range1_size_low: u32,
        #[mesh(11)]
        pub range1_base_high: u32,
        #[mesh(12)]
        pub range1_base_low: u32,
        #[mesh(13)]
        pub range2_size_high: u32,
        #[mesh(14)]
        pub range2_size_low: u32,
        #[mesh(15)]
        pub range2_base_high: u32,
        #[mesh(16)]
        pub range2_base_low: u32,
        #[mesh(17)]
        pub reset_baseline_capability: u32,
        #[mesh(18)]
        pub reset_baseline_capability2: u32,
        #[mesh(19)]
        pub reset_baseline_capability3: u32,
        #[mesh(20)]
        pub reset_baseline_range1_size_high: u32,
        #[mesh(21)]
        pub reset_baseline_range1_size_low: u32,
        #[mesh(22)]
        pub reset_baseline_range1_base_high: u32,
        #[mesh(23)]
        pub reset_baseline_range1_base_low: u32,
        #[mesh(24)]
        pub reset_baseline_range2_size_high: u32,
        #[mesh(25)]
        pub reset_baseline_range2_size_low: u32,
        #[mesh(26)]
        pub reset_baseline_range2_base_high: u32,
        #[mesh(27)]
        pub reset_baseline_range2_base_low: u32,
    }
}

impl Composed {
    /// What the `reset_baseline` fields say, in their order.
    fn baseline(&self) -> [u32; 11] {
        let [one, two] = &self.ranges;
        [
            self.capability.into_bits().into(),
            self.capability2.into_bits().into(),
            self.capability3.into_bits().into(),
            one.size_high,
            one.size_low.into_bits(),
            one.base_high,
            one.base_low.into_bits(),
            two.size_high,
            two.size_low.into_bits(),
            two.base_high,
            two.base_low.into_bits(),
        ]
    }
}

impl state::SavedState {
    fn baseline(&self) -> [u32; 11] {
        [
            self.reset_baseline_capability,
            self.reset_baseline_capability2,
            self.reset_baseline_capability3,
            self.reset_baseline_range1_size_high,
            self.reset_baseline_range1_size_low,
            self.reset_baseline_range1_base_high,
            self.reset_baseline_range1_base_low,
            self.reset_baseline_range2_size_high,
            self.reset_baseline_range2_size_low,
            self.reset_baseline_range2_base_high,
            self.reset_baseline_range2_base_low,
        ]
    }

    fn registers(&self) -> [(CxlDeviceDvsecReg, u32); 16] {
        use CxlDeviceDvsecReg::*;
        [
            (Control, self.control),
            (Status, self.status),
            (Control2, self.control2),
            (Status2, self.status2),
            (Lock, self.lock),
            (Capability, self.capability),
            (Capability2, self.capability2),
            (Capability3, self.capability3),
            (Range1SizeHigh, self.range1_size_high),
            (Range1SizeLow, self.range1_size_low),
            (Range1BaseHigh, self.range1_base_high),
            (Range1BaseLow, self.range1_base_low),
            (Range2SizeHigh, self.range2_size_high),
            (Range2SizeLow, self.range2_size_low),
            (Range2BaseHigh, self.range2_base_high),
            (Range2BaseLow, self.range2_base_low),
        ]
    }
}

impl CxlDeviceDevsecExtendedCapability {
    fn checked(
        &self,
        file: &RegisterFile<CxlDeviceDvsecReg>,
        state: &state::SavedState,
    ) -> Result<Vec<u32>, RestoreError> {
        for (found, expected) in state.baseline().into_iter().zip(self.composed.baseline()) {
            if found != expected {
                return Err(composed_differently(
                    "a reset value of the CXL device DVSEC",
                    found,
                    expected,
                ));
            }
        }
        SavedWords::over(file).with(&state.registers())
    }
}

impl SaveRestore for CxlDeviceDevsecExtendedCapability {
    type SavedState = state::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        let registers = self.registers.lock();
        let get = |register| registers.get(register);
        let [
            reset_baseline_capability,
            reset_baseline_capability2,
            reset_baseline_capability3,
            reset_baseline_range1_size_high,
            reset_baseline_range1_size_low,
            reset_baseline_range1_base_high,
            reset_baseline_range1_base_low,
            reset_baseline_range2_size_high,
            reset_baseline_range2_size_low,
            reset_baseline_range2_base_high,
            reset_baseline_range2_base_low,
        ] = self.composed.baseline();
        Ok(state::SavedState {
            control: get(CxlDeviceDvsecReg::Control),
            status: get(CxlDeviceDvsecReg::Status),
            control2: get(CxlDeviceDvsecReg::Control2),
            status2: get(CxlDeviceDvsecReg::Status2),
            lock: get(CxlDeviceDvsecReg::Lock),
            capability: get(CxlDeviceDvsecReg::Capability),
            capability2: get(CxlDeviceDvsecReg::Capability2),
            capability3: get(CxlDeviceDvsecReg::Capability3),
            range1_size_high: get(CxlDeviceDvsecReg::Range1SizeHigh),
            range1_size_low: get(CxlDeviceDvsecReg::Range1SizeLow),
            range1_base_high: get(CxlDeviceDvsecReg::Range1BaseHigh),
            range1_base_low: get(CxlDeviceDvsecReg::Range1BaseLow),
            range2_size_high: get(CxlDeviceDvsecReg::Range2SizeHigh),
            range2_size_low: get(CxlDeviceDvsecReg::Range2SizeLow),
            range2_base_high: get(CxlDeviceDvsecReg::Range2BaseHigh),
            range2_base_low: get(CxlDeviceDvsecReg::Range2BaseLow),
            reset_baseline_capability,
            reset_baseline_capability2,
            reset_baseline_capability3,
            reset_baseline_range1_size_high,
            reset_baseline_range1_size_low,
            reset_baseline_range1_base_high,
            reset_baseline_range1_base_low,
            reset_baseline_range2_size_high,
            reset_baseline_range2_size_low,
            reset_baseline_range2_base_high,
            reset_baseline_range2_base_low,
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
