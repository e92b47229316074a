//! What an operator or the monitor does to a hierarchy, beside the guest's accesses.

use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use pcie_topology::DeviceFactory;
use pcie_topology::EndpointSpec;
use pcie_topology::Hierarchy;
use pcie_topology::PlugError;
use serde::Deserialize;
use serde::Serialize;
use vmcore::device_state::ChangeDeviceState;

/// One thing that is done to a hierarchy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Plugs an endpoint into a port.
    Plug {
        /// The port.
        port: String,
        /// The endpoint.
        endpoint: Box<EndpointSpec>,
    },
    /// Takes out what is plugged into a port.
    Unplug {
        /// The port.
        port: String,
    },
    /// Asks the guest, by the attention button, to let go what is plugged into a port.
    RequestRemoval {
        /// The port.
        port: String,
    },
    /// Presses a slot's attention button.
    AttentionButton {
        /// The port.
        port: String,
    },
    /// Opens or closes a slot's retention latch.
    Mrl {
        /// The port.
        port: String,
        /// It is open now.
        open: bool,
    },
    /// A slot's power controller finds a fault.
    PowerFault {
        /// The port.
        port: String,
    },
    /// The whole hierarchy is reset, as when the machine is.
    Reset,
    /// The machine was saved, which changes nothing.
    Save,
}

/// What was done and failed.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// The hierarchy refused it.
    #[error(transparent)]
    Refused(#[from] PlugError),
}

impl Operation {
    /// Does it. Devices that are plugged come from `devices`, but test endpoints; [`NoDevices`](pcie_topology::NoDevices) makes no others.
    ///
    /// # Errors
    ///
    /// [`OperationError::Refused`]: the hierarchy would not; nothing changed.
    pub fn perform(
        &self,
        hierarchy: &mut Hierarchy,
        devices: &mut dyn DeviceFactory,
    ) -> Result<(), OperationError> {
        match self {
            // The monitor dispatches by windows, and so takes no registrations.
            Self::Plug { port, endpoint } => hierarchy.plug_with(
                &mut ExternallyManagedMmioIntercepts,
                devices,
                port,
                endpoint,
            )?,
            Self::Unplug { port } => hierarchy.unplug(port)?,
            Self::RequestRemoval { port } => hierarchy.request_removal(port)?,
            Self::AttentionButton { port } => hierarchy.press_attention_button(port)?,
            Self::Mrl { port, open } => hierarchy.set_mrl(port, *open)?,
            Self::PowerFault { port } => hierarchy.power_fault(port)?,
            Self::Reset => {
                for complex in &mut hierarchy.complexes {
                    pollster::block_on(complex.root.reset());
                }
            }
            Self::Save => {}
        }
        Ok(())
    }
}
