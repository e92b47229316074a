//! Prints a hierarchy as a tree, with BARs and windows.

use std::fmt;

use pci_spec::caps::pci_express::DevicePortType;

use crate::bar::BarKind;
use crate::hierarchy::{Bridge, Function, Hierarchy};
use crate::shortfall::Bytes;

impl fmt::Display for Hierarchy {
    /// One line for a function, one for each of its BARs and open windows, and at the end the shortfalls.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.buses.clone().into_inner();
        writeln!(
            f,
            "{:04x}:{first:02x} host bridge, buses {first:02x}-{last:02x}, used to {:02x}",
            self.segment, self.last_bus_used
        )?;
        branches(f, &self.functions, "")?;
        if !self.shortfalls.is_empty() {
            writeln!(f, "shortfalls:")?;
        }
        for shortfall in &self.shortfalls {
            writeln!(f, "  {shortfall}")?;
        }
        Ok(())
    }
}

fn branches(f: &mut fmt::Formatter<'_>, functions: &[Function], indent: &str) -> fmt::Result {
    let mut functions = functions.iter().peekable();
    while let Some(function) = functions.next() {
        let (fork, trunk) = if functions.peek().is_some() {
            ("+-", "| ")
        } else {
            ("\\-", "  ")
        };
        writeln!(f, "{indent}{fork}{}", Title(function))?;
        let inside = format!("{indent}{trunk}");
        let bridge = function.bridge.as_ref();
        let has_branches = bridge.is_some_and(|bridge| !bridge.functions.is_empty());
        let details = format!("{inside}{}", if has_branches { "| " } else { "  " });
        resources(f, function, &details)?;
        if let Some(bridge) = bridge {
            windows(f, bridge, &details)?;
            branches(f, &bridge.functions, &inside)?;
        }
    }
    Ok(())
}

struct Title<'a>(&'a Function);

impl fmt::Display for Title<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let function = self.0;
        write!(
            f,
            "{:02x}.{}",
            function.bdf.device(),
            function.bdf.function()
        )?;
        if let Some(bridge) = &function.bridge {
            match bridge.buses {
                Some(buses) => write!(f, "-[{:02x}-{:02x}]", buses.secondary, buses.subordinate)?,
                None => write!(f, "-[no bus]")?,
            }
        }
        write!(
            f,
            " {:04x}:{:04x} class {:06x}",
            function.vendor_id, function.device_id, function.class_code
        )?;
        if let Some(port_type) = function.port_type {
            write!(f, ", {}", PortName(port_type))?;
        }
        if let Some(slot) = function.slot {
            let kind = if slot.hot_plug {
                "hot-plug slot"
            } else {
                "slot"
            };
            write!(f, ", {kind} {}", slot.number)?;
        }
        if let Some(serial_number) = function.serial_number {
            write!(f, ", serial number {serial_number:016x}")?;
        }
        Ok(())
    }
}

struct PortName(DevicePortType);

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            DevicePortType::Endpoint => "endpoint",
            DevicePortType::LegacyEndpoint => "legacy endpoint",
            DevicePortType::RootPort => "root port",
            DevicePortType::UpstreamSwitchPort => "upstream port",
            DevicePortType::DownstreamSwitchPort => "downstream port",
            DevicePortType::PcieToPciBridge => "PCI Express to PCI bridge",
            DevicePortType::PciToPcieBridge => "PCI to PCI Express bridge",
            DevicePortType::RootComplexIntegratedEndpoint => "integrated endpoint",
            DevicePortType::RootComplexEventCollector => "event collector",
            reserved => return write!(f, "port type {}", reserved.0),
        })
    }
}

fn resources(f: &mut fmt::Formatter<'_>, function: &Function, indent: &str) -> fmt::Result {
    for bar in &function.bars {
        let decode = match bar.kind {
            BarKind::Io => function.io_decode,
            BarKind::Memory32 { .. } | BarKind::Memory64 { .. } => function.memory_decode,
        };
        write!(
            f,
            "{indent}BAR {}: {} of {}, ",
            bar.index,
            Bytes(bar.size),
            bar.kind
        )?;
        match bar.address {
            Some(address) if decode => writeln!(f, "{address:#x}")?,
            Some(address) => writeln!(f, "{address:#x}, decoding off")?,
            None => writeln!(f, "unassigned")?,
        }
    }
    if let Some(rom) = &function.rom {
        write!(f, "{indent}ROM: {}, ", Bytes(rom.size))?;
        match rom.address {
            Some(address) => writeln!(f, "{address:#x}, disabled")?,
            None => writeln!(f, "unassigned")?,
        }
    }
    Ok(())
}

fn windows(f: &mut fmt::Formatter<'_>, bridge: &Bridge, indent: &str) -> fmt::Result {
    for (name, window) in [
        ("I/O", bridge.io),
        ("memory", bridge.memory),
        ("prefetchable", bridge.prefetchable),
    ] {
        if let Some(window) = window {
            let size = Bytes(window.limit - window.base + 1);
            writeln!(f, "{indent}{name} window: {window} ({size})")?;
        }
    }
    Ok(())
}
