//! A switch's upstream port.

use crate::PortError;
use crate::PortOptions;
use crate::UPSTREAM_SWITCH_PORT_DEVICE_ID;
use crate::compose::bridge_ids;
use crate::port;
use crate::port::PortIntx;
use crate::port::modern;
use inspect::Inspect;
use pci_core::capabilities::PciCapability;
use pci_core::capabilities::extended::PciExtendedCapability;
use pci_core::capabilities::extended::fixed::FixedExtendedCapability;
use pci_core::capabilities::msi_cap::MsiCapability;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::cfg_space_emu::ConfigSpaceType1Emulator;
use pci_core::cfg_space_emu::DeviceBars;
use pci_core::msi::MsiTarget;
use pci_core::spec::caps::pci_express::DevicePortType;

/// A switch's upstream port.
#[derive(Inspect)]
pub struct UpstreamSwitchPort {
    #[inspect(flatten)]
    pub(super) cfg_space: ConfigSpaceType1Emulator,
    #[inspect(skip)]
    pub(super) intx: PortIntx,
}

impl Default for UpstreamSwitchPort {
    fn default() -> Self {
        Self::new()
    }
}

impl UpstreamSwitchPort {
    /// A port with a PCI Express capability only: it raises no interrupts.
    pub fn new() -> Self {
        let capabilities: Vec<Box<dyn PciCapability>> = vec![Box::new(PciExpressCapability::new(
            DevicePortType::UpstreamSwitchPort,
            None,
        ))];
        let mut cfg_space = ConfigSpaceType1Emulator::new(
            bridge_ids(UPSTREAM_SWITCH_PORT_DEVICE_ID),
            capabilities,
            vec![],
        );
        let intx = PortIntx::new(&mut cfg_space, None);
        Self { cfg_space, intx }
    }

    /// A port with MSI to `msi_target`, and the capabilities that `options` asks for.
    pub(super) fn with_msi(
        switch: &str,
        msi_target: &MsiTarget,
        options: &PortOptions,
        gates_messages: bool,
    ) -> Result<Self, PortError> {
        let msi = MsiCapability::new(0, true, false, msi_target);
        let link = PortOptions {
            ari_forwarding: false,
            ..options.clone()
        };
        let pcie = port::pci_express(switch, DevicePortType::UpstreamSwitchPort, None, &link)?;
        let mut capabilities: Vec<Box<dyn PciCapability>> = vec![Box::new(pcie), Box::new(msi)];
        capabilities.extend(modern::legacy(options));
        let serial = options
            .serial_number
            .map(FixedExtendedCapability::device_serial_number);
        let mut extended: Vec<_> = serial
            .into_iter()
            .map(|serial| Box::new(serial) as Box<dyn PciExtendedCapability>)
            .collect();
        extended.extend(modern::extended(
            DevicePortType::UpstreamSwitchPort,
            options,
            None,
        ));
        let ids = bridge_ids(UPSTREAM_SWITCH_PORT_DEVICE_ID);
        let mut cfg_space =
            ConfigSpaceType1Emulator::try_new(ids, capabilities, extended, DeviceBars::new())
                .map_err(|source| PortError::ConfigSpace {
                    port: switch.to_owned(),
                    source,
                })?;
        if let Some(addressing) = options.io_window {
            cfg_space = cfg_space.with_io_window(addressing);
        }
        if gates_messages {
            cfg_space = cfg_space.with_bus_master_gate();
        }
        if options.standard_registers {
            cfg_space = cfg_space.with_standard_header();
        }
        let intx = PortIntx::new(&mut cfg_space, options.interrupt_pin);
        Ok(Self { cfg_space, intx })
    }

    /// Its configuration space.
    pub fn cfg_space(&self) -> &ConfigSpaceType1Emulator {
        &self.cfg_space
    }

    /// Its configuration space. What is written past the switch does not reach its routing: write through the switch.
    pub fn cfg_space_mut(&mut self) -> &mut ConfigSpaceType1Emulator {
        &mut self.cfg_space
    }
}
