//! Saving and restoring a switch and all below it: checked as a whole, then restored; refused means unchanged.

use super::GenericPcieSwitch;
use crate::port::PortState;
use crate::port::PortStateRef;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

mod state {
    use crate::port::ConfigState;
    use crate::port::CxlState;
    use crate::port::LinkedDeviceState;
    use mesh_protobuf::Protobuf;
    use vmcore::save_restore::SavedStateRoot;

    #[derive(Protobuf, SavedStateRoot)]
    #[mesh(package = "pcie.switch")]
    pub struct SavedState {
        #[mesh(1)]
        pub upstream_cfg_space: ConfigState,
        #[mesh(2)]
        pub downstream_ports: Vec<DownstreamPortSavedState>,
    }

    #[derive(Protobuf)]
    #[mesh(package = "pcie.switch")]
    pub struct DownstreamPortSavedState {
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

use state::DownstreamPortSavedState;

fn look_at(state: &DownstreamPortSavedState) -> (u8, PortStateRef<'_>) {
    let parts = PortStateRef {
        cfg_space: &state.cfg_space,
        cxl_component_registers: state.cxl_component_registers.as_ref(),
        device: state.device.as_ref(),
    };
    (state.port_number, parts)
}

fn from_saved(state: DownstreamPortSavedState) -> (u8, PortState) {
    let DownstreamPortSavedState {
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

fn to_saved((port_number, state): (u8, PortState)) -> DownstreamPortSavedState {
    let PortState {
        cfg_space,
        cxl_component_registers,
        device,
    } = state;
    DownstreamPortSavedState {
        port_number,
        cfg_space,
        cxl_component_registers,
        device,
    }
}

impl SaveRestore for GenericPcieSwitch {
    type SavedState = state::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        let upstream = self.upstream_port.cfg_space.save();
        Ok(state::SavedState {
            upstream_cfg_space: upstream.map_err(|error| error.in_child(self.name.to_string()))?,
            downstream_ports: self
                .downstream_ports
                .save_ports()?
                .into_iter()
                .map(to_saved)
                .collect(),
        })
    }

    fn check(&mut self, state: &Self::SavedState) -> Result<(), RestoreError> {
        self.upstream_port
            .cfg_space
            .check(&state.upstream_cfg_space)
            .map_err(|error| error.in_child(self.name.to_string()))?;
        let ports: Vec<_> = state.downstream_ports.iter().map(look_at).collect();
        self.downstream_ports.check_ports(&ports)
    }

    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
        self.check(&state)?;
        let upstream = state.upstream_cfg_space;
        let ports = state.downstream_ports.into_iter().map(from_saved).collect();
        let cfg_space = &mut self.upstream_port.cfg_space;
        let before = cfg_space
            .save()
            .map_err(|error| RestoreError::Other(error.into()))?;
        cfg_space.restore(upstream)?;
        // What is below restores itself under what comes through to it then.
        self.hand_down();
        let restored = self.downstream_ports.restore_ports(ports);
        if restored.is_err() {
            self.upstream_port.cfg_space.restore(before)?;
            self.hand_down();
        }
        self.refresh_routes();
        restored
    }
}
