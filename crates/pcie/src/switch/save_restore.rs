//! Saving and restoring a switch and all below it: checked as a whole, then restored; refused means unchanged.

use super::GenericPcieSwitch;
use super::UpstreamSwitchPort;
use state::DownstreamPortSavedState;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

mod state {
    use crate::port::ConfigState;
    use crate::port::saved_port;
    use mesh_protobuf::Protobuf;
    use vmcore::save_restore::SavedStateBlob;
    use vmcore::save_restore::SavedStateRoot;

    #[derive(Protobuf, SavedStateRoot)]
    #[mesh(package = "pcie.switch")]
    pub struct SavedState {
        #[mesh(1)]
        pub upstream_cfg_space: ConfigState,
        #[mesh(2)]
        pub downstream_ports: Vec<DownstreamPortSavedState>,
        /// What answers behind the upstream port's own BARs, if it has state.
        #[mesh(3)]
        pub upstream_registers: Option<SavedStateBlob>,
    }

    saved_port!("pcie.switch", DownstreamPortSavedState);
}

impl SaveRestore for GenericPcieSwitch {
    type SavedState = state::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        let in_port = |error: SaveError| error.in_child(self.name.to_string());
        let upstream = self.upstream_port.cfg_space.save().map_err(in_port)?;
        let upstream_registers = self.upstream_port.own.save().map_err(in_port)?;
        Ok(state::SavedState {
            upstream_cfg_space: upstream,
            downstream_ports: self
                .downstream_ports
                .save_ports()?
                .into_iter()
                .map(Into::into)
                .collect(),
            upstream_registers,
        })
    }

    fn check(&mut self, state: &Self::SavedState) -> Result<(), RestoreError> {
        let in_port = |error: RestoreError| error.in_child(self.name.to_string());
        let UpstreamSwitchPort { cfg_space, own, .. } = &mut self.upstream_port;
        cfg_space
            .check(&state.upstream_cfg_space)
            .map_err(in_port)?;
        let registers = state.upstream_registers.as_ref();
        own.check(&self.name, registers).map_err(in_port)?;
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
        let unsaved = |error: SaveError| RestoreError::Other(error.into());
        let UpstreamSwitchPort { cfg_space, own, .. } = &mut self.upstream_port;
        let before = cfg_space.save().map_err(unsaved)?;
        let own_before = own.save().map_err(unsaved)?;
        cfg_space.restore(upstream)?;
        let registers = own.restore(state.upstream_registers);
        // What is below restores itself under what comes through to it then.
        self.hand_down();
        let restored = registers.and_then(|()| self.downstream_ports.restore_ports(ports));
        if restored.is_err() {
            let UpstreamSwitchPort { cfg_space, own, .. } = &mut self.upstream_port;
            cfg_space.restore(before)?;
            own.restore(own_before)?;
            self.hand_down();
        }
        self.refresh_routes();
        restored
    }
}
