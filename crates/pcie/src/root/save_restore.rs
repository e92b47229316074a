//! Saving and restoring a root complex and all below it: checked as a whole, then restored; refused means unchanged.

use super::GenericPcieRootComplex;
use crate::port::CxlState;
use crate::port_set::IntegratedState;
use anyhow::anyhow;
use state::PortSavedState;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

mod state {
    use crate::port::CxlState;
    use crate::port::saved_port;
    use crate::port_set::IntegratedState;
    use mesh_protobuf::Protobuf;
    use vmcore::save_restore::SavedStateRoot;

    #[derive(Default, Protobuf, SavedStateRoot)]
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

    saved_port!("pcie.root", PortSavedState);
}

impl SaveRestore for GenericPcieRootComplex {
    type SavedState = state::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        let ports = self.functions.save_ports()?;
        Ok(state::SavedState {
            start_bus: self.start_bus,
            end_bus: self.end_bus,
            ports: ports.into_iter().map(Into::into).collect(),
            cxl_component_registers: self.save_bridge()?,
            integrated: self.functions.save_integrated()?,
        })
    }

    fn save_parts(&mut self, mut part: impl FnMut(Self::SavedState)) -> Result<(), SaveError> {
        part(state::SavedState {
            start_bus: self.start_bus,
            end_bus: self.end_bus,
            ..Default::default()
        });
        self.functions.save_each_port(|port| {
            part(state::SavedState {
                ports: vec![port.into()],
                ..Default::default()
            });
        })?;
        part(state::SavedState {
            cxl_component_registers: self.save_bridge()?,
            integrated: self.functions.save_integrated()?,
            ..Default::default()
        });
        Ok(())
    }

    fn check(&mut self, state: &Self::SavedState) -> Result<(), RestoreError> {
        let invalid = |error| Err(RestoreError::InvalidSavedState(error));
        let (start, end) = (self.start_bus, self.end_bus);
        if (state.start_bus, state.end_bus) != (start, end) {
            return invalid(anyhow!(
                "buses {:#04x} to {:#04x} in the saved state; this root complex has {start:#04x} to {end:#04x}",
                state.start_bus,
                state.end_bus
            ));
        }
        match (&state.cxl_component_registers, &mut self.host_bridge) {
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
        let ports: Vec<_> = state.ports.iter().map(PortSavedState::look_at).collect();
        self.functions.check_ports(&ports)?;
        self.functions.check_integrated(&state.integrated)
    }

    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
        self.check(&state)?;
        let ports = state.ports.into_iter().map(Into::into).collect();
        let (bridge, integrated) = (state.cxl_component_registers, state.integrated);
        let unsaved = |error: SaveError| RestoreError::Other(error.into());
        let bridge_before = self.save_bridge().map_err(unsaved)?;
        let integrated_before = self.functions.save_integrated().map_err(unsaved)?;
        self.merges.clear();
        let restored = self
            .restore_bus(bridge, integrated)
            .and_then(|()| self.functions.restore_ports(ports));
        if restored.is_err() {
            // A device took the state when asked and refused it when given: everything goes back.
            self.restore_bus(bridge_before, integrated_before)?;
        }
        self.refresh_routes();
        restored
    }
}

impl GenericPcieRootComplex {
    fn save_bridge(&mut self) -> Result<Option<CxlState>, SaveError> {
        self.host_bridge
            .as_mut()
            .map(|bridge| bridge.registers.save())
            .transpose()
    }

    /// Restores what is on the root bus beside the ports.
    fn restore_bus(
        &mut self,
        bridge: Option<CxlState>,
        integrated: Vec<IntegratedState>,
    ) -> Result<(), RestoreError> {
        if let (Some(saved), Some(bridge)) = (bridge, &mut self.host_bridge) {
            bridge.registers.restore(saved)?;
        }
        self.functions.restore_integrated(integrated)
    }
}
