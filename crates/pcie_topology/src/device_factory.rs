//! Endpoints of kinds that this crate does not know, made by whoever does.

use crate::EndpointSpec;
use crate::LinkSpec;
use crate::compose::link_config;
use chipset_device::mmio::RegisterMmioIntercept;
use chipset_device::pio::RegisterPortIoIntercept;
use pci_bus::GenericPciBusDevice;
use pci_core::capabilities::pci_express::LinkConfig;
use pci_core::msi::MsiTarget;
use serde::Deserialize;
use serde::Serialize;
use std::error::Error;

/// The kind of a [`TestEndpoint`](crate::TestEndpoint).
pub const TEST_KIND: &str = "test";

/// Where an endpoint is.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Seat {
    /// Behind a port.
    #[default]
    BehindPort,
    /// On the root bus, integrated in a root complex.
    RootBus {
        /// Whether its device has other functions.
        multi_function: bool,
    },
}

/// What a device is connected to.
pub struct DeviceConnections<'a> {
    /// Where it is.
    pub seat: Seat,
    /// Where its interrupts go.
    pub msi_target: &'a MsiTarget,
    /// Where its memory BARs and its expansion ROM are registered.
    pub register_mmio: &'a mut dyn RegisterMmioIntercept,
    /// Where its I/O BARs are registered.
    pub register_pio: &'a mut dyn RegisterPortIoIntercept,
}

/// Why a device was not made.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Nobody knows the kind.
    #[error("kind: {kind:?}; known are {}", kind_names(.known))]
    UnknownKind {
        /// The kind.
        kind: String,
        /// Those that the factory makes.
        known: Vec<String>,
    },
    /// Its options make no sense, or what they name can't be had.
    #[error(transparent)]
    Refused(Box<dyn Error + Send + Sync>),
}

impl DeviceError {
    /// The error of a device whose kind is neither that of test endpoints nor in `known`.
    pub fn unknown_kind(spec: &EndpointSpec, known: &[&str]) -> Self {
        Self::UnknownKind {
            kind: spec.kind.clone(),
            known: known.iter().map(|kind| (*kind).to_owned()).collect(),
        }
    }
}

fn kind_names(kinds: &[String]) -> String {
    let mut all = format!("{TEST_KIND:?}");
    for kind in kinds {
        all.push_str(&format!(", {kind:?}"));
    }
    all
}

/// Makes endpoints of kinds other than `"test"`.
///
/// The caller has validated the description. The implementor makes a device of one function, which implements
/// [`ManagedDevice`](pci_bus::ManagedDevice) if it is to be reset, saved and reached with the hierarchy.
pub trait DeviceFactory {
    /// Makes the device that `spec` asks for by its `kind` and `options`.
    ///
    /// # Errors
    ///
    /// - the factory doesn't know the kind;
    /// - the options make no sense, or what they name can't be had.
    fn create(
        &mut self,
        spec: &EndpointSpec,
        connections: DeviceConnections<'_>,
    ) -> Result<Box<dyn GenericPciBusDevice>, DeviceError>;
}

/// The factory that makes nothing: there are test endpoints alone.
#[derive(Copy, Clone, Debug, Default)]
pub struct NoDevices;

impl DeviceFactory for NoDevices {
    fn create(
        &mut self,
        spec: &EndpointSpec,
        _connections: DeviceConnections<'_>,
    ) -> Result<Box<dyn GenericPciBusDevice>, DeviceError> {
        Err(DeviceError::unknown_kind(spec, &[]))
    }
}

/// What an endpoint of a kind other than `"test"` is to be: a table whose meaning is the kind's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceOptions(pub toml::Table);

impl DeviceOptions {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// As they are written: so a number that is none equals itself.
impl PartialEq for DeviceOptions {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_string() == other.0.to_string()
    }
}

impl Eq for DeviceOptions {}

impl LinkSpec {
    /// The link as a capability is given it.
    pub fn config(self) -> LinkConfig {
        link_config(self)
    }
}
