//! Saving and restoring a root complex and all below it: checked as a whole, then restored; refused means unchanged.

use super::GenericPcieRootComplex;
use crate::port::PortState;
use anyhow::anyhow;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

mod state {
    use crate::port::ConfigState;
    use crate::port::CxlState;
    use crate::port::LinkedDeviceState;
    use crate::port_set::state::IntegratedState;
    use mesh_protobuf::Protobuf;
    use vmcore::save_restore::SavedStateRoot;

    #[derive(Protobuf, SavedStateRoot)]
    #[mesh(package = "pcie.root")]
    pub struct SavedState {
        #[mesh(1)]
        pub start_bus: u8,
        #[mesh(2)]
        pub end_bus: u8,
        #[mesh(3)]
        pub ports: Vec<PortSavedState>,
        #[mesh(4)]
        pub cxl_component_registers: Option<CxlState>,
        /// Integrated endpoints whose lifecycle is the root complex's.
        #[mesh(5)]
        pub integrated: Vec<IntegratedState>,
    }

    #[derive(Protobuf)]
    #[mesh(package = "pcie.root")]
    pub struct PortSavedState {
        #[mesh(1)]
        pub port_number: u8,
        #[mesh(2)]
        pub cfg_space: ConfigState,
        #[mesh(3)]
        pub cxl_component_registers: Option<CxlState>,
        /// The device behind the port, if its lifecycle is the port's.
        #[mesh(4)]
        pub device: Option<LinkedDeviceState>,
    }
}

use state::PortSavedState;

fn from_saved(state: PortSavedState) -> (u8, PortState) {
    let PortSavedState {
        port_number,
        cfg_space,
        cxl_component_registers,
        device,
    } = state;
    (
        port_number,
        PortState {
            cfg_space,
            cxl_component_registers,
            device,
        },
    )
}

fn to_saved((port_number, state): (u8, PortState)) -> PortSavedState {
    let PortState {
        cfg_space,
        cxl_component_registers,
        device,
    } = state;
    PortSavedState {
        port_number,
        cfg_space,
        cxl_component_registers,
        device,
    }
}

impl SaveRestore for GenericPcieRootComplex {
    type SavedState = state::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        Ok(state::SavedState {
            start_bus: self.start_bus,
            end_bus: self.end_bus,
            ports: self
                .functions
                .save_ports()?
                .into_iter()
                .map(to_saved)
                .collect(),
            cxl_component_registers: self
                .host_bridge
                .as_mut()
                .map(|bridge| bridge.registers.save())
                .transpose()?,
            integrated: self.functions.save_integrated()?,
        })
    }

    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
        let before = self
            .save()
            .map_err(|error| RestoreError::Other(error.into()))?;
        let checked = self.check_whole(state)?;
        self.merges.clear();
        let restored = self.apply(checked);
        if restored.is_err() {
            // A device from elsewhere took the state when asked and refused it when given: everything goes back.
            let before = self.check_whole(before)?;
            self.apply(before)?;
        }
        restored
    }
}

/// A state whose parts were all found to fit.
struct Checked {
    ports: Vec<(u8, PortState)>,
    state: state::SavedState,
}

impl GenericPcieRootComplex {
    fn check_whole(&mut self, mut state: state::SavedState) -> Result<Checked, RestoreError> {
        let invalid = |error| Err(RestoreError::InvalidSavedState(error));
        let (start, end) = (self.start_bus, self.end_bus);
        if (state.start_bus, state.end_bus) != (start, end) {
            return invalid(anyhow!(
                "buses {:#04x} to {:#04x} in the saved state; this root complex has {start:#04x} to {end:#04x}",
                state.start_bus,
                state.end_bus
            ));
        }
        match (&state.cxl_component_registers, &self.host_bridge) {
            (Some(saved), Some(bridge)) => bridge.registers.check(saved)?,
            (None, None) => {}
            (Some(_), None) => {
                return invalid(anyhow!(
                    "the saved state is of a CXL root complex; this is none"
                ));
            }
            (None, Some(_)) => {
                return invalid(anyhow!(
                    "this is a CXL root complex; the saved state is of none"
                ));
            }
        }
        let ports: Vec<_> = std::mem::take(&mut state.ports)
            .into_iter()
            .map(from_saved)
            .collect();
        self.functions.check_ports(&ports)?;
        self.functions.check_integrated(&state.integrated)?;
        Ok(Checked { ports, state })
    }

    fn apply(&mut self, Checked { ports, state }: Checked) -> Result<(), RestoreError> {
        let result = self.apply_parts(ports, state);
        self.refresh_routes();
        result
    }

    fn apply_parts(
        &mut self,
        ports: Vec<(u8, PortState)>,
        state: state::SavedState,
    ) -> Result<(), RestoreError> {
        if let (Some(saved), Some(bridge)) = (state.cxl_component_registers, &mut self.host_bridge)
        {
            bridge.registers.restore(saved)?;
        }
        self.functions.restore_ports(ports)?;
        self.functions.restore_integrated(state.integrated)
    }
}
