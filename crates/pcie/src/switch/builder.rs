//! Composing a switch.

use super::GenericPcieSwitch;
use super::UpstreamSwitchPort;
use crate::ComposeError;
use crate::DOWNSTREAM_SWITCH_PORT_DEVICE_ID;
use crate::PortBars;
use crate::PortConfig;
use crate::PortOptions;
use crate::compose::check_places;
use crate::compose::compose_ports;
use crate::port_set::PortSet;
use chipset_device::mmio::RegisterMmioIntercept;
use pci_bus::Fabric;
use pci_bus::Upstream;
use pci_core::msi::MsiTarget;
use pci_core::spec::caps::pci_express::DevicePortType;
use std::sync::Arc;

/// What a switch is composed from.
///
/// ```
/// use pci_core::msi::MsiTarget;
/// use pcie::{PortConfig, switch::SwitchConfig};
///
/// let mut config = SwitchConfig::new("sw0");
/// config.ports = (0..12).map(|i| PortConfig::new(format!("sw0-dsp{i}"), i, 0)).collect();
/// let switch = config.build(&MsiTarget::disconnected(), None)?;
/// assert_eq!(switch.downstream_ports()[11].port_number, 11 << 3);
///
/// let mut config = SwitchConfig::new("sw1");
/// config.ports = vec![PortConfig::new("a", 0, 0), PortConfig::new("b", 0, 0)];
/// let error = config.build(&MsiTarget::disconnected(), None).err().unwrap();
/// assert_eq!(error.to_string(), "'b' is at 00.0, where 'a' is");
/// # Ok::<(), pcie::ComposeError>(())
/// ```
#[derive(Debug)]
pub struct SwitchConfig {
    /// Its name.
    pub name: Arc<str>,
    /// Further settings of the upstream port; its serial number is the switch's, and it has no slot.
    pub upstream: PortOptions,
    /// BARs and an expansion ROM of the upstream port, and what answers behind them.
    pub upstream_bars: PortBars,
    /// The downstream ports.
    pub ports: Vec<PortConfig>,
}

impl SwitchConfig {
    /// A switch without downstream ports.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            upstream: PortOptions::default(),
            upstream_bars: PortBars::default(),
            ports: Vec::new(),
        }
    }

    /// Composes the switch. `msi_target` is that of function 0 on the bus the switch is attached to; its downstream ports'
    /// interrupts come from the bus below. `register_mmio` is needed for ports with BARs.
    ///
    /// # Errors
    ///
    /// [`ComposeError`] names the port and what cannot be.
    pub fn build(
        self,
        msi_target: &MsiTarget,
        register_mmio: Option<&mut dyn RegisterMmioIntercept>,
    ) -> Result<GenericPcieSwitch, ComposeError> {
        self.build_gated(msi_target, register_mmio, true)
    }

    fn build_gated(
        self,
        msi_target: &MsiTarget,
        register_mmio: Option<&mut dyn RegisterMmioIntercept>,
        gates_messages: bool,
    ) -> Result<GenericPcieSwitch, ComposeError> {
        let places: Vec<_> = self
            .ports
            .iter()
            .map(|p| (p.name.clone(), p.device, p.function))
            .collect();
        check_places(&places)?;
        let upstream_port = UpstreamSwitchPort::with_msi(
            &self.name,
            msi_target,
            &self.upstream,
            self.upstream_bars,
            gates_messages,
        )?;
        let internal_bus = upstream_port.cfg_space.bus_range();
        let functions = compose_ports(
            DevicePortType::DownstreamSwitchPort,
            DOWNSTREAM_SWITCH_PORT_DEVICE_ID,
            self.ports,
            |device| places.iter().any(|(_, d, f)| *d == device && *f != 0),
            |devfn| msi_target.with_bus_range(internal_bus.clone(), devfn),
            gates_messages,
            register_mmio,
        )?;
        let mut switch = GenericPcieSwitch {
            name: self.name,
            upstream_port,
            downstream_ports: PortSet::new(functions),
            below: Upstream::open(),
            fabric: Fabric::default(),
        };
        switch.hand_down();
        Ok(switch)
    }

    /// Composes a switch whose ports are known to be sound.
    #[expect(
        clippy::panic,
        reason = "the caller numbers the ports itself, and gives them neither BARs nor CXL"
    )]
    pub(super) fn build_unchecked(self, msi_target: &MsiTarget) -> GenericPcieSwitch {
        match self.build_gated(msi_target, None, false) {
            Ok(switch) => switch,
            Err(error) => panic!("{error}"),
        }
    }
}
