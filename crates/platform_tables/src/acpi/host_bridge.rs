//! A host bridge's device: what it decodes, how its interrupts are wired, and its ports.

use super::dsdt::terms;
use super::dsm;
use super::encode::Encoded;
use super::encode::encode;
use super::osc;
use crate::HostBridge;
use crate::Port;
use acpi_tables::Aml;
use acpi_tables::aml::AddressSpace;
use acpi_tables::aml::AddressSpaceCacheable;
use acpi_tables::aml::Device;
use acpi_tables::aml::EISAName;
use acpi_tables::aml::Name;
use acpi_tables::aml::Package;
use acpi_tables::aml::PackageBuilder;
use acpi_tables::aml::ResourceTemplate;
use pcie_topology::AddressRange;

const DEVICES: u32 = 32;
const PINS: u32 = 4;
/// The function part of an address in `_PRT` that stands for all functions of a device.
const ALL_FUNCTIONS: u32 = 0xffff;

/// A named object.
pub(super) fn name(path: &str, value: &dyn Aml) -> Encoded {
    encode(&Name::new(path.into(), value))
}

pub(super) fn device((index, bridge): (u8, &HostBridge)) -> Encoded {
    let pci_express = EISAName::new("PNP0A08");
    let pci = EISAName::new("PNP0A03");
    let mut children = match bridge.cxl {
        Some(_) => vec![
            name("_HID", &"ACPI0016"),
            name("_CID", &Package::new(vec![&pci_express, &pci])),
        ],
        None => vec![name("_HID", &pci_express), name("_CID", &pci)],
    };
    children.extend([
        name("_UID", &bridge.uid),
        name("_SEG", &bridge.segment),
        name("_BBN", &bridge.buses.start),
        name("_CRS", &ResourceTemplate::new(terms(&resources(bridge)))),
    ]);
    children.extend(bridge.node.map(|node| name("_PXM", &node)));
    children.extend(bridge.intx.map(|gsis| name("_PRT", &routes(gsis))));
    children.push(osc::method(bridge));
    let boot_configuration = dsm::boot_configuration(bridge.preserve_boot_configuration);
    children.push(dsm::method(dsm::PCI, &[boot_configuration]));
    children.extend(bridge.ports.iter().map(port));
    encode(&Device::new(
        format!("PC{index:02X}").as_str().into(),
        terms(&children),
    ))
}

/// What the bridge passes on.
fn resources(bridge: &HostBridge) -> Vec<Encoded> {
    use AddressSpaceCacheable::NotCacheable;
    use AddressSpaceCacheable::PreFetchable;
    let buses =
        AddressSpace::new_bus_number(u16::from(bridge.buses.start), u16::from(bridge.buses.end));
    let mut resources = vec![encode(&buses)];
    // 32 bits wide, for all 65,536 ports are one more than a length of 16 bits can say.
    let io = bridge.io.as_ref().and_then(bounds::<u32>);
    resources.extend(io.map(|(min, max)| encode(&AddressSpace::new_io(min, max, None))));
    let memory = [
        (&bridge.mmio32, NotCacheable),
        (&bridge.mmio64, NotCacheable),
        (&bridge.prefetchable, PreFetchable),
    ];
    for (range, cacheable) in memory {
        if let Some((min, max)) = range.as_ref().and_then(bounds::<u64>) {
            let memory = AddressSpace::new_memory(cacheable, true, min, max, None);
            resources.push(encode(&memory));
        }
    }
    resources
}

/// The first and last address, which validation has within the address space.
fn bounds<T: TryFrom<u64>>(range: &AddressRange) -> Option<(T, T)> {
    let last = range.end().checked_sub(1)?;
    Some((range.base.try_into().ok()?, last.try_into().ok()?))
}

/// `_PRT` (ACPI 6.5 section 6.2.13): the interrupts of the root bus's devices. What is below a bridge is swizzled down to here by the
/// operating system (PCI-to-PCI Bridge 1.2 section 9.1).
fn routes(gsis: [u32; 4]) -> PackageBuilder {
    let mut routes = PackageBuilder::new();
    // A ring of the four numbers, which each device enters one further on than the device before it.
    let mut first = gsis.iter().cycle();
    for device in 0..DEVICES {
        for (pin, gsi) in (0..PINS).zip(first.clone()) {
            let address = device << 16 | ALL_FUNCTIONS;
            // Source 0: the number is a global system interrupt.
            routes.add_element(&Package::new(vec![&address, &pin, &0_u8, gsi]));
        }
        first.next();
    }
    routes
}

/// A root port, or a downstream port of a switch. Below it are the slot's device, or the switch if it has slots below: an operating
/// system knows a device's name and slot only from here.
fn port(port: &Port) -> Encoded {
    let mut children = vec![
        name(
            "_ADR",
            &(u32::from(port.device) << 16 | u32::from(port.function)),
        ),
        dsm::method(dsm::PCI, &[dsm::ready_at_once()]),
    ];
    if let Some(slot) = port.slot {
        // What is plugged is device 0 below the port.
        let slot_children = [
            name("_ADR", &0_u8),
            name("_SUN", &slot),
            dsm::method(dsm::PCI, &[dsm::device_name(slot, &port.label)]),
        ];
        children.push(encode(&Device::new("SLOT".into(), terms(&slot_children))));
    } else if port.has_slots_below() {
        let mut switch_children = vec![name("_ADR", &0_u8)];
        switch_children.extend(port.switch.iter().map(self::port));
        children.push(encode(&Device::new("SWUP".into(), terms(&switch_children))));
    }
    let devfn = u16::from(port.device) << 3 | u16::from(port.function);
    encode(&Device::new(
        format!("S{devfn:03X}").as_str().into(),
        terms(&children),
    ))
}
