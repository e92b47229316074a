//! A switch's upstream port.

use crate::PortBars;
use crate::PortError;
use crate::PortOptions;
use crate::UPSTREAM_SWITCH_PORT_DEVICE_ID;
use crate::compose::bridge_ids;
use crate::port;
use crate::port::OwnRegisters;
use crate::port::PortIntx;
use crate::port::modern;
use chipset_device::io::IoResult;
use inspect::Inspect;
use pci_core::capabilities::PciCapability;
use pci_core::capabilities::extended::PciExtendedCapability;
use pci_core::capabilities::extended::fixed::FixedExtendedCapability;
use pci_core::capabilities::msi_cap::MsiCapability;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::cfg_space_emu::ConfigSpaceType1Emulator;
use pci_core::msi::MsiTarget;
use pci_core::spec::caps::pci_express::DevicePortType;

/// A switch's upstream port.
pub struct UpstreamSwitchPort {
    pub(super) cfg_space: ConfigSpaceType1Emulator,
    pub(super) intx: PortIntx,
    pub(super) own: OwnRegisters,
}

impl Inspect for UpstreamSwitchPort {
    fn inspect(&self, req: inspect::Request<'_>) {
        let mut resp = req.respond();
        resp.merge(&self.cfg_space);
        if let Some(registers) = self.own.shown() {
            resp.field("registers", registers);
        }
    }
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
        let own = OwnRegisters::default();
        Self {
            cfg_space,
            intx,
            own,
        }
    }

    /// A port with MSI to `msi_target`, and the capabilities that `options` asks for.
    pub(super) fn with_msi(
        switch: &str,
        msi_target: &MsiTarget,
        options: &PortOptions,
        bars: PortBars,
        gates_messages: bool,
    ) -> Result<Self, PortError> {
        port::check_own_bars(switch, &bars, None)?;
        let (bars, own) = bars.into_parts();
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
        let mut cfg_space = ConfigSpaceType1Emulator::try_new(ids, capabilities, extended, bars)
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
        Ok(Self {
            cfg_space,
            intx,
            own,
        })
    }

    /// Its configuration space.
    pub fn cfg_space(&self) -> &ConfigSpaceType1Emulator {
        &self.cfg_space
    }

    /// Its configuration space. What is written past the switch does not reach its routing: write through the switch.
    pub fn cfg_space_mut(&mut self) -> &mut ConfigSpaceType1Emulator {
        &mut self.cfg_space
    }

    /// Reads memory that a BAR of the port or its expansion ROM claims.
    pub(super) fn mmio_read(&mut self, address: u64, data: &mut [u8]) -> Option<IoResult> {
        let (bar, offset) = self.cfg_space.find_bar(address)?;
        Some(self.own.read(bar, offset, data))
    }

    /// Writes memory that a BAR of the port or its expansion ROM claims.
    pub(super) fn mmio_write(&mut self, address: u64, data: &[u8]) -> Option<IoResult> {
        let (bar, offset) = self.cfg_space.find_bar(address)?;
        Some(self.own.write(bar, offset, data))
    }

    /// Reads from I/O ports that a BAR of the port claims.
    pub(super) fn io_read(&mut self, port: u16, data: &mut [u8]) -> Option<IoResult> {
        let (bar, offset) = self.cfg_space.find_io_bar(port)?;
        Some(self.own.io_read(bar, offset, data))
    }

    /// Writes to I/O ports that a BAR of the port claims.
    pub(super) fn io_write(&mut self, port: u16, data: &[u8]) -> Option<IoResult> {
        let (bar, offset) = self.cfg_space.find_io_bar(port)?;
        Some(self.own.io_write(bar, offset, data))
    }
}
