//! Adding devices to hot-plug slots, and removing them; what an operator does to slots.

use super::Bus;
use super::Extent;
use super::FunctionKind;
use super::Hierarchy;
use super::Node;
use crate::DeviceFactory;
use crate::EndpointSpec;
use crate::NoDevices;
use crate::Platform;
use crate::Problems;
use crate::Seat;
use crate::compose::Registration;
use crate::compose::compose_device;
use crate::name::nearest;
use crate::name::suggestion;
use crate::validate;
use crate::validate::Above;
use crate::validate::PortTraits;
use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use chipset_device::mmio::RegisterMmioIntercept;
use chipset_device::pio::ExternallyManagedPortIoIntercepts;
use pci_bus::Acknowledgement;
use pci_bus::GenericPciBusDevice;
use pci_bus::HotPlugPort;
use pci_bus::SlotGoal;
use pci_core::bus_range::AssignedBusRange;
use pci_core::msi::MsiTarget;

/// What cannot be done to a slot. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum PlugError {
    /// No port has this name.
    #[error("no port is named '{name}'{}", suggestion(.nearest))]
    UnknownPort {
        /// The name.
        name: String,
        /// The ports whose names are nearest, the nearest first.
        nearest: Vec<String>,
    },
    /// The port has no hot-plug slot.
    #[error("port '{port}' has no hot-plug slot; give it a `slot` number")]
    NoSlot {
        /// The port.
        port: String,
    },
    /// There is a device in the slot.
    #[error("port '{port}' is occupied by '{device}'")]
    Occupied {
        /// The port.
        port: String,
        /// The device.
        device: String,
    },
    /// There is no device in the slot.
    #[error("port '{port}' is empty")]
    Empty {
        /// The port.
        port: String,
    },
    /// Something has this name already.
    #[error("the name '{name}' is in use")]
    NameInUse {
        /// The name.
        name: String,
    },
    /// The endpoint's description has mistakes; places are relative to it.
    #[error("the endpoint's description has mistakes:\n{0}")]
    Endpoint(#[from] Problems),
    /// The slot has no such part, or its interlock holds the device; or the root complex was changed past the hierarchy, and has no such
    /// port, or would not have the device.
    #[error("port '{port}': {reason}")]
    Refused {
        /// The port.
        port: String,
        /// Why.
        reason: String,
    },
}

/// A port that was found.
struct Slot {
    index: usize,
    below: AssignedBusRange,
    traits: PortTraits,
}

impl Hierarchy {
    /// Composes an endpoint and plugs it into a port anywhere in the hierarchy, and tells the guest. The monitor forwards the
    /// accesses to its BARs to the root complex by itself; see [`Self::plug_registered`].
    ///
    /// # Errors
    ///
    /// [`PlugError`]: no such port, no hot-plug slot, slot occupied, name in use, or mistakes in the description.
    pub fn plug(&mut self, port_name: &str, endpoint: &EndpointSpec) -> Result<(), PlugError> {
        self.plug_registered(&mut ExternallyManagedMmioIntercepts, port_name, endpoint)
    }

    /// As [`Self::plug`], with the endpoint's memory BARs registered.
    ///
    /// # Errors
    ///
    /// As [`Self::plug`].
    pub fn plug_registered(
        &mut self,
        register_mmio: &mut dyn RegisterMmioIntercept,
        port_name: &str,
        endpoint: &EndpointSpec,
    ) -> Result<(), PlugError> {
        self.plug_on(Platform::new(register_mmio), port_name, endpoint)
    }

    /// As [`Self::plug_registered`], with an endpoint of a kind other than `"test"` from `devices`.
    ///
    /// # Errors
    ///
    /// As [`Self::plug`], and when `devices` can't make the endpoint.
    pub fn plug_with(
        &mut self,
        register_mmio: &mut dyn RegisterMmioIntercept,
        devices: &mut dyn DeviceFactory,
        port_name: &str,
        endpoint: &EndpointSpec,
    ) -> Result<(), PlugError> {
        let platform = Platform {
            devices: Some(devices),
            ..Platform::new(register_mmio)
        };
        self.plug_on(platform, port_name, endpoint)
    }

    /// As [`Self::plug_with`], with the endpoint's I/O BARs registered as well, where `platform` takes them. Its interrupts go where
    /// those of the hierarchy go: what the platform says of messages and INTx lines was for [`Topology::compose_on`].
    ///
    /// # Errors
    ///
    /// As [`Self::plug_with`].
    ///
    /// [`Topology::compose_on`]: crate::Topology::compose_on
    pub fn plug_on(
        &mut self,
        platform: Platform<'_>,
        port_name: &str,
        endpoint: &EndpointSpec,
    ) -> Result<(), PlugError> {
        let Platform {
            register_mmio,
            register_pio,
            devices,
            ..
        } = platform;
        let slot = self.vacant_slot(port_name, &endpoint.name)?;
        validate::endpoint(endpoint, Above::Port(slot.traits))?;
        let complex = self.nodes.get(slot.index).map_or(0, |node| node.complex);
        let target = self
            .msi_target_of(complex)
            .with_bus_range(slot.below.clone(), 0);
        let seat = Seat::BehindPort;
        let (mut unregistered, mut no_devices) = (ExternallyManagedPortIoIntercepts, NoDevices);
        let mut register = Registration {
            mmio: register_mmio,
            pio: register_pio.unwrap_or(&mut unregistered),
        };
        let devices = devices.unwrap_or(&mut no_devices);
        let device = compose_device(endpoint, seat, &target, &mut register, devices)
            .map_err(|error| Problems::one("endpoint", error))?;
        let extent = Extent::of(endpoint);
        self.insert(slot, port_name, &endpoint.name, device, extent)
    }

    /// Plugs a device from elsewhere into a port anywhere in the hierarchy, and tells the guest.
    ///
    /// # Errors
    ///
    /// [`PlugError`]: no such port, no hot-plug slot, slot occupied, or name in use.
    pub fn plug_device(
        &mut self,
        port_name: &str,
        device_name: &str,
        device: Box<dyn GenericPciBusDevice>,
    ) -> Result<(), PlugError> {
        let slot = self.vacant_slot(port_name, device_name)?;
        self.insert(slot, port_name, device_name, device, Extent::Device)
    }

    /// Removes what is plugged into a port anywhere in the hierarchy, with all below, and tells the guest.
    ///
    /// # Errors
    ///
    /// [`PlugError`]: no such port, no hot-plug slot, slot empty, or the slot's interlock holds the device.
    pub fn unplug(&mut self, port_name: &str) -> Result<(), PlugError> {
        let slot = self.slot(port_name)?;
        let (complex, path) = self
            .nodes
            .get(slot.index)
            .map(|node| (node.complex, node.path.clone()))
            .unwrap_or_default();
        if !self.nodes.iter().any(|node| node.is_below(&path)) {
            return Err(PlugError::Empty {
                port: port_name.to_owned(),
            });
        }
        if let Some(complex) = self.complexes.get_mut(complex) {
            complex
                .root
                .hotplug_remove_device(port_name)
                .map_err(|error| refused(port_name, &error))?;
        }
        self.nodes.retain(|node| !node.is_below(&path));
        Ok(())
    }

    /// Asks the guest, by the attention button, to let go what is plugged into a port. When [`Self::removal_permitted`] says that it did,
    /// [`Self::unplug`] removes it in order.
    ///
    /// # Errors
    ///
    /// [`PlugError`]: no such port, no hot-plug slot, slot empty, or no attention button.
    pub fn request_removal(&mut self, port_name: &str) -> Result<(), PlugError> {
        self.operate(port_name, |port| port.request_removal())
    }

    /// As [`Self::request_removal`], and says when the guest let go, so that the caller can await it, or wait and time out. Waiting must
    /// not keep the hierarchy locked: the guest needs it.
    ///
    /// # Errors
    ///
    /// As [`Self::request_removal`].
    pub fn begin_removal(&mut self, port_name: &str) -> Result<Acknowledgement, PlugError> {
        self.operate(port_name, |port| port.begin_removal())
    }

    /// Says when the guest took in, or let go, what is plugged into a port.
    ///
    /// # Errors
    ///
    /// [`PlugError`]: no such port, no hot-plug slot, or slot empty.
    pub fn acknowledgement(
        &mut self,
        port_name: &str,
        goal: SlotGoal,
    ) -> Result<Acknowledgement, PlugError> {
        self.operate(port_name, |port| port.acknowledgement(goal))
    }

    /// Whether the guest let go what is plugged into a port: power is off, the power indicator is dark and the interlock is released, as
    /// far as the slot has these.
    ///
    /// # Errors
    ///
    /// [`PlugError`]: no such port, or no hot-plug slot.
    pub fn removal_permitted(&mut self, port_name: &str) -> Result<bool, PlugError> {
        self.operate(port_name, |port| Ok(port.removal_permitted()))
    }

    /// Presses a slot's attention button: asks the guest to take in what was plugged in, or to let it go.
    ///
    /// # Errors
    ///
    /// [`PlugError`]: no such port, no hot-plug slot, or no attention button.
    pub fn press_attention_button(&mut self, port_name: &str) -> Result<(), PlugError> {
        self.operate(port_name, |port| port.press_attention_button())
    }

    /// Opens or closes a slot's retention latch.
    ///
    /// # Errors
    ///
    /// [`PlugError`]: no such port, no hot-plug slot, or no MRL sensor.
    pub fn set_mrl(&mut self, port_name: &str, open: bool) -> Result<(), PlugError> {
        self.operate(port_name, |port| port.set_mrl(open))
    }

    /// Lets a slot's power controller find a fault.
    ///
    /// # Errors
    ///
    /// [`PlugError`]: no such port, no hot-plug slot, or no power controller.
    pub fn power_fault(&mut self, port_name: &str) -> Result<(), PlugError> {
        self.operate(port_name, |port| port.power_fault())
    }

    fn operate<T>(
        &mut self,
        port_name: &str,
        operation: impl FnOnce(&mut dyn HotPlugPort) -> anyhow::Result<T>,
    ) -> Result<T, PlugError> {
        let slot = self.slot(port_name)?;
        let complex = self.nodes.get(slot.index).map_or(0, |node| node.complex);
        self.complexes
            .get_mut(complex)
            .ok_or_else(|| anyhow::anyhow!("its root complex is gone"))
            .and_then(|complex| complex.root.port_named(port_name))
            .and_then(operation)
            .map_err(|error| refused(port_name, &error))
    }

    /// Where the interrupts of function 0 of a device behind a port go: for composing one to [`Self::plug_device`].
    ///
    /// # Errors
    ///
    /// [`PlugError::UnknownPort`].
    pub fn msi_target(&self, port_name: &str) -> Result<MsiTarget, PlugError> {
        let (_, node) = self.port(port_name)?;
        let below = match &node.extent {
            Extent::Port { below, .. } => below.clone(),
            Extent::Upstream | Extent::Endpoint { .. } | Extent::Device => AssignedBusRange::new(),
        };
        Ok(self.msi_target_of(node.complex).with_bus_range(below, 0))
    }

    fn port(&self, name: &str) -> Result<(usize, &Node), PlugError> {
        let found = self
            .nodes
            .iter()
            .enumerate()
            .find(|(_, node)| node.is_port() && node.name == name);
        found.ok_or_else(|| PlugError::UnknownPort {
            name: name.to_owned(),
            nearest: nearest(
                name,
                self.nodes
                    .iter()
                    .filter(|node| node.is_port())
                    .map(|node| &*node.name),
            ),
        })
    }

    fn slot(&self, port_name: &str) -> Result<Slot, PlugError> {
        match self.port(port_name)? {
            (
                index,
                Node {
                    extent:
                        Extent::Port {
                            below,
                            traits,
                            hot_plug: true,
                        },
                    ..
                },
            ) => Ok(Slot {
                index,
                below: below.clone(),
                traits: *traits,
            }),
            _ => Err(PlugError::NoSlot {
                port: port_name.to_owned(),
            }),
        }
    }

    fn vacant_slot(&self, port_name: &str, device_name: &str) -> Result<Slot, PlugError> {
        let slot = self.slot(port_name)?;
        let path = self.nodes.get(slot.index).map_or("", |node| &node.path);
        if let Some(device) = self.nodes.iter().find(|node| node.is_below(path)) {
            return Err(PlugError::Occupied {
                port: port_name.to_owned(),
                device: device.name.clone(),
            });
        }
        let names = self.nodes.iter().map(|node| &node.name);
        if names
            .chain(self.complexes.iter().map(|complex| &complex.name))
            .any(|name| name == device_name)
        {
            return Err(PlugError::NameInUse {
                name: device_name.to_owned(),
            });
        }
        Ok(slot)
    }

    fn insert(
        &mut self,
        slot: Slot,
        port_name: &str,
        device_name: &str,
        device: Box<dyn GenericPciBusDevice>,
        extent: Extent,
    ) -> Result<(), PlugError> {
        let Some(port) = self.nodes.get(slot.index) else {
            return Ok(());
        };
        let node = Node {
            complex: port.complex,
            name: device_name.to_owned(),
            kind: FunctionKind::Endpoint,
            parent: Some(port.name.clone()),
            bus: Bus::Below(slot.below),
            devfn: 0,
            path: format!("{}/device", port.path),
            extent,
        };
        if let Some(complex) = self.complexes.get_mut(node.complex) {
            complex
                .root
                .hotplug_add_device(port_name, device_name, device)
                .map_err(|error| refused(port_name, &error))?;
        }
        self.nodes.insert(slot.index + 1, node);
        Ok(())
    }
}

fn refused(port: &str, error: &anyhow::Error) -> PlugError {
    PlugError::Refused {
        port: port.to_owned(),
        reason: error.root_cause().to_string(),
    }
}
