//! Saving and restoring what a port has besides its configuration space: component registers, and the device behind it.

use super::PcieDownstreamPort;
use anyhow::anyhow;
use cxl_spec::CxlComponentRegisters;
use pci_core::cfg_space_emu::ConfigSpaceType1Emulator;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;
use vmcore::save_restore::SavedStateBlob;

/// A port's configuration space.
pub(crate) type ConfigState = <ConfigSpaceType1Emulator as SaveRestore>::SavedState;
/// A port's component registers.
pub(crate) type CxlState = <CxlComponentRegisters as SaveRestore>::SavedState;

pub(crate) mod state {
    use mesh_protobuf::Protobuf;
    use vmcore::save_restore::SavedStateBlob;

    /// A device whose lifecycle is its port's.
    #[derive(Clone, Protobuf)]
    #[mesh(package = "pcie.port")]
    pub struct LinkedDeviceState {
        #[mesh(1)]
        pub name: String,
        #[mesh(2)]
        pub device: SavedStateBlob,
    }
}

use state::LinkedDeviceState;

/// What is saved of a port.
pub(crate) struct PortState {
    pub(crate) cfg_space: ConfigState,
    pub(crate) cxl_component_registers: Option<CxlState>,
    pub(crate) device: Option<LinkedDeviceState>,
    pub(crate) registers: Option<SavedStateBlob>,
}

/// A saved port to be looked at.
pub(crate) struct PortStateRef<'a> {
    pub(crate) cfg_space: &'a ConfigState,
    pub(crate) cxl_component_registers: Option<&'a CxlState>,
    pub(crate) device: Option<&'a LinkedDeviceState>,
    pub(crate) registers: Option<&'a SavedStateBlob>,
}

/// Declares the message of a saved port: root complexes and switches have one each, of the same fields.
macro_rules! saved_port {
    ($package:tt, $name:ident) => {
        /// A saved port.
        #[derive(Protobuf)]
        #[mesh(package = $package)]
        pub struct $name {
            #[mesh(1)]
            pub port_number: u8,
            #[mesh(2)]
            pub cfg_space: crate::port::ConfigState,
            #[mesh(3)]
            pub cxl_component_registers: Option<crate::port::CxlState>,
            /// The device behind the port, if its lifecycle is the port's.
            #[mesh(4)]
            pub device: Option<crate::port::LinkedDeviceState>,
            /// What answers behind the port's own BARs, if it has state.
            #[mesh(5)]
            pub registers: Option<vmcore::save_restore::SavedStateBlob>,
        }

        impl $name {
            pub(crate) fn look_at(&self) -> (u8, crate::port::PortStateRef<'_>) {
                let parts = crate::port::PortStateRef {
                    cfg_space: &self.cfg_space,
                    cxl_component_registers: self.cxl_component_registers.as_ref(),
                    device: self.device.as_ref(),
                    registers: self.registers.as_ref(),
                };
                (self.port_number, parts)
            }
        }

        impl From<$name> for (u8, crate::port::PortState) {
            fn from(saved: $name) -> Self {
                let parts = crate::port::PortState {
                    cfg_space: saved.cfg_space,
                    cxl_component_registers: saved.cxl_component_registers,
                    device: saved.device,
                    registers: saved.registers,
                };
                (saved.port_number, parts)
            }
        }

        impl From<(u8, crate::port::PortState)> for $name {
            fn from((port_number, parts): (u8, crate::port::PortState)) -> Self {
                Self {
                    port_number,
                    cfg_space: parts.cfg_space,
                    cxl_component_registers: parts.cxl_component_registers,
                    device: parts.device,
                    registers: parts.registers,
                }
            }
        }
    };
}
pub(crate) use saved_port;

fn invalid(error: anyhow::Error) -> RestoreError {
    RestoreError::InvalidSavedState(error)
}

impl PcieDownstreamPort {
    pub(crate) fn save_state(&mut self) -> Result<PortState, SaveError> {
        Ok(PortState {
            cfg_space: self.cfg_space.save()?,
            cxl_component_registers: self.save_cxl_component_registers_state()?,
            device: self.save_device()?,
            registers: self.own.save()?,
        })
    }

    /// Says whether the port would take a state.
    pub(crate) fn check_state(&mut self, state: &PortStateRef<'_>) -> Result<(), RestoreError> {
        self.cfg_space.check(state.cfg_space)?;
        self.check_cxl(state.cxl_component_registers)?;
        self.own.check(&self.name, state.registers)?;
        self.check_device(state.device)
    }

    /// Restores a state that was checked. Should the device refuse it all the same, the port is as before.
    pub(crate) fn restore_state(&mut self, state: PortState) -> Result<(), RestoreError> {
        let unsaved = |error: SaveError| RestoreError::Other(error.into());
        let cfg_space = self.cfg_space.save().map_err(unsaved)?;
        let cxl = self.save_cxl_component_registers_state().map_err(unsaved)?;
        let own = self.own.save().map_err(unsaved)?;
        let restored = self
            .restore_registers(state.cfg_space, state.cxl_component_registers)
            .and_then(|()| self.own.restore(state.registers))
            .and_then(|()| self.restore_device(state.device));
        if restored.is_err() {
            self.restore_registers(cfg_space, cxl)?;
            self.own.restore(own)?;
        }
        restored
    }

    fn restore_registers(
        &mut self,
        cfg_space: ConfigState,
        cxl: Option<CxlState>,
    ) -> Result<(), RestoreError> {
        let restored = self.cfg_space.restore(cfg_space);
        self.begin_link();
        self.ignore_events();
        restored?;
        self.restore_cxl_component_registers_state(cxl)
    }

    fn restore_device(&mut self, state: Option<LinkedDeviceState>) -> Result<(), RestoreError> {
        match (state, self.managed()) {
            (Some(saved), Some(device)) => device
                .restore(saved.device)
                .map_err(|e| e.in_child(saved.name)),
            _ => Ok(()),
        }
    }

    /// The state of the component registers, where the port has them.
    pub(crate) fn save_cxl_component_registers_state(
        &mut self,
    ) -> Result<Option<CxlState>, SaveError> {
        self.cxl_component_registers
            .as_mut()
            .map(|registers| registers.save())
            .transpose()
    }

    /// Restores the component registers.
    ///
    /// # Errors
    ///
    /// - the port has them and the state does not, or the other way round;
    /// - the registers refuse the state.
    pub(crate) fn restore_cxl_component_registers_state(
        &mut self,
        state: Option<CxlState>,
    ) -> Result<(), RestoreError> {
        self.check_cxl(state.as_ref())?;
        match (state, &mut self.cxl_component_registers) {
            (Some(state), Some(registers)) => registers.restore(state),
            _ => Ok(()),
        }
    }

    fn check_cxl(&mut self, state: Option<&CxlState>) -> Result<(), RestoreError> {
        let port = &self.name;
        match (state, &mut self.cxl_component_registers) {
            (Some(state), Some(registers)) => registers.check(state),
            (None, None) => Ok(()),
            (Some(_), None) => Err(invalid(anyhow!(
                "port '{port}' has no CXL component registers; the saved state has"
            ))),
            (None, Some(_)) => Err(invalid(anyhow!(
                "port '{port}' has CXL component registers; the saved state has not"
            ))),
        }
    }

    fn save_device(&mut self) -> Result<Option<LinkedDeviceState>, SaveError> {
        let Some((name, device)) = self.link.as_mut().or(self.cut_off.as_mut()) else {
            return Ok(None);
        };
        let Some(device) = device.managed() else {
            return Ok(None);
        };
        let device = device.save().map_err(|e| e.in_child(name.to_string()))?;
        Ok(Some(LinkedDeviceState {
            name: name.to_string(),
            device,
        }))
    }

    fn check_device(&mut self, state: Option<&LinkedDeviceState>) -> Result<(), RestoreError> {
        let port = &self.name;
        let live = self
            .link
            .as_mut()
            .or(self.cut_off.as_mut())
            .and_then(|(name, device)| Some((name, device.managed()?)));
        match (state, live) {
            (None, None) => Ok(()),
            (Some(saved), None) => Err(invalid(anyhow!(
                "port '{port}' must hold device '{}', as it did when saved",
                saved.name
            ))),
            (None, Some((name, _))) => Err(invalid(anyhow!(
                "port '{port}' holds device '{name}', which it did not when saved"
            ))),
            (Some(saved), Some((name, _))) if saved.name != **name => Err(invalid(anyhow!(
                "port '{port}' holds device '{name}'; it held '{}' when saved",
                saved.name
            ))),
            (Some(saved), Some((name, device))) => device
                .check(&saved.device)
                .map_err(|e| e.in_child(name.to_string())),
        }
    }
}
