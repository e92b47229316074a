//! Finds every function, numbering buses depth first without any reserve (PCIe 6.2 sections 7.3 and 6.13).
//!
//! Functions are left with decoding off and bridges with their windows closed.

use pci_spec::Bdf;

use crate::access::{Config, ConfigAccess};
use crate::bar::{self, Sized};
use crate::capability::{self, CapabilityId};
use crate::hierarchy::{
    AddressBits, Bridge, BusNumbers, Function, HeaderType, Implemented, PortType, Slot,
};
use crate::host_bridge::HostBridge;
use crate::number;
use crate::registers as r;
use crate::shortfall::Resource;

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
        let multi_function =
            self.config(first.bdf).read_u8(r::HEADER_TYPE) & r::HEADER_TYPE_MULTI_FUNCTION != 0;
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
        let ari = function.capability(CapabilityId::Extended(r::EXTENDED_CAPABILITY_ID_ARI))?;
        let [_, next] = self
            .config(function.bdf)
            .read_u16(ari + r::ARI_CAPABILITY)
            .to_le_bytes();
        Some(next)
    }

    fn forward_ari(&mut self, (port, express): (Bdf, u16), on: bool) {
        self.config(port).update_u16(
            express + r::EXPRESS_DEVICE_CONTROL_2,
            r::EXPRESS_DEVICE_CONTROL_2_ARI,
            if on {
                r::EXPRESS_DEVICE_CONTROL_2_ARI
            } else {
                0
            },
        );
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
            let id = config.read_u32(r::VENDOR_ID);
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
        self.config(function.bdf)
            .write_u8(r::TYPE1_SUBORDINATE_BUS, buses.subordinate);
        bridge.buses = Some(buses);
        bridge.functions = behind.functions;
        bridge.not_ready = behind.not_ready;
    }

    fn port_above(&mut self, function: &Function) -> PortAbove {
        let downstream = function.is_downstream_port();
        let express = function.capability(CapabilityId::Legacy(r::CAPABILITY_ID_PCI_EXPRESS));
        let ari = express.filter(|express| downstream && self.supports_ari(function.bdf, *express));
        PortAbove {
            link: downstream || function.port_type == Some(PortType::PciToExpressBridge),
            ari: ari.map(|express| (function.bdf, express)),
        }
    }

    fn supports_ari(&mut self, port: Bdf, express: u16) -> bool {
        let mut config = self.config(port);
        // The registers of version 1 end before Device Capabilities 2.
        let version =
            config.read_u16(express + r::EXPRESS_CAPABILITIES) & r::EXPRESS_CAPABILITIES_VERSION;
        let capabilities = config.read_u32(express + r::EXPRESS_DEVICE_CAPABILITIES_2);
        version >= 2 && capabilities & r::EXPRESS_DEVICE_CAPABILITIES_2_ARI != 0
    }

    fn config(&mut self, bdf: Bdf) -> Config<'_> {
        Config::new(self.access, bdf)
    }
}

/// Reads what a function is and asks for, turning its decoding off.
fn read_function(config: &mut Config<'_>, vendor_id: u16, device_id: u16) -> Function {
    let class = config.read_u32(r::REVISION_ID_CLASS_CODE);
    let header_type = HeaderType::from_bits(config.read_u8(r::HEADER_TYPE));
    let mut function = Function {
        bdf: config.bdf,
        vendor_id,
        device_id,
        revision_id: (class & 0xff) as u8,
        class_code: class >> 8,
        subsystem: None,
        header_type,
        port_type: None,
        slot: None,
        serial_number: None,
        capabilities: Vec::new(),
        bars: Vec::new(),
        rom: None,
        io_decode: false,
        memory_decode: false,
        bridge: None,
        faults: Vec::new(),
    };
    let (bars, rom) = match header_type {
        HeaderType::Type0 => (6, r::TYPE0_EXPANSION_ROM),
        HeaderType::Type1 => (2, r::TYPE1_EXPANSION_ROM),
        HeaderType::Other(_) => return function,
    };
    config.update_u16(r::COMMAND, r::COMMAND_IO_SPACE | r::COMMAND_MEMORY_SPACE, 0);
    read_capabilities(config, &mut function);
    read_resources(config, &mut function, bars, rom);
    if header_type == HeaderType::Type1 {
        number::clear(config);
        function.bridge = Some(Bridge {
            buses: None,
            io: None,
            memory: None,
            prefetchable: None,
            functions: Vec::new(),
            not_ready: Vec::new(),
            refusal: None,
            implemented: probe_windows(config),
        });
    }
    function
}

fn read_capabilities(config: &mut Config<'_>, function: &mut Function) {
    function.capabilities = capability::legacy(config);
    let express = function.capability(CapabilityId::Legacy(r::CAPABILITY_ID_PCI_EXPRESS));
    if let Some(express) = express {
        function.capabilities.extend(capability::extended(config));
        read_express(config, function, express);
    }
    let subsystem = match function.header_type {
        HeaderType::Type0 => Some(r::TYPE0_SUBSYSTEM),
        _ => function
            .capability(CapabilityId::Legacy(r::CAPABILITY_ID_SUBSYSTEM))
            .map(|offset| offset + r::SUBSYSTEM_VENDOR_ID),
    };
    function.subsystem = subsystem.map(|offset| {
        let id = config.read_u32(offset);
        ((id & 0xffff) as u16, (id >> 16) as u16)
    });
    let serial = CapabilityId::Extended(r::EXTENDED_CAPABILITY_ID_SERIAL_NUMBER);
    function.serial_number = function.capability(serial).map(|offset| {
        let lower = config.read_u32(offset + r::SERIAL_NUMBER_LOWER);
        let upper = config.read_u32(offset + r::SERIAL_NUMBER_UPPER);
        u64::from(upper) << 32 | u64::from(lower)
    });
}

fn read_express(config: &mut Config<'_>, function: &mut Function, express: u16) {
    let capabilities = config.read_u16(express + r::EXPRESS_CAPABILITIES);
    function.port_type = Some(PortType::from_bits((capabilities >> 4 & 0xf) as u8));
    if function.is_downstream_port() && capabilities & r::EXPRESS_CAPABILITIES_SLOT_IMPLEMENTED != 0
    {
        let slot = config.read_u32(express + r::EXPRESS_SLOT_CAPABILITIES);
        function.slot = Some(Slot {
            number: (slot >> 19) as u16,
            hot_plug: slot & r::EXPRESS_SLOT_CAPABILITIES_HOT_PLUG != 0,
        });
    }
    if function.port_type == Some(PortType::RootPort)
        && config.read_u16(express + r::EXPRESS_ROOT_CAPABILITIES)
            & r::EXPRESS_ROOT_CAPABILITIES_RRS_VISIBILITY
            != 0
    {
        // Without it a device that is not ready would look absent.
        config.update_u16(
            express + r::EXPRESS_ROOT_CONTROL,
            0,
            r::EXPRESS_ROOT_CONTROL_RRS_VISIBILITY,
        );
    }
}

fn read_resources(config: &mut Config<'_>, function: &mut Function, bars: u8, rom: u16) {
    let Sized { bars, faults } = bar::size_bars(config, bars);
    function.bars = bars;
    function.faults = faults;
    match bar::size_rom(config, rom) {
        Ok(rom) => function.rom = rom,
        Err(fault) => function.faults.push((Resource::Rom, fault)),
    }
}

/// Finds out which windows a bridge implements and closes them (PCIe 6.2 sections 7.5.1.3.6 to 7.5.1.3.9): the address
/// bits of a window that is not implemented are read-only zero.
fn probe_windows(config: &mut Config<'_>) -> Implemented {
    // Each limit first, so that no window is open in between.
    config.write_u8(r::TYPE1_IO_LIMIT, 0);
    config.write_u8(r::TYPE1_IO_BASE, 0xf0);
    let io = config.read_u8(r::TYPE1_IO_BASE);
    let mut implemented = |limit: u16, base: u16| {
        config.write_u16(limit, 0);
        config.write_u16(base, 0xfff0);
        config.read_u16(base)
    };
    let memory = implemented(r::TYPE1_MEMORY_LIMIT, r::TYPE1_MEMORY_BASE);
    let prefetchable = implemented(r::TYPE1_PREFETCHABLE_LIMIT, r::TYPE1_PREFETCHABLE_BASE);
    let address_bits = |bits: u16| {
        if bits & 0xf == 1 {
            AddressBits::Long
        } else {
            AddressBits::Short
        }
    };
    Implemented {
        io: (io & 0xf0 == 0xf0).then(|| address_bits(io.into())),
        memory: memory & 0xfff0 == 0xfff0,
        prefetchable: (prefetchable & 0xfff0 == 0xfff0).then(|| address_bits(prefetchable)),
    }
}
