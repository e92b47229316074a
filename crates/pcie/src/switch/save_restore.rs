//! Saving and restoring a switch and all below it: checked as a whole, then restored; refused means unchanged.

use super::GenericPcieSwitch;
use crate::port::ConfigState;
use crate::port::PortState;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;
use vmcore::save_restore::SavedStateBlob;

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

    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
        let Checked { upstream, ports } = self.check_whole(state)?;
        let cfg_space = &mut self.upstream_port.cfg_space;
        let before = cfg_space
            .save()
            .map_err(|error| RestoreError::Other(error.into()))?;
        cfg_space.restore(upstream)?;
        let restored = self.downstream_ports.restore_ports(ports);
        if restored.is_err() {
            self.upstream_port.cfg_space.restore(before)?;
        }
        self.refresh_routes();
        restored
    }
}

/// A state whose parts were all found to fit.
struct Checked {
    upstream: ConfigState,
    ports: Vec<(u8, PortState)>,
}

impl GenericPcieSwitch {
    /// Says whether an encoded state would be taken.
    pub(super) fn check_blob(&mut self, state: &SavedStateBlob) -> Result<(), RestoreError> {
        self.check_whole(state.parse()?).map(|_| ())
    }

    fn check_whole(&mut self, state: state::SavedState) -> Result<Checked, RestoreError> {
        let upstream = state.upstream_cfg_space;
        self.upstream_port
            .cfg_space
            .check(&upstream)
            .map_err(|error| error.in_child(self.name.to_string()))?;
        let ports: Vec<_> = state.downstream_ports.into_iter().map(from_saved).collect();
        self.downstream_ports.check_ports(&ports)?;
        Ok(Checked { upstream, ports })
    }
}
