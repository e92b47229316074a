//! Saving and restoring a switch and all below it: checked as a whole, then restored; refused means unchanged.

use super::GenericPcieSwitch;
use state::DownstreamPortSavedState;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

mod state {
    use crate::port::ConfigState;
    use crate::port::saved_port;
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

    saved_port!("pcie.switch", DownstreamPortSavedState);
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
                .map(Into::into)
                .collect(),
        })
    }

    fn check(&mut self, state: &Self::SavedState) -> Result<(), RestoreError> {
        self.upstream_port
            .cfg_space
            .check(&state.upstream_cfg_space)
            .map_err(|error| error.in_child(self.name.to_string()))?;
        let ports: Vec<_> = state
            .downstream_ports
            .iter()
            .map(DownstreamPortSavedState::look_at)
            .collect();
        self.downstream_ports.check_ports(&ports)
    }

    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
        self.check(&state)?;
        let upstream = state.upstream_cfg_space;
        let ports = state.downstream_ports.into_iter().map(Into::into).collect();
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
