//! The states of a bus's functions, checked as a whole before any is restored.

use super::Occupant;
use super::PortSet;
use crate::MAX_FUNCTIONS_PER_BUS;
use crate::port::PortState;
use crate::port::PortStateRef;
use anyhow::anyhow;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;

impl PortSet {
    pub(crate) fn save_ports(&mut self) -> Result<Vec<(u8, PortState)>, SaveError> {
        let mut states = Vec::with_capacity(self.functions.len());
        self.save_each_port(|port| states.push(port))?;
        Ok(states)
    }

    /// Saves the ports one after the other.
    pub(crate) fn save_each_port(
        &mut self,
        mut each: impl FnMut((u8, PortState)),
    ) -> Result<(), SaveError> {
        for (devfn, port) in self.ports_mut() {
            let state = port
                .save_state()
                .map_err(|error| error.in_child(port.name.clone()))?;
            each((devfn, state));
        }
        Ok(())
    }

    /// Says whether the ports would take these states: one for each, and each fits.
    pub(crate) fn check_ports(
        &mut self,
        states: &[(u8, PortStateRef<'_>)],
    ) -> Result<(), RestoreError> {
        let invalid = |error| Err(RestoreError::InvalidSavedState(error));
        let (saved, live) = (states.len(), self.ports().count());
        if saved != live {
            return invalid(anyhow!(
                "{saved} ports in the saved state; there are {live}"
            ));
        }
        let mut seen = [false; MAX_FUNCTIONS_PER_BUS];
        for (devfn, state) in states {
            if let Some(seen) = seen.get_mut(usize::from(*devfn))
                && std::mem::replace(seen, true)
            {
                return invalid(anyhow!("port {devfn:#04x} is twice in the saved state"));
            }
            let Some(port) = self.port_at(*devfn) else {
                return invalid(anyhow!(
                    "the saved state has port {devfn:#04x}, which does not exist"
                ));
            };
            let name = port.name.clone();
            port.check_state(state)
                .map_err(|error| error.in_child(name))?;
        }
        Ok(())
    }

    /// Restores states that were checked. The caller refreshes afterwards.
    ///
    /// Should a device refuse its state all the same, what was restored goes back. What refused is as it was already, and is
    /// not asked again: else every level of a hierarchy would double the work.
    pub(crate) fn restore_ports(
        &mut self,
        states: Vec<(u8, PortState)>,
    ) -> Result<(), RestoreError> {
        let mut before = self
            .save_ports()
            .map_err(|error| RestoreError::Other(error.into()))?;
        let mut restored = Vec::with_capacity(states.len());
        for (devfn, state) in states {
            if let Err(error) = self.restore_port(devfn, state) {
                before.retain(|(devfn, _)| restored.contains(devfn));
                for (devfn, state) in before {
                    self.restore_port(devfn, state)?;
                }
                return Err(error);
            }
            restored.push(devfn);
        }
        Ok(())
    }

    fn restore_port(&mut self, devfn: u8, state: PortState) -> Result<(), RestoreError> {
        match self.port_at(devfn) {
            Some(port) => port
                .restore_state(state)
                .map_err(|error| error.in_child(port.name.clone())),
            None => Ok(()),
        }
    }

    pub(crate) fn save_integrated(&mut self) -> Result<Vec<IntegratedState>, SaveError> {
        let mut states = Vec::new();
        for function in &mut self.functions {
            if let Occupant::Integrated { name, device } = &mut function.occupant
                && let Some(device) = device.managed()
            {
                let device = device
                    .save()
                    .map_err(|error| error.in_child(name.to_string()))?;
                states.push(IntegratedState {
                    device_function: function.devfn,
                    device,
                });
            }
        }
        Ok(states)
    }

    pub(crate) fn check_integrated(
        &mut self,
        states: &[IntegratedState],
    ) -> Result<(), RestoreError> {
        let invalid = |error| Err(RestoreError::InvalidSavedState(error));
        let live = self
            .functions
            .iter_mut()
            .filter_map(|f| match &mut f.occupant {
                Occupant::Integrated { device, .. } => device.managed(),
                Occupant::Port(_) => None,
            });
        let (saved, live) = (states.len(), live.count());
        if saved != live {
            return invalid(anyhow!(
                "{saved} integrated endpoints in the saved state; there are {live}"
            ));
        }
        let mut seen = [false; MAX_FUNCTIONS_PER_BUS];
        for state in states {
            let devfn = state.device_function;
            if let Some(seen) = seen.get_mut(usize::from(devfn))
                && std::mem::replace(seen, true)
            {
                return invalid(anyhow!(
                    "the endpoint at {devfn:#04x} is twice in the saved state"
                ));
            }
            let Some(Occupant::Integrated { name, device }) = self.at(devfn) else {
                return invalid(anyhow!(
                    "the saved state has an endpoint at {devfn:#04x}, where there is none"
                ));
            };
            let Some(device) = device.managed() else {
                return invalid(anyhow!(
                    "the endpoint '{name}' is not saved with the root complex; the saved state has it"
                ));
            };
            device
                .check(&state.device)
                .map_err(|error| error.in_child(name.to_string()))?;
        }
        Ok(())
    }

    pub(crate) fn restore_integrated(
        &mut self,
        states: Vec<IntegratedState>,
    ) -> Result<(), RestoreError> {
        for state in states {
            if let Some(Occupant::Integrated { name, device }) = self.at(state.device_function)
                && let Some(device) = device.managed()
            {
                device
                    .restore(state.device)
                    .map_err(|error| error.in_child(name.to_string()))?;
            }
        }
        Ok(())
    }
}

mod integrated {
    use mesh_protobuf::Protobuf;
    use vmcore::save_restore::SavedStateBlob;

    /// An endpoint on the root bus whose lifecycle is the root complex's.
    #[derive(Clone, Protobuf)]
    #[mesh(package = "pcie.root")]
    pub struct IntegratedState {
        #[mesh(1)]
        pub device_function: u8,
        #[mesh(2)]
        pub device: SavedStateBlob,
    }
}

pub(crate) use integrated::IntegratedState;
