//! Finds every function, numbering buses depth first without any reserve (PCIe 6.2 sections 7.3 and 6.13).
//!
//! Functions are left with decoding off and bridges with their windows closed.

use pci_spec::Bdf;
use pci_spec::caps::ari::{AriCapability, AriReg};
use pci_spec::caps::pci_express::{
    DeviceCapabilities2, DeviceControl2, DevicePortType, PciExpressCapabilities, PciExpressReg,
};
use pci_spec::caps::{CapabilityId, ExtendedCapabilityId};
use pci_spec::cfg_space::{Type0HeaderReg, Type1HeaderReg};

use crate::access::{Config, ConfigAccess, header, within};
use crate::hierarchy::{BusNumbers, Function};
use crate::host_bridge::HostBridge;
use crate::identify::{is_multi_function, read_function};
use crate::number;

/// What answered on a bus, and the devices that did not get ready.
#[derive(Default)]
pub(crate) struct Bus {
    pub(crate) functions: Vec<Function>,
    pub(crate) not_ready: Vec<u8>,
}

pub(crate) struct Scan<'a> {
    access: &'a mut dyn ConfigAccess,
    ready_attempts: u32,
    /// The next bus number to give out; past `last_bus` when there is none.
    next_bus: u16,
    last_bus: u8,
}

/// What matters of the port above a bus.
#[derive(Clone, Copy, Default)]
struct PortAbove {
    /// Only device 0 can be below it, as a link has one other end.
    link: bool,
    /// It supports ARI Forwarding: its function and PCI Express capability.
    ari: Option<(Bdf, u16)>,
}

/// What a read of the Vendor ID says.
enum Answer {
    Absent,
    NotReady,
    Present { vendor_id: u16, device_id: u16 },
}

/// Finds what is below the host bridge.
pub(crate) fn scan(access: &mut dyn ConfigAccess, host_bridge: &HostBridge) -> Bus {
    let buses = &host_bridge.apertures.buses;
    let mut scan = Scan {
        access,
        ready_attempts: host_bridge.options.ready_attempts.max(1),
        next_bus: u16::from(*buses.start()) + 1,
        last_bus: *buses.end(),
    };
    scan.bus(*buses.start(), PortAbove::default())
}

impl Scan<'_> {
    fn bus(&mut self, bus: u8, above: PortAbove) -> Bus {
        let mut found = Bus::default();
        if let Some(port) = above.ari {
            // A device that is not ARI would see the upper device numbers as its own.
            self.forward_ari(port, false);
        }
        let devices = if above.link { 1 } else { 32 };
        for device in 0..devices {
            self.device(bus, device << 3, above, &mut found);
        }
        // Every bridge on the bus has its numbers cleared by now, so none claims what the next one is given.
        for function in &mut found.functions {
            self.behind(function);
        }
        found
    }

    fn device(&mut self, bus: u8, devfn: u8, above: PortAbove, found: &mut Bus) {
        let Some(first) = self.function(Bdf::from_devfn(bus, devfn), found) else {
            return;
        };
        let multi_function = is_multi_function(&mut self.config(first.bdf));
        let ari_next = self.ari_next(&first);
        found.functions.push(first);
        match (above.ari, ari_next) {
            (Some(port), Some(next)) => {
                self.forward_ari(port, true);
                self.ari_functions(bus, next, found);
            }
            _ if multi_function => {
                for function in 1..=Bdf::FUNCTION_MAX {
                    let function = self.function(Bdf::from_devfn(bus, devfn | function), found);
                    found.functions.extend(function);
                }
            }
            _ => {}
        }
    }

    /// Follows the chain of an ARI device from function `next` on; it must ascend and ends with 0.
    fn ari_functions(&mut self, bus: u8, mut next: u8, found: &mut Bus) {
        let mut current = 0;
        while next > current {
            let Some(function) = self.function(Bdf::from_ari(bus, next), found) else {
                return;
            };
            current = next;
            next = self.ari_next(&function).unwrap_or(0);
            found.functions.push(function);
        }
    }

    /// The Next Function Number of an ARI device's function.
    fn ari_next(&mut self, function: &Function) -> Option<u8> {
        let ari = function.extended_capability(ExtendedCapabilityId::ARI)?;
        let mut config = self.config(function.bdf);
        let capability = config.read_u16(within(ari, AriReg::Capability));
        Some(AriCapability::from_bits(capability).next_function_number())
    }

    fn forward_ari(&mut self, (port, express): (Bdf, u16), on: bool) {
        let enable = DeviceControl2::new()
            .with_ari_forwarding_enable(true)
            .into_bits();
        let set = if on { enable } else { 0 };
        let device_control_2 = within(express, PciExpressReg::DeviceControl2);
        self.config(port).update_u16(device_control_2, enable, set);
    }

    fn function(&mut self, bdf: Bdf, found: &mut Bus) -> Option<Function> {
        match self.answer(bdf) {
            Answer::Absent => None,
            Answer::NotReady => {
                found.not_ready.push(bdf.devfn());
                None
            }
            Answer::Present {
                vendor_id,
                device_id,
            } => Some(read_function(&mut self.config(bdf), vendor_id, device_id)),
        }
    }

    /// Asks for the Vendor ID until the device is ready (PCIe 6.2 section 2.3.1).
    fn answer(&mut self, bdf: Bdf) -> Answer {
        let attempts = self.ready_attempts;
        let mut config = self.config(bdf);
        for attempt in 1..=attempts {
            let id = config.read_u32(header(Type0HeaderReg::VendorId));
            let (vendor_id, device_id) = ((id & 0xffff) as u16, (id >> 16) as u16);
            match vendor_id {
                0x0001 if attempt < attempts => config.wait(),
                0x0001 => {}
                0x0000 | 0xffff => return Answer::Absent,
                _ => {
                    return Answer::Present {
                        vendor_id,
                        device_id,
                    };
                }
            }
        }
        Answer::NotReady
    }

    /// Gives a bridge the next bus and scans what is behind it.
    fn behind(&mut self, function: &mut Function) {
        let above = self.port_above(function);
        let Some(bridge) = &mut function.bridge else {
            return;
        };
        let Some(secondary) = u8::try_from(self.next_bus)
            .ok()
            .filter(|bus| *bus <= self.last_bus)
        else {
            return;
        };
        // Until the last bus behind it is known, everything above goes through.
        let mut buses = BusNumbers {
            primary: function.bdf.bus(),
            secondary,
            subordinate: self.last_bus,
        };
        let mut config = Config::new(self.access, function.bdf);
        if let Err(refusal) = number::write(&mut config, buses) {
            number::clear(&mut config);
            bridge.refusal = Some(refusal);
            return;
        }
        self.next_bus += 1;
        let behind = self.bus(secondary, above);
        buses.subordinate = u8::try_from(self.next_bus - 1).unwrap_or(self.last_bus);
        self.config(function.bdf).write_u8(
            header(Type1HeaderReg::SubordinateBusNumber),
            buses.subordinate,
        );
        bridge.buses = Some(buses);
        bridge.functions = behind.functions;
        bridge.not_ready = behind.not_ready;
    }

    fn port_above(&mut self, function: &Function) -> PortAbove {
        let downstream = function.is_downstream_port();
        let express = function.capability(CapabilityId::PCI_EXPRESS);
        let ari = express.filter(|express| downstream && self.supports_ari(function.bdf, *express));
        PortAbove {
            link: downstream || function.port_type == Some(DevicePortType::PciToPcieBridge),
            ari: ari.map(|express| (function.bdf, express)),
        }
    }

    fn supports_ari(&mut self, port: Bdf, express: u16) -> bool {
        let mut config = self.config(port);
        let capabilities = config.read_u16(within(express, PciExpressReg::Capabilities));
        // The registers of version 1 end before Device Capabilities 2.
        if PciExpressCapabilities::from_bits(capabilities).capability_version() < 2 {
            return false;
        }
        let capabilities = config.read_u32(within(express, PciExpressReg::DeviceCapabilities2));
        DeviceCapabilities2::from_bits(capabilities).ari_forwarding_supported()
    }

    fn config(&mut self, bdf: Bdf) -> Config<'_> {
        Config::new(self.access, bdf)
    }
}
